"""The nearest of many vectors, not all of them: an inverted file (Jégou et al. 2011) whose centres FAISS trains.

Each class is in the cell of the centre nearest to it. A class is compared with those of the cells nearest to it, and
then with those of each cell in which another one is likely to be nearer than what was found. How likely is enough is
set by some classes, and the recall is measured on others: the exact way tells the neighbours of both, each class itself
not counted. All classes that look at one cell are compared with it at once, by one product of matrices. FAISS's own
search (Douze et al. 2024) looks at one class after the other. The similarities of what is found are exact.

Bits. What is looked at must not depend on which classes are asked for together, so products with the cells' means are
exact in float32: both are rounded to multiples of 2^-11, whose products are multiples of 2^-22 below 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from simmatrix.errors import SourceError
from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined, kth_greatest
from simmatrix.neighbours.vectors import Candidates, Cosines, slices
from simmatrix.normalise import sampled
from simmatrix.provenance import Step
from simmatrix.shapes import Bool, Float, Int

_GRID = 2.0**11
# Vectors a centre and rounds of training by FAISS, and rounds after it with all vectors.
_TRAINED, _ROUNDS, _ROUNDS_OF_ALL = 16, 4, 2
# How many cells, and how many times as many classes as are kept, are looked at first.
_NEAR, _NEAR_CLASSES = 8, 4
# To compare more than this share of the classes costs as much as the exact way.
_MOST = 0.5
# Rows that are searched for at a time; of rows and cells whose products are made at a time; of rows and classes.
_ROWS, _LOOKED, _BLOCK, _COLUMNS = 1 << 15, 256, 1 << 9, 1 << 9
# Fewer rows at a time where together they look at more cells than this; each neighbour to keep takes as much as three.
_HELD = 1 << 22
# What rounding may take off a product less a score times a spread.
_ROUNDING = np.float32(2.0**-20)


class Approximate(Source):
    """Vectors of which each class is compared with some.

    Parameters
    ----------
    exact
        The vectors.
    count
        How many neighbours are asked for.
    finish
        What becomes of the similarities.
    recall
        The share of the exact neighbours of some classes that has to be found, in (0, 1].

    Raises
    ------
    SourceError
        If FAISS is not installed, the recall is not reached, or about as many would have to be compared as the exact
        way compares.
    """

    def __init__(self, exact: Cosines, count: int, finish: Finish, recall: float) -> None:
        self.exact = exact
        vectors, size = exact.vectors, len(exact)
        centres = _trained(vectors, min(2 ** round(math.log2(4 * math.sqrt(size))), size))
        cells = _cells(vectors, centres)
        for _ in range(_ROUNDS_OF_ALL):
            means = _means(vectors, cells, len(centres))
            lengths = np.linalg.norm(means, axis=1, keepdims=True)
            centres = _coarse(np.where(lengths > 0, means / np.where(lengths > 0, lengths, 1), centres))
            cells = _cells(vectors, centres)
        # A cell without classes has no mean: a class that is unlike all others would find its 0 nearest.
        used, cells = np.unique(cells, return_inverse=True)
        self._order = np.argsort(cells, kind="stable")
        self._starts = np.searchsorted(cells[self._order], np.arange(len(used) + 1))
        # The vectors once more, cell by cell.
        self._members = vectors[self._order]
        means = _means(vectors, cells, len(used))
        # How far the classes of a cell are from their mean, in any one direction.
        self._spreads = np.sqrt(np.maximum(1 - np.square(means).sum(axis=1), 1e-6)).astype(np.float32)
        self._means = _coarse(means)
        self._gap, self._least_score, self._looked = np.float32(0), np.float32(np.inf), 1
        # Whether all sampled classes have as many neighbours above the bound as are asked for.
        self._are_full = False
        self.settings: Step = {"search": "faiss", "cells": len(used), **self._set(cells, count, finish, recall)}

    def _set(self, cells: Int[np.ndarray, " C"], count: int, finish: Finish, recall: float) -> Step:
        """Set which cells are looked at, and return the share of classes in them, and the recall.

        One half of the sampled classes sets it, the other measures the recall. Where that is too low, it is set once
        more, for a recall that is higher by what was missing and by a tenth of what may be missed.
        """
        rows = sampled(len(self))
        setting, measuring = rows[::2], rows[1::2]
        exact = [self.exact.nearest(some, count, finish) for some in (setting, measuring)]
        self._are_full = all(bool((found.counts > count).all()) for found in exact)
        owners, columns = np.divmod(self._others(setting, exact[0]), len(self))
        wanted = self._others(measuring, exact[1])
        sizes = np.diff(self._starts)
        products = self._products(setting)
        gaps = products.max(axis=1, keepdims=True) - products
        # Of the nearest cells, so many that there is enough in them.
        nearest = np.argsort(gaps, axis=1, kind="stable")
        enough = min(max(_NEAR * len(self) // len(sizes), _NEAR_CLASSES * (count + 1)), len(self))
        last = np.argmax(np.cumsum(sizes[nearest], axis=1) >= enough, axis=1)
        near = gaps[np.arange(len(setting)), nearest[np.arange(len(setting)), last]]
        # The median, one of them: a difference of products, which is exact as these are.
        self._gap = np.sort(near)[len(near) // 2]
        # How likely it is that a cell holds classes more similar than the last one so far: of no unit.
        scores = (products - self._last_near(setting, count, finish.bound)[:, None]) / self._spreads
        scores[gaps <= self._gap] = np.inf
        ranked = np.sort(scores[owners, cells[columns]])[::-1]
        target, reached = recall, 0.0
        for _time in range(2):
            # Where no class has a neighbour above the bound, none is missed, and the nearest cells are enough.
            if len(ranked):
                self._least_score = ranked[math.ceil(min(target, 1) * len(ranked)) - 1]
            is_looked_at = scores >= self._least_score
            self._looked = math.ceil(is_looked_at.sum(axis=1).mean())
            share = float((is_looked_at @ sizes).mean()) / len(self)
            if share > _MOST:
                raise SourceError(
                    f"to find {recall:.1%} of the {count} nearest, each class would have to be compared with "
                    f'{share:.0%} of all, which takes as long as all; take search="exact", a smaller recall, or fewer '
                    "neighbours"
                )
            found = self._others(measuring, self.nearest(measuring, count, finish))
            reached = float(np.isin(wanted, found).mean()) if len(wanted) else 1.0
            if reached >= recall:
                return {"compared": round(share, 4), "recall": round(reached, 4), "measured_rows": len(measuring)}
            target = recall + (recall - reached) + (1 - recall) / 10
        raise SourceError(
            f"of the {count} nearest of {len(measuring)} classes, {reached:.2%} were found where {recall:.1%} have to "
            'be; take search="exact", or a smaller recall'
        )

    def _others(self, rows: Int[np.ndarray, " n"], found: Rows) -> Int[np.ndarray, " m"]:
        """Return the neighbours of some classes, but not each itself: its place times C, plus the neighbour."""
        owners = np.repeat(np.arange(len(rows)), found.counts)
        return np.asarray((owners * len(self) + found.indices)[found.indices != rows[owners]])

    def __len__(self) -> int:
        return len(self.exact)

    def dense(self) -> Float[np.ndarray, "C C"]:
        return self.exact.dense()

    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        return self.exact.block(rows, columns)

    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        size = min(_ROWS, max(1, _HELD // max(self._looked, 3 * (count + 1))))
        found = joined([self._nearest(rows[part], count, finish) for part in slices(len(rows), size)])
        short = np.flatnonzero(found.counts <= count)
        if not (self._are_full and len(short)):
            return found
        # A class that is alone in its cell, or nearly, may find fewer than there are: it is compared with all.
        whole = self.exact.nearest(rows[short], count, finish)
        spans = dict(zip(short.tolist(), pairwise(whole.starts.tolist()), strict=True))

        def row(place: int) -> Rows:
            first, last = spans[place]
            return Rows(whole.indices[first:last], whole.values[first:last], np.array([last - first]))

        return found.replaced(short, row)

    def _nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        candidates = self._candidates(rows, count, finish.bound)
        if self._compare_near(rows, candidates):
            least = self._last(rows, candidates, count, finish.bound) - _ROUNDING

            # Of a score, solved for the product: fewer passes over all cells.
            owners, cells, gaps = self._looks(
                rows, lambda products, part: products - self._least_score * self._spreads >= least[part, None]
            )
            is_far = gaps > self._gap
            if self._compare(rows, candidates, owners[is_far], cells[is_far]):
                owners, members, _ = candidates.settled()
                columns = self._order[members]
                return best_of(rows, owners, columns, finish(self.exact.pairs(rows[owners], columns)), count)
        # Very many are the same.
        middle = len(rows) // 2
        return joined([self._nearest(rows[:middle], count, finish), self._nearest(rows[middle:], count, finish)])

    def _candidates(self, rows: Int[np.ndarray, " n"], count: int, bound: float) -> Candidates:
        return Candidates(len(rows), count + 1, bound, self._members.shape[1])

    def _products(self, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n m"]:
        return np.asarray(_coarse(self.exact.vectors[rows]) @ self._means.T)

    def _last(
        self, rows: Int[np.ndarray, " n"], candidates: Candidates, count: int, bound: float
    ) -> Float[np.ndarray, " n"]:
        """Return the similarity of the last candidate that counts, the same whichever rows there are besides."""
        owners, members, values = candidates.settled()
        last = np.full(len(rows), bound, np.float32)
        full, rough = kth_greatest(owners, values, len(rows), count + 1)
        last[full] = rough
        # What may be the last one is computed exactly.
        near = np.flatnonzero(np.abs(values - last[owners]) <= candidates.slack)
        values = values.copy()
        values[near] = self.exact.pairs(rows[owners[near]], self._order[members[near]])
        # How many there are below the bound depends on rounding.
        last[full] = np.maximum(kth_greatest(owners, values, len(rows), count + 1)[1], np.float32(bound))
        return last

    def _last_near(self, rows: Int[np.ndarray, " n"], count: int, bound: float) -> Float[np.ndarray, " n"]:
        candidates = self._candidates(rows, count, bound)
        if self._compare_near(rows, candidates):
            return self._last(rows, candidates, count, bound)
        middle = len(rows) // 2
        return np.concatenate([self._last_near(half, count, bound) for half in (rows[:middle], rows[middle:])])

    def _compare_near(self, rows: Int[np.ndarray, " n"], candidates: Candidates) -> bool:
        """Compare rows with the nearest cells, as `_compare` does: the nearest one first."""
        owners, cells, gaps = self._looks(
            rows, lambda products, _part: products >= products.max(axis=1, keepdims=True) - self._gap
        )
        return all(self._compare(rows, candidates, owners[some], cells[some]) for some in (gaps == 0, gaps > 0))

    def _looks(
        self,
        rows: Int[np.ndarray, " n"],
        choose: Callable[[Float[np.ndarray, "n m"], slice], Bool[np.ndarray, "n m"]],
    ) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " l"], Float[np.ndarray, " l"]]:
        """Return which rows look at which cells, by cell, and how much nearer the nearest one is."""
        found = []
        for part in slices(len(rows), _LOOKED):
            products = self._products(rows[part])
            places = np.flatnonzero(choose(products, part))
            owners, cells = np.divmod(places.astype(np.int32), np.int32(products.shape[1]))
            gaps = products.max(axis=1)[owners] - products.ravel()[places]
            found.append((owners + np.int32(part.start), cells, gaps))
        owners, cells, gaps = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        # Of 16 bits, which are sorted by counting.
        order = np.argsort(cells.astype(np.uint16), kind="stable")
        return owners[order], cells[order], gaps[order]

    def _compare(
        self,
        rows: Int[np.ndarray, " n"],
        candidates: Candidates,
        owners: Int[np.ndarray, " l"],
        cells: Int[np.ndarray, " l"],
    ) -> bool:
        """Compare rows with all classes of the cells that they look at; return whether there was room."""
        left = self.exact.vectors[rows]
        # Written to again and again: memory that is new each time costs as much as the products.
        space = np.empty(_BLOCK * _COLUMNS, np.float32)
        looks = np.searchsorted(cells, np.arange(len(self._means) + 1)).tolist()
        for (first, last), (start, stop) in zip(pairwise(looks), pairwise(self._starts.tolist()), strict=True):
            for looking in slices(last, _BLOCK, first):
                some = owners[looking]
                one = left.take(some, axis=0)
                for part in slices(stop, _COLUMNS, start):
                    there = self._members[part]
                    block = space[: len(one) * len(there)].reshape(len(one), -1)
                    if not candidates.add(np.matmul(one, there.T, out=block), some, part.start):
                        return False
        return True


def _coarse(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return np.asarray(np.rint(vectors * np.float32(_GRID)) / np.float32(_GRID), np.float32)


def _cells(vectors: Float[np.ndarray, "C d"], centres: Float[np.ndarray, "m d"]) -> Int[np.ndarray, " C"]:
    """Return the centre nearest to each vector."""
    parts = slices(len(vectors), _LOOKED)
    return np.concatenate([(_coarse(vectors[part]) @ centres.T).argmax(axis=1) for part in parts])


def _means(vectors: Float[np.ndarray, "C d"], cells: Int[np.ndarray, " C"], count: int) -> Float[np.ndarray, "m d"]:
    """Return the mean of the vectors of each cell, 0 of none."""
    size = len(vectors)
    inside = csr_array((np.ones(size, np.float32), cells, np.arange(size + 1)), shape=(size, count))
    return np.asarray((inside.T @ vectors) / np.maximum(np.bincount(cells, minlength=count), 1)[:, None])


def library() -> Any:
    """Return the module faiss; `SourceError` if it is not installed."""
    try:
        import faiss
    except ImportError:
        raise SourceError(
            'search="faiss" needs the library faiss-cpu; install it: pip install "simloss[scale]"'
        ) from None
    return faiss


def _trained(vectors: Float[np.ndarray, "C d"], count: int) -> Float[np.ndarray, "m d"]:
    """Return the centres that FAISS finds, of length 1."""
    faiss = library()
    width = vectors.shape[1]
    training: Any = faiss.Clustering(width, count)
    training.spherical, training.niter = True, _ROUNDS
    training.max_points_per_centroid, training.min_points_per_centroid = _TRAINED, 1
    # Sums of several threads round by how they divide the work, and then other centres come out.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        training.train(vectors, faiss.IndexFlatIP(width))
    finally:
        faiss.omp_set_num_threads(threads)
    return _coarse(faiss.vector_to_array(training.centroids).reshape(count, width))
