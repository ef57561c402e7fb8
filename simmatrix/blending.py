"""One matrix from several: the weighted mean of what different sources say of the same classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from simmatrix.errors import ClassOrderError, ParameterError
from simmatrix.forms import weighted_mean
from simmatrix.matrix import SimilarityMatrix
from simmatrix.provenance import Input, Provenance
from simmatrix.text import some

_SUM_WITHIN = 1e-9


def blend(parts: Iterable[tuple[SimilarityMatrix, float]], files: Sequence[Input] = ()) -> SimilarityMatrix:
    """Return the weighted mean sum_k w_k S_k of matrices of the same classes, in the first one's order.

    The classes are matched by name. Sparse matrices give a sparse one, Toeplitz matrices a Toeplitz one, all else a
    dense one; beside the result, memory is taken for a block of rows, and for a copy of each matrix in another order.
    The provenance tells the whole lineage: the weights, and how each part was made. Judgements are not handed on: no
    one judged the mean.

    Parameters
    ----------
    parts
        At least two matrices, each with its weight above 0; the weights sum to 1 (within 1e-9).
    files
        The file that each part was read from, if all were; recorded as inputs, and named in messages.

    Raises
    ------
    ParameterError
        If there are fewer than two parts, or the weights do not fit; says what they would be when rescaled.
    ClassOrderError
        If the classes differ; names which, and in which part.

    Examples
    --------
    >>> import numpy as np
    >>> words = SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip"))
    >>> tree = SimilarityMatrix(np.array([[1, 0.75], [0.75, 1]]), ("tulip", "rose"))
    >>> blend([(words, 0.5), (tree, 0.5)])["rose", "tulip"]
    0.625
    """
    pairs = [*parts]
    # The first element of a set differs from run to run, and with it the order of the classes.
    if isinstance(parts, Set) or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise ParameterError("the parts are no list of pairs; give each matrix with its weight, [(a, 0.5), (b, 0.5)]")
    matrices, weights = [one for one, _ in pairs], [float(weight) for _, weight in pairs]
    check_weights(weights)
    labels = [f"matrix {place}" for place in range(1, len(matrices) + 1)]
    if files:
        labels = [f"{label} ({file.name})" for label, file in zip(labels, files, strict=True)]
    aligned = [_aligned(matrix, matrices[0], label, labels[0]) for matrix, label in zip(matrices, labels, strict=True)]
    mean = weighted_mean([matrix.stored for matrix in aligned], weights)
    return SimilarityMatrix.of(mean, matrices[0].classes, _lineage(matrices, weights, files))


def check_weights(weights: Sequence[float]) -> None:
    """Raise `ParameterError` unless there are two weights or more, each above 0, that sum to 1 (within 1e-9)."""
    if len(weights) < 2:
        raise ParameterError(f"a blend needs two matrices or more, not {len(weights)}; give each with its weight")
    if wrong := [weight for weight in weights if not (weight > 0 and math.isfinite(weight))]:
        raise ParameterError(f"a weight of {wrong[0]} is not above 0; leave the matrix out, or give it a share of 1")
    total = sum(weights)
    if abs(total - 1) > _SUM_WITHIN:
        given, rescaled = (_listed(some) for some in (weights, [weight / total for weight in weights]))
        raise ParameterError(f"the weights {given} sum to {total:.12g}, not to 1; rescaled they would be {rescaled}")


def _listed(numbers: Sequence[float]) -> str:
    *first, last = (f"{number:.12g}" for number in numbers)
    return f"{', '.join(first)} and {last}"


def _aligned(matrix: SimilarityMatrix, first: SimilarityMatrix, its: str, firsts: str) -> SimilarityMatrix:
    try:
        return matrix.reorder(first.classes)
    except ClassOrderError:
        pairs = ((firsts, first.classes, set(matrix.classes)), (its, matrix.classes, set(first.classes)))
        only = [(label, [name for name in names if name not in others]) for label, names, others in pairs]
        listed = "; ".join(f"only in {label}: {some(names)}" for label, names in only if names)
        raise ClassOrderError(
            f"{its} has other classes than {firsts}; {listed}. Build all of them from the same class list"
        ) from None


def _lineage(matrices: Sequence[SimilarityMatrix], weights: list[float], files: Sequence[Input]) -> Provenance:
    origins = [matrix.provenance for matrix in matrices]
    sources = [(*files[place : place + 1], *origin.source) for place, origin in enumerate(origins)]
    parts = [
        {
            "builder": origin.builder,
            "params": dict(origin.params),
            "source": [one._asdict() for one in source],
            "normalisation": [dict(step) for step in origin.normalisation],
        }
        for origin, source in zip(origins, sources, strict=True)
    ]
    return Provenance(
        builder="blend",
        params={"weights": weights, "parts": parts},
        source=tuple(dict.fromkeys(one for source in sources for one in source)),
        resolution=_resolution([origin.resolution for origin in origins], matrices[0].classes),
    )


def _resolution(
    found: Sequence[Mapping[str, Mapping[str, Any]]], classes: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Return how each class was found: every way and word of the parts, and whatever else they say."""
    resolution: dict[str, Mapping[str, Any]] = {}
    for name in classes:
        ways = [one[name] for one in found if name in one]
        if ways:
            # Where two parts say something under the same key, the first counts.
            rest = {key: value for way in reversed(ways) for key, value in way.items()}
            hows = dict.fromkeys(way["how"] for way in ways if way.get("how"))
            words = dict.fromkeys(word for way in ways for word in way.get("words", []))
            resolution[name] = {**rest, "how": " + ".join(hows), "words": list(words)}
    return resolution
