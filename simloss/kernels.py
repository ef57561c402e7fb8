"""Which of the ways of computing the loss is taken.

Triton's kernels on CUDA where Triton is, compiled C on the CPU for what it is made for, and else torch's operations.
All of them keep to the contract that `blocks.row_losses` states, and give the same numbers up to rounding.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from torch import Tensor

from simloss import blocks, native
from simloss.forms import Similarity
from simmatrix.shapes import Float, Int

__all__ = ["row_losses", "scale_gradient_"]

HAS_TRITON = find_spec("triton") is not None


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    scale: Tensor | None,
    ignore_index: int,
    gradient: Float[Tensor, "N C"] | None,
) -> Float[Tensor, " N"]:
    """Return the scaled loss of each row and write its gradient; see `blocks.row_losses`."""
    way = native if native.takes(logits, labels, similarity, scale, gradient) else _way_of(logits)
    losses: Tensor = way.row_losses(logits, labels, similarity, scale, ignore_index, gradient)
    return losses


def scale_gradient_(gradient: Float[Tensor, "N C"], factor: Tensor) -> None:
    """Multiply each row of a gradient by its factor, of shape () or (N), in place."""
    _way_of(gradient).scale_gradient_(gradient, factor)


def _way_of(tensor: Tensor) -> ModuleType:
    if not (tensor.is_cuda and HAS_TRITON):
        return blocks
    from simloss import cuda  # only here: it can't be imported without Triton

    return cuda
