"""The quick start: the class list that it writes, its losses, and its figures, which are those of the experiments."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import simmatrix

EXAMPLES = Path(__file__).parents[2] / "examples"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    methods, icd10, texts, sweep, quickstart = map(
        importlib.import_module, ("methods", "icd10", "texts", "sweep", "quickstart")
    )

SETTINGS = {"cross entropy": methods.BASE, "SimLoss": methods.ALONE, "share 0.4": methods.CANDIDATE}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Make the quick start short: two chapters, two seeds, one epoch; return the experiment to compare it with."""
    monkeypatch.setattr(quickstart, "read_codes", partial(icd10.read_codes, quick=True))
    monkeypatch.setattr(quickstart, "SEEDS", 2)
    monkeypatch.setitem(quickstart.RECIPES, "10", texts.Recipe(0.01, 1))
    monkeypatch.chdir(tmp_path)
    return quickstart.prepare(quickstart.read_codes(), range(2))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["quickstart.py", *arguments])
    try:
        quickstart.main()
    finally:
        torch.set_num_threads(threads)


def test_the_figures_are_those_of_the_experiment(
    few: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in PLAN.md: by the class list and the matrix that `build` makes of it, and by the experiment's own S."""
    run(monkeypatch, "--write-classes", "diagnoses.tsv")
    listed = simmatrix.read_classes("diagnoses.tsv")
    assert (listed.names, listed.columns) == (few.classes.names, few.classes.columns)
    assert f"{len(listed)} blocks of 2 chapters" in capsys.readouterr().out
    build = importlib.import_module("simmatrix.cli").main
    monkeypatch.setattr(sys, "argv", ["simmatrix", "build", "--classes", "diagnoses.tsv"])
    with pytest.raises(SystemExit) as ended:
        build()
    assert not ended.value.code
    monkeypatch.setattr(quickstart, "columns_of", lambda results: [found.extend(results)])
    found: list[Any] = []
    run(monkeypatch, "diagnoses.safetensors")
    assert len(found) == 3 * 2 * 3
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, setting in SETTINGS.items():
            own = [one for one in found if str(one.trial.setting).startswith(name)]
            expected = [one for seed in (0, 1) for one in few(sweep.Trial(setting, seed, "10"))]
            assert [(one.trial.seed, *one[1:]) for one in own] == [(one.trial.seed, *one[1:]) for one in expected]
    finally:
        torch.set_num_threads(threads)


def test_the_table_stands_in_columns() -> None:
    def result(method: str, decision: str, seed: int, accuracy: float) -> Any:
        figures = dict.fromkeys(quickstart.SHOWN, accuracy)
        return sweep.Result(sweep.Trial(sweep.Setting(method), seed, "10"), decision, figures, figures)

    results = [
        result(method, decision, seed, value + seed / 100)
        for method, decision, value in (
            ("cross entropy", "most probable", 0.5),
            ("cross entropy", "minimum risk", 0.6),
            ("another", "most probable", 0.25),
            ("another", "minimum risk", 0.125),
        )
        for seed in (0, 2)
    ]
    lines = quickstart.columns_of(results).splitlines()
    starts = [lines[0].index(title) for title in ("setting", "decision", "accuracy")]
    for line, cells in zip(
        lines[1:],
        (
            ("cross entropy", "most probable", "51.00 ± 1.00"),
            ("cross entropy", "minimum risk", "+10.00 ± 0.00"),
            ("another", "most probable", "-25.00 ± 0.00"),
        ),
        strict=True,
    ):
        for start, cell in zip(starts, cells, strict=True):
            assert line[start:].startswith(f"{cell}  ")


def test_what_is_missing_is_said(few: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"error: .*no\.safetensors"):
        run(monkeypatch, "no.safetensors")
    simmatrix.from_order(["a", "b"], decay=0.5).save("other.safetensors")
    monkeypatch.setattr(texts.Experiment, "fitted", None)  # it is said before anything is trained
    with pytest.raises(SystemExit, match=r"error: .*A00-A09"):
        run(monkeypatch, "other.safetensors")
