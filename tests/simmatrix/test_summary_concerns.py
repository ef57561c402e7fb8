"""What users are warned of: each sentence, from a matrix that deserves it."""

import dataclasses
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import Provenance, SimilarityMatrix, Statistics, blend, concerns, statistics
from simmatrix.summary import gradient_kept
from tests.simmatrix.test_summary import with_corners

CORNERS = with_corners()


def matrix_of(similarity: float, size: int = 30) -> SimilarityMatrix:
    values = np.full((size, size), similarity)
    np.fill_diagonal(values, 1)
    return SimilarityMatrix(values, tuple(f"c{index}" for index in range(size)))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (matrix_of(0.01), []),
        (matrix_of(0.0), ["is the identity, so training with it is plain cross entropy; no two classes are similar"]),
        (matrix_of(0.004, 3), ["sum to 0.008 on average, .* nearly plain cross entropy; give a smaller lower bound$"]),
        (
            simmatrix.from_order(["a", "b", "c"], decay=0.001),
            ["sum to 0.0013 .*; give a greater decay or length scale$"],
        ),
        # Of what is too much for SimLoss alone the loss warns.
        (matrix_of(0.5), []),
        (matrix_of(1.0, 3), ["3 pairs have similarity 1, .*: c0/c1, c0/c2, c1/c2$"]),
        (matrix_of(1.0, 4), ["6 pairs have similarity 1, .*: c0/c1, c0/c2, c0/c3 …$"]),
        (SimilarityMatrix(CORNERS, tuple("abcdefghi")), ["2 pairs have similarity 1, .*: a/f, c/h$"]),
    ],
)
def test_concerns(matrix: SimilarityMatrix, expected: list[str]) -> None:
    found = concerns(matrix)
    assert len(found) == len(expected)
    for sentence, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, sentence)


def test_one_pair_is_singular() -> None:
    values = np.eye(4)
    values[0, 1] = 1
    (sentence,) = concerns(SimilarityMatrix(values, ("a", "b", "c", "d")))
    assert sentence == "1 pair has similarity 1, the loss can't tell them apart: a/b"


NOTHING_SIMILAR = "no two classes are similar in this source, take another source or measure"
BOUNDED = matrix_of(0.25).lower_bound(0.3)


def halved(one: SimilarityMatrix, other: SimilarityMatrix) -> SimilarityMatrix:
    return blend([(one, 0.5), (other, 0.5)])


@pytest.mark.parametrize(
    ("matrix", "remedy"),
    [
        (BOUNDED, "give a smaller lower bound"),
        (simmatrix.from_order(["a", "b", "c"], decay=0.25, lower_bound=0.3), "give a smaller lower bound"),
        (simmatrix.from_order(["a", "b", "c"], decay=0.0), "give a greater decay or length scale"),
        (
            simmatrix.from_order(["a", "b", "c"], kernel="triangular", length_scale=0.5),
            "give a greater decay or length scale",
        ),
        (matrix_of(0.0).lower_bound(0.0), NOTHING_SIMILAR),
        (halved(matrix_of(0.0), matrix_of(0.0)), NOTHING_SIMILAR),
        (halved(matrix_of(0.0), BOUNDED), "give a smaller lower bound"),
        (halved(halved(BOUNDED, matrix_of(0.0)), matrix_of(0.0)), "give a smaller lower bound"),
    ],
)
def test_the_identity_gets_the_remedy_that_helps(matrix: SimilarityMatrix, remedy: str) -> None:
    (sentence,) = concerns(matrix)
    assert sentence == f"the matrix is the identity, so training with it is plain cross entropy; {remedy}"


def test_a_flat_taxonomy_has_nothing_similar_by_the_length_of_ways(tmp_path: Path) -> None:
    (tmp_path / "flat").write_text("root a\nroot b\nroot c\n")
    matrix = simmatrix.from_taxonomy(tmp_path / "flat", ["a", "b", "c"], measure="lch")
    assert concerns(matrix)[0].endswith(NOTHING_SIMILAR)
    # By the default bound they are strangers whatever the measure, and a smaller one makes all equally similar.
    matrix = simmatrix.from_taxonomy(tmp_path / "flat", ["a", "b", "c"])
    assert "no two classes are more similar than others in this source" in concerns(matrix)[0]
    # What is taken off by hand can be less.
    assert concerns(matrix.lower_bound(0.1))[0].endswith("give a smaller lower bound")


@pytest.mark.parametrize("parts", [3, [4], ["x", None], [{"params": 7}], [{"params": {"parts": {}}}]])
def test_parts_of_a_foreign_file_may_be_anything(parts: object) -> None:
    origin = Provenance(builder="blend", params={"parts": parts})
    assert concerns(SimilarityMatrix(np.eye(2), ("a", "b"), origin))[0].endswith(NOTHING_SIMILAR)


PIN = "pin another in the class list's synset column (simmatrix senses WORD)"


@pytest.mark.filterwarnings("ignore::simmatrix.SenseWarning")
def test_classes_of_the_same_synset_are_told() -> None:
    matrix = simmatrix.from_wordnet(["dog", "Canis familiaris", "oak"], measure="res")
    assert matrix["dog", "Canis familiaris"] < 1
    assert f"dog and Canis familiaris are the same synset dog.n.01; {PIN}" in concerns(matrix)
    # Where the measure gives 1, this has been said.
    same = concerns(simmatrix.from_wordnet(["dog", "Canis familiaris", "oak"], measure="path"))
    assert [sentence[:24] for sentence in same] == ["1 pair has similarity 1,", "2 classes were taken in "]


def alike(builder: str, words: list[str], similarity: float = 0.01) -> SimilarityMatrix:
    matrix = matrix_of(similarity, len(words))
    resolution = {name: {"how": "synset", "words": [word]} for name, word in zip(matrix.classes, words, strict=True)}
    return SimilarityMatrix(matrix.values, matrix.classes, Provenance(builder, resolution=resolution))


@pytest.mark.parametrize(
    ("builder", "words", "sentence"),
    [
        ("wordnet", "x y x", f"c0 and c2 are the same synset x; {PIN}"),
        ("taxonomy", "x y x", "c0 and c2 are the same node x; give each class a node of its own in the taxonomy"),
        (
            "wordnet",
            "x y y x x",
            "c1 and c2 are the same synset y, c0 and c3 are the same synset x, c0 and c4 are the same synset x; " + PIN,
        ),
        (
            "wordnet",
            "x x x x x",
            "c0 and c1 are the same synset x, c0 and c2 are the same synset x, c0 and c3 are the same synset x …; "
            + PIN,
        ),
        # Words of a text model may well be shared.
        ("embeddings", "x y x", None),
        ("wordnet", "x y z", None),
    ],
)
def test_pairs_found_in_the_same_place(builder: str, words: str, sentence: str | None) -> None:
    assert concerns(alike(builder, words.split())) == (() if sentence is None else (sentence,))


def test_pairs_of_similarity_1_in_one_direction_are_told_once() -> None:
    values = np.eye(4)
    values[1, 0] = 1
    matrix = SimilarityMatrix(values, ("c0", "c1", "c2", "c3"), alike("wordnet", ["x", "x", "y", "z"]).provenance)
    assert concerns(matrix) == ("1 pair has similarity 1, the loss can't tell them apart: c0/c1",)


def test_a_foreign_file_may_tell_nothing_of_a_class() -> None:
    origin = Provenance("wordnet", resolution={"c1": {}, "c2": {"words": []}, "other": {"words": ["x"]}})
    matrix = matrix_of(0.01, 4)
    assert concerns(SimilarityMatrix(matrix.values, matrix.classes, origin)) == ()


def test_concerns_take_figures_as_given() -> None:
    matrix = matrix_of(0.05)
    figures: Statistics = dataclasses.replace(statistics(matrix), identity_rows=1.0)
    assert "identity" in concerns(matrix, figures)[0]


@pytest.mark.parametrize(
    ("counts", "completed", "sentence"),
    [
        ([1, 2, 3, 4, 5, 6], 0, None),
        ([0, 2, 3, 0, 1, 1], 2, "nobody judged 2 of the 6 pairs (33.3%), a method completed them"),
        ([0, 0, 0, 0, 0, 0], 6, "nobody judged 6 of the 6 pairs (100.0%), a method completed them"),
    ],
)
@pytest.mark.parametrize("own", [0, 7])
def test_pairs_that_nobody_judged_are_told(counts: list[int], completed: int, sentence: str | None, own: int) -> None:
    # Of four classes: of three there would be as many pairs as classes.
    evidence = np.full((4, 4), own)
    for (i, j), count in zip(combinations(range(4), 2), counts, strict=True):
        evidence[i, j] = evidence[j, i] = count
    values = np.where(np.eye(4) > 0, 1, 0.0625)
    matrix = SimilarityMatrix(values, ("a", "b", "c", "d"), evidence=evidence)
    assert statistics(matrix).completed_pairs == completed
    assert concerns(matrix) == (() if sentence is None else (sentence,))


def found_as(**resolution: dict[str, object]) -> SimilarityMatrix:
    values = np.full((3, 3), 0.01)
    np.fill_diagonal(values, 1)
    return SimilarityMatrix(values, ("rose", "seal", "oak"), Provenance(resolution=resolution))


def test_senses_that_were_not_taken_are_listed() -> None:
    others = {
        "rose": {"how": "name", "words": ["rose.n.01"], "others": ["rose.n.02", "blush_wine.n.01"], "doubt": 0.125},
        "seal": {"how": "name", "words": ["sealing_wax.n.01"], "others": ["seal.n.02"], "doubt": 0.5},
        "oak": {"how": "synset", "words": ["oak.n.02"]},
    }
    (sentence,) = concerns(found_as(**others))
    assert sentence.split("\n") == [
        "2 classes were taken in one of several senses; pin another in the class list's synset column "
        "(simmatrix senses WORD)",
        "  seal: sealing_wax.n.01, not seal.n.02 (doubt 0.50)",
        "  rose: rose.n.01, not rose.n.02, blush_wine.n.01 (doubt 0.12)",
    ]


def test_classes_found_by_their_last_words_are_told() -> None:
    words = {"rose": ["rose"], "seal": ["harbour", "seal"]}
    found = {name: {"how": "name head", "words": words[name]} for name in words}
    (sentence,) = concerns(found_as(**found, oak={"how": "name", "words": ["oak"]}))
    assert sentence == "2 classes were found by the last words alone: rose (rose), seal (harbour + seal)"


def test_of_many_such_classes_ten_are_listed() -> None:
    names = tuple(f"c{index}" for index in range(13))
    resolution = {name: {"how": "name", "words": ["a.n.01"], "others": ["a.n.02"]} for name in names}
    values = np.full((13, 13), 0.01)
    np.fill_diagonal(values, 1)
    (sentence,) = concerns(SimilarityMatrix(values, names, Provenance(resolution=resolution)))
    lines = sentence.split("\n")
    assert lines[0].startswith("13 classes were taken")
    assert lines[1:] == [*(f"  c{index}: a.n.01, not a.n.02" for index in range(10)), "  … and 3 more"]


@pytest.mark.parametrize(("count", "ending"), [(10, "run.v.10"), (11, "run.v.10 and 1 more")])
def test_of_a_word_with_very_many_senses_ten_are_listed(count: int, ending: str) -> None:
    others = [f"run.v.{sense:02}" for sense in range(1, count + 1)]
    (sentence,) = concerns(found_as(rose={"how": "name", "words": ["run.n.01"], "others": others}))
    assert sentence.splitlines()[1].startswith("  rose: run.n.01, not run.v.01, run.v.02, ")
    assert sentence.endswith(ending)


def test_a_phrase_that_was_not_found_is_told() -> None:
    (sentence,) = concerns(found_as(rose={"how": "name", "words": ["rose"], "missed": "rosse"}))
    assert sentence == "1 class was looked up by name, since the phrase was not found: rose (rosse)"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"averaged": 0, "ignored": 0}, ()),
        ({"averaged": 2}, ("pairs that stand there with different ratings: 2; the mean was taken",)),
        ({"ignored": 7}, ("rows that were passed over, since they name what is no class: 7",)),
        # A foreign file may have anything there.
        ({"averaged": "many", "ignored": [1]}, ()),
    ],
)
def test_what_a_builder_counted_is_told(params: dict[str, object], expected: tuple[str, ...]) -> None:
    matrix = found_as()
    told = SimilarityMatrix(matrix.values, matrix.classes, Provenance(params=params))
    assert concerns(told) == expected


def test_a_source_with_two_values_for_a_pair_is_told() -> None:
    matrix = found_as()
    steps = ({"step": "symmetrise"}, {"step": "clip"})
    told = SimilarityMatrix(matrix.values, matrix.classes, Provenance(normalisation=steps))
    assert concerns(told) == ("the source is not symmetric; of each pair the mean of both was taken",)


@pytest.mark.parametrize(("size", "similarity"), [(2, 0.7), (5, 0.3), (5, 1.0), (40, 0.1), (40, 0.7)])
def test_what_is_left_of_cross_entropys_gradient_at_the_start_of_training(size: int, similarity: float) -> None:
    """Against a numeric gradient, of the loss of equal logits."""
    logits, step = np.zeros(size), 1e-5
    matrix = matrix_of(similarity, size)

    def loss(row: np.ndarray, logit: float) -> float:
        z = logits.copy()
        z[0] = logit
        return float(-np.log(row @ np.exp(z) / np.exp(z).sum()))

    rows = (np.array(matrix.to_dense()[0], np.float64), np.eye(size)[0])
    slopes = [(loss(row, step) - loss(row, -step)) / (2 * step) for row in rows]
    assert gradient_kept(size, matrix.influence) == pytest.approx(slopes[0] / slopes[1], abs=1e-6)


def test_a_top_k_that_ties_decide_is_told() -> None:
    told = "of the classes are among the top k of no other"
    tied = matrix_of(0.5, 1000)
    # The first 101 are the hundred nearest of all.
    assert concerns(tied.top_k(100))[0].startswith(f"90% {told}; of classes that are equally similar")
    line = simmatrix.from_order([f"c{index}" for index in range(1000)], decay=0.5)
    for other in (tied, tied.top_k(500), line.top_k(3), matrix_of(0.5, 999).top_k(100)):
        assert not any(told in sentence for sentence in concerns(other))


def test_a_foreign_file_forges_no_lines_and_floods_nobody() -> None:
    forged = "x\nwarning: all is lost \x1b[31m"
    found = {
        forged: {"others": ["y"]},
        "rose": {"missed": forged, "others": [forged, None, {"a": [1]}, "z" * 10_000], "words": [forged] * 100},
        "tulip": {"missed": {"a": 1}, "others": "no list", "words": [forged] * 100},
    }
    matrix = SimilarityMatrix(np.eye(2), ("rose", "tulip"), Provenance("wordnet", resolution=found))
    lines = "\n".join(concerns(matrix)).split("\n")
    assert all(line.isprintable() and len(line) < 2000 for line in lines)
    # Identity, the same synset, looked up by name, and several senses with two lines of classes.
    assert len(lines) == 6
    assert not any(line.startswith("warning") for line in lines)
    assert "  x\\nwarning: all is lost \\x1b[31m: , not y" in lines
