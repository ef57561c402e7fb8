"""From a source to a matrix in one call: each builder's raw similarities, normalised the way its scale asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simmatrix import data
from simmatrix.builders.embeddings import VectorSource, embedding_similarity
from simmatrix.builders.raw import RawSimilarity
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import check_lower_bound, normalise
from simmatrix.provenance import Provenance
from simmatrix.vectors.streams import archive_of, member_of
from simmatrix.vectors.vectors import Progress, silent

__all__ = ["DEFAULT_VECTORS", "from_embeddings"]

DEFAULT_VECTORS = "glove-6b-50d"
"""The bundled word vectors."""


def from_embeddings(
    vectors: str | Path = DEFAULT_VECTORS,
    classes: str | Path | Sequence[str] | ClassList = "cifar100",
    *,
    lower_bound: float = 0.0,
    measure: str = "cosine",
    oov: str = "error",
    format: str | None = None,
    vocabulary: str | Path | None = None,
    progress: Progress = silent,
) -> SimilarityMatrix:
    """Build a matrix from word vectors: the cosine of the classes' vectors, negative ones cut off at 0.

    Parameters
    ----------
    vectors
        A file (GloVe or word2vec text, word2vec or fastText binary, gensim KeyedVectors, ``.npy``, ``.npz``,
        safetensors; text may be gzip or zip), or the name of bundled vectors.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    lower_bound
        l in [0, 1): similarities become max(0, (s - l) / (1 - l)). 0 keeps them all; more can be taken off later, with
        `SimilarityMatrix.lower_bound`. (The command's default is 0.5.)
    measure
        How similar two vectors are: ``"cosine"``.
    oov
        What to do with classes that have no vector: ``"error"``, or ``"drop"`` to leave them out.
    format
        The file's format (``glove``, ``word2vec``, ``word2vec-binary``, ``fasttext``, ``keyedvectors``, ``npy``,
        ``npz``, ``safetensors``); detected if not given.
    vocabulary
        A text file with one word a line, for formats that hold an array alone.
    progress
        Called with the bytes done and the bytes there are.

    Raises
    ------
    SimilarityError
        If an input can't be read, a class has no vector, or a parameter is out of its range.

    Examples
    --------
    >>> import simmatrix
    >>> matrix = simmatrix.from_embeddings(classes=["tulip", "daisy", "truck"])
    >>> matrix["tulip", "daisy"] > matrix["tulip", "truck"]
    True
    """
    check_lower_bound(lower_bound)
    if not isinstance(vectors, str | Path):
        raise SourceError(f"the vectors are {type(vectors).__name__}, not a path or a name; were these the classes?")
    source = VectorSource(
        path=data.vector_file_path(str(vectors)) if str(vectors) in data.vector_file_names() else Path(vectors),
        name=_shown(Path(vectors)),
        format=format,
        vocabulary=None if vocabulary is None else Path(vocabulary),
    )
    raw = embedding_similarity(source, read_classes(classes), measure=measure, oov=oov, progress=progress)
    return _matrix(raw, bound=lower_bound)


def _shown(path: Path) -> str:
    """Return the name to record: no folder, and nothing that can't be written as UTF-8."""
    member = member_of(path)
    name = archive_of(path).name + ("" if member is None else f":{member}")
    return name.encode("utf-8", "backslashreplace").decode()


def _matrix(raw: RawSimilarity, *, bound: float) -> SimilarityMatrix:
    values, steps = normalise(raw.values, mapping=raw.scale or "clip", bound=bound)
    provenance = Provenance(raw.builder, raw.params, raw.source, raw.resolution, steps)
    return SimilarityMatrix(values, raw.classes, provenance)
