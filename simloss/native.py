"""The loss of each row and its gradient in compiled C: the way of the CPU for float32 and bfloat16.

`native.c` is compiled when the package is installed, if there is a compiler. It reads the logits once and writes the
gradient once. What it does not take, `blocks` does.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from simloss.far import far_losses
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, rows
from simloss.reduction import out_of_bounds
from simmatrix.shapes import Float, Int

__all__ = ["is_compiled", "row_losses", "takes"]


def _loaded() -> Any:
    """Return what was compiled; None if it was not, or can't be loaded, say where OpenMP's library is missing."""
    try:
        return import_module("simloss._native") if find_spec("simloss._native") else None
    except ImportError:
        return None


_native = _loaded()

# As in native.c.
_FAR, _NO_CLASS, _BROKEN_MATRIX = 1, 2, 3

# Tensors whose numbers are where data_ptr() says. Of other kinds, a DTensor say, it may be nowhere.
_PLAIN = (Tensor, nn.Parameter)

# Below so many logits, waking other threads takes longer than the work does.
_ALONE = 2**14


def is_compiled() -> bool:
    """Return whether this way is there."""
    return _native is not None


def takes(
    logits: Tensor, labels: Tensor, similarity: Similarity, scale: Tensor | None, gradient: Tensor | None
) -> bool:
    """Return whether this way is there, and made for these tensors."""
    lined_up = [logits, similarity[-1]] if gradient is None else [logits, similarity[-1], gradient]
    everything = [logits, labels, *similarity, *(tensor for tensor in (scale, gradient) if tensor is not None)]
    return (
        is_compiled()
        and logits.dtype in (torch.float32, torch.bfloat16)
        and labels.dtype == torch.int64
        and all(type(tensor) in _PLAIN and tensor.is_cpu and not tensor.is_neg() for tensor in everything)
        and (gradient is None or gradient.dtype == logits.dtype)
        and similarity[-1].dtype == torch.float32
        and (scale is None or scale.dtype == torch.float32)
        and all(tensor.stride(-1) == 1 for tensor in lined_up)
        and (not isinstance(similarity, Sparse) or _are_plain(similarity))
        # Threads share rows: of very few and long ones torch has better use for them.
        and logits.shape[0] >= min(torch.get_num_threads(), logits.numel() // _ALONE)
    )


def _are_plain(similarity: Sparse) -> bool:
    crow_indices, col_indices, _ = similarity
    are_wide = crow_indices.dtype == torch.int64 and col_indices.dtype == torch.int32
    return are_wide and crow_indices.is_contiguous() and col_indices.is_contiguous()


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    scale: Tensor | None,
    ignore_index: int,
    gradient: Float[Tensor, "N C"] | None,
) -> Float[Tensor, " N"]:
    """Return the scaled loss of each row and write its gradient; see `blocks.row_losses`."""
    count, classes = logits.shape
    labels = labels.contiguous()
    # With all that they are said: the defaults may be any, and C writes there.
    losses = torch.empty(count, dtype=torch.float32, device="cpu")
    is_far = torch.empty(count, dtype=torch.bool, device="cpu")
    worst = _native.row_losses(
        logits.data_ptr(),
        logits.stride(0),
        count,
        classes,
        labels.data_ptr(),
        ignore_index,
        *_addresses(similarity, classes),
        0 if scale is None else scale.data_ptr(),
        0 if scale is None or scale.ndim == 0 else scale.stride(0),
        0 if gradient is None else gradient.data_ptr(),
        0 if gradient is None else gradient.stride(0),
        losses.data_ptr(),
        is_far.data_ptr(),
        logits.dtype == torch.bfloat16,
        min(torch.get_num_threads(), max(1, logits.numel() // _ALONE)),
    )
    if worst == _NO_CLASS:
        raise out_of_bounds(labels, classes, ignore_index)
    if worst == _BROKEN_MATRIX:
        raise IndexError(f"the entries of the sparse similarity are not those of {classes} classes; SimLoss says which")
    if worst == _FAR:
        _do_far(is_far.nonzero().squeeze(1), logits, labels, similarity, scale, losses, gradient)
    return losses


def _addresses(similarity: Similarity, classes: int) -> tuple[int, int, int, int, int]:
    """Return where the values are, how far the row of the next class is, where the two indices are, and how many."""
    match similarity:
        case Dense(values):
            return values.data_ptr(), values.stride(0), 0, 0, 0
        case Toeplitz(diagonals):
            # Row 0 begins at the main diagonal, and each row one number before the row above it.
            return diagonals[classes - 1 :].data_ptr(), -1, 0, 0, 0
        case Sparse(crow_indices, col_indices, values):
            return values.data_ptr(), 0, crow_indices.data_ptr(), col_indices.data_ptr(), values.shape[0]


def _do_far(
    far: Int[Tensor, " M"],
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    scale: Tensor | None,
    losses: Float[Tensor, " N"],
    gradient: Float[Tensor, "N C"] | None,
) -> None:
    """Compute the rows whose similar classes are lost beside the largest logit."""
    z = logits[far].float()
    counts = z.new_ones(()) if scale is None else scale if scale.ndim == 0 else scale[far]
    values, shares = far_losses(z, rows(similarity, labels[far], torch.empty_like(z)))
    losses[far] = values * counts
    if gradient is not None:
        gradient[far] = ((z.softmax(1) - shares) * counts.unsqueeze(-1)).to(gradient.dtype)
