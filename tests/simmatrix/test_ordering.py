"""Orders for pictures: names and values move together, superclasses stand together."""

import numpy as np
import pytest

from simmatrix import MatrixError, SimilarityMatrix, SourceError, from_order, ordering
from simmatrix.ordering import ORDERS, check_size, leaf_order, near_clusters, order_of
from tests.simmatrix.matrices import NAMES, random_matrix, random_values

SUPERCLASSES = ("flowers", "flowers", "trees", "vehicles", "vehicles", "animals")


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_an_order_moves_names_and_values_together(name: str, form: str) -> None:
    matrix = random_matrix(form)
    ordered = ORDERS[name](matrix, SUPERCLASSES).matrix
    assert sorted(ordered.classes) == sorted(NAMES)
    np.testing.assert_array_equal(ordered.reorder(NAMES).to_dense(), matrix.to_dense())
    assert (ordered.classes == NAMES) == (name == "file")


def test_more_classes_than_a_picture_shows_are_refused() -> None:
    size = 5001
    names = [f"c{index}" for index in range(size)]
    matrix = from_order(names, decay=0.5)
    check_size(matrix.select(names[1:]))
    with pytest.raises(MatrixError, match=r"5,001 classes would show none of them, 5,000 is the most; draw some of"):
        check_size(matrix)


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
    with pytest.raises(SourceError, match="no superclass for 'oak'; fill it in"):
        ORDERS["superclass"](random_matrix(), ("flowers", "flowers", "", "vehicles", "vehicles", "animals"))


def test_nearest_classes_are_clustered_as_single_linkage_does() -> None:
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import squareform

    for seed in range(5):
        # With 10 nearest of 10 others nothing is left out.
        values = random_values(11, seed).astype(np.float64)
        tree = near_clusters(SimilarityMatrix(values, tuple(f"c{index}" for index in range(11))))
        joined = np.ones((11, 11))
        places = np.argsort(tree.order)
        assert all(
            min(tree.order[tree.starts[left] :][: tree.sizes[left]])
            < min(tree.order[tree.starts[right] :][: tree.sizes[right]])
            for left, right in tree.children.tolist()
        )
        assert [tree.starts[leaf] for leaf in range(11)] == places.tolist()
        for node, (left, right) in enumerate(tree.children.tolist()):
            for a in tree.order[tree.starts[left] : tree.starts[left] + tree.sizes[left]]:
                for b in tree.order[tree.starts[right] : tree.starts[right] + tree.sizes[right]]:
                    joined[a, b] = joined[b, a] = tree.similarities[node]
        distance = squareform(1 - values, checks=False)
        expected = 1 - squareform(cophenet(linkage(distance, "single")))
        np.testing.assert_allclose(joined, expected, atol=1e-6)


def test_classes_that_nothing_joins_are_joined_in_their_order() -> None:
    tree = near_clusters(SimilarityMatrix(np.eye(4), ("a", "b", "c", "d")))
    assert tree.order == [0, 1, 2, 3]
    assert tree.similarities.tolist() == [0, 0, 0]


def test_more_classes_than_all_pairs_allow_are_ordered_by_their_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MOST", 5)
    matrix = random_matrix()
    order = order_of(matrix, "clusters")
    assert order.tree is not None
    assert order.places.tolist() == order.tree.order == near_clusters(matrix).order
    by_superclass = order_of(matrix, "superclass", ("a", "b", "a", "c", "b", "a"))
    assert by_superclass.places.tolist() == [0, 2, 5, 1, 4, 3]
    assert by_superclass.groups == (("a", 3), ("b", 2), ("c", 1))


def test_a_tree_s_classes_stand_side_by_side() -> None:
    matrix = random_matrix("dense", 40)
    order = order_of(matrix, "clusters")
    assert order.tree is not None
    assert order.places.tolist() == leaf_order(matrix.to_dense().astype(np.float64))
    below: dict[int, set[int]] = {index: {index} for index in range(40)}
    for node, (left, right) in enumerate(order.tree.children.tolist(), 40):
        below[node] = below[left] | below[right]
        start, size = order.tree.starts[node], order.tree.sizes[node]
        assert set(order.places[start : start + size].tolist()) == below[node]
        assert order.tree.starts[left] < order.tree.starts[right]
        values = matrix.to_dense().astype(np.float64)
        mean = np.mean([values[i, j] for i in below[left] for j in below[right]])
        assert order.tree.similarities[node - 40] == pytest.approx(mean)
