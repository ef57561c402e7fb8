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
    from simmatrix.build import (
        from_confusion,
        from_embeddings,
        from_encoder,
        from_matrix,
        from_order,
        from_ratings,
        from_taxonomy,
        from_triplets,
        from_wordnet,
    )
    from simmatrix.classes import ClassList, read_classes
    from simmatrix.comparison import Comparison, compare
    from simmatrix.errors import (
        ClassNotFoundError,
        ClassOrderError,
        MatrixError,
        OutputError,
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
    "Provenance": "provenance",
    "SimilarityError": "errors",
    "SimilarityMatrix": "matrix",
    "SourceError": "errors",
    "Statistics": "summary",
    "__version__": "version",
    "blend": "blending",
    "compare": "comparison",
    "concerns": "summary",
    "from_confusion": "build",
    "from_embeddings": "build",
    "from_encoder": "build",
    "from_matrix": "build",
    "from_order": "build",
    "from_ratings": "build",
    "from_taxonomy": "build",
    "from_triplets": "build",
    "from_wordnet": "build",
    "load": "matrix",
    "read_classes": "classes",
    "save": "matrix",
    "statistics": "summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
