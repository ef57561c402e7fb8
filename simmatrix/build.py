"""From a source to a matrix in one call: each builder's raw similarities, normalised the way its scale asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from simmatrix import data
from simmatrix.builders.confusion import confusion_similarity
from simmatrix.builders.embeddings import VectorSource, embedding_similarity
from simmatrix.builders.encoder import encoder_similarity
from simmatrix.builders.given import given_similarity
from simmatrix.builders.order import order_similarity
from simmatrix.builders.ratings import rating_similarity
from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.taxonomy import TaxonomyColumns, TaxonomyFile, taxonomy_similarity
from simmatrix.builders.triplets import triplet_similarity
from simmatrix.builders.wordnet import wordnet_similarity
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.names import shown_name
from simmatrix.normalise import check_lower_bound, normalise
from simmatrix.suggest import nearest, or_list
from simmatrix.vectors.streams import archive_of, member_of
from simmatrix.vectors.vectors import Progress, silent

__all__ = [
    "DEFAULT_VECTORS",
    "from_confusion",
    "from_embeddings",
    "from_encoder",
    "from_matrix",
    "from_order",
    "from_ratings",
    "from_taxonomy",
    "from_triplets",
    "from_wordnet",
    "normalised",
]

Classes: TypeAlias = str | Path | Sequence[str] | ClassList

DEFAULT_VECTORS = "glove-6b-50d"
"""The bundled word vectors."""


def from_embeddings(
    vectors: str | Path = DEFAULT_VECTORS,
    classes: Classes = "cifar100",
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
        `SimilarityMatrix.lower_bound`. (The command's default is the one for an influence of 0.1.)
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
    return normalised(raw, bound=lower_bound)


def from_order(
    classes: Classes,
    *,
    decay: float | None = None,
    kernel: str = "decay",
    length_scale: float = 1.0,
    positions: str | None = None,
    circular: bool = False,
    period: float | None = None,
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    """Build a matrix from the order of the classes: r^|i - j| (Kobs et al. 2020), or another kernel of their distance.

    Parameters
    ----------
    classes
        The class list: a file, the name of a bundled list, or the names themselves, in their order.
    decay
        r in [0, 1), the similarity of two neighbours, for the kernel ``"decay"``; has to be given for it.
    kernel
        ``"decay"``: r^(d / s); ``"laplace"``: exp(-d / s); ``"gaussian"``: exp(-d^2 / (2 s^2)), for a distance d.
    length_scale
        s, the unit of distance, above 0.
    positions
        The column of the class list that says where each class stands, for uneven steps; ``"class"`` for the names
        themselves. Class i stands at i if not given.
    circular
        Take the shorter way round: the last class is next to the first.
    period
        How long the circle is; needed where positions are given.
    lower_bound
        As in `from_embeddings`.

    Returns
    -------
    SimilarityMatrix
        Where the steps are even, a Toeplitz matrix, which takes the memory of 2 C - 1 numbers.

    Raises
    ------
    SimilarityError
        If a parameter is out of its range, or a position is no number.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.from_order(["small", "medium", "large"], decay=0.5)["small", "large"]
    0.25
    """
    raw = partial(order_similarity, decay=decay, kernel=kernel, length_scale=length_scale, positions=positions)
    return _built(partial(raw, circular=circular, period=period), classes, lower_bound)


def from_wordnet(
    classes: Classes = "cifar100",
    *,
    measure: str = "path",
    wordnet: str = "bundled",
    language: str = "eng",
    information_content: str | Path = "intrinsic",
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    """Build a matrix from WordNet's hierarchy of nouns, or of verbs.

    A class is found by the list's ``synset`` column, by its ImageNet id (n01440764), by the name of a synset
    (seal.n.09) or by its name, whose first sense is taken if it has several.

    Parameters
    ----------
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    measure
        ``"path"``, ``"wup"``, ``"lch"``, ``"res"``, ``"lin"``, ``"jcn"`` or ``"lcs-height"``
        (`simmatrix.taxonomy.measures`).
    wordnet
        ``"bundled"`` (WordNet 3.0), or ``"nltk"`` or ``"nltk:CORPUS"`` for what NLTK has on this machine.
    language
        Of the names, as NLTK's Open Multilingual Wordnet has it (``"fra"``).
    information_content
        For res, lin and jcn: ``"intrinsic"`` (Seco et al. 2004), ``"tagged"`` (WordNet's own counts), or a file of
        counts such as ``ic-brown.dat``.
    lower_bound
        As in `from_embeddings`. Scales differ: in path similarity siblings are at 1/3.

    Raises
    ------
    SimilarityError
        If a class is not found, or a parameter is none of its choices.

    Examples
    --------
    >>> import simmatrix
    >>> round(simmatrix.from_wordnet(["rose", "tulip", "truck"])["rose", "tulip"], 3)
    0.143
    """
    raw = partial(wordnet_similarity, measure=measure, wordnet=wordnet, language=language)
    return _built(partial(raw, information_content=information_content), classes, lower_bound)


def from_taxonomy(
    taxonomy: str | Path | Sequence[str] = "superclass",
    classes: Classes = "cifar100",
    *,
    measure: str = "path",
    format: str | None = None,
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    """Build a matrix from any hierarchy that holds the classes.

    Parameters
    ----------
    taxonomy
        A file: edges (``parent child`` a line), an indented outline, or nested JSON; or columns of the class list, the
        finest first, as a sequence or with commas between. A text that names columns is taken for them.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    measure
        As in `from_wordnet`; information content is intrinsic.
    format
        The file's format (``edges``, ``outline``, ``json``); detected if not given.
    lower_bound
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If the file can't be read or holds a circle, a class is not in it, or two classes have no common ancestor.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.from_taxonomy("superclass", "cifar100", measure="lcs-height")["rose", "tulip"]
    0.5
    """
    listed = read_classes(classes)
    source = _taxonomy_source(taxonomy, listed, format)
    return _built(partial(taxonomy_similarity, source, measure=measure), listed, lower_bound)


def from_ratings(
    ratings: str | Path,
    classes: Classes,
    *,
    scale: str | tuple[float, float] | None = None,
    complete: str | None = None,
    duplicates: str = "error",
    unknown: str = "error",
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    r"""Build a matrix from people's ratings of how similar pairs of classes are.

    Parameters
    ----------
    ratings
        A file with ``a, b, rating[, rater]`` a line, separated by tabs or commas.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    scale
        The ratings for "not similar" and "the same", (0, 10) or ``"0:10"``; the least and greatest rating, or those of
        each rater, if not given.
    complete
        How to fill in pairs that nobody rated: ``"mean"`` or ``"low-rank"``; they are an error if it is not given.
    duplicates
        What to do with a pair that one rater, or a file without raters, rates differently: ``"error"``, or ``"mean"``.
    unknown
        What to do with names that the class list lacks: ``"error"``, or ``"ignore"`` to pass them over.
    lower_bound
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, or what it says is contradictory or not enough; names file and line.

    Examples
    --------
    >>> import simmatrix, tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("rose,tulip,8\nrose,truck,0\ntulip,truck,1\n")
    ...     file.flush()
    ...     simmatrix.from_ratings(file.name, ["rose", "tulip", "truck"], scale=(0, 10))["rose", "tulip"]
    0.8
    """
    raw = partial(rating_similarity, Path(ratings), scale=_scale(scale), complete=complete, duplicates=duplicates)
    return _built(partial(raw, unknown=unknown), classes, lower_bound)


def from_triplets(
    triplets: str | Path,
    classes: Classes,
    *,
    complete: str | None = None,
    unknown: str = "error",
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    """Build a matrix from choices of the odd one out: how often two were left together (Hebart et al. 2020).

    Parameters
    ----------
    triplets
        A file with ``a, b, odd`` or ``a, b, c, odd`` a line, separated by tabs or commas.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    complete, unknown, lower_bound
        As in `from_ratings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, or what it says is contradictory or not enough; names file and line.
    """
    return _built(partial(triplet_similarity, Path(triplets), complete=complete, unknown=unknown), classes, lower_bound)


def from_confusion(confusion: str | Path, classes: Classes, *, lower_bound: float = 0.0) -> SimilarityMatrix:
    """Build a matrix from how often people, or a model, take one class for another.

    Parameters
    ----------
    confusion
        Counts (C, C), rows are the true classes: a .csv or .tsv with names in the first row and column, or an .npy.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    lower_bound
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, a count is negative, or a class was never seen or never recognised.
    """
    return _built(partial(confusion_similarity, Path(confusion)), classes, lower_bound)


def from_matrix(
    matrix: str | Path,
    classes: Classes,
    *,
    scale: str | tuple[float, float] | None = None,
    unknown: str = "error",
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    """Build a matrix from one that is ready, in another program's format.

    Parameters
    ----------
    matrix
        Similarities (C, C): a .csv or .tsv with names in the first row and column, or an .npy.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    scale
        The values for "not similar" and "the same", (-1, 1) or ``"-1:1"``; 0 and 1 if not given.
    unknown, lower_bound
        As in `from_ratings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, a value is off the scale, or names differ from the class list's.
    """
    return _built(partial(given_similarity, Path(matrix), scale=_scale(scale), unknown=unknown), classes, lower_bound)


def from_encoder(model: str | Path, classes: Classes = "cifar100", *, lower_bound: float = 0.0) -> SimilarityMatrix:
    """Build a matrix from a sentence encoder: the cosine of what it makes of the classes' phrases, or of their names.

    Parameters
    ----------
    model
        A folder that sentence-transformers saved, or the name of a model on the Hugging Face hub.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    lower_bound
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If sentence-transformers is not installed (the extra ``encoder``), or there is no such model.
    """
    return _built(partial(encoder_similarity, model), classes, lower_bound)


def _built(builder: Callable[[ClassList], RawSimilarity], classes: Classes, bound: float) -> SimilarityMatrix:
    """Return what a builder makes of a class list, normalised."""
    check_lower_bound(bound)
    return normalised(builder(read_classes(classes)), bound=bound)


def _taxonomy_source(
    taxonomy: str | Path | Sequence[str], classes: ClassList, format: str | None
) -> TaxonomyFile | TaxonomyColumns:
    columns = _columns(taxonomy, classes)
    if not columns:
        path = Path(str(taxonomy))
        return TaxonomyFile(path, _shown(path), format)
    if format is not None:
        raise SourceError(f"columns of the class list have no format {format}; leave it out")
    return TaxonomyColumns(columns)


def _columns(taxonomy: str | Path | Sequence[str], classes: ClassList) -> tuple[str, ...]:
    """Return the columns that a taxonomy is made of; none if it is a file."""
    if isinstance(taxonomy, Path):
        return ()
    if not isinstance(taxonomy, str):
        return tuple(taxonomy)
    columns = tuple(part.strip() for part in taxonomy.split(","))
    known = [column for column in columns if column in classes.columns]
    exists = bool(taxonomy) and Path(taxonomy).exists()
    if exists and len(known) == len(columns):
        raise SourceError(
            f"{taxonomy!r} is a file and names what the class list has; write ./{taxonomy} for the file, or rename it"
        )
    if not exists and (known or not taxonomy or not {"/", "\\", "."} & set(taxonomy)):
        lacking = [column for column in columns if column not in classes.columns]
        if lacking:
            close = nearest(lacking[0], classes.columns)
            hint = f"did you mean {or_list(close)}?" if close else f"columns are {or_list(classes.columns or ['none'])}"
            raise SourceError(f"{lacking[0]!r} is neither a file nor a column of {classes.source}; {hint}")
    return columns if len(known) == len(columns) else ()


def _scale(scale: str | tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the ends of a scale that may be written as LOW:HIGH."""
    if scale is None:
        return None
    try:
        low, high = map(float, scale.split(":") if isinstance(scale, str) else scale)
    except (TypeError, ValueError):
        raise SourceError(f"{scale!r} is no scale; give its two ends, such as 0:10") from None
    return low, high


def _shown(path: Path) -> str:
    """Return the name to record: no folder, and nothing that can't be written as UTF-8."""
    member = member_of(path)
    name = archive_of(path).name + ("" if member is None else f":{member}")
    return shown_name(name)


def normalised(raw: RawSimilarity, *, bound: float) -> SimilarityMatrix:
    """Return the matrix of raw similarities, on the scale that their builder states, with a lower bound."""
    values, steps = normalise(raw.values, scale=raw.scale, bound=bound)
    return SimilarityMatrix(values, raw.classes, raw.provenance.with_step(*steps), raw.evidence)
