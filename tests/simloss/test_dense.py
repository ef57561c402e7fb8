"""The loss of each example and its gradient, before any reduction. Expectations come from tests/oracle.py."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simloss import dense
from simloss.dense import distribution_losses, index_losses
from tests import oracle
from tests.simloss.cases import (
    assert_within_budget,
    eager_sim_loss,
    random_distribution,
    random_labels,
    random_logits,
    random_similarity,
    uneven,
    value_and_gradient,
)

FORMS = ["labels", "distribution"]


def losses(form: str, logits: Tensor, labels: Tensor, similarity: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Return the losses for labels, in either of the two forms: a label is a distribution too."""
    ignored = torch.zeros(len(labels), dtype=torch.bool) if ignored is None else ignored
    if form == "labels":
        return index_losses(logits, labels, ignored, similarity)
    one_hot = torch.nn.functional.one_hot(labels, logits.shape[1]).to(dense.work_dtype(logits))
    return distribution_losses(logits, one_hot, ignored, similarity)


def assert_is_oracle(value: Tensor, gradient: Tensor, expected: tuple[np.ndarray, np.ndarray, float]) -> None:
    """Compare in float64: each of the two sums over the classes rounds at most C times, all else two dozen times.

    Below the smallest normal number, 2^-1022, there are no digits to compare.
    """
    classes = gradient.shape[1]
    allowed = (classes + 24) * 2.0**-52
    np.testing.assert_allclose(value.numpy(), expected[0], rtol=allowed, atol=classes * 2.0**-1022)
    np.testing.assert_allclose(gradient.numpy(), expected[1], rtol=0, atol=allowed)


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(0, 5),
    classes=st.integers(1, 12),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.1, 3.0, 40.0, 500.0]),
)
@pytest.mark.parametrize("form", FORMS)
def test_losses_and_gradients_are_those_of_the_oracle(
    form: str, count: int, classes: int, seed: int, scale: float
) -> None:
    logits = random_logits(count, classes, seed=seed, scale=scale, dtype=torch.float64)
    labels = random_labels(count, classes=classes, seed=seed)
    similarity = random_similarity(classes, seed=seed, dtype=torch.float64)
    value, gradient = value_and_gradient(lambda z: losses(form, z, labels, similarity), logits)
    assert_is_oracle(value, gradient, oracle.sim_loss(logits.numpy(), labels.numpy(), similarity.numpy()))


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(0, 4), classes=st.integers(2, 9), seed=st.integers(0, 2**20), scale=st.sampled_from([3.0, 500.0])
)
def test_distributions_weigh_the_losses_of_the_classes(count: int, classes: int, seed: int, scale: float) -> None:
    logits = random_logits(count, classes, seed=seed, scale=scale, dtype=torch.float64)
    target = random_distribution(count, classes, seed=seed, dtype=torch.float64)
    similarity = random_similarity(classes, seed=seed, dtype=torch.float64)
    ignored = torch.zeros(count, dtype=torch.bool)
    value, gradient = value_and_gradient(lambda z: distribution_losses(z, target, ignored, similarity), logits)
    assert_is_oracle(value, gradient, oracle.sim_loss(logits.numpy(), target.numpy(), similarity.numpy()))


@pytest.mark.parametrize("scale", [3.0, 5000.0])
def test_gradient_of_a_distribution_is_the_loss_of_each_class(scale: float) -> None:
    logits = random_logits(4, 6, scale=scale, dtype=torch.float64)
    similarity = random_similarity(6, dtype=torch.float64)
    target = random_distribution(4, 6, dtype=torch.float64)
    target[:, ::2] = 0.0  # the loss of a class is asked for even where the class has no share yet
    ignored = torch.tensor([False, False, True, False])
    _, gradient = value_and_gradient(lambda t: distribution_losses(logits, t, ignored, similarity), target)
    expected = [[oracle.sim_loss_row(z, s)[0] for s in similarity.numpy()] for z in logits.numpy()]
    expected[2] = [0.0] * 6
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=30 * 2.0**-52)


@pytest.mark.parametrize("block", [1, 7, 20, 21, 1000])
def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    logits, labels, similarity = random_logits(9, 7), random_labels(9, classes=7), random_similarity(7)
    ignored = labels == 3
    whole = value_and_gradient(lambda z: losses("labels", z, labels, similarity, ignored), logits)
    monkeypatch.setattr(dense, "_BLOCK", block)
    pieces = value_and_gradient(lambda z: losses("labels", z, labels, similarity, ignored), logits)
    torch.testing.assert_close(pieces, whole, rtol=2.0**-22, atol=2.0**-22)  # 2 ulp: exp may differ between lanes


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_all_classes_alike_cost_nothing(form: str, dtype: torch.dtype) -> None:
    logits, labels = random_logits(5, 9, dtype=dtype), random_labels(5, classes=9)
    value, gradient = value_and_gradient(lambda z: losses(form, z, labels, torch.ones(9, 9)), logits)
    assert value.tolist() == [0.0] * 5
    assert torch.equal(gradient, torch.zeros(5, 9, dtype=dtype))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_gradient_rows_sum_to_zero(form: str, scale: float) -> None:
    logits, labels, similarity = (
        random_logits(50, 10, scale=scale),
        random_labels(50, classes=10),
        random_similarity(10),
    )
    _, gradient = value_and_gradient(lambda z: losses(form, z, labels, similarity), logits)
    # The positive entries sum to at most 1, as do the negative ones; each sum and entry is right to a dozen roundings.
    assert gradient.double().sum(1).abs().max() <= 2 * (10 + 12) * 2.0**-24


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", [-1000.0, 0.5, 4096.0])
def test_adding_a_number_to_all_logits_changes_nothing(form: str, shift: float) -> None:
    logits = (random_logits(8, 6) * 512).round() / 512  # so coarse that the shift is exact
    labels, similarity = random_labels(8, classes=6), random_similarity(6)
    here = value_and_gradient(lambda z: losses(form, z, labels, similarity), logits)
    there = value_and_gradient(lambda z: losses(form, z, labels, similarity), logits + shift)
    torch.testing.assert_close(there, here, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("smallest", [0.5, 1e-3, 1e-30, 1e-38, 1e-42])
@pytest.mark.parametrize("gap", [50.0, 60.0, 70.0, 88.0, 104.0, 200.0, 800.0, 1e4])
def test_similar_classes_far_below_the_maximum(form: str, dtype: torch.dtype, smallest: float, gap: float) -> None:
    """Neither exp of the gap nor a small S may underflow: the loss is about the gap, and the gradient is finite."""
    logits = torch.tensor([[-gap, 0.0, -gap - 1, -0.5], [-gap, -gap / 2, 1.0, 2.0]], dtype=dtype)
    labels = torch.tensor([0, 0])
    similarity = torch.eye(4)
    similarity[0] = torch.tensor([1.0, 0.0, 0.75, 0.0])
    similarity[0, 1] = smallest  # at the maximum of the first row, if no more than that
    value, gradient = value_and_gradient(lambda z: losses(form, z, labels, similarity), logits)
    expected, slopes, _ = oracle.sim_loss(logits.double().numpy(), labels.numpy(), similarity.double().numpy())
    budget = value_and_gradient(lambda z: eager_sim_loss(z, labels, similarity), logits)
    assert_within_budget(value, budget[0].double(), torch.from_numpy(expected))
    assert_within_budget(gradient, budget[1].double(), torch.from_numpy(slopes))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gap", [128.0, 1024.0, 65536.0])
def test_the_gradient_keeps_its_digits_far_below_the_maximum(form: str, gap: float) -> None:
    """The distances between similar classes are small beside the gap, and exact here.

    Roundings: log S (2), sum (1), exp (2), their sum (3), quotient (1); and e / d as much. A dozen and a half at most.
    """
    logits = torch.tensor([[-gap, -gap - 1, 0.0, -0.5, -gap + 1]])
    similarity = torch.eye(5)
    similarity[0] = torch.tensor([1.0, 0.75, 0.0, 0.0, 0.5])
    _, gradient = value_and_gradient(lambda z: losses(form, z, torch.tensor([0]), similarity), logits)
    _, slopes = oracle.sim_loss_row(logits[0].double().numpy(), similarity[0].numpy())
    np.testing.assert_allclose(gradient[0].numpy(), slopes, rtol=18 * 2.0**-24)


@pytest.mark.parametrize("form", FORMS)
def test_similar_classes_all_at_minus_infinity(form: str) -> None:
    """As in F.cross_entropy the loss is infinite, and the gradient finite: it pulls at the similar classes by S."""
    logits = torch.tensor([[-torch.inf, -torch.inf, 0.0, 0.0, -torch.inf]])
    similarity = torch.eye(5)
    similarity[0, 1] = 0.25
    value, gradient = value_and_gradient(lambda z: losses(form, z, torch.tensor([0]), similarity), logits)
    assert value.tolist() == [torch.inf]
    torch.testing.assert_close(gradient, torch.tensor([[-0.8, -0.2, 0.5, 0.5, 0.0]]))


def test_a_class_without_a_share_counts_nothing_even_where_its_loss_is_infinite() -> None:
    logits, target = torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([[0.25, 0.75, 0.0]])
    value, gradient = value_and_gradient(
        lambda z: distribution_losses(z, target, torch.tensor([False]), torch.eye(3)), logits
    )
    torch.testing.assert_close(value, torch.tensor([2.0]).log())  # both classes have probability 1/2
    torch.testing.assert_close(gradient, torch.tensor([[0.25, -0.25, 0.0]]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf])
def test_ignored_rows_are_zero_whatever_is_in_them(form: str, rubbish: float) -> None:
    logits = random_logits(3, 4)
    logits[1] = rubbish
    ignored = torch.tensor([False, True, False])
    value, gradient = value_and_gradient(
        lambda z: losses(form, z, torch.tensor([0, 0, 2]), random_similarity(4), ignored),
        logits,
        lambda v: torch.full_like(v, torch.inf),  # as from a mean over nothing
    )
    assert value[1] == 0
    assert torch.equal(gradient[1], torch.zeros(4))
    assert (value[[0, 2]] > 0).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
def test_not_a_number_goes_through_and_stays_in_its_row(form: str, rubbish: float) -> None:
    logits = random_logits(3, 4)
    logits[1, 2] = rubbish
    value, gradient = value_and_gradient(
        lambda z: losses(form, z, torch.tensor([0, 0, 2]), random_similarity(4)), logits
    )
    assert value.isnan().tolist() == [False, True, False]
    assert gradient.isnan().all(1).tolist() == [False, True, False]
    assert not gradient[[0, 2]].isnan().any()


@pytest.mark.parametrize("form", FORMS)
def test_strides_do_not_matter(form: str) -> None:
    logits, labels, similarity = random_logits(6, 5), random_labels(6, classes=5), random_similarity(5)
    strided = random_logits(12, 15)[::2, ::3].copy_(logits)
    crossed = similarity.T.contiguous().T
    assert not strided.is_contiguous()
    assert not crossed.is_contiguous()
    here = value_and_gradient(lambda z: losses(form, z, labels, similarity), logits, uneven)
    leaf = strided.detach().requires_grad_()
    there = losses(form, leaf, labels.repeat_interleave(2)[::2], crossed)
    there.backward(uneven(there.detach()).repeat_interleave(2)[::2])
    torch.testing.assert_close((there.detach(), leaf.grad), here, rtol=2.0**-22, atol=2.0**-22)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_nothing_given_is_modified(form: str, dtype: torch.dtype) -> None:
    given_tensors = [random_logits(6, 5, dtype=dtype, scale=50), random_labels(6, classes=5), random_similarity(5)]
    copies = [tensor.clone() for tensor in given_tensors]
    given_tensors[0].requires_grad_()
    upstream = torch.rand(6, dtype=dense.work_dtype(given_tensors[0]))
    value = losses(form, *given_tensors)
    value_before, upstream_before = value.detach().clone(), upstream.clone()
    value.backward(upstream)
    for tensor, copy in zip([*given_tensors, value, upstream], [*copies, value_before, upstream_before], strict=True):
        assert torch.equal(tensor.detach(), copy)


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_that_is_kept_gives_the_same_gradient_again(form: str) -> None:
    logits = random_logits(6, 5).requires_grad_()
    value = losses(form, logits, random_labels(6, classes=5), random_similarity(5))
    upstream = uneven(value.detach())
    value.backward(upstream, retain_graph=True)
    first = logits.grad.clone()
    value.backward(upstream, retain_graph=True)
    assert torch.equal(logits.grad, 2 * first)
    value.backward(2 * upstream)
    assert torch.equal(logits.grad, 4 * first)


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_are_refused(form: str) -> None:
    """Also where the upstream gradient is a constant, which torch's once_differentiable would let pass."""
    logits = random_logits(6, 5).requires_grad_()
    value = losses(form, logits, random_labels(6, classes=5), random_similarity(5))
    for total in (value.sum(), value.square().sum()):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(total, logits, create_graph=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_similarity_in_half_precision_is_used_in_full(form: str) -> None:
    """The entries that float16 can hold give the same loss as in float32, to the last bit."""
    logits, labels = random_logits(6, 5), random_labels(6, classes=5)
    half = random_similarity(5, dtype=torch.float16)
    here = value_and_gradient(lambda z: losses(form, z, labels, half), logits)
    there = value_and_gradient(lambda z: losses(form, z, labels, half.float()), logits)
    torch.testing.assert_close(here, there, rtol=0, atol=0)
