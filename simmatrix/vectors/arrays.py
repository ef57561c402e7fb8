"""Word vectors as NumPy files: ``.npy`` with its vocabulary beside it, ``.npz`` with it inside or beside."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.shapes import Float
from simmatrix.vectors.streams import PACKING_ERRORS
from simmatrix.vectors.vectors import Reader, Request, Vectors
from simmatrix.vectors.vocabulary import pick, vocabulary_beside

__all__ = ["NPY", "NPZ", "check_matrix", "read_npy"]

# What NumPy and zipfile raise for files that hold something else, or are damaged.
_NO_ARRAYS: tuple[type[Exception], ...] = (ValueError, KeyError, MemoryError, *PACKING_ERRORS)


def read_npy(path: Path) -> Float[np.ndarray, "V d"]:
    """Map a ``.npy`` file of vectors into memory; only rows that are used are read."""
    check_input(path)
    try:
        with reading(path):
            with path.open("rb") as file:
                _check_claim(file, path.stat().st_size)
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError) as error:
        raise SourceError(f"is no plain array of numbers ({error}); save one with numpy.save", path) from None
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
            _check_npz_sizes(path)
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except _NO_ARRAYS as error:
        raise SourceError(f"holds no plain arrays ({error}); save them with numpy.savez", path) from None
    rows = _only(path, "two-dimensional float", [a for a in arrays.values() if a.ndim == 2 and a.dtype.kind == "f"])
    rows = check_matrix(rows, path)
    names = [a for a in arrays.values() if a.ndim == 1 and a.dtype.kind in "US"]
    if request.vocabulary is not None or not names:
        return rows, vocabulary_beside(request)
    words = _only(path, "one-dimensional string", names)
    return rows, [str(word) for word in (np.char.decode(words, "utf-8") if words.dtype.kind == "S" else words)]


def _check_npz_sizes(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as member:
                _check_claim(member, entry.file_size)


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def _check_claim(file: _Readable, held: int) -> None:
    """Refuse an array whose header claims more than its file holds, before memory is taken for it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _fortran, dtype = read(file)
    # Python's integers do not overflow, as NumPy's product would.
    claimed = math.prod(shape, start=dtype.itemsize)
    if claimed > held:
        raise ValueError(f"an array claims {claimed} bytes in a file of {held}")


def _only(path: Path, what: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
    if len(arrays) != 1:
        raise SourceError(f"holds {len(arrays)} {what} arrays; one was expected", path)
    return arrays[0]
