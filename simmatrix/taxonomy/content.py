"""Information content: how much it says that something is of a kind."""

from __future__ import annotations

import numpy as np

from simmatrix.shapes import Float
from simmatrix.taxonomy.taxonomy import Taxonomy

__all__ = ["from_counts", "intrinsic", "propagated"]


def intrinsic(taxonomy: Taxonomy) -> Float[np.ndarray, " N"]:
    """Return 1 - ln(hyponyms + 1) / ln N (Seco et al. 2004): 1 for leaves, 0 for a root over everything.

    A node's hyponyms are all nodes below it, each counted once however many ways lead there. Needs no corpus.

    Examples
    --------
    >>> from simmatrix.taxonomy.taxonomy import Edge, from_edges
    >>> intrinsic(from_edges([Edge("flower", "rose"), Edge("flower", "tulip")], "flowers")).tolist()
    [0.0, 1.0, 1.0]
    """
    hyponyms_and_itself = propagated(taxonomy, np.ones(len(taxonomy)))
    return np.asarray(1 - np.log(hyponyms_and_itself) / np.log(len(taxonomy)))


def propagated(taxonomy: Taxonomy, own: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Return each node's own count together with the counts of all nodes below it, each added once."""
    closure = taxonomy.closure(np.arange(len(taxonomy)))
    sums = np.bincount(closure.ancestors, weights=own[closure.sources], minlength=len(taxonomy))
    totals = np.empty(len(taxonomy))
    totals[closure.nodes] = sums
    return totals


def from_counts(counts: Float[np.ndarray, " N"], total: float) -> Float[np.ndarray, " N"]:
    """Return -ln(count / total) (Resnik 1995) of counts that hold those of all nodes below; infinite where it is 0."""
    content = np.full(len(counts), np.inf)
    seen = counts > 0
    # No count is above the total but for rounding.
    content[seen] = np.maximum(-np.log(counts[seen] / total), 0.0)
    return content
