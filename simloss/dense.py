"""The loss of each example, and its gradient, for a dense similarity matrix.

With m = max z, e = exp(z - m), a = sum S e, b = sum (1 - S) e and d = a + b, for the similarity row S of one class:

    loss = log1p(b / a)            dloss/dz_c = (e_c / d) ((1 - S_c) - S_c b / a)

No logarithm of S, so no -inf for classes that have nothing in common. And no small difference of large numbers: near
zero loss, -log(a / d) and softmax differences in float32 lose all their digits where these two keep theirs.

The gradient is computed in the forward pass, while e is at hand. Nothing is reduced here and the two functions below
know neither weights nor smoothing; `reduction` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from simmatrix.shapes import Float, Int

__all__ = ["distribution_losses", "index_losses", "work_dtype"]

# Elements; the fastest of 2^14 to 2^20 for 1,000 and for 8,193 classes.
_BLOCK = 2**18


def work_dtype(logits: torch.Tensor) -> torch.dtype:
    """Return the dtype that the loss of these logits is computed in: float64 for float64, else float32."""
    return torch.promote_types(logits.dtype, torch.float32)


def index_losses(
    logits: Float[torch.Tensor, "N C"],
    labels: Int[torch.Tensor, " N"],
    ignored: torch.Tensor,
    similarity: Float[torch.Tensor, "C C"],
) -> Float[torch.Tensor, " N"]:
    """Return -log sum_c S[y, c] softmax(z)[c] of each row, in the work dtype.

    Parameters
    ----------
    logits
        One row an example.
    labels
        The class y of each row, all in [0, C).
    ignored
        Boolean, (N): rows that get a loss and a gradient of exactly 0 whatever their logits are.
    similarity
        In [0, 1], with unit diagonal.
    """
    losses: torch.Tensor = _IndexLosses.apply(logits, labels, ignored, similarity)  # type: ignore[no-untyped-call]  # torch has no types for it
    return losses


def distribution_losses(
    logits: Float[torch.Tensor, "N C"],
    distribution: Float[torch.Tensor, "N C"],
    ignored: torch.Tensor,
    similarity: Float[torch.Tensor, "C C"],
) -> Float[torch.Tensor, " N"]:
    """Return sum_k t_k (-log sum_c S[k, c] softmax(z)[c]) of each row, in the work dtype.

    Parameters
    ----------
    logits
        One row an example.
    distribution
        The t of each row, in the work dtype. It need not sum to 1, so it can carry class weights.
    ignored
        Boolean, (N): rows that get a loss and a gradient of exactly 0 whatever their logits are.
    similarity
        In [0, 1], with unit diagonal.
    """
    losses: torch.Tensor = _DistributionLosses.apply(logits, distribution, ignored, similarity)  # type: ignore[no-untyped-call]  # torch has no types for it
    return losses


class _IndexLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor, similarity: torch.Tensor
    ) -> torch.Tensor:
        dtype = work_dtype(logits)
        losses = torch.empty(logits.shape[0], dtype=dtype, device=logits.device)
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device) if ctx.needs_input_grad[0] else None
        for block in _blocks(logits):
            rows = similarity.index_select(0, labels[block]).to(dtype)
            out = None if gradient is None else gradient[block]
            losses[block] = _index_block(logits[block].to(dtype), rows, out)
            if out is not None:
                out.masked_fill_(ignored[block].unsqueeze(1), 0.0)
        ctx.save_for_backward(gradient, ignored)
        ctx.logits_dtype = logits.dtype
        return losses.masked_fill_(ignored, 0.0)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        _refuse_second_derivative()
        gradient, ignored = ctx.saved_tensors
        scale = upstream.masked_fill(ignored, 0.0).unsqueeze(1)
        return (gradient * scale).to(ctx.logits_dtype), None, None, None


def _index_block(
    z: Float[torch.Tensor, "N C"], s: Float[torch.Tensor, "N C"], gradient: Float[torch.Tensor, "N C"] | None
) -> Float[torch.Tensor, " N"]:
    """Return the loss of each row for its own row of similarities, and write its gradient. Spoils s."""
    rest = 1 - s
    highest, e = _exponentials(z)
    a = (s * e).sum(1, keepdim=True)
    b = (rest * e).sum(1, keepdim=True)
    d = a + b
    ratio = b / a
    losses = ratio.log1p().squeeze(1)
    far = (a < _least(z)).squeeze(1)
    # On a GPU this question waits for the device. Without it every row would pay a second exponential and a
    # logarithm an element, for rows that hardly ever come.
    rows = far.nonzero().squeeze(1) if far.any() else None
    if rows is not None:
        losses[rows], shares = _far(z[rows], s[rows], highest[rows], d[rows])
    if gradient is not None:
        torch.mul(e.div_(d), rest.sub_(s.mul_(ratio)), out=gradient)
        if rows is not None:
            gradient[rows] = e[rows] - shares
    return losses


class _DistributionLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, distribution: torch.Tensor, ignored: torch.Tensor, similarity: torch.Tensor
    ) -> torch.Tensor:
        # Autocast would round e and S to half precision before it multiplies them.
        with torch.autocast(logits.device.type, enabled=False):
            losses, gradient = _per_class(logits, distribution, similarity, *ctx.needs_input_grad[:2])
        if gradient is not None:
            gradient.masked_fill_(ignored.unsqueeze(1), 0.0)
        ctx.save_for_backward(gradient, losses if ctx.needs_input_grad[1] else None, ignored)
        ctx.logits_dtype = logits.dtype
        # A class that has no share in the target counts nothing, even where its own loss is infinite.
        weighted = (distribution * losses).masked_fill_((distribution == 0) & losses.isinf(), 0.0)
        return weighted.sum(1).masked_fill_(ignored, 0.0)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        _refuse_second_derivative()
        gradient, losses, ignored = ctx.saved_tensors
        scale = upstream.masked_fill(ignored, 0.0).unsqueeze(1)
        to_logits = None if gradient is None else (gradient * scale).to(ctx.logits_dtype)
        to_distribution = None if losses is None else losses * scale
        return to_logits, to_distribution, None, None


def _per_class(
    logits: Float[torch.Tensor, "N C"],
    distribution: Float[torch.Tensor, "N C"],
    similarity: Float[torch.Tensor, "C C"],
    logits_gradient: bool,
    distribution_gradient: bool,
) -> tuple[Float[torch.Tensor, "N C"], Float[torch.Tensor, "N C"] | None]:
    """Return the loss of each row for each class, and the gradient of their sum weighted by the distribution."""
    z = logits.to(work_dtype(logits))
    s = similarity.to(z.dtype)
    rest = 1 - s
    highest, e = _exponentials(z)
    d = e.sum(1, keepdim=True)
    a = e @ s.T
    ratio = (e @ rest.T).div_(a)
    losses = ratio.log1p()
    far = a < _least(z)
    asked = far if distribution_gradient else far & (distribution != 0)
    near = distribution.masked_fill(far, 0.0)
    ratio.masked_fill_(far, 0.0)
    gradient = (near @ rest).sub_((near * ratio) @ s).mul_(e).div_(d) if logits_gradient else None
    # On a GPU this question waits for the device. Class by class, a far row meets each class once and the sums have
    # one order; it is slow when all of N x C are far, which takes logits that ordinary training does not give.
    for k in asked.any(0).nonzero().squeeze(1).tolist():
        rows = asked[:, k].nonzero().squeeze(1)
        losses[rows, k], shares = _far(z[rows], s[k : k + 1], highest[rows], d[rows])
        if gradient is not None:
            gradient[rows] += distribution[rows, k : k + 1] * (e[rows] / d[rows] - shares)
    return losses.masked_fill_(far & ~asked, torch.inf), gradient


def _blocks(logits: Float[torch.Tensor, "N C"]) -> Iterator[slice]:
    """Cut the rows into pieces whose intermediate results stay in the cache of a CPU; leave them whole elsewhere."""
    count, classes = logits.shape
    size = max(1, _BLOCK // classes) if logits.device.type == "cpu" else max(1, count)
    for start in range(0, count, size):
        yield slice(start, start + size)


def _exponentials(z: Float[torch.Tensor, "N C"]) -> tuple[Float[torch.Tensor, "N 1"], Float[torch.Tensor, "N C"]]:
    """Return the maximum m of each row, and e = exp(z - m)."""
    highest = z.amax(1, keepdim=True)
    return highest, (z - highest).exp_()


def _least(z: Float[torch.Tensor, "N C"]) -> float:
    """Return the a below which it may have lost digits to underflow.

    Each of the C products in a is wrong by at most the smallest normal number. So from C times that number over the
    machine epsilon on, a is right to the last digit.
    """
    limits = torch.finfo(z.dtype)
    return z.shape[1] * limits.tiny / limits.eps


def _far(
    z: Float[torch.Tensor, "M C"],
    s: Float[torch.Tensor, "M C"] | Float[torch.Tensor, "1 C"],
    highest: Float[torch.Tensor, "M 1"],
    d: Float[torch.Tensor, "M 1"],
) -> tuple[Float[torch.Tensor, " M"], Float[torch.Tensor, "M C"]]:
    """Return the loss of rows whose similar classes are lost beside the maximum, and softmax(z + log S).

    The similar classes get a maximum of their own. S enters through its logarithm, since a small S may underflow too.
    """
    unlike = s == 0
    top = z.masked_fill(unlike, -torch.inf).amax(1, keepdim=True)
    # Where all similar classes are at -inf, each is at the top: (-inf) - (-inf) is 0 here.
    scores = ((z - top).masked_fill_(z == top, 0.0) + s.log()).masked_fill_(unlike, -torch.inf)
    losses = d.log() + (highest - top) - scores.logsumexp(1, keepdim=True)
    return losses.squeeze(1), scores.softmax(1)


def _refuse_second_derivative() -> None:
    """Raise where a backward pass is recorded. once_differentiable would let some of these through as constants."""
    if torch.is_grad_enabled():
        raise RuntimeError("this loss has no second derivative: call it without create_graph=True")
