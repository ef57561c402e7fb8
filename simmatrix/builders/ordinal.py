"""An ordinal embedding: points whose distances explain which of three was picked as the odd one out.

Each class is a point x in d dimensions, and s_ij = -||x_i - x_j||² says how similar two are. Of three classes people
leave the pair that is most similar together: with probability exp(s_ij) over the sum of the same for all three pairs.
This is stochastic triplet embedding (STE; van der Maaten and Weinberger 2012), whose affinity is that of the points,
with the choice among three of Hebart et al. (2020). A penalty on the squared length of the points keeps classes of
which little is known near the middle; it is chosen on triplets that are left out of the fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from simmatrix.shapes import Float, Int

# The penalty leaves fewer dimensions than these where the triplets hold fewer.
_DIMENSIONS = 16
# From weak to strong, until held-out triplets become less likely. Each fit starts from the one before; in the other
# direction a strong penalty would draw all points to 0, where a fit stays.
_PENALTIES = tuple(2.0**power for power in range(-2, 8))
# One triplet in ten is held out, always the same ones.
_ONE_IN = 10
_SEED = 0
_ROUNDS = 200
# Decimals that are kept: the last bits of a fit depend on the machine.
_DECIMALS = 6


class Embedding(NamedTuple):
    """A fit to all triplets, and how well it predicts triplets that are held out."""

    points: Float[np.ndarray, "C d"]  # a point for each class, centred
    penalty: float  # the one that predicts the held-out triplets best
    error: float  # the share of the held-out triplets whose answer is not the likeliest, in [0, 1]; guessing gives 2/3
    held_out: int  # how many triplets these are


class _Triplets(NamedTuple):
    """Distinct triplets as their three pairs, first the one left together, and how often each triplet was answered."""

    classes: int
    rows: Int[np.ndarray, " p"]
    columns: Int[np.ndarray, " p"]
    # Where the pairs stand in the symmetric sparse matrix of all pairs, whose structure stays the same.
    structure: csr_array
    pairs: Int[np.ndarray, "t 3"]
    times: Float[np.ndarray, " t"]


def _prepared(triplets: Int[np.ndarray, "T 3"], count: int) -> _Triplets:
    left, right, odd = triplets.astype(np.int64).T
    distinct, times = np.unique(
        np.stack([np.minimum(left, right), np.maximum(left, right), odd], axis=1), axis=0, return_counts=True
    )
    left, right, odd = distinct.T
    sides = ((left, right), (left, odd), (right, odd))
    codes = np.stack([np.minimum(one, other) * count + np.maximum(one, other) for one, other in sides])
    pairs, which = np.unique(codes, return_inverse=True)
    rows, columns = np.divmod(pairs, count)
    # From 1 on: a stored 0 would be no entry.
    number = np.arange(1, len(pairs) + 1)
    structure = csr_array((np.r_[number, number], (np.r_[rows, columns], np.r_[columns, rows])), shape=(count, count))
    return _Triplets(count, rows, columns, structure, which.reshape(3, -1).T.copy(), times.astype(np.float64))


def _loss(flat: Float[np.ndarray, " n"], known: _Triplets, penalty: float) -> tuple[float, Float[np.ndarray, " n"]]:
    points = flat.reshape(known.classes, -1)
    apart = points[known.rows] - points[known.columns]
    similar = -np.einsum("pd,pd->p", apart, apart)[known.pairs]
    similar -= similar.max(axis=1, keepdims=True)
    likely = np.exp(similar)
    sums = likely.sum(axis=1)
    value = float(known.times @ (np.log(sums) - similar[:, 0])) + penalty * float(flat @ flat)
    # The derivative by each pair's similarity: how likely it is to be left together, less how often it was.
    likely *= (known.times / sums)[:, None]
    likely[:, 0] -= known.times
    by_pair = np.bincount(known.pairs.ravel(), likely.ravel(), minlength=len(known.rows))
    matrix = known.structure
    weights = csr_array((by_pair[matrix.data - 1], matrix.indices, matrix.indptr), shape=matrix.shape)
    gradient = 2 * (weights @ points - np.asarray(weights.sum(axis=1))[:, None] * points) + 2 * penalty * points
    return value, gradient.ravel()


def loss(
    points: Float[np.ndarray, "C d"], triplets: Int[np.ndarray, "T 3"], penalty: float = 0.0
) -> tuple[float, Float[np.ndarray, "C d"]]:
    """Return the negative log-likelihood of triplets plus the penalty, and its gradient by the points.

    The third of each triplet is the odd one. The penalty, 0 or more, is what the squared length of each point costs.

    Examples
    --------
    >>> value, gradient = loss(np.zeros((3, 2)), np.array([[0, 1, 2]]))
    >>> round(value, 3)
    1.099
    """
    value, gradient = _loss(points.ravel().astype(np.float64), _prepared(triplets, len(points)), penalty)
    return value, gradient.reshape(points.shape)


def choice(points: Float[np.ndarray, "C d"], triplets: Int[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Return how likely each of three is to be picked as the odd one; each row sums to 1.

    Examples
    --------
    >>> choice(np.array([[0.0], [0.0], [1.0]]), np.array([[0, 1, 2]])).round(3).tolist()
    [[0.212, 0.212, 0.576]]
    """
    pairs = (points[triplets[:, [1, 0, 0]]] - points[triplets[:, [2, 2, 1]]]) ** 2
    similar = -pairs.sum(axis=-1)
    likely = np.exp(similar - similar.max(axis=1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True))


def _fit(known: _Triplets, penalty: float, start: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "C d"]:
    found = minimize(
        _loss, start.ravel(), args=(known, penalty), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}
    )
    points = found.x.reshape(start.shape)
    return np.asarray(points - points.mean(axis=0))


def embed(triplets: Int[np.ndarray, "T 3"], count: int) -> Embedding:
    """Return the embedding of triplets, with the penalty that predicts held-out ones best; the order changes nothing.

    All answers about the same three classes are held out together.
    """
    triplets = triplets[np.lexsort(triplets.T)]
    _, which = np.unique(np.sort(triplets, axis=1), axis=0, return_inverse=True)
    which = which.ravel()
    kinds = int(which.max()) + 1
    apart = np.zeros(kinds, dtype=bool)
    apart[np.random.default_rng(_SEED).permutation(kinds)[: max(1, kinds // _ONE_IN)]] = True
    held, rest = triplets[apart[which]], triplets[~apart[which]]
    if not len(rest):
        held, rest = triplets, triplets
    seen, asked = _prepared(rest, count), _prepared(held, count)
    start = np.random.default_rng(_SEED).normal(scale=0.1, size=(count, min(count - 1, _DIMENSIONS)))
    points = start
    best = (np.inf, 0.0, 1.0)
    for penalty in _PENALTIES:
        points = _fit(seen, penalty, points)
        unlikely = _loss(points.ravel(), asked, 0.0)[0]
        if unlikely > best[0]:
            break
        best = (unlikely, penalty, _error(points, held))
    _, penalty, error = best
    return Embedding(_fit(_prepared(triplets, count), penalty, start), penalty, error, len(held))


def _error(points: Float[np.ndarray, "C d"], triplets: Int[np.ndarray, "T 3"]) -> float:
    likely = choice(points, triplets)
    return float(np.mean(likely[:, 2] <= likely[:, :2].max(axis=1)))


def expected_shares(points: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "C C"]:
    """Return how often two are left together, over all others as the third: what asking about all of them would give.

    In [0, 1], symmetric, with a unit diagonal.
    """
    count = len(points)
    lengths = (points**2).sum(axis=1)
    affinity = np.exp(-np.maximum(lengths[:, None] + lengths - 2 * points @ points.T, 0.0))
    affinity = np.maximum((affinity + affinity.T) / 2, np.finfo(np.float64).tiny)
    values = np.eye(count)
    for row in range(count):
        together = affinity[row, :row]
        # (r, C): each pair of this class with one before it, and each third class.
        shares = together[:, None] / (together[:, None] + affinity[row] + affinity[:row])
        # The pair itself is no third.
        own = shares[:, row] + shares[np.arange(row), np.arange(row)]
        values[row, :row] = values[:row, row] = (shares.sum(axis=1) - own) / max(count - 2, 1)
    return np.round(values, _DECIMALS)
