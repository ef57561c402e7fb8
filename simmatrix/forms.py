"""The forms of a similarity matrix: dense, sparse, Toeplitz. Each owns what depends on how its values are stored.

Nobody else asks which form a matrix has: a form gives a row, what is stored and how many entries each value stands for,
other classes' rows and columns, the tensors of the file. `simmatrix.dense` has the first two.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from simmatrix.dense import (
    Dense,
    Elementwise,
    Form,
    Others,
    Sparse,
    Stored,
    Values,
    apply,
    blocks,
    canonical,
    frozen,
    is_sparse,
    read_only,
    sparse,
)
from simmatrix.errors import MatrixError, SourceError
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import diagonals_of, lengths, toeplitz_view, top_of_rows

__all__ = [
    "Dense",
    "Form",
    "Sparse",
    "Toeplitz",
    "Values",
    "form_of",
    "form_of_tensors",
    "is_sparse",
    "raw_form",
    "weighted_mean",
]


class Toeplitz(Form):
    """The 2 C - 1 diagonals of a matrix that has one value on each: S[i, j] = diagonals[C - 1 + j - i]."""

    name = "toeplitz"
    tensor_names = ("diagonals",)

    def __init__(self, diagonals: Float[np.ndarray, " D"]) -> None:
        self.diagonals = diagonals

    def __reduce__(self) -> tuple[Any, ...]:
        # An array's own way would write all C x C entries of the view.
        return Toeplitz, (self.diagonals,)

    @cached_property
    def values(self) -> Float[np.ndarray, "C C"]:
        """The matrix as a read-only view of its diagonals."""
        return toeplitz_view(self.diagonals)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"diagonals": self.diagonals}

    def stored(self) -> Stored:
        return Stored(self.diagonals, lengths(len(self)))

    def total(self) -> float:
        # Exact: a float32 times a length below 2^29 is a float64.
        return math.fsum((self.diagonals.astype(np.float64) * lengths(len(self))).tolist())

    def mapped(self, *functions: Elementwise) -> Toeplitz:
        return Toeplitz(read_only(apply(self.diagonals, functions, np.empty(self.diagonals.shape, np.float32))))

    def normalised(self, *functions: Elementwise) -> Toeplitz:
        """Return `mapped` with a diagonal of ones."""
        diagonals = apply(self.diagonals, functions, np.empty(self.diagonals.shape, np.float32))
        diagonals[len(self) - 1] = 1.0
        return Toeplitz(read_only(diagonals))

    def is_symmetric(self) -> bool:
        """Tell whether the values equal their transpose."""
        return np.array_equal(self.diagonals, self.diagonals[::-1])

    @np.errstate(under="ignore")
    def symmetrised(self) -> Toeplitz:
        """Return (S + S^T) / 2."""
        return Toeplitz(self.diagonals / 2 + self.diagonals[::-1] / 2)

    def select(self, indices: Int[np.ndarray, " n"]) -> Form:
        if len(indices) > 1 and (np.diff(indices) == 1).all():
            middle = len(self) - 1
            return Toeplitz(self.diagonals[middle + 1 - len(indices) : middle + len(indices)])
        return Dense(read_only(self.values[indices[:, None], indices]))

    def top_k(self, count: int) -> Sparse:
        return sparse(*top_of_rows(self.diagonals, count))

    def others(self, most: int) -> Others:
        size = len(self)
        above, below = self.diagonals[size:], self.diagonals[size - 2 :: -1]
        # Row i reaches C - 1 - i diagonals above the main one and i below: it is the identity's if it reaches none that
        # holds a similarity.
        reached = [int(np.argmax(side > 0)) if (side > 0).any() else size - 1 for side in (above, below)]
        distances = (np.flatnonzero((above == 1) | (below == 1)) + 1).tolist()
        pairs = ((i, i + distance) for i in range(size) for distance in distances if i + distance < size)
        return Others(
            positive=int(lengths(size)[self.diagonals > 0].sum()) - size,
            identity_rows=max(sum(reached) + 2 - size, 0),
            same=tuple(islice(pairs, min(most, sum(size - distance for distance in distances)))),
            same_count=sum(size - distance for distance in distances),
        )

    def where(self, is_wrong: Callable[[np.ndarray], np.ndarray]) -> tuple[int, Iterator[tuple[int, int]]]:
        offsets = (np.flatnonzero(is_wrong(self.diagonals)) - (len(self) - 1)).tolist()
        return len(offsets), ((max(-offset, 0), max(offset, 0)) for offset in offsets)


def form_of(values: object) -> Form:
    """Return values as a form whose float32 arrays nobody can write to: their own where they are so, else copies.

    Parameters
    ----------
    values
        A form; a SciPy sparse array; or an array, which is Toeplitz if it is a view of its diagonals
        (`simmatrix.toeplitz.toeplitz_view`).

    Raises
    ------
    MatrixError
        If they are no square matrix of numbers.
    """
    if isinstance(values, Toeplitz):
        return Toeplitz(frozen(values.diagonals))
    if isinstance(values, Dense):
        return Dense(frozen(values.values))
    if isinstance(values, Sparse):
        return Sparse(canonical(values.values)) if values.values.data.flags.writeable else values
    if is_sparse(values):
        _check_square(values.shape)
        return Sparse(canonical(values))
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise MatrixError(f"values of type {array.dtype} are no similarities; give numbers")
    _check_square(array.shape)
    diagonals = diagonals_of(array)
    return Dense(frozen(array)) if diagonals is None else Toeplitz(frozen(diagonals))


def form_of_tensors(tensors: Mapping[str, np.ndarray], count: int, path: Path) -> Form:
    """Return the form that a file holds for `count` classes. Raises SourceError if its tensors do not fit."""
    if "similarity" in tensors:
        return form_of(tensors["similarity"])
    if "diagonals" in tensors:
        diagonals = tensors["diagonals"]
        if diagonals.shape != (2 * count - 1,):
            raise SourceError(
                f"its diagonals of shape {diagonals.shape} do not fit {count} classes; build it again", path
            )
        return Toeplitz(diagonals)
    from scipy.sparse import csr_array

    starts, columns, values = (tensors[name] for name in Sparse.tensor_names)
    try:
        matrix = csr_array((values, columns, starts), shape=(count, count))
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise SourceError(f"its sparse matrix is damaged ({error}); build it again", path) from None
    if not matrix.has_canonical_format or (values == 0).any():
        raise SourceError("its sparse matrix is damaged (unsorted columns or stored zeros); build it again", path)
    return Sparse(canonical(matrix))


def raw_form(values: Float[np.ndarray, "C C"]) -> Dense | Toeplitz:
    """Return the form of raw similarities, in their own memory."""
    diagonals = diagonals_of(values)
    return Dense(values) if diagonals is None else Toeplitz(diagonals)


@np.errstate(under="ignore")
def weighted_mean(forms: Sequence[Form], weights: Sequence[float]) -> Form:
    """Return the weighted sum, computed in float64 and rounded once: sparse or Toeplitz if all are so, else dense."""
    if all(isinstance(one, Sparse) for one in forms):
        return Sparse(canonical(_weighted([one.values for one in forms], weights)))
    toeplitz = [one.diagonals for one in forms if isinstance(one, Toeplitz)]
    if len(toeplitz) == len(forms):
        return Toeplitz(frozen(_weighted(toeplitz, weights)))
    mean = np.empty((len(forms[0]), len(forms[0])), np.float32)
    for rows in blocks(mean):
        mean[rows] = _weighted([one.block(rows) for one in forms], weights)
    return Dense(read_only(mean))


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise MatrixError(f"values of shape {shape} are not square; a row and a column belong to each class")


def _weighted(parts: Sequence[Any], weights: Sequence[float]) -> Any:
    return reduce(operator.add, (part.astype(np.float64) * weight for part, weight in zip(parts, weights, strict=True)))
