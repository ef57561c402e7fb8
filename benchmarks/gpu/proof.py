"""Prove the CUDA kernels on a GPU in under 8 minutes: tests, a sweep against float64, times, and a search of launches.

    python benchmarks/gpu/proof.py results-folder [--seconds 465] [--dry]

It needs no network and no installation: torch, Triton, NumPy, SciPy and pytest are enough, and the checkout is taken as
it is. Each stage has a limit and writes as it goes, so a proof that is cut short loses nothing that was done. What it
found stands in `summary.md`, with a line a stage, and the times in `loss-cuda.md`; the status is 1 if a stage failed.
`--dry` runs the same stages on a CPU, in small: it checks the scripts, not the kernels.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

ABOUT = """
import platform, torch, triton
name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
print(f"{name}, CUDA {torch.version.cuda}, torch {torch.__version__}, Triton {triton.__version__},",
      f"Python {platform.python_version()}")
"""


class Stage(NamedTuple):
    """A command, the most seconds that it may take, and what it is called in the summary."""

    name: str
    command: Sequence[str]
    seconds: float
    environment: dict[str, str] = {}  # noqa: RUF012 - a tuple's default, never changed


def stages(folder: Path, *, dry: bool) -> list[list[Stage]]:
    """Return the stages in their order; those of one list run at the same time."""
    python, also = sys.executable, ["--dry"] if dry else []
    pytest = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "-o", "filterwarnings="]
    contract = [*pytest, "-m", "slow or not slow", "tests/simloss/triton_contract.py"]
    sweep = [python, str(HERE / "sweep.py")]
    times = [python, str(ROOT / "benchmarks" / "loss.py"), "--out", str(folder)]
    count = 1 if dry else 4
    parts = [
        Stage(
            f"sweep {part}",
            [*sweep, str(folder / f"sweep-{part}.jsonl"), "--part", f"{part}/{count}", "--seconds", "100", *also],
            125,
        )
        for part in range(1, count + 1)
    ]
    search = [python, str(HERE / "launches.py"), str(folder / "launches.jsonl"), "--seconds", "70", *also]
    return [
        [
            Stage(
                "contract of the kernels",
                [*contract, "-k", "not_a_number"] if dry else contract,
                150,
                {"TRITON_INTERPRET": str(int(dry))},
            )
        ],
        [Stage("tests on a GPU", [*pytest, "tests/simloss/test_lower_bound.py", "-k", "gpu or graph"], 60)],
        parts,
        [Stage("times", [*times, "--quick"] if dry else [*times, "--seconds", "1.5"], 150)],
        [Stage("launches", search, 80)],
    ]


def stand_in(folder: Path) -> str:
    """Return a folder in which the distribution is found that is not installed: its version alone is asked for."""
    try:
        importlib.metadata.version("simloss")
    except importlib.metadata.PackageNotFoundError:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        (folder / f"simloss-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: simloss\nVersion: {version}\n"
        (folder / f"simloss-{version}.dist-info" / "METADATA").write_text(metadata, encoding="utf-8")
    return str(folder)


def run_together(group: Sequence[Stage], folder: Path, environment: dict[str, str], end: float) -> list[str]:
    """Run stages at the same time; return a line of the summary for each."""
    running = []
    for stage in group:
        log = (folder / f"{stage.name.replace(' ', '-')}.log").open("w", encoding="utf-8")
        process = subprocess.Popen(
            stage.command, cwd=ROOT, env=environment | stage.environment, stdout=log, stderr=subprocess.STDOUT
        )
        running.append((stage, log, process, time.monotonic() + min(stage.seconds, max(5.0, end - time.monotonic()))))
    lines = []
    for stage, log, process, limit in running:
        try:
            status = str(process.wait(max(0.1, limit - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = "out of time"
        log.close()
        said = Path(log.name).read_text(encoding="utf-8").strip().splitlines()
        failed = [line for line in said if line.startswith("FAILED")][:15]
        lines.append(f"- {stage.name}: status {status}; {said[-1] if said else 'nothing said'}")
        lines += [f"  - {line[:300]}" for line in failed]
    return lines


def main() -> None:
    """Run all stages and write the summary as they end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the results")
    parser.add_argument("--seconds", type=float, default=465, help="for all stages together (%(default)s)")
    parser.add_argument("--dry", action="store_true", help="on a CPU, in small")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder, end = options.folder.resolve(), time.monotonic() + options.seconds
    with (
        tempfile.TemporaryDirectory() as extra,
        (folder / "summary.md").open("w", encoding="utf-8", buffering=1) as out,
    ):
        paths = [str(ROOT), stand_in(Path(extra)), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}
        about = subprocess.run([sys.executable, "-c", ABOUT], capture_output=True, text=True, check=False)
        out.write(f"# Proof of the CUDA kernels\n\n{about.stdout or about.stderr}\n")
        lines: list[str] = []
        for group in stages(folder, dry=options.dry):
            lines += (found := run_together(group, folder, environment, end))
            out.write("\n".join(found) + "\n")
    print((folder / "summary.md").read_text(encoding="utf-8"))
    sys.exit(0 if all("status 0;" in line for line in lines if line.startswith("- ")) else 1)


if __name__ == "__main__":
    main()
