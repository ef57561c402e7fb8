"""2,000 damaged files of each format: refused in one message, or read as the oracle reads them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import harness
from tests.fuzz.formats import FORMATS, Format

ROOT = Path(__file__).resolve().parents[2]
COUNT = 2000


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_read_right(name: str) -> None:
    """In a process of its own, whose memory is measured."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.harness", name, "--count", str(COUNT)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    result = json.loads(process.stdout)
    assert result["wrong"] == []
    assert result["refused"] + result["accepted"] == COUNT
    # A harness that never gets past the reader, or never hurts it, shows nothing.
    assert min(result["refused"], result["accepted"]) > COUNT // 50


def test_the_harness_sees_what_is_wrong(tmp_path: Path) -> None:
    """Each kind of fault, made on purpose, is told."""
    seen: dict[str, object] = {"rose": 1}

    def misread(_path: Path) -> object:
        return {"rose": 2}

    def crash(_path: Path) -> object:
        return [][1]

    def read(_path: Path) -> object:
        return seen

    def refuse(_raw: bytes) -> list[object]:
        raise harness.Refused("no")

    def right(_raw: bytes) -> list[object]:
        return [seen]

    for reader, oracle, verdict in (
        (read, right, "accepted"),
        (misread, right, "read as"),
        (crash, right, "exception: "),
        (read, refuse, "accepted, but the oracle refuses it"),
    ):
        assert harness.judged(Format([], reader, oracle), tmp_path / "x", b"x").startswith(verdict), verdict


GREEDY = """
import sys
from pathlib import Path
from tests.fuzz import harness
from tests.fuzz.formats import Format
case = Format([], lambda path: bytearray(600 << 20).count(1), lambda raw: [0])
print(harness.judged(case, Path(sys.argv[1]), b"x"))
"""


def test_the_harness_sees_memory(tmp_path: Path) -> None:
    """In a new process, since freed memory of this one could be used again."""
    command = [sys.executable, "-c", GREEDY, str(tmp_path / "x")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.startswith("memory: "), said
