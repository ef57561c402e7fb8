"""Toeplitz matrices, whose diagonals are constant, as views of their 2 C - 1 diagonals.

A similarity by class order depends on the distance between two classes alone. Its matrix reads like any C x C array,
and takes the memory of 2 C - 1 numbers: 16 MB in float64 for a million classes, where the entries would take 8 TB.
"""

from __future__ import annotations

import numpy as np

from simmatrix.errors import MatrixError
from simmatrix.shapes import Float, Int

# Values merged at a time.
_MERGED = 1 << 17


def toeplitz_view(diagonals: Float[np.ndarray, " D"]) -> Float[np.ndarray, "C C"]:
    """Return the matrix S[i, j] = d[C - 1 + j - i] as a read-only view of its D = 2 C - 1 diagonals d.

    The first of them stands in the lower left corner, the middle one is the main diagonal.

    Examples
    --------
    >>> toeplitz_view(np.array([0.5, 1, 0.25])).tolist()
    [[1.0, 0.25], [0.5, 1.0]]
    """
    if len(diagonals) % 2 == 0:
        raise MatrixError(f"{len(diagonals)} diagonals make no square matrix; give 2 C - 1 of them for C classes")
    count = len(diagonals) // 2 + 1
    step = diagonals.strides[0]
    return np.lib.stride_tricks.as_strided(diagonals[count - 1 :], (count, count), (-step, step), writeable=False)


def diagonals_of(values: np.ndarray) -> np.ndarray | None:
    """Return the 2 C - 1 diagonals of a Toeplitz view, a read-only view of the same memory; None of any other array.

    The view is known by its strides: one step to the right leads to the same number as one step up. No entry is read.

    Examples
    --------
    >>> diagonals_of(toeplitz_view(np.array([0.5, 1, 0.25]))).tolist()
    [0.5, 1.0, 0.25]
    >>> diagonals_of(np.eye(3)) is None
    True
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        return None
    down, right = values.strides
    if right == 0 or down != -right:
        return None
    return np.lib.stride_tricks.as_strided(values[-1], (2 * len(values) - 1,), (right,), writeable=False)


def lengths(count: int) -> Int[np.ndarray, " D"]:
    """Return how many entries each of the 2 C - 1 diagonals has: 1, 2, ..., C, ..., 2, 1."""
    return count - np.abs(np.arange(1 - count, count))


def top_of_rows(
    diagonals: Float[np.ndarray, " D"], count: int
) -> tuple[Float[np.ndarray, " kept"], Int[np.ndarray, " kept"], Int[np.ndarray, " C1"]]:
    """Return each row's `count` largest values above 0 off the main diagonal, and what stands on that.

    Of equal values the one further left is kept. Time and memory depend on what is kept, not on the rows' length. The
    result are the parts of a CSR matrix: values, columns (ascending in each row) and the starts of the rows.

    Examples
    --------
    >>> values, columns, starts = top_of_rows(np.array([0.5, 0.5, 1, 0, 0.25]), 1)
    >>> values.tolist(), columns.tolist(), starts.tolist()
    ([1.0, 0.25, 0.5, 1.0, 0.5, 1.0], [0, 2, 0, 1, 0, 2], [0, 2, 4, 6])
    """
    size = len(diagonals) // 2 + 1
    none = len(diagonals)
    order = np.argsort(-diagonals, kind="stable")
    ranks = np.empty(none, np.int32)
    ranks[order] = np.arange(none, dtype=np.int32)
    ranks[diagonals <= 0] = none
    # Row i reaches the i diagonals below the main one that are nearest to it, and the nearest C - 1 - i above.
    below = _least_of_prefixes(ranks[: size - 1][::-1], count, none)
    above = _least_of_prefixes(ranks[size:], count, none)[::-1]
    places = np.append(order, none)
    step = max(1, _MERGED // count)
    parts = [_merged(below, above, slice(top, min(top + step, size)), places) for top in range(0, size, step)]
    chosen = np.concatenate([one for one, _ in parts])
    starts = np.concatenate([[0], np.cumsum(np.concatenate([numbers for _, numbers in parts]))])
    rows = np.repeat(np.arange(size), np.diff(starts))
    return diagonals[chosen], chosen - (size - 1) + rows, starts


def _least_of_prefixes(ranks: Int[np.ndarray, " n"], count: int, none: int) -> Int[np.ndarray, "n1 k"]:
    """Return the `count` least ranks, ascending, of the first 0, 1, ..., n; `none` where there are fewer."""
    least = np.empty((len(ranks) + 1, count), np.int32)
    current = np.full(count, none, np.int32)
    # Rows are written when the next rank enters. Few ranks do: near classes are usually the most similar.
    unchanged = 0
    worst = none
    for place, rank in enumerate(ranks.tolist()):
        if rank >= worst:
            continue
        least[unchanged : place + 1] = current
        unchanged = place + 1
        at = int(np.searchsorted(current, rank))
        current[at + 1 :] = current[at:-1]
        current[at] = rank
        worst = int(current[-1])
    least[unchanged:] = current
    return least


def _merged(
    below: Int[np.ndarray, "C k"], above: Int[np.ndarray, "C k"], rows: slice, places: Int[np.ndarray, " D1"]
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " rows"]]:
    """Return the diagonals that some rows keep, ascending in each row, and how many each row keeps."""
    count = below.shape[1]
    none = len(places) - 1
    ranks = np.concatenate([below[rows], above[rows]], axis=1)
    kept = places[np.partition(ranks, count - 1, axis=1)[:, :count]]
    kept = np.sort(np.insert(kept, 0, none // 2, axis=1), axis=1)
    is_kept = kept < none
    return kept[is_kept], is_kept.sum(axis=1)
