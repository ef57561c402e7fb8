"""The backward pass: a gradient times what comes upstream."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def scaled(
    gradient,
    factor,
    count,
    classes,
    gradient_row_stride,
    gradient_column_stride,
    factor_stride,
    unit: tl.constexpr,
    row_count: tl.constexpr,
    tile: tl.constexpr,
):
    """Multiply one tile of some rows by their factors, or leave it alone where all these are 1."""
    work: tl.constexpr = tl.float64 if gradient.dtype.element_ty == tl.float64 else tl.float32
    classes = classes // unit * unit
    gradient_row_stride = gradient_row_stride // unit * unit
    rows = tl.program_id(0).to(tl.int64) * row_count + tl.arange(0, row_count)
    factors = tl.load(factor + rows * factor_stride, mask=rows < count, other=1.0).to(work)
    if tl.max((factors != 1.0).to(tl.int32), 0) > 0:
        columns = tl.program_id(1).to(tl.int64) * tile + tl.arange(0, tile)[None, :]
        there = gradient + rows[:, None] * gradient_row_stride + columns * gradient_column_stride
        mask = (rows < count)[:, None] & (columns < classes)
        slopes = tl.load(there, mask=mask).to(work) * factors[:, None]
        tl.store(there, slopes.to(gradient.dtype.element_ty), mask=mask)
