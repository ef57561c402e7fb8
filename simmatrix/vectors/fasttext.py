"""fastText's binary (``.bin``), and the vectors that it composes of subwords (Bojanowski et al. 2017).

The file holds the arguments, the dictionary and one matrix, with a row for each word and for each bucket of subwords. A
word's vector is the mean of its row and of those of its subwords; the dictionary is gone through, and only these rows
are read.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import reading
from simmatrix.npy import Array
from simmatrix.shapes import Float
from simmatrix.vectors.vectors import LARGEST_DIMENSION, Reader, Request, Vectors, WordVector

_MAGIC = struct.pack("<i", 793712314)
# dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate, t; then the dictionary's
# size, nwords, nlabels and ntokens.
_HEADER = struct.Struct("<12id3iq")
_VERSIONS = (11, 12)
_UNSUPERVISED, _SUPERVISED = (1, 2), 3
_PIECE = 1 << 20
_LONGEST_WORD = 1 << 14
# The bytes after each word: its end, its count and its kind.
_BEHIND = 10


class _Model(NamedTuple):
    """A model: its words in their order, its matrix, and which subwords are made."""

    words: list[bytes]
    rows: Array
    buckets: int
    shortest: int
    longest: int

    def vector(self, word: str, index: int | None) -> Float[np.ndarray, " d"]:
        """Return the mean of a word's own row, where it has one, and those of its subwords, summed in their order."""
        places = [] if index is None else [index]
        places += [len(self.words) + bucket for bucket in self._subwords(word)] if self.buckets else []
        total = np.zeros(self.rows.shape[1], dtype=np.float32)
        with np.errstate(all="ignore"):
            for place in places:
                total += self.rows.rows([place])[0]
            return total / np.float32(max(1, len(places)))

    def _subwords(self, word: str) -> Iterator[int]:
        text = f"<{word}>"
        for start in range(len(text)):
            for end in range(start + max(1, self.shortest), min(start + self.longest, len(text)) + 1):
                # The marks of a word's start and end are no subwords by themselves.
                if end - start > 1 or 0 < start < len(text) - 1:
                    yield _hash(text[start:end].encode("utf-8", "surrogatepass")) % self.buckets


def _hash(content: bytes) -> int:
    """Return the FNV-1a hash as fastText has it: its bytes are signed."""
    value = 2166136261
    for byte in content:
        value = ((value ^ byte ^ (0xFFFFFF00 if byte > 127 else 0)) * 16777619) & 0xFFFFFFFF
    return value


def is_fasttext(start: bytes) -> bool:
    """Tell whether a file's first bytes are fastText's, with or without the magic number, which older ones lack."""
    if start.startswith(_MAGIC):
        return True
    if len(start) < _HEADER.size:
        return False
    dimension, window, _epoch, _least, _neg, _ngrams, loss, model, buckets, shortest, longest, _rate, _t, *sizes = (
        _HEADER.unpack_from(start)
    )
    sound = 0 < dimension <= LARGEST_DIMENSION and 0 < window < 1 << 16 and 0 < loss < 5 and 0 < model < 4
    return bool(sound and buckets >= 0 and 0 <= shortest <= longest < 1 << 10 and 0 < sizes[0] == sizes[1] + sizes[2])


def _read(request: Request) -> Vectors:
    model = _load(request)
    places: dict[str, int] = {}
    wanted = {word.encode("utf-8", "surrogatepass"): word for word in request.wanted}
    for index, token in enumerate(model.words):
        if (word := wanted.get(token)) is not None:
            places.setdefault(word, index)
    found = {word: WordVector(model.vector(word, index)) for word, index in places.items()}
    composes = model.buckets > 0 and model.longest > 0
    return Vectors(found, (lambda word: WordVector(model.vector(word, None))) if composes else None)


def _words(request: Request) -> Iterator[str]:
    for token in _load(request).words:
        yield token.decode(errors="replace")


FASTTEXT = Reader(_read, _words)


def _load(request: Request) -> _Model:
    path = request.path
    file = request.files.open(path)
    size = request.files.size(path)
    with reading(path):
        start = file.read(8 + _HEADER.size + 8)
        is_new = start.startswith(_MAGIC)
        begin = 8 if is_new else 0
        if not is_fasttext(start):
            raise SourceError("is not fastText's binary format; give its own format, or none", path)
        if len(start) < begin + _HEADER.size + 8:
            raise _damaged(request)
        version = int.from_bytes(start[4:8], "little")
        if is_new and version not in _VERSIONS:
            raise SourceError(
                f"is of version {version} of fastText's format; {_VERSIONS[-1]} is the latest known", path
            )
        arguments = _HEADER.unpack_from(start, begin)
        dimension, model, buckets, shortest, longest = (arguments[at] for at in (0, 7, 8, 9, 10))
        entries, words, labels = arguments[13:16]
        if model == _SUPERVISED or labels > 0:
            raise SourceError(
                "is a supervised fastText model, whose vectors tell labels; take one of words alone", path
            )
        pruned = struct.unpack_from("<q", start, begin + _HEADER.size)[0] if is_new else -1
        if pruned > 0:
            raise _quantised(request)
        least = entries * (1 + _BEHIND) + 4 * dimension * (words + buckets)
        sound = min(words, buckets + 1, shortest + 1, longest + 1) > 0 and 0 < dimension <= LARGEST_DIMENSION
        if not sound or entries != words or labels or model not in _UNSUPERVISED or size < least:
            raise _damaged(request)
        file.seek(begin + _HEADER.size + 8 * is_new)
        tokens, place = _dictionary(file, words, request)
        tail = request.files.reader(path)(place, 16 + is_new)
        if is_new and tail[0]:
            raise _quantised(request)
        rows, columns = struct.unpack_from("<2q", tail, is_new)
        place += len(tail)
        if (rows, columns) != (words + buckets, dimension) or size < place + 4 * rows * columns:
            raise _damaged(request)
    array = Array(request.files.reader(path), place, (rows, columns), np.dtype("<f4"))
    return _Model(tokens, array, buckets, shortest, longest)


def _dictionary(file: io.FileIO, count: int, request: Request) -> tuple[list[bytes], int]:
    """Return the words, and where in the file they end."""
    tokens: list[bytes] = []
    place, at, held = file.tell(), 0, b""
    while len(tokens) < count:
        end = held.find(b"\0", at, at + _LONGEST_WORD)
        if end >= 0 and end + _BEHIND <= len(held):
            tokens.append(held[at:end])
            at = end + _BEHIND
            continue
        piece = file.read(_PIECE)
        if not piece or len(held) - at > _LONGEST_WORD + _BEHIND:
            raise _damaged(request)
        place, at, held = place + at, 0, held[at:] + piece
    return tokens, place + at


def _damaged(request: Request) -> SourceError:
    return SourceError("is damaged or cut short; get the file again", request.path)


def _quantised(request: Request) -> SourceError:
    return SourceError("is a quantised fastText model (.ftz); take the .bin that it was made from", request.path)
