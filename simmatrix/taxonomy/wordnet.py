"""WordNet's nouns and verbs: their synsets, names, senses and what is a kind of what (Miller 1995, Fellbaum 1998).

The bundled extract of WordNet 3.0 is read here; `simmatrix.taxonomy.nltk_wordnet` reads the one that NLTK has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np

from simmatrix import data
from simmatrix.shapes import Float
from simmatrix.taxonomy.lexicon import PARTS, Index, PartOfSpeech, starts_of
from simmatrix.taxonomy.taxonomy import Taxonomy

__all__ = ["Sense", "Synset", "WordNet", "bundled_wordnet", "is_id"]

# ImageNet's ids are offsets into the files of this version; another one has other synsets there.
_VERSION_OF_IDS = "3.0"
_ID = re.compile(r"([nv])(\d{8})")


class Synset(NamedTuple):
    """A synset: its part of speech, ``"n"`` or ``"v"``, and its node in the taxonomy of that part of speech."""

    pos: str
    node: int


class Sense(NamedTuple):
    """One sense of a lemma, and how often the lemma was tagged with it in WordNet's corpora."""

    synset: Synset
    tags: int


@dataclass(frozen=True, eq=False)
class WordNet:
    """A WordNet's nouns and verbs.

    Parameters
    ----------
    name
        What a matrix file says it is: ``"wordnet-3.0"``.
    version
        Its version, as its files give it.
    sha256
        Checksum of what was read.
    parts
        The parts of speech by their letters, ``"n"`` and ``"v"``.
    indices
        The lemmas that words are looked up among, by the same letters; the English ones, or another language's.
    exceptions
        English nouns whose plural follows no rule: the singulars by plural.
    language
        The language of `indices`.

    Examples
    --------
    >>> wordnet = bundled_wordnet()
    >>> [wordnet.name_of(sense.synset) for sense in wordnet.senses("seal")][-1]
    'seal.n.09'
    >>> wordnet.name_of(wordnet.find("n01440764"))
    'tench.n.01'
    """

    name: str
    version: str
    sha256: str
    parts: Mapping[str, PartOfSpeech]
    indices: Mapping[str, Index]
    exceptions: Mapping[str, tuple[str, ...]]
    language: str = "eng"

    def find(self, text: str) -> Synset | None:
        """Return the synset of a name (``seal.n.09``; any of its lemmas will do) or an ImageNet id, if there is one."""
        matched = _ID.fullmatch(text)
        if matched:
            return self._at_offset(matched[1], int(matched[2]))
        lemma, *rest = text.lower().rsplit(".", 2)
        if len(rest) != 2 or rest[0] not in self.parts or not rest[1].isascii() or not rest[1].isdigit():
            return None
        pos, number = rest[0], int(rest[1][:9])
        index = self.parts[pos].index
        senses = index.senses(lemma)
        return Synset(pos, int(index.synsets[senses[number - 1]])) if 1 <= number <= len(senses) else None

    def senses(self, lemma: str, pos: str = "n") -> tuple[Sense, ...]:
        """Return the senses of a lemma, first sense first; none if there is no such lemma. Case does not matter."""
        index = self.indices[pos]
        return tuple(
            Sense(Synset(pos, int(index.synsets[at])), int(index.tags[at]))
            for at in index.senses(lemma.lower().replace(" ", "_"))
        )

    def name_of(self, synset: Synset) -> str:
        """Return a synset's name in NLTK's form: ``seal.n.09``."""
        return self.parts[synset.pos].name(synset.node)

    def lemmas_of(self, synset: Synset) -> tuple[str, ...]:
        """Return a synset's English lemmas in WordNet's order and spelling."""
        return self.parts[synset.pos].lemmas(synset.node)

    def hypernyms_of(self, synset: Synset) -> tuple[Synset, ...]:
        """Return what a synset is a kind of, or an instance of."""
        part = self.parts[synset.pos]
        above = part.hypernyms[part.starts[synset.node] : part.starts[synset.node + 1]]
        return tuple(Synset(synset.pos, node) for node in above.tolist())

    def taxonomy(self, pos: str) -> Taxonomy:
        """Return the taxonomy of a part of speech; see `PartOfSpeech.taxonomy`."""
        return self.parts[pos].taxonomy

    def tags(self, pos: str) -> Float[np.ndarray, " N"]:
        """Return how often each node of the taxonomy was itself tagged in WordNet's corpora."""
        part = self.parts[pos]
        return np.pad(part.tags.astype(np.float64), (0, len(part.taxonomy) - len(part)))

    @property
    def takes_ids(self) -> bool:
        """Whether ImageNet's ids are offsets into this version."""
        return self.version == _VERSION_OF_IDS

    def vocabulary(self) -> Iterator[str]:
        """Go through all lemmas, the nouns first."""
        for index in self.indices.values():
            yield from index.lemmas

    def _at_offset(self, pos: str, offset: int) -> Synset | None:
        node = self.parts[pos].at_offset(offset) if self.takes_ids else None
        return None if node is None else Synset(pos, node)


def is_id(text: str) -> bool:
    """Tell whether a text looks like an ImageNet id.

    Examples
    --------
    >>> is_id("n01440764"), is_id("tench.n.01")
    (True, False)
    """
    return _ID.fullmatch(text) is not None


_LOADING = Lock()
_loaded: list[WordNet] = []


def bundled_wordnet() -> WordNet:
    """Return the bundled nouns and verbs of WordNet 3.0. They are read once; any number of threads may ask.

    Examples
    --------
    >>> len(bundled_wordnet().parts["n"])
    82115
    """
    with _LOADING:
        if not _loaded:
            _loaded.append(_read_bundled())
    return _loaded[0]


def _read_bundled() -> WordNet:
    from safetensors.numpy import load

    raw = data.wordnet_path().read_bytes()
    tensors = load(raw)
    parts = {pos: _part(pos, tensors) for pos in PARTS}
    exceptions = (line.split(" ") for line in _lines(tensors["noun.exceptions"]))
    return WordNet(
        name="wordnet-3.0",
        version=_VERSION_OF_IDS,
        sha256=hashlib.sha256(raw).hexdigest(),
        parts=parts,
        indices={pos: part.index for pos, part in parts.items()},
        exceptions={plural: tuple(singulars) for plural, *singulars in exceptions},
    )


def _part(pos: str, tensors: Mapping[str, np.ndarray]) -> PartOfSpeech:
    prefix = f"{PARTS[pos]}."
    part = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return PartOfSpeech(
        pos=pos,
        offsets=part["offsets"],
        starts=starts_of(part["hypernym_counts"]),
        hypernyms=part["hypernyms"],
        index=Index(
            lemmas=_lines(part["lemmas"]),
            starts=starts_of(part["sense_counts"]),
            synsets=part["senses"],
            tags=part["tags"].astype(np.int32),
        ),
        word_starts=starts_of(part["word_counts"]),
        words=part["words"],
        cased=part["cased"],
        spellings=_lines(part["spellings"]),
    )


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n")
