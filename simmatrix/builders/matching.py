"""Which class each name in a file of judgements stands for, and what is recorded of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.builders.lookup import folded, forms
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, SourceError
from simmatrix.names import shown_name, some_names
from simmatrix.provenance import Input
from simmatrix.suggest import nearest, nearest_to_each, or_list

__all__ = ["UNKNOWN", "Matches", "inputs", "match", "not_seen"]

UNKNOWN = ("error", "ignore")
"""What to do with names that are no class: refuse, or leave out what is said of them and count it."""

_SHOWN = 5
_LENIENT = "spell them as in the class list, or leave out what is not in it (--unknown ignore)"


class Matches(NamedTuple):
    """The names of a file that stand for classes: each one's class by index, and how each class was found."""

    indices: Mapping[str, int]
    resolution: Mapping[str, Mapping[str, Any]]


def match(
    names: Mapping[str, int], classes: ClassList, path: Path, *, unknown: str = "error", remedy: str = _LENIENT
) -> Matches:
    """Find the class that each name in a file stands for.

    A class that stands in the file as it is spelt is that name and no other; it does not matter whether its accented
    letters are composed. Any other class is the one name that shares one of its forms
    (`simmatrix.builders.lookup.forms`: underscores, case, singular), as they are folded.

    Parameters
    ----------
    names
        The line that each name stands on first.
    classes, path
        The class list, and the file, for messages.
    unknown
        What to do with names that are no class: ``"error"`` or ``"ignore"``.
    remedy
        What to do about them, for the message.

    Raises
    ------
    SourceError
        If a name could be several classes, several names could be one, or a name is none and that is not allowed.
    """
    if unknown not in UNKNOWN:
        raise SourceError(f"{unknown!r} is no way to treat unknown names; choose {or_list(UNKNOWN)}")
    if "" in names:
        raise SourceError("a cell that should hold a name is empty; fill it in", path, names[""])
    exact = _exact(names, classes.names)
    by_form = _by_form([name for name in names if name not in exact], exact, classes, names, path)
    indices = {**exact, **by_form}
    strange = [name for name in names if name not in indices]
    if strange and unknown == "error":
        raise _unknown(strange, names, classes, path, remedy)
    found = {index: name for name, index in indices.items()}
    resolution = {
        classes.names[index]: {"how": "name" if found[index] in exact else "name form", "words": [found[index]]}
        for index in sorted(found)
    }
    return Matches(indices, resolution)


def _exact(names: Iterable[str], classes: Sequence[str]) -> dict[str, int]:
    """Return the class of each name that is one, by index."""
    positions = {name: index for index, name in enumerate(classes)}
    found = {name: positions[name] for name in names if name in positions}
    taken = set(found.values())
    composed = {unicodedata.normalize("NFC", name): index for name, index in positions.items() if index not in taken}
    for name in names:
        index = composed.pop(unicodedata.normalize("NFC", name), None) if name not in found else None
        if index is not None:
            found[name] = index
    return found


def _by_form(
    names: Sequence[str], exact: Mapping[str, int], classes: ClassList, lines: Mapping[str, int], path: Path
) -> dict[str, int]:
    """Return the class of each name that is a form of one; classes that stand in the file as they are have theirs."""
    if not names:
        return {}
    owners: dict[str, list[int]] = {}
    taken = set(exact.values())
    for index, name in enumerate(classes.names):
        if index not in taken:
            for form in _spellings(name):
                owners.setdefault(form, []).append(index)
    found: dict[int, str] = {}
    for name in names:
        candidates = sorted({index for form in _spellings(name) for index in owners.get(form, ())})
        if len(candidates) > 1:
            choice = or_list(repr(classes.names[index]) for index in candidates)
            raise SourceError(f"{name!r} could be {choice}; spell it as in the class list", path, lines[name])
        for index in candidates:
            if index in found:
                raise SourceError(
                    f"{name!r} could be the class {classes.names[index]!r}, and so could {found[index]!r} on line "
                    f"{lines[found[index]]}; spell one of them as in the class list",
                    path,
                    lines[name],
                )
            found[index] = name
    return {name: index for index, name in found.items()}


def _spellings(name: str) -> tuple[str, ...]:
    return tuple(form for form in dict.fromkeys(map(folded, forms(name))) if form)


def _unknown(
    strange: Sequence[str], lines: Mapping[str, int], classes: ClassList, path: Path, remedy: str
) -> SourceError:
    name = strange[0]
    close = nearest(name, classes.names)
    hint = f" (did you mean {or_list(close)}?)" if close else ""
    more = f", nor are {some_names(strange[1:])}" if strange[1:] else ""
    return SourceError(f"{name!r} is no class of {classes.source}{hint}{more}; {remedy}", path, lines[name])


def not_seen(missing: Sequence[str], known: Iterable[str], path: Path, what: str, remedy: str) -> ClassNotFoundError:
    """Return the error about classes that a file says nothing of, with the nearest of the names it does hold."""
    hints = nearest_to_each(missing[:_SHOWN], [name for name in known if name not in missing])
    shown = [
        f"{name!r}" + (f" (nearest in the file: {or_list(near)})" if near else "")
        for name, near in zip(missing, hints, strict=False)
    ]
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return ClassNotFoundError(f"{path}: {what} {', '.join(shown)}{more}; {remedy}", tuple(missing))


def inputs(role: str, path: Path, sha256: str, classes: ClassList) -> tuple[Input, Input]:
    """Return what is recorded of a file and of the class list: names without folders, and checksums."""
    return Input(role, shown_name(path), sha256), Input("classes", classes.source, classes.sha256)
