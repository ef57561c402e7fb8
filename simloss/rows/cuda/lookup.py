"""What belongs to a row: its label, what it counts, its similarities where they are sparse."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def label_of(labels, rows, count, ignore_index, classes):
    """Return the label of rows, and whether they count. A row that does not has label 0, which is safe to look up."""
    label = tl.load(labels + rows, mask=rows < count, other=ignore_index).to(tl.int64)
    is_class = (label >= 0) & (label < classes)
    is_asked = label != ignore_index
    tl.device_assert(is_class | (is_asked == 0), "target is out of bounds")
    counts = is_class & is_asked
    return tl.where(counts, label, 0), counts


@triton.jit
def scale_of(scale, rows, mask, stride, work: tl.constexpr):
    """Return what rows count."""
    if scale is None:
        weight = tl.where(mask, 1.0, 0.0).to(work)
    else:
        weight = tl.load(scale + rows * stride, mask=mask, other=0.0).to(work)
    return weight


@triton.jit
def span(crow_indices, label):
    """Return where the entries of a sparse row begin, and how many there are."""
    first = tl.load(crow_indices + label).to(tl.int64)
    return first, (tl.load(crow_indices + label + 1).to(tl.int64) - first).to(tl.int32)


@triton.jit
def _below(col_indices, first, entries, longest, columns):
    """Return how many of the entries from the first on are in columns below these, by bisection: columns ascend."""
    step = 1
    while step <= longest:
        step *= 2
    found = columns * 0 + entries * 0
    while step > 1:
        step = step // 2
        place = found + step
        is_entry = place <= entries
        column = tl.load(col_indices + first + (place - 1), mask=is_entry, other=0)
        found = tl.where(is_entry & (column < columns), place, found)
    return found


@triton.jit
def stored(values, col_indices, first, entries, longest, columns, mask, work: tl.constexpr):
    """Return the similarities in these columns of sparse rows: 0 where none is stored."""
    place = _below(col_indices, first, entries, longest, columns)
    is_entry = mask & (place < entries)
    column = tl.load(col_indices + first + place, mask=is_entry, other=0)
    return tl.load(values + first + place, mask=is_entry & (column == columns), other=0.0).to(work)


@triton.jit
def stored_tile(values, col_indices, first, entries, start, columns, mask, work: tl.constexpr, tile: tl.constexpr):
    """Return the similarities in one tile of a sparse row. Most tiles of a long row are empty, and look no further."""
    ends = _below(col_indices, first, entries, entries, start + tl.arange(0, 2) * tile)
    low = tl.min(ends, 0)
    inside = tl.max(ends, 0) - low
    s = tl.zeros([tile], work)
    if inside > 0:
        s = stored(values, col_indices, first + low, inside, inside, columns, mask, work)
    return s
