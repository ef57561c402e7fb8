"""Indented outlines: any graph written as one reads back, and what can't be understood is refused."""

from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix.errors import SourceError
from simmatrix.taxonomy.written import read_outline
from tests.simmatrix.taxonomy.written import BULLETS, graph_of, graphs, roots, same, text_of


def read(folder: Path, text: str) -> nx.DiGraph:
    path = folder / "outline.txt"
    path.write_bytes(text.encode())
    return graph_of(read_outline(text_of(path), path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outline")


@given(graphs(), st.data())
def test_any_graph_written_as_an_outline_reads_back(folder: Path, graph: nx.DiGraph, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from("\t "))
    bullet = data.draw(st.sampled_from(["", *BULLETS]))
    start = unit * data.draw(st.integers(0, 2))
    written = set()

    def lines(node: str, indentation: str, *, whole: bool) -> Iterator[str]:
        yield f"{indentation}{bullet}{node}"
        if whole and node not in written:
            written.add(node)
            further = indentation + unit * data.draw(st.integers(1, 3))
            for child in graph.successors(node):
                yield from lines(child, further, whole=data.draw(st.booleans()))

    # What is below a node is written once: at any of its places, or else at the end.
    text = [line for root in roots(graph) for line in lines(root, start, whole=True)]
    text += [line for node in graph if graph[node] and node not in written for line in lines(node, start, whole=True)]
    assert same(read(folder, "\n".join(text)), graph)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("animal\n  dog\n    poodle\n    beagle\n  cat\nthing\n  car\n",
         {("animal", "dog"), ("dog", "poodle"), ("dog", "beagle"), ("animal", "cat"), ("thing", "car")}),
        ("animal\n\tsea lion\n\tdog, tame\n", {("animal", "sea lion"), ("animal", "dog, tame")}),
        ("\ufeff- animal\r\n\r\n    - dog\r\n# about dogs\r\n        * poodle\r\n",
         {("animal", "dog"), ("dog", "poodle")}),
        ("- animal\n  - sea - lion\n", {("animal", "sea - lion")}),
        # Siblings may be further in below one parent than below another.
        ("a\n  b\n      c\n      d\n  e\n   f\n", {("a", "b"), ("b", "c"), ("b", "d"), ("a", "e"), ("e", "f")}),
        ("pet\n  dog\nmammal\n  dog\n    poodle\n", {("pet", "dog"), ("mammal", "dog"), ("dog", "poodle")}),
        ("a\n  -b\n  *c\n  - \n", {("a", "-b"), ("a", "*c"), ("a", "-")}),
        # Barz and Denzler's outlines (2019), org-mode's headings, and what the command tree draws.
        ("entity\n-- natural_scenes\n---- sea\n\n-- living\n------ sea lion\n------ Podiceps + Aechmophorus\n",
         {("entity", "natural_scenes"), ("natural_scenes", "sea"), ("entity", "living"), ("living", "sea lion"),
          ("living", "Podiceps + Aechmophorus")}),
        ("- entity\n-- sea - lion\n--- pup\n", {("entity", "sea - lion"), ("sea - lion", "pup")}),
        ("* entity\n** animal\n*** dog\n** plant\n", {("entity", "animal"), ("animal", "dog"), ("entity", "plant")}),
        ("animal\n├── dog\n│\xa0\xa0 ├── poodle\n│   └── beagle\n└── cat\n    └── tabby\n",
         {("animal", "dog"), ("dog", "poodle"), ("dog", "beagle"), ("animal", "cat"), ("cat", "tabby")}),
        ("a\n  -- b\n    ** c\n", {("a", "-- b"), ("-- b", "** c")}),
        ("pet\n  dog\n    poodle\nmammal\n  dog\n    poodle\n",
         {("pet", "dog"), ("mammal", "dog"), ("dog", "poodle")}),
    ],
)  # fmt: skip
def test_files_as_people_have_them(text: str, edges: set[tuple[str, str]], tmp_path: Path) -> None:
    assert set(read(tmp_path, text).edges) == edges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n  b\n\tc\n", ", line 3: is indented by tabs, line 2 by blanks; use one of them"),
        ("a\n\n\tb\n  c\n", ", line 4: is indented by blanks, line 3 by tabs; use one of them"),
        ("a\n \tb\n", ", line 2: is indented by other than blanks alone or tabs alone; use one"),
        ("a\n\xa0\xa0b\n", ", line 2: is indented by other than blanks alone or tabs alone; use one"),
        ("a\n    b\n      c\n  d\n", ", line 4: is indented by 2, its siblings above by 4; indent it as they are"),
        ("    a\n      b\n  c\n", ", line 3: is indented by 2, its siblings above by 4; indent it as they are"),
        ("animal\n- dog\n- cat\n", ", line 2: has a bullet, line 1 has none; give all lines one or none, and indent"),
        ("- animal\n  - dog\n  cat\n", ", line 3: has no bullet, line 1 has one; give all lines one or none"),
        ("a\n  b\nc\n", ", line 3: 'c' stands alone, nothing is above or below it; put it below its parent, or take"),
        ("a\nb\n", ", line 1: 'a' stands alone"),
        ("a\n  b\n    a\n", ", line 3: is a circle: a is a kind of b is a kind of a; take one of these out"),
        ("a\n  a\n", ", line 2: is a circle: a is a kind of a; take one of these out"),
        ("a\n  b\tc\n", ", line 2: the node 'b\\tc' holds a control character or half of one; take it out"),
        ("a\n---- b\n------ c\n-- d\n", ", line 4: is indented by 2, its siblings above by 4; indent it as they are"),
        (
            "r\n bird\n  other\n   emu\n fish\n  other\n   eel\n",
            ": 'other' has other children below 'bird' than below "
            "'fish'; if it is one thing, write its children in one of these places, and else give it two names",
        ),
        ("\n# nothing\n", ": holds no taxonomy"),
        ("", ": is empty; get or make the file again"),
    ],
)
def test_what_is_no_outline_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'outline.txt'}{message}")
