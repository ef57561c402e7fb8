"""How often the superclass is right, and how often it is where the class is not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from simloss.decisions import numbered
from simloss.metrics.mean import MeanOverExamples
from simmatrix.shapes import Bool, Int


class SuperclassAccuracy(MeanOverExamples):
    """The share of the examples whose prediction is of the same superclass as the truth.

    Parameters
    ----------
    superclasses
        The superclass of each class, C names or numbers in the order of the logits, such as
        ``simmatrix.read_classes("cifar100").column("superclass")``. For another order of the classes,
        ``simmatrix.read_classes("cifar100").select(train_set.classes).column("superclass")``.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    ValueError
        If a class has no superclass: an empty name, as a class list gives for a column that it lacks, or None.
    TypeError
        If they are one text.

    Notes
    -----
    In [0, 1]; higher is better. NaN where there is no example.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> accuracy = SuperclassAccuracy(["flower", "flower", "tree"])
    >>> accuracy(torch.tensor([0, 1, 0, 0]), torch.tensor([0, 0, 2, 1]))
    tensor(0.7500)
    """

    higher_is_better: bool = True

    def __init__(
        self,
        superclasses: Sequence[Hashable] | np.ndarray | Tensor,
        *,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        numbers = numbered(superclasses)
        super().__init__(len(numbers), {"superclasses": numbers}, ignore_index, **kwargs)

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Bool[Tensor, " m"]:
        superclasses = self.get_buffer("superclasses")
        return superclasses[ranked[:, 0]] == superclasses[labels]


class FailedSuperclassAccuracy(SuperclassAccuracy):
    """The share of the mistakes whose prediction is of the same superclass as the truth.

    As `MistakeSeverity` it says nothing of how many mistakes there are: a model that adds easy ones improves it.

    Parameters
    ----------
    superclasses, ignore_index, **kwargs
        As in `SuperclassAccuracy`.

    Raises
    ------
    ValueError, TypeError
        As in `SuperclassAccuracy`.

    Notes
    -----
    In [0, 1]; higher is better. NaN where there is no mistake.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> accuracy = FailedSuperclassAccuracy(["flower", "flower", "tree"])
    >>> accuracy(torch.tensor([0, 1, 0, 0]), torch.tensor([0, 0, 2, 1]))  # of three mistakes two
    tensor(0.6667)
    """

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Bool[Tensor, " m"]:
        mistaken = ranked[:, 0] != labels
        return super()._values(ranked[mistaken], labels[mistaken])
