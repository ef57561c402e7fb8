"""What gives similarities without a C x C matrix: the contract of all sources, and how the best of a row are chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from simmatrix import normalise
from simmatrix.forms import Dense, Toeplitz
from simmatrix.shapes import Float, Int

_Prepared = TypeVar("_Prepared")


def raw_type(count: int) -> type[np.float64] | type[np.float32]:
    """Return the type of number in which raw similarities of `count` classes are given.

    A lower bound near 1 is exact in float64.
    """
    return np.float64 if count <= normalise.EXACT_UP_TO else np.float32


class Rows(NamedTuple):
    """Some rows of a CSR matrix, one after the other.

    Parameters
    ----------
    indices
        The columns, ascending in each row, the row's own among them; int32.
    values
        Similarities in (0, 1], the row's own 1; float32.
    counts
        How many entries each row has; int64.
    """

    indices: Int[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    counts: Int[np.ndarray, " rows"]

    @property
    def starts(self) -> Int[np.ndarray, " rows1"]:
        """Where each row begins, and where the last one ends."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    def last(self, rows: Int[np.ndarray, " rows"], count: int) -> Float[np.ndarray, " rows"]:
        """Return the least similarity that stands in each of these rows, 0 where there is room for one of `count`."""
        others = np.where(self.indices == np.repeat(rows, self.counts), np.float32(2), self.values)
        least = np.minimum.reduceat(others, self.starts[:-1])
        least[self.counts <= count] = 0
        return least

    def replaced(self, places: Int[np.ndarray, " n"], row: Callable[[int], Rows]) -> Rows:
        """Return the rows with some of them made anew, each by itself."""
        if not len(places):
            return self
        spans = pairwise(self.starts.tolist())
        rows = [Rows(self.indices[a:b], self.values[a:b], np.array([b - a])) for a, b in spans]
        for place in places.tolist():
            rows[place] = row(place)
        return joined(rows)


@dataclass(frozen=True)
class Finish:
    """What becomes of raw similarities in [-1, 1]: negative ones are 0, then the lower bound is taken off."""

    bound: float = 0.0

    def __call__(self, raw: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the values in [0, 1] as `simmatrix.normalise.normalise` does: in float64, rounded to float32 once."""
        functions: list[Callable[..., np.ndarray]] = [normalise.clip]
        if self.bound > 0:
            functions.append(partial(normalise.lower_bound, bound=self.bound))
        work = np.array(raw, np.float64)
        with np.errstate(under="ignore"):
            for function in functions:
                function(work, out=work)
            return work.astype(np.float32)


class Source(ABC):
    """The similarities of C classes, symmetric. A source can be pickled, so that any process can make some rows."""

    _prepared: tuple[int, Any] | None = None

    def prepared(self, count: int, prepare: Callable[[int], _Prepared]) -> _Prepared:
        """Return what a search for `count` neighbours needs of all classes: made once a process, and not pickled."""
        if self._prepared is None or self._prepared[0] != count:
            self._prepared = count, prepare(count)
        found: _Prepared = self._prepared[1]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_prepared"}

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of classes."""

    @abstractmethod
    def dense(self) -> Float[np.ndarray, "C C"]:
        """Return all raw similarities, of type `raw_type`."""

    def finished(self, finish: Finish) -> Dense | Toeplitz:
        """Return the dense matrix with a lower bound taken off and a diagonal of ones."""
        return normalise.normalise(self.dense(), bound=finish.bound, symmetrise=False)[0]

    @abstractmethod
    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        """Return the raw similarities of some classes with some others, to the last bit those of `dense`."""

    @abstractmethod
    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        """Return the `count` greatest similarities above 0 of some classes to others, and 1 for each itself.

        Of equal values the class that comes first is kept: the rows are those of the dense matrix's `top_k`.
        """


def kth_greatest(
    owners: Int[np.ndarray, " m"], values: Float[np.ndarray, " m"], rows: int, count: int
) -> tuple[Int[np.ndarray, " full"], Float[np.ndarray, " full"]]:
    """Return the rows that have `count` values or more, ascending, and the `count`-th greatest of each; float32."""
    # By row, and in a row the greatest first: one number to sort by, of the row and of the bits of a float32.
    bits = values.view(np.int32)
    keys = (owners.astype(np.int64) << 32) - np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys.sort()
    starts = np.searchsorted(keys, (np.arange(rows + 1) << 32) - (1 << 31))
    full = np.flatnonzero(np.diff(starts) >= count)
    bits = ((full << 32) - keys[starts[full] + count - 1]).astype(np.int32)
    return full, np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32).view(np.float32)


def best_of(
    rows: Int[np.ndarray, " n"],
    owners: Int[np.ndarray, " m"],
    columns: Int[np.ndarray, " m"],
    values: Float[np.ndarray, " m"],
    count: int,
) -> Rows:
    """Return the best of candidates.

    Parameters
    ----------
    rows
        The classes whose neighbours are asked for.
    owners, columns, values
        Candidates: for which of the rows, which class, and how similar it is; float32. None is there twice.
    count
        How many others each row keeps.
    """
    keep = np.flatnonzero((values > 0) & (columns != rows[owners]))
    everyone = np.arange(len(rows))
    # Each class itself is there before all others, and so never left out.
    owners = np.concatenate([owners[keep], everyone])
    columns = np.concatenate([columns[keep], rows])
    values = np.concatenate([values[keep], np.full(len(rows), 2, np.float32)])
    order = np.argsort((owners << 32) + columns)
    owners, columns, values = owners[order], columns[order], values[order]
    least = np.zeros(len(rows), np.float32)
    full, last = kth_greatest(owners, values, len(rows), count + 1)
    least[full] = last
    is_kept = values > least[owners]
    # Of those as good as the last one, the first for which there is room.
    tied = np.flatnonzero(values == least[owners])
    room = count + 1 - np.bincount(owners[is_kept], minlength=len(rows))
    place = np.arange(len(tied)) - np.searchsorted(owners[tied], owners[tied])
    is_kept[tied[place < room[owners[tied]]]] = True
    counts = np.bincount(owners[is_kept], minlength=len(rows))
    return Rows(columns[is_kept].astype(np.int32), np.minimum(values[is_kept], np.float32(1)), counts)


def joined(parts: list[Rows]) -> Rows:
    """Return pieces of rows as one."""
    return Rows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
