"""Blends against the formula, in every form; what they tell of their parts; what can't be blended."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix import ClassOrderError, ParameterError, Provenance, SimilarityMatrix, load
from simmatrix.blending import blend
from simmatrix.provenance import Input
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.matrices import NAMES, in_form, peak_memory, random_matrix, random_values

FORMS = ("dense", "sparse", "toeplitz")
WEIGHTS = ([0.5, 0.5], [0.7, 0.3], [0.25, 0.5, 0.25], [1 / 3, 1 / 3, 1 / 3])


def matrix_in(form: str, size: int = 6, seed: int = 0) -> SimilarityMatrix:
    if form != "toeplitz":
        return random_matrix(form, size, seed)
    side = np.random.default_rng(seed).random(size - 1)
    names = NAMES[:size] if size <= len(NAMES) else tuple(f"class {index}" for index in range(size))
    return SimilarityMatrix(toeplitz_view(np.concatenate([side, [1], side[::-1]])), names)


def by_formula(parts: list[tuple[SimilarityMatrix, float]]) -> np.ndarray:
    """Return sum_k w_k S_k, one pair of names at a time."""
    names = parts[0][0].classes
    return np.array(
        [[sum(weight * matrix[one, other] for matrix, weight in parts) for other in names] for one in names]
    )


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("forms", list(product(FORMS, FORMS)))
def test_a_blend_is_the_weighted_mean(forms: tuple[str, str], weights: list[float]) -> None:
    forms = (*forms, forms[0])[: len(weights)]
    matrices = [matrix_in(form, seed=seed) for seed, form in enumerate(forms)]
    parts = list(zip(matrices, weights, strict=True))
    result = blend(parts)
    np.testing.assert_array_equal(result.to_dense(), by_formula(parts).astype(np.float32))
    assert result.classes == NAMES
    assert result.form == (forms[0] if len(set(forms)) == 1 else "dense")


@pytest.mark.parametrize("form", FORMS)
def test_classes_are_matched_by_name(form: str) -> None:
    first, second = matrix_in(form, seed=1), matrix_in(form, seed=2)
    turned = second.select(["ox", "rose", "van", "tulip", "lorry", "oak"])
    result = blend([(first, 0.4), (turned, 0.6)])
    assert result.classes == first.classes
    np.testing.assert_array_equal(result.to_dense(), blend([(first, 0.4), (second, 0.6)]).to_dense())


def test_more_rows_than_a_block_holds() -> None:
    first, second = random_values(1500, seed=1), random_values(1500, seed=2)
    names = tuple(f"c{index}" for index in range(1500))
    parts = [(in_form("dense", first, names), 0.9), (in_form("sparse", second, names), 0.1)]
    expected = 0.9 * first.astype(np.float64) + 0.1 * second.astype(np.float64)
    np.testing.assert_array_equal(blend(parts).values, expected.astype(np.float32))


@pytest.mark.parametrize("forms", [("dense", "dense"), ("dense", "sparse"), ("toeplitz", "sparse")])
def test_memory_is_taken_for_the_result_and_a_block(forms: tuple[str, str]) -> None:
    parts = [(matrix_in(form, 2000, seed), 0.5) for seed, form in enumerate(forms)]
    assert peak_memory(lambda: blend(parts)) < 1.4 * 2000 * 2000 * 4


def test_a_blend_of_class_orders_takes_no_memory_for_its_entries() -> None:
    parts = [(matrix_in("toeplitz", 5_000, seed), 0.5) for seed in range(2)]
    results: list[SimilarityMatrix] = []
    assert peak_memory(lambda: results.append(blend(parts))) < 5_000 * 400
    expected = np.float32(0.5 * parts[0][0].values[3, 9].astype(float) + 0.5 * parts[1][0].values[3, 9].astype(float))
    assert results[0].values[3, 9] == expected


PARTS = st.lists(
    st.tuples(st.sampled_from(FORMS), st.integers(0, 99), st.floats(0.01, 1)), min_size=2, max_size=4, unique=True
)


def parts_of(drawn: list[tuple[str, int, float]]) -> list[tuple[SimilarityMatrix, float]]:
    """Return matrices of the same classes with weights that sum to 1 up to rounding."""
    total = sum(weight for *_, weight in drawn)
    return [(matrix_in(form, 5, seed), weight / total) for form, seed, weight in drawn]


@settings(deadline=None, max_examples=50)
@given(PARTS, st.data())
def test_the_order_of_the_parts_is_no_matter(drawn: list[tuple[str, int, float]], data: st.DataObject) -> None:
    parts = parts_of(drawn)
    turned = [parts[place] for place in data.draw(st.permutations(range(len(parts))))]
    one, other = blend(parts).to_dense(), blend(turned).to_dense()
    # Sums of two are the same either way round; of more, the last digit of a float64 may round the other way.
    np.testing.assert_array_max_ulp(one, other, maxulp=0 if len(parts) == 2 else 1)


@settings(deadline=None, max_examples=50)
@given(PARTS)
def test_a_blend_lies_between_its_parts(drawn: list[tuple[str, int, float]]) -> None:
    parts = parts_of(drawn)
    result = blend(parts).to_dense()
    stack = np.stack([matrix.to_dense() for matrix, _ in parts])
    assert (result >= np.nextafter(stack.min(0), np.float32(-1))).all()
    assert (result <= np.nextafter(stack.max(0), np.float32(2))).all()
    np.testing.assert_array_equal(result, result.T)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(FORMS), st.integers(0, 99), st.floats(0.001, 0.999))
def test_a_matrix_blended_with_itself_is_itself(form: str, seed: int, weight: float) -> None:
    matrix = matrix_in(form, seed=seed)
    # float64 has digits to spare: rounding to float32 gives the very values back.
    np.testing.assert_array_equal(blend([(matrix, weight), (matrix, 1 - weight)]).to_dense(), matrix.to_dense())


@pytest.mark.parametrize("slip", [1e-9, -1e-9])
def test_weights_may_miss_1_by_a_little(slip: float) -> None:
    matrix = random_matrix()
    result = blend([(matrix, 0.5), (matrix, 0.5 + 0.99 * slip)])
    np.testing.assert_allclose(result.values, matrix.values, rtol=1e-7)
    with pytest.raises(ParameterError, match="sum to"):
        blend([(matrix, 0.5), (matrix, 0.5 + 1.01 * slip)])


def test_a_blend_can_be_bounded() -> None:
    parts = [(random_matrix(seed=1), 0.5), (random_matrix(seed=2), 0.5)]
    bounded = blend(parts).lower_bound(0.25)
    np.testing.assert_allclose(bounded.values, np.maximum((by_formula(parts) - 0.25) / 0.75, 0), atol=1e-6)
    assert bounded.provenance.normalisation == ({"step": "lower_bound", "bound": 0.25},)


CLASSES = Input("classes", "flowers.txt", "c" * 64)
WORDS = Provenance(
    builder="embeddings",
    params={"measure": "cosine"},
    source=(Input("vectors", "glove", "a" * 64), CLASSES),
    resolution={
        "rose": {"how": "name", "words": ["rose"], "missed": "red rose"},
        "oak": {"how": "phrase", "words": ["oak", "tree"]},
    },
    normalisation=({"step": "clip"}, {"step": "unit_diagonal"}),
)
TREE = Provenance(
    builder="wordnet",
    params={"measure": "wup"},
    source=(Input("wordnet", "wn.zip", "b" * 64), CLASSES),
    resolution={
        "rose": {"how": "synset", "words": ["rose.n.01"], "missed": "no", "depth": 7},
        "oak": {"how": "phrase", "words": ["oak"]},
        "van": {"how": "synset", "words": ["van.n.05"]},
    },
)
FILES = (Input("matrix", "words.st", "d" * 64), Input("matrix", "tree.st", "e" * 64))


def with_lineage() -> list[tuple[SimilarityMatrix, float]]:
    matrices = [SimilarityMatrix(random_values(6), NAMES, one) for one in (WORDS, TREE)]
    return list(zip(matrices, (0.75, 0.25), strict=True))


def test_the_lineage_is_told() -> None:
    origin = blend(with_lineage(), FILES).provenance
    assert origin.builder == "blend"
    assert origin.params == {
        "weights": [0.75, 0.25],
        "parts": [
            {
                "builder": "embeddings",
                "params": {"measure": "cosine"},
                "source": [
                    {"role": "matrix", "name": "words.st", "sha256": "d" * 64},
                    {"role": "vectors", "name": "glove", "sha256": "a" * 64},
                    {"role": "classes", "name": "flowers.txt", "sha256": "c" * 64},
                ],
                "normalisation": [{"step": "clip"}, {"step": "unit_diagonal"}],
            },
            {
                "builder": "wordnet",
                "params": {"measure": "wup"},
                "source": [
                    {"role": "matrix", "name": "tree.st", "sha256": "e" * 64},
                    {"role": "wordnet", "name": "wn.zip", "sha256": "b" * 64},
                    {"role": "classes", "name": "flowers.txt", "sha256": "c" * 64},
                ],
                "normalisation": [],
            },
        ],
    }
    assert origin.normalisation == ()
    assert origin.source == (FILES[0], *WORDS.source, FILES[1], TREE.source[0])
    assert blend(with_lineage()).provenance.source == (*WORDS.source, TREE.source[0])


def test_how_a_class_was_found_is_told_of_all_parts() -> None:
    assert blend(with_lineage()).provenance.resolution == {
        "rose": {"how": "name + synset", "words": ["rose", "rose.n.01"], "missed": "red rose", "depth": 7},
        "oak": {"how": "phrase", "words": ["oak", "tree"]},
        "van": {"how": "synset", "words": ["van.n.05"]},
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_blend_of_blends_comes_back_from_its_file(form: str, tmp_path: Path) -> None:
    part = blend([(SimilarityMatrix(matrix_in(form).values, NAMES, WORDS), 0.5), (matrix_in(form, seed=1), 0.5)])
    whole = blend([(part, 0.6), (matrix_in(form, seed=2), 0.4)], FILES)
    whole.save(tmp_path / "one")
    again = load(tmp_path / "one")
    np.testing.assert_array_equal(again.to_dense(), whole.to_dense())
    assert (again.provenance, again.form) == (whole.provenance, form)
    assert json.loads(json.dumps(again.provenance.params["parts"][0]["params"])) == part.provenance.params
    blend([(part, 0.6), (matrix_in(form, seed=2), 0.4)], FILES).save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_judgements_are_not_handed_on() -> None:
    counts = np.full((6, 6), 3, dtype=np.int32)
    judged = SimilarityMatrix(random_values(6), NAMES, evidence=counts)
    assert blend([(judged, 0.5), (judged, 0.5)]).evidence is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "a blend needs two matrices or more, not 0"),
        ([1.0], "a blend needs two matrices or more, not 1; give each with its weight"),
        ([1.0, 0.0], "a weight of 0.0 is not above 0; leave the matrix out"),
        ([1.5, -0.5], "a weight of -0.5 is not above 0"),
        ([0.5, float("nan")], "a weight of nan"),
        ([0.5, float("inf")], "a weight of inf"),
        ([0.7, 0.2], "the weights 0.7 and 0.2 sum to 0.9, not to 1; rescaled they would be 0.777777777778 and 0.2222"),
        ([2.0, 1.0, 1.0], "the weights 2, 1 and 1 sum to 4, not to 1; rescaled they would be 0.5, 0.25 and 0.25"),
        ([1e308, 1e308], "sum to inf"),
    ],
)
def test_weights_that_do_not_fit(weights: list[float], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        blend([(random_matrix(), weight) for weight in weights])


@settings(max_examples=50)
@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=9))
def test_the_rescaled_weights_of_a_message_are_accepted(weights: list[float]) -> None:
    matrix = random_matrix()
    try:
        blend([(matrix, weight) for weight in weights])
    except ParameterError as error:
        rescaled = re.findall(r"[0-9][0-9.e-]*", str(error).rpartition("would be")[2])
        assert len(rescaled) == len(weights)
        blend([(matrix, float(weight)) for weight in rescaled])


@pytest.mark.parametrize(
    ("files", "labels"), [((), ("matrix 1", "matrix 2")), (FILES, ("matrix 1 (words.st)", "matrix 2 (tree.st)"))]
)
def test_other_classes_are_named_with_their_part(files: tuple[Input, ...], labels: tuple[str, str]) -> None:
    first = SimilarityMatrix(np.eye(3), ("rose", "tulip", "oak"))
    second = SimilarityMatrix(np.eye(4), ("oak", "elm", "rose", "ash"))
    message = (
        f"{labels[1]} has other classes than {labels[0]}; only in {labels[0]}: tulip; only in {labels[1]}: elm, ash. "
        "Build all of them from the same class list"
    )
    with pytest.raises(ClassOrderError, match=f"^{re.escape(message)}$"):
        blend([(first, 0.5), (second, 0.5)], files)


def test_only_what_differs_is_named_and_not_all_of_it() -> None:
    first = random_matrix(size=20)
    with pytest.raises(ClassOrderError) as caught:
        blend([(first, 0.5), (first.select(first.classes[:10]), 0.5)])
    assert str(caught.value).startswith(
        "matrix 2 has other classes than matrix 1; only in matrix 1: class 10, class 11, class 12, class 13, class 14 "
        "and 5 more. Build"
    )
