"""What a similarity matrix looks like in a few numbers, and what about it should worry its user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simmatrix.matrix import SimilarityMatrix, is_sparse

__all__ = ["QUANTILES", "Statistics", "concerns", "signal", "statistics"]

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""The quantiles that are reported of the similarities of distinct classes."""

# Eigenvalues take time that grows with C^3: some tenths of a second here.
_EIGENVALUES_UP_TO = 1024
# Where less than a third of cross entropy's gradient is left; the quick start of the README shows what that can cost.
_FAINT = 1 / 3


@dataclass(frozen=True)
class Statistics:
    """Figures of a similarity matrix with C classes.

    Parameters
    ----------
    classes
        C.
    influence
        Mean over the rows of their sum off the diagonal, 0 (cross entropy) to C - 1.
    density
        Share of the pairs of distinct classes with a similarity above 0, in [0, 1].
    identity_rows
        Share of the rows that are the identity's, in [0, 1]: to them the loss is cross entropy.
    indistinguishable
        Pairs of distinct classes with similarity 1, by name: the loss can't tell them apart.
    signal
        What is left of cross entropy's gradient at the start of training, in [0, 1]; see `signal`.
    quantiles
        Of the similarities of distinct classes, by level.
    smallest_eigenvalue
        Of the symmetric part; None above 1024 classes. Negative: the matrix is no inner product.
    """

    classes: int
    influence: float
    density: float
    identity_rows: float
    indistinguishable: tuple[tuple[str, str], ...]
    signal: float
    quantiles: dict[float, float]
    smallest_eigenvalue: float | None


def statistics(matrix: SimilarityMatrix) -> Statistics:
    """Return the figures of a matrix.

    Examples
    --------
    >>> figures = statistics(SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip")))
    >>> figures.density, figures.smallest_eigenvalue
    (1.0, 0.5)
    """
    size = len(matrix)
    pairs = size * (size - 1)
    others, occupied, same = _off_diagonal(matrix)
    return Statistics(
        classes=size,
        influence=matrix.influence,
        density=len(others) / pairs,
        identity_rows=int(np.count_nonzero(~occupied)) / size,
        indistinguishable=tuple(
            (matrix.classes[i], matrix.classes[j]) for i, j in sorted({(min(pair), max(pair)) for pair in same})
        ),
        signal=signal(matrix),
        quantiles=_quantiles(others, pairs),
        smallest_eigenvalue=_smallest_eigenvalue(matrix),
    )


def signal(matrix: SimilarityMatrix) -> float:
    """Return how much of cross entropy's gradient the loss keeps for a model that has learnt nothing yet, in [0, 1].

    Where all C classes are equally likely, the gradient in the true class's logit is 1/C - 1 / (1 + I) under SimLoss,
    with I the row's influence, and 1/C - 1 under cross entropy. Their ratio, (C / (1 + I) - 1) / (C - 1), is 1 for the
    identity and 0 for a matrix of ones. The influence I is the rows' mean.
    """
    size = len(matrix)
    return (size / (1 + matrix.influence) - 1) / (size - 1)


def concerns(matrix: SimilarityMatrix, figures: Statistics | None = None) -> tuple[str, ...]:
    """Return one sentence for each thing about a matrix that would spoil a training, most serious first."""
    if figures is None:
        figures = statistics(matrix)
    found = []
    if figures.identity_rows == 1:
        found.append(
            "the matrix is the identity, so training with it is plain cross entropy; give a smaller lower bound"
        )
    elif figures.signal < _FAINT:
        found.append(
            f"at an influence of {figures.influence:.3g} training starts with {figures.signal:.1%} of cross entropy's "
            "gradient and may drown; watch the accuracy, and give a larger lower bound if it suffers"
        )
    if figures.indistinguishable:
        count = len(figures.indistinguishable)
        first = ", ".join("/".join(pair) for pair in figures.indistinguishable[:3])
        found.append(
            f"{count} {'pair has' if count == 1 else 'pairs have'} similarity 1, the loss can't tell them apart: "
            + first
            + (" …" if count > 3 else "")
        )
    missed = {name: one["missed"] for name, one in matrix.provenance.resolution.items() if "missed" in one}
    if missed:
        first = ", ".join(f"{name} ({phrase})" for name, phrase in list(missed.items())[:3])
        found.append(
            f"{len(missed)} classes were looked up by their names, since their phrases were not found: {first}"
            + (" …" if len(missed) > 3 else "")
        )
    return tuple(found)


def _off_diagonal(matrix: SimilarityMatrix) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Return the values above 0 off the diagonal, which rows hold one, and where they are 1."""
    values = matrix.values
    if is_sparse(values):
        entries = values.tocoo()
        rows, columns = entries.coords
        keep = rows != columns
        same = keep & (entries.data == 1)
        occupied = np.bincount(rows[keep], minlength=len(matrix)) > 0
        return entries.data[keep], occupied, list(zip(rows[same].tolist(), columns[same].tolist(), strict=True))
    # By masks: the indices of all entries would take four times the matrix's memory.
    positive = values > 0
    np.fill_diagonal(positive, val=False)
    ones = positive & (values == 1)
    occupied = np.asarray(positive.any(axis=1))
    return values[positive], occupied, [(i, j) for i, j in np.argwhere(ones).tolist()]


def _quantiles(positive: np.ndarray, pairs: int) -> dict[float, float]:
    """Return quantiles of `pairs` values of which all but the given ones are 0."""
    zeros = pairs - len(positive)
    # The value at a level, without interpolation: a figure that stands in the matrix.
    at = {level: max(int(np.ceil(level * pairs)) - 1, 0) - zeros for level in QUANTILES}
    ordered = (
        np.partition(positive, sorted({index for index in at.values() if index >= 0})) if len(positive) else positive
    )
    return {level: float(ordered[index]) if index >= 0 else 0.0 for level, index in at.items()}


def _smallest_eigenvalue(matrix: SimilarityMatrix) -> float | None:
    if len(matrix) > _EIGENVALUES_UP_TO:
        return None
    values = matrix.to_dense().astype(np.float64)
    return float(np.linalg.eigvalsh((values + values.T) / 2)[0])
