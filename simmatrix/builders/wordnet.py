"""Similarity of classes from what WordNet says they are kinds of.

A class is looked up in this order; the first that succeeds counts:

1. its ``synset`` column: a synset's name (``seal.n.09``) or an ImageNet id (``n02076196``), nothing else if it is given
2. the class name as an ImageNet id, then as a synset's name
3. among the nouns: the phrase given for the class, the phrase's forms, the class name, the name's forms
4. among the verbs: the same

The forms of a text are its spellings in lower case with underscores or hyphens, then the singulars that WordNet lists
for exceptions, then the singulars by rule. A word of several senses is taken in its first; the others are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from simmatrix.builders.lookup import forms, singulars
from simmatrix.builders.raw import RawSimilarity, raw_type
from simmatrix.choices import MEASURES
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.files import sha256_of
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Input, Provenance
from simmatrix.shapes import Float, Int
from simmatrix.taxonomy.measures import NEED_CONTENT, from_counts, intrinsic, propagated, taxonomy_values
from simmatrix.taxonomy.wordnet import PARTS, Sense, Synset, WordNet, bundled_wordnet, is_id
from simmatrix.text import check_choice, composed, nearest_to_each, or_list, shown_name

__all__ = ["Found", "find_word", "from_wordnet", "open_wordnet", "senses_of", "synsets_of", "wordnet_similarity"]

_SHOWN = 10


@dataclass(frozen=True)
class Found:
    """How a class or word was found: its synset, and the other senses that it could have been."""

    how: str
    synset: Synset
    others: tuple[Synset, ...] = ()


def from_wordnet(
    classes: Classes = "cifar100",
    *,
    measure: str = "path",
    wordnet: str = "bundled",
    language: str = "eng",
    information_content: str | Path = "intrinsic",
    lower_bound: float | None = None,
) -> SimilarityMatrix:
    """Build a matrix from WordNet's hierarchy of nouns, or of verbs.

    A class is found by the list's ``synset`` column, by its ImageNet id (n01440764), by the name of a synset
    (seal.n.09) or by its name, whose first sense is taken if it has several.

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
    lower_bound
        As in `from_embeddings`: the median of all pairs if not given. In path similarity siblings are at 1/3.

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
    raw = wordnet_similarity(
        read_classes(classes),
        measure=measure,
        wordnet=wordnet,
        language=language,
        information_content=information_content,
    )
    return raw.normalised(lower_bound)


def wordnet_similarity(
    classes: ClassList,
    *,
    measure: str = "path",
    wordnet: str = "bundled",
    language: str = "eng",
    information_content: str | Path = "intrinsic",
) -> RawSimilarity:
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
            content = _from_file(Path(information_content), source, pos, dict(zip(found, nodes.tolist(), strict=True)))
            inputs.append(
                Input(
                    "information content", shown_name(Path(information_content)), sha256_of(Path(information_content))
                )
            )
        else:
            content = _CONTENTS[str(information_content)](source, pos)
    return RawSimilarity(
        values=taxonomy_values(source.taxonomy(pos), nodes, measure, content, raw_type(len(classes))),
        classes=classes.names,
        provenance=Provenance(
            builder="wordnet",
            params=params,
            source=tuple(inputs),
            resolution={
                name: _recorded(found[name], source, phrase)
                for name, phrase in zip(classes.names, classes.column("phrase"), strict=True)
            },
        ),
    )


def open_wordnet(choice: str = "bundled", language: str = "eng") -> WordNet:
    """Return the WordNet of a name: ``"bundled"``, ``"nltk"``, or ``"nltk:"`` and the name of an NLTK corpus.

    Raises
    ------
    SourceError
        If there is none of that name, or none for the language.

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


def find_word(wordnet: WordNet, text: str, pos: str, kind: str = "name") -> Found | None:
    """Return the first sense of a word among the nouns or the verbs, as it stands or in its forms.

    Examples
    --------
    >>> bundled = bundled_wordnet()
    >>> found = find_word(bundled, "Wolves", "n")
    >>> found.how, bundled.name_of(found.synset)
    ('name form', 'wolf.n.01')
    """
    for form in _first_known(wordnet, text, pos):
        first, *others = wordnet.senses(form, pos)
        how = kind if form == text else f"{kind} form"
        return Found(how, first.synset, tuple(sense.synset for sense in others))
    return None


def senses_of(wordnet: WordNet, word: str) -> tuple[Sense, ...]:
    """Return all senses of a word, first those of the noun that a class of that name would be, then the verb's.

    Of a synset's name or id, the synset alone.

    Raises
    ------
    ClassNotFoundError
        If WordNet has no such word; names the nearest.

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
    lemmas = ((pos, form) for pos in PARTS for form in _first_known(wordnet, word, pos))
    senses = tuple(sense for pos, form in lemmas for sense in wordnet.senses(form, pos))
    if not senses:
        close = nearest_to_each([_lemma(word)], wordnet.vocabulary())[0]
        hint = f"the nearest are {or_list(close)}" if close else "try another word for it"
        raise ClassNotFoundError(f"{wordnet.name} has neither noun nor verb {word!r}; {hint}", (word,))
    return senses


def _first_known(wordnet: WordNet, text: str, pos: str) -> Iterator[str]:
    yield from islice((form for form in _spellings(wordnet, text, pos) if wordnet.senses(form, pos)), 1)


def _spellings(wordnet: WordNet, text: str, pos: str) -> Iterator[str]:
    every = forms(text)
    by_rule = {one for form in every for one in singulars(form)}
    spelt = [form for form in every if form not in by_rule]
    yield from spelt
    if pos == "n" and wordnet.language == "eng":
        # As in Morphy: what is an exception ("leaves") follows no rule ("leave").
        exceptions = [one for form in spelt for one in wordnet.exceptions.get(form, ())]
        yield from exceptions or (form for form in every if form in by_rule)


def synsets_of(wordnet: WordNet, classes: ClassList) -> tuple[str, Int[np.ndarray, " C"], dict[str, Found]]:
    """Return the part of speech that all classes are of, each class's node in its taxonomy, and how it was found."""
    found = _find_classes(wordnet, classes)
    pos = _part_of_all(wordnet, found)
    return pos, np.array([one.synset.node for one in found.values()], dtype=np.int64), found


def _find_classes(wordnet: WordNet, classes: ClassList) -> dict[str, Found]:
    """Return the synset of each class: nouns, or verbs where all classes can be verbs and not all can be nouns."""
    rows = tuple(zip(classes.names, classes.column("synset"), classes.column("phrase"), strict=True))
    for pos in PARTS:
        alike = {name: _find(wordnet, name, pin, phrase, pos) for name, pin, phrase in rows}
        found = {name: one for name, one in alike.items() if one is not None and one.synset.pos == pos}
        if len(found) == len(rows):
            return found
    any_part = {name: _find(wordnet, name, pin, phrase, *PARTS) for name, pin, phrase in rows}
    missing = {name: pin for name, pin, _ in rows if any_part[name] is None}
    if missing:
        raise _not_found(wordnet, missing)
    return {name: one for name, one in any_part.items() if one is not None}


def _find(wordnet: WordNet, name: str, pin: str, phrase: str, *parts: str) -> Found | None:
    return _pinned(wordnet, pin, "synset") if pin else _unpinned(wordnet, name, phrase, parts)


def _pinned(wordnet: WordNet, text: str, how: str) -> Found | None:
    synset = wordnet.find(text)
    return None if synset is None else Found("id" if is_id(text) else how, synset)


def _unpinned(wordnet: WordNet, name: str, phrase: str, parts: Sequence[str]) -> Found | None:
    tries = [(text, kind) for text, kind in ((phrase, "phrase"), (name, "name")) if text]
    words = (find_word(wordnet, text, pos, kind) for pos in parts for text, kind in tries)
    return _pinned(wordnet, name, "synset") or next(filter(None, words), None)


def _part_of_all(wordnet: WordNet, found: Mapping[str, Found]) -> str:
    """Return the part of speech that all classes are of."""
    examples: dict[str, str] = {}
    for name, one in found.items():
        examples.setdefault(one.synset.pos, f"{name} is a {PARTS[one.synset.pos]} ({wordnet.name_of(one.synset)})")
    if len(examples) > 1:
        raise SourceError(
            f"{' and '.join(examples.values())}, and in WordNet nothing is above both; give all classes nouns, or all "
            "verbs (a synset column in the class list)"
        )
    return next(iter(examples))


def _recorded(found: Found, wordnet: WordNet, phrase: str) -> dict[str, object]:
    others = [wordnet.name_of(synset) for synset in found.others]
    return {
        "how": found.how,
        "words": [wordnet.name_of(found.synset)],
        **({"others": others} if others else {}),
        # Asked for and not found, so that the name had to do.
        **({"missed": phrase} if phrase and found.how.startswith("name") else {}),
    }


def _intrinsic(wordnet: WordNet, pos: str) -> Float[np.ndarray, " N"]:
    return intrinsic(wordnet.taxonomy(pos))


def _tagged(wordnet: WordNet, pos: str) -> Float[np.ndarray, " N"]:
    own = wordnet.tags(pos)
    if not own.any():
        raise SourceError(f"{wordnet.name} has no tag counts; take the intrinsic information content")
    # One more for every synset, so that none has a count of 0; what was put over the roots is no synset.
    own[: len(wordnet.parts[pos])] += 1
    return from_counts(propagated(wordnet.taxonomy(pos), own), float(own.sum()))


_CONTENTS: Mapping[str, Callable[[WordNet, str], Float[np.ndarray, " N"]]] = {
    "intrinsic": _intrinsic,
    "tagged": _tagged,
}


def _from_file(path: Path, wordnet: WordNet, pos: str, nodes: Mapping[str, int]) -> Float[np.ndarray, " N"]:
    from simmatrix.taxonomy.wndb import read_corpus_counts

    taxonomy = wordnet.taxonomy(pos)
    counts, total = read_corpus_counts(path, wordnet.parts[pos])
    unseen = [name for name, node in nodes.items() if counts[node] == 0]
    if unseen:
        named = ", ".join(unseen[:_SHOWN]) + (" …" if len(unseen) > _SHOWN else "")
        raise SourceError(f"has a count of 0 for {named}; take a file made with 1 added to each count (add1)", path)
    closure = taxonomy.closure(np.array(list(nodes.values()), dtype=np.int64))
    children, parents = np.repeat(closure.nodes, np.diff(closure.starts)), closure.nodes[closure.parents]
    wrong = _first(counts[children] > counts[parents] * (1 + 1e-9))
    if wrong is not None:
        raise SourceError(
            f"counts {taxonomy.names[int(children[wrong])]} more often than {taxonomy.names[int(parents[wrong])]}, "
            "which is above it; take a file whose counts hold those of all synsets below",
            path,
        )
    return from_counts(counts, total)


def _first(wrong: np.ndarray) -> int | None:
    return int(np.argmax(wrong)) if wrong.any() else None


def _not_found(wordnet: WordNet, missing: Mapping[str, str]) -> ClassNotFoundError:
    """Name every missing class, what was looked for, and what there is that is like it."""
    hints = _hints(wordnet, missing)
    return ClassNotFoundError(
        "\n".join(
            (
                f"{wordnet.name} has no synset for {len(missing)} of the classes:",
                *(f"  {name}: {hints[name]}" for name in missing),
                "give them a synset (a synset column in the class list; 'simmatrix senses WORD' lists the senses of a "
                "word), or take them out",
            )
        ),
        tuple(missing),
    )


def _hints(wordnet: WordNet, missing: Mapping[str, str]) -> dict[str, str]:
    asked = {name: pin or name for name, pin in missing.items()}
    hints = {name: _known(wordnet, text) for name, text in asked.items()}
    unknown = [name for name in missing if not hints[name]]
    words = [_lemma(asked[name]) for name in unknown]
    for name, close in zip(unknown, nearest_to_each(words, wordnet.vocabulary()), strict=True):
        hints[name] = f", nearest {or_list(_named(wordnet, close, missing[name]))}" if close else ""
    return {name: f"no {text!r}{hints[name]}" for name, text in asked.items()}


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
