"""Reading and replacing whole files, with messages a user can act on."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import signal
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeAlias

from simmatrix.errors import OutputError, SourceError
from simmatrix.text import nearest, or_list

_PIECE = 1 << 18
# More than any table of classes, ratings or triplets takes: a larger file was given by mistake, and is not read.
_LARGEST_TEXT = 1 << 30
# Names in a folder that are compared with the name of a file that is not there.
_MOST_LOOKED_AT = 10_000
# What files start with that stand where another is expected: what they are, and what to do about it wherever it is.
_MISTAKEN = (
    # The length of a header, then the header; first, since the length may look like another kind's start.
    (rb'(?s:.{4})\0{4}\{"', "a safetensors file", "simmatrix export makes a table of a matrix"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive, such as an Excel file or .npz", ""),
    (rb"%PDF-", "a PDF document", ""),
    (rb"\x80[\x02-\x05]", "a pickle, which is never loaded", ""),
    (rb"\xd0\xcf\x11\xe0", "an old Excel or Word file", ""),
    (rb"PAR1|\x89HDF", "a Parquet or HDF5 file", ""),
    (rb"\x1f\x8b|BZh|\xfd7zXZ", "compressed", "unpack it first"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16", "save the file as UTF-8"),
    (
        rb'\{\s*"metadata":\s*\{\s*"format":\s*"simmatrix"',
        "the index of a matrix",
        "it is built, and its name has to end in .safetensors.index.json",
    ),
    (rb"version https://git-lfs\.", "a Git LFS pointer, which stands for a file", "fetch that with git lfs pull"),
    (rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)", "a web page", "download the file itself"),
)
# The names of our temporary files; they are short, so that the file itself may have the longest name there is.
_TEMPORARY = re.compile(r"\.simmatrix-[0-9a-f]{8}\.tmp")


def shown_name(name: str | Path) -> str:
    r"""Return a name, or a file's name without its folders, with lone surrogates escaped.

    Python puts these into names of files that are no UTF-8.

    Examples
    --------
    >>> shown_name(Path("folder/ratings.csv")), shown_name("a\udcff")
    ('ratings.csv', 'a\\udcff')
    """
    text = name.name if isinstance(name, Path) else name
    return text.encode("utf-8", "backslashreplace").decode()


def refusal(error: OSError | ValueError, path: Path) -> SourceError:
    """Return what the operating system's refusal to read a file means to its user; ValueError is Python's for paths."""
    match error:
        case FileNotFoundError():
            close = _near_matrices(path)
            remedy = f"did you mean {or_list(close)}?" if close else "check the path"
            return SourceError(f"there is no such file; {remedy}", path)
        case IsADirectoryError():
            return SourceError("is a folder; name a file in it", path)
        case PermissionError():
            return SourceError("may not be read; check its permissions", path)
        case OSError(errno=errno.ENAMETOOLONG):
            several = "; give several names as a list, or in a file" if "," in str(path) else ""
            return SourceError(f"is too long for the name of a file; check the path{several}", path)
        case OSError(errno=errno.ELOOP):
            return SourceError("can't be read, since its links lead round in a circle; mend them", path)
    return SourceError(f"can't be read ({_reason(error)}); check the file and the path", path)


def _near_matrices(path: Path) -> list[str]:
    """Return the names of matrices in the folder that are spelt like a matrix that is not there."""
    if not path.suffix.startswith(".safetensor"):
        return []
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_LOOKED_AT)]
    except OSError:
        return []
    # By the stems: the same ending would make all names alike.
    end = ".safetensors"
    stems = sorted(name.removesuffix(end) for name in names if name.endswith(end) and name != path.name)
    return [f"{stem}.safetensors" for stem in nearest(path.stem, stems)]


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals inside the block into a `SourceError` that names the file."""
    try:
        yield
    except OSError as error:
        raise refusal(error, path) from None


def open_input(path: Path) -> io.FileIO:
    """Open a regular file with something in it.

    Pipes and devices can't be read again, and some inputs are. Opening a device may do something, so none is opened;
    nor does a pipe that takes the file's place in between make the reader wait for ever.
    """
    check_regular(path)
    try:
        file = io.FileIO(path, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    except (OSError, ValueError) as error:
        raise refusal(error, path) from None
    try:
        _check_regular(os.fstat(file.fileno()), path)
    except BaseException:
        file.close()
        raise
    return file


def check_regular(path: Path) -> None:
    """Raise `SourceError` unless `path` is a regular file with something in it, without opening it."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise refusal(error, path) from None
    _check_regular(status, path)


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SourceError("is a folder; name a file in it", path)
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("is not a regular file; write its contents to a file first", path)
    if status.st_size == 0:
        raise SourceError("is empty; get or make the file again", path)


def check_input(path: Path) -> None:
    """Raise `SourceError` unless `path` is a regular file with something in it that may be read."""
    open_input(path).close()


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file of text, of 1 GiB at most."""
    with open_input(path) as file, reading(path):
        return whole(file, path)


def whole(file: io.FileIO, path: Path) -> bytes:
    """Return what is left of an open file of text, of 1 GiB at most."""
    size = os.fstat(file.fileno()).st_size
    if size > _LARGEST_TEXT:
        raise SourceError(f"holds {size / 2**30:.1f} GiB, and no text here takes more than 1; check the path", path)
    return file.readall()


def mistaken(start: bytes, remedy: str) -> str:
    """Say what a file is by its first bytes, and what to do, if it is a known thing in the place of another."""
    return next((f"is {what}; {cure or remedy}" for pattern, what, cure in _MISTAKEN if re.match(pattern, start)), "")


def decoded(raw: bytes, path: Path) -> str:
    """Return a file's bytes as text: UTF-8, with or without a byte-order mark; every line ends in a line feed.

    Raises `SourceError` if they are not UTF-8; names the line, or what the file seems to be.
    """
    if what := mistaken(raw[:200], "save its table as .csv"):
        raise SourceError(what, path)
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


def sha256_of(path: Path, progress: Progress = silent, stop: threading.Event | None = None) -> str:
    """Return the SHA-256 checksum of a file as 64 hexadecimal digits; see `digest_of`."""
    with reading(path), path.open("rb", buffering=0) as file:
        return digest_of(file, progress, stop)


def digest_of(file: io.FileIO, progress: Progress = silent, stop: threading.Event | None = None) -> str:
    """Return the SHA-256 checksum of an open file. Memory does not grow with the file.

    Large files take seconds; once `stop` is set, nobody wants the checksum any more and it is given up. Others may read
    the file meanwhile: where they are in it does not change.
    """
    digest = hashlib.sha256()
    total, done = os.fstat(file.fileno()).st_size, 0
    while (piece := os.pread(file.fileno(), _PIECE, done)) and not (stop and stop.is_set()):
        digest.update(piece)
        done += len(piece)
        progress(done, total)
    return digest.hexdigest()


def check_output_folder(path: Path, *, is_new: bool = False) -> None:
    """Raise `OutputError` unless a file may be written at `path`, as far as can be told before.

    Its folder has to exist and to be writeable; what stands there already has to be a regular file that may be changed,
    and where the file has to be new, nothing may.
    """
    with writing(path):
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        # A link to a file that is not there yet is written to where it leads.
        folder = path.resolve().parent if path.is_symlink() else path.parent
        if status and stat.S_ISDIR(status.st_mode):
            raise OutputError("is a folder; name the file to write in it", path)
        if not folder.is_dir():
            raise OutputError(f"the folder {folder} does not exist; make it first, or write elsewhere", path)
        if status and not stat.S_ISREG(status.st_mode):
            raise OutputError("is no regular file; write to another one", path)
        # Of root the system asks nothing, but who made a file read-only wants to keep it.
        if status and not (os.access(path, os.W_OK) and status.st_mode & 0o222):
            raise OutputError("is read-only; make it writeable (chmod u+w) if it may go, or write elsewhere", path)
        if not os.access(folder, os.W_OK):
            raise OutputError("its folder is read-only; write elsewhere", path)
    if status and is_new:
        raise OutputError("is there already; write to another file, or replace it (--force, force=True)", path)


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file so that a crash at any point leaves the old file or the new one, never a mixture.

    The parts go to a temporary file in the same folder, which is flushed to disk and then renamed. It is removed when
    something goes wrong, or the process is told to end; what a killed process left behind is removed by the next one.
    """
    check_output_folder(path)
    with writing(path):
        # A link stays a link: the file that it points to is replaced.
        target = path.resolve()
        _sweep(target.parent)
        with _temporary_file(target.parent) as (file, temporary):
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            temporary.replace(target)
        # The rename itself has to reach the disk too. Not every file system can flush a folder.
        with suppress(OSError):
            descriptor = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn refusals of the operating system inside the block into an `OutputError` that names the file."""
    try:
        yield
    # Python raises ValueError for a path with a NUL, and RuntimeError for links that lead round.
    except (OSError, ValueError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        is_full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some room" if is_full else "check the path"
        raise OutputError(f"can't be written ({_reason(error)}); {remedy} or write elsewhere", path) from None


@contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file that is gone at the end of the block, unless it was renamed, and when the process is told to end.

    It is locked for as long as it is open.
    """
    temporary = folder / f".simmatrix-{os.urandom(4).hex()}.tmp"

    def end(number: int, _frame: object) -> None:
        with suppress(OSError):
            temporary.unlink()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # Only the main thread may handle signals, and those that the program handles itself are its own.
    is_main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if is_main and hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, end)
        with _locked(temporary) as file:
            yield file, temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _locked(path: Path) -> BinaryIO:
    """Make a file and lock it, so that nobody takes it for one that was left behind."""
    # Several processes may clean up at once, each time in the moment before it is locked.
    for _ in range(100):
        file = path.open("xb")
        _lock(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            break
        # It was taken for one before it was locked.
        file.close()
    return file


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes that were killed: those whose lock nobody holds."""
    with suppress(OSError):
        for stale in folder.iterdir():
            if _TEMPORARY.fullmatch(stale.name) and stale.is_file():
                with suppress(OSError), stale.open("rb") as file:
                    # What another one removed since may be there again, as a file of its owner's.
                    if _lock(file) and os.fstat(file.fileno()).st_nlink:
                        stale.unlink()


def _lock(file: BinaryIO, *, wait: bool = False) -> bool:
    """Lock a file, where that is possible; the lock ends with the process, or when the file is closed."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    return False
