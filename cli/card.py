"""`simmatrix card`: a folder for the Hugging Face Hub, with the matrix, a picture, and what both are about."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated

import typer

from simmatrix.cli.options import MatrixPath
from simmatrix.cli.output import built_by, percent, print_line

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix

_SHOWN = 20


def card(
    file: MatrixPath,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="New folder; named after the matrix if not given."),
    ] = None,
) -> None:
    """Write a folder to share: the matrix, a heat map, and a README.md that says what it is and how to load it."""
    import simmatrix
    from simmatrix.cli.plot import draw
    from simmatrix.errors import OutputError
    from simmatrix.files import check_output_folder, write_atomically
    from simmatrix.ordering import MOST, ORDERS

    folder = output or Path(f"{file.stem}-card")
    if folder.exists():
        raise OutputError(f"{folder} is there already; name a new folder with -o")
    check_output_folder(folder)
    matrix = simmatrix.load(file)
    is_drawn = len(matrix) <= MOST
    text = text_of(matrix, file.stem, is_drawn=is_drawn)
    folder.mkdir()
    with ExitStack() as failing:
        # Half a card would be in the way of the next try.
        failing.callback(rmtree, folder, ignore_errors=True)
        matrix.save(folder / "similarity.safetensors")
        if is_drawn:
            draw(ORDERS["clusters"](matrix, ()), folder / "heatmap.png")
        write_atomically(folder / "README.md", [text.encode()])
        failing.pop_all()
    picture = " and heatmap.png" if is_drawn else f"; no heat map, since there are more than {MOST:,} classes"
    print_line(f"{folder}: similarity.safetensors, README.md{picture}")
    print_line(f"to publish it: hf upload OWNER/NAME {folder}")


def text_of(matrix: SimilarityMatrix, name: str, *, is_drawn: bool) -> str:
    """Return the card, Markdown with the Hub's metadata above it."""
    import json

    import simmatrix
    from simmatrix.summary import recommended

    figures, origin = simmatrix.statistics(matrix), matrix.provenance
    neighbours = [
        (one, ", ".join(f"{other} {value:.2f}" for other, value in matrix.neighbours(one, 3)))
        for one in matrix.classes[:_SHOWN]
    ]
    rows = [
        ("classes", f"{figures.classes:,}"),
        ("built by", built_by(origin.builder, origin.params)),
        *((one.role, f"{one.name}, SHA-256 `{one.sha256}`") for one in origin.source),
        ("normalisation", "; ".join(json.dumps(dict(step), sort_keys=True) for step in origin.normalisation)),
        ("influence", f"{figures.influence:.3g}, the mean sum of a row off the diagonal"),
        ("density", f"{percent(figures.density)} of the pairs are above 0"),
        ("classes without a neighbour", percent(figures.identity_rows)),
        ("simmatrix", simmatrix.__version__),
    ]
    more = len(matrix) - len(neighbours)
    loss, settings = recommended(matrix)
    options = ", ".join(f"{option}={value:g}" for option, value in settings.items())
    parts = [
        "---\nlibrary_name: simloss\ntags:\n- simloss\n- class-similarity\n---",
        f"# Class similarities: {_cell(name)}",
        "How alike each two classes are, from 0 (unrelated) to 1 (the same), for training with SimLoss (Kobs et al., "
        "ISMIS 2020) and for judging mistakes.",
        *(["![The matrix as a heat map](heatmap.png)"] if is_drawn else []),
        _table(("", ""), rows),
        "## Load it",
        f'```python\nimport simloss\n\ncriterion = simloss.{loss}.from_file(\n    "hf://OWNER/NAME/similarity.safetensors",'
        f" classes=train_set.classes, {options}\n)\n```",
        "`classes` brings the matrix into the order of your labels, by name.",
        "## Nearest classes",
        _table(("class", "nearest"), neighbours),
        *([f"… and {more:,} more classes."] if more else []),
    ]
    return "\n\n".join(parts) + "\n"


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [header, ("---", "---"), *rows]
    return "\n".join(f"| {_cell(one)} | {_cell(other)} |" for one, other in lines)


def _cell(text: str) -> str:
    """Return text that stays in its cell, and is no markup: a class may have any name."""
    shown = "".join(one if one.isprintable() else " " for one in text)
    return shown.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
