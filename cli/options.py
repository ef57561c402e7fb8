"""The options that several commands have: each is stated once. What they ask for is done by the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from simmatrix.cli.usage import UsageError

if TYPE_CHECKING:
    from simmatrix.classes import ClassList
    from simmatrix.matrix import SimilarityMatrix

MatrixPath: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="A matrix file.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Everything as JSON, for machines.")]
LowerBound: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="L", help="Similarities become max(0, (s - L) / (1 - L)), for L in [0, 1); 0 keeps all."),
]
Influence: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="I",
        help="In place of --lower-bound: the sum of a class's similarities to all others, on average. The bound that "
        "gives this sum, after --top-k, is found. 0 is cross entropy.",
    ),
]
PairsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Pairs whose similarity you set yourself, after all else: a, b, similarity on each line."
    ),
]
ClassColumn: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Which column or part of the class list holds the names, if that is unclear."),
]
Separator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="What separates the parts of names that are paths, such as '/': they become columns."
    ),
]
TopK: TypeAlias = Annotated[
    int | None, typer.Option(metavar="K", min=1, help="Keep each class's K most similar others (sparse).")
]


def check_bounds(lower_bound: float | None, influence: float | None) -> None:
    """Refuse what can't be taken off any matrix, before one is made."""
    from simmatrix.normalise import check_influence, check_lower_bound

    if lower_bound is not None and influence is not None:
        raise UsageError("--influence finds the lower bound itself; give it or --lower-bound, not both")
    if lower_bound is not None:
        check_lower_bound(lower_bound)
    if influence is not None:
        check_influence(influence)


def limited(
    matrix: SimilarityMatrix, top_k: int | None, influence: float | None, pairs: Path | None = None
) -> tuple[SimilarityMatrix, list[tuple[str, str]]]:
    """Return the matrix with what was asked for, and what to report of its lower bound.

    The influence is that of what top k leaves; pairs that are set by hand come last, and stay as they are set.
    """
    from simmatrix.pairs import with_pairs

    if top_k is not None:
        matrix = matrix.top_k(top_k)
    if influence is None:
        default = [step for step in matrix.provenance.normalisation if "from" in step]
        found = [
            ("lower bound", f"{step['bound']:.6g} ({step['from']} of {step.get('sampled_pairs', 'all')} pairs)")
            for step in default
        ]
    else:
        bounded = matrix.with_influence(influence)
        bound = 0.0 if bounded is matrix else bounded.provenance.normalisation[-1]["bound"]
        matrix, found = bounded, [("lower bound", f"{bound:.6g} (found for this influence)")]
    return (matrix if pairs is None else with_pairs(matrix, pairs)), found


def read_list(name: str | None, class_column: str | None, separator: str | None) -> ClassList | None:
    """Return the class list that --classes names, read as the two options that go with it say; None without it."""
    import simmatrix

    if name is None and (class_column is not None or separator is not None):
        raise UsageError("--class-column and --separator say how --classes is read; name the class list there")
    return None if name is None else simmatrix.read_classes(name, class_column=class_column, separator=separator)


def superclasses_for(matrix: SimilarityMatrix, given: ClassList | None) -> Sequence[str] | None:
    """Return the superclasses of the matrix's classes, or None; `SourceError` if a list is given and has none."""
    import simmatrix
    from simmatrix.builders.automatic import levels_for, superclasses_of

    listed = known_list(matrix, given)
    found = superclasses_of(listed.select(matrix.classes), levels_for(matrix, listed)) if listed else ()
    if given is not None and not found:
        told = [name if any(values) else f"{name}, which is empty" for name, values in given.columns.items()]
        columns = ", ".join(told) or "no column but class"
        raise simmatrix.SourceError(
            f"has no superclass column (it has {columns}); give a table (.csv, .tsv) with one beside class, such as "
            "superclass or group",
            given.source,
        )
    return found or None


def known_list(matrix: SimilarityMatrix, given: ClassList | None) -> ClassList | None:
    """Return the class list given, or the bundled one that a matrix was built for; None where there is neither."""
    import simmatrix
    from simmatrix import data

    bundled = data.class_list_names()
    names = (one.name for one in matrix.provenance.source if one.role == "classes" and one.name in bundled)
    return given or next(map(simmatrix.read_classes, names), None)
