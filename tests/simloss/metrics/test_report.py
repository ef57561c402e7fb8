"""The report: each value is that of the metric alone, and none of them can be left out."""

import math
from typing import Any

import matplotlib as mpl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

import simmatrix
from simloss.metrics import MistakeReport
from simmatrix.errors import ClassOrderError
from tests import metrics_oracle as oracle
from tests.simloss.cases import random_labels, random_logits, random_similarity
from tests.simloss.metrics.metric_cases import Facts, assert_is

FACTS = Facts(6, seed=4)
FIRST = ["accuracy", "calibration_error", "severity", "hierarchical_distance_1"]
ALL = [
    *FIRST,
    "hierarchical_distance_5",
    "similarity",
    "ndcg",
    "superclass_accuracy",
    "failed_superclass_accuracy",
    "position_mae",
    "position_mse",
]


def of_all(**options: Any) -> MistakeReport:
    similarity = random_similarity(6, FACTS.seed)
    return MistakeReport(similarity, superclasses=FACTS.superclasses, positions=FACTS.positions, **options)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), count=st.integers(1, 20), ignored=st.sampled_from([None, -100, -1]))
def test_each_value_is_that_of_the_metric_alone(seed: int, count: int, ignored: int | None) -> None:
    logits, target = random_logits(count, 6, seed=seed), random_labels(count, classes=6, seed=seed)
    report = of_all(ignore_index=ignored)
    if ignored is not None:
        more = target.masked_fill(target == 2, ignored)
        logits, target = torch.cat([logits, logits]), torch.cat([target, more])
    for part in (slice(0, count // 2), slice(count // 2, None)):
        report.update(logits[part], target[part])
    found = report.compute()
    assert list(found) == ALL
    kept = slice(None) if ignored is None else target != ignored
    z, y, s = logits[kept].double().numpy(), target[kept].numpy(), random_similarity(6, FACTS.seed).double().numpy()
    for name, expected in {
        "severity": oracle.mistake_severity(z, y, 1 - s),
        "hierarchical_distance_1": oracle.hierarchical_distance(z, y, 1 - s, 1),
        "hierarchical_distance_5": oracle.hierarchical_distance(z, y, 1 - s, 5),
        "similarity": oracle.mean_similarity(z, y, s),
        "ndcg": oracle.ndcg(z, y, s, 6),
        "superclass_accuracy": oracle.superclass_accuracy(z, y, FACTS.superclasses),
        "failed_superclass_accuracy": oracle.failed_superclass_accuracy(z, y, FACTS.superclasses),
        "position_mae": oracle.position_error(z, y, FACTS.positions, 1),
        "position_mse": oracle.position_error(z, y, FACTS.positions, 2),
        "accuracy": oracle.mean([float(c == t) for c, t in zip(oracle.predictions(z), y, strict=True)]),
    }.items():
        assert_is(found[name], expected, 5 * len(y))
    # Rounded once: the float32 softmax of some versions of torch is off by two units in its last place.
    probabilities = logits[kept].double().softmax(1).float()
    calibration = multiclass_calibration_error(probabilities, target[kept], 6)
    assert_nearly(found["calibration_error"], calibration, len(y))


def assert_nearly(found: Tensor, peer: Tensor, count: int) -> None:
    """Fail unless it is what torchmetrics sums up in float32, of so many examples in 15 bins."""
    torch.testing.assert_close(found, peer.float(), rtol=(count + 15) * 2.0**-24, atol=2.0**-24)


def test_it_holds_what_was_given_the_facts_for() -> None:
    assert list(MistakeReport(torch.eye(4))) == [*FIRST, "similarity", "ndcg"]
    assert list(MistakeReport(distance=1 - torch.eye(5))) == [*FIRST, "hierarchical_distance_5"]
    assert list(of_all()) == ALL


def test_called_it_gives_the_values_of_the_batch() -> None:
    report, logits, target = of_all(), random_logits(9, 6), random_labels(9, classes=6)
    assert report(logits, target) == report.compute()
    report.reset()
    assert report(logits, target) == report.compute()


def test_a_prefix_is_that_of_a_collection() -> None:
    report = of_all().clone(prefix="test/")
    assert isinstance(report, MetricCollection)
    report.update(random_logits(9, 6), random_labels(9, classes=6))
    assert list(report.compute()) == [f"test/{name}" for name in ALL]
    assert report.table().startswith("test/accuracy ")


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_examples_may_have_any_shape(shape: tuple[int, ...]) -> None:
    logits, target = random_logits(3, 6, *shape), random_labels(3, *shape, classes=6)
    found, flat = of_all()(logits, target), of_all()(logits.movedim(1, -1).flatten(0, -2), target.flatten())
    # Calibration is summed up in another order, in float32.
    torch.testing.assert_close(found, flat, rtol=(target.numel() + 15) * 2.0**-24, atol=2.0**-24)


def test_logits_that_lie_between_0_and_1_are_no_probabilities() -> None:
    """As they would be for torchmetrics, if a batch has no others."""
    logits, target = torch.rand(8, 6, generator=torch.Generator().manual_seed(0)), random_labels(8, classes=6)
    expected = multiclass_calibration_error(logits.softmax(1), target, 6)
    assert_nearly(of_all()(logits, target)["calibration_error"], expected, 8)
    assert not torch.equal(multiclass_calibration_error(logits, target, 6), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_probabilities_of_any_dtype_stay_what_they_are(dtype: torch.dtype) -> None:
    probabilities, target = random_logits(8, 6).softmax(1).to(dtype), random_labels(8, classes=6)
    expected = multiclass_calibration_error(probabilities.float(), target, 6)
    assert_nearly(of_all()(probabilities, target)["calibration_error"], expected, 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_have_probabilities_of_single_precision(dtype: torch.dtype) -> None:
    logits, target = random_logits(8, 6).to(dtype), random_labels(8, classes=6)
    expected = multiclass_calibration_error(logits.float().softmax(1), target, 6)
    assert_nearly(of_all()(logits, target)["calibration_error"], expected, 8)


def test_an_empty_batch_changes_nothing() -> None:
    report, empty = of_all(), (torch.zeros(0, 6), torch.zeros(0).long())
    report.update(*empty)
    assert all(value.isnan() for value in report.compute().values())
    logits, target = random_logits(9, 6), random_labels(9, classes=6)
    report.update(logits, target)
    assert report.compute() == of_all()(logits, target)


def test_without_a_mistake_there_is_no_severity() -> None:
    target = torch.arange(6)
    found = of_all()(10 * torch.eye(6), target)
    assert {name for name, value in found.items() if value.isnan()} == {"severity", "failed_superclass_accuracy"}
    assert found["accuracy"] == multiclass_accuracy(torch.eye(6), target, 6, average="micro") == 1


def test_the_accuracy_is_over_examples_not_over_classes() -> None:
    logits, target = torch.eye(6)[[0, 0, 0, 1]], torch.tensor([0, 0, 0, 2])
    assert of_all()(logits, target)["accuracy"] == 0.75


def test_the_table_has_a_line_a_value() -> None:
    report = MistakeReport(torch.tensor([[1.0, 0.25], [0.25, 1.0]]))
    report.update(torch.tensor([[math.log(3), 0.0]] * 4), torch.tensor([0, 0, 0, 1]))
    assert report.table().splitlines() == [
        "accuracy                 0.7500",
        "calibration_error        0.0000",
        "severity                 0.7500",
        "hierarchical_distance_1  0.1875",
        "similarity               0.8125",
        "ndcg                     0.9402",
    ]


def test_a_matrix_is_brought_into_the_order_of_the_classes() -> None:
    values = torch.tensor([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]]).numpy()
    matrix = simmatrix.SimilarityMatrix(values, ("cat", "lynx", "oak"))
    report = MistakeReport(matrix, classes=["oak", "lynx", "cat"])
    found = report(torch.eye(3)[[1]], torch.tensor([2]))
    assert found["severity"] == found["hierarchical_distance_1"] == 0.25
    assert found["similarity"] == 0.75
    with pytest.raises(ClassOrderError, match="elm"):
        MistakeReport(matrix, classes=["oak", "lynx", "elm"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"similarity": torch.eye(3), "superclasses": ["a", "b"]}, ValueError, "superclasses must be 3.* got 2"),
        ({"similarity": torch.eye(3), "positions": [1, 2]}, ValueError, "positions must be 3"),
        ({}, TypeError, "either a similarity or"),
        ({"similarity": torch.eye(3), "colour": "red"}, ValueError, "colour"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MistakeReport(**options)


def test_a_report_of_nothing_is_nan_and_no_error() -> None:
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert all(value.isnan() for value in of_all().compute().values())


def test_minus_100_is_ignored_as_in_the_loss() -> None:
    logits, target = random_logits(9, 6), random_labels(9, classes=6)
    more = torch.cat([logits, torch.full((3, 6), torch.nan)]), torch.cat([target, torch.full((3,), -100)])
    assert of_all()(*more) == of_all()(logits, target)


def test_ignored_examples_do_not_decide_what_the_others_are() -> None:
    """They are probabilities, whatever stands in rows that do not count."""
    probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    for odd in (0.0, 7.0, -torch.inf):
        preds = torch.cat([probabilities, torch.full((1, 2), odd)])
        found = MistakeReport(torch.eye(2))(preds, torch.tensor([0, 0, -100]))
        assert found["calibration_error"] == 0.25


def test_it_survives_what_deferred_initialisation_does_to_it() -> None:
    logits, target = random_logits(9, 6), random_labels(9, classes=6)
    report = torch.nn.ModuleDict({"report": of_all()}).to("meta").to_empty(device="cpu")["report"]
    report.reset()
    report.update(logits, target)
    assert report.compute() == of_all()(logits, target)


def test_every_metric_can_be_plotted() -> None:
    mpl.use("Agg")
    report = of_all()
    report.update(random_logits(9, 6), random_labels(9, classes=6))
    assert len(report.plot()) == len(ALL)
    figure, axes = report.reliability_diagram()
    assert axes.figure is figure
    plt.close("all")


def test_a_report_that_is_wrong_counts_nothing() -> None:
    report, logits, target = of_all(), random_logits(9, 6), random_labels(9, classes=6)
    report.update(logits, target)
    before = report.compute()
    for preds, message in ((logits * torch.nan, "NaN predicts no class"), (logits[:, :5], "scores of shape")):
        with pytest.raises(ValueError, match=message):
            report.update(preds, target)
    for metric in report.values():
        metric._computed = None
    assert report.compute() == before
