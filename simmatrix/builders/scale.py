"""The scale that judgements are given on: what stands for "not similar", and what for "the same"."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.shapes import Float

__all__ = ["check_scale", "check_span", "unit_of"]


def check_scale(scale: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a stated scale as floats, or None where none is stated.

    Raises
    ------
    SourceError
        If it is no range, or too wide.

    Examples
    --------
    >>> check_scale((1, 7))
    (1.0, 7.0)
    """
    if scale is None:
        return None
    low, high = map(float, scale)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SourceError(f"the scale from {low:g} to {high:g} is no range; give its lowest value first (--scale 0:10)")
    check_span(low, high)
    return low, high


def check_span(low: float, high: float, path: Path | None = None) -> None:
    """Raise `SourceError` unless the difference of a scale's ends is a number."""
    if not math.isfinite(high - low):
        raise SourceError(
            f"the scale from {low:g} to {high:g} is too wide to reckon with; divide all numbers by the same one", path
        )


def unit_of(sizes: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the greatest power of two up to each size, above 0.

    It is a unit to reckon in where squares of the huge would overflow and those of the tiny vanish: dividing by it
    changes no digit but of subnormal numbers.

    Examples
    --------
    >>> unit_of(np.array([10.0, 0.3]))
    array([8.  , 0.25])
    """
    return np.asarray(np.ldexp(1.0, np.frexp(sizes)[1] - 1))
