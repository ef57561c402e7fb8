"""What is compared: the losses, and the ways to decide with a trained model. PLAN.md says why these."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from report import Panel
from scipy.optimize import minimize_scalar
from sweep import ALL, BASE, PROBABLE, Result, Setting, Trial
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_calibration_error

import simloss
import simmatrix
from simloss.metrics import MistakeReport

__all__ = [
    "ALONE",
    "BY_WORDS",
    "CANDIDATE",
    "DECIDED",
    "DRAWN",
    "LITTLE",
    "MAIN",
    "PANELS",
    "PERMUTED",
    "SETTINGS",
    "SHARED",
    "SMOOTHED",
    "UNIFORM",
    "Criterion",
    "Yardstick",
    "alone",
    "by_words",
    "drawn",
    "edges_of",
    "gains",
    "median_bound",
    "permuted",
    "results_of",
    "temperature",
]

SHARE, SMOOTHING = 0.4, 0.05

Criterion: TypeAlias = Callable[[simmatrix.SimilarityMatrix, int], nn.Module]
"""Makes the loss from S and the seed of the training."""


def median_bound(matrix: simmatrix.SimilarityMatrix) -> simmatrix.SimilarityMatrix:
    """Return the similarity with the median of all pairs taken off: classes no more alike than most get 0."""
    values = matrix.to_dense()
    return matrix.lower_bound(float(np.median(values[~np.eye(len(values), dtype=bool)])))


def permuted(matrix: simmatrix.SimilarityMatrix, seed: int) -> simmatrix.SimilarityMatrix:
    """Return the similarity in which each class has that of another one, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(matrix.classes))
    return simmatrix.SimilarityMatrix(matrix.to_dense()[np.ix_(order, order)], matrix.classes)


def _candidate(matrix: simmatrix.SimilarityMatrix) -> nn.Module:
    return simloss.SimLoss(matrix, share=SHARE, similarity_smoothing=SMOOTHING)


def alone(similarity: simmatrix.SimilarityMatrix) -> nn.Module:
    """Return the paper's loss, SimLoss without cross entropy; that classes may be given up is what is to be seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return simloss.SimLoss(similarity)


SMOOTHED = Setting("smoothing by S")
ALONE = Setting("SimLoss", "with S")
SHARED = Setting("share 0.4")
CANDIDATE = Setting("share 0.4, smoothing by S")
LITTLE = Setting("SimLoss", "influence 0.1")
UNIFORM = Setting("label smoothing")
PERMUTED = Setting("permuted classes")
BY_WORDS = Setting("share 0.4, smoothing by words")
SETTINGS: dict[Setting, Criterion] = {
    BASE: lambda _matrix, _seed: nn.CrossEntropyLoss(),
    SMOOTHED: lambda matrix, _seed: simloss.SimilarityLabelSmoothingLoss(matrix, SMOOTHING),
    ALONE: lambda matrix, _seed: alone(matrix),
    SHARED: lambda matrix, _seed: simloss.SimLoss(matrix, share=SHARE),
    CANDIDATE: lambda matrix, _seed: _candidate(matrix),
    UNIFORM: lambda _matrix, _seed: nn.CrossEntropyLoss(label_smoothing=0.1),
    PERMUTED: lambda matrix, seed: _candidate(permuted(matrix, seed)),
    LITTLE: lambda matrix, _seed: alone(matrix.with_influence(0.1)),
}
"""Of classes with a hierarchy."""


def by_words(words: simmatrix.SimilarityMatrix) -> dict[Setting, Criterion]:
    """Return the candidate with the similarity by word vectors, not bounded yet, in place of S."""
    return {BY_WORDS: lambda _matrix, _seed: _candidate(median_bound(words))}


MAIN = (BASE, SMOOTHED, ALONE, SHARED, CANDIDATE)
# In the tables with all decisions.
DECIDED = (BASE, SMOOTHED, CANDIDATE)
# In the pictures.
DRAWN = (CANDIDATE, SHARED, SMOOTHED, LITTLE, UNIFORM)
PANELS = (
    Panel("How much more often is the superclass right?", "superclass_accuracy"),
    Panel("What does it do to accuracy?", "accuracy"),
    Panel("How much milder are the mistakes?", "severity", "edges"),
)


def drawn(labels: Tensor, rows: Tensor, amount: str, seed: int) -> Tensor:
    """Return up to `amount` of the rows of each class, drawn at random, or all of them."""
    if amount == ALL:
        return rows
    shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = labels[by_class].bincount()
    places = torch.arange(len(by_class)) - (sizes.cumsum(0) - sizes)[labels[by_class]]
    return by_class[places < int(amount)].sort().values


def edges_of(path: simmatrix.SimilarityMatrix) -> np.ndarray:
    """Return the edges between each two classes, (C, C), of their path similarity 1 / (edges + 1)."""
    edges: np.ndarray = np.rint(1 / path.to_dense().astype(np.float64) - 1)
    return edges


def temperature(logits: Tensor, labels: Tensor) -> float:
    """Return by what logits (N, C) have to be divided so that their cross entropy is least (Guo et al., ICML 2017)."""

    def cost(log: float) -> float:
        return nn.functional.cross_entropy(logits / np.exp(log), labels).item()

    return float(np.exp(minimize_scalar(cost, bounds=(-3.0, 3.0), method="bounded").x))


Decision: TypeAlias = Callable[[Tensor], Tensor]
"""Makes scores (N, C), whose greatest is decided on, of probabilities (N, C)."""


def gains(similarity: Tensor, probabilities: Tensor) -> Tensor:
    """Return what each class is expected to gain, sum_y p[y] S[y, k]: the greatest has the minimum risk."""
    return probabilities @ similarity


@dataclass(frozen=True)
class Yardstick:
    """What models are judged by.

    Parameters
    ----------
    distance
        (C, C), by which severity is counted.
    superclasses
        Of each class, or none.
    positions
        Of each class in their order, or none.
    decisions
        What is decided by, beside the most probable class, of probabilities that were scaled.
    """

    distance: np.ndarray
    superclasses: Sequence[Hashable] | None
    positions: Sequence[float] | None
    decisions: Mapping[str, Decision]

    @classmethod
    def of_tree(
        cls, edges: np.ndarray, superclasses: Sequence[str], similarity: simmatrix.SimilarityMatrix
    ) -> Yardstick:
        """Return that of a hierarchy, with decisions by minimum risk and by superclass."""
        decisions = {
            "minimum risk": partial(gains, torch.tensor(similarity.to_dense(), dtype=torch.float64)),
            "superclass": partial(simloss.with_superclasses, superclasses=superclasses, from_logits=False),
        }
        return cls(edges, superclasses, None, decisions)

    def figures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Return how often, and how badly, classes are wrong that are decided on by scores (N, C)."""
        report = MistakeReport(distance=self.distance, superclasses=self.superclasses, positions=self.positions)
        # Scores of 0 and 1: the report would take others for logits, and the confidence is counted elsewhere.
        report.update(nn.functional.one_hot(scores.argmax(1), scores.shape[1]).float(), labels)
        found = {name: float(value) for name, value in report.compute().items()}
        del found["calibration_error"]
        found.pop("hierarchical_distance_5", None)
        return found | {"classes_predicted": float(len(set(scores.argmax(1).tolist())))}


def results_of(
    trial: Trial, validation: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], yardstick: Yardstick
) -> list[Result]:
    """Return the results of a trained model, one a decision, from its logits (N, C) and the labels (N) of both parts.

    How sure the model is does not depend on what is decided.
    """
    scale = temperature(*validation)
    parts = []
    for logits, labels in (validation, test):
        plain, scaled = (values.double().softmax(1) for values in (logits, logits / scale))
        sure = {"calibration_error": _calibration_error(plain, labels)}
        sure["scaled_calibration_error"] = _calibration_error(scaled, labels)
        scores = {PROBABLE: plain} | {name: decide(scaled) for name, decide in yardstick.decisions.items()}
        parts.append({name: yardstick.figures(one, labels) | sure for name, one in scores.items()})
    return [Result(trial, name, parts[0][name], parts[1][name]) for name in parts[0]]


def _calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    return multiclass_calibration_error(probabilities, labels, probabilities.shape[1], n_bins=15).item()
