"""From raw similarities on any scale to values in [0, 1]: the only place that knows about scales and lower bounds.

The steps, in this order: symmetrise (if the source is not), map to [0, 1], exponent, lower bound, keep the top k, unit
diagonal. Each is a pure function, and each step taken is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from simmatrix.errors import MatrixError
from simmatrix.provenance import Step
from simmatrix.shapes import Float
from simmatrix.suggest import or_list
from simmatrix.toeplitz import diagonals_of, stored_of, toeplitz_view, top_of_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "MAPPINGS",
    "affine",
    "blocks",
    "bounded",
    "check_lower_bound",
    "check_top_k",
    "clip",
    "exponent",
    "is_symmetric",
    "keep_top",
    "lower_bound",
    "normalise",
    "rank",
]


# A function of each value by itself, that puts the results into an array `out` where one is given, as NumPy's own do.
Elementwise = Callable[..., np.ndarray]

# Values worked on at a time, 1 MiB in float64; and the side of the squares where columns are read too.
_BLOCK = 1 << 17
_TILE = 256


def clip(
    values: Float[np.ndarray, "*shape"], *, out: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """Cut off below 0 and above 1: for similarities that are already on the scale, such as a cosine."""
    return np.asarray(np.clip(values, 0.0, 1.0, out=out))


def affine(
    values: Float[np.ndarray, "*shape"], low: float, high: float, *, out: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """Map `low` to 0 and `high` to 1, linearly, and cut off outside."""
    out = np.subtract(values, low, out=out)
    return clip(np.divide(out, high - low, out=out), out=out)


def exponent(
    values: Float[np.ndarray, "*shape"], power: float, *, out: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """Raise values in [0, 1] to a power above 0; above 1 it sharpens, below 1 it flattens."""
    return np.asarray(np.power(values, power, out=out))


def lower_bound(
    values: Float[np.ndarray, "*shape"], bound: float, *, out: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """Return max(0, (s - l) / (1 - l)) for l in [0, 1) (Kobs et al. 2020): what is below the bound is dissimilar.

    Bounds compose: l1 and then l2 equals l1 + l2 (1 - l1) at once.
    """
    out = np.subtract(values, bound, out=out)
    return np.asarray(np.maximum(np.divide(out, 1.0 - bound, out=out), 0.0, out=out))


def rank(values: Float[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """Replace each pair's value by the share of the other pairs below it, in [0, 1]; ties share their mean rank."""
    from scipy.stats import rankdata

    upper = np.triu_indices(len(values), 1)
    pairs = len(upper[0])
    ranks = (rankdata(values[upper]) - 1) / max(pairs - 1, 1)
    ranked = np.ones(values.shape)
    ranked[upper] = ranks
    ranked.T[upper] = ranks
    return ranked


def keep_top(values: Float[np.ndarray, "C C"], count: int) -> csr_array:
    """Keep each row's `count` largest similarities to other classes and its diagonal; the rest becomes 0.

    Of equal values the class with the lower index is kept. The result need not be symmetric. Of a Toeplitz view it
    takes the time of what is kept, C (k + 1) values.
    """
    from scipy.sparse import csr_array

    size = len(values)
    if (diagonals := diagonals_of(values)) is not None:
        return csr_array(top_of_rows(diagonals, count), shape=(size, size))
    kept = np.concatenate([_top(values[rows], rows.start, count) for rows in blocks(values)])
    rows, columns = np.divmod(kept, size)
    starts = np.searchsorted(rows, np.arange(size + 1))
    return csr_array((values[rows, columns], columns, starts), shape=(size, size))


def _top(block: Float[np.ndarray, "n C"], first: int, count: int) -> np.ndarray:
    """Return the positions, row by row, of what `keep_top` keeps of the rows that start at row `first`."""
    size = block.shape[1]
    ranked = block.copy()
    # The diagonal is kept whatever stands on it.
    own = np.arange(len(block)), np.arange(first, first + len(block))
    ranked[own] = np.inf
    least = np.partition(ranked, size - count - 1, axis=1)[:, [size - count - 1]]
    keep = ranked > least
    # Ties for the last places: as many as there is room for, from the left.
    tied = ranked == least
    room = count + 1 - np.count_nonzero(keep, axis=1)
    for row in np.flatnonzero(np.count_nonzero(tied, axis=1) > room):
        tied[row, np.flatnonzero(tied[row])[room[row] :]] = False
    keep |= tied
    keep &= block > 0
    positions: np.ndarray = np.flatnonzero(keep) + first * size
    return positions


def check_lower_bound(bound: float) -> None:
    """Raise `MatrixError` unless a lower bound is in [0, 1)."""
    if not 0.0 <= bound < 1.0:
        raise MatrixError(f"a lower bound of {bound} is outside [0, 1); 0 keeps every similarity")


def check_top_k(count: int, size: int) -> None:
    """Raise `MatrixError` unless `count` of the others can be kept of each of `size` classes."""
    if not 1 <= count < size:
        raise MatrixError(f"can't keep {count} of the {size - 1} other classes; give 1 to {size - 1}")


def _map_clip(_values: Float[np.ndarray, "C C"]) -> tuple[Step, Elementwise]:
    return {"step": "clip"}, clip


def _map_min_max(values: Float[np.ndarray, "C C"]) -> tuple[Step, Elementwise]:
    """Map the least similar pair of distinct classes to 0 and the most similar pair to 1."""
    low, high = _range_off_diagonal(values)
    if low == high:
        raise MatrixError(f"all pairs have the similarity {low}; there is no range to map to [0, 1], use clip")
    return {"step": "min-max", "low": low, "high": high}, partial(affine, low=low, high=high)


MAPPINGS: Mapping[str, Callable[[Float[np.ndarray, "C C"]], tuple[Step, Elementwise]]] = {
    "clip": _map_clip,
    "min-max": _map_min_max,
}
"""Ways to [0, 1] that work on each value by itself, once they have seen the matrix; ``affine`` and ``rank`` beside."""


def normalise(
    raw: Float[np.ndarray, "C C"],
    *,
    mapping: str | tuple[float, float] = "clip",
    power: float = 1.0,
    bound: float = 0.0,
) -> tuple[Float[np.ndarray, "C C"], tuple[Step, ...]]:
    """Return values in [0, 1] with a unit diagonal, read-only, and the steps that led there.

    Parameters
    ----------
    raw
        (C, C), any scale. float32 values are overwritten with the result; memory for a second matrix is not taken. A
        Toeplitz view (`simmatrix.toeplitz`) gives a new Toeplitz view, in the time and memory that its diagonals take;
        only ranks make a dense matrix of it.
    mapping
        ``"clip"``, ``"min-max"``, ``"rank"``, or the range ``(low, high)`` that becomes [0, 1].
    power
        Exponent, above 0.
    bound
        Lower bound l in [0, 1).

    Raises
    ------
    MatrixError
        If a parameter is out of its range, or a raw value is NaN or infinite.
    """
    check_lower_bound(bound)
    if not (np.isfinite(power) and power > 0):
        raise MatrixError(f"an exponent of {power} is not above 0; 1 changes nothing")
    stored = stored_of(raw)
    if not (np.isfinite(stored.min()) and np.isfinite(stored.max())):
        raise MatrixError("a raw similarity is NaN or infinite; mend the source")
    steps: list[Step] = []
    if not is_symmetric(raw):
        raw = _symmetrised(raw)
        steps.append({"step": "symmetrise"})
    if mapping == "rank":
        raw = rank(raw)
        steps.append({"step": "rank"})
        functions: list[Elementwise] = []
    else:
        step, function = _mapping(raw, mapping)
        steps.append(step)
        functions = [function]
    if power != 1.0:
        steps.append({"step": "exponent", "power": power})
        functions.append(partial(exponent, power=power))
    if bound > 0.0:
        steps.append({"step": "lower_bound", "bound": bound})
        functions.append(partial(lower_bound, bound=bound))
    steps.append({"step": "unit_diagonal"})
    values = _apply(stored_of(raw), functions)
    if diagonals_of(raw) is None:
        np.fill_diagonal(values, 1.0)
    else:
        values[len(raw) - 1] = 1.0
        values = toeplitz_view(values)
    values.flags.writeable = False
    return values, tuple(steps)


def bounded(values: Float[np.ndarray, "*shape"], bound: float) -> Float[np.ndarray, "*shape"]:
    """Return `lower_bound` of float32 values, rounded once; a new array (or Toeplitz view), computed in blocks."""
    check_lower_bound(bound)
    stored = stored_of(values)
    result = _apply(stored, [partial(lower_bound, bound=bound)], out=np.empty(stored.shape, np.float32))
    return result if stored is values else toeplitz_view(result)


def blocks(values: np.ndarray, count: int = _BLOCK) -> Iterator[slice]:
    """Yield slices of an array's rows, one after the other, of about `count` values each."""
    step = max(1, count * len(values) // max(values.size, 1))
    return (slice(start, start + step) for start in range(0, len(values), step))


def is_symmetric(values: np.ndarray) -> bool:
    """Tell whether a square matrix equals its transpose."""
    if (diagonals := diagonals_of(values)) is not None:
        return np.array_equal(diagonals, diagonals[::-1])
    return all(np.array_equal(values[rows, columns], values[columns, rows].T) for rows, columns in _tiles(len(values)))


def _mapping(raw: Float[np.ndarray, "C C"], mapping: str | tuple[float, float]) -> tuple[Step, Elementwise]:
    if isinstance(mapping, str):
        if mapping not in MAPPINGS:
            raise MatrixError(f"{mapping!r} is no way to [0, 1]; choose {or_list([*MAPPINGS, 'rank'])}")
        return MAPPINGS[mapping](raw)
    low, high = mapping
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise MatrixError(f"the range ({low}, {high}) is empty; give the lowest value first")
    return {"step": "affine", "low": low, "high": high}, partial(affine, low=low, high=high)


def _apply(
    values: Float[np.ndarray, "*shape"],
    functions: Sequence[Elementwise],
    out: Float[np.ndarray, "*shape"] | None = None,
) -> Float[np.ndarray, "*shape"]:
    """Apply functions to blocks of rows in float64, so that rounding to float32 happens once, at the end."""
    if out is None:
        out = values if _can_overwrite(values) else np.empty(values.shape, np.float32)
    buffer = np.empty((0, *values.shape[1:]))
    for rows in blocks(values):
        block = values[rows]
        if len(buffer) < len(block):
            # Taken once: memory taken anew for each block would be given back and cleared each time.
            buffer = np.empty(block.shape)
        work = buffer[: len(block)]
        work[...] = block
        for function in functions:
            function(work, out=work)
        out[rows] = work
    return out


def _tiles(count: int) -> Iterator[tuple[slice, slice]]:
    """Yield the squares of rows and columns that cover the upper triangle, row by row.

    The memory of a square and of its mirror image stays in the cache while one is read along the other's columns.
    """
    for top in range(0, count, _TILE):
        for left in range(top, count, _TILE):
            yield slice(top, top + _TILE), slice(left, left + _TILE)


def _can_overwrite(values: Float[np.ndarray, "*shape"]) -> bool:
    return values.dtype == np.float32 and values.flags.writeable


def _symmetrised(values: Float[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """Return (S + S^T) / 2, in place where values may be overwritten."""
    if (diagonals := diagonals_of(values)) is not None:
        return toeplitz_view(diagonals / 2 + diagonals[::-1] / 2)
    out = values if _can_overwrite(values) else np.array(values, np.float64)
    for rows, columns in _tiles(len(out)):
        mean = out[rows, columns] / 2 + out[columns, rows].T / 2
        out[rows, columns] = mean
        out[columns, rows] = mean.T
    return out


def _range_off_diagonal(values: Float[np.ndarray, "C C"]) -> tuple[float, float]:
    if (diagonals := diagonals_of(values)) is not None:
        others = np.delete(diagonals, len(values) - 1)
        return float(others.min()), float(others.max())
    low, high = np.inf, -np.inf
    for index, row in enumerate(values):
        for others in (row[:index], row[index + 1 :]):
            if others.size:
                low, high = min(low, float(others.min())), max(high, float(others.max()))
    return low, high
