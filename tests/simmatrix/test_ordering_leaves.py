"""Leaf orders: the best of those that turning a tree's branches can give, found here by trying them all."""

from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from simmatrix.ordering import leaf_order
from tests.simmatrix.matrices import random_values


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
    monkeypatch.setattr("simmatrix.ordering._OPTIMAL_UP_TO", 10)
    values = random_values(40).astype(np.float64)
    distance = 1 - values
    np.fill_diagonal(distance, 0)
    plain = leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()
    assert leaf_order(values) == plain
    monkeypatch.setattr("simmatrix.ordering._OPTIMAL_UP_TO", 40)
    assert length(values, leaf_order(values)) < length(values, plain)
