"""Word vectors as NumPy files: ``.npy`` with its vocabulary beside it, ``.npz`` with it inside or beside."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.shapes import Float
from simmatrix.vectors.streams import PACKING_ERRORS
from simmatrix.vectors.vectors import Reader, Request, Vectors
from simmatrix.vectors.vocabulary import pick, vocabulary_beside

__all__ = ["NPY", "NPZ", "check_matrix", "read_npy"]

# What NumPy raises for a header that is none, which it parses as Python, and what zipfile does for damaged files.
_NO_ARRAY: tuple[type[Exception], ...] = (
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TokenError,
)
_NO_ARRAYS: tuple[type[Exception], ...] = (*_NO_ARRAY, KeyError, *PACKING_ERRORS)


def read_npy(path: Path) -> Float[np.ndarray, "V d"]:
    """Map a ``.npy`` file of vectors into memory; only rows that are used are read."""
    check_input(path)
    try:
        with reading(path):
            with path.open("rb") as file:
                _checked_header(file, path.stat().st_size)
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _NO_ARRAY as error:
        raise SourceError(
            f"is no plain array of numbers ({_first_line(error)}); save one with numpy.save", path
        ) from None
    return check_matrix(array, path)


def check_matrix(array: np.ndarray, path: Path) -> Float[np.ndarray, "V d"]:
    """Return the array if it holds rows of floats, else raise `SourceError`."""
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind != "f":
        raise SourceError(f"holds {array.dtype} values of shape {array.shape}; vectors are rows of floats", path)
    return array


def _read_npy(request: Request) -> Vectors:
    rows = read_npy(request.path)
    return pick(request.wanted, vocabulary_beside(request), len(rows), rows.__getitem__, request.path)


def _words_beside(request: Request) -> Iterator[str]:
    yield from vocabulary_beside(request)


NPY = Reader(_read_npy, _words_beside, takes_vocabulary=True)


def _read_npz(request: Request) -> Vectors:
    rows, words = _load_npz(request)
    return pick(request.wanted, words, len(rows), rows.__getitem__, request.path)


def _words_npz(request: Request) -> Iterator[str]:
    yield from _load_npz(request)[1]


NPZ = Reader(_read_npz, _words_npz, takes_vocabulary=True)


def _load_npz(request: Request) -> tuple[Float[np.ndarray, "V d"], Sequence[str]]:
    path = request.path
    check_input(path)
    try:
        with reading(path):
            headers = _npz_headers(path)
            rows_name = _only(path, "two-dimensional float", headers, dimensions=2, kinds="f")
            # The vocabulary first: it is small, and without it the vectors need not be read.
            inside = request.vocabulary is None and any(_fits(one, 1, "US") for one in headers.values())
            words = [] if inside else vocabulary_beside(request)
            with np.load(path, allow_pickle=False) as archive:
                if inside:
                    words = _decoded(archive[_only(path, "one-dimensional string", headers, dimensions=1, kinds="US")])
                return check_matrix(archive[rows_name], path), words
    except _NO_ARRAYS as error:
        raise SourceError(f"holds no plain arrays ({_first_line(error)}); save them with numpy.savez", path) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _decoded(words: np.ndarray) -> list[str]:
    return [str(word) for word in (np.char.decode(words, "utf-8") if words.dtype.kind == "S" else words)]


class _ArrayHeader(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _npz_headers(path: Path) -> dict[str, _ArrayHeader]:
    headers = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as member:
                headers[entry.filename.removesuffix(".npy")] = _checked_header(member, entry.file_size)
    return headers


def _fits(header: _ArrayHeader, dimensions: int, kinds: str) -> bool:
    return len(header.shape) == dimensions and header.dtype.kind in kinds


def _only(path: Path, what: str, headers: Mapping[str, _ArrayHeader], *, dimensions: int, kinds: str) -> str:
    names = [name for name, header in headers.items() if _fits(header, dimensions, kinds)]
    if len(names) != 1:
        raise SourceError(f"holds {len(names)} {what} arrays; one was expected", path)
    return names[0]


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def _checked_header(file: _Readable, held: int) -> _ArrayHeader:
    """Read an array's header; refuse one that claims more than its file holds, before memory is taken for it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _fortran, dtype = read(file)
    # Python's integers do not overflow, as NumPy's product would.
    claimed = math.prod(shape, start=dtype.itemsize)
    if claimed > held:
        raise ValueError(f"an array claims {claimed} bytes in a file of {held}")
    return _ArrayHeader(shape, dtype)
