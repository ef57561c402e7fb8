"""NumPy's ``.npy``, also in an ``.npz``: its header, read without evaluating it, and the array behind it.

What an archive unpacks to is read in pieces: a small file may claim to hold a large array.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simmatrix.errors import SourceError
from simmatrix.shapes import Float

MAGIC = b"\x93NUMPY"

# NumPy reads no longer headers, and makes no arrays of more dimensions.
_LONGEST, _MOST_DIMENSIONS = 10_000, 64
_PIECE = 1 << 20
_COUNT = r"(?:0|[1-9]\d{0,18})L?"
_S = r"[ \t\r\n]*"
_FIELD = (
    rf"'descr'{_S}:{_S}'(?P<kind>[<>=|]?[?biufcSUVO]\d{{0,9}})'"
    rf"|'fortran_order'{_S}:{_S}(?P<by_columns>True|False)"
    rf"|'shape'{_S}:{_S}\((?P<shape>{_S}(?:{_COUNT}{_S},{_S})*(?:{_COUNT}{_S})?)\)"
)
_HEADER = re.compile(rf"{_S}\{{{_S}(?:(?:{_FIELD}){_S}(?:,{_S}|(?=\}}))){{3}}\}}{_S}", re.ASCII)


class Array(NamedTuple):
    """An array that lies in a file, and what its header says."""

    # Returns bytes of the file from a place on, as many as are asked for. Places only grow within a call of `rows` or
    # `whole`.
    read_at: Callable[[int, int], bytes]
    start: int  # where its elements begin
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool = False

    def rows(self, indices: Sequence[int]) -> Float[np.ndarray, "n d"]:
        """Return some rows of a matrix, by ascending indices; nothing else is read."""
        count, dimension = self.shape
        size = self.dtype.itemsize
        found = np.empty((len(indices), dimension), self.dtype)
        if not self.by_columns:
            for at, index in enumerate(indices):
                found[at] = np.frombuffer(
                    self.read_at(self.start + index * dimension * size, dimension * size), self.dtype
                )
            return found
        for column in range(dimension):
            for at, index in enumerate(indices):
                place = self.start + (column * count + index) * size
                found[at, column] = np.frombuffer(self.read_at(place, size), self.dtype)[0]
        return found

    def whole(self) -> np.ndarray:
        """Return all of it. Memory is taken piece by piece, so a claim that the file does not keep takes none."""
        content = bytearray(math.prod(self.shape, start=self.dtype.itemsize))
        for place in range(0, len(content), _PIECE):
            size = min(_PIECE, len(content) - place)
            content[place : place + size] = self.read_at(self.start + place, size)
        return np.ndarray(self.shape, self.dtype, content, order="F" if self.by_columns else "C")


def npy_array(read_at: Callable[[int, int], bytes], size: int) -> Array:
    """Return the array of a ``.npy`` file of `size` bytes, from its header.

    Raises ValueError if it is none, holds Python objects, or claims more than its file holds; says so.
    """
    start = read_at(0, 12)
    if start[:6] != MAGIC or start[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it does not begin as one")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > _LONGEST:
        raise ValueError(f"its header claims {length} bytes")
    begin = 8 + width + length
    header = _HEADER.fullmatch(read_at(8 + width, length).decode("latin1"))
    shape = header and header["shape"]
    # (3) is a number in brackets.
    if header is None or None in header.groupdict().values() or not shape or (shape.strip() and "," not in shape):
        raise ValueError("its header does not tell a type and a shape")
    try:
        dtype = np.dtype(header["kind"])
    except TypeError:
        raise ValueError(f"there is no type {header['kind']}") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    extents = tuple(int(piece.strip().removesuffix("L")) for piece in shape.split(",") if piece.strip())
    # Python's integers do not overflow, as NumPy's product would.
    claimed = math.prod(extents, start=dtype.itemsize)
    if claimed > size - begin or len(extents) > _MOST_DIMENSIONS:
        raise ValueError(f"it claims {claimed} bytes in a file of {size}")
    return Array(read_at, begin, extents, dtype, header["by_columns"] == "True")


@contextmanager
def member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Iterator[tuple[Array, Callable[[], None]]]:
    """Open an array in the ``.npz`` at `path`; raise `SourceError` unless it is a plain one.

    Yields the array, and a function that reads the rest of the entry, so that its checksum is checked.
    """
    with archive.open(entry) as file:
        read_at, rest = _forwards(file.read, path)
        try:
            array = npy_array(read_at, entry.file_size)
        except ValueError as error:
            name = entry.filename.removesuffix(".npy")
            remedy = "save plain ones with numpy.savez, names as numpy.array(names, dtype=str)"
            raise SourceError(f"holds no plain arrays ({name}: {error}); {remedy}", path) from None
        yield array, rest


def _forwards(read: Callable[[int], bytes], path: Path) -> tuple[Callable[[int, int], bytes], Callable[[], None]]:
    """Return functions that read from a place on, never going back, and that read what is left."""
    base, held = 0, b""

    def read_at(place: int, size: int) -> bytes:
        nonlocal base, held
        while place + size > base + len(held):
            missing = place + size - base - len(held) if place <= base + len(held) else 0
            piece = read(max(_PIECE, missing))
            if not piece:
                raise SourceError("is cut short; get the file again", path)
            kept = held[place - base :]
            base, held = base + len(held) - len(kept), kept + piece
        return held[place - base : place - base + size]

    def rest() -> None:
        while read(_PIECE):
            pass

    return read_at, rest
