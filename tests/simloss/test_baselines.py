"""Cross entropy with soft targets: torch's label smoothing where S is trivial, the oracle's loops elsewhere."""

import copy
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import simmatrix
from simloss.baselines import SimilarityLabelSmoothingLoss, SoftLabelLoss, similarity_smoothed_labels, soft_labels
from simloss.errors import SimilarityWarning
from simmatrix.errors import ClassOrderError
from tests import metrics_oracle as oracle
from tests.simloss.cases import (
    in_form,
    random_labels,
    random_logits,
    random_similarity,
    random_weight,
    value_and_gradient,
)

CLASSES = ("cat", "lynx", "oak")
VALUES = np.array([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]], dtype=np.float32)
LOSSES: dict[str, tuple[Callable[..., nn.Module], Callable[[np.ndarray], np.ndarray]]] = {
    "soft labels": (lambda s, **o: SoftLabelLoss(s, 4.0, **o), lambda s: oracle.soft_labels(s, 4.0)),
    "smoothing": (
        lambda s, **o: SimilarityLabelSmoothingLoss(s, 0.3, **o),
        lambda s: oracle.similarity_smoothed_labels(s, 0.3),
    ),
}
# The same losses where S is trivial, with the label smoothing that torch calls them by.
TRIVIAL: dict[str, tuple[Tensor, float]] = {
    "soft labels": (torch.eye(6), 6 / (5 + np.exp(4.0))),
    "smoothing": (torch.ones(6, 6), 0.3 * 6 / 5),
}
BOTH = pytest.mark.parametrize("name", LOSSES)
# A logarithm of a sum of six, six products and their sum; and the targets and the logits once more.
ALLOWED = 40 * 2.0**-24


@settings(max_examples=40, deadline=None)
@given(classes=st.integers(1, 8), count=st.integers(1, 6), seed=st.integers(0, 2**20))
@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
@BOTH
def test_it_is_the_oracle(name: str, form: str, classes: int, count: int, seed: int) -> None:
    make, to_targets = LOSSES[name]
    similarity, dense = in_form(form, classes, seed, torch.float64)
    logits = random_logits(count, classes, seed=seed, dtype=torch.float64)
    labels = random_labels(count, classes=classes, seed=seed)
    found = make(similarity, reduction="none")(logits, labels)
    targets = to_targets(dense.numpy())
    expected = [oracle.soft_label_loss(z, y, targets) for z, y in zip(logits.numpy(), labels.tolist(), strict=True)]
    reach = 2 * logits.abs().max().item() + 2.1
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=(4 * classes + 24) * reach * 2.0**-53)


@pytest.mark.parametrize("classes", [1, 2, 9])
@BOTH
def test_targets_are_distributions(name: str, classes: int) -> None:
    targets = LOSSES[name][0](random_similarity(classes, dtype=torch.float64)).soft_targets
    assert targets.dtype == torch.float64
    np.testing.assert_allclose(targets.sum(1), np.ones(classes), rtol=(classes + 4) * 2.0**-53)
    assert (targets >= 0).all()
    assert (targets.diagonal().unsqueeze(1) >= targets).all() or name == "smoothing"


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(), (9,), (4, 3)])
@BOTH
def test_with_a_trivial_matrix_it_is_torchs_label_smoothing(
    name: str, shape: tuple[int, ...], weighted: bool, reduction: str
) -> None:
    similarity, label_smoothing = TRIVIAL[name]
    options: dict[str, Any] = {
        "weight": random_weight(6) if weighted else None,
        "ignore_index": 2,
        "reduction": reduction,
    }
    logits = random_logits(6) if not shape else random_logits(shape[0], 6, *shape[1:])
    labels = random_labels(*shape, classes=6)
    if not shape:
        labels = torch.tensor(1)
    peer = nn.CrossEntropyLoss(**options, label_smoothing=label_smoothing)
    found = value_and_gradient(lambda z: LOSSES[name][0](similarity, **options)(z, labels), logits)
    expected = value_and_gradient(lambda z: peer(z, labels), logits)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=ALLOWED, atol=ALLOWED * theirs.abs().max().item())


@BOTH
def test_its_options_are_those_of_the_peer(name: str) -> None:
    similarity, label_smoothing = TRIVIAL[name]
    ours, peer = LOSSES[name][0](similarity), nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    assert (ours.weight, ours.ignore_index, ours.reduction) == (peer.weight, peer.ignore_index, peer.reduction)
    assert ours(torch.zeros(0, 6), torch.zeros(0).long()).isnan()
    assert ours(torch.zeros(2, 6), torch.full((2,), -100)).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@BOTH
def test_the_loss_has_the_dtype_of_the_peers(name: str, dtype: torch.dtype) -> None:
    similarity, label_smoothing = TRIVIAL[name]
    logits, labels = random_logits(9, 6, dtype=dtype), random_labels(9, classes=6)
    ours, peer = LOSSES[name][0](similarity), nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    found, expected = ours(logits, labels), peer(logits, labels)
    assert found.dtype == expected.dtype == dtype
    exact = peer(logits.double(), labels)
    unit = torch.finfo(dtype).eps / 2
    # Computed in float32 at least, from targets in float32, and rounded once.
    assert abs(found.double() - exact) <= (unit + ALLOWED) * exact
    with torch.autocast("cpu"):
        assert ours(logits, labels).dtype == peer(logits, labels).dtype


@pytest.mark.parametrize("weight", [None, random_weight(6)])
@BOTH
def test_checkpoints_are_those_of_the_peer(name: str, weight: Tensor | None) -> None:
    ours, peer = LOSSES[name][0](random_similarity(6), weight=weight), nn.CrossEntropyLoss(weight)
    assert ours.state_dict().keys() == peer.state_dict().keys()
    ours.load_state_dict(peer.state_dict())


@BOTH
def test_casting_a_model_leaves_the_targets_as_they_are(name: str) -> None:
    loss = LOSSES[name][0](random_similarity(6), weight=random_weight(6))
    before = loss.soft_targets.clone()
    model = nn.ModuleDict({"layer": nn.Linear(4, 6), "loss": loss}).bfloat16()
    assert torch.equal(loss.soft_targets, before)
    assert loss.weight.dtype == torch.bfloat16
    model["loss"](model["layer"](random_logits(6, 4).bfloat16()), random_labels(6, classes=6)).backward()
    assert model["layer"].weight.grad.isfinite().all()
    assert {buffer.device.type for buffer in model.to("meta").buffers()} == {"meta"}


@BOTH
def test_copies_and_pickles_compute_the_same(name: str) -> None:
    module, file = LOSSES[name][0](random_similarity(6)), io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    logits, labels = random_logits(9, 6), random_labels(9, classes=6)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert torch.equal(other(logits, labels), module(logits, labels))


def test_targets_in_numbers() -> None:
    similarity = torch.tensor([[1.0, 0.75, 0.25], [0.0, 1.0, 0.0], [0.0, 0.5, 1.0]])
    found = similarity_smoothed_labels(similarity, 0.2)
    torch.testing.assert_close(found, torch.tensor([[0.8, 0.15, 0.05], [0.0, 1.0, 0.0], [0.0, 0.2, 0.8]]))
    assert torch.equal(similarity_smoothed_labels(similarity, 0.0), torch.eye(3))
    assert torch.equal(soft_labels(similarity, 0.0), torch.full((3, 3), 1 / 3))
    assert torch.equal(soft_labels(similarity, 1000.0), torch.eye(3))


def test_the_row_is_the_label() -> None:
    similarity = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert torch.equal(
        SimilarityLabelSmoothingLoss(similarity, 0.25).soft_targets, torch.tensor([[0.75, 0.25], [0.0, 1.0]])
    )
    assert SoftLabelLoss(similarity, 9.0).soft_targets[0].tolist() == [0.5, 0.5]


def test_a_class_without_a_share_may_be_impossible() -> None:
    """The logit -inf of a class that is not similar costs nothing, and the gradient is finite."""
    loss = SimilarityLabelSmoothingLoss(torch.from_numpy(VALUES), 0.25)
    logits = torch.tensor([[1.0, 0.0, -torch.inf]])
    found, gradient = value_and_gradient(lambda z: loss(z, torch.tensor([0])), logits)
    torch.testing.assert_close(
        found, 0.75 * np.log1p(np.exp(-1)) + 0.25 * torch.tensor(1.0).exp().log1p(), check_dtype=False
    )
    assert gradient.isfinite().all()
    assert loss(logits, torch.tensor([1])) == torch.inf


# --- matrices and files -----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "three.safetensors"
    simmatrix.SimilarityMatrix(VALUES, CLASSES).save(path)
    return path


@pytest.mark.parametrize("values", [VALUES, scipy.sparse.csr_array(VALUES)], ids=["dense", "sparse"])
@BOTH
def test_a_matrix_is_brought_into_the_order_of_the_classes(name: str, values: object) -> None:
    module = LOSSES[name][0](simmatrix.SimilarityMatrix(values, CLASSES), classes=["oak", "cat", "lynx"])
    order = [2, 0, 1]
    assert module.classes == ("oak", "cat", "lynx")
    assert torch.equal(
        module.soft_targets, LOSSES[name][0](torch.from_numpy(VALUES[np.ix_(order, order)])).soft_targets
    )


def test_a_file_takes_the_order_of_the_classes_and_the_options(file: Path) -> None:
    soft = SoftLabelLoss.from_file(file, ["oak", "lynx", "cat"], beta=5.0, reduction="sum", weight=random_weight(3))
    assert (type(soft), soft.classes, soft.beta, soft.reduction) == (SoftLabelLoss, ("oak", "lynx", "cat"), 5.0, "sum")
    assert torch.equal(soft.soft_targets, soft_labels(torch.from_numpy(VALUES).flip(0, 1), 5.0))
    smooth = SimilarityLabelSmoothingLoss.from_file(str(file), label_smoothing=0.3, ignore_index=1)
    assert (smooth.classes, smooth.label_smoothing, smooth.ignore_index) == (CLASSES, 0.3, 1)
    assert torch.equal(smooth.soft_targets, similarity_smoothed_labels(torch.from_numpy(VALUES), 0.3))
    with pytest.raises(ClassOrderError, match="elm"):
        SoftLabelLoss.from_file(file, classes=["cat", "lynx", "elm"], beta=1.0)


def test_soft_labels_ask_for_their_beta(file: Path) -> None:
    with pytest.raises(TypeError, match="needs a beta, as beta=20"):
        SoftLabelLoss.from_file(file)


def test_it_says_what_it_is() -> None:
    assert repr(SoftLabelLoss(torch.eye(3), 4.0)) == (
        "SoftLabelLoss(beta=4.0, num_classes=3, ignore_index=-100, reduction='mean')"
    )
    assert repr(SimilarityLabelSmoothingLoss(torch.eye(3), reduction="sum")) == (
        "SimilarityLabelSmoothingLoss(label_smoothing=0.1, num_classes=3, ignore_index=-100, reduction='sum')"
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SoftLabelLoss(torch.eye(3), -1.0), ValueError, "beta must be finite and at least 0, got -1.0"),
        (lambda: SoftLabelLoss(torch.eye(3), float("nan")), ValueError, "beta"),
        (lambda: SoftLabelLoss(torch.eye(3), float("inf")), ValueError, "beta"),
        (lambda: SimilarityLabelSmoothingLoss(torch.eye(3), 1.5), ValueError, "label_smoothing"),
        (lambda: SoftLabelLoss(1 - torch.eye(3), 1.0), ValueError, "similarity 1 to itself"),
        (lambda: SoftLabelLoss(torch.eye(3), 1.0, reduction="average"), ValueError, "reduction"),
        (lambda: SoftLabelLoss(torch.eye(3), 1.0, torch.ones(4)), ValueError, "weight"),
        (lambda: SoftLabelLoss(torch.eye(3), 1.0, classes=["cat"]), ValueError, "1 classes"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_made(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        make()
    assert isinstance(caught.value, (RuntimeError, IndexError))  # as torch raises


def test_labels_so_hard_that_it_is_cross_entropy_are_told() -> None:
    """Softmax by hand: beside one other class at distance d the true one keeps 1 / (1 + exp(-beta d))."""
    similarity = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    for beta in (0.0, 2.0, 2 * math.log(99) - 1e-3):
        SoftLabelLoss(similarity, beta)
    with pytest.warns(
        SimilarityWarning, match=r"the labels keep 99.00% of their weight .* a smaller beta, or"
    ) as caught:
        SoftLabelLoss(similarity, 2 * math.log(99) + 1e-3)
    assert caught[0].filename == __file__
    SoftLabelLoss(torch.ones(1, 1), 20.0)


@pytest.mark.parametrize(
    ("logits", "target", "error", "message"),
    [
        (torch.zeros(2, 4), torch.tensor([0, 1]), ValueError, r"3 classes .* got \(2, 4\)"),
        (torch.zeros(2, 3), torch.tensor([0, 1, 2]), ValueError, r"shape \(3,\), logits must .* got \(2, 3\)"),
        (torch.zeros(2, 3), torch.zeros(2, 3), TypeError, "SoftLabelLoss takes class indices alone"),
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), ValueError, r"shape \(2, 3\)"),
        (torch.tensor(0.0), torch.tensor(0), ValueError, r"got \(\)"),
        (torch.zeros(2, 3), torch.tensor([0.0, 1.0]), TypeError, "class indices alone, got a target of torch.float32"),
        (torch.zeros(2, 3), torch.tensor([0, 1]).int(), TypeError, "class indices must be .* got torch.int32"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), IndexError, "target 3 is out of bounds"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_called(
    logits: Tensor, target: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        SoftLabelLoss(torch.eye(3), 1.0)(logits, target)
    assert isinstance(caught.value, (RuntimeError, IndexError))  # as torch raises
