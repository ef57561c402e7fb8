"""Imports go one way: from what is general to what uses it, as the picture of the house draws it."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The folder each package lies in.
FOLDERS = {"simmatrix.cli": "cli", "simmatrix.data": "data", "simmatrix": "simmatrix", "simloss": "simloss"}
STANDARD = tuple(sys.stdlib_module_names)
ALL = ("simmatrix*", "simloss*")
LIBRARY = ("simmatrix", "simmatrix.[!cd]*", "simmatrix.c[!l]*", "simmatrix.cl[!i]*", "simmatrix.d[!a]*")
DATA = ("simmatrix.data", "simmatrix.data.[!s]*")

# Importer, what it must not import, and why.
FORBIDDEN: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (LIBRARY, ("torch", "typer", "rich", "simloss", "simmatrix.cli", "matplotlib"), "the library knows no trainer"),
    (("simloss*",), ("simmatrix.cli", "typer", "rich"), "the loss knows no command"),
    (("simmatrix.cli*",), ("torch", "simloss"), "the command builds matrices and trains nothing"),
    (
        ("simmatrix.builders*",),
        ("simmatrix.normalise", "simmatrix.matrix", "simmatrix.storage", "simmatrix.build"),
        "a builder returns raw similarities",
    ),
    (
        ("simmatrix.vectors*",),
        ("simmatrix.builders", "simmatrix.matrix", "simmatrix.storage"),
        "vectors know no classes",
    ),
    (
        ("simmatrix.taxonomy*",),
        ("simmatrix.builders", "simmatrix.matrix", "simmatrix.storage", "simmatrix.classes"),
        "taxonomies know no classes",
    ),
    (
        ("simmatrix.normalise",),
        ("simmatrix.matrix", "simmatrix.storage", "simmatrix.build"),
        "steps are functions of arrays",
    ),
    (
        ("simmatrix.container", "simmatrix.storage", "simmatrix.forms", "simmatrix.provenance"),
        ("simmatrix.matrix", "simmatrix.normalise", "simmatrix.build", "simmatrix.builders"),
        "what a matrix is made of knows no matrix",
    ),
    (("simmatrix.matrix",), ("simmatrix.build", "simmatrix.summary", "simmatrix.ordering"), "what uses it imports it"),
    (ALL, ("cli", "data"), "these are folders of the repository, not top-level modules"),
)
# What only the modules named may import.
RESERVED = {
    "pickle": ("simmatrix.vectors.keyedvectors",),
    "safetensors": ("simmatrix.taxonomy.wordnet", "simmatrix.vectors.*"),
    "matplotlib": ("simmatrix.cli.picture",),
    "typer": ("simmatrix.cli*",),
    "torch": ("simloss*",),
    "torchmetrics": ("simloss.metrics*",),
    "simmatrix.storage": ("simmatrix", "simmatrix.matrix", "simmatrix.cli*", "simloss*"),
    "simmatrix.files.write_atomically": ("simmatrix.storage", "simmatrix.cli.picture"),
}
DATA_MAY = (*STANDARD, "simmatrix.errors")


def modules() -> Iterator[tuple[str, Path]]:
    """Return every module of the distribution, by its installed name."""
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if parts[0] != "scripts":
                yield ".".join((package, *(part for part in parts if part != "__init__"))), path


def imports(tree: ast.AST) -> Iterator[str]:
    """Return what a module imports, anywhere in it, each name with the module it is taken from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where an arrow points"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


def violations(module: str, source: str) -> list[str]:
    """Return what a module imports that it must not."""
    found = []
    for name in imports(ast.parse(source)):
        for importers, forbidden, why in FORBIDDEN:
            if matches(module, importers) and is_in(name, forbidden):
                found.append(f"{module} imports {name}: {why}")
        for reserved, allowed in RESERVED.items():
            if is_in(name, (reserved,)) and not matches(module, allowed):
                found.append(f"{module} imports {name}: reserved for {', '.join(allowed)}")
        if matches(module, DATA) and not is_in(name, DATA_MAY):
            found.append(f"{module} imports {name}: data only finds files")
    return found


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_no_arrow_points_left(module: str, path: Path) -> None:
    assert violations(module, path.read_text()) == []


def test_every_package_is_looked_at() -> None:
    found = {module for module, _ in modules()}
    assert {"simmatrix", "simmatrix.matrix", "simmatrix.builders.embeddings", "simmatrix.vectors.text"} <= found
    assert {"simmatrix.cli", "simmatrix.cli.build", "simmatrix.data", "simloss", "simloss.loss"} <= found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("simmatrix.matrix", "import torch"),
        ("simmatrix.classes", "from torch import nn"),
        ("simmatrix.summary", "def f():\n    import rich.table"),
        ("simmatrix", "from simmatrix.cli import app"),
        ("simmatrix", "from simmatrix import cli"),
        ("simmatrix.storage", "import simloss"),
        ("simmatrix.storage", "from simmatrix.matrix import SimilarityMatrix"),
        ("simmatrix.container", "from simmatrix import matrix"),
        ("simmatrix.data", "import numpy"),
        ("simmatrix.data", "from simmatrix.files import read_bytes"),
        ("simmatrix.builders.order", "from simmatrix.normalise import clip"),
        ("simmatrix.builders.order", "from simmatrix import normalise"),
        ("simmatrix.builders.order", "from simmatrix.storage import save"),
        ("simmatrix.vectors.text", "from simmatrix.builders.raw import Input"),
        ("simmatrix.taxonomy.taxonomy", "from simmatrix.classes import ClassList"),
        ("simmatrix.vectors.text", "import pickle"),
        ("simmatrix.storage", "from pickle import load"),
        ("simmatrix.summary", "from safetensors import safe_open"),
        ("simmatrix.summary", "from simmatrix.files import write_atomically"),
        ("simloss.loss", "from simmatrix.cli.output import warn"),
        ("simmatrix.cli.build", "import cli.output"),
        ("simmatrix.cli.build", "from data import class_list_names"),
        ("simmatrix.cli.build", "import torch"),
        ("simmatrix.cli.show", "import matplotlib.pyplot"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str) -> None:
    assert violations(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("simmatrix.matrix", "import numpy, databases, client"),
        ("simmatrix.data", "from pathlib import Path\nfrom simmatrix.errors import SourceError"),
        ("simmatrix.builders.order", "from simmatrix.builders.raw import Input"),
        ("simloss.loss", "import torch, simmatrix"),
    ],
)
def test_an_allowed_import_is_let_through(module: str, source: str) -> None:
    assert violations(module, source) == []
