"""The written forms of a taxonomy: edges, an indented outline, nested JSON, columns of a table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.choices import TAXONOMY_FORMATS
from simmatrix.errors import SourceError
from simmatrix.taxonomy.graph import Edge, Taxonomy, from_edges
from simmatrix.text import check_choice, composed, is_name, some

__all__ = ["ROOT", "column_taxonomy", "detect", "read_edges", "read_nested", "read_outline", "read_taxonomy"]

ROOT = "root"
"""The node above the coarsest groups of columns."""

_SHOWN = 60


def detect(text: str) -> str:
    """Return the name of a text's format; what is neither JSON nor indented is edges."""
    if text.lstrip().startswith(("{", "[")):
        return "json"
    return "outline" if is_outline(text) else "edges"


def read_taxonomy(text: str, path: Path, format: str) -> Taxonomy:
    """Read a taxonomy from a file's text in one of `simmatrix.choices.TAXONOMY_FORMATS`.

    Raises
    ------
    SourceError
        If the text can't be read in it. Names file and line.
    """
    check_choice("format", format, TAXONOMY_FORMATS)
    readers: Mapping[str, Callable[[str, Path], Taxonomy]] = {
        "edges": read_edges,
        "outline": read_outline,
        "json": read_nested,
    }
    return readers[format](text, path)


class Placed(NamedTuple):
    """A node where it stands in a tree: below its parent, or at the top."""

    parent: str | None
    name: str
    line: int | None = None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Go through the lines that say something, counted from 1: neither blank nor a comment (its first sign is #).

    Examples
    --------
    >>> list(numbered_lines("# flowers\n\n  rose \n"))
    [(3, '  rose')]
    """
    for number, line in enumerate(text.split("\n"), start=1):
        said = line.rstrip()
        if said and not said.lstrip().startswith("#"):
            yield number, said


def checked_name(name: str, path: Path, line: int | None = None, what: str = "node") -> str:
    """Return a node's name without blanks around it, if it can be one."""
    stripped = composed(name.strip())
    if not stripped:
        raise SourceError(f"a {what} has no name; name it or take it out", path, line)
    if not is_name(stripped):
        raise SourceError(f"the {what} {stripped!r} holds a control character or half of one; take it out", path, line)
    return stripped


def from_places(places: Iterable[Placed], path: Path) -> Taxonomy:
    """Return the taxonomy of a written tree; a node that stands in several places has several parents.

    Raises
    ------
    SourceError
        If a node has neither parents nor children, for nothing could ever be similar to it; and see `from_edges`.
    """
    placed = tuple(places)
    edges = [Edge(one.parent, one.name, one.line) for one in placed if one.parent is not None]
    joined = {name for edge in edges for name in (edge.parent, edge.child)}
    alone = next((one for one in placed if one.name not in joined), None)
    if alone is not None:
        raise SourceError(
            f"{alone.name!r} stands alone, nothing is above or below it; put it below its parent, or take it out",
            path,
            alone.line,
        )
    return from_edges(edges, path)


# --- edges ------------------------------------------------------------------------------------------------------------

_HEADERS = (["parent", "child"], ["child", "parent"])
_BLANKS_IN_NAMES = ", or by a tab or a comma if names hold blanks"


class _Separator(NamedTuple):
    """What stands between parent and child: its name, and how it takes a line apart."""

    name: str
    split: Callable[[str], list[str]]


def read_edges(text: str, path: Path) -> Taxonomy:
    """Read lines of ``parent child``, the form of ImageNet's ``wordnet.is_a.txt``.

    Tabs separate the two if there is one in the file, else commas if there is one, else blanks; fields may be quoted as
    in CSV unless blanks separate them. Blank lines and lines that start with # are passed over. A header
    ``parent,child`` is allowed; after ``child,parent`` the child is in front. A node may have several parents.

    Raises
    ------
    SourceError
        If a line has other than two fields or an empty one, or there is a cycle. Names file
        and line.
    """
    lines = tuple(numbered_lines(text))
    return from_edges(_pairs(tuple(_rows(lines, path)), path), path)


def _rows(lines: Sequence[tuple[int, str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    separator = _separator([line for _, line in lines])
    for number, line in lines:
        try:
            fields = [field.strip() for field in separator.split(line)]
        except csv.Error as error:
            raise SourceError(f"is not quoted as CSV is ({error}); mend the quotes", path, number) from None
        if len(fields) != 2:
            hint = _BLANKS_IN_NAMES if separator is _BLANKS else ""
            raise SourceError(
                f"has {len(fields)} field(s) separated by {separator.name}; "
                f"write a parent and a child, separated by {separator.name}{hint}",
                path,
                number,
            )
        yield number, fields


def _pairs(rows: Sequence[tuple[int, list[str]]], path: Path) -> Iterator[Edge]:
    head = [field.lower() for field in rows[0][1]] if rows else []
    columns = head if head in _HEADERS else _HEADERS[0]
    for number, fields in rows[1:] if head in _HEADERS else rows:
        parent, child = (
            checked_name(fields[columns.index(column)], path, number, column) for column in ("parent", "child")
        )
        yield Edge(parent, child, number)


def _separator(lines: Sequence[str]) -> _Separator:
    signs = (("\t", "tabs"), (",", "commas"))
    found = ((sign, name) for sign, name in signs if any(sign in line for line in lines))
    sign, name = next(found, ("", ""))
    return _Separator(name, lambda line: _quoted(line, sign)) if sign else _BLANKS


def _quoted(line: str, sign: str) -> list[str]:
    return next(csv.reader([line], delimiter=sign, strict=True, skipinitialspace=True))


_BLANKS = _Separator("blanks", str.split)


# --- outline ----------------------------------------------------------------------------------------------------------

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
    return from_places(_outline_places(lines, path, bulleted=bulleted), path)


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


def _outline_places(lines: Sequence[_Line], path: Path, *, bulleted: bool) -> Iterator[Placed]:
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


# --- nested JSON ------------------------------------------------------------------------------------------------------

_REMEDY = (
    'write {"animal": {"dog": ["poodle", "beagle"], "cat": {}}} or {"name": "animal", "children": [{"name": "dog"}]}'
)


def read_nested(text: str, path: Path) -> Taxonomy:
    """Read objects that map each name to what is below it, down to lists of names.

    ``{"animal": {"dog": ["poodle", "beagle"], "cat": {}}}``; null and what is empty stand for no children, and objects
    may stand in lists. Objects with a name and a list of children, as d3 draws them, may be used as well:
    ``{"name": "animal", "children": [{"name": "dog"}]}``; other single values in these, such as sizes, are passed over.
    A name that stands in several places is one node with several parents, and its children are those of all places.

    Raises
    ------
    SourceError
        If it is no JSON (names the line), holds something else (says below which nodes), a node
        stands alone, or there is a cycle.
    """
    return from_places(_nested_places(_parsed(text, path), path), path)


def _parsed(text: str, path: Path) -> Any:
    try:
        # Objects become tuples of pairs: a dict would silently drop a node that stands there twice.
        content = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON ({error.msg}); mend it there", path, error.lineno) from None
    except RecursionError:
        raise SourceError(
            "is JSON that is nested too deeply to read; flatten it, or write a list of edges", path
        ) from None
    except ValueError:
        # JSON allows numbers of any length, Python does not.
        raise SourceError(f"is JSON that no taxonomy needs; {_REMEDY}", path) from None
    if not isinstance(content, tuple | list):
        raise SourceError(f"is a single value; {_REMEDY}", path)
    return content


def _nested_places(content: Any, path: Path) -> Iterator[Placed]:
    # What is yet to be placed: below which nodes, from the top, and what is there. Not recursive: trees may be deep.
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while waiting:
        above, value = waiting.pop()
        found = list(_nodes(value, above, path))
        yield from (Placed(above[-1] if above else None, name) for name, _ in found)
        waiting.extend(((*above, name), below) for name, below in reversed(found))


def _nodes(value: Any, above: tuple[str, ...], path: Path) -> Iterator[tuple[str, Any]]:
    """Return the nodes that a value places, each with what stands for its children."""
    if isinstance(value, list):
        for item in value:
            yield from _items(item, above, path)
    elif value is not None:
        yield from _items(value, above, path, strings=False)


def _items(item: Any, above: tuple[str, ...], path: Path, *, strings: bool = True) -> Iterator[tuple[str, Any]]:
    if isinstance(item, str) and strings:
        yield _name(item, above, path), None
    elif not isinstance(item, tuple):
        shown = "a list in a list" if isinstance(item, list) else json.dumps(item)[:_SHOWN]
        raise SourceError(
            f"{_place(above)} stands {shown}, where names or an object with names belong; {_REMEDY}", path
        )
    elif any(key == "name" and isinstance(value, str) for key, value in item):
        yield _named(item, above, path)
    else:
        for key, value in item:
            yield _name(key, above, path), value


def _named(pairs: tuple[tuple[str, Any], ...], above: tuple[str, ...], path: Path) -> tuple[str, Any]:
    """Return the name and the children of an object that has them under these keys."""
    for key in ("name", "children"):
        if sum(key == other for other, _ in pairs) > 1:
            raise SourceError(f"{_place(above)} stands an object with two {key!r}; take one out", path)
    found = dict(pairs)
    name = _name(found.pop("name"), above, path)
    children = found.pop("children", None)
    for key, value in found.items():
        if isinstance(value, tuple | list):
            shown = json.dumps(key)[:_SHOWN]
            raise SourceError(
                f'{_place((*above, name))} stands something under {shown}; put it under "children", or take it out',
                path,
            )
    return name, children


def _name(name: str, above: tuple[str, ...], path: Path) -> str:
    return checked_name(name, path, what=f"node {_place(above)}")


def _place(above: tuple[str, ...]) -> str:
    return f"below {'/'.join(above)}" if above else "at the top"


# --- columns ----------------------------------------------------------------------------------------------------------


def column_taxonomy(
    names: Sequence[str], levels: Sequence[tuple[str, Sequence[str]]], where: str = "classes"
) -> Taxonomy:
    """Return the taxonomy of named rows: below their groups, these below coarser groups, all below one root.

    Parameters
    ----------
    names
        What the rows are called, each name once; C names. They stay the names of their nodes.
    levels
        The columns, finest first: the column's name, and C values.
    where
        What to call the table in messages.

    A group with rows in several coarser groups has several parents. Equal values of different columns, or of a column
    and a name, are different nodes; the coarser one is then called by its column as well (``superclass: fish``).

    Raises
    ------
    SourceError
        If a row has no value in a column, or the columns are the wrong way round; names rows and columns.

    Examples
    --------
    >>> column_taxonomy(["rose", "oak"], [("kind", ["flower", "tree"])]).names
    ('root', 'flower', 'tree', 'rose', 'oak')
    """
    for column, values in levels:
        _check_filled(column, values, names, where)
    for finer, coarser in pairwise(levels):
        _check_order(finer, coarser, where)
    return from_edges(_edges(names, levels), where)


def _check_filled(column: str, values: Sequence[str], names: Sequence[str], where: str) -> None:
    empty = [name for name, value in zip(names, values, strict=True) if not value.strip()]
    if empty:
        raise SourceError(f"no {column} is given for {some(empty)}; fill it in", where)


def _check_order(finer: tuple[str, Sequence[str]], coarser: tuple[str, Sequence[str]], where: str) -> None:
    """Refuse columns that make a tree only the other way round."""
    pairs = set(zip(finer[1], coarser[1], strict=True))
    lower, upper = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(pairs) == len(upper) > len(lower):
        value = next(value for value in finer[1] if sum(value == pair[0] for pair in pairs) > 1)
        raise SourceError(
            f"{value!r} of {finer[0]} is in several groups of {coarser[0]}, each of which holds nothing else: name the "
            f"finer column first, {coarser[0]},{finer[0]}",
            where,
        )


def _edges(names: Sequence[str], levels: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Edge]:
    rows: list[Sequence[str]] = [names]
    taken = set(names)
    for column, values in (*levels, ("taxonomy", [ROOT] * len(names))):
        called: dict[str, str] = {}
        for value in dict.fromkeys(values):
            called[value] = _free(value, column, taken)
            taken.add(called[value])
        rows.append([called[value] for value in values])
    # From the root down, so that groups are named before what is in them.
    for below, above in reversed(tuple(pairwise(rows))):
        yield from map(Edge, above, below)


def _free(value: str, column: str, taken: set[str]) -> str:
    """Return a name that no node has yet."""
    while value in taken:
        value = f"{column}: {value}"
    return value
