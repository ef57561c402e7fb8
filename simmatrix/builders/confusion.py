"""Similarity of classes from what people or a model confuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simmatrix.builders.lookup import inputs
from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.square import Square, read_square
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Provenance
from simmatrix.shapes import Float


def from_confusion(confusion: str | Path, classes: Classes, *, lower_bound: float = 0.0) -> SimilarityMatrix:
    r"""Build a matrix from how often people, or a model, take one class for another.

    Parameters
    ----------
    confusion
        How often each class (a row) was called what (the columns), (C, C): text separated by tabs or commas, with the
        classes' names in its first row and first column, in any order; or an array saved by ``numpy.save``, in the
        order of the class list. Counts, or shares; each row counts the same, however many there are of its class.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    lower_bound
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, a count is negative, a class has no row or column, or was never seen, or was
        recognised never or too seldom.

    Examples
    --------
    >>> import simmatrix, tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("true,rose,truck\nrose,4,1\ntruck,0,4\n")
    ...     file.flush()
    ...     round(simmatrix.from_confusion(file.name, ["rose", "truck"])["rose", "truck"], 6)
    0.111803
    """
    check_lower_bound(lower_bound)
    return confusion_similarity(Path(confusion), read_classes(classes)).normalised(lower_bound)


@np.errstate(under="ignore")
def from_counts(counts: Float[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """Return S_ij / sqrt(S_ii S_jj) where S = (P + P^T) / 2 and P are the counts, each row divided by its sum.

    At least 0 and symmetric to the last bit, with a unit diagonal; above 1 where two classes are confused more often
    than they are recognised. Every row and the diagonal must be above 0. The counts are overwritten.

    Examples
    --------
    >>> from_counts(np.array([[4.0, 1.0], [0.0, 4.0]]))
    array([[1.       , 0.1118034],
           [0.1118034, 1.       ]])
    """
    values = counts
    # Dividing by the greatest count first keeps the sums from overflowing.
    values /= values.max(axis=1, keepdims=True)
    for row in values:
        # The rounding of a sum depends on its order, and must not depend on that of the classes.
        row /= np.sort(row).sum()
    values += values.T.copy()
    values /= 2
    roots = np.sqrt(np.diagonal(values))
    for index, row in enumerate(values):
        # The product of two roots does not depend on their order; dividing by one after the other would.
        row /= roots[index] * roots
    np.fill_diagonal(values, 1.0)
    return values


def confusion_similarity(path: Path, classes: ClassList) -> RawSimilarity:
    """Return how often classes are taken for each other, as a share of how often they are recognised."""
    square = read_square(path, classes)
    _check_counts(square, classes, path)
    return RawSimilarity(
        values=from_counts(square.values),
        classes=classes.names,
        provenance=Provenance(
            builder="confusion",
            params={},
            source=inputs("confusion", path, square.sha256, classes),
            resolution=square.resolution,
        ),
    )


@np.errstate(under="ignore")
def _check_counts(square: Square, classes: ClassList, path: Path) -> None:
    counts = square.values
    if counts.min() < 0:
        row, column = map(int, np.argwhere(counts < 0)[0])
        raise SourceError(
            f"{classes.names[row]!r} was called {classes.names[column]!r} {counts[row, column]:g} times; a count is "
            "at least 0, mend it",
            path,
            square.line(row),
        )
    for wrong, what in (
        (~counts.any(axis=1), "was never seen (its row holds zeros alone); count more, or take it out of both lists"),
        (
            np.diagonal(counts) == 0,
            "was never recognised (0 where its row and column meet), so that there is nothing to compare its "
            "confusions to; count more, or add a small number to all counts",
        ),
    ):
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise SourceError(f"the class {classes.names[index]!r} {what}", path, square.line(index))
    # A row divided by its greatest count sums to C at most. Below this, dividing by the diagonal may overflow.
    seldom = np.diagonal(counts) / counts.max(axis=1) < np.finfo(counts.dtype).tiny * len(counts)
    if seldom.any():
        index = int(np.flatnonzero(seldom)[0])
        raise SourceError(
            f"the class {classes.names[index]!r} was recognised too seldom to compare its confusions to "
            f"({counts[index, index]:g} where its row and column meet, and up to {counts[index].max():g} beside it); "
            "count more, or add a small number to all counts",
            path,
            square.line(index),
        )
