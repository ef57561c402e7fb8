"""Quantiles of the similarities of distinct classes: of each form of a matrix without a copy of its values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simmatrix.matrix import Values, is_sparse
from simmatrix.normalise import blocks
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import diagonals_of, lengths

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["quantiles"]

# Values that are counted at a time.
_COUNTED = 1 << 22


def quantiles(values: Values, levels: Sequence[float]) -> list[float]:
    """Return the values at some levels in [0, 1] of the C (C - 1) similarities of distinct classes.

    They are not interpolated: each stands in the matrix.

    Examples
    --------
    >>> quantiles(np.array([[1, 0.25, 0], [0.25, 1, 0.5], [0, 0.5, 1]], np.float32), [0, 0.5, 1])
    [0.0, 0.25, 0.5]
    """
    size = values.shape[0]
    places = [max(int(np.ceil(level * size * (size - 1))) - 1, 0) for level in levels]
    if is_sparse(values):
        return _of_sparse(values, places)
    diagonals = diagonals_of(values)
    return _of_dense(values, places) if diagonals is None else _of_toeplitz(diagonals, places)


def _of_sparse(values: csr_array, places: Sequence[int]) -> list[float]:
    size = values.shape[0]
    entries = values.tocoo()
    rows, columns = entries.coords
    positive = entries.data[rows != columns]
    zeros = size * (size - 1) - len(positive)
    stored = sorted({place - zeros for place in places if place >= zeros})
    ordered = np.partition(positive, stored) if stored else positive
    return [float(ordered[place - zeros]) if place >= zeros else 0.0 for place in places]


def _of_toeplitz(diagonals: Float[np.ndarray, " D"], places: Sequence[int]) -> list[float]:
    size = len(diagonals) // 2 + 1
    counts = lengths(size)
    counts[size - 1] = 0
    order = np.argsort(diagonals)
    found: list[float] = diagonals[order[np.searchsorted(np.cumsum(counts[order]), places, side="right")]].tolist()
    return found


def _of_dense(values: Float[np.ndarray, "C C"], places: Sequence[int]) -> list[float]:
    size = len(values)
    bins = np.zeros(_BINS, np.int64)
    positive = -size
    for bits, high in _halves(values):
        bins += np.bincount(high, minlength=_BINS)
        positive += int(np.count_nonzero(bits.view(np.float32)))
    bins[0] += bins[_MINUS]
    bins[_ONE] -= size
    # Zeros are left out of what is selected: there may be many.
    zeros = size * (size - 1) - positive
    found = iter(_selected(values, np.cumsum(bins), [place for place in places if place >= zeros]))
    return [next(found) if place >= zeros else 0.0 for place in places]


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
