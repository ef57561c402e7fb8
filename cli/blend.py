"""`simmatrix blend`: one matrix file from several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simmatrix.cli.bounds import check_bounds, limited
from simmatrix.cli.output import progress_bar
from simmatrix.cli.report import report

if TYPE_CHECKING:
    from simmatrix.provenance import Input

__all__ = ["blend"]

# Up to the last colon: a path may hold colons itself.
_PART = re.compile(r"(?P<file>.+):(?P<weight>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)", re.DOTALL)


def blend(
    parts: Annotated[
        list[str], typer.Argument(metavar="FILE:WEIGHT", help="Matrix files, each with its weight; they sum to 1.")
    ],
    lower_bound: Annotated[
        float | None,
        typer.Option(metavar="L", help="The blend's similarities become max(0, (s - L) / (1 - L)); 0 if not given."),
    ] = None,
    influence: Annotated[
        float | None,
        typer.Option(
            metavar="I",
            help="In place of --lower-bound: find the bound under which a class's similarities to all others sum to I "
            "on average, after --top-k. From 0, which is cross entropy, to what the blend has.",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(metavar="K", min=1, help="Keep each class's K most similar others (sparse)."),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Matrix file.")] = Path(
        "blend.safetensors"
    ),
) -> None:
    """Blend matrices of the same classes into one file: their weighted mean."""
    import simmatrix
    from simmatrix import blending
    from simmatrix.storage import check_output

    check_output(output)
    files, weights = zip(*(_parsed(part) for part in parts), strict=True)
    blending.check_weights(weights)
    check_bounds(lower_bound, influence)
    matrices = [simmatrix.load(file) for file in files]
    inputs = [_input(file) for file in files]
    matrix = blending.blend(zip(matrices, weights, strict=True), inputs).lower_bound(lower_bound or 0.0)
    matrix, found = limited(matrix, top_k, influence)
    matrix.save(output)
    report(matrix, output, [("blend of", ", ".join(parts)), ("form", matrix.form), *found])


def _parsed(part: str) -> tuple[Path, float]:
    from simmatrix.errors import SourceError

    found = _PART.fullmatch(part)
    if found is None:
        raise SourceError(f"{part!r} does not end in a colon and a weight; write each matrix as a.safetensors:0.5")
    return Path(found["file"]), float(found["weight"])


def _input(file: Path) -> Input:
    from threading import Event

    from simmatrix.files import sha256_of
    from simmatrix.names import shown_name
    from simmatrix.provenance import Input

    name = shown_name(file)
    with progress_bar(f"reading {name}") as progress:
        return Input("matrix", name, sha256_of(file, Event(), progress))
