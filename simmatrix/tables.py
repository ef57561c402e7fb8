"""Delimited text as people and spreadsheets write it: rows of cells, each with the line it stands on.

Cells are separated by tabs or by commas, whichever most rows have, and may be quoted the CSV way (``"a, b"``). Lines
that are blank, hold only empty cells or start with ``#`` are skipped; quote a first cell that starts with ``#``. Empty
columns at the end are left out. Accented letters are composed (NFC). The caller knows what the first row means.
"""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from simmatrix.errors import SourceError

OF_RATINGS = ("rating", "similarity", "score", "value", "mean", "simlex999", "humanmean")
"""The headings, as `key` gives them, of a column of ratings."""

_QUOTED = re.compile('"[^"]*"')
# Numbers with commas: the comma is the decimal point, or separates thousands, or could be either.
_DECIMAL_COMMA = re.compile(r"[+-]?(\d*|\d{1,3}([. \u00a0\u202f'\u2019]\d{3})+),\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_CELL_WITH_COMMA = re.compile(r"(?<=;)\s*([+-]?[\d.,]*,\d[\d.,]*)\s*(?=;|$)")
# The rows that decide which separator a file has.
_LOOKED_AT = 1000
_Row = tuple[int, list[str]]


def rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    r"""Give each row's line, counted from 1, and its cells without the blanks around them.

    `SourceError` if a quoted cell is not closed on its line, goes on after its closing quote, or cells are separated by
    semicolons. A row with another separator than most has too few cells, which the caller checks.

    Examples
    --------
    >>> list(rows('# heading\na, "b, c"\n\nd,e\n', Path("table.csv")))
    [(2, ['a', 'b, c']), (4, ['d', 'e'])]
    """
    composed = unicodedata.normalize("NFC", text)
    kept = [(number, line) for number, line in enumerate(composed.split("\n"), 1) if line.strip() and line[0] != "#"]
    lines = [number for number, _line in kept]
    texts = [line for _number, line in kept]
    # The separator that most rows have: a name may hold a comma, a row may end in a stray tab.
    bare = [_QUOTED.sub("", line) if '"' in line else line for line in texts[:_LOOKED_AT]]
    votes = sum(("\t" in line) - ("," in line) for line in bare)
    delimiter = "\t" if votes > 0 or (votes == 0 and any("\t" in line for line in bare[:1])) else ","
    if delimiter == ",":
        _check_semicolons(texts, lines, path)
    found = _parsed(texts, lines, delimiter, path)
    # Only where the last columns may all be empty, all rows are read before the first is given.
    if texts and texts[0].rstrip(" ").endswith((delimiter, '""')):
        table = list(found)
        if len({len(cells) for _line, cells in table}) == 1:
            width = max(at for _line, cells in table for at, cell in enumerate(cells, 1) if cell)
            table = [(line, cells[:width]) for line, cells in table]
        return iter(table)
    return found


def _check_semicolons(texts: Sequence[str], lines: Sequence[int], path: Path) -> None:
    """Refuse what spreadsheets write where the comma is the decimal point."""
    first = _QUOTED.sub("", texts[0]) if texts else ""
    if first.count(";") <= first.count(","):
        return
    comma = next(filter(None, map(_CELL_WITH_COMMA.search, texts)), None)
    remedy = f", and write {comma[1]} {hint}" if comma and (hint := without_commas(comma[1])) else ""
    raise SourceError(f"separates its cells by semicolons; separate them by commas or tabs{remedy}", path, lines[0])


def _parsed(texts: Sequence[str], lines: Sequence[int], delimiter: str, path: Path) -> Iterator[_Row]:
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


def without_commas(cell: str) -> str:
    """Say how to write a number with commas without them, in both ways if it is ambiguous; "" for any other text.

    Examples
    --------
    >>> without_commas("7,5"), without_commas("1,234"), without_commas("1,234,567"), without_commas("rose")
    ('with a decimal point, as 7.5', 'as 1234 or as 1.234, whichever it is', 'as 1234567', '')
    """
    if _THOUSANDS.fullmatch(cell):
        plain = f"as {cell.replace(',', '')}"
        is_clear = "." in cell or cell.count(",") > 1
        return plain if is_clear else f"{plain} or as {cell.replace(',', '.')}, whichever it is"
    if _DECIMAL_COMMA.fullmatch(cell):
        whole, _, decimals = cell.partition(",")
        return f"with a decimal point, as {re.sub(r'[^0-9+-]', '', whole)}.{decimals}"
    return ""


def check_commas(cell: str, path: Path, line: int) -> None:
    """Raise `SourceError` if a cell is a number with commas; says how to write it."""
    if hint := without_commas(cell):
        raise SourceError(f"{cell!r} is no number; write it {hint}", path, line)


def numbers(cells: Sequence[str], path: Path, line: int) -> list[float]:
    """Return cells as finite numbers; `SourceError` names the first cell that is none.

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
    wrong = next(cell for cell in cells if not is_number(cell))
    check_commas(wrong, path, line)
    what = f"{wrong!r:.60} is no number" if wrong else "a cell that should hold a number is empty"
    raise SourceError(f"{what}; write numbers with a decimal point, and none as nan or inf", path, line)


def is_number(cell: str) -> bool:
    """Tell whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def key(heading: str) -> str:
    """Return a heading's letters and digits in lower case, by which columns are recognised.

    Examples
    --------
    >>> key("Human (mean)"), key("Word 1"), key("word_1")
    ('humanmean', 'word1', 'word1')
    """
    return "".join(filter(str.isalnum, heading.casefold()))
