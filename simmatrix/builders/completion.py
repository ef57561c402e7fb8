"""Values for pairs that nobody judged, by methods that have to be asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.choices import COMPLETIONS
from simmatrix.errors import SourceError
from simmatrix.shapes import Bool, Float
from simmatrix.text import a_few, check_choice, or_list

# One in ten of the known pairs, always the same ones, is left out of the fit to choose the penalty.
_ONE_IN = 10
_SEED = 0
# The most factors that are kept; the penalty usually leaves fewer.
_FACTORS = 32
# The penalty is halved until the fit got worse twice, at most 12 times. Each fit has at most 60 rounds to settle.
_HALVINGS = 12
_ROUNDS = 60
_SETTLED = 1e-3
# Eigenvalues below this share of the greatest count as zero.
_NEGLIGIBLE = 1e-12


def mean(values: Float[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """Give unknown pairs the mean of all known pairs of distinct classes."""
    known = _known(values)
    return np.where(np.isnan(values), values[known].mean(), values)


def low_rank(values: Float[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """Give unknown pairs the values of a low-rank matrix that fits the known ones (soft-impute).

    Mazumder, Hastie and Tibshirani (2010): fill the unknown with the current fit, shrink the eigenvalues of the result
    towards 0 by a penalty, and repeat. The mean of the known pairs is subtracted first, so that the greatest penalty
    gives the mean. A tenth of the known pairs is left out of the fit; the penalty that predicts them best is taken. The
    diagonal is not fitted: that every class is the same as itself says nothing about factors.
    """
    known = _known(values)
    rows, columns = np.nonzero(np.triu(known))
    left_out = np.random.default_rng(_SEED).permutation(len(rows))[: len(rows) // _ONE_IN]
    pairs = values[rows, columns]
    # The pairs on the scale on which the fits are made: the mean is 0.
    target = np.where(known, values - pairs.mean(), 0.0)
    rest = known.copy()
    rest[rows[left_out], columns[left_out]] = rest[columns[left_out], rows[left_out]] = False
    penalty, start = _best_penalty(target, rest, (rows[left_out], columns[left_out]))
    fit = _soft_impute(target, known, penalty, start).matrix + pairs.mean()
    return np.where(np.isnan(values), np.clip(fit, pairs.min(), pairs.max()), values)


class _Fit(NamedTuple):
    """A low-rank matrix, and the basis its factors lie in, from which the next fit starts."""

    matrix: Float[np.ndarray, "C C"]
    basis: Float[np.ndarray, "C k"]


def _best_penalty(
    target: Float[np.ndarray, "C C"], known: Bool[np.ndarray, "C C"], left_out: tuple[np.ndarray, np.ndarray]
) -> tuple[float, _Fit]:
    """Return the penalty whose fit to the known pairs predicts those left out best, and this fit."""

    def error_of(fit: _Fit) -> float:
        return float(np.sum((fit.matrix[left_out] - target[left_out]) ** 2))

    count = len(target)
    basis = np.random.default_rng(_SEED).normal(size=(count, min(count, _FACTORS)))
    fit = _Fit(np.zeros((count, count)), basis)
    # This penalty leaves nothing but the mean.
    penalty = float(np.linalg.norm(np.where(known, target, 0.0)))
    best, least, worse = (penalty, fit), error_of(fit), 0
    for _ in range(_HALVINGS):
        penalty /= 2
        fit = _soft_impute(target, known, penalty, fit)
        if (error := error_of(fit)) < least:
            best, least, worse = (penalty, fit), error, 0
        elif fit.matrix.any():
            worse += 1
        if worse == 2:
            break
    return best


def _soft_impute(target: Float[np.ndarray, "C C"], known: Bool[np.ndarray, "C C"], penalty: float, start: _Fit) -> _Fit:
    matrix, basis = start
    still = _SETTLED * float(np.linalg.norm(target))
    for _ in range(_ROUNDS):
        filled = np.where(known, target, matrix)
        # The leading eigenvectors alone: a round of subspace iteration, from those of the round before. An orthonormal
        # basis by the eigenvectors of the columns' products is exact enough, in a fraction of the time of a QR.
        columns = filled @ basis
        squares, vectors = np.linalg.eigh(columns.T @ columns)
        # A direction of nearly no length stays short, instead of becoming noise of length 1.
        least = max(_NEGLIGIBLE * squares[-1], float(np.finfo(np.float64).tiny))
        basis = np.asarray(columns @ (vectors / np.sqrt(np.maximum(squares, least))))
        eigenvalues, turns = np.linalg.eigh(basis.T @ filled @ basis)
        shrunk = np.sign(eigenvalues) * np.maximum(np.abs(eigenvalues) - penalty, 0.0)
        factors = basis @ turns
        before, matrix = matrix, (factors * shrunk) @ factors.T
        if np.linalg.norm(matrix - before) <= still:
            break
    return _Fit((matrix + matrix.T) / 2, basis)


def _known(values: Float[np.ndarray, "C C"]) -> Bool[np.ndarray, "C C"]:
    known: np.ndarray = ~np.isnan(values)
    np.fill_diagonal(known, val=False)
    return known


_METHODS: Mapping[str, Callable[[Float[np.ndarray, "C C"]], Float[np.ndarray, "C C"]]] = {
    "mean": mean,
    "low-rank": low_rank,
}


def check_completion(method: str | None) -> None:
    """Raise `ParameterError` unless a method is None or one of `simmatrix.choices.COMPLETIONS`."""
    if method is not None:
        check_choice("complete", method, COMPLETIONS)


@np.errstate(under="ignore")
def complete(values: Float[np.ndarray, "C C"], method: str) -> Float[np.ndarray, "C C"]:
    """Return a matrix without its gaps, by a method of `simmatrix.choices.COMPLETIONS`.

    The values are symmetric, NaN where nothing is known; at least one pair of distinct classes is known, and the
    diagonal. Known values stay; the others lie between the least and the greatest known value of distinct classes.

    Examples
    --------
    >>> gaps = np.array([[1.0, 0.2, np.nan], [0.2, 1.0, 0.6], [np.nan, 0.6, 1.0]])
    >>> round(float(complete(gaps, "mean")[0, 2]), 3)
    0.4
    """
    check_completion(method)
    return _METHODS[method](values)


def completed(
    values: Float[np.ndarray, "C C"], method: str | None, classes: Sequence[str], path: Path, what: str
) -> tuple[Float[np.ndarray, "C C"], dict[str, int]]:
    """Return a matrix with its gaps completed, and how many pairs that were, for the record.

    Raises `SourceError` if there are gaps and no method; says how many of how many, and names the first few.
    """
    rows, columns = np.nonzero(np.triu(np.isnan(values)))
    if len(rows) == 0:
        return values, {"completed": 0}
    if method is not None:
        return complete(values, method), {"completed": len(rows)}
    count = len(classes)
    pairs = zip(rows[:4], columns[:4], strict=True)
    shown = a_few([f"{classes[row]!r} and {classes[column]!r}" for row, column in pairs])
    methods = or_list(f'complete="{one}"' for one in COMPLETIONS)
    raise SourceError(
        f"has no {what} for {len(rows)} of the {count * (count - 1) // 2} pairs of classes: {shown}; add them, "
        f"or have them completed ({methods})",
        path,
    )
