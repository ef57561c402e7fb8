"""How often WordNet's synsets occur in a corpus: files such as NLTK's and WordNet::Similarity's ``ic-brown.dat``."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import decoded, read_bytes
from simmatrix.shapes import Float
from simmatrix.taxonomy.lexicon import PARTS, PartOfSpeech

__all__ = ["CorpusCounts", "read_corpus_counts"]

_HEADER = "wnver::"
_COUNT = re.compile(r"(\d{1,8})([nv])\s+(\S+)(\s+ROOT)?")


class CorpusCounts(NamedTuple):
    """The counts of a taxonomy's N nodes, each with those of all nodes below it, and the count of all there is."""

    counts: Float[np.ndarray, " N"]
    total: float


def read_corpus_counts(path: Path, part: PartOfSpeech) -> CorpusCounts:
    """Read the counts of a part of speech: an offset, ``n`` or ``v``, a count, and ROOT behind that of a root.

    A synset that is not named has a count of 0.

    Raises
    ------
    SourceError
        If the file can't be read or parsed, or names a synset that the WordNet lacks. Names file and line.
    """
    lines = decoded(read_bytes(path), path).split("\n")
    if not lines[0].startswith(_HEADER):
        raise SourceError(f"should start with {_HEADER}, as files of counts (ic-*.dat) do; take one of those", path, 1)
    counts = np.zeros(len(part.taxonomy))
    total = 0.0
    for number, line in enumerate(lines[1:], start=2):
        matched = _COUNT.fullmatch(line.strip())
        if not matched:
            if line.strip():
                raise SourceError("is not an offset and a count, such as '1740n 1915712 ROOT'; mend it", path, number)
            continue
        offset, pos, value, root = matched.groups()
        if pos != part.pos:
            continue
        node = part.at_offset(int(offset))
        if node is None:
            raise SourceError(
                f"WordNet has no {PARTS[pos]} at offset {offset}; take counts for this version of WordNet", path, number
            )
        counts[node] = _number(value, path, number)
        total += counts[node] if root else 0.0
    if total == 0:
        raise SourceError(f"has no root among its {PARTS[part.pos]}s, so no total; take another file", path)
    # What was put over several roots is there as often as all of them.
    counts[len(part) :] = total
    return CorpusCounts(counts, total)


def _number(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SourceError(f"{text!r} is no count; give a number that is not negative", path, line)
    return value
