"""Positions: one number a class."""

import numpy as np
import pytest
import torch

from simloss.metrics import PositionMAE, PositionMSE

BOTH = pytest.mark.parametrize("metric", [PositionMAE, PositionMSE])


@pytest.mark.parametrize(
    "positions", [[20, 30, 50.5], (20, 30, 50.5), np.array([20, 30, 50.5]), torch.tensor([20, 30, 50.5])]
)
@BOTH
def test_numbers_of_any_kind_give_the_same(metric: type[PositionMAE], positions: list[float]) -> None:
    found = metric(3, positions)(torch.tensor([2, 1]), torch.tensor([0, 1]))
    assert found == {PositionMAE: 30.5 / 2, PositionMSE: 30.5**2 / 2}[metric]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, [1.0, 2.0]), r"3 numbers, one a class; got shape \(2,\)"),
        ((2, [[1.0, 2.0]]), r"got shape \(1, 2\)"),
        ((2, [1.0, float("nan")]), "positions must be finite"),
        ((0,), "num_classes must be at least 1, got 0"),
    ],
)
@BOTH
def test_what_gives_no_positions_is_refused(
    metric: type[PositionMAE], arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(*arguments)
