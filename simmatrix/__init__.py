"""Similarity matrices of classes, from what people know about them.

>>> import simmatrix
>>> matrix = simmatrix.from_embeddings(classes=["rose", "tulip", "truck"]).lower_bound(0.5)
>>> matrix.classes
('rose', 'tulip', 'truck')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simmatrix.build import from_embeddings
    from simmatrix.classes import ClassList, read_classes
    from simmatrix.errors import (
        ClassNotFoundError,
        ClassOrderError,
        MatrixError,
        OutputError,
        SimilarityError,
        SourceError,
    )
    from simmatrix.matrix import SimilarityMatrix
    from simmatrix.provenance import Provenance
    from simmatrix.storage import load, save
    from simmatrix.summary import Statistics, concerns, statistics
    from simmatrix.version import __version__

__all__ = [
    "ClassList",
    "ClassNotFoundError",
    "ClassOrderError",
    "MatrixError",
    "OutputError",
    "Provenance",
    "SimilarityError",
    "SimilarityMatrix",
    "SourceError",
    "Statistics",
    "__version__",
    "concerns",
    "from_embeddings",
    "load",
    "read_classes",
    "save",
    "statistics",
]

# Names are imported when they are first used: the command lives in this package and must start without NumPy.
_HOME = {
    "ClassList": "classes",
    "ClassNotFoundError": "errors",
    "ClassOrderError": "errors",
    "MatrixError": "errors",
    "OutputError": "errors",
    "Provenance": "provenance",
    "SimilarityError": "errors",
    "SimilarityMatrix": "matrix",
    "SourceError": "errors",
    "Statistics": "summary",
    "__version__": "version",
    "concerns": "summary",
    "from_embeddings": "build",
    "load": "storage",
    "read_classes": "classes",
    "save": "storage",
    "statistics": "summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
