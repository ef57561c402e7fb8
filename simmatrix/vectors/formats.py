"""The formats of word vectors: how to tell them apart, and the reader of each, which is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from simmatrix.choices import VECTOR_FORMATS
from simmatrix.errors import SourceError
from simmatrix.files import Progress, mistaken, silent
from simmatrix.npy import MAGIC
from simmatrix.text import check_choice, or_list
from simmatrix.vectors.fasttext import is_fasttext
from simmatrix.vectors.streams import ZIP_MAGIC, Files, opened
from simmatrix.vectors.text import text_format
from simmatrix.vectors.vectors import Reader, Request, Vectors

# Where the reader of each of `simmatrix.choices.VECTOR_FORMATS` is.
_READERS: Mapping[str, tuple[str, str]] = {
    "glove": ("text", "GLOVE"),
    "word2vec": ("text", "WORD2VEC"),
    "word2vec-binary": ("word2vec_binary", "WORD2VEC_BINARY"),
    "fasttext": ("fasttext", "FASTTEXT"),
    "keyedvectors": ("gensim", "KEYED_VECTORS"),
    "npy": ("arrays", "NPY"),
    "npz": ("arrays", "NPZ"),
    "safetensors": ("arrays", "SAFETENSORS"),
}
_START = 1 << 16


class VectorFile(NamedTuple):
    """A file of word vectors whose format is known, open for as long as its `Files` are."""

    files: Files
    format: str
    reader: Reader
    vocabulary: Path | None

    def read(self, wanted: Set[str], progress: Progress = silent) -> Vectors:
        """Return the vectors of the wanted words that the file holds."""
        return self.reader.read(Request(self.files.path, wanted, self.files, self.vocabulary, progress))

    def words(self) -> Iterator[str]:
        """Go through the whole vocabulary, in the file's order."""
        return self.reader.words(Request(self.files.path, frozenset(), self.files, self.vocabulary))


def vector_file(files: Files, format: str | None = None, vocabulary: Path | None = None) -> VectorFile:
    """Return the file of vectors with its format, which is detected if not given. Parameters as of `read_vectors`."""
    with opened(files, arrays_packed=True) as stream:
        start = stream.read(_START)
    name = format
    if name is None:
        name = next((one for one, fits in _SIGNATURES if fits(start)), None) or text_format(start)
    if name is None:
        unknown = f'is of no known format of word vectors; give one (format="NAME"): {or_list(VECTOR_FORMATS)}'
        raise SourceError(mistaken(start[:200], "give a file of word vectors") or unknown, files.path)
    if name not in _READERS:
        check_choice("format", name, VECTOR_FORMATS)
    module, constant = _READERS[name]
    reader: Reader = getattr(import_module(f"simmatrix.vectors.{module}"), constant)
    if vocabulary is not None and not reader.takes_vocabulary:
        raise SourceError(f"is of format {name}, which holds its own vocabulary; give none", files.path)
    if stream.is_packed and not reader.streams:
        raise SourceError(f"is compressed, which format {name} can't be read from; unpack it first", files.path)
    return VectorFile(files, name, reader, vocabulary)


def read_vectors(
    path: Path,
    wanted: Set[str],
    *,
    format: str | None = None,
    vocabulary: Path | None = None,
    progress: Progress = silent,
) -> Vectors:
    """Return the vectors of the wanted words that a file holds (without what fastText composes of subwords).

    The file is in one of `simmatrix.choices.VECTOR_FORMATS`, detected if not given; text and word2vec's binary form may
    be compressed (gzip, zip). `vocabulary` is a text file with one word per line, in the order of the rows, for files
    that hold no words. `progress` is called with the bytes done and the bytes there are.

    Examples
    --------
    >>> from simmatrix.data import vector_file_path
    >>> read_vectors(vector_file_path("glove-6b-50d"), {"rose"}).found["rose"].values.shape
    (50,)
    """
    with Files(path) as files:
        return Vectors(vector_file(files, format, vocabulary).read(wanted, progress).found)


def words_of(path: Path, *, format: str | None = None, vocabulary: Path | None = None) -> Iterator[str]:
    """Go through the whole vocabulary of a file, in its order."""
    with Files(path) as files:
        yield from vector_file(files, format, vocabulary).words()


# The first that fits; a file that none fits is text, or word2vec's binary with its text header.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    # The length of a JSON header, then the header; first, since the length may look like another kind's start.
    ("safetensors", lambda start: start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") < 1 << 32),
    ("npz", lambda start: start.startswith(ZIP_MAGIC)),
    ("fasttext", is_fasttext),
    ("npy", lambda start: start.startswith(MAGIC)),
    ("keyedvectors", lambda start: start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")),
)
