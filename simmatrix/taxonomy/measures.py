"""How similar the nodes of a taxonomy are: the measures, each a formula on the best common ancestor of two nodes.

For two nodes a and b: c is a common ancestor (a node is its own ancestor), l(a, c) the edges on the shortest way from a
up to c, D(c) the depth of c in nodes, on the longest way from a root. A taxonomy may have nodes with several parents:
each measure says which of the common ancestors counts, the one with the greatest score. Nothing depends on an order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.shapes import Float, Int
from simmatrix.suggest import or_list
from simmatrix.taxonomy.subsumers import best_subsumers
from simmatrix.taxonomy.taxonomy import Closure, Taxonomy

__all__ = ["MEASURES", "NEED_CONTENT", "check_measure", "taxonomy_values"]

Content: TypeAlias = "Float[np.ndarray, ' N']"
Combine: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Plan:
    """A measure, made ready for a taxonomy: how to choose a common ancestor, and what the choice is worth.

    Parameters
    ----------
    scores
        An integer for each node of the closure. The common ancestor c counts whose key, its score less `step` for each
        edge on the shortest ways from both nodes to it, is the greatest.
    step
        What an edge costs.
    lowest
        The least key there can be.
    values
        The value of each key, from the lowest on.
    combine
        Makes the value of a pair from that of its key and the two nodes' own; None where the key's is the pair's.
    own
        A value for each node of the closure, for `combine`.
    """

    scores: Int[np.ndarray, " n"]
    step: int
    lowest: int
    values: Float[np.ndarray, " k"]
    combine: Combine | None = None
    own: Float[np.ndarray, " n"] | None = None


def path(taxonomy: Taxonomy, closure: Closure, _content: Content | None) -> Plan:
    """1 / (l + 1), l = l(a, c) + l(b, c) of the common ancestor where it is least (Rada et al. 1989); in (0, 1]."""
    lengths = _lengths(taxonomy)
    return Plan(np.zeros(len(closure.nodes), np.int64), 1, int(-lengths[0]), 1 / (lengths + 1.0))


def lch(taxonomy: Taxonomy, closure: Closure, _content: Content | None) -> Plan:
    """-ln((l + 1) / 2D) / ln(2D), l as in `path` (Leacock and Chodorow 1998): scaled by its value at l = 0; up to 1.

    D is the depth of the whole taxonomy in edges, as in NLTK. Where two nodes are as far apart as can be, it is a
    little below 0.
    """
    lengths = _lengths(taxonomy)
    twice = 2.0 * taxonomy.depth
    values = -np.log((lengths + 1) / twice) / np.log(twice)
    return Plan(np.zeros(len(closure.nodes), np.int64), 1, int(-lengths[0]), values)


def wup(taxonomy: Taxonomy, closure: Closure, _content: Content | None) -> Plan:
    """2 D(c) / (l(a, c) + l(b, c) + 2 D(c)), c the deepest common ancestor (Wu and Palmer 1994); in (0, 1].

    Of several as deep, the nearest counts. Depth is that of the longest way from a root, which grows with every step
    down: so the deepest common ancestor of a node and itself is the node, and its similarity 1.
    """
    # D comes first and the length second: one integer holds both, since no length reaches the base.
    base = 2 * taxonomy.depth + 1
    keys = np.arange(1, (taxonomy.depth + 1) * base + 1)
    depth = -(-keys // base)
    length = depth * base - keys
    return Plan((closure.depths + 1) * base, 1, 1, 2.0 * depth / (length + 2.0 * depth))


def res(_taxonomy: Taxonomy, closure: Closure, content: Content | None) -> Plan:
    """IC(c) / max IC, c the common ancestor of the greatest information content (Resnik 1995); in [0, 1]."""
    ranks, values, _own, most = _informative(closure, content)
    return Plan(ranks, 0, 0, values / most)


def lin(_taxonomy: Taxonomy, closure: Closure, content: Content | None) -> Plan:
    """2 IC(c) / (IC(a) + IC(b)), c as in `res` (Lin 1998); in [0, 1]; 1 where nothing says anything."""
    ranks, values, own, _most = _informative(closure, content)

    def combine(
        common: Float[np.ndarray, "C b"], first: Float[np.ndarray, "C 1"], second: Float[np.ndarray, "1 b"]
    ) -> Float[np.ndarray, "C b"]:
        total = first + second
        return np.divide(2 * common, total, out=np.ones_like(total), where=total > 0)

    return Plan(ranks, 0, 0, values, combine, own)


def jcn(_taxonomy: Taxonomy, closure: Closure, content: Content | None) -> Plan:
    """1 - (IC(a) + IC(b) - 2 IC(c)) / (2 max IC), c as in `res` (Jiang and Conrath 1997, a distance); in [0, 1].

    2 max IC is the greatest distance there can be.
    """
    ranks, values, own, most = _informative(closure, content)

    def combine(
        common: Float[np.ndarray, "C b"], first: Float[np.ndarray, "C 1"], second: Float[np.ndarray, "1 b"]
    ) -> Float[np.ndarray, "C b"]:
        return 1 - (first + second - 2 * common) / (2 * most)

    return Plan(ranks, 0, 0, values, combine, own)


def lcs_height(_taxonomy: Taxonomy, closure: Closure, _content: Content | None) -> Plan:
    """1 - h(c) / h(root), c the lowest common ancestor (Deng et al. 2011, Barz and Denzler 2019); in [0, 1].

    The height h of a node is the longest way down to a node without children, in the hierarchy that the given nodes
    span: they and what is above them.
    """
    heights = closure.heights
    highest = int(heights.max())
    return Plan(highest - heights, 0, 0, np.arange(highest + 1) / max(highest, 1))


MEASURES: Mapping[str, Callable[[Taxonomy, Closure, Content | None], Plan]] = {
    "path": path,
    "wup": wup,
    "lch": lch,
    "res": res,
    "lin": lin,
    "jcn": jcn,
    "lcs-height": lcs_height,
}
"""Measures of similarity by name."""

NEED_CONTENT = ("res", "lin", "jcn")
"""The measures that need the nodes' information content."""


def check_measure(measure: str) -> None:
    """Raise `SourceError` unless there is a measure of that name."""
    if measure not in MEASURES:
        raise SourceError(f"{measure!r} is no measure on a taxonomy; choose {or_list(MEASURES)}")


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
        One of `MEASURES`.
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
    >>> from simmatrix.taxonomy.taxonomy import Edge, from_edges
    >>> flowers = from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers")
    >>> taxonomy_values(flowers, np.array([1, 2]), "path")[0, 1]
    np.float64(0.3333333333333333)
    """
    check_measure(measure)
    closure = taxonomy.closure(nodes)
    plan = MEASURES[measure](taxonomy, closure, content)
    own = None if plan.own is None else plan.own[closure.places]
    values = np.empty((len(nodes), len(nodes)), dtype)
    for rows, columns, keys in best_subsumers(closure, plan.scores, step=plan.step, lowest=plan.lowest):
        if keys.min() < plan.lowest:
            row, column = np.argwhere(keys < plan.lowest)[0]
            raise _unrelated(taxonomy, int(nodes[rows][row]), int(nodes[columns][column]))
        # Positions of pointer size, or the lookup would make them so in a buffer of its own.
        block = plan.values[np.subtract(keys, plan.lowest, dtype=np.intp)]
        if plan.combine is not None and own is not None:
            block = plan.combine(block, own[rows, None], own[None, columns])
        values[rows, columns] = block
    return values


def _lengths(taxonomy: Taxonomy) -> Int[np.ndarray, " k"]:
    """Return the lengths that ways between two nodes can have, the longest first."""
    return np.arange(2 * taxonomy.depth, -1, -1)


def _informative(
    closure: Closure, content: Content | None
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " k"], Float[np.ndarray, " n"], float]:
    """Return the nodes' ranks by information content, the ranks' values, the nodes' own and the greatest of all."""
    if content is None:
        raise SourceError(f"{or_list(NEED_CONTENT)} need the nodes' information content; give it")
    own = content[closure.nodes]
    values, ranks = np.unique(own, return_inverse=True)
    return ranks, values, own, float(content[np.isfinite(content)].max())


def _unrelated(taxonomy: Taxonomy, first: int, second: int) -> SourceError:
    roots = " and ".join(_root_above(taxonomy, node) for node in (first, second))
    return SourceError(
        f"{taxonomy.names[first]!r} and {taxonomy.names[second]!r} have no common ancestor (their roots are {roots}); "
        "put the roots under a common parent"
    )


def _root_above(taxonomy: Taxonomy, node: int) -> str:
    while taxonomy.starts[node] < taxonomy.starts[node + 1]:
        node = int(taxonomy.parents[taxonomy.starts[node]])
    return repr(taxonomy.names[node])
