"""Matrices for the tests, and a slow, obvious reading of them."""

import tracemalloc
from collections.abc import Callable

import numpy as np

from simmatrix import SimilarityMatrix

NAMES = ("rose", "tulip", "oak", "lorry", "van", "ox")


def random_values(size: int, seed: int = 0, share: float = 0.6) -> np.ndarray:
    """Return a symmetric float32 matrix in [0, 1] with unit diagonal; about `share` of the pairs are above 0."""
    random = np.random.default_rng(seed)
    values = random.random((size, size)) * (random.random((size, size)) < share)
    values = np.triu(values, 1)
    values += values.T + np.eye(size)
    return values.astype(np.float32)


def random_matrix(form: str = "dense", size: int = 6, seed: int = 0) -> SimilarityMatrix:
    """Return a matrix of the first `size` of NAMES, or of numbered classes, in the form asked for."""
    names = NAMES[:size] if size <= len(NAMES) else tuple(f"class {index}" for index in range(size))
    return in_form(form, random_values(size, seed), names)


def in_form(form: str, values: np.ndarray, names: tuple[str, ...] = NAMES) -> SimilarityMatrix:
    """Return values as a dense or a sparse matrix."""
    from scipy.sparse import csr_array

    return SimilarityMatrix(csr_array(values) if form == "sparse" else values, names[: len(values)])


def peak_memory(call: Callable[[], object]) -> int:
    """Return the most bytes that a call held at a time, beyond what was held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
