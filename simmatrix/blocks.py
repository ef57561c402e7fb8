"""Large arrays, worked on in little memory: block by block, in place where nobody else has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from simmatrix.shapes import Float

__all__ = ["Elementwise", "apply", "blocks", "can_overwrite", "frozen", "read_only", "tiles", "top_positions"]

Elementwise: TypeAlias = Callable[..., np.ndarray]
"""A function of each value by itself, which writes into an array `out` where one is given, as NumPy's own do."""

# Values worked on at a time, 1 MiB in float64; and the side of the squares where columns are read too.
BLOCK = 1 << 17
TILE = 256


def blocks(values: np.ndarray, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of an array's rows, one after the other, of about `size` values each."""
    step = max(1, size * len(values) // max(values.size, 1))
    return (slice(start, start + step) for start in range(0, len(values), step))


def tiles(count: int) -> Iterator[tuple[slice, slice]]:
    """Yield the squares of rows and columns that cover the upper triangle, row by row.

    The memory of a square and of its mirror image stays in the cache while one is read along the other's columns.
    """
    for top in range(0, count, TILE):
        for left in range(top, count, TILE):
            yield slice(top, top + TILE), slice(left, left + TILE)


def apply(
    values: Float[np.ndarray, "*shape"], functions: Sequence[Elementwise], out: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Apply functions to blocks of rows in float64, so that rounding to float32 happens once, at the end."""
    buffer = np.empty((0, *values.shape[1:]))
    for rows in blocks(values):
        block = values[rows]
        if len(buffer) < len(block):
            # Taken once: memory taken anew for each block would be given back and cleared each time.
            buffer = np.empty(block.shape)
        work = buffer[: len(block)]
        work[...] = block
        for function in functions:
            function(work, out=work)
        out[rows] = work
    return out


def top_positions(block: Float[np.ndarray, "n C"], first: int, count: int) -> np.ndarray:
    """Return the positions, row by row, of what `top_k` keeps of the rows that start at row `first`."""
    size = block.shape[1]
    ranked = block.copy()
    # The diagonal is kept whatever stands on it.
    ranked[np.arange(len(block)), np.arange(first, first + len(block))] = np.inf
    least = np.partition(ranked, size - count - 1, axis=1)[:, [size - count - 1]]
    keep = ranked > least
    # Ties for the last places: as many as there is room for, from the left.
    tied = ranked == least
    room = count + 1 - np.count_nonzero(keep, axis=1)
    for row in np.flatnonzero(np.count_nonzero(tied, axis=1) > room):
        tied[row, np.flatnonzero(tied[row])[room[row] :]] = False
    keep |= tied
    keep &= block > 0
    positions: np.ndarray = np.flatnonzero(keep) + first * size
    return positions


def frozen(array: np.ndarray, dtype: type[np.generic] = np.float32) -> np.ndarray:
    """Return an array of a type that nobody can write to: the array itself if it is one, else a copy."""
    if array.dtype == dtype and array.flags.c_contiguous and _nobody_writes(array):
        return array
    # What is too large for float32 becomes infinite, which the check of the values refuses.
    with np.errstate(over="ignore"):
        return read_only(np.array(array, dtype=dtype, order="C"))


def read_only(values: np.ndarray) -> np.ndarray:
    """Return an array of one's own that can't be written to any more."""
    values.flags.writeable = False
    return values


def can_overwrite(values: np.ndarray) -> bool:
    """Tell whether float32 results may take the place of the values."""
    return values.dtype == np.float32 and values.flags.writeable


def _nobody_writes(array: np.ndarray) -> bool:
    """Tell whether an array and all arrays it is a view of are read-only."""
    while not array.flags.writeable:
        if not isinstance(array.base, np.ndarray):
            return array.base is None
        array = array.base
    return False
