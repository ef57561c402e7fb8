"""Several raters: how far they agree, and their ratings on one scale."""

from __future__ import annotations

import numpy as np

from simmatrix.shapes import Float, Int

__all__ = ["aligned", "alpha"]

# The library holds a table of values by values for each pair: at most 80 MB of them.
_LIBRARY_UP_TO = 10_000_000


def aligned(
    ratings: Float[np.ndarray, " n"], lows: Float[np.ndarray, " n"], highs: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return each rating's place between the ends of its rater's own scale, in [0, 1].

    Examples
    --------
    >>> aligned(np.array([1.0, 4.0, 50.0]), np.array([1.0, 1.0, 0.0]), np.array([7.0, 7.0, 100.0])).tolist()
    [0.0, 0.5, 0.5]
    """
    return np.asarray((ratings - lows) / (highs - lows))


def alpha(ratings: Float[np.ndarray, " n"], pairs: Int[np.ndarray, " n"]) -> float | None:
    """Return Krippendorff's alpha for interval data: 1 is agreement, 0 what chance would give.

    Parameters
    ----------
    ratings, pairs
        (n,), each rating and the pair that it is of; who gave it does not matter.

    Returns
    -------
        At most 1; None where no pair was rated twice, or all that were are rated alike.
    """
    _, pairs, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    twice = counts[pairs] > 1
    values, codes = np.unique(ratings[twice], return_inverse=True)
    if len(values) < 2:
        return None
    _, units = np.unique(pairs[twice], return_inverse=True)
    size = int(units.max()) + 1
    if size * len(values) ** 2 > _LIBRARY_UP_TO:
        return _alpha_of_many(ratings[twice], units)
    import krippendorff

    table = np.zeros((size, len(values)), dtype=np.int64)
    np.add.at(table, (units, codes), 1)
    return float(krippendorff.alpha(value_counts=table, value_domain=values, level_of_measurement="interval"))


def _alpha_of_many(ratings: Float[np.ndarray, " n"], pairs: Int[np.ndarray, " n"]) -> float:
    """Return the same from sums (Krippendorff 2011): the mean squared difference within pairs, by that of all."""
    count, sizes = len(ratings), np.bincount(pairs)
    centred = ratings - ratings.mean()
    squares, sums = np.bincount(pairs, centred**2), np.bincount(pairs, centred)
    within = np.sum((sizes * squares - sums**2) / (sizes - 1)) / count
    overall = (count * np.sum(centred**2) - np.sum(centred) ** 2) / (count * (count - 1))
    return float(1 - within / overall)
