"""A safetensors file of arrays and text: the same contents give the same bytes. Nothing here knows what they mean.

The library's own writer puts the metadata in an order of chance. A file is read through one open descriptor, so that
what was checked is what is read, and an array's bytes go straight into the array.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.files import mistaken, open_input, refusal

if TYPE_CHECKING:
    from io import FileIO


LONGEST_HEADER = 100_000_000
"""The safetensors library reads no longer headers."""

CODES: Mapping[str, str] = {
    "BOOL": "|b1",
    "I8": "|i1",
    "U8": "|u1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "I64": "<i8",
    "U64": "<u8",
    "F64": "<f8",
    # NumPy has no such numbers: their bytes are counted, not read as values.
    "BF16": "|V2",
    "F8_E4M3": "|V1",
    "F8_E5M2": "|V1",
}
"""The types of tensors, as NumPy calls them."""
_NAMES = {code: name for name, code in CODES.items()}
_HALF = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")
# What NumPy takes.
_MOST_DIMENSIONS, _LONGEST_SIDE = 64, 1 << 63


def canonical_json(content: object) -> str:
    """Return the one way in which content is written as JSON. Raises ValueError for NaN, infinity and deep nesting."""
    try:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _number(content: object) -> object:
    """Return the number that an array scalar is, such as a float32 that was given as a parameter."""
    if isinstance(content, np.number | np.bool_) and not isinstance(number := content.item(), np.generic):
        return number
    raise TypeError(f"{content!r:.60} is no JSON")


def parsed_json(text: str | bytes) -> Any:
    """Return what JSON in UTF-8 says: text and finite numbers, under keys that stand there once.

    Raises ValueError for all else: what is no JSON, NaN and infinity among it, and half of a character pair.
    """
    text = text if isinstance(text, str) else text.decode()
    try:
        content = json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_unique)
        # Characters beyond the first 65,536 may be written as two halves each; one half by itself is no text.
        if _HALF.search(text):
            canonical_json(content).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return content


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number[:20]} is no JSON number that is known")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands there twice")
    return content


def serialised(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, object]) -> list[bytes | memoryview]:
    r"""Return the parts of a file, its header first. The tensors are written in the order given.

    Metadata that is no text is written as JSON. Raises ValueError or TypeError for what has no JSON.

    Examples
    --------
    >>> header, values = serialised({"x": np.array([1, 2], np.uint8)}, {"name": "two"})
    >>> header[8:], bytes(values)
    (b'{"__metadata__":{"name":"two"},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}     ', b'\x01\x02')
    """
    texts = {name: one if isinstance(one, str) else canonical_json(one) for name, one in metadata.items()}
    header: dict[str, Any] = {"__metadata__": texts}
    parts: list[bytes | memoryview] = []
    start = 0
    for name, tensor in tensors.items():
        # A tensor's bytes are its elements in C order, which only a contiguous array's buffer has.
        array = np.ascontiguousarray(tensor)
        end = start + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype.str], "shape": list(tensor.shape), "data_offsets": [start, end]}
        parts.append(_bytes(array))
        start = end
    text = canonical_json(header).encode()
    # The tensors start at a multiple of 8.
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *parts]


class Container(NamedTuple):
    """An open file: its metadata, and each tensor's type, shape and place."""

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, Mapping[str, Any]]
    file: FileIO
    start: int

    def read(self, name: str) -> np.ndarray:
        """Return a tensor in an array of its own, read-only."""
        tensor = self.tensors[name]
        array = np.empty(tensor["shape"], CODES[tensor["dtype"]])
        self.read_into(name, array)
        array.flags.writeable = False
        return array

    def read_into(self, name: str, array: np.ndarray) -> memoryview:
        """Fill a contiguous array of a tensor's type and shape with it, and return its bytes."""
        buffer = _bytes(array)
        self._fill(buffer, self.start + self.tensors[name]["data_offsets"][0])
        return buffer

    def header(self) -> bytes:
        """Return what stands in front of the tensors."""
        buffer = bytearray(self.start)
        self._fill(memoryview(buffer), 0)
        return bytes(buffer)

    def _fill(self, buffer: memoryview, start: int) -> None:
        done = 0
        try:
            self.file.seek(start)
            # One read of the system gives 2 GB at most.
            while done < len(buffer) and (size := self.file.readinto(buffer[done:])):
                done += size
        except OSError as error:
            raise refusal(error, self.path) from None
        if done < len(buffer):
            raise SourceError("was cut short while it was read; read it again", self.path)


@contextmanager
def open_container(path: Path, remedy: str, opened: FileIO | None = None) -> Iterator[Container]:
    """Open a file and check its whole layout, without reading a tensor. A file that is open already stays open.

    Raises `SourceError` if it can't be read, or is no safetensors file or a damaged one, with the remedy; at the end of
    the block, if its bytes were changed in the meantime (a file that takes its place does not matter).
    """
    with nullcontext(opened) if opened else open_input(path) as file:
        start = b""
        try:
            before = os.fstat(file.fileno())
            start = file.read(200)
            file.seek(0)
            metadata, tensors, begin = _layout(file, before.st_size)
        except OSError as error:
            raise refusal(error, path) from None
        except ValueError as error:
            # The size that a safetensors file starts with may look like another kind's start, with a zero behind it.
            what = mistaken(start, remedy) if start[2:3] > b"\0" and start[8:9] != b"{" else ""
            raise SourceError(what or f"is no safetensors file, or a damaged one ({error}); {remedy}", path) from None
        yield Container(path, metadata, tensors, file, begin)
        now = os.fstat(file.fileno())
        if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
            raise SourceError("was changed while it was read; read it again", path)


def _layout(file: FileIO, size: int) -> tuple[dict[str, str], dict[str, dict[str, Any]], int]:
    """Return the metadata, the tensors and where they begin. Raises ValueError for anything that is unsound."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, LONGEST_HEADER):
        raise ValueError("the header is cut short or too long")
    header = parsed_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")  # noqa: TRY004 - all of these are one kind of damage
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("the metadata is no text")
    end = 0
    for name, tensor in sorted(header.items(), key=lambda item: _offsets(item[1])):
        first, last = _offsets(tensor)
        shape = tensor.get("shape")
        if tensor.get("dtype") not in CODES or not _is_shape(shape):
            raise ValueError(f"the tensor {name!r:.60} has no type and shape that are known")
        if first != end or last - first != math.prod(shape, start=np.dtype(CODES[tensor["dtype"]]).itemsize):
            raise ValueError(f"the tensor {name!r:.60} does not fit its place")
        end = last
    if 8 + length + end != size:
        raise ValueError(f"the tensors end at byte {8 + length + end} of {size}")
    return metadata, header, 8 + length


def _offsets(tensor: object) -> list[int]:
    offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise ValueError("a tensor has no place")
    return offsets


def _is_shape(shape: object) -> bool:
    return isinstance(shape, list) and len(shape) <= _MOST_DIMENSIONS and all(map(_is_count, shape))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _LONGEST_SIDE


def _bytes(array: np.ndarray) -> memoryview:
    # An empty tensor has no bytes, and a view of it can't be cast.
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(bytearray())
