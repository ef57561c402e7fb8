"""How far two matrices agree about their classes, and how well each of them knows the superclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simmatrix.classes import check_superclasses
from simmatrix.errors import ClassOrderError, MatrixError, ParameterError, SourceError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.names import MANY, names_in_order
from simmatrix.shapes import Bool, Float, Int
from simmatrix.text import some

PAIRS_UP_TO = 2_000_000
"""The pairs that are compared at most, those of 2,000 classes: of more than these a sample is compared."""

_FEWEST = 3


@dataclass(frozen=True)
class Difference:
    """A pair of classes that two matrices see differently.

    Parameters
    ----------
    classes
        The two, by name.
    values
        Their similarity in the first matrix and in the second.
    rank_difference
        The pair's rank in the second matrix less its rank in the first, among the pairs compared: above 0 where the
        second finds the two more similar than the first does. A half where ranks are shared.
    """

    classes: tuple[str, str]
    values: tuple[float, float]
    rank_difference: float


@dataclass(frozen=True)
class Comparison:
    """What two matrices say of the same pairs of classes.

    Parameters
    ----------
    classes
        The classes that both have, in the first's order.
    only_first, only_second
        The classes that only one of them has, in its order: nothing is compared of them.
    pairs
        How many pairs of distinct classes were compared.
    unjudged
        How many pairs of the common classes were left out because no one judged them, in a matrix that keeps the
        judgements behind each pair.
    sampled_from
        How many pairs there were, where only a sample of them was compared; None where all were.
    spearman, kendall
        Spearman's rho and Kendall's tau-b, in [-1, 1]; None (undefined) where a matrix has one value for all pairs.
    superclass_auc
        Of each matrix, the probability that two classes of one superclass are more similar than two of different
        superclasses, in [0, 1]; 0.5 is chance. None where no superclasses were given, or all pairs are of one kind.
    differences
        The pairs that differ most, by their ranks; first the largest difference, equal ones by name. Pairs of the same
        rank do not differ.
    """

    classes: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    pairs: int
    unjudged: int
    sampled_from: int | None
    spearman: float | None
    kendall: float | None
    superclass_auc: tuple[float, float] | None
    differences: tuple[Difference, ...]


def compare(
    first: SimilarityMatrix,
    second: SimilarityMatrix,
    superclasses: Sequence[str] | None = None,
    count: int = 10,
) -> Comparison:
    """Compare two matrices over the pairs of distinct classes that both have.

    Only the order of the pairs counts (Kriegeskorte et al. 2008), since the scales of two sources differ: Spearman's
    rho (1904) and Kendall's tau-b (1945), and the area under the curve for superclasses (Mann and Whitney 1947, ties
    half). Where a matrix is not symmetric, a pair's value is the mean of both directions. Where a matrix keeps how
    many judgements are behind each pair, its completed pairs are left out. Of more than `PAIRS_UP_TO` pairs a sample is
    compared, the same each time; neither the order of the matrices nor that of their classes changes it.

    Parameters
    ----------
    first, second
        Of any form; their classes are matched by name.
    superclasses
        The superclass of each class of the first, in its order.
    count
        How many of the pairs that differ most to return, at most.

    Raises
    ------
    ClassOrderError
        If they have fewer than three classes in common.
    MatrixError
        If fewer than three of the pairs were judged; if both are sparse and have 100,000 classes or more.
    ParameterError
        If the count is below 0.
    SourceError
        If the superclasses do not fit the first's classes, or a class has none.

    Examples
    --------
    >>> values = np.array([[1, 0.8, 0.1], [0.8, 1, 0.3], [0.1, 0.3, 1]])
    >>> first = SimilarityMatrix(values, ("rose", "tulip", "truck"))
    >>> result = compare(first, first.lower_bound(0.05), ("flower", "flower", "vehicle"))
    >>> result.pairs, round(result.spearman, 6), result.superclass_auc
    (3, 1.0, (1.0, 1.0))
    """
    from scipy.stats import kendalltau, rankdata

    if count < 0:
        raise ParameterError(f"can't show {count} pairs; give 0 or more")
    if first.is_sparse and second.is_sparse and min(len(first), len(second)) >= MANY:
        raise MatrixError(
            f"of so many classes ({len(first):,} and {len(second):,}) nearly all pairs are 0 in sparse matrices, and a "
            "sample of them would tell nothing; build both for some of the classes, without top_k, and compare these"
        )
    ours, theirs = set(first.classes), set(second.classes)
    classes = tuple(name for name in first.classes if name in theirs)
    only_first = tuple(name for name in first.classes if name not in theirs)
    only_second = tuple(name for name in second.classes if name not in ours)
    if len(classes) < _FEWEST:
        shown = f"only in the first: {some(only_first) or 'none'}; only in the second: {some(only_second) or 'none'}"
        raise ClassOrderError(
            f"the matrices have {len(classes)} classes in common, a comparison needs {_FEWEST} at least; {shown}. "
            "Compare matrices of the same classes"
        )
    # In alphabetical order, so that the sample and the order of equal differences do not depend on that of the classes.
    names = sorted(classes)
    groups = None if superclasses is None else _groups(first.classes, superclasses, names)
    matrices = (first, second)
    indices = [{name: index for index, name in enumerate(matrix.classes)} for matrix in matrices]
    places = [np.array([index[name] for name in names], dtype=np.intp) for index in indices]
    judged = [_Judged(one.evidence, at) for one, at in zip(matrices, places, strict=True) if one.evidence is not None]
    rows, columns, total = _pairs(len(names), judged)
    one, other = (_similarities(matrix, at[rows], at[columns]) for matrix, at in zip(matrices, places, strict=True))
    ranks = rankdata(one), rankdata(other)
    spearman = kendall = None
    # A matrix with one value for all pairs ranks nothing.
    if all(np.ptp(rank) for rank in ranks):
        spearman, kendall = float(np.corrcoef(*ranks)[0, 1]), float(kendalltau(*ranks).statistic)
    same = np.zeros(len(rows), bool) if groups is None else groups[rows] == groups[columns]
    is_uniform = same.all() or not same.any()
    apart = ranks[1] - ranks[0]
    return Comparison(
        classes=classes,
        only_first=only_first,
        only_second=only_second,
        pairs=len(rows),
        unjudged=len(names) * (len(names) - 1) // 2 - total,
        sampled_from=None if len(rows) == total else total,
        spearman=spearman,
        kendall=kendall,
        superclass_auc=None if is_uniform else (_auc(ranks[0], same), _auc(ranks[1], same)),
        differences=tuple(
            Difference((names[rows[at]], names[columns[at]]), (float(one[at]), float(other[at])), float(apart[at]))
            for at in np.argsort(-np.abs(apart), kind="stable")[:count].tolist()
            if apart[at]
        ),
    )


def _groups(classes: Sequence[str], superclasses: Sequence[str], names: Sequence[str]) -> Int[np.ndarray, " n"]:
    superclasses = names_in_order(superclasses)
    if len(superclasses) != len(classes):
        raise SourceError(
            f"{len(superclasses)} superclasses were given for the {len(classes)} classes of the first matrix; "
            "give one for each"
        )
    known = dict(zip(classes, superclasses, strict=True))
    wanted = set(names)
    check_superclasses({name: one for name, one in known.items() if name in wanted})
    return np.unique([known[name] for name in names], return_inverse=True)[1]


class _Judged(NamedTuple):
    """How many judgements are behind each pair of a matrix's classes, and where in it the classes compared are."""

    counts: Int[np.ndarray, "C C"]
    places: Int[np.ndarray, " n"]


def _pairs(size: int, judged: Sequence[_Judged]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], int]:
    """Return the rows and columns of the pairs to compare, row by row, and how many pairs they were chosen from."""
    # Row by row, judged rows twice: a list of all pairs of 20,000 classes would take more memory than the matrices.
    lengths = [len(_columns(row, size, judged)) for row in range(size)] if judged else np.arange(size - 1, -1, -1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    total = int(starts[-1])
    if total < _FEWEST:
        raise MatrixError(
            f"people judged {total} of the pairs, a comparison needs {_FEWEST} at least; "
            "compare matrices in which more pairs were judged"
        )
    if total <= PAIRS_UP_TO:
        chosen = np.arange(total)
    else:
        # Fewer than are drawn: a number that is drawn twice counts once. A shuffle would take memory for every pair.
        drawn = np.sort(np.random.default_rng(0).integers(total, size=PAIRS_UP_TO))
        chosen = drawn[np.diff(drawn, prepend=-1) > 0]
    bounds = np.searchsorted(chosen, starts)
    rows = np.repeat(np.arange(size), np.diff(bounds))
    offsets = chosen - starts[rows]
    if not judged:
        return rows, rows + 1 + offsets, total
    columns = [_columns(row, size, judged)[offsets[bounds[row] : bounds[row + 1]]] for row in range(size)]
    return rows, np.concatenate(columns), total


def _columns(row: int, size: int, judged: Sequence[_Judged]) -> Int[np.ndarray, " n"]:
    """Return the columns right of the diagonal where a pair was judged in every matrix that keeps the judgements."""
    columns = np.arange(row + 1, size)
    for counts, places in judged:
        columns = columns[counts[places[row], places[columns]] > 0]
    return columns


def _similarities(
    matrix: SimilarityMatrix, rows: Int[np.ndarray, " p"], columns: Int[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """Return the pairs' values, the mean of both directions where the matrix is not symmetric."""
    there, back = matrix.values[rows, columns], matrix.values[columns, rows]
    return np.asarray((there.astype(np.float64) + back) / 2)


def _auc(ranks: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"]) -> float:
    """Return how often a pair of one superclass ranks above a pair of two, ties half."""
    count = np.count_nonzero(same)
    # Alone, the pairs of one superclass would have the ranks 1 to n: the rest are the other pairs below them.
    below = ranks[same].sum() - count * (count + 1) / 2
    return float(below / (count * (len(same) - count)))
