"""What a similarity matrix looks like in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from simmatrix.matrix import SimilarityMatrix, is_sparse
from simmatrix.normalise import blocks
from simmatrix.quantiles import quantiles
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import diagonals_of, lengths

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["QUANTILES", "SHOWN_PAIRS", "Counts", "Statistics", "counts", "gradient_kept", "signal", "statistics"]

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""The quantiles that are reported of the similarities of distinct classes."""

SHOWN_PAIRS = 1000
"""Up to so many indistinguishable pairs are named; there can be C (C - 1) / 2 of them."""

# Eigenvalues take time that grows with C^3: some tenths of a second here.
_EIGENVALUES_UP_TO = 1024
# The side of the squares where columns are read too.
_TILE = 256


@dataclass(frozen=True)
class Counts:
    """What can be counted of a similarity matrix with C classes in one pass over its values.

    Parameters
    ----------
    classes
        C.
    influence
        Mean over the rows of their sum off the diagonal, 0 (cross entropy) to C - 1.
    density
        Share of the pairs of distinct classes with a similarity above 0, in [0, 1].
    identity_rows
        Share of the rows that are the identity's, in [0, 1]: to them the loss is cross entropy.
    indistinguishable
        The first 1000 pairs of distinct classes with similarity 1, by name: the loss can't tell them apart.
    indistinguishable_pairs
        How many such pairs there are, 0 to C (C - 1) / 2.
    signal
        What is left of cross entropy's gradient at the start of training, in [0, 1]; see `signal`.
    completed_pairs
        Pairs of distinct classes that nobody judged, so that a method gave their value, 0 to C (C - 1) / 2; None where
        the values are not made from judgements.
    """

    classes: int
    influence: float
    density: float
    identity_rows: float
    indistinguishable: tuple[tuple[str, str], ...]
    indistinguishable_pairs: int
    signal: float
    completed_pairs: int | None


@dataclass(frozen=True)
class Statistics(Counts):
    """Figures of a similarity matrix: its `Counts`, and what takes longer.

    Parameters
    ----------
    quantiles
        Of the similarities of distinct classes, by level.
    smallest_eigenvalue
        Of the symmetric part; None above 1024 classes. Negative: the matrix is no inner product.
    """

    quantiles: dict[float, float]
    smallest_eigenvalue: float | None


def counts(matrix: SimilarityMatrix) -> Counts:
    """Return what can be counted of a matrix.

    Examples
    --------
    >>> counts(SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip"))).density
    1.0
    """
    size = len(matrix)
    others = _off_diagonal(matrix)
    return Counts(
        classes=size,
        influence=matrix.influence,
        density=others.positive / (size * (size - 1)),
        identity_rows=others.identity_rows / size,
        indistinguishable=tuple((matrix.classes[i], matrix.classes[j]) for i, j in others.same),
        indistinguishable_pairs=others.same_count,
        signal=signal(matrix),
        completed_pairs=None if matrix.evidence is None else _unjudged(matrix.evidence),
    )


def statistics(matrix: SimilarityMatrix) -> Statistics:
    """Return the figures of a matrix.

    Examples
    --------
    >>> figures = statistics(SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip")))
    >>> figures.density, figures.smallest_eigenvalue
    (1.0, 0.5)
    """
    return Statistics(
        **vars(counts(matrix)),
        quantiles=dict(zip(QUANTILES, quantiles(matrix.values, QUANTILES), strict=True)),
        smallest_eigenvalue=_smallest_eigenvalue(matrix),
    )


def signal(matrix: SimilarityMatrix) -> float:
    """Return how much of cross entropy's gradient the loss keeps for a model that has learnt nothing yet, in [0, 1].

    Where all C classes are equally likely, the gradient in the true class's logit is 1/C - 1 / (1 + I) under SimLoss,
    with I the row's influence, and 1/C - 1 under cross entropy. Their ratio, (C / (1 + I) - 1) / (C - 1), is 1 for the
    identity and 0 for a matrix of ones. The influence I is the rows' mean.
    """
    return gradient_kept(len(matrix), matrix.influence)


def gradient_kept(classes: int, influence: float) -> float:
    """Return the `signal` of so many classes at this influence.

    Examples
    --------
    >>> gradient_kept(100, 0.0), gradient_kept(100, 99.0)
    (1.0, 0.0)
    """
    return (classes / (1 + influence) - 1) / (classes - 1) if classes > 1 else 1.0


@dataclass(frozen=True)
class _Others:
    """What is counted of the C (C - 1) values off the diagonal."""

    positive: int
    identity_rows: int
    same: tuple[tuple[int, int], ...]
    """The first pairs of similarity 1, each once, in order."""
    same_count: int


def _off_diagonal(matrix: SimilarityMatrix) -> _Others:
    values = matrix.values
    if is_sparse(values):
        return _of_sparse(values)
    diagonals = diagonals_of(values)
    return _of_dense(values) if diagonals is None else _of_toeplitz(diagonals)


def _of_sparse(values: csr_array) -> _Others:
    size = values.shape[0]
    entries = values.tocoo()
    rows, columns = (axis.astype(np.int64) for axis in entries.coords)
    keep = rows != columns
    is_same = keep & (entries.data == 1)
    rows_same, columns_same = rows[is_same], columns[is_same]
    pairs = np.unique(np.minimum(rows_same, columns_same) * size + np.maximum(rows_same, columns_same))
    return _Others(
        positive=int(np.count_nonzero(keep)),
        identity_rows=size - len(np.unique(rows[keep])),
        same=tuple(divmod(pair, size) for pair in pairs[:SHOWN_PAIRS].tolist()),
        same_count=len(pairs),
    )


def _of_toeplitz(diagonals: Float[np.ndarray, " D"]) -> _Others:
    size = len(diagonals) // 2 + 1
    above, below = diagonals[size:], diagonals[size - 2 :: -1]
    # Row i reaches C - 1 - i diagonals above the main one and i below: it is the identity's if it reaches none that
    # holds a similarity.
    first_above, first_below = (int(np.argmax(side > 0)) if (side > 0).any() else size - 1 for side in (above, below))
    distances = np.flatnonzero((above == 1) | (below == 1)) + 1
    return _Others(
        positive=int(lengths(size)[diagonals > 0].sum()) - size,
        identity_rows=max(first_above + first_below + 2 - size, 0),
        same=tuple(islice(_pairs_at(distances.tolist(), size), SHOWN_PAIRS)),
        same_count=int((size - distances).sum()),
    )


def _pairs_at(distances: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of places whose distance is one of some ascending ones, in order."""
    for first in range(size - distances[0] if distances else 0):
        for distance in distances:
            if first + distance >= size:
                break
            yield first, first + distance


def _of_dense(values: Float[np.ndarray, "C C"]) -> _Others:
    # By blocks: a mask of all values would take a quarter of the matrix's memory, the indices of all four times it.
    size = len(values)
    entries: list[int] = []
    ones = -size
    for rows in blocks(values):
        block = values[rows]
        entries += (int(np.count_nonzero(row)) for row in block > 0)
        ones += int(np.count_nonzero(block == 1))
    same, same_count = _same_pairs(values) if ones > 0 else ((), 0)
    return _Others(sum(entries) - size, entries.count(1), same, same_count)


def _same_pairs(values: Float[np.ndarray, "C C"]) -> tuple[tuple[tuple[int, int], ...], int]:
    """Return the first pairs of similarity 1 in either direction, each once and in order, and their number."""
    pairs: list[tuple[int, int]] = []
    count = 0
    for top in range(0, len(values), _TILE):
        same = values[top : top + _TILE, top:] == 1
        for left in range(top, len(values), _TILE):
            columns = slice(left - top, left - top + _TILE)
            same[:, columns] |= (values[left : left + _TILE, top : top + _TILE] == 1).T
        same = np.triu(same, 1)
        count += int(np.count_nonzero(same))
        if len(pairs) < SHOWN_PAIRS:
            pairs += [(top + i, top + j) for i, j in islice(zip(*same.nonzero(), strict=True), SHOWN_PAIRS)]
    return tuple((int(i), int(j)) for i, j in pairs[:SHOWN_PAIRS]), count


def _unjudged(evidence: Int[np.ndarray, "C C"]) -> int:
    judged = sum(int(np.count_nonzero(evidence[rows])) for rows in blocks(evidence))
    on_diagonal = int(np.count_nonzero(evidence.diagonal()))
    size = len(evidence)
    return (size * (size - 1) - (judged - on_diagonal)) // 2


def _smallest_eigenvalue(matrix: SimilarityMatrix) -> float | None:
    if len(matrix) > _EIGENVALUES_UP_TO:
        return None
    values = matrix.to_dense().astype(np.float64)
    return float(np.linalg.eigvalsh((values + values.T) / 2)[0])
