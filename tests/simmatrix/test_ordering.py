"""Orders for pictures: names and values move together, superclasses stand together."""

import numpy as np
import pytest

from simmatrix import MatrixError, SimilarityMatrix, SourceError, from_order
from simmatrix.ordering import ORDERS, check_size
from tests.simmatrix.matrices import NAMES, random_matrix

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
    with pytest.raises(SourceError, match="no superclass for 'oak'; fill in"):
        ORDERS["superclass"](random_matrix(), ("flowers", "flowers", "", "vehicles", "vehicles", "animals"))
