"""Opening a file of word vectors as a stream of bytes, whether it is compressed or not."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from simmatrix.errors import SourceError
from simmatrix.files import check_input, reading
from simmatrix.vectors.vectors import Progress, silent

__all__ = ["Stream", "archive_of", "check_archive", "member_of", "opened"]

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"


class Stream:
    """Uncompressed bytes of a file in pieces, with progress told in bytes of the file as it lies on the disk."""

    def __init__(self, path: Path, content: IO[bytes], on_disk: BinaryIO, progress: Progress) -> None:
        self.path = path
        self._content = content
        self._on_disk = on_disk
        self._progress = progress
        self._total = archive_of(path).stat().st_size

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end. Raise `SourceError` where a compressed file is damaged."""
        try:
            with reading(self.path):
                piece = self._content.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile):
            raise SourceError("is damaged or cut short; get the file again", self.path) from None
        except (NotImplementedError, RuntimeError) as error:
            raise SourceError(f"can't be unpacked ({error}); unpack it yourself", self.path) from None
        self._progress(self._on_disk.tell(), self._total)
        return piece


@contextmanager
def opened(path: Path, progress: Progress = silent) -> Iterator[Stream]:
    """Open a plain, gzip or zip file, told apart by their first bytes.

    A zip archive with several files needs one named: ``glove.6B.zip:glove.6B.50d.txt``.
    """
    archive = archive_of(path)
    check_archive(path)
    with ExitStack() as stack, reading(archive):
        file: BinaryIO = stack.enter_context(archive.open("rb", buffering=0 if archive == path else -1))
        magic = file.read(4)
        file.seek(0)
        content: IO[bytes] = file
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


def check_archive(path: Path) -> None:
    """Raise `SourceError` unless the file on the disk is a regular file with something in it."""
    check_input(archive_of(path))


def _zip_member(stack: ExitStack, file: BinaryIO, path: Path) -> IO[bytes]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        name = member_of(path)
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            listed = ", ".join(names) or "nothing"
            raise SourceError(f"holds {listed}; name one: {archive_of(path)}:FILE", archive_of(path))
        return stack.enter_context(archive.open(name))
    except zipfile.BadZipFile:
        raise SourceError("is a damaged zip archive; get the file again", path) from None
    except (NotImplementedError, RuntimeError) as error:
        raise SourceError(f"can't be unpacked ({error}); unpack it yourself", path) from None
