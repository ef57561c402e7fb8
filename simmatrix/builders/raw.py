"""What every builder returns: raw similarities, or a source of them, which become the matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from simmatrix import normalise
from simmatrix.choices import OOV
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.source import Source
from simmatrix.normalise import check_top_k
from simmatrix.provenance import Provenance
from simmatrix.shapes import Float, Int
from simmatrix.text import check_choice

if TYPE_CHECKING:
    from simmatrix.neighbours.matrix import Neighbours

# The top k is found row by row where a row keeps at most one class in so many.
_FEW = 8


@dataclass(frozen=True, eq=False)
class RawSimilarity:
    """Similarities on the builder's own scale, in class order: neither rescaled nor bounded."""

    # float32 or float64, finite; any range. The builder gives them away: `normalised` may overwrite them.
    values: Float[np.ndarray, "C C"]
    classes: Sequence[str]  # fewer than in the class list only where dropping was asked for
    provenance: Provenance
    # The values that stand for "not similar" and "the same", where they are not 0 and 1: they become 0 and 1.
    scale: tuple[float, float] | None = None
    # How many judgements are behind each pair, 0 where its value was completed; None where no one judged.
    evidence: Int[np.ndarray, "C C"] | None = None

    def in_order(self, names: Sequence[str]) -> RawSimilarity:
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
        values, steps = normalise.normalise(self.values, scale=self.scale, bound=lower_bound, symmetrise=symmetrise)
        return SimilarityMatrix.of(values, self.classes, self.provenance.with_step(*steps), self.evidence)


@dataclass(frozen=True, eq=False)
class RawSource:
    """A source of raw similarities, from 0 for unrelated to 1 for the same, in class order.

    Of many classes the nearest of each can be found without all C x C similarities (`simmatrix.neighbours`).
    """

    source: Source
    classes: Sequence[str]
    provenance: Provenance
    scale: ClassVar[None] = None
    evidence: ClassVar[None] = None

    @cached_property
    def values(self) -> Float[np.ndarray, "C C"]:
        """All raw similarities."""
        return self.source.dense()

    def normalised(
        self,
        lower_bound: float | None = 0.0,
        top_k: int | None = None,
        *,
        search: str = "exact",
        recall: float | None = None,
    ) -> SimilarityMatrix:
        """Return the matrix as `RawSimilarity.normalised` does, or its top k.

        The top k of many classes is found without the rest, to the same bytes.
        """
        if top_k is not None:
            check_top_k(top_k, len(self.classes))
            if is_found_by_rows(len(self.classes), top_k, search):
                return self.neighbours(top_k, lower_bound, search=search, recall=recall).matrix()
        if len(self.classes) > normalise.EXACT_UP_TO:
            from simmatrix.neighbours.matrix import dense_of

            matrix = dense_of(self.source, self.classes, self.provenance, lower_bound)
        else:
            matrix = RawSimilarity(self.source.dense(), self.classes, self.provenance).normalised(lower_bound)
        return matrix if top_k is None else matrix.top_k(top_k)

    def neighbours(self, count: int, lower_bound: float | None = 0.0, **search: Any) -> Neighbours:
        """Return what makes any rows of the top-k matrix, in any process; options as of `neighbours_of`."""
        from simmatrix.neighbours.matrix import neighbours_of

        return neighbours_of(self.source, count, self.classes, self.provenance, lower_bound=lower_bound, **search)


_Raw = TypeVar("_Raw", RawSimilarity, RawSource)


def is_found_by_rows(count: int, top_k: int, search: str = "exact") -> bool:
    """Tell whether the top k of so many classes is found row by row, without all of their similarities."""
    return search != "exact" or (count > normalise.EXACT_UP_TO and _FEW * (top_k + 1) <= count)


def without_missing(build: Callable[[ClassList], _Raw], classes: ClassList, oov: str) -> _Raw:
    """Build from the classes that a source has: from all, or with `oov` ``"drop"`` from those that are found.

    Raises `ClassNotFoundError` if classes are not found and `oov` is ``"error"``, or fewer than two are.
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
