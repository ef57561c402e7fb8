"""Reading and replacing whole files, with messages a user can act on."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO, TypeAlias

from simmatrix.errors import OutputError, SourceError

__all__ = [
    "Progress",
    "check_input",
    "check_output_folder",
    "decoded",
    "open_input",
    "read_bytes",
    "reading",
    "refusal",
    "sha256_of",
    "silent",
    "write_atomically",
]

_PIECE = 1 << 18
# What files that are no text start with, and what they are.
_NO_TEXT = (
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a zip archive, such as an Excel file or .npz"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle, which is never loaded"),
)


def refusal(error: OSError, path: Path) -> SourceError:
    """Return what the operating system's refusal to read a file means to its user."""
    match error:
        case FileNotFoundError():
            return SourceError("there is no such file; check the path", path)
        case IsADirectoryError():
            return SourceError("is a folder; name a file in it", path)
        case PermissionError():
            return SourceError("may not be read; check its permissions", path)
    return SourceError(f"can't be read ({error.strerror or error}); check the file and the path", path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into a `SourceError` that names the file."""
    try:
        yield
    except OSError as error:
        raise refusal(error, path) from None


def open_input(path: Path) -> io.FileIO:
    """Open a regular file with something in it.

    Inputs are read more than once (once for their checksum), so pipes and devices won't do; the latter are not opened.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("is not a regular file; write its contents to a file first", path)
        if status.st_size == 0:
            raise SourceError("is empty; get or make the file again", path)
        return path.open("rb", buffering=0)
    except OSError as error:
        raise refusal(error, path) from None


def check_input(path: Path) -> None:
    """Raise `SourceError` unless `path` is a regular file with something in it that may be read."""
    open_input(path).close()


def read_bytes(path: Path) -> bytes:
    """Return the contents of a small file."""
    with open_input(path) as file, reading(path):
        return file.readall()


def decoded(raw: bytes, path: Path) -> str:
    """Return a file's bytes as text: UTF-8, with or without a byte-order mark; every line ends in a line feed.

    Raises
    ------
    SourceError
        If they are not UTF-8; names the line, or what the file seems to be.
    """
    for start, what in _NO_TEXT:
        if start.match(raw):
            raise SourceError(f"is {what}; save its table as .csv", path)
    try:
        return _with_plain_line_ends(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        # What is in front of the error decodes; the bytes are the error's own, which stand behind a byte-order mark.
        line = _with_plain_line_ends(error.object[: error.start].decode()).count("\n") + 1
        raise SourceError("is not UTF-8; save the file as UTF-8", path, line) from None


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


Progress: TypeAlias = Callable[[int, int], None]
"""Called now and then with the bytes of a file done so far and the bytes there are."""


def silent(done: int, total: int) -> None:
    """Report no progress."""


def sha256_of(path: Path, progress: Progress = silent, stop: Event | None = None) -> str:
    """Return the SHA-256 checksum of a file as 64 hexadecimal digits. Memory does not grow with the file.

    Large files take seconds; once `stop` is set, nobody wants the checksum any more and it is given up.
    """
    digest = hashlib.sha256()
    with reading(path), path.open("rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        buffer = memoryview(bytearray(_PIECE))
        while (size := file.readinto(buffer)) and not (stop and stop.is_set()):
            digest.update(buffer[:size])
            progress(file.tell(), total)
    return digest.hexdigest()


def check_output_folder(path: Path) -> None:
    """Raise `OutputError` unless the folder that `path` would be written to exists and `path` is no folder itself."""
    with _writing(path):
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; name the file to write in it")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first, or write elsewhere")


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file so that a crash at any point leaves the old file or the new one, never a mixture.

    The parts go to a temporary file in the same folder, which is flushed to disk and then renamed.
    """
    check_output_folder(path)
    with _writing(path):
        # A link stays a link: the file that it points to is replaced.
        target = path.resolve()
        temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
        try:
            with temporary.open("xb") as file:
                _write(file, parts)
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            temporary.replace(target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        _flush_folder(target.parent)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into an `OutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: can't be written ({error.strerror or error}); free some room or write elsewhere"
        ) from None


def _write(file: BinaryIO, parts: Iterable[bytes | memoryview]) -> None:
    for part in parts:
        file.write(part)
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    # The rename itself has to reach the disk too. Not every file system can flush a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
