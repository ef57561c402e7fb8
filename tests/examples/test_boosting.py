"""The experiment with boosted trees: a short run of each library writes what the plan's tables need."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_a_short_run_of_each_library_learns_something(tmp_path):
    for library in ("lightgbm", "xgboost"):
        command = [sys.executable, "boosting.py", library, "--quick", "--workers", "1", "--out", str(tmp_path)]
        subprocess.run(command, cwd=EXAMPLES, check=True, capture_output=True)
        with (tmp_path / f"diamonds-{library}-quick.csv").open(encoding="utf-8") as stream:
            found = [row for row in csv.DictReader(stream) if row["data"] == "test"]
        # Of each setting the most probable class, and of cross entropy that of minimum risk.
        assert len(found) == 8, library
        assert all(float(row["accuracy"]) > 0.1 for row in found if row["decision"] == "most probable"), library
        assert len({row["accuracy"] for row in found}) > 4, library


@pytest.mark.slow
def test_a_library_that_is_not_there_is_told(tmp_path):
    code = (
        "import sys; sys.modules['lightgbm'] = None; sys.path.insert(0, ''); import boosting; "
        "sys.argv = ['boosting.py', 'lightgbm', '--quick', '--workers', '1', '--out', *sys.argv[1:]]; boosting.main()"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert found.stderr.strip() == "error: lightgbm is missing: pip install lightgbm xgboost-cpu"
