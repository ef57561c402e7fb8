"""A source of similarities with its classes and its bound: any rows of its top-k matrix, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simmatrix import normalise
from simmatrix.choices import RECALL, SEARCHES
from simmatrix.errors import ParameterError
from simmatrix.forms import sparse
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.source import Finish, Rows, Source
from simmatrix.normalise import check_lower_bound, check_top_k, sampled, sampled_bound
from simmatrix.provenance import Provenance, Step
from simmatrix.text import check_choice

if TYPE_CHECKING:
    from simmatrix.neighbours.vectors import Cosines

ELSEWHERE: ContextVar[Callable[[Neighbours], SimilarityMatrix] | None] = ContextVar("ELSEWHERE", default=None)
"""Makes the whole matrix in another way, such as in shards (`simmatrix.neighbours.writing`)."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """All that a process needs to make some rows of a top-k matrix; can be pickled.

    Parameters
    ----------
    source
        The similarities of the C classes.
    count
        How many others each class keeps.
    bound
        The lower bound, 0 for none.
    classes, provenance
        Their names, and where the values come from, all steps up to the top k included.
    """

    source: Source
    count: int
    bound: float
    classes: Sequence[str]
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.classes)

    def rows(self, start: int, stop: int) -> Rows:
        """Return the rows from `start` to before `stop`: the same bytes whichever other rows are asked for."""
        return self.source.nearest(np.arange(start, stop), self.count, Finish(self.bound))

    def matrix(self) -> SimilarityMatrix:
        """Return the whole matrix."""
        if (elsewhere := ELSEWHERE.get()) is not None:
            return elsewhere(self)
        found = self.rows(0, len(self))
        return SimilarityMatrix.of(sparse(found.values, found.indices, found.starts), self.classes, self.provenance)


def bounded(source: Source, lower_bound: float | None) -> tuple[float, tuple[Step, ...]]:
    """Return a source's lower bound, by default the one that some pairs tell, and the steps that lead to its values."""
    check_lower_bound(lower_bound)
    found: Step = {}
    if lower_bound is None:
        rows = sampled(len(source))
        nearest = source.nearest(rows, 1, Finish())
        others = np.zeros(len(rows), np.float32)
        is_other = nearest.indices != np.repeat(rows, nearest.counts)
        others[np.repeat(np.arange(len(rows)), nearest.counts)[is_other]] = nearest.values[is_other]
        lower_bound, found = sampled_bound(source.block(rows, rows), others)
    taken: list[Step] = [{"step": "lower_bound", "bound": lower_bound, **found}] if lower_bound > 0 else []
    return lower_bound, ({"step": "clip"}, *taken, {"step": "unit_diagonal"})


def check_search(search: str, recall: float | None, top_k: int | None, classes: int) -> None:
    """Raise `ParameterError` unless there is such a search, and it takes this recall, top k and number of classes.

    `SourceError` if it needs a library that is not installed.
    """
    check_choice("search", search, SEARCHES)
    if recall is not None and not 0 < recall <= 1:
        raise ParameterError(f"a recall of {recall} is outside (0, 1]; 0.95 finds 19 of 20 neighbours")
    if search != "faiss":
        if recall is not None:
            raise ParameterError(f'recall={recall} is for search="faiss"; all other searches find all, leave it out')
        return
    if top_k is None:
        raise ParameterError('search="faiss" finds the nearest of each class; say how many, such as top_k=32')
    if classes <= normalise.EXACT_UP_TO:
        raise ParameterError(
            f'search="faiss" is for more than {normalise.EXACT_UP_TO:,} classes; all pairs of {classes:,} take '
            "seconds, leave it out"
        )
    from simmatrix.neighbours.approximate import library

    library()


def _vectors(source: Source) -> Cosines:
    """Return a source that FAISS may search."""
    from simmatrix.neighbours.vectors import Cosines

    if not isinstance(source, Cosines):
        raise ParameterError('search="faiss" finds vectors; all other sources are searched exactly, leave it out')
    return source


def dense_of(
    source: Source, classes: Sequence[str], provenance: Provenance, lower_bound: float | None
) -> SimilarityMatrix:
    """Return the matrix of many classes in which nothing is left out; parameters as of `neighbours_of`."""
    bound, steps = bounded(source, lower_bound)
    return SimilarityMatrix.of(source.finished(Finish(bound)), classes, provenance.with_step(*steps))


def neighbours_of(
    source: Source,
    count: int,
    classes: Sequence[str],
    provenance: Provenance,
    *,
    lower_bound: float | None = None,
    search: str = "exact",
    recall: float | None = None,
) -> Neighbours:
    """Return what makes the rows of a source's top-k matrix: those of its dense matrix, bounded, and of that the top k.

    Parameters
    ----------
    source, classes, provenance
        The similarities on the source's own scale, in [-1, 1], and what to record of them.
    count
        How many others each class keeps, from 1 to C - 1.
    lower_bound
        l in [0, 1); None for the default, which some pairs tell (`simmatrix.normalise.sampled_bound`).
    search
        ``"exact"``, or ``"faiss"`` for more than 10,000 vectors, which may miss some neighbours; its settings and its
        recall on some classes are recorded with the top k.
    recall
        The least recall that FAISS has to reach, 0.95 if not given.

    Raises
    ------
    ParameterError
        If a parameter is out of its range, or FAISS is to search few vectors, or what is no vectors.
    SourceError
        If FAISS is not installed, or most pairs would have to be compared for the recall.
    """
    check_top_k(count, len(source))
    check_search(search, recall, count, len(source))
    vectors = _vectors(source) if search == "faiss" else None
    bound, steps = bounded(source, lower_bound)
    settings: Step = {}
    if vectors is not None:
        from simmatrix.neighbours.approximate import Approximate

        source = Approximate(vectors, count, Finish(bound), RECALL if recall is None else recall)
        settings = source.settings
    steps = (*steps, {"step": "top_k", "count": count, **settings})
    return Neighbours(source, count, bound, classes, provenance.with_step(*steps))
