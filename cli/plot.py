"""`simmatrix plot`: a matrix as a heat map."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simmatrix.cli.options import MatrixPath, class_list
from simmatrix.cli.output import print_line

if TYPE_CHECKING:
    from simmatrix.ordering import Ordered

__all__ = ["plot"]

_SUFFIXES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 150
# Room for a label of 6 points; above so many classes labels would make the picture unwieldy.
_INCHES_PER_CLASS = 0.1
_LABELS_UP_TO = 200
_LONGEST_LABEL = 40
_SMALLEST, _LARGEST = 4.0, 20.0


def plot(
    file: MatrixPath,
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
    from simmatrix.ordering import ORDERS, check_size

    target = output or Path(f"{file.stem}.png")
    _check_picture(target)
    matrix = simmatrix.load(file)
    check_size(matrix)
    superclasses = class_list(matrix, classes).column("superclass") if order == "superclass" else ()
    ordered = ORDERS[order](matrix, superclasses)
    _draw(ordered, target)
    print_line(f"{target}: {len(matrix)} classes, ordered by {order}")


def _check_picture(path: Path) -> None:
    """Raise `OutputError` unless a picture can be written to `path`."""
    from simmatrix.errors import OutputError
    from simmatrix.files import check_output_folder

    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{path}: a picture ends in {', '.join(_SUFFIXES)}; give it one of these")
    check_output_folder(path)


def _draw(ordered: Ordered, path: Path) -> None:
    """Draw an ordered matrix and write it to a file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from simmatrix.files import write_atomically

    matrix = ordered.matrix
    side = min(max(_SMALLEST, _INCHES_PER_CLASS * len(matrix)), _LARGEST)
    figure = Figure(figsize=(side + 2.5, side + 1.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix.to_dense(), vmin=0, vmax=1, cmap="viridis", interpolation="none")
    _label(axes, ordered)
    figure.colorbar(image, ax=axes, label="similarity", shrink=0.5, pad=0.01)
    kind = path.suffix.lower()[1:]
    # No time stamps and no random identifiers: the same matrix gives the same picture.
    stamps = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    content = io.BytesIO()
    with rc_context({"svg.hashsalt": "simmatrix"}):
        figure.savefig(content, format=kind, dpi=_DOTS_PER_INCH, metadata=stamps[kind])
    write_atomically(path, [content.getvalue()])


def _label(axes: Any, ordered: Ordered) -> None:
    count = len(ordered.matrix)
    if count <= _LABELS_UP_TO:
        # A name is shown as it stands: dollar signs in it make no formula.
        names = [_short(name) for name in ordered.matrix.classes]
        axes.set_xticks(range(count), names, rotation=90, fontsize=6, parse_math=False)
        axes.set_yticks(range(count), names, fontsize=6, parse_math=False)
        axes.tick_params(length=0, pad=1)
    else:
        axes.set_xlabel(f"{count} classes")
    start = 0
    for name, size in ordered.groups:
        for line in (axes.axhline, axes.axvline):
            line(start + size - 0.5, color="white", linewidth=0.6)
        axes.text(
            count,
            start + (size - 1) / 2,
            _short(name.replace("_", " ")),
            fontsize=7,
            va="center",
            ha="left",
            clip_on=False,
            parse_math=False,
        )
        start += size


def _short(name: str) -> str:
    """Shorten a long name in its middle, so that labels leave room for the matrix."""
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL // 2]}…{name[-_LONGEST_LABEL // 2 + 1 :]}"
