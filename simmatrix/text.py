"""Text that messages share: how names and lists are shown, which other names are near one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice, zip_longest

from simmatrix.errors import ParameterError

_SHOWN = 5
# Words less alike than this (0 to 100) would puzzle a reader: for "rose", "roe" is a hint and "cat" is none.
_CUTOFF = 60.0
# Near words are looked up for so many names: an error must not take longer than the work that it stops.
_MOST_SUGGESTED = 20

# The Unicode controls that turn the direction of text round, so that a reader sees other text than is there.
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_unsafe(character: str) -> bool:
    """Tell whether a character must not be shown as it is.

    A terminal obeys control characters, lone surrogates can't be written, and bidirectional controls mislead.
    """
    return unicodedata.category(character) in ("Cc", "Cs") or character in _BIDIRECTIONAL


def visible(text: str) -> str:
    r"""Return text with its unsafe characters escaped, so that a terminal shows and does not obey them.

    Examples
    --------
    >>> visible(chr(27) + "[31mrose")
    '\\x1b[31mrose'
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if is_unsafe(character) and character != "\n" else character
        for character in text
    )


def some(texts: Sequence[str], most: int = _SHOWN, count: int | None = None) -> str:
    """Return the first of several texts, and how many more there are; there are `count` if `texts` lacks the others.

    Commas stand between them, or semicolons if one of them holds a comma.

    Examples
    --------
    >>> some("abcdefg")
    'a, b, c, d, e and 2 more'
    >>> some(["tench, Tinca tinca", "goldfish"])
    'tench, Tinca tinca; goldfish'
    """
    more = (len(texts) if count is None else count) - most
    return _joined(texts[:most]) + (f" and {more} more" if more > 0 else "")


def a_few(texts: Sequence[str], most: int = 3) -> str:
    """Return the first of several texts, with dots behind them if there are more.

    Examples
    --------
    >>> a_few("abcd")
    'a, b, c …'
    """
    return _joined(texts[:most]) + (" …" if len(texts) > most else "")


def _joined(texts: Sequence[str]) -> str:
    """Join texts by commas, or by semicolons if a comma stands in one of them."""
    return ("; " if any("," in text for text in texts) else ", ").join(texts)


def some_lines(lines: Iterable[str], count: int) -> str:
    """Return up to 20 of `count` lines, each with two blanks in front, and how many more there are.

    Examples
    --------
    >>> some_lines(["rose: no 'rose'"], 1)
    "  rose: no 'rose'"
    """
    shown = [f"  {line}" for line in islice(lines, _MOST_SUGGESTED)]
    return "\n".join([*shown, *([f"  … and {count - len(shown)} more"] if count > len(shown) else [])])


def or_list(names: Iterable[str]) -> str:
    """Join names for a sentence.

    Examples
    --------
    >>> or_list(["rose", "tulip", "orchid"])
    'rose, tulip or orchid'
    """
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def check_choice(argument: str, value: object, choices: Iterable[str]) -> None:
    """Raise `ParameterError` unless an argument has one of the values that it may have."""
    known = tuple(choices)
    if value not in known:
        raise ParameterError(f"{argument} must be {or_list(map(repr, known))}, got {value!r}")


def hinted(words: Sequence[str], known: Iterable[str], hint: str = "did you mean {}?") -> list[str]:
    """Return words in quotes; each that `some` shows has a hint with the known words that are spelt like it.

    Examples
    --------
    >>> hinted(["vilet"], ["rose", "violet"])
    ["'vilet' (did you mean violet?)"]
    """
    hints = [f" ({hint.format(or_list(close))})" if close else "" for close in nearest_to_each(words[:_SHOWN], known)]
    return [f"{word!r}{told}" for word, told in zip_longest(words, hints, fillvalue="")]


def nearest(word: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Return up to `count` words of `known` spelt most like `word`, best first.

    Examples
    --------
    >>> nearest("vilet", ["rose", "violet", "orchid"])
    ('violet',)
    """
    return nearest_to_each([word], known, count)[0]


def nearest_to_each(
    words: Sequence[str], known: Iterable[str], count: int = 3, likeness: float = _CUTOFF
) -> list[tuple[str, ...]]:
    """Return `nearest` for the first 20 of several words and nothing for others; reads `known`, perhaps long, once.

    Words less alike than `likeness` (0 to 100) are left out.
    """
    # Imported here: they are needed for messages only, and the command must start quickly.
    import numpy as np
    from rapidfuzz import fuzz, process, utils

    vocabulary = list(dict.fromkeys(known))
    asked = [utils.default_process(word) for word in words[:_MOST_SUGGESTED]]
    spelt = [utils.default_process(word) for word in vocabulary]
    results: list[tuple[str, ...]] = []
    for word in asked:
        (scores,) = process.cdist([word], spelt, scorer=fuzz.ratio, score_cutoff=likeness)
        good = np.flatnonzero(scores)
        best = good[np.argsort(-scores[good], kind="stable")][:count]
        results.append(tuple(vocabulary[at] for at in best.tolist()))
    return results + [()] * (len(words) - len(results))
