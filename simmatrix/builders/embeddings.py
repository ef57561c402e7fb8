"""Similarity of classes from word vectors (Kobs et al. 2020: the cosine of the class names' vectors)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np

from simmatrix.builders.lookup import Attempt, Resolution, attempts, forms, resolve, words
from simmatrix.builders.raw import RawSimilarity, raw_type
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, SourceError
from simmatrix.files import sha256_of, stopping
from simmatrix.provenance import Input, Provenance
from simmatrix.shapes import Float
from simmatrix.suggest import nearest_to_each, or_list
from simmatrix.vectors.formats import detect_format, is_streamed, read_vectors, words_of
from simmatrix.vectors.streams import archive_of
from simmatrix.vectors.vectors import Progress, Vectors, WordVector, silent

__all__ = ["MEASURES", "OOV", "VectorSource", "cosine", "embedding_similarity"]

OOV = ("error", "drop")
"""What to do with classes that have no vector: refuse, or leave them out and say so."""

_BLOCK = 1024


def cosine(unit: Float[np.ndarray, "C d"]) -> Float[np.ndarray, "C C"]:
    """Return the cosine of the angle between each two rows of length 1; in [-1, 1], symmetric to the last bit.

    The order of the rows changes nothing but the order of the result, not even the last bit.
    """
    count = len(unit)
    # A product of matrices rounds by where a row stands, so the rows are put in an order of their own.
    order = np.array(sorted(range(count), key=lambda row: unit[row].tobytes()), dtype=np.intp)
    values = np.empty((count, count), dtype=raw_type(count))
    # By blocks of the upper triangle, mirrored: no second matrix, and both halves round alike.
    for top in range(0, count, _BLOCK):
        rows = order[top : top + _BLOCK]
        for left in range(top, count, _BLOCK):
            columns = order[left : left + _BLOCK]
            block = unit[rows] @ unit[columns].T
            if left == top:
                block = np.triu(block) + np.triu(block, 1).T
            values[np.ix_(rows, columns)] = block
            values[np.ix_(columns, rows)] = block.T
    return values


MEASURES: Mapping[str, Callable[[Float[np.ndarray, "C d"]], Float[np.ndarray, "C C"]]] = {"cosine": cosine}
"""Measures of similarity by name, each a function of the classes' unit vectors (C, d), float64."""


@dataclass(frozen=True)
class VectorSource:
    """A file of word vectors: its path, the name to record, and what the reader has to be told."""

    path: Path
    name: str
    format: str | None = None
    vocabulary: Path | None = None


def embedding_similarity(
    source: VectorSource,
    classes: ClassList,
    *,
    measure: str = "cosine",
    oov: str = "error",
    progress: Progress = silent,
) -> RawSimilarity:
    """Return the similarity of the classes' word vectors.

    How a class is looked up is told in `simmatrix.builders.lookup`. A class of several words has the mean of their unit
    vectors.

    Raises
    ------
    ClassNotFoundError
        If classes have no vector and `oov` is ``"error"``; names each, with the nearest spellings in the vocabulary.
    SourceError
        If the vectors can't be read, or a vector that is used is zero or holds NaN or infinity.
    """
    _check_choices(measure, oov)
    tries = [attempts(*pair) for pair in zip(classes.names, classes.column("phrase"), strict=True)]
    wanted = {form for attempt in _flat(tries) for word in attempt.words for form in word}
    source = replace(source, format=source.format or detect_format(source.path))
    with ThreadPoolExecutor(1) as pool, stopping() as stop:
        # The checksum needs the whole file as well; hashing releases Python's lock, so both go on at once.
        # It is what takes time for a reader that picks single rows, and then it is what there is progress of.
        hashed = silent if is_streamed(source.path, format=source.format) else progress
        inputs = pool.submit(_inputs, source, classes, stop, hashed)
        vectors = read_vectors(
            source.path, wanted, format=source.format, vocabulary=source.vocabulary, progress=progress
        )
        resolutions = [_resolve(attempts_, vectors) for attempts_ in tries]
        missing = [index for index, resolution in enumerate(resolutions) if resolution is None]
        if missing and oov == "error":
            raise _not_found({classes.names[index]: tries[index] for index in missing}, vectors, source)
        recorded = inputs.result()
    found = {name: one for name, one in zip(classes.names, resolutions, strict=True) if one is not None}
    if len(found) < 2:
        raise ClassNotFoundError(
            f"{source.name} has vectors for {len(found)} of the {len(classes)} classes, two are needed; "
            "give the classes other phrases, or take other vectors",
            tuple(classes.names),
        )
    unit = np.stack([_unit_vector(one, vectors, source.path) for one in found.values()])
    dropped = {"dropped": [classes.names[index] for index in missing]} if missing else {}
    return RawSimilarity(
        values=MEASURES[measure](unit),
        classes=tuple(found),
        provenance=Provenance(
            builder="embeddings",
            params={"measure": measure, "oov": oov, "dimension": unit.shape[1], **dropped},
            source=recorded,
            resolution=_recorded(found, classes),
        ),
    )


def _recorded(found: Mapping[str, Resolution], classes: ClassList) -> dict[str, dict[str, object]]:
    phrases = dict(zip(classes.names, classes.column("phrase"), strict=True))
    return {
        name: {
            "how": one.how,
            "words": list(one.words),
            # Asked for and not found, so that the name had to do: whoever reads the matrix should know.
            **({"missed": phrases[name]} if phrases[name] and one.how.startswith("name") else {}),
        }
        for name, one in found.items()
    }


def _check_choices(measure: str, oov: str) -> None:
    for value, choices, what in ((measure, MEASURES, "measure"), (oov, OOV, "way to treat missing classes")):
        if value not in choices:
            raise SourceError(f"{value!r} is no {what}; choose {or_list(choices)}")


def _inputs(source: VectorSource, classes: ClassList, stop: Event, progress: Progress) -> tuple[Input, ...]:
    inputs = [
        Input("vectors", source.name, sha256_of(archive_of(source.path), stop, progress)),
        Input("classes", classes.source, classes.sha256),
    ]
    if source.vocabulary is not None:
        inputs.append(Input("vocabulary", source.vocabulary.name, sha256_of(source.vocabulary, stop, silent)))
    return tuple(inputs)


def _flat(tries: Iterable[tuple[Attempt, ...]]) -> Iterable[Attempt]:
    return (attempt for attempts_ in tries for attempt in attempts_)


def _resolve(tries: tuple[Attempt, ...], vectors: Vectors) -> Resolution | None:
    found = resolve(tries, vectors.found)
    if found is None and vectors.compose is not None:
        return Resolution("subwords", tuple(_known(word, vectors) or word for word in _words_asked(tries)))
    return found


def _words_asked(tries: tuple[Attempt, ...]) -> tuple[str, ...]:
    """Return the words of the text that is looked up first: the phrase, or the name where there is none."""
    text = tries[0].words[0][0]
    return words(text) or (text,)


def _known(word: str, vectors: Vectors) -> str | None:
    return next((form for form in forms(word) if form in vectors.found), None)


def _unit_vector(resolution: Resolution, vectors: Vectors, path: Path) -> Float[np.ndarray, " d"]:
    units = [_unit(word, _vector(word, vectors), path) for word in resolution.words]
    mean = np.mean(units, axis=0)
    return _unit(" ".join(resolution.words), WordVector(mean), path)


def _vector(word: str, vectors: Vectors) -> WordVector:
    if word in vectors.found or vectors.compose is None:
        return vectors.found[word]
    return vectors.compose(word)


def _unit(word: str, vector: WordVector, path: Path) -> Float[np.ndarray, " d"]:
    values = vector.values.astype(np.float64)
    # Readers give float32, whose squares float64 holds: neither huge nor tiny values leave its range.
    length = float(np.linalg.norm(values))
    if not np.isfinite(length):
        raise SourceError(f"the vector of {word!r} holds NaN or infinity; get the file again", path, vector.line)
    if length == 0:
        raise SourceError(f"the vector of {word!r} is zero; give its class another phrase", path, vector.line)
    return np.asarray(values / length)


def _not_found(
    missing: Mapping[str, tuple[Attempt, ...]], vectors: Vectors, source: VectorSource
) -> ClassNotFoundError:
    """Name every missing class, the words of it that are unknown, and what is spelt like them."""
    unknown = {name: _unknown_words(attempts_, vectors) for name, attempts_ in missing.items()}
    asked = sorted({word for one in unknown.values() for word in one})
    vocabulary = words_of(source.path, format=source.format, vocabulary=source.vocabulary)
    nearest = dict(zip(asked, nearest_to_each(asked, vocabulary), strict=True))
    lines = []
    for name, one in unknown.items():
        hints = (f"no {word!r}" + (f", nearest {or_list(nearest[word])}" if nearest[word] else "") for word in one)
        lines.append(f"  {name}: {'; '.join(hints)}")
    return ClassNotFoundError(
        "\n".join(
            (
                f"{source.name} has no vector for {len(missing)} of the classes:",
                *lines,
                "give them another phrase (a phrase column in the class list), take other vectors, "
                "or leave them out (--oov drop)",
            )
        ),
        tuple(missing),
    )


def _unknown_words(tries: tuple[Attempt, ...], vectors: Vectors) -> tuple[str, ...]:
    return tuple(word.lower() for word in _words_asked(tries) if _known(word, vectors) is None)
