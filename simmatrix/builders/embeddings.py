"""Similarity of classes from word vectors (Kobs et al. 2020: the cosine of the class names' vectors)."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from operator import attrgetter
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np

from simmatrix import data
from simmatrix.builders.lookup import Resolution, attempts, attempts_of, forms, resolve, without_index, words
from simmatrix.builders.raw import RawSource
from simmatrix.choices import OOV
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.files import Progress, shown_name, silent
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.vectors import Cosines
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Input, Provenance, by_class, recorded
from simmatrix.shapes import Float
from simmatrix.text import check_choice, nearest_to_each, or_list, some, some_lines
from simmatrix.vectors.formats import VectorFile, vector_file
from simmatrix.vectors.streams import Files, archive_name
from simmatrix.vectors.vectors import Vectors, WordVector

DEFAULT_VECTORS = "glove-6b-50d"
"""The bundled word vectors."""

# Classes whose vectors are made at a time.
_TOGETHER = 1024
# Of more classes the names are read as they stand first: their forms take several times as much memory and time.
_FORMS_AT_ONCE = 10_000
# If all of so few classes are missing, each may be for a reason of its own.
_SOME = 10


class VectorSource(NamedTuple):
    """A file of word vectors: its path, the name to record, and arguments of the reader."""

    path: Path
    name: str
    format: str | None = None
    vocabulary: Path | None = None


def from_embeddings(
    vectors: str | Path = DEFAULT_VECTORS,
    classes: Classes = "cifar100",
    *,
    lower_bound: float | None = None,
    top_k: int | None = None,
    search: str = "exact",
    recall: float | None = None,
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
        l in [0, 1): similarities become max(0, (s - l) / (1 - l)); 0 keeps them all. If not given it is the median of
        all pairs, so that classes that are no more alike than most get 0 (`simmatrix.normalise.median_bound`); of more
        than 10,000 classes, of the pairs of a thousand of them.
    top_k
        Keep each class's so many most similar others, as `SimilarityMatrix.top_k` does. Of more than 10,000 classes
        they are found without the rest, so that memory grows with C and not with C x C.
    search
        How they are found: ``"exact"``, or of more than 10,000 classes ``"faiss"`` (the extra ``scale``), which may
        miss some. Its settings and its recall, measured on some of the classes, are recorded.
    recall
        The least recall that FAISS has to reach, in (0, 1]; 0.95 if not given.
    oov
        What to do with classes that have no vector: ``"error"``, or ``"drop"`` to leave them out.
    format
        The file's format (``glove``, ``word2vec``, ``word2vec-binary``, ``fasttext``, ``keyedvectors``, ``npy``,
        ``npz``, ``safetensors``); detected if not given.
    vocabulary
        Text file with one word per line, for vector files that hold no words.
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
        raise ParameterError(
            f"vectors must be a path or a name, got a {type(vectors).__name__}; were these the classes?"
        )
    bundled = str(vectors) in data.vector_file_names()
    source = VectorSource(
        path=data.vector_file_path(str(vectors)) if bundled else Path(vectors),
        name=str(vectors) if bundled else archive_name(Path(vectors)),
        format=format,
        vocabulary=None if vocabulary is None else Path(vocabulary),
    )
    listed = read_classes(classes)
    # With the defaults there is nothing to check, and no module of neighbours is loaded.
    if (search, recall) != ("exact", None):
        from simmatrix.neighbours.matrix import check_search

        check_search(search, recall, top_k, len(listed))
    raw = embedding_similarity(source, listed, oov=oov, progress=progress)
    return raw.normalised(lower_bound, top_k, search=search, recall=recall)


def embedding_similarity(
    source: VectorSource, classes: ClassList, *, oov: str = "error", progress: Progress = silent
) -> RawSource:
    """Return the similarity of the classes' word vectors, found as `simmatrix.builders.lookup` says.

    A class of several words has the mean of their unit vectors.
    """
    check_choice("oov", oov, OOV)
    stop = Event()
    with Files(source.path) as files, ThreadPoolExecutor(1) as pool:
        file = vector_file(files, source.format, source.vocabulary)
        # The checksum needs the whole file as well; hashing releases Python's lock, so both go on at once.
        # A reader of single rows takes hardly any time, so the progress is that of the checksum.
        checksum = pool.submit(files.sha256, silent if file.reader.streams else progress, stop)
        try:
            vectors, resolutions = _found(file, classes, progress)
            missing = [index for index, resolution in enumerate(resolutions) if resolution is None]
            if missing and oov == "error":
                phrases = classes.column("phrase")
                lost = {classes.names[index]: _words_asked(classes.names[index], phrases[index]) for index in missing}
                raise _not_found(lost, len(classes), vectors, source.name, file)  # noqa: TRY301 - it stops the checksum too
            found = [one for one in resolutions if one is not None]
            if len(found) < 2:
                raise ClassNotFoundError(  # noqa: TRY301
                    f"{source.name} has vectors for {len(found)} of the {len(classes)} classes, two are needed; "
                    "give the classes other phrases, or take other vectors",
                    tuple(classes.names),
                )
            units = (
                np.array([_unit_vector(one, vectors, source.path) for one in found[start : start + _TOGETHER]])
                for start in range(0, len(found), _TOGETHER)
            )
            cosines = Cosines.of(units, len(found))
            del vectors
            inputs = [
                Input("vectors", source.name, checksum.result()),
                Input("classes", classes.source, classes.sha256),
                *(Input(role, shown_name(path), sha256) for role, path, sha256 in files.beside()),
            ]
        except BaseException:
            # Also on Ctrl-C: the checksum is not needed any more.
            stop.set()
            raise
    kept, dropped = classes, {}
    if missing:
        kept = classes.select([name for name, one in zip(classes.names, resolutions, strict=True) if one is not None])
        dropped = {"dropped": [classes.names[index] for index in missing]}
    phrases = kept.columns.get("phrase", [""] * len(kept.names))
    records = map(recorded, map(attrgetter("how"), found), map(attrgetter("words"), found), phrases)
    return RawSource(
        source=cosines,
        classes=kept.names,
        provenance=Provenance(
            builder="embeddings",
            params={"measure": "cosine", "oov": oov, "dimension": cosines.vectors.shape[1], **dropped},
            source=tuple(inputs),
            resolution=by_class(kept.names, records),
        ),
    )


def _found(file: VectorFile, classes: ClassList, progress: Progress) -> tuple[Vectors, list[Resolution | None]]:
    """Return the vectors of the classes' words, and how each class was found; None where it was not."""
    asked = list(zip(classes.names, classes.columns.get("phrase", [""] * len(classes.names)), strict=True))
    known: dict[str, WordVector] = {}
    compose = None
    resolutions: list[Resolution | None] = [None] * len(asked)
    if len(asked) > _FORMS_AT_ONCE:
        whole = {phrase or name for name, phrase in asked}
        known.update(file.read(whole, lambda done, total: progress(done, 2 * total)).found)
        resolutions = [resolve(islice(attempts(*one), 1), known) for one in asked]
        # The second reading reports the second half.
        first, progress = progress, lambda done, total: first(total + done, 2 * total)
    left = [at for at, one in enumerate(resolutions) if one is None]
    if left:
        asked = [asked[at] for at in left]
        tries, wanted = attempts_of(asked)
        found, compose = file.read(wanted, progress)
        known.update(found)
        for at, one in zip(left, [resolve(tried, known) for tried in tries], strict=True):
            resolutions[at] = one
    vectors = Vectors(known, compose)
    if compose is not None:
        for at, pair in zip(left, asked, strict=True):
            of_pair = (_known(word, vectors) or word for word in _words_asked(*pair))
            resolutions[at] = resolutions[at] or Resolution("subwords", tuple(of_pair))
    return vectors, resolutions


def _words_asked(name: str, phrase: str) -> tuple[str, ...]:
    """Return the words of the text that is looked up first: the phrase, or the name where there is none."""
    text = without_index(phrase or name)
    return words(text) or (text,)


def _known(word: str, vectors: Vectors) -> str | None:
    return next((form for form in forms(word) if form in vectors.found), None)


def _unit_vector(resolution: Resolution, vectors: Vectors, path: Path) -> Float[np.ndarray, " d"]:
    found, compose, words = vectors.found, vectors.compose, resolution.words
    of_words = [found[word] if compose is None or word in found else compose(word) for word in words]
    units = [_unit(word, vector, path) for word, vector in zip(words, of_words, strict=True)]
    return _unit(" ".join(words), WordVector(np.mean(units, axis=0)), path)


def _unit(word: str, vector: WordVector, path: Path) -> Float[np.ndarray, " d"]:
    values = vector.values.astype(np.float64)
    # Readers give float32. Its squares neither overflow nor underflow in float64.
    length = float(np.linalg.norm(values))
    if not np.isfinite(length):
        raise SourceError(f"the vector of {word!r} holds NaN or infinity; get the file again", path, vector.line)
    if length == 0:
        raise SourceError(f"the vector of {word!r} is zero; give its class another phrase", path, vector.line)
    return np.asarray(values / length)


def _not_found(
    missing: Mapping[str, tuple[str, ...]], count: int, vectors: Vectors, source: str, file: VectorFile
) -> ClassNotFoundError:
    if len(missing) == count > _SOME:
        few, known = (some([*map(repr, islice(names, 3))]) for names in (missing, file.words()))
        return ClassNotFoundError(
            f"{source} has a vector for none of the {count} classes, such as {few}; check that they go with its words, "
            f"such as {known}, or take other vectors or an encoder, which takes any text (from_encoder)",
            tuple(missing),
        )
    unknown = {
        name: [word.lower() for word in asked if _known(word, vectors) is None] for name, asked in missing.items()
    }
    asked = list(dict.fromkeys(word for one in unknown.values() for word in one))
    nearest = dict(zip(asked, nearest_to_each(asked, file.words()), strict=True))
    lines = []
    for name, one in unknown.items():
        hints = (f"no {word!r}" + (f", nearest {or_list(nearest[word])}" if nearest[word] else "") for word in one)
        lines.append(f"{name}: {'; '.join(hints)}")
    parts = (
        f"{source} has no vector for {len(missing)} of the classes:",
        some_lines(lines, len(lines)),
        "correct their spelling, give them another phrase (a phrase column in the class list), take other vectors or "
        'an encoder, which takes any text (from_encoder), or leave them out (oov="drop")',
    )
    return ClassNotFoundError("\n".join(parts), tuple(missing))
