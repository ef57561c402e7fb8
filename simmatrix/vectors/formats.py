"""The formats of word vectors: how to tell them apart, and the reader of each, which is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from pathlib import Path
from threading import Event

from simmatrix.choices import VECTOR_FORMATS
from simmatrix.errors import SourceError
from simmatrix.files import Progress, mistaken, silent
from simmatrix.npy import MAGIC
from simmatrix.text import check_choice, or_list
from simmatrix.vectors.fasttext import is_fasttext
from simmatrix.vectors.streams import ZIP_MAGIC, located, opened
from simmatrix.vectors.text import text_format
from simmatrix.vectors.vectors import Files, Reader, Request, Vectors

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


class VectorFile(AbstractContextManager["VectorFile"]):
    """A file of word vectors whose format is known, open until its block ends. Parameters as of `read_vectors`."""

    def __init__(self, path: Path, format: str | None = None, vocabulary: Path | None = None) -> None:
        self.path, self.vocabulary, self.files = path, vocabulary, Files()
        with ExitStack() as failing:
            failing.push(self.files)
            with opened(path, self.files, arrays_packed=True) as stream:
                start = stream.read(_START)
            name = format
            if name is None:
                name = next((one for one, fits in _SIGNATURES if fits(start)), None) or text_format(start)
            if name is None:
                unknown = f'is of no known format of word vectors; give one (format="NAME"): {or_list(VECTOR_FORMATS)}'
                raise SourceError(mistaken(start[:200], "give a file of word vectors") or unknown, path)
            self.format = name
            self.reader = reader_of(name)
            if vocabulary is not None and not self.reader.takes_vocabulary:
                raise SourceError(f"is of format {name}, which holds its own vocabulary; give none", path)
            if stream.is_packed and not self.reader.streams:
                raise SourceError(f"is compressed, which format {name} can't be read from; unpack it first", path)
            failing.pop_all()

    def __exit__(self, *error: object) -> None:
        self.files.__exit__(*error)

    def read(self, wanted: Set[str], progress: Progress = silent) -> Vectors:
        """Return the vectors of the wanted words that the file holds."""
        return self.reader.read(Request(self.path, wanted, self.files, self.vocabulary, progress))

    def words(self) -> Iterator[str]:
        """Go through the whole vocabulary, in the file's order."""
        return self.reader.words(Request(self.path, frozenset(), self.files, self.vocabulary))

    def sha256(self, progress: Progress = silent, stop: Event | None = None) -> str:
        """Return the checksum of the file on the disk; it may be read meanwhile."""
        return self.files.sha256(located(self.path).file, progress, stop)

    def beside(self) -> list[tuple[str, Path, str]]:
        """Return the role, the path and the checksum of each other file that was read; check that none was changed."""
        others = [
            ("vectors" if one.suffix == ".npy" else "vocabulary", one, self.files.sha256(one))
            for one in self.files.beside(located(self.path).file)
        ]
        self.files.check()
        return others


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
    with VectorFile(path, format, vocabulary) as file:
        return Vectors(file.read(wanted, progress).found)


def words_of(path: Path, *, format: str | None = None, vocabulary: Path | None = None) -> Iterator[str]:
    """Go through the whole vocabulary of a file, in its order."""
    with VectorFile(path, format, vocabulary) as file:
        yield from file.words()


def reader_of(format: str) -> Reader:
    """Return the reader of a format; `ParameterError` if there is no such format."""
    if format not in _READERS:
        check_choice("format", format, VECTOR_FORMATS)
    module, name = _READERS[format]
    reader: Reader = getattr(import_module(f"simmatrix.vectors.{module}"), name)
    return reader


# The first that fits; a file that none fits is text, or word2vec's binary with its text header.
_SIGNATURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("npz", lambda start: start.startswith(ZIP_MAGIC)),
    ("fasttext", is_fasttext),
    ("npy", lambda start: start.startswith(MAGIC)),
    ("keyedvectors", lambda start: start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")),
    # The length of a JSON header, then the header.
    ("safetensors", lambda start: start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") < 1 << 32),
)
