"""How similar the nodes of a taxonomy are: the measures, each a formula on the best common ancestor of two nodes.

For two nodes a and b: c is a common ancestor (a node is its own ancestor), l(a, c) the edges on the shortest way from a
up to c, D(c) the depth of c in nodes, on the longest way from a root. A taxonomy may have nodes with several parents:
each measure says which of the common ancestors counts, the one with the greatest score. Nothing depends on an order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from simmatrix.choices import MEASURES
from simmatrix.errors import ParameterError, SourceError
from simmatrix.shapes import Float, Int
from simmatrix.taxonomy.graph import Closure, Taxonomy, find_unrelated, greatest_keys
from simmatrix.text import check_choice, or_list

__all__ = ["MEASURES", "NEED_CONTENT", "from_counts", "intrinsic", "propagated", "taxonomy_values"]

Content: TypeAlias = "Float[np.ndarray, ' N']"
Square: TypeAlias = "Float[np.ndarray, 'C C']"

# Keys worked on at a time, 1 MiB as positions.
_PIECE = 1 << 17


def path(taxonomy: Taxonomy, closure: Closure, _content: Content | None, out: Square) -> None:
    """1 / (l + 1), l = l(a, c) + l(b, c) of the common ancestor where it is least (Rada et al. 1989); in (0, 1]."""
    _fill_by_length(taxonomy, closure, lambda lengths: 1 / (lengths + 1.0), out)


def lch(taxonomy: Taxonomy, closure: Closure, _content: Content | None, out: Square) -> None:
    """-ln((l + 1) / 2D) / ln(2D), l as in `path` (Leacock and Chodorow 1998): scaled by its value at l = 0; up to 1.

    D is the depth of the whole taxonomy in edges, as in NLTK. Where two nodes are as far apart as can be, it is a
    little below 0.
    """
    twice = 2.0 * taxonomy.depth
    _fill_by_length(taxonomy, closure, lambda lengths: -np.log((lengths + 1) / twice) / np.log(twice), out)


def wup(taxonomy: Taxonomy, closure: Closure, _content: Content | None, out: Square) -> None:
    """2 D(c) / (l(a, c) + l(b, c) + 2 D(c)), c the deepest common ancestor (Wu and Palmer 1994); in (0, 1].

    Of several as deep, the first by name counts. Depth is that of the longest way from a root, which grows with every
    step down: so the deepest common ancestor of a node and itself is the node, and its similarity 1. The lengths are
    those of the shortest ways, which may lead over another ancestor.
    """
    names = [taxonomy.names[node] for node in closure.nodes.tolist()]
    by_depth = sorted(range(len(names)), key=lambda node: names[node], reverse=True)
    by_depth.sort(key=lambda node: int(closure.depths[node]))
    ranks = np.empty(len(names), np.int64)
    ranks[by_depth] = np.arange(len(names))
    deepest, no_score = np.array(by_depth), np.zeros(len(names), np.int64)
    lengths, best = greatest_keys(closure, no_score, step=1), greatest_keys(closure, ranks, step=0)
    for (columns, length), (_, rank) in zip(lengths, best, strict=True):
        inside = np.arange(length.shape[1])
        for rows in _pieces(out[:, columns]):
            common = deepest[rank[closure.places[rows]]]
            # l(b, c) / 2 D(c) for b of the columns. Its transpose is l(a, c) / 2 D(c), since c is the same.
            out[rows, columns] = length[common, inside] / (-2.0 * (closure.depths[common] + 1))
    for rows in _pieces(out):
        rest = slice(rows.start, None)
        # The sum of the two first: in another order it would round differently in the other half.
        value = 1 / (1 + (out[rows, rest].astype(np.float64) + out[rest, rows].T))
        out[rows, rest] = value
        out[rest, rows] = value.T


def res(_taxonomy: Taxonomy, closure: Closure, content: Content | None, out: Square) -> None:
    """IC(c) / max IC, c the common ancestor of the greatest information content (Resnik 1995); in [0, 1]."""
    for here, common, _first, _second, most in _most_informative(closure, content, out):
        out[here] = common / most


def lin(_taxonomy: Taxonomy, closure: Closure, content: Content | None, out: Square) -> None:
    """2 IC(c) / (IC(a) + IC(b)), c as in `res` (Lin 1998); in [0, 1]; 1 where nothing says anything."""
    for here, common, first, second, _most in _most_informative(closure, content, out):
        total = first + second
        out[here] = np.divide(2 * common, total, out=np.ones_like(total), where=total > 0)


def jcn(_taxonomy: Taxonomy, closure: Closure, content: Content | None, out: Square) -> None:
    """1 - (IC(a) + IC(b) - 2 IC(c)) / (2 max IC), c as in `res` (Jiang and Conrath 1997, a distance); in [0, 1].

    2 max IC is the greatest distance there can be.
    """
    for here, common, first, second, most in _most_informative(closure, content, out):
        out[here] = 1 - (first + second - 2 * common) / (2 * most)


def lcs_height(_taxonomy: Taxonomy, closure: Closure, _content: Content | None, out: Square) -> None:
    """1 - h(c) / h(root), c the lowest common ancestor (Deng et al. 2011, Barz and Denzler 2019); in [0, 1].

    The height h of a node is the longest way down to a node without children, in the hierarchy that the given nodes
    span: they and what is above them. Where they span a root alone, they are it, and the same.
    """
    highest = int(closure.heights.max())
    values = np.arange(highest + 1) / highest if highest else np.ones(1)
    for here, keys in _keys(closure, highest - closure.heights, 0, out):
        out[here] = values[keys]


Measure: TypeAlias = "Callable[[Taxonomy, Closure, Content | None, np.ndarray], None]"
"""Writes the values of C nodes to a (C, C) array."""

_FUNCTIONS: Mapping[str, Measure] = {
    "path": path,
    "wup": wup,
    "lch": lch,
    "res": res,
    "lin": lin,
    "jcn": jcn,
    "lcs-height": lcs_height,
}

NEED_CONTENT = ("res", "lin", "jcn")
"""The measures that need the nodes' information content."""


def taxonomy_values(
    taxonomy: Taxonomy,
    nodes: Int[np.ndarray, " C"],
    measure: str,
    content: Content | None = None,
    dtype: type[np.float64] | type[np.float32] = np.float64,
) -> Float[np.ndarray, "C C"]:
    """Return how similar each two of C nodes are, symmetric.

    Parameters
    ----------
    taxonomy, nodes
        The nodes by their indices; one may be there twice.
    measure
        One of `simmatrix.choices.MEASURES`.
    content
        The information content of all N nodes, for the measures in `NEED_CONTENT`.
    dtype
        The type of the result. Besides it, memory for some rows is taken.

    Raises
    ------
    SourceError
        If there is no such measure, or two nodes have no common ancestor; names them.

    Examples
    --------
    >>> from simmatrix.taxonomy.graph import Edge, from_edges
    >>> flowers = from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers")
    >>> taxonomy_values(flowers, np.array([1, 2]), "path")[0, 1]
    np.float64(0.3333333333333333)
    """
    check_choice("measure", measure, MEASURES)
    closure = taxonomy.closure(nodes)
    apart = find_unrelated(closure)
    if apart is not None:
        names, roots = [], []
        for node in nodes[list(apart)].tolist():
            names.append(repr(taxonomy.names[node]))
            while taxonomy.starts[node] < taxonomy.starts[node + 1]:
                node = int(taxonomy.parents[taxonomy.starts[node]])
            roots.append(repr(taxonomy.names[node]))
        raise SourceError(
            f"{' and '.join(names)} have no common ancestor (their roots are {' and '.join(roots)}); "
            "put the roots under a common parent"
        )
    values = np.empty((len(nodes), len(nodes)), dtype)
    _FUNCTIONS[measure](taxonomy, closure, content, values)
    return values


def _fill_by_length(
    taxonomy: Taxonomy, closure: Closure, value: Callable[[Int[np.ndarray, " k"]], Float[np.ndarray, " k"]], out: Square
) -> None:
    """Write the value of the length of the shortest way between each two nodes."""
    values = value(np.arange(2 * taxonomy.depth + 1))
    for here, keys in _keys(closure, np.zeros(len(closure.nodes), np.int64), 1, out):
        out[here] = values[-keys]


def _most_informative(
    closure: Closure, content: Content | None, out: Square
) -> Iterator[tuple[tuple[slice, slice], np.ndarray, np.ndarray, np.ndarray, float]]:
    """Give, for pieces of (C, C): where, IC(c), IC(a) as a column, IC(b) as a row, and the greatest IC of all nodes."""
    if content is None:
        raise ParameterError(f"{or_list(NEED_CONTENT)} need the nodes' information content; give it")
    own = content[closure.nodes]
    values, ranks = np.unique(own, return_inverse=True)
    most = float(content[np.isfinite(content)].max())
    of_classes = own[closure.places]
    for here, keys in _keys(closure, ranks, 0, out):
        rows, columns = here
        yield here, values[keys], of_classes[rows, None], of_classes[None, columns], most


def _keys(
    closure: Closure, scores: Int[np.ndarray, " n"], step: int, out: Square
) -> Iterator[tuple[tuple[slice, slice], Int[np.ndarray, "rows columns"]]]:
    """Give the greatest keys of the C nodes with each other, in pieces of (C, C)."""
    for columns, keys in greatest_keys(closure, scores, step=step):
        for rows in _pieces(out[:, columns]):
            # As numbers of pointer size: as positions they would be made so anyway.
            yield (rows, columns), keys[closure.places[rows]].astype(np.intp)


def _pieces(values: Float[np.ndarray, "n b"]) -> Iterator[slice]:
    """Give slices of rows that hold about `_PIECE` values each."""
    height = max(1, _PIECE // values.shape[1])
    return (slice(start, min(start + height, len(values))) for start in range(0, len(values), height))


def intrinsic(taxonomy: Taxonomy) -> Float[np.ndarray, " N"]:
    """Return 1 - ln(hyponyms + 1) / ln N (Seco et al. 2004): 1 for leaves, 0 for a root over everything.

    A node's hyponyms are all nodes below it, each counted once however many ways lead there. Needs no corpus.

    Examples
    --------
    >>> from simmatrix.taxonomy.graph import Edge, from_edges
    >>> intrinsic(from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers")).tolist()
    [0.0, 1.0, 1.0]
    """
    hyponyms_and_itself = propagated(taxonomy, np.ones(len(taxonomy)))
    return np.asarray(1 - np.log(hyponyms_and_itself) / np.log(len(taxonomy)))


def propagated(taxonomy: Taxonomy, own: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Return each node's own count together with the counts of all nodes below it, each added once."""
    closure = taxonomy.closure(np.arange(len(taxonomy)))
    sums = np.bincount(closure.ancestors, weights=own[closure.sources], minlength=len(taxonomy))
    totals = np.empty(len(taxonomy))
    totals[closure.nodes] = sums
    return totals


def from_counts(counts: Float[np.ndarray, " N"], total: float) -> Float[np.ndarray, " N"]:
    """Return -ln(count / total) (Resnik 1995) of counts that hold those of all nodes below; infinite where it is 0."""
    content = np.full(len(counts), np.inf)
    seen = counts > 0
    # No count is above the total but for rounding.
    content[seen] = np.maximum(-np.log(counts[seen] / total), 0.0)
    return content
