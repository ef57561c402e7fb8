"""All that says how a model is mistaken, at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torchmetrics import Metric, MetricCollection

import simmatrix
from simloss.backoff import BackOff
from simloss.errors import ArgumentError
from simloss.metrics.accuracy import Accuracy
from simloss.metrics.calibration import CalibrationError
from simloss.metrics.cost import ExpectedCost
from simloss.metrics.hierarchical_distance import HierarchicalDistance
from simloss.metrics.inputs import Predicted, read_predictions
from simloss.metrics.mean import SumsOverExamples
from simloss.metrics.mean_similarity import MeanSimilarity
from simloss.metrics.ndcg import NDCG
from simloss.metrics.nodes import (
    HierarchicalF1,
    HierarchicalPrecision,
    HierarchicalRecall,
    NodeAccuracy,
    NodeDepth,
    NodeInformation,
)
from simloss.metrics.pairs import Distances, Similarities
from simloss.metrics.positions import PositionMAE, PositionMSE
from simloss.metrics.severity import MistakeSeverity
from simloss.metrics.superclasses import FailedSuperclassAccuracy, SuperclassAccuracy
from simloss.scores import as_tensor
from simmatrix.names import Names


class MistakeReport(MetricCollection):
    """How many mistakes there are, how severe they are, and whether the confidence is honest, always together.

    A collection of these, by name and in this order:

    - ``accuracy`` (`Accuracy`) and ``calibration_error`` (`CalibrationError`, 15 bins)
    - ``severity`` (`MistakeSeverity`)
    - ``hierarchical_distance_1`` and, of five classes or more, ``hierarchical_distance_5`` (`HierarchicalDistance`)
    - ``similarity`` (`MeanSimilarity`) and ``ndcg`` (`NDCG`), for a similarity
    - ``expected_cost`` (`ExpectedCost`), where costs are given
    - ``superclass_accuracy`` and ``failed_superclass_accuracy``, where superclasses are given
    - ``position_mae`` and ``position_mse``, where positions are given
    - ``hierarchical_precision``, ``hierarchical_recall``, ``hierarchical_f1``, ``node_accuracy``, ``node_depth`` and
      ``node_information``, where a taxonomy is given

    Parameters
    ----------
    similarity, distance, classes
        As in `MistakeSeverity`. At least two classes.
    superclasses
        As in `SuperclassAccuracy`.
    positions
        As in `PositionMAE`; of ordered classes without positions of their own, ``range(C)``.
    costs
        As in `ExpectedCost`.
    taxonomy
        What `simmatrix.read_taxonomy` gives; if `classes` are named, it is brought into their order.
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
    It judges logits or probabilities of shape (N, C) or (N, C, d1, ...); decided classes, indices of the shape of the
    target; rankings, indices of shape (N, k) or (N, k, d1, ...), best first; and nodes of the taxonomy, which
    `simloss.back_off` returns. What predictions do not say counts nothing: decided classes have no confidence, and
    nodes no distance to a class. Scores are taken for probabilities if none in the batch is negative and those of each
    example sum up to 1, within 1 %; otherwise for logits. Each value is NaN where there is nothing to take the mean of.

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
    ndcg                        0.8399
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
        costs: Tensor | np.ndarray | None = None,
        taxonomy: simmatrix.ClassTaxonomy | None = None,
        classes: Names | None = None,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        common = {"ignore_index": ignore_index, **kwargs}
        source = {"similarity": similarity, "distance": distance, "classes": classes, **common}
        severity = MistakeSeverity(**source)
        source["classes"] = severity.classes
        count = severity.num_classes
        if isinstance(taxonomy, simmatrix.ClassTaxonomy) and severity.classes is not None:
            taxonomy = taxonomy.reorder(severity.classes)
        metrics: dict[str, SumsOverExamples] = {
            "accuracy": Accuracy(count, **common),
            "calibration_error": CalibrationError(count, taxonomy=taxonomy, **common),
            "severity": severity,
            **{f"hierarchical_distance_{k}": HierarchicalDistance(k=k, **source) for k in (1, 5) if k <= count},
        }
        if similarity is not None:
            metrics["similarity"] = MeanSimilarity(similarity, classes=severity.classes, **common)
            metrics["ndcg"] = NDCG(similarity, classes=severity.classes, **common)
        if costs is not None:
            _check_length("costs", costs, count)
            metrics["expected_cost"] = ExpectedCost(costs, **common)
        if superclasses is not None:
            _check_length("superclasses", superclasses, count)
            metrics["superclass_accuracy"] = SuperclassAccuracy(superclasses, **common)
            metrics["failed_superclass_accuracy"] = FailedSuperclassAccuracy(superclasses, **common)
        if positions is not None:
            metrics["position_mae"] = PositionMAE(count, positions, **common)
            metrics["position_mse"] = PositionMSE(count, positions, **common)
        if taxonomy is not None:
            metrics["hierarchical_precision"] = HierarchicalPrecision(taxonomy, **common)
            metrics["hierarchical_recall"] = HierarchicalRecall(taxonomy, **common)
            metrics["hierarchical_f1"] = HierarchicalF1(taxonomy, **common)
            metrics["node_accuracy"] = NodeAccuracy(taxonomy, **common)
            metrics["node_depth"] = NodeDepth(taxonomy, **common)
            metrics["node_information"] = NodeInformation(taxonomy, **common)
        super().__init__({}, compute_groups=False)
        for name, metric in metrics.items():  # one by one: several at once would be sorted by name
            metric.passes_over = True
            self.add_metrics({name: metric})
        self._num_classes, self._ignore_index = count, ignore_index

    def update(self, preds: Predicted, target: Tensor) -> None:  # type: ignore[override]  # ModuleDict's is another one
        """Count a batch in; see the notes above for what may be judged.

        Raises
        ------
        TypeError, ValueError, IndexError
            If dtypes or shapes do not fit, a score is NaN, or a class index is out of bounds. Then nothing is counted.
        """
        super().update(read_predictions(preds, target, self._num_classes, self._ignore_index))

    def forward(self, preds: Predicted, target: Tensor) -> dict[str, Tensor]:
        """Count a batch in, and return the values of this batch alone."""
        found: dict[str, Tensor] = super().forward(
            read_predictions(preds, target, self._num_classes, self._ignore_index)
        )
        return found

    def table(self) -> str:
        """Return the values of `compute` as a table, one line each."""
        values = self.compute()
        width = max(map(len, values))
        return "\n".join(f"{name:<{width}}  {value.item():.4f}" for name, value in values.items())

    def values_in_float64(self) -> dict[str, float]:
        """Return the values of what this process has counted, as numbers that are not rounded to float32."""
        metrics: dict[str, Any] = dict(self.items())
        return {name: metric.value().item() for name, metric in metrics.items()}

    def reliability_diagram(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw how often the model is right over how sure it is; see `CalibrationError.reliability_diagram`."""
        metrics: list[Metric] = list(self.values())
        calibration = next(metric for metric in metrics if isinstance(metric, CalibrationError))
        return calibration.reliability_diagram(ax)


def judge(
    preds: Tensor | np.ndarray | BackOff,
    target: Tensor | np.ndarray,
    similarity: Similarities | None = None,
    **options: Any,
) -> dict[str, float]:
    """Return what a `MistakeReport` says of predictions: scores, decided classes, rankings or nodes.

    Parameters
    ----------
    preds, target
        As a `MistakeReport` takes them, as tensors or as NumPy arrays.
    similarity, **options
        Of `MistakeReport`.

    Returns
    -------
    dict
        Each value by its name; NaN for what these predictions do not say.

    Raises
    ------
    TypeError, ValueError, IndexError
        As of `MistakeReport`; ValueError also if there is no example.

    Examples
    --------
    >>> found = judge(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([[1.0, 0.5], [0.5, 1.0]]))
    >>> found["severity"], found["calibration_error"]
    (0.5, nan)
    """
    labels = as_tensor(target, "target")
    if not labels.numel():
        raise ArgumentError("there is no example to judge")
    report = MistakeReport(similarity, **options)
    if isinstance(preds, BackOff):
        nodes, probabilities = (as_tensor(part, "nodes") for part in preds[:2])
        report.update(BackOff(nodes, probabilities, preds.names), labels)
    else:
        report.update(as_tensor(preds, "preds"), labels)
    return report.values_in_float64()


def _check_length(name: str, values: Sequence[Hashable] | np.ndarray | Tensor, count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} must be {count}, one a class; got {len(values)}")
