"""What people see: tables, warnings, progress, and what is said of a matrix file that was written.

Colours on a terminal, plain text in a pipe.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from simmatrix.choices import TAXONOMY_FORMATS
from simmatrix.files import silent
from simmatrix.text import some, visible

if TYPE_CHECKING:
    from rich.console import Console

    from simmatrix.files import Progress
    from simmatrix.matrix import SimilarityMatrix

# Parameters that are shown in a way of their own: a warning, or a line for each part of a blend.
_TOLD_ELSEWHERE = ("alike", "dropped", "parts", "weights")
# A table folds its cells on a terminal with so many columns at least, for each of its own and in all.
_NARROWEST, _NARROWEST_COLUMN = 40, 8
# Values, levels of nesting and characters that are shown of what may be of any size: a file or a name.
_MOST_VALUES, _DEEPEST, _LONGEST = 20, 3, 5000


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are aligned to the right."""
    _print(list(rows), header, [column in right for column in header])


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print what is known as lines of a name and a value."""
    _print(list(pairs), (), [False, False])


def _print(rows: Sequence[Sequence[str]], header: Sequence[str], right: Sequence[bool]) -> None:
    cells = [[_in_one_line(cell) for cell in row] for row in ([header, *rows] if header else rows)]
    if not sys.stdout.isatty() or shutil.get_terminal_size().columns < max(_NARROWEST, _NARROWEST_COLUMN * len(right)):
        # Without rich: a pipe sees no colours, is never wrapped, and need not wait for the import.
        widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(right))]
        for row in cells:
            padded = (
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            )
            typer.echo("  ".join(padded).rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, show_header=bool(header))
    for column, flush in enumerate(right):
        # Text, so that a name such as "[red]" is shown and not obeyed.
        table.add_column(
            Text(cells[0][column]) if header else "",
            justify="right" if flush else "left",
            style="" if header or column else "bold",
            overflow="fold",
        )
    for row in cells[1:] if header else cells:
        table.add_row(*map(Text, row))
    _console().print(table)


def print_line(text: str, colour: str | None = None) -> None:
    """Print one line, in colour on a terminal."""
    typer.secho(_in_one_line(text), fg=_colour(colour))


def warn(sentences: Iterable[str]) -> None:
    """Print warnings to standard error. Further lines are indented, so that a name can't forge a message."""
    for sentence in sentences:
        _say("warning", _indented(sentence), "yellow")


def fail(message: str) -> None:
    """Print an error to standard error. Further lines are indented, so that a name can't forge a message."""
    _say("error", _indented(message), "red")


def _say(what: str, message: str, colour: str) -> None:
    if len(message) > _LONGEST:
        message = (
            f"{message[: _LONGEST - 1000]} … ({len(message) - _LONGEST:,} characters left out) … {message[-1000:]}"
        )
    try:
        typer.secho(f"{what}: {message}", fg=_colour(colour), err=True)
    except OSError:
        # Standard error can't be written; the exit code still tells.
        without_stream("stderr")


def without_stream(name: str) -> None:
    """Replace a standard stream that can't be written by /dev/null, so that Python does not fail at exit."""
    setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (it stays open to the end)


def with_options(message: str) -> str:
    r"""Return a message of the library with options in place of its arguments.

    Examples
    --------
    >>> with_options('average them (duplicates="mean"), or give the format (format="json")')
    'average them (--duplicates mean), or give the format (--taxonomy-format json)'
    >>> with_options("take an encoder (from_encoder)")
    'take an encoder (--from-encoder)'
    >>> with_options("give one in [0, 1), such as decay=0.5")
    'give one in [0, 1), such as --decay 0.5'
    """

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        if name == "format":
            name = "taxonomy_format" if value in TAXONOMY_FORMATS else "vector_format"
        return f"--{name.replace('_', '-')} {value}"

    named = re.sub(r"\bfrom_([a-z]+)\b", r"--from-\1", message)
    named = re.sub(r'\b(?P<name>[a-z_]+)="(?P<value>[^"]*)"', option, named)
    named = re.sub(r"\b(?P<name>[a-z_]+)=(?P<value>\d[\d.]*)\b", option, named)
    return re.sub(r"^[a-z_]+(?= must )", lambda name: f"--{name[0].replace('_', '-')}", named)


def _indented(text: str) -> str:
    return re.sub(r"\n(?! )", "\n  ", visible(text))


def _in_one_line(text: str) -> str:
    # Nearly all texts are printable.
    return text if text.isprintable() else visible(text).replace("\n", "\\n")


def _colour(name: str | None) -> str | None:
    """Return a colour where colours are wanted (see no-color.org)."""
    return None if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else name


def built_by(builder: str, params: Mapping[str, object]) -> str:
    """Write a builder with its parameters and counts, without those that are none or not asked for.

    Examples
    --------
    >>> built_by("ratings", {"scale": [0.0, 10.0], "alpha": 0.75, "complete": None, "ignored": 0, "unknown": "error"})
    'ratings (scale 0 to 10, alpha 0.75)'
    >>> built_by("confusion", {})
    'confusion'
    """
    told = ((name.replace("_", " "), value) for name, value in params.items() if name not in _TOLD_ELSEWHERE)
    settings = ", ".join(
        f"{name} {setting(value)}"
        for name, value in told
        if value not in (None, False, "error", []) and not (isinstance(value, int) and value == 0)
    )
    return f"{builder} ({settings})" if settings else builder


def setting(value: object, depth: int = 0) -> str:
    """Write a value of a file's metadata; a foreign file may have anything there, as long and as deep as it likes.

    Examples
    --------
    >>> setting([0.0, 10.0]), setting(["rose", [1, [2, [3]]]])
    ('0 to 10', 'rose and 1 and 2 and …')
    """
    if isinstance(value, list | dict) and depth >= _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return some([f"{name} {setting(one, depth + 1)}" for name, one in value.items()], _MOST_VALUES)
    if isinstance(value, list):
        if len(value) > _MOST_VALUES:
            return some([setting(one, depth + 1) for one in value], _MOST_VALUES)
        joint = " to " if len(value) == 2 and all(isinstance(one, float) for one in value) else " and "
        return joint.join(setting(one, depth + 1) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """Write a share of 1 as a percentage, a small one with two digits that count."""
    return f"{share:.1%}" if share == 0 or share >= 0.001 else f"{share * 100:.2g}%"


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    # With COLUMNS=0 rich would print no table at all.
    columns, lines = shutil.get_terminal_size()
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=columns, height=lines)


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Give a function to report progress to; a bar shows on a terminal once the work has taken a second."""
    if not sys.stderr.isatty():
        yield silent
        return
    started = time.monotonic()
    with ExitStack() as stack:
        shown: list[Callable[[int], None]] = []

        def report(done: int, total: int) -> None:
            if not shown and time.monotonic() - started > 1:
                from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

                text = TextColumn("{task.description}", markup=False)
                columns = (text, BarColumn(), DownloadColumn(), TimeRemainingColumn())
                bar = stack.enter_context(Progress(*columns, console=_console(stderr=True), transient=True))
                task = bar.add_task(_in_one_line(what), total=total)
                shown.append(lambda done: bar.update(task, completed=done))
            for update in shown:
                update(done)

        yield report


def report(
    matrix: SimilarityMatrix, file: Path, origin: Iterable[tuple[str, str]], *, is_replaced: bool, reading: str = ""
) -> None:
    """Print the figures of a matrix that was written, with `origin` among them, the warnings, and what to do next.

    `reading` is that of `simmatrix.concerns`.
    """
    from simmatrix.storage import size_of
    from simmatrix.summary import concerns, counts, recommended

    figures, size = counts(matrix), size_of(file)
    # Ten of them by name; all may be isolated.
    names = some(figures.isolated, 10, round(figures.identity_rows * figures.classes))
    isolated = f"{percent(figures.identity_rows)} of the classes are similar to no other"
    print_pairs(
        [
            ("classes", str(figures.classes)),
            *origin,
            ("density", percent(figures.density)),
            ("influence", f"{figures.influence:.3g} (0 is cross entropy)"),
            ("isolated", f"{isolated}: {names}" if names else isolated),
            ("file", f"{file} ({size:,} bytes{', replaces the matrix that was there' if is_replaced else ''})"),
        ]
    )
    dropped = matrix.provenance.params.get("dropped", [])
    if dropped:
        warn([f"not found, left out: {some(dropped, _MOST_VALUES)} ({len(dropped)} of the classes)"])
    told, (loss, settings) = concerns(matrix, figures, reading=reading), recommended(matrix)
    warn(told)
    # A training set that has the dropped classes would be refused by the loss.
    if not dropped:
        options = ", ".join(f"{name}={value:g}" for name, value in settings.items())
        call = f'simloss.{loss}.from_file("{file}", classes=train_set.classes, {options})'
        print_line(f"next: criterion = {call}", "cyan")
        if matrix.provenance.builder == "order" and loss == "SimLoss":
            print_line("for classes in order, soft labels are milder still: build with --kernel triangular")
