"""The written forms of a taxonomy: edges, an indented outline, nested JSON, columns of a table."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.choices import TAXONOMY_FORMATS
from simmatrix.errors import SourceError
from simmatrix.names import composed, is_name
from simmatrix.taxonomy.graph import Edge, Taxonomy, from_edges
from simmatrix.text import check_choice, some

ROOT = "root"
"""The node above the coarsest groups of columns."""

_SHOWN = 60


def detect(text: str) -> str:
    """Return the name of a text's format; what is neither JSON nor an outline is edges.

    An outline has lines that are further in than others, or bullets on all lines, and tabs inside few lines.
    """
    if text.lstrip().startswith(("{", "[")):
        return "json"
    lines = _lines(text)
    indented = len({line.indentation for line in lines}) > 1
    bulleted = bool(lines) and all(_BULLET.match(line.text) for line in lines)
    divided = sum("\t" in line.text for line in lines)
    return "outline" if (indented or bulleted) and 2 * divided < len(lines) else "edges"


def read_taxonomy(text: str, path: Path, format: str, known: Iterable[str] = ()) -> Taxonomy:
    """Read a taxonomy from a text in one of `simmatrix.choices.TAXONOMY_FORMATS`; for `known` see `read_edges`."""
    check_choice("format", format, TAXONOMY_FORMATS)
    if format == "edges":
        return read_edges(text, path, known)
    return read_outline(text, path) if format == "outline" else read_nested(text, path)


def _numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Give the lines that are neither blank nor a comment (they start with #), counted from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        said = line.rstrip()
        if said and not said.lstrip().startswith("#"):
            yield number, said


def _checked_name(name: str, path: Path, line: int | None = None, what: str = "node") -> str:
    stripped = composed(name.strip())
    if not stripped:
        raise SourceError(f"a {what} has no name; name it or take it out", path, line)
    if not is_name(stripped):
        raise SourceError(f"the {what} {stripped!r} holds a control character or half of one; take it out", path, line)
    return stripped


class _Place(NamedTuple):
    """A node at one place of a tree. `above` is the index of the place that it is below, None at the top."""

    above: int | None
    name: str
    line: int | None = None


def _from_places(places: Iterable[_Place], path: Path) -> Taxonomy:
    """Return the taxonomy of a written tree; a node in several places has several parents.

    `SourceError` if a node has neither parents nor children, so that nothing could be similar to it; or other children
    below one parent than below another, which may be two things with one name.
    """
    placed = tuple(places)
    edges = [Edge(placed[one.above].name, one.name, one.line) for one in placed if one.above is not None]
    joined = {name for edge in edges for name in (edge.parent, edge.child)}
    for one in placed:
        if one.name not in joined:
            message = "stands alone, nothing is above or below it; put it below its parent, or take it out"
            raise SourceError(f"{one.name!r} {message}", path, one.line)
    # For each node, its children below each parent.
    found: dict[str, dict[str, set[str]]] = {}
    for one in placed:
        if one.above is not None and (grandparent := placed[one.above].above) is not None:
            below = found.setdefault(placed[one.above].name, {})
            below.setdefault(placed[grandparent].name, set()).add(one.name)
    for name, below in found.items():
        parents = list(below)
        other = next((parent for parent in parents if below[parent] != below[parents[0]]), None)
        if other is not None:
            raise SourceError(
                f"{name!r} has other children below {parents[0]!r} than below {other!r}; if it is one thing, write its "
                "children in one of these places, and else give it two names",
                path,
            )
    return from_edges(edges, path)


# --- edges ------------------------------------------------------------------------------------------------------------

_SIGNS = {"\t": "tabs", ",": "commas", "": "blanks"}
_HEADERS = (["parent", "child"], ["child", "parent"])
# How the names of columns start.
_PARENT, _CHILD = re.compile(r"parent|hypernym|super|broader"), re.compile(r"child|hyponym|sub|narrower")


def read_edges(text: str, path: Path, known: Iterable[str] = ()) -> Taxonomy:
    """Read lines of ``parent child``, the form of ImageNet's ``wordnet.is_a.txt``.

    Tabs, commas or blanks separate the two, whichever divides the most lines in two; fields may be quoted as in CSV
    unless blanks separate them. Blank lines and lines that start with # are passed over. A first line whose two names
    are on no other line is a header, unless one is `known` to be a node, and so is ``parent,child``; after
    ``child,parent``, or any header that names the parent second (``id,parent_id``), the child is in front. A node may
    have several parents.
    """
    lines = tuple(_numbered_lines(text))
    sign = _separator([line for _, line in lines])
    rows = []
    for number, line in lines:
        try:
            fields = _fields(line, sign)
        except csv.Error as error:
            raise SourceError(f"is not quoted as CSV is ({error}); mend the quotes", path, number) from None
        if len(fields) != 2:
            hint = "" if sign else ", or by a tab or a comma if names hold blanks"
            raise SourceError(
                f"has {len(fields)} field(s) separated by {_SIGNS[sign]}; "
                f"write a parent and a child, separated by {_SIGNS[sign]}{hint}",
                path,
                number,
            )
        rows.append((number, fields))
    head = [field.lower() for field in rows[0][1]] if rows else []
    is_usual = head in _HEADERS
    is_header = is_usual or (
        len(rows) > 1
        and not {*rows[0][1]} & {name for _, row in rows[1:] for name in row}
        and not {*head} & {name.lower() for name in known}
    )
    columns = _HEADERS[is_header and bool(_CHILD.match(head[0]) or _PARENT.match(head[1]))]
    edges = []
    for number, fields in rows[is_header:]:
        parent, child = (
            _checked_name(fields[columns.index(column)], path, number, column) for column in ("parent", "child")
        )
        edges.append(Edge(parent, child, number))
    taxonomy = from_edges(edges, path)
    return replace(taxonomy, header=tuple(rows[0][1])) if is_header and not is_usual else taxonomy


def _separator(lines: Sequence[str]) -> str:
    """Return the sign that divides the most lines in two, the first of `_SIGNS` where several do."""

    def pairs(sign: str) -> int:
        count = 0
        for line in lines:
            # `read_edges` refuses wrong quotes, once the separator is known.
            with suppress(csv.Error):
                count += len(_fields(line, sign)) == 2
        return count

    return max((sign for sign in _SIGNS if not sign or any(sign in line for line in lines)), key=pairs)


def _fields(line: str, sign: str) -> list[str]:
    if not sign:
        return line.split()
    quoted = '"' in line
    cells = next(csv.reader([line], delimiter=sign, strict=True, skipinitialspace=True)) if quoted else line.split(sign)
    return [cell.strip() for cell in cells]


# --- outline ----------------------------------------------------------------------------------------------------------

_BULLET = re.compile(r"[-*+]\s+")
_LEVEL = re.compile(r"(-+|\*+|\++)\s+")
_DRAWN = re.compile(r"\s*[│├└][│├└─\s]*")
_UNITS = {" ": "blanks", "\t": "tabs"}


class _Line(NamedTuple):
    number: int
    indentation: str
    text: str


def read_outline(text: str, path: Path) -> Taxonomy:
    """Read an outline in which a line's parent is the nearest line above it that is less far in.

    Lines are indented by blanks or by tabs, as far as one likes, but siblings equally; or by as many dashes, asterisks
    or plus signs as one likes and a blank (``-- dog``); or as the command ``tree`` draws them. Each line may start with
    a bullet (``-``, ``*`` or ``+`` and a blank). Blank lines and lines that start with # are passed over. A name that
    stands in several places is one node with several parents, whose children stand below one of these or all.
    """
    lines = _lines(text)
    bulleted = _check_alike(lines, path)
    places: list[_Place] = []
    # The lines that the next one may be below, the outermost first: how far in each is, and its place.
    way: list[tuple[int, int]] = []
    for line in lines:
        inwards = len(line.indentation)
        name = _checked_name(_BULLET.sub("", line.text, count=1) if bulleted else line.text, path, line.number)
        level = None
        while way and way[-1][0] >= inwards:
            level, _ = way.pop()
        if level not in (None, inwards):
            raise SourceError(
                f"is indented by {inwards}, its siblings above by {level}; indent it as they are", path, line.number
            )
        places.append(_Place(way[-1][1] if way else None, name, line.number))
        way.append((inwards, len(places) - 1))
    return _from_places(places, path)


def _lines(text: str) -> tuple[_Line, ...]:
    lines = []
    for number, line in _numbered_lines(text):
        drawn = _DRAWN.match(line)
        shown = " " * drawn.end() + line[drawn.end() :] if drawn else line
        said = shown.lstrip()
        lines.append(_Line(number, shown[: len(shown) - len(said)], said))
    levels = [_LEVEL.match(line.text) for line in lines]
    if any(line.indentation for line in lines) or not any(level and len(level[1]) > 1 for level in levels):
        return tuple(lines)
    return tuple(
        _Line(line.number, " " * len(level[1]), line.text[level.end() :]) if level else line
        for line, level in zip(lines, levels, strict=True)
    )


def _check_alike(lines: Sequence[_Line], path: Path) -> bool:
    """Return whether all lines have bullets; refuse lines that are indented in two ways, or only some with bullets."""
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
    bulleted = [_BULLET.match(line.text) is not None for line in lines]
    if any(bulleted) and not all(bulleted):
        # Markdown and YAML differ about whether such a line is below the one above it.
        odd = lines[bulleted.index(not bulleted[0])]
        has, had = ("has no bullet", "has one") if bulleted[0] else ("has a bullet", "has none")
        raise SourceError(
            f"{has}, line {lines[0].number} {had}; give all lines one or none, and indent those below others",
            path,
            odd.number,
        )
    return any(bulleted)


# --- nested JSON ------------------------------------------------------------------------------------------------------

_REMEDY = (
    'write {"animal": {"dog": ["poodle", "beagle"], "cat": {}}} or {"name": "animal", "children": [{"name": "dog"}]}'
)


def read_nested(text: str, path: Path) -> Taxonomy:
    """Read objects that map each name to what is below it, down to lists of names.

    ``{"animal": {"dog": ["poodle", "beagle"], "cat": {}}}``; null and what is empty stand for no children, and objects
    may stand in lists. Objects with a name and a list of children, as d3 draws them, may be used as well:
    ``{"name": "animal", "children": [{"name": "dog"}]}``; other single values in these, such as sizes, are passed over.
    A name that stands in several places is one node with several parents, whose children stand below one of these or
    all.
    """
    try:
        # Objects become tuples of pairs: a dict would silently drop a node that stands there twice.
        content = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON ({error.msg}); mend it there", path, error.lineno) from None
    except RecursionError:
        message = "is JSON that is nested too deeply to read; flatten it, or write a list of edges"
        raise SourceError(message, path) from None
    except ValueError:
        # JSON allows numbers of any length, Python does not.
        raise SourceError(f"is JSON that no taxonomy needs; {_REMEDY}", path) from None
    if not isinstance(content, tuple | list):
        raise SourceError(f"is a single value; {_REMEDY}", path)
    places: list[_Place] = []
    # What is yet to be placed: the place above it, the names from the top, and the value. Trees may be deep.
    waiting: list[tuple[int | None, tuple[str, ...], Any]] = [(None, (), content)]
    while waiting:
        above, names, value = waiting.pop()
        found = list(_nodes(value, names, path))
        first = len(places)
        places.extend(_Place(above, name) for name, _ in found)
        below = [(first + at, (*names, name), children) for at, (name, children) in enumerate(found)]
        waiting.extend(reversed(below))
    return _from_places(places, path)


def _nodes(value: Any, above: tuple[str, ...], path: Path) -> Iterator[tuple[str, Any]]:
    """Give the nodes that a value holds, each with the value that holds its children."""
    where = f"below {'/'.join(above)}" if above else "at the top"
    for item in value if isinstance(value, list) else () if value is None else (value,):
        if isinstance(item, str) and isinstance(value, list):
            yield _checked_name(item, path, what=f"node {where}"), None
        elif not isinstance(item, tuple):
            shown = "a list in a list" if isinstance(item, list) else json.dumps(item)[:_SHOWN]
            raise SourceError(f"{where} stands {shown}, where names or an object with names belong; {_REMEDY}", path)
        elif any(key == "name" and isinstance(one, str) for key, one in item):
            yield _named(item, where, path)
        else:
            for key, below in item:
                yield _checked_name(key, path, what=f"node {where}"), below


def _named(pairs: tuple[tuple[str, Any], ...], where: str, path: Path) -> tuple[str, Any]:
    for key in ("name", "children"):
        if sum(key == other for other, _ in pairs) > 1:
            raise SourceError(f"{where} stands an object with two {key!r}; take one out", path)
    found = dict(pairs)
    name = _checked_name(found.pop("name"), path, what=f"node {where}")
    children = found.pop("children", None)
    for key, value in found.items():
        if isinstance(value, tuple | list):
            place = f"below {name}" if where == "at the top" else f"{where}/{name}"
            shown = json.dumps(key)[:_SHOWN]
            message = f'{place} stands something under {shown}; put it under "children", or take it out'
            raise SourceError(message, path)
    return name, children


# --- columns ----------------------------------------------------------------------------------------------------------


def column_taxonomy(
    names: Sequence[str], levels: Sequence[tuple[str, Sequence[str]]], where: str = "classes"
) -> Taxonomy:
    """Return the taxonomy of named rows: rows below their groups, groups below coarser groups, all below one root.

    The C names are those of their nodes. `levels` are the columns, finest first, each with its name and C values;
    messages call the table `where`.

    Equal values below different groups are different nodes, named with their groups (``birds/other`` and
    ``fish/other``). Equal values of different columns, or of a column and a name, are different nodes too; the coarser
    one is named with its column (``superclass: fish``). A value that the next coarser column repeats in the same row is
    one node: so tables write paths of different lengths.

    Examples
    --------
    >>> column_taxonomy(["rose", "oak"], [("kind", ["flower", "tree"])]).names
    ('root', 'flower', 'tree', 'rose', 'oak')
    """
    for column, values in levels:
        empty = [name for name, value in zip(names, values, strict=True) if not value.strip()]
        if empty:
            raise SourceError(f"no {column} is given for {some(empty)}; fill it in", where)
    for (finer, lower), (coarser, upper) in pairwise(levels):
        pairs = set(zip(lower, upper, strict=True))
        if len(pairs) == len(set(upper)) > len(set(lower)):
            value = next(value for value in lower if sum(value == pair[0] for pair in pairs) > 1)
            raise SourceError(
                f"{value!r} of {finer} is in several groups of {coarser}, each of which holds nothing else: name the "
                f"finer column first, {coarser},{finer}",
                where,
            )
    return from_edges(_column_edges(names, levels), where)


def _column_edges(names: Sequence[str], levels: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Edge]:
    columns = [*levels, ("taxonomy", [ROOT] * len(names))]
    rows: list[list[str]] = [list(names)]
    taken = set(names)
    for position, (column, _) in enumerate(columns):
        # Each row's value, and those of the coarser columns. A value that the next column repeats is a node there.
        ways = list(zip(*(values for _, values in columns[position:-1] or columns[-1:]), strict=True))
        counts = Counter(way[0] for way in set(ways) if way[0] not in way[1:2])
        called: dict[tuple[str, ...], str] = {}
        for way in dict.fromkeys(ways):
            if way[0] in way[1:2]:
                continue
            name = way[0] if counts[way[0]] == 1 else "/".join(reversed(way))
            while name in taken:
                name = f"{column}: {name}"
            called[way] = name
            taken.add(name)
        rows.append([called.get(way, "") for way in ways])
    for finer, coarser in reversed(tuple(pairwise(rows))):
        finer[:] = [below or above for below, above in zip(finer, coarser, strict=True)]
    # From the root down, so that groups come before their members.
    for below, above in reversed(tuple(pairwise(rows))):
        yield from (Edge(*pair) for pair in zip(above, below, strict=True) if pair[0] != pair[1])
