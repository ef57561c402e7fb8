"""The nouns of a WordNet 3.0 ``dict`` folder, read from ``data.noun`` and ``index.noun`` as they are distributed.

NLTK reads them too, but it needs a data folder of its own; these scripts need names, lemmas and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NounSynset", "noun_lemmas", "noun_synsets"]


@dataclass(frozen=True)
class NounSynset:
    """A noun synset: its name in NLTK's form (``seal.n.09``) and its lemmas in WordNet's order and case."""

    name: str
    lemmas: tuple[str, ...]


def noun_lemmas(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return every noun lemma, lower-cased with underscores, and the offsets of its senses, first sense first."""
    lemmas = {}
    for line in _lines(folder / "index.noun"):
        lemma, _, sense_count, *rest = line.split()
        lemmas[lemma] = tuple(int(offset) for offset in rest[-int(sense_count) :])
    return lemmas


def noun_synsets(folder: Path) -> dict[int, NounSynset]:
    """Return every noun synset by its offset.

    NLTK names a synset after its first lemma, lower-cased, and that lemma's sense number.
    """
    senses = noun_lemmas(folder)
    synsets = {}
    for line in _lines(folder / "data.noun"):
        fields = line.split(" ")
        offset, word_count = int(fields[0]), int(fields[3], base=16)
        lemmas = tuple(fields[4 : 4 + 2 * word_count : 2])
        first = lemmas[0].lower()
        synsets[offset] = NounSynset(f"{first}.n.{senses[first].index(offset) + 1:02d}", lemmas)
    return synsets


def _lines(path: Path) -> list[str]:
    # The licence stands at the head of each file, on lines that start with two spaces.
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]
