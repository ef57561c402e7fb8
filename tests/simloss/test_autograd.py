"""How the loss of class indices gets on with autograd and torch.compile. What it computes: see test_row_losses.py."""

import gc
import weakref
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from simloss import SimLoss, autograd, sim_loss
from simloss.rows import eager, native
from tests.simloss.cases import (
    class_loss,
    in_form,
    random_labels,
    random_logits,
    random_similarity,
    random_weight,
    uneven,
    value_and_gradient,
)

FORMS = ["dense", "sparse", "toeplitz"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("is_summed", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_a_graph_that_is_kept_gives_the_same_gradient_again(form: str, dtype: torch.dtype, is_summed: bool) -> None:
    logits = random_logits(6, 5, dtype=dtype).requires_grad_()
    labels, (similarity, _) = random_labels(6, classes=5), in_form(form, 5)

    def loss() -> Tensor:
        return class_loss(logits, labels, similarity, "sum" if is_summed else "none")

    value = loss()
    upstream = uneven(value.detach())
    for factor in (1, 1, 3, 1):
        (again,) = torch.autograd.grad(value, logits, factor * upstream, retain_graph=True)
        (anew,) = torch.autograd.grad(loss(), logits, factor * upstream)
        assert torch.equal(again, anew)
    assert anew.abs().max() > 0


def test_a_gradient_that_was_handed_out_stays_as_it_is() -> None:
    """It is the caller's, who may well add to it."""
    logits = random_logits(6, 5).requires_grad_()
    value = class_loss(logits, random_labels(6, classes=5), in_form("dense", 5)[0])
    (first,) = torch.autograd.grad(value, logits, retain_graph=True)
    before = first.clone()
    first.mul_(7)
    (second,) = torch.autograd.grad(3 * value, logits)
    assert torch.equal(second, 3 * before)
    assert torch.equal(first, 7 * before)


def test_a_graph_that_was_not_kept_is_refused_as_torch_does() -> None:
    logits = random_logits(6, 5).requires_grad_()
    value = class_loss(logits, random_labels(6, classes=5), in_form("dense", 5)[0])
    value.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()


def test_logits_changed_in_place_never_give_a_wrong_gradient() -> None:
    """The first gradient was computed before; for the second there is nothing to compute it from any more."""
    leaf = random_logits(6, 5).requires_grad_()
    labels, (similarity, _) = random_labels(6, classes=5), in_form("dense", 5)
    _, expected = value_and_gradient(lambda z: class_loss(z, labels, similarity), leaf)
    logits = leaf.clone()
    value = class_loss(logits, labels, similarity)
    logits.detach().mul_(2)
    logits.mul_(2)
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    assert torch.equal(first, expected)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_labels_overwritten_before_the_backward_pass_change_nothing(reduction: str) -> None:
    """As by a loader that copies the next batch to the same place."""
    logits, labels, similarity = random_logits(6, 5), random_labels(6, classes=5), random_similarity(5)
    labels[2] = -100
    _, expected = value_and_gradient(lambda z: sim_loss(z, labels, similarity, reduction=reduction), logits)
    leaf = logits.clone().requires_grad_()
    loss = sim_loss(leaf, labels, similarity, reduction=reduction)
    labels.fill_(-100)
    loss.backward(torch.ones_like(loss))
    assert torch.equal(leaf.grad, expected)


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_are_refused(form: str) -> None:
    """Also where the upstream gradient is a constant, which torch's once_differentiable would let pass."""
    logits = random_logits(6, 5).requires_grad_()
    value = class_loss(logits, random_labels(6, classes=5), in_form(form, 5)[0], "none")
    for total in (value.sum(), value.square().sum()):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(total, logits, create_graph=True)


def test_no_gradient_is_computed_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(autograd, "row_losses", lambda *arguments: asked.append(arguments[-1]) or torch.zeros(6))
    logits, labels = random_logits(6, 5), random_labels(6, classes=5)
    class_loss(logits, labels, in_form("dense", 5)[0])
    class_loss(logits.requires_grad_(), labels, in_form("dense", 5)[0])
    with torch.no_grad():
        class_loss(logits, labels, in_form("dense", 5)[0])
    assert asked[0] is None
    assert asked[1].shape == (6, 5)
    assert asked[2] is None


def test_nothing_is_kept_once_the_loss_is_gone() -> None:
    logits = random_logits(6, 5).requires_grad_()
    value = class_loss(logits, random_labels(6, classes=5), in_form("dense", 5)[0])
    kept = weakref.ref(value.grad_fn.gradient)
    gc.collect()
    assert kept() is not None
    value.backward()
    assert value.grad_fn.gradient is None  # it was handed out
    del value
    logits.grad = None
    assert kept() is None  # without a garbage collection: there is no cycle


def test_the_scale_of_a_grad_scaler_reaches_small_slopes_in_float16() -> None:
    """Over 100,000 examples most slopes are below what float16 can hold, until the scale comes upstream."""
    count = 2**17
    logits, labels = random_logits(count, 4, dtype=torch.float16), random_labels(count, classes=4)
    similarity = random_similarity(4)
    with torch.autocast("cpu", torch.float16):  # so that the loss, and what comes upstream, is float32
        _, scaled = value_and_gradient(lambda z: 2.0**16 * sim_loss(z, labels, similarity), logits)
    _, exact = value_and_gradient(lambda z: 2.0**16 * sim_loss(z, labels, similarity), logits.double())
    # Rounded once to float16 at the end; before, a few roundings to float32 of numbers up to 1/2.
    torch.testing.assert_close(scaled.double(), exact, rtol=2.0**-11, atol=2.0**-25 + 28 * 2.0**-25)
    assert (scaled != 0).float().mean() > 0.99


# --- under torch.compile ----------------------------------------------------------------------------------------------


def compiled(loss: object) -> object:
    torch._dynamo.reset()
    return torch.compile(loss, backend="aot_eager", fullgraph=True)


# Each option in one quick case at least; each costs a compilation.
COMPILED = [
    pytest.param(*options, marks=[] if number % 7 == 0 else pytest.mark.slow)
    for number, options in enumerate(product(FORMS, DTYPES, ["none", "mean", "sum"], [False, True]))
]


@pytest.mark.parametrize(("form", "dtype", "reduction", "weighted"), COMPILED)
def test_compiled_without_a_break_it_gives_the_same_numbers(
    form: str, dtype: torch.dtype, reduction: str, weighted: bool
) -> None:
    logits, labels = random_logits(8, 5, dtype=dtype), random_labels(8, classes=5)
    labels[3] = -100
    similarity, _ = in_form(form, 5)
    weight = random_weight(5) if weighted else None

    def loss(z: Tensor) -> Tensor:
        return sim_loss(z, labels, similarity, weight, reduction=reduction)

    plain = value_and_gradient(loss, logits, uneven)
    whole = value_and_gradient(compiled(loss), logits, uneven)
    # The mean is divided before the sum or after, and the gradient is rounded before the upstream one or after.
    allowed = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(whole, plain, rtol=allowed, atol=0)


def test_compiled_it_takes_rows_that_overlap() -> None:
    line, labels, similarity = random_logits(12), random_labels(8, classes=5), random_similarity(5)

    def loss(z: Tensor) -> Tensor:
        return sim_loss(z.unfold(0, 5, 1), labels, similarity)

    for mine, true in zip(value_and_gradient(compiled(loss), line), value_and_gradient(loss, line), strict=True):
        torch.testing.assert_close(mine, true, rtol=2.0**-21, atol=2.0**-24)


def test_compiled_without_a_gradient() -> None:
    logits, labels, similarity = random_logits(8, 5), random_labels(8, classes=5), random_similarity(5)
    assert torch.equal(compiled(sim_loss)(logits, labels, similarity), sim_loss(logits, labels, similarity))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wants_gradient", [False, True])  # which is not registered with the operator
@pytest.mark.parametrize("mix", [None, torch.tensor([0.4, 0.05], dtype=torch.float64)])
def test_the_operator_keeps_torchs_rules(form: str, wants_gradient: bool, mix: Tensor | None) -> None:
    logits = random_logits(6, 5)
    labels, parts = random_labels(6, classes=5), list(in_form(form, 5)[0])
    for reduction in ("mean", "none"):
        arguments = (logits, labels, form, parts, None, -100, reduction, mix, wants_gradient)
        torch.library.opcheck(torch.ops.simloss.index_loss.default, arguments)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("kind", ["dense", "sparse", "toeplitz", "csr tensor"])
def test_modules_compile_without_a_break(kind: str) -> None:
    """Also for a second size of the batch, which makes the first dimension dynamic."""
    given, dense = in_form("sparse" if kind == "csr tensor" else kind, 5)
    module = SimLoss(dense.to_sparse_csr() if kind == "csr tensor" else given)
    whole = compiled(module)
    for count in (8, 11, 3):
        logits, labels = random_logits(count, 5), random_labels(count, classes=5)
        assert torch.equal(whole(logits, labels), module(logits, labels))


@pytest.mark.compiled
def test_compiled_c_is_what_runs() -> None:
    """Not torch's operations, which would make the tests above about something else."""
    assert native.takes(random_logits(6, 5), random_labels(6, classes=5))
    assert native.table_of(in_form("dense", 5)[0]) is not None


# --- memory -----------------------------------------------------------------------------------------------------------


def peak_of(run: Callable[[], object]) -> int:
    """Return how many bytes a call holds at most beside what was there, as torch's allocator tells its profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(held.max(initial=0))


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_single_losses_take_no_more_memory_than_their_sum(dtype: torch.dtype, share: float) -> None:
    """The upstream gradient of a row is in float32, a factor that torch would widen all of the gradient for.

    The multiplication works on blocks of 2^18 numbers a thread, of which it may hold copies in float32.
    """
    count, classes, threads = 4096, 2048, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        similarity = in_form("toeplitz", classes)[0]
        labels, peaks, slopes = random_labels(count, classes=classes), {}, {}
        for reduction in ("sum", "none"):
            logits = random_logits(count, classes, dtype=dtype).requires_grad_()
            value = SimLoss(similarity, reduction=reduction, share=share)(logits, labels)
            upstream = uneven(value.detach())
            peaks[reduction] = peak_of(lambda value=value, upstream=upstream: value.backward(upstream))
            slopes[reduction] = logits.grad
    finally:
        torch.set_num_threads(threads)
    assert peaks["none"] - peaks["sum"] <= 3 * 4 * 2**18 + 16 * count
    # The same bits as where all rows are multiplied at once.
    assert torch.equal(slopes["none"], (4 * slopes["sum"] * uneven(torch.empty(count))[:, None]).to(dtype))
    factors = torch.rand(count)
    whole, blocks = slopes["none"].float() * factors.unsqueeze(1), slopes["none"].clone()
    eager.scale_gradient_(blocks, factors)
    assert torch.equal(blocks, whole.to(dtype))
