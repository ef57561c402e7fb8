"""Reading files of pair ratings.

A file holds one rating a row, ``a, b, rating`` or ``a, b, rating, rater``, separated by tabs or commas. It needs a
header only if it has other columns, or another order. The first row is a header if it names the two words and the
rating; then all columns but these and the rater's are skipped and reported. These names are known, in any case, with
any spaces and signs:

- the words: a, word 1, class 1, concept 1, item 1, first; and b, word 2, class 2, concept 2, item 2, second
- the rating: rating, similarity, score, value, mean, SimLex999 (SimLex-999's), Human (mean) (WordSim-353's)
- who gave it: rater, annotator, participant, subject, judge, worker, user, respondent, coder, assessor, evaluator or
  observer, each of them also with id or name after it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.shapes import Float, Int
from simmatrix.tables import OF_RATINGS, check_commas, key, numbers, rows

_HEADINGS = {
    "first word": ("a", "word1", "class1", "concept1", "item1", "first"),
    "second word": ("b", "word2", "class2", "concept2", "item2", "second"),
    "rating": OF_RATINGS,
    "rater": tuple(
        f"{who}{ending}"
        for who in (
            *("rater", "annotator", "participant", "subject", "judge", "worker"),
            *("user", "respondent", "coder", "assessor", "evaluator", "observer"),
        )
        for ending in ("", "id", "name")
    ),
}
_REMEDY = "write a, b, rating and perhaps rater, separated by tabs or commas, or a header that names these columns"


class RatingTable(NamedTuple):
    """The n ratings of a file, finite, each with its line; words and raters by their positions in the sorted names."""

    words: Mapping[str, int]
    """The first line of each word that is rated."""
    first: Int[np.ndarray, " n"]
    second: Int[np.ndarray, " n"]
    ratings: Float[np.ndarray, " n"]
    raters: tuple[str, ...]
    """One without a name where the file has no raters."""
    rater: Int[np.ndarray, " n"]
    lines: Int[np.ndarray, " n"]
    unused: tuple[str, ...] = ()
    """The headings of the columns that were skipped, or their numbers where they have none."""


class _Columns(NamedTuple):
    """The positions of a row's cells (None for the rater if there is no such column) and their number."""

    first: int
    second: int
    rating: int
    rater: int | None
    width: int
    unused: tuple[str, ...] = ()
    is_named: bool = False


def read_ratings(text: str, path: Path) -> RatingTable:
    """Read the text of a file; the path is for messages.

    `SourceError` if it holds no ratings, rows have different numbers of cells, a rating is no finite number, or only
    some rows name a rater.
    """
    body = list(rows(text, path))
    columns = _named_columns(body[0][1], path, body[0][0]) if body else None
    if columns is not None:
        body = body[1:]
    if not body:
        raise SourceError(f"holds no ratings; {_REMEDY}", path)
    columns = columns or _columns_in_order(body[0][1], path, body[0][0])
    ratings = []
    for line, cells in body:
        if len(cells) != columns.width:
            raise SourceError(
                f"has {len(cells)} cells, the first row has {columns.width}; {_REMEDY}, and quote a cell that holds "
                "the separator",
                path,
                line,
            )
        ratings += numbers([cells[columns.rating]], path, line)
    raters = [""] * len(body) if columns.rater is None else [cells[columns.rater] for _line, cells in body]
    lines = [line for line, _cells in body]
    if not columns.is_named and "\t" not in text and _are_decimals([cells for _line, cells in body]):
        whole, decimals = body[0][1][2:]
        raise SourceError(
            f"{whole},{decimals} may be the rating {whole}.{decimals}, or {whole} by the rater {decimals}; write "
            "ratings with a decimal point, or the header a,b,rating,rater",
            path,
            lines[0],
        )
    if any(raters) and not all(raters):
        message = "names no rater, and other rows do; name the rater in each row or in none"
        raise SourceError(message, path, lines[raters.index("")])
    firsts, seconds = ([cells[at] for _line, cells in body] for at in columns[:2])
    first_lines: dict[str, int] = {}
    for line, *pair in zip(lines, firsts, seconds, strict=True):
        for word in pair:
            first_lines.setdefault(word, line)
    words = dict(sorted(first_lines.items()))
    names = tuple(sorted(set(raters)))
    return RatingTable(
        words=words,
        first=_positions(firsts, tuple(words)),
        second=_positions(seconds, tuple(words)),
        ratings=np.array(ratings),
        raters=names,
        rater=_positions(raters, names),
        lines=np.array(lines),
        unused=columns.unused,
    )


def _named_columns(cells: Sequence[str], path: Path, line: int) -> _Columns | None:
    """Return the columns that a header names, or None if the row is no header."""
    found = {
        column: [at for at, cell in enumerate(cells) if key(cell) in headings] for column, headings in _HEADINGS.items()
    }
    if not all(found[column] for column in ("first word", "second word", "rating")):
        return None
    for column, places in found.items():
        if len(places) > 1:
            both = " and ".join(repr(cells[at]) for at in places[:2])
            raise SourceError(f"the header names the {column} twice, {both}; rename one of them", path, line)
    used = {at for places in found.values() for at in places}
    return _Columns(
        first=found["first word"][0],
        second=found["second word"][0],
        rating=found["rating"][0],
        rater=found["rater"][0] if found["rater"] else None,
        width=len(cells),
        unused=tuple(cell or f"column {at}" for at, cell in enumerate(cells, 1) if at - 1 not in used),
        is_named=True,
    )


def _columns_in_order(cells: Sequence[str], path: Path, line: int) -> _Columns:
    """Return the columns of a file without a header, from its first row."""
    if len(cells) not in (3, 4):
        raise SourceError(f"has {len(cells)} cells and names no columns; {_REMEDY}", path, line)
    try:
        float(cells[2])
    except ValueError:
        check_commas(cells[2], path, line)
        raise SourceError(
            f"is neither a rating ({cells[2]!r} is no number) nor a header with names that are known; {_REMEDY}",
            path,
            line,
        ) from None
    return _Columns(0, 1, 2, 3 if len(cells) == 4 else None, len(cells))


def _are_decimals(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the last two of four cells may be one number with a decimal comma: no pair has two raters then."""
    pairs = {frozenset(cells[:2]) for cells in rows}
    return len(rows[0]) == 4 and len(pairs) == len(rows) and all(one.isdigit() for cells in rows for one in cells[2:])


def _positions(names: Sequence[str], known: Sequence[str]) -> Int[np.ndarray, " n"]:
    at = {name: position for position, name in enumerate(known)}
    return np.array([at[name] for name in names], dtype=np.int64)
