"""Superclasses: names or numbers, one a class."""

import numpy as np
import pytest
import torch

import simmatrix
from simloss.metrics import FailedSuperclassAccuracy, SuperclassAccuracy

BOTH = pytest.mark.parametrize("metric", [SuperclassAccuracy, FailedSuperclassAccuracy])


@pytest.mark.parametrize(
    "superclasses",
    [["b", "b", "a"], ("b", "b", "a"), [7, 7, 0], [1.5, 1.5, -1], np.array([7, 7, 0]), torch.tensor([7, 7, 0])],
)
@BOTH
def test_names_and_numbers_of_any_kind_give_the_same(metric: type[SuperclassAccuracy], superclasses: list[str]) -> None:
    preds, target = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 0, 1])
    assert (
        metric(superclasses)(preds, target)
        == {SuperclassAccuracy: 0.5, FailedSuperclassAccuracy: torch.tensor(1 / 3)}[metric]
    )


@BOTH
def test_they_come_from_a_class_list(metric: type[SuperclassAccuracy]) -> None:
    classes = simmatrix.read_classes("cifar100")
    rose, tulip, bear = (classes.names.index(name) for name in ("rose", "tulip", "bear"))
    found = metric(classes.column("superclass"))(torch.tensor([rose, bear]), torch.tensor([tulip, rose]))
    assert found == 0.5


@pytest.mark.parametrize(
    ("superclasses", "error", "message"),
    [
        (simmatrix.read_classes("cifar100").column("superclas"), ValueError, "100 of 100 classes have no superclass"),
        (["a", " ", "b", ""], ValueError, r"2 of 4 .* first is class 1 \(counted from 0\)"),
        (["a", None], ValueError, "1 of 2 classes have no superclass"),
        ([], ValueError, "one superclass a class, got none"),
        ("superclass", TypeError, "one text, 'superclass'"),
    ],
)
@BOTH
def test_what_names_no_superclasses_is_refused(
    metric: type[SuperclassAccuracy], superclasses: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        metric(superclasses)
