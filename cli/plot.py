"""`simmatrix plot`: a matrix as a heat map."""

from __future__ import annotations

import io
import os
import shlex
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simmatrix.cli.options import ClassColumn, MatrixPath, Separator, read_list, superclasses_for
from simmatrix.cli.output import print_line, warn

if TYPE_CHECKING:
    from simmatrix.ordering import Ordered

_SUFFIXES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 150
_GREY = "0.85"
# Room for a label of 6 points; above so many classes labels would make the picture unwieldy.
_INCHES_PER_CLASS = 0.1
_LABELS_UP_TO = 200
_LONGEST_LABEL = 40
_SMALLEST, _LARGEST = 4.0, 20.0
# What tells our pictures from others: at the end of a file, where each format allows a comment; in a chunk of a PNG.
_MARKS = {".svg": b"<!-- simmatrix plot -->\n", ".pdf": b"%simmatrix plot\n", ".png": b"tEXtSoftware\0simmatrix plot"}
# Fonts without letters that can be drawn: those for formulas, of boxes for everything, and of coloured pictures.
_NO_TEXT = ("cm", "STIX", "Last Resort", "DejaVu Sans Display", "DejaVu Serif Display", "Noto Color", "Apple Color")


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
    class_column: ClassColumn = None,
    separator: Separator = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no picture drawn by this command.")
    ] = False,
) -> None:
    """Draw a matrix of up to 5,000 classes as a heat map, ordered so that blocks of similar classes show."""
    import simmatrix
    from simmatrix.ordering import ORDERS, check_size
    from simmatrix.text import some

    target = output or Path(f"{file.stem}.png")
    _check_picture(target, force=force)
    given = read_list(classes, class_column, separator)
    matrix = simmatrix.load(file)
    check_size(matrix)
    superclasses = superclasses_for(matrix, given) if order == "superclass" else None
    if superclasses is None and order == "superclass":
        raise simmatrix.SourceError(
            f"a matrix does not hold superclasses; type: simmatrix plot {shlex.quote(str(file))} --order superclass "
            "--classes LIST.tsv, where LIST.tsv has the columns class and superclass"
        )
    ordered = ORDERS[order](matrix, superclasses or ())
    lacking = draw(ordered, target)
    print_line(f"{target}: {len(matrix)} classes, ordered by {order}")
    if lacking:
        warn([f"no installed font has {some(lacking, 20)}; boxes stand for them. Install a font that has them"])


def _check_picture(path: Path, *, force: bool) -> None:
    """Raise `OutputError` unless a picture can be written to `path`, and replaces no work of others."""
    from simmatrix.errors import OutputError
    from simmatrix.files import check_output_folder

    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{path}: a picture ends in {', '.join(_SUFFIXES)}; give it one of these")
    check_output_folder(path)
    if not force and path.exists() and not (path.is_file() and _is_ours(path)):
        raise OutputError(
            f"{path}: is there already and was not drawn by simmatrix plot; write to another file, or replace it with "
            "--force"
        )


def _is_ours(path: Path) -> bool:
    mark, size = _MARKS[path.suffix.lower()], path.stat().st_size
    with path.open("rb") as file:
        if path.suffix.lower() == ".png":
            return not size or mark in file.read(200)
        file.seek(max(0, size - len(mark)))
        return not size or file.read() == mark


@contextmanager
def _plain_matplotlib() -> Iterator[None]:
    """Let matplotlib draw the same for everyone: without the user's settings, and without its own messages.

    Jupyter's backend, which its kernels hand on in MPLBACKEND, can't be loaded elsewhere.
    """
    import logging

    from simmatrix.errors import SourceError

    os.environ.pop("MPLBACKEND", None)
    logging.getLogger("matplotlib").setLevel(logging.CRITICAL)
    try:
        from matplotlib import rc_context, rcdefaults
    except (OSError, ValueError) as error:
        # It reads them before one can tell it not to.
        message = f"matplotlib can't read its settings ({error}); mend or take away the file matplotlibrc"
        raise SourceError(message) from None
    with rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rcdefaults()
        yield


def draw(ordered: Ordered, path: Path) -> list[str]:
    """Draw an ordered matrix, write it to a file, and return the characters that no font has."""
    import numpy as np

    from simmatrix.files import write_atomically

    with _plain_matplotlib():
        from matplotlib import colormaps, rcParams
        from matplotlib.figure import Figure

        matrix = ordered.matrix
        labels = [_short(name) for name in (*matrix.classes, *(name for name, _size in ordered.groups))]
        fonts, lacking = _fonts_for("".join(labels) if len(matrix) <= _LABELS_UP_TO else "")
        rcParams["font.family"] = fonts
        # No time stamps and no random identifiers: the same matrix gives the same picture.
        rcParams["svg.hashsalt"] = "simmatrix"
        side = min(max(_SMALLEST, _INCHES_PER_CLASS * len(matrix)), _LARGEST)
        figure = Figure(figsize=(side + 2.5, side + 1.5), layout="constrained")
        axes = figure.subplots()
        # The colours end at the greatest similarity of two classes: on a scale to 1 small ones would all be dark.
        values = np.ma.masked_array(matrix.to_dense(), np.eye(len(matrix), dtype=bool))
        colours = colormaps["viridis"].with_extremes(bad=_GREY)
        image = axes.imshow(values, vmin=0, vmax=float(values.max()) or 1.0, cmap=colours, interpolation="none")
        _label(axes, ordered)
        figure.colorbar(image, ax=axes, label="similarity (grey: a class and itself)", shrink=0.5, pad=0.01)
        kind = path.suffix.lower()[1:]
        stamps = {"png": {"Software": "simmatrix plot"}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=_DOTS_PER_INCH, metadata=stamps[kind])
    write_atomically(path, [content.getvalue(), b"" if kind == "png" else _MARKS[f".{kind}"]])
    return lacking


def _fonts_for(text: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the fonts that a text needs, matplotlib's own first, and the characters that no installed font has."""
    from matplotlib.font_manager import findSystemFonts, fontManager, get_font

    fonts, lacking = ["DejaVu Sans"], {sign for sign in text if not sign.isspace()}
    lacking -= {sign for sign in lacking if get_font(fontManager.findfont("DejaVu Sans")).get_char_index(ord(sign))}
    if not lacking:
        return fonts, []
    # Fonts that were installed since matplotlib last looked.
    for file in sorted({*findSystemFonts()} - {font.fname for font in fontManager.ttflist}):
        with suppress(OSError, RuntimeError, NotImplementedError):
            fontManager.addfont(file)
    known = [font for font in fontManager.ttflist if not font.name.startswith(_NO_TEXT) and font.style == "normal"]
    # In an order of their own: a machine lists its fonts in any.
    for font in sorted(known, key=lambda font: (abs(int(font.weight) - 400), font.name, font.fname)):
        glyphs = get_font(font.fname)
        found = {sign for sign in lacking if glyphs.get_char_index(ord(sign))}
        if found and font.name not in fonts:
            fonts.append(font.name)
            lacking -= found
    return fonts, sorted(lacking)


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
