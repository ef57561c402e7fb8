"""Where a matrix comes from, in memory and as its file tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from simmatrix.container import parsed_json
from simmatrix.errors import SourceError
from simmatrix.text import all_composed

__all__ = ["Input", "Provenance", "Step", "parsed_field"]

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
        for name in ("params", "resolution"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings can't be pickled or copied.
        return Provenance, (self.builder, dict(self.params), self.source, dict(self.resolution), self.normalisation)

    def with_step(self, *steps: Step) -> Provenance:
        """Return a copy with more steps of normalisation."""
        return replace(self, normalisation=(*self.normalisation, *steps))

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

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: Path) -> Provenance:
        """Return what the texts of a file say.

        Raises
        ------
        SourceError
            If a text is missing or holds something else.
        """
        params = parsed_field(metadata, "params", dict, path)
        source = parsed_field(metadata, "source", list, path)
        resolution = parsed_field(metadata, "resolution", dict, path)
        normalisation = parsed_field(metadata, "normalisation", list, path)
        fields = set(Input._fields)
        sound = {
            "source": all(isinstance(one, dict) and one.keys() == fields and _is_text(*one.values()) for one in source),
            "resolution": all(isinstance(one, dict) and _tells_words(one) for one in resolution.values()),
            "normalisation": all(isinstance(one, dict) for one in normalisation),
        }
        for name, is_sound in sound.items():
            if not is_sound:
                raise _damaged(name, path)
        inputs = tuple(Input(**one) for one in source)
        found = dict(zip(all_composed(resolution), resolution.values(), strict=True))
        return cls(metadata.get("builder", ""), params, inputs, found, tuple(normalisation))


def parsed_field(metadata: Mapping[str, str], name: str, kind: type, path: Path) -> Any:
    """Return the content of one field of a file's metadata, which has to be of a kind."""
    try:
        content = parsed_json(metadata[name])
    except (KeyError, ValueError):
        content = None
    if not isinstance(content, kind):
        raise _damaged(name, path)
    return content


def _tells_words(found: Mapping[str, Any]) -> bool:
    words = found.get("words", [])
    return isinstance(words, list) and _is_text(found.get("how", ""), *words)


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _damaged(name: str, path: Path) -> SourceError:
    return SourceError(f"its {name} is missing or damaged; build it again", path)
