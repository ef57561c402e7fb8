"""Orders for pictures: whole permutations, neighbours close to each other, superclasses together."""

from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from simmatrix import SimilarityMatrix, SourceError, ordering
from simmatrix.ordering import ORDERS, check_order, leaf_order
from tests.simmatrix.matrices import NAMES, random_matrix, random_values

SUPERCLASSES = ("flowers", "flowers", "trees", "vehicles", "vehicles", "animals")


def length(values: np.ndarray, order: Sequence[int]) -> float:
    """Return the distances between neighbours, added up."""
    return sum(1 - float(values[i, j]) for i, j in pairwise(order))


def orders_of_tree(values: np.ndarray) -> set[tuple[int, ...]]:
    """Return every order that turning the tree's branches round can give."""
    size = len(values)
    distance = 1 - values
    np.fill_diagonal(distance, 0)
    orders: list[set[tuple[int, ...]]] = [{(leaf,)} for leaf in range(size)]
    for left, right, *_ in linkage(squareform(distance, checks=False), "average"):
        pairs = [(a, b) for a in orders[int(left)] for b in orders[int(right)]]
        orders.append({a + b for a, b in pairs} | {b + a for a, b in pairs})
    return orders[-1]


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 6), st.integers(0, 10**6))
def test_the_leaf_order_is_the_best_of_its_tree(size: int, seed: int) -> None:
    values = random_values(size, seed, share=1.0).astype(np.float64)
    order = leaf_order(values)
    assert sorted(order) == list(range(size))
    assert length(values, order) == pytest.approx(min(length(values, one) for one in orders_of_tree(values)))


def test_a_chain_is_found_again() -> None:
    chain = 0.8 ** np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    shuffled = np.random.default_rng(0).permutation(7)
    values = chain[np.ix_(shuffled, shuffled)]
    found = shuffled[leaf_order(values)].tolist()
    assert found in (list(range(7)), list(range(6, -1, -1)))
    assert length(chain, found) == pytest.approx(min(length(chain, one) for one in permutations(range(7))))


@pytest.mark.parametrize("size", [1, 2])
def test_few_classes_keep_their_order(size: int) -> None:
    assert leaf_order(np.eye(size)) == list(range(size))


def test_equal_classes_are_no_trouble() -> None:
    assert sorted(leaf_order(np.ones((8, 8)))) == list(range(8))


def test_many_classes_take_the_clusterings_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_OPTIMAL_UP_TO", 10)
    values = random_values(40).astype(np.float64)
    distance = 1 - values
    np.fill_diagonal(distance, 0)
    plain = leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()
    assert leaf_order(values) == plain
    monkeypatch.setattr(ordering, "_OPTIMAL_UP_TO", 40)
    assert length(values, leaf_order(values)) < length(values, plain)


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_an_order_moves_names_and_values_together(name: str, form: str) -> None:
    matrix = random_matrix(form)
    ordered = ORDERS[name](matrix, SUPERCLASSES).matrix
    assert sorted(ordered.classes) == sorted(NAMES)
    np.testing.assert_array_equal(ordered.reorder(NAMES).to_dense(), matrix.to_dense())
    assert (ordered.classes == NAMES) == (name == "file")


def test_superclasses_stand_together_and_similar_ones_beside_each_other() -> None:
    values = np.full((8, 8), 0.01)
    names = ("a1", "b1", "c1", "d1", "a2", "b2", "c2", "d2")
    for one in range(8):
        for other in range(8):
            first, second = names[one][0], names[other][0]
            if first == second:
                values[one, other] = 0.9
            elif {first, second} in ({"a", "c"}, {"b", "d"}):
                values[one, other] = 0.5
            elif {first, second} == {"c", "d"}:
                values[one, other] = 0.2
    np.fill_diagonal(values, 1)
    ordered = ORDERS["superclass"](SimilarityMatrix(values, names), [name[0] for name in names])
    groups = "".join(name for name, _ in ordered.groups)
    assert groups in ("acdb", "bdca")
    assert [count for _, count in ordered.groups] == [2, 2, 2, 2]
    assert "".join(name[0] for name in ordered.matrix.classes) == "".join(name * 2 for name in groups)


def test_a_class_without_superclass_is_named() -> None:
    with pytest.raises(SourceError, match="no superclass for 'oak'; fill in"):
        ORDERS["superclass"](random_matrix(), ("flowers", "flowers", "", "vehicles", "vehicles", "animals"))


def test_an_unknown_order_is_refused() -> None:
    check_order("clusters")
    with pytest.raises(SourceError, match="'size' is no order; choose clusters, superclass or file"):
        check_order("size")
