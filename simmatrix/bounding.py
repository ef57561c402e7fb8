"""The lower bound that gives a matrix the influence asked for: how much similarity is wanted, on no source's scale.

Under a lower bound l each of the n_1 pairs of similarity 1 keeps it, and any other similarity s becomes
max(0, (s - l) / (1 - l)). So for a sum of I C off the diagonal, what is below 1 has to add up to m = I C - n_1: l is a
root of

    G(l) = sum max(0, s - l) - m (1 - l),    over all s below 1,

which is convex, and linear between neighbouring values of s. Newton's method ends at the root itself: the sums over the
right pairs give it in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from simmatrix.errors import MatrixError
from simmatrix.normalise import blocks
from simmatrix.shapes import Bool, Float, Int

__all__ = ["bound_for", "check_influence", "count_of_ones"]

# Steps on the scale from 0 to 1 among which a first pass looks for the bound. A power of two, so that no float32 falls
# into a step that is not its own.
_STEPS = 1 << 12


def check_influence(influence: float) -> None:
    """Raise `MatrixError` unless an influence is a finite number from 0."""
    if not 0.0 <= influence < math.inf:
        raise MatrixError(
            f"an influence of {influence} is not a finite number of at least 0; give the mean sum of a row off the "
            "diagonal that is wanted, 0 for cross entropy"
        )


def count_of_ones(values: Float[np.ndarray, "*shape"], counts: Int[np.ndarray, " D"] | None) -> int:
    """Return how many entries of a matrix are 1, its diagonal's among them. For the parameters see `bound_for`."""
    return sum(_number_and_sum(block == 1, block, weights)[0] for block, weights in _parts(values, counts))


def bound_for(values: Float[np.ndarray, "*shape"], counts: Int[np.ndarray, " D"] | None, mass: float) -> float:
    """Return the least lower bound under which the similarities below 1 add up to a mass, or to less.

    Takes a few passes over the values, and memory for some rows only.

    Parameters
    ----------
    values
        What is stored of a matrix (float32, in [0, 1]): all of it, the entries of a sparse one, or the diagonals of a
        Toeplitz matrix. Those that are 1 are passed over.
    counts
        How many entries of the matrix each value stands for; None where each is one.
    mass
        From 0 to what the values below 1 add up to. For 0 the bound is the greatest of them.

    Returns
    -------
    float
        In [0, 1), right to float64 rounding.

    Examples
    --------
    >>> bound_for(np.array([[1, 0.5, 0.2], [0.5, 1, 0.2], [0.2, 0.2, 1]], np.float32), None, 0.5)
    0.3333333333333333
    """
    if mass == 0:
        return max(float(block.max(initial=0, where=block < 1)) for block, _ in _parts(values, counts))
    bound = _root_from(values, counts, mass, _step_before(values, counts, mass))
    # From wherever it starts, the first step ends at the root or left of it, and from there they go right.
    while (further := _root_from(values, counts, mass, bound)) > bound:
        bound = further
    return bound


def _step_before(values: Float[np.ndarray, "*shape"], counts: Int[np.ndarray, " D"] | None, mass: float) -> float:
    """Return the last multiple of 1 / _STEPS before G is negative, from the number and the sum of the values in each.

    One pass, where Newton's method would take many through the values that are far below the root.
    """
    numbers, sums = np.zeros(_STEPS + 1), np.zeros(_STEPS + 1)
    for block, weights in _parts(values, counts):
        places = (block * _STEPS).astype(np.intp)
        numbers += np.bincount(places, weights, _STEPS + 1)
        sums += np.bincount(places, block if weights is None else block.astype(np.float64) * weights, _STEPS + 1)
    # The last step is that of the ones.
    number, total = (of_steps[-2::-1].cumsum()[::-1] for of_steps in (numbers, sums))
    steps = np.arange(_STEPS) / _STEPS
    is_negative = total - steps * number < mass * (1 - steps)
    first = int(is_negative.argmax()) if is_negative.any() else _STEPS
    return float(steps[max(first - 1, 0)])


def _root_from(
    values: Float[np.ndarray, "*shape"], counts: Int[np.ndarray, " D"] | None, mass: float, bound: float
) -> float:
    """Return a step of Newton's method: where G were 0 if it went on in the direction that it has above a bound."""
    # Compared in float32, which takes a fraction of the time: above the bound is above the last float32 up to it.
    least = np.float32(bound)
    if float(least) > bound:
        least = np.nextafter(least, np.float32(0))
    found = [
        _number_and_sum((block > least) & (block < 1), block, weights) for block, weights in _parts(values, counts)
    ]
    number, total = sum(one for one, _ in found), math.fsum(one for _, one in found)
    # At the root more entries are above than the mass, but rounding may have led past the last of them.
    return (total - mass) / (number - mass) if number > mass else bound


def _parts(
    values: Float[np.ndarray, "*shape"], counts: Int[np.ndarray, " D"] | None
) -> Iterator[tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"] | None]]:
    """Yield the values, some rows at a time, and how many entries each of them stands for."""
    for rows in blocks(values):
        yield values[rows].ravel(), None if counts is None else counts[rows]


def _number_and_sum(
    is_meant: Bool[np.ndarray, " n"], values: Float[np.ndarray, " n"], counts: Int[np.ndarray, " n"] | None
) -> tuple[int, float]:
    """Return how many entries some of the values stand for, and their sum."""
    meant = values[is_meant]
    if counts is None:
        return meant.size, float(meant.sum(dtype=np.float64))
    times = counts[is_meant]
    return int(times.sum()), float((meant * times.astype(np.float64)).sum())
