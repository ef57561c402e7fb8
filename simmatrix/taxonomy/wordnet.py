"""WordNet's nouns and verbs: their synsets, names, senses and what is a kind of what (Miller 1995, Fellbaum 1998).

The bundled extract of WordNet 3.0 is read here; `simmatrix.taxonomy.nltk` reads those that NLTK has.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from threading import Lock
from typing import NamedTuple, overload

import numpy as np

from simmatrix import data
from simmatrix.container import open_container
from simmatrix.files import digest_of
from simmatrix.shapes import Float, Int, UInt8
from simmatrix.taxonomy.graph import Taxonomy

PARTS: Mapping[str, str] = {"n": "noun", "v": "verb"}
"""The parts of speech that have hypernyms, by the letters that stand for them."""

ROOT = "*ROOT*"
"""The name of the node that is put above several roots; no synset has it."""


def starts_of(counts: Int[np.ndarray, " n"] | UInt8[np.ndarray, " n"]) -> Int[np.ndarray, " n1"]:
    """Return the start of each of several runs, one behind the other, and the end of the last."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class Index:
    """The L lemmas of a part of speech (in lower case, with underscores, sorted) and their S senses.

    The senses of lemma i, first sense first, are the nodes ``synsets[starts[i] : starts[i + 1]]``; `tags` says how
    often each was tagged.
    """

    lemmas: Sequence[str]
    starts: Int[np.ndarray, " L1"]
    synsets: Int[np.ndarray, " S"]
    tags: Int[np.ndarray, " S"]

    def senses(self, lemma: str) -> range:
        """Return where the lemma's senses are; nowhere if there is no such lemma."""
        at = bisect_left(self.lemmas, lemma)
        if at == len(self.lemmas) or self.lemmas[at] != lemma:
            return range(0)
        return range(int(self.starts[at]), int(self.starts[at + 1]))


@dataclass(frozen=True, eq=False)
class PartOfSpeech:
    """The N synsets of a part of speech, ``"n"`` or ``"v"``, by their offsets in WordNet's files, ascending."""

    pos: str
    offsets: Int[np.ndarray, " N"]
    starts: Int[np.ndarray, " N1"]
    hypernyms: Int[np.ndarray, " E"]
    """Those of node i, also what it is an instance of, are ``hypernyms[starts[i] : starts[i + 1]]``, ascending."""
    index: Index
    """The English lemmas."""
    word_starts: Int[np.ndarray, " N1"]
    words: Int[np.ndarray, " W"]
    """The lemmas of node i, in its order, are ``words[word_starts[i] : word_starts[i + 1]]``, by sense in the index."""
    cased: Int[np.ndarray, " K"]
    """Which of `words`, ascending, are not spelt as in the index but as in `spellings`."""
    spellings: Sequence[str]

    def __len__(self) -> int:
        return len(self.offsets)

    def name(self, node: int) -> str:
        """Return a synset's name as NLTK gives it: its first lemma, the part of speech, and which sense of it it is."""
        sense = int(self.words[self.word_starts[node]])
        lemma = self._lemma(sense)
        return f"{self.index.lemmas[lemma]}.{self.pos}.{sense - int(self.index.starts[lemma]) + 1:02d}"

    def lemmas(self, node: int) -> tuple[str, ...]:
        """Return a synset's lemmas in its own order and spelling."""
        return tuple(self._spelling(word) for word in range(self.word_starts[node], self.word_starts[node + 1]))

    def at_offset(self, offset: int) -> int | None:
        """Return the node at an offset, if there is one."""
        at = int(np.searchsorted(self.offsets, offset))
        return at if at < len(self) and self.offsets[at] == offset else None

    @cached_property
    def tags(self) -> Int[np.ndarray, " N"]:
        """How often each synset was tagged: the sum over its lemmas."""
        return np.bincount(self.index.synsets, weights=self.index.tags, minlength=len(self)).astype(np.int64)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The synsets as a taxonomy, with one node more, `ROOT`, over the roots of verbs, and of nouns with several.

        Verbs have hundreds of roots, which would have nothing in common. Where hypernyms go round in a circle (in
        WordNet 3.0 restrain.v.01 and inhibit.v.04 are each a kind of the other), the synset of the circle that comes
        last in the files counts as no kind of the others.
        """
        children, parents = np.repeat(np.arange(len(self)), np.diff(self.starts)), self.hypernyms
        taxonomy = _taxonomy(_Names(self), children, parents)
        while np.any(taxonomy.depths < 0):
            children, parents = _without_circles(children, parents, len(self))
            taxonomy = _taxonomy(_Names(self), children, parents)
        if self.pos == "n" and len(taxonomy.roots) == 1:
            return taxonomy
        roots = np.array(taxonomy.roots)
        children, parents = np.append(children, roots), np.append(parents, np.full(len(roots), len(self)))
        return _taxonomy(_Names(self, [ROOT]), children, parents)

    def _lemma(self, sense: int) -> int:
        return int(np.searchsorted(self.index.starts, sense, side="right")) - 1

    def _spelling(self, word: int) -> str:
        at = int(np.searchsorted(self.cased, word))
        if at < len(self.cased) and self.cased[at] == word:
            return self.spellings[at]
        return self.index.lemmas[self._lemma(int(self.words[word]))]


class _Names(Sequence[str]):
    """The names of a part of speech's nodes, each made when asked for (all would take time), and other names."""

    def __init__(self, part: PartOfSpeech, others: Sequence[str] = ()) -> None:
        self._part = part
        self._others = others

    def __len__(self) -> int:
        return len(self._part) + len(self._others)

    @overload
    def __getitem__(self, node: int) -> str: ...
    @overload
    def __getitem__(self, node: slice) -> tuple[str, ...]: ...
    def __getitem__(self, node: int | slice) -> str | tuple[str, ...]:
        if isinstance(node, slice):
            return tuple(self[one] for one in range(*node.indices(len(self))))
        at = range(len(self))[node]
        return self._part.name(at) if at < len(self._part) else self._others[at - len(self._part)]


def _taxonomy(names: Sequence[str], children: Int[np.ndarray, " E"], parents: Int[np.ndarray, " E"]) -> Taxonomy:
    order = np.lexsort((parents, children))
    starts = starts_of(np.bincount(children, minlength=len(names)))
    return Taxonomy(names, starts, parents[order].astype(np.int64))


def _without_circles(
    children: Int[np.ndarray, " E"], parents: Int[np.ndarray, " E"], size: int
) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """Leave out the edges from the last node of each knot of circles to its others; some circles may be left."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(children), dtype=np.int8), (children, parents)), shape=(size, size))
    _count, knots = connected_components(edges, connection="strong")
    inside = knots[children] == knots[parents]
    last = np.full(size, -1)
    np.maximum.at(last, knots[children[inside]], children[inside])
    kept = ~(inside & (last[knots[children]] == children))
    return children[kept], parents[kept]


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
    """A WordNet's nouns and verbs, by the letters ``"n"`` and ``"v"``.

    Examples
    --------
    >>> wordnet = bundled_wordnet()
    >>> [wordnet.name_of(sense.synset) for sense in wordnet.senses("seal")][-1]
    'seal.n.09'
    >>> wordnet.name_of(wordnet.find("n01440764"))
    'tench.n.01'
    """

    name: str
    """What a matrix file calls it: ``"wordnet-3.0"``."""
    version: str
    sha256: str
    """The checksum of what was read."""
    parts: Mapping[str, PartOfSpeech]
    indices: Mapping[str, Index]
    """The lemmas that words are looked up among, in `language`."""
    exceptions: Mapping[str, tuple[str, ...]]
    """English nouns whose plural follows no rule: the singulars by plural."""
    language: str = "eng"

    def find(self, text: str) -> Synset | None:
        """Return the synset of a name (``seal.n.09``; any of its lemmas will do) or an ImageNet id, if there is one."""
        matched = _ID.fullmatch(text)
        if matched:
            node = self.parts[matched[1]].at_offset(int(matched[2])) if self.takes_ids else None
            return None if node is None else Synset(matched[1], node)
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


def is_id(text: str) -> bool:
    """Tell whether a text looks like an ImageNet id.

    Examples
    --------
    >>> is_id("n01440764"), is_id("tench.n.01")
    (True, False)
    """
    return _ID.fullmatch(text) is not None


_LOADING = Lock()


def bundled_wordnet() -> WordNet:
    """Return the bundled nouns and verbs of WordNet 3.0. They are read once; any number of threads may ask.

    Examples
    --------
    >>> len(bundled_wordnet().parts["n"])
    82115
    """
    with _LOADING:
        return _read_bundled()


@cache
def _read_bundled() -> WordNet:
    with open_container(data.wordnet_path(), "install simloss again") as file:
        tensors = {name: file.read(name) for name in file.tensors}
        sha256 = digest_of(file.file)
    parts = {pos: _part(pos, tensors) for pos in PARTS}
    exceptions = (line.split(" ") for line in _lines(tensors["noun.exceptions"]))
    return WordNet(
        name="wordnet-3.0",
        version=_VERSION_OF_IDS,
        sha256=sha256,
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
