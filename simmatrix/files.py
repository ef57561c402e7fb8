"""Reading and replacing whole files, with messages a user can act on."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO

from simmatrix.errors import OutputError, SourceError

__all__ = [
    "check_input",
    "check_output_folder",
    "decoded",
    "read_bytes",
    "reading",
    "sha256_of",
    "stopping",
    "write_atomically",
]

_PIECE = 1 << 18
# What files that are no text start with, and what they are.
_NO_TEXT = (
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a zip archive, such as an Excel file or .npz"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle, which is never loaded"),
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into a `SourceError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise SourceError("there is no such file; check the path", path) from None
    except IsADirectoryError:
        raise SourceError("is a folder; name a file in it", path) from None
    except PermissionError:
        raise SourceError("may not be read; check its permissions", path) from None
    except OSError as error:
        raise SourceError(f"can't be read ({error.strerror or error}); check the file and the path", path) from None


def check_input(path: Path) -> None:
    """Raise `SourceError` unless `path` is a regular file with something in it.

    Inputs are read more than once (once for their checksum), so pipes and devices won't do.
    """
    with reading(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("is not a regular file; write its contents to a file first", path)
        if status.st_size == 0:
            raise SourceError("is empty; get or make the file again", path)
        with path.open("rb"):
            pass


def read_bytes(path: Path) -> bytes:
    """Return the contents of a small file."""
    check_input(path)
    with reading(path):
        return path.read_bytes()


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


def sha256_of(path: Path, stop: Event, progress: Callable[[int, int], None]) -> str:
    """Return the SHA-256 checksum of a file as 64 hexadecimal digits. Memory does not grow with the file.

    Large files take seconds: `progress` is told of the bytes done and the bytes there are, and once `stop` is set,
    nobody wants the checksum any more and it is given up.
    """
    digest = hashlib.sha256()
    with reading(path), path.open("rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        buffer = memoryview(bytearray(_PIECE))
        while (size := file.readinto(buffer)) and not stop.is_set():
            digest.update(buffer[:size])
            progress(file.tell(), total)
    return digest.hexdigest()


@contextmanager
def stopping() -> Iterator[Event]:
    """Give an event that is set when the block is left by an error, Ctrl-C among them."""
    event = Event()
    try:
        yield event
    except BaseException:
        event.set()
        raise


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
