"""Imports go one way: from what is general to what uses it, as the picture of the house draws it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The folder each package lies in.
FOLDERS = {"simmatrix.cli": "cli", "simmatrix.data": "data", "simmatrix": "simmatrix", "simloss": "simloss"}
STANDARD = tuple(sys.stdlib_module_names)
ALL = ("simmatrix*", "simloss*")
LIBRARY = ("simmatrix", "simmatrix.[!_cd]*", "simmatrix.c[!l]*", "simmatrix.cl[!i]*", "simmatrix.d[!a]*")
DATA = ("simmatrix.data", "simmatrix.data.[!s]*")

# What stands above the files that a matrix and its sources are made of.
ABOVE = ("simmatrix.builders", "simmatrix.matrix", "simmatrix.classes", "simmatrix.summary")

# Importer, what it must not import, and why.
FORBIDDEN: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (LIBRARY, ("torch", "typer", "rich", "simloss", "simmatrix.cli", "matplotlib"), "the library knows no trainer"),
    (("simloss*",), ("simmatrix.cli", "typer", "rich"), "the loss knows no command"),
    (("simmatrix.cli", "simmatrix.cli.[!j]*"), ("torch", "simloss"), "only judge needs torch, which is slow to import"),
    (
        ("simmatrix.builders*",),
        ("simmatrix.storage", "simmatrix.container", "simmatrix.forms", "simmatrix.summary", "simmatrix.blending"),
        "a builder gives raw similarities, and how they are kept and written is the matrix's business",
    ),
    (("simmatrix.vectors*", "simmatrix.taxonomy*"), ABOVE, "vectors and taxonomies know no classes"),
    (
        ("simmatrix.container", "simmatrix.storage", "simmatrix.shards", "simmatrix.forms", "simmatrix.toeplitz"),
        (*ABOVE, "simmatrix.normalise"),
        "what a matrix is made of knows no matrix",
    ),
    (("simmatrix.normalise",), ABOVE, "steps are functions of values"),
    (
        ("simmatrix.matrix",),
        ("simmatrix.builders", "simmatrix.summary", "simmatrix.ordering"),
        "what uses it imports it",
    ),
    (("simmatrix.choices", "simmatrix.shapes", "simmatrix.errors"), ("numpy", "scipy"), "the command imports them"),
    (ALL, ("cli", "data"), "these are folders of the repository, not top-level modules"),
)
# One source imports no other.
SOURCES = ("confusion", "embeddings", "encoder", "order", "ratings", "ready", "taxonomy", "triplets", "wordnet")
# What only the modules named may import.
RESERVED = {
    # One reads it without running anything; the other makes it for a checksum alone, and reads none.
    "pickle": ("simmatrix.vectors.gensim", "simmatrix.neighbours.writing"),
    # `simmatrix.container` reads and writes its files.
    "safetensors": (),
    "matplotlib": ("simmatrix.cli.plot", "simmatrix.cli.judge", "simloss.metrics.calibration"),
    "typer": ("simmatrix.cli*",),
    **dict.fromkeys(("starlette", "uvicorn", "jinja2"), ("simmatrix.web*",)),
    "simmatrix.web": ("simmatrix.web*", "simmatrix.cli.explore", "simmatrix.cli.collect"),
    "torch": ("simloss*", "simmatrix.cli.judge"),
    "torchmetrics": ("simloss.metrics*",),
    "simmatrix.storage": ("simmatrix.matrix", "simmatrix.shards", "simmatrix.cli*"),
    "simmatrix.files.write_atomically": (
        "simmatrix.storage",
        "simmatrix.shards",
        "simmatrix.neighbours.workers",
        "simmatrix.exporting",
        "simmatrix.study",
        "simmatrix.suggestion",
        "simmatrix.web.exported",
        "simmatrix.cli.card",
        "simmatrix.cli.plot",
        "simmatrix.cli.judge",
    ),
    **{
        f"simmatrix.builders.{name}": (
            f"simmatrix.builders.{name}",
            "simmatrix",
            "simmatrix.class_taxonomy",
            "simmatrix.suggestion",
            "simmatrix.web.collect",
            "simmatrix.cli*",
            # Definitions of senses.
            *(("simmatrix.web.exploration",) if name == "wordnet" else ()),
        )
        for name in SOURCES
    },
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


def test_no_arrow_points_left() -> None:
    found = [violation for module, path in modules() for violation in violations(module, path.read_text())]
    assert found == []


def test_every_package_is_looked_at() -> None:
    found = {module for module, _ in modules()}
    assert {"simmatrix", "simmatrix.matrix", "simmatrix.builders.embeddings", "simmatrix.vectors.text"} <= found
    assert {"simmatrix.cli", "simmatrix.cli.build", "simmatrix.data", "simloss", "simloss.loss"} <= found


FORBIDDEN_IMPORTS = (
    ("simmatrix.matrix", "import torch"),
    ("simmatrix.classes", "from torch import nn"),
    ("simmatrix.summary", "def f():\n    import rich.table"),
    ("simmatrix", "from simmatrix.cli import app"),
    ("simmatrix", "from simmatrix import cli"),
    ("simmatrix.storage", "import simloss"),
    ("simmatrix.storage", "from simmatrix.matrix import SimilarityMatrix"),
    ("simmatrix.container", "from simmatrix import matrix"),
    ("simmatrix.forms", "from simmatrix.normalise import normalise"),
    ("simmatrix.data", "import numpy"),
    ("simmatrix.data", "from simmatrix.files import read_bytes"),
    ("simmatrix.choices", "import numpy"),
    ("simmatrix.builders.order", "from simmatrix.storage import write_matrix"),
    ("simmatrix.builders.order", "from simmatrix.builders.wordnet import from_wordnet"),
    ("simmatrix.builders.order", "from simmatrix.forms import Toeplitz"),
    ("simmatrix.vectors.text", "from simmatrix.builders.raw import Input"),
    ("simmatrix.taxonomy.graph", "from simmatrix.classes import ClassList"),
    ("simmatrix.vectors.text", "import pickle"),
    ("simmatrix.storage", "from pickle import load"),
    ("simmatrix.summary", "from safetensors import safe_open"),
    ("simmatrix.summary", "from simmatrix.files import write_atomically"),
    ("simloss.loss", "from simmatrix.cli.output import warn"),
    ("simmatrix.cli.build", "import cli.output"),
    ("simmatrix.cli.build", "from data import class_list_names"),
    ("simmatrix.cli.build", "import torch"),
    ("simmatrix.cli.show", "import matplotlib.pyplot"),
    ("simmatrix.cli.show", "from simmatrix.web.serving import serve"),
    ("simmatrix.matrix", "from simmatrix import web"),
    ("simmatrix.summary", "import jinja2"),
    ("simmatrix.web.serving", "import typer"),
    ("simmatrix.web.explore", "from simmatrix.builders.triplets import from_triplets"),
)
ALLOWED_IMPORTS = (
    ("simmatrix.matrix", "import numpy, databases, client"),
    ("simmatrix.data", "from pathlib import Path\nfrom simmatrix.errors import SourceError"),
    ("simmatrix.builders.order", "from simmatrix.builders.raw import RawSimilarity"),
    ("simmatrix.builders.order", "from simmatrix.matrix import SimilarityMatrix"),
    ("simloss.loss", "import torch, simmatrix"),
)


def test_a_forbidden_import_is_caught_and_an_allowed_one_let_through() -> None:
    assert [one for one in FORBIDDEN_IMPORTS if not violations(*one)] == []
    assert [one for one in ALLOWED_IMPORTS if violations(*one)] == []


def at_the_top(source: str) -> ast.Module:
    """Return a module's imports outside functions and outside what is for type checkers alone."""
    return ast.Module([node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def circle(sources: dict[str, str]) -> set[str]:
    """Return the modules that import each other at their top level, and those that need them."""
    arrows: dict[str, set[str]] = {}
    for module, source in sources.items():
        named = imports(at_the_top(source))
        homes = {name if name in sources else name.rpartition(".")[0] for name in named}
        arrows[module] = homes & sources.keys() - {"simmatrix", module}
    while leaves := {module for module, targets in arrows.items() if not targets}:
        arrows = {module: targets - leaves for module, targets in arrows.items() if module not in leaves}
    return set(arrows)


def test_no_two_modules_import_each_other() -> None:
    sources = {module: path.read_text() for module, path in modules() if module.startswith("simmatrix")}
    assert circle(sources) == set()
    sources["simmatrix.storage"] += "\nfrom simmatrix.matrix import SimilarityMatrix\n"
    assert {"simmatrix.matrix", "simmatrix.storage"} <= circle(sources)


def test_a_source_loads_no_more_than_it_needs() -> None:
    """The builder of orders needs few modules: those of word vectors, taxonomies and files of judgements stay away."""
    code = (
        "import sys, simmatrix; simmatrix.from_order(['a', 'b'], decay=0.5);"
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('simmatrix', 'simloss')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert len(loaded) <= 25, sorted(loaded)
