"""What can be the name of a class, and how names are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

__all__ = ["is_name", "is_unsafe", "shown_name", "some_names"]

_SHOWN = 5

# The Unicode controls that turn the direction of text round: what a reader sees is not what stands there.
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_unsafe(character: str) -> bool:
    """Tell whether a character must not be shown as it is.

    A terminal obeys control characters, lone surrogates can't be written, and bidirectional controls mislead.
    """
    return unicodedata.category(character) in ("Cc", "Cs") or character in _BIDIRECTIONAL


def is_name(name: object) -> TypeGuard[str]:
    r"""Tell whether something can be the name of a class: text that is not blank and safe to show.

    Examples
    --------
    >>> is_name("T-shirt/top"), is_name(" "), is_name("a\nb"), is_name(3)
    (True, False, False, False)
    """
    return isinstance(name, str) and bool(name.strip()) and (name.isprintable() or not any(map(is_unsafe, name)))


def shown_name(name: str | Path) -> str:
    r"""Return a name, or that of a file without its folders, with what can't be written as UTF-8 escaped.

    The names of files hold lone surrogates where their bytes are no UTF-8.

    Examples
    --------
    >>> shown_name(Path("folder/ratings.csv")), shown_name("a\udcff")
    ('ratings.csv', 'a\\udcff')
    """
    text = name.name if isinstance(name, Path) else name
    return text.encode("utf-8", "backslashreplace").decode()


def some_names(names: Sequence[str]) -> str:
    """Return the first names of several, quoted, and how many more there are.

    Examples
    --------
    >>> some_names("abcdefg")
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
