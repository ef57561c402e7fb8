"""The loss of class indices as torch's autograd knows it: eagerly, and as an operator under torch.compile.

The gradient is computed in the forward pass, while the exponentials are at hand, and is private until the backward pass
hands it out. So that pass multiplies it by the upstream gradient in place, or where that is 1 does nothing at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from simloss.forms import FORMS, Similarity, name_of
from simloss.reduction import row_scale, split_ignored, work_dtype
from simloss.rows import native, row_losses, scale_gradient_
from simloss.rows.call import Call
from simmatrix.shapes import Float, Int


class Held(NamedTuple):
    """What a call takes from a module: the values that the module holds at that moment."""

    similarity: Similarity
    mix: Float[Tensor, " 2"] | None
    table: native.Table | None  # where compiled C finds the similarity, if it takes all of the call


class Batch(NamedTuple):
    """Everything that the loss of class indices takes besides the logits."""

    labels: Int[Tensor, " N"]
    held: Held
    weight: Float[Tensor, " C"] | None
    ignore_index: int
    reduction: str


def index_loss(logits: Float[Tensor, "N C"], batch: Batch) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Return the reduced loss of rows with class indices, in the work dtype; `rows.call` has the formula."""
    wants_gradient = logits.requires_grad and torch.is_grad_enabled()
    if torch.compiler.is_compiling():
        labels, (form, mix, _), weight, *options = batch
        arguments = (logits, labels, name_of(form), weight, *options, mix, wants_gradient, *form)
        loss: Tensor = _CompiledLoss.apply(*arguments)  # type: ignore[no-untyped-call]  # torch has no types for it
        return loss
    result: Tensor = IndexLoss.apply(logits, batch, wants_gradient)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


def refuse_second_derivative() -> None:
    """Raise where a backward pass is recorded. once_differentiable would let some of these through as constants."""
    if torch.is_grad_enabled():
        raise RuntimeError("this loss has no second derivative: call it without create_graph=True")


def refuse_tracing() -> None:
    """Raise where torch.jit.trace or the exporter that builds on it records a call.

    A trace keeps the numbers of the tensors that it was made with: which examples were ignored, and the loss itself.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # torch has no types for it
        raise RuntimeError(
            "torch.jit.trace would record this loss as a constant: trace the model without it, or use torch.compile or "
            "torch.export"
        )


def _computed(logits: Tensor, batch: Batch, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Return the reduced loss, and the gradient of the sum of what is reduced where it is wanted.

    The gradient is in float32 for float16 logits: divided by the number of examples, many a slope is too small for
    float16, until the scale that a GradScaler put on the loss comes upstream.
    """
    labels, (form, mix, table), weight, ignore_index, reduction = batch
    if table is not None:
        gradient = torch.empty_like(logits, memory_format=torch.contiguous_format) if wants_gradient else None
        call, is_mean = Call(ignore_index, None, mix), reduction == "mean"
        losses, kept = native.row_losses(logits, labels, form, table, call, gradient, is_mean)
        return losses.sum() if kept or not is_mean else losses.new_full((), torch.nan), gradient
    gradient = None
    if wants_gradient:
        dtype = torch.float32 if logits.dtype == torch.float16 else logits.dtype
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device)
    classes, ignored = split_ignored(labels, logits.shape[1], ignore_index)
    scale, nothing = row_scale(classes, ignored, weight, reduction, work_dtype(logits))
    losses = row_losses(logits, labels, form, Call(ignore_index, scale, mix), gradient)
    loss = losses if reduction == "none" else losses.sum()
    return loss if nothing is None else loss + nothing, gradient


class IndexLoss(torch.autograd.Function):
    """`index_loss`, not under torch.compile: `apply` takes logits, a batch, and whether their gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, batch: Batch, wants_gradient: bool) -> Tensor:
        """Compute the loss, and the gradient with it."""
        loss, ctx.gradient = _computed(logits, batch, wants_gradient)
        labels, (form, mix, _), weight, ignore_index, reduction = batch
        ctx.save_for_backward(logits, labels, weight, mix, *form)
        # A mask of its own: labels may be overwritten before the backward pass, say by the next batch.
        ctx.ignored = labels == ignore_index if reduction == "none" else None
        ctx.batch = batch
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Hand the gradient out."""
        if torch.is_grad_enabled():
            refuse_second_derivative()
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:  # the graph was kept, and its first gradient has been given away
            # This raises where the graph was freed, or anything that it saved was changed in place since.
            logits, *_ = ctx.saved_tensors
            held = ctx.batch.held._replace(table=None)  # since the forward pass the similarity may have moved
            gradient = _computed(logits, ctx.batch._replace(held=held), wants_gradient=True)[1]
        if ctx.ignored is not None:  # what comes for ignored examples may be infinite, say from a mean over nothing
            upstream = upstream.masked_fill(ctx.ignored, 0.0)
        scale_gradient_(gradient, upstream)
        return gradient, None, None


# --- under torch.compile ----------------------------------------------------------------------------------------------

# A plain operator, without a formula for autograd: one that torch registers costs another 30 µs a call, half of what a
# small batch takes in all. `_CompiledLoss` is the formula.
torch.library.define(
    "simloss::index_loss",
    "(Tensor logits, Tensor labels, str form, Tensor[] similarity, Tensor? weight, int ignore_index, str reduction,"
    " Tensor? mix, bool wants_gradient) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order),
)


@torch.library.impl("simloss::index_loss", "default")
def _operator(
    logits: Tensor,
    labels: Tensor,
    form: str,
    similarity: list[Tensor],
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    mix: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, Tensor]:
    """Return the loss and its gradient. One that is not wanted is empty: an operator returns tensors only."""
    similarities = FORMS[form](*similarity)
    is_simple = weight is None and reduction != "none" and native.takes(logits, labels)
    held = Held(similarities, mix, native.table_of(similarities) if is_simple else None)
    loss, gradient = _computed(logits, Batch(labels, held, weight, ignore_index, reduction), wants_gradient)
    return loss, loss.new_empty(0) if gradient is None else gradient


@torch.library.register_fake("simloss::index_loss")  # type: ignore[untyped-decorator]  # torch has no types for it
def _shapes(
    logits: Tensor,
    labels: Tensor,
    _form: str,
    _similarity: list[Tensor],
    _weight: Tensor | None,
    _ignore_index: int,
    reduction: str,
    _mix: Tensor | None,
    wants_gradient: bool,
) -> tuple[Tensor, Tensor]:
    loss = torch.empty(labels.shape if reduction == "none" else (), dtype=work_dtype(logits), device=logits.device)
    if not wants_gradient:
        return loss, loss.new_empty(0)
    dtype = torch.float32 if logits.dtype == torch.float16 else logits.dtype
    return loss, torch.empty(logits.shape, dtype=dtype, device=logits.device)


class _CompiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        form: str,
        weight: Tensor | None,
        ignore_index: int,
        reduction: str,
        mix: Tensor | None,
        wants_gradient: bool,
        *similarity: Tensor,
    ) -> Tensor:
        options = (weight, ignore_index, reduction, mix, wants_gradient)
        loss: Tensor
        loss, gradient = torch.ops.simloss.index_loss(logits, labels, form, list(similarity), *options)
        ctx.save_for_backward(gradient, labels)
        ctx.ignore_index, ctx.is_single, ctx.dtype = ignore_index, reduction == "none", logits.dtype
        ctx.arguments = len(options) + 3 + len(similarity)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradient, labels = ctx.saved_tensors
        if ctx.is_single:
            upstream = upstream.masked_fill(labels == ctx.ignore_index, 0.0).unsqueeze(1)
        return (gradient * upstream).to(ctx.dtype), *[None] * (ctx.arguments - 1)
