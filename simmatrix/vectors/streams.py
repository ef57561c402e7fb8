"""Opening a file of word vectors as a stream of bytes, whether it is compressed or not."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from simmatrix.errors import SourceError
from simmatrix.files import Progress, refusal, silent
from simmatrix.names import is_name
from simmatrix.text import shown_name, some
from simmatrix.vectors.vectors import Files

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"

# Damaged files were seen to raise each of these.
_DAMAGE: tuple[type[Exception], ...] = (
    *(EOFError, OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(ValueError, OverflowError, MemoryError, IndexError, KeyError),
)

_Content: TypeAlias = io.RawIOBase | io.BufferedIOBase


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Turn what Python's unpackers raise inside the block for damaged files into a `SourceError`."""
    try:
        yield
    except (NotImplementedError, RuntimeError) as error:
        raise SourceError(f"can't be unpacked ({error}); unpack it yourself", path) from None
    except _DAMAGE as error:
        # Errors of the operating system have a number, those of bz2 have none.
        if isinstance(error, OSError) and error.errno is not None:
            raise refusal(error, path) from None
        raise SourceError("is damaged or cut short; get the file again", path) from None


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


def archive_name(path: Path) -> str:
    """Return the name to record: no folder, and nothing that can't be written as UTF-8."""
    file, member = located(path)
    return shown_name(file.name if member is None else f"{file.name}:{member}")


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
        with unpacking(self.path):
            content = self._content.read(size) or b""
        self._report()
        return content

    def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer as far as one read goes; return the bytes read, 0 at the end. Errors as in `read`."""
        with unpacking(self.path):
            size = self._content.readinto(buffer) or 0
        self._report()
        return size

    def _report(self) -> None:
        if self._progress is not silent:
            self._progress(self._on_disk.tell(), self._total)


@contextmanager
def opened(path: Path, files: Files, progress: Progress = silent, *, arrays_packed: bool = False) -> Iterator[Stream]:
    """Open a plain, gzip or zip file, told apart by their first bytes.

    A zip archive with several files needs one named: ``glove.6B.zip:glove.6B.50d.txt``. With `arrays_packed` an archive
    of arrays (``.npz``) is not unpacked.
    """
    where = located(path)
    with ExitStack() as stack:
        file = files.open(where.file)
        with unpacking(path):
            magic = file.read(4)
            file.seek(0)
            content: _Content = file
            if magic.startswith(GZIP_MAGIC):
                content = stack.enter_context(gzip.open(file))
            elif magic == ZIP_MAGIC:
                content = _zip_member(stack, file, where, arrays_packed=arrays_packed)
        yield Stream(path, content, file, progress)


def _zip_member(stack: ExitStack, file: io.FileIO, where: Located, *, arrays_packed: bool) -> _Content:
    archive = stack.enter_context(zipfile.ZipFile(file))
    # A directory may name a member twice; the last one is what its name opens.
    entries = {entry.filename: entry for entry in archive.infolist() if entry.filename and not entry.is_dir()}
    if arrays_packed and where.member is None and entries and all(name.endswith(".npy") for name in entries):
        file.seek(0)
        return file
    name = next(iter(entries)) if where.member is None and len(entries) == 1 else where.member
    if name not in entries:
        listed = some([one if is_name(one) else ascii(one) for one in entries]) or "nothing"
        raise SourceError(f"holds {listed}; name one: {where.file}:FILE", where.file)
    # A ZipExtFile, of which the standard library's annotation tells less.
    return cast("io.BufferedIOBase", stack.enter_context(archive.open(entries[name])))
