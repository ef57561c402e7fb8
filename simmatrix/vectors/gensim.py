"""gensim's KeyedVectors (``.kv``): a pickle, with large arrays in ``.npy`` beside it.

Loading a pickle runs whatever code it names, and a user's file is data. So gensim's own loader is not used: an
unpickler builds inert records in place of gensim's classes and of NumPy's arrays, and refuses every other name; what
the records say of an array is checked, and its bytes are read as numbers. Of vectors that gensim stored beside the
file, only the wanted words' rows are read.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import reading
from simmatrix.shapes import Float
from simmatrix.vectors.arrays import check_matrix, read_npy
from simmatrix.vectors.vectors import Request, Table, reader_of

# More names than any file of word vectors has; each makes a class.
_MOST_NAMES = 1000


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
    *("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors", "FastTextKeyedVectors"),
    *("Vocab", "CompatVocab"),
)
_KNOWN = {
    "gensim.models.keyedvectors": _GENSIM,
    "gensim.models.fasttext": ("FastTextKeyedVectors",),
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct",),
    "numpy._core.multiarray": ("_reconstruct",),
    # With this, pickles of protocol 2 (gensim's before version 4) spell bytes.
    "_codecs": ("encode",),
    "__builtin__": ("frozenset",),
    "builtins": ("frozenset",),
}


class _Unpickler(pickle._Unpickler):
    """Gives a record for each name that gensim's files need, and refuses every other name.

    Nothing real is handed out: even `numpy.ndarray`, called with the wrong arguments, reads memory that is not its own.
    This is the unpickler that is written in Python: the one in C takes memory for as many objects as a file claims.
    """

    # A bytearray is made before its bytes are read. No file of word vectors holds one.
    dispatch: ClassVar[dict[int, Any]] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }
    names = 0

    def find_class(self, module: str, name: str) -> Any:
        self.names += 1
        if name not in _KNOWN.get(module, ()) or self.names > _MOST_NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which has no place in word vectors")

        # A new class for each use: a file can set attributes on a class, and they vanish with it.
        class Stand(_Record):
            __slots__ = ()

        return Stand


@contextmanager
def _table(request: Request) -> Iterator[Table]:
    record = _load(request)
    count, rows = _rows(record, request)
    yield Table(_vocabulary(record, request.path), count, rows)


KEYED_VECTORS = reader_of(_table, takes_vocabulary=False)


def _load(request: Request) -> dict[str, Any]:
    path = request.path
    with reading(path):
        content = io.BytesIO(request.files.open(path).readall())
    try:
        record = _Unpickler(content).load()
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise SourceError(
            f"can't be read as KeyedVectors ({error!s:.200}); if you trust it, load it with gensim and save it as "
            "word2vec",
            path,
        ) from None
    if not isinstance(record, _Record) or not isinstance(record.state, dict):
        raise SourceError("is a pickle of something else than KeyedVectors; save these with gensim", path)
    return record.state


def _rows(record: dict[str, Any], request: Request) -> tuple[int, Callable[[Sequence[int]], Float[np.ndarray, "n d"]]]:
    """Return how many vectors there are, and what reads some of them."""
    path = request.path
    # gensim leaves the names of arrays that it stored beside the file in `__numpys`; before version 4 the attribute of
    # the vectors was `syn0` for a while.
    beside = record.get("__numpys")
    stored = beside if isinstance(beside, list) else []
    for name in ("vectors", "syn0"):
        if name in stored:
            found = read_npy(path.with_name(f"{path.name}.{name}.npy"), request)
            return found.shape[0], found.rows
        if isinstance(record.get(name), _Record):
            array = _array(record[name], path)
            return len(array), array.__getitem__
    if "vectors_ngrams" in {*record, *(name for name in stored if isinstance(name, str))}:
        raise SourceError("holds fastText's parts of words; save the words with gensim's save_word2vec_format", path)
    raise SourceError("holds no vectors; save it again with gensim", path)


def _array(record: _Record, path: Path) -> Float[np.ndarray, "V d"]:
    """Return the array that a pickled ndarray describes: its state is version, shape, type, order and bytes."""
    try:
        _version, shape, kind, by_columns, content = record.state
        code, order = kind.arguments[0], kind.state[1]
        if not isinstance(content, bytes):
            text, encoding = content.arguments
            content = bytes(text, {"latin1": "latin1"}[encoding])
        array = np.frombuffer(content, dtype=_plain(f"{order}{code}"))
        # Raises unless there are exactly as many bytes as the shape needs.
        array = array.reshape([int(extent) for extent in shape], order="F" if by_columns is True else "C")
    except Exception:  # it may be anything that a pickle can hold
        raise SourceError("its vectors are no rows of floats; save it again with gensim", path) from None
    check_matrix(array.shape, array.dtype, path)
    return array


def _plain(kind: str) -> np.dtype[Any]:
    if _NUMBER.fullmatch(kind) is None:
        raise ValueError(kind)
    return np.dtype(kind)


def _vocabulary(record: dict[str, Any], path: Path) -> list[str]:
    words = record.get("index_to_key", record.get("index2word"))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SourceError("holds no list of words; save it again with gensim", path)
    return words
