"""How the kernels are launched."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.backends.nvidia.compiler import CUDAOptions

from simloss.forms import Dense, Similarity, Sparse, Toeplitz
from simloss.reduction import work_dtype
from simloss.rows.call import Call
from simloss.rows.cuda.registers import rows_in_registers
from simloss.rows.cuda.scaled import scaled
from simloss.rows.cuda.sweeps import row_in_sweeps
from simmatrix.shapes import Float, Int

# A multiply and an add may be rounded once everywhere. There is one assertion, on the labels, as in F.cross_entropy;
# Triton's checks of integer overflow, which come with assertions, are switched off.
_WANTED = {"enable_fp_fusion": True, "sanitize_overflow": False}
OPTIONS = {name: value for name, value in _WANTED.items() if name in CUDAOptions.__dataclass_fields__}


class Launch(NamedTuple):
    """How many rows a program has, and how many classes at once; a row that does not fit the tile is swept twice."""

    rows: int
    tile: int
    warps: int


# For so many classes at most: the elements that a program holds, and its warps. Not measured. A thread has 8 elements,
# since with 16 it takes so many registers that few warps fit a multiprocessor; 4 where each is a row's.
_IN_REGISTERS = ((32, 512, 4), (128, 1024, 4), (2048, 2048, 8), (4096, 4096, 16), (8192, 8192, 32))
_IN_SWEEPS = Launch(rows=1, tile=2048, warps=8)
_LEAST_TILE = 16


def launch_for(classes: int, dtype: torch.dtype) -> Launch:
    """Return how to launch the kernels for rows of so many classes, computed in this dtype."""
    per_word = dtype.itemsize // 4  # float64 takes two registers
    for most, elements, warps in _IN_REGISTERS:
        if classes * per_word <= most:
            tile = max(_LEAST_TILE, triton.next_power_of_2(classes))
            return Launch(elements // per_word // tile, tile, warps)
    return _IN_SWEEPS._replace(tile=_IN_SWEEPS.tile // per_word)


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    call: Call,
    gradient: Float[Tensor, "N C"] | None,
) -> Float[Tensor, " N"]:
    """Return the loss of each row and write its gradient; see `rows.row_losses`.

    A label that is neither a class nor `ignore_index` fails an assertion on the device.
    """
    count, classes = logits.shape
    dtype = work_dtype(logits)
    losses = torch.empty(count, dtype=dtype, device=logits.device)
    if count == 0:
        return losses
    if logits.stride(1) != 1 and classes > 1:
        logits = logits.contiguous()
    labels = labels.contiguous()
    launch = launch_for(classes, dtype)
    fits = classes <= launch.tile
    kernel, shape = (rows_in_registers, {"row_count": launch.rows}) if fits else (row_in_sweeps, {})
    scale = call.scale
    table = _arguments(similarity, classes)
    gradient_strides = (0, 0) if gradient is None else gradient.stride()
    with _on_device_of(logits):
        kernel[(triton.cdiv(count, launch.rows),)](
            logits,
            labels,
            *table,
            scale,
            call.mix,
            gradient,
            losses,
            count,
            classes,
            call.ignore_index,
            logits.stride(0),
            0 if scale is None or scale.ndim == 0 else scale.stride(0),
            *gradient_strides,
            unit=_unit(classes, logits.stride(0), gradient_strides[0]),
            value_unit=_unit(table[3], table[4]),
            **shape,
            tile=launch.tile,
            num_warps=launch.warps,
            **OPTIONS,
        )
    return losses


def scale_gradient_(gradient: Float[Tensor, "N C"], factor: Tensor) -> None:
    """Multiply each row of a gradient by its factor, of shape () or (N), in place; factors of 1 touch nothing."""
    count, classes = gradient.shape
    if gradient.numel() == 0:
        return
    rows, tile, warps = launch_for(classes, work_dtype(gradient))
    with _on_device_of(gradient):
        scaled[(triton.cdiv(count, rows), triton.cdiv(classes, tile))](
            gradient,
            factor,
            count,
            classes,
            *gradient.stride(),
            factor.stride(0) if factor.ndim else 0,
            unit=_unit(classes, gradient.stride(0)),
            row_count=rows,
            tile=tile,
            num_warps=warps,
            **OPTIONS,
        )


def _unit(*lengths: int) -> int:
    """Return the largest power of two, up to 16, that divides all lengths.

    A row of 1,000 classes begins at a multiple of 8, so that 8 can be read at once. Triton itself knows only of 16.
    """
    return math.gcd(16, *lengths)


def _on_device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context where kernels are launched on the device of the tensor."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def _arguments(similarity: Similarity, classes: int) -> tuple[Tensor, Tensor | None, Tensor | None, int, int, int]:
    """Return what the kernels are told of a similarity: values, col_indices, crow_indices, origin and two strides.

    Without indices, S[i, j] is values[origin + i * stride + j * other stride]: also on the diagonals of a Toeplitz
    matrix, which are read backwards.
    """
    match similarity:
        case Dense(values):
            return values, None, None, 0, values.stride(0), values.stride(1)
        case Toeplitz(diagonals):
            stride = diagonals.stride(0)
            return diagonals, None, None, (classes - 1) * stride, -stride, stride
        case Sparse(crow_indices, col_indices, values):
            return values.contiguous(), col_indices.contiguous(), crow_indices.contiguous(), 0, 0, 0
