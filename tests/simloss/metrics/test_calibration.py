"""Calibration: at the ends of the bins, at a confidence of 1, and of nodes; elsewhere it is torchmetrics'."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torchmetrics.functional.classification import multiclass_calibration_error

import simmatrix
from simloss import back_off
from simloss.metrics import CalibrationError, MistakeReport


def slow(confidence: np.ndarray, right: np.ndarray, n_bins: int) -> float:
    """Return the error of bins [0, 1/n), [1/n, 2/n), ... of which the last holds 1 as well."""
    edges = np.arange(n_bins + 1) / n_bins
    total = 0.0
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = (confidence >= low) & ((confidence < high) | (number == n_bins - 1))
        total += abs(confidence[inside].sum() - right[inside].sum())
    return total / len(confidence)


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    report = MistakeReport(torch.eye(2))
    report.update(torch.tensor([[0.95, 0.05], [1.0, 0.0]]), torch.tensor([0, 1]))
    torch.testing.assert_close(report.compute()["calibration_error"], torch.tensor(0.475))
    assert report["calibration_error"].reliability().examples.tolist() == [0] * 14 + [2]


@pytest.mark.parametrize("n_bins", [1, 2, 10, 15, 49])
def test_bins_are_closed_on_the_left(n_bins: int) -> None:
    """Confidences on the edges and next to them, in float64."""
    edges = np.arange(n_bins + 1) / n_bins
    near = np.unique(np.clip([edges, np.nextafter(edges, 0), np.nextafter(edges, 1)], 0.5, 1))
    p = torch.from_numpy(np.stack([near, 1 - near], 1))
    labels = torch.arange(len(near)) % 2
    found = CalibrationError(2, n_bins=n_bins)(p, labels)
    assert found.item() == pytest.approx(slow(near, (labels == 0).numpy(), n_bins), rel=2.0**-23)
    # Between the edges it is torchmetrics', which has a bin of its own for a confidence of 1.
    between = torch.rand(500, 3, generator=torch.Generator().manual_seed(n_bins), dtype=torch.float64)
    p, labels = between / between.sum(1, keepdim=True), torch.arange(500) % 3
    peer = multiclass_calibration_error(p, labels, 3, n_bins)
    assert CalibrationError(3, n_bins=n_bins)(p, labels).item() == pytest.approx(float(peer), rel=2.0**-18)


def test_nodes_are_judged_by_their_own_probability() -> None:
    taxonomy = simmatrix.read_taxonomy({"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}, ["owl", "wren", "cod"])
    p = torch.tensor([[0.5, 0.375, 0.125], [0.5, 0.375, 0.125], [0.25, 0.25, 0.5], [1.0, 0.0, 0.0]])
    nodes = back_off(p, taxonomy, 0.8, from_logits=False)
    assert nodes.names.tolist() == ["bird", "bird", "animal", "owl"]
    error = CalibrationError(3, taxonomy=taxonomy)
    found = error(nodes, torch.tensor([1, 2, 2, 0]))  # right at 0.875, wrong at 0.875, right at 1, right at 1
    assert found == abs(2 * 0.875 - 1) / 4
    with pytest.raises(ValueError, match="or nodes where a taxonomy is given; got nodes"):
        CalibrationError(3).update(nodes, torch.tensor([1, 2, 2, 0]))
    with pytest.raises(ValueError, match="logits or probabilities, or nodes"):
        error.update(torch.tensor([0, 1]), torch.tensor([0, 1]))


def test_infinite_logits_are_certain() -> None:
    found = CalibrationError(2)(torch.tensor([[torch.inf, 0.0], [0.0, torch.inf]]), torch.tensor([0, 0]))
    assert found == 0.5


def test_the_diagram_shows_the_bins() -> None:
    mpl.use("Agg")
    error = CalibrationError(2, n_bins=4)
    p = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.9, 0.1]], dtype=torch.float64)
    error.update(p, torch.tensor([1, 0, 0, 1]))
    figure, axes = error.reliability_diagram()
    drawn = axes.lines[-1]
    np.testing.assert_allclose(drawn.get_xdata(), [0.6, 2.6 / 3])
    np.testing.assert_allclose(drawn.get_ydata(), [0, 2 / 3])
    assert [bar.get_height() for bar in axes.patches] == [0, 0, 0.25, 0.75]
    other = plt.figure().subplots()
    assert error.reliability_diagram(other)[1] is other
    assert error.plot()[0] is not figure
    plt.close("all")


def test_no_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
        CalibrationError(3, n_bins=0)
