"""Rows that are swept twice: for the sums first, then for the gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from simloss.rows.cuda.arithmetic import exp_of_difference, least_sum, log1p, quotient
from simloss.rows.cuda.lookup import label_of, scale_of, span, stored_tile
from simloss.rows.cuda.mixing import cross_entropy, mixed_slope, mixture
from simloss.rows.cuda.registers import score


@triton.jit(debug=True)  # without which there is no assertion on the labels
def row_in_sweeps(
    logits,
    labels,
    values,
    col_indices,
    crow_indices,
    origin,
    value_row_stride,
    value_column_stride,
    scale,
    mix,
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
        if mix is not None:
            # Read before the sums are: after them, another thread may have written the gradient in its place.
            own_logit = tl.load(logits + label).to(work)
        whole = classes // tile * tile  # tiles before this one need no mask
        highest = tl.full([], -float("inf"), work)
        a_lanes = tl.zeros([tile], work)
        b_lanes = tl.zeros([tile], work)
        neighbour_lanes = tl.zeros([tile], work)
        between_lanes = tl.zeros([tile], work)
        for start in range(0, whole, tile):
            z = _logit_tile(logits, start, classes, work, tile, False)
            s = _similarity_tile(
                values, col_indices, first, entries, value_column_stride, start, classes, work, tile, False
            )
            is_label = _is_label(start, label, tile)
            highest, a_lanes, b_lanes, neighbour_lanes, between_lanes = _added(
                z, s, is_label, mix, highest, a_lanes, b_lanes, neighbour_lanes, between_lanes, is_exact
            )
        if whole < classes:
            z = _logit_tile(logits, whole, classes, work, tile, True)
            s = _similarity_tile(
                values, col_indices, first, entries, value_column_stride, whole, classes, work, tile, True
            )
            is_label = _is_label(whole, label, tile)
            highest, a_lanes, b_lanes, neighbour_lanes, between_lanes = _added(
                z, s, is_label, mix, highest, a_lanes, b_lanes, neighbour_lanes, between_lanes, is_exact
            )
        a = tl.sum(a_lanes, 0)
        b = tl.sum(b_lanes, 0)
        if mix is not None:
            rest = a + b
            own = exp_of_difference(own_logit, highest, is_exact)
            a += own
        d = a + b
        ratio = quotient(b, a)
        rate = quotient(weight, d)
        if mix is not None:
            least, behind = least_sum(classes, work), highest - own_logit
            neighbours, between = tl.sum(neighbour_lanes, 0), tl.sum(between_lanes, 0)
            share, entropy, own_slope, pull = cross_entropy(
                mix, own, rest, d, behind, neighbours, between, least, weight, work
            )
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
                    p = exp_of_difference(z, highest, is_exact) * rate
                    slope = p - exp_of_difference(score(z, s, top), best, True) * far_rate
                    if mix is not None:
                        is_label = _is_label(start, label, tile)
                        slope = mixed_slope(slope, p, s, is_label, share, own_slope, pull, work)
                    _store_tile(gradient, slope, start, classes, gradient_column_stride, tile, True)
        else:
            loss = log1p(ratio)
            if gradient is not None:
                for start in range(0, whole, tile):
                    z = _logit_tile(logits, start, classes, work, tile, False)
                    s = _similarity_tile(
                        values, col_indices, first, entries, value_column_stride, start, classes, work, tile, False
                    )
                    p = exp_of_difference(z, highest, is_exact) * rate
                    slope = p * ((1.0 - s) - s * ratio)
                    if mix is not None:
                        is_label = _is_label(start, label, tile)
                        slope = mixed_slope(slope, p, s, is_label, share, own_slope, pull, work)
                    _store_tile(gradient, slope, start, classes, gradient_column_stride, tile, False)
                if whole < classes:
                    z = _logit_tile(logits, whole, classes, work, tile, True)
                    s = _similarity_tile(
                        values, col_indices, first, entries, value_column_stride, whole, classes, work, tile, True
                    )
                    p = exp_of_difference(z, highest, is_exact) * rate
                    slope = p * ((1.0 - s) - s * ratio)
                    if mix is not None:
                        is_label = _is_label(whole, label, tile)
                        slope = mixed_slope(slope, p, s, is_label, share, own_slope, pull, work)
                    _store_tile(gradient, slope, whole, classes, gradient_column_stride, tile, True)
        if mix is not None:
            loss = mixture(loss, entropy, share)
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
def _is_label(start, label, tile: tl.constexpr):
    """Return where in one tile the label is."""
    return start + tl.arange(0, tile) == label.to(tl.int32)


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
def _added(z, s, is_label, mix, highest, a_lanes, b_lanes, neighbour_lanes, between_lanes, is_exact: tl.constexpr):
    """Return the maximum so far, and the sums so far lane by lane, with one more tile.

    Where cross entropy has a share, a leaves out the label, and the last two are sums of S and of S (z - m) without it.
    """
    others = s if mix is None else tl.where(is_label, 0.0, s)
    higher = tl.maximum(highest, tl.max(z, 0))
    shift = tl.where(higher == -float("inf"), 0.0, higher)  # nothing but -inf yet
    less = exp_of_difference(highest, shift, is_exact)
    e = exp_of_difference(z, shift, is_exact)
    if mix is not None:
        between_lanes -= neighbour_lanes * tl.where(highest == -float("inf"), 0.0, shift - highest)
        # A class of no similarity counts nothing, even where its logit is -inf.
        between_lanes += tl.where(others > 0.0, others * (z - shift), 0.0)
        neighbour_lanes += others
    return higher, a_lanes * less + others * e, b_lanes * less + (1.0 - s) * e, neighbour_lanes, between_lanes


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
