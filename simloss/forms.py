"""The forms in which the loss holds a similarity matrix: dense, sparse, Toeplitz.

Each form is a tuple of plain tensors, so that it can pass through `torch.compile` and custom operators. The code that
computes the loss asks a form for one thing only: the row of similarities of each label.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

import simmatrix
from simloss.errors import ArgumentError, DtypeError
from simmatrix.forms import is_sparse
from simmatrix.shapes import Bool, Float, Int
from simmatrix.toeplitz import diagonals_of


class Dense(NamedTuple):
    """All similarities; row i is of the true class i. It is not square if it holds the columns of some classes only."""

    values: Float[Tensor, "C K"]


class Sparse(NamedTuple):
    """The similarities above 0, row by row. In each row the columns must ascend, each once; `SimLoss` checks that.

    Row i has `values[crow_indices[i]:crow_indices[i + 1]]` in the columns `col_indices[...]` of the same range.
    """

    crow_indices: Int[Tensor, " C1"]
    col_indices: Int[Tensor, " nnz"]
    values: Float[Tensor, " nnz"]


class Toeplitz(NamedTuple):
    """The 2 C - 1 diagonals of a matrix that has one value on each: S[i, j] = diagonals[C - 1 + j - i].

    For K columns of some of the classes, the C + K - 1 diagonals that they meet.
    """

    diagonals: Float[Tensor, " D"]


Similarity: TypeAlias = Dense | Sparse | Toeplitz

# By the names under which an operator is told of a form: `FORMS[name_of(s)](*s)` is s.
FORMS: dict[str, type[Similarity]] = {"dense": Dense, "sparse": Sparse, "toeplitz": Toeplitz}

# Numbers bounded at a time, 16 MiB in float64.
_BLOCK = 2**21


def name_of(similarity: Similarity) -> str:
    """Return the name of a form in `FORMS`."""
    return type(similarity).__name__.lower()


def as_similarity(similarity: object) -> Similarity:
    """Return the form of a tensor, strided or CSR, or of what has one already.

    Raises
    ------
    ValueError
        If a CSR tensor is not square.
    TypeError
        If it is none of these.
    """
    if isinstance(similarity, Tensor) and similarity.layout == torch.sparse_csr:
        if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
            raise ArgumentError(
                "similarity must be a square matrix, one row a class; got a CSR tensor of shape "
                f"{tuple(similarity.shape)}"
            )
        return Sparse(similarity.crow_indices(), similarity.col_indices(), similarity.values())
    if isinstance(similarity, Tensor) and similarity.layout == torch.strided:
        return Dense(similarity)
    if isinstance(similarity, (Dense, Sparse, Toeplitz)):
        return similarity
    if isinstance(similarity, Tensor):
        raise DtypeError(
            f"similarity must be a strided or a CSR tensor, got {similarity.layout}; call .to_sparse_csr()"
        )
    if isinstance(similarity, simmatrix.SimilarityMatrix):
        raise DtypeError("of a SimilarityMatrix give the function simloss.SimLoss(matrix).similarity, made once")
    raise DtypeError(
        "similarity must be a tensor, Sparse or Toeplitz, or for a module a SimilarityMatrix; got "
        f"{type(similarity).__name__} (simmatrix.load reads such a matrix from a file)"
    )


def from_matrix(matrix: simmatrix.SimilarityMatrix) -> Similarity:
    """Return a matrix in the form that is fastest for it, in tensors of its own.

    A sparse one with many entries is made dense: an entry costs as much as eight numbers of a dense matrix.
    """
    values = matrix.values
    if is_sparse(values):
        if 8 * values.nnz >= values.shape[0] ** 2:
            return Dense(torch.from_numpy(values.toarray()))
        parts = (values.indptr.astype(np.int64), values.indices.astype(np.int32), values.data.copy())
        return Sparse(*map(torch.from_numpy, parts))
    diagonals = diagonals_of(values)
    return Dense(torch.from_numpy(values.copy())) if diagonals is None else Toeplitz(torch.from_numpy(diagonals.copy()))


def class_count(similarity: Similarity) -> int:
    """Return the number of classes of a whole matrix."""
    # No `match` on classes here and below: torch.compile can't trace it before torch 2.11.
    if isinstance(similarity, Dense):
        return similarity.values.shape[0]
    if isinstance(similarity, Toeplitz):
        return similarity.diagonals.shape[0] // 2 + 1
    return similarity.crow_indices.shape[0] - 1


def with_numbers(similarity: Similarity, numbers: Float[Tensor, "*shape"]) -> Similarity:
    """Return the form with other numbers in the same places."""
    if isinstance(similarity, Dense):
        return Dense(numbers)
    if isinstance(similarity, Toeplitz):
        return Toeplitz(numbers)
    return Sparse(similarity.crow_indices, similarity.col_indices, numbers)


def moved(similarity: Similarity, device: torch.device) -> Similarity:
    """Return the form on a device."""
    match similarity:
        case Dense(values):
            return Dense(values.to(device))
        case Toeplitz(diagonals):
            return Toeplitz(diagonals.to(device))
        case Sparse(crow_indices, col_indices, values):
            return Sparse(crow_indices.to(device), col_indices.to(device), values.to(device))


def influence_of(similarity: Similarity) -> float:
    """Return the mean sum of a row off the diagonal, as `simmatrix.SimilarityMatrix.influence` has it."""
    count, numbers = class_count(similarity), similarity[-1]
    wide = torch.float32 if numbers.device.type == "mps" else torch.float64
    if isinstance(similarity, Toeplitz):
        numbers = numbers.to(wide) * (count - torch.arange(1 - count, count, device=numbers.device).abs())
    return float(numbers.sum(dtype=wide).item()) / count - 1


def rows(similarity: Similarity, labels: Int[Tensor, " N"], out: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    """Write the row of similarities of each label into a tensor, and return that.

    Parameters
    ----------
    similarity
        Of any form, with K columns: all classes, or some.
    labels
        Classes, in [0, C).
    out
        Of any floating-point dtype.
    """
    match similarity:
        case Dense(values):
            return _select(values, labels, out)
        case Toeplitz(diagonals):
            # Row i of the matrix is the window of diagonals that begins at C - 1 - i, without a copy of any.
            windows = diagonals.unfold(0, out.shape[1], 1)
            return _select(windows, windows.shape[0] - 1 - labels, out)
        case Sparse():
            columns, values, _ = spans(similarity, labels, out.dtype)
            return out.zero_().scatter_(1, columns, values)


def _select(values: Float[Tensor, "C K"], labels: Int[Tensor, " N"], out: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    if values.dtype == out.dtype:
        return torch.index_select(values, 0, labels, out=out)
    return out.copy_(values.index_select(0, labels))


class Spans(NamedTuple):
    """The entries of some rows of a sparse matrix, side by side: their columns, their values, and which are entries.

    Shorter rows are filled up with their last entry again, or where they have none with a 0 anywhere. `is_entry` tells
    which are no copies; it is None where all rows are equally long.
    """

    columns: Int[Tensor, "N k"]
    values: Float[Tensor, "N k"]
    is_entry: Bool[Tensor, "N k"] | None


def spans(similarity: Sparse, labels: Int[Tensor, " N"], dtype: torch.dtype) -> Spans:
    """Return the entries of the row of each label."""
    starts = similarity.crow_indices.index_select(0, labels)
    counts = similarity.crow_indices.index_select(0, labels + 1) - starts
    shortest, longest = (int(end) for end in counts.aminmax()) if len(labels) else (0, 0)
    numbers = torch.arange(longest, device=labels.device)
    is_entry = None if shortest == longest else numbers < counts.unsqueeze(1)
    if is_entry is not None:
        numbers = numbers.minimum((counts - 1).unsqueeze(1))
    places = (starts.unsqueeze(1) + numbers).clamp_(min=0).flatten()
    columns = similarity.col_indices.index_select(0, places).long().view(len(labels), longest)
    values = similarity.values.index_select(0, places).to(dtype).view(len(labels), longest)
    if is_entry is not None:
        values = values.masked_fill((counts == 0).unsqueeze(1), 0.0)
    return Spans(columns, values, is_entry)


def bounded(given: Float[Tensor, "*shape"], bound: float, out: Float[Tensor, "*shape"]) -> None:
    """Write max(0, (s - l) / (1 - l)) of each number, a block of rows at a time."""
    # Tensors on the device, since a division by a number from the host may become a product with its inverse there:
    # with both differences and the quotient rounded alike, what is 1 stays 1.
    wide = torch.float32 if given.device.type == "mps" else torch.float64
    least = torch.full((), bound, dtype=wide, device=given.device)
    span = 1 - least
    height = max(1, _BLOCK * given.shape[0] // max(given.numel(), 1))
    for block, place in zip(torch.split(given, height), torch.split(out, height), strict=True):
        place.copy_(block.to(wide, copy=True).sub_(least).div_(span).clamp_(min=0))


def columns_of(similarity: Similarity, first: int, last: int, columns: int) -> Similarity:
    """Return the columns first, ..., last - 1 of a matrix that has so many columns, as rows of the same classes.

    Of a Toeplitz matrix this is a view; of the others a copy, which is what a process of its own needs.
    """
    match similarity:
        case Dense(values):
            return Dense(values[:, first:last].contiguous())
        case Toeplitz(diagonals):
            return Toeplitz(diagonals[first : diagonals.shape[0] - columns + last])
        case Sparse(crow_indices, col_indices, values):
            inside = (col_indices >= first) & (col_indices < last)
            before = torch.nn.functional.pad(inside.cumsum(0), (1, 0))
            return Sparse(before.index_select(0, crow_indices.long()), col_indices[inside] - first, values[inside])
