"""Fill in everything in README.md and docs/ that a program makes: tables, the picture, the page of commands.

    python docs/generate.py [--measure]

Tables are copied from benchmarks/results and examples/results; --measure runs the benchmarks and the examples first,
which takes more than an hour, and needs NLTK's WordNet. Trainings that are in the files of results are not run again,
and those on data that have to be given are not run at all; docs/evidence.md has their commands. The test of the
documentation fails where a page is not what this makes.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_FILLED = (
    "benchmarks",
    "builders",
    "collect",
    "decisions",
    "evidence",
    "explore",
    "loss",
    "reliability",
    "scale",
)
PAGES = ("README.md", *(f"docs/{name}.md" for name in _FILLED))
SCRIPTS = (
    "benchmarks/command.py",
    "benchmarks/read_vectors.py",
    "benchmarks/taxonomy.py",
    "benchmarks/human_ratings.py",
    "benchmarks/class_lists.py",
    "benchmarks/senses.py",
    "benchmarks/growth.py",
    "benchmarks/scale.py",
    "benchmarks/loss.py",
    "benchmarks/million_classes.py",
    "benchmarks/decisions.py",
    "benchmarks/collect.py",
    "benchmarks/collect_load.py",
    "benchmarks/explore.py",
    "benchmarks/fuzz.py",
    "examples/icd10.py",
    "examples/glosses.py",
    "examples/diamonds.py",
    "examples/evidence.py",
)
QUICK_START = "examples/quickstart.py"
RECIPES = ("plain", "huggingface_trainer", "lightning_module", "timm_mixup", "skorch_net", "keras_loss", "distributed")
RECIPES += ("boosted_trees", "segmentation", "many_classes", "checkpoint", "digits")

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

    from simmatrix.cli.app import COMMANDS, app

    parts = ["# Commands\n\nMade by `python docs/generate.py` from the commands' own help.\n"]
    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        text = CliRunner().invoke(app, arguments, prog_name="simmatrix", terminal_width=100).output.strip()
        parts.append(f"## simmatrix {name}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def recipes_page() -> str:
    """Return the page of recipes, from the files themselves."""
    parts = [
        "# Recipes\n\nEach is a short file to copy from, run by a test. The data of all are scikit-learn's digits, in "
        '`digits.py`. They need the extra `recipes`: `pip install -c constraints.txt -e ".[recipes]"`. Made by '
        "`python docs/generate.py` from the files in `examples/recipes/`.\n"
    ]
    for name in RECIPES:
        text = (ROOT / "examples" / "recipes" / f"{name}.py").read_text(encoding="utf-8")
        summary, _, code = text.removeprefix('"""').partition("\n")
        rest, _, code = (summary + "\n" + code).partition('"""')
        title, _, said = rest.partition(":")
        paragraph = said.strip()
        parts.append(f"## {title}\n\n{paragraph[0].upper()}{paragraph[1:]}\n\n`examples/recipes/{name}.py`\n")
        parts.append(f"```py\n{code.strip()}\n```\n")
    return "\n".join(parts)


def api_page() -> str:
    """Return the page of the Python interface: each public name, with its docstring."""
    parts = ["# Python interface\n\nMade by `python docs/generate.py` from the public names.\n"]
    for package in ("simmatrix", "simloss", "simloss.metrics", "simloss.decisions", "simloss.boosting"):
        module = importlib.import_module(package)
        made_here = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == package]
        names = [name for name in getattr(module, "__all__", made_here) if not name.startswith("_")]
        if package == "simloss.decisions":  # what is in simloss too stands there
            names = [name for name in names if name not in importlib.import_module("simloss").__all__]
        kinds = {name: "autoclass" if isinstance(getattr(module, name), type) else "autofunction" for name in names}
        if not names:
            continue
        lines = [f".. {kinds[name]}:: {package}.{name}" for name in sorted(names, key=str.lower)]
        listed = "\n".join(lines)
        parts.append(f"## {package}\n\n```{{eval-rst}}\n{listed}\n```\n")
    return "\n".join(parts)


def picture() -> None:
    """Draw CIFAR-100's matrix, as the README says."""
    with tempfile.TemporaryDirectory() as folder:
        matrix = str(Path(folder) / "cifar100.safetensors")
        _simmatrix("build", "--classes", "cifar100", "-o", matrix)
        picture = str(ROOT / "docs" / "cifar100.png")
        _simmatrix("plot", matrix, "--order", "superclass", "--force", "-o", picture)


def quick_start() -> None:
    """Run the quick start, as the README says, and keep what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        classes, matrix = (str(Path(folder) / f"diagnoses.{suffix}") for suffix in ("tsv", "safetensors"))
        command = [sys.executable, str(ROOT / QUICK_START)]
        subprocess.run([*command, "--write-classes", classes], check=True)
        _simmatrix("build", "--classes", classes, "-o", matrix)
        output = subprocess.run([*command, matrix], check=True, stdout=subprocess.PIPE, text=True).stdout
    (ROOT / "examples" / "results" / "quickstart.md").write_text(f"```text\n{output}```\n", encoding="utf-8")


def measure() -> None:
    """Run the benchmarks and the examples."""
    for script in SCRIPTS:
        subprocess.run([sys.executable, str(ROOT / script)], check=True)
    quick_start()


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
    (ROOT / "docs" / "api.md").write_text(api_page(), encoding="utf-8")
    (ROOT / "docs" / "recipes.md").write_text(recipes_page(), encoding="utf-8")
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
