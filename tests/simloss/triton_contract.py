"""What the Triton kernels have to do. `test_triton_kernels.py` runs this in processes of its own.

On a GPU it runs there, else in Triton's interpreter. Expectations come from tests/oracle.py, budgets for rounding
errors from eager code on the same input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from triton.runtime.interpreter import InterpreterOptions, interpreter_builder

from simloss.forms import Dense, Similarity, Sparse, Toeplitz
from simloss.rows.call import Call
from simloss.rows.cuda import launch as launching
from simloss.rows.cuda.launch import Launch, launch_for, row_losses, scale_gradient_
from tests import oracle
from tests.simloss.cases import (
    assert_within_budget,
    eager_sim_loss,
    random_labels,
    random_logits,
    random_similarity,
    sparse_of,
    value_and_gradient,
)

pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice")  # NumPy, of a row of NaN

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FORMS = ["dense", "sparse", "toeplitz"]
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
# The interpreter cuts float32 off where it makes bfloat16 of it.
ROUNDED = [torch.float16, torch.bfloat16] if DEVICE == "cuda" else [torch.float16]
ROWS = 3  # of the similarity that large cases have: their labels are 0, 1 and 2
IGNORED = -100
U = 2.0**-24  # what one rounding in float32 costs at most, as a share of the result


@pytest.fixture(autouse=True)
def _interpreter_like_a_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the interpreter check assertions, as the kernels ask of a device, and take infinities without a word."""
    options = InterpreterOptions(debug=True, sanitize_overflow=False)
    monkeypatch.setattr(interpreter_builder, "options", options)
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(params=["registers", "sweeps"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make rows of more than 16 classes go through several tiles, or leave the choice as it is."""
    if request.param == "sweeps":
        monkeypatch.setattr(launching, "launch_for", lambda *_: Launch(rows=1, tile=16, warps=4))
    return request.param


def form_and_rows(form: str, classes: int, dtype: torch.dtype = torch.float32) -> tuple[Similarity, Tensor]:
    """Return the first rows of a matrix in one of the forms, and dense. One has a single entry, one has all."""
    count = min(classes, ROWS)
    if form == "toeplitz":
        diagonals = torch.rand(2 * classes - 1, generator=torch.Generator().manual_seed(classes))
        diagonals[::4] = 0.0
        diagonals[classes - 1] = 1.0
        places = classes - 1 + torch.arange(classes) - torch.arange(count).unsqueeze(1)
        return Toeplitz(diagonals.to(DEVICE, dtype)), diagonals[places].to(dtype)
    generator = torch.Generator().manual_seed(classes)
    rows = torch.rand(count, classes, generator=generator)
    if form == "sparse":
        rows[rows < 0.7] = 0.0
        rows[-1] = 0.0
    rows[:, 0] = 0.0
    rows[count // 2] = 0.5
    rows.fill_diagonal_(1.0)
    return in_form(form, rows.to(dtype)), rows.to(dtype)


def in_form(form: str, rows: Tensor) -> Similarity:
    return Dense(rows.to(DEVICE)) if form == "dense" else Sparse(*(part.to(DEVICE) for part in sparse_of(rows)))


def mix_of(share: float, smoothing: float) -> Tensor:
    return torch.tensor([share, smoothing], dtype=torch.float64, device=DEVICE)


def computed(
    logits: Tensor,
    labels: Tensor,
    similarity: Similarity,
    scale: Tensor | None = None,
    gradient: Tensor | None = None,
    mix: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return losses and their gradient. It is written over rubbish, so that an element left out shows."""
    if gradient is None:
        gradient = torch.full(logits.shape, 777.0, dtype=logits.dtype, device=DEVICE)
    call = Call(IGNORED, None if scale is None else scale.to(DEVICE), mix)
    losses = row_losses(logits.to(DEVICE), labels.to(DEVICE), similarity, call, gradient)
    return losses.cpu(), gradient.cpu()


def expected(logits: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    losses, gradient, _ = oracle.sim_loss(logits.double().numpy(), labels.numpy(), rows.double().numpy())
    return torch.from_numpy(losses), torch.from_numpy(gradient)


def assert_right(found: tuple[Tensor, Tensor], logits: Tensor, labels: Tensor, rows: Tensor) -> None:
    """Compare with the oracle: float64 by counted roundings, as in test_index_loss; all else by eager code's errors."""
    exact = expected(logits, labels, rows)
    if logits.dtype == torch.float64:
        allowed = (logits.shape[1] + 24) * 2.0**-52
        np.testing.assert_allclose(found[0].numpy(), exact[0].numpy(), rtol=allowed, atol=0)
        np.testing.assert_allclose(found[1].numpy(), exact[1].numpy(), rtol=0, atol=allowed)
        return
    budget = value_and_gradient(lambda z: eager_sim_loss(z, labels, rows.float()), logits)
    for mine, eager, true in zip(found, budget, exact, strict=True):
        assert_within_budget(mine, eager.double(), true)


SMALL = [(count, classes) for classes in (1, 2, 3, 10) for count in (0, 1, 7, 289)]
MIDDLE = [(7, 100), (7, 1000), (3, 1001), (3, 1024), (1, 1025), (2, 2049)]
LARGE = [(1, 8193), (1, 32000), (2, 50257)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "classes"), SMALL + MIDDLE)
@pytest.mark.parametrize("form", FORMS)
def test_losses_and_gradients_are_those_of_the_oracle(form: str, count: int, classes: int, dtype: torch.dtype) -> None:
    similarity, rows = form_and_rows(form, classes)
    logits, labels = random_logits(count, classes, dtype=dtype), random_labels(count, classes=len(rows))
    assert_right(computed(logits, labels, similarity), logits, labels, rows)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "classes"), LARGE)
@pytest.mark.parametrize("form", FORMS)
def test_losses_and_gradients_of_many_classes(form: str, count: int, classes: int) -> None:
    similarity, rows = form_and_rows(form, classes)
    logits, labels = random_logits(count, classes), random_labels(count, classes=len(rows))
    assert_right(computed(logits, labels, similarity), logits, labels, rows)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [17, 32, 100])
@pytest.mark.parametrize("form", FORMS)
def test_every_element_is_right_to_its_last_digits(form: str, classes: int, dtype: torch.dtype, kernel: str) -> None:
    """Whatever the order of the logits, and however far apart: an exponential is right to 2 ulp, and so are the rest.

    A slope is p - q with q = S p / a, and its error is counted against the sum of these. Each of the two sums over the
    classes rounds at most C times, all else two dozen times. What an exponential loses to underflow is multiplied by
    b / a, up to where a row counts as far.
    """
    similarity, rows = form_and_rows(form, classes)
    labels = torch.tensor([0, 1, 2])
    for scale in (0.1, 3.0, 40.0):
        logits = random_logits(3, classes, dtype=dtype, scale=scale)
        logits[0] = logits[0].sort().values  # each tile has a new maximum
        logits[1] = logits[1].sort(descending=True).values
        losses, gradient = computed(logits, labels, similarity)
        exact, slopes = expected(logits, labels, rows)
        allowed = (classes + 24) * torch.finfo(dtype).eps
        np.testing.assert_allclose(losses.numpy(), exact.numpy(), rtol=allowed, atol=0)
        p = logits.double().softmax(1)
        limits = torch.finfo(dtype)
        underflow = limits.tiny * exact.clamp(max=math.log(limits.eps / limits.tiny)).exp().unsqueeze(1)
        worst = ((gradient - slopes).abs() / (allowed * (p + (p - slopes).abs()) + underflow)).max().item()
        assert worst <= 1


@pytest.mark.slow
@pytest.mark.parametrize("near", ["by the logits", "by the similarity"])
@pytest.mark.parametrize("loss", [1e-3, 3e-6, 1e-8])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_digits_near_zero_loss(form: str, loss: float, near: str, kernel: str) -> None:
    """As in test_accuracy: 14 and 24 roundings. A sparse matrix subtracts nothing either."""
    logits = torch.full((1, 40), -torch.inf)
    rows = torch.ones(1, 40)
    if near == "by the logits":
        logits[0, [0, 9, 20, 30]] = torch.tensor([0.0, math.log(loss), math.log(loss / 2), math.log(loss / 3)])
        rows[0, [9, 20, 30]] = torch.tensor([0.5, 0.0, 0.25])
    else:
        logits[0, [0, 9, 20, 30]] = torch.tensor([0.0, -0.5, -1.5, -2.25])
        rows[0, 30] = 1.0 - max(loss, 2 * U)  # there are no more float32 just below 1
    losses, gradient = computed(logits, torch.tensor([0]), in_form(form, rows))
    exact, slopes = oracle.sim_loss_row(logits[0].double().numpy(), rows[0].double().numpy())
    assert 1e-9 < exact < 2e-3
    np.testing.assert_allclose(losses.double(), exact, rtol=14 * U)
    np.testing.assert_allclose(gradient[0].double(), slopes, rtol=24 * U)


def spread(values: list[float], fill: float) -> Tensor:
    """Return these values 9 columns apart, so that they lie in different tiles of 16."""
    row = torch.full((9 * len(values),), fill)
    row[::9] = torch.tensor(values)
    return row


def one_row(form: str, row: Tensor) -> Similarity:
    """Return a matrix whose row 0 is this one."""
    return in_form(form, row.unsqueeze(0))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smallest", [0.5, 1e-30, 1e-42])
@pytest.mark.parametrize("gap", [50.0, 80.0, 104.0, 1e4])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_similar_classes_far_below_the_maximum(
    form: str, gap: float, smallest: float, dtype: torch.dtype, kernel: str
) -> None:
    """The two far rows have a near one beside them, in the same program where several rows share one."""
    row = spread([1.0, smallest, 0.75, 0.0], 0.0)
    logits = torch.stack(
        [
            spread([-gap, 0.0, -gap - 1, -0.5], -gap),
            spread([0.0, -1.0, 1.0, 2.0], -1.5),
            spread([-gap, -gap / 2, 1.0, 2.0], -gap),
        ]
    ).to(dtype)
    logits[2, 18] = -gap
    labels = torch.tensor([0, 0, 0])
    assert_right(computed(logits, labels, one_row(form, row)), logits, labels, row.unsqueeze(0))


@pytest.mark.slow
@pytest.mark.parametrize("gap", [128.0, 1024.0, 65536.0])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_the_gradient_keeps_its_digits_far_below_the_maximum(form: str, gap: float, kernel: str) -> None:
    """As in test_row_losses: at most a dozen and a half roundings, as the distances of similar classes are exact."""
    logits = spread([-gap, -gap - 1, 0.0, -0.5, -gap + 1], -torch.inf).unsqueeze(0)
    row = spread([1.0, 0.75, 0.0, 0.0, 0.5], 0.0)
    _, gradient = computed(logits, torch.tensor([0]), one_row(form, row))
    _, slopes = oracle.sim_loss_row(logits[0].double().numpy(), row.double().numpy())
    np.testing.assert_allclose(gradient[0].numpy(), slopes, rtol=18 * U)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_similar_classes_all_at_minus_infinity(form: str, kernel: str) -> None:
    """As in F.cross_entropy the loss is infinite, and the gradient finite: it pulls at the similar classes by S."""
    logits = spread([-torch.inf, -torch.inf, 0.0, 0.0, -torch.inf], -torch.inf).unsqueeze(0)
    similarity = one_row(form, spread([1.0, 0.25, 0.0, 0.0, 0.0], 0.0))
    for mix, own, other in ((None, -0.8, -0.2), (mix_of(0.25, 0.0), -0.95, -0.05), (mix_of(0.0, 0.0), -1.0, 0.0)):
        losses, gradient = computed(logits, torch.tensor([0]), similarity, mix=mix)
        assert losses.tolist() == [torch.inf]
        torch.testing.assert_close(gradient[0], spread([own, other, 0.5, 0.5, 0.0], 0.0), rtol=4 * U, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("form", FORMS)
def test_ignored_rows_are_zero_whatever_is_in_them(form: str, rubbish: float, kernel: str) -> None:
    similarity, _ = form_and_rows(form, 40)
    logits = random_logits(3, 40)
    logits[1] = rubbish
    scale = torch.tensor([1.0, torch.inf, -1.0])
    losses, gradient = computed(logits, torch.tensor([0, IGNORED, 2]), similarity, scale)
    assert losses[1] == 0
    assert torch.equal(gradient[1], torch.zeros(40))
    assert losses[0] > 0 > losses[2]
    assert gradient[[0, 2]].abs().sum(1).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 39, slice(None)])
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
@pytest.mark.parametrize("form", FORMS)
def test_not_a_number_goes_through_and_stays_in_its_row(
    form: str, rubbish: float, place: int | slice, kernel: str
) -> None:
    similarity, _ = form_and_rows(form, 40)
    logits = random_logits(3, 40)
    logits[1, place] = rubbish
    for mix in (None, mix_of(0.3, 0.05)):
        losses, gradient = computed(logits, torch.tensor([0, 1, 2]), similarity, mix=mix)
        assert losses.isnan().tolist() == [False, True, False]
        assert gradient.isnan().all(1).tolist() == [False, True, False]
        assert not gradient[[0, 2]].isnan().any()


@pytest.mark.parametrize("form", FORMS)
def test_no_finite_logit_gives_not_a_number(form: str, kernel: str) -> None:
    for mix in (None, mix_of(0.3, 0.05)):
        logits, label = torch.full((1, 40), -torch.inf), torch.tensor([0])
        losses, gradient = computed(logits, label, form_and_rows(form, 40)[0], mix=mix)
        assert losses.isnan().all()
        assert gradient.isnan().all()


@pytest.mark.parametrize("form", FORMS)
def test_minus_infinity_is_a_class_of_probability_0(form: str, kernel: str) -> None:
    similarity, rows = form_and_rows(form, 40)
    logits, labels = random_logits(3, 40), torch.tensor([0, 1, 2])
    logits[:, 3:30] = -torch.inf
    losses, gradient = computed(logits, labels, similarity)
    kept = [0, 1, 2, *range(30, 40)]
    assert torch.equal(gradient[:, 3:30].abs(), torch.zeros(3, 27))
    assert_right((losses, gradient[:, kept]), logits[:, kept], labels, rows[:, kept])


@pytest.mark.slow
@pytest.mark.parametrize("scale", [torch.tensor(0.25), torch.tensor([2.0, -0.5, 0.0])], ids=["one", "a row"])
@pytest.mark.parametrize("form", FORMS)
def test_rows_count_by_their_scale(form: str, scale: Tensor, kernel: str) -> None:
    """Powers of two, and 0, so that scaling rounds nothing."""
    similarity, _ = form_and_rows(form, 40)
    logits, labels = random_logits(3, 40), torch.tensor([0, 1, 2])
    logits[0, :3] = -200.0  # a far row
    for mix in (None, mix_of(0.3, 0.05)):
        plain = computed(logits, labels, similarity, mix=mix)
        scaled = computed(logits, labels, similarity, scale, mix=mix)
        assert torch.equal(scaled[0], plain[0] * scale)
        assert torch.equal(scaled[1], plain[1] * (scale.unsqueeze(1) if scale.ndim else scale))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("form", FORMS)
def test_in_place_or_not_at_all_or_again_the_result_is_the_same(form: str, dtype: torch.dtype, kernel: str) -> None:
    similarity, _ = form_and_rows(form, 40)
    logits, labels = random_logits(5, 40, dtype=dtype), torch.tensor([0, 1, IGNORED, 2, 0])
    logits[3, :3] = -200.0
    before = logits.clone()
    for mix in (None, mix_of(0.3, 0.05)):
        first = computed(logits, labels, similarity, mix=mix)
        assert torch.equal(logits, before)
        again = computed(logits, labels, similarity, mix=mix)
        space = logits.to(DEVICE, copy=True)
        in_place = computed(space, labels, similarity, gradient=space, mix=mix)
        losses = row_losses(logits.to(DEVICE), labels.to(DEVICE), similarity, Call(IGNORED, mix=mix), None).cpu()
        for value, gradient in (again, in_place, (losses, first[1])):
            assert torch.equal(value, first[0])
            assert torch.equal(gradient, first[1])


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_strides_do_not_matter(form: str, kernel: str) -> None:
    similarity, _ = form_and_rows(form, 40)
    logits, labels = random_logits(3, 40), torch.tensor([0, 1, 2])
    plain = computed(logits, labels, similarity)
    wide = torch.full((6, 57), torch.nan)
    padded, stepped, crossed = wide[::2, 3:43], torch.full((3, 80), torch.nan)[:, ::2], torch.zeros(40, 3).T
    for strided in (padded, stepped, crossed):
        strided.copy_(logits)
        assert all(map(torch.equal, computed(strided, labels, similarity), plain))
        space = strided.to(DEVICE)
        assert all(map(torch.equal, computed(space, labels, similarity, gradient=space), plain))
    padded.fill_(torch.nan)
    assert wide.isnan().all()


@pytest.mark.slow
def test_strides_of_the_similarity_do_not_matter(kernel: str) -> None:
    logits, labels, values = random_logits(3, 40), torch.tensor([0, 7, 39]), random_similarity(40)
    plain = computed(logits, labels, Dense(values.to(DEVICE)))
    assert all(map(torch.equal, computed(logits, labels, Dense(values.T.contiguous().to(DEVICE).T)), plain))
    assert all(
        map(torch.equal, computed(logits, labels, Dense(values.repeat_interleave(2, 1).to(DEVICE)[:, ::2])), plain)
    )
    diagonals = random_similarity(79)[0].to(DEVICE)
    assert all(
        map(
            torch.equal,
            computed(logits, labels, Toeplitz(diagonals.repeat_interleave(3)[::3])),
            computed(logits, labels, Toeplitz(diagonals)),
        )
    )
    parts = [part.to(DEVICE) for part in sparse_of(values)]
    apart = [part.repeat_interleave(2)[::2] for part in parts]
    assert all(map(torch.equal, computed(logits, labels, Sparse(*apart)), computed(logits, labels, Sparse(*parts))))


def test_strides_of_the_labels_do_not_matter(kernel: str) -> None:
    logits, labels, values = random_logits(3, 40), torch.tensor([0, 7, 39]), Dense(random_similarity(40).to(DEVICE))
    plain = computed(logits, labels, values)
    assert all(map(torch.equal, computed(logits, labels.repeat_interleave(2)[::2], values), plain))
    same = computed(logits, torch.tensor([7, 7, 7]), values)
    assert all(map(torch.equal, computed(logits, torch.tensor(7).expand(3), values), same))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", FORMS)
def test_a_similarity_of_another_dtype_is_used_in_full(form: str, dtype: torch.dtype, kernel: str) -> None:
    similarity, _ = form_and_rows(form, 40, dtype)
    single = type(similarity)(*similarity[:-1], similarity[-1].float())
    logits, labels = random_logits(3, 40), torch.tensor([0, 1, 2])
    assert all(map(torch.equal, computed(logits, labels, similarity), computed(logits, labels, single)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_indices_may_be_short_or_long(dtype: torch.dtype, kernel: str) -> None:
    similarity, rows = form_and_rows("sparse", 40)
    crow, columns, values = similarity
    logits, labels = random_logits(3, 40), torch.tensor([0, 1, 2])
    found = computed(logits, labels, Sparse(crow.to(dtype), columns.to(dtype), values))
    assert_right(found, logits, labels, rows)


@pytest.mark.parametrize("dtype", ROUNDED)
def test_the_gradient_is_rounded_once_to_its_own_dtype(dtype: torch.dtype, kernel: str) -> None:
    similarity, _ = form_and_rows("dense", 40)
    logits, labels = random_logits(3, 40, dtype=dtype), torch.tensor([0, 1, 2])
    wide = computed(logits, labels, similarity, gradient=torch.empty(3, 40, device=DEVICE))
    narrow = computed(logits, labels, similarity)
    assert torch.equal(narrow[0], wide[0])
    assert torch.equal(narrow[1], wide[1].to(dtype))


@pytest.mark.skipif(DEVICE == "cuda", reason="a failed assertion leaves the device unusable")
@pytest.mark.parametrize("label", [-1, 40, 2**40])
@pytest.mark.parametrize("form", FORMS)
def test_a_label_out_of_bounds_fails_the_assertion(form: str, label: int, kernel: str) -> None:
    with pytest.raises(Exception, match="target is out of bounds"):
        computed(random_logits(2, 40), torch.tensor([0, label]), form_and_rows(form, 40)[0])


# --- a share of cross entropy, with smoothed labels -------------------------------------------------------------------

MIXES = [(0.0, 0.05), (0.0, 1.0), (0.3, 0.0), (0.3, 0.05), (1.0, 1.0)]


class Mixed(NamedTuple):
    """The loss of a row and its slopes in float64, and the sum of the absolute values of the terms of each slope."""

    loss: float
    slopes: np.ndarray
    terms: np.ndarray


def mixed_row(z: np.ndarray, s: np.ndarray, label: int, share: float, smoothing: float) -> Mixed:
    """Return share * SimLoss + (1 - share) * the cross entropy of a target of which similar classes get a part."""
    e = np.exp(z - z.max())
    p, others = e / math.fsum(e), np.arange(len(z)) != label
    rest = math.fsum(e[others])
    target = np.where(others, 0.0, 1.0)
    if (s[others] > 0).any():
        target = np.where(others, smoothing * (s / math.fsum(s[others])), 1.0 - smoothing)
    log_p = z - z.max() - math.log(math.fsum(e))
    if e[label] > 1e-250:
        log_p[label] = -math.log1p(rest / e[label])
    entropy = math.fsum(-(target * log_p)[target > 0])
    of_entropy, entropy_terms = p - target, p + target
    of_entropy[label] = (1.0 - target[label]) - rest / math.fsum(e)
    entropy_terms[label] = (1.0 - target[label]) + rest / math.fsum(e)
    if share == 0:
        return Mixed(entropy, of_entropy, entropy_terms)
    of_similarity, slopes = oracle.sim_loss_row(z, s)
    loss = share * of_similarity + ((1 - share) * entropy if share < 1 else 0.0)
    terms = np.abs(2 * p * (1 - s) - slopes)  # p (1 - S) + p S b / a
    return Mixed(loss, share * slopes + (1 - share) * of_entropy, share * terms + (1 - share) * entropy_terms)


def assert_mixed(
    similarity: Similarity, rows: Tensor, logits: Tensor, labels: Tensor, mixes: list[tuple[float, float]]
) -> None:
    """Compare with the formula, by counted roundings as `test_every_element_is_right_to_its_last_digits` does."""
    mix = mix_of(0.0, 0.0)
    limits = torch.finfo(torch.promote_types(logits.dtype, torch.float32))
    allowed = (logits.shape[1] + 24) * limits.eps
    own = torch.finfo(logits.dtype)  # the gradient is rounded to this
    rounding, least = (own.eps / 2, own.tiny * own.eps / 2) if own.bits == 16 else (0.0, 0.0)
    for share, smoothing in mixes:
        mix.copy_(mix_of(share, smoothing))
        losses, gradient = computed(logits, labels, similarity, mix=mix)
        for loss, slopes, z, label in zip(losses, gradient.double().numpy(), logits, labels.tolist(), strict=True):
            if label == IGNORED:
                assert loss == 0
                assert not slopes.any()
                continue
            exact = mixed_row(z.double().numpy(), rows[label].double().numpy(), label, share, smoothing)
            np.testing.assert_allclose(loss.double(), exact.loss, rtol=allowed, atol=smoothing * limits.eps)
            # What an exponential loses to underflow is multiplied by b / a, up to where a row counts as far.
            growth = math.exp(min(exact.loss / share, math.log(limits.eps / limits.tiny))) if share else 0.0
            room = allowed * exact.terms + limits.tiny * (1 + growth) + rounding * np.abs(exact.slopes) + least
            assert (np.abs(slopes - exact.slopes) <= room).all(), (share, smoothing, label)


def rows_of_each_kind(rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return logits and labels: each label with each kind of logits, and a row to ignore."""
    labels = torch.arange(ROWS).repeat(6)
    logits, s = random_logits(len(labels), rows.shape[1]), rows[labels]
    others = s.scatter(1, labels.unsqueeze(1), 1.0) == 0
    ascending, near, far, lost, unlike = (slice(ROWS * kind, ROWS * (kind + 1)) for kind in range(1, 6))
    logits[ascending] = logits[ascending].sort().values  # each tile has a new maximum
    logits[near] -= 20.0
    logits[near].scatter_(1, labels[near].unsqueeze(1), 2.0)
    logits[far] = torch.where(others[far], logits[far], logits[far] - 200.0)
    logits[lost].scatter_(1, labels[lost].unsqueeze(1), -200.0)
    logits[unlike] = logits[unlike].masked_fill(others[unlike], -torch.inf)
    ignored = torch.full((1, rows.shape[1]), torch.nan)
    return torch.cat([logits, ignored]).to(dtype), torch.cat([labels, torch.tensor([IGNORED])])


def test_a_share_of_cross_entropy_in_float32(kernel: str) -> None:
    similarity, rows = form_and_rows("dense", 24)
    assert_mixed(similarity, rows, *rows_of_each_kind(rows, torch.float32), [(0.0, 0.0), (0.3, 0.05)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "dtype"),
    [
        ("dense", torch.float16),
        ("dense", torch.float64),
        ("sparse", torch.float32),
        ("sparse", torch.float64),
        ("toeplitz", torch.float32),
        ("toeplitz", torch.float16),
    ],
)
def test_a_share_of_cross_entropy_with_smoothed_labels(form: str, dtype: torch.dtype, kernel: str) -> None:
    similarity, rows = form_and_rows(form, 24, torch.float64 if dtype == torch.float64 else torch.float32)
    assert_mixed(similarity, rows, *rows_of_each_kind(rows, dtype), MIXES)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_neighbours_at_the_edge(form: str, kernel: str) -> None:
    """There are none, or their similarities are subnormal, or they or the label are at minus infinity.

    Differences of logits are whole numbers, so that their products with subnormal numbers are exact.
    """
    rows = torch.eye(ROWS, 40)
    rows[0, [12, 30]] = torch.tensor([0.5, 0.25])
    rows[2, [15, 33]] = torch.tensor([1e-42, 3e-42])
    labels = torch.tensor([0, 0, 1, 2])
    logits = random_logits(4, 40, scale=2.0).round()
    logits[0, 12] = -torch.inf
    logits[1, 0] = -torch.inf
    assert_mixed(in_form(form, rows), rows, logits, labels, MIXES)


# --- the backward pass ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *ROUNDED])
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (7, 40), (289, 3), (3, 9000)])
@pytest.mark.parametrize("is_single", [True, False])
def test_a_gradient_is_scaled_and_rounded_once(shape: tuple[int, int], is_single: bool, dtype: torch.dtype) -> None:
    gradient = random_logits(*shape, dtype=dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    factor = random_logits(() if is_single else shape[:1], seed=5, dtype=wide)
    expected = (gradient.to(wide) * (factor if is_single else factor.unsqueeze(1))).to(dtype)
    space = torch.full((shape[0], 2 * shape[1]), 7.0, dtype=dtype, device=DEVICE)[:, ::2]
    for place in (gradient.to(DEVICE, copy=True), space.copy_(gradient)):
        scale_gradient_(place, factor.to(DEVICE))
        assert torch.equal(place.cpu(), expected)


@pytest.mark.parametrize("factor", [torch.nan, torch.inf, 0.0, -1.0])
def test_factors_beside_1_are_used(factor: float) -> None:
    gradient = random_logits(3, 40)
    found = gradient.to(DEVICE, copy=True)
    scale_gradient_(found, torch.tensor([1.0, factor, 1.0], device=DEVICE))
    torch.testing.assert_close(found[1].cpu(), gradient[1] * factor, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found[[0, 2]].cpu(), gradient[[0, 2]])


def test_the_launch_follows_the_dtype() -> None:
    assert launch_for(8192, torch.float64).tile < 8192 <= launch_for(8192, torch.float32).tile
