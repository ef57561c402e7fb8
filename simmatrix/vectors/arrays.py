"""Word vectors as arrays: ``.npy`` with its vocabulary beside it, ``.npz`` and safetensors with it inside or beside.

In a safetensors file the tensor ``vocabulary`` (uint8) holds the words as UTF-8, joined by line ends, in the order of
the rows of its one matrix of floats. Only the rows of wanted words are read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simmatrix.container import CODES, Container, open_container
from simmatrix.errors import SourceError
from simmatrix.files import decoded, reading, whole
from simmatrix.npy import Array, member, npy_array
from simmatrix.shapes import Float
from simmatrix.text import some
from simmatrix.vectors.streams import unpacking
from simmatrix.vectors.vectors import LARGEST_DIMENSION, Request, Table, reader_of

_VOCABULARY = "vocabulary"
_FLOATS = ("F16", "F32", "F64")
_PIECE = 1 << 20
_BESIDE = (".txt", ".vocab", ".vocab.txt")


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


@contextmanager
def _npy(request: Request) -> Iterator[Table]:
    array = read_npy(request.path, request)
    yield Table(_vocabulary_beside(request), array.shape[0], array.rows)


@contextmanager
def _npz(request: Request) -> Iterator[Table]:
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
        with member(archive, matrices[0], path) as (array, rest):
            check_matrix(array.shape, array.dtype, path)

            def rows(indices: Sequence[int]) -> Float[np.ndarray, "n d"]:
                found = array.rows(indices)
                rest()
                return found

            words = _words_inside(archive, texts[0], path) if inside else _vocabulary_beside(request)
            yield Table(words, array.shape[0], rows)


def _words_inside(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Iterator[str]:
    with member(archive, entry, path) as (array, rest):
        size, count = array.dtype.itemsize, array.shape[0]
        if not 0 < size <= _PIECE:
            raise SourceError(f"its words take {size} bytes each; save them with numpy.savez", path)
        # NumPy stores text in four bytes a character, padded with zeros.
        encoding = {"S": "utf-8", "U": f"utf-32-{'be' if array.dtype.byteorder == '>' else 'le'}"}[array.dtype.kind]
        step = _PIECE // size
        for first in range(0, count, step):
            raw = array.read_at(array.start + first * size, min(step, count - first) * size)
            try:
                words = [raw[at : at + size].decode(encoding).rstrip("\0") for at in range(0, len(raw), size)]
            except UnicodeDecodeError:
                raise SourceError("its words are no Unicode text; save them with numpy.savez", path) from None
            if len(words) == step > 1 and len(set(words)) == 1:
                raise SourceError(f"its vocabulary holds {words[0]!r} {step} times in a row; save it again", path)
            yield from words
        rest()


@contextmanager
def _safetensors(request: Request) -> Iterator[Table]:
    path = request.path
    with open_container(path, "get the file again", request.files.open(path)) as file:
        matrices = [
            one for _name, one in sorted(file.tensors.items()) if len(one["shape"]) == 2 and one["dtype"] in _FLOATS
        ]
        if len(matrices) != 1:
            listed = some([f"{name!r:.40} {one['dtype']} {one['shape']}" for name, one in sorted(file.tensors.items())])
            raise SourceError(
                f"should hold one matrix of float16, float32 or float64; it holds {listed or 'nothing'}", path
            )
        (tensor,) = matrices
        dtype = np.dtype(CODES[tensor["dtype"]])
        check_matrix(tensor["shape"], dtype, path)
        start = file.start + tensor["data_offsets"][0]
        array = Array(request.files.reader(path), start, tuple(tensor["shape"]), dtype)
        yield Table(_vocabulary(file, request), array.shape[0], array.rows)


def _vocabulary(file: Container, request: Request) -> list[str]:
    if request.vocabulary is not None or _VOCABULARY not in file.tensors:
        return _vocabulary_beside(request)
    try:
        if file.tensors[_VOCABULARY]["dtype"] == "U8":
            return file.read(_VOCABULARY).tobytes().decode().split("\n")
    except UnicodeDecodeError:
        pass
    raise SourceError(f"its tensor {_VOCABULARY} is not UTF-8 text in bytes (uint8); write it as such", request.path)


def _vocabulary_beside(request: Request) -> list[str]:
    """Read the vocabulary that was given, or lies beside the file under a usual name."""
    path = request.vocabulary
    if path is None:
        candidates = [request.path.with_suffix(suffix) for suffix in _BESIDE]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            names = ", ".join(candidate.name for candidate in candidates)
            raise SourceError(
                f'has no vocabulary; give one (vocabulary="FILE", one word a line), or put it beside it as {names}',
                request.path,
            )
    with reading(path):
        raw = whole(request.files.open(path), path)
    return decoded(raw, path).removesuffix("\n").split("\n")


NPY, NPZ, SAFETENSORS = (reader_of(one, takes_vocabulary=True) for one in (_npy, _npz, _safetensors))
