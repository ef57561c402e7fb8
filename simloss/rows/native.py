"""The loss of each row and its gradient in compiled C: the way of the CPU for float32 and bfloat16.

`native.c` is compiled when the package is installed, if there is a compiler. It reads the logits once and writes the
gradient once. What it does not take, `eager` does.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simloss.forms import Dense, Similarity, Sparse, Toeplitz, class_count
from simloss.reduction import out_of_bounds
from simloss.rows.call import Call
from simloss.rows.eager import far_rows
from simmatrix.shapes import Float, Int


def _loaded() -> Any:
    """Return what was compiled; None if it was not, or can't be loaded, say where OpenMP's library is missing."""
    try:
        return import_module("simloss._native") if find_spec("simloss._native") else None
    except ImportError:
        return None


_native = _loaded()

# As in native.c.
_FAR, _NO_CLASS, _BROKEN_MATRIX = 1, 2, 3

# The kinds of tensor whose numbers are where data_ptr() says. Other kinds, such as a DTensor, may have none there.
_PLAIN = (Tensor, nn.Parameter)

# What C writes into is made like this, whatever the user's default dtype and device are.
_FLOATS = torch.empty(0, dtype=torch.float32, device="cpu")

# Below so many logits, waking another thread takes longer than it saves.
_ALONE = 2**13


class Table(NamedTuple):
    """Where C finds a similarity: the addresses of its tensors, the distance from row to row, and how large it is."""

    values: int
    values_stride: int
    crow_indices: int
    col_indices: int
    entries: int
    classes: int
    pointers: tuple[int, ...]  # of all parts: where one has moved, say to shared memory, this table holds no more


def is_compiled() -> bool:
    """Return whether this way is there."""
    return _native is not None


def takes(logits: Tensor, labels: Tensor) -> bool:
    """Return whether this way is there, and made for these tensors. Small batches feel each question."""
    dtype = logits.dtype
    return (
        _native is not None
        and (dtype is torch.float32 or dtype is torch.bfloat16)
        and labels.dtype is torch.int64
        and _is_plain(logits)
        and _is_plain(labels)
        and logits.stride(1) == 1
        # Threads share rows: of very few and long ones torch has better use for them.
        and logits.shape[0] >= min(torch.get_num_threads(), logits.numel() // _ALONE)
    )


def takes_batch(logits: Tensor, labels: Tensor, similarity: Similarity, table: Table | None) -> bool:
    """Return whether this way takes a whole batch: ordinary logits in float32 and their labels, for this similarity."""
    if table is None or type(logits) is not Tensor or logits.dtype is not torch.float32 or logits.dim() != 2:
        return False
    count, classes = logits.shape
    return (
        classes == table.classes
        and type(labels) is Tensor
        and labels.dtype is torch.int64
        and labels.dim() == 1
        and labels.numel() == count
        and logits.is_cpu
        and labels.is_cpu
        and logits.layout is torch.strided
        and logits.is_contiguous()
        and not logits.is_neg()
        and not labels.is_neg()
        and count >= min(torch.get_num_threads(), count * classes // _ALONE)
        and tuple(map(Tensor.data_ptr, similarity)) == table.pointers
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch has no types for it
    )


def takes_results(logits: Tensor, scale: Tensor | None, gradient: Tensor | None) -> bool:
    """Return whether the scale can be read, and the gradient be written, by address."""
    if scale is not None and not (scale.dtype is torch.float32 and _is_plain(scale)):
        return False
    return gradient is None or (gradient.dtype is logits.dtype and _is_plain(gradient) and gradient.stride(1) == 1)


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in _PLAIN and tensor.is_cpu and not tensor.is_neg()


def table_of(similarity: Similarity) -> Table | None:
    """Return where C finds a similarity; None for one that it does not take."""
    if _native is None or similarity[-1].dtype is not torch.float32 or not all(map(_is_plain, similarity)):
        return None
    count, pointers = class_count(similarity), tuple(map(Tensor.data_ptr, similarity))
    match similarity:
        case Dense(values):
            return (
                Table(values.data_ptr(), values.stride(0), 0, 0, 0, count, pointers) if values.stride(1) == 1 else None
            )
        case Toeplitz(diagonals):
            # Row 0 begins at the main diagonal, and each row one number before the row above it.
            start = diagonals.data_ptr() + diagonals.shape[0] // 2 * diagonals.element_size()
            return Table(start, -1, 0, 0, 0, count, pointers) if diagonals.stride(0) == 1 else None
        case Sparse(crow_indices, col_indices, values):
            are_wide = crow_indices.dtype == torch.int64 and col_indices.dtype == torch.int32
            if not are_wide or not all(part.is_contiguous() for part in similarity):
                return None
            return Table(
                values.data_ptr(), 0, crow_indices.data_ptr(), col_indices.data_ptr(), values.shape[0], count, pointers
            )


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    table: Table,
    call: Call,
    gradient: Float[Tensor, "N C"] | None,
    is_mean: bool = False,
) -> tuple[Float[Tensor, " N"], int]:
    """Return the loss of each row and how many rows are not ignored, and write the gradient; see `rows.row_losses`.

    For a mean, each row counts one over their number.
    """
    (count, classes), (ignore_index, scale, mix) = logits.shape, call
    if not labels.is_contiguous():
        labels = labels.contiguous()
    losses = _FLOATS.new_empty(count)
    worst, far, kept = _native.row_losses(
        *table[:5],
        logits.data_ptr(),
        logits.stride(0),
        count,
        classes,
        labels.data_ptr(),
        ignore_index,
        0 if scale is None else scale.data_ptr(),
        0 if scale is None or scale.ndim == 0 else scale.stride(0),
        is_mean,
        0 if mix is None else mix.data_ptr(),
        0 if gradient is None else gradient.data_ptr(),
        0 if gradient is None else gradient.stride(0),
        losses.data_ptr(),
        logits.dtype is torch.bfloat16,
        min(torch.get_num_threads(), count * classes // _ALONE) or 1,
    )
    if worst == _NO_CLASS:
        raise out_of_bounds(labels, classes, ignore_index)
    if worst == _BROKEN_MATRIX:
        raise IndexError(f"the entries of the sparse similarity are not those of {classes} classes; SimLoss says which")
    if worst == _FAR:
        rows = torch.tensor(far, device="cpu")
        scale = torch.tensor(1 / kept, dtype=torch.float32, device="cpu") if is_mean else scale
        values, slopes = far_rows(logits[rows].float(), labels[rows], similarity, call.mixing(torch.float32))
        if scale is not None:
            scale = scale if scale.ndim == 0 else scale[rows]
            values, slopes = values * scale, slopes * scale.unsqueeze(-1)
        losses[rows] = values
        if gradient is not None:
            gradient[rows] = slopes.to(gradient.dtype)
    return losses, kept
