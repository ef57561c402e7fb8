"""The nearest classes in a taxonomy by any measure, exact, found by walking up from each class.

Two classes are as similar as their best common ancestor makes them. So each ancestor keeps the few classes below it
that are the nearest to it, and what may be near a class is what its ancestors keep: their number does not grow with C.

Whether more has to be looked at is told by what an ancestor left out. The first of that is at least as far from the
ancestor as all that it keeps, so it bounds the similarity of everything left out. Where that is below the last
neighbour found, the row is certain; where it equals it, it still is if what was left out comes later in the order of
classes. Any other row is computed whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simmatrix.forms import Dense, read_only
from simmatrix.neighbours.source import Finish, Rows, Source, best_of, joined, raw_type
from simmatrix.shapes import Bool, Float, Int
from simmatrix.taxonomy.graph import Taxonomy, slots
from simmatrix.taxonomy.measures import Content, pairing

# Rows worked on at a time, and about how many classes are looked at for them.
_ROWS, _CANDIDATES = 256, 1 << 20
_NONE = -1


class _Kept(NamedTuple):
    """What each ancestor keeps of the classes below it, and what it says of the others.

    Parameters
    ----------
    starts, counts, classes
        Ancestor i keeps ``classes[starts[i] : starts[i] + counts[i]]``.
    next_level, next_class
        The level of the first class that it leaves out and the first class of that level, -1 where it keeps all.
    further_level
        The next greater level that it leaves out; -1 where there is none.
    """

    starts: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"]
    classes: Int[np.ndarray, " m"]
    next_level: Int[np.ndarray, " n"]
    next_class: Int[np.ndarray, " n"]
    further_level: Int[np.ndarray, " n"]


class Tree(Source):
    """The similarities of C nodes of a taxonomy by one of `simmatrix.taxonomy.measures`.

    Parameters
    ----------
    taxonomy, nodes, measure, content
        As in `simmatrix.taxonomy.measures.taxonomy_values`, which is the dense form.

    Raises
    ------
    SourceError
        If two nodes have no common ancestor; names them.
    """

    def __init__(
        self, taxonomy: Taxonomy, nodes: Int[np.ndarray, " C"], measure: str, content: Content | None = None
    ) -> None:
        self._count = len(nodes)
        self.pairing = pairing(taxonomy, nodes, measure, content, raw_type(len(nodes)))

    def __len__(self) -> int:
        return self._count

    def dense(self) -> Float[np.ndarray, "C C"]:
        values = np.empty((len(self), len(self)), raw_type(len(self)))
        self.pairing.fill(values)
        return values

    def finished(self, finish: Finish) -> Dense:
        # Bounded as they are written: to read them again would take as long.
        values = np.empty((len(self), len(self)), np.float32)
        self.pairing.fill(values, finish)
        np.fill_diagonal(values, 1.0)
        return Dense(read_only(values))

    def block(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> Float[np.ndarray, "n m"]:
        values = np.empty((len(rows), len(columns)), raw_type(len(self)))
        for part in self._parts(len(rows), len(columns)):
            number = part.stop - part.start
            owners = np.repeat(np.arange(number), len(columns))
            found = self.pairing.values(rows[part], owners, np.tile(columns, number))
            values[part] = found.reshape(number, -1)
        return values

    def nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish) -> Rows:
        kept = self.prepared(count + 1, self._kept)
        # What the ancestors of a class keep: at most as many times `count` as it has ancestors.
        ancestors = int(np.diff(self.pairing.closure.first).max())
        parts = self._parts(len(rows), (count + 1) * ancestors)
        return joined([self._nearest(rows[part], count, finish, kept) for part in parts])

    def _parts(self, rows: int, columns: int) -> list[slice]:
        height = max(1, min(_ROWS, _CANDIDATES // columns))
        return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]

    def _nearest(self, rows: Int[np.ndarray, " n"], count: int, finish: Finish, kept: _Kept) -> Rows:
        closure, first = self.pairing.closure, self.pairing.closure.first
        sizes = np.diff(first)[rows]
        entries = slots(first[rows], sizes)
        above = closure.ancestors[entries]
        places = slots(kept.starts[above], kept.counts[above])
        owner_of = np.repeat(np.arange(len(rows)), sizes)
        keys = np.repeat(owner_of * len(self), kept.counts[above]) + kept.classes[places]
        keys.sort()
        owners, columns = np.divmod(keys[np.concatenate([[True], keys[1:] != keys[:-1]])], len(self))
        values = finish(self.pairing.values(rows, owners, columns).astype(raw_type(len(self))))
        found = best_of(rows, owners, columns, values, count)
        doubtful = np.unique(owner_of[self._may_lack(found, rows, count, owner_of, entries, finish, kept)])
        every = np.arange(len(self))
        return found.replaced(
            doubtful,
            lambda at: best_of(
                rows[[at]], np.zeros_like(every), every, finish(self.block(rows[[at]], every))[0], count
            ),
        )

    def _may_lack(
        self,
        found: Rows,
        rows: Int[np.ndarray, " n"],
        count: int,
        owner_of: Int[np.ndarray, " a"],
        entries: Int[np.ndarray, " a"],
        finish: Finish,
        kept: _Kept,
    ) -> Bool[np.ndarray, " a"]:
        """Tell for each row and ancestor whether what the ancestor left out may be among the row's nearest."""
        # The last neighbour of each row; the first entry of a row that has room is 0, which nothing left out is below.
        last = found.last(rows, count)
        is_last = found.values == np.repeat(last, found.counts)
        last_class = np.maximum.reduceat(np.where(is_last, found.indices, _NONE), found.starts[:-1])
        above = self.pairing.closure.ancestors[entries]
        most, then = (
            np.where(level < 0, np.float32(0), self._over(entries, level, finish))
            for level in (kept.next_level[above], kept.further_level[above])
        )
        least = last[owner_of]
        is_later = (most == least) & (then < least) & (last_class[owner_of] < kept.next_class[above])
        return np.asarray((most > 0) & (most >= least) & ~is_later)

    def _over(
        self, entries: Int[np.ndarray, " a"], levels: Int[np.ndarray, " a"], finish: Finish
    ) -> Float[np.ndarray, " a"]:
        return finish(self.pairing.over(entries, np.maximum(levels, 0)).astype(raw_type(len(self))))

    def _kept(self, count: int) -> _Kept:
        closure, levels = self.pairing.closure, self.pairing.levels
        order = np.lexsort((closure.sources, levels, closure.ancestors))
        ancestors, sources, levels = closure.ancestors[order], closure.sources[order], levels[order]
        number = len(closure.nodes)
        starts = np.searchsorted(ancestors, np.arange(number + 1))
        lengths = np.diff(starts)
        cut = np.flatnonzero(lengths > count)
        following = starts[cut] + count
        next_level, next_class, further = (np.full(number, _NONE, np.int64) for _ in range(3))
        next_level[cut], next_class[cut] = levels[following], sources[following]
        # Where the levels after the next begin, among keys that ascend with ancestors and levels.
        wide = int(levels.max(initial=0)) + 1
        after = np.searchsorted(ancestors * wide + levels, cut * wide + next_level[cut], side="right")
        there = after < starts[cut + 1]
        further[cut[there]] = levels[after[there]]
        counts = np.minimum(lengths, count)
        return _Kept(
            starts=np.cumsum(counts) - counts,
            counts=counts,
            classes=sources[slots(starts[:-1], counts)],
            next_level=next_level,
            next_class=next_class,
            further_level=further,
        )
