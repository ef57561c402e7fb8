"""Files of predictions: what a model says of examples, beside what they are. CSV, Parquet, or arrays in an ``.npz``."""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simmatrix.errors import ParameterError, SourceError
from simmatrix.files import open_input, reading
from simmatrix.names import all_composed
from simmatrix.npy import member
from simmatrix.shapes import Float, Int
from simmatrix.text import some
from simmatrix.vectors.streams import unpacking

KINDS = ("logits", "probabilities")
_LABELS = ("label", "labels", "target", "truth")
# What pandas calls its index in text and in Parquet.
_INDEX = re.compile(r"|__index_level_\d+__")
# Probabilities may sum to 1 with this error.
_OFF = 0.01
# Arrays of more bytes may not be packed to less than this share: such a file is made to fill the memory.
_LARGE, _PACKED = 1 << 30, 0.01
_LOGITS = 'normalise them, or say that these are logits (kind="logits")'
_FEWER = "if the model has fewer classes, build a matrix of these alone"
_TABLE = "write a column label, and one of each class by its name"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of N examples."""

    scores: Float[np.ndarray, "N C"]  # logits or probabilities
    labels: Int[np.ndarray, " N"]  # the true class of each example, as its column
    classes: tuple[str, ...]  # the C names in the order of the columns
    are_logits: bool  # whether the scores are logits, or else probabilities
    are_named: bool  # whether the file says which class a column is of, or else the order given was taken
    doubt: str = ""  # how the labels were read, where they may be names as well as indices, and these differ


def read_predictions(path: Path, classes: Sequence[str], kind: str | None = None) -> Predictions:
    r"""Read what a model says of examples.

    The file is a table, ``.csv``, ``.tsv`` or ``.parquet`` (which needs pyarrow), with a column ``label`` and one for
    each class by its name; or an ``.npz`` with ``logits`` or ``probabilities`` (N, C), ``labels`` (N) and ``classes``
    (C), the names in the order of its columns; without these, that order is taken to be that of `classes`. Labels are
    names, or indices of columns if all are numbers and some are no names; integers in an ``.npz`` are indices. The
    index of pandas is passed over. `classes` are the C names that there have to be. The kind, ``"logits"`` or
    ``"probabilities"``, is told by the array's name, or else by the values, if it is not given.

    Raises `SourceError` if the file can't be read, is empty, has other classes, a label is no class, the greatest score
    of an example is NaN or infinite, or probabilities do not sum to 1. Names file and line, where there are lines.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "predictions.csv"
    >>> _ = path.write_text("label,rose,oak\nrose,0.75,0.25\noak,0.5,0.5\n")
    >>> found = read_predictions(path, ["oak", "rose"])
    >>> found.classes, found.labels.tolist(), found.are_logits
    (('rose', 'oak'), [0, 1], False)
    """
    if kind not in (None, *KINDS):
        raise ParameterError(f"kind must be 'logits' or 'probabilities', got {kind!r}")
    readers = {".npz": _read_npz, ".parquet": _read_parquet, ".csv": _read_text, ".tsv": _read_text}
    if path.suffix.lower() not in readers:
        raise SourceError(f"a file of predictions ends in {', '.join(readers)}; rename or convert it", path)
    scores, labels, named, told = readers[path.suffix.lower()](path, tuple(classes))
    names = named or tuple(classes)
    if not len(scores):
        raise SourceError("holds no example", path)
    # NaN shows in the extremes, so that no second array is needed to look for it. A logit of -inf rules a class out.
    is_wrong = ~np.isfinite(scores.max(1))
    if is_wrong.any():
        first = int(is_wrong.argmax())
        what = "a score is NaN or missing" if np.isnan(scores[first]).any() else "the greatest score is infinite"
        raise _at(first, f"{what}, which predicts no class; leave it out", path)
    are_logits = _are_logits(scores, kind or told, path)
    found, doubt = _indices(labels, names, path)
    return Predictions(scores, found, names, are_logits, named is not None, doubt)


def _at(example: int, message: str, path: Path) -> SourceError:
    return SourceError(f"example {example} (counted from 0): {message}", path)


def _indices(labels: np.ndarray, names: tuple[str, ...], path: Path) -> tuple[Int[np.ndarray, " N"], str]:
    """Return labels as indices of columns, and how they were read if they could be read otherwise.

    Integers are indices. Texts are names, or indices if all are whole numbers and some are no names.
    """
    if labels.dtype.kind in "iu":
        is_wrong = (labels < 0) | (labels >= len(names))
        if is_wrong.any():
            odd = int(is_wrong.argmax())
            raise _at(odd, f"the label is {labels[odd]}, but classes are 0 to {len(names) - 1}", path)
        return labels.astype(np.int64), _doubt([str(one) for one in np.unique(labels).tolist()], names, path, False)
    texts = all_composed([str(label).strip() for label in labels.tolist()])
    at = {name: index for index, name in enumerate(names)}
    distinct = list(dict.fromkeys(texts))
    others = [text for text in distinct if text not in at]
    if not others:
        return np.array([at[text] for text in texts], dtype=np.int64), _doubt(distinct, names, path, True)
    no_index = [text for text in others if _index(text) is None]
    if no_index or any(_index(text) is None for text in distinct):
        odd = texts.index((no_index or others)[0])
        what = f"the label {texts[odd]!r} is no class" if texts[odd] else "there is no label"
        raise _at(odd, f"{what}; the classes are {some(list(names))}", path)
    found = {text: _index(text) or 0 for text in distinct}
    if too_large := next((text for text, index in found.items() if index >= len(names)), None):
        raise _at(texts.index(too_large), f"the label is {too_large}, but classes are 0 to {len(names) - 1}", path)
    return np.array([found[text] for text in texts], dtype=np.int64), ""


def _index(text: str) -> int | None:
    """Return a whole number, cut to 19 digits, or None for other texts."""
    return int(text[:19]) if text.isascii() and text.isdigit() else None


def _doubt(labels: Sequence[str], names: tuple[str, ...], path: Path, are_names: bool) -> str:
    """Say how labels were read, where they may be names or indices, and these are not the same."""
    indices = [_index(text) for text in labels]
    if not set(labels) <= set(names) or any(index is None or index >= len(names) for index in indices):
        return ""
    for text, index in zip(labels, indices, strict=True):
        if index is not None and text != names[index]:
            column = f"column {text}, which is {names[index]}"
            meant = f"the class {text}, not for {column}" if are_names else f"{column}; save names as text"
            return f"{path}: a label {text} is taken for {meant}"
    return ""


def _are_logits(scores: Float[np.ndarray, "N C"], kind: str | None, path: Path) -> bool:
    """Tell what scores are, and check that probabilities are some."""
    if kind == "logits":
        return True
    sums = scores.sum(1, dtype=np.float64)
    is_negative, is_off = scores.min(1) < 0, ~(np.abs(sums - 1) <= _OFF)
    if kind is None and is_negative.any():
        return True
    if is_negative.any():
        raise _at(int(is_negative.argmax()), f"a probability is negative; {_LOGITS}", path)
    if is_off.any():
        odd = int(is_off.argmax())
        raise _at(odd, f"the probabilities sum to {sums[odd]:g}, not to 1; {_LOGITS}", path)
    return False


_Read = tuple[np.ndarray, np.ndarray, tuple[str, ...] | None, str | None]


def _read_npz(path: Path, classes: tuple[str, ...]) -> _Read:
    with open_input(path) as file, unpacking(path), zipfile.ZipFile(file) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        kinds = [kind for kind in KINDS if kind in entries]
        if len(kinds) != 1 or "labels" not in entries:
            raise SourceError(
                f"holds {some(list(entries)) or 'no array'}; there must be labels, and either logits or probabilities "
                "(predicted classes alone are for simloss.metrics.judge, in Python)",
                path,
            )
        wanted = [kinds[0], "labels", *(["classes"] if "classes" in entries else [])]
        size = sum(entries[name].file_size for name in wanted)
        packed = os.fstat(file.fileno()).st_size
        if size > max(_LARGE, packed / _PACKED):
            raise SourceError(
                f"unpacks to {size:,} bytes from {packed:,}; if that is meant, save it with numpy.savez, which packs "
                "nothing",
                path,
            )
        found = {name: _array(archive, entries[name], name, len(classes), path) for name in wanted}
    scores, labels = found[kinds[0]], found["labels"]
    if len(labels) != len(scores):
        raise SourceError(f"holds {len(labels)} labels for {len(scores)} examples; each has one", path)
    if "classes" not in found:
        return scores, labels, None, kinds[0]
    return scores, labels, _checked_names(tuple(map(str, found["classes"].tolist())), classes, path), kinds[0]


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, count: int, path: Path) -> np.ndarray:
    """Return an array of an archive; it is unpacked only if its header says what it should."""
    with member(archive, entry, path) as (array, _rest):
        dtype, shape = array.dtype, array.shape
        if name == "labels":
            fits, what = dtype.kind in "iuU" and len(shape) == 1, "names or indices of shape (N)"
        elif name == "classes":
            fits, what = dtype.kind == "U" and shape == (count,), f"names of shape ({count})"
        else:
            fits = dtype.kind == "f" and dtype.itemsize <= 8 and len(shape) == 2 and shape[1] == count
            what = f"floating-point numbers of shape (N, {count}), a column for each class"
        if not fits:
            is_fewer = len(shape) == (1 if name == "classes" else 2) and shape[-1] < count
            hint = f"; {_FEWER}" if is_fewer and name != "labels" else ""
            raise SourceError(f"{name} are {dtype!s:.40} of shape {shape!s:.40}; they must be {what}{hint}", path)
        values = array.whole()
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_parquet(path: Path, classes: tuple[str, ...]) -> _Read:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SourceError("Parquet needs pyarrow; install it (pip install pyarrow), or save a .csv", path) from None
    with open_input(path) as file:
        try:
            table = pyarrow.parquet.read_table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"is no sound Parquet file ({error}); save it again", path) from None
    return _from_arrow(table, path, classes)


def _read_text(path: Path, classes: tuple[str, ...]) -> _Read:
    """Read a table of text, with pyarrow where it is installed and finds nothing odd, since that is far quicker."""
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        import pyarrow
        from pyarrow import csv as arrow
    except ImportError:
        return _read_lines(path, classes, separator)
    with open_input(path) as file:
        options = arrow.ParseOptions(delimiter=separator, newlines_in_values=False)
        labels = {name: pyarrow.string() for name in _LABELS}
        convert = arrow.ConvertOptions(column_types=labels | {name: pyarrow.float64() for name in classes})
        try:
            table = arrow.read_csv(file, parse_options=options, convert_options=convert)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
            table = None
    # What is odd is told by line, which takes a slower reader.
    return _read_lines(path, classes, separator) if table is None else _from_arrow(table, path, classes)


def _from_arrow(table: Any, path: Path, classes: tuple[str, ...]) -> _Read:
    import pyarrow

    header = all_composed(tuple(table.column_names))
    label, columns = _columns(header, classes, path)
    is_single = {str(table.column(column).type) for column in columns} <= {"float", "halffloat"}
    scores = np.empty((table.num_rows, len(columns)), dtype=np.float32 if is_single else np.float64)
    for place, column in enumerate(columns):
        values = table.column(column)
        if not (pyarrow.types.is_floating(values.type) or pyarrow.types.is_integer(values.type)):
            raise SourceError(f"the column {header[column]!r} holds {values.type}, not numbers", path)
        scores[:, place] = values.to_numpy()
    # Of a table labels are text, whatever wrote it.
    labels = table.column(label)
    if labels.null_count:
        raise _at(labels.is_null().to_pylist().index(True), "there is no label; leave it out", path)
    labels = (labels.cast(pyarrow.string()) if pyarrow.types.is_integer(labels.type) else labels).to_numpy()
    return scores, labels, tuple(header[column] for column in columns), None


def _read_lines(path: Path, classes: tuple[str, ...], separator: str) -> _Read:
    """Read a table of text line by line."""
    rows, labels = [], []
    with open_input(path) as file, reading(path):
        text = io.TextIOWrapper(io.BufferedReader(file), encoding="utf-8-sig", newline="")
        lines = csv.reader(text, delimiter=separator, strict=True)
        try:
            header = all_composed(tuple(cell.strip() for cell in next(lines, [])))
            label, columns = _columns(header, classes, path)
            for cells in filter(None, lines):
                if len(cells) != len(header):
                    raise SourceError(f"has {len(cells)} fields, the header has {len(header)}", path, lines.line_num)
                labels.append(cells[label])
                rows.append(_numbers(cells, columns, path, lines.line_num))
        except csv.Error as error:
            raise SourceError(f"is not a well-formed table ({error})", path, lines.line_num) from None
        except UnicodeDecodeError:
            raise SourceError("is not UTF-8; save the file as UTF-8", path) from None
    scores = np.array(rows, dtype=np.float64).reshape(len(rows), len(columns))
    return scores, np.array(labels, dtype=np.str_), tuple(header[column] for column in columns), None


def _numbers(cells: Sequence[str], columns: Sequence[int], path: Path, line: int) -> Float[np.ndarray, " C"]:
    texts = [cells[column] for column in columns]
    try:
        if "_" not in "".join(texts):
            return np.array(texts, dtype=np.float64)
    except ValueError:
        pass
    odd = next(text for text in texts if not _is_number(text))
    raise SourceError(f"the score {odd!r} is no number", path, line)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # Python reads 1_0 as ten; a table that holds it was damaged.
    return "_" not in text


def _columns(header: tuple[str, ...], classes: tuple[str, ...], path: Path) -> tuple[int, list[int]]:
    """Return which column holds the labels, and which hold the scores of a class, in the order of the file."""
    found = [place for place, name in enumerate(header) if name in _LABELS and name not in classes]
    if len(found) != 1:
        raise SourceError(f"has {len(found)} columns for the label ({', '.join(_LABELS)}); {_TABLE}", path)
    columns = [place for place, name in enumerate(header) if place != found[0] and not _INDEX.fullmatch(name)]
    _checked_names(tuple(header[place] for place in columns), classes, path)
    return found[0], columns


def _checked_names(names: tuple[str, ...], classes: tuple[str, ...], path: Path) -> tuple[str, ...]:
    names = all_composed(names)
    lacking, odd = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
    if lacking:
        raise SourceError(f"has no column for {some(lacking)}, which the matrix has; {_TABLE}; {_FEWER}", path)
    if odd:
        raise SourceError(f"has columns that are no class of the matrix: {some(odd)}; take them out", path)
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise SourceError(f"has two columns {twice!r}; name each class once", path)
    return names
