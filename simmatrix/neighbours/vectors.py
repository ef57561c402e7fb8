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

import numpy as np

from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined, raw_type
from simmatrix.shapes import Float, Int

_GRID = 2.0**26
# A block of float32 products and the factors that go into it fit the cache of a core.
_ROWS, _COLUMNS = 256, 1024
# Rows of a dense product that are worked out at a time.
_BLOCK = 1024
# Pairs of vectors that are multiplied exactly at a time, in numbers.
_EXACT = 1 << 22
# Above so many candidates a row, in units of what is kept, those that were overtaken are let go; and if more than so
# many are left, since very many vectors are the same, the rows are done in two halves.
_CROWDED, _MANY = 4, 16


class Cosines(Source):
    """The cosines of C vectors.

    Parameters
    ----------
    unit
        (C, d), of length 1 up to rounding, float32 or float64.

    Examples
    --------
    >>> source = Cosines(np.array([[1, 0], [0.6, 0.8], [0, 1]]))
    >>> indices, values, counts = source.nearest(np.array([0, 1]), 1, Finish())
    >>> indices.tolist(), values.round(3).tolist(), counts.tolist()
    ([0, 1, 1, 2], [1.0, 0.6000000238418579, 1.0, 0.800000011920929], [2, 2])
    """

    def __init__(self, unit: Float[np.ndarray, "C d"]) -> None:
        self.vectors: Float[np.ndarray, "C d"] = np.empty(unit.shape, np.float32)
        self.inverses = np.empty(len(unit))
        for rows in _slices(len(unit), max(1, _EXACT // unit.shape[1])):
            self.vectors[rows] = np.rint(unit[rows] * _GRID) / _GRID
            exact = self.vectors[rows].astype(np.float64)
            self.inverses[rows] = 1 / np.sqrt(np.einsum("ij,ij->i", exact, exact))
        self._unit = unit if raw_type(len(unit)) is np.float64 else None

    def __len__(self) -> int:
        return len(self.vectors)

    def dense(self) -> Float[np.ndarray, "C C"]:
        count = len(self)
        if self._unit is not None:
            return cosine(self._unit)
        values = np.empty((count, count), np.float32)
        for rows in _slices(count, _BLOCK):
            left = self.vectors[rows].astype(np.float64)
            # The upper triangle, mirrored.
            for columns in _slices(count, _BLOCK, rows.start):
                block = self._scaled(left @ self.vectors[columns].astype(np.float64).T, rows, columns)
                values[rows, columns] = block
                values[columns, rows] = block.T
        return values

    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        products = self.vectors[rows].astype(np.float64) @ self.vectors[columns].astype(np.float64).T
        return self._scaled(products, rows, columns).astype(raw_type(len(self)))

    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        return joined([self._nearest(rows[part], count, finish) for part in _slices(len(rows), _ROWS)])

    def pairs(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the raw similarities of pairs of classes."""
        values = np.empty(len(rows), raw_type(len(self)))
        for part in _slices(len(rows), max(1, _EXACT // self.vectors.shape[1])):
            left, right = (self.vectors[side[part]].astype(np.float64) for side in (rows, columns))
            values[part] = np.einsum("ij,ij->i", left, right) * (
                self.inverses[rows[part]] * self.inverses[columns[part]]
            )
        return values

    def _scaled(self, products: np.ndarray, rows: slice | np.ndarray, columns: slice | np.ndarray) -> np.ndarray:
        products *= np.multiply.outer(self.inverses[rows], self.inverses[columns])
        return products

    def _nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        found = self._candidates(rows, count, finish.bound)
        if found is None:
            middle = len(rows) // 2
            return joined([self._nearest(rows[:middle], count, finish), self._nearest(rows[middle:], count, finish)])
        owners, columns = found
        return best_of(rows, owners, columns, finish(self.pairs(rows[owners], columns)), count)

    def _candidates(
        self, rows: Int[np.ndarray, " n"], count: int, bound: float
    ) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]] | None:
        """Return all that may be among the nearest of each row: the row's position, ascending, and the class.

        None where so many are equally near that the memory would not hold those of several rows.
        """
        width = self.vectors.shape[1]
        # Of a product in float32: d rounded products and sums of numbers whose sizes add up to 1 at most (Cauchy and
        # Schwarz), and two vectors whose lengths are 1 but for their grid.
        error = (width + 4) * 2.0**-24 + np.sqrt(width) * 2.0**-25
        # What is within it of the last that counts may come before that, and so may what rounds to the same similarity.
        slack = np.float32(2 * error + 2.0**-22)
        left = self.vectors[rows]
        # One more than asked for: each class is nearest to itself.
        least = np.full(len(rows), max(bound - float(slack), -1.0), np.float32)
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        waiting = 0
        products = np.empty((len(rows), _COLUMNS), np.float32)
        for part in _slices(len(self), _COLUMNS):
            block = products[:, : part.stop - part.start]
            np.matmul(left, self.vectors[part].T, out=block)
            if part.start == 0 and block.shape[1] > count:
                least = np.maximum(least, np.partition(block, -count - 1, axis=1)[:, -count - 1] - slack)
            places = _places(block >= least[:, None])
            owners, columns = np.divmod(places, block.shape[1])
            found.append((owners, columns + part.start, block[owners, columns]))
            waiting += len(places)
            if waiting > _CROWDED * len(rows) * (count + 1):
                found = [_leading(found, len(rows), count + 1, slack, least)]
                waiting = 0
                if len(rows) > 1 and len(found[0][0]) > _MANY * len(rows) * (count + 1):
                    return None
        owners, columns, _ = _leading(found, len(rows), count + 1, slack, least)
        return owners, columns


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


def _leading(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: int, count: int, slack: np.float32, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the candidates that are not overtaken by `count` others, by row; raise what each row takes from now on."""
    owners, columns, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    # By row, and in a row the greatest first: one number to sort by, of the row and of the bits of a float32.
    bits = values.view(np.int32)
    order = np.argsort((owners << 32) - np.where(bits < 0, bits ^ 0x7FFFFFFF, bits))
    owners, columns, values = owners[order], columns[order], values[order]
    starts = np.searchsorted(owners, np.arange(rows + 1))
    full = np.flatnonzero(np.diff(starts) >= count)
    least[full] = np.maximum(least[full], values[starts[full] + count - 1] - slack)
    keep = values >= least[owners]
    return owners[keep], columns[keep], values[keep]


def _places(is_meant: np.ndarray) -> np.ndarray:
    """Return where a mask is true, in the flat array; eight at a time are passed over where none is."""
    flat = is_meant.ravel()
    if len(flat) % 8:
        return np.flatnonzero(flat)
    some = np.flatnonzero(flat.view(np.uint64))
    eight, inside = np.nonzero(flat.reshape(-1, 8)[some])
    return np.asarray(some[eight] * 8 + inside)


def _slices(count: int, size: int, first: int = 0) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(first, count, size))
