"""gensim's KeyedVectors files (``.kv``): a pickle, with large arrays in ``.npy`` files beside it.

Loading a pickle runs whatever code it names, and a user's file is data. So gensim's own loader is not used: an
unpickler builds inert records in place of gensim's classes, knows the names that make a NumPy array, and refuses every
other name. Vectors that gensim stored beside the file are memory-mapped: only the wanted words' rows are read.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.shapes import Float
from simmatrix.vectors.arrays import check_matrix, read_npy
from simmatrix.vectors.vectors import Reader, Request, Vectors
from simmatrix.vectors.vocabulary import pick

__all__ = ["KEYED_VECTORS"]


class _Record:
    """Stands in for gensim's classes: holds the attributes that the file gives it and can do nothing."""


_GENSIM = {
    "gensim.models.keyedvectors": {
        "KeyedVectors",
        "Word2VecKeyedVectors",
        "EuclideanKeyedVectors",
        "FastTextKeyedVectors",
        "Vocab",
        "CompatVocab",
    },
    "gensim.models.fasttext": {"FastTextKeyedVectors"},
}
_NUMPY = {
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct"},
    "numpy._core.multiarray": {"_reconstruct"},
}


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for `codecs.encode`, with which pickles of protocol 2 (gensim's before version 4) spell bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows the names that gensim's files need and no other."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _GENSIM.get(module, ()):
            return _Record
        if name in _NUMPY.get(module, ()):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it names {module}.{name}, which has no place in word vectors")


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
        raise SourceError(f"can't be read as KeyedVectors ({error}); save it again with gensim", path) from None
    if not isinstance(record, _Record):
        raise SourceError("is a pickle of something else than KeyedVectors; save these with gensim", path)
    return vars(record)


def _rows(record: dict[str, Any], path: Path) -> Float[np.ndarray, "V d"]:
    # gensim leaves the names of arrays that it stored beside the file in `__numpys`; before version 4 the attribute of
    # the vectors was `syn0` for a while.
    for name in ("vectors", "syn0"):
        if name in record.get("__numpys", ()):
            return read_npy(path.with_name(f"{path.name}.{name}.npy"))
        if isinstance(record.get(name), np.ndarray):
            return check_matrix(record[name], path)
    if "vectors_ngrams" in {*record, *record.get("__numpys", ())}:
        raise SourceError("holds fastText's parts of words; save the words with gensim's save_word2vec_format", path)
    raise SourceError("holds no vectors; save it again with gensim", path)


def _vocabulary(record: dict[str, Any], path: Path) -> list[str]:
    words = record.get("index_to_key", record.get("index2word"))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SourceError("holds no list of words; save it again with gensim", path)
    return words
