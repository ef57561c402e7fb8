"""Where a matrix comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Input", "Provenance", "Step"]

Step = Mapping[str, Any]
"""One step of normalisation: its name under ``step``, and its parameters."""


class Input(NamedTuple):
    """One input of a build, as the file records it: no folder, no time."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Where a matrix comes from, as its file tells it.

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

    def with_step(self, step: Step) -> Provenance:
        """Return a copy with one more step of normalisation."""
        return replace(self, normalisation=(*self.normalisation, step))

    def only(self, classes: Iterable[str]) -> Provenance:
        """Return a copy that tells of these classes alone."""
        return replace(self, resolution={name: self.resolution[name] for name in classes if name in self.resolution})
