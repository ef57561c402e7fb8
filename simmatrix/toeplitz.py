"""Toeplitz matrices, whose diagonals are constant, as views of their 2 C - 1 diagonals.

A similarity by class order looks at the distance between two classes alone. Its matrix is C x C to every reader, and
takes the memory of 2 C - 1 numbers: 8 MB in float64 for a million classes, where the entries would take 8 TB.
"""

from __future__ import annotations

import numpy as np

from simmatrix.errors import MatrixError
from simmatrix.shapes import Float, Int

__all__ = ["diagonals_of", "lengths", "stored_of", "toeplitz_view"]


def toeplitz_view(diagonals: Float[np.ndarray, " D"]) -> Float[np.ndarray, "C C"]:
    """Return the matrix S[i, j] = d[C - 1 + j - i] as a read-only view of its D = 2 C - 1 diagonals d.

    The first of them stands in the lower left corner, the middle one is the main diagonal.

    Raises
    ------
    MatrixError
        If the number of diagonals is not odd.

    Examples
    --------
    >>> toeplitz_view(np.array([0.5, 1, 0.25])).tolist()
    [[1.0, 0.25], [0.5, 1.0]]
    """
    if len(diagonals) % 2 == 0:
        raise MatrixError(f"{len(diagonals)} diagonals make no square matrix; give 2 C - 1 of them for C classes")
    count = len(diagonals) // 2 + 1
    step = diagonals.strides[0]
    return np.lib.stride_tricks.as_strided(diagonals[count - 1 :], (count, count), (-step, step), writeable=False)


def diagonals_of(values: np.ndarray) -> np.ndarray | None:
    """Return the 2 C - 1 diagonals of a Toeplitz view, a read-only view of the same memory; None of any other array.

    The view is known by its strides: one step to the right leads to the same number as one step up. No entry is read.

    Examples
    --------
    >>> diagonals_of(toeplitz_view(np.array([0.5, 1, 0.25]))).tolist()
    [0.5, 1.0, 0.25]
    >>> diagonals_of(np.eye(3)) is None
    True
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        return None
    down, right = values.strides
    if right == 0 or down != -right:
        return None
    return np.lib.stride_tricks.as_strided(values[-1], (2 * len(values) - 1,), (right,), writeable=False)


def stored_of(values: np.ndarray) -> np.ndarray:
    """Return what is stored of an array: the diagonals of a Toeplitz view, any other array as it is."""
    diagonals = diagonals_of(values)
    return values if diagonals is None else diagonals


def lengths(count: int) -> Int[np.ndarray, " D"]:
    """Return how many entries each of the 2 C - 1 diagonals has: 1, 2, ..., C, ..., 2, 1."""
    return count - np.abs(np.arange(1 - count, count))
