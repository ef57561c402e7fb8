"""Taxonomies as nested JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simmatrix.errors import SourceError
from simmatrix.taxonomy.taxonomy import Taxonomy
from simmatrix.taxonomy.text import Placed, checked_name, from_places

__all__ = ["read_nested"]

_REMEDY = (
    'write {"animal": {"dog": ["poodle", "beagle"], "cat": {}}} or {"name": "animal", "children": [{"name": "dog"}]}'
)
_SHOWN = 60


def read_nested(text: str, path: Path) -> Taxonomy:
    """Read objects that map each name to what is below it, down to lists of names.

    ``{"animal": {"dog": ["poodle", "beagle"], "cat": {}}}``; null and what is empty stand for no children, and objects
    may stand in lists. Objects with a name and a list of children, as d3 draws them, may be used as well:
    ``{"name": "animal", "children": [{"name": "dog"}]}``; other single values in these, such as sizes, are passed over.
    A name that stands in several places is one node with several parents, and its children are those of all places.

    Raises
    ------
    SourceError
        If it is no JSON (names the line), holds something else (says below which nodes), a node
        stands alone, or there is a cycle.
    """
    return from_places(_places(_parsed(text, path), path), path)


def _parsed(text: str, path: Path) -> Any:
    try:
        # Objects become tuples of pairs: a dict would silently drop a node that stands there twice.
        content = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        raise SourceError(f"is not JSON ({error.msg}); mend it there", path, error.lineno) from None
    except RecursionError:
        raise SourceError(
            "is JSON that is nested too deeply to read; flatten it, or write a list of edges", path
        ) from None
    except ValueError:
        # JSON allows numbers of any length, Python does not.
        raise SourceError(f"is JSON that no taxonomy needs; {_REMEDY}", path) from None
    if not isinstance(content, tuple | list):
        raise SourceError(f"is a single value; {_REMEDY}", path)
    return content


def _places(content: Any, path: Path) -> Iterator[Placed]:
    # What is yet to be placed: below which nodes, from the top, and what is there. Not recursive: trees may be deep.
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while waiting:
        above, value = waiting.pop()
        found = list(_nodes(value, above, path))
        yield from (Placed(above[-1] if above else None, name) for name, _ in found)
        waiting.extend(((*above, name), below) for name, below in reversed(found))


def _nodes(value: Any, above: tuple[str, ...], path: Path) -> Iterator[tuple[str, Any]]:
    """Return the nodes that a value places, each with what stands for its children."""
    if isinstance(value, list):
        for item in value:
            yield from _items(item, above, path)
    elif value is not None:
        yield from _items(value, above, path, strings=False)


def _items(item: Any, above: tuple[str, ...], path: Path, *, strings: bool = True) -> Iterator[tuple[str, Any]]:
    if isinstance(item, str) and strings:
        yield _name(item, above, path), None
    elif not isinstance(item, tuple):
        shown = "a list in a list" if isinstance(item, list) else json.dumps(item)[:_SHOWN]
        raise SourceError(
            f"{_place(above)} stands {shown}, where names or an object with names belong; {_REMEDY}", path
        )
    elif any(key == "name" and isinstance(value, str) for key, value in item):
        yield _named(item, above, path)
    else:
        for key, value in item:
            yield _name(key, above, path), value


def _named(pairs: tuple[tuple[str, Any], ...], above: tuple[str, ...], path: Path) -> tuple[str, Any]:
    """Return the name and the children of an object that has them under these keys."""
    for key in ("name", "children"):
        if sum(key == other for other, _ in pairs) > 1:
            raise SourceError(f"{_place(above)} stands an object with two {key!r}; take one out", path)
    found = dict(pairs)
    name = _name(found.pop("name"), above, path)
    children = found.pop("children", None)
    for key, value in found.items():
        if isinstance(value, tuple | list):
            shown = json.dumps(key)[:_SHOWN]
            raise SourceError(
                f'{_place((*above, name))} stands something under {shown}; put it under "children", or take it out',
                path,
            )
    return name, children


def _name(name: str, above: tuple[str, ...], path: Path) -> str:
    return checked_name(name, path, what=f"node {_place(above)}")


def _place(above: tuple[str, ...]) -> str:
    return f"below {'/'.join(above)}" if above else "at the top"
