"""The scale that judgements are given on: what stands for "not similar", and what for "the same"."""

from __future__ import annotations

import math

from simmatrix.errors import SourceError

__all__ = ["check_scale"]


def check_scale(scale: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a stated scale as floats, or None where none is stated.

    Raises
    ------
    SourceError
        If it is no range.

    Examples
    --------
    >>> check_scale((1, 7))
    (1.0, 7.0)
    """
    if scale is None:
        return None
    low, high = map(float, scale)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SourceError(f"the scale from {low:g} to {high:g} is no range; give its lowest value first (--scale 0 10)")
    return low, high
