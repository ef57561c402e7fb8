"""`simmatrix classes`: the bundled lists, and one of them as a class list again."""

from pathlib import Path

import pytest

from simmatrix import data, read_classes
from tests.cli.command import Command


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
