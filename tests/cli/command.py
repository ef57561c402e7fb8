"""Runs the command: in this process, through `simmatrix.cli.main`, so that exit codes and messages are a user's."""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from simmatrix.cli import main

COMMAND = Path(sys.executable).with_name("simmatrix")


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """The `simmatrix` command in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        monkeypatch.chdir(folder)
        self._monkeypatch, self._capsys, self.folder = monkeypatch, capsys, folder

    def __call__(self, *arguments: object) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["simmatrix", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        return Result(code if isinstance(code, int) else int(code is not None), *self._capsys.readouterr())

    def good(self, *arguments: object) -> str:
        """Run what must succeed without a warning, and return what it printed."""
        result = self(*arguments)
        assert (result.code, result.err) == (0, "")
        return result.out


def assert_mendable(result: Result, *parts: str) -> None:
    """Check for exit code 1 and one message that holds all the parts."""
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert result.err.count("error: ") == 1
    assert "Traceback" not in result.err
    assert result.out == ""
    for part in parts:
        assert part in result.err


def write_glove(path: Path, words: str = "rose tulip oak lorry", seed: int = 0) -> Path:
    """Write random vectors of 5 values as GloVe text."""
    random = np.random.default_rng(seed)
    lines = (f"{word} {' '.join(f'{value:.4f}' for value in random.normal(size=5))}\n" for word in words.split())
    path.write_text("".join(lines))
    return path
