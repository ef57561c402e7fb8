"""The measures on taxonomies, against the slow way on networkx's graphs."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.errors import ParameterError, SourceError
from simmatrix.taxonomy import graph as graph_module
from simmatrix.taxonomy import measures
from simmatrix.taxonomy.graph import DEEPEST, Edge, Taxonomy, from_edges
from simmatrix.taxonomy.measures import MEASURES, NEED_CONTENT, from_counts, intrinsic, propagated, taxonomy_values
from tests.simmatrix.taxonomy import dags as oracle
from tests.simmatrix.taxonomy.dags import dags, graph

ANIMALS = [Edge(*pair.split()) for pair in ("entity animal", "animal dog", "animal cat", "dog poodle", "entity car")]


def values(taxonomy: Taxonomy, nodes: list[int], measure: str) -> np.ndarray:
    return taxonomy_values(taxonomy, np.array(nodes), measure, intrinsic(taxonomy))


def named(edges: list[Edge], measure: str, *names: str) -> float:
    taxonomy = from_edges(edges, "here")
    return float(values(taxonomy, [taxonomy.names.index(name) for name in names], measure)[0, 1])


@given(edges=dags(), data=st.data())
def test_every_measure_is_its_formula(edges: list[Edge], data: st.DataObject) -> None:
    taxonomy, theirs = from_edges(edges, "here"), graph(edges)
    chosen = data.draw(st.lists(st.integers(0, len(taxonomy) - 1), min_size=2, max_size=8))
    names = [taxonomy.names[node] for node in chosen]
    for measure in MEASURES:
        ours = values(taxonomy, chosen, measure)
        is_height = measure == "lcs-height"
        formula = partial(oracle.lcs_height, theirs, names) if is_height else partial(oracle.ORACLES[measure], theirs)
        expected = [formula(*pair) for pair in product(names, names)]
        np.testing.assert_allclose(ours.ravel(), expected, rtol=0, atol=1e-14, err_msg=measure)
        assert np.array_equal(ours, ours.T), measure


@settings(max_examples=40)
@given(edges=dags(), data=st.data())
def test_the_order_of_edges_and_nodes_changes_nothing(edges: list[Edge], data: st.DataObject) -> None:
    first, second = from_edges(edges, "here"), from_edges(data.draw(st.permutations(edges)), "here")
    names = data.draw(st.permutations(first.names))
    order = [sorted(names).index(name) for name in names]
    for measure in MEASURES:
        one = values(first, [first.names.index(name) for name in names], measure)
        other = values(second, [second.names.index(name) for name in sorted(names)], measure)
        assert np.array_equal(one, other[np.ix_(order, order)]), measure


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("column", "piece"), [(1, 1), (40, 7)])
def test_pieces_change_nothing(measure: str, column: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    edges = [Edge(f"n{random.integers(0, child)}", f"n{child}") for child in range(1, 40) for _ in range(2)]
    taxonomy = from_edges(edges, "here")
    nodes = random.permutation(len(taxonomy)).tolist()
    whole = values(taxonomy, nodes, measure)
    monkeypatch.setattr(graph_module, "_COLUMN", column)
    monkeypatch.setattr(measures, "_PIECE", piece)
    assert np.array_equal(values(taxonomy, nodes, measure), whole)


@pytest.mark.parametrize(
    ("measure", "pair", "expected"),
    [
        ("path", "poodle cat", 1 / 4),
        ("path", "poodle car", 1 / 5),
        ("wup", "poodle cat", 4 / 7),
        ("wup", "poodle animal", 4 / 6),
        ("wup", "poodle car", 2 / 6),
        ("lch", "poodle cat", np.log(6 / 4) / np.log(6)),
        ("lch", "poodle car", np.log(6 / 5) / np.log(6)),
        ("res", "poodle cat", 1 - np.log(4) / np.log(6)),
        ("res", "poodle car", 0),
        ("lin", "poodle dog", 2 * (1 - np.log(2) / np.log(6)) / (2 - np.log(2) / np.log(6))),
        ("lin", "poodle car", 0),
        ("jcn", "poodle cat", 1 - np.log(4) / np.log(6)),
        ("jcn", "poodle car", 0),
    ],
)
def test_by_hand(measure: str, pair: str, expected: float) -> None:
    assert named(ANIMALS, measure, *pair.split()) == pytest.approx(expected, abs=1e-15)


def test_height_is_that_of_what_the_nodes_span() -> None:
    # With the poodle left out, dog is a leaf and animal's height is 1 of 2, not 2 of 3.
    assert named(ANIMALS, "lcs-height", "dog", "cat") == pytest.approx(1 / 2)
    assert named([*ANIMALS, Edge("thing", "entity")], "lcs-height", "dog", "cat") == pytest.approx(1 - 1 / 3)


def test_nodes_that_are_all_the_root_are_the_same() -> None:
    assert values(from_edges(ANIMALS, "here"), [0, 0, 0], "lcs-height").tolist() == [[1.0] * 3] * 3


def test_of_several_common_ancestors_the_deepest_counts_and_then_the_first_by_name() -> None:
    # x and y meet in a (depth 2), and in c and b (depth 4), of which c is a step further from y.
    edges = [Edge(*pair.split()) for pair in ("r a", "r p", "p q", "q c", "q b", "a x", "b x", "c x", "a y", "b y")]
    edges += [Edge("c", "z"), Edge("z", "y")]
    assert named(edges, "wup", "x", "y") == 8 / (2 + 8)
    renamed = [Edge(*(name.replace("c", "aa") for name in edge[:2])) for edge in edges]
    assert named(renamed, "wup", "x", "y") == 8 / (3 + 8)


def test_the_way_to_the_deepest_common_ancestor_may_lead_over_another() -> None:
    # From x up to the deepest, c, are 5 edges; over r they are 4.
    edges = [Edge(*pair.split()) for pair in ("r k", "k j", "j c", "c y", "c s", "s t", "t u", "u v", "v x", "r x")]
    assert named(edges, "wup", "x", "y") == 8 / (4 + 1 + 8)


def test_counts() -> None:
    taxonomy = from_edges([Edge("r", "a"), Edge("r", "b"), Edge("a", "c"), Edge("b", "c")], "here")
    own = dict(zip("rabc", [0.0, 1.0, 2.0, 5.0], strict=True))
    totals = propagated(taxonomy, np.array([own[name] for name in taxonomy.names]))
    # c lies below r on two ways and counts once.
    assert dict(zip(taxonomy.names, totals.tolist(), strict=True)) == {"r": 8.0, "a": 6.0, "b": 7.0, "c": 5.0}
    content = from_counts(np.array([8.0, 2.0, 0.0]), 8.0)
    assert content.tolist() == [0.0, pytest.approx(np.log(4)), np.inf]


def test_a_count_that_rounding_put_above_the_total_says_nothing() -> None:
    assert from_counts(np.array([1.0 + 1e-15]), 1.0).tolist() == [0.0]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_type_asked_for_is_given(measure: str) -> None:
    taxonomy = from_edges(ANIMALS, "here")
    every = np.arange(len(taxonomy))
    exact = taxonomy_values(taxonomy, every, measure, intrinsic(taxonomy))
    single = taxonomy_values(taxonomy, every, measure, intrinsic(taxonomy), np.float32)
    assert (exact.dtype, single.dtype) == (np.float64, np.float32)
    assert np.array_equal(single, exact.astype(np.float32))


@pytest.mark.parametrize("measure", ["path", "wup", "lch"])
def test_deep_taxonomies_need_wider_numbers(measure: str) -> None:
    taxonomy = from_edges([Edge(f"n{level}", f"n{level + 1}") for level in range(DEEPEST)], "here")
    theirs = graph([Edge(f"n{level}", f"n{level + 1}") for level in range(40)])
    ours = taxonomy_values(taxonomy, np.arange(0, 41, 8), measure)
    if measure != "lch":
        names = [f"n{level}" for level in range(0, 41, 8)]
        expected = [oracle.ORACLES[measure](theirs, *pair) for pair in product(names, names)]
        np.testing.assert_allclose(ours.ravel(), expected, atol=1e-15)
    ends = taxonomy_values(taxonomy, np.array([0, DEEPEST]), measure)[0, 1]
    formulas = {
        "path": 1 / (DEEPEST + 1),
        "wup": 2 / (DEEPEST + 2),
        "lch": np.log(2 * DEEPEST / (DEEPEST + 1)) / np.log(2 * DEEPEST),
    }
    assert ends == pytest.approx(formulas[measure], abs=1e-15)


def test_more_nodes_than_16_bits_can_rank() -> None:
    # Two nodes under 40,000 common parents, each of an information content of its own.
    size = 40_000
    edges = [Edge("r", f"p{node}") for node in range(size)]
    edges += [Edge(f"p{node}", child) for node in range(size) for child in ("x", "y")]
    taxonomy = from_edges(edges, "here")
    content = np.array([{"r": 0, "x": 1, "y": 1}.get(name) or int(name[1:] or 0) / size for name in taxonomy.names])
    chosen = np.array([taxonomy.names.index(name) for name in ("x", "y")])
    assert taxonomy_values(taxonomy, chosen, "res", content)[0, 1] == (size - 1) / size


@pytest.mark.parametrize("measure", MEASURES)
def test_two_roots_without_a_common_ancestor_are_named(measure: str) -> None:
    taxonomy = from_edges([*ANIMALS, Edge("plant", "flower"), Edge("flower", "rose")], "here")
    nodes = [taxonomy.names.index(name) for name in ("poodle", "cat", "rose")]
    with pytest.raises(SourceError) as caught:
        values(taxonomy, nodes, measure)
    assert "'poodle' and 'rose' have no common ancestor (their roots are 'entity' and 'plant')" in str(caught.value)
    assert "put the roots under a common parent" in str(caught.value)


@pytest.mark.parametrize("measure", MEASURES)
def test_two_roots_above_a_common_ancestor_do_no_harm(measure: str) -> None:
    edges = [*ANIMALS, Edge("thing", "animal")]
    assert 0 < named(edges, measure, "poodle", "cat") < 1 or measure in ("res", "lcs-height")


def test_an_unknown_measure_lists_the_choices() -> None:
    with pytest.raises(ParameterError, match=r"measure must be 'path', .* or 'lcs-height', got 'pth'"):
        values(from_edges(ANIMALS, "here"), [0, 1], "pth")


@pytest.mark.parametrize("measure", NEED_CONTENT)
def test_measures_of_information_need_it(measure: str) -> None:
    with pytest.raises(ParameterError, match="need the nodes' information content"):
        taxonomy_values(from_edges(ANIMALS, "here"), np.array([0, 1]), measure)
