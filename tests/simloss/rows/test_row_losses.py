"""The loss of each example and its gradient, by every way of computing them on a CPU, for every form of the matrix.

Expectations come from tests/oracle.py.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from simloss import targets
from simloss.forms import Dense, Similarity, Sparse, Toeplitz
from simloss.reduction import work_dtype
from simloss.rows import eager, native
from simloss.rows.call import Call
from simloss.targets import distribution_losses
from tests import oracle
from tests.batch import batched
from tests.simloss.cases import (
    assert_within_budget,
    class_loss,
    eager_sim_loss,
    in_form,
    random_labels,
    random_logits,
    random_similarity,
    sparse_of,
    uneven,
    value_and_gradient,
)

# The last is for class probabilities: a label is a distribution too.
WAYS = [pytest.param("compiled", marks=pytest.mark.compiled), "torch", "distribution"]
MODULES = [pytest.param(native, marks=pytest.mark.compiled), eager]
FORMS = ["dense", "sparse", "toeplitz"]
Losses = Callable[..., Tensor]


@pytest.fixture(params=WAYS)
def losses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Losses:
    """Return a function of logits, labels, a matrix (a tensor stands for a dense one) and which rows are ignored."""
    if request.param == "torch":
        monkeypatch.setattr(native, "takes", lambda *_: False)
    monkeypatch.setattr(targets, "_FEW", 0)  # else a label is no distribution

    def of_indices(
        logits: Tensor, labels: Tensor, similarity: Similarity | Tensor, ignored: Tensor | None = None
    ) -> Tensor:
        labels = labels if ignored is None else labels.masked_fill(ignored, -100)
        return class_loss(logits, labels, form_of(similarity), "none")

    def of_one_hot(
        logits: Tensor, labels: Tensor, similarity: Similarity | Tensor, ignored: Tensor | None = None
    ) -> Tensor:
        one_hot = torch.nn.functional.one_hot(labels, logits.shape[1]).to(work_dtype(logits))
        return distribution_losses(logits, one_hot, ignored, form_of(similarity))

    return of_one_hot if request.param == "distribution" else of_indices


def row_losses_by(
    way: object, logits: Tensor, labels: Tensor, similarity: Similarity, call: Call, gradient: Tensor | None
) -> Tensor:
    """Return the losses as one way computes them."""
    if way is native:
        return native.row_losses(logits, labels, similarity, native.table_of(similarity), call, gradient)[0]
    return eager.row_losses(logits, labels, similarity, call, gradient)


def form_of(similarity: Similarity | Tensor) -> Similarity:
    return Dense(similarity) if isinstance(similarity, Tensor) else similarity


@pytest.mark.compiled
def test_what_is_compiled_here() -> None:
    """Else what is tested as compiled would be tested twice as torch."""
    labels, similarity = random_labels(6, classes=5), random_similarity(5)
    taken = [torch.float32, torch.bfloat16]
    for dtype in (*taken, torch.float16, torch.float64):
        logits = random_logits(6, 5, dtype=dtype)
        assert native.takes(logits, labels) == (dtype in taken)
        assert native.takes_results(logits, None, torch.empty_like(logits))
        assert dtype == torch.float16 or not native.takes_results(logits, None, logits.half())
    assert native.table_of(Dense(similarity)) is not None
    assert native.table_of(Dense(similarity.half())) is None


def assert_is_oracle(value: Tensor, gradient: Tensor, expected: tuple[np.ndarray, np.ndarray, float]) -> None:
    """Compare: each of the two sums over the classes rounds at most C times, all else two dozen times.

    A small loss is about exp(z - m) of the likeliest class that is not similar. There z - m, which is the logarithm of
    the loss, is rounded once, by half a unit, and exp makes of that absolute error a relative one. The oracle's too, in
    float64.

    Below the smallest normal number there are no digits to compare, and a gradient in half precision is rounded once.
    """
    classes = gradient.shape[1]
    limits = torch.finfo(value.dtype)
    allowed = (classes + 24) * limits.eps
    for found, wanted in zip(value.tolist(), expected[0].tolist(), strict=True):
        difference = -math.log(wanted) if limits.tiny < wanted < 1 else 0.0
        relative = allowed + difference * (limits.eps / 2 + 2.0**-53)
        np.testing.assert_allclose(found, wanted, rtol=relative, atol=classes * limits.tiny)
    rounding = 0.0 if gradient.dtype == value.dtype else torch.finfo(gradient.dtype).eps / 2
    np.testing.assert_allclose(gradient.double().numpy(), expected[1], rtol=rounding, atol=allowed + rounding * 2**-14)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 5),
    classes=st.integers(1, 12),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.1, 3.0, 40.0, 500.0]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    of_similarity=st.sampled_from([torch.float16, torch.float32, torch.float64]),
)
@example(count=3, classes=2, seed=5, scale=40.0, dtype=torch.float32, of_similarity=torch.float16)  # a loss of e^-68
@pytest.mark.parametrize("form", FORMS)
def test_losses_and_gradients_are_those_of_the_oracle(
    losses: Losses,
    form: str,
    count: int,
    classes: int,
    seed: int,
    scale: float,
    dtype: torch.dtype,
    of_similarity: torch.dtype,
) -> None:
    logits = random_logits(count, classes, seed=seed, scale=scale, dtype=dtype)
    labels = random_labels(count, classes=classes, seed=seed)
    similarity, dense = in_form(form, classes, seed, of_similarity)
    dense = dense.to(work_dtype(logits))  # the loss of float32 logits takes float64 similarities as float32
    value, gradient = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    assert_is_oracle(value, gradient, oracle.sim_loss(logits.double().numpy(), labels.numpy(), dense.double().numpy()))


@pytest.mark.parametrize("form", FORMS)
@batched("classes", [2, 3, 10, 100, 1000, 1001, 1024, 1025])
def test_at_any_number_of_classes(losses: Losses, form: str, classes: int) -> None:
    logits, labels = random_logits(5, classes), random_labels(5, classes=classes)
    similarity, dense = in_form(form, classes)
    value, gradient = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    # The oracle sees only the rows that are asked for.
    rows = [oracle.sim_loss_row(z, s) for z, s in zip(logits.numpy(), dense[labels].numpy(), strict=True)]
    assert_is_oracle(value, gradient, (np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), 5.0))


@pytest.mark.compiled
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [8193, 32000, 50257, 128256])
def test_at_large_numbers_of_classes(form: str, classes: int) -> None:
    """No matrix that large is made: a band beside the diagonal, or two columns of numbers for all rows."""
    logits, labels = random_logits(3, classes), torch.tensor([0, classes // 2, classes - 1])
    diagonals = torch.zeros(2 * classes - 1)
    diagonals[classes - 4 : classes + 3] = torch.tensor([0.25, 0.5, 0.75, 1.0, 0.5, 0.25, 0.125])
    dense = torch.stack([diagonals[classes - 1 - y : 2 * classes - 1 - y] for y in labels.tolist()])
    if form == "toeplitz":
        similarity, of_labels = Toeplitz(diagonals), labels
    else:  # three classes have a row here, and the labels are their numbers
        similarity, of_labels = (Dense(dense) if form == "dense" else sparse_of(dense)), torch.arange(3)
    exact = [oracle.sim_loss_row(z, s) for z, s in zip(logits.numpy(), dense.numpy(), strict=True)]
    for way in (native, eager):
        gradient = torch.empty_like(logits)
        value = row_losses_by(way, logits, of_labels, similarity, Call(-100), gradient)
        assert_is_oracle(
            value, gradient, (np.array([row[0] for row in exact]), np.stack([row[1] for row in exact]), 3.0)
        )


@pytest.mark.parametrize("way", MODULES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [None, torch.tensor(0.25), torch.tensor([0.5, 1.0, 2.0, 0.0, 0.125, 4.0, 1.0])])
def test_the_contract_of_each_way(way: object, form: str, scale: Tensor | None) -> None:
    """Scales, here powers of two, ignored rows, gradients in place or not at all."""
    logits, labels = random_logits(7, 9), random_labels(7, classes=9)
    similarity, dense = in_form(form, 9)
    labels[2] = 77
    logits[2] = torch.nan
    counts = torch.ones(7) if scale is None else scale.expand(7)
    expected = [
        oracle.sim_loss_row(z, dense[y].numpy())
        for z, y in zip(logits[[0, 1, 3, 4, 5, 6]].numpy(), labels[[0, 1, 3, 4, 5, 6]], strict=True)
    ]
    gradient = torch.full((7, 9), 5.0)
    value = row_losses_by(way, logits, labels, similarity, Call(77, scale), gradient)
    others = torch.tensor([0, 1, 3, 4, 5, 6])
    factor = counts[others].double().numpy()
    np.testing.assert_allclose(value[others].numpy(), [row[0] for row in expected] * factor, rtol=33 * 2.0**-24)
    slopes = np.stack([row[1] for row in expected]) * factor[:, None]
    np.testing.assert_allclose(gradient[others].numpy(), slopes, rtol=0, atol=4 * 33 * 2.0**-24)
    assert value[2] == 0
    assert torch.equal(gradient[2], torch.zeros(9))
    assert torch.equal(row_losses_by(way, logits, labels, similarity, Call(77, scale), None), value)
    in_place = logits.clone()
    assert torch.equal(row_losses_by(way, in_place, labels, similarity, Call(77, scale), in_place), value)
    assert torch.equal(in_place, gradient)


@pytest.mark.compiled
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_in_place", [False, True])
def test_bfloat16_is_rounded_once_at_the_end(form: str, is_in_place: bool) -> None:
    """To the nearest, of two equally near ones to the even one, as torch rounds; NaN stays."""
    count = 2**13  # so many that some dozen slopes are equally near to two
    logits, labels = random_logits(count, 33, dtype=torch.bfloat16), random_labels(count, classes=33)
    logits[5, 7] = torch.nan
    labels[9] = -100
    similarity, dense = in_form(form, 33)
    logits[11, dense[labels[11]] > 0] = -300.0
    wide = torch.empty(count, 33)
    expected = row_losses_by(native, logits.float(), labels, similarity, Call(-100, torch.tensor(0.5)), wide)
    room = logits.clone()
    narrow = room if is_in_place else torch.empty_like(room)
    value = row_losses_by(native, room, labels, similarity, Call(-100, torch.tensor(0.5)), narrow)
    torch.testing.assert_close(value, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(narrow, wide.bfloat16(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("way", MODULES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_in_place", [False, True])
def test_far_rows_among_others(way: object, form: str, is_in_place: bool) -> None:
    """Their similar classes underflow beside the maximum; the rows before and after are as they would be alone."""
    logits, labels = random_logits(5, 9), torch.tensor([0, 4, 8, 4, 0])
    similarity, dense = in_form(form, 9)
    logits[1, dense[4] > 0] -= 300.0
    logits[3, dense[4] > 0] -= 300.0
    scale = torch.tensor([1.0, 0.5, 1.0, 2.0, 1.0])
    room = logits.clone()
    gradient = room if is_in_place else torch.empty(5, 9)
    value = row_losses_by(way, room, labels, similarity, Call(-100, scale), gradient)
    rows = [oracle.sim_loss_row(z, dense[y].numpy()) for z, y in zip(logits.numpy(), labels, strict=True)]
    expected = (
        np.array([row[0] for row in rows]) * scale.numpy(),
        np.stack([row[1] for row in rows]) * scale.numpy()[:, None],
    )
    assert (expected[0][[1, 3]] > 140).all()
    assert_is_oracle(value, gradient / 2, (expected[0], expected[1] / 2, 5.0))


@pytest.mark.parametrize("way", MODULES)
def test_threads_and_blocks_change_nothing(way: object, monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, _ = in_form("dense", 100)
    logits, labels = random_logits(600, 100), random_labels(600, classes=100)
    whole = torch.empty(600, 100)
    value = row_losses_by(way, logits, labels, similarity, Call(-100), whole)
    threads = torch.get_num_threads()
    try:
        for count, block in ((1, 2**18), (3, 100), (2, 3 * 100 + 1)):
            torch.set_num_threads(count)
            monkeypatch.setattr(eager, "_BLOCK", block)
            pieces = torch.empty(600, 100)
            again = row_losses_by(way, logits, labels, similarity, Call(-100), pieces)
            if way is native:  # to the last bit
                assert torch.equal(again, value)
                assert torch.equal(pieces, whole)
            # 2 ulp: torch's exp may differ between lanes
            torch.testing.assert_close((again, pieces), (value, whole), rtol=2.0**-22, atol=2.0**-22)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("form", FORMS)
def test_twenty_runs_are_equal_to_the_last_bit(losses: Losses, form: str) -> None:
    logits, labels = random_logits(289, 101), random_labels(289, classes=101)
    similarity, _ = in_form(form, 101)
    first = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    for _ in range(19):
        again = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
        assert torch.equal(again[0], first[0])
        assert torch.equal(again[1], first[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_all_classes_alike_cost_nothing(losses: Losses, dtype: torch.dtype) -> None:
    logits, labels = random_logits(5, 9, dtype=dtype), random_labels(5, classes=9)
    value, gradient = value_and_gradient(lambda z: losses(z, labels, torch.ones(9, 9)), logits)
    assert value.tolist() == [0.0] * 5
    assert torch.equal(gradient, torch.zeros(5, 9, dtype=dtype))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_gradient_rows_sum_to_zero(losses: Losses, form: str, scale: float) -> None:
    logits, labels = random_logits(50, 10, scale=scale), random_labels(50, classes=10)
    _, gradient = value_and_gradient(lambda z: losses(z, labels, in_form(form, 10)[0]), logits)
    # The positive entries sum to at most 1, as do the negative ones; each sum and entry is right to a dozen roundings.
    assert gradient.double().sum(1).abs().max() <= 2 * (10 + 12) * 2.0**-24


@pytest.mark.parametrize("shift", [-1000.0, 0.5, 4096.0])
def test_adding_a_number_to_all_logits_changes_nothing(losses: Losses, shift: float) -> None:
    logits = (random_logits(8, 6) * 512).round() / 512  # so coarse that the shift is exact
    labels, similarity = random_labels(8, classes=6), random_similarity(6)
    here = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    there = value_and_gradient(lambda z: losses(z, labels, similarity), logits + shift)
    torch.testing.assert_close(there, here, rtol=0, atol=0)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@batched("smallest", [0.5, 1e-3, 1e-30, 1e-38, 1e-42])
@batched("gap", [50.0, 60.0, 70.0, 88.0, 104.0, 200.0, 800.0, 1e4])
def test_similar_classes_far_below_the_maximum(
    losses: Losses, is_sparse: bool, dtype: torch.dtype, smallest: float, gap: float
) -> None:
    """Neither exp of the gap nor a small S may underflow: the loss is about the gap, and the gradient is finite."""
    logits = torch.tensor([[-gap, 0.0, -gap - 1, -0.5], [-gap, -gap / 2, 1.0, 2.0]], dtype=dtype)
    labels = torch.tensor([0, 0])
    similarity = torch.eye(4)
    similarity[0] = torch.tensor([1.0, 0.0, 0.75, 0.0])
    similarity[0, 1] = smallest  # at the maximum of the first row, if no more than that
    form = sparse_of(similarity) if is_sparse else similarity
    value, gradient = value_and_gradient(lambda z: losses(z, labels, form), logits)
    expected, slopes, _ = oracle.sim_loss(logits.double().numpy(), labels.numpy(), similarity.double().numpy())
    budget = value_and_gradient(lambda z: eager_sim_loss(z, labels, similarity), logits)
    assert_within_budget(value, budget[0].double(), torch.from_numpy(expected))
    assert_within_budget(gradient, budget[1].double(), torch.from_numpy(slopes))


@pytest.mark.parametrize("gap", [128.0, 1024.0, 65536.0])
def test_the_gradient_keeps_its_digits_far_below_the_maximum(losses: Losses, gap: float) -> None:
    """The distances between similar classes are small beside the gap, and exact here.

    Roundings: log S (2), sum (1), exp (2), their sum (3), quotient (1); and e / d as much. A dozen and a half at most.
    """
    logits = torch.tensor([[-gap, -gap - 1, 0.0, -0.5, -gap + 1]])
    similarity = torch.eye(5)
    similarity[0] = torch.tensor([1.0, 0.75, 0.0, 0.0, 0.5])
    _, gradient = value_and_gradient(lambda z: losses(z, torch.tensor([0]), similarity), logits)
    _, slopes = oracle.sim_loss_row(logits[0].double().numpy(), similarity[0].numpy())
    np.testing.assert_allclose(gradient[0].numpy(), slopes, rtol=18 * 2.0**-24)


def test_similar_classes_all_at_minus_infinity(losses: Losses) -> None:
    """As in F.cross_entropy the loss is infinite, and the gradient finite: it pulls at the similar classes by S."""
    logits = torch.tensor([[-torch.inf, -torch.inf, 0.0, 0.0, -torch.inf]])
    similarity = torch.eye(5)
    similarity[0, 1] = 0.25
    value, gradient = value_and_gradient(lambda z: losses(z, torch.tensor([0]), similarity), logits)
    assert value.tolist() == [torch.inf]
    torch.testing.assert_close(gradient, torch.tensor([[-0.8, -0.2, 0.5, 0.5, 0.0]]))


@batched("form", FORMS)
@batched("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_classes_at_minus_infinity_get_no_gradient(losses: Losses, form: str, dtype: torch.dtype) -> None:
    """Nor do they change the loss: it is that of the other classes."""
    logits, labels = random_logits(7, 40, dtype=dtype), random_labels(7, classes=20)
    logits[:, 20:] = -torch.inf
    similarity, dense = in_form(form, 40)
    value, gradient = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    few = oracle.sim_loss(logits[:, :20].double().numpy(), labels.numpy(), dense[:20, :20].double().numpy())
    assert_is_oracle(value, gradient[:, :20], few)
    assert torch.equal(gradient[:, 20:], torch.zeros_like(gradient[:, 20:]))


@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf])
def test_ignored_rows_are_zero_whatever_is_in_them(losses: Losses, rubbish: float) -> None:
    logits = random_logits(3, 4)
    logits[1] = rubbish
    ignored = torch.tensor([False, True, False])
    value, gradient = value_and_gradient(
        lambda z: losses(z, torch.tensor([0, 0, 2]), random_similarity(4), ignored),
        logits,
        lambda v: torch.full_like(v, torch.inf),  # as from a mean over nothing
    )
    assert value[1] == 0
    assert torch.equal(gradient[1], torch.zeros(4))
    assert (value[[0, 2]] > 0).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
def test_not_a_number_goes_through_and_stays_in_its_row(losses: Losses, form: str, rubbish: float) -> None:
    logits = random_logits(3, 4)
    logits[1, 2] = rubbish
    value, gradient = value_and_gradient(lambda z: losses(z, torch.tensor([0, 0, 2]), in_form(form, 4)[0]), logits)
    assert value.isnan().tolist() == [False, True, False]
    assert gradient.isnan().all(1).tolist() == [False, True, False]
    assert not gradient[[0, 2]].isnan().any()


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FC00001, 0x7FFFFFFF, 0x7F800001, 0xFFC00000, 0xFFFFFFFF])
def test_every_kind_of_not_a_number_goes_through(losses: Losses, bits: int) -> None:
    """A NaN has digits of its own: those made on a GPU are others than those made on a CPU."""
    logits = random_logits(3, 40)
    logits[1, 2] = torch.tensor(bits - 2**32 if bits >= 2**31 else bits).int().view(torch.float32)
    assert logits[1, 2].isnan()
    value, gradient = value_and_gradient(lambda z: losses(z, torch.tensor([0, 0, 2]), random_similarity(40)), logits)
    assert value.isnan().tolist() == [False, True, False]
    assert gradient.isnan().all(1).tolist() == [False, True, False]


@pytest.mark.parametrize("default", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", FORMS)
def test_the_default_dtype_does_not_matter(losses: Losses, form: str, default: torch.dtype) -> None:
    logits, labels = random_logits(300, 7), random_labels(300, classes=7)
    logits[2] = torch.tensor([-300.0, 0, 0, 0, 0, 0, 0])  # a far row, unless its class is like another
    labels[2] = 0
    similarity, _ = in_form(form, 7)
    expected = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    torch.set_default_dtype(default)
    try:
        found = value_and_gradient(lambda z: losses(z, labels, similarity), logits)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("form", FORMS)
def test_the_default_device_does_not_matter(losses: Losses, form: str) -> None:
    """The meta device stands in for a GPU."""
    logits, labels = random_logits(30, 7).requires_grad_(), random_labels(30, classes=7)
    similarity, _ = in_form(form, 7)
    expected = losses(logits, labels, similarity).detach()
    with torch.device("meta"):
        assert torch.equal(losses(logits, labels, similarity), expected)


def test_tensors_of_other_kinds_are_left_to_torch(losses: Losses) -> None:
    """Their numbers are not where their address says."""
    logits, labels, similarity = random_logits(6, 5), random_labels(6, classes=5), random_similarity(5)
    expected = losses(-logits, labels, similarity)
    torch.testing.assert_close(losses(torch._neg_view(logits), labels, similarity), expected, rtol=2.0**-22, atol=0)

    class Mine(Tensor):
        pass

    assert not native.takes(logits.as_subclass(Mine), labels)
    assert native.table_of(Dense(similarity.as_subclass(Mine))) is None
    assert not native.takes(logits, labels.as_subclass(Mine))
    assert not native.takes_results(logits, torch.ones((), device="meta"), None)
    assert not native.takes_batch(
        logits.as_subclass(Mine), labels, Dense(similarity), native.table_of(Dense(similarity))
    )
    assert not native.takes_batch(
        logits, labels.as_subclass(Mine), Dense(similarity), native.table_of(Dense(similarity))
    )


@pytest.mark.parametrize("step", [1, 3])
def test_strides_do_not_matter(losses: Losses, step: int) -> None:
    """Rows apart, columns apart or not; a matrix whose columns are rows in memory; labels apart; an odd address."""
    logits, labels, similarity = random_logits(6, 5), random_labels(6, classes=5), random_similarity(5)
    strided = random_logits(12, 15 * step + 1)[::2, 1 : 1 + 5 * step : step].copy_(logits)
    crossed = similarity.T.contiguous().T
    assert not strided.is_contiguous()
    assert not crossed.is_contiguous()
    here = value_and_gradient(lambda z: losses(z, labels, similarity), logits, uneven)
    for matrix in (crossed, similarity):
        leaf = strided.detach().requires_grad_()
        there = losses(leaf, labels.repeat_interleave(2)[::2], matrix)
        there.backward(uneven(there.detach()).repeat_interleave(2)[::2])
        torch.testing.assert_close((there.detach(), leaf.grad), here, rtol=2.0**-22, atol=2.0**-22)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_nothing_given_is_modified(losses: Losses, dtype: torch.dtype) -> None:
    given_tensors = [random_logits(6, 5, dtype=dtype, scale=50), random_labels(6, classes=5), random_similarity(5)]
    copies = [tensor.clone() for tensor in given_tensors]
    given_tensors[0].requires_grad_()
    upstream = torch.rand(6, dtype=work_dtype(given_tensors[0]))
    value = losses(*given_tensors)
    value_before, upstream_before = value.detach().clone(), upstream.clone()
    value.backward(upstream)
    for tensor, copy in zip([*given_tensors, value, upstream], [*copies, value_before, upstream_before], strict=True):
        assert torch.equal(tensor.detach(), copy)


def test_a_similarity_in_half_precision_is_used_in_full(losses: Losses) -> None:
    """The entries that float16 can hold give the same loss as in float32, to two units in the last place."""
    logits, labels = random_logits(6, 5), random_labels(6, classes=5)
    half = random_similarity(5, dtype=torch.float16)
    here = value_and_gradient(lambda z: losses(z, labels, half), logits)
    there = value_and_gradient(lambda z: losses(z, labels, half.float()), logits)
    torch.testing.assert_close(here, there, rtol=2.0**-22, atol=2.0**-22)


@pytest.mark.parametrize("label", [5, -1, 2**40])
@pytest.mark.parametrize("way", MODULES)
def test_labels_that_are_no_classes_are_refused(way: object, label: int) -> None:
    labels = torch.tensor([0, label, 2])
    with pytest.raises(IndexError, match=rf"target {label} is out of bounds: classes are 0 to 4"):
        row_losses_by(way, random_logits(3, 5), labels, Dense(random_similarity(5)), Call(-100), None)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("crow_indices", "col_indices"),
    [
        ([0, 1, 2, 3], [0, 1, 7]),
        ([0, 1, 2, 5], [0, 1, 2]),
        ([0, 1, 2, 3], [0, -1, 2]),
        ([0, 1, 99, 3], [0, 1, 2]),
        ([0, -4, 2, 3], [0, 1, 2]),
    ],
)
def test_no_memory_outside_a_sparse_matrix_is_read(crow_indices: list[int], col_indices: list[int]) -> None:
    """SimLoss checks a matrix when it is made; the function takes what it is given."""
    # What stands behind the entries in memory would do as entries.
    columns, values = torch.tensor([*col_indices, 0, 1]).int()[:3], torch.ones(5)[:3]
    broken = Sparse(torch.tensor(crow_indices), columns, values)
    logits = random_logits(3, 3)
    assert native.table_of(broken) is not None
    with pytest.raises(IndexError, match="entries"):
        row_losses_by(native, logits, torch.tensor([0, 1, 2]), broken, Call(-100), None)
