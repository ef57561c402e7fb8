"""A crash leaves the old file or the new one: a process is killed at every single line that writes a file."""

import subprocess
import sys
from pathlib import Path

# Forks one child a line; the child kills itself when it is about to run that line of simmatrix/files.py.
PROGRAM = """
import itertools, os, signal, sys
import numpy as np
import simmatrix
from simmatrix import files

path = sys.argv[1]
old = simmatrix.SimilarityMatrix(np.eye(300), [f"old{i}" for i in range(300)])
new = simmatrix.SimilarityMatrix(np.eye(200), [f"new{i}" for i in range(200)])
old.save(path)
found = []
for fatal in itertools.count(1):
    pid = os.fork()
    if pid == 0:
        lines = itertools.count(1)

        def line(frame, event, argument):
            if event == "line" and next(lines) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return line

        sys.settrace(lambda frame, event, argument: line if frame.f_code.co_filename == files.__file__ else None)
        new.save(path)
        sys.settrace(None)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    found.append(simmatrix.load(path).classes[0])
    old.save(path)
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
assert os.listdir(os.path.dirname(path)) == ["matrix.safetensors"]
print(*found)
"""


def test_killed_at_any_line_the_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "matrix.safetensors"], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    found = result.stdout.split()
    # Old until the new file takes its place, new from there on; many lines before that, and some after it.
    changes = found.count("old0")
    assert found == ["old0"] * changes + ["new0"] * (len(found) - changes)
    assert changes > 10
    assert len(found) - changes > 1
