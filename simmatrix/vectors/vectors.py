"""What readers of word vectors take and return, and the words that go with an array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import Progress, decoded, reading, silent, whole
from simmatrix.shapes import Float
from simmatrix.vectors.streams import Files

LARGEST_DIMENSION = 1 << 16
"""No word vector is longer; a damaged file must not fill the memory."""

_BESIDE = (".txt", ".vocab", ".vocab.txt")


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


def pick(
    wanted: Set[str],
    words: Iterable[str],
    count: int,
    rows: Callable[[Sequence[int]], Float[np.ndarray, "n d"]],
    path: Path,
) -> Vectors:
    """Return the wanted words' vectors; `rows` reads some of the file's `count` rows. A repeated word has its first."""
    places: dict[str, int] = {}
    size = 0
    for index, word in enumerate(words):
        size = index + 1
        if word in wanted:
            places.setdefault(word, index)
    if size != count:
        raise SourceError(
            f"has {count} vectors for a vocabulary of {size} words; give the vocabulary that belongs to it", path
        )
    # A float64 beyond float32's range becomes infinite, which is an error for whoever uses the word.
    with np.errstate(all="ignore"):
        values = rows(list(places.values())).astype(np.float32) if places else ()
    return Vectors({word: WordVector(row) for word, row in zip(places, values, strict=True)})


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
    with reading(path):
        raw = whole(request.files.open(path), path)
    return decoded(raw, path).removesuffix("\n").split("\n")
