"""What is above the classes: of random graphs with several parents and several roots, against sets."""

import json
import math
import random
import time
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import ClassOrderError, ClassTaxonomy, SimilarityError, from_taxonomy, read_taxonomy

Graph = dict[str, set[str]]
"""The parents of each node."""


def random_graph(seed: int) -> tuple[Graph, list[str]]:
    """Return a graph, in half of the cases a tree, and some of its nodes, in no order: inner ones among them."""
    dice = random.Random(seed)
    count, roots, most = dice.randint(4, 40), dice.randint(1, 3), dice.choice([1, 3])
    graph: Graph = {}
    for node in range(count):
        above = range(max(0, node - dice.choice([2, 100])), node)
        graph[f"n{node}"] = (
            set() if node < roots else {f"n{one}" for one in dice.sample(above, min(len(above), dice.randint(1, most)))}
        )
    joined = sorted({node for node in graph if graph[node]} | set().union(*graph.values()))
    return graph, dice.sample(joined, dice.randint(2, len(joined)))


def ancestors_and_depths(graph: Graph) -> tuple[dict[str, set[str]], dict[str, int]]:
    """Return all that is above each node, itself among it, and the edges on its longest way up."""
    above: dict[str, set[str]] = {}
    depths: dict[str, int] = {}
    for node, parents in graph.items():  # a node comes after its parents
        above[node] = {node}.union(*(above[one] for one in parents))
        depths[node] = max((1 + depths[one] for one in parents), default=0)
    return above, depths


def written(folder: Path, graph: Graph) -> Path:
    path = folder / "edges.csv"
    path.write_text("".join(f"{parent},{node}\n" for node, above in graph.items() for parent in sorted(above)))
    return path


def test_it_is_what_sets_say(tmp_path: Path) -> None:
    several, with_runs = 0, 0
    for seed in range(60):
        graph, classes = random_graph(seed)
        found = read_taxonomy(written(tmp_path, graph), classes)
        above, depths = ancestors_and_depths(graph)
        everything = set().union(*(above[name] for name in classes))
        more = sum(not graph[node] for node in everything) > 1
        several += more
        assert set(found.names) == everything | ({"root"} if more else set())
        assert (len(found), found.classes) == (len(found.names), tuple(classes))
        assert [found.names[place] for place in found.places] == classes
        below = {name: {one for one in classes if name in above[one] | {"root"}} for name in found.names}
        runs = found.runs
        with_runs += len(runs.nodes) > 0
        assert sorted(runs.order.tolist()) == list(range(len(classes)))
        for node, name in enumerate(found.names):
            listed = [found.names[one] for one in found.ancestors[found.starts[node] : found.starts[node + 1]]]
            assert listed[0] == name
            expected = {"root"} if name == "root" else above[name] | ({"root"} if more else set())
            assert (set(listed), len(listed)) == (expected, len(expected))
            assert found.depths[node] == (0 if name == "root" else depths[name] + more)
            assert found.class_counts[node] == len(below[name])
            assert math.isclose(found.information[node], math.log2(len(classes) / len(below[name])), abs_tol=1e-15)
            in_runs = [run for run in range(len(runs.starts)) if run == node or run >= len(found)]
            members = [
                classes[one]
                for run in in_runs
                if run == node or runs.nodes[run - len(found)] == node
                for one in runs.order[runs.starts[run] : runs.stops[run]]
            ]
            assert (set(members), len(members)) == (below[name], len(below[name]))
        assert (np.diff(found.depths) >= 0).all()
        assert found.depths[0] == 0 < found.depths[1:].min(initial=1)
        assert set(found.keys.tolist()) == {
            node * len(found) + one
            for node in range(len(found))
            for one in found.ancestors[found.starts[node] : found.starts[node + 1]].tolist()
        }
        assert (np.diff(found.keys) > 0).all()
    assert several > 8
    assert with_runs > 8


def test_a_tree_has_one_run_a_node() -> None:
    assert len(read_taxonomy("superclass", "cifar100").runs.nodes) == 0


def test_every_source_gives_the_same(tmp_path: Path) -> None:
    nested = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}
    (tmp_path / "a.json").write_text(json.dumps(nested))
    (tmp_path / "a.txt").write_text("animal\n bird\n  owl\n  wren\n fish\n  cod\n")
    (tmp_path / "a.csv").write_text("parent,child\nanimal,bird\nanimal,fish\nbird,owl\nbird,wren\nfish,cod\n")
    (tmp_path / "classes.csv").write_text("class,family,kingdom\nowl,bird,animal\ncod,fish,animal\nwren,bird,animal\n")
    names = ["owl", "cod", "wren"]
    found = [read_taxonomy(tmp_path / name, names) for name in ("a.json", "a.txt", "a.csv")]
    found.append(read_taxonomy(nested, names))
    matrices = [from_taxonomy(one, names) for one in (nested, tmp_path / "a.json")]
    assert (matrices[0].to_dense() == matrices[1].to_dense()).all()
    assert matrices[0].provenance.params == matrices[1].provenance.params
    for one in found:
        assert one.names[0] == "animal"
        assert {one.names[place]: one.names[one.parents[place]] for place in one.places} == {
            "owl": "bird",
            "cod": "fish",
            "wren": "bird",
        }
    for columns in (["family", "kingdom"], "family,kingdom"):
        one = read_taxonomy(columns, tmp_path / "classes.csv")
        assert one.names[:2] == ("root", "animal")
        assert sorted(one.names[2:]) == ["bird", "cod", "fish", "owl", "wren"]


def test_wordnet() -> None:
    found = read_taxonomy("wordnet", ["robin", "sparrow", "rose"])
    at = {name: node for node, name in enumerate(found.names)}
    assert found.names[0] == "entity.n.01"
    assert found.class_counts[at["bird.n.01"]] == 2
    assert found.class_counts[at["organism.n.01"]] == 3


def test_classes_that_share_a_node_keep_its_name() -> None:
    found = read_taxonomy("wordnet", ["couch", "sofa", "oak"])
    assert found.places[0] == found.places[1]
    assert found.names[found.places[0]] == "sofa.n.01"
    assert found.class_counts[found.places[0]] == 2


def test_another_order_of_the_classes() -> None:
    nested = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}
    found, expected = read_taxonomy(nested, ["owl", "cod", "wren"]), read_taxonomy(nested, ["wren", "owl", "cod"])
    again = found.reorder(["wren", "owl", "cod"])
    assert (again.classes, again.places.tolist()) == (expected.classes, expected.places.tolist())
    assert again.class_counts.tolist() == found.class_counts.tolist()
    assert found.reorder(found.classes) is found
    for other, odd in ((["wren", "owl", "bat"], "'bat'"), (["wren", "owl"], "'cod'"), (["wren", "wren", "cod"], "owl")):
        with pytest.raises(ClassOrderError, match=odd):
            found.reorder(other)


def test_another_order_of_many_classes_takes_no_time() -> None:
    names = [f"class {index}" for index in range(20_000)]
    found = read_taxonomy({"even": names[::2], "odd": names[1::2]}, names)
    started = time.process_time()
    assert found.reorder(names[::-1]).classes == tuple(names[::-1])
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ({"animal": ["owl", "wren"]}, {}, "no node of its own for 1 of the classes"),
        ({"animal": 3}, {}, "below animal stands 3"),
        ("no.csv", {}, "no.csv"),
        ("wordnet", {"format": "edges"}, "WordNet has no format edges"),
        ("wordnet", {"wordnet": "mine"}, "wordnet must be"),
    ],
)
def test_bad_sources(source: object, options: dict[str, str], message: str) -> None:
    with pytest.raises(SimilarityError, match=message):
        read_taxonomy(source, ["owl", "wren", "cod"], **options)


def test_it_is_public() -> None:
    assert simmatrix.ClassTaxonomy is ClassTaxonomy
