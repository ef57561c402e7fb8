"""What the written forms of a taxonomy have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from simmatrix.errors import SourceError
from simmatrix.names import is_name
from simmatrix.taxonomy.taxonomy import Edge, Taxonomy, from_edges

__all__ = ["Placed", "checked_name", "from_places", "numbered_lines"]


class Placed(NamedTuple):
    """A node where it stands in a tree: below its parent, or at the top."""

    parent: str | None
    name: str
    line: int | None = None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Go through the lines that say something, counted from 1: neither blank nor a comment (its first sign is #).

    Examples
    --------
    >>> list(numbered_lines("# flowers\n\n  rose \n"))
    [(3, '  rose')]
    """
    for number, line in enumerate(text.split("\n"), start=1):
        said = line.rstrip()
        if said and not said.lstrip().startswith("#"):
            yield number, said


def checked_name(name: str, path: Path, line: int | None = None, what: str = "node") -> str:
    """Return a node's name without blanks around it, if it can be one."""
    stripped = name.strip()
    if not stripped:
        raise SourceError(f"a {what} has no name; name it or take it out", path, line)
    if not is_name(stripped):
        raise SourceError(f"the {what} {stripped!r} holds a control character or half of one; take it out", path, line)
    return stripped


def from_places(places: Iterable[Placed], path: Path) -> Taxonomy:
    """Return the taxonomy of a written tree; a node that stands in several places has several parents.

    Raises
    ------
    SourceError
        If a node has neither parents nor children, for nothing could ever be similar to it; and see `from_edges`.
    """
    placed = tuple(places)
    edges = [Edge(one.parent, one.name, one.line) for one in placed if one.parent is not None]
    joined = {name for edge in edges for name in (edge.parent, edge.child)}
    alone = next((one for one in placed if one.name not in joined), None)
    if alone is not None:
        raise SourceError(
            f"{alone.name!r} stands alone, nothing is above or below it; put it below its parent, or take it out",
            path,
            alone.line,
        )
    return from_edges(edges, path)
