"""What all metrics are tested on: each with what it should be, on the same few facts about classes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from simloss.metrics import (
    NDCG,
    Accuracy,
    ExpectedCost,
    FailedSuperclassAccuracy,
    HierarchicalDistance,
    MeanSimilarity,
    MistakeSeverity,
    PositionMAE,
    PositionMSE,
    SuperclassAccuracy,
)
from tests import metrics_oracle as oracle
from tests.simloss.cases import in_form

FORMS = ("dense", "sparse", "toeplitz")


class Facts(NamedTuple):
    """What is known of C classes."""

    classes: int
    seed: int = 0

    def dense(self, form: str = "dense") -> np.ndarray:
        return in_form(form, self.classes, self.seed)[1].double().numpy()

    @property
    def heights(self) -> np.ndarray:
        """Distances that are whole numbers, not symmetric, some of them 0 off the diagonal."""
        heights = np.random.default_rng(self.seed).integers(0, 4, (self.classes, self.classes))
        np.fill_diagonal(heights, 0)
        return heights

    @property
    def costs(self) -> np.ndarray:
        """What mistakes cost, and what is right costs something too."""
        return np.random.default_rng(self.seed).uniform(size=(self.classes, self.classes)) * 5

    @property
    def superclasses(self) -> list[str]:
        numbers = np.random.default_rng(self.seed).integers(0, 1 + self.classes // 2, self.classes)
        return [f"group {number}" for number in numbers]

    @property
    def positions(self) -> list[float]:
        return np.random.default_rng(self.seed).normal(size=self.classes).tolist()


class MetricCase(NamedTuple):
    """A metric of these facts, and what it should say of scores (N, C) and their target (N)."""

    make: Callable[..., Metric]
    expected: Callable[[np.ndarray, np.ndarray, Facts], float]
    takes_indices: bool = True


def _of_form(form: str) -> dict[str, MetricCase]:
    return {
        f"severity, {form}": MetricCase(
            lambda f, **o: MistakeSeverity(in_form(form, f.classes, f.seed)[0], **o),
            lambda z, y, f: oracle.mistake_severity(z, y, 1 - f.dense(form)),
        ),
        f"distance at 1, {form}": MetricCase(
            lambda f, **o: HierarchicalDistance(in_form(form, f.classes, f.seed)[0], **o),
            lambda z, y, f: oracle.hierarchical_distance(z, y, 1 - f.dense(form), 1),
        ),
        f"distance at k, {form}": MetricCase(
            lambda f, **o: HierarchicalDistance(in_form(form, f.classes, f.seed)[0], k=_k(f), **o),
            lambda z, y, f: oracle.hierarchical_distance(z, y, 1 - f.dense(form), _k(f)),
            takes_indices=False,
        ),
        f"NDCG, {form}": MetricCase(
            lambda f, **o: NDCG(in_form(form, f.classes, f.seed)[0], k=None if f.seed % 2 else _k(f), **o),
            lambda z, y, f: oracle.ndcg(z, y, f.dense(form), f.classes if f.seed % 2 else _k(f)),
            takes_indices=False,
        ),
        f"similarity, {form}": MetricCase(
            lambda f, **o: MeanSimilarity(in_form(form, f.classes, f.seed)[0], **o),
            lambda z, y, f: oracle.mean_similarity(z, y, f.dense(form)),
        ),
    }


def _k(facts: Facts) -> int:
    return 1 + facts.seed % facts.classes


METRICS: dict[str, MetricCase] = {
    "accuracy": MetricCase(
        lambda f, **o: Accuracy(f.classes, **o),
        lambda z, y, _f: oracle.mean([float(c == t) for c, t in zip(oracle.predictions(z), y, strict=True)]),
    ),
    "cost": MetricCase(
        lambda f, **o: ExpectedCost(f.costs, **o),
        lambda z, y, f: oracle.mean([float(f.costs[t, c]) for c, t in zip(oracle.predictions(z), y, strict=True)]),
    ),
    "superclass": MetricCase(
        lambda f, **o: SuperclassAccuracy(f.superclasses, **o),
        lambda z, y, f: oracle.superclass_accuracy(z, y, f.superclasses),
    ),
    "failed superclass": MetricCase(
        lambda f, **o: FailedSuperclassAccuracy(f.superclasses, **o),
        lambda z, y, f: oracle.failed_superclass_accuracy(z, y, f.superclasses),
    ),
    "severity, heights": MetricCase(
        lambda f, **o: MistakeSeverity(distance=f.heights, **o),
        lambda z, y, f: oracle.mistake_severity(z, y, f.heights),
    ),
    "distance at C, heights": MetricCase(
        lambda f, **o: HierarchicalDistance(distance=torch.from_numpy(f.heights), k=f.classes, **o),
        lambda z, y, f: oracle.hierarchical_distance(z, y, f.heights, f.classes),
        takes_indices=False,
    ),
    "position MAE": MetricCase(
        lambda f, **o: PositionMAE(f.classes, f.positions, **o),
        lambda z, y, f: oracle.position_error(z, y, f.positions, 1),
    ),
    "position MAE, no positions": MetricCase(
        lambda f, **o: PositionMAE(f.classes, **o),
        lambda z, y, f: oracle.position_error(z, y, range(f.classes), 1),
    ),
    "position MSE": MetricCase(
        lambda f, **o: PositionMSE(f.classes, f.positions, **o),
        lambda z, y, f: oracle.position_error(z, y, f.positions, 2),
    ),
}
for _form in FORMS:
    METRICS |= _of_form(_form)


def random_batch(classes: int, count: int, seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Return logits (N, C, *shape), many of which are equal, and a target (N, *shape)."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(-2, 3, (count, classes, *shape), generator=generator).float()
    return logits, torch.randint(0, classes, (count, *shape), generator=generator)


def assert_is(value: Tensor, expected: float, count: int) -> None:
    """Fail if a value is not what it should be.

    Both sum up to `count` float64 numbers, none of them negative, in an order of their own, and divide; the value is
    then rounded to float32.
    """
    allowed = 2.0**-24 + (2 * count + 4) * 2.0**-53
    torch.testing.assert_close(
        value.double(), torch.tensor(expected, dtype=torch.float64), rtol=allowed, atol=0, equal_nan=True
    )
