"""How severe the mistakes of a classifier are: metrics for torchmetrics, in Lightning and in loops of one's own.

Each takes logits or probabilities of shape (N, C) or (N, C, d1, ...), class indices of the target's shape, or rankings,
(N, k) or (N, k, d1, ...); those on a taxonomy also take the nodes that `simloss.back_off` returns. They sum up in
float64 over all batches and processes, and are NaN where there is nothing to take the mean of. `judge` is all of them
at once.

Few mistakes, mild ones, and honest confidence are three things, and a model can win one by losing another: one that
adds easy mistakes has a lower severity. `MistakeReport` shows them together.
"""

from simloss.metrics.accuracy import Accuracy
from simloss.metrics.calibration import CalibrationError, Reliability
from simloss.metrics.confused import ConfusedPair, confused_pairs
from simloss.metrics.cost import ExpectedCost
from simloss.metrics.hierarchical_distance import HierarchicalDistance
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
from simloss.metrics.positions import PositionMAE, PositionMSE
from simloss.metrics.report import MistakeReport, judge
from simloss.metrics.severity import MistakeSeverity
from simloss.metrics.superclasses import FailedSuperclassAccuracy, SuperclassAccuracy

__all__ = [
    "NDCG",
    "Accuracy",
    "CalibrationError",
    "ConfusedPair",
    "ExpectedCost",
    "FailedSuperclassAccuracy",
    "HierarchicalDistance",
    "HierarchicalF1",
    "HierarchicalPrecision",
    "HierarchicalRecall",
    "MeanSimilarity",
    "MistakeReport",
    "MistakeSeverity",
    "NodeAccuracy",
    "NodeDepth",
    "NodeInformation",
    "PositionMAE",
    "PositionMSE",
    "Reliability",
    "SuperclassAccuracy",
    "confused_pairs",
    "judge",
]
