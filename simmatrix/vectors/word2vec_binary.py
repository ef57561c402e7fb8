"""word2vec's binary format: a text header, then each word, a blank and its float32 values.

The file is streamed: records are skipped by their known size, and only wanted words' values are kept.

Nothing marks the end of a word that holds blanks ("windows 10", as gensim writes it). Each blank up to which the bytes
are text may be it. The right one is followed by a vector and then by another word or the end of the file; and a vector
that is read from a wrong place on holds huge or tiny values, such as those whose last byte is a blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.vectors.streams import Stream, opened
from simmatrix.vectors.text import NO_HEADER, is_word, looks_like_header
from simmatrix.vectors.vectors import LARGEST_DIMENSION, Reader, Request, Vectors, WordVector

_BLOCK = 1 << 20
_LONGEST_WORD = 1 << 14
# A word of ASCII and the blank behind it, where no other blank can be the one. The original program writes a line end
# behind each vector, others don't.
_PLAIN = re.compile(rb"\n*([\x21-\x7e]{0,%d}+) (?![\x21-\x7e\x80-\xff]{0,%d}+ )" % (_LONGEST_WORD, _LONGEST_WORD)).match
# All values of word vectors but 0 have sizes between these.
_TINY, _HUGE = 1e-18, 1e6


class _Header(NamedTuple):
    words: int
    dimension: int
    rest: bytes


def _read(request: Request) -> Vectors:
    wanted = {word.encode("utf-8", "surrogatepass"): word for word in request.wanted}
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
    with opened(request.files, request.progress) as stream:
        header = _header(stream)
        size = 4 * header.dimension
        buffer, position, is_end = header.rest, 0, False
        for index in range(header.words):
            # The word behind a vector shows where the vector ends.
            while not is_end and len(buffer) - position < size + 2 * _LONGEST_WORD:
                piece = stream.read(max(_BLOCK, size))
                buffer, position, is_end = buffer[position:] + piece, 0, not piece
            found = _PLAIN(buffer, position)
            if found and found.end() + size <= len(buffer):
                end = found.end(1)
                token = found[1]
            else:
                while buffer[position : position + 1] == b"\n":
                    position += 1
                place = _word_end(buffer, position, size, is_last=index == header.words - 1)
                if place is None:
                    raise SourceError(_lost(buffer[position:], index, header), stream.path)
                end = place
                token = buffer[position:end]
            position = end + 1 + size
            yield token, memoryview(buffer)[end + 1 : position]
        if (buffer[position:] or stream.read(1)).strip(b"\n"):
            raise SourceError(
                f"goes on behind the {header.words} words its header promises; it is damaged or of another format",
                stream.path,
            )


def _word_end(buffer: bytes, start: int, size: int, *, is_last: bool) -> int | None:
    """Return where the blank behind a word is; None if there is no word, or not its whole vector."""
    ends: list[int] = []
    piece = start
    while (end := buffer.find(b" ", piece, start + _LONGEST_WORD)) >= 0 and is_word(buffer[piece:end]):
        if end + 1 + size <= len(buffer):
            ends.append(end)
        # A word may be cut, but only inside its last character.
        if not is_word(buffer[piece : end + 1]):
            break
        piece = end + 1
    if len(ends) > 1:
        ends = [end for end in ends if _goes_on(buffer, end + 1 + size, is_last=is_last)]
    if len(ends) > 1:
        sizes = {end: np.abs(np.frombuffer(buffer, "<f4", size // 4, end + 1)) for end in ends}
        ends = [end for end, one in sizes.items() if ((one == 0) | ((one > _TINY) & (one < _HUGE))).all()]
    return ends[0] if ends else None


def _goes_on(buffer: bytes, start: int, *, is_last: bool) -> bool:
    if is_last:
        return not buffer[start:].strip(b"\n")
    start += len(buffer[start : start + _LONGEST_WORD]) - len(buffer[start : start + _LONGEST_WORD].lstrip(b"\n"))
    end = buffer.find(b" ", start, start + _LONGEST_WORD)
    return end >= 0 and is_word(buffer[start:end])


def _lost(rest: bytes, index: int, header: _Header) -> str:
    """Say why no word was found where one should be."""
    end = rest.find(b" ", 0, _LONGEST_WORD)
    if end < 0 and len(rest) > _LONGEST_WORD:
        return f"word {index + 1} never ends; this is not word2vec's binary format"
    if end >= 0 and (not is_word(rest[:end]) or len(rest) > end + 4 * header.dimension):
        return (
            f"where word {index + 1} should be there is no text ({rest[: min(end, 20)]!r}), or text whose end can't be "
            "told; it is damaged, or a word of it holds blanks: save it as text (binary=False)"
        )
    return f"ends at word {index + 1} of the {header.words} its header promises; get the file again"


def _header(stream: Stream) -> _Header:
    start = stream.read(_BLOCK)
    line, newline, rest = start.partition(b"\n")
    if not newline or not looks_like_header(line):
        raise SourceError(NO_HEADER, stream.path, 1)
    words, dimension = (int(piece) for piece in line.split())
    if not 0 < dimension <= LARGEST_DIMENSION or words == 0:
        raise SourceError(f"its header promises {words} words of {dimension} values; get it again", stream.path, 1)
    return _Header(words, dimension, rest)
