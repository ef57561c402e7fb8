"""Rows whose similar classes are lost beside the largest logit: there the sum over them underflows."""

from __future__ import annotations

import torch
from torch import Tensor

from simmatrix.shapes import Float

__all__ = ["far_losses", "least_sum"]


def least_sum(dtype: torch.dtype, classes: int) -> float:
    """Return the sum a of S p below which it may have lost digits to underflow.

    Each of the C products in a is wrong by at most the smallest normal number. So from C times that number over the
    machine epsilon on, a is right to the last digit.
    """
    limits = torch.finfo(dtype)
    return classes * limits.tiny / limits.eps


def far_losses(
    z: Float[Tensor, "M C"], s: Float[Tensor, "M C"] | Float[Tensor, "1 C"]
) -> tuple[Float[Tensor, " M"], Float[Tensor, "M C"]]:
    """Return the loss of rows z with the similarities s, and softmax(z + log S): the gradient is softmax(z) minus that.

    The similar classes get a maximum of their own. S enters through its logarithm, since a small S may underflow too.
    """
    is_unlike = s == 0
    highest = z.amax(1, keepdim=True)
    top = z.masked_fill(is_unlike, -torch.inf).amax(1, keepdim=True)
    # Where all similar classes are at -inf, each is at the top: (-inf) - (-inf) is 0 here.
    scores = ((z - top).masked_fill_(z == top, 0.0) + s.log()).masked_fill_(is_unlike, -torch.inf)
    losses = (z - highest).logsumexp(1, keepdim=True) + (highest - top) - scores.logsumexp(1, keepdim=True)
    return losses.squeeze(1), scores.softmax(1)
