"""`simmatrix classes`: the bundled lists, and one of them as a class list again."""

import io
from pathlib import Path

import pytest

from simmatrix import data, read_classes
from tests.cli.command import Command, assert_mendable


def test_every_list_is_named(command: Command) -> None:
    header, *lines = command.good("classes").splitlines()
    assert header.split() == ["name", "classes", "columns"]
    assert [line.split()[:2] for line in lines] == [
        [name, str(len(read_classes(name)))] for name in data.class_list_names()
    ]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist", "imagenet1k"])
def test_a_printed_list_is_a_class_list(name: str, command: Command) -> None:
    Path("again.tsv").write_text(command.good("classes", name))
    again, original = read_classes(Path("again.tsv")), read_classes(name)
    assert (again.names, again.columns) == (original.names, original.columns)


def test_a_printed_list_can_be_built_from(command: Command) -> None:
    Path("again.tsv").write_text(command.good("classes", "cifar100"))
    for source, file in (("again.tsv", "one"), ("cifar100", "two")):
        command.good("build", "--classes", source, "-o", file, "--lower-bound", "0.2")
    tables = [command.good("show", file).split("\n\n")[-1] for file in ("one", "two")]
    assert tables[0] == tables[1]


def test_odd_names_survive(command: Command) -> None:
    Path("odd.csv").write_text('class,phrase\n"a ""b""","x, y"\n[red]c,d\n')
    Path("again.tsv").write_text(command.good("classes", "odd.csv"))
    assert read_classes("again.tsv").names == ('a "b"', "[red]c")


def test_a_terminal_gets_a_table(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "aquatic_mammals" in command.good("classes", "cifar100")


def test_an_unknown_list(command: Command) -> None:
    result = command("classes", "cifar101")
    assert (result.code, result.out) == (1, "")
    assert "did you mean cifar10 or cifar100?" in result.err


def test_any_form_is_printed_as_a_table_and_built_from(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data.yaml").write_text("names: {0: rose, 1: tulip, 2: truck}\n")
    assert command.good("classes", "data.yaml").splitlines() == ["class", "rose", "tulip", "truck"]
    Path("paths.txt").write_text("flower > rose\nflower > tulip\nvehicle > truck\n")
    printed = command.good("classes", "paths.txt", "--separator", " > ")
    assert printed.splitlines()[0].split("\t") == ["class", "level_1", "phrase"]
    built = command("build", "--classes", "paths.txt", "--separator", ">", "--from-taxonomy", "level_1")
    assert (built.code, "paths.safetensors" in built.out) == (0, True)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"rose\ntulip\ntruck\n")))
    assert "stdin.safetensors" in command("build", "--classes", "-", "--from-wordnet").out
    Path("two.csv").write_text("name,label\nrose,r\ntulip,t\n")
    assert_mendable(command("build", "--classes", "two.csv"), "say which (--class-column name)")
    assert command("build", "--classes", "two.csv", "--class-column", "name").code == 0


@pytest.mark.slow
def test_a_million_lines_on_standard_input(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(f"name{number}x\n" for number in range(1_000_000)).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    listed = read_classes("-")
    assert (len(listed), listed.names[-1], listed.source) == (1_000_000, "name999999x", "stdin")
    monkeypatch.setattr("simmatrix.classes._LARGEST_STREAM", 1 << 20)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert_mendable(
        command("build", "--classes", "-", "--from-order"), "holds more than 1 MiB, which no class list does"
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert_mendable(command("build", "--classes", "-", "--from-order"), "standard input: holds no classes")
