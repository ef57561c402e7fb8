"""What people see: aligned columns in a pipe, tables on a terminal, nothing that a terminal would obey."""

import os
import subprocess
from pathlib import Path

import pytest
from rich.progress import Progress

from simmatrix.cli import output
from simmatrix.cli.output import (
    fail,
    percent,
    print_line,
    print_pairs,
    print_table,
    progress_bar,
    visible,
    warn,
    with_options,
)
from tests.cli.command import COMMAND


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rose", "rose"),
        ("großer Baum 🚚", "großer Baum 🚚"),
        ("one\ntwo", "one\ntwo"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m\x07\r\t\x7f", r"\x9b31m\x07\r\t\x7f"),
        ("\udc80", r"\udc80"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_pipe_gets_plain_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "n"], [["rose", "7"], ["[red]oak", "12"]], right=["n"])
    print_pairs([("a", "x"), ("bcd", "y")])
    assert capsys.readouterr().out == "name       n\nrose       7\n[red]oak  12\na    x\nbcd  y\n"


def test_a_terminal_gets_the_same_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(["name", "n"], [["[red]oak", "12"]])
    print_pairs([("[b]", "[/]")])
    out = capsys.readouterr().out
    for word in ("name", "[red]oak", "12", "[b]", "[/]"):
        assert word in out


def test_percent() -> None:
    assert percent(0.1234) == "12.3%"


@pytest.mark.parametrize(("is_terminal", "waited", "bars"), [(True, 2.0, 1), (True, 0.5, 0), (False, 2.0, 0)])
def test_a_bar_shows_on_a_terminal_after_a_second(
    is_terminal: bool, waited: float, bars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Progress] = []
    clock = iter([0.0, *[waited] * 1000])
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(Progress, "start", lambda bar: started.append(bar))
    with progress_bar("reading") as progress:
        progress(1, 10)
        progress(2, 10)
    assert len(started) == bars


def test_a_name_that_the_output_can_not_spell_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("rose\nflétan\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [COMMAND, "classes", "c.txt"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr == r"error: the output's encoding ascii has no '\xe9'; set PYTHONIOENCODING=utf-8" + "\n"


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(
    variable: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("typer.secho", lambda _text, fg, **_: asked.append(fg))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    warn(["rose"])
    monkeypatch.setenv(*next(iter(variable.items())))
    warn(["rose"])
    fail("rose")
    print_line("rose", "cyan")
    assert asked == ["yellow", None, None, None]


def test_a_cell_is_one_line_and_keeps_its_direction(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("builder", "good\nclasses 100"), ("name", "\u202egnp.exe")])
    assert capsys.readouterr().out == "builder  good\\nclasses 100\nname     \\u202egnp.exe\n"


def test_a_message_names_options_in_place_of_arguments() -> None:
    for message, shown in (
        ('leave them out (oov="drop")', "leave them out (--oov drop)"),
        ('state it (scale="LOW:HIGH"), or complete="low-rank"', "state it (--scale LOW:HIGH), or --complete low-rank"),
        ('give it (format="npy") or format="edges"', "give it (--vector-format npy) or --taxonomy-format edges"),
        ("information_content must be a file", "--information_content must be a file".replace("n_c", "n-c")),
        ("x.csv: the class 'a=\"b' must be there", "x.csv: the class 'a=\"b' must be there"),
    ):
        assert with_options(message) == shown
