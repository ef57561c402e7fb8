"""Formats are told by their contents, whatever the file's name."""

import json
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given

from simmatrix.choices import TAXONOMY_FORMATS as FORMATS
from simmatrix.errors import ParameterError, SourceError
from simmatrix.taxonomy.written import detect, read_taxonomy
from tests.simmatrix.taxonomy.written import NAMES, graph_of, graphs, same, text_of

EDGES = {("animal", "dog"), ("dog", "poodle"), ("animal", "cat")}
TEXTS = {
    "edges": "animal dog\ndog poodle\nanimal cat\n",
    "outline": "animal\n  dog\n    poodle\n  cat\n",
    "json": '\n {"animal": {"dog": ["poodle"], "cat": {}}}',
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n", "\ufeff\n"])
def test_every_format_is_told_and_reads_the_same(name: str, before: str, tmp_path: Path) -> None:
    path = tmp_path / "taxonomy"
    path.write_text(before + TEXTS[name], encoding="utf-8")
    assert detect(text_of(path)) == name
    assert set(graph_of(read_taxonomy(text_of(path), path, name)).edges) == EDGES


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# in parts\n  # of this\nanimal dog\n", "edges"),
        ("  animal dog\n  animal cat\n", "edges"),
        ("animal\tdog\n\tcat\n", "edges"),
        ("animal\n\tdog\n\tcat\n", "outline"),
        ("- animal\n- thing\n", "outline"),
        ("- animal dog\nanimal cat\n", "edges"),
        ("    animal\n  dog\n", "outline"),
        ('[{"name": "animal"}]', "json"),
        ("# nothing\n", "edges"),
        ("entity\n-- animal\n---- dog\n", "outline"),
        ("- entity\n-- animal\n", "outline"),
        ("entity\n** animal\n", "outline"),
        ("entity\n├── animal\n│\xa0\xa0 └── dog\n└── plant\n", "outline"),
        ("-- animal\n  dog cat\n", "outline"),
        # One stray tab in a name makes no table.
        ("animal\n  dog\n  ca\tt\n", "outline"),
    ],
)
def test_what_is_like_another_format_is_told(text: str, name: str) -> None:
    assert detect(text) == name


@pytest.mark.parametrize("right", FORMATS)
@pytest.mark.parametrize("wrong", FORMATS)
def test_a_wrong_format_is_an_error(right: str, wrong: str, tmp_path: Path) -> None:
    if right != wrong:
        with pytest.raises(SourceError, match="taxonomy"):
            read_taxonomy(TEXTS[right], tmp_path / "taxonomy", wrong)


def test_an_unknown_format_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="format must be 'edges', 'outline' or 'json', got 'tree'"):
        read_taxonomy("", tmp_path, "tree")


@given(graphs(NAMES.filter(lambda name: '"' not in name)))
def test_all_formats_give_the_same_graph(graph: nx.DiGraph) -> None:
    pairs = sorted(graph.edges)
    content = {
        # With a header: an edge at the start that hangs on nothing would be taken for one.
        "edges": "\n".join(f"{parent}\t{child}" for parent, child in [("parent", "child"), *pairs]),
        "outline": "\n".join(f"{parent}\n  {child}" for parent, child in pairs),
        "json": json.dumps([{parent: [child]} for parent, child in pairs]),
    }
    for name, text in content.items():
        assert same(graph_of(read_taxonomy(text, Path(name), name)), graph)
