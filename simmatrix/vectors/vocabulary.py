"""Which row of an array belongs to which word.

A vocabulary beside an array is a text file, one word a line, in the order of the array's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from pathlib import Path

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import read_bytes
from simmatrix.shapes import Float
from simmatrix.vectors.vectors import Request, Vectors, WordVector

__all__ = ["pick", "vocabulary_beside"]

_BESIDE = (".txt", ".vocab", ".vocab.txt")


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
                f"has no vocabulary; give one with --vocabulary (one word a line), or put it beside it as {names}",
                request.path,
            )
    raw = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SourceError("is not UTF-8; save the file as UTF-8", path, line) from None
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]
