"""What decisions cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from simloss.errors import ArgumentError
from simloss.metrics.mean import MeanOverExamples
from simloss.scores import as_tensor
from simmatrix.shapes import Float, Int


class ExpectedCost(MeanOverExamples):
    """The mean cost of what is predicted, by a matrix of costs that need not be symmetric.

    Parameters
    ----------
    costs
        (C, C), a tensor or an array, finite, on any scale: rows are the true classes, columns the predicted ones.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    TypeError, ValueError
        If the costs are no square matrix of finite numbers.

    Notes
    -----
    On the scale of the costs; lower is better. NaN where there is no example. `simloss.minimum_risk` decides for it.

    References
    ----------
    Ferrer, "Analysis and Comparison of Classification Metrics", 2022.

    Examples
    --------
    >>> import torch
    >>> costs = torch.tensor([[0.0, 1.0], [10.0, 0.0]])  # healthy, ill
    >>> ExpectedCost(costs)(torch.tensor([0, 1, 0, 0]), torch.tensor([0, 0, 1, 0]))  # 0, 1, 10, 0
    tensor(2.7500)
    """

    higher_is_better: bool = False

    def __init__(self, costs: Tensor | np.ndarray, *, ignore_index: int | None = -100, **kwargs: Any) -> None:
        values = as_tensor(costs, "costs").double()
        if values.ndim != 2 or values.shape[0] != values.shape[1] or values.shape[0] == 0:
            raise ArgumentError(f"costs must be a square matrix, one row a true class; got shape {tuple(values.shape)}")
        if not values.isfinite().all():
            row, column = (~values.isfinite()).nonzero()[0].tolist()
            raise ArgumentError(f"costs must be finite, but costs[{row}, {column}] is {values[row, column].item()}")
        super().__init__(len(values), {"costs": values}, ignore_index, **kwargs)

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.get_buffer("costs")[labels, ranked[:, 0]]
