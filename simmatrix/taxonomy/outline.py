"""Taxonomies as indented outlines: a line for each node, further in than its parent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from simmatrix.errors import SourceError
from simmatrix.taxonomy.taxonomy import Taxonomy
from simmatrix.taxonomy.text import Placed, checked_name, from_places, numbered_lines

__all__ = ["is_outline", "read_outline"]

_BULLET = re.compile(r"[-*+]\s+")
_UNITS = {" ": "blanks", "\t": "tabs"}


class _Line(NamedTuple):
    number: int
    indentation: str
    text: str


def read_outline(text: str, path: Path) -> Taxonomy:
    """Read an outline in which a line's parent is the nearest line above it that is less far in.

    Lines are indented by blanks or by tabs, as far as one likes, but siblings equally. Each line may start with a
    bullet (``-``, ``*`` or ``+`` and a blank). Blank lines and lines that start with # are passed over. A name that
    stands in several places is one node with several parents, and its children are those of all places.

    Raises
    ------
    SourceError
        If blanks and tabs or lines with and without bullets are mixed, a line is further out
        than its siblings, a node stands alone, or there is a cycle. Names file and line.
    """
    lines = _lines(text)
    _check_units(lines, path)
    bulleted = _are_bulleted(lines, path)
    return from_places(_places(lines, path, bulleted=bulleted), path)


def is_outline(text: str) -> bool:
    """Tell whether some lines are further in than others, or all have bullets, and none is divided by a tab."""
    lines = _lines(text)
    indented = len({line.indentation for line in lines}) > 1
    bulleted = bool(lines) and all(map(_has_bullet, lines))
    return (indented or bulleted) and not any("\t" in line.text for line in lines)


def _lines(text: str) -> tuple[_Line, ...]:
    return tuple(
        _Line(number, line[: len(line) - len(line.lstrip())], line.lstrip()) for number, line in numbered_lines(text)
    )


def _has_bullet(line: _Line) -> bool:
    return _BULLET.match(line.text) is not None


def _check_units(lines: Sequence[_Line], path: Path) -> None:
    indented = [line for line in lines if line.indentation]
    for line in indented:
        if set(line.indentation) not in ({" "}, {"\t"}):
            raise SourceError("is indented by other than blanks alone or tabs alone; use one", path, line.number)
        first = indented[0]
        if line.indentation[0] != first.indentation[0]:
            mine, theirs = (_UNITS[one.indentation[0]] for one in (line, first))
            raise SourceError(
                f"is indented by {mine}, line {first.number} by {theirs}; use one of them", path, line.number
            )


def _are_bulleted(lines: Sequence[_Line], path: Path) -> bool:
    bulleted = [_has_bullet(line) for line in lines]
    if any(bulleted) and not all(bulleted):
        # Whether such a line is below the one above it can't be known: Markdown and YAML differ.
        odd = lines[bulleted.index(not bulleted[0])]
        has, had = ("has a bullet", "has none") if _has_bullet(odd) else ("has no bullet", "has one")
        raise SourceError(
            f"{has}, line {lines[0].number} {had}; give all lines one or none, and indent those below others",
            path,
            odd.number,
        )
    return any(bulleted)


def _places(lines: Sequence[_Line], path: Path, *, bulleted: bool) -> Iterator[Placed]:
    # The line itself and those above it that it may be below, the outermost first: how far in, and the name.
    way: list[tuple[int, str]] = []
    for line in lines:
        inwards = len(line.indentation)
        name = checked_name(_BULLET.sub("", line.text, count=1) if bulleted else line.text, path, line.number)
        level = None
        while way and way[-1][0] >= inwards:
            level, _ = way.pop()
        if level not in (None, inwards):
            raise SourceError(
                f"is indented by {inwards}, its siblings above by {level}; indent it as they are", path, line.number
            )
        yield Placed(way[-1][1] if way else None, name, line.number)
        way.append((inwards, name))
