"""The loss of class indices as torch's autograd knows it: eagerly, and as an operator under torch.compile.

The gradient is computed in the forward pass, while the exponentials are at hand, and is private until the backward pass
hands it out. So that pass multiplies it by the upstream gradient in place, or where that is 1 does nothing at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simloss.forms import Similarity, from_tensors
from simloss.kernels import row_losses, scale_gradient_
from simloss.reduction import work_dtype
from simmatrix.shapes import Float, Int

__all__ = ["index_loss", "refuse_second_derivative"]


def index_loss(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    scale: Tensor | None,
    ignore_index: int,
    is_summed: bool,
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Return scale * (-log sum_c S[y, c] softmax(z)[c]) of each row, or the sum of that; see `blocks.row_losses`."""
    wants_gradient = torch.is_grad_enabled() and logits.requires_grad
    if torch.compiler.is_compiling():
        losses: Tensor = _operator(logits, labels, list(similarity), scale, ignore_index, wants_gradient)[0]
        return losses.sum() if is_summed else losses
    result: Tensor = _IndexLoss.apply(logits, labels, similarity, scale, ignore_index, is_summed, wants_gradient)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


def refuse_second_derivative() -> None:
    """Raise where a backward pass is recorded. once_differentiable would let some of these through as constants."""
    if torch.is_grad_enabled():
        raise RuntimeError("this loss has no second derivative: call it without create_graph=True")


def _gradient_like(logits: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Return where the gradient of these logits goes until the backward pass.

    In float32 for float16 logits: divided by the number of examples, many a slope is too small for float16, until the
    scale that a GradScaler put on the loss comes upstream.
    """
    dtype = torch.float32 if logits.dtype == torch.float16 else logits.dtype
    return torch.empty(logits.shape, dtype=dtype, device=logits.device)


class _IndexLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        similarity: Similarity,
        scale: Tensor | None,
        ignore_index: int,
        is_summed: bool,
        wants_gradient: bool,
    ) -> Tensor:
        ctx.gradient = _gradient_like(logits) if wants_gradient else None
        losses = row_losses(logits, labels, similarity, scale, ignore_index, ctx.gradient)
        ctx.save_for_backward(logits, labels, scale, *similarity)
        # A mask of its own: labels may be overwritten before the backward pass, say by the next batch.
        ctx.ignored = None if is_summed else labels == ignore_index
        ctx.ignore_index, ctx.dtype = ignore_index, logits.dtype
        return losses.sum() if is_summed else losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            gradient = _computed_again(ctx)
        if ctx.ignored is not None:  # what comes for ignored examples may be infinite, say from a mean over nothing
            upstream = upstream.masked_fill(ctx.ignored, 0.0)
        scale_gradient_(gradient, upstream)
        return gradient.to(ctx.dtype), None, None, None, None, None, None


def _computed_again(ctx: Any) -> Tensor:
    """Return the gradient for a graph that was kept: the first one has been given away.

    Asking for what was saved raises where the graph was not kept, or where the logits were changed in place since.
    """
    logits, labels, scale, *similarity = ctx.saved_tensors
    gradient = _gradient_like(logits)
    row_losses(logits, labels, from_tensors(similarity), scale, ctx.ignore_index, gradient)
    return gradient


# --- under torch.compile ----------------------------------------------------------------------------------------------

_SCHEMA = (
    "(Tensor logits, Tensor labels, Tensor[] similarity, Tensor? scale, int ignore_index, bool wants_gradient)"
    " -> (Tensor, Tensor)"
)


@torch.library.custom_op("simloss::row_losses", mutates_args=(), schema=_SCHEMA)
def _operator(
    logits: Tensor,
    labels: Tensor,
    similarity: list[Tensor],
    scale: Tensor | None,
    ignore_index: int,
    wants_gradient: bool,
) -> tuple[Tensor, Tensor]:
    gradient = _gradient_like(logits) if wants_gradient else None
    losses = row_losses(logits, labels, from_tensors(similarity), scale, ignore_index, gradient)
    return losses, losses.new_empty(0) if gradient is None else gradient


@_operator.register_fake
def _shapes(logits: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    *_, wants_gradient = others
    losses = torch.empty(logits.shape[0], dtype=work_dtype(logits), device=logits.device)
    return losses, _gradient_like(logits) if wants_gradient else losses.new_empty(0)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, labels, similarity, _scale, ignore_index, _wants_gradient = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], labels)
    ctx.ignore_index, ctx.dtype, ctx.parts = ignore_index, logits.dtype, len(similarity)


def _slopes(ctx: Any, upstream: Tensor, _of_gradient: Tensor) -> tuple[Any, ...]:
    refuse_second_derivative()
    gradient, labels = ctx.saved_tensors
    factor = upstream.masked_fill(labels == ctx.ignore_index, 0.0).unsqueeze(1)
    return (gradient * factor).to(ctx.dtype), None, [None] * ctx.parts, None, None, None


_operator.register_autograd(_slopes, setup_context=_keep)
