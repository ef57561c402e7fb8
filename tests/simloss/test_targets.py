"""The loss of class probabilities, for every form of the matrix. Expectations come from tests/oracle.py."""

import time
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simloss import SimLoss, sim_loss, targets
from simloss.forms import Dense
from simloss.targets import distribution_losses
from tests import oracle
from tests.simloss.cases import (
    in_form,
    random_distribution,
    random_labels,
    random_logits,
    random_similarity,
    uneven,
    value_and_gradient,
)

FORMS = ["dense", "sparse", "toeplitz"]


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(0, 4), classes=st.integers(2, 9), seed=st.integers(0, 2**20), scale=st.sampled_from([3.0, 500.0])
)
@pytest.mark.parametrize("form", FORMS)
def test_distributions_weigh_the_losses_of_the_classes(
    form: str, count: int, classes: int, seed: int, scale: float
) -> None:
    logits = random_logits(count, classes, seed=seed, scale=scale, dtype=torch.float64)
    target = random_distribution(count, classes, seed=seed, dtype=torch.float64)
    similarity, dense = in_form(form, classes, seed, torch.float64)
    value, gradient = value_and_gradient(lambda z: distribution_losses(z, target, None, similarity), logits)
    losses, slopes, _ = oracle.sim_loss(logits.numpy(), target.numpy(), dense.numpy())
    allowed = (classes + 24) * 2.0**-52  # a rounding a class in each of the two sums, and two dozen elsewhere
    np.testing.assert_allclose(value.numpy(), losses, rtol=allowed, atol=classes * 2.0**-1022)
    np.testing.assert_allclose(gradient.numpy(), slopes, rtol=0, atol=allowed)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [3.0, 5000.0])
def test_gradient_of_a_distribution_is_the_loss_of_each_class(form: str, scale: float) -> None:
    logits = random_logits(4, 6, scale=scale, dtype=torch.float64)
    similarity, dense = in_form(form, 6, dtype=torch.float64)
    target = random_distribution(4, 6, dtype=torch.float64)
    target[:, ::2] = 0.0  # the loss of a class is asked for even where the class has no share yet
    ignored = torch.tensor([False, False, True, False])
    _, gradient = value_and_gradient(lambda t: distribution_losses(logits, t, ignored, similarity), target)
    expected = [[oracle.sim_loss_row(z, s)[0] for s in dense.numpy()] for z in logits.numpy()]
    expected[2] = [0.0] * 6
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=30 * 2.0**-52)


def test_a_class_without_a_share_counts_nothing_even_where_its_loss_is_infinite() -> None:
    logits, target = torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([[0.25, 0.75, 0.0]])
    value, gradient = value_and_gradient(lambda z: distribution_losses(z, target, None, Dense(torch.eye(3))), logits)
    torch.testing.assert_close(value, torch.tensor([2.0]).log())  # both classes have probability 1/2
    torch.testing.assert_close(gradient, torch.tensor([[0.25, -0.25, 0.0]]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("block", [1, 7, 20, 21, 1000])
def test_blocks_of_classes_change_nothing(monkeypatch: pytest.MonkeyPatch, form: str, block: int) -> None:
    """Some of the classes are far here: their similar classes are lost beside the maximum."""
    logits, target = random_logits(5, 7, scale=200.0), random_distribution(5, 7)
    similarity, _ = in_form(form, 7)
    whole = value_and_gradient(lambda z: distribution_losses(z, target, None, similarity), logits)
    monkeypatch.setattr(targets, "_BLOCK", block)
    pieces = value_and_gradient(lambda z: distribution_losses(z, target, None, similarity), logits)
    scale = whole[0].max().item()
    torch.testing.assert_close(pieces, whole, rtol=0, atol=(7 + 24) * 2.0**-24 * scale)


def test_a_graph_that_is_kept_gives_the_same_gradient_again() -> None:
    logits = random_logits(6, 5).requires_grad_()
    value = distribution_losses(logits, random_distribution(6, 5), None, in_form("dense", 5)[0])
    upstream = uneven(value.detach())
    value.backward(upstream, retain_graph=True)
    first = logits.grad.clone()
    value.backward(2 * upstream)
    assert torch.equal(logits.grad, 3 * first)


def test_second_derivatives_are_refused() -> None:
    logits = random_logits(6, 5).requires_grad_()
    value = distribution_losses(logits, random_distribution(6, 5), None, in_form("dense", 5)[0])
    for total in (value.sum(), value.square().sum()):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(total, logits, create_graph=True)


def test_no_gradient_is_computed_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, per_class = [], targets._per_class
    monkeypatch.setattr(targets, "_per_class", lambda *arguments: asked.append(arguments[3:]) or per_class(*arguments))
    logits, target, similarity = random_logits(4, 5), random_distribution(4, 5), in_form("dense", 5)[0]
    distribution_losses(logits, target, None, similarity)
    distribution_losses(logits.requires_grad_(), target, None, similarity)
    distribution_losses(logits, target.requires_grad_(), None, similarity)
    with torch.no_grad():
        distribution_losses(logits, target, None, similarity)
    assert asked == [(False, False), (True, False), (True, True), (False, False)]


def test_an_empty_batch_has_gradients_of_its_shape() -> None:
    logits, target = torch.empty(0, 20, requires_grad=True), torch.empty(0, 20, requires_grad=True)
    sim_loss(logits, target, random_similarity(20), reduction="sum").backward()
    assert logits.grad.shape == target.grad.shape == (0, 20)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what inductor calls in torch
def test_pictures_of_one_example_compile() -> None:
    logits, labels = random_logits(1, 20, 2, 2), random_labels(1, 2, 2, classes=20)
    loss = SimLoss(random_similarity(20), label_smoothing=0.1)
    torch._dynamo.reset()
    whole = torch.compile(loss, fullgraph=True)
    torch.testing.assert_close(whole(logits, labels), loss(logits, labels), rtol=2.0**-21, atol=0)


# --- under torch.compile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["smoothing", "probabilities"])
def test_compiled_without_a_break_it_gives_the_same_numbers(form: str, kind: str) -> None:
    logits, labels, similarity = random_logits(8, 5), random_labels(8, classes=5), in_form(form, 5)[0]
    labels[3] = -100
    target = random_distribution(8, 5)

    def loss(z: Tensor) -> Tensor:
        if kind == "smoothing":
            return sim_loss(z, labels, similarity, label_smoothing=0.1)
        return sim_loss(z, target, similarity)

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    plain = value_and_gradient(loss, logits)
    torch.testing.assert_close(value_and_gradient(compiled, logits), plain, rtol=2.0**-22, atol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("needs", [(False, False), (True, False), (False, True), (True, True)])
def test_the_operator_keeps_torchs_rules(form: str, needs: tuple[bool, bool]) -> None:
    logits, target = random_logits(6, 5).requires_grad_(needs[0]), random_distribution(6, 5).requires_grad_(needs[1])
    ignored = torch.tensor([False, True, False, False, False, False])
    arguments = (logits, target, ignored, form, list(in_form(form, 5)[0]), None, *needs)
    torch.library.opcheck(torch.ops.simloss.distribution_losses.default, arguments)


# --- targets of few classes -------------------------------------------------------------------------------------------


def two_classes(count: int, classes: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return targets of 0.75 for one class and 0.25 for another, and these labels. Both products are exact."""
    first = random_labels(count, classes=classes)
    second = (first + 1 + random_labels(count, classes=classes - 1, seed=1)) % classes
    hot = torch.nn.functional.one_hot
    return (0.75 * hot(first, classes) + 0.25 * hot(second, classes)).to(dtype), first, second


@pytest.mark.parametrize("mix", [{}, {"share": 0.4, "similarity_smoothing": 0.05}])
@pytest.mark.parametrize("form", FORMS)
def test_a_target_of_two_classes_is_two_calls(form: str, mix: dict[str, float]) -> None:
    """As of mixup: the value and the gradient are the sums of the two, each rounded once more."""
    similarity, _ = in_form(form, 40)
    target, first, second = two_classes(33, 40)
    for dtype, reduction in product((torch.float32, torch.float64), ("none", "sum", "mean")):

        def two_calls(z: Tensor, reduction: str = reduction) -> Tensor:
            one, other = (sim_loss(z, labels, similarity, reduction=reduction, **mix) for labels in (first, second))
            return 0.75 * one + 0.25 * other

        logits = random_logits(33, 40, dtype=dtype)
        found = value_and_gradient(
            lambda z, r=reduction: sim_loss(z, target.to(z.dtype), similarity, reduction=r, **mix), logits
        )
        expected = value_and_gradient(two_calls, logits)
        # The sum of two, and one over the rows in another order; and of slopes of the size of 1, or of 1 over 33.
        rows = 33 if reduction != "none" else 0
        unit = torch.finfo(dtype).eps
        torch.testing.assert_close(found[0], expected[0], rtol=(2 + rows) * unit, atol=0)
        atol = 4 * unit / (33 if reduction == "mean" else 1)
        torch.testing.assert_close(found[1], expected[1], rtol=0, atol=atol)


def test_few_classes_are_computed_class_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to four, and to a quarter of all; each row by itself, whatever is in the others."""
    asked: list[int] = []
    per_class = targets._per_class
    monkeypatch.setattr(targets, "_per_class", lambda z, *others: asked.append(len(z)) or per_class(z, *others))
    target = torch.zeros(6, 40)
    for row, number in enumerate((1, 4, 5, 2, 40, 3)):
        target[row, :number] = 1 / number
    logits, similarity = random_logits(6, 40), in_form("dense", 40)[0]
    whole = value_and_gradient(lambda z: distribution_losses(z, target, None, similarity), logits)
    assert asked == [2]
    alone = [
        value_and_gradient(lambda z, t=t: distribution_losses(z, t, None, similarity), z)
        for z, t in zip(logits.split(1), target.split(1), strict=True)
    ]
    # A product of matrices of another height may sum in another order.
    torch.testing.assert_close(whole[0], torch.cat([value for value, _ in alone]), rtol=64 * 2.0**-24, atol=0)
    torch.testing.assert_close(whole[1], torch.cat([slopes for _, slopes in alone]), rtol=0, atol=64 * 2.0**-24)
    asked.clear()
    distribution_losses(logits, target.requires_grad_(), None, similarity)  # which wants the loss of each class
    assert asked == [6]
    asked.clear()
    distribution_losses(random_logits(6, 7), target.detach()[:, :7], None, in_form("dense", 7)[0])
    assert asked == [5]  # of seven classes, one is few


def test_two_classes_take_a_fraction_of_the_time_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """At (256, 1000), the least of some rounds of each; the bound is a fifth, where a fifteenth was measured."""
    target, *_ = two_classes(256, 1000)
    logits, similarity = random_logits(256, 1000).requires_grad_(), in_form("dense", 1000)[0]

    def seconds() -> float:
        started = time.process_time()
        distribution_losses(logits, target, None, similarity).sum().backward()
        return time.process_time() - started

    few = min(seconds() for _ in range(8))
    monkeypatch.setattr(targets, "_FEW", 0)
    assert 5 * few < min(seconds() for _ in range(3))
