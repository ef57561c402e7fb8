"""Whole files: refusals that name the file, and writing that leaves the old file or the new one."""

import errno
import fcntl
import gzip
import hashlib
import os
import pickle
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import safetensors.numpy

from simmatrix import OutputError, SourceError, from_order, load, read_classes
from simmatrix.files import (
    check_input,
    check_output_folder,
    decoded,
    read_bytes,
    reading,
    sha256_of,
    write_atomically,
)
from simmatrix.vectors.formats import vector_file
from simmatrix.vectors.streams import Files


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_input(folder: Path, kind: str) -> Path:
    path = folder / "input"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no such file; check the path"),
        ("folder", "is a folder; name a file in it"),
        ("empty", "is empty; get or make the file again"),
        ("pipe", "is not a regular file"),
        ("loop", "can't be read"),
    ],
)
@pytest.mark.parametrize("read", [check_input, read_bytes])
def test_an_unusable_input_is_named(kind: str, message: str, read: object, tmp_path: Path) -> None:
    path = make_input(tmp_path, kind)
    with pytest.raises(SourceError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.path == path


def test_an_unreadable_input_is_named(tmp_path: Path) -> None:
    # By hand, since tests may be run by a user whom no permission stops.
    with pytest.raises(SourceError, match="may not be read; check its permissions"), reading(tmp_path / "secret"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_contents_and_checksum(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    def seen(done: int, total: int) -> None:
        steps.append((done, total))

    path = tmp_path / "input"
    path.write_bytes(b"rose\n" * 100_000)
    assert read_bytes(path) == b"rose\n" * 100_000
    assert sha256_of(path, seen) == hashlib.sha256(b"rose\n" * 100_000).hexdigest()
    assert [done for done, _total in steps] == [262_144, 500_000]
    assert {total for _done, total in steps} == {500_000}
    with pytest.raises(SourceError, match="no such file"):
        sha256_of(tmp_path / "missing", seen)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"PK\x03\x04", "a zip archive, such as an Excel file or .npz"),
        (b"PK\x05\x06" + bytes(18), "a zip archive, such as an Excel file or .npz"),
        (b"%PDF-1.7 text", "a PDF document"),
        (pickle.dumps([1.0], protocol=2), "a pickle, which is never loaded"),
        (pickle.dumps([1.0]), "a pickle, which is never loaded"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file"),
        (b"PAR1\x15", "a Parquet or HDF5 file"),
    ],
)
def test_what_is_no_text_is_told(raw: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        decoded(raw, tmp_path / "m.csv")
    assert str(caught.value) == f"{tmp_path / 'm.csv'}: is {what}; save its table as .csv"


def test_a_safetensors_file_is_no_text(tmp_path: Path) -> None:
    """The length in front of its header may look like the start of another kind: 640 is a pickle's."""
    sizes = set()
    for length in (1, 201, 585, 65_737, 70_000):
        raw = safetensors.numpy.save({"a" * length: np.zeros(2)})
        sizes.add(int.from_bytes(raw[:8], "little"))
        with pytest.raises(SourceError, match="is a safetensors file; simmatrix export makes a table"):
            decoded(raw, tmp_path / "m.csv")
        # Where it is damaged, it is still what it should be.
        (tmp_path / "m").write_bytes(raw[:-9])
        with pytest.raises(SourceError, match="m: is no safetensors file, or a damaged one"):
            load(tmp_path / "m")
        (tmp_path / "m").write_bytes(raw)
        with Files(tmp_path / "m") as files:
            assert vector_file(files).format == "safetensors"
    assert {256, 640, 65_792} <= sizes, sizes


def test_the_index_of_a_matrix_is_told_by_another_name(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors.index.json"
    from_order("cifar100", decay=0.5).top_k(3).save(path)
    path.rename(tmp_path / "m.json")
    message = "is the index of a matrix; it is built, and its name has to end in .safetensors.index.json"
    for read in (load, read_classes):
        with pytest.raises(SourceError, match=message):
            read(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer, which stands for a file; fetch that"),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML>\n", "a web page; download the file itself"),
        (b"<html lang='en'>", "a web page; download the file itself"),
        (gzip.compress(b"a,b\n"), "compressed; unpack it first"),
        ("a,b\n".encode("utf-16"), "UTF-16; save the file as UTF-8"),
    ],
)
def test_what_came_in_the_place_of_a_file_is_told(raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(raw)
    with pytest.raises(SourceError, match=f"m: is {message}"):
        decoded(raw, tmp_path / "m")
    with pytest.raises(SourceError, match=f"m: is {message}"):
        load(tmp_path / "m")


def test_a_text_of_30_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "classes.txt").open("wb") as file:
        file.truncate(30 << 30)
    with pytest.raises(SourceError, match=r"classes.txt: holds 30.0 GiB, and no text here takes more than 1; check"):
        read_bytes(tmp_path / "classes.txt")


NAMES = ",".join(["rose", "tulip"] * 50)


@pytest.mark.parametrize(
    ("name", "read", "written"),
    [
        ("x" * 300, "is too long for the name of a file; check the path$", "File name too long"),
        (NAMES, "is too long .*; give several names as a list, or in a file$", "File name too long"),
        ("a" + "/b" * 3000, "is too long for the name of a file", "File name too long"),
        ("a\0b", r"a\\x00b: can't be read \(embedded null byte\)", "embedded null byte"),
        ("a\ud800b", r"a\\ud800b: can't be read", r"a\\ud800b: can't be written \('utf-8' codec"),
        ("a\nerror: all is lost", r"a\\nerror: all is lost: there is no such file", None),
        ("loop", "its links lead round in a circle", "Too many levels of symbolic links"),
    ],
)
def test_a_path_that_is_none(name: str, read: str, written: str | None, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for reader in (read_bytes, check_input, load):
        with pytest.raises(SourceError, match=read) as caught:
            reader(tmp_path / name)
        assert len(str(caught.value)) < 700
        assert str(caught.value).isprintable()
    for writer in (check_output_folder, lambda path: write_atomically(path, [b"new"])) if written else ():
        with pytest.raises(OutputError, match=written) as caught:
            writer(tmp_path / name)
        assert len(str(caught.value)) < 700


def test_a_name_may_be_as_long_as_the_system_has_it(tmp_path: Path) -> None:
    for name in ("x" * 242, "x" * 255, "é" * 127, os.fsdecode(b"\xff" * 255)):
        for content in (b"old", b"new"):
            write_atomically(tmp_path / name, [content])
            assert (tmp_path / name).read_bytes() == content
    assert len(left_over(tmp_path)) == 4


def test_what_is_read_only_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o444)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        for refuse in (check_output_folder, lambda path: write_atomically(path, [b"new"])):
            with pytest.raises(OutputError, match=rf"{name}: is read-only; make it writeable \(chmod u\+w\)"):
                refuse(tmp_path / name)
    assert (tmp_path / "file").read_bytes() == b"old"


def test_what_is_no_regular_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "away").symlink_to(tmp_path / "missing" / "file")
    for path, message in (
        (tmp_path / "pipe", "is no regular file; write to another one"),
        (Path("/dev/null"), "is no regular file; write to another one"),
        (tmp_path / "away", f"the folder {tmp_path / 'missing'} does not exist; make it first"),
    ):
        with pytest.raises(OutputError, match=message):
            write_atomically(path, [b"new"])
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert left_over(tmp_path) == ["away", "pipe"]


def test_a_link_to_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", [b"new"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    others = [".simmatrix-1234567g.tmp", ".simmatrix-12345678.tmp.old", "x.tmp", ".file.12345678.tmp"]
    for name in (".simmatrix-12345678.tmp", ".simmatrix-0000abcd.tmp", *others):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".simmatrix-aaaaaaaa.tmp").mkdir()
    # Another process writes at the same time: its lock tells that it lives.
    with (tmp_path / ".simmatrix-bbbbbbbb.tmp").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(tmp_path / "file", [b"new"])
        kept = [".simmatrix-aaaaaaaa.tmp", ".simmatrix-bbbbbbbb.tmp", "file", *others]
        assert left_over(tmp_path) == sorted(kept)
    write_atomically(tmp_path / "file", [b"new"])
    assert left_over(tmp_path) == sorted(set(kept) - {".simmatrix-bbbbbbbb.tmp"})


ENDING = """
import os, signal, sys
from pathlib import Path
from simmatrix.files import write_atomically
def parts():
    yield b"half"
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    yield b"rest"
# A parent that ignores it, such as nohup, hands that on.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if sys.argv[3] == "own":
    signal.signal(signal.SIGTERM, lambda *_: print("mine"))
if sys.argv[3] == "ignored":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
write_atomically(Path(sys.argv[1]), parts())
print("written")
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize(
    ("name", "handler", "code", "said"),
    [
        ("SIGTERM", "default", -signal.SIGTERM, ""),
        ("SIGHUP", "default", -signal.SIGHUP, ""),
        ("SIGTERM", "own", 0, "mine\nwritten\nmine\n"),
        ("SIGTERM", "ignored", 0, "written\n"),
    ],
)
def test_told_to_end_a_process_ends_and_leaves_nothing(
    name: str, handler: str, code: int, said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, tmp_path / "file", name, handler], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, said, "")
    assert left_over(tmp_path) == (["file"] if said else [])


def test_another_thread_writes_too(tmp_path: Path) -> None:
    """And cleans up meanwhile, as others do: so many that each meets a file in the moment before it is locked."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda at: write_atomically(tmp_path / str(at % 4), [b"x" * 1000]), range(1000)))
    assert left_over(tmp_path) == ["0", "1", "2", "3"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("raw", [b"PK,a,b\n", b"%,a\n", b"rose PK\x03\x04"])
def test_text_may_start_alike(raw: bytes, tmp_path: Path) -> None:
    assert decoded(raw, tmp_path / "m.csv") == raw.decode()


def test_a_checksum_that_nobody_wants_any_more_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"rose\n")
    stop = Event()
    assert sha256_of(path, stop=stop) == hashlib.sha256(b"rose\n").hexdigest()
    stop.set()
    assert sha256_of(path, stop=stop) == hashlib.sha256(b"").hexdigest()


def test_writing_and_replacing(tmp_path: Path) -> None:
    path = tmp_path / "output"
    write_atomically(path, [b"old", memoryview(b"er")])
    assert path.read_bytes() == b"older"
    write_atomically(path, [b"new"])
    assert path.read_bytes() == b"new"
    assert left_over(tmp_path) == ["output"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_follows_the_umask(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "output", [b"new"])
    finally:
        os.umask(before)
    assert (tmp_path / "output").stat().st_mode & 0o777 == mode


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_atomically(path, [b"new"])
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b"new"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, [b"new"])
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("path", ["missing/output", "file/output", "folder", "x" * 300])
def test_where_nothing_can_be_written(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for refuse in (check_output_folder, lambda path: write_atomically(path, [b"new"])):
        with pytest.raises(OutputError, match=r"does not exist; make it|is a folder; name|write elsewhere") as caught:
            refuse(tmp_path / path)
        assert str(tmp_path / path) in str(caught.value)
    assert left_over(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("function", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    function: str, old: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "output"
    if old is not None:
        path.write_bytes(old)
    monkeypatch.setattr(function, refuse)
    with pytest.raises(OutputError, match=r"output: can't be written .No space left on device.; free some room"):
        write_atomically(path, [b"new"])
    assert left_over(tmp_path) == ([] if old is None else ["output"])
    assert old is None or path.read_bytes() == old


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def parts() -> object:
        yield b"new"
        raise KeyboardInterrupt

    path = tmp_path / "output"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, parts())
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == ["output"]


def test_a_file_too_large_for_its_limit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"old")
    program = """
import resource, sys
from pathlib import Path
from simmatrix import OutputError
from simmatrix.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomically(Path(sys.argv[1]), [bytes(1_000_000)])
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert "can't be written (File too large)" in done.stdout
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == ["output"]


def test_data_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    flush, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("flush"), flush(descriptor))[1])
    monkeypatch.setattr(Path, "replace", lambda path, target: (events.append("rename"), rename(path, target))[1])
    write_atomically(tmp_path / "output", [b"new"])
    assert events == ["flush", "rename", "flush"]
