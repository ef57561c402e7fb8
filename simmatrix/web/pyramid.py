"""A matrix of C x C as a picture at every scale: mean and maximum of square blocks, so that a lone high value shows.

At level k a pixel is a block of 2^k x 2^k similarities. Levels 0 to 2 are read from the matrix when they are asked for;
level 3 and the coarser ones are made in one pass over it, which keeps C^2 / 32 numbers of level 3. The ones on the
diagonal, which say nothing, are left out of every block but those that are nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from simmatrix.errors import MatrixError, ParameterError
from simmatrix.shapes import Float, Int

TILE = 256
"""Pixels on each side of a tile."""

MOST = 50_000
"""Up to so many classes are seen as a whole: more take a pass over more than 2.5 billion values."""

FINE = 2
"""The coarsest level that is read from the matrix each time, 2^20 values a tile."""


@runtime_checkable
class Entries(Protocol):
    """What a picture is made of: something that knows what stands in rows and columns, such as a `Preview`."""

    def __len__(self) -> int:
        """Return C."""
        ...

    def entries(
        self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"] | None = None
    ) -> Float[np.ndarray, "n m"]:
        """Return what stands in some rows and columns, as an array of its own."""
        ...


class Difference(NamedTuple):
    """The second's similarities minus the first's, of the same classes in the same order; in [-1, 1]."""

    first: Entries
    second: Entries

    def __len__(self) -> int:
        return len(self.first)

    def entries(
        self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"] | None = None
    ) -> Float[np.ndarray, "n m"]:
        """Return the differences in some rows and columns."""
        return np.asarray(self.second.entries(rows, columns) - self.first.entries(rows, columns))


class Blocks(NamedTuple):
    """The mean of each block, and what is greatest in it; of differences what is furthest from 0, with its sign."""

    mean: Float[np.ndarray, "h w"]
    greatest: Float[np.ndarray, "h w"]


def levels_of(size: int) -> int:
    """Return how many levels a matrix of C classes has.

    Examples
    --------
    >>> levels_of(256), levels_of(257)
    (1, 2)
    """
    return max(0, (size - 1).bit_length() - (TILE.bit_length() - 1)) + 1


class Pyramid:
    """Blocks of a matrix, or of the differences of two, at every level; its classes in some order.

    `order` has the class at each place. `check` is called between the parts of a pass over all values: what it raises
    ends the pass, which nobody wants any more.

    Examples
    --------
    >>> from simmatrix import SimilarityMatrix
    >>> from simmatrix.web.preview import Preview
    >>> values = np.array([[1, 0.5, 0], [0.5, 1, 0.25], [0, 0.25, 1]])
    >>> pyramid = Pyramid(Preview(SimilarityMatrix(values, ("rose", "tulip", "truck"))), np.arange(3))
    >>> pyramid.levels, pyramid.tile(0, 0, 0).mean[0].tolist()
    (1, [1.0, 0.5, 0.0])
    """

    def __init__(
        self, source: Entries, order: Int[np.ndarray, " C"], check: Callable[[], object] = lambda: None
    ) -> None:
        self.source, self.order, self.check = source, order, check
        self._is_signed = isinstance(source, Difference)
        self._itself = 0.0 if self._is_signed else 1.0
        self._lock = Lock()
        self._coarse: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.order)

    @property
    def levels(self) -> int:
        """How many levels there are: at the last one tile holds the whole matrix."""
        return levels_of(len(self))

    def tile(self, level: int, row: int, column: int) -> Blocks:
        """Return a tile of up to 256 x 256 blocks, as float32.

        Raises `ParameterError` if there is no such tile, and `MatrixError` if it takes a pass over the values of more
        classes than `MOST`.
        """
        side = -(-len(self) // (1 << level)) if 0 <= level < self.levels else 0
        top, left = row * TILE, column * TILE
        if not (0 <= top < side and 0 <= left < side):
            raise ParameterError(f"there is no tile {row}, {column} at level {level} of {len(self)} classes")
        down, right = slice(top, min(top + TILE, side)), slice(left, min(left + TILE, side))
        if level > FINE:
            sums, greatest = (whole[down, right] for whole in self._whole(level))
        else:
            # In parts of 256 rows: many tiles are made at a time, and each would take 30 MB on its way.
            part = TILE >> level
            starts = range(down.start, down.stop, part)
            parts = [self._read(slice(at, min(at + part, down.stop)), right, 1 << level) for at in starts]
            sums, greatest = map(np.concatenate, zip(*parts, strict=True))
        counts = self._counts(down, right, 1 << level)
        # Where a block is a single one on the diagonal, it is that one.
        is_alone = counts == 0
        mean = np.where(is_alone, self._itself, sums / np.maximum(counts, 1))
        return Blocks(mean.astype(np.float32), np.where(is_alone, self._itself, greatest).astype(np.float32))

    def _counts(self, down: slice, right: slice, step: int) -> Int[np.ndarray, "h w"]:
        """Return how many similarities of distinct classes are in each block."""
        rows, columns = (np.arange(side.start, side.stop) for side in (down, right))
        high, wide = (np.minimum(step, len(self) - places * step) for places in (rows, columns))
        return np.asarray(np.outer(high, wide) - (rows[:, None] == columns) * high[:, None])

    def _read(self, down: slice, right: slice, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the sum and the greatest of each block of some rows and columns of blocks."""
        rows, columns = (self.order[side.start * step : side.stop * step] for side in (down, right))
        # Whole rows are copied far faster than what lies apart in them.
        is_whole = len(columns) == len(self)
        values = self.source.entries(rows, None if is_whole else columns)
        if not is_whole:
            values[rows[:, None] == columns] = 0
            return self._reduced(values, step)
        values[np.arange(len(rows)), rows] = 0
        return self._reduced(values, step, columns)

    def _reduced(
        self, values: Float[np.ndarray, "n m"], step: int, columns: Int[np.ndarray, " m"] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sum and the greatest of each block of `step` rows and columns, which are put in order before."""

        def reduced(of_all: np.ufunc) -> np.ndarray:
            if len(values) <= step:
                rows = of_all.reduce(values, axis=0, keepdims=True)
            else:
                rows = of_all.reduceat(values, np.arange(0, len(values), step), axis=0)
            rows = rows if columns is None else rows[:, columns]
            return np.asarray(of_all.reduceat(rows, np.arange(0, values.shape[1], step), axis=1))

        greatest = reduced(np.maximum)
        return reduced(np.add), _furthest(greatest, reduced(np.minimum)) if self._is_signed else greatest

    def _whole(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums and the greatest of all blocks of a level, as float32."""
        with self._lock:
            if not self._coarse:
                if len(self) > MOST:
                    raise MatrixError(f"{len(self):,} classes are too many to be seen as a whole; zoom in")
                self._coarse[FINE + 1] = self._pass(1 << (FINE + 1))
            for one in range(max(self._coarse) + 1, level + 1):
                sums, greatest = self._coarse[one - 1]
                self._coarse[one] = (_halved(sums, np.add), _halved(greatest, _furthest))
            return self._coarse[level]

    def _pass(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        side = -(-len(self) // step)
        sums, greatest = np.empty((2, side, side), np.float32)
        for row in range(side):
            self.check()
            sums[[row]], greatest[[row]] = self._read(slice(row, row + 1), slice(0, side), step)
        return sums, greatest


def _furthest(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return of two numbers what is further from 0."""
    return np.where(np.abs(other) > np.abs(one), other, one)


def _halved(blocks: np.ndarray, of_two: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Return `of_two` of the four blocks that become one at the next level; at the border there are fewer."""
    side, is_odd = -(-len(blocks) // 2), len(blocks) % 2
    halved = np.empty((side, side), np.float32)
    # In strips: as a whole it would take more memory than the blocks themselves.
    for top in range(0, side, TILE):
        strip = blocks[2 * top : 2 * (top + TILE)]
        padded = np.pad(strip, ((0, len(strip) % 2), (0, is_odd)))
        rows = of_two(padded[::2], padded[1::2])
        halved[top : top + TILE] = of_two(rows[:, ::2], rows[:, 1::2])
    return halved
