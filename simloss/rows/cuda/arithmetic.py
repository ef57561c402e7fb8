"""Functions of numbers that keep their digits, where those of the device do not."""

from __future__ import annotations

import triton
import triton.language as tl

_LOG2_E = tl.constexpr(1.44269502162933349609375)  # to 24 bits
_LOG2_E_REST = tl.constexpr(1.925963033500011e-8)
_LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def exp_of_difference(z, highest, is_exact: tl.constexpr):
    """Return e^(z - highest) for z <= highest, to the last bits also where they are far apart; NaN goes through.

    tl.exp errs by as many ulp as its argument is large: what the product with log2(e) rounds away. The difference
    rounds as much away, unless it is exact, as it is for logits of half the digits. A small loss would have the same
    error, and two sweeps that meet different maxima would disagree. So what was rounded away is put back.
    """
    x = z - highest
    if x.dtype == tl.float64:
        e = tl.exp(x)
    else:
        is_far = x < -150.0  # where all underflows, and -inf would make NaN of what follows
        x = tl.where(is_far, -150.0, x)
        power = x * _LOG2_E
        lost = tl.math.fma(x, _LOG2_E_REST, tl.math.fma(x, _LOG2_E, -power))
        if not is_exact:
            back = x - z
            of_difference = (z - (x - back)) - (highest + back)  # Knuth's sum of two
            lost = tl.math.fma(tl.where(is_far, 0.0, of_difference), _LOG2_E, lost)
        e = tl.math.exp2(power)
        e = tl.math.fma(e * _LN_2, lost, e)
    return e


@triton.jit
def quotient(x, y):
    """Return x / y, rounded as IEEE 754 has it."""
    return x / y if x.dtype == tl.float64 else tl.div_rn(x, y)


@triton.jit
def log1p(x):
    """Return log(1 + x) for x >= 0, right also where 1 + x rounds much of x away (Kahan's way)."""
    y = 1.0 + x
    return tl.where(y == 1.0, x, tl.log(y) * quotient(x, tl.where(y == 1.0, 1.0, y - 1.0)))


@triton.jit
def log(x):
    """Return log x for x > 0. A device may take subnormal numbers for 0, so they are made larger first."""
    if x.dtype == tl.float64:
        log = tl.log(x)
    else:
        is_small = x < 2.0**-100
        log = tl.log(tl.where(is_small, x * 2.0**64, x)) - tl.where(is_small, 64 * _LN_2, 0.0)
    return log


@triton.jit
def least_sum(classes, work: tl.constexpr):
    """Return the sum a below which it may have lost digits to underflow; see `eager.least_sum`."""
    return tl.full([], 2.0**-970 if work == tl.float64 else 2.0**-103, work) * classes
