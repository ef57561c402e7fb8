"""How often the class is right."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from simloss.metrics.mean import MeanOverExamples
from simmatrix.shapes import Bool, Int


class Accuracy(MeanOverExamples):
    """The share of the examples whose class is right; of all examples, not a mean over classes.

    Parameters
    ----------
    num_classes
        C.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Notes
    -----
    In [0, 1]; higher is better. NaN where there is no example. It is torchmetrics' ``MulticlassAccuracy`` with
    ``average="micro"``, which is 0 without an example.

    Examples
    --------
    >>> import torch
    >>> Accuracy(3)(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1]))
    tensor(0.7500)
    """

    higher_is_better: bool = True
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    def __init__(self, num_classes: int, *, ignore_index: int | None = -100, **kwargs: Any) -> None:
        super().__init__(num_classes, {}, ignore_index, **kwargs)

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        return ranked[:, 0] == labels
