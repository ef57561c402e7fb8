"""Square tables of the classes: text with names, or ``.npy`` in the order of the class list; and their scale."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simmatrix.builders.lookup import Matches, match, not_seen
from simmatrix.classes import ClassList
from simmatrix.errors import ParameterError, SourceError
from simmatrix.files import decoded, digest_of, open_input, reading, whole
from simmatrix.neighbours.source import raw_type
from simmatrix.npy import MAGIC, npy_array
from simmatrix.shapes import Float
from simmatrix.tables import is_number, numbers, rows

_AGREE = "make the names and the class list agree"
# The widest numbers that an array may hold, in bytes: the values become float64.
_WIDEST = 8
_Row = tuple[int, str, list[float]]


class Square(NamedTuple):
    """A table in class order; its finite values, in the type of raw similarities, belong to the caller."""

    values: Float[np.ndarray, "C C"]
    lines: tuple[int, ...] | None
    """The line of each class's row; None where the file has no lines."""
    resolution: dict[str, dict[str, Any]]
    sha256: str
    ignored: int = 0
    """How many rows and columns were left out."""

    def line(self, index: int) -> int | None:
        """Return the line of a class's row, if it has one."""
        return None if self.lines is None else self.lines[index]


def read_square(path: Path, classes: ClassList, *, unknown: str = "error", remedy: str = _AGREE) -> Square:
    """Read a table of C rows and C columns.

    Text has the names of the columns in its first row (the first cell does not count) and the name of each row in its
    first column; rows and columns may be in any order. An array saved by ``numpy.save``, told by its first bytes, has
    rows and columns in the order of the class list. `unknown` and `remedy` are those of
    `simmatrix.builders.lookup.match`.

    `SourceError` if the file has another shape, repeats a name or holds what is no finite number; `ClassNotFoundError`
    if a class has no row or no column.
    """
    with open_input(path) as file, reading(path):
        is_array = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        # From one descriptor, so that the checksum is of the bytes that were read, even if the file is replaced.
        if is_array:
            return _read_array(file, path, classes)
        raw = whole(file, path)
    return _read_text(raw, path, classes, unknown, remedy)


def _read_array(file: io.FileIO, path: Path, classes: ClassList) -> Square:
    count = len(classes)
    dtype, is_fortran = _header(file, path, count)
    values = np.empty((count, count), dtype=raw_type(count))
    # The array's own rows; in Fortran's order they are the columns.
    rows = values.T if is_fortran else values
    line = memoryview(bytearray(count * dtype.itemsize))
    for row in rows:
        if file.readinto(line) < len(line):
            raise SourceError("is no plain array of numbers (it is cut short); save one with numpy.save", path)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            row[:] = np.frombuffer(line, dtype)
    return square_of(values, classes, path, sha256=digest_of(file))


def square_of(
    values: Float[np.ndarray, "C C"], classes: ClassList, path: Path, *, sha256: str, by_name: bool = False
) -> Square:
    """Return values in class order as a table; `SourceError` if one is not finite."""
    # The extremes show NaN and infinity, without a second matrix.
    if not np.isfinite(values.min()) or not np.isfinite(values.max()):
        at, beside = map(int, np.argwhere(~np.isfinite(values))[0])
        raise SourceError(
            f"holds {values[at, beside]} for {classes.names[at]!r} and {classes.names[beside]!r}; "
            "mend it where it is made",
            path,
        )
    how = "name" if by_name else "position"
    words = classes.names if by_name else map(str, range(len(classes)))
    resolution = {name: {"how": how, "words": [word]} for name, word in zip(classes.names, words, strict=True)}
    return Square(values, None, resolution, sha256)


def _header(file: io.FileIO, path: Path, count: int) -> tuple[np.dtype[Any], bool]:
    """Check an array's shape and type; return its type, and whether it is in Fortran's order."""

    def read_at(place: int, size: int) -> bytes:
        file.seek(place)
        return file.read(size)

    try:
        array = npy_array(read_at, os.fstat(file.fileno()).st_size)
    except ValueError as error:
        raise SourceError(f"is no plain array of numbers ({error}); save one with numpy.save", path) from None
    dtype = array.dtype
    if array.shape != (count, count) or dtype.kind not in "fiu":
        raise SourceError(
            f"holds {dtype!s:.40} values of shape {array.shape!s:.40}; the {count} classes need numbers of shape "
            f"({count}, {count}), rows and columns in the order of the class list",
            path,
        )
    if dtype.itemsize > _WIDEST:
        raise SourceError(
            f"holds {dtype} values, which are too wide; save them as float64 (array.astype('float64'))", path
        )
    file.seek(array.start)
    return dtype, array.by_columns


def _read_text(raw: bytes, path: Path, classes: ClassList, unknown: str, remedy: str) -> Square:
    table = rows(decoded(raw, path), path)
    top, header = next(table, (1, [""]))
    if len(header) < 2:
        raise SourceError(
            "the first row names no columns; name them there, separated by tabs or commas, from the second cell on",
            path,
            top,
        )
    names = header[1:]
    _check_names([(name, top) for name in names], classes, "column", path)
    body: list[_Row] = []
    for line, cells in table:
        if len(cells) != len(header):
            raise SourceError(
                f"has {len(cells)} cells, the first row has {len(header)}; give each row its name and a value for each "
                "column, and the first row a cell above the names",
                path,
                line,
            )
        body.append((line, cells[0], numbers(cells[1:], path, line)))
    _check_names([(name, line) for line, name, _values in body], classes, "row", path)
    down = match({name: line for line, name, _values in body}, classes, path, unknown=unknown, remedy=remedy)
    across = match(dict.fromkeys(names, top), classes, path, unknown=unknown, remedy=remedy)
    for what, found in (("row", down), ("column", across)):
        missing = [name for name in classes.names if name not in found.resolution]
        if missing:
            raise not_seen(missing, [*down.indices, *across.indices], path, f"has no {what} for the class", remedy)
    values, lines = _placed(body, names, down, across, path)
    ignored = len(body) + len(names) - 2 * len(classes)
    resolution: dict[str, dict[str, Any]] = {}
    for name in classes.names:
        both = down.resolution[name], across.resolution[name]
        how = "name" if all(one["how"] == "name" for one in both) else "name form"
        resolution[name] = {"how": how, "words": list(dict.fromkeys(word for one in both for word in one["words"]))}
    return Square(values, lines, resolution, hashlib.sha256(raw).hexdigest(), ignored)


def _check_names(names: Sequence[tuple[str, int]], classes: ClassList, what: str, path: Path) -> None:
    """Refuse repeated names, and numbers in the place of names."""
    texts = [name for name, _line in names]
    # Numbers may be the names of classes.
    strange = len(set(texts)) < len(texts) or set(texts).isdisjoint(classes.names)
    if texts and strange and all(map(is_number, texts)):
        place, above = ("column", "") if what == "row" else ("row", ", from its second cell on")
        raise SourceError(
            f"the first {place} has to hold the names of the {what}s, and holds numbers ({texts[0]!r}); write the "
            f"classes' names there{above}",
            path,
            names[0][1],
        )
    seen: dict[str, int] = {}
    for name, line in names:
        if name in seen:
            first = "" if seen[name] == line else f" (first on line {seen[name]})"
            raise SourceError(f"the {what} {name!r} stands there twice{first}; take one of them out", path, line)
        seen[name] = line


def _placed(
    body: Sequence[_Row], names: Sequence[str], down: Matches, across: Matches, path: Path
) -> tuple[Float[np.ndarray, "C C"], tuple[int, ...]]:
    """Return the values of the rows and columns that are classes, in class order, and the line of each row."""
    count = len(down.indices)
    # Where each class's value stands in a row.
    order = np.array(sorted(range(len(names)), key=lambda at: across.indices.get(names[at], count)))[:count]
    values = np.empty((count, count), dtype=raw_type(count))
    lines = [0] * count
    for line, name, cells in body:
        index = down.indices.get(name)
        if index is not None:
            with np.errstate(over="ignore", under="ignore"):
                values[index] = np.array(cells)[order]
            if not np.isfinite(values[index]).all():
                raise SourceError(
                    "holds a number that is too large for a matrix of this size; divide all by the same number",
                    path,
                    line,
                )
            lines[index] = line
    return values, tuple(lines)


def parsed_scale(scale: str | tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the ends of a scale, which may be written as LOW:HIGH; None where none is stated.

    Examples
    --------
    >>> parsed_scale("1:7"), parsed_scale((1, 7))
    ((1.0, 7.0), (1.0, 7.0))
    """
    if scale is None:
        return None
    try:
        low, high = map(float, scale.split(":") if isinstance(scale, str) else scale)
    except (TypeError, ValueError):
        raise ParameterError(f"scale must be two numbers such as '0:10', got {scale!r}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ParameterError(f"scale must start with its lowest value, as '0:10' does, got {low:g} to {high:g}")
    if not math.isfinite(high - low):
        raise ParameterError(_too_wide(low, high))
    return low, high


def _too_wide(low: float, high: float) -> str:
    return f"the scale from {low:g} to {high:g} is too wide to calculate with; divide all numbers by the same one"


def check_span(low: float, high: float, path: Path) -> None:
    """Raise `SourceError` unless the difference of a scale's ends is a number."""
    if not math.isfinite(high - low):
        raise SourceError(_too_wide(low, high), path)


def unit_of(sizes: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the greatest power of two up to each size, above 0.

    In this unit the squares of huge numbers do not overflow and those of tiny ones do not underflow. Dividing by it
    changes no digit, except of subnormal numbers.

    Examples
    --------
    >>> unit_of(np.array([10.0, 0.3]))
    array([8.  , 0.25])
    """
    return np.asarray(np.ldexp(1.0, np.frexp(sizes)[1] - 1))
