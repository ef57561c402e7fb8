"""`simmatrix validate`: whether a file is a sound matrix, and fits a class list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simmatrix.cli.output import print_line, warn

__all__ = ["validate"]


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A matrix file.")],
    classes: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME", help="Class list that the matrix should fit, such as the training set's."),
    ] = None,
) -> None:
    """Check a matrix file: its layout, invariants, checksum of names, and the class list it is meant for."""
    import simmatrix

    matrix = simmatrix.load(file)
    warn(simmatrix.concerns(matrix))
    fits = ""
    if classes is not None:
        names = simmatrix.read_classes(classes).names
        matrix.reorder(names)
        fits = f", the classes of {classes}" + (
            "" if names == matrix.classes else " in another order (SimLoss.from_file reorders them by name)"
        )
    print_line(f"{file}: sound, {len(matrix)} classes{fits}")
