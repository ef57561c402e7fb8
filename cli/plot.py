"""`simmatrix plot`: a matrix as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from simmatrix.cli.lists import class_list
from simmatrix.cli.output import print_line

__all__ = ["plot"]


def plot(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A matrix file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Picture (.png, .svg, .pdf); named after the matrix if not given."
        ),
    ] = None,
    order: Annotated[
        Literal["clusters", "superclass", "file"],
        typer.Option(help="By optimal leaf ordering, by superclass, or as in the file."),
    ] = "clusters",
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME",
            help="Class list with the superclass column; the bundled one the matrix was built for if not given.",
        ),
    ] = None,
) -> None:
    """Draw a matrix of up to 5,000 classes as a heat map, ordered so that blocks of similar classes show."""
    import simmatrix
    from simmatrix.cli.picture import check_picture, draw
    from simmatrix.ordering import ORDERS, check_size

    target = output or Path(f"{file.stem}.png")
    check_picture(target)
    matrix = simmatrix.load(file)
    check_size(matrix)
    superclasses = class_list(matrix, classes).column("superclass") if order == "superclass" else ()
    ordered = ORDERS[order](matrix, superclasses)
    draw(ordered, target)
    print_line(f"{target}: {len(matrix)} classes, ordered by {order}")
