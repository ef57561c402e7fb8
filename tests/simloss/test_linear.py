"""The loss of a linear layer's logits. Expectations come from tests/oracle.py and from logits that are held whole.

Where a result is compared to the last digits, all numbers are multiples of 1/8 and so small that the logits are exact:
what is left are the roundings of the loss, of its gradient, and of the sums that the layer makes of that.
"""

import copy
import io
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

import simloss.linear
import simmatrix
from simloss import Toeplitz, sim_loss
from simloss.linear import LinearSimLoss, linear_sim_loss
from simmatrix.errors import ClassOrderError
from tests import oracle
from tests.batch import batched
from tests.simloss.cases import (
    assert_within_budget,
    eager_sim_loss,
    in_form,
    random_labels,
    random_logits,
    random_similarity,
    random_weight,
    uneven,
)

COUNT, CLASSES, FEATURES = 13, 5, 4
REDUCTIONS = ["none", "mean", "sum"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def layer(
    count: int = COUNT,
    classes: int = CLASSES,
    features: int = FEATURES,
    *,
    bias: bool = True,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor | None]:
    """Return input, weight and bias of a linear layer, multiples of 1/8."""
    shapes = [(count, features), (classes, features), (classes,)]
    parts = [random_logits(*shape, seed=seed, scale=1.0).mul(8).round().div(8) for seed, shape in enumerate(shapes)]
    return [part.to(dtype) for part in parts[: 3 if bias else 2]] + [None] * (not bias)


def value_and_gradients(
    loss: Loss, parts: list[Tensor | None], upstream: Callable[[Tensor], Tensor] = torch.ones_like
) -> list[Tensor | None]:
    """Return the loss of a layer and the gradients of its parts, for an upstream gradient made from the value."""
    leaves = [None if part is None else part.detach().clone().requires_grad_() for part in parts]
    value = loss(*leaves)
    value.backward(upstream(value.detach()))
    return [value.detach(), *(leaf if leaf is None else leaf.grad for leaf in leaves)]


def fused(labels: Tensor, similarity: object, **options: object) -> Loss:
    return lambda x, w, b: linear_sim_loss(x, w, labels, similarity, linear_bias=b, **options)


def whole(labels: Tensor, similarity: object, **options: object) -> Loss:
    """Return the same loss with all logits in memory."""
    return lambda x, w, b: sim_loss(F.linear(x, w, b), labels, similarity, **options)


def assert_gradients(
    ours: list[Tensor | None], parts: list[Tensor | None], slopes: Tensor, errors: Tensor, rounding: float = 0.0
) -> None:
    """Fail if a gradient of the layer is further from that of exact slopes of the logits than errors in these explain.

    And than one rounding of what is handed on as a result.
    """
    x, w, b = (None if part is None else part.double() for part in parts)
    expected = [slopes @ w, slopes.T @ x, slopes.sum(0)]
    allowed = [errors @ w.abs(), errors.T @ x.abs(), errors.sum(0)]
    for mine, true, error, part in zip(ours, expected, allowed, (x, w, b), strict=True):
        if part is None:
            assert mine is None
        else:
            assert ((mine.double() - true).abs() <= error + rounding * true.abs()).all()


def slopes_of(loss: Loss, parts: list[Tensor], upstream: Callable[[Tensor], Tensor] = torch.ones_like) -> Tensor:
    """Return the gradient of the logits, from float64, where all logits are held."""
    x, w, b = (part.double() for part in parts)
    logits = F.linear(x, w, b).requires_grad_()
    value = loss(logits, torch.eye(w.shape[0], dtype=torch.float64), None)
    value.backward(upstream(value.detach()))
    return logits.grad


def counted(slopes: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what slopes, and sums over rows or classes of products with them, may err by.

    Each class is a rounding in each of two sums over a row, there are two dozen more, and 4 for the scale and the
    upstream gradient; all in proportion to the largest slope of the row. Then there is the sum.
    """
    roundings = slopes.shape[1] + 28 + max(slopes.shape)
    return roundings * torch.finfo(dtype).eps * slopes.abs().amax(1, keepdim=True).expand_as(slopes)


@pytest.fixture(params=[1, 4, 13, 100], ids="{} rows at a time".format)
def height(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    return chunks_of(request.param, monkeypatch)


def chunks_of(height: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(simloss.linear, "_height", lambda *_: height)
    return height


# --- the numbers ------------------------------------------------------------------------------------------------------


def assert_is_oracle(
    parts: list[Tensor | None], similarity: object, dense: Tensor, weight: Tensor | None, reduction: str
) -> None:
    """Compare loss and gradients, for an uneven upstream gradient, where class 2 is ignored."""
    x, w, b = parts
    labels = random_labels(len(x), classes=len(w))
    options = {"weight": weight, "ignore_index": 2, "reduction": reduction}
    value, *gradients = value_and_gradients(fused(labels, similarity, **options), parts, uneven)
    logits = F.linear(x.double(), w.double(), None if b is None else b.double())
    weights = None if weight is None else weight.numpy()
    losses, slopes, total = oracle.sim_loss(logits.numpy(), labels.numpy(), dense.numpy(), weights, 2)
    divisor = total if reduction == "mean" else 1.0
    slopes = torch.from_numpy(slopes) / divisor * uneven(value).reshape(-1, 1)
    expected = losses if reduction == "none" else losses.sum() / divisor
    allowed = (len(w) + 28 + len(x)) * torch.finfo(x.dtype).eps
    np.testing.assert_allclose(value.numpy(), expected, rtol=allowed)
    assert_gradients(gradients, parts, slopes, counted(slopes, x.dtype))


@batched("reduction", REDUCTIONS)
@batched("weighted", [False, True])
@batched("bias", [False, True])
@batched("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_values_and_gradients_are_those_of_the_oracle(
    height: int, form: str, dtype: torch.dtype, bias: bool, weighted: bool, reduction: str
) -> None:
    similarity, dense = in_form(form, CLASSES)
    weight = random_weight(CLASSES) if weighted else None
    assert_is_oracle(layer(bias=bias, dtype=dtype), similarity, dense, weight, reduction)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("count", "classes", "features"), [(1, 2, 1), (289, 100, 16), (50, 1001, 8)])
def test_more_rows_and_classes(
    monkeypatch: pytest.MonkeyPatch, count: int, classes: int, features: int, dtype: torch.dtype
) -> None:
    chunks_of(20, monkeypatch)
    similarity = random_similarity(classes)
    assert_is_oracle(layer(count, classes, features, dtype=dtype), similarity, similarity, None, "mean")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_gradcheck(monkeypatch: pytest.MonkeyPatch, bias: bool, weighted: bool, reduction: str) -> None:
    """Compare with slopes measured by torch.autograd.gradcheck, at its own tolerances."""
    chunks_of(2, monkeypatch)
    labels, similarity = random_labels(5, classes=4), random_similarity(4)
    weight = random_weight(4, dtype=torch.float64) if weighted else None
    options = {"weight": weight, "reduction": reduction, "ignore_index": 1}
    leaves = [part.requires_grad_() for part in layer(5, 4, 3, bias=bias) if part is not None]
    function = fused(labels, similarity, **options)
    assert torch.autograd.gradcheck(
        lambda x, w, b=None: function(x, w, b), leaves, check_undefined_grad=False, nondet_tol=0.0
    )


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_a_csr_tensor_is_a_form_too() -> None:
    labels, similarity = random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)
    of_csr = fused(labels, similarity.to_sparse_csr())(*layer())
    assert torch.equal(of_csr, fused(labels, in_form("sparse", CLASSES)[0])(*layer()))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("count", "classes", "features"), [(1, 2, 1), (7, 10, 8), (289, 100, 16), (50, 1001, 8)])
def test_half_precision_is_no_further_from_float64_than_eager_code(
    monkeypatch: pytest.MonkeyPatch, count: int, classes: int, features: int, dtype: torch.dtype, reduction: str
) -> None:
    chunks_of(20, monkeypatch)
    parts = [
        random_logits(*shape, seed=seed, dtype=dtype, scale=1.0)
        for seed, shape in enumerate([(count, features), (classes, features), (classes,)])
    ]
    labels, similarity = random_labels(count, classes=classes), random_similarity(classes)
    eager_reduced = {"none": lambda v: v, "mean": Tensor.mean, "sum": Tensor.sum}[reduction]

    def eager(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return eager_reduced(eager_sim_loss(F.linear(x, w, b), labels, similarity))

    ours = value_and_gradients(fused(labels, similarity, reduction=reduction), parts)
    budgets = value_and_gradients(eager, parts)
    exact = value_and_gradients(whole(labels, similarity, reduction=reduction), [part.double() for part in parts])
    for mine, budget, true in zip(ours, budgets, exact, strict=True):
        assert mine.dtype == dtype
        assert_within_budget(mine, budget.double(), true)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("rows_at_a_time", [1, 601])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_the_layer_are_summed_in_float32(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, rows_at_a_time: int, autocast: bool
) -> None:
    """With no class like another and logits of 0, each of 2501 rows adds -1/2 and 1/2 exactly.

    In half precision a sum stops growing once the next addend is half an ulp, and that of 601 rows is rounded.
    """
    chunks_of(rows_at_a_time, monkeypatch)
    held = torch.float32 if autocast else dtype
    parts = [torch.ones(2501, 1, dtype=held), torch.zeros(2, 1, dtype=held), torch.zeros(2, dtype=held)]
    labels = torch.zeros(2501, dtype=torch.int64)
    with torch.autocast("cpu", dtype, enabled=autocast):
        results = value_and_gradients(fused(labels, torch.eye(2), reduction="sum"), parts)
    expected = torch.tensor([-1250.5, 1250.5]).to(held)
    assert torch.equal(results[2], expected.unsqueeze(1))
    assert torch.equal(results[3], expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_in_float16_take_the_scale_of_a_gradscaler_before_they_are_rounded(reduction: str) -> None:
    """Before it, many are below half of the smallest float16."""
    parts = [part.half() for part in layer(100, 50, 2)]
    parts[1] *= 2.0**-12
    labels, similarity = random_labels(100, classes=50), random_similarity(50)
    share = 1.0 if reduction == "mean" else 0.01

    def loss(of: Callable[..., Loss]) -> Loss:
        return lambda *leaves: share * of(labels, similarity, reduction=reduction)(*leaves)

    def upstream(value: Tensor) -> Tensor:
        return torch.full_like(value, 2.0**15)

    _, *ours = value_and_gradients(lambda *leaves: loss(fused)(*leaves).float(), parts, upstream)
    slopes = slopes_of(loss(whole), parts, upstream)
    # The share is rounded to float16 twice, each time it meets the upstream gradient.
    errors = counted(slopes, torch.float32) + 2.0**-10 * slopes.abs()
    assert_gradients(ours, parts, slopes, errors, rounding=2.0**-11)


@pytest.mark.parametrize("options", [{"weight": 1e-7 * random_weight(64), "reduction": "sum"}, {"reduction": "none"}])
def test_logits_in_float16_keep_slopes_that_are_too_small_for_it(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    """On a CPU the logits would be in float32. Times the weight or what comes upstream, most slopes are below 2^-25."""
    monkeypatch.setattr(simloss.linear, "_chunk_dtype", lambda dtype, _: dtype)
    chunks_of(20, monkeypatch)
    small = 1e-7

    def upstream(value: Tensor) -> Tensor:
        """Return what is small for single losses; but large for the first, which is ignored."""
        return torch.tensor([1e4] + [small] * 49).to(value.dtype) if value.ndim else torch.ones_like(value)

    parts = layer(50, 64, 4, dtype=torch.float32)
    labels = random_labels(50, classes=64)
    labels[0] = -100
    loss = {"labels": labels, "similarity": random_similarity(64)}
    with torch.autocast("cpu", torch.float16):
        value, *ours = value_and_gradients(fused(**loss, **options), parts, upstream)
    true_value = whole(**loss, **options)(*(part.double() for part in parts))
    torch.testing.assert_close(value.double(), true_value, rtol=(64 + 28 + 50) * 2.0**-23, atol=0)
    slopes = slopes_of(whole(**loss, **options), parts, upstream)
    assert (slopes.abs() < 2.0**-25).double().mean() > 0.9
    # A slope is rounded to 11 digits, or to 2^-24 where the largest is 1; and so is a gradient of the input.
    assert_gradients(ours, parts, slopes, slopes.abs() * 2.0**-10 + 2 * small * 2.0**-24, rounding=2.0**-10)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_identity_gives_cross_entropy(height: int, reduction: str) -> None:
    labels = random_labels(COUNT, classes=CLASSES)
    options = {"reduction": reduction, "ignore_index": 3}
    ours = value_and_gradients(fused(labels, torch.eye(CLASSES), **options), layer(), uneven)
    slopes = slopes_of(lambda x, w, b: F.cross_entropy(F.linear(x, w, b), labels, **options), layer(), uneven)
    assert_gradients(ours[1:], layer(), slopes, counted(slopes, torch.float64))
    peer = F.cross_entropy(F.linear(*layer()), labels, **options)
    torch.testing.assert_close(ours[0], peer, rtol=2 * (CLASSES + 28 + COUNT) * 2.0**-52, atol=0)


# --- shapes and rows that are special ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_one_example_without_a_batch(reduction: str) -> None:
    x, w, b = layer(1)
    labels, similarity = torch.tensor(2), random_similarity(CLASSES)
    ours = value_and_gradients(fused(labels, similarity, reduction=reduction), [x[0], w, b])
    batch = value_and_gradients(fused(labels.unsqueeze(0), similarity, reduction=reduction), [x, w, b])
    assert ours[0].shape == ()
    for mine, one in zip(ours, batch, strict=True):
        assert torch.equal(mine, one.reshape(mine.shape))


@pytest.mark.parametrize(("reduction", "value"), [("none", []), ("mean", torch.nan), ("sum", 0.0)])
def test_no_examples(reduction: str, value: object) -> None:
    ours = value_and_gradients(
        fused(torch.empty(0, dtype=torch.int64), random_similarity(CLASSES), reduction=reduction), layer(0)
    )
    torch.testing.assert_close(ours[0], torch.tensor(value).double(), rtol=0, atol=0, equal_nan=True)
    for gradient, shape in zip(ours[1:], [(0, FEATURES), (CLASSES, FEATURES), (CLASSES,)], strict=True):
        assert torch.equal(gradient, torch.zeros(shape).double())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
def test_ignored_rows_count_nothing_whatever_is_in_them(
    monkeypatch: pytest.MonkeyPatch, rubbish: float, reduction: str, dtype: torch.dtype
) -> None:
    chunks_of(3, monkeypatch)
    x, w, b = layer(6, dtype=dtype)
    x[::2] = rubbish
    labels, similarity = torch.tensor([-100, 1, -100, 0, -100, 4]), random_similarity(CLASSES)
    ours = value_and_gradients(
        fused(labels, similarity, reduction=reduction),
        [x, w, b],
        lambda v: v if not v.ndim else torch.tensor([torch.inf, 1.0] * 3, dtype=dtype),
    )
    assert all(part.isfinite().all() for part in ours)
    assert torch.equal(ours[1][::2], torch.zeros(3, FEATURES, dtype=dtype))
    assert (ours[1][1::2] != 0).any(1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_examples_ignored(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    """NaN for the mean, and zero gradients nevertheless."""
    monkeypatch.setattr(simloss.linear, "_chunk_dtype", lambda dtype, _: dtype)
    labels, similarity = torch.full((COUNT,), -100), random_similarity(CLASSES)
    value, *gradients = value_and_gradients(fused(labels, similarity), layer(dtype=dtype))
    assert value.isnan()
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_upstream_gives_gradients_of_zero(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(simloss.linear, "_chunk_dtype", lambda dtype, _: dtype)
    loss = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES), reduction="none")
    _, *gradients = value_and_gradients(loss, layer(dtype=dtype), torch.zeros_like)
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)


def test_not_a_number_goes_through() -> None:
    x, w, b = layer()
    x[4, 1] = torch.nan
    labels, similarity = random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)
    value, to_input, to_weight, to_bias = value_and_gradients(fused(labels, similarity, reduction="none"), [x, w, b])
    assert value.isnan().nonzero().tolist() == [[4]]
    assert to_input.isnan().all(1).nonzero().tolist() == [[4]]
    assert to_weight.isnan().all()
    assert to_bias.isnan().all()


def test_strides_do_not_matter() -> None:
    labels, similarity = random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)
    x, w, b = layer()
    strided = [x.T.contiguous().T, w.repeat_interleave(2, 0)[::2], b.repeat_interleave(3)[::3]]
    assert not any(part.is_contiguous() for part in strided)
    leaves = [part.requires_grad_() for part in strided]
    value = linear_sim_loss(leaves[0], leaves[1], labels.repeat_interleave(2)[::2], similarity, linear_bias=leaves[2])
    value.backward()
    expected = value_and_gradients(fused(labels, similarity), layer())
    for mine, true in zip([value.detach(), *(leaf.grad for leaf in leaves)], expected, strict=True):
        torch.testing.assert_close(mine, true, rtol=0, atol=COUNT * 4 * 2.0**-52)


def test_indices_may_be_bytes() -> None:
    labels, similarity = random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)
    assert torch.equal(fused(labels.byte(), similarity)(*layer()), fused(labels, similarity)(*layer()))


# --- autograd ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("wanted", list(product([False, True], repeat=3)), ids=str)
def test_only_gradients_that_are_wanted_are_made(
    monkeypatch: pytest.MonkeyPatch, wanted: tuple[bool, ...], reduction: str
) -> None:
    chunks_of(4, monkeypatch)
    labels, similarity = random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)
    value, *all_of_them = value_and_gradients(fused(labels, similarity, reduction=reduction), layer())
    made, slopes = [], []
    losses, row_losses = simloss.linear._losses, simloss.linear.row_losses
    monkeypatch.setattr(simloss.linear, "_losses", lambda *arguments: made.append(losses(*arguments)) or made[-1])
    monkeypatch.setattr(
        simloss.linear, "row_losses", lambda *arguments: slopes.append(arguments[-1]) or row_losses(*arguments)
    )
    leaves = [part.requires_grad_(is_wanted) for part, is_wanted in zip(layer(), wanted, strict=True)]
    loss = fused(labels, similarity, reduction=reduction)(*leaves)
    assert torch.equal(loss, value)
    assert loss.requires_grad == any(wanted)
    if any(wanted):
        loss.backward(torch.ones_like(loss))
    # For a sum all gradients are made in the forward pass; for single losses in the backward pass, if there is one.
    passes = [wanted] if reduction != "none" else [(False, False, False), wanted][: 1 + any(wanted)]
    assert [tuple(gradient is not None for gradient in gradients) for _, gradients in made] == passes
    chunks = -(-COUNT // 4)
    assert [place is not None for place in slopes] == [any(asked) for asked in passes for _ in range(chunks)]
    for leaf, gradient, is_wanted in zip(leaves, all_of_them, wanted, strict=True):
        assert torch.equal(leaf.grad, gradient) if is_wanted else leaf.grad is None
    with torch.no_grad():
        fused(labels, similarity, reduction=reduction)(*leaves)
    assert made.pop()[1] == [None] * 3


def test_without_gradients_the_loss_is_the_same() -> None:
    labels, similarity = random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)
    leaves = [part.requires_grad_() for part in layer()]
    with torch.no_grad():
        without = fused(labels, similarity)(*leaves)
    assert not without.requires_grad
    assert torch.equal(without, fused(labels, similarity)(*leaves))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_given_is_modified(dtype: torch.dtype, reduction: str) -> None:
    given = [*layer(dtype=dtype), random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES)]
    copies = [tensor.clone() for tensor in given]
    value = fused(*given[3:], reduction=reduction)(*(part.requires_grad_() for part in given[:3]))
    value_before, upstream = value.detach().clone(), torch.full_like(value, 0.5)
    value.backward(upstream, retain_graph=True)
    value.backward(upstream)
    for tensor, before in zip([*given, value, upstream], [*copies, value_before, 0.5], strict=True):
        assert (tensor.detach() == before).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_graph_that_is_kept_gives_the_same_gradients_again(dtype: torch.dtype, reduction: str) -> None:
    leaves = [part.requires_grad_() for part in layer(dtype=dtype)]
    value = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES), reduction=reduction)(*leaves)
    upstream = uneven(value.detach())
    value.backward(upstream, retain_graph=True)
    first = [leaf.grad.clone() for leaf in leaves]
    value.backward(upstream, retain_graph=True)
    for leaf, gradient in zip(leaves, first, strict=True):
        assert torch.equal(leaf.grad, 2 * gradient)
        leaf.grad = None
    value.backward(2 * upstream)
    for leaf, gradient in zip(leaves, first, strict=True):
        assert torch.equal(leaf.grad, 2 * gradient)
    with pytest.raises(RuntimeError, match="second time"):
        value.backward(upstream)


@pytest.mark.parametrize("upstream", [1.0, -0.25, 1024.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_upstream_gradient_multiplies_all(upstream: float, reduction: str) -> None:
    loss = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES), reduction=reduction)
    _, *once = value_and_gradients(loss, layer())
    _, *scaled = value_and_gradients(loss, layer(), lambda value: torch.full_like(value, upstream))
    for gradient, other in zip(once, scaled, strict=True):
        assert torch.equal(upstream * gradient, other)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_second_derivatives_are_refused(reduction: str) -> None:
    leaves = [part.requires_grad_() for part in layer()]
    value = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES), reduction=reduction)(*leaves)
    for total in (value.sum(), value.square().sum()):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(total, leaves, create_graph=True)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_changes_nothing(use_reentrant: bool) -> None:
    loss = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES))
    plain = value_and_gradients(loss, layer())
    saved = value_and_gradients(lambda *parts: checkpoint(loss, *parts, use_reentrant=use_reentrant), layer())
    torch.testing.assert_close(saved, plain, rtol=0, atol=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_autocast_computes_the_logits_in_its_dtype_and_nothing_else(half: torch.dtype, reduction: str) -> None:
    """The logits are exact in bfloat16 too, with inputs like these: multiples of 1/2, two features."""
    parts = [part.mul(2).round().div(2) for part in layer(features=2, dtype=torch.float32)]
    loss = {"labels": random_labels(COUNT, classes=CLASSES), "similarity": random_similarity(CLASSES)}
    with torch.autocast("cpu", half):
        value, *ours = value_and_gradients(fused(**loss, reduction=reduction), parts, uneven)
        assert value.dtype == whole(**loss, reduction=reduction)(*parts).dtype == torch.float32
    assert {gradient.dtype for gradient in ours} == {torch.float32}
    exact = whole(**loss, reduction=reduction)(*(part.double() for part in parts))
    torch.testing.assert_close(value.double(), exact, rtol=(CLASSES + 28 + COUNT) * 2.0**-23, atol=0)
    slopes = slopes_of(whole(**loss, reduction=reduction), parts, uneven)
    # The slopes are rounded to it, and the gradient of the input, a product in it; on a CPU in float32 for float16.
    u = torch.finfo(half).eps / 2 if half == torch.bfloat16 else 0.0
    errors = u * slopes.abs() + counted(slopes, torch.float32)
    assert_gradients(ours, parts, slopes, errors, rounding=u)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_under_autocast_each_part_has_its_own_dtype(dtype: torch.dtype) -> None:
    x, w, b = layer(dtype=torch.float32)
    parts = [x.to(dtype), w, b.bfloat16()]
    loss = {"labels": random_labels(COUNT, classes=CLASSES), "similarity": random_similarity(CLASSES)}
    with torch.autocast("cpu", torch.bfloat16):
        ours, peer = value_and_gradients(fused(**loss), parts), value_and_gradients(whole(**loss), parts)
    assert (
        [part.dtype for part in ours]
        == [part.dtype for part in peer]
        == [
            torch.float32,
            dtype,
            torch.float32,
            torch.bfloat16,
        ]
    )
    torch.testing.assert_close(ours[0], peer[0], rtol=(CLASSES + 28 + COUNT) * 2.0**-23, atol=0)


def test_autocast_leaves_float64_alone() -> None:
    loss = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES))
    with torch.autocast("cpu", torch.bfloat16):
        inside = value_and_gradients(loss, layer())
    torch.testing.assert_close(inside, value_and_gradients(loss, layer()), rtol=0, atol=0)


# --- under torch.compile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_compiled_as_one_graph_it_gives_the_same_numbers(reduction: str, dtype: torch.dtype, bias: bool) -> None:
    torch.compiler.reset()
    parts = layer(bias=bias, dtype=dtype)
    loss = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES), reduction=reduction, ignore_index=2)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    plain = value_and_gradients(loss, parts, uneven)
    for mine, true in zip(value_and_gradients(compiled, parts, uneven), plain, strict=True):
        assert mine is true if true is None else torch.equal(mine, true)


def test_compiled_it_makes_the_gradients_of_single_losses_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    made = []
    losses = simloss.linear._losses
    monkeypatch.setattr(simloss.linear, "_losses", lambda *arguments: made.append(arguments[-1]) or losses(*arguments))
    loss = fused(random_labels(COUNT, classes=CLASSES), random_similarity(CLASSES), reduction="none")
    leaves = [part.requires_grad_(is_wanted) for part, is_wanted in zip(layer(), (True, False, True), strict=True)]
    value = torch.compile(loss, backend="aot_eager", fullgraph=True)(*leaves)
    value.sum().backward()
    assert made == [[False, False, False], [True, False, True]]


@pytest.mark.parametrize("is_summed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_operator_keeps_to_what_torch_asks_of_operators(dtype: torch.dtype, bias: bool, is_summed: bool) -> None:
    parts = [None if part is None else part.requires_grad_() for part in layer(bias=bias, dtype=dtype)]
    labels, similarity = random_labels(COUNT, classes=CLASSES), [random_similarity(CLASSES)]
    wanted = [is_summed, is_summed, is_summed and bias]
    for mix in (None, torch.tensor([0.4, 0.05], dtype=torch.float64)):
        arguments = (*parts, labels, "dense", similarity, -100, None, mix, dtype, is_summed, wanted)
        torch.library.opcheck(torch.ops.simloss.linear_losses.default, arguments)


# --- memory -----------------------------------------------------------------------------------------------------------


def peak_of(loss: Loss, count: int, classes: int, features: int) -> int:
    """Return how many bytes the forward and the backward pass hold at most beside what is there before, in all tensors.

    As torch's allocator tells its profiler, allocation by allocation.
    """
    leaves = [part.requires_grad_() for part in layer(count, classes, features, dtype=torch.float32)]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        value = loss(*leaves)
        value.backward(torch.ones_like(value))
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(held.max())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_memory_does_not_grow_with_the_logits(monkeypatch: pytest.MonkeyPatch, reduction: str) -> None:
    """Eight times the rows: what grows are the gradient of the input, and some numbers a row."""
    height, classes, features = chunks_of(64, monkeypatch), 2000, 8
    similarity = Toeplitz(0.9 ** torch.arange(1 - classes, classes).abs().float())
    few, many = 512, 4096
    labels = random_labels(many, classes=classes)
    peaks = {
        count: peak_of(fused(labels[:count], similarity, reduction=reduction), count, classes, features)
        for count in (few, many)
    }
    # Losses, scale, upstream gradient and what is made of them: 16 numbers of up to 8 bytes a row are plenty. A row of
    # logits has 8000 bytes.
    assert peaks[many] - peaks[few] <= (many - few) * (4 * features + 16 * 8)
    assert peaks[many] < 4 * many * classes / 8
    assert peaks[few] >= 4 * height * classes  # the chunk has been seen
    assert peak_of(whole(labels, similarity, reduction=reduction), many, classes, features) > 4 * many * classes


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("classes", [10, 1000, 100_000, 1_000_000])
@pytest.mark.parametrize("count", [1, 10**9])
def test_a_chunk_takes_no_more_than_the_workspace(count: int, classes: int, dtype: torch.dtype, device: str) -> None:
    """But on a GPU has as many rows as its products need."""
    rows = simloss.linear._height(count, classes, dtype, torch.device(device))
    fitting = 2**28 // (classes * dtype.itemsize)
    assert rows <= fitting or (device == "cuda" and rows == 2048)
    assert rows == fitting or device == "cuda" or classes < 1_000_000
    assert rows >= min(512, fitting)


# --- what it refuses --------------------------------------------------------------------------------------------------

X, W, B = torch.zeros(4, 3), torch.zeros(5, 3), torch.zeros(5)
LABELS, EYE = torch.zeros(4, dtype=torch.int64), torch.eye(5)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((torch.zeros(2, 4, 3), W, LABELS, EYE), {}, ValueError, r"input.*\(2, 4, 3\)"),
        ((torch.tensor(1.0), W, LABELS, EYE), {}, ValueError, r"input.*\(\)"),
        ((X, W[:, :2], LABELS, EYE), {}, ValueError, r"input of shape \(4, 3\).*\(C, 3\).*got \(5, 2\)"),
        ((X, torch.zeros(5, 2, 3), LABELS, EYE), {}, ValueError, r"input of shape \(4, 3\).*got \(5, 2, 3\)"),
        ((X, W, LABELS, EYE), {"linear_bias": B[:4]}, ValueError, r"\(5, 3\).*\(5,\); got \(4,\)"),
        ((X, W, LABELS, torch.eye(6)), {}, ValueError, r"\(6, 6\).*\(4, 5\) have 5 classes"),
        ((X, W, LABELS, torch.ones(5, 4)), {}, ValueError, r"square.*\(5, 4\)"),
        ((X, W, LABELS, EYE.numpy()), {}, TypeError, "similarity must be a tensor.*ndarray"),
        ((X, W, LABELS, EYE.clone().requires_grad_()), {}, RuntimeError, "similarity gets no gradient"),
        ((X, W, LABELS[:3], EYE), {}, ValueError, r"\(4,\).*got \(3,\)"),
        ((X[0], W, LABELS, EYE), {}, ValueError, r"\(\).*got \(4,\)"),
        ((X, W, torch.zeros(4, 5), EYE), {}, ValueError, r"class probabilities call sim_loss\(F.linear"),
        ((X, W, torch.zeros(4), EYE), {}, ValueError, r"class probabilities call sim_loss\(F.linear"),
        ((X, W, torch.zeros(4, 5, dtype=torch.int64), EYE), {}, ValueError, r"\(4,\), one class.*got \(4, 5\)"),
        ((X, W, LABELS.int(), EYE), {}, TypeError, "int32"),
        ((X, W, LABELS, EYE), {"label_smoothing": 0.1}, ValueError, r"label smoothing call sim_loss\(F.linear"),
        ((X, W, LABELS, EYE), {"label_smoothing": 1.1}, ValueError, "between 0.0 and 1.0"),
        ((X, W, LABELS, EYE), {"reduction": "average"}, ValueError, "'average' is not a valid value"),
        ((X, W, LABELS, EYE), {"weight": torch.ones(4)}, ValueError, r"weight.*\(5,\).*\(4,\)"),
        ((X, W, LABELS, EYE), {"weight": B.clone().requires_grad_()}, RuntimeError, "weight gets no gradient"),
        ((X.long(), W.long(), LABELS, EYE), {}, TypeError, "int64"),
        ((X.half(), W, LABELS, EYE), {}, TypeError, "linear_weight.*float16 and torch.float32"),
        ((X, W, LABELS, EYE), {"linear_bias": B.double()}, TypeError, "linear_bias.*float32 and torch.float64"),
        ((X, W.to("meta"), LABELS, EYE), {}, RuntimeError, "linear_weight is on meta.*input is on cpu"),
        ((X, W, LABELS, EYE), {"linear_bias": B.to("meta")}, RuntimeError, "linear_bias is on meta"),
        ((X, W, LABELS.to("meta"), EYE), {}, RuntimeError, "target is on meta"),
        ((X, W, LABELS, EYE.to("meta")), {}, RuntimeError, "similarity is on meta"),
        ((X, W, LABELS + 5, EYE), {}, IndexError, "target 5 is out of bounds"),
    ],
)
def test_what_does_not_fit_is_refused(
    arguments: tuple[Tensor, ...], options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        linear_sim_loss(*arguments, **options)
    assert isinstance(caught.value, (RuntimeError, IndexError))  # as torch raises


# --- the module -------------------------------------------------------------------------------------------------------

NAMES = ("cat", "lynx", "oak")
VALUES = np.array([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]], dtype=np.float32)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_the_module_computes_what_the_function_does(bias: bool, reduction: str) -> None:
    similarity, weight = random_similarity(CLASSES), random_weight(CLASSES)
    options = {"weight": weight, "reduction": reduction, "ignore_index": 2}
    module = LinearSimLoss(FEATURES, similarity, bias=bias, **options)
    x, labels = layer(dtype=torch.float32)[0], random_labels(COUNT, classes=CLASSES)
    expected = linear_sim_loss(x, module.linear.weight, labels, similarity, linear_bias=module.linear.bias, **options)
    assert (module.linear.bias is not None) == bias
    assert torch.equal(module(x, labels), expected)


def test_checkpoints_are_those_of_the_peer() -> None:
    module = LinearSimLoss(FEATURES, random_similarity(CLASSES), bias=True, weight=random_weight(CLASSES))
    assert set(module.state_dict()) == {"linear.weight", "linear.bias", "weight"}
    assert set(LinearSimLoss(FEATURES, random_similarity(CLASSES)).state_dict()) == {"linear.weight"}
    if hasattr(nn, "LinearCrossEntropyLoss"):
        peer = nn.LinearCrossEntropyLoss(FEATURES, CLASSES, bias=True, weight=random_weight(CLASSES))
        peer.load_state_dict(module.state_dict())
        module.load_state_dict(peer.state_dict())


def test_it_takes_the_place_of_a_layer_and_a_loss() -> None:
    head, similarity = nn.Linear(FEATURES, CLASSES), random_similarity(CLASSES)
    module = LinearSimLoss(FEATURES, similarity, bias=True)
    module.linear.load_state_dict(head.state_dict())
    x, labels = layer(dtype=torch.float32)[0], random_labels(COUNT, classes=CLASSES)
    assert torch.equal(module.linear(x), head(x))
    module(x, labels).backward()
    sim_loss(head(x), labels, similarity).backward()
    for mine, theirs in zip(module.parameters(), head.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=(COUNT + CLASSES + 24) * 4 * 2.0**-24)


def test_casting_leaves_the_similarity_as_it_is() -> None:
    module = LinearSimLoss(FEATURES, random_similarity(CLASSES), weight=random_weight(CLASSES)).bfloat16()
    assert module.similarity.dtype == torch.float32
    assert module.linear.weight.dtype == module.weight.dtype == torch.bfloat16


def test_the_device_is_that_of_all_its_tensors() -> None:
    """But for the meta device, on which the similarity would have no values."""
    module = LinearSimLoss(
        FEATURES, random_similarity(CLASSES), weight=random_weight(CLASSES), device="meta", dtype=torch.float16
    )
    tensors = [module.linear.weight, module.similarity, module.weight]
    assert [tensor.device.type for tensor in tensors] == ["meta", "cpu", "meta"]
    assert [tensor.dtype for tensor in tensors] == [torch.float16, torch.float32, torch.float32]


@pytest.mark.parametrize("classes", [None, ["oak", "cat", "lynx"]])
def test_a_file_gives_the_similarity_in_the_order_of_the_classes(tmp_path: Path, classes: list[str] | None) -> None:
    path = tmp_path / "three.safetensors"
    simmatrix.SimilarityMatrix(VALUES, NAMES).save(path)
    module = LinearSimLoss.from_file(path, FEATURES, classes, bias=True, reduction="sum")
    order = [0, 1, 2] if classes is None else [2, 0, 1]
    assert module.classes == (NAMES if classes is None else tuple(classes))
    assert torch.equal(module.similarity, torch.tensor(VALUES[np.ix_(order, order)]))
    assert module.linear.weight.shape == (3, FEATURES)
    assert module.linear.bias is not None
    assert module.reduction == "sum"
    with pytest.raises(ClassOrderError, match="elm"):
        LinearSimLoss.from_file(path, FEATURES, ["cat", "lynx", "elm"])


def test_copies_and_pickles_compute_the_same() -> None:
    module = LinearSimLoss(FEATURES, random_similarity(CLASSES), bias=True, reduction="sum")
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    x, labels = layer(dtype=torch.float32)[0], random_labels(COUNT, classes=CLASSES)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert torch.equal(other(x, labels), module(x, labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"label_smoothing": 0.1}, "label smoothing"), ({"reduction": "average"}, "'average'")],
)
def test_options_without_a_meaning_are_refused_when_it_is_made(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearSimLoss(FEATURES, random_similarity(CLASSES), **options)
