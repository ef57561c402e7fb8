"""Random taxonomies, and the measures on them the slow, obvious way."""

import math
from collections.abc import Callable, Mapping

import networkx as nx
from hypothesis import strategies as st

from simmatrix.taxonomy.graph import Edge

Pair = Callable[[nx.DiGraph, str, str], float]


@st.composite
def dags(draw: st.DrawFn) -> list[Edge]:
    """Draw the edges of a DAG with one root, r, in any order; some nodes have several parents, some edges are twice."""
    size = draw(st.integers(1, 12))
    names = ["r", *draw(st.permutations([f"n{index}" for index in range(size)]))]
    edges = [
        Edge(names[parent], names[child])
        for child in range(1, size + 1)
        for parent in draw(st.lists(st.integers(0, child - 1), min_size=1, max_size=3))
    ]
    return draw(st.permutations(edges))


def graph(edges: list[Edge]) -> nx.DiGraph:
    """Return the edges from child to parent."""
    return nx.DiGraph([(edge.child, edge.parent) for edge in edges])


def depth(taxonomy: nx.DiGraph, node: str) -> int:
    """Return the nodes on the longest way from a node up to a root."""
    return 1 + max((depth(taxonomy, parent) for parent in taxonomy.successors(node)), default=0)


def ways_up(taxonomy: nx.DiGraph, node: str) -> Mapping[str, int]:
    """Return the shortest distance to every ancestor, the node itself among them."""
    return nx.single_source_shortest_path_length(taxonomy, node)


def common(taxonomy: nx.DiGraph, first: str, second: str) -> dict[str, int]:
    """Return the common ancestors of two nodes, and the edges on the way between the two over each."""
    one, other = ways_up(taxonomy, first), ways_up(taxonomy, second)
    return {node: one[node] + other[node] for node in one if node in other}


def intrinsic(taxonomy: nx.DiGraph, node: str) -> float:
    return 1 - math.log(len(nx.ancestors(taxonomy, node)) + 1) / math.log(len(taxonomy))


def path(taxonomy: nx.DiGraph, first: str, second: str) -> float:
    return 1 / (min(common(taxonomy, first, second).values()) + 1)


def lch(taxonomy: nx.DiGraph, first: str, second: str) -> float:
    twice = 2 * (max(depth(taxonomy, node) for node in taxonomy) - 1)
    length = min(common(taxonomy, first, second).values())
    return math.log((length + 1) / twice) / math.log(1 / twice)


def wup(taxonomy: nx.DiGraph, first: str, second: str) -> float:
    shared = common(taxonomy, first, second)
    deepest = max(depth(taxonomy, node) for node in shared)
    chosen = min(node for node in shared if depth(taxonomy, node) == deepest)
    length = sum(min(common(taxonomy, node, chosen).values()) for node in (first, second))
    return 2 * deepest / (length + 2 * deepest)


def res(taxonomy: nx.DiGraph, first: str, second: str) -> float:
    return max(intrinsic(taxonomy, node) for node in common(taxonomy, first, second))


def lin(taxonomy: nx.DiGraph, first: str, second: str) -> float:
    total = intrinsic(taxonomy, first) + intrinsic(taxonomy, second)
    return 2 * res(taxonomy, first, second) / total if total else 1.0


def jcn(taxonomy: nx.DiGraph, first: str, second: str) -> float:
    # Leaves have the greatest information content there is, 1.
    distance = intrinsic(taxonomy, first) + intrinsic(taxonomy, second) - 2 * res(taxonomy, first, second)
    return 1 - distance / 2


ORACLES: dict[str, Pair] = {"path": path, "lch": lch, "wup": wup, "res": res, "lin": lin, "jcn": jcn}


def lcs_height(taxonomy: nx.DiGraph, chosen: list[str], first: str, second: str) -> float:
    """Return 1 - h(c) / h(root) in the hierarchy of the chosen nodes and all above them."""
    spanned = taxonomy.subgraph({node for one in chosen for node in ways_up(taxonomy, one)})

    def height(node: str) -> int:
        return max((1 + height(child) for child in spanned.predecessors(node)), default=0)

    highest = max(map(height, spanned))
    return 1 - min(map(height, common(spanned, first, second))) / highest if highest else 1.0
