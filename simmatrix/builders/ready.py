"""A ready matrix: similarities that were made elsewhere."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from simmatrix.builders.lookup import inputs, match, not_seen
from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.square import Square, parsed_scale, read_square, square_of
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import ParameterError, SourceError
from simmatrix.matrix import SimilarityMatrix
from simmatrix.names import all_composed
from simmatrix.neighbours.source import raw_type
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Provenance
from simmatrix.shapes import Float
from simmatrix.text import some

# The error of a cosine in float32, as a share of the scale's width. Mapping the values to [0, 1] cuts it off.
_ROUNDING = 1e-5
# The number of rows that are compared with their columns at a time.
_BLOCK = 256
_REMEDY = 'make the names and the class list agree, or leave out what is not in it (unknown="ignore")'


def from_matrix(
    matrix: str | Path | Any,
    classes: Classes | None = None,
    *,
    scale: str | tuple[float, float] | None = None,
    unknown: str = "error",
    symmetrise: bool = True,
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    """Build a matrix from one that is ready, in another program's format.

    Parameters
    ----------
    matrix
        Similarities (C, C): text separated by tabs or commas, with the classes' names in its first row and first
        column, in any order; or an array saved by ``numpy.save``, in the order of the class list. Or what is in memory:
        an array, or a pandas DataFrame with the classes' names as its index and its columns, in any order.
        Row i is the true class, column j the predicted one.
    classes
        The class list: a file, the name of a bundled list, or the names themselves. Of a DataFrame it may be left out:
        then it is the index.
    scale
        The values for "not similar" and "the same", (-1, 1) or ``"-1:1"``; 0 and 1 if not given.
    symmetrise
        Whether each pair gets the mean of both directions. With False, taking class i for class j may be worse than the
        reverse.
    unknown, lower_bound
        As in `from_ratings`.

    Raises
    ------
    SimilarityError
        If the matrix can't be read, a class has no row or column, a value is off the scale by more than rounding, or a
        class is not "the same" as itself, as in a matrix of distances.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.from_matrix([[1, 0.5], [0.5, 1]], ["rose", "tulip"])["rose", "tulip"]
    0.5
    """
    check_lower_bound(lower_bound)
    is_frame = hasattr(matrix, "index") and hasattr(matrix, "to_numpy")
    if classes is None:
        if not is_frame:
            raise ParameterError("the classes are not given; name them in the order of the rows (classes)")
        frame: Any = matrix
        classes = _labels(frame.index, "index")
    listed, ends = read_classes(classes), parsed_scale(scale)
    if isinstance(matrix, str | Path):
        path = Path(matrix)
        raw = given_similarity(path, listed, scale=ends, unknown=unknown)
    else:
        path = Path("DataFrame" if is_frame else "array")
        square = (_of_frame if is_frame else _of_array)(matrix, listed, path, unknown)
        raw = _raw(square, path, listed, ends, unknown)
    if symmetrise:
        _check_both_sides(raw.values, path, {0.0, *([raw.scale[0]] if raw.scale else [])})
    return raw.normalised(lower_bound, symmetrise=symmetrise)


def given_similarity(
    path: Path, classes: ClassList, *, scale: tuple[float, float] | None = None, unknown: str = "error"
) -> RawSimilarity:
    """Return the similarities that a file holds, as they are."""
    return _raw(read_square(path, classes, unknown=unknown, remedy=_REMEDY), path, classes, scale, unknown)


def _labels(labels: Any, what: str) -> tuple[str, ...]:
    names = tuple(labels)
    strange = next((name for name in names if not isinstance(name, str)), None)
    if strange is not None:
        raise ParameterError(
            f"the DataFrame's {what} holds {strange!r:.60}, which is no name; set it to the classes' names"
        )
    return all_composed(names)


def _of_frame(frame: Any, classes: ClassList, path: Path, unknown: str) -> Square:
    places = []
    for what, labels in (("index", frame.index), ("columns", frame.columns)):
        names = _labels(labels, what)
        if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
            raise SourceError(f"its {what} names {some(repeated)} twice", path)
        found = match(dict.fromkeys(names), classes, path, unknown=unknown, remedy=_REMEDY)
        if missing := [name for name in classes.names if name not in found.resolution]:
            raise not_seen(missing, found.indices, path, f"its {what} lacks the class", _REMEDY)
        at = {index: place for place, index in enumerate(found.indices.get(name, -1) for name in names)}
        places.append([at[index] for index in range(len(classes))])
    values = _numbers(frame.to_numpy(), path)[np.ix_(*places)]
    ignored = len(frame.index) + len(frame.columns) - 2 * len(classes)
    return _square(values, classes, path, by_name=True)._replace(ignored=ignored)


def _of_array(matrix: Any, classes: ClassList, path: Path, _unknown: str) -> Square:
    values = _numbers(matrix.toarray() if hasattr(matrix, "toarray") else matrix, path)
    if values.shape != (len(classes), len(classes)):
        raise SourceError(
            f"is of shape {values.shape}; the {len(classes)} classes need ({len(classes)}, {len(classes)}), rows and "
            "columns in the order of the class list",
            path,
        )
    return _square(values, classes, path, by_name=False)


def _numbers(matrix: Any, path: Path) -> np.ndarray:
    try:
        values = np.asarray(matrix)
    except ValueError:
        raise SourceError("has rows of different lengths; give a value for each pair", path) from None
    if values.dtype.kind not in "fiub":
        raise SourceError(f"holds {values.dtype} values, which are no similarities; give numbers", path)
    return values


def _square(values: np.ndarray, classes: ClassList, path: Path, *, by_name: bool) -> Square:
    with np.errstate(over="ignore", under="ignore"):
        own = np.array(values, dtype=raw_type(len(classes)), order="C")
    return square_of(own, classes, path, sha256=hashlib.sha256(own.data).hexdigest(), by_name=by_name)


def _raw(
    square: Square, path: Path, classes: ClassList, scale: tuple[float, float] | None, unknown: str
) -> RawSimilarity:
    low, high = scale or (0.0, 1.0)
    _check_diagonal(square, classes, path, low, high)
    _check_range(square, classes, path, low, high, is_given=scale is not None)
    ignored = {"ignored": square.ignored} if unknown == "ignore" else {}
    return RawSimilarity(
        values=square.values,
        classes=classes.names,
        provenance=Provenance(
            builder="matrix",
            params={"scale": [low, high], "unknown": unknown, **ignored},
            source=inputs("matrix", path, square.sha256, classes),
            resolution=square.resolution,
        ),
        scale=None if scale is None else (low, high),
    )


def _check_both_sides(values: Float[np.ndarray, "C C"], path: Path, nothing: set[float]) -> None:
    """Refuse half a matrix, in any order of its rows: the mean of both directions would halve each similarity."""
    for empty in sorted(nothing):
        is_half = False
        for top in range(0, len(values), _BLOCK):
            rows = slice(top, top + _BLOCK)
            there, back = (half != empty for half in (values[rows], values[:, rows].T))
            if np.count_nonzero(there & back) > len(there):
                break
            is_half |= bool(np.count_nonzero(there | back) > len(there))
        else:
            if is_half:
                raise SourceError(
                    f"holds one direction of each pair, and {empty:g} in the place of the other, like half a matrix; "
                    "write each similarity in both places (matrix + matrix.T, with the old diagonal), or have both "
                    "directions kept as they are (symmetrise=False)",
                    path,
                )


def _check_diagonal(square: Square, classes: ClassList, path: Path, low: float, high: float) -> None:
    diagonal = np.diagonal(square.values)
    if not diagonal.any() and square.values.min() >= 0:
        raise SourceError(
            "each class has 0 with itself, so these look like distances; turn them into similarities first, such as "
            "1 - distance / greatest distance",
            path,
        )
    wrong = np.flatnonzero(np.abs(diagonal - high) > _ROUNDING * (high - low))
    if len(wrong):
        index = int(wrong[0])
        raise SourceError(
            f"{classes.names[index]!r} has the similarity {diagonal[index]:g} with itself, which should be {high:g}, "
            f"the end of the scale; mend it, or give the scale that the values are on ({_scale_hint(square)})",
            path,
            square.line(index),
        )


def _check_range(square: Square, classes: ClassList, path: Path, low: float, high: float, *, is_given: bool) -> None:
    values, slack = square.values, _ROUNDING * (high - low)
    if values.min() >= low - slack and values.max() <= high + slack:
        return
    row, column = map(int, np.argwhere((values < low - slack) | (values > high + slack))[0])
    remedy = "mend it, or give a wider scale" if is_given else "give the scale that the values are on"
    raise SourceError(
        f"{classes.names[row]!r} and {classes.names[column]!r} have the similarity {values[row, column]:g}, off the "
        f"scale from {low:g} to {high:g}; {remedy} ({_scale_hint(square)})",
        path,
        square.line(row),
    )


def _scale_hint(square: Square) -> str:
    return f'scale="LOW:HIGH"; they run from {square.values.min():g} to {square.values.max():g}'
