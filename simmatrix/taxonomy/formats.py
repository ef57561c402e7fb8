"""The written forms of taxonomies, by name, and how to tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from simmatrix.errors import SourceError
from simmatrix.suggest import or_list
from simmatrix.taxonomy.edges import read_edges
from simmatrix.taxonomy.nested import read_nested
from simmatrix.taxonomy.outline import is_outline, read_outline
from simmatrix.taxonomy.taxonomy import Taxonomy

__all__ = ["FORMATS", "detect", "read_taxonomy"]

FORMATS: Mapping[str, Callable[[str, Path], Taxonomy]] = {
    "edges": read_edges,
    "outline": read_outline,
    "json": read_nested,
}
"""Readers by the format's name: of a file's text, and the path to name in messages."""


def detect(text: str) -> str:
    """Return the name of a text's format; what is neither JSON nor indented is edges."""
    if text.lstrip().startswith(("{", "[")):
        return "json"
    return "outline" if is_outline(text) else "edges"


def read_taxonomy(text: str, path: Path, format: str) -> Taxonomy:
    """Read a taxonomy from a file's text in one of `FORMATS`.

    Raises
    ------
    SourceError
        If there is no such format, or the text can't be read in it. Names file and line.
    """
    if format not in FORMATS:
        raise SourceError(f"{format!r} is no format of taxonomies; choose {or_list(FORMATS)}")
    return FORMATS[format](text, path)
