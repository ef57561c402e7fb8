"""fastText's own binary format, read by gensim; words outside the vocabulary are composed of their subwords."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.vectors.vectors import Reader, Request, Vectors, WordVector

if TYPE_CHECKING:
    from gensim.models.fasttext import FastTextKeyedVectors

__all__ = ["FASTTEXT", "MAGIC"]

MAGIC = struct.pack("<i", 793712314)

# Magic, version, twelve arguments, the sampling threshold; then the dictionary's sizes.
_HEADER = struct.Struct("<14id3i2q")


class _Sizes(NamedTuple):
    dimension: int
    buckets: int
    words: int


def _read(request: Request) -> Vectors:
    vectors = _load(request.path)
    found = {
        word: WordVector(np.array(vectors[word], dtype=np.float32))
        for word in sorted(request.wanted)
        if word in vectors.key_to_index
    }

    def compose(word: str) -> WordVector:
        return WordVector(np.array(vectors.get_vector(word), dtype=np.float32))

    return Vectors(found, compose if vectors.bucket else None)


def _words(request: Request) -> Iterator[str]:
    yield from _load(request.path).index_to_key


FASTTEXT = Reader(_read, _words)


def _load(path: Path) -> FastTextKeyedVectors:
    _check(path)
    # Imported here: gensim takes more than a second to import, and only this format needs it.
    from gensim.models.fasttext import load_facebook_vectors

    try:
        with reading(path):
            return load_facebook_vectors(str(path))
    except SourceError:
        raise
    except Exception as error:  # gensim raises whatever a damaged file leads its parser to
        raise _damaged(path) from error


def _check(path: Path) -> None:
    """Refuse a file that is shorter than its header says, before gensim takes memory for what isn't there."""
    check_input(path)
    with reading(path), path.open("rb") as file:
        start = file.read(_HEADER.size)
    if not start.startswith(MAGIC):
        raise SourceError("is not fastText's binary format; leave out --format, or give the right one", path)
    if len(start) < _HEADER.size:
        raise _damaged(path)
    sizes = _sizes(start)
    if min(sizes) < 0 or path.stat().st_size < 4 * sizes.dimension * (sizes.words + sizes.buckets):
        raise _damaged(path)


def _sizes(start: bytes) -> _Sizes:
    fields = _HEADER.unpack(start)
    # After magic and version come dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn and
    # lrUpdateRate, then t, then the dictionary's size, nwords, nlabels, ntokens and pruneidx_size.
    return _Sizes(dimension=fields[2], buckets=fields[10], words=fields[16])


def _damaged(path: Path) -> SourceError:
    return SourceError("is damaged or cut short; get the file again", path)
