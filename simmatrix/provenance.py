"""Where a matrix comes from, in memory and as its file tells it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from simmatrix.container import canonical_json, parsed_json
from simmatrix.errors import OutputError, SourceError
from simmatrix.names import MANY, TextArray, all_composed

# A blend of blends has three levels for each.
_MOST_LEVELS = 200
_LARGEST = 2**64
_HALF = re.compile("[\ud800-\udfff]")

Step = Mapping[str, Any]
"""One step of normalisation: its name under ``step``, and its parameters."""


class Input(NamedTuple):
    """One input of a build, as the file records it: no folder, no time."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Where a matrix comes from.

    Parameters
    ----------
    builder, params
        Which builder made it, and from which parameters.
    source
        Every input: its role, name and SHA-256 checksum.
    resolution
        How each class was found, by class name.
    normalisation
        The steps from raw similarities to the values, in their order.
    """

    builder: str = "given"
    params: Mapping[str, Any] = field(default_factory=dict)
    source: tuple[Input, ...] = ()
    resolution: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    normalisation: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))
        # A read-only view comes from another provenance, which has composed its names.
        found = self.resolution
        if not isinstance(found, MappingProxyType | FoundArray):
            found = MappingProxyType(dict(zip(all_composed(found), found.values(), strict=True)))
        object.__setattr__(self, "resolution", found)

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings can't be pickled or copied.
        found = self.resolution if isinstance(self.resolution, FoundArray) else dict(self.resolution)
        return Provenance, (self.builder, dict(self.params), self.source, found, self.normalisation)

    def with_step(self, *steps: Step) -> Provenance:
        """Return a copy with more steps of normalisation."""
        return replace(self, normalisation=(*self.normalisation, *steps))

    def has_step(self, name: str) -> bool:
        """Tell whether a step of normalisation of this name was taken."""
        return any(step.get("step") == name for step in self.normalisation)

    def only(self, classes: Iterable[str]) -> Provenance:
        """Return a copy that tells of these classes alone, in this order."""
        return replace(self, resolution={name: self.resolution[name] for name in classes if name in self.resolution})

    def to_metadata(self) -> dict[str, object]:
        """Return what a file holds of it."""
        return {
            "builder": self.builder,
            "params": dict(self.params),
            "source": [one._asdict() for one in self.source],
            "resolution": {name: dict(found) for name, found in self.resolution.items()},
            "normalisation": [dict(step) for step in self.normalisation],
        }

    def unsound(self) -> str:
        """Return the name of a part that a file can't hold, since it is no JSON or of another shape; else ""."""
        tests = {
            "builder": _is_text(self.builder),
            "params": _is_plain(dict(self.params)),
            "source": all(_is_text(*one) for one in self.source),
            "resolution": isinstance(self.resolution, FoundArray)
            or all(map(_tells_words, self.resolution, self.resolution.values())),
            "normalisation": all(_is_plain(dict(step)) for step in self.normalisation),
        }
        return next((name for name, is_sound in tests.items() if not is_sound), "")

    def check(self, path: Path) -> None:
        """Raise `OutputError` if the file at `path` can't hold a part."""
        if unsound := self.unsound():
            raise OutputError(f"can't hold the matrix's {unsound}; give text and finite numbers, in few levels", path)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: Path) -> Provenance:
        """Return what the texts of a file say. Raises `SourceError` if a text is missing or holds something else."""
        params = parsed_field(metadata, "params", dict, path)
        source = parsed_field(metadata, "source", list, path)
        resolution = parsed_field(metadata, "resolution", dict, path)
        normalisation = parsed_field(metadata, "normalisation", list, path)
        fields = set(Input._fields)
        parts = {"source": source, "resolution": resolution.values(), "normalisation": normalisation}
        for name, part in parts.items():
            if not all(isinstance(one, dict) and (name != "source" or one.keys() == fields) for one in part):
                raise _damaged(name, path)
        inputs = tuple(Input(**one) for one in source)
        found = cls(metadata.get("builder", ""), params, inputs, resolution, tuple(normalisation))
        if name := found.unsound() or ("resolution" if len(found.resolution) < len(resolution) else ""):
            raise _damaged(name, path)
        return found


class FoundArray(Mapping[str, Mapping[str, Any]]):
    """How each class was found, by its name: JSON in an array of texts, read when it is asked for.

    Classes of which nothing is told have an empty text, and are not in the mapping.
    """

    def __init__(self, names: Sequence[str], texts: TextArray, path: Path | None = None) -> None:
        self.names, self.texts, self.path = names, texts, path

    @classmethod
    def of(cls, names: Sequence[str], found: Mapping[str, Mapping[str, Any]]) -> FoundArray:
        """Return the array of what is told of the names."""
        if isinstance(found, FoundArray) and (found.names is names or found.names == names):
            return found
        told = (canonical_json(dict(found[name])) if name in found else "" for name in names)
        return cls(names, TextArray.of(told))

    def __reduce__(self) -> tuple[Any, ...]:
        return FoundArray, (self.names, self.texts, self.path)

    def _parsed(self, text: str) -> Mapping[str, Any]:
        try:
            content = parsed_json(text)
        except ValueError:
            content = None
        if not isinstance(content, dict) or not _tells_words("", content):
            raise SourceError("its resolution is damaged; build it again", self.path)
        return content

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        try:
            text = self.texts[self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None
        if not text:
            raise KeyError(name)
        return self._parsed(text)

    def __iter__(self) -> Iterator[str]:
        return (name for name, text in zip(self.names, self.texts, strict=True) if text)

    def items(self) -> Any:
        """Return pairs of a name and what is told of it, in class order."""
        pairs = zip(self.names, self.texts, strict=True)
        return ((name, self._parsed(text)) for name, text in pairs if text)

    def values(self) -> Any:
        """Return what is told of each class, in class order."""
        return (self._parsed(text) for text in self.texts if text)

    def __len__(self) -> int:
        return int(np.count_nonzero(np.diff(self.texts.offsets)))


def recorded(how: str, words: Sequence[str], phrase: str, **more: object) -> dict[str, object]:
    """Return the record of how a class was found, and of its phrase if that was not found, but the name was."""
    missed = {"missed": phrase} if phrase and how.startswith("name") else {}
    return {"how": how, "words": list(words), **more, **missed}


def by_class(names: Sequence[str], found: Iterable[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Return how each class of a list was found, by its name; of many in an array, which takes a seventh of the memory.

    Raises
    ------
    SourceError
        If a text of many holds half of a character, which no file can.

    Examples
    --------
    >>> by_class(("rose", "oak"), [{"how": "name"}, {"how": "phrase"}])["oak"]
    {'how': 'phrase'}
    """
    if len(names) < MANY:
        return MappingProxyType(dict(zip(names, found, strict=True)))
    try:
        return FoundArray(names, TextArray.of(canonical_json(one) for _, one in zip(names, found, strict=True)))
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise SourceError(f"a text of the class list holds half of a character ({half!a}); write it whole") from None


def parsed_field(metadata: Mapping[str, str], name: str, kind: type, path: Path) -> Any:
    """Return the content of one field of a file's metadata, which has to be of a kind."""
    try:
        content = parsed_json(metadata[name])
    except (KeyError, ValueError):
        content = None
    if not isinstance(content, kind):
        raise _damaged(name, path)
    return content


def _tells_words(name: str, found: Mapping[str, Any]) -> bool:
    """Tell whether a class's resolution has the shape that readers rely on: how, words, and plain content."""
    rest = {key: content for key, content in found.items() if key not in ("how", "words")}
    words = found.get("words", [])
    is_told = isinstance(words, list | tuple) and _is_text(name, found.get("how", ""), *words)
    return is_told and (not rest or _is_plain(rest))


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) and (value.isascii() or not _HALF.search(value)) for value in values)


def _is_plain(content: object) -> bool:
    """Tell whether content is JSON of few levels."""
    level = [content]
    for _ in range(_MOST_LEVELS + 1):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict) and _is_text(*one):
                inner += one.values()
            elif isinstance(one, list | tuple):
                inner += one
            else:
                value = one.item() if isinstance(one, np.number | np.bool_) else one
                is_number = isinstance(value, int | float) and -_LARGEST <= value <= _LARGEST
                is_float = isinstance(value, float) and math.isfinite(value)
                if not (value is None or is_number or is_float or _is_text(value)):
                    return False
        level = inner
    return not level


def _damaged(name: str, path: Path) -> SourceError:
    return SourceError(f"its {name} is missing or damaged; build it again", path)
