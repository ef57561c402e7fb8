"""What the experiments share: the file of results, what is trained again and what is not, and the options."""

from __future__ import annotations

import csv
import importlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES, HERE = Path(__file__).parents[2] / "examples", Path(__file__).parent

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE)
    patch.syspath_prepend(EXAMPLES)
    sweep = importlib.import_module("sweep")
    trainings = importlib.import_module("sweep_trainings")

BASE, MILD = sweep.BASE, sweep.Setting("mild", "r=0.5")


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of a run find the two modules too."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.syspath_prepend(EXAMPLES)
    trainings.trained.clear()


def trials(seeds: int = 3, amounts: tuple[str, ...] = ("all",)) -> list[Any]:
    return [
        sweep.Trial(setting, seed, amount) for amount in amounts for setting in (MILD, BASE) for seed in range(seeds)
    ]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_file_does_not_depend_on_the_processes(tmp_path: Path, workers: int) -> None:
    """Each has one thread, and the rows are sorted by amount, seed, setting and decision."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # of this process; no training may use them
    try:
        found = sweep.run(trainings.known, trials(), tmp_path / "new" / "bikes.csv", workers=workers)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    expected = [
        (setting, seed, decision)
        for seed in range(3)
        for setting, decision in ((BASE, "minimum risk"), (BASE, "most probable"), (MILD, "most probable"))
    ]
    assert [(one.trial.setting, one.trial.seed, one.decision) for one in found] == expected
    lines = ["amount,method,setting,seed,decision,data,accuracy,threads,error"]
    for setting, seed, decision in expected:
        for split, factor in (("validation", 2), ("test", 1)):
            cells = ["all", *setting, seed, decision, split, f"{factor * seed / 7:.6g}", factor]
            lines.append(",".join(map(str, [*cells, f"{factor * 1e-9 / 3:.6g}"])))
    assert (tmp_path / "new" / "bikes.csv").read_bytes().decode() == "\n".join(lines) + "\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bikes.csv"]


def test_what_is_in_the_file_is_not_trained_again(tmp_path: Path) -> None:
    """In pieces and out of order, the file comes to the same bytes as in one go."""
    whole, pieces = tmp_path / "whole.csv", tmp_path / "pieces.csv"
    every = trials(amounts=("all", "10"))
    sweep.run(trainings.known, every, whole, workers=1)
    trainings.trained.clear()
    sweep.run(trainings.known, every[7:9], pieces, workers=1)
    sweep.run(trainings.known, every[5:], pieces, workers=1)
    found = sweep.run(trainings.known, every, pieces, workers=1)
    assert sorted(trainings.trained) == sorted(every)
    assert pieces.read_bytes() == whole.read_bytes()
    assert found == sweep.read_results(whole)
    assert {one.trial for one in found} == set(every)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_that_fails_leaves_those_that_are_done(tmp_path: Path, workers: int) -> None:
    file = tmp_path / "bikes.csv"
    with pytest.raises(ArithmeticError, match="seed two"):
        sweep.run(trainings.failing, [sweep.Trial(MILD, seed) for seed in range(3)], file, workers=workers)
    assert [one.trial.seed for one in sweep.read_results(file)] == [0, 1]
    sweep.run(trainings.known, [sweep.Trial(MILD, seed) for seed in range(3)], file, workers=1)
    assert [one.trial.seed for one in sweep.read_results(file)] == [0, 1, 2]


def test_a_figure_goes_to_the_column_of_its_name(tmp_path: Path) -> None:
    sweep.run(trainings.in_another_order, trials(), tmp_path / "bikes.csv", workers=1)
    with (tmp_path / "bikes.csv").open(newline="") as stream:
        assert {(row["accuracy"], row["severity"]) for row in csv.DictReader(stream)} == {("0.25", "4")}


def test_other_figures_are_refused_and_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "bikes.csv"
    sweep.run(trainings.known, trials(1), file, workers=1)
    before = file.read_bytes()
    with pytest.raises(sweep.DataError, match="holds other figures than are made now"):
        sweep.run(trainings.in_another_order, trials(2), file, workers=1)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("of an earlier time\nyes\n", 2),
        ("amount,method,setting,seed,decision,data,accuracy\nall,mild,,0,most probable,test,0.5\n", 2),
        ("amount,method,setting,seed,decision,data,accuracy\nall,mild,,zero,most probable,test,0.5\n", 2),
        ("amount,method,setting,seed,decision,data,accuracy\nall,mild,,0,most probable,test\n", 2),
        ("amount,method,setting,seed,decision,data,accuracy\nall,mild,,0,most probable,test,0.5,7\n", 2),
    ],
)
def test_what_is_no_file_of_results_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "bikes.csv"
    file.write_text(text)
    with pytest.raises(sweep.DataError, match=f"bikes.csv, line {line}: is no row of results"):
        sweep.run(trainings.known, trials(), file, workers=1)
    assert file.read_text() == text


def test_as_many_processes_train_as_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_arguments: object) -> None:
        raise AssertionError("a process too many")

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", refused)
    assert sweep.run(trainings.known, trials(1), tmp_path / "bikes.csv", workers=1)
    with pytest.raises(AssertionError, match="a process too many"):
        sweep.run(trainings.known, trials(), tmp_path / "bikes.csv")


def test_settings_are_picked_by_how_their_names_begin() -> None:
    every = trials()
    assert sweep.picked(every, None) == every
    assert sweep.picked(every, ["cross"]) == every[3:]
    assert sweep.picked(every, ["mild, r=0.5"]) == every[:3]
    with pytest.raises(sweep.DataError, match=r"no setting's name begins with 'wild'; there are mild, r=0\.5; cross"):
        sweep.picked(every, ["mild", "wild"])


@pytest.mark.parametrize("seeds", ["0", "-1", "1.5", "many", "", "²"])
def test_a_number_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], seeds: str) -> None:
    parser = sweep.options("What it does.", seeds=5, amounts=("all", "10"))
    for option, what in (("--seeds", "trainings"), ("--amounts", "examples a class"), ("--workers", "processes")):
        with pytest.raises(SystemExit) as stop:
            parser.parse_args([f"{option}={seeds}"])
        assert stop.value.code == 2
        assert f"{seeds!r} is no number of {what}; give 1 or more" in capsys.readouterr().err


def test_the_options_have_defaults() -> None:
    given = sweep.options(None, seeds=5).parse_args([])
    assert vars(given) == {
        "seeds": 5,
        "quick": False,
        "report": False,
        "out": EXAMPLES / "results",
        "workers": None,
        "only": None,
    }
    parser = sweep.options(None, seeds=5, amounts=("all", "10"))
    assert parser.parse_args([]).amounts == ["all", "10"]
    given = parser.parse_args(["--seeds", "2", "--quick", "--out", "here", "--amounts", "all", "20"])
    assert (given.seeds, given.quick, given.out, given.amounts) == (2, True, Path("here"), ["all", "20"])


def test_the_best_epoch_is_kept_and_patience_is_that_of_its_last() -> None:
    """The model is a number that each epoch raises by 1; how good it is, is written down here."""
    model = torch.nn.Linear(1, 1, bias=False)
    for good, patience, epochs, best in (
        ([1.0, 3.0, 2.0, 3.0, 4.0], 2, 4, 2),  # as good again is no better
        ([1.0, 3.0, 2.0, 3.0, 4.0], 3, 5, 5),
        ([5.0, 4.0, 3.0], float("inf"), 3, 1),
    ):
        torch.nn.init.zeros_(model.weight)
        seen = iter(good)

        def epoch(seen: Any = seen) -> float:
            with torch.no_grad():
                model.weight += 1
            return next(seen)

        sweep.keep_best(model, epoch, len(good), patience)
        assert model.weight.item() == best
        assert len(good) - len(list(seen)) == epochs
