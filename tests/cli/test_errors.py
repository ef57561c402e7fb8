"""Bad input: one message that names the file, the line and the remedy, exit code 1, and no output file."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from simmatrix import SimilarityMatrix
from simmatrix.cli import build as build_module
from tests.cli.command import Command, assert_mendable, write_glove

GOOD = "rose 1 2\ntulip 2 1\noak 0 1\n"


def write(name: str, content: str | bytes) -> Callable[[Path], None]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw) and None


def make(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).mkdir()


def truncated_word2vec(folder: Path) -> None:
    whole = b"3 2\n" + b"".join(
        word + b" " + np.ones(2, "<f4").tobytes() + b"\n" for word in (b"rose", b"tulip", b"oak")
    )
    (folder / "v").write_bytes(whole[:-6])


BAD_BUILDS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "vectors missing": (lambda _: None, ("v: there is no such file", "check the path")),
    "vectors empty": (write("v", ""), ("v: is empty", "get or make")),
    "vectors folder": (make("v"), ("v: is a folder", "name a file")),
    "dimension changes": (write("v", GOOD + "elm 1\n"), ("v, line 4: has 1 values where 2 were expected", "again")),
    "NaN": (write("v", "rose 1 nan\ntulip 2 1\n"), ("v, line 1: the vector of 'rose' holds NaN", "again")),
    "infinity": (write("v", "tulip 2 1\nrose 1 inf\n"), ("v, line 2: the vector of 'rose' holds NaN or inf", "again")),
    "zero vector": (write("v", "rose 0 0\ntulip 2 1\n"), ("v, line 1: the vector of 'rose' is zero", "another phrase")),
    "truncated .bin": (truncated_word2vec, ("v: ends at word 3 of the 3", "get the file again")),
    "classes missing": (lambda folder: (folder / "c.txt").unlink(), ("c.txt: there is no such file", "check the path")),
    "classes empty": (write("c.txt", ""), ("c.txt: is empty", "get or make")),
    "classes folder": (lambda folder: ((folder / "c.txt").unlink(), make("c.txt")(folder))[1], ("c.txt: is a folder",)),
    "class twice": (
        write("c.txt", "rose\ntulip\nrose\n"),
        ("c.txt, line 3: the class 'rose'", "first on line 1", "unique"),
    ),
    "class empty": (write("c.txt", "rose\n\ntulip\n"), ("c.txt, line 2: ", "has no name; name it or take it out")),
    "class not UTF-8": (
        write("c.txt", b"rose\ntulip\xff\n"),
        ("c.txt, line 2: is not UTF-8", "save the file as UTF-8"),
    ),
    "control character": (
        write("c.txt", "rose\n\x1b[31mtulip\n"),
        ("c.txt, line 2: ", "control character", "take it out"),
    ),
    "unknown word": (write("c.txt", "rose\ntulipp\n"), ("tulipp: no 'tulipp', nearest tulip", "--oov drop")),
    "output is a foreign file": (write("o", "my thesis"), ("o: is there already", "write to another file")),
    "output is a folder": (make("o"), ("o: is a folder", "name the file")),
}


@pytest.mark.parametrize("case", BAD_BUILDS)
def test_bad_input_of_build(case: str, command: Command) -> None:
    write("c.txt", "rose\ntulip\n")(command.folder)
    if not case.startswith("vectors"):
        write("v", GOOD)(command.folder)
    prepare, parts = BAD_BUILDS[case]
    prepare(command.folder)
    before = {path.name: path.read_bytes() for path in command.folder.iterdir() if path.is_file()}
    assert_mendable(command("build", "--from-embeddings", "v", "--classes", "c.txt", "-o", "o"), *parts)
    assert {path.name: path.read_bytes() for path in command.folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--lower-bound", "1"), ("lower bound of 1.0 is outside [0, 1)", "0 keeps every similarity")),
        (("--lower-bound", "-0.1"), ("lower bound of -0.1",)),
        (("--lower-bound", "nan"), ("lower bound of nan",)),
        (("--top-k", "3"), ("can't keep 3 of the 2 other classes; give 1 to 2",)),
        (("-o", "missing/o"), ("missing/o: the folder missing does not exist; make it first",)),
        (("-o", "x" * 300), ("can't be written (File name too long)",)),
    ],
)
def test_bad_options_of_build(options: tuple[str, ...], parts: tuple[str, ...], command: Command) -> None:
    write_glove(command.folder / "v")
    write("c.txt", "rose\ntulip\noak\n")(command.folder)
    result = command("build", "--from-embeddings", "v", "--classes", "c.txt", "-o", "o", *options)
    assert_mendable(result, *parts)
    assert sorted(path.name for path in command.folder.iterdir()) == ["c.txt", "v"]


def test_a_byte_order_mark_and_crlf_are_accepted(command: Command) -> None:
    write("v", GOOD)(command.folder)
    write("c.txt", b"\xef\xbb\xbfrose\r\ntulip\r\n")(command.folder)
    result = command("build", "--from-embeddings", "v", "--classes", "c.txt", "--lower-bound", "0.7")
    assert (result.code, "classes    2" in result.out) == (0, True)
    assert json.loads(command.good("show", "c.safetensors", "--json"))["classes"] == ["rose", "tulip"]


def truncated_matrix(path: Path) -> None:
    SimilarityMatrix(np.eye(2), ("rose", "tulip")).save(path)
    path.write_bytes(path.read_bytes()[:-3])


BAD_MATRICES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (lambda _: None, ("no such file", "check the path")),
    "empty": (Path.touch, ("is empty",)),
    "folder": (Path.mkdir, ("is a folder",)),
    "pickle": (
        lambda path: path.write_bytes(pickle.dumps([1])),
        ("is a pickle, which is never loaded", "simmatrix build"),
    ),
    "damaged": (truncated_matrix, ("a damaged one", "give a file made by simmatrix build")),
    "foreign": (lambda path: save_file({"x": np.eye(2)}, path), ("without a similarity matrix", "simmatrix build")),
    "newer": (
        lambda path: save_file({"x": np.eye(2)}, path, {"format": "simmatrix", "format_version": "3"}),
        ("has format version 3", "install a newer release"),
    ),
}


@pytest.mark.parametrize("case", BAD_MATRICES)
@pytest.mark.parametrize("name", ["show", "validate", "plot"])
def test_a_bad_matrix_file(name: str, case: str, command: Command) -> None:
    prepare, parts = BAD_MATRICES[case]
    prepare(command.folder / "m.safetensors")
    assert_mendable(command(name, "m.safetensors"), "m.safetensors: ", *parts)
    assert not (command.folder / "m.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("build",),
        ("build", "--classes"),
        ("build", "--classes", "cifar10", "--lower-bound", "half"),
        ("build", "--classes", "cifar10", "--unknown"),
        ("build", "--classes", "cifar10", "--oov", "guess"),
        ("build", "--classes", "cifar10", "--format", "xls"),
        ("build", "--classes", "cifar10", "--top-k", "0"),
        ("build", "--classes", "cifar10", "--from-order", "--oov", "drop"),
        ("plot", "m", "--order", "size"),
        ("show",),
        ("show", "m", "-n", "0"),
        ("plot",),
        ("validate",),
        ("no-such-command",),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], command: Command) -> None:
    result = command(*arguments)
    assert result.code == 2
    assert "Usage" in result.out + result.err
    assert "Traceback" not in result.err
    # Typer checks values by pydantic, whose words say nothing to people.
    assert not any(words in result.err for words in ("Value error", "Input should", "Invalid value: "))


def test_ctrl_c_gives_no_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module, "report", interrupt)
    result = command("build", "--classes", "cifar10")
    assert (result.code, result.out, result.err.strip()) == (130, "", "")


def test_too_little_memory_is_said(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SimilarityMatrix, "save", refuse)
    assert_mendable(
        command("build", "--classes", "cifar10"),
        "not enough memory; keep each class's nearest alone (build --top-k 32)",
    )
