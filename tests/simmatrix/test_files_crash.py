"""A crash leaves the old matrix or the new one: a process is killed at every line that writes its files."""

import subprocess
import sys
from pathlib import Path

import pytest

# Forks two children for each line of simmatrix/files.py and shards.py that is run: one kills itself when it is about to
# run it for the first time, the other for the last time.
PROGRAM = """
import itertools, os, signal, sys
import numpy as np
import simmatrix
from scipy.sparse import csr_array
from simmatrix import files, shards

path = sys.argv[1]
os.fsync = lambda _file: None  # processes are killed here, not the machine, and a disk takes its time
form = csr_array if path.endswith("json") else np.array
old = simmatrix.SimilarityMatrix(form(np.eye(300)), [f"old{i}" for i in range(300)])
new = simmatrix.SimilarityMatrix(form(np.eye(200)), [f"new{i}" for i in range(200)])
old.save(path)
before = sorted(os.listdir(os.path.dirname(path)))
written = {files.__file__, shards.__file__}
found, places = [], []

def save_traced(at_line):
    def line(frame, event, argument):
        if event == "line":
            at_line(frame)
        return line

    sys.settrace(lambda frame, event, argument: line if frame.f_code.co_filename in written else None)
    new.save(path)
    sys.settrace(None)

save_traced(lambda frame: places.append((frame.f_code.co_filename, frame.f_lineno)))
assert simmatrix.load(path).classes[0] == "new0"
old.save(path)
last = {place: at for at, place in enumerate(places)}
first = {place: at for at, place in reversed([*enumerate(places)])}
for fatal in sorted({*first.values(), *last.values()}):
    pid = os.fork()
    if pid == 0:
        lines = itertools.count()
        save_traced(lambda frame: next(lines) == fatal and os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == -signal.SIGKILL, code
    found.append(simmatrix.load(path).classes[0])
    old.save(path)
assert sorted(os.listdir(os.path.dirname(path))) == before
print(*found)
"""


@pytest.mark.parametrize(
    "name", ["matrix.safetensors", pytest.param("matrix.safetensors.index.json", marks=pytest.mark.slow)]
)
def test_killed_at_any_line_the_matrix_is_the_old_or_the_new_one(name: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / name], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    found = result.stdout.split()
    # Old until the new file takes its place, new from there on; many lines before that, and some after it.
    changes = found.count("old0")
    assert found == ["old0"] * changes + ["new0"] * (len(found) - changes)
    assert changes > 10
    assert len(found) - changes > 1
