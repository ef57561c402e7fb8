"""Rows that are swept twice: for the sums first, then for the gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from simloss.cuda.arithmetic import exp_of_difference, least_sum, log1p, quotient
from simloss.cuda.held import score
from simloss.cuda.lookup import label_of, scale_of, span, stored_tile

__all__ = ["swept_row"]


@triton.jit(debug=True)  # without which there is no assertion on the labels
def swept_row(
    logits,
    labels,
    values,
    col_indices,
    crow_indices,
    origin,
    value_row_stride,
    value_column_stride,
    scale,
    gradient,
    losses,
    count,
    classes,
    ignore_index,
    logit_stride,
    scale_stride,
    gradient_row_stride,
    gradient_column_stride,
    unit: tl.constexpr,
    value_unit: tl.constexpr,
    tile: tl.constexpr,
):
    """Write the loss and the gradient of one row."""
    work: tl.constexpr = losses.dtype.element_ty
    is_exact: tl.constexpr = logits.dtype.element_ty != work
    # What these are multiples of, the compiler takes from how they are computed.
    classes = classes // unit * unit
    logit_stride = logit_stride // unit * unit
    gradient_row_stride = gradient_row_stride // unit * unit
    origin = origin // value_unit * value_unit
    value_row_stride = value_row_stride // value_unit * value_unit
    row = tl.program_id(0).to(tl.int64)
    label, counts = label_of(labels, row, count, ignore_index, classes)
    logits += row * logit_stride
    if gradient is not None:
        gradient += row * gradient_row_stride
    if col_indices is None:
        values += origin + label * value_row_stride
        first, entries = label, 0
    else:
        first, entries = span(crow_indices, label)
    weight = scale_of(scale, row, counts, scale_stride, work)
    if counts:
        whole = classes // tile * tile  # tiles before this one need no mask
        highest = tl.full([], -float("inf"), work)
        a_lanes = tl.zeros([tile], work)
        b_lanes = tl.zeros([tile], work)
        for start in range(0, whole, tile):
            z = _logit_tile(logits, start, classes, work, tile, False)
            s = _similarity_tile(
                values, col_indices, first, entries, value_column_stride, start, classes, work, tile, False
            )
            highest, a_lanes, b_lanes = _added(z, s, highest, a_lanes, b_lanes, is_exact)
        if whole < classes:
            z = _logit_tile(logits, whole, classes, work, tile, True)
            s = _similarity_tile(
                values, col_indices, first, entries, value_column_stride, whole, classes, work, tile, True
            )
            highest, a_lanes, b_lanes = _added(z, s, highest, a_lanes, b_lanes, is_exact)
        a = tl.sum(a_lanes, 0)
        b = tl.sum(b_lanes, 0)
        d = a + b
        ratio = quotient(b, a)
        rate = quotient(weight, d)
        if a < least_sum(classes, work):
            top, best, total = _far_sums(
                logits, values, col_indices, first, entries, value_column_stride, classes, work, tile
            )
            loss = tl.log(d) + (highest - top) - (best + tl.log(total))
            if gradient is not None:
                far_rate = quotient(weight, total)
                for start in range(0, classes, tile):
                    z = _logit_tile(logits, start, classes, work, tile, True)
                    s = _similarity_tile(
                        values, col_indices, first, entries, value_column_stride, start, classes, work, tile, True
                    )
                    slope = (
                        exp_of_difference(z, highest, is_exact) * rate
                        - exp_of_difference(score(z, s, top), best, True) * far_rate
                    )
                    _store_tile(gradient, slope, start, classes, gradient_column_stride, tile, True)
        else:
            loss = log1p(ratio)
            if gradient is not None:
                for start in range(0, whole, tile):
                    z = _logit_tile(logits, start, classes, work, tile, False)
                    s = _similarity_tile(
                        values, col_indices, first, entries, value_column_stride, start, classes, work, tile, False
                    )
                    slope = (exp_of_difference(z, highest, is_exact) * rate) * ((1.0 - s) - s * ratio)
                    _store_tile(gradient, slope, start, classes, gradient_column_stride, tile, False)
                if whole < classes:
                    z = _logit_tile(logits, whole, classes, work, tile, True)
                    s = _similarity_tile(
                        values, col_indices, first, entries, value_column_stride, whole, classes, work, tile, True
                    )
                    slope = (exp_of_difference(z, highest, is_exact) * rate) * ((1.0 - s) - s * ratio)
                    _store_tile(gradient, slope, whole, classes, gradient_column_stride, tile, True)
        tl.store(losses + row, loss * weight)
    else:
        tl.store(losses + row, 0.0)
        if gradient is not None:
            for start in range(0, classes, tile):
                _store_tile(gradient, tl.zeros([tile], work), start, classes, gradient_column_stride, tile, True)


@triton.jit
def _logit_tile(logits, start, classes, work: tl.constexpr, tile: tl.constexpr, is_masked: tl.constexpr):
    """Return one tile of the logits of a row; -inf past its end."""
    columns = start + tl.arange(0, tile)
    z = (
        tl.load(logits + columns, mask=columns < classes, other=-float("inf"))
        if is_masked
        else tl.load(logits + columns)
    )
    return z.to(work)


@triton.jit
def _similarity_tile(
    values,
    col_indices,
    first,
    entries,
    stride,
    start,
    classes,
    work: tl.constexpr,
    tile: tl.constexpr,
    is_masked: tl.constexpr,
):
    """Return one tile of the similarities of a row; 0 past its end."""
    columns = start + tl.arange(0, tile)
    if col_indices is not None:
        s = stored_tile(values, col_indices, first, entries, start, columns, columns < classes, work, tile)
    elif is_masked:
        s = tl.load(values + columns.to(tl.int64) * stride, mask=columns < classes, other=0.0).to(work)
    else:
        s = tl.load(values + columns.to(tl.int64) * stride).to(work)
    return s


@triton.jit
def _store_tile(gradient, slope, start, classes, stride, tile: tl.constexpr, is_masked: tl.constexpr):
    """Write one tile of the gradient of a row."""
    columns = start + tl.arange(0, tile)
    there = gradient + columns.to(tl.int64) * stride
    slope = slope.to(gradient.dtype.element_ty)
    if is_masked:
        tl.store(there, slope, mask=columns < classes)
    else:
        tl.store(there, slope)


@triton.jit
def _added(z, s, highest, a_lanes, b_lanes, is_exact: tl.constexpr):
    """Return the maximum so far, and the two sums so far lane by lane, with one more tile."""
    higher = tl.maximum(highest, tl.max(z, 0))
    shift = tl.where(higher == -float("inf"), 0.0, higher)  # nothing but -inf yet
    less = exp_of_difference(highest, shift, is_exact)
    e = exp_of_difference(z, shift, is_exact)
    return higher, a_lanes * less + s * e, b_lanes * less + (1.0 - s) * e


@triton.jit
def _far_sums(
    logits,
    values,
    col_indices,
    first,
    entries,
    stride,
    classes,
    work: tl.constexpr,
    tile: tl.constexpr,
):
    """Return the maximum of z over S > 0, that of z + log S from there on, and the sum of exponentials from both."""
    top = tl.full([], -float("inf"), work)
    best = tl.full([], -float("inf"), work)
    total = tl.zeros([], work)
    for start in range(0, classes, tile):
        z = _logit_tile(logits, start, classes, work, tile, True)
        s = _similarity_tile(values, col_indices, first, entries, stride, start, classes, work, tile, True)
        top = tl.maximum(top, tl.max(tl.where(s > 0.0, z, -float("inf")), 0))
    for start in range(0, classes, tile):
        z = _logit_tile(logits, start, classes, work, tile, True)
        s = _similarity_tile(values, col_indices, first, entries, stride, start, classes, work, tile, True)
        best = tl.maximum(best, tl.max(score(z, s, top), 0))
    for start in range(0, classes, tile):
        z = _logit_tile(logits, start, classes, work, tile, True)
        s = _similarity_tile(values, col_indices, first, entries, stride, start, classes, work, tile, True)
        total += tl.sum(exp_of_difference(score(z, s, top), best, True), 0)
    return top, best, total
