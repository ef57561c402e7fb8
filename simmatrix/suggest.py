"""Nearest spellings, for messages about names that were not found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["nearest", "nearest_to_each", "or_list"]

# Normalised similarities below this look like noise to a reader ("rose": "roe" yes, "cat" no).
_CUTOFF = 60.0


def nearest(word: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Return up to `count` words of `known` spelt most like `word`, best first.

    Examples
    --------
    >>> nearest("vilet", ["rose", "violet", "orchid"])
    ('violet',)
    """
    return nearest_to_each([word], known, count)[0]


def nearest_to_each(words: Sequence[str], known: Iterable[str], count: int = 3) -> list[tuple[str, ...]]:
    """Return `nearest` for each of several words, reading `known` (which may be long) once."""
    # Imported here: it is needed for messages only, and the command must start quickly.
    from rapidfuzz import fuzz, process, utils

    vocabulary = list(dict.fromkeys(known))
    results = []
    for word in words:
        matches = process.extract(
            word, vocabulary, scorer=fuzz.ratio, processor=utils.default_process, limit=count, score_cutoff=_CUTOFF
        )
        results.append(tuple(match for match, _score, _index in matches))
    return results


def or_list(names: Iterable[str]) -> str:
    """Join names for a sentence.

    Examples
    --------
    >>> or_list(["rose", "tulip", "orchid"])
    'rose, tulip or orchid'
    """
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
