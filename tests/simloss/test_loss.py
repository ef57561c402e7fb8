"""The function: F.cross_entropy is the peer in every corner, tests/oracle.py in all that a similarity adds."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import simmatrix
from simloss import Toeplitz, sim_loss
from tests import oracle
from tests.batch import batched
from tests.simloss.cases import (
    assert_within_budget,
    random_distribution,
    random_labels,
    random_logits,
    random_similarity,
    random_weight,
    sparse_of,
    uneven,
    value_and_gradient,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(5,), (7, 5), (2, 5, 3), (2, 5, 3, 2), (0, 5), (2, 5, 0), (1, 1)]


def label_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def class_count(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) == 1 else shape[1]


# --- with the identity it is F.cross_entropy --------------------------------------------------------------------------


def assert_is_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None, **options: object) -> None:
    """Compare values and gradients, for an uneven upstream gradient, with the peer's on the same input in float64.

    The budget is the peer's own error for half precision, where it rounds as it goes. For float32 and float64 it is
    counted: one rounding a class and one an example in the sums, and two dozen elsewhere.
    """
    double = target.double() if target.is_floating_point() else target
    double_weight = None if weight is None else weight.double()
    classes = class_count(tuple(logits.shape))
    ours = value_and_gradient(lambda z: sim_loss(z, target, torch.eye(classes), weight, **options), logits, uneven)
    peer = value_and_gradient(lambda z: F.cross_entropy(z, target, weight, **options), logits, uneven)
    exact = value_and_gradient(lambda z: F.cross_entropy(z, double, double_weight, **options), logits.double(), uneven)
    for mine, theirs, true in zip(ours, peer, exact, strict=True):
        assert mine.dtype == theirs.dtype
        if mine.dtype in (torch.float16, torch.bfloat16):
            assert_within_budget(mine, theirs, true)
        else:
            finite = true[true.isfinite()].abs().tolist()
            allowed = (classes + logits.numel() // classes + 24) * torch.finfo(mine.dtype).eps / 2
            atol = allowed * max(finite, default=0.0)
            torch.testing.assert_close(mine.double(), true, rtol=0, atol=atol, equal_nan=True)


@batched("dtype", DTYPES)
@batched("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_identity_is_cross_entropy_for_class_indices(
    shape: tuple[int, ...], reduction: str, dtype: torch.dtype
) -> None:
    classes = class_count(shape)
    logits, labels = random_logits(*shape, dtype=dtype), random_labels(*label_shape(shape), classes=classes)
    for weight, ignore, smoothing in product([None, random_weight(classes, dtype=dtype)], [-100, 3], [0.0, 0.1, 1.0]):
        options = {"ignore_index": ignore, "reduction": reduction, "label_smoothing": smoothing}
        assert_is_cross_entropy(logits, labels, weight, **options)


@batched("dtype", DTYPES)
@batched("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_identity_is_cross_entropy_for_class_probabilities(
    shape: tuple[int, ...], reduction: str, dtype: torch.dtype
) -> None:
    classes = class_count(shape)
    logits, target = random_logits(*shape, dtype=dtype), random_distribution(*shape, dtype=dtype)
    for weight, smoothing in product([None, random_weight(classes, dtype=dtype)], [0.0, 0.1, 1.0]):
        assert_is_cross_entropy(logits, target, weight, reduction=reduction, label_smoothing=smoothing)


@batched("reduction", REDUCTIONS)
@batched("smoothing", [0.0, 0.1])
@batched("weighted", [False, True])
@batched("shape", [(5,), (4, 5), (2, 5, 3)])
def test_all_targets_ignored(shape: tuple[int, ...], weighted: bool, smoothing: float, reduction: str) -> None:
    """NaN for the mean, and zero gradients nevertheless."""
    weight = random_weight(5) if weighted else None
    labels = torch.full(label_shape(shape), -100)
    assert_is_cross_entropy(random_logits(*shape), labels, weight, reduction=reduction, label_smoothing=smoothing)


@batched("rubbish", [torch.nan, torch.inf])
@batched("share", [1.0, 0.4])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_ignored_examples_have_no_gradient_whatever_comes_back(is_compiled: bool, share: float, rubbish: float) -> None:
    loss = torch.compile(sim_loss, fullgraph=True, backend="aot_eager") if is_compiled else sim_loss
    logits, labels = random_logits(4, 5).requires_grad_(), torch.tensor([1, -100, 2, -100])
    upstream = torch.tensor([0.5, rubbish, 2.0, -rubbish])
    losses = (
        loss(logits, labels, torch.eye(5), reduction="none", share=share),
        F.cross_entropy(logits, labels, reduction="none"),
    )
    ours, peer = (torch.autograd.grad(loss, logits, upstream)[0] for loss in losses)
    assert torch.equal(ours[[1, 3]], torch.zeros(2, 5))
    torch.testing.assert_close(ours, peer, rtol=0, atol=2.0**-21)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
def test_not_a_number_goes_through(rubbish: float, reduction: str, smoothing: float) -> None:
    logits, labels = random_logits(4, 5), random_labels(4, classes=5)
    logits[2, 1] = rubbish
    assert_is_cross_entropy(logits, labels, reduction=reduction, label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label", [0, 3])
def test_classes_masked_by_minus_infinity(label: int, dtype: torch.dtype, reduction: str, smoothing: float) -> None:
    """Of no consequence, unless one of them is the target: then the loss is infinite and the gradient is not."""
    logits = random_logits(2, 5, dtype=dtype)
    logits[:, 3:] = -torch.inf
    assert_is_cross_entropy(logits, torch.tensor([label, 1]), reduction=reduction, label_smoothing=smoothing)


def test_all_classes_masked() -> None:
    logits = random_logits(3, 5)
    logits[1] = -torch.inf
    assert_is_cross_entropy(logits, torch.tensor([0, 1, 2]), reduction="none")


def test_masked_classes_beside_probabilities() -> None:
    """F.cross_entropy gives NaN where a masked class has no share (0 times infinity); here it just has no share."""
    logits, target = random_logits(4, 5), random_distribution(4, 5)
    target[:, 3:] = 0.0
    masked = logits.clone()
    masked[:, 3:] = -torch.inf
    value, gradient = value_and_gradient(lambda z: sim_loss(z, target, torch.eye(5), reduction="none"), masked)
    fewer = value_and_gradient(
        lambda z: F.cross_entropy(z, target[:, :3].double(), reduction="none"), logits[:, :3].double()
    )
    torch.testing.assert_close(value.double(), fewer[0], rtol=29 * 2.0**-24, atol=0)
    torch.testing.assert_close(gradient[:, :3].double(), fewer[1], rtol=0, atol=29 * 2.0**-24)
    assert torch.equal(gradient[:, 3:], torch.zeros(4, 2))


def test_indices_may_be_bytes() -> None:
    logits, labels = random_logits(4, 5), random_labels(4, classes=5)
    assert torch.equal(sim_loss(logits, labels.byte(), torch.eye(5)), sim_loss(logits, labels, torch.eye(5)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_and_their_weights_get_gradients(smoothing: float, reduction: str) -> None:
    logits = random_logits(4, 5, dtype=torch.float64)
    mine = [random_distribution(4, 5, dtype=torch.float64), random_weight(5, dtype=torch.float64)]
    peers = [tensor.clone() for tensor in mine]
    for target, weight in (mine, peers):
        target.requires_grad_()
        weight.requires_grad_()
    options = {"reduction": reduction, "label_smoothing": smoothing}
    value = sim_loss(logits, mine[0], torch.eye(5), mine[1], **options)
    value.backward(uneven(value.detach()))
    peer = F.cross_entropy(logits, *peers, **options)
    peer.backward(uneven(peer.detach()))
    for tensor, other in zip(mine, peers, strict=True):
        scale = other.grad.abs().max().item()
        torch.testing.assert_close(tensor.grad, other.grad, rtol=0, atol=33 * 2.0**-53 * scale)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("target_dtype", [torch.int64, *DTYPES])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_of_the_loss_is_that_of_cross_entropy(
    dtype: torch.dtype, target_dtype: torch.dtype, autocast: bool
) -> None:
    logits, weight = random_logits(4, 5, dtype=dtype), random_weight(5, dtype=dtype)
    target = random_labels(4, classes=5)
    if target_dtype.is_floating_point:
        target = random_distribution(4, 5, dtype=target_dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value, gradient = value_and_gradient(lambda z: sim_loss(z, target, torch.eye(5), weight), logits)
        assert value.dtype == F.cross_entropy(logits, target, weight).dtype
    assert gradient.dtype == dtype


@pytest.mark.parametrize("probabilities", [False, True])
def test_autocast_takes_no_digits(probabilities: bool) -> None:
    """The logits that autocast made are used as they are; everything after them is in float32."""
    features, weights = random_logits(6, 8), random_logits(5, 8, seed=1)
    target = random_distribution(6, 5) if probabilities else random_labels(6, classes=5)
    similarity = random_similarity(5)
    with torch.autocast("cpu", torch.bfloat16):
        logits = F.linear(features, weights)
        inside = value_and_gradient(lambda z: sim_loss(z, target, similarity), logits)
    outside = value_and_gradient(lambda z: sim_loss(z, target, similarity), logits)
    in_full = sim_loss(logits.float(), target, similarity)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(
        inside[0], in_full, rtol=29 * 2.0**-24, atol=0
    )  # a rounding a class, two dozen elsewhere
    assert torch.equal(inside[0].to(outside[0].dtype), outside[0])
    assert torch.equal(inside[1], outside[1])


# --- with any other matrix it is the oracle ---------------------------------------------------------------------------


@batched("reduction", REDUCTIONS)
@batched("smoothing", [0.0, 0.1, 1.0])
@batched("weighted", [False, True])
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 5, 3), (2, 5, 3, 2)])
def test_random_matrices(shape: tuple[int, ...], kind: str, weighted: bool, smoothing: float, reduction: str) -> None:
    logits = random_logits(*shape, dtype=torch.float64)
    similarity = random_similarity(5, dtype=torch.float64)
    weight = random_weight(5, dtype=torch.float64) if weighted else None
    if kind == "indices":
        target, ignore_index = random_labels(*label_shape(shape), classes=5), 2
        flat_target = target.flatten()
    else:
        target, ignore_index = random_distribution(*shape, dtype=torch.float64), -100
        flat_target = rows(target)
    losses, gradients, total = oracle.sim_loss(
        rows(logits).numpy(),
        flat_target.numpy(),
        similarity.numpy(),
        None if weight is None else weight.numpy(),
        ignore_index,
        smoothing,
    )
    value, gradient = value_and_gradient(
        lambda z: sim_loss(z, target, similarity, weight, ignore_index, reduction, smoothing), logits, uneven
    )
    upstream = uneven(value).numpy().reshape(-1, 1)
    expected = losses.reshape(label_shape(shape))
    if reduction != "none":
        divisor = total if reduction == "mean" else 1.0
        expected, gradients = losses.sum() / divisor, gradients / divisor
    allowed = (29 + 30) * 2.0**-52  # a class each, two dozen elsewhere, and up to 12 examples in each of two sums
    np.testing.assert_allclose(value.numpy(), expected, rtol=allowed)
    np.testing.assert_allclose(rows(gradient).numpy(), gradients * upstream, rtol=0, atol=2 * allowed)


def rows(tensor: Tensor) -> Tensor:
    """Return one row an example, by a way that is not the implementation's."""
    if tensor.ndim == 1:
        return tensor.reshape(1, -1)
    return torch.stack([tensor[:, c].flatten() for c in range(tensor.shape[1])], dim=1)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 4, 3)])
def test_gradcheck(shape: tuple[int, ...], weighted: bool, smoothing: float, reduction: str) -> None:
    """Compare with slopes measured by torch.autograd.gradcheck, at its own tolerances."""
    logits = random_logits(*shape, dtype=torch.float64).requires_grad_()
    similarity = random_similarity(4)
    weight = random_weight(4, dtype=torch.float64) if weighted else None
    labels = random_labels(*label_shape(shape), classes=4)
    target = random_distribution(*shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: sim_loss(z, labels, similarity, weight, 1, reduction, smoothing), logits, check_undefined_grad=False
    )
    assert torch.autograd.gradcheck(
        lambda z, t: sim_loss(z, t, similarity, weight, -100, reduction, smoothing), (logits, target)
    )


def test_published_formula_within_its_epsilon() -> None:
    """The authors' code takes -log(sum S p + 1e-8): smaller, by at most log(1 + 1e-8 / sum S p)."""
    logits, labels = random_logits(50, 8, dtype=torch.float64, scale=2), random_labels(50, classes=8)
    similarity = random_similarity(8, dtype=torch.float64)
    share = (logits.softmax(1) * similarity[labels]).sum(1)
    published = -torch.log(share + 1e-8)
    ours = sim_loss(logits, labels, similarity, reduction="none")
    explained = torch.log1p(1e-8 / share)
    assert explained.min() > 1e-9  # it would show
    torch.testing.assert_close(ours - published, explained, rtol=0, atol=32 * 2.0**-52 * ours.max().item())


# --- under torch's other machinery ------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_changes_nothing(use_reentrant: bool) -> None:
    logits, labels, similarity = random_logits(6, 5), random_labels(6, classes=5), random_similarity(5)
    plain = value_and_gradient(lambda z: sim_loss(z, labels, similarity), logits)
    saved = value_and_gradient(
        lambda z: checkpoint(lambda y: sim_loss(y, labels, similarity), z, use_reentrant=use_reentrant), logits
    )
    torch.testing.assert_close(saved, plain, rtol=0, atol=0)


@pytest.mark.parametrize(("scale", "overflows"), [(2.0**6, False), (2.0**40, True)])
def test_a_gradient_scaler_changes_nothing_and_finds_what_overflows(scale: float, overflows: bool) -> None:
    inputs, labels, similarity = random_logits(6, 4), random_labels(6, classes=5), random_similarity(5)

    def step(scaler: torch.amp.GradScaler) -> Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 5)
        optimiser = torch.optim.SGD(layer.parameters(), lr=1.0)
        with torch.autocast("cpu", torch.float16):
            logits = layer(inputs)
            loss = sim_loss(logits, labels, similarity)
        assert (logits.dtype, loss.dtype) == (torch.float16, torch.float32)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        return layer.weight.detach()

    torch.manual_seed(0)
    untrained = torch.nn.Linear(4, 5).weight.detach()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    # To multiply by a power of two rounds nothing, so the steps are the same bits unless something overflows.
    expected = untrained if overflows else step(torch.amp.GradScaler("cpu", enabled=False))
    assert torch.equal(step(scaler), expected)
    assert scaler.get_scale() == (scale / 2 if overflows else scale)
    assert overflows == torch.equal(expected, untrained)


@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_no_gradient_is_made_where_none_is_asked_for(kind: str) -> None:
    logits, similarity = random_logits(6, 5), random_similarity(5)
    target = random_labels(6, classes=5) if kind == "indices" else random_distribution(6, 5)
    value, _ = value_and_gradient(lambda z: sim_loss(z, target, similarity), logits)
    without = sim_loss(logits, target, similarity)
    assert not without.requires_grad
    assert torch.equal(without, value)


# Both are what dynamo says to itself on its way round the branches that depend on data.
def test_compiled_it_gives_the_same_numbers() -> None:
    logits, labels, similarity = random_logits(6, 5), random_labels(6, classes=5), random_similarity(5)
    plain = value_and_gradient(lambda z: sim_loss(z, labels, similarity), logits)
    compiled = torch.compile(sim_loss, backend="aot_eager")
    torch.testing.assert_close(value_and_gradient(lambda z: compiled(z, labels, similarity), logits), plain)


# --- what it refuses --------------------------------------------------------------------------------------------------

LOGITS, LABELS, EYE = torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64), torch.eye(5)
PROBABILITIES = torch.full((4, 5), 0.2)
MATRIX = simmatrix.SimilarityMatrix(np.eye(5, dtype=np.float32), tuple("abcde"))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((LOGITS, LABELS, torch.eye(6)), {}, ValueError, r"\(6, 6\).*\(4, 5\) have 5 classes"),
        ((LOGITS, LABELS, torch.ones(5, 4)), {}, ValueError, r"square.*\(5, 4\)"),
        ((LOGITS, LABELS, torch.ones(5)), {}, ValueError, r"square.*\(5,\)"),
        ((torch.zeros(4, 0), LABELS, torch.ones(0, 0)), {}, ValueError, r"square.*\(0, 0\)"),
        ((LOGITS, LABELS, EYE.numpy()), {}, TypeError, "similarity must be a tensor.*ndarray"),
        ((LOGITS, LABELS, EYE.to_sparse_coo()), {}, TypeError, r"got torch.sparse_coo; call .to_sparse_csr\(\)"),
        ((LOGITS, LABELS, MATRIX), {}, TypeError, r"SimLoss\(matrix\).similarity"),
        ((LOGITS, LABELS.numpy(), EYE), {}, TypeError, "target must be a tensor, got ndarray"),
        ((LOGITS.tolist(), LABELS, EYE), {}, TypeError, "logits must be a tensor, got list"),
        ((LOGITS, LABELS, EYE, [1.0] * 5), {}, TypeError, "weight must be a tensor, got list"),
        ((LOGITS, LABELS, EYE.long()), {}, TypeError, "similarity.*int64"),
        ((LOGITS, LABELS, Toeplitz(torch.ones(11))), {}, ValueError, r"\(6, 6\).*\(4, 5\) have 5 classes"),
        ((LOGITS, LABELS, Toeplitz(torch.ones(8))), {}, ValueError, r"2 C - 1"),
        ((LOGITS, LABELS, Toeplitz(torch.ones(9).to("meta"))), {}, RuntimeError, "similarity is on meta"),
        ((LOGITS, LABELS, sparse_of(torch.eye(4))), {}, ValueError, r"\(4, 4\).*\(4, 5\) have 5 classes"),
        ((LOGITS, LABELS, EYE.to("meta")), {}, RuntimeError, "similarity is on meta.*logits are on cpu"),
        ((LOGITS, LABELS.to("meta"), EYE), {}, RuntimeError, "target is on meta"),
        ((LOGITS, LABELS, EYE, torch.ones(5).to("meta")), {}, RuntimeError, "weight is on meta"),
        ((LOGITS, LABELS, EYE.clone().requires_grad_()), {}, RuntimeError, "similarity gets no gradient"),
        ((LOGITS, LABELS, EYE, torch.ones(5, requires_grad=True)), {}, RuntimeError, "weight gets no gradient"),
        ((LOGITS, LABELS, EYE, torch.ones(4)), {}, ValueError, r"weight.*\(5,\).*\(4,\)"),
        ((LOGITS, LABELS, EYE, torch.ones(5, dtype=torch.int64)), {}, TypeError, "weight.*int64"),
        ((LOGITS.long(), LABELS, EYE), {}, TypeError, "logits.*int64"),
        ((torch.tensor(1.0), LABELS, EYE), {}, ValueError, "single number"),
        ((LOGITS, LABELS[:3], EYE), {}, ValueError, r"\(4,\).*got \(3,\)"),
        ((LOGITS[0], LABELS[:1], EYE), {}, ValueError, r"\(\).*got \(1,\)"),
        ((torch.zeros(2, 5, 3), torch.zeros(2, 4).long(), EYE), {}, ValueError, r"\(2, 3\).*got \(2, 4\)"),
        ((LOGITS, LABELS.int(), EYE), {}, TypeError, "int64 or torch.uint8, got torch.int32"),
        ((LOGITS, LABELS.float(), EYE), {}, TypeError, "got torch.float32"),
        ((LOGITS, PROBABILITIES.long(), EYE), {}, TypeError, "class probabilities.*int64"),
        ((LOGITS, PROBABILITIES, EYE), {"ignore_index": 0}, ValueError, "not supported for class probabilities"),
        ((LOGITS, LABELS, EYE), {"reduction": "average"}, ValueError, "'average' is not a valid value for reduction"),
        ((LOGITS, LABELS, EYE), {"label_smoothing": 1.5}, ValueError, "label_smoothing.*1.5"),
        ((LOGITS, LABELS, EYE), {"label_smoothing": -0.1}, ValueError, "label_smoothing.*-0.1"),
        ((LOGITS, LABELS, EYE), {"label_smoothing": float("nan")}, ValueError, "label_smoothing.*nan"),
    ],
)
def test_what_does_not_fit_is_refused(
    arguments: tuple[Tensor, ...], options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        sim_loss(*arguments, **options)
    assert isinstance(caught.value, RuntimeError)  # as torch raises for most of these


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("label", [5, 99, -1, -101])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 5, 3)])
def test_a_label_out_of_bounds_is_an_index_error(shape: tuple[int, ...], label: int, smoothing: float) -> None:
    """The kind of error is that of F.cross_entropy."""
    target = random_labels(*label_shape(shape), classes=5)
    target.view(-1)[-1] = label
    with pytest.raises(IndexError):
        F.cross_entropy(torch.zeros(shape), target, label_smoothing=smoothing)
    with pytest.raises(IndexError, match=rf"target {label} is out of bounds: classes are 0 to 4"):
        sim_loss(torch.zeros(shape), target, EYE, label_smoothing=smoothing)
    assert sim_loss(torch.zeros(shape), target, EYE, ignore_index=label, reduction="sum").isfinite()
