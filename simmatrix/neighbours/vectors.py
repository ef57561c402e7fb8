"""The nearest of many vectors by their cosine, exact, in the memory of the vectors and of some rows.

Bits. A product of matrices rounds by how its sums are put together, which differs with the place of a row, the size of
a block and the machine. So each number of a unit vector is a multiple of 2^-26 that float32 holds: products are
multiples of 2^-52, sums of them stay below 2, and float64 holds them all. A dot product in float64 is then exact, in
whatever order its terms are added, and a cosine is it times the two lengths' inverses: the same bits by any way.

Speed. Candidates are found by products in float32, whose error has a bound: whatever may be among the nearest is kept,
and computed exactly.

The dense matrix of few classes is made of products in float64 instead, so that a lower bound near 1 is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from simmatrix import normalise
from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined, kth_greatest, raw_type
from simmatrix.shapes import Float, Int

_GRID = 2.0**26
# A block of float32 products and the factors that go into it fit the cache of a core.
_ROWS, _COLUMNS = 256, 1024
# Rows of a dense product that are worked out at a time.
_BLOCK = 1024
# Numbers of vectors that are rounded at a time, or multiplied exactly: they fit the cache.
_EXACT = 1 << 16
# Above so many candidates a row, in units of what is kept, those that were overtaken are let go; and if more than so
# many are left, since very many vectors are the same, the rows are done in two halves.
_CROWDED, _MANY = 4, 16


class Cosines(Source):
    """The cosines of C vectors.

    Parameters
    ----------
    unit
        (C, d), of length 1 up to rounding, float32 or float64.
    is_rounded
        Whether they are multiples of 2^-26 in float32 already. Then the array is kept, and not copied.

    Examples
    --------
    >>> source = Cosines(np.array([[1, 0], [0.6, 0.8], [0, 1]]))
    >>> indices, values, counts = source.nearest(np.array([0, 1]), 1, Finish())
    >>> indices.tolist(), values.round(3).tolist(), counts.tolist()
    ([0, 1, 1, 2], [1.0, 0.6000000238418579, 1.0, 0.800000011920929], [2, 2])
    """

    def __init__(self, unit: Float[np.ndarray, "C d"], *, is_rounded: bool = False) -> None:
        # Rows are gathered later. From an array that lies column by column this would take a thousand times as long.
        self.vectors: Float[np.ndarray, "C d"] = unit if is_rounded else np.empty(unit.shape, np.float32)
        self.inverses = np.empty(len(unit))
        for rows in slices(len(unit), max(1, _EXACT // unit.shape[1])):
            if not is_rounded:
                self.vectors[rows] = _on_grid(unit[rows])
            exact = self.vectors[rows].astype(np.float64)
            self.inverses[rows] = 1 / np.sqrt(np.einsum("ij,ij->i", exact, exact))
        self._unit = unit if len(unit) <= normalise.EXACT_UP_TO else None

    @classmethod
    def of(cls, parts: Iterator[Float[np.ndarray, "n d"]], count: int) -> Cosines:
        """Return the cosines of `count` vectors that come in parts (n, d), float64: many are never held in float64."""
        first = next(parts)
        is_few = count <= normalise.EXACT_UP_TO
        unit = np.empty((count, first.shape[1]), np.float64 if is_few else np.float32)
        at = 0
        for part in chain([first], parts):
            # To the grid before float32, as the constructor rounds: the other way round some would be another number.
            unit[at : at + len(part)] = part if is_few else _on_grid(part)
            at += len(part)
        return cls(unit, is_rounded=not is_few)

    def __len__(self) -> int:
        return len(self.vectors)

    def dense(self) -> Float[np.ndarray, "C C"]:
        count = len(self)
        if self._unit is not None:
            return cosine(self._unit)
        values = np.empty((count, count), np.float32)
        for rows in slices(count, _BLOCK):
            left = self.vectors[rows].astype(np.float64)
            # The upper triangle, mirrored.
            for columns in slices(count, _BLOCK, rows.start):
                block = self._scaled(left @ self.vectors[columns].astype(np.float64).T, rows, columns)
                values[rows, columns] = block
                values[columns, rows] = block.T
        return values

    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        products = self.vectors[rows].astype(np.float64) @ self.vectors[columns].astype(np.float64).T
        return self._scaled(products, rows, columns).astype(raw_type(len(self)))

    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        return joined([self._nearest(rows[part], count, finish) for part in slices(len(rows), _ROWS)])

    def pairs(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the raw similarities of pairs of classes."""
        values = np.empty(len(rows), raw_type(len(self)))
        for part in slices(len(rows), max(1, _EXACT // self.vectors.shape[1])):
            one, other = rows[part], columns[part]
            left, right = (self.vectors.take(side, axis=0).astype(np.float64) for side in (one, other))
            values[part] = np.vecdot(left, right) * (self.inverses[one] * self.inverses[other])
        return values

    def _scaled(self, products: np.ndarray, rows: slice | np.ndarray, columns: slice | np.ndarray) -> np.ndarray:
        products *= np.multiply.outer(self.inverses[rows], self.inverses[columns])
        return products

    def _nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        left = self.vectors[rows]
        candidates = Candidates(len(rows), count + 1, finish.bound, left.shape[1])
        everyone = np.arange(len(rows))
        products = np.empty((len(rows), _COLUMNS), np.float32)
        for part in slices(len(self), _COLUMNS):
            block = products[:, : part.stop - part.start]
            np.matmul(left, self.vectors[part].T, out=block)
            if not candidates.add(block, everyone, part.start):
                middle = len(rows) // 2
                halves = (rows[:middle], rows[middle:])
                return joined([self._nearest(half, count, finish) for half in halves])
        owners, columns, _ = candidates.settled()
        return best_of(rows, owners, columns, finish(self.pairs(rows[owners], columns)), count)


def _on_grid(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the nearest multiples of 2^-26."""
    nearest: np.ndarray = np.rint(values * _GRID) / _GRID
    return nearest


class Candidates:
    """All that may be among the nearest of some rows, by products in float32.

    Parameters
    ----------
    rows
        How many rows.
    count
        How many candidates a row asks for. Those that are overtaken by so many others are let go.
    bound
        What is not above it counts for nothing.
    width
        How many dimensions the vectors have.
    """

    def __init__(self, rows: int, count: int, bound: float, width: int) -> None:
        self.count = count
        # Of a product in float32: d rounded products and sums of numbers whose sizes add up to 1 at most (Cauchy and
        # Schwarz), and two vectors whose lengths are 1 but for their grid.
        error = (width + 4) * 2.0**-24 + np.sqrt(width) * 2.0**-25
        # What is within it of the last that counts may come before that, and so may what rounds to the same similarity.
        self.slack = np.float32(2 * error + 2.0**-22)
        self.floor = np.float32(max(bound - float(self.slack), -1.0))
        self._least, self._is_fresh = np.full(rows, self.floor), np.full(rows, True)
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting, self._limit = 0, _CROWDED * rows * count

    def add(self, block: Float[np.ndarray, "n m"], owners: Int[np.ndarray, " n"], first: int) -> bool:
        """Add products of some rows with the columns from `first` on.

        False where so many are equally near that the memory would not hold those of several rows.
        """
        least = self._least[owners]
        if block.shape[1] >= self.count and (fresh := np.flatnonzero(self._is_fresh[owners])).size:
            last = np.partition(block[fresh], -self.count, axis=1)[:, -self.count]
            least[fresh] = np.maximum(last - self.slack, least[fresh])
            self._least[owners], self._is_fresh[owners] = least, False
        places = np.flatnonzero(block >= least[:, None])
        inside, columns = np.divmod(places.astype(np.int32), np.int32(block.shape[1]))
        self._found.append((owners[inside], columns + np.int32(first), block.ravel()[places]))
        self._waiting += len(places)
        if self._waiting > self._limit:
            left = len(self.settled()[0])
            return len(self._least) == 1 or left <= _MANY * len(self._least) * self.count
        return True

    def settled(self) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Return those that are not overtaken: the row's position, the column and the product."""
        owners, columns, values = (np.concatenate(arrays) for arrays in zip(*self._found, strict=True))
        full, last = kth_greatest(owners, values, len(self._least), self.count)
        self._least[full] = np.maximum(self._least[full], last - self.slack)
        keep = np.flatnonzero(values >= self._least[owners])
        self._found = [(owners[keep], columns[keep], values[keep])]
        self._waiting = 0
        return self._found[0]


@np.errstate(under="ignore")
def cosine(unit: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "C C"]:
    """Return the cosine of the angle between each two rows of length 1, in float64; symmetric to the last bit.

    The order of the rows changes nothing but the order of the result, not even the last bit.
    """
    count = len(unit)
    # A product of matrices rounds by where a row stands, so the rows are put in an order of their own.
    order = np.array(sorted(range(count), key=lambda row: unit[row].tobytes()), dtype=np.intp)
    values = np.empty((count, count))
    # By blocks of the upper triangle, mirrored: both halves round alike.
    for top in range(0, count, _BLOCK):
        rows = order[top : top + _BLOCK]
        for left in range(top, count, _BLOCK):
            columns = order[left : left + _BLOCK]
            block = unit[rows] @ unit[columns].T
            if left == top:
                block = np.triu(block) + np.triu(block, 1).T
            values[np.ix_(rows, columns)] = block
            values[np.ix_(columns, rows)] = block.T
    return values


def slices(count: int, size: int, first: int = 0) -> Iterator[slice]:
    """Divide the places from `first` to before `count` into slices of a size."""
    return (slice(start, min(start + size, count)) for start in range(first, count, size))
