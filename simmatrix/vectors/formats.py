"""The formats of word vectors: how to tell them apart, and the reader of each, which is imported when it is needed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Set
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from simmatrix.choices import VECTOR_FORMATS
from simmatrix.errors import SourceError
from simmatrix.files import Progress, silent
from simmatrix.text import check_choice, or_list
from simmatrix.vectors.streams import FASTTEXT_MAGIC, ZIP_MAGIC, start_of
from simmatrix.vectors.text import text_format
from simmatrix.vectors.vectors import Reader, Request, Vectors

__all__ = ["VectorFile", "detect_format", "open_vectors", "read_vectors", "reader_of", "words_of"]

# Where the reader of each of `simmatrix.choices.VECTOR_FORMATS` is.
_READERS: Mapping[str, tuple[str, str]] = {
    "glove": ("text", "GLOVE"),
    "word2vec": ("text", "WORD2VEC"),
    "word2vec-binary": ("word2vec_binary", "WORD2VEC_BINARY"),
    "fasttext": ("gensim", "FASTTEXT"),
    "keyedvectors": ("gensim", "KEYED_VECTORS"),
    "npy": ("arrays", "NPY"),
    "npz": ("arrays", "NPZ"),
    "safetensors": ("arrays", "SAFETENSORS"),
}
_START = 1 << 16


class VectorFile(NamedTuple):
    """A file of word vectors whose format is known."""

    path: Path
    reader: Reader
    vocabulary: Path | None = None

    @property
    def streams(self) -> bool:
        """Whether the file is read from its start to its end, so that its reader has progress to report."""
        return self.reader.streams

    def read(self, wanted: Set[str], progress: Progress = silent) -> Vectors:
        """Return the vectors of the wanted words that the file holds."""
        return self.reader.read(Request(self.path, wanted, self.vocabulary, progress))

    def words(self) -> Iterator[str]:
        """Go through the whole vocabulary, in the file's order."""
        return self.reader.words(Request(self.path, frozenset(), self.vocabulary))


def open_vectors(path: Path, format: str | None = None, vocabulary: Path | None = None) -> VectorFile:
    """Return a file with the reader of its format. For the parameters and errors see `read_vectors`."""
    start, is_packed = start_of(path, _START)
    name = _detected(start, path) if format is None else format
    if name not in _READERS:
        check_choice("format", name, VECTOR_FORMATS)
    reader = reader_of(name)
    if vocabulary is not None and not reader.takes_vocabulary:
        raise SourceError(f"is of format {name}, which holds its own vocabulary; give none", path)
    if is_packed and not reader.streams:
        raise SourceError(f"is compressed, which format {name} can't be read from; unpack it first", path)
    return VectorFile(path, reader, vocabulary)


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
        A file in one of `simmatrix.choices.VECTOR_FORMATS`; text and word2vec's binary form may be compressed (gzip,
        zip).
    wanted
        The words to look for, exactly as they stand.
    format
        The file's format; detected from its contents if not given.
    vocabulary
        Text file with one word per line, in the order of the rows, for files that hold no words.
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
    return open_vectors(path, format, vocabulary).read(wanted, progress)


def words_of(path: Path, *, format: str | None = None, vocabulary: Path | None = None) -> Iterator[str]:
    """Go through the whole vocabulary of a file, in its order."""
    return open_vectors(path, format, vocabulary).words()


def reader_of(format: str) -> Reader:
    """Return the reader of a format."""
    module, name = _READERS[format]
    reader: Reader = getattr(import_module(f"simmatrix.vectors.{module}"), name)
    return reader


def detect_format(path: Path) -> str:
    """Return the name of a file's format, told from its first bytes."""
    return _detected(start_of(path, _START)[0], path)


def _detected(start: bytes, path: Path) -> str:
    name = next((name for name, fits in _SIGNATURES if fits(start)), None) or text_format(start)
    if name is not None:
        return name
    formats = or_list(VECTOR_FORMATS)
    raise SourceError(f'is of no known format of word vectors; give one (format="NAME"): {formats}', path)


def _is_safetensors(start: bytes) -> bool:
    # The length of a JSON header, then the header.
    return len(start) > 9 and start[8:9] == b"{" and 2 <= struct.unpack("<Q", start[:8])[0] < 1 << 32


# The first that fits; what none does is text, or word2vec's binary with its text header.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("npz", lambda start: start.startswith(ZIP_MAGIC)),
    ("fasttext", lambda start: start.startswith(FASTTEXT_MAGIC)),
    ("npy", lambda start: start.startswith(b"\x93NUMPY")),
    ("keyedvectors", lambda start: start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")),
    ("safetensors", _is_safetensors),
)
