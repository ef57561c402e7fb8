"""WordNet for NLTK without a download, and digests of what NLTK reads in the real one.

`write_nltk_folder` turns the bundled extract back into WordNet's own files, each synset at its own offset, so that NLTK
reads them. `nltk_lines` says everything about them that the extract should hold, as lines of text, and `digests` sums
these up: those of the files as Princeton distributes them are in ``data/fixtures/wordnet-3.0-digests.tsv``. To make
them again, with NLTK_DATA set to a folder that has these files:

    python -m tests.wordnet > tests/data/fixtures/wordnet-3.0-digests.tsv
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.taxonomy.wordnet import PARTS, PartOfSpeech, Synset, WordNet

OMW = {"fra": {2084071: ["chien", "Canis familiaris"], 2083346: ["chien"], 2121620: ["chat"]}}
"""French, as the Open Multilingual WordNet writes it: lemmas by noun offset."""


class Line(NamedTuple):
    """One statement, and the part of the listing that it is in."""

    part: str
    text: str


def nltk_lines(reader: Any, *, counts: bool = True) -> Iterator[Line]:
    """Return what NLTK's reader says of all nouns and verbs; to look up counts takes it long."""
    for pos in PARTS:
        for synset in reader.all_synsets(pos):
            above = {one.name() for one in (*synset.hypernyms(), *synset.instance_hypernyms())}
            yield synset_line(pos, synset.offset(), synset.name(), synset.lemma_names(), above)
            if counts:
                yield tag_line(pos, synset.name(), sum(lemma.count() for lemma in synset.lemmas()))
        for lemma in reader.all_lemma_names(pos):
            # Not its synsets(), which also finds those of the lemma's own base forms.
            offsets = reader._lemma_pos_offset_map[lemma][pos]
            yield lemma_line(pos, lemma, [reader.synset_from_pos_and_offset(pos, one).name() for one in offsets])
    for plural, singulars in reader._exception_map["n"].items():
        yield Line("exceptions", " ".join((plural, *singulars)))


def our_lines(wordnet: WordNet, *, counts: bool = True) -> Iterator[Line]:
    """Return what `nltk_lines` does, of this project's WordNet."""
    for pos, part in wordnet.parts.items():
        tags = wordnet.tags(pos)
        for node in range(len(part)):
            synset = Synset(pos, node)
            above = {wordnet.name_of(one) for one in wordnet.hypernyms_of(synset)}
            name = wordnet.name_of(synset)
            yield synset_line(pos, int(part.offsets[node]), name, wordnet.lemmas_of(synset), above)
            if counts:
                yield tag_line(pos, name, int(tags[node]))
        for lemma in part.index.lemmas:
            yield lemma_line(pos, lemma, [wordnet.name_of(sense.synset) for sense in wordnet.senses(lemma, pos)])
    for plural, singulars in wordnet.exceptions.items():
        yield Line("exceptions", " ".join((plural, *singulars)))


def synset_line(pos: str, offset: int, name: str, lemmas: Iterable[str], above: set[str]) -> Line:
    text = f"{offset:08d} {name} = {' '.join(lemmas)} < {' '.join(sorted(above))}"
    return Line(f"synsets {pos} {offset // 1_000_000:02d}", text)


def tag_line(pos: str, name: str, count: int) -> Line:
    return Line(f"tags {pos}", f"{name} {count}")


def lemma_line(pos: str, lemma: str, names: Iterable[str]) -> Line:
    return Line(f"lemmas {pos} {lemma[0] if lemma[0].isalpha() else '#'}", f"{lemma}: {' '.join(names)}")


def digests(lines: Iterable[Line]) -> list[str]:
    """Return a line for each part: its name, how many lines it has, and the checksum of these, sorted."""
    parts: dict[str, list[str]] = defaultdict(list)
    for part, text in lines:
        parts[part].append(text)
    return [
        f"{part}\t{len(texts)}\t{hashlib.sha256(chr(10).join(sorted(texts)).encode()).hexdigest()}"
        for part, texts in sorted(parts.items())
    ]


def write_nltk_folder(folder: Path, wordnet: WordNet) -> Path:
    """Write a data folder for NLTK: WordNet's nouns and verbs, no adjectives, a few French lemmas."""
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    counts: list[str] = []
    senses: list[str] = []
    for pos, long in PARTS.items():
        part = wordnet.parts[pos]
        words = list(_words(part))
        _write_data(corpus / f"data.{long}", part, words)
        _write_index(corpus / f"index.{long}", part)
        for word in words:
            if word.tags:
                counts.append(f"{word.key} {word.number} {word.tags}")
            senses.append(f"{word.key} {part.offsets[word.node]:08d} {word.number} {word.tags}")
    # NLTK's search never finds the first line.
    _write(corpus / "cntlist.rev", ["!%1:00:00:: 1 0", *sorted(counts)])
    _write(corpus / "index.sense", sorted(senses))
    _write(corpus / "noun.exc", (" ".join((plural, *one)) for plural, one in wordnet.exceptions.items()))
    _write(corpus / "lexnames", (f"{number:02d}\tnoun.any\t1" for number in range(45)))
    for name in ("data.adj", "data.adv"):
        _write(corpus / name, ["  WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved."])
    for name in ("index.adj", "index.adv", "adj.exc", "adv.exc", "verb.exc"):
        _write(corpus / name, [])
    for version in ("omw-1.4", "omw-2.0"):
        for language, lemmas in OMW.items():
            tab = folder / "corpora" / version / language / f"wn-data-{language}.tab"
            tab.parent.mkdir(parents=True)
            _write(tab, (f"{offset:08d}-n\tlemma\t{one}" for offset, some in lemmas.items() for one in some))
    return folder


class _Word(NamedTuple):
    """A word of a synset as the files have it: with the key that its count is found by."""

    node: int
    spelling: str
    identifier: int
    key: str
    number: int
    tags: int


def _words(part: PartOfSpeech) -> Iterator[_Word]:
    for node in range(len(part)):
        name_of_number: dict[tuple[str, int], int] = {}
        for spelling, at in zip(
            part.lemmas(node), part.words[part.word_starts[node] : part.word_starts[node + 1]].tolist(), strict=True
        ):
            lemma = spelling.lower()
            number = at - part.index.senses(lemma)[0] + 1
            # Two spellings of a lemma in a synset need a key each; only the first has the count.
            again = name_of_number.setdefault((lemma, number), 0)
            name_of_number[lemma, number] += 1
            identifier = number + 64 * again
            key = f"{lemma}%{1 if part.pos == 'n' else 2}:00:{identifier:02d}::"
            yield _Word(node, spelling, identifier, key, number, 0 if again else int(part.index.tags[at]))


def _write_data(path: Path, part: PartOfSpeech, words: list[_Word]) -> None:
    by_node: dict[int, list[_Word]] = defaultdict(list)
    for word in words:
        by_node[word.node].append(word)
    licence = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved."
    lines = [licence.ljust(int(part.offsets[0]) - 1)]
    ends = [*part.offsets[1:].tolist(), int(part.offsets[-1]) + 4000]
    for node, (offset, end) in enumerate(zip(part.offsets.tolist(), ends, strict=True)):
        above = part.hypernyms[part.starts[node] : part.starts[node + 1]]
        fields = [f"{offset:08d} 00 {part.pos} {len(by_node[node]):02x}"]
        fields += [f"{word.spelling} {word.identifier:x}" for word in by_node[node]]
        fields += [f"{len(above):03d}", *(f"@ {part.offsets[one]:08d} {part.pos} 0000" for one in above)]
        line = f"{' '.join(fields)} | "
        assert len(line.encode()) < end - offset, line
        lines.append(line.ljust(end - offset - 1, "."))
    _write(path, lines)


def _write_index(path: Path, part: PartOfSpeech) -> None:
    lines = []
    for lemma in part.index.lemmas:
        offsets = [f"{part.offsets[part.index.synsets[at]]:08d}" for at in part.index.senses(lemma)]
        lines.append(f"{lemma} {part.pos} {len(offsets)} 0 {len(offsets)} 0 {' '.join(offsets)}")
    _write(path, lines)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    from nltk.corpus import wordnet

    print(*digests(nltk_lines(wordnet)), sep="\n")
