"""What every builder returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simmatrix.provenance import Input
from simmatrix.shapes import Float

__all__ = ["RawSimilarity"]


@dataclass(frozen=True, eq=False)
class RawSimilarity:
    """Similarities on the builder's own scale, in class order: neither rescaled nor bounded.

    Parameters
    ----------
    values
        (C, C), float32 or float64, finite; any range. The builder gives them away: `normalise` may overwrite them.
    classes
        The C names. Fewer than in the class list only where dropping was asked for.
    builder, params
        Which builder made them, and from which parameters.
    source
        Every input, with its checksum.
    resolution
        How each class was found, by class name.
    """

    values: Float[np.ndarray, "C C"]
    classes: tuple[str, ...]
    builder: str
    params: Mapping[str, Any]
    source: tuple[Input, ...]
    resolution: Mapping[str, Mapping[str, Any]]
