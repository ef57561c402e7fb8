"""Class lists: the names of the classes in label order, and what else is known of each."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, TypeAlias

from simmatrix import data
from simmatrix.errors import ClassOrderError, SourceError
from simmatrix.files import check_input, decoded, read_bytes, reading
from simmatrix.text import all_composed, are_names, is_name, nearest, or_list

__all__ = ["ClassList", "Classes", "Names", "names_in_order", "read_classes"]

Names: TypeAlias = "Iterable[str] | Mapping[Any, Any]"
"""Names of classes in label order, or a mapping between them and their indices."""

_SHOWN = 5


def names_in_order(classes: Names) -> tuple[str, ...]:
    """Return the names of classes in label order, each in its one spelling (NFC).

    A sequence of names is an order. A mapping is one if its keys or its values are the indices 0 to C - 1, as in
    ``id2label`` and ``class_to_idx``, and is read by index. A set is in no order, and one text is no list of names.

    Raises
    ------
    ClassOrderError
        If there is no order, or what stands in it is no name.

    Examples
    --------
    >>> names_in_order({"tulip": 1, "rose": 0})
    ('rose', 'tulip')
    """
    if isinstance(classes, str):
        raise ClassOrderError(
            f"the classes are one text, {classes!r}; give a list of names (simmatrix.read_classes reads files)"
        )
    if isinstance(classes, set | frozenset):
        raise ClassOrderError("the classes are a set, which has no order; give a list of their names in label order")
    found = tuple(_by_index(classes) if isinstance(classes, Mapping) else classes)
    for position, name in enumerate(found):
        if not isinstance(name, str):
            raise ClassOrderError(
                f"class {position} (counted from 0) is {name!r}, a {type(name).__name__}; give the classes by name "
                "(for torchvision's ImageNet these are its wnids)"
            )
    return all_composed(found)


def _by_index(classes: Mapping[Any, Any]) -> list[Any]:
    indices = list(range(len(classes)))
    by_key = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in classes.items()}
    for by_index in (by_key, {index: name for name, index in classes.items() if isinstance(index, int)}):
        if by_index.keys() == set(indices):
            return [by_index[index] for index in indices]
    raise ClassOrderError(
        f"the classes are a mapping, and neither its keys nor its values are the indices 0 to {len(classes) - 1}; give "
        "a list of names in label order"
    )


@dataclass(frozen=True)
class ClassList:
    """The classes of a data set in its own label order.

    Parameters
    ----------
    names
        One name a class, unique, in label order; C names.
    columns
        What else is known, by column name; each column holds C strings, empty where nothing is known. ``synset`` pins
        the WordNet sense, ``phrase`` is what to look up in word vectors where the name itself misleads, any other
        column can serve as a level of a hierarchy.
    source
        Where the list comes from: a bundled list's name or a file's name, without its folder.
    sha256
        Checksum of that file, or of the names where there is no file.

    Raises
    ------
    SourceError
        If a name is empty, repeated or holds control characters, or there are fewer than two.

    Examples
    --------
    >>> ClassList(("rose", "tulip")).names
    ('rose', 'tulip')
    """

    names: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = "classes"
    sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", names_in_order(self.names))
        if not are_names(self.names):
            _explain(self.names, self.source)
        for column, values in self.columns.items():
            if len(values) != len(self.names):
                raise SourceError(f"column {column} has {len(values)} values for {len(self.names)} classes")
        columns = {column: all_composed(values) for column, values in self.columns.items()}
        object.__setattr__(self, "columns", MappingProxyType(columns))
        if not self.sha256:
            digest = hashlib.sha256(json.dumps(self.names, ensure_ascii=False).encode())
            object.__setattr__(self, "sha256", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: the read-only view of the columns can't be pickled.
        return ClassList, (self.names, dict(self.columns), self.source, self.sha256)

    def column(self, name: str) -> tuple[str, ...]:
        """Return a column's C values, or C empty strings where the list has no such column."""
        return self.columns.get(name, ("",) * len(self.names))

    def select(self, names: Names) -> ClassList:
        """Return the list of some of its classes, in the order given."""
        wanted = names_in_order(names)
        positions = {name: position for position, name in enumerate(self.names)}
        lacking = [name for name in wanted if name not in positions]
        if lacking:
            raise SourceError(f"has no class {lacking[0]!r}; give the list that the matrix was built for", self.source)
        kept = [positions[name] for name in wanted]
        columns = {column: tuple(values[at] for at in kept) for column, values in self.columns.items()}
        return ClassList(wanted, columns, self.source, self.sha256)


Classes: TypeAlias = "str | Path | Iterable[str] | Mapping[Any, Any] | ClassList"


def read_classes(source: Classes) -> ClassList:
    """Read a class list.

    Parameters
    ----------
    source
        The name of a bundled list (``"cifar100"``), the path of a file, or the names themselves, in label order; also
        a mapping between indices and names, such as ``id2label`` or ``class_to_idx``. Files: ``.txt`` (one name a
        line), ``.tsv`` or ``.csv`` (a header with a ``class`` column), ``.json`` (a list of names, or an object that
        maps each index to its name). UTF-8, with or without a byte-order mark, any line ending.

    Raises
    ------
    SourceError
        If the file can't be read or parsed, or a name is empty, repeated or not UTF-8. Names file and line.
    ClassOrderError
        If the names are in no order.

    Examples
    --------
    >>> read_classes("cifar100").names[:2]
    ('apple', 'aquarium_fish')
    >>> read_classes(["rose", "tulip"]).names
    ('rose', 'tulip')
    """
    if isinstance(source, ClassList):
        return source
    if not isinstance(source, str | Path):
        return ClassList(names_in_order(source))
    if isinstance(source, str) and source in data.class_list_names():
        return _read_file(data.class_list_path(source), source)
    path = Path(source)
    _check_suffix(path)
    return _read_file(path, path.name)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() in _PARSERS:
        return
    known = data.class_list_names()
    with reading(path):
        is_there = path.exists()
    if is_there:
        check_input(path)
        raise SourceError(f"a class list ends in {or_list(_PARSERS)}; rename or convert the file", path)
    close = nearest(str(path), known)
    hint = f"did you mean {or_list(close)}?" if close else f"bundled lists are {or_list(known)}"
    raise SourceError(f"is neither a bundled class list nor a file that ends in {or_list(_PARSERS)}; {hint}", path)


def _read_file(path: Path, source: str) -> ClassList:
    raw = read_bytes(path)
    rows = _PARSERS[path.suffix.lower()](decoded(raw, path), path)
    names = tuple([row.name for row in rows])
    columns = {column: tuple([row.others[column] for row in rows]) for column in rows[0].others}
    try:
        shown = source.encode("utf-8", "backslashreplace").decode()
        return ClassList(names, columns, shown, hashlib.sha256(raw).hexdigest())
    except SourceError:
        _explain(all_composed(names), path, [row.line for row in rows])


class _Row(NamedTuple):
    name: str
    line: int | None
    others: Mapping[str, str] = MappingProxyType({})


def _explain(names: Sequence[str], where: str | Path, lines: Sequence[int | None] = ()) -> NoReturn:
    """Raise `SourceError` about the first thing for which these can't be the names of classes."""
    seen: dict[str, int | None] = {}
    for position, name in enumerate(names):
        line = lines[position] if lines else None
        place = f"class {position} (counted from 0)" if line is None else "the class"
        if not name.strip():
            raise SourceError(f"{place} has no name; name it or take it out", where, line)
        if not is_name(name):
            raise SourceError(f"{place} {name!r} holds a control character or half of one; take it out", where, line)
        if name in seen:
            first = "" if seen[name] is None else f" (first on line {seen[name]})"
            raise SourceError(f"the class {name!r} stands there twice{first}; names must be unique", where, line)
        seen[name] = line
    raise SourceError(f"holds {len(seen)} class(es); a similarity needs at least two", where)


def _parse_txt(text: str, path: Path) -> list[_Row]:
    # Blank lines at the end are an editor's doing; one in the middle would be a class without a name.
    lines = [line.strip() for line in text.rstrip().split("\n")]
    return _nonempty([_Row(line, number) for number, line in enumerate(lines, start=1)], path)


def _parse_table(text: str, path: Path) -> list[_Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text.rstrip("\n"), newline=""), delimiter=delimiter, strict=True)
    rows: list[_Row] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(header, path)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                raise SourceError("the row is empty; take it out", path, reader.line_num)
            if len(cells) != len(header):
                raise SourceError(
                    f"has {len(cells)} fields, the header has {len(header)}; quote a field that holds the separator",
                    path,
                    reader.line_num,
                )
            others = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
            rows.append(_Row(others.pop("class"), reader.line_num, others))
    except csv.Error as error:
        raise SourceError(f"is not a well-formed table ({error})", path, reader.line_num) from None
    return _nonempty(rows, path)


def _check_header(header: list[str], path: Path) -> None:
    if "class" not in header:
        found = ", ".join(header) or "nothing"
        remedy = "separate the columns by commas" if ";" in found else "name one class, in small letters"
        raise SourceError(f"the header has no column named class (it has: {found}); {remedy}", path, 1)
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise SourceError(f"the header names {', '.join(repeated)} twice; column names must be unique", path, 1)


_JSON_REMEDY = 'write a list of names, ["rose", "tulip"], or an object from index to name, {"0": "rose", "1": "tulip"}'


def _parse_json(text: str, path: Path) -> list[_Row]:
    try:
        # Pairs, not a dict: a dict would silently drop a class whose index stands there twice.
        content = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON ({error.msg}); mend it there", path, error.lineno) from None
    except (ValueError, RecursionError):
        # JSON allows numbers of any length and nesting of any depth, Python does not.
        raise SourceError(f"is JSON that no class list needs; {_JSON_REMEDY}", path) from None
    if not isinstance(content, list):
        raise SourceError(f"is a single value; {_JSON_REMEDY}", path)
    if content and all(isinstance(item, tuple) for item in content):
        content = _names_by_index(content, path)
    for position, name in enumerate(content):
        if not isinstance(name, str):
            raise SourceError(f"class {position} is {json.dumps(name)[:60]}, not a name; {_JSON_REMEDY}", path)
    return _nonempty([_Row(name.strip(), None) for name in content], path)


def _names_by_index(pairs: list[tuple[str, object]], path: Path) -> list[object]:
    expected = [str(index) for index in range(len(pairs))]
    counts = Counter(index for index, _name in pairs)
    wrong = [index for index in counts if counts[index] > 1] + sorted(counts.keys() - set(expected))
    if wrong:
        raise SourceError(
            f"the keys must be the indices 0 to {len(pairs) - 1}, each once; "
            f"wrong or repeated: {', '.join(wrong[:_SHOWN])}",
            path,
        )
    by_index = dict(pairs)
    return [by_index[index] for index in expected]


def _nonempty(rows: list[_Row], path: Path) -> list[_Row]:
    if not rows or (len(rows) == 1 and not rows[0].name):
        raise SourceError("holds no classes; name them in it", path)
    return rows


_PARSERS: dict[str, Callable[[str, Path], list[_Row]]] = {
    ".txt": _parse_txt,
    ".tsv": _parse_table,
    ".csv": _parse_table,
    ".json": _parse_json,
}
