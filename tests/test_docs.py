"""The documentation is data: every command is documented, every figure generated, every example runs."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
import socket
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import simmatrix
from simmatrix import data
from simmatrix.cli.sources import SOURCES
from tests.cli.command import Command
from tests.simmatrix.builders.minilm import MODEL

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *("README.md", "docs/guide.md", "docs/choosing.md", "docs/builders.md", "docs/loss.md", "docs/file-format.md"),
    *("docs/evidence.md", "docs/benchmarks.md", "docs/decisions.md", "docs/reliability.md"),
    *("docs/explore.md", "docs/collect.md"),
)
_BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _blocks(name: str, kind: str) -> list[str]:
    return [match["text"] for match in _BLOCK.finditer(_read(name)) if match["kind"] == kind]


@pytest.mark.parametrize("kind", ["sh main", "sh test"])
def test_the_readme_holds_one_block_of_each_kind(kind: str) -> None:
    assert len(_blocks("README.md", kind)) == 1


def test_the_readme_is_short() -> None:
    assert len(_read("README.md").splitlines()) <= 150


def test_the_page_of_commands_is_current() -> None:
    assert _generate().commands_page() == _read("docs/commands.md")


def test_the_page_of_the_python_interface_is_current() -> None:
    assert _generate().api_page() == _read("docs/api.md")


def test_the_site_has_all_pages() -> None:
    listed = re.findall(r"^(?:.*<)?([\w./-]+)>?$", "".join(_blocks("docs/index.md", "{toctree}")), re.MULTILINE)
    pages = {file.stem for file in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages <= set(listed)


def test_the_page_of_recipes_is_made_of_all_of_them() -> None:
    generate = _generate()
    files = {file.stem for file in (ROOT / "examples" / "recipes").glob("*.py")}
    assert set(generate.RECIPES) == files
    assert generate.recipes_page() == _read("docs/recipes.md")


@pytest.mark.parametrize("name", PAGES)
def test_the_figures_are_those_of_the_results(name: str) -> None:
    assert (name in _generate().PAGES) == ("<!-- begin " in _read(name))
    assert _generate().filled(_read(name)) == _read(name)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)\s]+))?\)", _read(name))
    assert links or name == "docs/file-format.md"
    for target, anchor in links:
        page = (ROOT / name).parent / target if target else ROOT / name
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, anchor


def test_every_bundled_list_and_format_is_named() -> None:
    from simmatrix.choices import VECTOR_FORMATS as FORMATS

    assert all(name in _read("README.md") for name in data.class_list_names())
    assert all(f"`{name}`" in _read("docs/guide.md") for name in FORMATS)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Make a folder with the files that the examples name, and what a training loop has at hand."""
    monkeypatch.chdir(tmp_path)
    for name in ("cifar100", "my_classes"):
        simmatrix.from_embeddings(classes="cifar100").with_influence(0.1).save(f"{name}.safetensors")
    _write_glove(tmp_path / "glove.6B.300d.txt")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # What torchrun sets, for a group of one process.
    for name, value in {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "RANK": 0, "WORLD_SIZE": 1}.items():
        monkeypatch.setenv(name, str(value))
    names = simmatrix.read_classes("cifar100").names
    batch = (torch.randn(4, 8), torch.tensor([0, 1, 2, 99]))
    return {
        "train_set": SimpleNamespace(classes=list(names)),
        "model": torch.nn.Linear(8, 100),
        "loader": [batch],
        "simloss": __import__("simloss"),
    }


def _write_glove(path: Path) -> None:
    from safetensors.numpy import load_file

    bundled = load_file(data.vector_file_path("glove-6b-50d"))
    words = bundled["vocabulary"].tobytes().decode().split("\n")
    with path.open("w", encoding="utf-8") as file:
        for word, vector in zip(words, bundled["vectors"].astype(np.float32), strict=True):
            file.write(f"{word} {' '.join(f'{value:.4g}' for value in vector)}\n")


def _named_files(name: str) -> dict[str, str]:
    """Return the files that a page shows: blocks whose first line names one after its kind."""
    found = (match for match in _BLOCK.finditer(_read(name)) if "." in match["kind"])
    return {match["kind"].split()[1]: match["text"] for match in found}


def _commands(name: str) -> list[str]:
    return [line for block in _blocks(name, "sh") for line in block.splitlines() if line.startswith("simmatrix")]


@pytest.mark.parametrize("page", ["README.md", "docs/builders.md"])
def test_the_examples_on_the_command_line_run(page: str, command: Command) -> None:
    for file, text in _named_files("docs/builders.md").items():
        (command.folder / file).write_text(text)
    # A model's folder goes before the hub's model of the same name.
    (command.folder / "sentence-transformers").mkdir()
    (command.folder / "sentence-transformers" / "all-MiniLM-L6-v2").symlink_to(MODEL)
    _write_glove(command.folder / "glove.6B.300d.txt")
    (command.folder / "my_classes.txt").write_text("rose\ntulip\noak\n")
    simlex = (files("gensim") / "test" / "test_data" / "simlex999.txt").read_text(encoding="utf-8")
    rated = [line.split("\t") for line in simlex.splitlines() if not line.startswith("#")]
    (command.folder / "simlex999.txt").write_text(simlex, encoding="utf-8")
    (command.folder / "words.txt").write_text("\n".join(dict.fromkeys(word for pair in rated for word in pair[:2])))
    for line in _commands(page):
        result = command(*shlex.split(line)[1:])
        assert (result.code, "error" in result.err) == (0, False), (line, result.err)


def test_every_source_has_a_worked_example() -> None:
    commands = " ".join(_commands("docs/builders.md"))
    for source in SOURCES:
        assert source.option in commands
        assert f"[`{source.option}`](#" in _read("docs/builders.md")
        assert f"`{source.option}`" in _read("README.md")
    assert all(f"simmatrix {name}" in commands for name in ("senses", "blend", "compare"))


@pytest.mark.parametrize("name", [page for page in PAGES if _blocks(page, "python")])
def test_the_examples_in_python_run(name: str, workplace: dict[str, Any]) -> None:
    blocks = _blocks(name, "python")
    assert blocks
    for block in blocks:
        Path("block.py").write_text(block, encoding="utf-8")
        workplace |= runpy.run_path("block.py", init_globals=workplace)
