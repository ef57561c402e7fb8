"""The loss of a linear layer's logits, and the gradients of the layer, chunk by chunk.

The logits of a chunk become their own gradient in place, and that the gradients of the layer's input, weight and bias,
while it is at hand. So what is held beside those is one chunk, however many rows there are; and the gradients are ready
when the backward pass asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from simloss.forms import Similarity, from_tensors
from simloss.index_loss import refuse_second_derivative
from simloss.kernels import row_losses, scale_gradient_
from simmatrix.shapes import Float, Int

__all__ = ["Options", "chunked_loss"]

# Bytes of logits at a time, and how many rows at least. More rows at once make the products of matrices faster, and
# fewer passes over the gradient of the weight. On a CPU chunks that stay in its caches are faster still: of 64 to 2048
# rows, 512 are the fastest or within 4 % of it, for 1,000, for 8,192 and for 32,000 classes.
_WORKSPACE = 2**28
_LEAST_ROWS = 2048
_WORKSPACE_OF_CACHE = 2**22
_LEAST_ROWS_OF_CACHE = 512

# Newer versions of torch have products of float16 or bfloat16 matrices with a result in float32, on CUDA.
_HAS_WIDE_PRODUCTS = hasattr(torch.ops.aten.addmm, "dtype_out")


Layer: TypeAlias = tuple[Tensor, Tensor, Tensor | None]  # input, weight and bias
_Gradients: TypeAlias = list[Tensor | None]  # those of the same; None where it is not wanted


class Options(NamedTuple):
    """What holds for all chunks alike."""

    ignore_index: int
    dtype: torch.dtype  # of the logits, as F.linear would make them
    is_summed: bool


def chunked_loss(
    layer: Layer, labels: Int[Tensor, " N"], similarity: Similarity, scale: Tensor | None, options: Options
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Return scale * loss of each row of the layer's logits, or the sum of that; see `blocks.row_losses`."""
    wanted = [torch.is_grad_enabled() and part is not None and part.requires_grad for part in layer]
    now = wanted if options.is_summed else [False] * len(wanted)
    if torch.compiler.is_compiling():
        loss: Tensor = _operator(*layer, labels, list(similarity), scale, *options, now)[0]
        return loss
    result: Tensor = _ChunkedLoss.apply(*layer, labels, similarity, scale, options, now)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


def _losses(
    layer: Layer,
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    scale: Tensor | None,
    options: Options,
    wanted: Sequence[bool],
) -> tuple[Float[Tensor, " N"], _Gradients]:
    """Return scale * loss of each row, and the gradients of their sum for those parts of the layer that want one.

    These are of the dtype of their part, but in float32 for float16, where many a slope is too small until the scale
    that a GradScaler put on the loss comes upstream. See `blocks.row_losses` for labels, similarity and scale.
    """
    x, weight, bias = layer
    (count, classes), device = (x.shape[0], weight.shape[0]), x.device
    dtype, work = _chunk_dtype(options.dtype, device), torch.promote_types(options.dtype, torch.float32)
    height = _height(count, classes, dtype, device)
    summed = work if count > height else torch.promote_types(dtype, _held_dtype(weight))
    losses = torch.empty(count, dtype=work, device=device)
    to_x = torch.empty(x.shape, dtype=_held_dtype(x), device=device) if wanted[0] else None
    to_w = torch.empty(weight.shape, dtype=summed, device=device) if wanted[1] else None
    to_b = torch.zeros(classes, dtype=work, device=device) if wanted[2] else None
    if to_w is not None and not count:
        to_w.zero_()
    scale, common = _bounded(scale, dtype)
    with torch.autocast(device.type, enabled=False):  # it would round what is summed in float32
        w, b = weight.to(dtype), None if bias is None else bias.to(dtype)
        space = torch.empty(min(count, height), classes, dtype=dtype, device=device)
        for rows in (slice(top, top + height) for top in range(0, count, height)):
            # Rubbish in an ignored row would go into the gradient of the weight, as 0 times rubbish.
            part = x[rows].masked_fill((labels[rows] == options.ignore_index).unsqueeze(1), 0.0).to(dtype)
            z = _linear(part, w, b, space[: part.shape[0]])
            factor = scale[rows] if scale is not None and scale.ndim else scale
            slopes = z if any(wanted) else None
            losses[rows] = row_losses(z, labels[rows], similarity, factor, options.ignore_index, slopes)
            if to_x is not None:
                to_x[rows] = z @ w
            if to_w is not None:
                _add_product_(to_w, z.T, part, is_first=rows.start == 0)
            if to_b is not None:
                to_b += z.sum(0, dtype=work)
    for sums in (losses, to_x, to_w, to_b):
        if sums is not None and common is not None:
            sums.mul_(common)
    pairs = zip((to_x, to_w, to_b), layer, strict=True)
    return losses, [None if to is None or part is None else to.to(_held_dtype(part)) for to, part in pairs]


def _chunk_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of the logits of a chunk. CPUs have no products of float16 matrices to speak of."""
    return torch.float32 if dtype == torch.float16 and device.type == "cpu" else dtype


def _held_dtype(part: Tensor) -> torch.dtype:
    """Return the dtype that the gradient of a part of the layer has until the backward pass."""
    return torch.float32 if part.dtype == torch.float16 else part.dtype


def _height(count: int, classes: int, dtype: torch.dtype, device: torch.device) -> int:
    """Return how many rows to take at a time.

    All of them where they fit and the logits are in half precision: then the gradient of the weight is one product, and
    needs no sum in float32.
    """
    width = classes * dtype.itemsize
    fitting = max(1, _WORKSPACE // width)
    if device.type != "cpu":
        return max(_LEAST_ROWS, fitting)
    if dtype.itemsize == 2 and count <= fitting:
        return fitting
    return min(max(_LEAST_ROWS_OF_CACHE, _WORKSPACE_OF_CACHE // width), fitting)


def _bounded(scale: Tensor | None, dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    """Return a scale whose factors are at most 1, and the number that is missing from all results then; None for 1.

    Only for logits in float16. Of slopes that are divided by the number of examples, many are too small for it.
    """
    if scale is None or dtype != torch.float16 or not scale.numel():
        return scale, None
    greatest = scale.abs().nan_to_num(nan=0.0, posinf=0.0).amax()
    common = greatest.masked_fill(greatest == 0, 1.0)
    return scale / common, common


def _linear(
    x: Float[Tensor, "N d"], w: Float[Tensor, "C d"], b: Float[Tensor, " C"] | None, out: Float[Tensor, "N C"]
) -> Float[Tensor, "N C"]:
    return torch.mm(x, w.T, out=out) if b is None else torch.addmm(b, x, w.T, out=out)


def _add_product_(
    total: Float[Tensor, "C d"], slopes: Float[Tensor, "C N"], x: Float[Tensor, "N d"], is_first: bool
) -> None:
    """Add a product to a total that has at least the digits of its factors. The first is written instead."""
    beta = 0 if is_first else 1
    if x.dtype != total.dtype and x.is_cuda and _HAS_WIDE_PRODUCTS:
        torch.addmm(total, slopes, x, out_dtype=total.dtype, beta=beta, out=total)
    else:
        total.addmm_(slopes.to(total.dtype), x.to(total.dtype), beta=beta)


# --- autograd ---------------------------------------------------------------------------------------------------------


class _ChunkedLoss(torch.autograd.Function):
    """The gradients of a sum are computed in the forward pass, those of single losses in the backward pass.

    They are private until the backward pass hands them out, so it scales them in place. For a graph that is kept, the
    next such pass computes them again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        similarity: Similarity,
        scale: Tensor | None,
        options: Options,
        now: list[bool],
    ) -> Tensor:
        ctx.save_for_backward(input, weight, bias, labels, scale, *similarity)
        ctx.options, ctx.dtypes = options, _dtypes_of((input, weight, bias))
        losses, ctx.gradients = _losses((input, weight, bias), labels, similarity, scale, options, now)
        return losses.sum() if options.is_summed else losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None or not ctx.options.is_summed:
            gradients = _computed_again(ctx, None if ctx.options.is_summed else upstream)
        if ctx.options.is_summed:
            for gradient in gradients:
                if gradient is not None:
                    scale_gradient_(gradient if gradient.ndim == 2 else gradient.unsqueeze(0), upstream)
        of_inputs = (None if to is None else to.to(dtype) for to, dtype in zip(gradients, ctx.dtypes, strict=True))
        return *of_inputs, None, None, None, None, None


def _computed_again(ctx: Any, upstream: Tensor | None) -> _Gradients:
    """Return the gradients from what was saved: for upstream gradients that are known by now, or a graph that was kept.

    Asking for what was saved raises where the graph was not kept, or where an input was changed in place since.
    """
    *layer, labels, scale = ctx.saved_tensors[:5]
    if upstream is not None:
        scale = _joint_scale(scale, upstream, labels, ctx.options.ignore_index)
    similarity = from_tensors(list(ctx.saved_tensors[5:]))
    return _losses(tuple(layer), labels, similarity, scale, ctx.options, ctx.needs_input_grad[:3])[1]


def _joint_scale(
    scale: Tensor | None, upstream: Float[Tensor, " N"], labels: Int[Tensor, " N"], ignore_index: int
) -> Float[Tensor, " N"]:
    """Return what each row counts in the end. What comes upstream for ignored rows may be infinite."""
    factor = upstream.masked_fill(labels == ignore_index, 0.0)
    return factor if scale is None else factor * scale


# --- under torch.compile ----------------------------------------------------------------------------------------------

_SCHEMA = (
    "(Tensor input, Tensor weight, Tensor? bias, Tensor labels, Tensor[] similarity, Tensor? scale, int ignore_index,"
    " ScalarType dtype, bool is_summed, bool[] wanted) -> (Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("simloss::linear_losses", mutates_args=(), schema=_SCHEMA)
def _operator(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    similarity: list[Tensor],
    scale: Tensor | None,
    ignore_index: int,
    dtype: torch.dtype,
    is_summed: bool,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the loss and the gradients. Those that are not wanted are empty: an operator returns tensors only."""
    options = Options(ignore_index, dtype, is_summed)
    losses, gradients = _losses((input, weight, bias), labels, from_tensors(similarity), scale, options, wanted)
    to_x, to_w, to_b = (losses.new_empty(0) if gradient is None else gradient for gradient in gradients)
    return losses.sum() if is_summed else losses, to_x, to_w, to_b


@_operator.register_fake
def _shapes(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    _similarity: list[Tensor],
    _scale: Tensor | None,
    _ignore_index: int,
    dtype: torch.dtype,
    is_summed: bool,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    work = torch.promote_types(dtype, torch.float32)
    loss = torch.empty(() if is_summed else labels.shape, dtype=work, device=input.device)
    to_x, to_w, to_b = (
        torch.empty(part.shape, dtype=_held_dtype(part), device=part.device)
        if part is not None and is_wanted
        else loss.new_empty(0)
        for part, is_wanted in zip((input, weight, bias), wanted, strict=True)
    )
    return loss, to_x, to_w, to_b


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *layer, labels, similarity, scale, ignore_index, dtype, is_summed, _wanted = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.options, ctx.dtypes, ctx.parts = Options(ignore_index, dtype, is_summed), _dtypes_of(layer), len(similarity)
    ctx.save_for_backward(*(output[1:] if is_summed else (*layer, labels, scale, *similarity)))


def _slopes(ctx: Any, upstream: Tensor, *_of_gradients: Tensor) -> tuple[Any, ...]:
    refuse_second_derivative()
    wanted = list(ctx.needs_input_grad[:3])
    if ctx.options.is_summed:
        gradients = [gradient * upstream for gradient in ctx.saved_tensors]
    else:
        *layer, labels, scale = ctx.saved_tensors[:5]
        scale = _joint_scale(scale, upstream, labels, ctx.options.ignore_index)
        gradients = _operator(*layer, labels, list(ctx.saved_tensors[5:]), scale, *ctx.options, wanted)[1:]
    of_inputs = (
        to.to(dtype) if is_wanted else None for to, dtype, is_wanted in zip(gradients, ctx.dtypes, wanted, strict=True)
    )
    return *of_inputs, None, [None] * ctx.parts, None, None, None, None, None


_operator.register_autograd(_slopes, setup_context=_keep)


def _dtypes_of(layer: Sequence[Tensor | None]) -> list[torch.dtype | None]:
    return [None if part is None else part.dtype for part in layer]
