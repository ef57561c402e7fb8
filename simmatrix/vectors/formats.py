"""The formats of word vectors, by name, and how to tell them apart."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from simmatrix.errors import SourceError
from simmatrix.files import reading
from simmatrix.suggest import or_list
from simmatrix.vectors.arrays import NPY, NPZ
from simmatrix.vectors.fasttext import FASTTEXT, MAGIC
from simmatrix.vectors.keyedvectors import KEYED_VECTORS
from simmatrix.vectors.safetensors_file import SAFETENSORS
from simmatrix.vectors.streams import PACKING_ERRORS, ZIP_MAGIC, archive_of, check_archive, is_packed, member_of, opened
from simmatrix.vectors.text import GLOVE, WORD2VEC, is_line_of_vectors, looks_like_header
from simmatrix.vectors.vectors import Progress, Reader, Request, Vectors, silent
from simmatrix.vectors.word2vec_binary import WORD2VEC_BINARY

__all__ = ["FORMATS", "detect_format", "is_streamed", "read_vectors", "words_of"]

FORMATS: dict[str, Reader] = {
    "glove": GLOVE,
    "word2vec": WORD2VEC,
    "word2vec-binary": WORD2VEC_BINARY,
    "fasttext": FASTTEXT,
    "keyedvectors": KEYED_VECTORS,
    "npy": NPY,
    "npz": NPZ,
    "safetensors": SAFETENSORS,
}
"""Readers by the format's name. fastText's ``.vec`` is ``word2vec``, its ``.bin`` is ``fasttext``."""

_START = 1 << 16


def read_vectors(
    path: Path,
    wanted: Set[str],
    *,
    format: str | None = None,
    vocabulary: Path | None = None,
    progress: Progress = silent,
) -> Vectors:
    """Return the vectors of the wanted words that a file holds.

    Parameters
    ----------
    path
        A file in one of `FORMATS`; text and word2vec's binary form may be compressed (gzip, zip).
    wanted
        The words to look for, exactly as they stand.
    format
        A name from `FORMATS`; detected from the file's contents if not given.
    vocabulary
        A text file with the words in the order of the rows, for formats that hold an array alone.
    progress
        Called with the bytes done and the bytes there are.

    Raises
    ------
    SourceError
        If the file can't be read, is damaged, or is of another format. Names the line where there are lines.

    Examples
    --------
    >>> from simmatrix.data import vector_file_path
    >>> read_vectors(vector_file_path("glove-6b-50d"), {"rose"}).found["rose"].values.shape
    (50,)
    """
    reader = _reader(path, format, vocabulary)
    return reader.read(Request(path, wanted, vocabulary, progress))


def words_of(
    path: Path,
    *,
    format: str | None = None,
    vocabulary: Path | None = None,
) -> Iterator[str]:
    """Go through the whole vocabulary of a file, in its order."""
    reader = _reader(path, format, vocabulary)
    return reader.words(Request(path, frozenset(), vocabulary))


def is_streamed(path: Path, *, format: str | None = None) -> bool:
    """Tell whether a file is read from its start to its end, so that its reader has progress to report."""
    return _reader(path, format, None).streams


def _reader(path: Path, format: str | None, vocabulary: Path | None) -> Reader:
    check_archive(path)
    name = detect_format(path) if format is None else format
    if name not in FORMATS:
        raise SourceError(f"{name!r} is no format of word vectors; choose {or_list(FORMATS)}")
    if vocabulary is not None and not FORMATS[name].takes_vocabulary:
        raise SourceError(f"is of format {name}, which holds its own vocabulary; leave out --vocabulary", path)
    if not FORMATS[name].streams and name != "npz" and is_packed(path):
        raise SourceError(f"is compressed, which format {name} can't be read from; unpack it first", path)
    return FORMATS[name]


def detect_format(path: Path) -> str:
    """Return the name of a file's format, told from its first bytes."""
    check_archive(path)
    archive = archive_of(path)
    with reading(archive), archive.open("rb") as file:
        start = file.read(16)
    if start.startswith(ZIP_MAGIC) and member_of(path) is None and _is_npz(path):
        return "npz"
    with opened(path) as stream:
        content = stream.read(_START)
    for name, fits in _SIGNATURES:
        if fits(content):
            return name
    raise SourceError(f"is of no known format of word vectors; give one with --format: {or_list(FORMATS)}", path)


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except PACKING_ERRORS:
        raise SourceError("is a damaged zip archive; get the file again", path) from None
    return bool(names) and all(name.endswith(".npy") for name in names)


def _is_safetensors(start: bytes) -> bool:
    # The length of a JSON header, then the header.
    return len(start) > 9 and start[8:9] == b"{" and 2 <= struct.unpack("<Q", start[:8])[0] < 1 << 32


def _is_headed(start: bytes) -> bool:
    return looks_like_header(start.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf"))


def _is_headed_text(start: bytes) -> bool:
    header, _newline, rest = start.partition(b"\n")
    if not _is_headed(start):
        return False
    dimension = int(header.split()[1])
    line, newline, _rest = rest.partition(b"\n")
    # A first line longer than what was read is judged by the numbers that were.
    return is_line_of_vectors(line, dimension if newline else None)


def _is_glove(start: bytes) -> bool:
    return is_line_of_vectors(start.partition(b"\n")[0], None)


# The first that fits. A headed file is text if its first vector reads as text, else binary.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("fasttext", lambda start: start.startswith(MAGIC)),
    ("npy", lambda start: start.startswith(b"\x93NUMPY")),
    ("keyedvectors", lambda start: start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")),
    ("safetensors", _is_safetensors),
    ("word2vec", _is_headed_text),
    ("word2vec-binary", _is_headed),
    ("glove", _is_glove),
)
