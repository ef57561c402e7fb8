"""What every reader of word vectors returns, and the contract that readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.shapes import Float

__all__ = ["Progress", "Reader", "Request", "Vectors", "WordVector", "silent"]

Progress = Callable[[int, int], None]
"""Called now and then with the bytes of the file done so far and the bytes there are."""


def silent(done: int, total: int) -> None:
    """Report no progress."""


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
