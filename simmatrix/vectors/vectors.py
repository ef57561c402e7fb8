"""What readers of word vectors take and return, and the reader of all formats that hold an array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import Progress, silent
from simmatrix.shapes import Float
from simmatrix.vectors.streams import Files

LARGEST_DIMENSION = 1 << 16
"""No word vector is longer; a damaged file must not fill the memory."""


class WordVector(NamedTuple):
    """One word's vector, with the line of the file it stands on where the file has lines (counted from 1)."""

    values: Float[np.ndarray, " d"]
    line: int | None = None


class Vectors(NamedTuple):
    """The vectors of the wanted words that a file holds; a word that the file has twice has its first vector."""

    found: Mapping[str, WordVector]
    compose: Callable[[str], WordVector] | None = None
    """Makes a vector for any other word from its parts, if the format can (fastText's subwords); it reads the file."""


class Request(NamedTuple):
    """What to read: a file, the words wanted from it, its vocabulary where that is a file of its own."""

    path: Path
    wanted: Set[str]
    files: Files
    vocabulary: Path | None = None
    progress: Progress = silent


class Reader(NamedTuple):
    """One format: how to read the wanted words' vectors, and how to go through all words in the file's order."""

    read: Callable[[Request], Vectors]
    words: Callable[[Request], Iterator[str]]
    takes_vocabulary: bool = False
    """Whether the words may be in a file of their own."""
    streams: bool = False
    """Whether the file is read once from start to end, so that it may be gzip or zip."""


class Table(NamedTuple):
    """An array of vectors with its words: `rows` reads some of its `size` rows, by ascending indices."""

    words: Iterable[str]
    size: int
    rows: Callable[[Sequence[int]], Float[np.ndarray, "n d"]]


def reader_of(open_table: Callable[[Request], AbstractContextManager[Table]], *, takes_vocabulary: bool) -> Reader:
    """Return the reader of a format whose array `open_table` opens. A word that is there twice has its first row."""

    def read(request: Request) -> Vectors:
        places: dict[str, int] = {}
        count = 0
        with open_table(request) as (words, size, rows):
            for index, word in enumerate(words):
                count = index + 1
                if word in request.wanted:
                    places.setdefault(word, index)
            if count != size:
                raise SourceError(
                    f"has {size} vectors for a vocabulary of {count} words; give the vocabulary that belongs to it",
                    request.path,
                )
            # A float64 beyond float32's range becomes infinite, which is an error for whoever uses the word.
            with np.errstate(all="ignore"):
                values = rows(list(places.values())).astype(np.float32, copy=False) if places else ()
        return Vectors({word: WordVector(row) for word, row in zip(places, values, strict=True)})

    def words(request: Request) -> Iterator[str]:
        with open_table(request) as table:
            yield from table.words

    return Reader(read, words, takes_vocabulary)
