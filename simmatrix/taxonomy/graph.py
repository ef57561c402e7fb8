"""A taxonomy: nodes, and which are kinds of which; and the best common ancestor of every two of many nodes.

To compare the ancestors of each two nodes would take hours for thousands of classes. Instead, for a column of nodes x
at a time, what is best for (x, y) is handed down from the parents of y to y: a common ancestor of x and y is either y
itself, where y is above x, or a common ancestor of x and a parent of y. So a row of numbers is made from the rows of
the parents, level by level, in time C for each node of the hierarchy and without a comparison of sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.shapes import Bool, Int

DEEPEST = 1000
"""The most edges that may lie between a root and a node."""

# Nodes of a circle that a message names.
_SHOWN = 8
# Keys worked on at a time: 32 MiB for a column of all nodes.
_COLUMN = 1 << 24
# Ancestors of pairs of nodes that are looked at at a time.
_LOOKED_UP = 1 << 20


class Edge(NamedTuple):
    """One statement that `child` is a kind of `parent`, and the line it stands on, where there are lines."""

    parent: str
    child: str
    line: int | None = None


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """A directed acyclic graph of N nodes, each with its parents (a node may have several).

    The parents of node i are ``parents[starts[i] : starts[i + 1]]``, ascending, none twice.
    """

    names: Sequence[str]  # unique
    starts: Int[np.ndarray, " N1"]
    parents: Int[np.ndarray, " E"]
    # What a file calls its columns of parents and children, where nothing but its place tells that it does.
    header: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def depths(self) -> Int[np.ndarray, " N"]:
        """The edges on each node's longest way up to a root."""
        return _longest(self.starts, self.parents)

    @cached_property
    def depth(self) -> int:
        """The largest depth of all nodes."""
        return int(self.depths.max())

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """The nodes without parents."""
        return tuple(np.flatnonzero(np.diff(self.starts) == 0).tolist())

    def closure(self, nodes: Int[np.ndarray, " C"]) -> Closure:
        """Return some nodes with all of their ancestors; see `Closure`."""
        counts = np.diff(self.starts)
        reached = np.zeros(len(self), dtype=bool)
        frontier = np.unique(nodes)
        while len(frontier):
            reached[frontier] = True
            above = np.unique(self.parents[slots(self.starts[frontier], counts[frontier])])
            frontier = above[~reached[above]]
        kept = np.flatnonzero(reached)
        # Parents come before their children, so that what is known of parents can be handed down level by level.
        kept = kept[np.argsort(self.depths[kept], kind="stable")]
        place = np.full(len(self), -1, dtype=np.int64)
        place[kept] = np.arange(len(kept))
        counts = counts[kept]
        starts = np.concatenate([[0], np.cumsum(counts)])
        parents = place[self.parents[slots(self.starts[kept], counts)]]
        runs, lengths, ancestors, ups = _ancestors(starts, parents, self.depths[kept])
        entries = slots(runs[place[nodes]], lengths[place[nodes]])
        return Closure(
            nodes=kept,
            starts=starts,
            parents=parents,
            depths=self.depths[kept],
            places=place[nodes],
            sources=np.repeat(np.arange(len(nodes)), lengths[place[nodes]]),
            ancestors=ancestors[entries],
            ups=ups[entries],
        )


@dataclass(frozen=True, eq=False)
class Closure:
    """C nodes of a taxonomy with all of their ancestors: n nodes, in an order that puts parents before children."""

    nodes: Int[np.ndarray, " n"]  # by their index in the taxonomy; all other arrays count from 0 within the closure
    starts: Int[np.ndarray, " n1"]  # as in `Taxonomy`
    parents: Int[np.ndarray, " e"]
    depths: Int[np.ndarray, " n"]  # the depth of each node in the whole taxonomy; ascending
    places: Int[np.ndarray, " C"]  # where the C nodes are
    # One entry for each of the C nodes (by its position among them, ascending) and each of its ancestors, itself among
    # them: the edges on the shortest way up.
    sources: Int[np.ndarray, " a"]
    ancestors: Int[np.ndarray, " a"]
    ups: Int[np.ndarray, " a"]

    @cached_property
    def first(self) -> Int[np.ndarray, " C1"]:
        """Where the entries of each of the C nodes begin, and where the last one's end."""
        return np.searchsorted(self.sources, np.arange(len(self.places) + 1))

    @cached_property
    def heights(self) -> Int[np.ndarray, " n"]:
        """The edges on each node's longest way down within the closure; 0 where nothing is below."""
        children = np.repeat(np.arange(len(self.nodes)), np.diff(self.starts))
        heights = np.zeros(len(self.nodes), dtype=np.int64)
        levels = np.searchsorted(self.depths[children], np.arange(self.depths[-1] + 2))
        # From the deepest level up: all that is below a node is done before the node is.
        for first, last in zip(levels[-2::-1], levels[:0:-1], strict=True):
            np.maximum.at(heights, self.parents[first:last], heights[children[first:last]] + 1)
        return heights


def from_edges(edges: Iterable[Edge], where: str | Path) -> Taxonomy:
    """Return the taxonomy that edges describe; nodes are in the order of their first mention.

    An edge may stand there twice. Raises `SourceError` if there is no edge, a node is below itself, or the taxonomy is
    deeper than `DEEPEST`; names nodes and line.

    Examples
    --------
    >>> from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers").names
    ('flower', 'rose', 'tulip')
    """
    lines: dict[tuple[str, str], int | None] = {}
    for edge in edges:
        lines.setdefault((edge.parent, edge.child), edge.line)
    if not lines:
        raise SourceError("holds no taxonomy; name a parent and a child on each line", where)
    names = tuple(dict.fromkeys(name for pair in lines for name in pair))
    index = {name: position for position, name in enumerate(names)}
    pairs = np.array(sorted((index[child], index[parent]) for parent, child in lines), dtype=np.int64)
    starts = np.searchsorted(pairs[:, 0], np.arange(len(names) + 1))
    taxonomy = Taxonomy(names, starts, pairs[:, 1].copy())
    if taxonomy.depth > DEEPEST:
        deepest = names[int(np.argmax(taxonomy.depths))]
        raise SourceError(f"{deepest!r} is {taxonomy.depth} levels deep, {DEEPEST} is the most; flatten it", where)
    if taxonomy.depths.min() < 0:
        cycle = [names[node] for node in _cycle(taxonomy)]
        line = lines[cycle[1], cycle[0]]
        if len(cycle) > _SHOWN:
            cycle[_SHOWN - 1 : -1] = [f"… ({len(cycle) - _SHOWN:,} more) …"]
        raise SourceError(f"is a circle: {' is a kind of '.join(cycle)}; take one of these out", where, line)
    return taxonomy


def _cycle(taxonomy: Taxonomy) -> list[int]:
    """Return the nodes of a cycle, each followed by one of its parents, up to the first again."""
    # What is on a cycle or below one has no depth. Going up within it must come back to a node that was met before.
    stuck = set(np.flatnonzero(taxonomy.depths < 0).tolist())
    node, met = min(stuck), dict[int, int]()
    while node not in met:
        met[node] = len(met)
        above = taxonomy.parents[taxonomy.starts[node] : taxonomy.starts[node + 1]].tolist()
        node = next(parent for parent in above if parent in stuck)
    return [*list(met)[met[node] :], node]


def _longest(starts: Int[np.ndarray, " N1"], parents: Int[np.ndarray, " E"]) -> Int[np.ndarray, " N"]:
    """Return the edges on each node's longest way up, level by level; -1 on and below cycles, or still further down."""
    counts = np.diff(starts)
    children = np.repeat(np.arange(len(counts)), counts)
    # The edges by parent: which nodes are a step below.
    order = np.argsort(parents, kind="stable")
    below = children[order]
    first = np.searchsorted(parents[order], np.arange(len(counts) + 1))
    depths = np.full(len(counts), -1, dtype=np.int64)
    waiting = counts.copy()
    ready = np.flatnonzero(waiting == 0)
    level = 0
    # One level more than there may be, for that there are more to be seen.
    while len(ready) and level <= DEEPEST + 1:
        depths[ready] = level
        level += 1
        reached = below[slots(first[ready], np.diff(first)[ready])]
        np.subtract.at(waiting, reached, 1)
        ready = np.unique(reached[waiting[reached] == 0])
    return depths


def _ancestors(
    starts: Int[np.ndarray, " n1"], parents: Int[np.ndarray, " e"], depths: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " a"], Int[np.ndarray, " a"]]:
    """Return each node's ancestors, itself first among them, and the edges on the shortest way up to each.

    The nodes are in the order of their depths. A node's ancestors are itself and those of its parents, one step
    further: they are put together level by level. Returns where each node's run starts and how long it is, and the
    ancestors and steps of all runs.
    """
    counts = np.diff(starts)
    runs, lengths = np.zeros(len(counts), dtype=np.int64), np.zeros(len(counts), dtype=np.int64)
    ancestors, ups = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    bounds = np.searchsorted(depths, np.arange(depths[-1] + 2))
    for first, last in pairwise(bounds.tolist()):
        level = np.arange(first, last)
        above = parents[starts[first] : starts[last]]
        inherited = slots(runs[above], lengths[above])
        owner = np.concatenate([level, np.repeat(np.repeat(level, counts[level]), lengths[above])])
        ancestor = np.concatenate([level, ancestors[inherited]])
        up = np.concatenate([np.zeros(len(level), dtype=np.int64), ups[inherited] + 1])
        order = _without_detours(owner, ancestor, up, several=counts[owner] > 1)
        runs[level] = len(ancestors) + np.searchsorted(owner[order], level)
        lengths[level] = np.bincount(owner[order] - first, minlength=len(level))
        ancestors, ups = np.concatenate([ancestors, ancestor[order]]), np.concatenate([ups, up[order]])
    return runs, lengths, ancestors, ups


def _without_detours(
    owner: Int[np.ndarray, " m"],
    ancestor: Int[np.ndarray, " m"],
    up: Int[np.ndarray, " m"],
    several: Bool[np.ndarray, " m"],
) -> Int[np.ndarray, " kept"]:
    """Return the entries to keep, by owner: where `several` ways lead up, the shortest to each ancestor."""
    keep = ~several
    doubtful = np.flatnonzero(several)
    doubtful = doubtful[np.lexsort((up[doubtful], ancestor[doubtful], owner[doubtful]))]
    is_first = np.ones(len(doubtful), dtype=bool)
    is_first[1:] = (np.diff(owner[doubtful]) != 0) | (np.diff(ancestor[doubtful]) != 0)
    keep[doubtful[is_first]] = True
    kept = np.flatnonzero(keep)
    return kept[np.argsort(owner[kept], kind="stable")]


def slots(starts: Int[np.ndarray, " n"], counts: Int[np.ndarray, " n"]) -> Int[np.ndarray, " total"]:
    """Return the positions of several runs, one after the other: from each start, as many as its count."""
    ends = np.cumsum(counts)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts))


def greatest_keys(
    closure: Closure, scores: Int[np.ndarray, " n"], *, step: int
) -> Iterator[tuple[slice, Int[np.ndarray, "n b"]]]:
    """Give, for some of the C nodes after the other, the greatest keys that they have with each node of the closure.

    The key of a common ancestor is its score, less `step` (0 or more) for each edge on the shortest ways from both
    nodes to it. Gives which b of the C nodes, and the keys (n, b). Where two nodes have no common ancestor, the key is
    below every key there can be.
    """
    levels = int(closure.depths[-1]) + 1
    # The least key that an ancestor can have is two ways from the deepest node; what stands for none is lower, and
    # going down lowers it further.
    none = int(scores.min()) - 2 * step * levels - 1
    least, greatest = none - step * levels, int(scores.max())
    limits = {kind: np.iinfo(kind) for kind in (np.int16, np.int32, np.int64)}
    dtype = np.dtype(next(kind for kind, limit in limits.items() if limit.min <= least and greatest <= limit.max))
    counts = np.diff(closure.starts)
    bounds = list(pairwise(np.searchsorted(closure.depths, np.arange(levels + 1)).tolist()))
    width = max(1, _COLUMN // len(closure.nodes))
    for start in range(0, len(closure.places), width):
        columns = slice(start, min(start + width, len(closure.places)))
        entries = slice(*np.searchsorted(closure.sources, [columns.start, columns.stop]))
        above, at = closure.ancestors[entries], closure.sources[entries] - columns.start
        own = scores[above] - step * closure.ups[entries]
        order = np.argsort(above, kind="stable")
        above, at, own = above[order], at[order], own[order].astype(dtype)
        keys = np.empty((len(closure.nodes), columns.stop - columns.start), dtype)
        for first, last in bounds:
            # The greatest of the parents' keys; `none` where there are no parents.
            level = np.arange(first, last)
            keys[level[counts[level] == 0]] = none
            children = level[counts[level] > 0]
            if len(children):
                keys[children] = keys[closure.parents[closure.starts[children]]]
            for nth in range(1, int(counts[level].max(initial=0))):
                children = level[counts[level] > nth]
                keys[children] = np.maximum(keys[children], keys[closure.parents[closure.starts[children] + nth]])
            keys[first:last] -= dtype.type(step)
            here = slice(*np.searchsorted(above, [first, last]))
            places = above[here], at[here]
            keys[places] = np.maximum(keys[places], own[here])
        yield columns, keys


def find_unrelated(closure: Closure) -> tuple[int, int] | None:
    """Return two of the C nodes that have no common ancestor, by their positions; None if there are no such two."""
    is_root = closure.depths[closure.ancestors] == 0
    if np.count_nonzero(closure.depths == 0) == 1:
        return None
    # Two nodes have a common ancestor where they have a common root: few sets of roots stand for all nodes.
    groups: dict[tuple[int, ...], int] = {}
    roots, sources = closure.ancestors[is_root], closure.sources[is_root]
    starts = np.searchsorted(sources, np.arange(len(closure.places) + 1)).tolist()
    for position, (first, last) in enumerate(pairwise(starts)):
        groups.setdefault(tuple(sorted(roots[first:last].tolist())), position)
    for one, position in groups.items():
        apart = [other for over, other in groups.items() if not set(one) & set(over)]
        if apart:
            return position, min(apart)
    return None


def best_common(
    closure: Closure,
    rows: Int[np.ndarray, " r"],
    owners: Int[np.ndarray, " m"],
    columns: Int[np.ndarray, " m"],
    scores: Int[np.ndarray, " a"],
    others: Int[np.ndarray, " a"] | None = None,
) -> Int[np.ndarray, " m"]:
    """Return the greatest sum of two scores that two of the C nodes have at a common ancestor, for many pairs of nodes.

    Pair i is of ``rows[owners[i]]`` and ``columns[i]``; all are related, and memory grows with the number of rows. The
    scores of each entry of the closure are for the first of a pair, `others` for the second (0 if not given).
    """
    first = closure.first
    entries = slots(first[rows], np.diff(first)[rows])
    above, place = np.unique(closure.ancestors[entries], return_inverse=True)
    # One more column for all that is above none of the rows.
    local = np.full(len(closure.nodes), len(above))
    local[above] = np.arange(len(above))
    marks = np.full((len(rows), len(above) + 1), np.iinfo(np.int64).min // 2)
    marks[np.repeat(np.arange(len(rows)), np.diff(first)[rows]), place] = scores[entries]
    flat = marks.reshape(-1)
    best = np.empty(len(columns), np.int64)
    step = max(1, _LOOKED_UP // int(np.diff(first).max()))
    for start in range(0, len(columns), step):
        pairs = slice(start, start + step)
        sizes = np.diff(first)[columns[pairs]]
        entries = slots(first[columns[pairs]], sizes)
        found = flat[np.repeat(owners[pairs] * (len(above) + 1), sizes) + local[closure.ancestors[entries]]]
        if others is not None:
            found += others[entries]
        best[pairs] = np.maximum.reduceat(found, np.cumsum(sizes) - sizes)
    return best
