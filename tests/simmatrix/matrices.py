"""Matrices for the tests, and a slow, obvious reading of them."""

import tracemalloc
from collections.abc import Callable

import numpy as np

from simmatrix import SimilarityMatrix
from simmatrix.toeplitz import toeplitz_view

NAMES = ("rose", "tulip", "oak", "lorry", "van", "ox")


def random_values(size: int, seed: int = 0, share: float = 0.6) -> np.ndarray:
    """Return a symmetric float32 matrix in [0, 1] with unit diagonal; about `share` of the pairs are above 0."""
    random = np.random.default_rng(seed)
    values = random.random((size, size)) * (random.random((size, size)) < share)
    values = np.triu(values, 1)
    values += values.T + np.eye(size)
    return values.astype(np.float32)


def random_toeplitz(size: int, seed: int = 0, share: float = 0.6) -> np.ndarray:
    """Return a Toeplitz matrix as a plain float32 array, not symmetric; about `share` of its diagonals are above 0."""
    random = np.random.default_rng(seed)
    row, column = random.random((2, size)) * (random.random((2, size)) < share)
    values = np.array([[row[j - i] if j > i else column[i - j] for j in range(size)] for i in range(size)])
    np.fill_diagonal(values, 1)
    return values.astype(np.float32)


def values_for(form: str, size: int = 6, seed: int = 0, share: float = 0.6) -> np.ndarray:
    """Return random values that a matrix of this form can hold, as a plain array."""
    return (random_toeplitz if form == "toeplitz" else random_values)(size, seed, share)


def random_matrix(form: str = "dense", size: int = 6, seed: int = 0) -> SimilarityMatrix:
    """Return a matrix of the first `size` of NAMES, or of numbered classes, in the form asked for."""
    names = NAMES[:size] if size <= len(NAMES) else tuple(f"class {index}" for index in range(size))
    return in_form(form, values_for(form, size, seed), names)


def in_form(form: str, values: np.ndarray, names: tuple[str, ...] = NAMES) -> SimilarityMatrix:
    """Return values as a dense, a sparse or a Toeplitz matrix."""
    from scipy.sparse import csr_array

    made = {"dense": lambda: values, "sparse": lambda: csr_array(values), "toeplitz": lambda: _as_toeplitz(values)}
    return SimilarityMatrix(made[form](), names[: len(values)])


def _as_toeplitz(values: np.ndarray) -> np.ndarray:
    view = toeplitz_view(np.concatenate([values[:0:-1, 0], values[0]]))
    np.testing.assert_array_equal(view, values, "these values are not Toeplitz")
    return view


def peak_memory(call: Callable[[], object]) -> int:
    """Return the most bytes that a call held at a time, beyond what was held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
