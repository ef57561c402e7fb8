"""gensim's files: KeyedVectors (``.kv``), a pickle with large arrays in ``.npy`` beside it; and fastText's own binary.

Loading a pickle runs whatever code it names, and a user's file is data. So gensim's own loader is not used for
KeyedVectors: an unpickler builds inert records in place of gensim's classes and of NumPy's arrays, and refuses every
other name; what the records say of an array is checked, and its bytes are read as numbers. Vectors that gensim stored
beside the file are memory-mapped: only the wanted words' rows are read. fastText's binary holds no code; gensim reads
it, and composes words outside the vocabulary of their subwords.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.shapes import Float
from simmatrix.vectors.arrays import check_matrix, read_npy
from simmatrix.vectors.streams import FASTTEXT_MAGIC
from simmatrix.vectors.vectors import Reader, Request, Vectors, WordVector, pick

if TYPE_CHECKING:
    from gensim.models.fasttext import FastTextKeyedVectors

__all__ = ["FASTTEXT", "KEYED_VECTORS"]


class _Record:
    """Stands in for gensim's classes and for NumPy's arrays: holds what the file gives it and can do nothing."""

    __slots__ = ("arguments", "state")

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: object) -> _Record:
        record = super().__new__(cls)
        record.arguments, record.state = arguments, {}
        return record

    def __setstate__(self, state: object) -> None:
        self.state = state


_NUMBER = re.compile("[<>|][fiu][1248]")
_GENSIM = (
    "KeyedVectors",
    "Word2VecKeyedVectors",
    "EuclideanKeyedVectors",
    "FastTextKeyedVectors",
    "Vocab",
    "CompatVocab",
)
_KNOWN = {
    "gensim.models.keyedvectors": _GENSIM,
    "gensim.models.fasttext": ("FastTextKeyedVectors",),
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct",),
    "numpy._core.multiarray": ("_reconstruct",),
    # With this, pickles of protocol 2 (gensim's before version 4) spell bytes.
    "_codecs": ("encode",),
}


class _Unpickler(pickle.Unpickler):
    """Gives a record for each name that gensim's files need, and refuses every other name.

    Nothing real is handed out: even `numpy.ndarray`, called with the wrong arguments, reads memory that is not its own.
    """

    def find_class(self, module: str, name: str) -> Any:
        if name not in _KNOWN.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which has no place in word vectors")

        # A class of its own for each use: a file can put attributes on a class, and they go with it.
        class Stand(_Record):
            __slots__ = ()

        return Stand


def _read(request: Request) -> Vectors:
    record = _load(request.path)
    rows = _rows(record, request.path)
    return pick(request.wanted, _vocabulary(record, request.path), len(rows), rows.__getitem__, request.path)


def _words(request: Request) -> Iterator[str]:
    yield from _vocabulary(_load(request.path), request.path)


KEYED_VECTORS = Reader(_read, _words)


def _load(path: Path) -> dict[str, Any]:
    check_input(path)
    try:
        with reading(path), path.open("rb") as file:
            record = _Unpickler(file).load()
    except SourceError:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise SourceError(
            f"can't be read as KeyedVectors ({error}); if you trust it, load it with gensim and save it as word2vec",
            path,
        ) from None
    if not isinstance(record, _Record) or not isinstance(record.state, dict):
        raise SourceError("is a pickle of something else than KeyedVectors; save these with gensim", path)
    return record.state


def _rows(record: dict[str, Any], path: Path) -> Float[np.ndarray, "V d"]:
    # gensim leaves the names of arrays that it stored beside the file in `__numpys`; before version 4 the attribute of
    # the vectors was `syn0` for a while.
    beside = record.get("__numpys")
    stored = beside if isinstance(beside, list) else []
    for name in ("vectors", "syn0"):
        if name in stored:
            return read_npy(path.with_name(f"{path.name}.{name}.npy"))
        if isinstance(record.get(name), _Record):
            return _array(record[name], path)
    if "vectors_ngrams" in {*record, *(name for name in stored if isinstance(name, str))}:
        raise SourceError("holds fastText's parts of words; save the words with gensim's save_word2vec_format", path)
    raise SourceError("holds no vectors; save it again with gensim", path)


def _array(record: _Record, path: Path) -> Float[np.ndarray, "V d"]:
    """Return the array that a pickled ndarray describes: its state is version, shape, type, order and bytes."""
    try:
        _version, shape, kind, by_columns, content = record.state
        code, order = kind.arguments[0], kind.state[1]
        raw = content if isinstance(content, bytes) else _latin1(content)
        array = np.frombuffer(raw, dtype=_plain(f"{order}{code}"))
        # Refuses bytes that are not exactly as many as the shape asks for.
        array = array.reshape([int(extent) for extent in shape], order="F" if by_columns is True else "C")
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError):
        raise SourceError("its vectors are no rows of floats; save it again with gensim", path) from None
    return check_matrix(array, path)


def _plain(kind: str) -> np.dtype[Any]:
    if _NUMBER.fullmatch(kind) is None:
        raise ValueError(kind)
    return np.dtype(kind)


def _latin1(record: Any) -> bytes:
    text, encoding = record.arguments
    if encoding != "latin1":
        raise ValueError(encoding)
    return bytes(text.encode("latin1"))


def _vocabulary(record: dict[str, Any], path: Path) -> list[str]:
    words = record.get("index_to_key", record.get("index2word"))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SourceError("holds no list of words; save it again with gensim", path)
    return words


# Magic, version, twelve arguments, the sampling threshold; then the dictionary's sizes.
_FASTTEXT_HEADER = struct.Struct("<14id3i2q")


def _read_fasttext(request: Request) -> Vectors:
    vectors = _load_fasttext(request.path)
    found = {
        word: WordVector(np.array(vectors[word], dtype=np.float32))
        for word in sorted(request.wanted)
        if word in vectors.key_to_index
    }

    def compose(word: str) -> WordVector:
        return WordVector(np.array(vectors.get_vector(word), dtype=np.float32))

    return Vectors(found, compose if vectors.bucket else None)


def _words_fasttext(request: Request) -> Iterator[str]:
    yield from _load_fasttext(request.path).index_to_key


FASTTEXT = Reader(_read_fasttext, _words_fasttext)


def _load_fasttext(path: Path) -> FastTextKeyedVectors:
    _check_fasttext(path)
    # Imported here: gensim takes more than a second to import, and only this format needs it.
    from gensim.models.fasttext import load_facebook_vectors

    try:
        with reading(path):
            return load_facebook_vectors(str(path))
    except SourceError:
        raise
    except Exception as error:  # gensim raises whatever a damaged file leads its parser to
        raise _damaged(path) from error


def _check_fasttext(path: Path) -> None:
    """Refuse a file that is shorter than its header says, before gensim takes memory for what isn't there."""
    check_input(path)
    with reading(path), path.open("rb") as file:
        start = file.read(_FASTTEXT_HEADER.size)
    if not start.startswith(FASTTEXT_MAGIC):
        raise SourceError("is not fastText's binary format; give its own format, or none", path)
    if len(start) < _FASTTEXT_HEADER.size:
        raise _damaged(path)
    # After magic and version come dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn and
    # lrUpdateRate, then t, then the dictionary's size, nwords, nlabels, ntokens and pruneidx_size.
    fields = _FASTTEXT_HEADER.unpack(start)
    dimension, buckets, words = fields[2], fields[10], fields[16]
    if min(dimension, buckets, words) < 0 or path.stat().st_size < 4 * dimension * (words + buckets):
        raise _damaged(path)


def _damaged(path: Path) -> SourceError:
    return SourceError("is damaged or cut short; get the file again", path)
