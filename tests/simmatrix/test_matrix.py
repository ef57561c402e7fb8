"""The matrix type: its invariants, that it can't be changed, and that its three forms agree."""

import copy
import dataclasses
import math
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import coo_array, csc_array, csr_array, diags_array

from simmatrix import ClassNotFoundError, ClassOrderError, MatrixError, ParameterError, Provenance, SimilarityMatrix
from simmatrix.provenance import Input
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.matrices import NAMES, in_form, peak_memory, random_matrix, random_values, values_for

FORMS = ("dense", "sparse", "toeplitz")
form_by_form = pytest.mark.parametrize("form", FORMS)


def changed(row: int, column: int, value: float) -> np.ndarray:
    values = random_values(6)
    values[row, column] = value
    return values


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (np.ones((2, 3)), NAMES[:2], r"shape \(2, 3\) are not square"),
        (np.eye(3), NAMES[:2], "2 classes were named for 3 rows"),
        (np.eye(1), NAMES[:1], "at least two classes"),
        (np.eye(2), ("rose", "rose"), "class rose stands there twice"),
        (np.eye(2), ("rose", ""), "1: ''.*not empty"),
        (np.eye(2), ("rose", " "), "1: ' '"),
        (np.eye(2), ("rose", "\x1b[31mox"), r"1: '\\x1b\[31mox'.*control characters"),
        (np.eye(2), ("rose", "o\udc80x"), "1: .*control characters"),
        (changed(1, 3, 1.5), NAMES, r"not in \[0, 1\]: tulip, lorry: 1.5; normalise"),
        (changed(2, 0, -0.25), NAMES, r"not in \[0, 1\]: oak, rose: -0.25"),
        (changed(2, 0, np.nan), NAMES, r"not in \[0, 1\]: oak, rose: nan"),
        (changed(2, 0, np.inf), NAMES, r"not in \[0, 1\]: oak, rose: inf"),
        (changed(4, 4, 0.5), NAMES, "similarity to itself is not 1: van; set"),
        (changed(4, 4, 0), NAMES, "similarity to itself is not 1: van"),
        (np.zeros((6, 6)), NAMES, "not 1: rose, tulip, oak, lorry, van and 1 more"),
    ],
)
def test_a_broken_invariant_is_named(form: str, values: np.ndarray, classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(MatrixError, match=message):
        SimilarityMatrix(csr_array(values) if form == "sparse" else values, classes)


@pytest.mark.parametrize("values", [np.ones(2), np.full((2, 2), "1"), np.full((2, 2), None), np.eye(2) + 0j])
def test_what_is_no_matrix_of_numbers_is_refused(values: np.ndarray) -> None:
    with pytest.raises(MatrixError, match=r"not square|no similarities"):
        SimilarityMatrix(values, NAMES[:2])


def test_a_value_too_large_for_float32_is_refused_without_a_warning() -> None:
    with pytest.raises(MatrixError, match="rose, tulip: inf"):
        SimilarityMatrix(np.array([[1, 1e300], [0, 1]]), NAMES[:2])


def test_frozen() -> None:
    matrix = random_matrix()
    with pytest.raises(dataclasses.FrozenInstanceError):
        matrix.values = np.eye(6)
    with pytest.raises(TypeError, match="does not support item assignment"):
        matrix.provenance.params["measure"] = "dot"


@pytest.mark.parametrize("part", ["values", "values.data", "values.indices", "values.indptr"])
def test_arrays_are_read_only(part: str) -> None:
    array = random_matrix("dense" if part == "values" else "sparse").values
    for name in part.split(".")[1:]:
        array = getattr(array, name)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_writeable_input_is_copied(form: str) -> None:
    values = random_values(6)
    given = csr_array(values) if form == "sparse" else values
    matrix = SimilarityMatrix(given, NAMES)
    (given.data if form == "sparse" else given)[:] = 0
    np.testing.assert_array_equal(matrix.to_dense(), random_values(6))


def test_a_read_only_input_is_taken_as_it_is() -> None:
    values = random_values(6)
    values.flags.writeable = False
    assert SimilarityMatrix(values, NAMES).values is values


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda values: np.repeat(values, 2, axis=1)[:, ::2]])
def test_any_memory_layout_becomes_one(arrange: Callable[[np.ndarray], np.ndarray]) -> None:
    given = arrange(random_values(6))
    given.flags.writeable = False
    values = SimilarityMatrix(given, NAMES).values
    assert values.flags.c_contiguous
    assert not values.flags.writeable
    np.testing.assert_array_equal(values, random_values(6))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, bool, ">f4"])
def test_any_number_type_becomes_float32(dtype: object) -> None:
    assert SimilarityMatrix(np.eye(2).astype(dtype), NAMES[:2]).values.dtype == np.float32


def test_sparse_has_one_form() -> None:
    rows, columns, values = [1, 0, 0, 0, 1, 2], [1, 1, 0, 1, 0, 2], [1, 0.25, 1, 0.25, 0, 1]
    one = SimilarityMatrix(csr_array(coo_array((values, (rows, columns)))), NAMES[:3]).values
    other = SimilarityMatrix(csc_array(np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])), NAMES[:3]).values
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.nnz == 4


@form_by_form
def test_looking_up_by_name(form: str) -> None:
    values = values_for(form)
    matrix = in_form(form, values)
    assert len(matrix) == 6
    assert (matrix.form, matrix.is_sparse) == (form, form == "sparse")
    assert form in repr(matrix)
    for i, first in enumerate(NAMES):
        for j, second in enumerate(NAMES):
            assert matrix[first, second] == values[i, j]
            assert isinstance(matrix[first, second], float)


@form_by_form
def test_influence_is_the_mean_row_sum_off_the_diagonal(form: str) -> None:
    values = values_for(form)
    expected = sum(values[i, j].item() for i in range(6) for j in range(6) if i != j) / 6
    assert in_form(form, values).influence == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_neighbours_are_the_best_first_and_equal_ones_in_class_order(form: str) -> None:
    values = np.eye(6)
    values[0] = [1, 0.2, 0.7, 0, 0.2, 0.7]
    matrix = in_form(form, values)
    expected = [("oak", 0.7), ("ox", 0.7), ("tulip", 0.2), ("van", 0.2)]
    assert [(name, pytest.approx(value)) for name, value in expected] == list(matrix.neighbours("rose"))
    assert [name for name, _ in matrix.neighbours("rose", 3)] == ["oak", "ox", "tulip"]
    assert matrix.neighbours("lorry") == ()


@form_by_form
@pytest.mark.parametrize("names", [("ox", "rose", "oak"), NAMES, NAMES[::-1], NAMES[2:5], NAMES[::2]])
def test_select_takes_rows_and_columns(form: str, names: tuple[str, ...]) -> None:
    values = values_for(form)
    selected = in_form(form, values).select(names)
    at = [NAMES.index(name) for name in names]
    expected = [[values[i, j] for j in at] for i in at]
    assert selected.classes == names
    in_order = names == NAMES or names == NAMES[2:5]
    assert selected.form == (form if form != "toeplitz" or in_order else "dense")
    np.testing.assert_array_equal(selected.to_dense(), expected)


@form_by_form
def test_reorder(form: str) -> None:
    matrix = random_matrix(form)
    assert matrix.reorder(NAMES) is matrix
    turned = matrix.reorder(NAMES[::-1])
    np.testing.assert_array_equal(turned.to_dense(), matrix.to_dense()[::-1, ::-1])
    np.testing.assert_array_equal(turned.reorder(NAMES).to_dense(), matrix.to_dense())


@form_by_form
@pytest.mark.parametrize("bound", [0.1, 0.5, 0.99])
def test_lower_bound(form: str, bound: float) -> None:
    values = values_for(form)
    matrix = in_form(form, values)
    result = matrix.lower_bound(bound)
    expected = [[max(0.0, (s - bound) / (1 - bound)) for s in row] for row in values.astype(np.float64).tolist()]
    np.testing.assert_allclose(result.to_dense(), expected, rtol=1e-7)
    assert result.provenance.normalisation == ({"step": "lower_bound", "bound": bound},)
    assert matrix.lower_bound(0.0) is matrix
    assert result.form == form
    if form == "sparse":
        assert (result.values.data > 0).all()


@form_by_form
def test_top_k(form: str) -> None:
    values = values_for(form, share=1.0)
    result = in_form(form, values).top_k(2)
    assert result.is_sparse
    assert result.provenance.normalisation == ({"step": "top_k", "count": 2},)
    for row, kept in zip(values, result.to_dense(), strict=True):
        assert sorted(kept)[-3:] == sorted(row)[-3:]
        assert np.count_nonzero(kept) == 3


def test_top_k_of_a_sparse_matrix_takes_no_dense_one() -> None:
    count = 10_000
    band = diags_array([0.25, 0.5, 1.0, 0.5, 0.25], offsets=[-2, -1, 0, 1, 2], shape=(count, count))
    matrix = SimilarityMatrix(band.tocsr(), tuple(map(str, range(count))))
    kept = matrix.top_k(2)
    assert peak_memory(lambda: matrix.top_k(2)) < 4 * count**2 / 10
    assert kept.values.nnz == 3 * count
    assert kept.neighbours("5", 9) == (("4", 0.5), ("6", 0.5))


@pytest.mark.parametrize("count", [0, -1, 6])
def test_top_k_out_of_range(count: int) -> None:
    with pytest.raises(ParameterError, match=f"can't keep {count} of the 5 other classes; give 1 to 5"):
        random_matrix().top_k(count)


@pytest.mark.parametrize("bound", [-0.1, 1.0, float("nan")])
def test_a_lower_bound_out_of_range(bound: float) -> None:
    with pytest.raises(ParameterError, match="outside"):
        random_matrix().lower_bound(bound)


@form_by_form
def test_unknown_names_come_with_suggestions(form: str) -> None:
    matrix = random_matrix(form)
    with pytest.raises(
        ClassNotFoundError, match=r"no class 'tulib' \(did you mean tulip\?\), 'qqqq'; its classes are rose, tulip, oak"
    ) as caught:
        matrix.select(["rose", "tulib", "qqqq"])
    assert caught.value.missing == ("tulib", "qqqq")
    with pytest.raises(ClassNotFoundError, match="did you mean lorry"):
        matrix["rose", "lory"]
    with pytest.raises(ClassNotFoundError, match="no class 'Q'"):
        matrix.neighbours("Q")
    with pytest.raises(ClassNotFoundError, match=r"'4' and 1 more; its classes are "):
        matrix.select([f"{index}" for index in range(6)])


def test_selecting_twice_or_too_few() -> None:
    with pytest.raises(MatrixError, match="rose stands there twice"):
        random_matrix().select(["rose", "rose"])
    with pytest.raises(MatrixError, match="at least two"):
        random_matrix().select(["rose"])


@pytest.mark.parametrize(
    ("names", "messages"),
    [
        (NAMES[:5], ["only in the matrix: ox"]),
        ((*NAMES, "elm"), ["not in the matrix: 'elm'"]),
        ((*NAMES, "ox"), ["given twice: ox"]),
        (
            ("rose", "rose", "elm"),
            ["not in the matrix: 'elm';", "only in the matrix: tulip, ", "given twice: rose"],
        ),
    ],
)
def test_other_classes_are_listed(names: tuple[str, ...], messages: list[str]) -> None:
    with pytest.raises(ClassOrderError) as caught:
        random_matrix().reorder(names)
    for message in messages:
        assert message in str(caught.value)
    assert str(caught.value).count("matrix:") + str(caught.value).count("given twice:") == len(messages)
    assert "training set's class list" in str(caught.value)


def test_provenance_goes_along() -> None:
    origin = Provenance(
        builder="embeddings",
        params={"measure": "cosine"},
        source=(Input("vectors", "glove.txt", "0" * 64),),
        resolution={name: {"how": "name", "words": [name]} for name in NAMES},
        normalisation=({"step": "clip"},),
    )
    matrix = SimilarityMatrix(random_values(6), NAMES, origin).lower_bound(0.1).top_k(2).select(["ox", "rose"])
    assert matrix.provenance == dataclasses.replace(
        origin,
        resolution={name: {"how": "name", "words": [name]} for name in ("rose", "ox")},
        normalisation=({"step": "clip"}, {"step": "lower_bound", "bound": 0.1}, {"step": "top_k", "count": 2}),
    )


@form_by_form
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy])
def test_a_copy_is_a_sound_matrix(form: str, copied: Callable[[SimilarityMatrix], SimilarityMatrix]) -> None:
    matrix = random_matrix(form).lower_bound(0.2)
    twin = copied(matrix)
    assert twin.form == form
    assert pickle.dumps(twin) == pickle.dumps(copied(twin))
    np.testing.assert_array_equal(twin.to_dense(), matrix.to_dense())
    assert (twin.classes, twin.provenance) == (matrix.classes, matrix.provenance)
    assert not (twin.values.data if form == "sparse" else twin.values).flags.writeable


# In a process without the tests' check of argument types, which would refuse these first.
ODD_CLASSES = """
import numpy as np
import simmatrix

matrix = simmatrix.SimilarityMatrix(np.eye(2), ("rose", "tulip"))
for way in (matrix.reorder, matrix.select):
    for names in ([("rose", "Rosa"), ("tulip",)], ["rose", 3], "rose"):
        try:
            way(names)
        except simmatrix.ClassOrderError as error:
            print(error)
"""


def test_classes_that_are_no_names() -> None:
    result = subprocess.run([sys.executable, "-c", ODD_CLASSES], capture_output=True, text=True, check=True)
    expected = (
        r"class 0 .* is \('rose', 'Rosa'\), of type tuple; .* its wnids",
        "class 1 .* is 3, of type int; give the classes by name, as text",
        "the classes are one text, 'rose'; give a list",
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 6
    assert all(re.match(pattern, line) for pattern, line in zip(expected * 2, lines, strict=True))


def test_a_near_name_is_suggested_for_another_class() -> None:
    with pytest.raises(ClassOrderError, match=r"'Tulip' \(did you mean tulip\?\)"):
        random_matrix().reorder(["Tulip" if name == "tulip" else name for name in NAMES])


def test_a_read_only_view_of_what_others_can_write_is_copied() -> None:
    base = np.eye(2, dtype=np.float32)
    view = base.view()
    view.flags.writeable = False
    matrix = SimilarityMatrix(view, ("a", "b"))
    base[0, 1] = 5
    assert matrix["a", "b"] == 0


def test_the_diagonals_of_a_toeplitz_matrix_are_checked() -> None:
    sound = np.array([0.25, 0.5, 1, 0.5, 0.25])
    for place, value, message in (
        (0, -0.5, r"not in \[0, 1\]: oak, rose: -0.5; normalise"),
        (4, 1.5, r"not in \[0, 1\]: rose, oak: 1.5; normalise"),
        (3, np.nan, r"not in \[0, 1\]: rose, tulip: nan; normalise"),
        (2, 0.5, "similarity to itself is not 1: rose, tulip, oak; set"),
    ):
        diagonals = sound.copy()
        diagonals[place] = value
        with pytest.raises(MatrixError, match=message):
            SimilarityMatrix(toeplitz_view(diagonals), NAMES[:3])
    with pytest.raises(MatrixError, match=r": oak, rose: 9.0; tulip, rose: 9.0; .*; rose, oak: 9.0; nor"):
        SimilarityMatrix(toeplitz_view(np.full(5, 9.0)), NAMES[:3])
    with pytest.raises(MatrixError, match="2 classes were named for 3 rows"):
        SimilarityMatrix(toeplitz_view(sound), NAMES[:2])
    with pytest.raises(MatrixError, match="rose, tulip: inf"):
        SimilarityMatrix(toeplitz_view(np.array([0, 1, 1e300])), NAMES[:2])


def test_many_wrong_values_are_counted_and_the_first_named() -> None:
    values = random_values(6)
    values[2:4, :4] = 2
    with pytest.raises(MatrixError, match=r": oak, rose: 2.0; .*; lorry, rose: 2.0 and 3 more; normalise"):
        SimilarityMatrix(values, NAMES)


def test_a_toeplitz_matrix_is_apart_from_the_array_it_was_made_of() -> None:
    diagonals = np.array([0.25, 1, 0.25], np.float32)
    matrix = SimilarityMatrix(toeplitz_view(diagonals), NAMES[:2])
    diagonals[0] = 0.75
    assert matrix["tulip", "rose"] == 0.25
    with pytest.raises(ValueError, match="read-only"):
        matrix.values[0, 1] = 0
    dense = matrix.to_dense()
    assert dense.flags.c_contiguous
    assert not dense.flags.writeable
    assert dense.base is None


def test_neighbours_in_a_toeplitz_matrix() -> None:
    matrix = SimilarityMatrix(toeplitz_view(np.array([0, 0.5, 0.25, 1, 0.25, 0.125, 0.75])), NAMES[:4])
    assert matrix.neighbours("oak") == (("rose", 0.5), ("tulip", 0.25), ("lorry", 0.25))
    assert matrix.neighbours("rose", 2) == (("lorry", 0.75), ("tulip", 0.25))


@settings(deadline=None)
@given(st.integers(2, 9), st.data())
def test_neighbours_against_sorting(size: int, data: st.DataObject) -> None:
    # Few different values: ties everywhere.
    diagonals = data.draw(arrays(np.float64, 2 * size - 1, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
    diagonals[size - 1] = 1
    view = toeplitz_view(diagonals)
    names = tuple(f"c{index}" for index in range(size))
    place, count = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size + 1))
    ranked = sorted((-value, at) for at, value in enumerate(view[place].tolist()) if at != place and value > 0)
    expected = tuple((names[at], -negative) for negative, at in ranked[:count])
    for values in (view, view.copy(), csr_array(view)):
        assert SimilarityMatrix(values, names).neighbours(names[place], count) == expected


@pytest.mark.slow
def test_a_large_toeplitz_matrix_is_little_work() -> None:
    size = 100_000  # 40 GB if it were dense
    diagonals = 0.5 ** np.abs(np.arange(1.0 - size, size))
    names = tuple(f"c{index}" for index in range(size))
    started = time.process_time()
    matrix = SimilarityMatrix(toeplitz_view(diagonals), names)
    bounded = matrix.lower_bound(0.25)
    part = bounded.select(names[10:50_010])
    influences = matrix.influence, bounded.influence, part.influence
    pickled = pickle.dumps(matrix)
    kept = matrix.top_k(32)
    for name in names[::500]:
        matrix.neighbours(name)
    assert time.process_time() - started < 5
    # The sum of 0.5^k over both sides, less what the ends lack; bounded, 1/3 and 0 are left.
    assert influences == pytest.approx((2 - 4 / size, 2 * (1 / 3) * (1 - 1 / size), 2 / 3 * (1 - 2 / size)), rel=1e-7)
    assert len(pickled) < 8 * size + sum(map(len, names)) + 5 * size
    # A row at an end has its 32 on one side; what is below float32's least is none.
    assert kept.values.nnz == 33 * size
    assert [other for other, _ in kept.neighbours("c0", 32)] == list(names[1:33])
    assert (matrix.form, bounded.form, part.form) == ("toeplitz",) * 3


EVIDENCE = np.array([[0, 3, 0], [3, 1, 2], [0, 2, 0]])


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8])
@form_by_form
def test_evidence_is_kept_through_all_that_keeps_pairs(form: str, dtype: type) -> None:
    plain = random_matrix(form, 3)
    evidence = EVIDENCE.astype(dtype)
    matrix = SimilarityMatrix(plain.values, plain.classes, evidence=evidence)
    evidence[:] = 9
    for kept in (matrix, matrix.lower_bound(0.1), matrix.top_k(1), copy.deepcopy(matrix), matrix.reorder(NAMES[:3])):
        assert kept.evidence is not None
        assert kept.evidence.dtype == np.int32
        np.testing.assert_array_equal(kept.evidence, EVIDENCE)
        with pytest.raises(ValueError, match="read-only"):
            kept.evidence[0] = 1
    np.testing.assert_array_equal(matrix.reorder(("oak", "rose", "tulip")).evidence, EVIDENCE[[2, 0, 1]][:, [2, 0, 1]])
    np.testing.assert_array_equal(matrix.select(("oak", "tulip")).evidence, [[0, 2], [2, 1]])
    assert plain.evidence is None
    assert plain.select(("oak", "tulip")).evidence is None


def test_read_only_evidence_is_taken_as_it_is() -> None:
    evidence = EVIDENCE.astype(np.int32)
    evidence.flags.writeable = False
    assert SimilarityMatrix(np.eye(3), NAMES[:3], evidence=evidence).evidence is evidence


# In a process without the tests' check of argument types, which would refuse some of these first.
ODD_EVIDENCE = """
import numpy as np
import simmatrix

sound = np.array([[0, 3, 0], [3, 1, 2], [0, 2, 0]])
lopsided, negative, huge = sound.copy(), sound.copy(), sound.astype(np.uint64)
lopsided[0, 2] = 5
negative[1, 2] = negative[2, 1] = -1
huge[0, 1] = huge[1, 0] = 2**31
for evidence in (sound[:2], sound[:2, :2], sound[0], sound + 0.5, sound > 0, lopsided, negative, huge):
    try:
        simmatrix.SimilarityMatrix(np.eye(3), ("rose", "tulip", "oak"), evidence=evidence)
    except simmatrix.MatrixError as error:
        print(error)
"""


def test_what_is_no_evidence_is_refused() -> None:
    result = subprocess.run([sys.executable, "-c", ODD_EVIDENCE], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [
        "evidence of shape (2, 3) does not fit 3 classes; give a count a pair",
        "evidence of shape (2, 2) does not fit 3 classes; give a count a pair",
        "evidence of shape (3,) does not fit 3 classes; give a count a pair",
        "evidence of type float64 is no count of judgements; give whole numbers",
        "evidence of type bool is no count of judgements; give whole numbers",
        "5 judgements of rose, oak but 0 of oak, rose; a pair has one count, in both places",
        "counts of judgements below 0: tulip, oak: -1; oak, tulip: -1; mend the source",
        "counts of judgements above 2147483647: rose, tulip: 2147483648; tulip, rose: 2147483648; mend the source",
    ]


# --- influence --------------------------------------------------------------------------------------------------------

# Multiples of 1/64: all sums of them are exact, in whatever order. Others are not lost beside the diagonal in a sum.
DYADIC = st.integers(0, 48).map(lambda step: step / 64)
SIMILARITIES = st.one_of(DYADIC, st.just(1.0), st.floats(2.0**-20, 0.75, width=32))


@st.composite
def similarities(draw: st.DrawFn, form: str, elements: st.SearchStrategy[float] = SIMILARITIES) -> np.ndarray:
    """Return values that a matrix of this form can hold."""
    size = draw(st.integers(2, 7))
    if form == "toeplitz":
        values = toeplitz_view(draw(arrays(np.float32, 2 * size - 1, elements=elements))).copy()
    else:
        values = draw(arrays(np.float32, (size, size), elements=elements))
    np.fill_diagonal(values, 1)
    return values


def named(form: str, values: np.ndarray) -> SimilarityMatrix:
    return in_form(form, values, tuple(f"c{index}" for index in range(len(values))))


def off_diagonal(values: np.ndarray) -> list[float]:
    return values[~np.eye(len(values), dtype=bool)].tolist()


@form_by_form
@settings(deadline=None)
@given(st.data(), st.floats(0.001, 0.999))
def test_the_influence_is_the_one_asked_for(form: str, data: st.DataObject, share: float) -> None:
    values = data.draw(similarities(form))
    others = off_diagonal(values)
    least, own = others.count(1) / len(values), math.fsum(others) / len(values)
    asked = least + share * (own - least)
    matrix = named(form, values)
    result = matrix.with_influence(asked)
    after = off_diagonal(result.to_dense())
    # Each value is rounded to float32. In the bound there is an error of 2^-53 for each of up to 42 additions and five
    # more, of numbers up to n, over n - m; by (1 - s) / (1 - l) for each of the n, and with 1 - l above 1/4, the sum of
    # all changes by no more than 4 n times that. Twice 2^-24 where the matrix has that influence already.
    tolerance = asked * 2.0**-23 + 4 * len(others) ** 2 * 47 * 2.0**-53
    assert math.fsum(after) / len(values) == pytest.approx(asked, rel=0, abs=tolerance)
    assert result.influence == pytest.approx(asked, rel=0, abs=tolerance)
    assert (result.form, result.classes) == (form, matrix.classes)
    # Who is more similar stays so, and what is 1 stays 1.
    order = np.argsort(others, kind="stable")
    assert (np.diff(np.array(after)[order]) >= 0).all()
    assert [value == 1 for value in after] == [value == 1 for value in others]
    if result is not matrix:
        (step,) = result.provenance.normalisation
        assert step == {"step": "lower_bound", "bound": step["bound"]}
        np.testing.assert_array_equal(result.to_dense(), matrix.lower_bound(step["bound"]).to_dense())


@settings(deadline=None)
@given(similarities("toeplitz", DYADIC), st.floats(0.1, 0.9), st.randoms())
def test_neither_the_form_nor_the_order_of_the_classes_matters(
    values: np.ndarray, share: float, random: Random
) -> None:
    asked = share * math.fsum(off_diagonal(values)) / len(values)
    dense, *others = (named(form, values).with_influence(asked) for form in FORMS)
    for other in others:
        assert other.provenance == dense.provenance
        np.testing.assert_array_equal(other.to_dense(), dense.to_dense())
    names = random.sample(dense.classes, len(values))
    turned = named("dense", values).select(names).with_influence(asked)
    np.testing.assert_array_equal(turned.to_dense(), dense.select(names).to_dense())


@form_by_form
@settings(deadline=None)
@given(st.data(), st.floats(0.0, 0.5), st.floats(0.1, 0.9))
def test_a_bound_taken_before_changes_nothing(form: str, data: st.DataObject, bound: float, share: float) -> None:
    matrix = named(form, data.draw(similarities(form, st.one_of(DYADIC, st.floats(0.0, 0.75, width=32)))))
    before = matrix.lower_bound(bound)
    asked = share * before.influence
    # The values bounded before were rounded, by up to 2^-25; stretched anew by 1 / (1 - l), at most 4, and a bound that
    # is wrong by the mean of their errors, over at least 1 - s, shifts them as much again. Then each is rounded itself.
    tolerance = 4 * 2.0**-25 + 4 * 4 * 2.0**-25 + 2 * 2.0**-25
    np.testing.assert_allclose(
        before.with_influence(asked).to_dense(), matrix.with_influence(asked).to_dense(), rtol=0, atol=tolerance
    )


@form_by_form
def test_the_influence_that_a_matrix_has_changes_nothing(form: str) -> None:
    matrix = random_matrix(form)
    assert matrix.with_influence(matrix.influence) is matrix
    bounded = matrix.with_influence(0.3)
    assert bounded.with_influence(0.3) is bounded
    identity = in_form(form, np.eye(6))
    assert identity.with_influence(0.0) is identity


@form_by_form
def test_no_influence_is_the_identity(form: str) -> None:
    values = values_for(form)
    bounded = in_form(form, values).with_influence(0.0)
    np.testing.assert_array_equal(bounded.to_dense(), np.eye(6))
    assert bounded.provenance.normalisation[-1]["bound"] == values[values < 1].max()


@form_by_form
def test_the_least_influence_leaves_the_pairs_that_are_the_same(form: str) -> None:
    """The numbers are not exact: one of three classes in one of three rows is a third."""
    values = np.array([[1, 0.5, 1], [0.25, 1, 0.5], [0.75, 0.25, 1]], np.float32)
    matrix = named(form, values)
    bounded = matrix.with_influence(1 / 3)
    np.testing.assert_array_equal(bounded.to_dense(), [[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    assert matrix.with_influence(1 / 3 - 2.0**-54).influence == bounded.influence


@form_by_form
def test_more_influence_than_there_is_is_refused(form: str) -> None:
    matrix = in_form(form, random_values(6) if form != "toeplitz" else values_for(form))
    message = rf"of 3\.5 is more than the {matrix.influence:.9g} of the matrix, .* only lessens it; ask for less"
    with pytest.raises(MatrixError, match=message):
        matrix.with_influence(3.5)
    # The number that it names is one that can be asked for.
    assert matrix.with_influence(float(f"{matrix.influence:.9g}")) is matrix
    with pytest.raises(MatrixError, match="more than the 0 of the matrix"):
        in_form(form, np.eye(6)).with_influence(0.1)


@form_by_form
def test_less_influence_than_the_same_classes_have_is_refused(form: str) -> None:
    values = np.eye(6)
    values[2:, :-2] += np.eye(4)
    values += 0.25 * (values == 0)
    matrix = in_form(form, values)
    message = (
        r"of 0\.5 is less than 0\.666666667, which pairs of similarity 1 have under any lower bound: "
        "rose/oak, tulip/lorry, oak/van, lorry/ox; ask for more, or tell"
    )
    with pytest.raises(MatrixError, match=message):
        matrix.with_influence(0.5)
    assert matrix.with_influence(0.666666667).influence == pytest.approx(4 / 6, rel=2.0**-53)
    with pytest.raises(MatrixError, match=r"rose/tulip, rose/oak, rose/lorry, rose/van, rose/ox …; ask for more"):
        in_form(form, np.ones((6, 6))).with_influence(0.0)


@pytest.mark.parametrize("influence", [-1.0, math.nan, math.inf])
def test_what_is_no_influence_is_refused(influence: float) -> None:
    with pytest.raises(ParameterError, match=f"an influence of {influence} is not a finite number of at least 0"):
        random_matrix().with_influence(influence)


def test_evidence_and_origin_are_kept_under_the_bound_that_is_found() -> None:
    origin = Provenance("ratings", {"scale": [0, 1]}, normalisation=({"step": "clip"},))
    matrix = SimilarityMatrix(random_values(3), NAMES[:3], origin, EVIDENCE).with_influence(0.01)
    np.testing.assert_array_equal(matrix.evidence, EVIDENCE)
    assert (matrix.provenance.builder, matrix.provenance.params) == (origin.builder, origin.params)
    assert [step["step"] for step in matrix.provenance.normalisation] == ["clip", "lower_bound"]


def test_the_influence_of_a_large_toeplitz_matrix_takes_its_diagonals_only() -> None:
    size = 100_000  # 40 GB if it were dense
    matrix = SimilarityMatrix(
        toeplitz_view(0.5 ** np.abs(np.arange(1.0 - size, size))), tuple(f"c{index}" for index in range(size))
    )
    bounded = []
    # The diagonals in some float64 copies; a row would be half of that, and there are 100,000 of these.
    assert peak_memory(lambda: bounded.append(matrix.with_influence(0.5))) < 100 * 2 * size
    # Of 2 (C - 1) neighbours at 0.5: the mean is 0.5 where (0.5 - l) / (1 - l) is 0.25 C / (C - 1).
    height = 0.25 * size / (size - 1)
    assert bounded[0].form == "toeplitz"
    assert bounded[0].provenance.normalisation[-1]["bound"] == pytest.approx((0.5 - height) / (1 - height), rel=1e-12)


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_the_range_of_influence_is_what_the_largest_bound_and_none_leave(form: str) -> None:
    diagonals = np.array([0.0, 1.0, 0.25, 1.0, 0.5, 0.0, 0.75], dtype=np.float32)  # of four classes
    values = np.array([[diagonals[3 + j - i] for j in range(4)] for i in range(4)])
    given = {"dense": values, "sparse": csr_array(values), "toeplitz": toeplitz_view(diagonals)}[form]
    matrix = SimilarityMatrix(given, tuple("abcd"))
    assert matrix.form == form
    # By the diagonals' lengths, 1, 2, 3 below the middle and 3, 2, 1 above it: two entries are 1 whatever the bound.
    whole = (0.0 * 1 + 1.0 * 2 + 0.25 * 3 + 0.5 * 3 + 0.0 * 2 + 0.75 * 1) / 4
    assert matrix.influence_range == (2 / 4, whole)
    assert matrix.lower_bound(0.875).influence == 2 / 4
