"""Orders of the classes in which blocks of similar ones show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simmatrix.errors import MatrixError, SourceError
from simmatrix.leaf_order import leaf_order
from simmatrix.matrix import SimilarityMatrix

__all__ = ["MOST", "ORDERS", "Ordered", "check_size"]

MOST = 5000
"""Up to so many classes are ordered: it takes time that grows with C^2, and a picture has no room for more."""


def check_size(matrix: SimilarityMatrix) -> None:
    """Raise `MatrixError` if a matrix has more classes than can be ordered and drawn."""
    if len(matrix) > MOST:
        raise MatrixError(
            f"a picture of {len(matrix):,} classes would show none of them, {MOST:,} is the most; draw some of them: "
            "matrix.select(names).save(FILE) in Python makes a file of these alone"
        )


@dataclass(frozen=True)
class Ordered:
    """A matrix in another order, and the named groups of neighbouring classes it falls into."""

    matrix: SimilarityMatrix
    groups: tuple[tuple[str, int], ...] = ()
    """Each group's name and how many classes it has, in order."""


def _by_clusters(matrix: SimilarityMatrix, _superclasses: Sequence[str]) -> Ordered:
    order = leaf_order(matrix.to_dense().astype(np.float64))
    return Ordered(matrix.select([matrix.classes[index] for index in order]))


def _by_superclass(matrix: SimilarityMatrix, superclasses: Sequence[str]) -> Ordered:
    """Put similar superclasses beside each other, and similar classes within each."""
    if not all(superclasses):
        lacking = matrix.classes[[bool(one) for one in superclasses].index(False)]
        raise SourceError(f"the class list has no superclass for {lacking!r}; fill in its superclass column")
    values = matrix.to_dense().astype(np.float64)
    names = list(dict.fromkeys(superclasses))
    members = {name: [index for index, one in enumerate(superclasses) if one == name] for name in names}
    means = np.array([[values[np.ix_(members[a], members[b])].mean() for b in names] for a in names])
    order: list[int] = []
    groups = []
    for at in leaf_order(means):
        group = members[names[at]]
        order += [group[leaf] for leaf in leaf_order(values[np.ix_(group, group)])]
        groups.append((names[at], len(group)))
    return Ordered(matrix.select([matrix.classes[index] for index in order]), tuple(groups))


def _as_in_file(matrix: SimilarityMatrix, _superclasses: Sequence[str]) -> Ordered:
    return Ordered(matrix)


ORDERS: Mapping[str, Callable[[SimilarityMatrix, Sequence[str]], Ordered]] = {
    "clusters": _by_clusters,
    "superclass": _by_superclass,
    "file": _as_in_file,
}
"""Orders by name; each takes the matrix and the classes' superclasses (which only ``superclass`` looks at)."""
