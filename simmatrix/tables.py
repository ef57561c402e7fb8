"""Delimited text as people and spreadsheets write it: rows of cells, each with the line it stands on.

Cells are separated by tabs if there are any, else by commas, and may be quoted the CSV way (``"a, b"``). Lines that
are blank, hold empty cells alone or start with ``#`` are skipped; quote a first cell that starts with ``#``. What the
first row means is for the caller to say.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from simmatrix.errors import SourceError

__all__ = ["key", "numbers", "rows"]


def rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    r"""Give each row's line, counted from 1, and its cells without the blanks around them.

    Parameters
    ----------
    text
        The contents of a file; lines end in a line feed.
    path
        The file, for messages.

    Raises
    ------
    SourceError
        If a quoted cell is not closed on its line, or goes on after its closing quote. Names the line.

    Examples
    --------
    >>> list(rows('# heading\na, "b, c"\n\nd,e\n', Path("table.csv")))
    [(2, ['a', 'b, c']), (4, ['d', 'e'])]
    """
    kept = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip() and line[0] != "#"]
    lines = [number for number, _line in kept]
    texts = [line for _number, line in kept]
    delimiter = "\t" if any("\t" in line for line in texts) else ","
    reader = csv.reader(texts, delimiter=delimiter, strict=True, skipinitialspace=True)
    done = 0
    try:
        for cells in reader:
            if reader.line_num != done + 1:
                raise SourceError("a quoted cell is not closed on its line; close the quote", path, lines[done])
            found = [cell.strip() for cell in cells]
            # Spreadsheets write rows of separators for empty ones.
            if any(found):
                yield lines[done], found
            done += 1
    except csv.Error as error:
        raise SourceError(f"is not a well-formed row ({error}); mend its quotes", path, lines[done]) from None


def numbers(cells: Sequence[str], path: Path, line: int) -> list[float]:
    """Return cells as finite numbers.

    Raises
    ------
    SourceError
        If a cell is no finite number; names it.

    Examples
    --------
    >>> numbers(["1", "-2.5e1"], Path("table.csv"), 1)
    [1.0, -25.0]
    """
    try:
        values = list(map(float, cells))
        # Python reads 1_0 as ten; a table that holds it was damaged.
        if all(map(math.isfinite, values)) and "_" not in "".join(cells):
            return values
    except ValueError:
        pass
    wrong = next(cell for cell in cells if not _is_number(cell))
    what = f"{wrong!r} is no number" if wrong else "a cell that should hold a number is empty"
    raise SourceError(f"{what}; write numbers with a decimal point, and none as nan or inf", path, line)


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def key(heading: str) -> str:
    """Return what tells one column's heading from another's: its letters and digits, in lower case.

    Examples
    --------
    >>> key("Human (mean)"), key("Word 1"), key("word_1")
    ('humanmean', 'word1', 'word1')
    """
    return "".join(filter(str.isalnum, heading.casefold()))
