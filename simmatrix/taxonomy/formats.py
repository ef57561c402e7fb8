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
from simmatrix.taxonomy.text import text_of

__all__ = ["FORMATS", "detect", "read_taxonomy"]

FORMATS: Mapping[str, Callable[[Path], Taxonomy]] = {
    "edges": read_edges,
    "outline": read_outline,
    "json": read_nested,
}
"""Readers by the format's name."""


def detect(path: Path) -> str:
    """Return the name of a file's format, told from its contents; what is neither JSON nor indented is edges."""
    text = text_of(path)
    if text.lstrip().startswith(("{", "[")):
        return "json"
    return "outline" if is_outline(text) else "edges"


def read_taxonomy(path: Path, format: str | None = None) -> Taxonomy:
    """Read a taxonomy from a file in one of `FORMATS`; the format is detected if not given.

    Raises
    ------
    SourceError
        If there is no such format, or the file can't be read in it. Names file and line.
    """
    name = detect(path) if format is None else format
    if name not in FORMATS:
        raise SourceError(f"{name!r} is no format of taxonomies; choose {or_list(FORMATS)}")
    return FORMATS[name](path)
