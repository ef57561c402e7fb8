"""Word vectors as arrays: ``.npy`` with its vocabulary beside it, ``.npz`` and safetensors with it inside or beside.

In a safetensors file the tensor ``vocabulary`` (uint8) holds the words as UTF-8, joined by line ends, in the order of
the rows of its one matrix of floats.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.shapes import Float
from simmatrix.vectors.streams import PACKING_ERRORS
from simmatrix.vectors.vectors import Reader, Request, Vectors, pick, vocabulary_beside

__all__ = ["NPY", "NPZ", "SAFETENSORS", "check_matrix", "read_npy"]

_VOCABULARY = "vocabulary"
_FLOATS = ("F16", "F32", "F64")

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


@contextmanager
def _safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    check_input(path)
    try:
        with reading(path), safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise SourceError(f"can't be read as safetensors ({error}); get the file again", path) from None


def _read_safetensors(request: Request) -> Vectors:
    with _safetensors(request.path) as file:
        rows = _matrix(file, request)

        def row(index: int) -> Float[np.ndarray, " d"]:
            values: np.ndarray = rows[index : index + 1]
            return values.reshape(-1)

        return pick(request.wanted, _vocabulary(file, request), rows.get_shape()[0], row, request.path)


def _words_safetensors(request: Request) -> Iterator[str]:
    with _safetensors(request.path) as file:
        yield from _vocabulary(file, request)


SAFETENSORS = Reader(_read_safetensors, _words_safetensors, takes_vocabulary=True)


def _matrix(file: Any, request: Request) -> Any:
    """Return the slice handle of the file's only matrix of floats; its rows are read one by one."""
    handles = {name: file.get_slice(name) for name in sorted(file.keys())}
    matrices = [handle for handle in handles.values() if _is_matrix(handle)]
    if len(matrices) != 1:
        listed = ", ".join(f"{name} {handle.get_dtype()} {handle.get_shape()}" for name, handle in handles.items())
        raise SourceError(f"should hold one matrix of float16, float32 or float64; it holds {listed}", request.path)
    return matrices[0]


def _is_matrix(handle: Any) -> bool:
    shape = handle.get_shape()
    return len(shape) == 2 and shape[1] > 0 and handle.get_dtype() in _FLOATS


def _vocabulary(file: Any, request: Request) -> list[str]:
    if request.vocabulary is not None or _VOCABULARY not in file.keys():  # noqa: SIM118 - not a mapping
        return vocabulary_beside(request)
    try:
        if file.get_slice(_VOCABULARY).get_dtype() == "U8":
            text: str = file.get_tensor(_VOCABULARY).tobytes().decode()
            return text.split("\n")
    except UnicodeDecodeError:
        pass
    raise SourceError(f"its tensor {_VOCABULARY} is not UTF-8 text in bytes (uint8); write it as such", request.path)
