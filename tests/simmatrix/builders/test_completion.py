"""Completion against planted matrices and its promises."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders import completion
from simmatrix.builders.completion import check_completion, complete, completed
from simmatrix.choices import COMPLETIONS
from simmatrix.errors import ParameterError, SourceError

PATH = Path("ratings.csv")


def planted(count: int, rank: int, share: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines of points in `rank` dimensions, and a share of them with noise, NaN elsewhere."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, rank))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    truth = points @ points.T
    seen = np.triu(random.random((count, count)) < share, 1)
    noisy = np.where(seen, truth + noise * random.normal(size=truth.shape), 0)
    gaps = np.where(seen | seen.T, noisy + noisy.T, np.nan)
    np.fill_diagonal(gaps, 1.0)
    return truth, gaps


def error(found: np.ndarray, truth: np.ndarray, gaps: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - truth)[np.isnan(gaps)] ** 2)))


def test_mean_is_that_of_the_known_pairs_of_distinct_classes() -> None:
    nan = np.nan
    gaps = np.array([[9, 1, nan, 4], [1, 9, nan, nan], [nan, nan, 9, 2.5], [4, nan, 2.5, 9]])
    assert complete(gaps, "mean").tolist() == [[9, 1, 2.5, 4], [1, 9, 2.5, 2.5], [2.5, 2.5, 9, 2.5], [4, 2.5, 2.5, 9]]


@pytest.mark.parametrize(("rank", "noise", "better"), [(2, 0.0, 8), (3, 0.0, 8), (3, 0.2, 2.5), (6, 0.1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_low_rank_finds_a_planted_matrix(rank: int, noise: float, better: float, seed: int) -> None:
    truth, gaps = planted(60, rank, 0.4, noise, seed)
    assert error(complete(gaps, "low-rank"), truth, gaps) * better < error(complete(gaps, "mean"), truth, gaps)


@pytest.mark.parametrize("seed", range(5))
def test_low_rank_is_about_the_mean_where_there_is_nothing_to_find(seed: int) -> None:
    random = np.random.default_rng(seed)
    noise = np.triu(random.normal(size=(40, 40)), 1)
    truth = noise + noise.T + np.eye(40)
    seen = np.triu(random.random((40, 40)) < 0.3)
    gaps = np.where(seen | seen.T | np.eye(40, dtype=bool), truth, np.nan)
    assert error(complete(gaps, "low-rank"), truth, gaps) < 1.05 * error(complete(gaps, "mean"), truth, gaps)


def test_the_diagonal_teaches_low_rank_nothing() -> None:
    _truth, gaps = planted(30, 2, 0.5, 0.0)
    other = gaps.copy()
    np.fill_diagonal(other, 100.0)
    off = ~np.eye(30, dtype=bool)
    assert (complete(gaps, "low-rank")[off] == complete(other, "low-rank")[off]).all()


@pytest.mark.slow
def test_low_rank_works_for_hundreds_of_classes() -> None:
    truth, gaps = planted(400, 8, 0.3, 0.1)
    found = complete(gaps, "low-rank")
    assert error(found, truth, gaps) * 5 < error(complete(gaps, "mean"), truth, gaps)


@pytest.mark.parametrize("method", COMPLETIONS)
@settings(deadline=None, max_examples=50)
@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_known_values_stay_and_others_lie_between_them(method: str, count: int, share: float, seed: int) -> None:
    _truth, gaps = planted(count, 2, share, 0.3, seed)
    gaps[0, 1] = gaps[1, 0] = 0.25
    before = gaps.copy()
    found = complete(gaps, method)
    assert np.array_equal(gaps, before, equal_nan=True)
    known = ~np.isnan(gaps)
    pairs = gaps[known & ~np.eye(count, dtype=bool)]
    assert (found[known] == gaps[known]).all()
    assert found[~known].size == 0 or pairs.min() <= found[~known].min() <= found[~known].max() <= pairs.max()
    assert (found == found.T).all()
    assert found.tobytes() == complete(gaps, method).tobytes()


@pytest.mark.parametrize("method", COMPLETIONS)
def test_a_shift_of_all_values_shifts_the_others(method: str) -> None:
    _truth, gaps = planted(30, 2, 0.4, 0.1)
    np.testing.assert_allclose(complete(gaps + 5, method), complete(gaps, method) + 5, atol=1e-6)


def test_low_rank_stays_within_what_is_known() -> None:
    # What is unknown is just what lies beyond.
    truth, _gaps = planted(40, 2, 1.0, 0.0)
    gaps = np.where(np.abs(truth) < 0.8, truth, np.nan)
    np.fill_diagonal(gaps, 1.0)
    found = complete(gaps, "low-rank")[np.isnan(gaps)]
    known = gaps[~np.isnan(gaps) & ~np.eye(40, dtype=bool)]
    assert (found.min(), found.max()) == (known.min(), known.max())


@pytest.mark.parametrize("method", COMPLETIONS)
def test_alike_pairs_give_alike_pairs(method: str) -> None:
    gaps = np.full((30, 30), 0.5)
    gaps[2:5, 7:9] = np.nan
    gaps[7:9, 2:5] = np.nan
    np.fill_diagonal(gaps, 1.0)
    assert set(complete(gaps, method).ravel().tolist()) == {0.5, 1.0}


@pytest.mark.parametrize("call", [check_completion, lambda method: complete(np.eye(2), method)])
def test_an_unknown_method_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ParameterError, match="complete must be 'mean' or 'low-rank', got 'median'"):
        call("median")


def test_no_method_is_fine_without_gaps() -> None:
    check_completion(None)
    assert completed(np.eye(2), None, "ab", PATH, "rating")[1] == {"completed": 0}


def test_gaps_without_a_method_are_counted_and_named() -> None:
    gaps = np.eye(4)
    gaps[0, 1:] = gaps[1:, 0] = np.nan
    with pytest.raises(SourceError) as caught:
        completed(gaps, None, "abcd", PATH, "rating")
    assert str(caught.value) == (
        "ratings.csv: has no rating for 3 of the 6 pairs of classes: 'a' and 'b', 'a' and 'c', 'a' and 'd'; "
        'add them, or have them completed (complete="mean" or complete="low-rank")'
    )
    gaps[2, 3] = gaps[3, 2] = np.nan
    with pytest.raises(SourceError, match=r"for 4 of the 6 .* 'a' and 'd' …; add"):
        completed(gaps, None, "abcd", PATH, "rating")
    assert completed(gaps, "mean", "abcd", PATH, "rating")[1] == {"completed": 4}


def test_the_eigenvalues_are_shrunk_by_the_penalty() -> None:
    # With nothing unknown off the diagonal and a zero diagonal known too, one step is the whole of it (formula 8 of
    # Mazumder, Hastie and Tibshirani): the eigenvalues of the matrix, each nearer to 0 by the penalty.
    truth, _gaps = planted(20, 20, 1.0, 0.0)
    eigenvalues, vectors = np.linalg.eigh(truth)
    shrunk = (vectors * np.sign(eigenvalues) * np.maximum(np.abs(eigenvalues) - 0.5, 0)) @ vectors.T
    start = completion._Fit(np.zeros_like(truth), np.random.default_rng(1).normal(size=truth.shape))
    fit = completion._soft_impute(truth, np.ones(truth.shape, dtype=bool), 0.5, start)
    assert fit.matrix == pytest.approx(shrunk, abs=1e-9)
