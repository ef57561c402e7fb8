"""What a matrix becomes under a lower bound and with pairs set by hand, read in parts: it is never made as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from simmatrix import normalise
from simmatrix.forms import blocks
from simmatrix.matrix import SimilarityMatrix
from simmatrix.pairs import Pairs, checked
from simmatrix.shapes import Bool, Float, Int

BOUNDS = 4096
"""What is left under a lower bound that is a multiple of 1 / 4096 is known without another pass over the values."""


class Figures(NamedTuple):
    """What `simmatrix.summary.Counts` says of a matrix too; `isolated` is how many rows are the identity's."""

    influence: float
    density: float
    isolated: int


class Profile:
    """What one pass over the similarities of C distinct classes leaves, to tell at once what a lower bound does.

    Examples
    --------
    >>> profile = Profile(SimilarityMatrix(np.array([[1, 0.5], [0.25, 1]]), ("rose", "tulip")))
    >>> profile.nearest.tolist(), profile.above(0.25)
    ([0.5, 0.25], (1, 0.5))
    """

    def __init__(self, matrix: SimilarityMatrix) -> None:
        self.matrix = matrix
        self.nearest = np.zeros(len(matrix), np.float32)
        """(C), the greatest similarity of each class to another."""
        counts, sums = np.zeros(BOUNDS + 1), np.zeros(BOUNDS + 1)
        for rows, others in self._others():
            self.nearest[rows] = others.max(axis=1)
            positive = others[others > 0]
            # Step s holds what is above (s - 1) / BOUNDS and up to s / BOUNDS.
            steps = np.ceil(positive * np.float32(BOUNDS)).astype(np.intp)
            counts += np.bincount(steps, minlength=BOUNDS + 1)
            sums += np.bincount(steps, positive, BOUNDS + 1)
        self._counts, self._sums = (np.append(of_steps[::-1].cumsum()[::-1], 0) for of_steps in (counts, sums))

    def above(self, bound: float) -> tuple[int, float]:
        """Return how many similarities of distinct classes are above a lower bound, and their sum."""
        step = float(bound) * BOUNDS
        if step.is_integer():
            return int(self._counts[int(step) + 1]), float(self._sums[int(step) + 1])
        count, total = 0, 0.0
        for _, others in self._others():
            found = others[others > np.float64(bound)]
            count, total = count + len(found), total + float(found.sum(dtype=np.float64))
        return count, total

    def _others(self) -> Iterator[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n C"]]]:
        """Yield some classes at a time with their similarities to all, 0 to themselves."""
        size = len(self.matrix)
        for rows in blocks(np.broadcast_to(np.float32(0), (size, size))):
            places = np.arange(size)[rows]
            others = np.array(self.matrix.stored.block(rows), np.float32)
            others[np.arange(len(places)), places] = 0
            yield places, others


class _Edited:
    """Pairs set by hand in a matrix: where they stand, and what a lower bound needs to know of what stood there."""

    def __init__(self, matrix: SimilarityMatrix, pairs: Pairs | None) -> None:
        self.matrix = matrix
        self.pairs: Mapping[tuple[str, str], float] = checked(pairs) if pairs else {}
        ends = matrix.places([name for pair in self.pairs for name in pair])
        places = np.array(ends, np.intp).reshape(-1, 2)
        both = np.concatenate([places, places[:, ::-1]])
        # In the order of rows, so that those of some rows are found without looking at all.
        order = np.argsort(both[:, 0], kind="stable")
        self.rows, self.columns = both[order].T
        self.values = np.tile(np.array(list(self.pairs.values()), np.float32), 2)[order]

    def write(
        self, into: Float[np.ndarray, "n m"], rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"] | None
    ) -> None:
        """Write the pairs into what was read of some rows and columns."""
        starts, ends = (np.searchsorted(self.rows, rows, side) for side in ("left", "right"))
        counts = ends - starts
        down = np.repeat(np.arange(len(rows)), counts)
        found = np.arange(len(down)) + np.repeat(starts - (counts.cumsum() - counts), counts)
        right, values = self.columns[found], self.values[found]
        if columns is not None:
            at_column = np.full(len(self.matrix), -1)
            at_column[columns] = np.arange(len(columns))
            right = at_column[right]
            down, right, values = down[right >= 0], right[right >= 0], values[right >= 0]
        into[down, right] = values

    @cached_property
    def earlier(self) -> Float[np.ndarray, " n"]:
        """What stands there in the matrix."""
        return self.matrix.stored.at(np.stack([self.rows, self.columns]))

    @cached_property
    def touched(self) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """The classes of the pairs, their greatest similarity beside the pairs, and whether a pair is above 0."""
        classes = np.unique(self.rows)
        rest = np.empty(len(classes), np.float32)
        for part in blocks(np.broadcast_to(np.float32(0), (len(classes), len(self.matrix)))):
            some = classes[part]
            values = self.matrix.stored.entries(some)
            values[np.arange(len(some)), some] = 0
            at_row, columns = np.searchsorted(some, self.rows), self.columns
            is_here = np.isin(self.rows, some)
            values[at_row[is_here], columns[is_here]] = 0
            rest[part] = values.max(axis=1)
        return classes, rest, np.isin(classes, self.rows[self.values > 0])


class Preview:
    """A matrix under a lower bound, with pairs set by hand after it, as `lower_bound` and `with_pairs` make it.

    `profile` gives what a pass over the matrix found; it is called when it is needed. Raises `ParameterError` if the
    bound or a similarity is out of its range, and `ClassNotFoundError` if the matrix has no class of a name.

    Examples
    --------
    >>> matrix = SimilarityMatrix(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]), ("rose", "tulip", "truck"))
    >>> Preview(matrix, bound=0.2, pairs={("rose", "truck"): 0.1}).row(0).tolist()
    [1.0, 0.375, 0.10000000149011612]
    """

    def __init__(
        self,
        matrix: SimilarityMatrix,
        profile: Callable[[], Profile] | None = None,
        bound: float = 0.0,
        pairs: Pairs | None = None,
    ) -> None:
        normalise.check_lower_bound(bound)
        self.matrix, self.bound = matrix, bound
        self._edited = _Edited(matrix, pairs)
        self._find_profile = profile or partial(Profile, matrix)

    def under(self, bound: float) -> Preview:
        """Return the preview of another lower bound; what is known of the pairs is not worked out again."""
        normalise.check_lower_bound(bound)
        found = copy(self)
        found.bound = bound
        return found

    def __len__(self) -> int:
        return len(self.matrix)

    @cached_property
    def profile(self) -> Profile:
        """What a pass over the matrix found."""
        return self._find_profile()

    def entries(
        self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"] | None = None
    ) -> Float[np.ndarray, "n m"]:
        """Return what stands in some rows, and in some columns of these, in their order, as float32."""
        values = self._bounded(self.matrix.stored.entries(rows, columns))
        if len(self._edited.values):
            self._edited.write(values, rows, columns)
        return values

    def row(self, index: int) -> Float[np.ndarray, " C"]:
        """Return the similarities of a class to all."""
        return np.asarray(self.entries(np.array([index]))[0])

    def neighbours(self, index: int, count: int) -> list[tuple[int, float]]:
        """Return the `count` other classes most similar to a class, best first; equal ones in class order."""
        row = self.row(index)
        row[index] = 0
        if count < np.count_nonzero(row):
            # Only what may be among the best is sorted.
            row[row < np.partition(row, -count)[-count]] = 0
        near = np.flatnonzero(row)
        best = near[np.argsort(-row[near], kind="stable")][:count]
        return [(int(at), float(row[at])) for at in best]

    def isolated(self) -> Int[np.ndarray, " n"]:
        """Return the classes that are similar to no other."""
        alone = self.profile.nearest <= np.float64(self.bound)
        if len(self._edited.values):
            classes, rest, is_paired = self._edited.touched
            alone[classes] = (rest <= np.float64(self.bound)) & ~is_paired
        return np.flatnonzero(alone)

    def figures(self) -> Figures:
        """Return influence, density and the number of isolated classes."""
        size = len(self)
        count, total = self.profile.above(self.bound)
        total = (total - count * self.bound) / (1 - self.bound)
        if len(self._edited.values):
            earlier, values = self._bounded(self._edited.earlier), self._edited.values
            count += int(np.count_nonzero(values)) - int(np.count_nonzero(earlier))
            total += float(values.sum(dtype=np.float64) - earlier.sum(dtype=np.float64))
        return Figures(max(total, 0.0) / size, count / (size * (size - 1)), len(self.isolated()))

    def made(self) -> SimilarityMatrix:
        """Return the matrix itself, its lower bound and its pairs recorded as steps."""
        bounded = self.matrix.lower_bound(self.bound)
        return bounded.with_pairs(self._edited.pairs) if self._edited.pairs else bounded

    def _bounded(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        # In float64, and rounded once, as the matrix would be.
        return normalise.lower_bound(values.astype(np.float64), self.bound).astype(np.float32) if self.bound else values
