"""Slow, obvious reference implementations of the metrics and decisions, in float64 and in loops."""

import math
from collections.abc import Hashable, Sequence

import numpy as np


def ranking(scores: np.ndarray) -> list[int]:
    """Return all classes, best first; of equal ones the first."""
    return sorted(range(len(scores)), key=lambda c: (-scores[c], c))


def predictions(scores: np.ndarray) -> list[int]:
    return [ranking(row)[0] for row in scores]


def mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def _counts(scores: np.ndarray, target: np.ndarray, superclasses: Sequence[Hashable]) -> tuple[int, int, int]:
    """Return how many classes and how many superclasses are right, and how many examples there are."""
    right, superclass_right = 0, 0
    for predicted, true in zip(predictions(scores), target, strict=True):
        right += predicted == true
        superclass_right += superclasses[predicted] == superclasses[true]
    return right, superclass_right, len(target)


def superclass_accuracy(scores: np.ndarray, target: np.ndarray, superclasses: Sequence[Hashable]) -> float:
    """As the authors of SimLoss define it: superclasses that are right, over examples."""
    _, superclass_right, count = _counts(scores, target, superclasses)
    return superclass_right / count if count else math.nan


def failed_superclass_accuracy(scores: np.ndarray, target: np.ndarray, superclasses: Sequence[Hashable]) -> float:
    """As the authors of SimLoss define it: superclasses but not classes that are right, over classes that are not."""
    right, superclass_right, count = _counts(scores, target, superclasses)
    return (superclass_right - right) / (count - right) if count > right else math.nan


def mistake_severity(scores: np.ndarray, target: np.ndarray, distance: np.ndarray) -> float:
    pairs = zip(target, predictions(scores), strict=True)
    return mean([float(distance[true, predicted]) for true, predicted in pairs if true != predicted])


def hierarchical_distance(scores: np.ndarray, target: np.ndarray, distance: np.ndarray, k: int) -> float:
    """Return the mean over the examples of the mean over their k best predictions."""
    return mean([mean([float(distance[y, c]) for c in ranking(z)[:k]]) for z, y in zip(scores, target, strict=True)])


def mean_similarity(scores: np.ndarray, target: np.ndarray, similarity: np.ndarray) -> float:
    return mean([float(similarity[y, c]) for c, y in zip(predictions(scores), target, strict=True)])


def ndcg(scores: np.ndarray, target: np.ndarray, similarity: np.ndarray, k: int) -> float:
    """Return the mean over the examples of the discounted gain of their first k classes, over the most there can be."""

    def gain(gains: Sequence[float]) -> float:
        return math.fsum(one / math.log2(rank + 2) for rank, one in enumerate(gains[:k]))

    pairs = zip(scores, target, strict=True)
    return mean(
        [gain([similarity[y, c] for c in ranking(z)]) / gain(sorted(similarity[y], reverse=True)) for z, y in pairs]
    )


def position_error(scores: np.ndarray, target: np.ndarray, positions: Sequence[float], power: int) -> float:
    pairs = zip(predictions(scores), target, strict=True)
    return mean([abs(positions[predicted] - positions[true]) ** power for predicted, true in pairs])


def risks(logits: np.ndarray, similarity: np.ndarray) -> list[float]:
    """Return the expected cost of each decision for one example."""
    shares = [math.exp(z - max(logits)) for z in logits]
    total = math.fsum(shares)
    every = range(len(logits))
    return [math.fsum(shares[y] / total * (1 - similarity[y, k]) for y in every) for k in every]


def soft_label_loss(logits: np.ndarray, label: int, targets: np.ndarray) -> float:
    """Return the cross entropy of one example with the soft target of its class."""
    log_total = max(logits) + math.log(math.fsum(math.exp(z - max(logits)) for z in logits))
    return math.fsum(t * (log_total - z) for t, z in zip(targets[label], logits, strict=True))


def soft_labels(similarity: np.ndarray, beta: float) -> np.ndarray:
    targets = np.empty(similarity.shape)
    for y, row in enumerate(similarity):
        weights = [math.exp(-beta * (1 - s)) for s in row]
        targets[y] = [weight / math.fsum(weights) for weight in weights]
    return targets


def similarity_smoothed_labels(similarity: np.ndarray, label_smoothing: float) -> np.ndarray:
    targets = np.eye(len(similarity))
    for y, row in enumerate(similarity):
        total = math.fsum(s for c, s in enumerate(row) if c != y)
        for c, s in enumerate(row):
            if total:
                targets[y, c] = 1 - label_smoothing if c == y else label_smoothing * s / total
    return targets
