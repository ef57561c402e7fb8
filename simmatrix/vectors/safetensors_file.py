"""Word vectors in a safetensors file: one matrix, its vocabulary in a tensor of its own or in a file beside it.

The tensor ``vocabulary`` (uint8) holds the words as UTF-8, joined by line ends, in the order of the matrix's rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.shapes import Float
from simmatrix.vectors.vectors import Reader, Request, Vectors
from simmatrix.vectors.vocabulary import pick, vocabulary_beside

__all__ = ["SAFETENSORS"]

_VOCABULARY = "vocabulary"
_FLOATS = ("F16", "F32", "F64")


def _read(request: Request) -> Vectors:
    from safetensors import SafetensorError, safe_open

    check_input(request.path)
    try:
        with reading(request.path), safe_open(request.path, framework="numpy") as file:
            rows = _matrix(file, request)

            def row(index: int) -> Float[np.ndarray, " d"]:
                values: np.ndarray = rows[index : index + 1]
                return values.reshape(-1)

            return pick(request.wanted, _vocabulary(file, request), rows.get_shape()[0], row, request.path)
    except SafetensorError as error:
        raise _unreadable(request, error) from None


def _words(request: Request) -> Iterator[str]:
    from safetensors import SafetensorError, safe_open

    check_input(request.path)
    try:
        with reading(request.path), safe_open(request.path, framework="numpy") as file:
            yield from _vocabulary(file, request)
    except SafetensorError as error:
        raise _unreadable(request, error) from None


SAFETENSORS = Reader(_read, _words, takes_vocabulary=True)


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
    if file.get_slice(_VOCABULARY).get_dtype() != "U8":
        raise _not_text(request)
    try:
        text: str = file.get_tensor(_VOCABULARY).tobytes().decode()
    except UnicodeDecodeError:
        raise _not_text(request) from None
    return text.split("\n")


def _not_text(request: Request) -> SourceError:
    return SourceError(f"its tensor {_VOCABULARY} is not UTF-8 text in bytes (uint8); write it as such", request.path)


def _unreadable(request: Request, error: Exception) -> SourceError:
    return SourceError(f"can't be read as safetensors ({error}); get the file again", request.path)
