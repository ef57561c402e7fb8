"""From raw similarities on any scale to values in [0, 1]: the only place that knows about scales and lower bounds.

The steps, in this order: symmetrise (if the source is not), map to [0, 1], lower bound, unit diagonal. Each step that
is taken is recorded.

A similarity of 0 means unrelated. Cosines and ways through a tree have no such value of their own: any two classes
share something. What most pairs share says nothing, so for these sources the default bound is the median of all pairs;
of more than `EXACT_UP_TO` classes, the median of the pairs of a thousand of them.

A lower bound can be found for an influence, the mean over the rows of their sum off the diagonal. Under a lower bound l
each of the n_1 pairs of similarity 1 keeps it, and any other similarity s becomes max(0, (s - l) / (1 - l)). So for an
influence I of C classes, what is below 1 has to add up to m = I C - n_1: l is a root of

    G(l) = sum max(0, s - l) - m (1 - l),    over all s below 1,

which is convex, and linear between neighbouring values of s. Newton's method ends at the root itself: the sums over the
right pairs give it in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from simmatrix.errors import MatrixError, ParameterError
from simmatrix.forms import Dense, Elementwise, Parts, Toeplitz, raw_form
from simmatrix.provenance import Step
from simmatrix.shapes import Bool, Float, Int

EXACT_UP_TO = 10_000
"""Up to so many classes raw similarities are float64 and every pair is looked at; above it memory counts more."""

DENSE_UP_TO = 25_000
"""All pairs of more classes take gigabytes, so the command speaks of the top k."""

# Steps on the scale from 0 to 1 among which a first pass looks for the bound. A power of two, so that no float32 falls
# into a step that is not its own.
_STEPS = 1 << 12
# Pairs of classes worked on at a time, and how many classes are looked at first.
_PAIRS = 1 << 17
_SAMPLED = 1000


clip: Elementwise = partial(np.clip, a_min=0.0, a_max=1.0)
"""Cut off below 0 and above 1: for similarities that are already on the scale, such as a cosine."""


def affine(
    values: Float[np.ndarray, "*shape"], low: float, high: float, *, out: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """Map `low` to 0 and `high` to 1, linearly, and cut off outside."""
    out = np.subtract(values, low, out=out)
    return np.asarray(clip(np.divide(out, high - low, out=out), out=out))


def lower_bound(
    values: Float[np.ndarray, "*shape"], bound: float, *, out: Float[np.ndarray, "*shape"] | None = None
) -> Float[np.ndarray, "*shape"]:
    """Return max(0, (s - l) / (1 - l)) for l in [0, 1) (Kobs et al. 2020): what is below the bound is dissimilar.

    Bounds compose: l1 and then l2 equals l1 + l2 (1 - l1) at once.
    """
    out = np.subtract(values, bound, out=out)
    return np.asarray(np.maximum(np.divide(out, 1.0 - bound, out=out), 0.0, out=out))


def normalise(
    raw: Float[np.ndarray, "C C"],
    *,
    scale: tuple[float, float] | None = None,
    bound: float | None = 0.0,
    symmetrise: bool = True,
) -> tuple[Dense | Toeplitz, tuple[Step, ...]]:
    """Return values in [0, 1] with a unit diagonal, and the steps that led there.

    Raw values of float32 are overwritten with the result; memory for a second matrix is not taken. A Toeplitz view
    (`simmatrix.toeplitz`) stays one, in the time and memory that its diagonals take. The ends of the scale become 0 and
    1; without one, values are cut off outside [0, 1]. The bound is in [0, 1); None is `median_bound`, of symmetric
    values that are on their scale already. With `symmetrise` each pair gets the mean of both directions. Raises
    `MatrixError` if a raw value is NaN or infinite, and `ParameterError` if a parameter is out of its range.
    """
    check_lower_bound(bound)
    form = raw_form(raw)
    stored = form.stored().values
    if not (np.isfinite(stored.min()) and np.isfinite(stored.max())):
        raise MatrixError("a raw similarity is NaN or infinite; mend the source")
    steps: list[Step] = []
    if symmetrise and not form.is_symmetric():
        form = form.symmetrised()
        steps.append({"step": "symmetrise"})
    functions: list[Elementwise] = [clip]
    if scale is None:
        steps.append({"step": "clip"})
    else:
        low, high = scale
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ParameterError(f"the range ({low}, {high}) is empty; give the lowest value first")
        functions = [partial(affine, low=low, high=high)]
        steps.append({"step": "affine", "low": low, "high": high})
    found: Step = {}
    if bound is None and len(form) <= EXACT_UP_TO:
        bound, origin = median_bound(form.values)
        found = {"from": origin}
    elif bound is None:
        rows = sampled(len(form))
        bound, found = sampled_bound(form.values[rows[:, None], rows], nearest_of(form.values, rows))
    if bound > 0.0:
        functions.append(partial(lower_bound, bound=bound))
        steps.append({"step": "lower_bound", "bound": bound, **found})
    steps.append({"step": "unit_diagonal"})
    return form.normalised(*functions), tuple(steps)


def median_bound(values: Float[np.ndarray, "C C"]) -> tuple[float, str]:
    """Return the lower bound under which classes that are no more alike than most pairs get 0, and where it is from.

    It is the median of all pairs of classes; of two in the middle the lower, so that it is a similarity that occurs. In
    a hierarchy most pairs may be equally alike, and few more so: then the median would leave most classes without a
    neighbour, and the greatest similarity below it that leaves at least half of them one takes its place. Where there
    is none below, all classes are strangers.

    The values are symmetric, and negative ones count as 0; no copy is made of the whole. Returns the bound in [0, 1),
    and ``"median"`` or ``"below the median"``.

    Examples
    --------
    >>> median_bound(np.array([[1, 0.5, 0.2], [0.5, 1, 0.1], [0.2, 0.1, 1]]))
    (0.2, 'median')
    """
    nearest = nearest_of(values, np.arange(len(values)))
    return _bound_of(_median_of_pairs(values), nearest, _pairs(values))


def sampled(count: int) -> Int[np.ndarray, " n"]:
    """Return those of `count` classes whose pairs tell what all pairs are like: a thousand, ascending; or all.

    They are those whose positions have the least SplitMix64 hash (Steele, Lea and Flood 2014). Lists may be periodic,
    such as each parent before its nine children, so that evenly spaced classes may all be of one kind. The hash is
    written out here, so that it is the same with every release of NumPy.
    """
    if count <= _SAMPLED:
        return np.arange(count)
    keys = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
    keys ^= keys >> np.uint64(31)
    return np.sort(np.argpartition(keys, _SAMPLED)[:_SAMPLED])


def nearest_of(values: Float[np.ndarray, "C C"], rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the greatest similarity of some classes to another one, 0 if it is negative."""
    sides = ((values[row, :row], values[row, row + 1 :]) for row in rows.tolist())
    return np.array([max(float(side.max(initial=0)) for side in both) for both in sides])


def sampled_bound(among: Float[np.ndarray, "n n"], nearest: Float[np.ndarray, " n"]) -> tuple[float, Step]:
    """Return `median_bound` as some of the classes tell it, and what to record of it.

    Takes their similarities to each other, and the greatest similarity of each of them to any other class.
    """
    pairs = np.concatenate(list(_pairs(among)))
    pairs.partition((len(pairs) - 1) // 2)
    bound, origin = _bound_of(float(pairs[(len(pairs) - 1) // 2]), nearest, iter([pairs]))
    return bound, {"from": origin, "sampled_pairs": len(pairs)}


def _bound_of(
    median: float, nearest: Float[np.ndarray, " n"], pairs: Iterator[Float[np.ndarray, " m"]]
) -> tuple[float, str]:
    half = len(nearest) // 2
    if median < 1 and np.count_nonzero(nearest <= median) <= half:
        return median, "median"
    cut = np.partition(nearest, half)[half]
    below = max(float(some.max(initial=-1, where=some < cut)) for some in pairs)
    if 0 <= below < median:
        return below, "below the median"
    return (median if median < 1 else 0.0), "median"


def _median_of_pairs(values: Float[np.ndarray, "C C"]) -> float:
    """Return the lower median of the similarities of all pairs of classes, 0 if it is negative.

    A sample says between which values it is. Only the pairs there are put in order: of a measure with few values none,
    since they are equal; of others some in a hundred; and all, where the sample says the wrong thing.
    """
    place = (len(values) * (len(values) - 1) // 2 - 1) // 2
    step = max(1, len(values) // _SAMPLED)
    sample = np.sort(np.concatenate(list(_pairs(values[::step, ::step]))))
    if step == 1:
        return float(sample[place])
    least, middle, most = sample[[int(share * (len(sample) - 1)) for share in (0.49, 0.5, 0.51)]].tolist()
    for low, high in ((middle, middle), (least, most), (0.0, math.inf)):
        below, count = 0, 0
        kept = []
        for pairs in _pairs(values):
            below += int(np.count_nonzero(pairs < low))
            inside = (pairs >= low) & (pairs <= high)
            count += int(np.count_nonzero(inside))
            if low < high:
                kept.append(pairs[inside])
        if below <= place < below + count:
            break
    if low == high:
        return float(low)
    ordered = np.concatenate(kept)
    ordered.partition(place - below)
    return float(ordered[place - below])


def _pairs(values: Float[np.ndarray, "C C"]) -> Iterator[Float[np.ndarray, " n"]]:
    """Yield copies of what is above the diagonal, some rows at a time; negative ones as 0."""
    top, size = 0, len(values)
    while top < size - 1:
        end = top + max(1, _PAIRS // (size - top))
        pairs = np.concatenate([values[row, row + 1 :] for row in range(top, min(end, size))])
        yield np.maximum(pairs, 0, out=pairs)
        top = end


def check_lower_bound(bound: float | None) -> None:
    """Raise `ParameterError` unless a lower bound is in [0, 1), or None for the default."""
    if bound is not None and not 0.0 <= bound < 1.0:
        raise ParameterError(f"a lower bound of {bound} is outside [0, 1); 0 keeps every similarity")


def check_top_k(count: int, size: int) -> None:
    """Raise `ParameterError` unless `count` of the others can be kept of each of `size` classes."""
    if not 1 <= count < size:
        raise ParameterError(f"can't keep {count} of the {size - 1} other classes; give 1 to {size - 1}")


def check_influence(influence: float) -> None:
    """Raise `ParameterError` unless an influence is a finite number from 0."""
    if not 0.0 <= influence < math.inf:
        raise ParameterError(
            f"an influence of {influence} is not a finite number of at least 0; give the mean sum of a row off the "
            "diagonal that is wanted, 0 for cross entropy"
        )


def count_of_ones(parts: Parts) -> int:
    """Return how many entries of a matrix are 1, its diagonal's among them."""
    return sum(_number_and_sum(block == 1, block, weights)[0] for block, weights in parts)


@np.errstate(under="ignore")
def bound_for(parts: Parts, mass: float) -> float:
    """Return the least lower bound under which the similarities below 1 add up to a mass, or to less.

    The parts are what is stored of a matrix, float32 in [0, 1]; values that are 1 are passed over. The mass is at least
    0, and what the values below 1 add up to at most; for 0 the bound is the greatest of them. The bound is in [0, 1),
    right to float64 rounding. Takes a few passes over the values, and memory for some rows only.

    Examples
    --------
    >>> bound_for([(np.array([1, 0.5, 0.2, 0.5, 1, 0.2, 0.2, 0.2, 1], np.float32), None)], 0.5)
    0.3333333333333333
    """
    if mass == 0:
        return max(float(block.max(initial=0, where=block < 1)) for block, _ in parts)
    bound = _root_from(parts, mass, _step_before(parts, mass))
    # From wherever it starts, the first step ends at the root or left of it, and from there they go right.
    while (further := _root_from(parts, mass, bound)) > bound:
        bound = further
    return bound


def _step_before(parts: Parts, mass: float) -> float:
    """Return the last multiple of 1 / _STEPS before G is negative, from the number and the sum of the values in each.

    One pass, where Newton's method would take many through the values that are far below the root.
    """
    numbers, sums = np.zeros(_STEPS + 1), np.zeros(_STEPS + 1)
    for block, weights in parts:
        places = (block * _STEPS).astype(np.intp)
        numbers += np.bincount(places, weights, _STEPS + 1)
        sums += np.bincount(places, block if weights is None else block.astype(np.float64) * weights, _STEPS + 1)
    # The last step is that of the ones.
    number, total = (of_steps[-2::-1].cumsum()[::-1] for of_steps in (numbers, sums))
    steps = np.arange(_STEPS) / _STEPS
    is_negative = total - steps * number < mass * (1 - steps)
    first = int(is_negative.argmax()) if is_negative.any() else _STEPS
    return float(steps[max(first - 1, 0)])


def _root_from(parts: Parts, mass: float, bound: float) -> float:
    """Return a step of Newton's method: where G were 0 if it went on in the direction that it has above a bound."""
    # Compared in float32, which takes a fraction of the time: above the bound is above the last float32 up to it.
    least = np.float32(bound)
    if float(least) > bound:
        least = np.nextafter(least, np.float32(0))
    found = [_number_and_sum((block > least) & (block < 1), block, weights) for block, weights in parts]
    number, total = sum(one for one, _ in found), math.fsum(one for _, one in found)
    # At the root more entries are above than the mass, but rounding may have led past the last of them.
    return (total - mass) / (number - mass) if number > mass else bound


def _number_and_sum(
    is_meant: Bool[np.ndarray, " n"], values: Float[np.ndarray, " n"], counts: Int[np.ndarray, " n"] | None
) -> tuple[int, float]:
    """Return how many entries some of the values stand for, and their sum."""
    meant = values[is_meant]
    if counts is None:
        return meant.size, float(meant.sum(dtype=np.float64))
    times = counts[is_meant]
    return int(times.sum()), float((meant * times.astype(np.float64)).sum())
