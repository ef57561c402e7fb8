"""The part of cross entropy, in calls where it has a share; `simloss.rows.call` has the formula.

`mix` points at the share of SimLoss and the smoothing. It is None where SimLoss stands alone, and then the kernels are
compiled without all this.
"""

from __future__ import annotations

import triton
import triton.language as tl

from simloss.rows.cuda.arithmetic import log1p, quotient


@triton.jit
def mixture(one, other, share):
    """Return share * one + (1 - share) * other, where what has no share may be infinite."""
    return tl.where(share > 0.0, share * one, 0.0) + tl.where(share < 1.0, (1.0 - share) * other, 0.0)


@triton.jit
def cross_entropy(mix, own, rest, d, behind, neighbours, between, least, weight, work: tl.constexpr):
    """Return the share of SimLoss, cross entropy, and what `mixed_slope` needs of a row.

    `own` is e of the label, `rest` and `d` are the sums of e over the other classes and over all, `behind` is m - z of
    the label, `neighbours` and `between` are the sums of S and of S (z - m) over the other classes. An `own` below
    `least` may have lost digits to underflow; there the logit itself is used.
    """
    share = tl.load(mix).to(work)
    smoothing = tl.where(neighbours > 0.0, tl.load(mix + 1).to(work), 0.0)
    log_d = tl.log(d)
    of_label = tl.where(own < least, log_d + behind, log1p(quotient(rest, own)))
    loss = mixture(log_d - quotient(between, neighbours), of_label, smoothing)
    factor = (1.0 - share) * weight
    own_slope = factor * (smoothing - quotient(rest, d))
    pull = tl.where(smoothing > 0.0, quotient(factor * smoothing, neighbours * _lift(work)), 0.0)
    return share, loss, own_slope, pull


@triton.jit
def mixed_slope(slope, p, s, is_label, share, own_slope, pull, work: tl.constexpr):
    """Return the slope of the mixture, given that of SimLoss; both and p are multiplied by the weight of the row."""
    of_entropy = tl.where(is_label, own_slope, (1.0 - share) * p - (s * _lift(work)) * pull)
    return share * slope + of_entropy


@triton.jit
def _lift(work: tl.constexpr):
    """Return what S is multiplied by, and `pull` divided by: without it that overflows where all S are subnormal."""
    return tl.full([], 2.0**64 if work == tl.float64 else 2.0**32, work)
