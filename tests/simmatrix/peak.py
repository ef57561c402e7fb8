"""Programs that read a matrix in shards, each in a process of its own, and how much memory they took meanwhile."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from simmatrix import SimilarityMatrix

COUNT, ENTRIES, SHARDS = 20_000, 400, 32
BYTES = 8 * COUNT * ENTRIES
"""What the columns and the values take."""

_PROGRAM = """
import re, sys
from pathlib import Path
import simmatrix, scipy.sparse
{imports}

def told(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

path = Path(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")  # the highest is counted from here on
before = told("VmRSS")
kept = {what}
print(told("VmHWM") - before)
"""


def write_large(path: Path) -> None:
    """Write a matrix of 64 MB, in which each class is like those that follow it."""
    columns = np.sort((np.arange(COUNT)[:, None] + np.arange(ENTRIES)) % COUNT, axis=1).astype(np.int32)
    values = np.where(columns == np.arange(COUNT)[:, None], np.float32(1), np.float32(0.5))
    starts = np.arange(COUNT + 1) * ENTRIES
    rows = csr_array((values.ravel(), columns.ravel(), starts), shape=(COUNT, COUNT))
    SimilarityMatrix(rows, [f"class {at}" for at in range(COUNT)]).save(path, shards=SHARDS)


def most_held(path: Path, what: str, imports: str = "") -> int:
    """Return the bytes that a process held at most beside what it held before it did so."""
    program = _PROGRAM.format(imports=imports, what=what)
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    return int(done.stdout)
