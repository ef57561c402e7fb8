"""Random directed acyclic graphs, and how they are told from what was read."""

import unicodedata
from pathlib import Path

import networkx as nx
from hypothesis import strategies as st

from simmatrix.files import decoded, read_bytes
from simmatrix.taxonomy.graph import Taxonomy

BULLETS = ("- ", "* ", "+ ")


def is_plain(name: str) -> bool:
    """Tell whether a name means itself on a line of its own."""
    return name == name.strip() and not name.startswith(("#", *BULLETS)) and name.lower() not in ("parent", "child")


NAMES = (
    st.text(
        st.characters(
            exclude_categories=("Cc", "Cs"), exclude_characters="\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
        ).filter(lambda sign: sign not in "\u2066\u2067\u2068\u2069")
        | st.sampled_from("ab /,;\"'#-*:"),
        min_size=1,
        max_size=6,
    )
    .filter(is_plain)
    .filter(lambda name: unicodedata.is_normalized("NFC", name))
)


@st.composite
def graphs(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES) -> nx.DiGraph:
    """Draw edges from parents to children: every node has one at least, there may be several roots."""
    nodes = draw(st.lists(names, min_size=2, max_size=9, unique=True))
    graph = nx.DiGraph()
    for child in range(1, len(nodes)):
        for parent in draw(st.lists(st.integers(0, child - 1), min_size=1, max_size=3, unique=True)):
            graph.add_edge(nodes[parent], nodes[child])
    # One root becomes several where what is between is taken out.
    edges = draw(st.lists(st.sampled_from(sorted(graph.edges)), min_size=1, unique=True))
    return nx.DiGraph(draw(st.sampled_from([sorted(graph.edges), edges])))


def graph_of(taxonomy: Taxonomy) -> nx.DiGraph:
    """Return what was read as edges from parents to children."""
    graph = nx.DiGraph()
    graph.add_nodes_from(taxonomy.names)
    for child, name in enumerate(taxonomy.names):
        for parent in taxonomy.parents[taxonomy.starts[child] : taxonomy.starts[child + 1]]:
            graph.add_edge(taxonomy.names[parent], name)
    return graph


def same(first: nx.DiGraph, second: nx.DiGraph) -> bool:
    """Tell whether two graphs have the same nodes and edges."""
    return set(first.nodes) == set(second.nodes) and set(first.edges) == set(second.edges)


def roots(graph: nx.DiGraph) -> list[str]:
    """Return the nodes without parents."""
    return [node for node, parents in graph.in_degree() if parents == 0]


def text_of(path: Path) -> str:
    """Return a file's text as the builder reads it."""
    return decoded(read_bytes(path), path)
