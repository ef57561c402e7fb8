"""Nested JSON: any graph written in either form reads back, nothing in a file is passed over in silence."""

import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix.errors import SourceError
from simmatrix.taxonomy.written import read_nested
from tests.simmatrix.taxonomy.written import graph_of, graphs, roots, same, text_of


def read(folder: Path, text: str) -> nx.DiGraph:
    path = folder / "tree.json"
    path.write_bytes(text.encode())
    return graph_of(read_nested(text_of(path), path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nested")


def as_maps(graph: nx.DiGraph, node: str, data: st.DataObject) -> Any:
    """Return what is below a node: an object, or a list of names and objects; nothing in one of four ways."""
    children = {child: as_maps(graph, child, data) for child in graph.successors(node)}
    if not children:
        return data.draw(st.sampled_from([None, {}, []]))
    if data.draw(st.booleans()):
        return children
    return [child if not below else {child: below} for child, below in children.items()]


def as_named(graph: nx.DiGraph, node: str) -> Any:
    """Return a node as d3 has it."""
    children = [as_named(graph, child) for child in graph.successors(node)]
    return {"size": 3, "children": children, "name": node} if children else {"name": node, "value": 1.5}


@given(graphs(), st.data())
def test_any_graph_written_as_objects_by_name_reads_back(folder: Path, graph: nx.DiGraph, data: st.DataObject) -> None:
    content = {root: as_maps(graph, root, data) for root in roots(graph)}
    assert same(read(folder, json.dumps(content, ensure_ascii=data.draw(st.booleans()))), graph)


@given(graphs())
def test_any_graph_written_as_d3_has_it_reads_back(folder: Path, graph: nx.DiGraph) -> None:
    tops = [as_named(graph, root) for root in roots(graph)]
    assert same(read(folder, json.dumps(tops[0] if len(tops) == 1 else tops)), graph)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ('{"animal": {"dog": ["poodle", "beagle"], "cat": {}}}',
         {("animal", "dog"), ("dog", "poodle"), ("dog", "beagle"), ("animal", "cat")}),
        ('\ufeff {"animal": {"dog": null}, "thing": ["car"]}', {("animal", "dog"), ("thing", "car")}),
        # A dict would keep the second dog alone.
        ('{"animal": {"dog": ["poodle"], "dog": ["beagle"]}}',
         {("animal", "dog"), ("dog", "poodle"), ("dog", "beagle")}),
        ('[{"name": "animal", "children": ["cat", {"name": "dog", "children": null, "id": 3}]}]',
         {("animal", "cat"), ("animal", "dog")}),
        # Nodes may be called by the words that d3 uses.
        ('{"name": {"children": ["name of a child"]}}', {("name", "children"), ("children", "name of a child")}),
        ('{" animal ": ["cat"]}', {("animal", "cat")}),
    ],
)  # fmt: skip
def test_files_as_people_have_them(text: str, edges: set[tuple[str, str]], tmp_path: Path) -> None:
    assert set(read(tmp_path, text).edges) == edges


def test_nodes_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    path.write_text('{"animal": {"dog": ["poodle", "beagle"], "cat": ["tabby"]}}')
    assert read_nested(text_of(path), path).names == ("animal", "dog", "cat", "poodle", "beagle", "tabby")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"animal": {"dog": 3}}', ": below animal/dog stands 3, where names or an object with names belong; write {"),
        ('{"animal": ["cat", 3.5]}', ": below animal stands 3.5, where names"),
        ('{"animal": ["cat", null]}', ": below animal stands null, where names"),
        ('{"animal": {"dog": "poodle"}}', ': below animal/dog stands "poodle", where names'),
        ('{"animal": {"dog": true}}', ": below animal/dog stands true, where names"),
        ('{"animal": [["cat"]]}', ": below animal stands a list in a list, where names"),
        ('{"bird": {"other": ["emu"]}, "fish": {"other": ["eel", "emu"]}}', ": 'other' has other children below 'bird' "
         "than below 'fish'; if it is one thing"),
        ("[3]", ": at the top stands 3, where names"),
        ('"animal"', ": is a single value; write {"),
        ("3", ": is a single value; write {"),
        ("null", ": is a single value; write {"),
        ('{"animal": {\n"dog": [}\n}', ", line 2: is not JSON (Expecting value); mend it there"),
        ('{"a": ' + "9" * 5000 + "}", ": is JSON that no taxonomy needs; write {"),
        ('{"a": ' * 100_000, ": is JSON that is nested too deeply to read; flatten it, or write a list of edges"),
        ('{"animal": [" "]}', ": a node below animal has no name; name it or take it out"),
        ('{"animal": {"d\\u0007g": {}}}', ": the node below animal 'd\\x07g' holds a control character or half of"),
        ('{"animal": ["\\ud800"]}', ": the node below animal '\\ud800' holds a control character or half of one"),
        ('{"name": "a", "children": ["b"], "name": "c"}', ": at the top stands an object with two 'name'; take"),
        ('{"a": {"name": "b", "children": ["c"], "children": ["d"]}}', ": below a stands an object with two 'children"),
        ('{"name": "a", "children": [{"name": "b", "kids": ["c"]}]}',
         ': below a/b stands something under "kids"; put it under "children", or take it out'),
        ('{"name": "a", "kids": {"b": {}}}', ': below a stands something under "kids"; put it'),
        ('{"name": "a", "children": "b"}', ': below a stands "b", where names'),
        ('{"a": ["b"], "c": {}}', ": 'c' stands alone, nothing is above or below it"),
        ('["a", "b"]', ": 'a' stands alone, nothing is above or below it"),
        ('{"a": {"b": ["a"]}}', ": is a circle: a is a kind of b is a kind of a; take one of these out"),
        ("{}", ": holds no taxonomy"),
        ("[]", ": holds no taxonomy"),
        ("", ": is empty; get or make the file again"),
    ],
)  # fmt: skip
def test_what_is_no_taxonomy_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'tree.json'}{message}")
