"""Similarity of classes from what WordNet says they are kinds of.

A class is looked up in this order; the first that succeeds counts:

1. its ``synset`` column: a synset's name (``seal.n.09``) or an ImageNet id (``n02076196``), nothing else if it is given
2. the class name as an ImageNet id, also in front of a name (``n02085620-Chihuahua``), then as a synset's name
3. among the nouns: the phrase given for the class, then its name, each as it stands, in its forms, by its synonyms, by
   its kind (``maple_tree`` or ``maple (tree)``: the maple that is a tree)
4. among the verbs: the same, where all classes are found so
5. among the nouns: the head of the phrase or of the name
6. among the verbs: the phrase or the name, which the other classes, as nouns, then don't go with

`simmatrix.builders.lookup` tells what these are; after its singulars by rule come those that WordNet lists for
exceptions, and ``Wilson_Warbler`` is tried as ``Wilson's warbler`` too, ``sail_boat`` as ``sailboat``. Of several
senses the one that fits the other classes is taken (`simmatrix.builders.senses`); the others are recorded, and the
doubt.
"""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix import data
from simmatrix.builders.lookup import (
    REMARK,
    heads,
    singulars,
    spellings,
    synonyms,
    without_index,
    without_remarks,
    words,
)
from simmatrix.builders.raw import RawSource, without_missing
from simmatrix.builders.senses import Weights, choose_senses, grouping
from simmatrix.choices import MEASURES
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ClassNotFoundError, ParameterError, SenseWarning, SourceError
from simmatrix.files import shown_name
from simmatrix.matrix import SimilarityMatrix
from simmatrix.names import composed
from simmatrix.neighbours.tree import Tree
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Input, Provenance, by_class, recorded
from simmatrix.shapes import Float, Int
from simmatrix.taxonomy.measures import NEED_CONTENT, from_counts, intrinsic, propagated
from simmatrix.taxonomy.wordnet import PARTS, Sense, Synset, WordNet, bundled_wordnet, is_id
from simmatrix.text import a_few, check_choice, hinted, nearest_to_each, or_list, some, some_lines

DOUBTFUL = 0.5
"""From here on a sense is worth a look: the next one is half as probable."""
_SHOWN = 10
_ID_IN_FRONT = re.compile(r"(n\d{8})[-_.,\s]")


@dataclass(frozen=True)
class Found:
    """How a class or word was found: its synset, the other senses that it could have been, the likeliest first.

    The doubt, 0 to 1, is how near the likeliest of the others is; see `simmatrix.builders.senses`.
    """

    how: str
    synset: Synset
    others: tuple[Synset, ...] = ()
    doubt: float = 0.0


def from_wordnet(
    classes: Classes = "cifar100",
    *,
    measure: str = "path",
    wordnet: str = "bundled",
    language: str = "eng",
    information_content: str | Path = "intrinsic",
    oov: str = "error",
    lower_bound: float | None = None,
    top_k: int | None = None,
) -> SimilarityMatrix:
    """Build a matrix from WordNet's hierarchy of nouns, or of verbs.

    A class is found by the list's ``synset`` column, by its ImageNet id (n01440764), by the name of a synset
    (seal.n.09) or by its name; of several senses the one that fits the other classes is taken.

    Parameters
    ----------
    classes
        The class list: a file, the name of a bundled list, or the names themselves. All nouns or all verbs.
    measure
        ``"path"``, ``"wup"``, ``"lch"``, ``"res"``, ``"lin"``, ``"jcn"`` or ``"lcs-height"``
        (`simmatrix.taxonomy.measures`).
    wordnet
        ``"bundled"`` (WordNet 3.0), or ``"nltk"`` or ``"nltk:CORPUS"`` for what NLTK has on this machine.
    language
        Of the names, as NLTK's Open Multilingual Wordnet has it: three letters of ISO 639-3 (``"fra"``).
    information_content
        For res, lin and jcn: ``"intrinsic"`` (Seco et al. 2004), ``"tagged"`` (WordNet's own counts, each plus 1), or
        a file of counts such as ``ic-brown-add1.dat``.
    oov
        What to do with classes that WordNet lacks: ``"error"``, or ``"drop"`` to leave them out.
    lower_bound
        As in `from_embeddings`: the median of all pairs if not given. In path similarity siblings are at 1/3.
    top_k
        As in `from_embeddings`.

    Warns
    -----
    SenseWarning
        If the sense of a class is in doubt: another one fits the other classes half as well, or better.

    Raises
    ------
    SimilarityError
        If a class is not found, a parameter is none of its choices, nouns and verbs are mixed, or the counts can't be
        used.

    Examples
    --------
    >>> import simmatrix
    >>> round(simmatrix.from_wordnet(["rose", "tulip", "truck"], lower_bound=0.0)["rose", "tulip"], 3)
    0.143
    """
    check_lower_bound(lower_bound)
    build = partial(
        wordnet_similarity, measure=measure, wordnet=wordnet, language=language, information_content=information_content
    )
    raw = without_missing(build, read_classes(classes), oov)
    found = {name: one for name, one in raw.provenance.resolution.items() if one.get("doubt", 0.0) >= DOUBTFUL}
    if found:
        shown = sorted(found, key=lambda name: -found[name]["doubt"])
        senses = some([f"{name} ({found[name]['words'][0]}, not {found[name]['others'][0]})" for name in shown])
        warnings.warn(
            f"the sense of {len(found)} of the classes is in doubt: {senses}; pin it in a synset column of the class "
            "list (simmatrix.suggest shows all)",
            SenseWarning,
            stacklevel=2,
        )
    return raw.normalised(lower_bound, top_k)


def wordnet_similarity(
    classes: ClassList,
    *,
    measure: str = "path",
    wordnet: str = "bundled",
    language: str = "eng",
    information_content: str | Path = "intrinsic",
) -> RawSource:
    """Return the similarity of the classes' synsets in WordNet. Parameters as in `from_wordnet`."""
    check_choice("measure", measure, MEASURES)
    counted = str(information_content) not in _CONTENTS
    if str(information_content) != "intrinsic" and measure not in NEED_CONTENT:
        raise ParameterError(
            f"{measure} needs no information content, so {information_content} would have no effect; leave it out, or "
            f"choose {or_list(NEED_CONTENT)}"
        )
    source = open_wordnet(wordnet, language)
    pos, nodes, found = synsets_of(source, classes)
    params: dict[str, object] = {"measure": measure, "pos": pos}
    inputs = [Input("wordnet", source.name, source.sha256), Input("classes", classes.source, classes.sha256)]
    content = None
    if measure in NEED_CONTENT:
        params["information_content"] = shown_name(Path(information_content))
        if counted:
            path = Path(information_content)
            content, sha256 = _from_file(path, source, pos, dict(zip(found, nodes.tolist(), strict=True)))
            inputs.append(Input("information content", shown_name(path), sha256))
        else:
            content = _CONTENTS[str(information_content)](source, pos)
    return RawSource(
        source=Tree(source.taxonomy(pos), nodes, measure, content),
        classes=classes.names,
        provenance=Provenance(
            builder="wordnet",
            params=params,
            source=tuple(inputs),
            resolution=by_class(
                classes.names,
                (
                    _recorded(found[name], source, phrase)
                    for name, phrase in zip(classes.names, classes.column("phrase"), strict=True)
                ),
            ),
        ),
    )


def open_wordnet(choice: str = "bundled", language: str = "eng") -> WordNet:
    """Return the WordNet of a name: ``"bundled"``, ``"nltk"``, or ``"nltk:"`` and the name of an NLTK corpus.

    Examples
    --------
    >>> open_wordnet().name
    'wordnet-3.0'
    """
    kind, _, corpus = choice.partition(":")
    if kind == "nltk":
        from simmatrix.taxonomy.nltk import read_nltk_wordnet

        return read_nltk_wordnet(corpus or "wordnet", language)
    if choice != "bundled":
        raise ParameterError(f"wordnet must be 'bundled', 'nltk' or 'nltk:CORPUS', got {choice!r}")
    if language != "eng":
        raise ParameterError(f'the bundled WordNet is in English, not in {language!r}; take NLTK\'s (wordnet="nltk")')
    return bundled_wordnet()


def definition_of(wordnet: WordNet, synset: Synset) -> str:
    """Return what a noun synset of WordNet 3.0 means; nothing is bundled for verbs and other versions.

    Examples
    --------
    >>> bundled = bundled_wordnet()
    >>> definition_of(bundled, bundled.find("seal.n.09"))[:36]
    'any of numerous marine mammals that '
    """
    return _definitions()[synset.node] if synset.pos == "n" and wordnet.takes_ids else ""


@cache
def _definitions() -> list[str]:
    text = gzip.decompress(data.wordnet_definitions_path().read_bytes()).decode()
    return [line.partition("\t")[2] for line in text.split("\n")]


class _Candidates(NamedTuple):
    """How a class was found, and the senses of the word that it was found by."""

    how: str
    senses: tuple[Sense, ...]


def find_word(wordnet: WordNet, text: str, pos: str, kind: str = "name") -> _Candidates | None:
    """Return the senses of a word among the nouns or the verbs, as it stands or as it may be read; see above.

    Examples
    --------
    >>> bundled = bundled_wordnet()
    >>> found = find_word(bundled, "Wolves", "n")
    >>> found.how, bundled.name_of(found.senses[0].synset)
    ('name form', 'wolf.n.01')
    >>> find_word(bundled, "maple (tree)", "n").how
    'name kind'
    """
    numbered = without_index(text)
    plain = without_remarks(numbered)
    if found := _senses(wordnet, text, pos):
        return _Candidates(kind if wordnet.senses(text, pos) else f"{kind} form", found)
    if numbered != text and (found := _senses(wordnet, numbered, pos)):
        return _Candidates(f"{kind} form", found)
    if found := _shared([_senses(wordnet, one, pos) for one in synonyms(numbered)]):
        return _Candidates(f"{kind} synonym", found)
    remarks = ((plain, remark.strip("()[] ")) for remark in REMARK.findall(numbered))
    parts = words(plain)
    split = ((" ".join(parts[:at]), " ".join(parts[at:])) for at in range(len(parts) - 1, 0, -1))
    for rest, above in (*remarks, *split):
        tops = _senses(wordnet, above, pos)
        if tops and (found := _kinds(wordnet, _senses(wordnet, rest, pos), tops)):
            return _Candidates(f"{kind} kind", found)
    if plain != numbered and (found := _senses(wordnet, plain, pos)):
        return _Candidates(f"{kind} form", found)
    return None


def _senses(wordnet: WordNet, text: str, pos: str) -> tuple[Sense, ...]:
    """Return the senses of the first form of a text that WordNet has."""
    return next(filter(None, (wordnet.senses(form, pos) for form in _spellings(wordnet, text, pos))), ())


def _shared(several: Sequence[tuple[Sense, ...]]) -> tuple[Sense, ...]:
    """Return the senses of the first synonym that is known: those that another has too, if there are any."""
    first, *others = [one for one in several if one] or [()]
    synsets = {sense.synset for one in others for sense in one}
    return tuple(sense for sense in first if sense.synset in synsets) or first


def _kinds(wordnet: WordNet, senses: Sequence[Sense], above: Sequence[Sense]) -> tuple[Sense, ...]:
    """Return those senses that are a kind of what stands above."""
    tops = {sense.synset for sense in above}

    def is_below(synset: Synset) -> bool:
        seen: set[Synset] = set()
        left = [synset]
        while left and not tops & seen:
            one = left.pop()
            seen.add(one)
            left += [up for up in wordnet.hypernyms_of(one) if up not in seen]
        return bool(tops & seen)

    return tuple(sense for sense in senses if is_below(sense.synset))


def senses_of(wordnet: WordNet, word: str) -> tuple[Sense, ...]:
    """Return all senses of a word, the noun's and then the verb's; of a synset's name or id, the synset alone.

    `ClassNotFoundError` if WordNet has no such word; names the nearest.

    Examples
    --------
    >>> [bundled_wordnet().name_of(sense.synset) for sense in senses_of(bundled_wordnet(), "tulips")]
    ['tulip.n.01']
    """
    word = composed(word)
    pinned = wordnet.find(word)
    if pinned is not None:
        lemma = wordnet.lemmas_of(pinned)[0].lower()
        return tuple(sense for sense in wordnet.senses(lemma, pinned.pos) if sense.synset == pinned)
    senses = tuple(sense for pos in PARTS for sense in _senses(wordnet, word, pos))
    if not senses:
        close = nearest_to_each([_lemma(word)], wordnet.vocabulary())[0]
        hint = f"the nearest are {or_list(close)}" if close else "try another word for it"
        raise ClassNotFoundError(f"{wordnet.name} has neither noun nor verb {word!r}; {hint}", (word,))
    return senses


def _spellings(wordnet: WordNet, text: str, pos: str) -> Iterator[str]:
    spelt = spellings(text)
    yield from spelt
    if pos == "n" and wordnet.language == "eng":
        # As in Morphy: what is an exception ("leaves") follows no rule ("leave").
        exceptions = [one for form in spelt for one in wordnet.exceptions.get(form, ())]
        yield from exceptions or (one for form in spelt for one in singulars(form))
        first, *rest = words(text) or ("",)
        if rest:
            yield "_".join((f"{first}'s", *rest))
            joined = "".join((first, *rest)).lower()
            yield from (joined, *singulars(joined))


def look_up(
    wordnet: WordNet,
    classes: ClassList,
    weights: Weights = Weights(),  # noqa: B008 - immutable
) -> dict[str, Found | None]:
    """Return the synset of each class, None where it has none: nouns, or verbs where all can be verbs and not nouns.

    Examples
    --------
    >>> bundled = bundled_wordnet()
    >>> found = look_up(bundled, ClassList(("tiger", "leopard", "lion", "qqzzxx")))
    >>> bundled.name_of(found["tiger"].synset), found["tiger"].doubt, found["qqzzxx"]
    ('tiger.n.02', 0.015, None)
    """
    rows = tuple(zip(classes.names, classes.column("synset"), classes.column("phrase"), strict=True))
    found = [_candidates(wordnet, *row, "n") for row in rows]
    if not _are_all(found, "n"):
        verbs = [_candidates(wordnet, *row, "v") for row in rows]
        if _are_all(verbs, "v"):
            found = verbs
        else:
            mixed = zip(found, verbs, rows, strict=True)
            found = [noun or _by_head(wordnet, *row) or verb for noun, verb, row in mixed]

    def tags_of(sense: Sense) -> int:
        # Only English words were tagged: for another language's words the counts of the synset serve.
        pos, node = sense.synset
        return sense.tags if wordnet.language == "eng" else int(wordnet.parts[pos].tags[node])

    groups = grouping(classes.columns)
    chosen: dict[str, Found | None] = dict.fromkeys(classes.names)
    # Nothing is above both nouns and verbs: the senses of each fit those of their own kind.
    for pos in PARTS:
        kept = {index: one for index, one in enumerate(found) if one is not None and one.senses[0].synset.pos == pos}
        if not kept:
            continue
        choices = choose_senses(
            wordnet.taxonomy(pos),
            [[sense.synset.node for sense in one.senses] for one in kept.values()],
            [[tags_of(sense) for sense in one.senses] for one in kept.values()],
            None if groups is None else [groups[index] for index in kept],
            weights,
        )
        for (index, one), choice in zip(kept.items(), choices, strict=True):
            first, *others = (one.senses[at].synset for at in choice.order)
            chosen[classes.names[index]] = Found(one.how, first, tuple(others), choice.doubt)
    return chosen


def synsets_of(wordnet: WordNet, classes: ClassList) -> tuple[str, Int[np.ndarray, " C"], dict[str, Found]]:
    """Return the part of speech that all classes are of, each class's node in its taxonomy, and how it was found."""
    looked_up = look_up(wordnet, classes)
    pins = dict(zip(classes.names, classes.column("synset"), strict=True))
    missing = {name: pins[name] for name, one in looked_up.items() if one is None}
    if missing:
        raise _not_found(wordnet, missing)
    found = {name: one for name, one in looked_up.items() if one is not None}
    pos = _part_of_all(wordnet, found)
    return pos, np.array([one.synset.node for one in found.values()], dtype=np.int64), found


def _are_all(found: Sequence[_Candidates | None], pos: str) -> bool:
    return all(one is not None and one.senses[0].synset.pos == pos for one in found)


def _candidates(wordnet: WordNet, name: str, pin: str, phrase: str, pos: str) -> _Candidates | None:
    if pin:
        return _pinned(wordnet, pin)
    found = (find_word(wordnet, text, pos, kind) for text, kind in ((phrase, "phrase"), (name, "name")) if text)
    numbered = _ID_IN_FRONT.match(name)
    return _pinned(wordnet, name) or (numbered and _pinned(wordnet, numbered[1])) or next(filter(None, found), None)


def _pinned(wordnet: WordNet, text: str) -> _Candidates | None:
    synset = wordnet.find(text)
    return None if synset is None else _Candidates("id" if is_id(text) else "synset", (Sense(synset, 0),))


def _by_head(wordnet: WordNet, name: str, pin: str, phrase: str) -> _Candidates | None:
    tries = () if pin else (("phrase", phrase), ("name", name))
    found = ((kind, _senses(wordnet, " ".join(one), "n")) for kind, text in tries for one in heads(text))
    return next((_Candidates(f"{kind} head", senses) for kind, senses in found if senses), None)


def _part_of_all(wordnet: WordNet, found: Mapping[str, Found]) -> str:
    noun, verb = ([name for name, one in found.items() if one.synset.pos == pos] for pos in PARTS)
    if noun and verb:
        told = " and ".join(
            f"{name} is a {PARTS[found[name].synset.pos]} ({wordnet.name_of(found[name].synset)})"
            for name in (noun[0], verb[0])
        )
        odd, wanted = (noun, "v") if len(noun) < len(verb) else (verb, "n")
        near = hinted(odd, wordnet.indices[wanted].lemmas, f"nearest {PARTS[wanted]}: {{}}")
        raise SourceError(
            f"{told}, and in WordNet nothing is above both; give all classes nouns, or all verbs (a synset column in "
            f"the class list): no {PARTS[wanted]} is {some(near)}"
        )
    return "n" if noun else "v"


def _recorded(found: Found, wordnet: WordNet, phrase: str) -> dict[str, object]:
    others = [wordnet.name_of(synset) for synset in found.others]
    more: dict[str, object] = {"others": others, "doubt": found.doubt} if others else {}
    return recorded(found.how, [wordnet.name_of(found.synset)], phrase, **more)


def _tagged(wordnet: WordNet, pos: str) -> Float[np.ndarray, " N"]:
    own = wordnet.tags(pos)
    if not own.any():
        raise SourceError(f"{wordnet.name} has no tag counts; take the intrinsic information content")
    # One more for every synset, so that none has a count of 0; the node above the roots is no synset.
    own[: len(wordnet.parts[pos])] += 1
    return from_counts(propagated(wordnet.taxonomy(pos), own), float(own.sum()))


_CONTENTS: Mapping[str, Callable[[WordNet, str], Float[np.ndarray, " N"]]] = {
    "intrinsic": lambda wordnet, pos: intrinsic(wordnet.taxonomy(pos)),
    "tagged": _tagged,
}


def _from_file(path: Path, wordnet: WordNet, pos: str, nodes: Mapping[str, int]) -> tuple[Float[np.ndarray, " N"], str]:
    from simmatrix.taxonomy.wndb import read_corpus_counts

    taxonomy = wordnet.taxonomy(pos)
    counts, total, sha256 = read_corpus_counts(path, wordnet.parts[pos])
    unseen = [name for name, node in nodes.items() if counts[node] == 0]
    if unseen:
        raise SourceError(
            f"has a count of 0 for {a_few(unseen, _SHOWN)}; take a file made with 1 added to each count (add1)", path
        )
    closure = taxonomy.closure(np.array(list(nodes.values()), dtype=np.int64))
    children, parents = np.repeat(closure.nodes, np.diff(closure.starts)), closure.nodes[closure.parents]
    wrong = np.flatnonzero(counts[children] > counts[parents] * (1 + 1e-9))
    if len(wrong):
        child, parent = (taxonomy.names[int(nodes[wrong[0]])] for nodes in (children, parents))
        raise SourceError(
            f"counts {child} more often than {parent}, "
            "which is above it; take a file whose counts hold those of all synsets below",
            path,
        )
    return from_counts(counts, total), sha256


def _not_found(wordnet: WordNet, missing: Mapping[str, str]) -> ClassNotFoundError:
    asked = {name: pin or name for name, pin in missing.items()}
    hints = {name: _known(wordnet, text) for name, text in asked.items()}
    unknown = [name for name in missing if not hints[name]]
    lemmas = [_lemma(asked[name]) for name in unknown]
    for name, close in zip(unknown, nearest_to_each(lemmas, wordnet.vocabulary()), strict=True):
        hints[name] = f", nearest {or_list(_named(wordnet, close, missing[name]))}" if close else ""
    parts = (
        f"{wordnet.name} has no synset for {len(missing)} of the classes:",
        some_lines((f"{name}: no {text!r}{hints[name]}" for name, text in asked.items()), len(missing)),
        "correct their spelling, give them a synset (a synset column in the class list; 'simmatrix senses WORD' lists "
        'the senses of a word), leave them out (oov="drop"), or take a source that knows their words (from_embeddings) '
        "or any text (from_encoder)",
    )
    return ClassNotFoundError("\n".join(parts), tuple(missing))


def _known(wordnet: WordNet, text: str) -> str:
    """Say why an id is unknown, or which synsets the lemma in an unknown synset's name has; empty if neither is so."""
    if is_id(text):
        is_other = "" if wordnet.takes_ids else f", and this is {wordnet.version}"
        return f", which should be an offset into WordNet 3.0{is_other}"
    lemma, *rest = text.lower().rsplit(".", 2)
    senses = wordnet.senses(lemma, rest[0]) if len(rest) == 2 and rest[0] in PARTS else ()
    return f"; there are {', '.join(wordnet.name_of(sense.synset) for sense in senses)}" if senses else ""


def _named(wordnet: WordNet, lemmas: Sequence[str], pin: str) -> Iterator[str]:
    """Return the lemmas, or the names of their first senses where a synset was asked for."""
    for lemma in lemmas:
        senses = (sense for pos in PARTS for sense in wordnet.senses(lemma, pos))
        yield wordnet.name_of(next(senses).synset) if pin else lemma


def _lemma(text: str) -> str:
    return text.lower().rsplit(".", 2)[0].replace(" ", "_")
