"""The strongest path, against networkx on the logarithms."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest

from simmatrix.web.paths import strongest_path
from tests.simmatrix.matrices import random_values


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_it_is_the_shortest_path_in_logarithms(share: float) -> None:
    for seed in range(20):
        values = random_values(15, seed, share)
        graph = nx.DiGraph()
        graph.add_nodes_from(range(15))
        graph.add_weighted_edges_from(
            (i, j, -math.log(values[i, j])) for i, j in np.argwhere(values > 0).tolist() if i != j
        )
        path, product = strongest_path(values.__getitem__, 15, 0, 14)
        if not nx.has_path(graph, 0, 14):
            assert (path, product) == ((), 0.0)
            continue
        assert product == pytest.approx(math.exp(-nx.dijkstra_path_length(graph, 0, 14)), rel=1e-12)
        assert product == pytest.approx(math.prod(float(values[i, j]) for i, j in itertools.pairwise(path)), rel=1e-12)
        assert (path[0], path[-1]) == (0, 14)


def test_rows_are_the_true_classes() -> None:
    values = np.array([[1, 0.5], [0, 1]])
    assert strongest_path(values.__getitem__, 2, 0, 1) == ((0, 1), 0.5)
    assert strongest_path(values.__getitem__, 2, 1, 0) == ((), 0.0)
    assert strongest_path(values.__getitem__, 2, 1, 1) == ((1,), 1.0)
