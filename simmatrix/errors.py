"""The errors a user can mend: one root, and one child for each thing there is to mend.

Every message says what was wrong, where, and what to do next. Messages name arguments as Python does
(``duplicates="mean"``); the command turns these into its options.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "ClassNotFoundError",
    "ClassOrderError",
    "MatrixError",
    "OutputError",
    "ParameterError",
    "SimilarityError",
    "SourceError",
]


class SimilarityError(Exception):
    """Root of all errors of this project."""


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
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(where + message)


class ClassNotFoundError(SimilarityError):
    """Classes that a source does not know; `missing` has their names in class order."""

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        self.missing = missing
        super().__init__(message)


class MatrixError(SimilarityError):
    """Values or names that break an invariant of a similarity matrix."""


class ClassOrderError(SimilarityError):
    """Classes that differ from those of a matrix, or that are in no order."""


class OutputError(SimilarityError):
    """An output that can't or must not be written."""
