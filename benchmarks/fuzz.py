"""How damaged files of every format are read: refused, read as an oracle reads them, or wrongly.

Claim: no file of any format that is read ends in anything but a SimilarityError or the right values, takes more than 10
seconds, or more than 200 MB beyond its own size. tests/fuzz holds the damage, the oracles and the judge.

    python benchmarks/fuzz.py [--count 20000] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from measure import table, write_result

ROOT = Path(__file__).resolve().parents[1]
_FORMATS = "from tests.fuzz.formats import FORMATS; print('\\n'.join(FORMATS))"


def python(*arguments: str) -> str:
    """Return what a Python process prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    """Damage files of each format and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    given = ("--count", str(options.count), "--seed", str(options.seed))
    names = python("-c", _FORMATS).split("\n")[:-1]
    results = [json.loads(python("-m", "tests.fuzz.harness", name, *given)) for name in names]
    rows = [
        [one["format"], f"{one['tried']:,}", f"{one['refused']:,}", f"{one['accepted']:,}", f"{len(one['wrong']):,}"]
        for one in results
    ]
    rows.append(["all", *(f"{sum(int(row[at].replace(',', '')) for row in rows):,}" for at in range(1, 5))])
    command = f"python benchmarks/fuzz.py {' '.join(given)}"
    write_result("fuzz", command, table(["format", "tried", "refused", "accepted", "wrong"], rows))


if __name__ == "__main__":
    main()
