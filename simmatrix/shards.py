"""A sparse matrix in several files (format version 3, docs/file-format.md): rows in shards, and an index over them.

The index is what makes a matrix of the shards, and is written last. A shard is named after its own content, so new ones
never take the place of those that an older index lists: whoever reads has the old matrix or the new one. A file beside
the index says which shards are done; it is locked while somebody writes, and what it lists is taken up by the next run
of the same build.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np

from simmatrix.container import CODES, Container, canonical_json, open_container, parsed_json, serialised
from simmatrix.errors import MatrixError, OutputError, ParameterError, SourceError
from simmatrix.files import Progress, check_output_folder, open_input, reading, silent, whole, write_atomically, writing
from simmatrix.forms import Form, Sparse
from simmatrix.names import MANY, TextArray
from simmatrix.provenance import FoundArray, Provenance
from simmatrix.shapes import Float, Int
from simmatrix.storage import SUFFIX
from simmatrix.version import __version__

FORMAT_VERSION = 3
ROWS = 1 << 15
"""Rows in a shard, if nothing else is asked for."""

_HEAD = {"format": "simmatrix", "format_version": str(FORMAT_VERSION), "kind": "similarity"}
_PARTS = {"crow_indices": "I64", "col_indices": "I32", "values": "F32"}
_NAMES = {"class_names": "U8", "class_offsets": "I64"}
_FOUND = {"resolution": "U8", "resolution_offsets": "I64"}
_REMEDY = "get all files of the matrix again, or build it again"
_IS_FILE = re.compile(r"[^/\\\x00]{1,250}\.safetensors")
_IS_DIGEST = re.compile("[0-9a-f]{64}")
_MOST_SHARDS = 99_999
# Somebody may replace a matrix between the reading of its index and that of its shards.
_TRIES = 20

_Found = TypeVar("_Found")


class Rows(NamedTuple):
    """Some rows of a matrix of C classes, as the parts of a CSR array; the starts begin at 0."""

    starts: Int[np.ndarray, " R1"]
    columns: Int[np.ndarray, " nnz"]
    values: Float[np.ndarray, " nnz"]


class Shard(NamedTuple):
    """What an index lists of a shard: its file, the rows first, ..., last - 1 in it, their entries, its SHA-256."""

    file: str
    first: int
    last: int
    entries: int
    sha256: str


class Index(NamedTuple):
    """An index that was read: its texts, its shards in the order of their rows, and the file of the names."""

    path: Path
    metadata: Mapping[str, str]
    size: int
    shards: tuple[Shard, ...]
    names: tuple[str, str]  # file and SHA-256
    sha256: str

    def files(self) -> list[str]:
        """Return the files that the index lists."""
        return [self.names[0], *(one.file for one in self.shards)]

    def beside(self, file: str) -> Path:
        """Return where a file of the matrix lies: beside the index, or beside what the index is a link to."""
        path = self.path.with_name(file)
        return path if path.exists() else self.path.resolve().with_name(file)


class ShardsFile(NamedTuple):
    """The rows that were asked for, the names of all classes and what is told of the matrix."""

    rows: Rows
    classes: Sequence[str]
    provenance: Provenance
    sha256: str


# --- writing ----------------------------------------------------------------------------------------------------------


def shard_ranges(count: int, shards: int | None = None) -> list[range]:
    """Return the rows of each shard: as many as are asked for, or with 32,768 rows each."""
    step = ROWS if shards is None else -(-count // shards)
    return [range(first, min(first + step, count)) for first in range(0, count, step)]


def make_shard(index: Path, number: int, of: int, first: int, rows: Rows, count: int) -> Shard:
    """Write a shard, which counts nothing before an index lists it, and return what the index is to say of it.

    Raises `MatrixError` if the rows are no rows of a similarity matrix of so many classes, and `OutputError` if the
    file can't be written.
    """
    last = first + len(rows.starts) - 1
    _check_rows(rows, first, count, f"rows {first} to {last - 1}")
    tensors = {
        f"{name}.{number:05}": np.ascontiguousarray(part, CODES[kind])
        for (name, kind), part in zip(_PARTS.items(), rows, strict=True)
    }
    file, sha256 = _write(index, f"{number:05}-of-{of:05}", tensors, {"kind": "rows", "rows": f"{first}:{last}"})
    return Shard(file, first, last, len(rows.values), sha256)


def _write(index: Path, what: str, tensors: Mapping[str, np.ndarray], told: Mapping[str, str]) -> tuple[str, str]:
    parts = serialised(tensors, {**_HEAD, **told})
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    file = f"{_stem(index)}-{digest.hexdigest()[:12]}-{what}.safetensors"
    write_atomically(index.with_name(file), parts)
    return file, digest.hexdigest()


def _stem(index: Path) -> str:
    return index.name.removesuffix(SUFFIX)


def _check_rows(rows: Rows, first: int, count: int, where: str) -> None:
    """Raise `MatrixError` for what can't be rows of a matrix: in order, above 0, at most 1, and 1 on the diagonal."""
    starts, columns, values = rows
    lengths = np.diff(starts)
    if starts[0] != 0 or (lengths < 1).any() or not starts[-1] == len(columns) == len(values):
        raise MatrixError(f"{where}: no row has room for its diagonal, or the parts do not fit each other")
    own = np.arange(first, first + len(lengths), dtype=np.int32)
    if columns.min() < 0 or columns.max() >= count or _is_unsorted(starts, columns):
        raise MatrixError(f"{where}: the columns do not ascend within 0 to {count - 1}")
    # NaN fails both comparisons.
    if not (values.min() > 0 and values.max() <= 1):
        raise MatrixError(f"{where}: a stored similarity is not above 0 and at most 1; normalise the values first")
    is_own = columns == np.repeat(own, lengths)
    if np.count_nonzero(is_own) != len(own) or (values[is_own] != 1).any():
        raise MatrixError(f"{where}: the similarity of a class to itself is not 1; set the diagonal to 1")


def _is_unsorted(starts: Int[np.ndarray, " R1"], columns: Int[np.ndarray, " nnz"]) -> bool:
    is_within = np.ones(len(columns) + 1, bool)
    is_within[starts] = False
    return bool((is_within[1:-1] & (columns[1:] <= columns[:-1])).any())


def write_shards(
    path: Path,
    form: Form,
    classes: Sequence[str],
    provenance: Provenance,
    shards: int | None,
    evidence: np.ndarray | None,
) -> None:
    """Write a sparse matrix in shards; see `simmatrix.save`."""
    if not isinstance(form, Sparse) or evidence is not None:
        what = "with evidence" if evidence is not None else f"whose form is {form.name}"
        one = f"{_stem(path)}.safetensors"
        raise OutputError(f"a matrix {what} is written as one file ({one}); only sparse ones are, in shards", path)
    if shards is not None and not 1 <= shards <= min(len(form), _MOST_SHARDS):
        raise ParameterError(f"shards must be from 1 to {min(len(form), _MOST_SHARDS)}, got {shards}")
    provenance.check(path)
    starts, columns, values = form.tensors().values()
    with unfinished(path) as build:
        ranges = shard_ranges(len(form), shards)
        for number, rows in enumerate(ranges, 1):
            own = starts[rows.start : rows.stop + 1]
            part = Rows(own - own[0], columns[own[0] : own[-1]], values[own[0] : own[-1]])
            build.add(number, make_shard(build.path, number, len(ranges), rows.start, part, len(form)))
        build.commit(classes, provenance)


class Unfinished:
    """A matrix in shards that is being written; see `unfinished`.

    `done` has the shards that are there, by number: what an earlier run of the same build left, and what was added.
    """

    def __init__(self, path: Path, journal: IO[bytes], key: str) -> None:
        self.path = path
        self.done: dict[int, Shard] = {}
        self._journal = journal
        lines = journal.read().split(b"\n")
        try:
            earlier, *shards = [parsed_json(line) for line in lines[:-1]]
            found = {int(number): Shard(*one) for number, *one in shards}
        except (ValueError, TypeError):
            earlier, found = "", {}
        if key and earlier == key:
            self.done = {number: one for number, one in found.items() if self._is_whole(one)}
        journal.truncate(0)
        self._note(key)
        for number, shard in self.done.items():
            self._note([number, *shard])

    def _is_whole(self, shard: Shard) -> bool:
        with suppress(OSError):
            return hashlib.sha256(self.path.with_name(shard.file).read_bytes()).hexdigest() == shard.sha256
        return False

    def _note(self, what: object) -> None:
        with writing(self.path):
            self._journal.write(canonical_json(what).encode() + b"\n")
            self._journal.flush()

    def add(self, number: int, shard: Shard) -> None:
        """Note that a shard is there."""
        self.done[number] = shard
        self._note([number, *shard])

    def commit(self, classes: Sequence[str], provenance: Provenance) -> None:
        """Write the names and the index, which make a matrix of the shards, and remove those that nobody lists."""
        shards = [self.done[number] for number in sorted(self.done)]
        names = classes if isinstance(classes, TextArray) else TextArray.of(classes)
        tensors: dict[str, np.ndarray] = {"class_offsets": names.offsets, "class_names": names.data}
        if provenance.resolution:
            found = FoundArray.of(classes, provenance.resolution).texts
            tensors = {**tensors, "resolution_offsets": found.offsets, "resolution": found.data}
        # int64 first, so that every tensor starts at a multiple of its item's size.
        tensors = dict(sorted(tensors.items(), key=lambda one: one[1].dtype.itemsize, reverse=True))
        file, sha256 = _write(self.path, "classes", tensors, {"kind": "classes"})
        told = replace(provenance, resolution={}).to_metadata()
        del told["resolution"]
        metadata = {
            **_HEAD,
            "classes": str(len(names)),
            **{name: one if isinstance(one, str) else canonical_json(one) for name, one in told.items()},
            "tool_version": __version__,
            "names": canonical_json([file, sha256]),
            "shards": canonical_json(shards),
        }
        content = {"metadata": metadata, "weight_map": {**_places(shards), **dict.fromkeys(tensors, file)}}
        before = _own_files(self.path)
        write_atomically(self.path, [json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"])
        self.remove_unlisted(before)

    def remove_unlisted(self, more: Iterable[str] = ()) -> None:
        """Remove the shards of this name, and more, that no index in the folder lists; none if one can't be read."""
        folder, stem = self.path.parent, re.escape(_stem(self.path))
        ours = re.compile(stem + r"-[0-9a-f]{12}-(\d{5}-of-\d{5}|classes)\.safetensors")
        with suppress(OSError):
            there = [one.name for one in folder.iterdir()]
            found = {*(name for name in there if ours.fullmatch(name)), *more}
            listed: set[str] = set()
            for name in there if found else ():
                # What is no index lists nothing.
                with suppress(ValueError, LookupError, AttributeError, TypeError, RecursionError):
                    if name.endswith(SUFFIX):
                        listed |= set(json.loads((folder / name).read_bytes())["weight_map"].values())
            for name in found - listed:
                (folder / name).unlink(missing_ok=True)


def _places(shards: Iterable[Shard]) -> dict[str, str]:
    """Return which file has which tensor of the shards."""
    return {f"{part}.{number:05}": one.file for number, one in enumerate(shards, 1) for part in _PARTS}


def _own_files(path: Path) -> set[str]:
    """Return the files that a matrix at `path` consists of, as far as they are named after their content as ours are.

    All else may be somebody's, whatever the index says.
    """
    with suppress(SourceError):
        index = read_index(path)
        sums = [index.names, *((one.file, one.sha256) for one in index.shards)]
        ours = r".*-{}-(\d{{5}}-of-\d{{5}}|classes)\.safetensors"
        return {file for file, sha256 in sums if re.fullmatch(ours.format(sha256[:12]), file)}
    return set()


@contextmanager
def unfinished(path: Path, key: str = "") -> Iterator[Unfinished]:
    """Open a matrix in shards for writing, by its index; nobody else may write it until the end of the block.

    The key says which build it is. Of builds that have one, the shards that are done stay where something goes wrong,
    and the next build with the same key takes them up; without one they are removed. Raises `OutputError` if something
    else is there, or somebody else writes it.
    """
    check_index(path)
    path = path.resolve()
    name = path.with_name(f".{_stem(path)}.simmatrix-build")
    with writing(path):
        journal = _locked(name, path)
    with journal:
        build = Unfinished(path, journal, key)
        is_whole = False
        try:
            if not build.done:
                build.remove_unlisted()
            yield build
            is_whole = True
        finally:
            with suppress(OSError):
                vectors_beside(path).unlink()
            if is_whole or not key:
                build.remove_unlisted()
                with suppress(OSError):
                    name.unlink()


def vectors_beside(index: Path) -> Path:
    """Return the file that workers map while they write a matrix; it goes when the writing ends, well or badly."""
    return index.with_name(f".{index.name}.vectors")


def _locked(name: Path, path: Path) -> IO[bytes]:
    """Open the journal and lock it, where that is possible; the lock ends with the process."""
    while True:
        journal = name.open("a+b")
        try:
            import fcntl

            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            journal.close()
            raise OutputError(
                "is being written by another process; wait for it, or write to another file", path
            ) from None
        except (ImportError, OSError):
            pass
        if os.fstat(journal.fileno()).st_nlink:
            journal.seek(0)
            return journal
        # Its owner removed it before it was locked.
        journal.close()


def check_index(path: Path) -> None:
    """Raise `OutputError` unless an index may be written to `path`: nothing is there yet, or one of a matrix is."""
    check_output_folder(path)
    if path.exists():
        try:
            read_index(path)
        except SourceError:
            message = "is there already and is no index of a similarity matrix; it is left alone, write to another file"
            raise OutputError(message, path) from None


# --- reading ----------------------------------------------------------------------------------------------------------


def read_index(path: Path) -> Index:
    """Read an index. Raises `SourceError` if it is missing, damaged, of a newer version or of something else."""
    with open_input(path) as file, reading(path):
        raw = whole(file, path)
    try:
        content = parsed_json(raw)
    except ValueError as error:
        raise SourceError(f"is no index of a matrix, or a damaged one ({error}); {_REMEDY}", path) from None
    metadata = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(metadata, dict) or metadata.get("format") != _HEAD["format"]:
        raise SourceError("is no index of a similarity matrix; give one made by simmatrix build", path)
    if not all(isinstance(text, str) for text in metadata.values()):
        raise SourceError(f"its metadata is no text; {_REMEDY}", path)
    version = metadata.get("format_version", "")
    if re.fullmatch("[1-9][0-9]{0,8}", version) and int(version) > FORMAT_VERSION:
        raise SourceError(
            f"has format version {version}, this release reads up to {FORMAT_VERSION}; install a newer release", path
        )
    if {name: metadata.get(name) for name in _HEAD} != _HEAD:
        raise SourceError(f"is no index of version {FORMAT_VERSION} of a similarity matrix; {_REMEDY}", path)
    try:
        count, names, shards = _parsed(metadata, content.get("weight_map"))
    except (KeyError, TypeError, ValueError):
        raise SourceError(f"lists no files that make a matrix; {_REMEDY}", path) from None
    return Index(path, metadata, count, shards, names, hashlib.sha256(raw).hexdigest())


def _parsed(metadata: Mapping[str, str], places: object) -> tuple[int, tuple[str, str], tuple[Shard, ...]]:
    """Return the number of classes, the file of their names and the shards. Raises ValueError and its like."""
    if not re.fullmatch("[1-9][0-9]{0,9}", metadata["classes"]):
        raise ValueError("no number of classes")
    count = int(metadata["classes"])
    file, sha256 = parsed_json(metadata["names"])
    shards = tuple(Shard(*one) for one in parsed_json(metadata["shards"]))
    row = 0
    for one in shards:
        numbers = one[1:4]
        if not all(type(number) is int for number in numbers) or one.first != row or not row < one.last <= count:
            raise ValueError("the rows do not follow each other")
        if not one.last - one.first <= one.entries <= (one.last - one.first) * count:
            raise ValueError("the entries do not fit")
        row = one.last
    files = [(file, sha256), *((one.file, one.sha256) for one in shards)]
    are_files = all(_IS_FILE.fullmatch(name) and _IS_DIGEST.fullmatch(digest) for name, digest in files)
    if row != count or len(shards) > _MOST_SHARDS or len({name for name, _ in files}) < len(files) or not are_files:
        raise ValueError("the files are not sound")
    texts = [dict.fromkeys(one, file) for one in (_NAMES, {**_NAMES, **_FOUND})]
    if places not in [{**_places(shards), **one} for one in texts]:
        raise ValueError("the map is not that of the files")
    return count, (file, sha256), shards


def read_shards(path: Path, rows: range | None = None, progress: Progress = silent) -> ShardsFile:
    """Read all rows of a matrix, or some that follow each other, from the shards that hold them.

    Each shard that is read is checked against the index: a reader never has shards of two matrices. Raises
    `SourceError` if a file is missing, damaged or another than the index lists, or the rows are not there.
    """
    return _steady(path, lambda index: _read(index, rows, progress))


def _steady(path: Path, read: Callable[[Index], _Found]) -> _Found:
    """Return what is read of one index, of a newer one where it was replaced in the meantime."""
    for attempt in range(1, _TRIES + 1):
        # While the file is open no other one can be taken for it, not even one of the same bytes.
        with open_input(path) as file:
            index = read_index(path)
            try:
                return read(index)
            except SourceError:
                if attempt == _TRIES or _leads_to(path, file):
                    raise
    raise AssertionError


def _leads_to(path: Path, file: io.FileIO) -> bool:
    """Tell whether an open file still stands at a path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def checked_rows(rows: range, count: int, path: Path) -> range:
    """Return rows that follow each other among those of `count` classes. Raises `SourceError` for others."""
    if rows.step != 1 or not 0 <= rows.start < rows.stop <= count:
        raise SourceError(f"has no {rows}; its rows are range(0, {count}), in steps of 1", path)
    return rows


def _read(index: Index, rows: range | None, progress: Progress) -> ShardsFile:
    from concurrent.futures import ThreadPoolExecutor

    rows = range(index.size) if rows is None else checked_rows(rows, index.size, index.path)
    classes, provenance = _read_names(index)
    wanted = [at for at, one in enumerate(index.shards) if one.first < rows.stop and one.last > rows.start]
    first, last = index.shards[wanted[0]].first, index.shards[wanted[-1]].last
    for at in wanted:
        _check_size(index, index.shards[at])
    ends = np.cumsum([0, *(index.shards[at].entries for at in wanted)]).tolist()
    starts = np.zeros(last - first + 1, np.int64)
    columns, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)

    def fill(number: int) -> int:
        at, place = wanted[number], slice(ends[number], ends[number + 1])
        own = _read_shard(index, at, (columns[place], values[place])).starts
        shard = index.shards[at]
        starts[shard.first - first : shard.last - first + 1] = own + ends[number]
        return shard.last

    # One is checked while another is read. Where a shard begins in the starts, both that meet there write the same.
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(fill, range(len(wanted))):
            progress(done - first, last - first)
    starts = starts[rows.start - first : rows.stop - first + 1]
    place = slice(int(starts[0]), int(starts[-1]))
    parts = Rows(starts - starts[0], columns[place], values[place])
    for part in (columns, values, *parts):
        part.flags.writeable = False
    return ShardsFile(parts, classes, provenance, index.sha256)


def _check_size(index: Index, shard: Shard) -> None:
    """Raise `SourceError` for a shard that is not there, or too small for its entries: no memory is taken for those."""
    path = index.beside(shard.file)
    try:
        size = path.stat().st_size if path.is_file() else None
    except FileNotFoundError:  # it was replaced between the two
        size = None
    if size is None:
        raise _missing(index, shard.file)
    if size < 8 * shard.entries:
        raise SourceError(f"is not the file that {index.path.name} lists (it is smaller); {_REMEDY}", path)


def _missing(index: Index, file: str) -> SourceError:
    return SourceError(f"lists the file {file}, which is not beside it; {_REMEDY}", index.path)


class Columns(NamedTuple):
    """Some columns of all rows, counted from the first of them, as the parts of a CSR array that may be written to."""

    starts: Int[np.ndarray, " C1"]
    columns: Int[np.ndarray, " nnz"]
    values: Float[np.ndarray, " nnz"]
    here: range
    classes: Sequence[str]
    total: float  # the sum of all entries of the whole matrix


def read_columns(path: Path, here: Callable[[int], range]) -> Columns:
    """Read some columns of all rows, one shard after the other: no more is held than these and a shard.

    `here` says which columns, of how many classes.
    """
    return _steady(path, lambda index: _read_columns(index, here(index.size)))


def _read_columns(index: Index, here: range) -> Columns:
    classes, _provenance = _read_names(index)
    counts = np.zeros(index.size + 1, np.int64)
    columns, values = np.empty(0, np.int32), np.empty(0, np.float32)
    total = 0.0
    for at, shard in enumerate(index.shards):
        rows = _read_shard(index, at)
        is_here = (rows.columns >= here.start) & (rows.columns < here.stop)
        before = np.concatenate([[0], np.cumsum(is_here)])[rows.starts]
        counts[shard.first + 1 : shard.last + 1] = np.diff(before)
        # In place: pieces that are joined at the end take twice the memory for a moment.
        end = len(values)
        for kept, part in ((columns, rows.columns), (values, rows.values)):
            kept.resize(end + int(before[-1]), refcheck=False)
            np.compress(is_here, part, out=kept[end:])
        columns[end:] -= np.int32(here.start)
        total += float(rows.values.sum(dtype=np.float64))
    return Columns(np.cumsum(counts), columns, values, here, classes, total)


def _read_shard(index: Index, at: int, out: tuple[np.ndarray, np.ndarray] | None = None) -> Rows:
    shard = index.shards[at]
    starts = np.empty(shard.last - shard.first + 1, np.int64)
    columns, values = out or (np.empty(shard.entries, np.int32), np.empty(shard.entries, np.float32))
    found = Rows(starts, columns, values)
    parts = {f"{name}.{at + 1:05}": part for name, part in zip(_PARTS, found, strict=True)}
    layout = {name: (kind, [len(part)]) for (name, part), kind in zip(parts.items(), _PARTS.values(), strict=True)}
    with _opened(index, shard.file, layout) as file:
        _fill(index, file, parts, shard.sha256)
    try:
        _check_rows(found, shard.first, index.size, "its rows")
    except MatrixError as error:
        raise SourceError(f"{error}; {_REMEDY}", index.beside(shard.file)) from None
    return found


def _read_names(index: Index) -> tuple[Sequence[str], Provenance]:
    file, sha256 = index.names
    path = index.beside(file)
    with _opened(index, file, None) as container:
        arrays = {
            name: np.empty(one["shape"], np.uint8 if one["dtype"] == "U8" else np.int64)
            for name, one in container.tensors.items()
        }
        _fill(index, container, arrays, sha256)
    for one in arrays.values():
        one.flags.writeable = False
    try:
        names = TextArray(arrays["class_names"], arrays["class_offsets"])
        texts = TextArray(arrays["resolution"], arrays["resolution_offsets"]) if "resolution" in arrays else None
    except ValueError as error:
        raise SourceError(f"its texts are damaged ({error}); {_REMEDY}", path) from None
    if len(names) != index.size or (texts is not None and len(texts) != index.size) or not names.are_composed():
        raise SourceError(f"its names are not those of {index.size} classes; {_REMEDY}", path)
    provenance = Provenance.from_metadata({**index.metadata, "resolution": "{}"}, index.path)
    if texts is not None:
        found = FoundArray(names, texts, path)
        provenance = replace(provenance, resolution=found if len(names) >= MANY else dict(found.items()))
    return names if len(names) >= MANY else tuple(names), provenance


@contextmanager
def _opened(index: Index, file: str, expected: Mapping[str, tuple[str, list[int]]] | None) -> Iterator[Container]:
    path = index.beside(file)
    if not path.is_file():
        raise _missing(index, file)
    with open_container(path, _REMEDY) as container:
        found = {name: (one["dtype"], one["shape"]) for name, one in container.tensors.items()}
        types = {name: dtype for name, (dtype, _shape) in found.items()}
        is_names = types in (_NAMES, {**_NAMES, **_FOUND}) and all(len(shape) == 1 for _, shape in found.values())
        if found != expected if expected is not None else not is_names:
            raise SourceError(f"is not the file that {index.path.name} lists; {_REMEDY}", path)
        yield container


def _fill(index: Index, file: Container, arrays: Mapping[str, np.ndarray], sha256: str) -> None:
    """Read a file's tensors into arrays. Raises `SourceError` unless the bytes have the checksum that is listed."""
    digest = hashlib.sha256(file.header())
    for name in sorted(file.tensors, key=lambda name: file.tensors[name]["data_offsets"]):
        digest.update(file.read_into(name, arrays[name]))
    if digest.hexdigest() != sha256:
        raise SourceError(
            f"is not the file that {index.path.name} lists (its checksum is another): it was changed, or is of another "
            f"matrix; {_REMEDY}",
            file.path,
        )
