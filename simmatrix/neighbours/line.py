"""The nearest classes on a line or a circle, exact: those beside a class in the order of their positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined, raw_type
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import toeplitz_view

__all__ = ["Line"]

# Rows of a dense matrix that are worked out at a time, and candidates of some rows.
_BLOCK, _CANDIDATES = 64, 1 << 20


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

    def __init__(
        self,
        places: Float[np.ndarray, " C"],
        of_distance: Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]],
        *,
        circular: bool = False,
    ) -> None:
        self.places, self.of_distance, self.circular = places, of_distance, circular

    def __len__(self) -> int:
        return len(self.places)

    def dense(self) -> Float[np.ndarray, "C C"]:
        count, places = len(self), self.places
        if (steps := np.diff(places)).all() and abs(steps[0]) == 1 and (steps == steps[0]).all():
            row = self.of_distance(np.arange(count, dtype=np.float64))
            return toeplitz_view(np.concatenate([row[:0:-1], row]))
        values = np.empty((count, count), raw_type(count))
        for top in range(0, count, _BLOCK):
            rows = slice(top, top + _BLOCK)
            values[rows] = self.of_distance(np.abs(places[rows, None] - places))
        return values

    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        distances = np.abs(self.places[rows, None] - self.places[columns])
        return self.of_distance(distances).astype(raw_type(len(self)))

    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        step = max(1, _CANDIDATES // (2 * count + 3))
        parts = (rows[start : start + step] for start in range(0, len(rows), step))
        return joined([self._nearest(part, count, finish) for part in parts])
