"""A share of cross entropy, and similarity smoothing: in each way of computing the loss, for each form of the matrix.

Expectations come from tests/oracle.py, and where the similarity counts nothing from F.cross_entropy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import simmatrix
from simloss import LinearSimLoss, SimLoss, linear, linear_sim_loss, sim_loss, targets
from simloss.errors import SimilarityWarning
from simloss.forms import Similarity, Toeplitz
from simloss.reduction import work_dtype
from simloss.rows import native
from simmatrix.summary import FAINT
from tests import oracle
from tests.simloss.cases import (
    in_form,
    random_distribution,
    random_labels,
    random_logits,
    random_weight,
    sparse_of,
    uneven,
    value_and_gradient,
)

FORMS = ["dense", "sparse", "toeplitz"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
REDUCTIONS = ["none", "mean", "sum"]
SHARES = (0.0, 0.3, 1.0)
SMOOTHINGS = (0.0, 0.05, 1.0)
MIXES = list(product(SHARES, SMOOTHINGS))

Loss = Callable[..., Tensor]


# --- the ways, and the budget -----------------------------------------------------------------------------------------


def of_module(logits: Tensor, target: Tensor, similarity: Similarity, **options: Any) -> Tensor:
    return SimLoss(similarity, **options)(logits, target)


def of_layer(logits: Tensor, target: Tensor, similarity: Similarity, **options: Any) -> Tensor:
    """Return the loss of a layer whose weight is the identity, so that its logits are its input exactly."""
    eye = torch.eye(logits.shape[1], dtype=logits.dtype)
    return linear_sim_loss(logits, eye, target, similarity, **options)


WAYS: dict[str, Loss] = {"module": of_module, "function": sim_loss, "torch": sim_loss, "layer": of_layer}


@pytest.fixture(params=WAYS)
def loss(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Loss:
    if request.param == "torch":
        without_c(monkeypatch)
    monkeypatch.setattr(linear, "_height", lambda *_: 4)
    return WAYS[request.param]


def without_c(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("takes", "takes_batch"):
        monkeypatch.setattr(native, name, lambda *_: False)


@cache
def matrix(form: str, classes: int) -> tuple[Similarity, Tensor]:
    """Return a matrix in this form and dense; unless it is Toeplitz, class 3 has no neighbours, 4 hardly any."""
    similarity, dense = in_form(form, classes)
    if isinstance(similarity, Toeplitz):
        return similarity, dense
    dense[3], dense[4] = torch.eye(classes)[3], torch.eye(classes)[4]
    dense[4, 1] = 1e-20
    return (sparse_of(dense) if form == "sparse" else type(similarity)(dense)), dense


@cache
def batch(form: str, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return logits and labels of rows of each kind: ordinary ones, near zero loss, far ones, and one to ignore."""
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 3, 4, 2, 5, 1])
    logits = random_logits(len(labels), classes)
    logits[5, 0] += 16.0
    logits[6, 3] += 30.0
    logits[7, 4] += 5.0
    _, dense = matrix(form, classes)
    for row, gap in ((8, 100.0), (9, 400.0)):
        logits[row, dense[labels[row]] > 0] -= gap
    return logits.to(dtype), labels


IGNORED = 10  # the row, by its label


@cache
def exact_rows(
    form: str, classes: int, dtype: torch.dtype, share: float, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = batch(form, classes, dtype)
    dense = matrix(form, classes)[1].double().numpy()
    pairs = zip(logits.double().numpy(), labels.tolist(), strict=True)
    found = [oracle.mixed_row(z, dense[label], label, share, smoothing) for z, label in pairs]
    return np.array([one for one, _ in found]), np.stack([slopes for _, slopes in found])


def assert_is_exact(
    found: tuple[Tensor, Tensor],
    exact: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    reduction: str,
    smoothed: float,
    dtype: torch.dtype,
    total: float,
) -> None:
    """Compare a loss and its gradient with the exact ones of rows that count so much.

    Each of the sums over the classes (a, b, rest, and those of the smoothed target) rounds at most C times and there
    are at most two of them in any quotient, the rest are three dozen operations. A small loss is about e^(z - m), whose
    exponent was rounded, also by the oracle. Only where the target is smoothed is log d taken by itself: this is right
    to so many units of 1, not of the loss. A sum over the rows rounds once a row. A loss or gradient in half precision
    is rounded once more.
    """
    (value, gradient), (losses, slopes) = found, exact
    classes, limits = gradient.shape[1], torch.finfo(work_dtype(gradient))
    unit = (classes + 36) * limits.eps
    with np.errstate(divide="ignore"):
        exponents = np.where(losses > 0, np.maximum(-np.log(losses), 0.0), 0.0)
    errors = losses * (unit + exponents * (limits.eps / 2 + 2.0**-53)) + smoothed * unit + classes * limits.tiny
    expected, errors = counts * losses, counts * errors
    if reduction != "none":
        divisor = total if reduction == "mean" else 1.0
        expected = np.array(expected.sum() / divisor)
        errors = errors.sum() / divisor + len(losses) * limits.eps * expected
        counts = counts / divisor
    is_half = dtype.itemsize == 2
    rounding = torch.finfo(dtype).eps / 2 if is_half else 0.0
    least = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps if is_half else 0.0  # the number next to 0
    assert value.dtype == gradient.dtype == dtype
    assert_within(value, expected, errors + rounding * expected + least)
    counts = (counts * uneven(torch.from_numpy(expected)).numpy()).reshape(-1, 1)
    allowed = np.abs(counts) * (unit + (len(losses) * limits.eps if reduction == "mean" else 0.0))
    # The upstream gradient is 4 at most.
    assert_within(gradient, counts * slopes, allowed + rounding * np.abs(counts * slopes) + 4 * least)


def assert_within(found: Tensor, expected: np.ndarray, allowed: np.ndarray) -> None:
    assert found.shape == expected.shape
    is_finite = np.isfinite(expected)
    np.testing.assert_array_equal(found.double().numpy()[~is_finite], expected[~is_finite])
    errors = np.abs(found.double().numpy()[is_finite] - expected[is_finite])
    allowed = np.broadcast_to(allowed, expected.shape)[is_finite]
    assert (errors <= allowed).all(), f"errors of {errors.max():.3g}, {(errors / (allowed + 1e-300)).max():.3g} times"


@pytest.mark.parametrize("classes", [12, 40])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_of_class_indices(loss: Loss, form: str, classes: int) -> None:
    similarity, _ = matrix(form, classes)
    for dtype, (share, smoothing), reduction, weighted in product(DTYPES, MIXES, REDUCTIONS, (False, True)):
        logits, labels = batch(form, classes, dtype)
        logits, labels = logits.clone(), labels.clone()
        logits[IGNORED], labels[IGNORED] = torch.nan, -7
        weight = random_weight(classes) if weighted else None
        counts = (torch.ones(classes) if weight is None else weight).double().numpy()[labels]
        counts[IGNORED] = 0.0
        options = {"weight": weight, "ignore_index": -7, "reduction": reduction}
        found = value_and_gradient(
            lambda z, labels=labels, options=options, share=share, smoothing=smoothing: loss(
                z, labels, similarity, share=share, similarity_smoothing=smoothing, **options
            ),
            logits,
            uneven,
        )
        exact = exact_rows(form, classes, dtype, share, smoothing)
        assert_is_exact(found, exact, counts, reduction, (1 - share) * smoothing, dtype, counts.sum())
        assert torch.equal(found[1][IGNORED], torch.zeros(classes, dtype=dtype))


# --- class probabilities, and labels that are smoothed ----------------------------------------------------------------


def probabilities(kind: str, classes: int) -> Tensor:
    """Return eight targets: of few classes, of all, or of both by turns."""
    few = torch.zeros(8, classes)
    for row, places in enumerate([(0,), (1, 2), (3, 4, 0), (5, 6), (4,), (3,), (2, 7), (1, 0)]):
        few[row, torch.tensor(places)] = random_distribution(len(places), seed=row).clamp(min=0.1)
    if kind == "few":
        return few
    dense = random_distribution(8, classes)
    return dense if kind == "all" else torch.where(torch.arange(8).unsqueeze(1) % 2 == 0, few, dense)


@cache
def exact_classes(form: str, dtype: torch.dtype, share: float, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of each of the rows for each class, and its gradient."""
    logits, (_, dense) = random_logits(8, 12).to(dtype).double().numpy(), matrix(form, 12)
    s = dense.double().numpy()
    found = [[oracle.mixed_row(z, s[k], k, share, smoothing) for k in range(12)] for z in logits]
    return np.array([[one for one, _ in row] for row in found]), np.array([[to for _, to in row] for row in found])


@pytest.mark.parametrize("kind", ["few", "all", "both", "smoothed labels"])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_of_class_probabilities(form: str, kind: str) -> None:
    """Rows of few classes are computed class by class, the others by products with S: each sum rounds C times more.

    These take log p from log_softmax, which is right to so many units of 1 or of itself, whichever is greater.
    """
    similarity, _ = matrix(form, 12)
    is_labels = kind == "smoothed labels"
    target = torch.tensor([0, 1, 2, 3, 4, 5, 3, 11]) if is_labels else probabilities(kind, 12)
    given = F.one_hot(target, 12).double() if is_labels else target.double()
    for dtype, (share, smoothing), reduction, weighted in product(DTYPES, MIXES, ("none", "mean"), (False, True)):
        for label_smoothing in (0.1, 1.0) if is_labels else (0.0, 0.1):
            weight = random_weight(12) if weighted else None
            of_class = torch.ones(12).double() if weight is None else weight.double()
            shares = (((1 - label_smoothing) * given + label_smoothing / 12) * of_class).numpy()
            losses, slopes = exact_classes(form, dtype, share, smoothing)
            losses, slopes = (shares * losses).sum(1), (shares[..., None] * slopes).sum(1)
            total = (given @ of_class).sum().item() if is_labels else 8.0
            options = {"weight": weight, "reduction": reduction, "label_smoothing": label_smoothing}
            value, gradient = value_and_gradient(
                lambda z, options=options, share=share, smoothing=smoothing: sim_loss(
                    z, target, similarity, share=share, similarity_smoothing=smoothing, **options
                ),
                random_logits(8, 12).to(dtype),
                uneven,
            )
            unit = (2 * 12 + 36) * torch.finfo(work_dtype(gradient)).eps
            errors = unit * (losses + (1 - share) * shares.sum(1))
            if reduction == "mean":
                losses, errors, slopes, shares = (part / total for part in (losses, errors, slopes, shares))
                losses, errors = np.array(losses.sum()), errors.sum()
            upstream = uneven(torch.from_numpy(losses)).numpy().reshape(-1, 1)
            # The loss has the dtype of what is most precise beside half precision, the gradient that of the logits.
            rounding = torch.finfo(dtype).eps / 2 if dtype.itemsize == 2 else 0.0
            least = 2.0**-24 if dtype == torch.float16 else 0.0
            of_value = rounding * (value.dtype == dtype)
            assert_within(value, losses, errors + of_value * losses)
            allowed = unit * upstream * shares.sum(1, keepdims=True)
            assert_within(
                gradient, upstream * slopes, allowed + rounding * np.abs(upstream * slopes) + upstream * least
            )


@pytest.mark.parametrize("kind", ["few", "all", "both"])
def test_probabilities_that_want_a_gradient_get_the_loss_of_each_class(kind: str) -> None:
    similarity, _ = matrix("dense", 12)
    logits, target = random_logits(8, 12, dtype=torch.float64), probabilities(kind, 12).double()
    for share, smoothing in MIXES:
        _, gradient = value_and_gradient(
            lambda t, share=share, smoothing=smoothing: sim_loss(
                logits, t, similarity, reduction="none", share=share, similarity_smoothing=smoothing
            ),
            target,
        )
        losses, _ = exact_classes("dense", torch.float64, share, smoothing)
        assert_within(gradient, losses, (2 * 12 + 36) * 2.0**-52 * (losses + 1 - share))


# --- rows that are special --------------------------------------------------------------------------------------------


def of_one_hot(logits: Tensor, target: Tensor, similarity: Similarity, **options: Any) -> Tensor:
    return sim_loss(logits, F.one_hot(target, logits.shape[1]).to(logits.dtype), similarity, **options)


@pytest.fixture(params=["module", "function", "torch", "few", "all"])
def row_loss(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Loss:
    """Return a function of logits, labels, a matrix and the options, also where a label is a distribution."""
    if request.param == "torch":
        without_c(monkeypatch)
    if request.param == "all":
        monkeypatch.setattr(targets, "_FEW", 0)
    return WAYS.get(request.param, of_one_hot)


SPECIAL = torch.tensor(
    [
        [1.0, 0.5, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 0.75, 0.0, 0.0, 0.5],
        *torch.eye(8)[3:].tolist(),
    ]
)
NOTHING = -torch.inf


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_of_minus_infinity(row_loss: Loss, form: str, dtype: torch.dtype) -> None:
    """Of classes without similarity; of the label, with and without neighbours; of a neighbour; of all alike; of most.

    Each may be infinite, by the oracle, and then its gradient is not.
    """
    logits = random_logits(8, 8, dtype=dtype)
    labels = torch.tensor([0, 1, 0, 1, 2, 2, 0, 0])
    for row, places in enumerate([(2, 6), (0, 3), (0,), (1,), (4,), (2, 4, 7), (1, 3, 7), (1, 2, 3, 4, 5, 6, 7)]):
        logits[row, torch.tensor(places)] = NOTHING
    similarity = sparse_of(SPECIAL) if form == "sparse" else in_form("dense", 8)[0]._replace(values=SPECIAL)
    infinite = 0
    for share, smoothing in MIXES:
        value, gradient = value_and_gradient(
            lambda z, share=share, smoothing=smoothing: row_loss(
                z, labels, similarity, reduction="none", share=share, similarity_smoothing=smoothing
            ),
            logits,
        )
        losses, slopes, _ = oracle.sim_loss(
            logits.double().numpy(),
            labels.numpy(),
            SPECIAL.numpy(),
            share=share,
            similarity_smoothing=smoothing,
        )
        unit = (2 * 8 + 36) * torch.finfo(dtype).eps
        assert_within(value, losses, unit * (losses + 1 - share))
        assert_within(gradient, slopes, unit)
        infinite += np.isinf(losses).sum()
    assert (
        infinite == 2 * len(MIXES) + 4 * 4
    )  # the label without neighbours, all alike; the others by share and smoothing


@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
def test_not_a_number_goes_through_and_stays_in_its_row(row_loss: Loss, rubbish: float) -> None:
    logits, labels = random_logits(5, 8), torch.tensor([0, 1, 2, 0, 5])
    logits[1, 4] = rubbish
    logits[3, 0] = rubbish
    similarity = in_form("dense", 8)[0]._replace(values=SPECIAL)
    for share, smoothing in MIXES:
        value, gradient = value_and_gradient(
            lambda z, share=share, smoothing=smoothing: row_loss(
                z, labels, similarity, reduction="none", share=share, similarity_smoothing=smoothing
            ),
            logits,
        )
        assert value.isnan().tolist() == [False, True, False, True, False]
        assert gradient.isnan().any(1).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("smallest", [1e-20, 1e-38, 1e-42])
def test_neighbours_that_are_hardly_similar(row_loss: Loss, form: str, smallest: float) -> None:
    """Smoothing goes to them in full, in proportion to each other, however small their similarity is.

    Powers of two times the smallest, which is one itself, so that a similarity below the normal ones is exact too.
    """
    smallest = torch.tensor(smallest).log2().round().exp2().item()
    values = torch.eye(8)
    values[0, 1], values[0, 5] = smallest, 2 * smallest
    values[1, 0] = smallest
    similarity = sparse_of(values) if form == "sparse" else in_form("dense", 8)[0]._replace(values=values)
    logits, labels = random_logits(3, 8), torch.tensor([0, 1, 2])
    for share, smoothing in MIXES:
        found = value_and_gradient(
            lambda z, share=share, smoothing=smoothing: row_loss(
                z, labels, similarity, reduction="none", share=share, similarity_smoothing=smoothing
            ),
            logits,
        )
        losses, slopes, _ = oracle.sim_loss(
            logits.numpy(), labels.numpy(), values.double().numpy(), share=share, similarity_smoothing=smoothing
        )
        unit = (2 * 8 + 36) * 2.0**-23
        assert_within(found[0], losses, unit * (losses + 1 - share))
        assert_within(found[1], slopes, unit)


def test_digits_near_zero_loss(loss: Loss) -> None:
    """The maximum is 0 and so z - m exact.

    The roundings of SimLoss are 14 for the loss and 24 for the gradient, as test_accuracy counts them. Cross entropy
    takes fewer, and the mixture is four operations more.
    """
    similarity, dense = in_form("dense", 4)
    for small, share in product((1e-3, 3e-6, 1e-8), SHARES):
        logits = torch.tensor([[0.0, small, small / 2, small / 3]])
        logits[0, 1:] = logits[0, 1:].log()
        value, gradient = value_and_gradient(
            lambda z, share=share: loss(z, torch.tensor([0]), similarity, share=share), logits
        )
        exact, slopes = oracle.mixed_row(logits[0].double().numpy(), dense[0].double().numpy(), 0, share)
        assert 1e-9 < exact < 3e-3
        np.testing.assert_allclose(value.double(), exact, rtol=18 * 2.0**-24)
        np.testing.assert_allclose(gradient[0].double(), slopes, rtol=28 * 2.0**-24)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nothing_to_average(loss: Loss, reduction: str) -> None:
    """An empty batch, or all of it ignored, with rubbish in it: as F.cross_entropy has it."""
    similarity, _ = in_form("dense", 5)
    for (share, smoothing), count, weight in product(MIXES, (0, 3), (None, random_weight(5))):
        labels, logits = torch.full((count,), -100), random_logits(count, 5)
        options = {"weight": weight, "reduction": reduction}
        found = value_and_gradient(
            lambda z, labels=labels, options=options, share=share, smoothing=smoothing: loss(
                z, labels, similarity, share=share, similarity_smoothing=smoothing, **options
            ),
            logits.fill_(torch.inf) if share == 0 else logits,
        )
        peer = F.cross_entropy(torch.zeros(count, 5), labels, **options)
        torch.testing.assert_close(found[0], peer, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(found[1], torch.zeros(count, 5))


# --- where it is cross entropy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["a share of 0", "the identity"])
def test_it_is_cross_entropy(row_loss: Loss, kind: str) -> None:
    """For any similarity where SimLoss has no share, and for any share where no two classes are similar.

    Both sum C exponentials and N losses in float64, and there are two dozen roundings elsewhere.
    """
    logits, labels = random_logits(9, 7, dtype=torch.float64), random_labels(9, classes=7)
    similarity, _ = in_form("dense", 7)
    if kind == "the identity":
        similarity = similarity._replace(values=torch.eye(7))
    mixes = product((0.3, 1.0), SMOOTHINGS) if kind == "the identity" else [(0.0, 0.0)]
    for (share, smoothing), reduction, weight in product(mixes, ("none", "sum"), (None, random_weight(7).double())):
        options = {"reduction": reduction, "weight": weight}
        peer = value_and_gradient(lambda z, options=options: F.cross_entropy(z, labels, **options), logits, uneven)
        found = value_and_gradient(
            lambda z, options=options, share=share, smoothing=smoothing: row_loss(
                z, labels, similarity, share=share, similarity_smoothing=smoothing, **options
            ),
            logits,
            uneven,
        )
        allowed = 2 * (7 + 9 + 24) * 2.0**-53
        for mine, theirs in zip(found, peer, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=allowed * theirs.abs().max().item())


# --- slopes as measured -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck(form: str) -> None:
    """Compare with slopes measured by torch.autograd.gradcheck, at its own tolerances."""
    similarity, _ = in_form(form, 5)
    logits, weight = random_logits(4, 5, dtype=torch.float64).requires_grad_(), random_weight(5).double()
    labels, target = torch.tensor([0, 3, 1, 4]), random_distribution(4, 5, dtype=torch.float64).requires_grad_()
    layer = [random_logits(*shape, dtype=torch.float64).requires_grad_() for shape in ((4, 3), (5, 3))]
    for (share, smoothing), reduction in product(MIXES, REDUCTIONS):
        mix = {"share": share, "similarity_smoothing": smoothing, "reduction": reduction, "weight": weight}
        calls = {
            lambda z, mix=mix: sim_loss(z, labels, similarity, ignore_index=1, **mix): (logits,),
            lambda z, mix=mix: sim_loss(z, labels, similarity, label_smoothing=0.1, **mix): (logits,),
            lambda z, t, mix=mix: sim_loss(z, t, similarity, label_smoothing=0.1, **mix): (logits, target),
            lambda x, w, mix=mix: linear_sim_loss(x, w, labels, similarity, ignore_index=1, **mix): layer,
        }
        for call, leaves in calls.items():
            assert torch.autograd.gradcheck(call, leaves, check_undefined_grad=False, fast_mode=True)


# --- the module: a schedule -------------------------------------------------------------------------------------------


def every_call(similarity: Similarity, **options: Any) -> Iterator[tuple[SimLoss, Tensor, Tensor]]:
    """Yield modules of each kind and what they are called with, so that each way of computing rows is taken."""
    logits, labels = random_logits(9, 24), random_labels(9, classes=24)
    far = random_logits(9, 24, scale=300.0)
    labels[4] = -100
    for reduction, weight in product(REDUCTIONS, (None, random_weight(24))):
        for dtype in DTYPES:
            yield SimLoss(similarity, weight, reduction=reduction, **options), logits.to(dtype), labels
        yield SimLoss(similarity, weight, reduction=reduction, **options), far, labels
        layer = LinearSimLoss(24, similarity, weight=weight, reduction=reduction, **options)
        layer.linear.weight.data.copy_(random_logits(24, 24, seed=3))
        yield layer, logits, labels
        few = F.one_hot(labels.clamp(min=0), 24) * 0.75 + F.one_hot(labels.clamp(min=0).flip(0), 24) * 0.25
        for target in (few, random_distribution(9, 24), torch.where(labels[:, None] < 9, few, 1 / 24)):
            yield SimLoss(similarity, weight, reduction=reduction, **options), logits, target
        yield SimLoss(similarity, weight, reduction=reduction, label_smoothing=0.1, **options), logits, labels


@pytest.mark.parametrize("has_c", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_back_at_a_share_of_1_it_is_simloss_to_the_last_bit(
    form: str, has_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_c:
        without_c(monkeypatch)
    similarity, _ = in_form(form, 24)
    calls = zip(every_call(similarity), every_call(similarity, share=0.4, similarity_smoothing=0.05), strict=True)
    for (alone, logits, target), (module, _, _) in calls:
        expected = value_and_gradient(lambda z, alone=alone, target=target: alone(z, target), logits, uneven)
        mixed = value_and_gradient(lambda z, module=module, target=target: module(z, target), logits, uneven)
        assert not torch.equal(mixed[0], expected[0])
        module.share = 1.0
        assert module._held.mix is not None  # or the code that mixes would not be asked
        found = value_and_gradient(lambda z, module=module, target=target: module(z, target), logits, uneven)
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_a_share_that_is_set_is_that_of_a_module_made_with_it() -> None:
    """Also once it is moved, cast and bounded in between."""
    similarity, _ = in_form("dense", 24)
    for (module, logits, target), (fresh, _, _) in zip(
        every_call(similarity), every_call(similarity, share=0.3, similarity_smoothing=0.2), strict=True
    ):
        module.share, module.similarity_smoothing = 0.7, 0.1
        module.lower_bound = 0.5
        module.to(torch.float64).to("cpu", torch.float32)
        module.lower_bound = 0.0
        module.similarity_smoothing, module.share = 0.2, 0.3
        assert (module.share, module.similarity_smoothing) == (0.3, 0.2)
        if fresh.weight is None:
            found, expected = (value_and_gradient(lambda z, m=m, t=target: m(z, t), logits) for m in (module, fresh))
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


# What dynamo says to itself on its way.
@pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("kind", ["plain", "linear", "label smoothing", "probabilities"])
def test_compiled_code_sees_every_share_and_is_compiled_once(kind: str) -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    similarity, _ = in_form("dense", 5)
    options = {"label_smoothing": 0.1} if kind == "label smoothing" else {}
    module = LinearSimLoss(5, similarity, share=0.4) if kind == "linear" else SimLoss(similarity, share=0.4, **options)
    whole = torch.compile(module, backend=counter, fullgraph=True)
    logits = random_logits(8, 5)
    target = random_distribution(8, 5) if kind == "probabilities" else random_labels(8, classes=5)
    seen = set()
    for share, smoothing in ((0.4, 0.0), (0.3, 0.05), (1.0, 0.05), (0.0, 0.05), (0.0, 1.0), (0.6, 0.0)):
        module.share, module.similarity_smoothing = share, smoothing
        mine, theirs = (value_and_gradient(lambda z, m=m: m(z, target), logits) for m in (whole, module))
        # The mean is divided before the sum or after.
        torch.testing.assert_close(mine, theirs, rtol=2.0**-22, atol=2.0**-24)
        seen.add(mine[0].item())
    assert len(seen) == 6
    assert counter.frame_count == 1


def test_threads_that_compute_while_another_sets_shares_get_the_loss_of_one_of_them() -> None:
    mixes = ((0.2, 0.0), (0.7, 0.0))
    similarity, logits, labels = in_form("dense", 200)[0], random_logits(300, 200), random_labels(300, classes=200)
    module = SimLoss(similarity, share=0.2)
    allowed = {SimLoss(similarity, share=share)(logits, labels).item() for share, _ in mixes}
    seen, read, stop = set(), set(), threading.Event()

    def compute() -> None:
        while not stop.is_set():
            read.add(module.share)
            seen.add(module(logits, labels).item())

    readers = [threading.Thread(target=compute) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(300):
        module.share = mixes[number % 2][0]
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= allowed
    assert read <= {share for share, _ in mixes}


def test_a_share_set_before_the_backward_pass_never_makes_it_wrong() -> None:
    """The gradient is that of the forward pass, also where it is computed again."""
    for similarity in (in_form(form, 24)[0] for form in FORMS):
        for module, inputs, target in every_call(similarity, share=0.4):
            leaf = inputs.detach().requires_grad_()

            def gradient(value: Tensor, leaf: Tensor = leaf) -> Tensor:
                return torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0]

            module.share = 0.4
            expected, value = gradient(module(leaf, target)), module(leaf, target)
            module.share, module.similarity_smoothing = 0.1, 0.5
            for _ in range(2):
                torch.testing.assert_close(gradient(value), expected, rtol=0, atol=0, equal_nan=True)


# --- the module: what it says -----------------------------------------------------------------------------------------


def of_influence(influence: float, classes: int) -> Tensor:
    """Return a matrix in which all other classes together have this similarity to each."""
    return torch.full((classes, classes), influence / (classes - 1)).fill_diagonal_(1.0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_simloss_alone_warns_where_the_similarity_drowns_it(classes: int) -> None:
    """At equal logits cross entropy's slope of the label is 1 - 1/C in size, that of SimLoss 1/a - 1/C.

    There a = (1 + influence) / C is sum S p. So what is left of it falls to `FAINT` at an influence that is found here.
    """
    threshold = classes / (FAINT * (classes - 1) + 1) - 1
    below, above = (of_influence(threshold * factor, classes) for factor in (0.99, 1.01))
    for similarity, is_left in ((below, True), (above, False)):
        logits = torch.zeros(1, classes, dtype=torch.float64)
        slopes = [
            value_and_gradient(lambda z, s=s: sim_loss(z, torch.tensor([0]), s), logits)[1][0, 0].item()
            for s in (similarity, torch.eye(classes))
        ]
        assert (slopes[0] / slopes[1] > FAINT) == is_left
    SimLoss(below)
    for share in (0.0, 0.4, 0.99):
        SimLoss(above, share=share)
    with pytest.warns(SimilarityWarning, match=r"at an influence of .* gradient.*share=0.4") as caught:
        module = SimLoss(above)
    assert len(caught) == 1
    assert issubclass(SimilarityWarning, UserWarning)
    assert caught[0].filename == __file__
    module.share = 0.4
    module.share = 1.0  # it has been said


@pytest.mark.filterwarnings("error")
def test_smoothing_without_a_share_of_cross_entropy_is_told() -> None:
    said = r"similarity_smoothing=0.05 does nothing with share=1, .* as share=0.4"
    for kind, first in ((SimLoss, ()), (LinearSimLoss, (5,))):
        with pytest.warns(SimilarityWarning, match=said) as caught:
            kind(*first, torch.eye(3), similarity_smoothing=0.05)
        assert caught[0].filename == __file__
        module = kind(*first, torch.eye(3), share=0.99, similarity_smoothing=0.05)
        with pytest.warns(SimilarityWarning, match=said):
            module.share = 1.0
        module = kind(*first, torch.eye(3))
        with pytest.warns(SimilarityWarning, match=said):
            module.similarity_smoothing = 0.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", FORMS)
def test_a_share_that_is_raised_to_1_warns_once_by_the_similarity_in_use(form: str) -> None:
    similarity, dense = in_form(form, 24)
    module = SimLoss(similarity, share=0.4)
    module.lower_bound = 0.99  # no influence to speak of
    module.share = 1.0
    module.share = 0.4
    module.lower_bound = 0.0
    influence = ((dense.double().sum() - 24) / 24).item()
    with pytest.warns(SimilarityWarning, match=f"influence of {influence:.3g} "):
        module.share = 1.0
    module.share = 0.4
    module.share = 1.0


def test_it_says_which_share_it_has() -> None:
    module = SimLoss(torch.eye(3), share=0.4, similarity_smoothing=0.05)
    assert repr(module).endswith("label_smoothing=0.0, share=0.4, similarity_smoothing=0.05)")
    module.share, module.similarity_smoothing = 1.0, 0.0
    assert repr(module).endswith("label_smoothing=0.0)")
    assert "share=0.4" in repr(LinearSimLoss(2, torch.eye(3), share=0.4))


def test_files_are_read_with_a_share(tmp_path: Path) -> None:
    matrix = simmatrix.from_order(["a", "b", "c"], decay=0.5)
    matrix.save(tmp_path / "order.safetensors")
    logits, labels = random_logits(6, 3), random_labels(6, classes=3)
    options = {"share": 0.4, "similarity_smoothing": 0.05}
    module = SimLoss.from_file(tmp_path / "order.safetensors", **options)
    assert torch.equal(module(logits, labels), SimLoss(matrix, **options)(logits, labels))
    layer = LinearSimLoss.from_file(tmp_path / "order.safetensors", 4, **options)
    assert (layer.share, layer.similarity_smoothing) == (0.4, 0.05)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["share", "similarity_smoothing"])
def test_what_is_no_share_is_refused_and_changes_nothing(name: str, value: float) -> None:
    module, options, eye = SimLoss(torch.eye(3), share=0.4, similarity_smoothing=0.4), {name: value}, torch.eye(3)
    logits, labels = random_logits(2, 3), torch.tensor([0, 1])
    before = module(logits, labels)
    for attempt in (
        lambda: sim_loss(logits, labels, eye, **options),
        lambda: SimLoss(eye, **options),
        lambda: linear_sim_loss(logits, eye, labels, eye, **options),
        lambda: LinearSimLoss(3, eye, **options),
        lambda: setattr(module, name, value),
    ):
        with pytest.raises(ValueError, match=rf"{name} must be between 0.0 and 1.0, got {value}"):
            attempt()
    assert getattr(module, name) == 0.4
    assert torch.equal(module(logits, labels), before)
