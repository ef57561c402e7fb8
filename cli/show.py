"""`simmatrix show` and `simmatrix validate`: what a matrix file holds, and whether it fits a class list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simmatrix.cli.options import AsJson, ClassColumn, MatrixPath, Separator, read_list
from simmatrix.cli.output import built_by, percent, print_line, print_pairs, print_table, setting, warn

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix
    from simmatrix.summary import Counts

# More rows are no table to read, and in JSON the pairs of so many classes would take minutes.
_SHOWN = 200
_IN_JSON = 10_000


def show(
    file: MatrixPath,
    classes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CLASS",
            help="Classes whose nearest neighbours to show; the first 200 if none is named (with --json: all, of up to "
            "10,000).",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--neighbours", metavar="N", min=1, help="How many neighbours of each.")
    ] = 5,
    json: AsJson = False,
) -> None:
    """Show a matrix: its figures, where it comes from, how each class was found, neighbours of chosen classes."""
    import simmatrix
    from simmatrix.summary import counts

    matrix = simmatrix.load(file)
    # In JSON it is all or none.
    most = _SHOWN if not json else len(matrix) if len(matrix) <= _IN_JSON else 0
    chosen = classes or matrix.classes[:most]
    neighbours = {name: matrix.neighbours(name, count) for name in chosen}
    if json:
        _print_json(matrix, neighbours)
        return
    figures = counts(matrix)
    print_pairs(_figures(matrix, figures))
    print_line("")
    print_pairs(_provenance(matrix))
    print_line("")
    resolution = matrix.provenance.resolution
    print_table(
        ["class", "found by", "as", "nearest"],
        (
            [
                name,
                str(resolution.get(name, {}).get("how", "")),
                " + ".join(resolution.get(name, {}).get("words", [])),
                ", ".join(f"{other} {value:.3f}" for other, value in nearest),
            ]
            for name, nearest in neighbours.items()
        ),
    )
    more = 0 if classes else len(matrix) - len(chosen)
    if more:
        print_line(f"… and {more:,} more classes; name some to see theirs: simmatrix show {file} CLASS")
    warn(simmatrix.concerns(matrix, figures))


def _figures(matrix: SimilarityMatrix, figures: Counts) -> list[tuple[str, str]]:
    from simmatrix.summary import QUANTILES, quantiles

    # Most pairs of a sparse matrix are 0, and so are most quantiles of all.
    values = quantiles(matrix.stored, QUANTILES, positive=True) if figures.density else []
    levels = ", ".join(f"{level:g}: {value:.3f}" for level, value in zip(QUANTILES, values, strict=False))
    return [
        ("classes", str(figures.classes)),
        ("form", matrix.form),
        ("influence", f"{figures.influence:.4g} (mean row sum off the diagonal; 0 is cross entropy)"),
        ("density", f"{percent(figures.density)} of the pairs are above 0"),
        ("identity rows", percent(figures.identity_rows)),
        ("quantiles", f"{levels or 'none'} (of the pairs above 0)"),
        ("similarity 1", f"{figures.indistinguishable_pairs:,} pairs of distinct classes"),
    ]


def _provenance(matrix: SimilarityMatrix) -> list[tuple[str, str]]:
    origin = matrix.provenance
    return [
        ("builder", built_by(origin.builder, origin.params)),
        *(("part", text) for text in _parts(origin.params.get("parts", []))),
        *((one.role, f"{one.name}, sha256 {one.sha256}") for one in origin.source),
        ("normalisation", " -> ".join(_step(step) for step in origin.normalisation)),
    ]


def _parts(parts: Any) -> list[str]:
    """Describe what a blend was made of; a foreign file may have anything there."""
    sound = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [
        built_by(str(part.get("builder")), params) for part in sound if isinstance(params := part.get("params"), dict)
    ]


def _step(step: Mapping[str, Any]) -> str:
    # Numbers in full: a bound is what one may want to give to another build.
    shown = {name: setting(value) if isinstance(value, list | dict) else str(value) for name, value in step.items()}
    return " ".join(value if name in ("step", "bound") else f"{name} {value}" for name, value in shown.items())


def _print_json(matrix: SimilarityMatrix, neighbours: Mapping[str, tuple[tuple[str, float], ...]]) -> None:
    import json
    from dataclasses import asdict

    from simmatrix.summary import statistics

    origin = matrix.provenance
    content = {
        "classes": list(matrix.classes),
        "statistics": asdict(statistics(matrix)),
        "neighbours": {name: dict(nearest) for name, nearest in neighbours.items()},
        "builder": origin.builder,
        "params": dict(origin.params),
        "source": [one._asdict() for one in origin.source],
        "resolution": dict(origin.resolution),
        "normalisation": list(origin.normalisation),
    }
    typer.echo(json.dumps(content, indent=2))


def validate(
    file: MatrixPath,
    classes: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME", help="Class list that the matrix should fit, such as the training set's."),
    ] = None,
    class_column: ClassColumn = None,
    separator: Separator = None,
) -> None:
    """Check a matrix file: its layout, invariants, checksum of names, and the class list it is meant for."""
    import simmatrix

    listed = read_list(classes, class_column, separator)
    matrix = simmatrix.load(file)
    warn(simmatrix.concerns(matrix))
    fits = ""
    if listed is not None:
        matrix.reorder(listed.names)
        fits = f", the classes of {classes}" + (
            "" if listed.names == matrix.classes else " in another order (SimLoss.from_file reorders them by name)"
        )
    print_line(f"{file}: sound, {len(matrix)} classes{fits}")
