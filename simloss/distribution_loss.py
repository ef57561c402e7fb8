"""The loss of targets that are class probabilities, and its gradients.

It needs the loss of each example for each class, L_k = log1p(b_k / a_k) with a_k = sum_c S[k, c] p_c and b_k the same
sum over 1 - S: products of matrices, N C^2 multiplications four times over. They are done class block by class block,
so that no form of S is ever made dense as a whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simloss.far import far_losses, least_sum
from simloss.forms import Dense, Similarity, rows
from simloss.index_loss import refuse_second_derivative
from simloss.reduction import work_dtype
from simmatrix.shapes import Bool, Float

__all__ = ["distribution_losses"]

# Elements of S taken at a time: products of matrices this large run at full speed.
_BLOCK = 2**24


def distribution_losses(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    ignored: Bool[Tensor, " N"] | None,
    similarity: Similarity,
) -> Float[Tensor, " N"]:
    """Return sum_k t_k (-log sum_c S[k, c] softmax(z)[c]) of each row, in the work dtype.

    Parameters
    ----------
    logits
        One row an example.
    distribution
        The t of each row, in the work dtype. It need not sum to 1, so it can carry class weights.
    ignored
        Rows that get a loss and a gradient of exactly 0 whatever their logits are; None for none.
    similarity
        In [0, 1], with unit diagonal.
    """
    losses: Tensor = _DistributionLosses.apply(logits, distribution, ignored, similarity)  # type: ignore[no-untyped-call]  # torch has no types for it
    return losses


class _DistributionLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, distribution: Tensor, ignored: Tensor | None, similarity: Similarity
    ) -> Tensor:
        # Autocast would round p and S to half precision before it multiplies them.
        with torch.autocast(logits.device.type, enabled=False):
            losses, gradient = _per_class(logits, distribution, similarity, *ctx.needs_input_grad[:2])
        # A class that has no share in the target counts nothing, even where its own loss is infinite.
        sums = (distribution * losses).masked_fill_((distribution == 0) & losses.isinf(), 0.0).sum(1)
        if ignored is not None:
            sums.masked_fill_(ignored, 0.0)
            if gradient is not None:
                gradient.masked_fill_(ignored.unsqueeze(1), 0.0)
        ctx.save_for_backward(gradient, losses if ctx.needs_input_grad[1] else None, ignored)
        ctx.logits_dtype = logits.dtype
        return sums

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradient, losses, ignored = ctx.saved_tensors
        scale = (upstream if ignored is None else upstream.masked_fill(ignored, 0.0)).unsqueeze(1)
        to_logits = None if gradient is None else (gradient * scale).to(ctx.logits_dtype)
        to_distribution = None if losses is None else losses * scale
        return to_logits, to_distribution, None, None


def _per_class(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    logits_gradient: bool,
    distribution_gradient: bool,
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"] | None]:
    """Return the loss of each row for each class, and the gradient of their sum weighted by the distribution."""
    z = logits.to(work_dtype(logits))
    p = (z - z.amax(1, keepdim=True)).exp_()
    p.div_(p.sum(1, keepdim=True))  # a division rounds once where the product in torch.softmax rounds twice
    losses, is_far = torch.empty_like(z), torch.empty_like(z, dtype=torch.bool)
    gradient = torch.zeros_like(z) if logits_gradient else None
    size = max(1, _BLOCK // z.shape[1])
    for block in (slice(first, first + size) for first in range(0, z.shape[1], size)):
        s = _rows_of(similarity, block, z)
        unlike = 1 - s
        a = p @ s.T
        ratio = (p @ unlike.T).div_(a)
        losses[:, block] = ratio.log1p()
        is_far[:, block] = a < least_sum(z.dtype, z.shape[1])
        if gradient is not None:
            near = distribution[:, block].masked_fill(is_far[:, block], 0.0)
            ratio.masked_fill_(is_far[:, block], 0.0)
            gradient += (near @ unlike).sub_((near * ratio) @ s)
    if gradient is not None:
        gradient.mul_(p)
    _add_far(z, p, distribution, similarity, is_far, distribution_gradient, losses, gradient)
    return losses, gradient


def _rows_of(similarity: Similarity, block: slice, z: Float[Tensor, "N C"]) -> Float[Tensor, "K C"]:
    """Return the similarities of a block of classes in the dtype of z, where possible without a copy."""
    if isinstance(similarity, Dense):
        return similarity.values[block].to(z.dtype)
    classes = torch.arange(z.shape[1], device=z.device)[block]
    return rows(similarity, classes, z.new_empty(classes.shape[0], z.shape[1]))


def _add_far(
    z: Float[Tensor, "N C"],
    p: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    is_far: Bool[Tensor, "N C"],
    distribution_gradient: bool,
    losses: Float[Tensor, "N C"],
    gradient: Float[Tensor, "N C"] | None,
) -> None:
    """Put the losses of far rows in their places, and add their gradients.

    On a GPU this waits for the device. Class by class, a far row meets each class once and the sums have one order; it
    is slow when all of N x C are far, which takes logits that ordinary training does not give.
    """
    is_asked = is_far if distribution_gradient else is_far & (distribution != 0)
    for k in is_asked.any(0).nonzero().squeeze(1).tolist():
        far = is_asked[:, k].nonzero().squeeze(1)
        losses[far, k], shares = far_losses(z[far], _rows_of(similarity, slice(k, k + 1), z))
        if gradient is not None:
            gradient[far] += distribution[far, k : k + 1] * (p[far] - shares)
    losses.masked_fill_(is_far & ~is_asked, torch.inf)
