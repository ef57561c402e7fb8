"""A matrix in the formats of other programs: a table with names, or an array."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from simmatrix.errors import OutputError
from simmatrix.files import check_output_folder, write_atomically
from simmatrix.matrix import SimilarityMatrix
from simmatrix.text import or_list


def export(matrix: SimilarityMatrix, path: str | Path, *, force: bool = False) -> None:
    """Write a matrix for other programs; `from_matrix` reads it back, to the last bit.

    Parameters
    ----------
    matrix
        What to write.
    path
        ``.csv`` or ``.tsv``: the classes in the first row and the first column. ``.npy``: a float32 array (C, C) in the
        order of the classes.
    force
        Whether to replace a file that is there.

    Raises
    ------
    OutputError
        If the file has another ending, is there already, or can't be written, or there are more than 50,000 classes.

    Examples
    --------
    >>> import pathlib, simmatrix, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simmatrix.export(simmatrix.from_order(["low", "high"], decay=0.5), f"{folder}/order.csv")
    ...     print(pathlib.Path(folder, "order.csv").read_text())
    class,low,high
    low,1.0,0.5
    high,0.5,1.0
    <BLANKLINE>
    """
    path = Path(path)
    check_export(path, force=force)
    if len(matrix) > _MOST:
        raise OutputError(
            f"would hold {len(matrix) ** 2:,} numbers of {len(matrix):,} classes; in Python, matrix.values is a SciPy "
            "array that holds no zeros, which scipy.sparse.save_npz writes",
            path,
        )
    write_atomically(path, _WRITERS[path.suffix.lower()](matrix))


def check_export(path: Path, *, force: bool = False) -> None:
    """Raise `OutputError` unless a matrix can be exported to `path`."""
    if path.suffix.lower() not in _WRITERS:
        raise OutputError(f"ends in none of {or_list(_WRITERS)}; choose the format by the ending", path)
    check_output_folder(path, is_new=not force)


def _table(delimiter: str) -> Callable[[SimilarityMatrix], Iterator[bytes]]:
    def parts(matrix: SimilarityMatrix) -> Iterator[bytes]:
        yield _text(delimiter, [["class", *matrix.classes]])
        for top in range(0, len(matrix), _ROWS):
            rows = slice(top, top + _ROWS)
            # NumPy writes a float32 as the shortest text that reads as the same number.
            cells = matrix.stored.block(rows).astype(str).tolist()
            yield _text(delimiter, [[name, *row] for name, row in zip(matrix.classes[rows], cells, strict=True)])

    return parts


# Of more classes, a file of all pairs is larger than 10 GB.
_MOST = 50_000
# Rows of a table that are written at a time.
_ROWS = 64


def _text(delimiter: str, rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    # A row that starts with # would be read as a comment, if it were not quoted.
    is_quoted = any(row[0].startswith("#") for row in rows)
    quoting: Literal[0, 1] = csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def _array(matrix: SimilarityMatrix) -> Iterator[bytes | memoryview]:
    values = matrix.to_dense()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(values))
    yield header.getvalue()
    yield values.data.cast("B")


_WRITERS: dict[str, Callable[[SimilarityMatrix], Iterator[bytes | memoryview]]] = {
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".npy": _array,
}
