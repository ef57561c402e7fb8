"""How far off predictions are where classes have an order, such as ages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simloss.metrics.mean import MeanOverExamples
from simmatrix.shapes import Float, Int


class _MeanOverPositions(MeanOverExamples):
    higher_is_better: bool = False

    def __init__(
        self,
        num_classes: int,
        positions: Sequence[float] | np.ndarray | Tensor | None = None,
        *,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        given = range(num_classes) if positions is None else positions
        numbers = given.tolist() if isinstance(given, Tensor) else given
        table = torch.from_numpy(np.array(numbers, dtype=np.float64))
        if table.shape != (num_classes,):
            raise ValueError(f"positions must be {num_classes} numbers, one a class; got shape {tuple(table.shape)}")
        if not table.isfinite().all():
            raise ValueError("positions must be finite")
        super().__init__(num_classes, {"positions": table}, ignore_index, **kwargs)

    def _differences(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        positions = self.get_buffer("positions")
        return positions[ranked[:, 0]] - positions[labels]


class PositionMAE(_MeanOverPositions):
    """The mean absolute difference of the positions of prediction and truth, over all examples.

    The position of a prediction is that of the most probable class, not the mean over all.

    Parameters
    ----------
    num_classes
        C.
    positions
        C numbers, one a class, such as the ages that the classes stand for; 0, 1, ..., C - 1 if they are not given.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    ValueError
        If there is not one finite position a class.

    Notes
    -----
    At least 0, in units of the positions; lower is better. NaN where there is no example.

    Examples
    --------
    >>> import torch
    >>> PositionMAE(3)(torch.tensor([0, 1, 2]), torch.tensor([0, 2, 0]))
    tensor(1.)
    >>> PositionMAE(3, [20, 30, 50])(torch.tensor([0, 1, 2]), torch.tensor([0, 2, 0]))  # 0, 20 and 30 years
    tensor(16.6667)
    """

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self._differences(ranked, labels).abs()


class PositionMSE(_MeanOverPositions):
    """The mean squared difference of the positions of prediction and truth, over all examples.

    Parameters
    ----------
    num_classes, positions, ignore_index, **kwargs
        As in `PositionMAE`.

    Raises
    ------
    ValueError
        As in `PositionMAE`.

    Notes
    -----
    At least 0, in squared units of the positions; lower is better. NaN where there is no example.

    Examples
    --------
    >>> import torch
    >>> PositionMSE(3)(torch.tensor([0, 1, 2]), torch.tensor([0, 2, 0]))
    tensor(1.6667)
    """

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self._differences(ranked, labels).square()
