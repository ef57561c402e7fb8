"""Columns as taxonomies: rows below their groups, and no two things made one because they are called alike."""

from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simmatrix.errors import SourceError
from simmatrix.taxonomy.written import column_taxonomy
from tests.simmatrix.taxonomy.written import graph_of, roots

LEVELS = ("superclass", "family", "order")


def test_rows_are_below_their_groups_and_these_below_one_root() -> None:
    taxonomy = column_taxonomy(
        ["rose", "oak", "car"], [("kind", ["flower", "tree", "vehicle"]), ("realm", ["plant", "plant", "thing"])]
    )
    assert set(graph_of(taxonomy).edges) == {
        ("flower", "rose"), ("tree", "oak"), ("vehicle", "car"),
        ("plant", "flower"), ("plant", "tree"), ("thing", "vehicle"),
        ("root", "plant"), ("root", "thing"),
    }  # fmt: skip


def test_one_name_below_two_groups_is_two_groups() -> None:
    names = ["emu", "owl", "eel", "cod", "boa"]
    families = ["other", "owls", "other", "cods", "other"]
    orders = ["birds", "birds", "fish", "fish", "reptiles/other"]
    taxonomy = column_taxonomy(names, [("family", families), ("order", orders)])
    assert set(graph_of(taxonomy).edges) == {
        ("birds/other", "emu"), ("owls", "owl"), ("fish/other", "eel"), ("cods", "cod"),
        ("reptiles/other/other", "boa"),
        ("birds", "birds/other"), ("birds", "owls"), ("fish", "fish/other"), ("fish", "cods"),
        ("reptiles/other", "reptiles/other/other"),
        ("root", "birds"), ("root", "fish"), ("root", "reptiles/other"),
    }  # fmt: skip


def test_groups_of_unlike_groups_stay_apart_however_deep() -> None:
    genera, families, orders = list("xxyz"), ["other", "other", "other", "cods"], ["birds", "fish", "fish", "fish"]
    levels = [("genus", genera), ("family", families), ("order", orders)]
    # The family is one name in two orders, and so is the genus, whose families are called alike.
    assert set(graph_of(column_taxonomy(["emu", "eel", "gar", "cod"], levels)).edges) == {
        ("birds/other/x", "emu"), ("fish/other/x", "eel"), ("y", "gar"), ("z", "cod"),
        ("birds/other", "birds/other/x"), ("fish/other", "fish/other/x"), ("fish/other", "y"), ("cods", "z"),
        ("birds", "birds/other"), ("fish", "fish/other"), ("fish", "cods"), ("root", "birds"), ("root", "fish"),
    }  # fmt: skip


def test_columns_the_wrong_way_round_are_refused() -> None:
    names = ["latte", "mocha", "claret", "scone"]
    kinds, courses = ["coffee", "coffee", "wine", "cake"], ["drink", "drink", "drink", "food"]
    assert len(column_taxonomy(names, [("kind", kinds), ("course", courses)])) == 10
    with pytest.raises(SourceError) as caught:
        column_taxonomy(names, [("course", courses), ("kind", kinds)], "menu")
    assert str(caught.value) == (
        "menu: 'drink' of course is in several groups of kind, each of which holds nothing else: name the finer column "
        "first, kind,course"
    )


def test_what_is_called_alike_in_different_columns_stays_apart() -> None:
    names = ["fish", "shark", "root", "superclass: fish", "eel", "gar"]
    taxonomy = column_taxonomy(names, [("superclass", ["fish", "fish", "shark", "superclass: fish", "fish", "gars"]),
                                       ("family", ["fish", "fish", "shark", "root", "sea", "sea"])])  # fmt: skip
    assert set(graph_of(taxonomy).edges) == {
        # The superclass and the family of one row are one group if they are called alike.
        ("family: fish", "fish"),
        ("family: fish", "shark"),
        ("family: shark", "root"),
        ("superclass: superclass: fish", "superclass: fish"),
        ("superclass: superclass: superclass: fish", "eel"),
        ("family: root", "superclass: superclass: fish"),
        ("sea", "superclass: superclass: superclass: fish"),
        ("gars", "gar"),
        ("sea", "gars"),
        ("taxonomy: root", "family: fish"),
        ("taxonomy: root", "family: shark"),
        ("taxonomy: root", "family: root"),
        ("taxonomy: root", "sea"),
    }


VALUES = st.sampled_from(["a", "b", "root", "superclass: a", "family: a", "superclass: superclass: a"])


@given(st.data(), st.lists(VALUES, min_size=2, max_size=6, unique=True), st.integers(0, 3))
def test_nodes_are_the_values_of_each_column(data: st.DataObject, names: list[str], depth: int) -> None:
    column = st.lists(VALUES, min_size=len(names), max_size=len(names))
    levels = [(level, data.draw(column)) for level in LEVELS[:depth]]
    # Columns that make a tree only the other way round are refused.
    for (_, finer), (_, coarser) in pairwise(levels):
        assume(len(set(zip(finer, coarser, strict=True))) > len(set(coarser)) or len(set(coarser)) <= len(set(finer)))
    # The same graph with nodes that can't be confused: the values of the column and of all that are coarser.
    expected = nx.DiGraph()
    for row, name in enumerate(names):
        above = [tuple(values[row] for _, values in levels[at:]) for at in range(depth)]
        # What the next column repeats is one group.
        groups = [one for one in above if one[0] not in one[1:2]]
        way = [(name, 0), *groups, ()]
        expected.add_edges_from((above, below) for below, above in pairwise(way))
    ours = graph_of(column_taxonomy(names, levels))
    assert roots(ours) == [column_taxonomy(names, levels).names[0]]
    assert {node for node, children in ours.out_degree() if not children} == set(names)
    nx.set_node_attributes(ours, {node: node if node in names else "" for node in ours}, "leaf")
    nx.set_node_attributes(expected, {node: node[0] if node[1:] == (0,) else "" for node in expected}, "leaf")
    assert nx.is_isomorphic(ours, expected, node_match=lambda one, other: one["leaf"] == other["leaf"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["flower", "", "x"], "list: no kind is given for b; fill it in"),
        (["", " ", "x"], "list: no kind is given for a, b; fill it in"),
    ],
)
def test_a_row_without_a_group_is_refused(values: list[str], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        column_taxonomy(["a", "b", "c"], [("kind", values)], "list")
    assert str(caught.value) == message


def test_of_many_rows_without_a_group_some_are_named() -> None:
    with pytest.raises(SourceError, match="no kind is given for a, b, c, d, e and 2 more; fill it in"):
        column_taxonomy(list("abcdefg"), [("kind", [""] * 7)])
