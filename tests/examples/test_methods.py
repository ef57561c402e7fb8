"""The losses and decisions that are compared, against their formulas written out slowly."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

import simloss
import simmatrix

EXAMPLES = Path(__file__).parents[2] / "examples"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    sweep = importlib.import_module("sweep")
    methods = importlib.import_module("methods")

SUPERCLASSES = ("animals", "plants", "animals", "things", "plants", "animals")
CLASSES = simmatrix.ClassList(tuple("abcdef"), {"superclass": SUPERCLASSES}, source="letters")
TREE = simmatrix.from_taxonomy("superclass", CLASSES, lower_bound=0.0)


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(200, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, 6, (200,), generator=torch.Generator().manual_seed(1))


def test_with_the_median_taken_off_strangers_get_nothing() -> None:
    """Path similarity is 1/3 of two classes of a superclass, 1/5 of others; 1/5 is the median."""
    found = methods.median_bound(TREE).to_dense()
    for one, row in zip(SUPERCLASSES, found, strict=True):
        for other, value in zip(SUPERCLASSES, row, strict=True):
            assert value == pytest.approx(1 / 6 if one == other else 0.0, abs=2**-24) or value == 1.0
    assert found.diagonal().tolist() == [1.0] * 6


def test_permuted_classes_have_the_similarities_of_others() -> None:
    before = methods.median_bound(TREE)
    seen = set()
    for seed in range(6):
        found = methods.permuted(before, seed)
        order = np.random.default_rng(seed).permutation(6)
        assert found.classes == before.classes
        assert all(found.to_dense()[i, k] == before.to_dense()[order[i], order[k]] for i in range(6) for k in range(6))
        seen.add(found.to_dense().tobytes())
    assert len(seen) > 1


def test_the_losses_are_those_of_the_plan(logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Each is the mean over the examples of (1 - share) * cross entropy with its targets + share * SimLoss."""
    similarity = methods.median_bound(TREE)
    logits = logits.double()
    expected = {
        "cross entropy": (0.0, similarity, 0.0, 0.0),
        "smoothing by S": (0.0, similarity, 0.05, 0.0),
        "SimLoss, with S": (1.0, similarity, 0.0, 0.0),
        "SimLoss, influence 0.1": (1.0, similarity.with_influence(0.1), 0.0, 0.0),
        "share 0.4": (0.4, similarity, 0.0, 0.0),
        "share 0.4, smoothing by S": (0.4, similarity, 0.05, 0.0),
        "label smoothing": (0.0, similarity, 0.0, 0.1),
        "permuted classes": (0.4, methods.permuted(similarity, 3), 0.05, 0.0),
    }
    assert {str(setting) for setting in methods.SETTINGS} == set(expected)
    probabilities = logits.softmax(1).tolist()
    for setting, criterion in methods.SETTINGS.items():
        share, matrix, smoothing, uniform = expected[str(setting)]
        table = matrix.to_dense().astype(float).tolist()
        total = 0.0
        for label, row in zip(labels.tolist(), probabilities, strict=True):
            others = [0.0 if c == label else value for c, value in enumerate(table[label])]
            some = smoothing if sum(others) else 0.0
            targets = [some * value / (sum(others) or 1.0) + uniform / 6 for value in others]
            targets[label] = 1 - some - uniform + uniform / 6
            cross = -sum(target * math.log(p) for target, p in zip(targets, row, strict=True))
            near = -math.log(sum(value * p for value, p in zip(table[label], row, strict=True)))
            total += (1 - share) * cross + share * near
        # S is one of float32, each value off by 2^-24 of itself at most, and so are the targets made of it; the losses
        # that they weigh are below 30.
        found = criterion(similarity, 3)(logits, labels).item()
        assert found == pytest.approx(total / len(labels), abs=30 * 2**-22), setting


def test_the_temperature_is_that_of_the_least_cross_entropy(logits: torch.Tensor) -> None:
    """Labels are drawn with the probabilities of the logits divided by 2, many times each."""
    wide = logits.repeat(100, 1)
    labels = torch.multinomial((wide / 2).softmax(1), 1, generator=torch.Generator().manual_seed(2))[:, 0]
    found = methods.temperature(wide, labels)
    assert found == pytest.approx(2, rel=0.05)

    def cost(scale: float) -> float:
        return torch.nn.functional.cross_entropy(wide / scale, labels).item()

    assert cost(found) <= min(cost(found * 1.02), cost(found / 1.02))


@pytest.fixture
def yardstick() -> Any:
    return methods.Yardstick.of_tree(methods.edges_of(TREE), SUPERCLASSES, methods.median_bound(TREE))


def test_the_decisions_are_those_of_slow_counting(logits: torch.Tensor, labels: torch.Tensor, yardstick: Any) -> None:
    """Each is judged by its own classes, and all of them by the same confidence."""
    validation = (logits.flip(0), labels)
    trial = sweep.Trial(sweep.BASE, 0)
    results = methods.results_of(trial, validation, (logits, labels), yardstick)
    scale = methods.temperature(*validation)
    similarity = methods.median_bound(TREE)
    scaled = (logits / scale).double().softmax(1)
    by_superclass = []
    for row in scaled.tolist():
        of = {
            name: sum(p for p, other in zip(row, SUPERCLASSES, strict=True) if other == name) for name in SUPERCLASSES
        }
        scores = [p * of[name] for p, name in zip(row, SUPERCLASSES, strict=True)]
        by_superclass.append(scores.index(max(scores)))
    decided = {
        "most probable": logits.argmax(1).tolist(),
        "minimum risk": simloss.minimum_risk(logits.double() / scale, similarity).tolist(),
        "superclass": by_superclass,
    }
    assert [one.decision for one in results] == list(decided)
    assert len({tuple(classes) for classes in decided.values()}) == 3
    calibration = multiclass_calibration_error(logits.double().softmax(1), labels, 6, n_bins=15).item()
    after = multiclass_calibration_error(scaled, labels, 6, n_bins=15).item()
    for result in results:
        pairs = list(zip(labels.tolist(), decided[result.decision], strict=True))
        wrong = [(one, other) for one, other in pairs if one != other]
        alike = [SUPERCLASSES[one] == SUPERCLASSES[other] for one, other in wrong]
        edges = [2 if same else 4 for same in alike]
        expected = {
            "accuracy": 1 - len(wrong) / 200,
            "superclass_accuracy": 1 - alike.count(False) / 200,
            "failed_superclass_accuracy": alike.count(True) / len(wrong),
            "severity": sum(edges) / len(wrong),
            "hierarchical_distance_1": sum(edges) / 200,
            "classes_predicted": len(set(decided[result.decision])),
            "calibration_error": calibration,
            "scaled_calibration_error": after,
        }
        assert result.trial == trial
        # In float32, of whole numbers that are exact; a quotient is rounded once.
        assert result.test == pytest.approx(expected, rel=2**-22)
        assert result.validation != result.test


@pytest.mark.parametrize("amount", ["3", "50", "all"])
def test_so_many_of_each_class_are_drawn(amount: str) -> None:
    labels = torch.randint(0, 5, (400,), generator=torch.Generator().manual_seed(0))
    rows = torch.arange(10, 300)
    found = methods.drawn(labels, rows, amount, 1)
    assert set(found.tolist()) <= set(rows.tolist())
    assert len(set(found.tolist())) == len(found)
    for label in range(5):
        there = (labels[rows] == label).sum().item()
        wanted = there if amount == "all" else min(there, int(amount))
        assert (labels[found] == label).sum().item() == wanted
    if amount == "3":
        assert torch.equal(found, methods.drawn(labels, rows, amount, 1))
        assert not torch.equal(found, methods.drawn(labels, rows, amount, 2))
