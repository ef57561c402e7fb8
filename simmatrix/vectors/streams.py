"""Opening a file of word vectors as a stream of bytes, whether it is compressed or not."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias, cast

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.vectors.vectors import Progress, silent

__all__ = ["PACKING_ERRORS", "Stream", "archive_of", "check_archive", "is_packed", "member_of", "opened"]

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"

# What Python's unpackers raise for files that are damaged, encrypted or packed in ways they don't know.
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)
PACKING_ERRORS: tuple[type[Exception], ...] = (*_DAMAGE, NotImplementedError, RuntimeError)


_Content: TypeAlias = io.RawIOBase | io.BufferedIOBase


class Stream:
    """Uncompressed bytes of a file in pieces, with progress told in bytes of the file as it lies on the disk."""

    def __init__(self, path: Path, content: _Content, on_disk: io.FileIO, progress: Progress) -> None:
        self.path = path
        self._content = content
        self._on_disk = on_disk
        self._progress = progress
        self._total = archive_of(path).stat().st_size

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end. Raise `SourceError` where a compressed file is damaged."""
        with self._reading():
            return self._content.read(size) or b""

    def read_into(self, buffer: memoryview) -> int:
        """Fill a buffer as far as one read goes; return the bytes read, 0 at the end. Errors as in `read`."""
        with self._reading():
            return self._content.readinto(buffer) or 0

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with reading(self.path):
                yield
        except _DAMAGE:
            raise SourceError("is damaged or cut short; get the file again", self.path) from None
        except (NotImplementedError, RuntimeError) as error:
            raise SourceError(f"can't be unpacked ({error}); unpack it yourself", self.path) from None
        self._progress(self._on_disk.tell(), self._total)


@contextmanager
def opened(path: Path, progress: Progress = silent) -> Iterator[Stream]:
    """Open a plain, gzip or zip file, told apart by their first bytes.

    A zip archive with several files needs one named: ``glove.6B.zip:glove.6B.50d.txt``.
    """
    archive = archive_of(path)
    check_archive(path)
    with ExitStack() as stack, reading(archive):
        file = stack.enter_context(archive.open("rb", buffering=0))
        magic = file.read(4)
        file.seek(0)
        content: _Content = file
        if magic.startswith(GZIP_MAGIC):
            content = stack.enter_context(gzip.open(file))
        elif magic == ZIP_MAGIC:
            content = _zip_member(stack, file, path)
        yield Stream(path, content, file, progress)


def archive_of(path: Path) -> Path:
    """Return the file on the disk: the path itself, or its part before the colon in ``archive.zip:member``."""
    archive, colon, _member = str(path).rpartition(":")
    if colon and archive.lower().endswith(".zip") and not path.exists():
        return Path(archive)
    return path


def member_of(path: Path) -> str | None:
    """Return the part behind the colon in ``archive.zip:member``."""
    archive = archive_of(path)
    return None if archive == path else str(path)[len(str(archive)) + 1 :]


def is_packed(path: Path) -> bool:
    """Tell whether a file is gzip or zip, from its first bytes."""
    archive = archive_of(path)
    with reading(archive), archive.open("rb") as file:
        return file.read(4).startswith((GZIP_MAGIC, ZIP_MAGIC))


def check_archive(path: Path) -> None:
    """Raise `SourceError` unless the file on the disk is a regular file with something in it."""
    check_input(archive_of(path))


def _zip_member(stack: ExitStack, file: io.FileIO, path: Path) -> _Content:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        name = member_of(path)
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            listed = ", ".join(names) or "nothing"
            raise SourceError(f"holds {listed}; name one: {archive_of(path)}:FILE", archive_of(path))
        # A ZipExtFile, of which the standard library's annotation tells less.
        return cast("io.BufferedIOBase", stack.enter_context(archive.open(name)))
    except zipfile.BadZipFile:
        raise SourceError("is a damaged zip archive; get the file again", path) from None
    except (NotImplementedError, RuntimeError) as error:
        raise SourceError(f"can't be unpacked ({error}); unpack it yourself", path) from None
