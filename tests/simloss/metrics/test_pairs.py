"""What similarities and distances a metric takes, and that neither can be taken for the other."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor

import simmatrix
from simloss.forms import Dense, Sparse, Toeplitz
from simloss.metrics import HierarchicalDistance, MeanSimilarity, MistakeSeverity
from simloss.metrics.inputs import read_predictions
from simmatrix.errors import ClassOrderError
from tests.simloss.cases import random_similarity, sparse_of

CLASSES = ("cat", "lynx", "oak")
VALUES = np.array([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]])
EVERY = torch.cartesian_prod(torch.arange(3), torch.arange(3))
PAIR_METRICS = pytest.mark.parametrize("metric", [MistakeSeverity, HierarchicalDistance, MeanSimilarity])


def matrix(values: object = VALUES) -> simmatrix.SimilarityMatrix:
    return simmatrix.SimilarityMatrix(values, CLASSES)


def read_only(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


@pytest.mark.parametrize(
    "similarity",
    [
        matrix(),
        torch.from_numpy(VALUES),
        torch.from_numpy(VALUES).half(),
        VALUES,
        read_only(VALUES),
        sparse_of(torch.from_numpy(VALUES)),
        Dense(torch.from_numpy(VALUES)),
    ],
    ids=["matrix", "float64", "float16", "array", "read-only array", "sparse", "form"],
)
def test_a_similarity_of_any_kind_gives_the_same(similarity: object) -> None:
    for true, predicted in EVERY.tolist():
        pair = torch.tensor([predicted]), torch.tensor([true])
        assert MeanSimilarity(similarity)(*pair) == VALUES[true, predicted]
        assert HierarchicalDistance(similarity)(*pair) == 1 - VALUES[true, predicted]


@pytest.mark.parametrize("distance", [np.int64, np.float32, np.float64, torch.int32, torch.float16])
def test_a_distance_of_any_kind_gives_the_same(distance: type | torch.dtype) -> None:
    values = np.array([[0, 3, 1], [2, 0, 0], [4, 1, 0]])
    is_tensor = isinstance(distance, torch.dtype)
    given = torch.from_numpy(values).to(distance) if is_tensor else read_only(values.astype(distance))
    for true, predicted in EVERY.tolist():
        pair = torch.tensor([predicted]), torch.tensor([true])
        assert HierarchicalDistance(distance=given)(*pair) == values[true, predicted]


def test_the_row_is_the_true_class() -> None:
    similarity = torch.tensor([[1.0, 0.25], [0.75, 1.0]])
    assert MeanSimilarity(similarity)(torch.tensor([1]), torch.tensor([0])) == 0.25
    assert MistakeSeverity(similarity)(torch.tensor([1]), torch.tensor([0])) == 0.75


@PAIR_METRICS
def test_a_matrix_is_brought_into_the_order_of_the_classes(metric: type[MistakeSeverity]) -> None:
    order = [2, 0, 1]
    ours = metric(matrix(), classes=[CLASSES[index] for index in order])
    assert ours.classes == ("oak", "cat", "lynx")
    assert metric(matrix()).classes == CLASSES
    assert torch.equal(ours.similarity_values, torch.from_numpy(VALUES[np.ix_(order, order)]).float())
    with pytest.raises(ClassOrderError, match=r"(?s)elm.*oak|oak.*elm"):
        metric(matrix(), classes=["cat", "lynx", "elm"])


@pytest.mark.parametrize("given", [{"similarity": torch.eye(3)}, {"distance": 1 - torch.eye(3)}])
def test_classes_of_a_tensor_are_counted(given: dict[str, Tensor]) -> None:
    assert MistakeSeverity(**given, classes=CLASSES).classes == CLASSES
    assert MistakeSeverity(**given, classes={"2": "oak", "0": "cat", "1": "lynx"}).classes == CLASSES
    assert MistakeSeverity(**given).classes is None
    with pytest.raises(ValueError, match=r"2 classes .*\(3, 3\)"):
        MistakeSeverity(**given, classes=CLASSES[:2])


@pytest.mark.parametrize("form", ["sparse", "toeplitz"])
@PAIR_METRICS
def test_a_matrix_keeps_its_form(metric: type[MistakeSeverity], form: str) -> None:
    """Dense, one of so many classes would take 40 GB."""
    count = 100_000
    if form == "sparse":
        ones = torch.ones(count)
        similarity: Sparse | Toeplitz = Sparse(torch.arange(count + 1), torch.arange(count).int(), ones)
    else:
        similarity = Toeplitz(torch.zeros(2 * count - 1).index_fill_(0, torch.tensor([count - 1]), 1.0))
    found = metric(similarity)(torch.tensor([0, count - 1, 5]), torch.tensor([0, 0, 6]))
    assert (
        found
        == {MistakeSeverity: 1.0, HierarchicalDistance: torch.tensor(2 / 3), MeanSimilarity: torch.tensor(1 / 3)}[
            metric
        ]
    )


def test_a_sparse_row_may_lack_entries_at_either_end() -> None:
    similarity = random_similarity(9, seed=3)
    similarity[0, 1:] = similarity[8, :8] = 0.0
    metric = MeanSimilarity(sparse_of(similarity))
    for true in range(9):
        for predicted in range(9):
            assert metric(torch.tensor([predicted]), torch.tensor([true])) == similarity[true, predicted]


def test_a_matrix_from_a_file_or_a_builder_is_taken_as_it_is() -> None:
    """One from superclasses: 1 - S is the height of the lowest common ancestor over that of the root."""
    built = simmatrix.from_taxonomy("superclass", "cifar100", measure="lcs-height", lower_bound=0.0)
    classes = simmatrix.read_classes("cifar100")
    severity = MistakeSeverity(built, classes=classes.names)
    rose, tulip, bear = (classes.names.index(name) for name in ("rose", "tulip", "bear"))
    assert severity(torch.tensor([rose, rose]), torch.tensor([tulip, bear])) == 0.75
    heights = MistakeSeverity(distance=2 * (1 - built.to_dense()))
    assert heights(torch.tensor([rose, rose]), torch.tensor([tulip, bear])) == 1.5


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, TypeError, "either a similarity or, by keyword, a distance"),
        ({"similarity": torch.eye(3), "distance": 1 - torch.eye(3)}, TypeError, "either a similarity or"),
        ({"similarity": 1 - torch.eye(3)}, ValueError, r"similarity 1 to itself, but similarity\[0, 0\] is 0.0"),
        ({"distance": torch.eye(3)}, ValueError, r"distance\[0, 0\] is 1.0; pass similarities as similarity"),
        ({"similarity": [[1.0]]}, TypeError, "similarity must be a tensor"),
        ({"distance": matrix()}, TypeError, "distance must be a tensor or an array, got SimilarityMatrix"),
        ({"similarity": torch.ones(3, 4)}, ValueError, r"square.*\(3, 4\)"),
        ({"distance": torch.zeros(3, 4)}, ValueError, r"square.*\(3, 4\)"),
        ({"distance": torch.zeros(0, 0)}, ValueError, r"square.*\(0, 0\)"),
        ({"distance": torch.zeros(3)}, ValueError, r"square.*\(3,\)"),
        ({"similarity": torch.tensor([[1, 1.5], [0.5, 1]])}, ValueError, r"\[0, 1\] is 1.5"),
        ({"distance": torch.tensor([[0, 1.5], [-0.5, 0]])}, ValueError, r"at least 0, but distance\[1, 0\] is -0.5"),
        ({"distance": torch.tensor([[0, torch.inf], [1, 0]])}, ValueError, r"finite .*distance\[0, 1\] is inf"),
        ({"distance": torch.tensor([[0, torch.nan], [1, 0]])}, ValueError, r"finite .*distance\[0, 1\] is nan"),
    ],
)
def test_what_is_no_similarity_or_no_distance_is_refused(
    given: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MistakeSeverity(**given)


def test_a_distance_is_given_by_name_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        MistakeSeverity(None, 1 - torch.eye(3))


def test_of_many_equal_predictions_the_first_ones_are_looked_at() -> None:
    """A sort that is not stable leaves the order of so many to chance."""
    distance = torch.arange(500.0).expand(500, 500) - torch.arange(500.0).unsqueeze(1)
    logits = torch.zeros(3, 500).index_fill_(1, torch.tensor([7, 400]), 1.0)
    found = HierarchicalDistance(distance=distance.abs(), k=6)(logits, torch.zeros(3).long())
    assert found == (7 + 400 + 0 + 1 + 2 + 3) / 6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_whole_rankings_are_those_of_a_stable_sort(dtype: torch.dtype) -> None:
    """Of infinite scores, of numbers near 0, and where 0.0 and -0.0 are the same."""
    scores = (4 * torch.randn(9, 500, generator=torch.Generator().manual_seed(0))).round() / 4
    scores[:, ::7], scores[:, ::11], scores[:, ::13] = -0.0, torch.inf, -torch.inf
    scores[0, 1::2], scores[0, ::2] = 1e-42, -1e-42
    scores = scores.to(dtype)
    order = scores.sort(dim=1, descending=True, stable=True).indices
    found = read_predictions(scores, torch.zeros(9).long(), 500)
    for count in (1, 63, 64, 65, 500):
        assert torch.equal(found.ranked(count), order[:, :count]), count
    assert torch.equal(torch.cat([part for _, part in found.rankings(100, 4)]), order[:, :100])


@pytest.mark.parametrize("form", [lambda s: s, sparse_of, Dense], ids=["tensor", "sparse", "form"])
def test_a_distance_has_digits_that_its_similarity_lacks(form: Callable[[Tensor], object]) -> None:
    """1 - 2^-14 is not a float16."""
    similarity = torch.tensor([[1.0, 2.0**-14], [0.5, 1.0]], dtype=torch.float16)
    assert MistakeSeverity(form(similarity))(torch.tensor([1]), torch.tensor([0])) == 1 - 2.0**-14


@pytest.mark.parametrize("k", [0, -1, 4])
def test_there_are_no_more_predictions_than_classes(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be 1 to 3, the number of classes; got {k}"):
        HierarchicalDistance(torch.eye(3), k=k)


def test_what_is_given_is_not_modified() -> None:
    """Nor is it changed from outside: an array and a matrix are copied."""
    array = VALUES.copy()
    metric = MeanSimilarity(array)
    array[0, 1] = 0.0
    assert metric(torch.tensor([1]), torch.tensor([0])) == 0.75
    preds, target = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0])
    MistakeSeverity(matrix())(preds, target)
    assert preds.tolist() == [[1.0, 2.0, 3.0]]
    assert target.tolist() == [0]


def test_a_sparse_matrix_of_scipy_comes_as_a_matrix() -> None:
    names = tuple(f"c{number}" for number in range(40))
    values = scipy.sparse.csr_array(np.eye(40))
    metric = MeanSimilarity(simmatrix.SimilarityMatrix(values, names))
    assert {name for name, _ in metric.named_buffers()} == {
        "similarity_crow_indices",
        "similarity_col_indices",
        "similarity_values",
    }
    assert metric(torch.tensor([3, 4]), torch.tensor([3, 5])) == 0.5
