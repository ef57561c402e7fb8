"""How severe the mistakes of a classifier are: metrics for torchmetrics, in Lightning and in loops of one's own.

Each takes logits or probabilities of shape (N, C) or (N, C, d1, ...), or class indices of the target's shape; sums up
in float64 over all batches and processes; and is NaN where there is nothing to take the mean of. Accuracy and
calibration error are those of torchmetrics.

Few mistakes, mild ones, and honest confidence are three things, and a model can win one by losing another: one that
adds easy mistakes has a lower severity. `MistakeReport` shows them together.
"""

from simloss.metrics.hierarchical_distance import HierarchicalDistance
from simloss.metrics.mean_similarity import MeanSimilarity
from simloss.metrics.positions import PositionMAE, PositionMSE
from simloss.metrics.report import MistakeReport
from simloss.metrics.severity import MistakeSeverity
from simloss.metrics.superclasses import FailedSuperclassAccuracy, SuperclassAccuracy

__all__ = [
    "FailedSuperclassAccuracy",
    "HierarchicalDistance",
    "MeanSimilarity",
    "MistakeReport",
    "MistakeSeverity",
    "PositionMAE",
    "PositionMSE",
    "SuperclassAccuracy",
]
