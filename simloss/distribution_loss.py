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
from simloss.forms import Dense, Similarity, from_tensors, rows
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
    parts, needs = list(similarity), [torch.is_grad_enabled() and one.requires_grad for one in (logits, distribution)]
    if torch.compiler.is_compiling():
        losses: Tensor = _operator(logits, distribution, ignored, parts, *needs)[0]
        return losses
    result: Tensor = _DistributionLosses.apply(logits, distribution, ignored, parts, *needs)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


def _computed(
    logits: Tensor,
    distribution: Tensor,
    ignored: Tensor | None,
    similarity: list[Tensor],
    logits_gradient: bool,
    distribution_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of each row, its gradient for the logits, and for the distribution; empty if not wanted."""
    # Autocast would round p and S to half precision before it multiplies them.
    with torch.autocast(logits.device.type, enabled=False):
        of_classes, gradient = _per_class(
            logits, distribution, from_tensors(similarity), logits_gradient, distribution_gradient
        )
    # A class that has no share in the target counts nothing, even where its own loss is infinite.
    losses = (distribution * of_classes).masked_fill_((distribution == 0) & of_classes.isinf(), 0.0).sum(1)
    if ignored is not None:
        losses.masked_fill_(ignored, 0.0)
        if gradient is not None:
            gradient.masked_fill_(ignored.unsqueeze(1), 0.0)
    if gradient is None:
        gradient = losses.new_empty(0)
    return losses, gradient, of_classes if distribution_gradient else losses.new_empty(0)


def _slopes(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients for the logits and for the distribution, where they are asked for."""
    refuse_second_derivative()
    gradient, of_classes, ignored = ctx.saved_tensors
    scale = (upstream if ignored is None else upstream.masked_fill(ignored, 0.0)).unsqueeze(1)
    to_logits = (gradient * scale).to(ctx.logits_dtype) if ctx.needs_input_grad[0] else None
    return to_logits, of_classes * scale if ctx.needs_input_grad[1] else None


class _DistributionLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        distribution: Tensor,
        ignored: Tensor | None,
        similarity: list[Tensor],
        logits_gradient: bool,
        distribution_gradient: bool,
    ) -> Tensor:
        losses, gradient, of_classes = _computed(
            logits, distribution, ignored, similarity, logits_gradient, distribution_gradient
        )
        ctx.save_for_backward(gradient, of_classes, ignored)
        ctx.logits_dtype = logits.dtype
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return *_slopes(ctx, upstream), None, None, None, None


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


# --- under torch.compile ----------------------------------------------------------------------------------------------

_SCHEMA = (
    "(Tensor logits, Tensor distribution, Tensor? ignored, Tensor[] similarity, bool logits_gradient,"
    " bool distribution_gradient) -> (Tensor, Tensor, Tensor)"
)
_operator = torch.library.custom_op("simloss::distribution_losses", _computed, mutates_args=(), schema=_SCHEMA)


@_operator.register_fake
def _shapes(logits: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, logits_gradient, distribution_gradient = others
    losses = torch.empty(logits.shape[0], dtype=work_dtype(logits), device=logits.device)
    to_logits, to_distribution = (
        losses.new_empty(logits.shape if wanted else 0) for wanted in (logits_gradient, distribution_gradient)
    )
    return losses, to_logits, to_distribution


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, _, ignored, similarity, *_ = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[1:], ignored)
    ctx.logits_dtype, ctx.parts = logits.dtype, len(similarity)


def _slopes_of_operator(ctx: Any, upstream: Tensor, *_of_gradients: Tensor) -> tuple[Any, ...]:
    return *_slopes(ctx, upstream), None, [None] * ctx.parts, None, None


_operator.register_autograd(_slopes_of_operator, setup_context=_keep)
