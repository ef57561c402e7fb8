"""The loss and its gradient for logits whose classes are divided among processes.

With a = sum S e^z and b = sum (1 - S) e^z, for the similarity row S of one label, and d = a + b:

    loss = log(1 + b / a)          dloss/dz = e^z / d ((1 - S) - S b / a)

Both are sums over the processes. So each sends the logarithms of its own two, one gathering brings all of them to
everyone, and from there on each process knows the loss, and the gradient for its own logits. The logarithms of sums in
float32 are sent in float64, which keeps all their digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from simloss.far import least_sum
from simloss.forms import Similarity, from_tensors, rows
from simloss.index_loss import refuse_second_derivative
from simloss.kernels import scale_gradient_
from simloss.reduction import work_dtype
from simmatrix.shapes import Bool, Float, Int

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["divided_loss"]

# Elements of a block of rows: on the CPU, for each thread, what stays in the caches; elsewhere what bounds the memory.
_BLOCK = 2**17
_BLOCK_ELSEWHERE = 2**25

# Where all similar classes of a process are at -inf, the logarithm of their sum would say no more than that there may
# be none. The gradient has to know the sum of their similarities, so that is sent, as a number below all others.
_AT_BOTTOM = -(2.0**1000)
_LOWEST = -(2.0**850)  # 2^-149 is the smallest float32 above 0


def divided_loss(
    logits: Float[Tensor, "N K"],
    labels: Int[Tensor, " N"],
    ignored: Bool[Tensor, " N"] | None,
    similarity: Similarity,
    scale: Tensor | None,
    group: ProcessGroup | None,
    is_summed: bool,
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Return scale * loss of each row, or the sum of that, in the work dtype.

    Parameters
    ----------
    logits
        The K columns that are here.
    labels
        The class of each row, among those of all processes.
    ignored
        Rows that get a loss and a gradient of exactly 0; None for none.
    similarity
        The same K columns, of all C rows.
    scale
        What each row counts, of shape () or (N), or None for 1.
    group
        The processes; all if it is None.
    is_summed
        Whether the sum is wanted.
    """
    loss: Tensor = _DividedLoss.apply(logits, labels, ignored, similarity, scale, group, is_summed)  # type: ignore[no-untyped-call]  # torch has no types for it
    return loss


class _Part(NamedTuple):
    """What a process knows of each row from its own columns. The logarithms are in float64, the maximum is not."""

    log_a: Float[Tensor, " N"]  # -inf where no class is similar
    log_b: Float[Tensor, " N"]
    highest: Float[Tensor, " N"]
    is_far: Bool[Tensor, " N"]  # whether a underflows beside e^highest


class _Whole(NamedTuple):
    """What all processes know of each row after the gathering, in float64."""

    log_a: Float[Tensor, " N"]
    log_b: Float[Tensor, " N"]
    log_d: Float[Tensor, " N"]
    is_at_bottom: Bool[Tensor, " N"]  # all similar classes are at -inf: log_a is that of the sum of their similarities


class _DividedLoss(torch.autograd.Function):
    """The gradient is computed in the forward pass, and is private until the backward pass hands it out."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        ignored: Tensor | None,
        similarity: Similarity,
        scale: Tensor | None,
        group: ProcessGroup | None,
        is_summed: bool,
    ) -> Tensor:
        part = _part(logits, labels, similarity)
        losses, whole = _merged(_gathered(torch.stack(part[:2], 1), group))
        wants_gradient = ctx.needs_input_grad[0]
        ctx.gradient = _gradient(logits, labels, ignored, scale, part, whole, similarity) if wants_gradient else None
        ctx.save_for_backward(logits, labels, ignored, scale, *part, *whole, *similarity)
        ctx.ignored, ctx.dtype = ignored, logits.dtype
        losses = losses.to(work_dtype(logits))
        if scale is not None:
            losses *= scale
        if ignored is not None:
            losses = losses.masked_fill(ignored, 0.0)
        return losses.sum() if is_summed else losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:  # the graph was kept, and the gradient has been given away
            logits, labels, ignored, scale, *tensors = ctx.saved_tensors
            part, whole, similarity = _Part(*tensors[:4]), _Whole(*tensors[4:8]), from_tensors(tensors[8:])
            gradient = _gradient(logits, labels, ignored, scale, part, whole, similarity)
        if upstream.ndim and ctx.ignored is not None:  # what comes for ignored examples may be infinite
            upstream = upstream.masked_fill(ctx.ignored, 0.0)
        scale_gradient_(gradient, upstream)
        return gradient.to(ctx.dtype), None, None, None, None, None, None


def _gathered(numbers: Float[Tensor, "N 2"], group: ProcessGroup | None) -> Float[Tensor, "R N 2"]:
    """Return the numbers of each of the R processes. This is all that is ever communicated."""
    gathered = numbers.new_empty(dist.get_world_size(group), *numbers.shape)
    dist.all_gather(list(gathered.unbind(0)), numbers, group=group)
    return gathered


def _merged(numbers: Float[Tensor, "R N 2"]) -> tuple[Float[Tensor, " N"], _Whole]:
    """Return the loss of each row, and what its gradient needs."""
    log_a, log_b = numbers.logsumexp(0).unbind(1)
    is_at_bottom = log_a.isfinite() & (log_a < _LOWEST)
    log_a = log_a.masked_fill(is_at_bottom, -torch.inf)
    losses = torch.logaddexp(log_b - log_a, torch.zeros_like(log_a))
    log_d = torch.logaddexp(log_a, log_b)
    similarities = (numbers[..., 0] / _AT_BOTTOM).nan_to_num(posinf=0.0).sum(0)
    return losses, _Whole(torch.where(is_at_bottom, similarities.log(), log_a), log_b, log_d, is_at_bottom)


# --- the columns of one process ---------------------------------------------------------------------------------------


def _part(logits: Float[Tensor, "N K"], labels: Int[Tensor, " N"], similarity: Similarity) -> _Part:
    """Return what the columns that are here tell of each row."""
    (count, columns), dtype = logits.shape, work_dtype(logits)
    a, b, highest = logits.new_zeros(3, count, dtype=dtype)
    highest.fill_(-torch.inf)
    is_far = torch.zeros_like(labels, dtype=torch.bool)
    log_far = a.double()
    for block, s, e, product in _blocks(logits):
        z = logits[block].to(dtype)
        rows(similarity, labels[block], s)
        torch.amax(z, 1, out=highest[block])
        _exponentials_(e, z, highest[block])
        a[block] = torch.mul(s, e, out=product).sum(1)
        b[block] = torch.lerp(e, e.new_zeros(()), s, out=product).sum(1)
        # A process that has no class like the label has a = 0, and nothing is lost there.
        far = (a[block] < least_sum(dtype, columns)) & (s.amax(1) > 0)
        if far.any():  # on a GPU this question waits for the device
            is_far[block] = far
            log_far[block][far] = _log_far(z[far], s[far])
    log_a = torch.where(is_far, log_far, a.double().log() + highest)
    return _Part(log_a, b.double().log() + highest, highest, is_far)


def _gradient(
    logits: Float[Tensor, "N K"],
    labels: Int[Tensor, " N"],
    ignored: Bool[Tensor, " N"] | None,
    scale: Tensor | None,
    part: _Part,
    whole: _Whole,
    similarity: Similarity,
) -> Float[Tensor, "N K"]:
    """Return the gradient for the columns that are here.

    With the maximum m of those it is e^(z - m) ((1 - S) e^m / d - S (e^m / a) (b / d)), where the quotients are of the
    row. They are in range unless a underflows beside e^m, and that is when the row is far.
    """
    dtype = work_dtype(logits)
    # In float32 for float16, where many a slope is too small until the scale of a GradScaler comes upstream.
    out = torch.empty_like(logits, dtype=dtype if logits.dtype == torch.float16 else logits.dtype)
    away = (part.highest - whole.log_d).exp_()
    towards = (part.highest - whole.log_a).exp_().mul_((whole.log_b - whole.log_d).exp_())
    towards.masked_fill_(part.log_a == -torch.inf, 0.0)
    factor = torch.ones_like(away) if scale is None else scale.to(away.dtype).expand_as(away)
    away, towards = ((numbers * factor).to(dtype).unsqueeze(1) for numbers in (away, towards))
    for block, s, e, slopes in _blocks(logits):
        z = logits[block].to(dtype)
        rows(similarity, labels[block], s)
        _exponentials_(e, z, part.highest[block])
        torch.lerp(away[block], e.new_zeros(()), s, out=slopes)
        torch.mul(slopes.addcmul_(s, towards[block], value=-1), e, out=out[block])
        far = part.is_far[block]
        if far.any():
            of_far = _far_slopes(z[far], s[far], _Whole(*(numbers[block][far] for numbers in whole)))
            out[block][far] = of_far.mul_(factor[block][far].unsqueeze(1)).to(out.dtype)
    return out if ignored is None else out.masked_fill_(ignored.unsqueeze(1), 0.0)


def _log_far(z: Float[Tensor, "M K"], s: Float[Tensor, "M K"]) -> Float[Tensor, " M"]:
    """Return log sum S e^z of rows where that is small beside the largest e^z. S enters by its logarithm, as z does."""
    s = s.double()
    log_a = (z.double() + s.log()).logsumexp(1)
    return torch.where(log_a == -torch.inf, s.sum(1) * _AT_BOTTOM, log_a)


def _far_slopes(z: Float[Tensor, "M K"], s: Float[Tensor, "M K"], whole: _Whole) -> Float[Tensor, "M K"]:
    """Return the gradient of such rows: p (1 - S) - q b / d, with p = e^z / d and q = S e^z / a."""
    z, s = z.double(), s.double()
    log_a, log_b, log_d, is_at_bottom = (numbers.unsqueeze(1) for numbers in whole)
    p = (z - log_d).exp()
    # Where all similar classes are at -inf, it pulls at each by its similarity.
    q = (z.masked_fill(is_at_bottom & (z == -torch.inf), 0.0) + s.log() - log_a).exp()
    return p * (1 - s) - q * (log_b - log_d).exp()


def _blocks(logits: Float[Tensor, "N K"]) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Cut the rows into blocks, and yield each with three places of its shape to work in, in the work dtype."""
    count, columns = logits.shape
    if columns == 0:  # a process may hold none
        return
    most = _BLOCK * torch.get_num_threads() if logits.device.type == "cpu" else _BLOCK_ELSEWHERE
    height = max(1, min(count, most // columns))
    spare = logits.new_empty(3, height, columns, dtype=work_dtype(logits))
    for top in range(0, count, height):
        one, two, three = spare[:, : count - top]
        yield slice(top, top + height), one, two, three


def _exponentials_(out: Float[Tensor, "N K"], z: Float[Tensor, "N K"], highest: Float[Tensor, " N"]) -> None:
    """Write e^(z - highest). Rows that are -inf throughout are 0."""
    torch.sub(z, highest.masked_fill(highest == -torch.inf, 0.0).unsqueeze(1), out=out).exp_()
