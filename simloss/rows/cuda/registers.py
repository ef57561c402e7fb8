"""Rows that fit the registers of a program: one read of the logits, one write of the gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from simloss.rows.cuda.arithmetic import exp_of_difference, least_sum, log, log1p, quotient
from simloss.rows.cuda.lookup import label_of, scale_of, span, stored
from simloss.rows.cuda.mixing import cross_entropy, mixed_slope, mixture


@triton.jit(debug=True)  # without which there is no assertion on the labels
def rows_in_registers(
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
    row_count: tl.constexpr,
    tile: tl.constexpr,
):
    """Write the losses and the gradient of so many rows."""
    work: tl.constexpr = losses.dtype.element_ty
    is_exact: tl.constexpr = logits.dtype.element_ty != work
    # What these are multiples of, the compiler takes from how they are computed.
    classes = classes // unit * unit
    logit_stride = logit_stride // unit * unit
    gradient_row_stride = gradient_row_stride // unit * unit
    origin = origin // value_unit * value_unit
    value_row_stride = value_row_stride // value_unit * value_unit
    rows = tl.program_id(0).to(tl.int64) * row_count + tl.arange(0, row_count)
    label, counts = label_of(labels, rows, count, ignore_index, classes)
    columns = tl.arange(0, tile)[None, :]
    mask = counts[:, None] & (columns < classes)
    if col_indices is None:
        places = origin + label[:, None] * value_row_stride + columns.to(tl.int64) * value_column_stride
        s = tl.load(values + places, mask=mask, other=0.0).to(work)
    else:
        first, entries = span(crow_indices, label)
        s = stored(values, col_indices, first[:, None], entries[:, None], tl.max(entries, 0), columns, mask, work)
    here = logits + rows[:, None] * logit_stride + columns
    z = tl.load(here, mask=mask, other=-float("inf")).to(work)
    highest = tl.max(z, 1)
    is_label = columns == label.to(tl.int32)[:, None]
    others = s if mix is None else tl.where(is_label, 0.0, s)
    if mix is not None:
        own_logit = tl.sum(tl.where(is_label, z, 0.0), 1)
        neighbours = tl.sum(others, 1)
        # A class of no similarity counts nothing, even where its logit is -inf.
        between = tl.sum(tl.where(others > 0.0, others * (z - highest[:, None]), 0.0), 1)
    e = exp_of_difference(z, highest[:, None], is_exact)
    a = tl.sum(others * e, 1)
    b = tl.sum((1.0 - s) * e, 1)
    if mix is not None:
        rest = a + b
        own = exp_of_difference(own_logit, highest, is_exact)
        a += own
    d = a + b
    ratio = quotient(b, a)
    loss = log1p(ratio)
    weight = scale_of(scale, rows, counts, scale_stride, work)
    p = e * quotient(weight, d)[:, None]
    far = counts & (a < least_sum(classes, work))
    if tl.max(far.to(tl.int32), 0) > 0:
        z = tl.load(here, mask=mask, other=-float("inf")).to(work)
        top = tl.max(tl.where(s > 0.0, z, -float("inf")), 1)
        scores = score(z, s, top[:, None])
        best = tl.max(scores, 1)
        part = exp_of_difference(scores, best[:, None], True)
        total = tl.sum(part, 1)
        loss = tl.where(far, tl.log(d) + (highest - top) - (best + tl.log(total)), loss)
        q = part * quotient(weight, total)[:, None]
        slope = tl.where(far[:, None], p - q, p * ((1.0 - s) - s * ratio[:, None]))
    else:
        slope = p * ((1.0 - s) - s * ratio[:, None])
    if mix is not None:
        least, behind = least_sum(classes, work), highest - own_logit
        share, entropy, own_slope, pull = cross_entropy(
            mix, own, rest, d, behind, neighbours, between, least, weight, work
        )
        loss = mixture(loss, entropy, share)
        slope = mixed_slope(slope, p, s, is_label, share, own_slope[:, None], pull[:, None], work)
    tl.store(losses + rows, tl.where(counts, loss * weight, 0.0), mask=rows < count)
    if gradient is not None:
        there = gradient + rows[:, None] * gradient_row_stride + columns.to(tl.int64) * gradient_column_stride
        is_element = (rows < count)[:, None] & (columns < classes)
        tl.store(there, tl.where(counts[:, None], slope, 0.0).to(gradient.dtype.element_ty), mask=is_element)


@triton.jit
def score(z, s, top):
    """Return z + log S, with z counted from the top of the similar classes; -inf where S is 0.

    Where all similar classes are at -inf, each is at the top: (-inf) - (-inf) is 0 here.
    """
    return tl.where(s > 0.0, tl.where(z == top, 0.0, z - top) + log(s), -float("inf"))
