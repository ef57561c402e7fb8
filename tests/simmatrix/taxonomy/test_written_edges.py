"""Lists of edges: as people publish them, as csv writes them, and as they must not be."""

import csv
import io
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix.errors import SourceError
from simmatrix.taxonomy.written import read_edges
from tests.simmatrix.taxonomy.written import NAMES, graph_of, graphs, same, text_of

WITHOUT_BLANKS = NAMES.map(lambda name: "".join(name.split()).replace(",", "")).filter(
    lambda name: name and not name.startswith("#") and name.lower() not in ("parent", "child")
)


def read(folder: Path, text: str) -> nx.DiGraph:
    path = folder / "edges.txt"
    path.write_bytes(text.encode())
    return graph_of(read_edges(text_of(path), path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edges")


def hangs_on_nothing(graph: nx.DiGraph) -> bool:
    """Tell whether the first edge has a name in common with no other."""
    first = set(next(iter(graph.edges)))
    return len(graph.edges) > 1 and not any(first & set(edge) for edge in list(graph.edges)[1:])


@given(graphs(), st.sampled_from("\t,"), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_what_csv_writes_reads_back(
    folder: Path, graph: nx.DiGraph, delimiter: str, ending: str, header: bool, swapped: bool
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=ending)
    # Without a header, an edge at the start that hangs on nothing is taken for one.
    needed = header or swapped or hangs_on_nothing(graph)
    rows = [*([("parent", "child")] if needed else []), *graph.edges]
    writer.writerows(row[::-1] if swapped else row for row in rows)
    assert same(read(folder, file.getvalue()), graph)


@given(graphs(WITHOUT_BLANKS), st.data())
def test_what_blanks_separate_reads_back(folder: Path, graph: nx.DiGraph, data: st.DataObject) -> None:
    blanks = st.sampled_from([" ", "   "])
    lines = [
        f"{parent}{data.draw(blanks)}{child}{data.draw(st.sampled_from(['', ' ']))}"
        for parent, child in [*([("parent", "child")] if hangs_on_nothing(graph) else []), *graph.edges]
    ]
    fillers = st.lists(st.sampled_from(["", "  ", "# a, comment\twith all signs", "  # more"]), max_size=2)
    text = "\n".join(line for said in lines for line in (*data.draw(fillers), said))
    assert same(read(folder, text), graph)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        # WordNet's nouns by their ids, as ImageNet's hierarchies are published.
        ("n00001740 n00001930\nn00001930 n00002684\nn00001740 n00023100\nn00023100 n00002684\n",
         {("n00001740", "n00001930"), ("n00001930", "n00002684"),
          ("n00001740", "n00023100"), ("n00023100", "n00002684")}),
        ("root node_QWERTZ\nnode_QWERTZ node_ASDFGH\nnode_ASDFGH nat0001\nnode_ASDFGH nat0002",
         {("root", "node_QWERTZ"), ("node_QWERTZ", "node_ASDFGH"),
          ("node_ASDFGH", "nat0001"), ("node_ASDFGH", "nat0002")}),
        ("\ufeffParent,Child\r\nanimal, \"sea, lion\"\r\n", {("animal", "sea, lion")}),
        ("# made by hand\nchild\tparent\nsea lion\tanimal\n", {("animal", "sea lion")}),
        ("animal,dog\n\nanimal,dog\n", {("animal", "dog")}),
        ('  animal, "sea\u2028lion"\n', {("animal", "sea\u2028lion")}),
        ("  animal dog\n", {("animal", "dog")}),
        ("animal\tdog, tame\n", {("animal", "dog, tame")}),
        # A header is the first line alone, and both of its names.
        ("parent dog\nchild parent\n", {("parent", "dog"), ("child", "parent")}),
        ("animal dog\n\nanimal\tcat\n", {("animal", "dog"), ("animal", "cat")}),
        # What stands in most lines separates, whatever a single name holds.
        ("sea lion,animal\nanimal,dog\t\n", {("sea lion", "animal"), ("animal", "dog")}),
        ("animal dog,tame\nanimal cat\n", {("animal", "dog,tame"), ("animal", "cat")}),
    ],
)  # fmt: skip
def test_files_as_people_have_them(text: str, edges: set[tuple[str, str]], tmp_path: Path) -> None:
    assert set(read(tmp_path, text).edges) == edges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("animal dog\nanimal sea lion\n", ", line 2: has 3 field(s) separated by blanks; write a parent and a child, "
         "separated by blanks, or by a tab or a comma if names hold blanks"),
        ("animal\n", ", line 1: has 1 field(s) separated by blanks; write"),
        ("animal;dog\n", ", line 1: has 1 field(s) separated by blanks; write"),
        ("animal\tdog\nanimal\tcat\nanimal sea lion\n", ", line 3: has 1 field(s) separated by tabs; write a parent "
         "and a child, separated by tabs"),
        ("a,b\na,c\na\td e\n", ", line 3: has 1 field(s) separated by commas; write"),
        ("animal,dog,3\n", ", line 1: has 3 field(s) separated by commas; write"),
        ("a,b\n# x\n,dog\n", ", line 3: a parent has no name; name it or take it out"),
        ("a\tb\n\tdog\n", ", line 2: a parent has no name; name it or take it out"),
        ("child,parent\n,dog\n", ", line 2: a child has no name; name it or take it out"),
        ("a,b\ndog,\n", ", line 2: a child has no name; name it or take it out"),
        ('a,b\n"dog,b\n', ", line 2: is not quoted as CSV is (unexpected end of data); mend the quotes"),
        ("a,b\na,d\x07g\n", ", line 2: the child 'd\\x07g' holds a control character or half of one; take it out"),
        ("a,b\n\u202ea,dog\n", ", line 2: the parent '\\u202ea' holds a control character"),
        ("r a\n# x\na b\nb a\n", ", line 4: is a circle: a is a kind of b is a kind of a; take one of these out"),
        ("r a\na a\n", ", line 2: is a circle: a is a kind of a; take one of these out"),
        ("# nothing\n", ": holds no taxonomy; name a parent and a child on each line"),
        ("parent,child\n", ": holds no taxonomy; name a parent and a child on each line"),
        ("", ": is empty; get or make the file again"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_edges_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'edges.txt'}{message}")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("animal cat\nanimal b\xe4r\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"latin\.txt, line 2: is not UTF-8"):
        text_of(tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("header", "swapped"),
    [
        ("source,target", False),
        ("from,to", False),
        ("parent_id,child_id", False),
        ("Hypernym,Hyponym", False),
        ("superclass,subclass", False),
        ("node1\tnode2", False),
        ("id parent_id", True),
        ("child_id,parent_id", True),
        ("hyponym,hypernym", True),
        ("class,superclass", True),
        ("subclass\tsuperclass", True),
        ('"name","parent name"', True),
    ],
)
def test_a_first_row_that_hangs_on_nothing_is_a_header(header: str, swapped: bool, tmp_path: Path) -> None:
    edges = [("animal", "dog"), ("animal", "cat"), ("dog", "poodle")]
    sign = next(sign for sign in "\t, " if sign in header)
    lines = [header, *(sign.join(edge[::-1] if swapped else edge) for edge in edges)]
    (tmp_path / "edges").write_text("\n".join(lines))
    taxonomy = read_edges("\n".join(lines), tmp_path / "edges")
    assert set(graph_of(taxonomy).edges) == set(edges)
    assert taxonomy.header == tuple(name.strip('"') for name in header.split(sign))
    # Not where one of its names is another line's too, or there is no other line.
    taxonomy = read_edges("\n".join([*lines, sign.join(("poodle", header.split(sign)[0].strip('"')))]), tmp_path)
    assert len(graph_of(taxonomy).edges) == 5
    assert len(read_edges("animal,dog", tmp_path)) == 2


def test_a_known_header_is_not_recorded(tmp_path: Path) -> None:
    assert read_edges("child parent\ndog animal", tmp_path).header == ()
