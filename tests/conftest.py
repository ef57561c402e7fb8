"""Set-up for all tests: workers, the shapes in annotations are enforced, and a fixture runs the command."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import jaxtyping
import pytest
from hypothesis import settings

import tests.enforced

if TYPE_CHECKING:
    from tests.cli.command import Command

# Two workers on two cores: more threads would wait for each other. Before anything imports torch or NumPy.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before anything imports the packages: what is imported already, the hook can't reach.
jaxtyping.jaxtyped = tests.enforced.jaxtyped
jaxtyping.install_import_hook("simmatrix", "tests.enforced.checked")
# Triton reads its kernels' source, so their modules are left as they are.
_SIMLOSS = Path(__file__).parents[1] / "simloss"
_FILES = [path for path in _SIMLOSS.rglob("*.py") if "@triton.jit" not in path.read_text(encoding="utf-8")]
# torch.compile of older torch can't trace what the hook makes of a Function.
if tuple(map(int, version("torch").split(".")[:2])) < (2, 11):
    _FILES = [path for path in _FILES if path.name != "autograd.py"]
_MODULES = [".".join(path.relative_to(_SIMLOSS.parent).with_suffix("").parts) for path in _FILES]
jaxtyping.install_import_hook(_MODULES, "tests.enforced.only_shapes")

# The same examples each time, and no limit of time: a run says something of the code, not of its luck.
# Others are drawn with --hypothesis-profile=default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share the whole suite between two workers, unless -n says otherwise; of files that are named, start none."""
    option, is_whole = config.option, config.args_source is not pytest.Config.ArgsSource.ARGS
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if is_whole and not is_worker and not option.usepdb and getattr(option, "numprocesses", 0) is None:
        option.numprocesses, option.dist = 2, "worksteal"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while tests are collected: what is imported stays, and looking takes a fourth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow whatever asks NLTK, which takes seconds to read its WordNet in each process, and to answer."""
    for item in items:
        if {"nltk_data", "nltk_folder"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument: gzip's hold the time, and two workers have to find the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    from tests.cli.command import Command

    return Command(monkeypatch, capsys, tmp_path)
