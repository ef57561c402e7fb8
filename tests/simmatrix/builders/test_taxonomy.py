"""Similarities of classes in a taxonomy, against networkx's shortest ways and against counting by hand."""

import dataclasses
import hashlib
import itertools
import json
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix import SimilarityMatrix, normalise
from simmatrix.builders.automatic import known_columns, superclasses_of
from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.taxonomy import TaxonomyColumns, TaxonomyFile, from_taxonomy, taxonomy_similarity
from simmatrix.choices import TAXONOMY_FORMATS as FORMATS
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.summary import concerns
from simmatrix.taxonomy.measures import MEASURES, NEED_CONTENT

OUTLINE = "living\n  animal\n    Sea lion\n    dog\n      poodle\n      beagle\n  plant\n    rose\n"


def written(folder: Path, text: str = OUTLINE, name: str = "taxonomy.txt") -> TaxonomyFile:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return TaxonomyFile(path, name)


def similarity(folder: Path, *names: str, text: str = OUTLINE, measure: str = "path") -> RawSimilarity:
    return taxonomy_similarity(written(folder, text), ClassList(names), measure=measure)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("taxonomy")


@given(st.data(), st.integers(3, 15))
def test_path_is_networkxs_shortest_way_in_a_tree(folder: Path, data: st.DataObject, size: int) -> None:
    tree = nx.Graph([(data.draw(st.integers(0, node - 1)), node) for node in range(1, size)])
    text = "".join(f"n{parent} n{child}\n" for parent, child in tree.edges)
    chosen = data.draw(st.lists(st.sampled_from(range(size)), min_size=2, unique=True))
    raw = similarity(folder, *(f"n{node}" for node in chosen), text=text)
    expected = [[1 / (1 + nx.shortest_path_length(tree, one, other)) for other in chosen] for one in chosen]
    np.testing.assert_allclose(raw.values, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("measure", MEASURES)
def test_cifar100s_superclasses_are_what_is_near(measure: str) -> None:
    classes = read_classes("cifar100")
    raw = taxonomy_similarity(TaxonomyColumns(("superclass",)), classes, measure=measure)
    groups = classes.column("superclass")
    assert raw.classes == classes.names
    by_kind: dict[str, set[float]] = {}
    for i, j in itertools.product(range(100), repeat=2):
        kind = "itself" if i == j else "group" if groups[i] == groups[j] else "other"
        by_kind.setdefault(kind, set()).add(raw.values[i, j])
    assert {kind: len(values) for kind, values in by_kind.items()} == {"itself": 1, "group": 1, "other": 1}
    other, group, itself = (by_kind[kind].pop() for kind in ("other", "group", "itself"))
    assert other < group < itself
    assert itself == pytest.approx(1)
    if measure == "path":
        assert (other, group) == (1 / 5, 1 / 3)
    if measure == "wup":
        assert (other, group) == (2 / 6, 4 / 6)
    if measure == "lin":
        # 121 nodes; a superclass has itself and five classes below it.
        assert group == pytest.approx(1 - np.log(6) / np.log(121))


def test_columns_may_be_several(tmp_path: Path) -> None:
    table = "class\tkind\trealm\nrose\tflower\tplant\noak\ttree\tplant\ncar\tvehicle\tthing\ntulip\tflower\tplant\n"
    (tmp_path / "c.tsv").write_text(table)
    raw = taxonomy_similarity(TaxonomyColumns(("kind", "realm")), read_classes(tmp_path / "c.tsv"))
    assert raw.values[0].tolist() == [1, 1 / 5, 1 / 7, 1 / 3]
    assert raw.provenance.params == {"measure": "path", "columns": ["kind", "realm"]}
    assert [one.role for one in raw.provenance.source] == ["classes"]
    assert raw.provenance.resolution["oak"] == {"how": "name", "words": ["oak"]}


PLACES = ("home garden rakes", "home garden rakes", "home garden", "home lights lamps old", "toys kites", "toys kites")
PLACED = ("leaf rake", "bow rake", "hose", "lamp", "kite", "stunt kite")


def tree_of(places: Sequence[str], folder: Path) -> TaxonomyFile:
    """Return the tree of paths as edges, each node with all that is above it as its name."""
    edges = set()
    for name, place in zip(PLACED, places, strict=True):
        parts = place.split()
        down = ["all", *(" ".join(parts[: depth + 1]) for depth in range(len(parts))), name]
        edges |= set(itertools.pairwise(down))
    return written(folder, "parent\tchild\n" + "".join(f"{above}\t{below}\n" for above, below in sorted(edges)))


@pytest.mark.parametrize("measure", ["path", "lin", "lcs-height"])
def test_a_column_of_paths_is_the_tree_that_they_make(measure: str, tmp_path: Path) -> None:
    """The oracle is the same tree written as edges; the paths are of different lengths."""
    expected = taxonomy_similarity(tree_of(PLACES, tmp_path), ClassList(PLACED), measure=measure).values
    for sign in (" > ", ">", "::", " \u203a "):
        column = tuple(sign.join(place.split()) for place in PLACES)
        raw = taxonomy_similarity(TaxonomyColumns(("kind",)), ClassList(PLACED, {"kind": column}), measure=measure)
        assert np.array_equal(raw.values, expected)
        assert raw.provenance.params["columns"] == ["kind"]
        assert raw.provenance.params["levels"] == 4
    # Written with blanks or without, and with a sign at the end.
    untidy = ClassList(PLACED, {"kind": ("home>garden > rakes", *(" > ".join(one.split()) for one in PLACES[1:-1]),
                                         "toys > kites >")})  # fmt: skip
    assert np.array_equal(taxonomy_similarity(TaxonomyColumns(("kind",)), untidy, measure=measure).values, expected)
    assert superclasses_of(ClassList(PLACED, {"group": untidy.column("kind")}))[0] == "home > garden > rakes"
    # The same names as paths that are divided by --separator.
    names = [" > ".join((*place.split(), name)) for place, name in zip(PLACES, PLACED, strict=True)]
    divided = read_classes(names, separator=">")
    found = known_columns(divided)
    assert found is not None
    raw = taxonomy_similarity(TaxonomyColumns(found.arguments["taxonomy"]), divided, measure=measure)
    assert np.array_equal(raw.values, expected)


@pytest.mark.parametrize(
    "values",
    [
        ("animal.n.01", "plant.n.02", "vessel.n.02", "vessel.n.03"),
        ("Sports/Games", "Sports/Outdoors", "Food/Drink", "Vehicle"),
        ("http://a.org/ontology/Animal", "http://a.org/ontology/Plant", "http://a.org/ontology/Car", "other"),
        ("N/A", "N/K", "N/S", "bird"),
        ("Jan|2020", "Jan|2021", "Feb|2020", "Feb|2021"),
        ("> 5", "> 9", "< 5", "5 to 9"),
        ("age >= 60", "age >= 40", "age < 40", "age > 20"),
        ("Eukaryota -> Animals", "Eukaryota -> Plants", "Eukaryota => Fungi", "other"),
        ("Home > Garden", "Toys", "Food > Fruit", "Books"),
        ("x::y", "a > b", "z", "w"),
    ],
)
def test_what_else_has_signs_is_no_path(values: tuple[str, ...]) -> None:
    names = ("rose", "oak", "cup", "ship")
    listed = ClassList(names, {"kind": values})
    raw = taxonomy_similarity(TaxonomyColumns(("kind",)), listed)
    assert raw.provenance.params == {"measure": "path", "columns": ["kind"]}
    # Each is below a group of its own: four edges from any other.
    assert np.array_equal(raw.values, np.where(np.eye(4), 1, 1 / 5))


def test_a_path_may_be_the_beginning_of_another(tmp_path: Path) -> None:
    places = ("Home", "Home Garden", "Home Garden", "Toys", "Food", "Books")
    column = tuple(" > ".join(place.split()) for place in places)
    raw = taxonomy_similarity(TaxonomyColumns(("kind",)), ClassList(PLACED, {"kind": column}))
    assert np.array_equal(raw.values, taxonomy_similarity(tree_of(places, tmp_path), ClassList(PLACED)).values)


def test_levels_of_as_many_groups_are_in_their_order(tmp_path: Path) -> None:
    """All names of one department have the same first two parts."""
    places = (
        "Shop Home Garden",
        "Shop Home Garden",
        "Shop Home",
        "Shop Home",
        "Shop Home Kitchen",
        "Shop Home Kitchen",
    )
    names = [" > ".join((*place.split(), name)) for place, name in zip(places, PLACED, strict=True)]
    divided = read_classes(names, separator=" > ")
    found = known_columns(divided)
    assert found is not None
    assert found.arguments["taxonomy"] == ("level_3", "level_2", "level_1")
    raw = taxonomy_similarity(TaxonomyColumns(found.arguments["taxonomy"]), divided)
    assert np.array_equal(raw.values, taxonomy_similarity(tree_of(places, tmp_path), ClassList(PLACED)).values)


def test_of_several_columns_none_is_divided() -> None:
    places = [tuple(place.split()) for place in PLACES]
    columns = {
        "fine": tuple(" > ".join(one[:3]) for one in places),
        "coarse": tuple(" > ".join(one[:2]) for one in places),
    }
    raw = taxonomy_similarity(TaxonomyColumns(("fine", "coarse")), ClassList(PLACED, columns))
    assert raw.values[0, 1] == 1 / 3
    assert raw.provenance.params == {"measure": "path", "columns": ["fine", "coarse"]}


def test_a_cell_that_lacks_its_path_is_told() -> None:
    places = ("home > garden", "home > garden", "home > kitchen", " ")
    with pytest.raises(SourceError, match="no kind is given for kite; fill it in"):
        taxonomy_similarity(TaxonomyColumns(("kind",)), ClassList(("rake", "hose", "pot", "kite"), {"kind": places}))


def test_groups_that_differ_in_case_and_blanks_alone_are_told() -> None:
    groups = ("Flower", "flower", "Tree", "tree", "shrub_or herb", "A-", "a", "shrub or  herb")
    matrix = from_taxonomy("kind", ClassList(tuple("abcdefgh"), {"kind": groups}))
    alike = ["Flower and flower", "Tree and tree", "shrub_or herb and shrub or  herb"]
    assert matrix.provenance.params["alike"] == alike
    told = f"groups that differ only in case or blanks: {', '.join(alike)}; if they are one, spell them the same"
    assert told in concerns(matrix)
    # One spelling would leave two groups where the coarser ones differ; and a foreign file may say anything.
    kinds = {"kind": ("other", "Other", "k", "k"), "top": ("X", "Y", "Y", "X")}
    assert "alike" not in from_taxonomy("kind,top", ClassList(tuple("abcd"), kinds)).provenance.params
    for odd in (7, [], {"a": 1}, [7]):
        origin = dataclasses.replace(matrix.provenance, params={"alike": odd})
        shown = [one for one in concerns(SimilarityMatrix(matrix.values, matrix.classes, origin)) if "case or" in one]
        assert len(shown) == (odd == [7])
    matrix = from_taxonomy("kind", ClassList(("a", "b", "c"), {"kind": ("C+", "C", "C")}))
    assert "alike" not in matrix.provenance.params


def test_a_nested_mapping_that_is_no_json_is_refused() -> None:
    bird = {"bird": ["owl", "wren"]}
    expected = from_taxonomy({"living": {"animal": bird, "plant": ["oak"]}}, ["owl", "wren", "oak"]).to_dense()
    proxy = types.MappingProxyType({"living": {"animal": types.MappingProxyType(bird), "plant": ["oak"]}})
    assert (from_taxonomy(proxy, ["owl", "wren", "oak"]).to_dense() == expected).all()
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    round_and_round: dict[str, Any] = {}
    round_and_round["a"] = round_and_round
    for odd in ({"bird": {"ab", "cd"}}, {"a": np.array(["b"])}, deep, round_and_round):
        with pytest.raises(SourceError, match=r"taxonomy: can't be written as JSON .*; nest mappings, and lists"):
            from_taxonomy(odd, ["a", "b"])
    while deep:  # or its end would recurse as deep
        deep = deep["a"]
    with pytest.raises(ParameterError, match="a mapping has no format json; leave it out"):
        from_taxonomy({"animal": bird}, ["owl", "wren"], format="json")


def test_a_class_called_like_its_superclass_is_the_class() -> None:
    classes = ClassList(("fish", "shark", "rose"), {"superclass": ("fish", "fish", "flower")})
    raw = taxonomy_similarity(TaxonomyColumns(("superclass",)), classes)
    assert raw.values.tolist() == [[1, 1 / 3, 1 / 5], [1 / 3, 1, 1 / 5], [1 / 5, 1 / 5, 1]]


@pytest.mark.parametrize(
    ("name", "how", "node"),
    [
        ("dog", "name", "dog"),
        ("DOG", "name form", "dog"),
        ("Dogs", "name form", "dog"),
        ("sea_lion", "name form", "Sea lion"),
        ("SeaLions", "name form", "Sea lion"),
        ("sea-lion", "name form", "Sea lion"),
    ],
)
def test_a_class_is_found_by_its_name_or_a_form_of_it(name: str, how: str, node: str, tmp_path: Path) -> None:
    raw = similarity(tmp_path, name, "rose")
    assert raw.provenance.resolution[name] == {"how": how, "words": [node]}
    assert np.array_equal(raw.values, similarity(tmp_path, node, "rose").values)


@pytest.mark.parametrize(
    "name", ["001.Sea_Lion", "n02077923-sea_lion", "eared seal, sea lions", "Sea lion (Otariinae)"]
)
def test_a_name_is_read_as_for_words_and_wordnet(name: str, tmp_path: Path) -> None:
    assert similarity(tmp_path, name, "poodle").provenance.resolution[name] == {
        "how": "name form",
        "words": ["Sea lion"],
    }


def test_an_accent_may_be_written_as_a_sign_of_its_own(tmp_path: Path) -> None:
    text = "plant\n  ros\u00e9\n  lys\u0065\u0301\n"
    raw = similarity(tmp_path, "rose\u0301", "lys\u00e9", text=text)
    assert [one["words"] for one in raw.provenance.resolution.values()] == [["ros\u00e9"], ["lys\u00e9"]]


def test_a_plural_node_is_not_taken_for_a_class_in_the_singular(tmp_path: Path) -> None:
    with pytest.raises(ClassNotFoundError, match=r"flower: no such node, nearest flowers"):
        similarity(tmp_path, "flower", "rose", text="plants\n  flowers\n    rose\n    tulip\n")


def test_classes_without_a_node_of_their_own_are_named_with_the_nearest(tmp_path: Path) -> None:
    text = OUTLINE + "    Dog\n    ()\n"
    with pytest.raises(ClassNotFoundError) as caught:
        similarity(tmp_path, "rose", "podle", "DOG", "lorry", "(/)", "Beagles", text=text)
    assert caught.value.missing == ("podle", "DOG", "lorry", "(/)")
    assert str(caught.value).splitlines() == [
        "taxonomy.txt has no node of its own for 4 of the classes:",
        "  podle: no such node, nearest poodle",
        "  DOG: it may be dog or Dog",
        "  lorry: no such node",
        # Neither is made of words, which makes them no more alike.
        "  (/): no such node, nearest ()",
        'spell them as in the taxonomy, add them to it, or leave them out (oov="drop")',
    ]


def test_of_many_nodes_spelt_alike_some_are_named(tmp_path: Path) -> None:
    nodes = ("a b", "a_b", "a-b", "A b", "A_b", "A-b")
    with pytest.raises(ClassNotFoundError, match="  aB: it may be a b, a_b, a-b, A b or A_b\n"):
        similarity(tmp_path, "aB", "x", text="x\n" + "".join(f"  {node}\n" for node in nodes))


@pytest.mark.parametrize("measure", MEASURES)
def test_classes_under_two_roots_are_refused(measure: str, tmp_path: Path) -> None:
    text = "animal\n  dog\n  cat\nthing\n  car\n"
    assert similarity(tmp_path, "dog", "cat", text=text, measure=measure).values.shape == (2, 2)
    with pytest.raises(SourceError) as caught:
        similarity(tmp_path, "dog", "cat", "car", text=text, measure=measure)
    assert str(caught.value).startswith("taxonomy.txt: ")
    for name in ("'dog'", "'car'", "'animal'", "'thing'"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("family",), "list: has no column 'family' to group the classes by; choose superclass or phrase"),
        (("superclass", "class"), "list: has no column 'class' to group"),
        (("superclass", "superclass"), "list: the column 'superclass' is asked for twice; name each once"),
        ((), "list: name a column to group the classes by: superclass or phrase"),
        (("phrase",), "list: no phrase is given for b; fill it in"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: tuple[str, ...], message: str) -> None:
    classes = ClassList(("a", "b"), {"superclass": ("x", "y"), "phrase": ("a a", "")}, "list")
    with pytest.raises(SourceError) as caught:
        taxonomy_similarity(TaxonomyColumns(columns), classes)
    assert str(caught.value).startswith(message)


def test_a_list_without_columns_is_refused() -> None:
    with pytest.raises(SourceError, match="classes: has no column to group the classes by; add one, such as"):
        taxonomy_similarity(TaxonomyColumns(("superclass",)), ClassList(("a", "b")))


def test_an_unknown_measure_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"measure must be 'path', .* or 'lcs-height', got 'cosine'"):
        taxonomy_similarity(TaxonomyFile(tmp_path / "none", "none"), ClassList(("a", "b")), measure="cosine")


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("format", ["outline", None])
def test_what_is_recorded(measure: str, format: str | None, tmp_path: Path) -> None:
    path = written(tmp_path).path
    (tmp_path / "names.txt").write_text("poodle\nrose\n")
    source = TaxonomyFile(path, "taxonomy.txt", format)
    raw = taxonomy_similarity(source, read_classes(tmp_path / "names.txt"), measure=measure)
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("taxonomy.txt", "names.txt")]
    assert [tuple(one) for one in raw.provenance.source] == [
        ("taxonomy", "taxonomy.txt", digests[0]),
        ("classes", "names.txt", digests[1]),
    ]
    informed = {"information_content": "intrinsic"} if measure in NEED_CONTENT else {}
    assert raw.provenance.params == {"measure": measure, "format": "outline", **informed}
    assert json.loads(json.dumps(dict(raw.provenance.params))) == raw.provenance.params
    assert raw.provenance.builder == "taxonomy"
    assert str(tmp_path) not in repr(raw)


def test_a_wrong_format_is_an_error(tmp_path: Path) -> None:
    source = TaxonomyFile(written(tmp_path).path, "taxonomy.txt", "json")
    with pytest.raises(SourceError, match=r"taxonomy\.txt, line 1: is not JSON"):
        taxonomy_similarity(source, ClassList(("poodle", "rose")))


def test_many_classes_take_less_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert similarity(tmp_path, "poodle", "rose", "dog").values.dtype == np.float64
    monkeypatch.setattr(normalise, "EXACT_UP_TO", 2)
    assert similarity(tmp_path, "poodle", "rose", "dog").values.dtype == np.float32


@pytest.mark.parametrize("measure", MEASURES)
def test_values_go_along_with_the_classes_order(measure: str, tmp_path: Path) -> None:
    names = ("poodle", "rose", "beagle", "Sea lion", "dog")
    raw = similarity(tmp_path, *names, measure=measure)
    order = [3, 1, 4, 0, 2]
    permuted = similarity(tmp_path, *(names[index] for index in order), measure=measure)
    assert np.array_equal(permuted.values, raw.values[np.ix_(order, order)])


@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize(
    ("make", "message"), [("nothing", "there is no such file"), ("file", "is empty"), ("folder", "is a folder")]
)
def test_paths(make: str, message: str, format: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if make != "nothing":
        path.touch() if make == "file" else path.mkdir()
    with pytest.raises(SourceError, match=f"x: {message}"):
        TaxonomyFile(path, "x", format).load(read_classes("cifar10"))


def test_a_header_that_is_not_known_changes_nothing_and_is_recorded(tmp_path: Path) -> None:
    edges = "animal,dog\nanimal,cat\ndog,poodle\nplant,rose\nthing,animal\nthing,plant\n"
    for measure in MEASURES:
        plain = similarity(tmp_path, "poodle", "cat", "rose", text=edges, measure=measure)
        headed = similarity(tmp_path, "poodle", "cat", "rose", text=f"source,target\n{edges}", measure=measure)
        assert np.array_equal(headed.values, plain.values), measure
    assert "header" not in plain.provenance.params
    assert headed.provenance.params["header"] == ["source", "target"]
    # The classes are nodes, whatever hangs on them.
    forest = similarity(tmp_path, "pine", "Tree", text=f"tree,pine\n{edges}")
    assert "header" not in forest.provenance.params
    assert forest.values[0, 1] == 0.5


def test_of_many_classes_without_a_node_some_are_named(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(1000)]
    with pytest.raises(ClassNotFoundError) as caught:
        similarity(tmp_path, *names)
    assert caught.value.missing == tuple(names)
    lines = str(caught.value).splitlines()
    assert len(lines) == 23
    assert lines[-2:] == [
        "  … and 980 more",
        'spell them as in the taxonomy, add them to it, or leave them out (oov="drop")',
    ]


def test_names_in_place_of_a_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'n0' is neither a file nor a column"):
        from_taxonomy(",".join(f"n{number}" for number in range(1000)), ["rose", "tulip"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "is a Git LFS pointer"),
        ("\n<!DOCTYPE html>\n<html>\n", "is a web page"),
        ("<HTML lang=en>", "is a web page"),
    ],
)
def test_what_stands_for_a_file_is_told(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        similarity(tmp_path, "rose", "tulip", text=text)
