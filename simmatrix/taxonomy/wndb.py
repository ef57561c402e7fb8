"""The files that WordNets come in: ``data.noun``, ``index.noun``, ``cntlist.rev``, ``noun.exc`` (wndb).

And how often synsets occur in a corpus: files such as NLTK's and WordNet::Similarity's ``ic-brown.dat``.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import decoded, read_bytes
from simmatrix.shapes import Float, Int
from simmatrix.taxonomy.wordnet import PARTS, Index, PartOfSpeech, starts_of

ReadText: TypeAlias = Callable[[str], str]
"""Gives the text of a file by its name."""

_Line = TypeVar("_Line")
_HYPERNYMS = ("@", "@i")
_NUMBERS = {"n": 1, "v": 2}
_VERSION = re.compile(r"Word[Nn]et (\d+(?:\.\d+|\+)?) Copyright")


class _Entry(NamedTuple):
    """A line of ``index.noun``: a lemma and the offsets of its senses."""

    lemma: str
    offsets: tuple[int, ...]


class _Word(NamedTuple):
    """A word of a synset, and the key that ``cntlist.rev`` counts it by."""

    spelling: str
    key: str


class _Synset(NamedTuple):
    """A line of ``data.noun``."""

    offset: int
    words: tuple[_Word, ...]
    hypernyms: tuple[int, ...]


def read_part(read: ReadText, pos: str) -> PartOfSpeech:
    """Return the synsets of a part of speech, ``"n"`` or ``"v"``; `SourceError` if a file is damaged."""
    data = f"data.{PARTS[pos]}"
    entries = sorted(set(_parsed(read, f"index.{PARTS[pos]}", _entry)))
    synsets = sorted(set(_parsed(read, data, _synset)))
    if not synsets:
        raise SourceError("holds no synset; get the files again", data)
    twice = [lemma for (lemma, _), (other, _) in pairwise(entries) if lemma == other]
    twice += [str(one.offset) for one, other in pairwise(synsets) if one.offset == other.offset]
    if twice:
        raise SourceError(f"has two lines about {twice[0]}, or its index has; get the files again", data)
    offsets = np.array([one.offset for one in synsets], dtype=np.int64)
    words = _word_senses(synsets, entries, data)
    index = Index(
        lemmas=[one.lemma for one in entries],
        starts=starts_of(np.array([len(one.offsets) for one in entries], dtype=np.int64)),
        synsets=_nodes([offset for one in entries for offset in one.offsets], offsets, f"index.{PARTS[pos]}"),
        tags=_tags(synsets, words, sum(len(one.offsets) for one in entries), read("cntlist.rev")),
    )
    above = [sorted({*one.hypernyms}) for one in synsets]
    spellings = [word.spelling for one in synsets for word in one.words]
    cased = [at for at, spelling in enumerate(spellings) if spelling != spelling.lower()]
    return PartOfSpeech(
        pos=pos,
        offsets=offsets,
        starts=starts_of(np.array([len(one) for one in above], dtype=np.int64)),
        hypernyms=_nodes([offset for one in above for offset in one], offsets, data),
        index=index,
        word_starts=starts_of(np.array([len(one.words) for one in synsets], dtype=np.int64)),
        words=words,
        cased=np.array(cased, dtype=np.int64),
        spellings=[spellings[at] for at in cased],
    )


def read_exceptions(read: ReadText) -> dict[str, tuple[str, ...]]:
    """Return the nouns whose plural follows no rule: the singulars by plural."""
    lines = (line.split() for line in read("noun.exc").splitlines())
    return {fields[0]: tuple(fields[1:]) for fields in lines if fields}


def version_of(read: ReadText) -> str:
    """Return the version that the licence at the head of the nouns names; ``"unknown"`` if it names none."""
    found = _VERSION.search(read("data.noun")[:4000])
    return found[1] if found else "unknown"


def _parsed(read: ReadText, name: str, parse: Callable[[list[str]], _Line]) -> Iterator[_Line]:
    for number, line in enumerate(read(name).split("\n"), start=1):
        # Each file starts with the licence, on lines that start with a blank.
        if line and not line.startswith(" "):
            try:
                # The definition and examples follow a bar.
                yield parse(line.split(" | ", 1)[0].split())
            except (ValueError, LookupError):
                raise SourceError("is not a line of a WordNet database; get the files again", name, number) from None


def _entry(fields: list[str]) -> _Entry:
    return _Entry(fields[0], tuple(int(offset) for offset in fields[-int(fields[2]) :]))


def _synset(fields: list[str]) -> _Synset:
    end = 4 + 2 * int(fields[3], base=16)
    pointers = fields[end + 1 : end + 1 + 4 * int(fields[end])]
    prefix = f"%{_NUMBERS[fields[2]]}:{int(fields[1]):02d}:"
    return _Synset(
        offset=int(fields[0]),
        words=tuple(
            _Word(spelling, f"{spelling.lower()}{prefix}{int(number, base=16):02d}::")
            for spelling, number in zip(fields[4:end:2], fields[5:end:2], strict=True)
        ),
        hypernyms=tuple(
            int(offset) for kind, offset in zip(pointers[0::4], pointers[1::4], strict=True) if kind in _HYPERNYMS
        ),
    )


def _nodes(wanted: Sequence[int], offsets: Int[np.ndarray, " N"], name: str) -> Int[np.ndarray, " W"]:
    """Return which synsets are at the offsets that are wanted."""
    asked = np.array(wanted, dtype=np.int64)
    nodes = np.searchsorted(offsets, asked)
    wrong = np.flatnonzero(offsets[np.minimum(nodes, len(offsets) - 1)] != asked)
    if len(wrong):
        raise SourceError(f"points to offset {asked[wrong[0]]}, where no synset is; get the files again", name)
    return nodes


def _word_senses(synsets: Sequence[_Synset], entries: Sequence[_Entry], name: str) -> Int[np.ndarray, " W"]:
    """Return which sense of which lemma each word is, by its position among all senses."""
    places: dict[tuple[str, int], int] = {}
    for entry in entries:
        places.update({(entry.lemma, offset): len(places) + at for at, offset in enumerate(entry.offsets)})
    try:
        return np.array([places[word.spelling.lower(), one.offset] for one in synsets for word in one.words])
    except KeyError as error:
        lemma, offset = error.args[0]
        raise SourceError(f"has {lemma!r} at {offset}, its index does not; get the files again", name) from None


def _tags(synsets: Sequence[_Synset], words: Int[np.ndarray, " W"], senses: int, counts: str) -> Int[np.ndarray, " S"]:
    """Return how often each sense was tagged. Two spellings of a lemma can be in one synset, each with a count."""
    lines = (line.split() for line in counts.splitlines())
    known = {fields[0]: int(fields[2]) for fields in lines if len(fields) == 3 and fields[2].isdecimal()}
    tags = np.zeros(senses, dtype=np.int64)
    np.add.at(tags, words, [known.get(word.key, 0) for one in synsets for word in one.words])
    return tags


_HEADER = "wnver::"
_COUNT = re.compile(r"(\d{1,8})([nv])\s+(\S+)(\s+ROOT)?")


class CorpusCounts(NamedTuple):
    """The counts of a taxonomy's N nodes, each with those of all below it; the count of all; the file's checksum."""

    counts: Float[np.ndarray, " N"]
    total: float
    sha256: str


def read_corpus_counts(path: Path, part: PartOfSpeech) -> CorpusCounts:
    """Read the counts of a part of speech: an offset, ``n`` or ``v``, a count, and ROOT behind that of a root.

    A synset that is not named has a count of 0; one that is named twice counts once.
    """
    raw = read_bytes(path)
    lines = decoded(raw, path).split("\n")
    if not lines[0].startswith(_HEADER):
        raise SourceError(f"should start with {_HEADER}, as files of counts (ic-*.dat) do; take one of those", path, 1)
    # Each node's line, count, and whether it is a root's.
    found: dict[int, tuple[int, float, bool]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        matched = _COUNT.fullmatch(line.strip())
        if not matched:
            raise SourceError("is not an offset and a count, such as '1740n 1915712 ROOT'; mend it", path, number)
        offset, pos, text, root = matched.groups()
        if pos != part.pos:
            continue
        node = part.at_offset(int(offset))
        if node is None:
            raise SourceError(
                f"WordNet has no {PARTS[pos]} at offset {offset}; take counts for this version of WordNet", path, number
            )
        try:
            # Python reads 1_0 as ten.
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise SourceError(f"{text!r} is no count; give a number that is not negative", path, number)
        first, *told = found.setdefault(node, (number, value, bool(root)))
        if told != [value, bool(root)]:
            raise SourceError(f"{offset}{pos} has another count on line {first}; take one of them out", path, number)
    total = sum(value for _line, value, is_root in found.values() if is_root)
    if total == 0:
        raise SourceError(f"has no root among its {PARTS[part.pos]}s, so no total; take another file", path)
    counts = np.zeros(len(part.taxonomy))
    counts[list(found)] = [value for _line, value, _is_root in found.values()]
    # The node above several roots counts as often as all of them.
    counts[len(part) :] = total
    return CorpusCounts(counts, total, hashlib.sha256(raw).hexdigest())
