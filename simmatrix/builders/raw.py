"""What every builder returns: raw similarities, which become the matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simmatrix.choices import OOV
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import normalise
from simmatrix.provenance import Provenance
from simmatrix.shapes import Float, Int
from simmatrix.text import check_choice

# Up to here raw matrices are kept in float64, so that a lower bound near 1 is exact; above it memory counts more.
_EXACT_UP_TO = 10_000
# Rows of a product of matrices that are worked out at a time.
_BLOCK = 1024


def raw_type(count: int) -> type[np.float64] | type[np.float32]:
    """Return the type of number in which a builder gives the raw matrix of `count` classes."""
    return np.float64 if count <= _EXACT_UP_TO else np.float32


@dataclass(frozen=True, eq=False)
class RawSimilarity:
    """Similarities on the builder's own scale, in class order: neither rescaled nor bounded.

    Parameters
    ----------
    values
        (C, C), float32 or float64, finite; any range. The builder gives them away: `normalised` may overwrite them.
    classes
        The C names. Fewer than in the class list only where dropping was asked for.
    provenance
        Which builder made them, from which parameters and inputs, and how each class was found.
    scale
        The values that stand for "not similar" and "the same", where they are not 0 and 1: they become 0 and 1.
    evidence
        (C, C), how many judgements are behind each pair, 0 where its value was completed; None where no one judged.
    """

    values: Float[np.ndarray, "C C"]
    classes: tuple[str, ...]
    provenance: Provenance
    scale: tuple[float, float] | None = None
    evidence: Int[np.ndarray, "C C"] | None = None

    def in_order(self, names: tuple[str, ...]) -> RawSimilarity:
        """Return the same with its classes in another order."""
        if names == self.classes:
            return self
        at = {name: index for index, name in enumerate(self.classes)}
        indices = np.array([at[name] for name in names], dtype=np.intp)
        square = np.ix_(indices, indices)
        return replace(
            self,
            values=self.values[square],
            classes=names,
            provenance=self.provenance.only(names),
            evidence=None if self.evidence is None else self.evidence[square],
        )

    def normalised(self, lower_bound: float | None = 0.0, *, symmetrise: bool = True) -> SimilarityMatrix:
        """Return the matrix: on the scale that the builder states, with a lower bound, and a record of both.

        None is the bound of sources whose 0 does not mean unrelated (`simmatrix.normalise.median_bound`).
        """
        values, steps = normalise(self.values, scale=self.scale, bound=lower_bound, symmetrise=symmetrise)
        return SimilarityMatrix.of(values, self.classes, self.provenance.with_step(*steps), self.evidence)


def without_missing(build: Callable[[ClassList], RawSimilarity], classes: ClassList, oov: str) -> RawSimilarity:
    """Build from the classes that a source has: from all, or with `oov` ``"drop"`` from those that are found.

    Raises
    ------
    ClassNotFoundError
        If classes are not found and `oov` is ``"error"``, or fewer than two are.
    """
    check_choice("oov", oov, OOV)
    try:
        return build(classes)
    except ClassNotFoundError as error:
        if oov == "error" or not error.missing:
            raise
        missing = set(error.missing)
    kept = [name for name in classes.names if name not in missing]
    if len(kept) < 2:
        raise ClassNotFoundError(
            f"{len(kept)} of the {len(classes)} classes are found, two are needed; name them otherwise, or take "
            "another source",
            tuple(missing),
        )
    raw = build(classes.select(kept))
    dropped = {"oov": oov, "dropped": [name for name in classes.names if name in missing]}
    return replace(raw, provenance=replace(raw.provenance, params={**raw.provenance.params, **dropped}))


@np.errstate(under="ignore")
def cosine(unit: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "C C"]:
    """Return the cosine of the angle between each two rows of length 1; in [-1, 1], symmetric to the last bit.

    The order of the rows changes nothing but the order of the result, not even the last bit.
    """
    count = len(unit)
    # A product of matrices rounds by where a row stands, so the rows are put in an order of their own.
    order = np.array(sorted(range(count), key=lambda row: unit[row].tobytes()), dtype=np.intp)
    values = np.empty((count, count), dtype=raw_type(count))
    # By blocks of the upper triangle, mirrored: no second matrix, and both halves round alike.
    for top in range(0, count, _BLOCK):
        rows = order[top : top + _BLOCK]
        for left in range(top, count, _BLOCK):
            columns = order[left : left + _BLOCK]
            block = unit[rows] @ unit[columns].T
            if left == top:
                block = np.triu(block) + np.triu(block, 1).T
            values[np.ix_(rows, columns)] = block
            values[np.ix_(columns, rows)] = block.T
    return values
