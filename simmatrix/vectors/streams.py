"""Opening files of word vectors: each once, and as a stream of bytes whether it is compressed or not."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeAlias, cast

from simmatrix.errors import SourceError
from simmatrix.files import Progress, digest_of, open_input, reading, refusal, shown_name, silent
from simmatrix.names import is_name
from simmatrix.text import some

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


class Files(AbstractContextManager["Files"]):
    """The files of one reading: that of the vectors, which `path` names, and what is read beside it.

    Each is opened once, so its checksum is that of the bytes that were read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, located(path)
        self._opened: dict[Path, tuple[io.FileIO, os.stat_result]] = {}

    def open(self, path: Path) -> io.FileIO:
        """Return an open file, at its beginning."""
        if path not in self._opened:
            file = open_input(path)
            self._opened[path] = file, os.fstat(file.fileno())
        file = self._opened[path][0]
        file.seek(0)
        return file

    def reader(self, path: Path) -> Callable[[int, int], bytes]:
        """Return a function that reads bytes of a file from a place on."""
        file = self.open(path)

        def read_at(place: int, size: int) -> bytes:
            try:
                file.seek(place)
                content = file.read(size)
            except OSError as error:
                raise refusal(error, path) from None
            if len(content) < size:
                raise SourceError("is cut short; get the file again", path)
            return content

        return read_at

    def size(self, path: Path) -> int:
        """Return the size of an open file in bytes."""
        return self._opened[path][1].st_size

    def sha256(self, progress: Progress = silent, stop: Event | None = None) -> str:
        """Return the checksum of the file of the vectors, which may be read meanwhile."""
        with reading(self.where.file):
            return digest_of(self._opened[self.where.file][0], progress, stop)

    def beside(self) -> list[tuple[str, Path, str]]:
        """Return the role, the path and the checksum of each other file that was read, in the order of reading.

        Raises `SourceError` if any file was changed since it was opened.
        """
        found = []
        for path, (file, before) in self._opened.items():
            if path != self.where.file:
                with reading(path):
                    found.append(("vectors" if path.suffix == ".npy" else "vocabulary", path, digest_of(file)))
            now = os.fstat(file.fileno())
            if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
                raise SourceError("was changed while it was read; read it again", path)
        return found

    def __exit__(self, *_error: object) -> None:
        for file, _status in self._opened.values():
            file.close()


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
def opened(files: Files, progress: Progress = silent, *, arrays_packed: bool = False) -> Iterator[Stream]:
    """Open the file of the vectors, which is plain, gzip or zip by its first bytes.

    A zip archive with several files needs one named: ``glove.6B.zip:glove.6B.50d.txt``. With `arrays_packed` an archive
    of arrays (``.npz``) is not unpacked.
    """
    path, where = files.path, files.where
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
