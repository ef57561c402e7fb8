"""Word vectors as arrays: ``.npy`` with its vocabulary beside it, ``.npz`` and safetensors with it inside or beside.

In a safetensors file the tensor ``vocabulary`` (uint8) holds the words as UTF-8, joined by line ends, in the order of
the rows of its one matrix of floats. Only the rows of wanted words are read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.container import CODES, Container, open_container
from simmatrix.errors import SourceError
from simmatrix.npy import Array, member, npy_array
from simmatrix.shapes import Float
from simmatrix.text import some
from simmatrix.vectors.streams import unpacking
from simmatrix.vectors.vectors import LARGEST_DIMENSION, Reader, Request, Vectors, pick, vocabulary_beside

_VOCABULARY = "vocabulary"
_FLOATS = ("F16", "F32", "F64")
_PIECE = 1 << 20


def check_matrix(shape: Sequence[int], dtype: np.dtype[np.generic], path: Path) -> None:
    """Raise `SourceError` unless an array holds rows of floats."""
    if len(shape) != 2 or not 0 < shape[1] <= LARGEST_DIMENSION or dtype.kind != "f":
        raise SourceError(
            f"holds {dtype} values of shape {tuple(shape)}; vectors are rows of floats, {LARGEST_DIMENSION} at most",
            path,
        )


def read_npy(path: Path, request: Request) -> Array:
    """Return the array of a ``.npy`` file of vectors; its rows are read when they are asked for."""
    read_at = request.files.reader(path)
    try:
        array = npy_array(read_at, request.files.size(path))
    except ValueError as error:
        raise SourceError(f"is no plain array of numbers ({error}); save one with numpy.save", path) from None
    check_matrix(array.shape, array.dtype, path)
    return array


def _read_npy(request: Request) -> Vectors:
    array = read_npy(request.path, request)
    return pick(request.wanted, vocabulary_beside(request), array.shape[0], array.rows, request.path)


NPY = Reader(_read_npy, lambda request: iter(vocabulary_beside(request)), takes_vocabulary=True)


class _Npz(NamedTuple):
    """An archive's one array of vectors, and the one of its words if they are inside."""

    vectors: zipfile.ZipInfo
    words: zipfile.ZipInfo | None
    archive: zipfile.ZipFile
    path: Path


@contextmanager
def _opened_npz(request: Request) -> Iterator[_Npz]:
    path = request.path
    file = request.files.open(path)
    with unpacking(path), zipfile.ZipFile(file) as archive:
        arrays = []
        for entry in archive.infolist():
            with member(archive, entry, path) as (array, _rest):
                arrays.append((entry, array.shape, array.dtype.kind))
        matrices = [entry for entry, shape, kind in arrays if len(shape) == 2 and kind == "f"]
        texts = [entry for entry, shape, kind in arrays if len(shape) == 1 and kind in "US"]
        inside = request.vocabulary is None and bool(texts)
        for found, what in (
            (matrices, "two-dimensional float"),
            (texts if inside else [None], "one-dimensional string"),
        ):
            if len(found) != 1:
                raise SourceError(f"holds {len(found)} {what} arrays; one was expected", path)
        yield _Npz(matrices[0], texts[0] if inside else None, archive, path)


def _words_of(npz: _Npz, request: Request) -> Iterator[str]:
    if npz.words is None:
        yield from vocabulary_beside(request)
        return
    with member(npz.archive, npz.words, npz.path) as (array, rest):
        size, count = array.dtype.itemsize, array.shape[0]
        if not 0 < size <= _PIECE:
            raise SourceError(f"its words take {size} bytes each; save them with numpy.savez", npz.path)
        # NumPy stores text in four bytes a character, padded with zeros.
        encoding = {"S": "utf-8", "U": f"utf-32-{'be' if array.dtype.byteorder == '>' else 'le'}"}[array.dtype.kind]
        step = _PIECE // size
        for first in range(0, count, step):
            raw = array.read_at(array.start + first * size, min(step, count - first) * size)
            try:
                words = [raw[at : at + size].decode(encoding).rstrip("\0") for at in range(0, len(raw), size)]
            except UnicodeDecodeError:
                raise SourceError("its words are no Unicode text; save them with numpy.savez", npz.path) from None
            if len(words) == step > 1 and len(set(words)) == 1:
                raise SourceError(f"its vocabulary holds {words[0]!r} {step} times in a row; save it again", npz.path)
            yield from words
        rest()


def _read_npz(request: Request) -> Vectors:
    with _opened_npz(request) as npz, member(npz.archive, npz.vectors, npz.path) as (array, rest):
        check_matrix(array.shape, array.dtype, request.path)

        def rows(indices: Sequence[int]) -> Float[np.ndarray, "n d"]:
            found = array.rows(indices)
            rest()
            return found

        return pick(request.wanted, _words_of(npz, request), array.shape[0], rows, request.path)


def _words_npz(request: Request) -> Iterator[str]:
    with _opened_npz(request) as npz:
        yield from _words_of(npz, request)


NPZ = Reader(_read_npz, _words_npz, takes_vocabulary=True)


def _container(request: Request) -> AbstractContextManager[Container]:
    return open_container(request.path, "get the file again", request.files.open(request.path))


def _read_safetensors(request: Request) -> Vectors:
    path = request.path
    with _container(request) as file:
        matrices = {
            name: one
            for name, one in sorted(file.tensors.items())
            if len(one["shape"]) == 2 and one["dtype"] in _FLOATS
        }
        if len(matrices) != 1:
            listed = some([f"{name!r:.40} {one['dtype']} {one['shape']}" for name, one in sorted(file.tensors.items())])
            raise SourceError(
                f"should hold one matrix of float16, float32 or float64; it holds {listed or 'nothing'}", path
            )
        ((_name, tensor),) = matrices.items()
        dtype = np.dtype(CODES[tensor["dtype"]])
        check_matrix(tensor["shape"], dtype, path)
        start = file.start + tensor["data_offsets"][0]
        array = Array(request.files.reader(path), start, tuple(tensor["shape"]), dtype)
        return pick(request.wanted, _vocabulary(file, request), array.shape[0], array.rows, path)


def _words_safetensors(request: Request) -> Iterator[str]:
    with _container(request) as file:
        yield from _vocabulary(file, request)


SAFETENSORS = Reader(_read_safetensors, _words_safetensors, takes_vocabulary=True)


def _vocabulary(file: Container, request: Request) -> list[str]:
    if request.vocabulary is not None or _VOCABULARY not in file.tensors:
        return vocabulary_beside(request)
    try:
        if file.tensors[_VOCABULARY]["dtype"] == "U8":
            return file.read(_VOCABULARY).tobytes().decode().split("\n")
    except UnicodeDecodeError:
        pass
    raise SourceError(f"its tensor {_VOCABULARY} is not UTF-8 text in bytes (uint8); write it as such", request.path)
