"""The loss of each row of logits and its gradient, in four ways that keep to one contract.

Triton's kernels on CUDA where Triton is, compiled C on the CPU for what it is made for, and else torch's operations;
the fourth, for tensors without values, gives shapes alone. All give the same numbers up to rounding.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from torch import Tensor

from simloss.checks import has_no_values
from simloss.forms import Similarity
from simloss.reduction import work_dtype
from simloss.rows import eager, native
from simloss.rows.call import Call
from simmatrix.shapes import Float, Int

__all__ = ["HAS_TRITON", "row_losses", "scale_gradient_"]

HAS_TRITON = find_spec("triton") is not None


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    call: Call,
    gradient: Float[Tensor, "N C"] | None,
) -> Float[Tensor, " N"]:
    """Return the loss of each row and write its gradient; `call` has the formula.

    Parameters
    ----------
    logits
        One row an example, of any floating-point dtype.
    labels
        The class of each row, in [0, C), or the call's `ignore_index`.
    similarity
        In [0, 1], with unit diagonal.
    call
        The options.
    gradient
        Where the gradient of the result is written, rounded once to the dtype that this has. May be `logits` itself.
        None if it is not wanted.

    Returns
    -------
    Tensor
        Of shape (N), in the work dtype: float64 for float64 logits, else float32.

    Raises
    ------
    IndexError
        If a label on the CPU is neither a class nor `ignore_index`.
    """
    if has_no_values(logits):
        return logits.new_empty(logits.shape[0], dtype=work_dtype(logits))
    if native.takes(logits, labels) and native.takes_results(logits, call.scale, gradient):
        table = native.table_of(similarity)
        if table is not None:
            return native.row_losses(logits, labels, similarity, table, call, gradient)[0]
    losses: Tensor = _way_of(logits).row_losses(logits, labels, similarity, call, gradient)
    return losses


def scale_gradient_(gradient: Float[Tensor, "N C"], factor: Tensor) -> None:
    """Multiply each row of a gradient by its factor, of shape () or (N), in place."""
    if type(factor) is Tensor and factor.is_cpu and factor.dim() == 0:
        if factor.item() != 1:
            gradient.mul_(factor)
    elif not has_no_values(gradient):
        _way_of(gradient).scale_gradient_(gradient, factor)


def _way_of(tensor: Tensor) -> ModuleType:
    if not (tensor.is_cuda and HAS_TRITON):
        return eager
    from simloss.rows import cuda  # only here: it can't be imported without Triton

    return cuda
