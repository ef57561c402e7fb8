"""What every reader of word vectors returns, the contract that readers share, and vocabularies of arrays.

A vocabulary beside an array is a text file, one word a line, in the order of the array's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import Progress, read_bytes, silent
from simmatrix.shapes import Float

__all__ = ["Reader", "Request", "Vectors", "WordVector", "pick", "vocabulary_beside"]

_BESIDE = (".txt", ".vocab", ".vocab.txt")


class WordVector(NamedTuple):
    """One word's vector, with the line of the file it stands on where the file has lines (counted from 1)."""

    values: Float[np.ndarray, " d"]
    line: int | None = None


@dataclass(frozen=True)
class Vectors:
    """The vectors of the wanted words that a file holds.

    Parameters
    ----------
    found
        A vector for each wanted word that is in the vocabulary. A word that stands in the file twice has its first.
    compose
        Makes a vector for any other word from its parts, where the format can (fastText's subwords).
    """

    found: Mapping[str, WordVector]
    compose: Callable[[str], WordVector] | None = None


class Request(NamedTuple):
    """What to read: a file, the words wanted from it, its vocabulary where that is a file of its own."""

    path: Path
    wanted: Set[str]
    vocabulary: Path | None = None
    progress: Progress = silent


class Reader(NamedTuple):
    """One format.

    Parameters
    ----------
    read
        Reads the wanted words' vectors.
    words
        Goes through all words in the file's order.
    takes_vocabulary
        Whether the words may lie in a file of their own.
    streams
        Whether the file is read from its start to its end alone, so that it may be gzip or zip.
    """

    read: Callable[[Request], Vectors]
    words: Callable[[Request], Iterator[str]]
    takes_vocabulary: bool = False
    streams: bool = False


def pick(
    wanted: Set[str], words: Iterable[str], count: int, row: Callable[[int], Float[np.ndarray, " d"]], path: Path
) -> Vectors:
    """Return the wanted words' vectors; `row` reads one of the file's `count` rows. A repeated word has its first."""
    rows_of: dict[str, int] = {}
    size = 0
    for index, word in enumerate(words):
        size = index + 1
        if word in wanted:
            rows_of.setdefault(word, index)
    if size != count:
        raise SourceError(
            f"has {count} vectors for a vocabulary of {size} words; give the vocabulary that belongs to it", path
        )
    # A float64 beyond float32's range becomes infinite, which is an error for whoever uses the word.
    with np.errstate(over="ignore"):
        return Vectors({word: WordVector(np.array(row(index), dtype=np.float32)) for word, index in rows_of.items()})


def vocabulary_beside(request: Request) -> list[str]:
    """Read the vocabulary that was given, or lies beside the file under a usual name."""
    path = request.vocabulary
    if path is None:
        candidates = [request.path.with_suffix(suffix) for suffix in _BESIDE]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            names = ", ".join(candidate.name for candidate in candidates)
            raise SourceError(
                f'has no vocabulary; give one (vocabulary="FILE", one word a line), or put it beside it as {names}',
                request.path,
            )
    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SourceError("is not UTF-8; save the file as UTF-8", path, line) from None
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]
