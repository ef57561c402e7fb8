"""What the experiments share: the results' order and file, the spread over seeds, the tables and the picture."""

from __future__ import annotations

import csv
import importlib
import math
import os
import statistics
import sys
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

BASE, MILD, STRONG = sweep.BASE, sweep.Setting("mild", "r=0.5"), sweep.Setting("mild", "r=0.9")
# Accuracies of four seeds, of which no mean or deviation is a round number.
ACCURACY = {BASE: (0.5, 0.75, 0.62, 0.4), MILD: (0.45, 0.71, 0.57, 0.36), STRONG: (0.1, 0.2, 0.4, 0.33)}


def result(setting: Any, seed: int, accuracy: float, mae: float = 1.0) -> Any:
    figures = {"accuracy": accuracy, "position_mae": mae}
    return sweep.Result(setting, seed, {name: value / 2 for name, value in figures.items()}, figures)


def results() -> list[Any]:
    return [
        result(setting, seed, value, 3 - 2 * value)
        for setting, values in ACCURACY.items()
        for seed, value in enumerate(values)
    ]


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of a run find the two modules too."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.syspath_prepend(EXAMPLES)


def trials(seeds: int = 3) -> list[Any]:
    return [sweep.Trial(setting, seed) for setting in (BASE, MILD) for seed in range(seeds)]


def run(monkeypatch: pytest.MonkeyPatch, train: Any, file: Path, workers: int, seeds: int = 3) -> list[Any]:
    monkeypatch.setattr(os, "cpu_count", lambda: workers)
    return sweep.run(train, trials(seeds), file)


def write(monkeypatch: pytest.MonkeyPatch, folder: Path, found: list[Any], chosen: list[Any]) -> None:
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bikes.py", "--seeds", "4", "--out", "my folder"])
    sweep.write("bikes", folder, found, chosen, "Chosen by lot.", ("position_mae", "accuracy"))


def rows(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text, without the rules under their heads."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if "---" not in line[0]]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int) -> None:
    """Whatever the number of processes, each of which has one thread, and the file has the same rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # of this process; no training may use them
    try:
        found = run(monkeypatch, trainings.known, tmp_path / "new" / "bikes.csv", workers)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    expected = [(setting, seed) for seed in range(3) for setting in (BASE, trainings.SECOND)] + [
        (MILD, seed) for seed in range(3)
    ]
    assert [(one.setting, one.seed) for one in found] == expected
    lines = ["method,setting,seed,data,accuracy,threads,error"]
    for setting, seed in expected:
        for split, factor in (("validation", 2), ("test", 1)):
            cells = [*setting, seed, split, f"{factor * seed / 7:.6g}", factor, f"{factor * 1e-9 / 3:.6g}"]
            lines.append(",".join(map(str, cells)))
    assert (tmp_path / "new" / "bikes.csv").read_bytes().decode() == "\n".join(lines) + "\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bikes.csv"]


def test_a_figure_goes_to_the_column_of_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(monkeypatch, trainings.in_another_order, tmp_path / "bikes.csv", 1)
    with (tmp_path / "bikes.csv").open(newline="") as stream:
        assert {(row["accuracy"], row["severity"]) for row in csv.DictReader(stream)} == {("0.25", "4")}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_that_fails_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int
) -> None:
    """The error is that of the training; earlier results stay, and those before it lie beside them."""
    (tmp_path / "bikes.csv").write_text("of an earlier run")
    with pytest.raises(ArithmeticError, match="seed two"):
        run(monkeypatch, trainings.failing, tmp_path / "bikes.csv", workers)
    assert (tmp_path / "bikes.csv").read_text() == "of an earlier run"
    with (tmp_path / "bikes.csv.part").open(newline="") as stream:
        finished = [(row["method"], row["seed"], row["data"]) for row in csv.DictReader(stream)]
    methods = (BASE.method, trainings.SECOND.method)
    splits = ("validation", "test")
    assert finished == [(method, seed, split) for seed in "01" for method in methods for split in splits]


def test_a_finished_run_replaces_what_an_unfinished_one_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError):
        run(monkeypatch, trainings.failing, tmp_path / "bikes.csv", 1)
    run(monkeypatch, trainings.known, tmp_path / "bikes.csv", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["bikes.csv"]


@pytest.mark.parametrize(("split", "factor"), [("validation", 0.5), ("test", 1.0)])
def test_a_summary_has_the_mean_and_deviation_of_one_seed(split: str, factor: float) -> None:
    found = sweep.summary(results()[::-1], split)
    assert set(found) == set(ACCURACY)
    for setting, values in ACCURACY.items():
        mean, deviation = found[setting]["accuracy"]
        # Both sides are rounded sums of four numbers below 1.
        assert mean == pytest.approx(factor * statistics.fmean(values), rel=4 * sys.float_info.epsilon)
        squares = [(factor * value - mean) ** 2 for value in values]
        assert deviation == pytest.approx(math.sqrt(sum(squares) / 3), rel=32 * sys.float_info.epsilon)


def test_settings_keep_their_order_in_a_summary() -> None:
    assert list(sweep.summary(results(), "test")) == list(ACCURACY)


def test_one_seed_has_no_deviation() -> None:
    spread = sweep.summary([result(BASE, 0, 0.25)], "test")[BASE]["accuracy"]
    assert spread.mean == 0.25
    assert math.isnan(spread.deviation)
    assert str(spread) == "0.250"


def test_a_figure_that_one_seed_lacks_has_no_mean() -> None:
    """The severity of no mistakes is NaN."""
    found = [result(BASE, 0, math.nan), result(BASE, 1, 0.25), result(BASE, 2, 0.5)]
    spread = sweep.summary(found, "test")[BASE]["accuracy"]
    assert math.isnan(spread.mean)
    assert str(spread) == "nan"


def test_the_tables_say_what_was_chosen_and_how_it_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(monkeypatch, tmp_path, results(), [MILD])
    text = (tmp_path / "bikes.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    assert text.startswith("Made by `python examples/bikes.py --seeds 4 --out 'my folder'` on ")
    assert "Chosen by lot. On test data, mean ± standard deviation over the seeds." in text
    differences = [mild - base for mild, base in zip(ACCURACY[MILD], ACCURACY[BASE], strict=True)]

    def cell(values: Any) -> str:
        return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"

    def cells(setting: Any, accuracies: Any, maes: Any) -> list[str]:
        return [*setting, cell(accuracies), cell(maes)]

    head = ["method", "setting", "accuracy", "MAE"]
    assert rows(text) == [
        head,
        *(cells(setting, ACCURACY[setting], [3 - 2 * a for a in ACCURACY[setting]]) for setting in (BASE, MILD)),
        head,
        cells(MILD, differences, [-2 * difference for difference in differences]),
    ]
    # Seeds are paired: apart, the two spread thirty times as far.
    assert "-0.045 ± 0.006" in text
    everything = (tmp_path / "bikes-all.md").read_text(encoding="utf-8")
    assert [row[:3] for row in rows(everything)[1:]] == [
        [*setting, cell(values)] for setting, values in ACCURACY.items()
    ]


def test_seeds_are_paired_whatever_the_order_of_the_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forwards, backwards = tmp_path / "a", tmp_path / "b"
    write(monkeypatch, forwards, results(), [MILD])
    write(monkeypatch, backwards, sorted(results(), key=lambda one: (one.setting != BASE, -one.seed)), [MILD])
    texts = [rows((folder / "bikes.md").read_text(encoding="utf-8")) for folder in (forwards, backwards)]
    assert texts[0] == texts[1]


def test_the_same_results_give_the_same_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        write(monkeypatch, folder, results(), [MILD])
    first, second = ((tmp_path / folder / "bikes.png").read_bytes() for folder in "ab")
    assert first == second
    write(monkeypatch, tmp_path / "a", results(), [STRONG])
    assert (tmp_path / "a" / "bikes.png").read_bytes() != first
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"Matplotlib" not in first


@pytest.mark.parametrize("value", [0.25, math.nan])
def test_a_picture_of_one_seed_and_of_no_figures_is_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: float
) -> None:
    write(monkeypatch, tmp_path, [result(BASE, 0, 0.5), result(MILD, 0, value)], [MILD])
    assert (tmp_path / "bikes.png").stat().st_size > 0


@pytest.mark.parametrize("seeds", ["0", "-1", "1.5", "many", "", "²"])
def test_a_number_of_seeds_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], seeds: str) -> None:
    with pytest.raises(SystemExit) as stop:
        sweep.options("What it does.", seeds=5).parse_args([f"--seeds={seeds}"])
    assert stop.value.code == 2
    assert f"{seeds!r} is no number of trainings; give 1 or more" in capsys.readouterr().err


def test_the_options_have_defaults() -> None:
    given = sweep.options(None, seeds=5).parse_args([])
    assert (given.seeds, given.quick, given.out) == (5, False, EXAMPLES / "results")
    given = sweep.options(None, seeds=5).parse_args(["--seeds", "2", "--quick", "--out", "here"])
    assert (given.seeds, given.quick, given.out) == (2, True, Path("here"))


def test_of_each_method_the_setting_of_least_cost_on_validation_data_is_chosen() -> None:
    other = sweep.Setting("wild")
    costs = {BASE: (0.0, 0.0), MILD: (1.0, 4.0), STRONG: (2.0, 2.5), other: (9.0, 9.0)}
    found = [
        sweep.Result(setting, seed, {"mae": value}, {"mae": -value})
        for setting, values in costs.items()
        for seed, value in enumerate(values)
    ]
    assert sweep.choose(found, lambda spreads: (spreads["mae"].mean,)) == [STRONG, other]
    # By the first number, and by the second one where the first are equal.
    assert sweep.choose(found, lambda spreads: (0, spreads["mae"].deviation)) == [STRONG, other]
    assert sweep.choose(found, lambda spreads: (-spreads["mae"].deviation, spreads["mae"].mean)) == [MILD, other]


def test_as_many_processes_train_as_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_arguments: object) -> None:
        raise AssertionError("a process too many")

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", refused)
    assert sweep.run(trainings.known, trials(), tmp_path / "bikes.csv", workers=1)
    with pytest.raises(AssertionError, match="a process too many"):
        sweep.run(trainings.known, trials(), tmp_path / "bikes.csv")
