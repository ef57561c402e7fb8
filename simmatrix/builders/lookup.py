"""Which words a class is looked up by, and which class a name in a file stands for.

A class is looked up among words in a fixed order of attempts; the first that succeeds counts:

1. the phrase given for the class: as it stands, then its forms, then the mean of its words' unit vectors
2. the class name: as it stands, then its forms, then the mean of its words' unit vectors

The forms of a text are, in this order: its parts joined by underscores, by hyphens and by spaces; each of these in
lower case; the singular of each. A text's parts are what blanks, underscores, slashes, brackets, commas and camelCase
separate; where there are hyphens everything is tried with hyphenated words whole and then with these split as well.
Each word of a mean may itself be found by its forms; all of them have to be found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.choices import UNKNOWN
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, SourceError
from simmatrix.provenance import Input
from simmatrix.text import check_choice, did_you_mean, nearest_to_each, or_list, shown_name, some

__all__ = [
    "Attempt",
    "Matches",
    "Resolution",
    "attempts",
    "attempts_of",
    "folded",
    "forms",
    "inputs",
    "match",
    "not_seen",
    "resolve",
    "resolve_each",
    "singulars",
    "words",
]

_SEPARATORS = re.compile(r"[\s_/(),;:&+]+")
_HYPHENS = re.compile("[-\u2010\u2011]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SHOWN = 5
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


def attempts_of(classes: ClassList) -> tuple[list[tuple[Attempt, ...]], set[str]]:
    """Return the attempts for each class of a list, by its name and its phrase, and all words that they look for."""
    phrases = classes.columns.get("phrase", [""] * len(classes.names))
    tries = [attempts(*pair) for pair in zip(classes.names, phrases, strict=True)]
    return tries, {form for one in tries for attempt in one for word in attempt.words for form in word}


def attempts(name: str, phrase: str = "") -> tuple[Attempt, ...]:
    """Return the attempts for a class in their order.

    Examples
    --------
    >>> [attempt.how for attempt in attempts("Seal", "harbour seal")]
    ['phrase', 'phrase form', 'phrase words', 'name', 'name form']
    """
    return (*_attempts("phrase", phrase), *_attempts("name", name))


def _attempts(kind: str, text: str) -> Iterator[Attempt]:
    if not text:
        return
    yield Attempt(kind, ((text,),))
    others = tuple(form for form in forms(text) if form != text)
    if others:
        yield Attempt(f"{kind} form", (others,))
    for parts in _splits(text):
        if len(parts) > 1:
            yield Attempt(f"{kind} words", tuple(forms(part) for part in parts))


def forms(text: str) -> tuple[str, ...]:
    """Return the ways a text may be spelt in a vocabulary, in the order they are tried.

    Examples
    --------
    >>> forms("SweetPeppers")[:4]
    ('SweetPeppers', 'Sweet_Peppers', 'Sweet-Peppers', 'Sweet Peppers')
    >>> forms("Foxes")
    ('Foxes', 'foxes', 'Fox', 'Foxe', 'fox', 'foxe')
    """
    joined = (joint.join(parts) for parts in _splits(text) for joint in "_- ")
    # A vocabulary may hold accented letters in two characters.
    decomposed = () if text.isascii() else (unicodedata.normalize("NFD", text),)
    spelt = dict.fromkeys((text, *filter(None, joined), *decomposed))
    cased = dict.fromkeys((*spelt, *(form.lower() for form in spelt)))
    return tuple(dict.fromkeys((*cased, *(one for form in cased for one in singulars(form)))))


def words(text: str) -> tuple[str, ...]:
    """Split a text into its words.

    Examples
    --------
    >>> words("aquarium_fish"), words("ankleBoot"), words("T-shirt/top")
    (('aquarium', 'fish'), ('ankle', 'Boot'), ('T-shirt', 'top'))
    """
    return tuple(word for part in _SEPARATORS.split(text) for word in _CAMEL.split(part) if word)


def folded(text: str) -> str:
    """Return what names have in common that are spelt alike but for case and the joints of their words.

    Words are joined by underscores and in lower case. Empty where there are no words.

    Examples
    --------
    >>> folded("Ice-cream"), folded("iceCream"), folded("ice_creams")
    ('ice_cream', 'ice_cream', 'ice_creams')
    """
    return "_".join(words(_HYPHENS.sub(" ", text))).lower()


def _splits(text: str) -> tuple[tuple[str, ...], ...]:
    """Return a text's words with hyphenated ones whole, and then split if there are any."""
    whole = words(text)
    split = tuple(piece for word in whole for piece in _HYPHENS.split(word) if piece)
    return (whole,) if split == whole else (whole, split)


def singulars(word: str) -> tuple[str, ...]:
    """Return what may be the singular of a plural, by WordNet's rules; whether it is a word the vocabulary tells.

    Examples
    --------
    >>> singulars("butterflies"), singulars("boxes"), singulars("rose")
    (('butterfly', 'butterflie'), ('box', 'boxe'), ())
    """
    found = (word[: -len(ending)] + ending_of_one for ending, ending_of_one in _DETACHMENT if word.endswith(ending))
    # "bus" and "glass" are no plurals of "bu" and "glas".
    plural = not word.endswith(("ss", "us"))
    return tuple(dict.fromkeys(one for one in found if plural and len(one) > 1))


def resolve_each(tries: Iterable[tuple[Attempt, ...]], vocabulary: Container[str]) -> list[Resolution | None]:
    """Return `resolve` of several classes."""
    return [resolve(one, vocabulary) for one in tries]


def resolve(tries: tuple[Attempt, ...], vocabulary: Container[str]) -> Resolution | None:
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
    names: Mapping[str, int], classes: ClassList, path: Path, *, unknown: str = "error", remedy: str = _LENIENT
) -> Matches:
    """Find the class that each name in a file stands for.

    A class that stands in the file as it is spelt is that name and no other. Any other class is the one name that
    shares one of its `forms` (underscores, case, singular), as they are `folded`.

    Parameters
    ----------
    names
        The line that each name stands on first.
    classes, path
        The class list, and the file, for messages.
    unknown
        What to do with names that are no class: ``"error"`` or ``"ignore"``.
    remedy
        What to do about them, for the message.

    Raises
    ------
    SourceError
        If a name could be several classes, several names could be one, or a name is none and that is not allowed.
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
        raise _unknown(strange, names, classes, path, remedy)
    found = {index: name for name, index in indices.items()}
    resolution = {
        classes.names[index]: {"how": "name" if found[index] in exact else "name form", "words": [found[index]]}
        for index in sorted(found)
    }
    return Matches(indices, resolution)


def _by_form(
    names: Sequence[str], exact: Mapping[str, int], classes: ClassList, lines: Mapping[str, int], path: Path
) -> dict[str, int]:
    """Return the class of each name that is a form of one; classes that stand in the file as they are have theirs."""
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


def _spellings(name: str) -> tuple[str, ...]:
    return tuple(form for form in dict.fromkeys(map(folded, forms(name))) if form)


def _unknown(
    strange: Sequence[str], lines: Mapping[str, int], classes: ClassList, path: Path, remedy: str
) -> SourceError:
    name = strange[0]
    more = f", nor are {some([repr(one) for one in strange[1:]])}" if strange[1:] else ""
    hint = did_you_mean(name, classes.names)
    return SourceError(f"{name!r} is no class of {classes.source}{hint}{more}; {remedy}", path, lines[name])


def not_seen(missing: Sequence[str], known: Iterable[str], path: Path, what: str, remedy: str) -> ClassNotFoundError:
    """Return the error about classes that a file says nothing of, with the nearest of the names it does hold."""
    lacking = set(missing)
    hints = nearest_to_each(missing[:_SHOWN], [name for name in known if name not in lacking])
    shown = [
        f"{name!r}" + (f" (nearest in the file: {or_list(near)})" if near else "")
        for name, near in zip(missing, hints, strict=False)
    ]
    return ClassNotFoundError(f"{path}: {what} {some([*shown, *missing[_SHOWN:]])}; {remedy}", tuple(missing))


def inputs(role: str, path: Path, sha256: str, classes: ClassList) -> tuple[Input, Input]:
    """Return what is recorded of a file and of the class list: names without folders, and checksums."""
    return Input(role, shown_name(path), sha256), Input("classes", classes.source, classes.sha256)
