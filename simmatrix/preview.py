"""What a matrix becomes under a lower bound and with pairs set by hand, read in parts: it is never made as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from simmatrix import normalise
from simmatrix.forms import blocks
from simmatrix.matrix import SimilarityMatrix
from simmatrix.pairs import Pairs, checked
from simmatrix.shapes import Float, Int

BOUNDS = 4096
"""What is left under a lower bound that is a multiple of 1 / 4096 is known without another pass over the values."""


class Figures(NamedTuple):
    """What `simmatrix.summary.Counts` says of a matrix too; `isolated` is how many rows are the identity's."""

    influence: float
    density: float
    isolated: int


class Profile:
    """What one pass over the similarities of C distinct classes leaves, to tell at once what a lower bound does.

    Parameters
    ----------
    matrix
        Of any form.

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


class Preview:
    """A matrix under a lower bound, with pairs set by hand after it, as `lower_bound` and `with_pairs` make it.

    Parameters
    ----------
    matrix
        Of any form.
    profile
        Gives what a pass over the matrix found; called when it is needed.
    bound
        The lower bound, in [0, 1).
    pairs
        The similarity of pairs of distinct classes, of both directions.

    Raises
    ------
    ParameterError
        If the bound or a similarity is out of its range.
    ClassNotFoundError
        If the matrix has no class of a name.

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
        self.pairs: Mapping[tuple[str, str], float] = checked(pairs) if pairs else {}
        self._find_profile = profile or partial(Profile, matrix)
        places = np.array([matrix.places(pair) for pair in self.pairs], np.intp).reshape(-1, 2)
        self._set = np.concatenate([places, places[:, ::-1]]).T
        self._values = np.tile(np.array(list(self.pairs.values()), np.float32), 2)

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
        if len(self._values):
            # Where each class stands among the rows and columns asked for, if it does.
            at_row, at_column = np.full((2, len(self)), -1)
            at_row[rows] = np.arange(len(rows))
            at_column[slice(None) if columns is None else columns] = np.arange(values.shape[1])
            down, right = at_row[self._set[0]], at_column[self._set[1]]
            here = (down >= 0) & (right >= 0)
            values[down[here], right[here]] = self._values[here]
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
        for index in np.unique(self._set).tolist():
            alone[index] = not self.neighbours(index, 1)
        return np.flatnonzero(alone)

    def figures(self) -> Figures:
        """Return influence, density and the number of isolated classes."""
        size = len(self)
        count, total = self.profile.above(self.bound)
        total = (total - count * self.bound) / (1 - self.bound)
        if len(self._values):
            earlier = self._bounded(
                np.concatenate([self.matrix.stored.entries(at[:1], at[1:])[0] for at in self._set.T])
            )
            count += int(np.count_nonzero(self._values)) - int(np.count_nonzero(earlier))
            total += float(self._values.sum(dtype=np.float64) - earlier.sum(dtype=np.float64))
        return Figures(max(total, 0.0) / size, count / (size * (size - 1)), len(self.isolated()))

    def made(self) -> SimilarityMatrix:
        """Return the matrix itself, its lower bound and its pairs recorded as steps."""
        bounded = self.matrix.lower_bound(self.bound)
        return bounded.with_pairs(self.pairs) if self.pairs else bounded

    def _bounded(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        # In float64, and rounded once, as the matrix would be.
        return normalise.lower_bound(values.astype(np.float64), self.bound).astype(np.float32) if self.bound else values
