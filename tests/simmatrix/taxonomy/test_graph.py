"""The structure of taxonomies, against networkx."""

import time
from collections.abc import Iterator

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix.errors import SourceError
from simmatrix.taxonomy.graph import Edge, Taxonomy, from_edges
from tests.simmatrix.taxonomy.dags import dags, graph


def parents_of(taxonomy: Taxonomy) -> Iterator[tuple[str, set[str]]]:
    for index, name in enumerate(taxonomy.names):
        above = taxonomy.parents[taxonomy.starts[index] : taxonomy.starts[index + 1]].tolist()
        assert above == sorted(set(above))
        yield name, {taxonomy.names[parent] for parent in above}


@given(dags())
def test_the_graph_is_that_of_the_edges(edges: list[Edge]) -> None:
    theirs, ours = graph(edges), from_edges(edges, "here")
    assert dict(parents_of(ours)) == {name: set(theirs.successors(name)) for name in theirs}
    longest = {name: max(map(len, nx.all_simple_paths(theirs, name, "r")), default=1) - 1 for name in theirs}
    assert dict(zip(ours.names, ours.depths.tolist(), strict=True)) == longest
    assert ours.depth == max(longest.values())
    assert [ours.names[root] for root in ours.roots] == ["r"]
    assert list(ours.names) == list(dict.fromkeys(name for edge in edges for name in (edge.parent, edge.child)))


@given(dags(), st.data())
def test_heights_are_those_within_the_closure(edges: list[Edge], data: st.DataObject) -> None:
    theirs, ours = graph(edges), from_edges(edges, "here")
    chosen = data.draw(st.lists(st.integers(0, len(ours) - 1), min_size=1, max_size=6))
    closure = ours.closure(np.array(chosen))
    spanned = theirs.subgraph([ours.names[node] for node in closure.nodes]).reverse()
    for node, height in zip(closure.nodes, closure.heights.tolist(), strict=True):
        ways = (nx.all_simple_paths(spanned, ours.names[node], other) for other in spanned)
        assert height == max((len(way) - 1 for some in ways for way in some), default=0)


@given(dags(), st.data())
def test_the_closure_is_the_nodes_with_all_above_them(edges: list[Edge], data: st.DataObject) -> None:
    theirs, ours = graph(edges), from_edges(edges, "here")
    chosen = data.draw(st.lists(st.integers(0, len(ours) - 1), min_size=1, max_size=6))
    closure = ours.closure(np.array(chosen))
    names = [ours.names[node] for node in closure.nodes]
    up = {
        (position, name): distance
        for position, node in enumerate(chosen)
        for name, distance in nx.single_source_shortest_path_length(theirs, ours.names[node]).items()
    }
    assert sorted(names) == sorted({name for _, name in up})
    assert [names[place] for place in closure.places] == [ours.names[node] for node in chosen]
    assert closure.depths.tolist() == [ours.depths[node] for node in closure.nodes]
    found = zip(closure.sources.tolist(), closure.ancestors.tolist(), closure.ups.tolist(), strict=True)
    listed = [((source, names[ancestor]), distance) for source, ancestor, distance in found]
    assert dict(listed) == up
    assert len(listed) == len(up)
    for index, name in enumerate(names):
        above = closure.parents[closure.starts[index] : closure.starts[index + 1]]
        assert {names[parent] for parent in above} == set(theirs.successors(name))
        assert all(parent < index for parent in above)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([Edge("a", "a", 7)], "here, line 7: is a circle: a is a kind of a; take"),
        ([Edge("r", "a", 1), Edge("a", "b", 2), Edge("b", "a", 3)], "here, line 3: is a circle: a is a kind of b is"),
        ([Edge("a", "b"), Edge("b", "c"), Edge("c", "a"), Edge("c", "d")], "here: is a circle: a is a kind of c is"),
        ([], "here: holds no taxonomy; name a parent and a child"),
    ],
)
def test_what_is_no_taxonomy_is_refused(edges: list[Edge], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        from_edges(edges, "here")
    assert str(caught.value).startswith(message)


def test_a_cycle_is_named_whole_and_without_what_hangs_from_it() -> None:
    edges = [Edge("r", "a"), Edge("a", "b"), Edge("b", "c"), Edge("c", "b"), Edge("c", "d"), Edge("d", "e")]
    with pytest.raises(SourceError, match="circle: b is a kind of c is a kind of b; take"):
        from_edges(edges, "here")


def test_depth_has_an_end() -> None:
    chain = [Edge(f"n{level}", f"n{level + 1}") for level in range(1000)]
    assert from_edges(chain, "here").depth == 1000
    with pytest.raises(SourceError, match="'last' is 1001 levels deep, 1000 is the most; flatten it"):
        from_edges([*chain, Edge("n1000", "last")], "here")


def test_a_long_circle_is_told_in_short_and_at_once() -> None:
    size = 50_000
    edges = [Edge(f"n{node}", f"n{(node + 1) % size}", node) for node in range(size)]
    started = time.process_time()
    with pytest.raises(SourceError) as caught:
        from_edges(edges, "here")
    assert time.process_time() - started < 5
    named = [f"n{node}" for node in (0, 49999, 49998, 49997, 49996, 49995, 49994)]
    circle = f"{' is a kind of '.join(named)} is a kind of … (49,993 more) … is a kind of n0"
    assert str(caught.value) == f"here, line 49999: is a circle: {circle}; take one of these out"
    with pytest.raises(SourceError, match="'n1001' is 1001 levels deep, 1000 is the most"):
        from_edges([Edge(f"n{node}", f"n{node + 1}") for node in range(size)], "here")
