"""The errors a user can mend: one root, and one child for each thing there is to mend.

Every message says what was wrong, where, and what to do next. Messages name arguments as Python does
(``duplicates="mean"``); the command turns these into its options.
"""

from __future__ import annotations

import re
from pathlib import Path

# A message quotes what it is about, which may be a text of a million characters.
_LONGEST_PATH = 500
_LONGEST = 4000


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class SimilarityError(Exception):
    """Root of all errors of this project. A very long message loses its middle."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_shortened(message, _LONGEST))


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _place(path: str | Path | None, line: int | None = None) -> str:
    """Return the start of a message about a file, on one line whatever characters its name holds."""
    if path is None:
        return ""
    name = _shortened(str(path), _LONGEST_PATH)
    if not name.isprintable():
        name = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)
    return f"{name}: " if line is None else f"{name}, line {line}: "


class ParameterError(SimilarityError, ValueError):
    """An argument that is out of its range or none of its choices."""


class SourceError(SimilarityError):
    """An input that can't be read or parsed.

    Parameters
    ----------
    message
        What is wrong and what to do about it.
    path
        The file it is about, if it is about one.
    line
        Its line, counted from 1, where the file has lines.
    """

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.line = line
        # A terminal would obey control characters that a file or its name may hold.
        super().__init__(_CONTROL.sub(lambda found: ascii(found[0])[1:-1], _place(path, line) + message))


class ClassNotFoundError(SimilarityError):
    """Classes that a source does not know; `missing` has their names in class order."""

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        self.missing = missing
        super().__init__(message)


class MatrixError(SimilarityError):
    """Values or names that break an invariant of a similarity matrix."""


class ClassOrderError(SimilarityError):
    """Classes that differ from those of a matrix, or that are in no order."""


class SenseWarning(UserWarning):
    """A class was taken in one of several senses of its name, and another may be meant."""


class OutputError(SimilarityError):
    """An output that can't or must not be written.

    Parameters
    ----------
    message
        What is wrong and what to do about it.
    path
        The file it is about, if it is about one.
    """

    def __init__(self, message: str, path: str | Path | None = None) -> None:
        super().__init__(_place(path) + message)
