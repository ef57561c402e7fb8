"""Normalisation: each step against its formula, written out in loops or taken from SciPy."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import toeplitz
from scipy.sparse import csr_array

from simmatrix import toeplitz as toeplitz_module
from simmatrix.errors import MatrixError, ParameterError
from simmatrix.forms import raw_form
from simmatrix.normalise import affine, clip, lower_bound, median_bound
from simmatrix.normalise import normalise as normalised_form
from simmatrix.provenance import Step
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.matrices import peak_memory, random_values

BOUNDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
RAW = np.array([[1.0, -0.5, 0.25], [-0.5, 1.0, 0.75], [0.25, 0.75, 1.0]])


def normalise(raw: np.ndarray, **options: object) -> tuple[np.ndarray, tuple[Step, ...]]:
    """Return the values as an array, and the steps."""
    form, steps = normalised_form(raw, **options)
    return form.values, steps


def bounded(values: np.ndarray, bound: float) -> np.ndarray:
    return raw_form(values).mapped(partial(lower_bound, bound=bound)).values


def keep_top(values: np.ndarray, count: int) -> csr_array:
    return raw_form(values).top_k(count).values


def steps_of(raw: np.ndarray, **options: object) -> list[str]:
    return [step["step"] for step in normalise(raw, **options)[1]]


def raws(size: int = 4, bound: float = 1e6) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (size, size), elements=st.floats(-bound, bound))


@pytest.mark.parametrize("bound", BOUNDS)
def test_lower_bound_is_the_papers_formula(bound: float) -> None:
    raw = np.cos(np.linspace(0, 3, 40)[:, None] - np.linspace(0, 3, 40))
    expected = np.array([[max(0.0, (max(s, 0.0) - bound) / (1 - bound)) for s in row] for row in raw.tolist()])
    values, steps = normalise(raw.copy(), bound=bound)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)
    assert ({"step": "lower_bound", "bound": bound} in steps) == (bound > 0)


@given(st.floats(-1, 1), st.floats(0, 0.9), st.floats(0, 0.9))
def test_bounds_compose(value: float, first: float, second: float) -> None:
    twice = lower_bound(lower_bound(np.array([value]), first), second)
    assert twice[0] == pytest.approx(max(0.0, (value - first - second * (1 - first)) / ((1 - first) * (1 - second))))
    assert lower_bound(np.array([value]), first + second * (1 - first))[0] == pytest.approx(twice[0], abs=1e-12)


def test_bounded_takes_a_new_array_of_float32() -> None:
    values = random_values(300)
    before = values.copy()
    result = bounded(values, 0.3)
    np.testing.assert_allclose(result, np.maximum((before.astype(np.float64) - 0.3) / 0.7, 0), rtol=0, atol=1e-7)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(values, before)


def test_clip_and_affine() -> None:
    values = np.array([-2.0, 0.0, 0.3, 1.0, 5.0])
    assert clip(values).tolist() == [0, 0, 0.3, 1, 1]
    assert affine(values, -2.0, 3.0).tolist() == pytest.approx([0, 0.4, 0.46, 0.6, 1])
    assert values.tolist() == [-2, 0, 0.3, 1, 5]


@pytest.mark.parametrize(("function", "parameters"), [(clip, ()), (affine, (-2.0, 3.0)), (lower_bound, (0.3,))])
def test_results_can_be_put_where_the_values_were(
    function: Callable[..., np.ndarray], parameters: tuple[float, ...]
) -> None:
    values = np.array([0.0, 0.3, 0.7, 1.0])
    expected = function(values.copy(), *parameters)
    assert function(values, *parameters, out=values) is values
    np.testing.assert_array_equal(values, expected)


def test_a_range_is_mapped_linearly() -> None:
    values, steps = normalise(np.array([[10.0, 4.0], [4.0, 10.0]]), scale=(0.0, 10.0))
    assert values[0, 1] == pytest.approx(0.4)
    assert steps[0] == {"step": "affine", "low": 0.0, "high": 10.0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_symmetrises_only_what_is_not_symmetric(dtype: type) -> None:
    random = np.random.default_rng(1)
    raw = random.random((1500, 1500)).astype(dtype)  # more rows than one block holds
    expected = (raw.astype(np.float64) + raw.T) / 2
    np.fill_diagonal(expected, 1)
    values, steps = normalise(raw)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(values, values.T)
    assert steps[0] == {"step": "symmetrise"}
    assert steps_of(values) == ["clip", "unit_diagonal"]


@pytest.mark.parametrize(("scale", "name"), [(None, "clip"), ((-1.0, 1.0), "affine")])
def test_steps_are_recorded_in_their_order(scale: tuple[float, float] | None, name: str) -> None:
    raw = RAW.copy()
    raw[0, 1] = 0.5
    assert steps_of(raw, scale=scale, bound=0.1) == ["symmetrise", name, "lower_bound", "unit_diagonal"]


@settings(deadline=None)
@given(raws(), st.sampled_from([None, (-3.0, 8.0)]), st.floats(0, 0.99))
def test_every_result_is_a_similarity(raw: np.ndarray, scale: tuple[float, float] | None, bound: float) -> None:
    values, _ = normalise(raw, scale=scale, bound=bound)
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1
    assert (values.diagonal() == 1).all()
    np.testing.assert_array_equal(values, values.T)
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": -0.1}, "lower bound of -0.1 is outside"),
        ({"bound": 1.0}, "lower bound of 1.0 is outside"),
        ({"bound": float("nan")}, "lower bound of nan is outside"),
        ({"bound": float("inf")}, "lower bound of inf is outside"),
        ({"scale": (1.0, 1.0)}, "range .* is empty"),
        ({"scale": (2.0, 1.0)}, "lowest value first"),
        ({"scale": (float("nan"), 1.0)}, "range .* is empty"),
        ({"scale": (0.0, float("inf"))}, "range .* is empty"),
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        normalise(RAW.copy(), **options)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_are_refused(wrong: float) -> None:
    raw = RAW.copy()
    raw[2, 1] = wrong
    with pytest.raises(MatrixError, match="NaN or infinite"):
        normalise(raw)


def test_large_finite_values_are_no_infinity() -> None:
    raw = np.full((2, 2), 1.5e308)
    assert normalise(raw)[0].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_float32_is_overwritten(*, is_symmetric: bool) -> None:
    raw = random_values(2000)
    raw[0, 1] += 0 if is_symmetric else 0.5
    result: list[np.ndarray] = []
    peak = peak_memory(lambda: result.append(normalise(raw, bound=0.5)[0]))
    assert np.shares_memory(result[0], raw)
    assert peak < 0.3 * raw.nbytes


@settings(deadline=None)
@given(
    st.integers(2, 6).flatmap(lambda size: arrays(np.float64, 2 * size - 1, elements=st.floats(-10, 10))),
    st.booleans(),
    st.sampled_from([None, (-3.0, 8.0)]),
    st.sampled_from([0.0, 0.4]),
)
def test_a_toeplitz_matrix_is_normalised_like_the_dense_one(
    diagonals: np.ndarray, is_symmetric: bool, scale: tuple[float, float] | None, bound: float
) -> None:
    if is_symmetric:
        diagonals = diagonals + diagonals[::-1]
    middle = len(diagonals) // 2
    dense = toeplitz(diagonals[middle::-1], diagonals[middle:])
    given_away = diagonals.copy()
    expected, steps = normalise(dense, scale=scale, bound=bound)
    form, toeplitz_steps = normalised_form(toeplitz_view(given_away), scale=scale, bound=bound)
    values = form.values
    np.testing.assert_array_equal(values, expected)
    assert toeplitz_steps == steps
    assert form.name == "toeplitz"
    assert values.dtype == np.float32
    assert not values.flags.writeable
    np.testing.assert_array_equal(given_away, diagonals)


def test_a_toeplitz_matrix_of_a_million_classes_is_normalised_by_its_diagonals() -> None:
    raw = toeplitz_view(-np.abs(np.arange(-999_999.0, 1_000_000)))
    assert peak_memory(lambda: normalise(raw, bound=0.5)) < 50_000_000
    values, _ = normalise(raw, scale=(-1_000_000.0, 0.0))
    assert values[0, 250_000] == values[250_000, 0] == np.float32(0.75)
    assert bounded(values, 0.5)[0, 250_000] == np.float32(0.5)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_diagonals_that_are_no_numbers_are_refused(place: int) -> None:
    diagonals = np.array([0.1, 0.2, 1, 0.2, 0.1])
    diagonals[place] = np.nan
    with pytest.raises(MatrixError, match="NaN or infinite"):
        normalise(toeplitz_view(diagonals))


def kept_slowly(values: np.ndarray, count: int) -> np.ndarray:
    """Keep the best others of each row, the first of equal ones, one row at a time."""
    kept = np.zeros_like(values)
    for row, entries in enumerate(values.tolist()):
        others = sorted((-value, column) for column, value in enumerate(entries) if column != row)
        for negative, column in others[:count]:
            kept[row, column] = -negative
        kept[row, row] = entries[row]
    return kept


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 9), st.data())
def test_keep_top_against_sorting(size: int, data: st.DataObject) -> None:
    # Few different values: ties everywhere.
    elements = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    values = data.draw(arrays(np.float32, (size, size), elements=elements))
    np.fill_diagonal(values, 1)
    count = data.draw(st.integers(1, size - 1))
    kept = keep_top(values, count)
    np.testing.assert_array_equal(kept.toarray(), kept_slowly(values, count))
    assert kept.has_canonical_format
    assert (kept.data > 0).all()


@settings(deadline=None, max_examples=300)
@given(st.integers(2, 9), st.data())
def test_keep_top_of_diagonals_is_that_of_the_entries(size: int, data: st.DataObject) -> None:
    elements = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0])
    diagonals = data.draw(arrays(np.float32, 2 * size - 1, elements=elements))
    diagonals[size - 1] = 1
    count = data.draw(st.integers(1, size - 1))
    view = toeplitz_view(diagonals)
    ours, expected = keep_top(view, count), keep_top(view.copy(), count)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(ours, part), getattr(expected, part))
        assert getattr(ours, part).dtype == getattr(expected, part).dtype


# Near classes are the most similar; far ones are; and no order at all.
@pytest.mark.parametrize(
    "diagonals",
    [
        0.999 ** np.abs(np.arange(-1499.0, 1500)),
        np.abs(np.arange(-1499.0, 1500)) / 1500,
        np.random.default_rng(0).random(2999).round(2),
    ],
)
@pytest.mark.parametrize("merged", [toeplitz_module._MERGED, 100])
@pytest.mark.parametrize("count", [1, 40, 1499])
def test_keep_top_of_many_diagonals(
    diagonals: np.ndarray, merged: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toeplitz_module, "_MERGED", merged)
    diagonals[1499] = 1
    view = toeplitz_view(diagonals.astype(np.float32))
    ours, expected = keep_top(view, count), keep_top(view.copy(), count)
    np.testing.assert_array_equal(ours.indptr, expected.indptr)
    np.testing.assert_array_equal(ours.indices, expected.indices)
    np.testing.assert_array_equal(ours.data, expected.data)


def test_keep_top_over_several_blocks() -> None:
    values = random_values(1500)
    np.testing.assert_array_equal(keep_top(values, 7).toarray(), kept_slowly(values, 7))


def test_keep_top_of_5000_classes_takes_seconds() -> None:
    random = np.random.default_rng(0)
    values = random.random((5000, 5000), dtype=np.float32)
    started = time.process_time()
    assert keep_top(values, 32).nnz <= 33 * 5000
    assert time.process_time() - started < 4


def middle(values: np.ndarray) -> float:
    """Return the lower median of the pairs by sorting them."""
    pairs = np.sort(np.maximum(values[np.triu_indices(len(values), 1)], 0))
    return float(pairs[(len(pairs) - 1) // 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_default_bound_is_the_median_of_all_pairs(dtype: type[np.floating]) -> None:
    for seed, size in enumerate([3, 4, 5, 6, 7, 30, 101]):
        random = np.random.default_rng(seed)
        drawn = random.normal(0.2, 0.3, size=(size, size))
        for raw in (drawn, np.round(drawn, 1), -np.abs(drawn), drawn * 1e-6, np.where(drawn > 0.2, drawn, -0.0)):
            values = np.clip((raw + raw.T) / 2, -1, 0.99).astype(dtype)
            np.fill_diagonal(values, 1)
            bound = middle(values)
            above = values - 2 * np.eye(size, dtype=dtype) > bound
            found, origin = median_bound(values.copy())
            if above.any(axis=1).sum() >= size - size // 2:
                assert (found, origin) == (bound, "median")
            matrix, steps = normalise(values.copy(), bound=None)
            expected, _ = normalise(values.copy(), bound=found)
            np.testing.assert_array_equal(matrix, expected)
            recorded = [step for step in steps if step["step"] == "lower_bound"]
            assert recorded == ([{"step": "lower_bound", "bound": found, "from": origin}] if found else [])


def blocks_of(sizes: list[int], within: list[float], across: float) -> np.ndarray:
    values = np.full((sum(sizes), sum(sizes)), across)
    ends = np.cumsum(sizes).tolist()
    for end, size, similarity in zip(ends, sizes, within, strict=True):
        values[end - size : end, end - size : end] = similarity
    np.fill_diagonal(values, 1)
    return values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Two superclasses as large: most pairs are strangers.
        (blocks_of([5, 5], [0.5, 0.5], 0.25), (0.25, "median")),
        # One superclass has nearly all classes, and most pairs: what these share must not be taken off.
        (blocks_of([9, 1], [0.5, 0.5], 0.25), (0.25, "below the median")),
        # So it is if a few pairs are more alike.
        (blocks_of([9, 2], [0.5, 0.75], 0.25), (0.25, "below the median")),
        # All are strangers.
        (blocks_of([6], [0.5], 0.25), (0.5, "median")),
        # Most pairs are the same; no bound takes that off.
        (blocks_of([5, 1], [1.0, 1.0], 0.25), (0.25, "below the median")),
        (blocks_of([6], [1.0], 0.25), (0.0, "median")),
        (np.array([[1, 0.75], [0.75, 1]]), (0.75, "median")),
    ],
)
def test_the_default_bound_leaves_most_classes_a_neighbour_if_it_can(
    values: np.ndarray, expected: tuple[float, str]
) -> None:
    assert median_bound(values) == expected


def test_the_default_bound_of_a_large_matrix() -> None:
    # More classes than are looked at first.
    drawn = random_values(3000)
    drawn = np.maximum(drawn, drawn.T)
    # Every third class is like each other third, and only they are looked at first.
    misleading = drawn * 0.5
    misleading[::3, ::3] = 0.75
    for values in (drawn, np.round(drawn, 1), misleading, -drawn):
        found: list[tuple[float, str]] = []
        peak = peak_memory(lambda values=values, found=found: found.append(median_bound(values)))
        assert found == [(middle(values), "median")]
        # All pairs are half of the matrix; only where the sample misleads are they put in order.
        assert peak < values.nbytes * (1.2 if values is misleading else 0.2)
