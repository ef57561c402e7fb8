"""How a class is looked up among words: a fixed order of attempts, and the first that succeeds.

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
from collections.abc import Container, Iterator
from typing import NamedTuple

__all__ = ["Attempt", "Resolution", "attempts", "folded", "forms", "resolve", "singulars", "words"]

_SEPARATORS = re.compile(r"[\s_/(),;:&+]+")
_HYPHENS = re.compile("[-\u2010\u2011]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

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
    composed = unicodedata.normalize("NFC", text)
    joined = (joint.join(parts) for parts in _splits(composed) for joint in "_- ")
    spelt = dict.fromkeys((text, composed, *filter(None, joined)))
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
    """Return what names have in common that are spelt alike but for case, accents and the joints of their words.

    Accented letters are composed (NFC), words joined by underscores and in lower case. Empty where there are no words.

    Examples
    --------
    >>> folded("Ice-cream"), folded("iceCream"), folded("ice_creams")
    ('ice_cream', 'ice_cream', 'ice_creams')
    """
    return "_".join(words(_HYPHENS.sub(" ", unicodedata.normalize("NFC", text)))).lower()


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


def resolve(tries: tuple[Attempt, ...], vocabulary: Container[str]) -> Resolution | None:
    """Return the first attempt all of whose words are in the vocabulary, or None."""
    for attempt in tries:
        found = tuple(next((form for form in word if form in vocabulary), None) for word in attempt.words)
        if all(found):
            return Resolution(attempt.how, tuple(word for word in found if word is not None))
    return None
