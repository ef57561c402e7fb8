"""All that says how a model is mistaken, at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from simloss.metrics.hierarchical_distance import HierarchicalDistance
from simloss.metrics.mean_similarity import MeanSimilarity
from simloss.metrics.pairs import Distances, Similarities
from simloss.metrics.positions import PositionMAE, PositionMSE
from simloss.metrics.severity import MistakeSeverity
from simloss.metrics.superclasses import FailedSuperclassAccuracy, SuperclassAccuracy
from simmatrix.shapes import Float

__all__ = ["MistakeReport"]


class MistakeReport(MetricCollection):
    """How many mistakes there are, how severe they are, and whether the confidence is honest, always together.

    A collection of these, by name and in this order:

    - ``accuracy`` and ``calibration_error`` (15 bins, L1), torchmetrics' own
    - ``severity`` (`MistakeSeverity`)
    - ``hierarchical_distance_1`` and, of five classes or more, ``hierarchical_distance_5`` (`HierarchicalDistance`)
    - ``similarity`` (`MeanSimilarity`), for a similarity
    - ``superclass_accuracy`` and ``failed_superclass_accuracy``, where superclasses are given
    - ``position_mae`` and ``position_mse``, where positions are given

    Parameters
    ----------
    similarity, distance, classes
        As in `MistakeSeverity`. At least two classes.
    superclasses
        As in `SuperclassAccuracy`.
    positions
        As in `PositionMAE`; of ordered classes without positions of their own, ``range(C)``.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`, for each of them.

    Raises
    ------
    TypeError, ValueError, simmatrix.errors.ClassOrderError
        As of those metrics.

    Notes
    -----
    It takes logits or probabilities of shape (N, C) or (N, C, d1, ...). A batch is taken for probabilities if none is
    negative and those of each example sum up to 1, within 1 %. Each value is NaN where there is nothing to take the
    mean of; only the accuracy of no examples is 0. Calibration keeps two numbers an example until `reset`, the others
    two numbers in all.

    Examples
    --------
    >>> import torch
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> report = MistakeReport(similarity, superclasses=["flower", "flower", "tree"])
    >>> report.update(torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [1, 2, 0]]), torch.tensor([0, 1, 2, 2]))
    >>> print(report.table())
    accuracy                    0.5000
    calibration_error           0.1652
    severity                    0.7500
    hierarchical_distance_1     0.3750
    similarity                  0.6250
    superclass_accuracy         0.7500
    failed_superclass_accuracy  0.5000
    """

    def __init__(
        self,
        similarity: Similarities | None = None,
        *,
        distance: Distances | None = None,
        superclasses: Sequence[Hashable] | np.ndarray | Tensor | None = None,
        positions: Sequence[float] | np.ndarray | Tensor | None = None,
        classes: Sequence[str] | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        common = {"ignore_index": ignore_index, **kwargs}
        source = {"similarity": similarity, "distance": distance, "classes": classes, **common}
        severity = MistakeSeverity(**source)
        count = severity.num_classes
        metrics: dict[str, Metric] = {
            "accuracy": _Accuracy(count, average="micro", **common),
            "calibration_error": _CalibrationError(count, **common),
            "severity": severity,
            **{f"hierarchical_distance_{k}": HierarchicalDistance(k=k, **source) for k in (1, 5) if k <= count},
        }
        if similarity is not None:
            metrics["similarity"] = MeanSimilarity(similarity, classes=classes, **common)
        if superclasses is not None:
            _check_length("superclasses", superclasses, count)
            metrics["superclass_accuracy"] = SuperclassAccuracy(superclasses, **common)
            metrics["failed_superclass_accuracy"] = FailedSuperclassAccuracy(superclasses, **common)
        if positions is not None:
            metrics["position_mae"] = PositionMAE(count, positions, **common)
            metrics["position_mse"] = PositionMSE(count, positions, **common)
        super().__init__({}, compute_groups=False)
        for name, metric in metrics.items():  # one by one: several at once would be sorted by name
            self.add_metrics({name: metric})

    def table(self) -> str:
        """Return the values of `compute` as a table, one line each."""
        values = self.compute()
        width = max(map(len, values))
        return "\n".join(f"{name:<{width}}  {value.item():.4f}" for name, value in values.items())


class _Accuracy(MulticlassAccuracy):
    """The accuracy that lets an empty batch pass, and is the first to see what the others can't use."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        if not preds.is_floating_point():
            raise TypeError(f"a report takes logits or probabilities, of a floating-point dtype; got {preds.dtype}")
        if target.numel():
            super().update(preds, target)


class _CalibrationError(MulticlassCalibrationError):
    """The calibration error that does not take logits for probabilities because they happen to lie in [0, 1]."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(_probabilities(preds), target)


def _probabilities(scores: Float[Tensor, "N C *d"]) -> Float[Tensor, "N C *d"]:
    """Return probabilities as they are, and those of logits. On a GPU there is nothing to wait for."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    are_probabilities = (scores >= 0).all() & ((scores.sum(1) - 1).abs() <= 0.01).all()
    return torch.where(are_probabilities, scores.clamp(0, 1), scores.softmax(1))


def _check_length(name: str, values: Sequence[Hashable] | np.ndarray | Tensor, count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} must be {count}, one a class; got {len(values)}")
