"""What people see: tables, warnings, progress, and what is said of a matrix file that was written.

Colours on a terminal, plain text in a pipe.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from simmatrix.choices import TAXONOMY_FORMATS
from simmatrix.files import silent
from simmatrix.text import is_unsafe

if TYPE_CHECKING:
    from rich.console import Console

    from simmatrix.files import Progress
    from simmatrix.matrix import SimilarityMatrix

__all__ = [
    "built_by",
    "fail",
    "percent",
    "print_line",
    "print_pairs",
    "print_table",
    "progress_bar",
    "report",
    "visible",
    "warn",
    "with_options",
]

# Parameters that are shown in a way of their own: a warning, or a line for each part of a blend.
_TOLD_ELSEWHERE = ("dropped", "parts", "weights")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are aligned to the right."""
    if not sys.stdout.isatty():
        _print_plain([header, *rows], [column in right for column in header])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in header:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Text, so that a name such as "[red]" is shown and not obeyed.
        table.add_row(*(Text(_cell(cell)) for cell in row))
    _console().print(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print what is known as lines of a name and a value."""
    if not sys.stdout.isatty():
        _print_plain(list(pairs), [False, False])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(_cell(name)), Text(_cell(value)))
    _console().print(table)


def print_line(text: str, colour: str | None = None) -> None:
    """Print one line, in colour on a terminal."""
    typer.secho(visible(text), fg=_colour(colour))


def warn(sentences: Iterable[str]) -> None:
    """Print warnings to standard error."""
    for sentence in sentences:
        typer.secho(f"warning: {visible(sentence)}", fg=_colour("yellow"), err=True)


def fail(message: str) -> None:
    """Print an error to standard error."""
    typer.secho(f"error: {visible(message)}", fg=_colour("red"), err=True)


def with_options(message: str) -> str:
    r"""Return a message of the library with options in place of its arguments.

    Examples
    --------
    >>> with_options('average them (duplicates="mean"), or give the format (format="json")')
    'average them (--duplicates mean), or give the format (--taxonomy-format json)'
    >>> with_options("take an encoder (from_encoder)")
    'take an encoder (--from-encoder)'
    """

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        if name == "format":
            name = "taxonomy_format" if value in TAXONOMY_FORMATS else "vector_format"
        return f"--{name.replace('_', '-')} {value}"

    named = re.sub(r"\bfrom_([a-z]+)\b", r"--from-\1", message)
    named = re.sub(r'\b(?P<name>[a-z_]+)="(?P<value>[^"]*)"', option, named)
    return re.sub(r"^[a-z_]+(?= must )", lambda name: f"--{name[0].replace('_', '-')}", named)


def visible(text: str) -> str:
    r"""Return text that a terminal only shows: a damaged or foreign file may hold characters that it would obey.

    Examples
    --------
    >>> visible(chr(27) + "[31mrose")
    '\\x1b[31mrose'
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if is_unsafe(character) and character != "\n" else character
        for character in text
    )


def _cell(text: str) -> str:
    # A line end would make one row of a table look like two.
    return visible(text).replace("\n", "\\n")


def _colour(name: str | None) -> str | None:
    """Return a colour where colours are wanted (see no-color.org)."""
    return None if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else name


def built_by(builder: str, params: Mapping[str, object]) -> str:
    """Write a builder with what it was told and what it counted: without what was not asked for or is none.

    Examples
    --------
    >>> built_by("ratings", {"scale": [0.0, 10.0], "alpha": 0.75, "complete": None, "ignored": 0, "unknown": "error"})
    'ratings (scale 0 to 10, alpha 0.75)'
    >>> built_by("confusion", {})
    'confusion'
    """
    told = ((name.replace("_", " "), value) for name, value in params.items() if name not in _TOLD_ELSEWHERE)
    settings = ", ".join(
        f"{name} {_setting(value)}"
        for name, value in told
        if value not in (None, False, "error", []) and not (isinstance(value, int) and value == 0)
    )
    return f"{builder} ({settings})" if settings else builder


def _setting(value: object) -> str:
    if isinstance(value, list):
        joint = " to " if len(value) == 2 and all(isinstance(one, float) for one in value) else " and "
        return joint.join(map(_setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """Write a share of 1 as a percentage."""
    return f"{share:.1%}"


def _print_plain(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    # Without rich: a pipe sees no colours, is never wrapped, and need not wait for the import.
    rows = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(right))]
    for row in rows:
        cells = (
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        typer.echo("  ".join(cells).rstrip())


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


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
                shown.append(_start_bar(stack, what, total))
            for update in shown:
                update(done)

        yield report


def _start_bar(stack: ExitStack, what: str, total: int) -> Callable[[int], None]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = stack.enter_context(Progress(*columns, console=_console(stderr=True), transient=True))
    task = progress.add_task(what, total=total)
    return lambda done: progress.update(task, completed=done)


def report(matrix: SimilarityMatrix, file: Path, origin: Iterable[tuple[str, str]]) -> None:
    """Print the figures of a matrix just written, with `origin` among them, what is worrying, and what to do next."""
    from simmatrix.summary import RECOMMENDED, concerns, counts

    figures = counts(matrix)
    print_pairs(
        [
            ("classes", str(figures.classes)),
            *origin,
            ("density", percent(figures.density)),
            ("influence", f"{figures.influence:.3g} (0 is cross entropy)"),
            ("isolated", f"{percent(figures.identity_rows)} of the classes are similar to no other"),
            ("file", f"{file} ({file.stat().st_size:,} bytes)"),
        ]
    )
    dropped = matrix.provenance.params.get("dropped", [])
    if dropped:
        warn([f"no vector, left out: {', '.join(dropped)} ({len(dropped)} of the classes)"])
    warn(concerns(matrix, figures))
    # The training set has them, and the loss would refuse what is proposed.
    if not dropped:
        options = ", ".join(f"{name}={value}" for name, value in RECOMMENDED.items())
        call = f'simloss.SimLoss.from_file("{file}", classes=train_set.classes, {options})'
        print_line(f"next: criterion = {call}", "cyan")
