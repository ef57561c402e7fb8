"""Word vectors as text: GloVe's (no header), word2vec's and fastText's ``.vec`` (a header), plain, gzip or zip.

The file is streamed in blocks. NumPy finds the line ends of a block and the lines whose first three bytes start a
wanted word; only those are looked at as text, and only wanted words' numbers are parsed. Memory does not grow with the
file. Every line's number of values is checked all the same, by counting its blanks.

The last d fields of a line are its vector, and what is in front of them is its word, which may hold blanks. Blanks,
tabs, form feeds and vertical tabs separate fields, as in C.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.shapes import Bool, Int, UInt8
from simmatrix.vectors.streams import opened
from simmatrix.vectors.vectors import Reader, Request, Vectors, WordVector

# Half a mebibyte and its temporaries stay in a core's cache; measured fastest from 256 KiB to 1 MiB.
_BLOCK = 1 << 19
# No vector is this long; a file without line ends must not fill the memory.
_LONGEST_LINE = 1 << 24
_NEWLINE, _SPACE = 0x0A, 0x20
_BLANKS = b" \t\v\f"
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# The lines that tell the dimension of a file without a header; several, so that one odd word does not decide.
_FIRST_LINES = 10
# A file may end in blank lines, but not in more bytes of them than this.
_LONGEST_END = 1 << 12
NO_HEADER = "expected word2vec's header, the number of words and the dimension; give the right format or none"
_BOM = b"\xef\xbb\xbf"


class _Layout(NamedTuple):
    """What the first lines tell: the numbers of a vector, the header's word count, and a line's number of blanks."""

    dimension: int
    promised: int | None
    blanks: int


class _Block(NamedTuple):
    """Whole lines: their bytes, room to compare them, where each starts and ends, the number (from 1) of the first."""

    text: bytearray
    codes: UInt8[np.ndarray, " bytes"]
    scratch: Bool[np.ndarray, " bytes"]
    starts: Int[np.ndarray, " lines"]
    ends: Int[np.ndarray, " lines"]
    first_line: int

    def line(self, index: int) -> bytes:
        return bytes(self.text[int(self.starts[index]) : int(self.ends[index])])


@dataclass(frozen=True)
class _Wanted:
    """The wanted words as bytes, their beginnings up to a blank, and which first three bytes lines of these have."""

    words: Set[bytes]
    beginnings: Set[bytes]
    prefixes: UInt8[np.ndarray, " 16777216"]
    longest: int

    @classmethod
    def of(cls, words: Set[str]) -> _Wanted:
        # A lone surrogate can't be in a file; it must not raise either.
        encoded = frozenset(word.encode("utf-8", "surrogatepass") for word in words if word)
        # 16 MiB of zeros, of which the system allocates only the pages that are written or read.
        prefixes = np.zeros(1 << 24, dtype=np.uint8)
        beginnings = frozenset(word.split(None, 1)[0] for word in encoded if word.strip())
        for word in beginnings:
            for blank in _BLANKS if len(word) < 3 else b" ":
                start = (*word, blank)[:3]
                code = start[0] | start[1] << 8
                if len(start) == 3:
                    prefixes[code | start[2] << 16] = 1
                else:
                    prefixes[code :: 1 << 16] = 1
        return cls(encoded, beginnings, prefixes, max(map(len, beginnings), default=0))


def looks_like_header(line: bytes) -> bool:
    """Tell whether a line is word2vec's header: the number of words and the dimension, nothing else."""
    pieces = line[:64].split()
    return len(line) < 64 and len(pieces) == 2 and all(piece.isdigit() for piece in pieces)


def is_word(token: bytes) -> bool:
    """Tell whether bytes are UTF-8 without control characters. The last character may be cut short.

    The original word2vec cuts words after 99 bytes.
    """
    try:
        codecs.utf_8_decode(token, "strict", False)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(token) is None


def text_format(start: bytes) -> str | None:
    """Return which format of text a file's first bytes are: ``glove``, ``word2vec``, or neither.

    A headed file is ``word2vec-binary`` unless its first vector reads as text.
    """
    header, _newline, rest = start.removeprefix(_BOM).partition(b"\n")
    if not looks_like_header(header):
        return "glove" if b"\x00" not in header and _trailing_numbers(header) else None
    line, newline, _rest = rest.partition(b"\n")
    # If the first line is longer than what was read, the numbers that were read decide.
    least = int(header.split()[1]) if newline else 1
    is_text = b"\x00" not in line and (_trailing_numbers(line) >= least or is_word(line.rstrip()))
    return "word2vec" if is_text else "word2vec-binary"


def _read(request: Request, *, header: bool) -> Vectors:
    wanted = _Wanted.of(request.wanted)
    found: dict[str, WordVector] = {}
    for block, layout in _vector_blocks(request, header=header):
        odd = _odd_lines(block, layout, request.path)
        for index in sorted({*odd, *_candidates(block, wanted)}):
            _take(block, index, layout, wanted, found, request.path)
    return Vectors(found)


def _vector_blocks(request: Request, *, header: bool) -> Iterator[tuple[_Block, _Layout]]:
    """Go through the file's lines of vectors, and check at the end that they were as many as promised."""
    lines = 0
    layout: _Layout | None = None
    for block in _blocks(request):
        if layout is None:
            layout = _layout(block, header=header, path=request.path)
            if header:
                block = block._replace(starts=block.starts[1:], ends=block.ends[1:], first_line=2)
        lines += len(block.starts)
        yield block, layout
    if layout is None:
        raise SourceError("holds no vectors; get or make the file again", request.path)
    if layout.promised not in (None, lines):
        wrong = f"ends after {lines} of" if lines < layout.promised else "goes on behind"
        raise SourceError(
            f"{wrong} the {layout.promised} words its header promises; get the file again",
            request.path,
            min(lines, layout.promised) + 1,
        )


def _words(request: Request, *, header: bool) -> Iterator[str]:
    for block, layout in _vector_blocks(request, header=header):
        for index in range(len(block.starts)):
            yield _pieces(block.line(index), layout)[0].decode(errors="replace")


GLOVE, WORD2VEC = (
    Reader(partial(_read, header=header), partial(_words, header=header), streams=True) for header in (False, True)
)


def _blocks(request: Request) -> Iterator[_Block]:
    """Cut a file into blocks of whole lines.

    All blocks lie in one buffer, so each is good until the next is asked for. Fresh memory for every block would cost
    as much as the rest of the work: the system clears each page of it.
    """
    buffer = bytearray(2 * _BLOCK)
    scratch = np.empty(len(buffer), dtype=np.bool_)
    held = 0
    first_line = 1
    with opened(request.files, request.progress) as stream:
        while count := stream.read_into(memoryview(buffer)[held : held + _BLOCK]):
            size = held + count
            if first_line == 1 and buffer.startswith(_BOM):
                size -= len(_BOM)
                buffer[:size] = buffer[len(_BOM) : len(_BOM) + size]
            # The last line always waits: whether blank lines end the file is known only at its end.
            start = max(0, size - _LONGEST_END)
            cut = buffer.rfind(b"\n", 0, start + len(buffer[start:size].rstrip(b"\r\n"))) + 1
            if size - cut > _LONGEST_LINE:
                raise SourceError(
                    f"has more than {_LONGEST_LINE >> 20} MiB without a line end; this is no text of word vectors",
                    request.path,
                    first_line,
                )
            # The first lines stay together, since they tell the layout.
            if cut and (first_line > 1 or size > _LONGEST_LINE or buffer.count(b"\n", 0, cut) > _FIRST_LINES):
                yield (block := _split(buffer, scratch[:cut], first_line))
                first_line += len(block.starts)
                buffer[: size - cut] = buffer[cut:size]
                size -= cut
            held = size
            if held + _BLOCK > len(buffer):
                buffer = buffer + bytearray(len(buffer))
                scratch = np.empty(len(buffer), dtype=np.bool_)
    if last := buffer[:held].rstrip(b"\r\n"):
        yield _split(last + b"\n", np.empty(len(last) + 1, dtype=np.bool_), first_line)


def _split(buffer: bytearray, scratch: Bool[np.ndarray, " bytes"], first_line: int) -> _Block:
    codes = np.frombuffer(buffer, dtype=np.uint8, count=len(scratch))
    ends = np.flatnonzero(np.equal(codes, _NEWLINE, out=scratch))
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    return _Block(buffer, codes, scratch, starts, ends, first_line)


def _layout(block: _Block, *, header: bool, path: Path) -> _Layout:
    first = block.line(0)
    promised = None
    if header:
        if not looks_like_header(first):
            raise SourceError(NO_HEADER, path, 1)
        promised, dimension = (int(piece) for piece in first.split())
        if dimension == 0 or len(block.starts) < 2:
            raise SourceError("holds no vectors behind its header; get or make the file again", path, 1)
        line = block.line(1)
    else:
        lines = [block.line(index) for index in range(min(len(block.starts), _FIRST_LINES))]
        if looks_like_header(first) and len(lines) > 1 and _trailing_numbers(lines[1]) >= int(first.split()[1]):
            raise SourceError("starts with a header, which is word2vec's format; give that format or none", path, 1)
        # The majority decides: a word that ends in a number seems to add a value to its line.
        dimension = next(iter(Counter(filter(None, map(_trailing_numbers, lines))).most_common(1)), (0, 0))[0]
        if not dimension:
            raise SourceError("expected a word and its numbers, separated by spaces", path, 1)
        line = next(line for line in lines if _trailing_numbers(line) == dimension)
    # The original word2vec and fastText write a space behind the last number too. The line end counts as well.
    return _Layout(dimension, promised, dimension + len(line) - len(line.rstrip()) + 1)


def _trailing_numbers(line: bytes) -> int:
    """Count the numbers at a line's end. Its first piece belongs to the word, unless the word is blank."""
    count = 0
    for piece in reversed(line.split()[not line[:1].isspace() :]):
        if not _is_number(piece):
            break
        count += 1
    return count


def _is_number(piece: bytes) -> bool:
    try:
        float(piece)
    except ValueError:
        return False
    # Python reads 1_0 as ten, which no file of vectors means.
    return b"_" not in piece


def _odd_lines(block: _Block, layout: _Layout, path: Path) -> list[int]:
    """Return the lines that need a closer look: those with other than the usual number of blanks.

    Such a line has a word that holds blanks (GloVe 840B has some) or is an error, raised here.
    """
    is_blank = np.less_equal(block.codes, _SPACE, out=block.scratch).view(np.uint8)
    # Counted in bytes, ten times as fast as in wider integers; the exact total finds counts that are off by 256.
    counts = np.add.reduceat(is_blank, block.starts, dtype=np.uint8)
    odd: list[int] = np.flatnonzero(counts != layout.blanks % 256).tolist()
    if not odd and np.count_nonzero(is_blank[block.starts[0] :]) != layout.blanks * len(block.starts):
        odd = list(range(len(block.starts)))
    for index in odd:
        values = _trailing_numbers(block.line(index))
        if values < layout.dimension:
            raise _wrong_count(values, layout.dimension, path, block.first_line + index)
    return odd


def _wrong_count(values: int, dimension: int, path: Path, number: int) -> SourceError:
    return SourceError(
        f"has {values} values where {dimension} were expected; "
        "the file is damaged or joined from several, get or make it again",
        path,
        number,
    )


def _candidates(block: _Block, wanted: _Wanted) -> list[int]:
    """Return the lines that begin as a wanted word up to a blank, found by their first three bytes."""
    # Three bytes from the start of the last line may reach past the block's end; it ends in a line end then.
    codes = np.append(block.codes, (_NEWLINE, _NEWLINE)) if len(block.codes) - block.starts[-1] < 3 else block.codes
    code = codes[block.starts].astype(np.int32)
    code |= codes[block.starts + 1].astype(np.int32) << 8
    code |= codes[block.starts + 2].astype(np.int32) << 16
    found = np.flatnonzero(wanted.prefixes[code])
    pairs = zip(found.tolist(), block.starts[found].tolist(), strict=True)
    text, longest = block.text, wanted.longest
    return [
        index
        for index, start in pairs
        if b"".join(text[start : start + longest + 1].split(None, 1)[:1]) in wanted.beginnings
    ]


def _take(
    block: _Block, index: int, layout: _Layout, wanted: _Wanted, found: dict[str, WordVector], path: Path
) -> None:
    token, *values = _pieces(block.line(index), layout)
    if token not in wanted.words or (word := token.decode()) in found:
        return
    number = block.first_line + index
    if len(values) != layout.dimension:
        raise _wrong_count(len(values), layout.dimension, path, number)
    wrong = next((piece for piece in values if not _is_number(piece)), None)
    if wrong is not None:
        shown = wrong[:40].decode(errors="replace")
        raise SourceError(f"{shown!r}, a value of {word!r}, is not a number; get or make the file again", path, number)
    # A value beyond float32's range becomes infinite, which is an error for whoever uses the word.
    with np.errstate(over="ignore"):
        found[word] = WordVector(np.array(list(map(float, values)), dtype=np.float32), number)


def _pieces(line: bytes, layout: _Layout) -> list[bytes]:
    pieces = line.rsplit(None, layout.dimension)
    is_blank = len(pieces) <= layout.dimension and (not pieces or line[:1].isspace())
    return [b"", *pieces] if is_blank else pieces
