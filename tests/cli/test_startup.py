"""How the command starts: what it imports, its help, its version, its completion."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from simmatrix.cli.app import COMMANDS
from tests.cli.command import COMMAND, Command

HEAVY = {"torch", "gensim", "nltk", "matplotlib"}
PROBE = """
import sys
{before}
sys.argv = ["simmatrix", *{arguments!r}]
try:
    from simmatrix.cli import main
    main()
finally:
    print("\\nimported:", *(name for name in sys.modules if "." not in name))
"""


def imported(arguments: list[str], folder: Path, before: str = "") -> set[str]:
    """Return the top-level modules that a run of the command imports."""
    program = PROBE.format(arguments=arguments, before=before)
    run = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return set(run.stdout.rpartition("imported:")[2].split())


def test_help_imports_next_to_nothing(tmp_path: Path) -> None:
    assert imported(["--help"], tmp_path) & (HEAVY | {"numpy", "scipy", "rich", "safetensors"}) == set()


def test_a_command_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    program = PROBE.replace('if "." not in name', 'if name.startswith("simmatrix.cli.")')
    for name, expected in {"": set(), "senses": {"classes"}}.items():
        code = program.format(arguments=[*name.split(), "--help"], before="")
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        found = {one.rpartition(".")[2] for one in run.stdout.rpartition("imported:")[2].split()}
        assert found & {*COMMANDS} == expected


@pytest.mark.parametrize("arguments", [["build", "--classes", "cifar100"], ["classes"]])
def test_usual_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert imported(arguments, tmp_path) & (HEAVY | {"scipy"}) == set()


def test_the_probe_sees_what_is_imported(tmp_path: Path) -> None:
    assert "matplotlib" in imported(["--help"], tmp_path, before="import matplotlib")
    imported(["build", "--classes", "cifar10"], tmp_path)
    assert "matplotlib" in imported(["plot", "cifar10.safetensors"], tmp_path)


def test_every_command_explains_itself(command: Command) -> None:
    lines = command.good("--help").splitlines()
    lines = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in lines] == [*COMMANDS]
    assert max(map(len, lines)) < 80
    for name in COMMANDS:
        text = command.good(name, "--help")
        assert text.startswith(f"Usage: simmatrix {name} ")
        assert command.good(name, "-h") == text
        assert text.count("\n") > 8
        assert "[[" not in text  # Typer puts an argument that may be left out in brackets itself


def test_a_command_that_there_is_not(command: Command) -> None:
    code, _, err = command("biuld")
    assert code == 2
    assert "No such command 'biuld'." in err  # newer releases of Typer add what it may mean


def test_version(command: Command) -> None:
    assert command.good("--version") == f"simmatrix {version('simloss')}\n"


def test_shell_completion() -> None:
    words = {"_SIMMATRIX_COMPLETE": "complete_bash", "COMP_WORDS": "simmatrix v", "COMP_CWORD": "1"}
    done = subprocess.run([COMMAND], env={**os.environ, **words}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["validate"]
