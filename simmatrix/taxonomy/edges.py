"""Taxonomies as lists of edges: a line for each parent and child."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from simmatrix.errors import SourceError
from simmatrix.taxonomy.taxonomy import Edge, Taxonomy, from_edges
from simmatrix.taxonomy.text import checked_name, numbered_lines

__all__ = ["read_edges"]

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
    return from_edges(_edges(tuple(_rows(lines, path)), path), path)


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


def _edges(rows: Sequence[tuple[int, list[str]]], path: Path) -> Iterator[Edge]:
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
