"""Toeplitz views, against SciPy's Toeplitz matrices, which are made entry by entry."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import toeplitz

from simmatrix import MatrixError
from simmatrix.toeplitz import diagonals_of, lengths, toeplitz_view

SIZES = st.integers(1, 9)


@given(SIZES.flatmap(lambda size: arrays(np.float64, 2 * size - 1, elements=st.floats(-1e6, 1e6))))
def test_a_view_is_scipys_matrix(diagonals: np.ndarray) -> None:
    middle = len(diagonals) // 2
    expected = toeplitz(diagonals[middle::-1], diagonals[middle:])
    view = toeplitz_view(diagonals)
    np.testing.assert_array_equal(view, expected)
    assert np.shares_memory(view, diagonals)
    if middle:
        np.testing.assert_array_equal(diagonals_of(view), diagonals)
        assert np.shares_memory(diagonals_of(view), diagonals)


@pytest.mark.parametrize("view", [lambda array: array, diagonals_of])
def test_a_view_is_read_only(view: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        view(toeplitz_view(np.arange(5.0)))[0] = 1


@pytest.mark.parametrize("count", [0, 2, 6])
def test_an_even_number_of_diagonals_is_refused(count: int) -> None:
    with pytest.raises(MatrixError, match=f"{count} diagonals make no square matrix; give 2 C - 1"):
        toeplitz_view(np.zeros(count))


@pytest.mark.parametrize(
    "part",
    [
        lambda view: view.T,
        lambda view: view[2:5, 2:5],
        lambda view: view[1:4, 3:6],
        lambda view: view[::2, ::2],
        lambda view: view[::-1, ::-1],
    ],
)
def test_square_parts_of_a_view_are_known_as_what_they_are(part: Callable[[np.ndarray], np.ndarray]) -> None:
    values = part(toeplitz_view(np.random.default_rng(0).random(13)))
    diagonals = diagonals_of(values)
    assert diagonals is not None
    np.testing.assert_array_equal(toeplitz_view(diagonals), values)


@pytest.mark.parametrize(
    "values",
    [
        np.eye(4),
        np.eye(4).T,
        np.eye(4)[::-1],
        np.eye(4)[:, ::-1],
        np.eye(8)[::2, ::2],
        np.broadcast_to(np.ones(1), (4, 4)),
        np.broadcast_to(np.arange(4.0), (4, 4)),
        np.lib.stride_tricks.sliding_window_view(np.arange(7.0), 4),
        toeplitz_view(np.arange(7.0))[:3],
        np.ones(5),
        np.ones((1, 1)),
        toeplitz_view(np.ones(1)),
        np.zeros((0, 0)),
        np.zeros((0, 0))[::-1],
    ],
)
def test_other_arrays_are_not_taken_for_a_view(values: np.ndarray) -> None:
    assert diagonals_of(values) is None


@given(SIZES)
def test_lengths_count_the_entries_of_each_diagonal(size: int) -> None:
    offsets = np.subtract.outer(np.arange(size), np.arange(size)).ravel().tolist()
    assert lengths(size).tolist() == [offsets.count(offset) for offset in range(size - 1, -size, -1)]


def test_a_view_of_a_million_classes_takes_no_memory() -> None:
    view = toeplitz_view(np.arange(1_999_999.0))
    assert view.shape == (1_000_000, 1_000_000)
    assert view[999_999, 0] == 0
    assert view[0, 999_999] == 1_999_998
