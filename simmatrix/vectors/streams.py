"""Opening a file of word vectors as a stream of bytes, whether it is compressed or not."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from simmatrix.errors import SourceError
from simmatrix.files import Progress, open_input, refusal, silent

__all__ = [
    "FASTTEXT_MAGIC",
    "PACKING_ERRORS",
    "ZIP_MAGIC",
    "Stream",
    "archive_name",
    "archive_of",
    "located",
    "opened",
    "start_of",
]

FASTTEXT_MAGIC = struct.pack("<i", 793712314)
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"

# What Python's unpackers raise for files that are damaged, encrypted or packed in ways they don't know.
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)
PACKING_ERRORS: tuple[type[Exception], ...] = (*_DAMAGE, NotImplementedError, RuntimeError)
_UNREADABLE: tuple[type[Exception], ...] = (*PACKING_ERRORS, OSError)

_Content: TypeAlias = io.RawIOBase | io.BufferedIOBase


class Located(NamedTuple):
    """A file of vectors: the file on the disk, and which member of an archive is meant where one is named."""

    file: Path
    member: str | None


def located(path: Path) -> Located:
    """Take ``archive.zip:member`` apart; any other path is the file itself."""
    archive, colon, member = str(path).rpartition(":")
    if colon and archive.lower().endswith(".zip") and not path.exists():
        return Located(Path(archive), member)
    return Located(path, None)


def archive_of(path: Path) -> Path:
    """Return the file on the disk."""
    return located(path).file


def archive_name(path: Path) -> str:
    """Return the name to record: no folder, and nothing that can't be written as UTF-8."""
    file, member = located(path)
    name = file.name if member is None else f"{file.name}:{member}"
    return name.encode("utf-8", "backslashreplace").decode()


class Stream:
    """Uncompressed bytes of a file in pieces, with progress told in bytes of the file as it lies on the disk."""

    def __init__(self, path: Path, content: _Content, on_disk: io.FileIO, progress: Progress) -> None:
        self.path = path
        self.is_packed = content is not on_disk
        self._content = content
        self._on_disk = on_disk
        self._progress = progress
        self._total = os.fstat(on_disk.fileno()).st_size

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end. Raise `SourceError` where a compressed file is damaged."""
        try:
            content = self._content.read(size) or b""
        except _UNREADABLE as error:
            raise _refusal(error, self.path) from None
        if self._progress is not silent:
            self._progress(self._on_disk.tell(), self._total)
        return content

    def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer as far as one read goes; return the bytes read, 0 at the end. Errors as in `read`."""
        try:
            size = self._content.readinto(buffer) or 0
        except _UNREADABLE as error:
            raise _refusal(error, self.path) from None
        if self._progress is not silent:
            self._progress(self._on_disk.tell(), self._total)
        return size


@contextmanager
def opened(path: Path, progress: Progress = silent, *, arrays_packed: bool = False) -> Iterator[Stream]:
    """Open a plain, gzip or zip file, told apart by their first bytes.

    A zip archive with several files needs one named: ``glove.6B.zip:glove.6B.50d.txt``. With `arrays_packed` an archive
    of arrays (``.npz``) is not unpacked.
    """
    where = located(path)
    with ExitStack() as stack:
        file = stack.enter_context(open_input(where.file))
        try:
            magic = file.read(4)
            file.seek(0)
            content: _Content = file
            if magic.startswith(GZIP_MAGIC):
                content = stack.enter_context(gzip.open(file))
            elif magic == ZIP_MAGIC:
                content = _zip_member(stack, file, path, where, arrays_packed=arrays_packed)
        except OSError as error:
            raise refusal(error, where.file) from None
        yield Stream(path, content, file, progress)


def start_of(path: Path, size: int) -> tuple[bytes, bool]:
    """Return the first bytes of what a file holds, and whether it is compressed; an archive of arrays is not."""
    with opened(path, arrays_packed=True) as stream:
        return stream.read(size), stream.is_packed


def _refusal(error: BaseException, path: Path) -> SourceError:
    if isinstance(error, _DAMAGE):
        return SourceError("is damaged or cut short; get the file again", path)
    return refusal(error, path) if isinstance(error, OSError) else _packed_otherwise(error, path)


def _packed_otherwise(error: BaseException, path: Path) -> SourceError:
    return SourceError(f"can't be unpacked ({error}); unpack it yourself", path)


def _zip_member(stack: ExitStack, file: io.FileIO, path: Path, where: Located, *, arrays_packed: bool) -> _Content:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        if arrays_packed and where.member is None and names and all(name.endswith(".npy") for name in names):
            file.seek(0)
            return file
        name = names[0] if where.member is None and len(names) == 1 else where.member
        if name not in names:
            listed = ", ".join(names) or "nothing"
            raise SourceError(f"holds {listed}; name one: {where.file}:FILE", where.file)
        # A ZipExtFile, of which the standard library's annotation tells less.
        return cast("io.BufferedIOBase", stack.enter_context(archive.open(name)))
    except zipfile.BadZipFile:
        raise SourceError("is a damaged zip archive; get the file again", path) from None
    except (NotImplementedError, RuntimeError) as error:
        raise _packed_otherwise(error, path) from None
