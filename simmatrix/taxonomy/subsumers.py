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

__all__ = ["find_unrelated", "greatest_keys"]

# Keys worked on at a time: 32 MiB for a column of all nodes.
_COLUMN = 1 << 24


def greatest_keys(
    closure: Closure, scores: Int[np.ndarray, " n"], *, step: int
) -> Iterator[tuple[slice, Int[np.ndarray, "n b"]]]:
    """Give, for some of the C nodes after the other, the greatest keys that they have with each node of the closure.

    The key of a common ancestor is its score, less `step` for each edge on the shortest ways from both nodes to it.

    Parameters
    ----------
    closure
        The C nodes with all above them: n nodes.
    scores
        One for each node of the closure.
    step
        0 or more.

    Returns
    -------
    Iterator
        Which b of the C nodes, and the keys (n, b). Where two nodes have no common ancestor, the key is below every key
        there can be.
    """
    levels = int(closure.depths[-1]) + 1
    # The least key that an ancestor can have is two ways from the deepest node; what stands for none is lower, and
    # going down lowers it further.
    none = int(scores.min()) - 2 * step * levels - 1
    dtype = _smallest_type(none - step * levels, int(scores.max()))
    width = max(1, _COLUMN // len(closure.nodes))
    for start in range(0, len(closure.places), width):
        columns = slice(start, min(start + width, len(closure.places)))
        yield columns, _column(closure, scores, step, none, columns, dtype)


def find_unrelated(closure: Closure) -> tuple[int, int] | None:
    """Return two of the C nodes that have no common ancestor, by their positions; None if there are no such two."""
    if np.count_nonzero(closure.depths == 0) == 1:
        return None
    for columns, keys in greatest_keys(closure, np.zeros(len(closure.nodes), np.int64), step=0):
        apart = np.argwhere(keys[closure.places] < 0)
        if len(apart):
            first, second = apart[0].tolist()
            return first, columns.start + second
    return None


def _column(
    closure: Closure,
    scores: Int[np.ndarray, " n"],
    step: int,
    none: int,
    columns: slice,
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
    bounds = np.searchsorted(closure.depths, np.arange(closure.depths[-1] + 2))
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
