"""The best common ancestor of every two of many nodes.

The obvious way, to compare the ancestors of each two nodes, takes hours for thousands of classes. Instead, for a column
of nodes x at a time, what is best for (x, y) is handed down from the parents of y to y: a common ancestor of x and y is
either y itself, where y is above x, or a common ancestor of x and a parent of y. So a row of numbers is made from the
rows of the parents, level by level, in time C for each node of the hierarchy and without a comparison of sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from simmatrix.shapes import Int
from simmatrix.taxonomy.taxonomy import Closure

__all__ = ["best_subsumers"]

# Keys worked on at a time: 32 MiB for a column of all nodes, 1 MiB (as positions) for what is handed on.
_COLUMN = 1 << 24
_PIECE = 1 << 17


def best_subsumers(
    closure: Closure, scores: Int[np.ndarray, " n"], *, step: int, lowest: int
) -> Iterator[tuple[slice, slice, Int[np.ndarray, "rows columns"]]]:
    """Give, in pieces, the greatest key of every two of the C nodes.

    The key of a common ancestor is its score, less `step` for each edge on the shortest ways from both nodes to it.

    Parameters
    ----------
    closure
        The nodes with all above them.
    scores
        One for each node of the closure.
    step
        0 or more.
    lowest
        The least key a common ancestor can have: what is below stands for none.

    Returns
    -------
    Iterator
        Which of the C nodes are the rows of a piece, which are its columns, and its keys. All pieces cover (C, C).
    """
    # A pair without a common ancestor has a key below the lowest, and going down lowers it by a step a level.
    levels = int(closure.depths[-1]) + 1
    none = lowest - 1
    dtype = _smallest_type(none - step * levels, int(scores.max()))
    width = max(1, min(len(closure.places), _COLUMN // len(closure.nodes)))
    height = max(1, _PIECE // width)
    bounds = np.searchsorted(closure.depths, np.arange(levels + 1))
    for columns in _slices(len(closure.places), width):
        keys = _column(closure, scores, step, none, columns, bounds, dtype)
        for rows in _slices(len(closure.places), height):
            yield rows, columns, keys[closure.places[rows]]


def _column(
    closure: Closure,
    scores: Int[np.ndarray, " n"],
    step: int,
    none: int,
    columns: slice,
    bounds: Int[np.ndarray, " levels"],
    dtype: np.dtype[np.signedinteger],
) -> Int[np.ndarray, "n b"]:
    """Return the keys of all nodes of the closure with some of the C nodes."""
    entries = slice(*np.searchsorted(closure.sources, [columns.start, columns.stop]))
    above, at = closure.ancestors[entries], closure.sources[entries] - columns.start
    own = scores[above] - step * closure.ups[entries]
    order = np.argsort(above, kind="stable")
    above, at, own = above[order], at[order], own[order].astype(dtype)
    counts = np.diff(closure.starts)
    keys = np.empty((len(closure.nodes), columns.stop - columns.start), dtype)
    for first, last in pairwise(bounds.tolist()):
        level = keys[first:last]
        _hand_down(keys, closure, counts, first, last, none)
        level -= dtype.type(step)
        here = slice(*np.searchsorted(above, [first, last]))
        places = above[here], at[here]
        keys[places] = np.maximum(keys[places], own[here])
    return keys


def _hand_down(
    keys: Int[np.ndarray, "n b"],
    closure: Closure,
    counts: Int[np.ndarray, " n"],
    first: int,
    last: int,
    none: int,
) -> None:
    """Write the greatest of the parents' keys to each node of a level; nodes without parents get `none`."""
    level = np.arange(first, last)
    keys[level[counts[level] == 0]] = none
    children = level[counts[level] > 0]
    if len(children):
        keys[children] = keys[closure.parents[closure.starts[children]]]
    for nth in range(1, int(counts[level].max(initial=0))):
        children = level[counts[level] > nth]
        keys[children] = np.maximum(keys[children], keys[closure.parents[closure.starts[children] + nth]])


def _smallest_type(least: int, greatest: int) -> np.dtype[np.signedinteger]:
    fits = (kind for kind in (np.int16, np.int32) if np.iinfo(kind).min <= least and greatest <= np.iinfo(kind).max)
    return np.dtype(next(fits, np.int64))


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
