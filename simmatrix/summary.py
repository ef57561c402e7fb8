"""What a similarity matrix looks like in a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from simmatrix.matrix import SimilarityMatrix, is_sparse
from simmatrix.normalise import blocks
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import diagonals_of, lengths

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["QUANTILES", "SHOWN_PAIRS", "Statistics", "signal", "statistics"]

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""The quantiles that are reported of the similarities of distinct classes."""

SHOWN_PAIRS = 1000
"""Up to so many indistinguishable pairs are named; there can be C (C - 1) / 2 of them."""

# Eigenvalues take time that grows with C^3: some tenths of a second here.
_EIGENVALUES_UP_TO = 1024
# Values that are counted at a time, and the side of the squares where columns are read too.
_COUNTED = 1 << 22
_TILE = 256


@dataclass(frozen=True)
class Statistics:
    """Figures of a similarity matrix with C classes.

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
    quantiles
        Of the similarities of distinct classes, by level.
    smallest_eigenvalue
        Of the symmetric part; None above 1024 classes. Negative: the matrix is no inner product.
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
    quantiles: dict[float, float]
    smallest_eigenvalue: float | None
    completed_pairs: int | None


def statistics(matrix: SimilarityMatrix) -> Statistics:
    """Return the figures of a matrix.

    Examples
    --------
    >>> figures = statistics(SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip")))
    >>> figures.density, figures.smallest_eigenvalue
    (1.0, 0.5)
    """
    size = len(matrix)
    pairs = size * (size - 1)
    others = _off_diagonal(matrix)
    # The value at a level, without interpolation: a figure that stands in the matrix.
    places = [max(int(np.ceil(level * pairs)) - 1, 0) for level in QUANTILES]
    return Statistics(
        classes=size,
        influence=matrix.influence,
        density=others.positive / pairs,
        identity_rows=others.identity_rows / size,
        indistinguishable=tuple((matrix.classes[i], matrix.classes[j]) for i, j in others.same),
        indistinguishable_pairs=others.same_count,
        signal=signal(matrix),
        quantiles=dict(zip(QUANTILES, others.at(places), strict=True)),
        smallest_eigenvalue=_smallest_eigenvalue(matrix),
        completed_pairs=None if matrix.evidence is None else _unjudged(matrix.evidence),
    )


def signal(matrix: SimilarityMatrix) -> float:
    """Return how much of cross entropy's gradient the loss keeps for a model that has learnt nothing yet, in [0, 1].

    Where all C classes are equally likely, the gradient in the true class's logit is 1/C - 1 / (1 + I) under SimLoss,
    with I the row's influence, and 1/C - 1 under cross entropy. Their ratio, (C / (1 + I) - 1) / (C - 1), is 1 for the
    identity and 0 for a matrix of ones. The influence I is the rows' mean.
    """
    size = len(matrix)
    return (size / (1 + matrix.influence) - 1) / (size - 1)


@dataclass(frozen=True)
class _Others:
    """What is counted of the C (C - 1) values off the diagonal."""

    positive: int
    identity_rows: int
    same: tuple[tuple[int, int], ...]
    """The first pairs of similarity 1, each once, in order."""
    same_count: int
    at: Callable[[Sequence[int]], list[float]]
    """Gives the values at places of their ascending order."""


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
    positive = entries.data[keep]
    zeros = size * (size - 1) - len(positive)

    def at(places: Sequence[int]) -> list[float]:
        stored = sorted({place - zeros for place in places if place >= zeros})
        ordered = np.partition(positive, stored) if stored else positive
        return [float(ordered[place - zeros]) if place >= zeros else 0.0 for place in places]

    return _Others(
        positive=len(positive),
        identity_rows=size - len(np.unique(rows[keep])),
        same=tuple(divmod(pair, size) for pair in pairs[:SHOWN_PAIRS].tolist()),
        same_count=len(pairs),
        at=at,
    )


def _of_toeplitz(diagonals: Float[np.ndarray, " D"]) -> _Others:
    size = len(diagonals) // 2 + 1
    counts = lengths(size)
    counts[size - 1] = 0
    order = np.argsort(diagonals)
    ends = np.cumsum(counts[order])
    above, below = diagonals[size:], diagonals[size - 2 :: -1]
    # Row i reaches C - 1 - i diagonals above the main one and i below: it is the identity's if it reaches none that
    # holds a similarity.
    first_above, first_below = (int(np.argmax(side > 0)) if (side > 0).any() else size - 1 for side in (above, below))
    distances = np.flatnonzero((above == 1) | (below == 1)) + 1
    return _Others(
        positive=int(counts[diagonals > 0].sum()),
        identity_rows=max(first_above + first_below + 2 - size, 0),
        same=tuple(islice(_pairs_at(distances.tolist(), size), SHOWN_PAIRS)),
        same_count=int((size - distances).sum()),
        at=lambda places: diagonals[order[np.searchsorted(ends, places, side="right")]].tolist(),
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
    entries = [int(np.count_nonzero(row)) for rows in blocks(values) for row in values[rows] > 0]
    positive = sum(entries) - size
    zeros = size * size - size - positive
    bins = np.zeros(_BINS, np.int64)
    for _bits, high in _halves(values):
        bins += np.bincount(high, minlength=_BINS)
    bins[0] += bins[_MINUS]
    bins[_ONE] -= size
    same, same_count = _same_pairs(values) if bins[_ONE] else ((), 0)

    def at(places: Sequence[int]) -> list[float]:
        found = iter(_selected(values, np.cumsum(bins), [place for place in places if place >= zeros]))
        return [next(found) if place >= zeros else 0.0 for place in places]

    return _Others(positive, entries.count(1), same, same_count, at)


# Values in [0, 1] are in the order of their bits: the high and the low 16 are counted one after the other.
_ONE = 0x3F80  # the high bits of 1.0, whose low bits are 0
_MINUS = 0x8000  # those of -0.0, which equals 0.0
_BINS = _MINUS + 1


def _halves(values: Float[np.ndarray, "C C"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the bits of each block of values, and their high half in a buffer that is used again."""
    buffer = np.empty(0, np.intp)
    for rows in blocks(values):
        bits = values[rows].reshape(-1).view(np.uint32)
        if len(buffer) < len(bits):
            # Memory taken anew for each block would be given back and cleared each time.
            buffer = np.empty(len(bits), np.intp)
        yield bits, np.right_shift(bits, 16, out=buffer[: len(bits)])


def _selected(values: Float[np.ndarray, "C C"], ends: Int[np.ndarray, " B"], places: Sequence[int]) -> list[float]:
    """Return the values at places of the ascending order; `ends` is how many values lie in or below each bin."""
    found = np.searchsorted(ends, places, side="right").tolist()
    wanted = sorted(set(found) - {_ONE})
    counts = dict(zip(wanted, _low_counts(values, wanted), strict=True)) if wanted else {}
    bits = [
        high << 16 | int(np.searchsorted(np.cumsum(counts[high]), place - (ends[high - 1] if high else 0), "right"))
        if high in counts
        else high << 16
        for high, place in zip(found, places, strict=True)
    ]
    selected: list[float] = np.array(bits, np.uint32).view(np.float32).tolist()
    return selected


def _low_counts(values: Float[np.ndarray, "C C"], wanted: Sequence[int]) -> Int[np.ndarray, "W 65536"]:
    """Return for some bins of high bits how often each of the low bits stands in them."""
    is_wanted = np.zeros(_BINS, bool)
    is_wanted[wanted] = True
    starts = np.zeros(_BINS, np.intp)
    starts[wanted] = np.arange(len(wanted)) << 16
    is_wanted[_MINUS], starts[_MINUS] = is_wanted[0], starts[0]
    counts = np.zeros(len(wanted) << 16, np.int64)
    pending: list[np.ndarray] = []
    for bits, high in _halves(values):
        chosen = np.flatnonzero(is_wanted.take(high))
        pending.append(starts.take(high.take(chosen)) | bits.take(chosen) & 0xFFFF)
        # Not block by block: there are more counts than values in a block.
        if sum(map(len, pending)) > _COUNTED:
            counts += np.bincount(np.concatenate(pending), minlength=len(counts))
            pending.clear()
    if pending:
        counts += np.bincount(np.concatenate(pending), minlength=len(counts))
    return counts.reshape(len(wanted), -1)


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
