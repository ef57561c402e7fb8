"""Which words a class is looked up by, and which class a name in a file stands for.

A class is looked up by its phrase, if it has one, and then by its name. Each is read in this order, the same for word
vectors, WordNet and taxonomies; the first reading that is found counts:

1. as it stands
2. in its forms, also without an index in front (``001.``, ``n02085620-``): its parts joined by underscores, by hyphens
   and by spaces; each of these in lower case; the singular of each; and, of three to five parts, by underscores and
   hyphens mixed (``yellow-breasted_chat``)
3. each of its synonyms, which commas or semicolons separate (``tench, Tinca tinca``), if there is no "and" in the last
4. as the mean of its words, for word vectors; WordNet takes the kind instead (``maple_tree``, the maple that is a tree)
5. the same without bracketed remarks
6. if neither phrase nor name is found so, by its head alone: as many of its last words as are known (``Fish_Crow``, a
   crow), without a year behind them

Blanks, underscores, slashes, brackets, commas and camelCase separate a text into parts; a part holds a letter or digit.
Hyphenated words are tried whole and then split. Each word of a mean may be found by its forms; all have to be found. An
encoder, which takes any text, gets the words of the first synonym without an index.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.choices import UNKNOWN
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, SourceError
from simmatrix.files import shown_name
from simmatrix.provenance import Input
from simmatrix.text import check_choice, hinted, nearest, or_list, some

_SEPARATORS = re.compile(r"[\s_/()\[\],;:&+>|]+")
_HYPHENS = re.compile("[-\u2010\u2011]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# An index in front of a name: "1.", "01_", "120-", "3 - ", or an ImageNet id. "18-wheeler" and "5_stars" have none.
_INDEX = re.compile(r"(?:n\d{8}[\s._-]+|\d+[.)]\s*_*|\d+\s+-\s+|(?:0\d+|\d{3,})[\s._-]+)(?=\D*[^\W\d_])")
REMARK = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])")
"""A remark in brackets."""
_SYNONYMS = re.compile(r"\s*[,;]\s*")
_AND = re.compile(r"(?:^|\s)(?:and|or|&)\s", re.IGNORECASE)
_NEGATIONS = frozenset(("no", "non", "not", "without"))
_YEAR = re.compile(r"(19|20)\d\d")
# From this many parts on, underscores and hyphens are not mixed: there are 2 ** (n - 1) ways.
_FEW_PARTS = 6
_LENIENT = 'spell them as in the class list, or leave out what is not in it (unknown="ignore")'

# WordNet's rules of detachment for nouns (Morphy; Beckwith, Miller and Tengi 1993), longest ending first.
_DETACHMENT = (
    ("ches", "ch"),
    ("shes", "sh"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ies", "y"),
    ("men", "man"),
    ("s", ""),
)


class Attempt(NamedTuple):
    """One way to find a class: the words to average, each with its alternatives, best first."""

    how: str
    words: tuple[tuple[str, ...], ...]


class Resolution(NamedTuple):
    """How a class was found, and which words of the vocabulary stand for it."""

    how: str
    words: tuple[str, ...]


def attempts_of(asked: Iterable[tuple[str, str]]) -> tuple[list[tuple[Attempt, ...]], set[str]]:
    """Return the attempts for each pair of a name and a phrase, and all words that they look for."""
    tries = [tuple(attempts(*pair)) for pair in asked]
    return tries, {form for one in tries for attempt in one for word in attempt.words for form in word}


def attempts(name: str, phrase: str = "") -> Iterator[Attempt]:
    """Go through the attempts for a class in their order.

    Examples
    --------
    >>> [attempt.how for attempt in attempts("Seal", "harbour seal")]
    ['phrase', 'phrase form', 'phrase words', 'name', 'name form', 'phrase head']
    """
    texts = [(kind, text) for kind, text in (("phrase", phrase), ("name", name)) if text]
    for kind, text in texts:
        yield from _attempts(kind, text)
    yield from (Attempt(f"{kind} head", tuple(map(forms, one))) for kind, text in texts for one in heads(text))


def _attempts(kind: str, text: str) -> Iterator[Attempt]:
    yield Attempt(kind, ((text,),))
    numbered = without_index(text)
    spelt = tuple(form for form in dict.fromkeys((*forms(text), *forms(numbered))) if form != text)
    if spelt:
        yield Attempt(f"{kind} form", (spelt,))
    for one in synonyms(numbered):
        yield Attempt(f"{kind} synonym", (forms(one),))
        yield from _means(f"{kind} synonym", one)
    yield from _means(f"{kind} words", numbered)
    plain = without_remarks(numbered)
    if plain != numbered:
        yield Attempt(f"{kind} form", (forms(plain),))
        yield from _means(f"{kind} words", plain)


def _means(how: str, text: str) -> Iterator[Attempt]:
    yield from (Attempt(how, tuple(map(forms, parts))) for parts in _splits(text) if len(parts) > 1)


def without_index(text: str) -> str:
    """Return a text without the number or ImageNet id in front of it.

    Examples
    --------
    >>> without_index("001.Black_footed_Albatross"), without_index("n02085620-Chihuahua"), without_index("18-wheeler")
    ('Black_footed_Albatross', 'Chihuahua', '18-wheeler')
    """
    return _INDEX.sub("", text, count=1) if _INDEX.match(text) else text


def without_remarks(text: str) -> str:
    """Return a text without what stands in brackets; the text itself if nothing else is in it.

    Examples
    --------
    >>> without_remarks("crane (bird)")
    'crane'
    """
    return REMARK.sub("", text).strip() or text


def synonyms(text: str) -> tuple[str, ...]:
    """Return the synonyms that commas or semicolons outside of brackets separate; none if there is only one.

    Where an "and" stands in the last of them, they are several things, and not names of one.

    Examples
    --------
    >>> synonyms("tench, Tinca tinca"), synonyms("tench"), synonyms("hunting, fishing and trapping")
    (('tench', 'Tinca tinca'), (), ())
    """
    found = tuple(part for part in _SYNONYMS.split(without_remarks(text)) if words(part))
    return found if len(found) > 1 and not _AND.search(found[-1]) else ()


def heads(text: str) -> Iterator[tuple[str, ...]]:
    """Go through a text's last words, the most first: not all of them, no negated ones, none that end in a number.

    Examples
    --------
    >>> list(heads("American_Fish_Crow")), list(heads("LABEL_0")), list(heads("no helmet"))
    ([('Fish', 'Crow'), ('Crow',)], [], [])
    """
    parts = words(_HYPHENS.sub(" ", without_remarks(without_index(text))))
    is_dated = len(parts) > 1 and _YEAR.fullmatch(parts[-1])
    kept = parts[:-1] if is_dated else parts
    if kept and any(map(str.isalpha, kept[-1])):
        # "no helmet" is no helmet.
        most = next((at for at, part in enumerate(kept) if part.lower() in _NEGATIONS), len(kept))
        yield from (kept[first:] for first in range(0 if is_dated else 1, min(most + 1, len(kept))))


def readings(text: str) -> tuple[str, ...]:
    """Return the readings of a name as a whole, in the order above.

    Examples
    --------
    >>> readings("7. crane (bird)")
    ('7. crane (bird)', 'crane (bird)', 'crane')
    """
    numbered = without_index(text)
    return tuple(dict.fromkeys((text, numbered, *synonyms(numbered), without_remarks(numbered))))


def plain_text(name: str) -> str:
    """Return the words of a name as a text: without an index, and of synonyms the first.

    Examples
    --------
    >>> plain_text("001.Black_footed_Albatross"), plain_text("pickupTruck"), plain_text("tench, Tinca tinca")
    ('Black footed Albatross', 'pickup Truck', 'tench')
    """
    numbered = without_index(name)
    return " ".join(words(next(iter(synonyms(numbered)), numbered))) or name


def forms(text: str) -> tuple[str, ...]:
    """Return the ways a text may be spelt in a vocabulary, in the order they are tried.

    Examples
    --------
    >>> forms("SweetPeppers")[:4]
    ('SweetPeppers', 'Sweet_Peppers', 'Sweet-Peppers', 'Sweet Peppers')
    >>> forms("Foxes")
    ('Foxes', 'foxes', 'Fox', 'Foxe', 'fox', 'foxe')
    """
    spelt = spellings(text)
    return tuple(dict.fromkeys((*spelt, *(one for form in spelt for one in singulars(form)))))


@lru_cache(maxsize=1 << 14)
def spellings(text: str) -> tuple[str, ...]:
    """Return `forms` without the singulars."""
    splits = _splits(text)
    joined = (joint.join(parts) for parts in splits for joint in "_- ")
    # A vocabulary may spell an accented letter with two characters.
    decomposed = () if text.isascii() else (unicodedata.normalize("NFD", text),)
    spelt = dict.fromkeys((text, *filter(None, joined), *decomposed))
    mixed = (
        "".join(chain.from_iterable(zip(parts, (*joints, ""), strict=True))).lower()
        for parts in splits
        if 2 < len(parts) < _FEW_PARTS
        for joints in product("_-", repeat=len(parts) - 1)
    )
    return tuple(dict.fromkeys((*spelt, *(form.lower() for form in spelt), *mixed)))


def words(text: str) -> tuple[str, ...]:
    """Split a text into its words, each with a letter or digit: punctuation is none.

    Examples
    --------
    >>> words("aquarium_fish"), words("ankleBoot"), words("T-shirt/top")
    (('aquarium', 'fish'), ('ankle', 'Boot'), ('T-shirt', 'top'))
    """
    pieces = (word for part in _SEPARATORS.split(text) for word in _CAMEL.split(part))
    return tuple(word for word in pieces if any(map(str.isalnum, word)))


def folded(text: str) -> str:
    """Return a name's words in lower case, joined by underscores: the same for names that differ in case and joints.

    Examples
    --------
    >>> folded("Ice-cream"), folded("iceCream"), folded("ice_creams")
    ('ice_cream', 'ice_cream', 'ice_creams')
    """
    return "_".join(words(_HYPHENS.sub(" ", text))).lower()


def _splits(text: str) -> tuple[tuple[str, ...], ...]:
    """Return a text's words with hyphenated ones whole, and then split if there are any."""
    whole = words(text)
    split = tuple(piece for word in whole for piece in _HYPHENS.split(word) if any(map(str.isalnum, piece)))
    return (whole,) if split == whole else (whole, split)


def singulars(word: str) -> tuple[str, ...]:
    """Return what may be the singular of a plural, by WordNet's rules. Whether it is a word, the vocabulary tells.

    Examples
    --------
    >>> singulars("butterflies"), singulars("boxes"), singulars("rose")
    (('butterfly', 'butterflie'), ('box', 'boxe'), ())
    """
    # "bus" and "glass" are no plurals of "bu" and "glas".
    if not word.endswith(("s", "men")) or word.endswith(("ss", "us")):
        return ()
    found = (word[: -len(ending)] + ending_of_one for ending, ending_of_one in _DETACHMENT if word.endswith(ending))
    return tuple(dict.fromkeys(one for one in found if len(one) > 1))


def resolve(tries: Iterable[Attempt], vocabulary: Container[str]) -> Resolution | None:
    """Return the first attempt all of whose words are in the vocabulary, or None."""
    for attempt in tries:
        found = tuple(next((form for form in word if form in vocabulary), None) for word in attempt.words)
        if all(found):
            return Resolution(attempt.how, tuple(word for word in found if word is not None))
    return None


class Matches(NamedTuple):
    """The names of a file that stand for classes: each one's class by index, and how each class was found."""

    indices: Mapping[str, int]
    resolution: Mapping[str, Mapping[str, Any]]


def match(
    names: Mapping[str, int | None], classes: ClassList, path: Path, *, unknown: str = "error", remedy: str = _LENIENT
) -> Matches:
    """Find the class that each name in a file stands for.

    A class whose own spelling is in the file is that name and no other. Any other class is the one name that has a
    form (underscores, case, singular) in common with it. `names` gives the first line of each name, if there are lines.

    `SourceError` if a name could be several classes, or several names one; or if a name is no class and `unknown` is
    ``"error"``, with `remedy` in the message.
    """
    check_choice("unknown", unknown, UNKNOWN)
    if "" in names:
        raise SourceError("a cell that should hold a name is empty; fill it in", path, names[""])
    positions = {name: index for index, name in enumerate(classes.names)}
    exact = {name: positions[name] for name in names if name in positions}
    by_form = _by_form([name for name in names if name not in exact], exact, classes, names, path)
    indices = {**exact, **by_form}
    strange = [name for name in names if name not in indices]
    if strange and unknown == "error":
        name, *others = strange
        more = f", nor {'is' if len(others) == 1 else 'are'} {some([*map(repr, others)])}" if others else ""
        close = nearest(name, classes.names)
        hint = f" (did you mean {or_list(close)}?)" if close else ""
        raise SourceError(f"{name!r} is no class of {classes.source}{hint}{more}; {remedy}", path, names[name])
    found = {index: name for name, index in indices.items()}
    resolution = {
        classes.names[index]: {"how": "name" if found[index] in exact else "name form", "words": [found[index]]}
        for index in sorted(found)
    }
    return Matches(indices, resolution)


def _by_form(
    names: Sequence[str], exact: Mapping[str, int], classes: ClassList, lines: Mapping[str, int | None], path: Path
) -> dict[str, int]:
    """Return the class of each name that is a form of one, among the classes that no name spells exactly."""
    if not names:
        return {}
    owners: dict[str, list[int]] = {}
    taken = set(exact.values())
    for index, name in enumerate(classes.names):
        if index not in taken:
            for form in _spellings(name):
                owners.setdefault(form, []).append(index)
    found: dict[int, str] = {}
    for name in names:
        candidates = sorted({index for form in _spellings(name) for index in owners.get(form, ())})
        if len(candidates) > 1:
            choice = or_list(repr(classes.names[index]) for index in candidates)
            raise SourceError(f"{name!r} could be {choice}; spell it as in the class list", path, lines[name])
        for index in candidates:
            if index in found:
                raise SourceError(
                    f"{name!r} could be the class {classes.names[index]!r}, and so could {found[index]!r} on line "
                    f"{lines[found[index]]}; spell one of them as in the class list",
                    path,
                    lines[name],
                )
            found[index] = name
    return {name: index for index, name in found.items()}


def _spellings(name: str) -> set[str]:
    """Return the `folded` spellings of a name's `forms`; most forms fold to the same, so only these few are made."""
    texts = {name, name.lower()}
    if not name.isascii():
        texts |= {unicodedata.normalize("NFD", text) for text in texts}
    stems = (stem for text in (*texts, folded(name)) for stem in singulars(text))
    return {*map(folded, texts), *map(folded, stems)} - {""}


def not_seen(missing: Sequence[str], known: Iterable[str], path: Path, what: str, remedy: str) -> ClassNotFoundError:
    """Return the error about classes that a file lacks, with the nearest of the names that it has."""
    lacking = set(missing)
    shown = hinted(missing, [name for name in known if name not in lacking], "nearest in the file: {}")
    return ClassNotFoundError(f"{path}: {what} {some(shown)}; {remedy}", tuple(missing))


def inputs(role: str, path: Path, sha256: str, classes: ClassList) -> tuple[Input, Input]:
    """Return the records of a file and of the class list: names without folders, and checksums."""
    return Input(role, shown_name(path), sha256), Input("classes", classes.source, classes.sha256)
