"""Whether a loss and its gradients are right: as near to float64 as the roundings on the way allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from loss_methods import Method
from torch import Tensor
from torch.nn import functional

__all__ = ["Part", "Result", "mismatch"]

# A sum of n numbers is off by more than 8 sqrt(n) roundings of its size with a probability of about 2 exp(-8^2 / 2),
# which is 3e-14 (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019).
_DEVIATIONS = 8

# Logits that are compared at a time.
_BLOCK = 2**24


# A class of each row, and what the target gives to it.
Part: TypeAlias = tuple[Tensor, float]


class Result(NamedTuple):
    """What a method returned: the mean loss, without and with gradients, and the gradients of its inputs."""

    losses: Sequence[Tensor]
    gradients: Sequence[Tensor]


def mismatch(method: Method, result: Result, inputs: Sequence[Tensor], target: Sequence[Part]) -> str | None:
    """Return what is wrong with a method's results, or None if rounding explains how far they are from float64.

    The inputs are logits (N, C), or features (N, D) and a weight (C, D). With p = softmax(z) and q = S p / sum S p (for
    cross entropy q is its target, and beside SimLoss the mean of both by their shares), the gradient of a row's loss is
    p - q, and rounding makes errors in proportion to p + q. The gradients of features and weight are products with
    p - q, their errors with p + q.
    """
    count, dtype = len(target[0][0]), inputs[0].dtype
    weight = inputs[1].detach().double() if len(inputs) == 2 else None
    classes = inputs[-1].shape[1 if weight is None else 0]
    found = []
    loss, loss_error = inputs[0].new_zeros((), dtype=torch.float64), 0.0
    weight_gradient, weight_error = (torch.zeros_like(loss if weight is None else weight) for _ in range(2))
    height = max(1, _BLOCK // classes)
    for block in (slice(top, top + height) for top in range(0, count, height)):
        given = inputs[0].detach()[block].double()
        z = given if weight is None else given @ weight.T
        losses, slopes = _exact(z, [(labels[block], given_to) for labels, given_to in target], method)
        error, relative = _errors(z, losses, dtype, count, method)
        if weight is not None:
            shift = _logit_error(given, weight, z, dtype)
            error, relative = error + shift, relative + shift + _product_error(max(count, classes), dtype)
        p = z.softmax(1)
        errors = (relative * (2 * p - slopes) + p.where(p < method.drops_below, 0.0)) / count
        slopes /= count
        loss, loss_error = loss + losses.sum() / count, max(loss_error, error)
        if weight is None:
            found.append(_beyond("the gradient", result.gradients[0][block], slopes, errors))
        else:
            found.append(_beyond("the gradient", result.gradients[0][block], slopes @ weight, errors @ weight.abs()))
            weight_gradient += slopes.T @ given
            weight_error += errors.T @ given.abs()
    if weight is not None:
        found.append(_beyond("the weight's gradient", result.gradients[1], weight_gradient, weight_error))
    found += [_beyond("the loss", value, loss, loss.new_tensor(loss_error)) for value in result.losses]
    return next((one for one in found if one), None)


def _beyond(what: str, value: Tensor, exact: Tensor, error: Tensor) -> str | None:
    """Return where a value is further from the exact one than it may be, and by how much; None if it is not."""
    off = (value.detach().double() - exact).abs()
    # What is smaller than the dtype's normal numbers may be off by as much. NaN is within nothing.
    is_wrong = ~(off <= error + torch.finfo(value.dtype).tiny)
    if not is_wrong.any():
        return None
    off, error = off[is_wrong], error.expand_as(off)[is_wrong]
    return f"{what} is off by {off[0].item():.3g}, allowed {error[0].item():.3g} ({off.numel():,} such numbers)"


def _exact(z: Tensor, target: Sequence[Part], method: Method) -> tuple[Tensor, Tensor]:
    """Return the loss of each row and its gradient."""
    z = z.detach().requires_grad_()
    losses = torch.stack([given * _of_class(z, labels, method) for labels, given in target]).sum(0)
    (slopes,) = torch.autograd.grad(losses.sum(), z)
    return losses.detach(), slopes


def _of_class(z: Tensor, labels: Tensor, method: Method) -> Tensor:
    """Return the loss of each row for one class of it."""
    if method.rows is None:
        return functional.cross_entropy(z, labels, reduction="none")
    s = method.rows(labels)
    e = (z - z.detach().amax(1, keepdim=True)).exp()
    losses = (((1 - s) * e).sum(1) / (s * e).sum(1)).log1p()
    if method.share == 1:
        return losses
    own = functional.one_hot(labels, z.shape[1]).to(s.dtype)
    neighbours = s - own
    sums = neighbours.sum(1, keepdim=True)
    given = torch.where(sums > 0, method.smoothing, 0.0)
    smoothed = (1 - given) * own + given * neighbours / sums.masked_fill(sums == 0, 1.0)
    entropies = functional.cross_entropy(z, smoothed, reduction="none")
    return method.share * losses + (1 - method.share) * entropies


def _errors(z: Tensor, losses: Tensor, dtype: torch.dtype, count: int, method: Method) -> tuple[float, float]:
    """Return how far off the mean of the losses may be, and a slope as a share of p + q.

    e^(z - m) is off by as many roundings as the exponent is large, and 4 for the function, the product with S and the
    quotient; a sum of them by 8 sqrt(C). Two such sums are in each result, all in float32. A smoothed target has a sum
    of logits, too, each as large as the spread at most. What a method keeps in the dtype of the inputs adds roundings
    there: log p as many as it is large, other things one each, 8 at most. The mean over the rows may be summed in that
    dtype too, in cascades of 16.
    """
    spread, mean = (z.amax(1) - z.amin(1)).max().item(), losses.mean().item()
    work, unit = _rounding(torch.float32), _rounding(dtype)
    of_sum = _DEVIATIONS * math.sqrt(z.shape[1])
    in_work = 2 * work * (spread + 4 + of_sum)
    in_target = work * method.smoothing * spread * (4 + of_sum)
    kept = 2.0 if method.rounds_once else spread + math.log(z.shape[1]) + 8
    in_mean = 2.0 if method.rounds_once else 4 + _DEVIATIONS * math.sqrt(16 * math.ceil(math.log(count + 1, 16)))
    in_loss = in_work + in_target + unit * in_mean * (1 + mean) + work * _DEVIATIONS * math.sqrt(count) * mean
    return in_loss, in_work + unit * kept


def _logit_error(features: Tensor, weight: Tensor, z: Tensor, dtype: torch.dtype) -> float:
    """Return how far off a loss, or as a share a slope, may be since logits are: twice what a logit may be."""
    length: float = features.norm(dim=1).max().item() * weight.norm(dim=1).max().item()
    product = _rounding(torch.float32) * _DEVIATIONS * math.sqrt(features.shape[1]) * length
    return 2 * (product + _rounding(dtype) * z.abs().max().item())


def _product_error(terms: int, dtype: torch.dtype) -> float:
    """Return how far off a product with the slopes may be, as a share: a sum in float32, rounded 8 times on the way."""
    return _rounding(torch.float32) * _DEVIATIONS * math.sqrt(terms) + 8 * _rounding(dtype)


def _rounding(dtype: torch.dtype) -> float:
    """Return the largest relative error of one rounding."""
    return float(torch.finfo(dtype).eps) / 2
