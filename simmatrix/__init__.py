"""Similarity matrices of classes, from what people know about them.

>>> import simmatrix
>>> matrix = simmatrix.from_classes("cifar100")
>>> matrix["rose", "tulip"] > matrix["rose", "bus"] == 0
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simmatrix.blending import blend as blend
    from simmatrix.builders.automatic import from_classes as from_classes
    from simmatrix.builders.confusion import from_confusion as from_confusion
    from simmatrix.builders.embeddings import from_embeddings as from_embeddings
    from simmatrix.builders.encoder import from_encoder as from_encoder
    from simmatrix.builders.order import from_order as from_order
    from simmatrix.builders.ratings import from_ratings as from_ratings
    from simmatrix.builders.ready import from_matrix as from_matrix
    from simmatrix.builders.taxonomy import from_taxonomy as from_taxonomy
    from simmatrix.builders.triplets import from_triplets as from_triplets
    from simmatrix.builders.wordnet import from_wordnet as from_wordnet
    from simmatrix.class_taxonomy import ClassTaxonomy as ClassTaxonomy
    from simmatrix.class_taxonomy import read_taxonomy as read_taxonomy
    from simmatrix.classes import ClassList as ClassList
    from simmatrix.classes import read_classes as read_classes
    from simmatrix.comparison import Comparison as Comparison
    from simmatrix.comparison import compare as compare
    from simmatrix.errors import ClassNotFoundError as ClassNotFoundError
    from simmatrix.errors import ClassOrderError as ClassOrderError
    from simmatrix.errors import MatrixError as MatrixError
    from simmatrix.errors import OutputError as OutputError
    from simmatrix.errors import ParameterError as ParameterError
    from simmatrix.errors import SenseWarning as SenseWarning
    from simmatrix.errors import SimilarityError as SimilarityError
    from simmatrix.errors import SourceError as SourceError
    from simmatrix.exporting import export as export
    from simmatrix.matrix import SimilarityMatrix as SimilarityMatrix
    from simmatrix.matrix import load as load
    from simmatrix.matrix import save as save
    from simmatrix.provenance import Provenance as Provenance
    from simmatrix.suggestion import Suggestion as Suggestion
    from simmatrix.suggestion import suggest as suggest
    from simmatrix.summary import Statistics as Statistics
    from simmatrix.summary import concerns as concerns
    from simmatrix.summary import statistics as statistics
    from simmatrix.version import __version__ as __version__

# Where each public name is. A name is imported when it is first used: the command lives in this package and must start
# without NumPy, and one source should not import the others.
_NAMES = {
    "blending": "blend",
    "builders.automatic": "from_classes",
    "builders.confusion": "from_confusion",
    "builders.embeddings": "from_embeddings",
    "builders.encoder": "from_encoder",
    "builders.order": "from_order",
    "builders.ratings": "from_ratings",
    "builders.ready": "from_matrix",
    "builders.taxonomy": "from_taxonomy",
    "builders.triplets": "from_triplets",
    "builders.wordnet": "from_wordnet",
    "class_taxonomy": "ClassTaxonomy read_taxonomy",
    "classes": "ClassList read_classes",
    "comparison": "Comparison compare",
    "errors": "ClassNotFoundError ClassOrderError MatrixError OutputError ParameterError SenseWarning SimilarityError "
    "SourceError",
    "exporting": "export",
    "matrix": "SimilarityMatrix load save",
    "provenance": "Provenance",
    "summary": "Statistics concerns statistics",
    "suggestion": "Suggestion suggest",
    "version": "__version__",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept, so that it is looked for once.
    globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
