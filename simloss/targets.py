"""The loss of targets that are class probabilities, and its gradients.

It needs the loss of each example for each class, L_k = log1p(b_k / a_k) with a_k = sum_c S[k, c] p_c and b_k the same
sum over 1 - S: products of matrices, N C^2 multiplications four times over. They are done class block by class block,
so that no form of S is ever made dense as a whole.

Targets with only a few classes, as from mixup, CutMix or two annotators, need the loss of these classes alone: rows
that are computed as for class indices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from simloss.autograd import refuse_second_derivative
from simloss.checks import has_no_values
from simloss.forms import FORMS, Dense, Similarity, name_of, rows
from simloss.reduction import work_dtype
from simloss.rows import row_losses
from simloss.rows.call import Call, mixture
from simloss.rows.eager import far_losses, least_sum
from simmatrix.shapes import Bool, Float

# Elements of S taken at a time: products of matrices this large run at full speed.
_BLOCK = 2**24

# A target with no more classes than these, and than a quarter of all, is computed class by class.
_FEW = 4


class _Wants(NamedTuple):
    """Which gradients are asked for."""

    logits: bool
    distribution: bool


def distribution_losses(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    ignored: Bool[Tensor, " N"] | None,
    similarity: Similarity,
    mix: Float[Tensor, " 2"] | None = None,
) -> Float[Tensor, " N"]:
    """Return sum_k t_k L_k of each row, in the work dtype, where L_k is the loss for class k; see `rows.call`.

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
    mix
        The share and the similarity smoothing, as in `rows.call.Call`.
    """
    wants = _Wants(*(torch.is_grad_enabled() and one.requires_grad for one in (logits, distribution)))
    if torch.compiler.is_compiling():
        losses: Tensor = _operator(logits, distribution, ignored, name_of(similarity), list(similarity), mix, *wants)[0]
        return losses
    result: Tensor = _DistributionLosses.apply(logits, distribution, ignored, similarity, mix, wants)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


def _computed(
    logits: Tensor,
    distribution: Tensor,
    ignored: Tensor | None,
    similarity: Similarity,
    mix: Tensor | None,
    wants: _Wants,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of each row, its gradient for the logits, and for the distribution; empty if not wanted."""
    if has_no_values(logits):
        shapes: tuple[Tensor, Tensor, Tensor] = _shapes(logits, *wants)
        return shapes
    if ignored is not None:
        distribution = distribution.masked_fill(ignored.unsqueeze(1), 0.0)
    counts = (distribution != 0).sum(1)
    most = -1 if wants.distribution else min(_FEW, logits.shape[1] // 4)
    is_few = counts <= most
    # Autocast would round p and S to half precision before it multiplies them.
    with torch.autocast(logits.device.type, enabled=False):
        if not wants.distribution and is_few.all():  # on a GPU this question waits for the device
            losses, gradient = _class_by_class(logits, distribution, similarity, mix, wants.logits)
            of_classes = None
        elif not is_few.any():
            losses, gradient, of_classes = _all_classes(logits, distribution, similarity, mix, wants)
        else:
            losses, of_classes = distribution.new_empty(len(logits)), None
            gradient = distribution.new_empty(logits.shape) if wants.logits else None
            for here in (is_few, ~is_few):
                part = _computed(logits[here], distribution[here], None, similarity, mix, wants)
                losses[here] = part[0]
                if gradient is not None:
                    gradient[here] = part[1]
    if ignored is not None:
        losses.masked_fill_(ignored, 0.0)
        if gradient is not None:
            gradient.masked_fill_(ignored.unsqueeze(1), 0.0)
    nothing = losses.new_empty
    return losses, nothing(0) if gradient is None else gradient, nothing(0) if of_classes is None else of_classes


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
        similarity: Similarity,
        mix: Tensor | None,
        wants: _Wants,
    ) -> Tensor:
        losses, gradient, of_classes = _computed(logits, distribution, ignored, similarity, mix, wants)
        ctx.save_for_backward(gradient, of_classes, ignored)
        ctx.logits_dtype = logits.dtype
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return *_slopes(ctx, upstream), None, None, None, None


# --- a few classes ----------------------------------------------------------------------------------------------------


def _class_by_class(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    mix: Tensor | None,
    wants_gradient: bool,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N C"] | None]:
    """Return the loss of each row and its gradient: for each class that a row has, t_k times the loss of that class."""
    z = logits.to(distribution.dtype).contiguous()
    row, column = distribution.nonzero(as_tuple=True)
    counts = torch.bincount(row, minlength=len(z))
    number = torch.arange(len(row), device=z.device) - (counts.cumsum(0) - counts)[row]  # of the class in its row
    most = int(counts.max()) if len(z) else 0
    labels = torch.full((most, len(z)), -1, device=z.device)
    labels[number, row] = column
    portions = distribution.new_zeros(most, len(z))
    portions[number, row] = distribution[row, column]
    losses = distribution.new_zeros(len(z))
    total = torch.zeros_like(z) if wants_gradient else None
    part = torch.empty_like(z) if wants_gradient else None
    for label, portion in zip(labels, portions, strict=True):
        losses += row_losses(z, label, similarity, Call(-1, portion, mix), part)
        if total is not None and part is not None:
            total += part
    return losses, total


# --- all classes ------------------------------------------------------------------------------------------------------


def _all_classes(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    mix: Tensor | None,
    wants: _Wants,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N C"] | None, Float[Tensor, "N C"] | None]:
    """Return the loss of each row, its gradient, and the loss of each row for each class where that is wanted."""
    of_classes, gradient = _per_class(logits, distribution, similarity, *wants)
    if mix is not None:
        share, smoothing = mix.to(of_classes.dtype).unbind()
        entropies, slopes = _cross_entropies(logits, distribution, similarity, smoothing, wants)
        of_classes = mixture(of_classes, entropies, share)
        if gradient is not None and slopes is not None:
            gradient = share * gradient + (1 - share) * slopes
    # A class that has no share in the target counts nothing, even where its own loss is infinite.
    losses = (distribution * of_classes).masked_fill_((distribution == 0) & of_classes.isinf(), 0.0).sum(1)
    return losses, gradient, of_classes if wants.distribution else None


def _cross_entropies(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    smoothing: Float[Tensor, ""],
    wants: _Wants,
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"] | None]:
    """Return cross entropy of each row for each class with its smoothed target, and the gradient of their sum.

    That sum is weighted by the distribution.
    """
    z = logits.to(work_dtype(logits))
    logs = z.log_softmax(1)
    if smoothing.item() == 0:
        entropies, target = -logs, distribution
    else:
        entropies, target = _smoothed(logs, distribution, similarity, smoothing)
    return entropies, distribution.sum(1, keepdim=True) * logs.exp() - target if wants.logits else None


def _smoothed(
    logs: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    smoothing: Float[Tensor, ""],
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"]]:
    """Return cross entropy of each row for each class with its smoothed target, and the smoothed distribution."""
    entropies, target = torch.empty_like(logs), torch.zeros_like(logs)
    is_lowest = logs == -torch.inf
    finite = logs.masked_fill(is_lowest, 0.0)
    size = max(1, _BLOCK // logs.shape[1])
    for block in (slice(first, first + size) for first in range(0, logs.shape[1], size)):
        others = _rows_of(similarity, block, logs).clone()
        numbers = torch.arange(len(others), device=logs.device)
        others[numbers, block.start + numbers] = 0.0
        neighbours = others.sum(1)
        given = torch.where(neighbours > 0, smoothing, 0.0)
        others /= neighbours.masked_fill(neighbours == 0, 1.0).unsqueeze(1)
        between = finite @ others.T
        # A class of no similarity counts nothing, even where its logit is -inf.
        between.masked_fill_(is_lowest.to(logs.dtype) @ (others > 0).to(logs.dtype).T > 0, -torch.inf)
        entropies[:, block] = mixture(-between, -logs[:, block], given)
        target[:, block] += distribution[:, block] * (1 - given)
        target += (distribution[:, block] * given) @ others
    return entropies, target


def _per_class(
    logits: Float[Tensor, "N C"],
    distribution: Float[Tensor, "N C"],
    similarity: Similarity,
    logits_gradient: bool,
    distribution_gradient: bool,
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"] | None]:
    """Return SimLoss of each row for each class, and the gradient of their sum weighted by the distribution."""
    z = logits.to(work_dtype(logits)).contiguous()
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
    "(Tensor logits, Tensor distribution, Tensor? ignored, str form, Tensor[] similarity, Tensor? mix,"
    " bool logits_gradient, bool distribution_gradient) -> (Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("simloss::distribution_losses", mutates_args=(), schema=_SCHEMA)
def _operator(
    logits: Tensor,
    distribution: Tensor,
    ignored: Tensor | None,
    form: str,
    similarity: list[Tensor],
    mix: Tensor | None,
    logits_gradient: bool,
    distribution_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    wants = _Wants(logits_gradient, distribution_gradient)
    return _computed(logits, distribution, ignored, FORMS[form](*similarity), mix, wants)


@_operator.register_fake
def _shapes(logits: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, logits_gradient, distribution_gradient = others
    losses = torch.empty(logits.shape[0], dtype=work_dtype(logits), device=logits.device)
    to_logits, to_distribution = (
        losses.new_empty(logits.shape if wanted else 0) for wanted in (logits_gradient, distribution_gradient)
    )
    return losses, to_logits, to_distribution


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, _, ignored, _form, similarity, *_ = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[1:], ignored)
    ctx.logits_dtype, ctx.parts = logits.dtype, len(similarity)


def _slopes_of_operator(ctx: Any, upstream: Tensor, *_of_gradients: Tensor) -> tuple[Any, ...]:
    return *_slopes(ctx, upstream), None, None, [None] * ctx.parts, None, None, None


_operator.register_autograd(_slopes_of_operator, setup_context=_keep)
