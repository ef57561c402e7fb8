"""Class lists: the names of the classes in label order, and what else is known of each."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

from simmatrix import data
from simmatrix.classes_in import (
    BY_SUFFIX,
    Row,
    levels,
    parts_of,
    plain_names,
    read_folder,
    read_unnamed,
    without_annotations,
)
from simmatrix.errors import ParameterError, SourceError
from simmatrix.files import check_input, decoded, open_input, read_bytes, reading, shown_name
from simmatrix.names import MANY, Names, TextArray, all_composed, are_names, index_of, is_name, kept, names_in_order
from simmatrix.text import nearest, or_list, some


def check_superclasses(superclasses: Mapping[str, str]) -> None:
    """Raise `SourceError` if a class has no superclass."""
    if lacking := [name for name, superclass in superclasses.items() if not superclass]:
        raise SourceError(f"the class list has no superclass for {lacking[0]!r}; fill it in")


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

    names: Sequence[str]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    source: str = "classes"
    sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", names_in_order(self.names))
        if not are_names(self.names):
            _explain(self.names, self.source)
        for column, values in self.columns.items():
            if len(values) != len(self.names):
                raise SourceError(f"column {column} has {len(values)} values for {len(self.names)} classes")
        columns = {column: kept(values) for column, values in self.columns.items()}
        object.__setattr__(self, "columns", MappingProxyType(columns))
        if not self.sha256:
            # Of the names as a JSON array, some of them at a time.
            digest = hashlib.sha256(b"[")
            for start in range(0, len(self.names), _TOGETHER):
                part = json.dumps(self.names[start : start + _TOGETHER], ensure_ascii=False)
                digest.update((", " * (start > 0) + part[1:-1]).encode())
            digest.update(b"]")
            object.__setattr__(self, "sha256", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: the read-only view of the columns can't be pickled.
        return ClassList, (self.names, dict(self.columns), self.source, self.sha256)

    def column(self, name: str) -> Sequence[str]:
        """Return a column's C values, or C empty strings where the list has no such column."""
        return self.columns.get(name, ("",) * len(self.names))

    def select(self, names: Names) -> ClassList:
        """Return the list of some of its classes, in the order given."""
        wanted = names_in_order(names)
        positions = index_of(self.names)
        lacking = [name for name in wanted if name not in positions]
        if lacking:
            raise SourceError(f"has no class {lacking[0]!r}; give the list that the matrix was built for", self.source)
        kept = [positions[name] for name in wanted]
        columns = {column: tuple(values[at] for at in kept) for column, values in self.columns.items()}
        return ClassList(wanted, columns, self.source, self.sha256)


Classes: TypeAlias = "str | Path | Iterable[str] | Mapping[Any, Any] | ClassList | Any"

_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")
# Room for more than a million names; a stream that brings more is refused before its end.
_LARGEST_STREAM = 1 << 28
# Shorter texts are read at once; longer ones may hold very many names.
_LONG = 1 << 20
# Names whose checksum is taken at a time.
_TOGETHER = 1 << 14


def read_classes(source: Classes, *, class_column: str | None = None, separator: str | None = None) -> ClassList:
    """Read a class list.

    Parameters
    ----------
    source
        The name of a bundled list (``"cifar100"``); the path of a file in one of the forms of `simmatrix.classes_in`
        (``.txt``, ``.names``, ``.tsv``, ``.csv``, ``.json``, ``.yaml``, ``.xml``), or of a folder with a folder for
        each class; ``"-"`` for standard input; or the names themselves, in label order. Also a mapping between indices
        and names, such as ``id2label`` or ``class_to_idx``; a pandas DataFrame, as its ``.csv``; and objects that have
        one of these, ``classes`` or ``names``: data sets of torchvision, ClassLabels of datasets, configurations of
        transformers, encoders of scikit-learn. Files are UTF-8, with or without a byte-order mark, with any line
        ending.
    class_column
        Which column of a table holds the names, if it is not called ``class``; of other forms that hold several lists,
        which of them.
    separator
        What separates the parts of names that are paths, such as ``" > "`` or ``"/"``: what stands above the last part
        becomes the columns ``level_1``, ``level_2``, …, and the last part the ``phrase``, if there is no such column.

    Raises
    ------
    SourceError
        If the file can't be read or parsed, a name is empty, repeated or not UTF-8, or it is not clear which are the
        classes. Names file and line.
    ClassOrderError
        If the names are in no order.

    Examples
    --------
    >>> read_classes("cifar100").names[:2]
    ('apple', 'aquarium_fish')
    >>> read_classes(["rose", "tulip"]).names
    ('rose', 'tulip')
    >>> read_classes(["home > garden > rose", "home > tools"], separator=" > ").column("level_2")
    ('home > garden', 'home')
    """
    if isinstance(source, str | Path):
        listed = _read_named(source, class_column)
    elif hasattr(source, "columns") and hasattr(source, "to_csv"):
        listed = _of_frame(source, class_column)
    elif class_column is not None:
        raise ParameterError("class_column is for tables; give the names themselves without it")
    else:
        listed = source if isinstance(source, ClassList) else _of_object(source)
    if separator is None:
        return listed
    sign = separator.strip() or separator
    places = [parts_of(name, sign) for name in listed.names]
    found = levels(places, f" {sign} " if separator != sign else sign)
    if not found:
        raise SourceError(
            f"no name holds the separator {separator!r}; choose the one between their parts", listed.source
        )
    return ClassList(listed.names, {**found, **listed.columns}, listed.source, listed.sha256)


def _of_object(source: Any) -> ClassList:
    """Return the classes of a data set or model, or names as they are."""
    if hasattr(source, "wnids") and hasattr(source, "classes"):
        # torchvision's ImageNet, whose classes are tuples of synonyms.
        ids, synonyms = tuple(source.wnids), tuple(", ".join(one) for one in source.classes)
        first = tuple(one[0] for one in source.classes)
        return ClassList(ids, {"name": first, "synset": ids, "phrase": synonyms})
    if hasattr(source, "num_classes") and hasattr(source, "names"):
        return ClassList(names_in_order(source.names))
    for attribute in ("classes", "classes_", "class_to_idx", "id2label"):
        if hasattr(source, attribute):
            return ClassList(names_in_order(getattr(source, attribute)))
    if not isinstance(source, Iterable):
        raise ParameterError(
            f"the classes are {source!r:.60}, which holds none; give names, a file, or a data set that has classes"
        )
    return ClassList(names_in_order(source))


def _of_frame(frame: Any, class_column: str | None) -> ClassList:
    """Return the classes of a DataFrame of pandas, which is read as the file that it writes."""
    path = Path("the DataFrame")
    try:
        text = frame.to_csv(index=frame.index.name is not None)
        return _listed(BY_SUFFIX[".csv"](text, path, class_column), path, "classes")
    except SourceError as error:
        hint = "" if class_column else " (names that are its index: frame.rename_axis('class'))"
        raise SourceError(f"{error}, as a .csv of it would have{hint}") from None


def _read_named(source: str | Path, class_column: str | None) -> ClassList:
    if source == "-":
        path, raw = Path("standard input"), sys.stdin.buffer.read(_LARGEST_STREAM + 1)
        if len(raw) > _LARGEST_STREAM:
            raise SourceError(
                f"holds more than {_LARGEST_STREAM >> 20} MiB, which no class list does; check the pipe", path
            )
        rows = read_unnamed(decoded(raw, path), path, class_column)
        return _listed(rows, path, "stdin", hashlib.sha256(raw).hexdigest())
    if isinstance(source, str) and source in data.class_list_names():
        return _read_file(data.class_list_path(source), source, class_column)
    path = Path(source)
    with reading(path):
        is_there, is_folder = path.exists(), path.is_dir()
    if is_folder:
        where = path.resolve()
        # A folder of one split says less than what it is a split of.
        is_split = where.name.lower() in _SPLITS and where.parent.name
        return _listed(read_folder(path), path, where.parent.name if is_split else where.name)
    if path.suffix.lower() in BY_SUFFIX and not (isinstance(source, str) and "," in source and not is_there):
        return _read_file(path, shown_name(path), class_column)
    if is_there:
        check_input(path)
        raise SourceError(f"a class list ends in {or_list(BY_SUFFIX)}; rename or convert the file", path)
    known = data.class_list_names()
    close = nearest(str(path), known)
    hint = f"did you mean {or_list(close)}?" if close else f"bundled lists are {or_list(known)}"
    if "," in str(source):
        hint = "write the names themselves one a line, into a file or to standard input (-), or give a list in Python"
    raise SourceError(f"is neither a bundled class list nor a file that ends in {or_list(BY_SUFFIX)}; {hint}", path)


def _read_file(path: Path, source: str, class_column: str | None) -> ClassList:
    form = path.suffix.lower()
    if form in (".txt", ".names") and class_column is None and (found := _read_long(path)):
        # The reader of whole texts says what is wrong with names, since it knows their lines.
        with suppress(SourceError):
            return ClassList(found[0], source=source, sha256=found[1])
    raw = read_bytes(path)
    text = decoded(without_annotations(raw) if form == ".json" else raw, path)
    return _listed(BY_SUFFIX[form](text, path, class_column), path, source, hashlib.sha256(raw).hexdigest())


def _read_long(path: Path) -> tuple[TextArray, str] | None:
    """Return the names in a long text of one name a line, and its checksum; None for any other text."""
    with io.BufferedReader(open_input(path)) as file, reading(path):
        if os.fstat(file.fileno()).st_size < _LONG:
            return None
        digest = hashlib.sha256()

        def lines() -> Iterator[bytes]:
            for line in file:
                digest.update(line)
                yield line

        names = plain_names(lines())
    return None if names is None or len(names) < MANY else (names, digest.hexdigest())


def _listed(rows: Sequence[Row], path: Path, source: str, sha256: str = "") -> ClassList:
    if not rows or (len(rows) == 1 and not rows[0].name):
        raise SourceError("holds no classes; name them in it", path)
    names = tuple([row.name for row in rows])
    columns = {column: tuple([row.others[column] for row in rows]) for column in rows[0].others}
    try:
        return ClassList(names, columns, source, sha256)
    except SourceError:
        _explain(all_composed(names), path, [row.line for row in rows])


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
            others = [repr(one) for one, count in Counter(names).items() if count > 1 and one != name]
            more = f", also {some(others)}" if others else ""
            raise SourceError(f"the class {name!r} stands there twice{first}{more}; names must be unique", where, line)
        seen[name] = line
    raise SourceError(f"holds {len(seen)} class(es); a similarity needs at least two", where)
