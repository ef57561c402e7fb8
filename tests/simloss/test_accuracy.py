"""How many digits are right. The budget for errors is what eager code on F.log_softmax errs by on the same input."""

import math
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from simloss import sim_loss
from tests import oracle
from tests.batch import batched
from tests.simloss.cases import (
    assert_within_budget,
    eager_sim_loss,
    random_distribution,
    random_labels,
    random_logits,
    random_similarity,
    value_and_gradient,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
U = 2.0**-24  # what one rounding in float32 costs at most, as a share of the result


@lru_cache(maxsize=1)
def similarity_of(classes: int, kind: str) -> Tensor:
    """Return one matrix for all tests of that size; they leave it as it is."""
    return torch.eye(classes) if kind == "identity" else random_similarity(classes)


@pytest.mark.compiled  # the roundings of torch's operations are counted in rows/test_row_losses.py
@batched("dtype", DTYPES)
@batched("count", [0, 1, 7, 289])
@pytest.mark.parametrize("kind", ["identity", "random"])
@pytest.mark.parametrize("classes", [2, 3, 10, 100, 1000, 1001, 1025, pytest.param(8193, marks=pytest.mark.slow)])
def test_no_further_from_float64_than_eager_code(classes: int, kind: str, count: int, dtype: torch.dtype) -> None:
    logits, labels = random_logits(count, classes, dtype=dtype), random_labels(count, classes=classes)
    similarity = similarity_of(classes, kind)
    ours = value_and_gradient(lambda z: sim_loss(z, labels, similarity, reduction="none"), logits)
    eager = value_and_gradient(lambda z: eager_sim_loss(z, labels, similarity), logits)
    exact = oracle.sim_loss(logits.double().numpy(), labels.numpy(), similarity.numpy())
    for mine, budget, true in zip(ours, eager, exact, strict=False):
        assert_within_budget(mine, budget.double(), torch.from_numpy(true))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "classes"), [(7, 2), (7, 3), (289, 10), (7, 100), (2, 1001)])
def test_no_further_from_float64_than_eager_code_on_probabilities(count: int, classes: int, dtype: torch.dtype) -> None:
    logits, target = random_logits(count, classes, dtype=dtype), random_distribution(count, classes, dtype=dtype)
    similarity = random_similarity(classes)
    exact = oracle.sim_loss(logits.double().numpy(), target.double().numpy(), similarity.numpy())

    def eager(z: Tensor) -> Tensor:
        scores = z.log_softmax(1).unsqueeze(1) + similarity.log().to(dtype)
        return -(target * scores.logsumexp(2)).sum(1)

    budgets = value_and_gradient(eager, logits)
    ours = value_and_gradient(lambda z: sim_loss(z, target, similarity, reduction="none"), logits)
    for mine, budget, true in zip(ours, budgets, exact, strict=False):
        assert_within_budget(mine, budget.double(), torch.from_numpy(true))


def naive_loss(logits: Tensor, similarity: Tensor) -> Tensor:
    """Return -log sum S p for label 0, written as the paper has it."""
    return -(logits.softmax(1) * similarity[0]).sum(1).log()


def naive_gradient(logits: Tensor, similarity: Tensor) -> Tensor:
    """Return its gradient, a difference of two distributions."""
    p = logits.softmax(1)
    return p - similarity[0] * p / (similarity[0] * p).sum(1, keepdim=True)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("near", ["by the logits", "by the similarity"])
@pytest.mark.parametrize("loss", [1e-3, 3e-6, 1e-8])
def test_digits_near_zero_loss(loss: float, near: str, probabilities: bool) -> None:
    """A loss is small because the wrong classes are improbable, or because they are hardly wrong.

    With 4 classes, the maximum 0 and so z - m exact, these are the roundings: 1 - S (1), exp (2), product (1) and sum
    (3) for b; product (1) and sum (3) for a; division (1), log1p (2). That is 14. For the gradient b / a (12) meets
    1 - S, S, exp and d (1 + 1 + 2 + 4) and their products, difference and quotient (4): 24.
    """
    if near == "by the logits":
        logits = torch.tensor([[0.0, math.log(loss), math.log(loss / 2), math.log(loss / 3)]])
        similarity = random_similarity(4)
    else:
        logits = torch.tensor([[0.0, -0.5, -1.5, -2.25]])
        similarity = torch.ones(4, 4) - loss * (1 - random_similarity(4))
        similarity[0, 2:] = torch.tensor([1.0, 1.0 - max(loss, 2 * U)])  # there are no more float32 just below 1
    target = torch.eye(4)[:1] if probabilities else torch.tensor([0])
    value, gradient = value_and_gradient(lambda z: sim_loss(z, target, similarity), logits)
    exact, slopes = oracle.sim_loss_row(logits[0].double().numpy(), similarity[0].numpy())
    assert 1e-9 < exact < 2e-3
    np.testing.assert_allclose(value.double(), exact, rtol=14 * U)
    np.testing.assert_allclose(gradient[0].double(), slopes, rtol=24 * U)
    # The naive form has lost these digits, or the test would prove nothing.
    assert abs(naive_loss(logits, similarity).item() / exact - 1) > 14 * U
    assert (naive_gradient(logits, similarity)[0].double() / torch.from_numpy(slopes) - 1).abs().max() > 24 * U
