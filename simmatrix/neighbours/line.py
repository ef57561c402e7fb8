"""The nearest classes on a line or a circle, exact: those beside a class in the order of their positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined, raw_type
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import toeplitz_view

# Rows of a dense matrix that are worked out at a time, and candidates of some rows.
_BLOCK, _CANDIDATES = 64, 1 << 20
# A distance that bounds others is taken shorter by this share, so that rounding makes none of them more similar.
_ROUNDING = 1e-9
# A distance beyond float64 is infinite, and its similarity 0.
_no_warning = np.errstate(over="ignore", under="ignore")


class Line(Source):
    """Similarities that fall, or stay, with the distance of the classes' places.

    Parameters
    ----------
    places
        (C,), finite.
    of_distance
        The similarity of distances between places, none greater than that of a smaller one; can be pickled. It is given
        arrays of any shape.
    period
        How long the circle is; None for a line. Not shorter than the places are apart.
    """

    @_no_warning
    def __init__(
        self,
        places: Float[np.ndarray, " C"],
        of_distance: Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]],
        *,
        period: float | None = None,
    ) -> None:
        self.places, self.of_distance, self.period = places, of_distance, period
        steps = np.diff(places)
        self._is_even = bool(abs(steps[0]) == 1 and (steps == steps[0]).all())

    def __len__(self) -> int:
        return len(self.places)

    @_no_warning
    def dense(self) -> Float[np.ndarray, "C C"]:
        count, places = len(self), self.places
        if self._is_even:
            row = self.of_distance(np.arange(count, dtype=np.float64))
            return toeplitz_view(np.concatenate([row[:0:-1], row]))
        values = np.empty((count, count), raw_type(count))
        for top in range(0, count, _BLOCK):
            rows = slice(top, top + _BLOCK)
            values[rows] = self.of_distance(np.abs(places[rows, None] - places))
        return values

    @_no_warning
    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        distances = np.abs(self.places[rows, None] - self.places[columns])
        return self._raw(distances)

    def _raw(self, distances: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        # As many diagonals take no memory, they are float64 whatever their number.
        return self.of_distance(distances).astype(np.float64 if self._is_even else raw_type(len(self)))

    @_no_warning
    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        order = self.prepared(count, self._order)
        step = max(1, _CANDIDATES // (2 * count + 3))
        parts = (rows[start : start + step] for start in range(0, len(rows), step))
        return joined([self._nearest(part, count, finish, order, count + 1) for part in parts])

    def _order(self, count: int) -> Int[np.ndarray, " m"]:
        """Return the classes by their places."""
        order = np.lexsort((np.arange(len(self)), self.places))
        ordered = self.places[order]
        first = np.searchsorted(ordered, ordered)
        # Of more classes at one place than there is room for, the first count for everybody.
        return np.asarray(order[np.arange(len(order)) - first <= count])

    def _nearest(
        self, rows: Int[np.ndarray, " n"], count: int, finish: Finish, order: Int[np.ndarray, " m"], reach: int
    ) -> Rows:
        """Return the best among the `reach` classes on either side, and among more where these may be better."""
        size, places = len(order), self.places[order]
        middle = np.searchsorted(places, self.places[rows])
        seen = middle[:, None] + np.arange(-reach, reach + 1)
        is_all = 2 * reach + 1 >= size
        if is_all:
            seen = np.broadcast_to(np.arange(size), (len(rows), size))
        there = np.full(seen.shape, True) if self.period is not None else (seen >= 0) & (seen < size)
        owners, at = np.nonzero(there)
        columns = order[seen[owners, at] % size]
        values = self._raw(np.abs(self.places[rows[owners]] - self.places[columns]))
        found = best_of(rows, owners, columns, finish(values), count)
        if is_all:
            return found
        ends = np.stack([self.places[rows] - places[seen[:, 0] % size], places[seen[:, -1] % size] - self.places[rows]])
        if self.period is None:
            # Beyond an end there is nothing.
            ends[0, seen[:, 0] < 0], ends[1, seen[:, -1] >= size] = np.inf, np.inf
        else:
            ends %= self.period
        nearest = ends.min(axis=0)
        beyond = np.zeros(len(rows), np.float32)
        inside = np.isfinite(nearest)
        beyond[inside] = finish(self._raw(nearest[inside] * (1 - _ROUNDING)))
        doubtful = (beyond > 0) & (beyond >= found.last(rows, count))
        return found.replaced(
            np.flatnonzero(doubtful), lambda at: self._nearest(rows[[at]], count, finish, order, 2 * reach)
        )
