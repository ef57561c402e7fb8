"""What people see: aligned columns in a pipe, tables on a terminal, nothing that a terminal would obey."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.progress import Progress

import simmatrix
from simmatrix.cli import output
from simmatrix.cli.output import (
    built_by,
    fail,
    percent,
    print_line,
    print_pairs,
    print_table,
    progress_bar,
    warn,
    with_options,
)
from tests.cli.command import COMMAND


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
    assert [percent(share) for share in (0.0, 0.001, 0.000412, 1.0)] == ["0.0%", "0.1%", "0.041%", "100.0%"]


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


COMMANDS = (
    ["--help"],
    ["--version"],
    ["build", "--classes", "cifar10", "-o", "new.safetensors"],
    ["blend", "m.safetensors:0.5", "m.safetensors:0.5", "-o", "new.safetensors"],
    ["show", "m.safetensors"],
    ["show", "m.safetensors", "--json"],
    ["validate", "m.safetensors"],
    ["compare", "m.safetensors", "m.safetensors"],
    ["plot", "m.safetensors", "-o", "new.png"],
    ["classes"],
    ["classes", "cifar10"],
    ["senses", "seal"],
)


@pytest.mark.slow
def test_output_that_is_full_or_closed_is_one_message(tmp_path: Path) -> None:
    simmatrix.from_order(["bad", "fair", "good"], decay=0.5).save(tmp_path / "m.safetensors")
    full, closed = "can't be written (No space left on device); free some room", "is closed; send it to a file"
    cases = [(one, "> /dev/full", full) for one in COMMANDS] + [(one, ">&-", closed) for one in COMMANDS[::3]]
    for arguments, where, message in cases:
        command = shlex.join([str(COMMAND), *arguments])
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} {where}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, ""), command
        *warnings, error = done.stderr.splitlines()
        assert error.startswith("error: standard output"), command
        assert message in error, command
        assert all(line.startswith("warning: ") for line in warnings), command
        # What can't be reported is written all the same, but not if it is known before.
        assert where != ">&-" or not list(tmp_path.glob("new*")), command
        for file in tmp_path.glob("new*"):
            file.unlink()


def test_errors_that_nobody_can_read_leave_the_exit_code(tmp_path: Path) -> None:
    simmatrix.from_order(["bad", "good"], decay=0.0).save(tmp_path / "m.safetensors")
    for where in ("2> /dev/full", "2>&-"):
        # The second one warns: its matrix is the identity.
        for file, code in (("missing", 1), ("m.safetensors", 0)):
            command = f"{COMMAND} validate {file} > out {where}"
            done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=False)
            assert done.returncode == code, command
    assert (tmp_path / "out").read_text() == "m.safetensors: sound, 2 classes\n"


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "simmatrix", "show"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr[:22]) == (2, b"Usage: simmatrix show ")


def test_a_table_loses_nothing_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    names, cells = ["classification", "superclassification", "how"], ["a" * 30, "b" * 60, "c"]
    for columns in ("0", "1", "20", "39", "40", "61", "100", "1" * 30, "none", "²", "-1"):
        monkeypatch.setenv("COLUMNS", columns)
        print_table(names, [cells])
        print_pairs([("normalisation of rows", "d" * 90)])
        shown = capsys.readouterr().out
        for name in (*names, *cells, "normalisation of rows", "d" * 90):
            assert all(shown.count(sign) >= name.count(sign) for sign in name), (columns, name, shown)


def test_names_forge_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    warn(["rose\nwarning: tulip"])
    fail("rose\nerror: tulip\n  oak")
    print_line("rose\ntulip")
    shown = capsys.readouterr()
    assert shown.err == "warning: rose\n  warning: tulip\nerror: rose\n  error: tulip\n  oak\n"
    assert shown.out == "rose\\ntulip\n"


def test_messages_have_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    fail("start " + "x" * 10**6 + " end")
    shown = capsys.readouterr().err
    assert len(shown) < 5100
    assert shown.startswith("error: start xxx")
    assert "995,010 characters left out" in shown
    assert shown.endswith("xxx end\n")


def test_what_a_bar_says_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *[2.0] * 1000])
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    with progress_bar("reading a[/b] :car:\n\x1b[31m.safetensors") as progress:
        progress(1, 10)
    assert "reading a[/b] :car:\\n\\x1b[31m.safetensors" in terminal.getvalue()


def test_values_of_any_size_and_depth_are_shown_in_short() -> None:
    deep: object = 1
    for _ in range(700):
        deep = [deep, {"a": deep}]
    assert built_by("x", {"deep": deep}) == "x (deep … and … and a … and a … and …)"
    assert built_by("x", {"long": list(range(1000))}).endswith("18, 19 and 980 more)")
    assert built_by("x", {"pair": {"a": 0.5, "b": [1.0, 2.0]}}) == "x (pair a 0.5, b 1 to 2)"
