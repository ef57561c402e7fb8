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
    from simmatrix.blending import blend
    from simmatrix.builders.confusion import from_confusion
    from simmatrix.builders.embeddings import from_embeddings
    from simmatrix.builders.encoder import from_encoder
    from simmatrix.builders.order import from_order
    from simmatrix.builders.ratings import from_ratings
    from simmatrix.builders.ready import from_matrix
    from simmatrix.builders.taxonomy import from_taxonomy
    from simmatrix.builders.triplets import from_triplets
    from simmatrix.builders.wordnet import from_wordnet
    from simmatrix.classes import ClassList, read_classes
    from simmatrix.comparison import Comparison, compare
    from simmatrix.errors import (
        ClassNotFoundError,
        ClassOrderError,
        MatrixError,
        OutputError,
        ParameterError,
        SimilarityError,
        SourceError,
    )
    from simmatrix.matrix import SimilarityMatrix, load, save
    from simmatrix.provenance import Provenance
    from simmatrix.summary import Statistics, concerns, statistics
    from simmatrix.version import __version__

__all__ = [
    "ClassList",
    "ClassNotFoundError",
    "ClassOrderError",
    "Comparison",
    "MatrixError",
    "OutputError",
    "ParameterError",
    "Provenance",
    "SimilarityError",
    "SimilarityMatrix",
    "SourceError",
    "Statistics",
    "__version__",
    "blend",
    "compare",
    "concerns",
    "from_confusion",
    "from_embeddings",
    "from_encoder",
    "from_matrix",
    "from_order",
    "from_ratings",
    "from_taxonomy",
    "from_triplets",
    "from_wordnet",
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
    "Comparison": "comparison",
    "MatrixError": "errors",
    "OutputError": "errors",
    "ParameterError": "errors",
    "Provenance": "provenance",
    "SimilarityError": "errors",
    "SimilarityMatrix": "matrix",
    "SourceError": "errors",
    "Statistics": "summary",
    "__version__": "version",
    "blend": "blending",
    "compare": "comparison",
    "concerns": "summary",
    "from_confusion": "builders.confusion",
    "from_embeddings": "builders.embeddings",
    "from_encoder": "builders.encoder",
    "from_matrix": "builders.ready",
    "from_order": "builders.order",
    "from_ratings": "builders.ratings",
    "from_taxonomy": "builders.taxonomy",
    "from_triplets": "builders.triplets",
    "from_wordnet": "builders.wordnet",
    "load": "matrix",
    "read_classes": "classes",
    "save": "matrix",
    "statistics": "summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept, so that it is looked for once.
    globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
