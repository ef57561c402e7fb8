"""Fill in everything in README.md and docs/ that a program makes: tables, the picture, the page of commands.

    python docs/generate.py [--measure]

Tables are copied from benchmarks/results and examples/results; --measure runs the benchmarks and the examples first,
which takes more than an hour, and needs NLTK's WordNet. Trainings that are in the files of results are not run again,
and those on data that have to be given are not run at all; docs/choosing.md has their commands. The test of the
documentation fails where a page is not what this makes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/builders.md", "docs/loss.md", "docs/choosing.md")
SCRIPTS = (
    "benchmarks/command.py",
    "benchmarks/read_vectors.py",
    "benchmarks/taxonomy.py",
    "benchmarks/human_ratings.py",
    "benchmarks/class_lists.py",
    "benchmarks/senses.py",
    "benchmarks/growth.py",
    "benchmarks/loss.py",
    "benchmarks/million_classes.py",
    "examples/icd10.py",
    "examples/glosses.py",
    "examples/diamonds.py",
    "examples/evidence.py",
)
EXAMPLE = "examples/quickstart.py"
COMMANDS = ("build", "show", "validate", "plot", "compare", "blend", "classes", "senses", "suggest", "export")

_MARKED = re.compile(r"(<!-- begin (?P<path>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """Return a page with the file that each pair of marks names between them."""

    def content(match: re.Match[str]) -> str:
        text = (ROOT / match["path"]).read_text(encoding="utf-8")
        return f"{match[1]}{text}{match[3]}"

    return _MARKED.sub(content, page)


def commands_page() -> str:
    """Return the page of commands, from what each says of itself."""
    from typer.testing import CliRunner

    from simmatrix.cli.app import app

    parts = ["# Commands\n\nMade by `python docs/generate.py` from the commands' own help.\n"]
    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        text = CliRunner().invoke(app, arguments, prog_name="simmatrix", terminal_width=100).output.strip()
        parts.append(f"## simmatrix {name}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def picture() -> None:
    """Draw CIFAR-100's matrix, as the README says."""
    with tempfile.TemporaryDirectory() as folder:
        matrix = str(Path(folder) / "cifar100.safetensors")
        _simmatrix("build", "--classes", "cifar100", "-o", matrix)
        _simmatrix("plot", matrix, "--order", "superclass", "-o", str(ROOT / "docs" / "cifar100.png"))


def measure() -> None:
    """Run the benchmarks and the examples."""
    for script in SCRIPTS:
        subprocess.run([sys.executable, str(ROOT / script)], check=True)
    with tempfile.TemporaryDirectory() as folder:
        matrix = str(Path(folder) / "cifar100.safetensors")
        _simmatrix("build", "--classes", "cifar100", "-o", matrix)
        command = [sys.executable, str(ROOT / EXAMPLE), matrix]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    results = ROOT / "examples" / "results"
    results.mkdir(exist_ok=True)
    said = f"Made by `python {EXAMPLE} cifar100.safetensors`.\n\n```text\n{output}```\n"
    (results / "quickstart.md").write_text(said, encoding="utf-8")


def _simmatrix(*arguments: str) -> None:
    program = "from simmatrix.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="run the benchmarks and the examples first")
    if parser.parse_args().measure:
        measure()
    picture()
    (ROOT / "docs" / "commands.md").write_text(commands_page(), encoding="utf-8")
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
