"""How often one build moves between the project's files, and how many of its modules a builder loads.

    python benchmarks/hops.py

A move is a call of a function in another file than the one called before. Counted with `sys.setprofile`, in the second
of two builds of four classes from word vectors, so that imports do not count.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

WORDS = ("rose", "tulip", "oak", "lorry")
LOADED = """
import sys, simmatrix
simmatrix.from_order(["small", "medium", "large"], decay=0.5)
print(sum(name.split(".")[0] == "simmatrix" for name in sys.modules))
"""


def main() -> None:
    """Print both counts, and the files that are entered most often."""
    calls = calls_of_a_build()
    moves = [after for before, after in pairwise(calls) if before != after]
    print(f"4 classes from word vectors: {len(moves)} moves between {len(set(calls))} files")
    for name, count in Counter(moves).most_common(8):
        print(f"  {name}: entered {count} times")
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout
    print(f"simmatrix.from_order: {loaded.strip()} modules of simmatrix")


def calls_of_a_build() -> list[str]:
    """Return the file of each function of the project that a build calls, in order."""
    import simmatrix.cli
    import simmatrix.data

    packages = (simmatrix, simmatrix.cli, simmatrix.data)
    folders = {str(Path(str(package.__file__)).parent): package.__name__ for package in packages}
    calls: list[str] = []

    def called(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            path = frame.f_code.co_filename
            calls.extend(
                f"{name}{path.removeprefix(folder)}"
                for folder, name in folders.items()
                if path.startswith(f"{folder}/")
            )

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)
            vectors = np.random.default_rng(0).normal(size=(len(WORDS), 5))
            lines = (" ".join([word, *map(str, row)]) for word, row in zip(WORDS, vectors.round(4), strict=True))
            Path("vectors.txt").write_text("\n".join(lines) + "\n")
            Path("classes.txt").write_text("\n".join(WORDS) + "\n")
            build(None)
            Path("matrix").unlink()
            build(called)
        finally:
            os.chdir(here)
    return calls


def build(profile: Any) -> None:
    """Run the command, under a profile where one is given."""
    from simmatrix.cli import main as command

    sys.argv = ["simmatrix", "build", "--from-embeddings", "vectors.txt", "--classes", "classes.txt", "-o", "matrix"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        sys.setprofile(profile)
        try:
            command()
        except SystemExit as done:
            if done.code:
                raise
        finally:
            sys.setprofile(None)


if __name__ == "__main__":
    main()
