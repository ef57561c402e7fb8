"""word2vec's binary format: a text header, then each word, a space and its float32 values.

The file is streamed: records are skipped by their known size, and only wanted words' values are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.vectors.streams import Stream, opened
from simmatrix.vectors.text import NO_HEADER, looks_like_header
from simmatrix.vectors.vectors import Reader, Request, Vectors, WordVector

__all__ = ["WORD2VEC_BINARY"]

_BLOCK = 1 << 20
_LONGEST_WORD = 1 << 16
_LARGEST_DIMENSION = 1 << 20


class _Header(NamedTuple):
    words: int
    dimension: int
    rest: bytes


def _read(request: Request) -> Vectors:
    wanted = {word.encode(): word for word in request.wanted}
    found: dict[str, WordVector] = {}
    for token, values in _records(request):
        word = wanted.get(token)
        if word is not None and word not in found:
            found[word] = WordVector(np.frombuffer(values, dtype="<f4").astype(np.float32))
    return Vectors(found)


def _words(request: Request) -> Iterator[str]:
    for token, _values in _records(request):
        yield token.decode(errors="replace")


WORD2VEC_BINARY = Reader(_read, _words, streams=True)


def _records(request: Request) -> Iterator[tuple[bytes, memoryview]]:
    with opened(request.path, request.progress) as stream:
        header = _header(stream)
        size = 4 * header.dimension
        buffer, position = header.rest, 0
        for index in range(header.words):
            space = buffer.find(b" ", position)
            while space < 0 or len(buffer) < space + 1 + size:
                if space < 0 and len(buffer) - position > _LONGEST_WORD:
                    raise SourceError(f"word {index + 1} never ends; this is not word2vec's binary format", stream.path)
                piece = stream.read(max(_BLOCK, size))
                if not piece:
                    raise SourceError(
                        f"ends at word {index + 1} of the {header.words} its header promises; get the file again",
                        stream.path,
                    )
                buffer, position = buffer[position:] + piece, 0
                space = buffer.find(b" ")
            # The original program writes a line end behind each vector, others don't.
            token = buffer[position:space].lstrip(b"\n")
            position = space + 1 + size
            yield token, memoryview(buffer)[space + 1 : position]
        if (buffer[position:] or stream.read(1)).strip(b"\n"):
            raise SourceError(
                f"goes on behind the {header.words} words its header promises; it is damaged or of another format",
                stream.path,
            )


def _header(stream: Stream) -> _Header:
    start = stream.read(_BLOCK)
    line, newline, rest = start.partition(b"\n")
    if not newline or not looks_like_header(line):
        raise SourceError(NO_HEADER, stream.path, 1)
    words, dimension = (int(piece) for piece in line.split())
    if not 0 < dimension <= _LARGEST_DIMENSION or words == 0:
        raise SourceError(f"its header promises {words} words of {dimension} values; get it again", stream.path, 1)
    return _Header(words, dimension, rest)
