"""What docstrings show: their examples run, and every public function has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import jaxtyping
import pytest

import simloss
import simloss.metrics
import simmatrix

_EXAMPLE = re.compile(r"^ *>>> (?!.*# doctest: \+SKIP)", re.MULTILINE)
# A model that nobody has at hand; and what others show: `load`, and `class_parallel_sim_loss`.
WITHOUT = {"from_encoder", "save", "shard_similarity"}


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        one.name for part in (simmatrix, simloss) for one in pkgutil.walk_packages(part.__path__, f"{part.__name__}.")
    ]
    # The command itself, and what is no Python.
    modules = [importlib.import_module(name) for name in names if not name.endswith(("__main__", "_native"))]
    # As users run them: that 1 is taken for 1.0 is no mistake.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        results = {module.__name__: doctest.testmod(module) for module in modules}
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert {name: result for name, result in results.items() if result.failed} == {}
    # What doctest does not find can't fail. From Python 3.13 on it counts those that it skips as attempted.
    written = {module.__name__: len(_EXAMPLE.findall(inspect.getsource(module))) for module in modules}
    ran = {name: result.attempted - getattr(result, "skipped", 0) for name, result in results.items()}
    assert ran == written
    assert sum(written.values()) > 200
    assert list(tmp_path.iterdir()) == []


def test_every_public_function_has_an_example() -> None:
    public = [getattr(part, name) for part in (simmatrix, simloss, simloss.metrics) for name in part.__all__]
    functions = [one for one in public if inspect.isfunction(one)]
    assert {one.__name__ for one in functions if ">>>" not in str(one.__doc__)} == WITHOUT
