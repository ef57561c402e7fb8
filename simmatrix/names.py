"""What can be the name of a class."""

from __future__ import annotations

import unicodedata
from typing import TypeGuard

__all__ = ["is_name", "is_unsafe"]

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
