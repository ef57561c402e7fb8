"""Metrics that look up a number for each two classes: a similarity, or a distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

import simmatrix
from simloss.checks import check_similarity_values
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, class_count
from simloss.loss import form_and_classes
from simloss.metrics.mean import MeanOverExamples
from simmatrix.names import Names, names_in_order
from simmatrix.shapes import Float, Int

Similarities: TypeAlias = "simmatrix.SimilarityMatrix | Tensor | np.ndarray | Sparse | Toeplitz"
Distances: TypeAlias = "Tensor | np.ndarray"


class MeanOverPairs(MeanOverExamples):
    """A mean over pairs of a true class and a predicted one.

    Parameters
    ----------
    similarity
        (C, C), in [0, 1] with unit diagonal; row y is of the true class y. A `SimilarityMatrix` keeps its form, as do
        `simloss.Sparse` and `simloss.Toeplitz`.
    distance
        In place of it (C, C), at least 0 and on the diagonal 0.
    classes
        The names of the classes in the order of the logits. A `SimilarityMatrix` is reordered to it.
    ignore_index, settings, **kwargs
        As in `MeanOverExamples`.
    """

    def __init__(
        self,
        similarity: Similarities | None,
        distance: Distances | None = None,
        classes: Names | None = None,
        ignore_index: int | None = -100,
        settings: Sequence[object] = (),
        **kwargs: Any,
    ) -> None:
        kind = "similarity" if distance is None else "distance"
        form, names = _checked(similarity, distance, classes)
        tables = {f"{kind}_{field}": part for field, part in zip(form._fields, form, strict=True)}
        super().__init__(class_count(form), tables, ignore_index, settings, **kwargs)
        self.classes = names
        self._form, self._tables = type(form), list(tables)
        self._is_distance = distance is not None

    def _similarities(self, labels: Int[Tensor, " n"], predicted: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return _entries(self._form(*(self.get_buffer(name) for name in self._tables)), labels, predicted)

    def _distances(self, labels: Int[Tensor, " n"], predicted: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        found = self._similarities(labels, predicted)
        return found if self._is_distance else 1 - found


def _entries(matrix: Similarity, rows: Int[Tensor, " n"], columns: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the entries of a matrix at these places, in float64."""
    match matrix:
        case Dense(values):
            found = values[rows, columns]
        case Toeplitz(diagonals):
            found = diagonals[diagonals.shape[0] // 2 + columns - rows]
        case Sparse():
            found = _sparse_entries(matrix, rows, columns)
    return found.double()


def _sparse_entries(matrix: Sparse, rows: Int[Tensor, " n"], columns: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return entries of a sparse matrix by bisection: its places, numbered row by row, ascend."""
    crow_indices, col_indices, values = matrix
    count = crow_indices.shape[0] - 1
    row_of_entry = torch.arange(count, device=values.device).repeat_interleave(crow_indices.diff())
    places, wanted = row_of_entry * count + col_indices, rows * count + columns
    # No place is beyond the last one: that is on the diagonal, where every class has an entry.
    nearest = torch.searchsorted(places, wanted)
    return values[nearest].masked_fill(places[nearest] != wanted, 0.0)


def _checked(
    similarity: Similarities | None, distance: Distances | None, classes: Names | None
) -> tuple[Similarity, Sequence[str] | None]:
    """Return what is given, its values checked, in the order of the classes, and their names."""
    if similarity is not None and distance is None:
        return _similarity(similarity, classes)
    if similarity is None and distance is not None:
        return _distance(distance, classes)
    raise TypeError("give either a similarity or, by keyword, a distance")


def _similarity(similarity: Similarities, classes: Names | None) -> tuple[Similarity, Sequence[str] | None]:
    given = torch.from_numpy(np.array(similarity)) if isinstance(similarity, np.ndarray) else similarity
    form, names = form_and_classes(given, classes)
    check_similarity_values(form)
    return form, names


def _distance(distance: Distances, classes: Names | None) -> tuple[Dense, Sequence[str] | None]:
    if not isinstance(distance, (Tensor, np.ndarray)):
        raise TypeError(f"distance must be a tensor or an array, got {type(distance).__name__}")
    values = torch.from_numpy(np.array(distance)) if isinstance(distance, np.ndarray) else distance.detach()
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.shape[0] == 0:
        raise ValueError(f"distance must be a square matrix, one row a class; got shape {tuple(values.shape)}")
    values = values if values.is_floating_point() else values.double()
    is_wrong = ~((values >= 0) & values.isfinite())
    if is_wrong.any():
        row, column = is_wrong.nonzero()[0].tolist()
        raise ValueError(
            f"distance must be finite and at least 0, but distance[{row}, {column}] is {values[row, column].item()}"
        )
    is_other = values.diagonal() != 0
    if is_other.any():
        row = int(is_other.nonzero()[0].item())
        raise ValueError(
            f"a class must have distance 0 to itself, but distance[{row}, {row}] is {values[row, row].item()}; pass "
            "similarities as similarity"
        )
    names = None if classes is None else names_in_order(classes)
    if names is not None and len(names) != values.shape[0]:
        raise ValueError(f"{len(names)} classes do not name the rows of shape {tuple(values.shape)}")
    return Dense(values), names
