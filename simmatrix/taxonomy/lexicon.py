"""The lemmas, senses and synsets of one part of speech of a WordNet, held in arrays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from simmatrix.shapes import Int, UInt8
from simmatrix.taxonomy.taxonomy import Taxonomy

__all__ = ["PARTS", "ROOT", "Index", "PartOfSpeech", "starts_of"]

PARTS: Mapping[str, str] = {"n": "noun", "v": "verb"}
"""The parts of speech that have hypernyms, by the letters that stand for them."""

ROOT = "*ROOT*"
"""The name of the node that is put over several roots; no synset has it."""


def starts_of(counts: Int[np.ndarray, " n"] | UInt8[np.ndarray, " n"]) -> Int[np.ndarray, " n1"]:
    """Return where runs start that stand one after the other, and where the last ends."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class Index:
    """The L lemmas of a part of speech and the S senses they have.

    Parameters
    ----------
    lemmas
        In lower case, with underscores, sorted.
    starts, synsets, tags
        The senses of lemma i, first sense first, are the nodes ``synsets[starts[i] : starts[i + 1]]``; `tags` says
        how often each was tagged.
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
    """The N synsets of a part of speech.

    Parameters
    ----------
    pos
        ``"n"`` or ``"v"``.
    offsets
        The synsets' offsets in WordNet's files, ascending.
    starts, hypernyms
        The hypernyms of node i, those that it is an instance of among them, are
        ``hypernyms[starts[i] : starts[i + 1]]``, ascending, none twice.
    index
        The English lemmas.
    word_starts, words
        The lemmas of node i in its own order are ``words[word_starts[i] : word_starts[i + 1]]``: each by the position
        of its sense in the index.
    cased, spellings
        Which of `words`, ascending, are not spelt as in the index, and how they are spelt.
    """

    pos: str
    offsets: Int[np.ndarray, " N"]
    starts: Int[np.ndarray, " N1"]
    hypernyms: Int[np.ndarray, " E"]
    index: Index
    word_starts: Int[np.ndarray, " N1"]
    words: Int[np.ndarray, " W"]
    cased: Int[np.ndarray, " K"]
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
    """The names of a part of speech's nodes, made when they are asked for (to make them all takes time), and others."""

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
    """Leave out, of each knot of circles, the edges from its last node to its others; some circles may be left."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(children), dtype=np.int8), (children, parents)), shape=(size, size))
    _count, knots = connected_components(edges, connection="strong")
    inside = knots[children] == knots[parents]
    last = np.full(size, -1)
    np.maximum.at(last, knots[children[inside]], children[inside])
    kept = ~(inside & (last[knots[children]] == children))
    return children[kept], parents[kept]
