"""`--lower-bound` or `--influence`, and `--top-k`: how much similarity a command leaves in a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix

__all__ = ["check_bounds", "limited"]


def check_bounds(lower_bound: float | None, influence: float | None) -> None:
    """Refuse what can't be taken off any matrix, before one is made.

    Raises
    ------
    typer.BadParameter
        If both are given.
    MatrixError
        If one is out of its range.
    """
    from simmatrix.normalise import check_influence, check_lower_bound

    if lower_bound is not None and influence is not None:
        raise typer.BadParameter("--influence finds the lower bound itself; give it or --lower-bound, not both")
    if lower_bound is not None:
        check_lower_bound(lower_bound)
    if influence is not None:
        check_influence(influence)


def limited(
    matrix: SimilarityMatrix, top_k: int | None, influence: float | None, default: float | None = None
) -> tuple[SimilarityMatrix, list[tuple[str, str]]]:
    """Return the matrix with what was asked for, and what to report of it.

    The influence is that of what is written, so the lower bound is found for what top k leaves. Of a default, the
    matrix takes what it can.
    """
    if top_k is not None:
        matrix = matrix.top_k(top_k)
    if influence is not None:
        wanted, reason = influence, "found for this influence"
    elif default is not None:
        least, most = matrix.influence_range
        wanted = min(max(default, least), most)
        reason = f"{'found for' if wanted == default else 'as near to'} the default influence of {default:g}"
    else:
        return matrix, []
    bounded = matrix.with_influence(wanted)
    bound = 0.0 if bounded is matrix else bounded.provenance.normalisation[-1]["bound"]
    return bounded, [("lower bound", f"{bound:.6g} ({reason})")]
