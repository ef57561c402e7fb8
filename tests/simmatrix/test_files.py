"""Whole files: refusals that name the file, and writing that leaves the old file or the new one."""

import errno
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from simmatrix import OutputError, SourceError
from simmatrix.files import (
    check_input,
    check_output_folder,
    decoded,
    read_bytes,
    reading,
    sha256_of,
    write_atomically,
)


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
    ],
)
def test_what_is_no_text_is_told(raw: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        decoded(raw, tmp_path / "m.csv")
    assert str(caught.value) == f"{tmp_path / 'm.csv'}: is {what}; save its table as .csv"


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
