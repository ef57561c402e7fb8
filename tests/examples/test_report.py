"""The tables and the picture: differences of pairs of seeds, against the formulas of the mean and its error."""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    sweep = importlib.import_module("sweep")
    report = importlib.import_module("report")

BASE, MILD, STRONG = sweep.BASE, sweep.Setting("mild", "r=0.5"), sweep.Setting("mild", "r=0.9")
# Accuracies of four seeds, of which no mean or deviation is a round number.
ACCURACY = {BASE: (0.5, 0.75, 0.62, 0.4), MILD: (0.45, 0.71, 0.57, 0.36), STRONG: (0.1, 0.2, 0.4, 0.33)}
NAMES = ("accuracy", "severity")
PANELS = (report.Panel("Is it right?", "accuracy"), report.Panel("How wrong is it?", "severity", "edges"))


def result(setting: Any, seed: int, accuracy: float, amount: str = "all", decision: str = "most probable") -> Any:
    figures = {"accuracy": accuracy, "severity": 3 - 2 * accuracy}
    validation = {name: value / 2 for name, value in figures.items()}
    return sweep.Result(sweep.Trial(setting, seed, amount), decision, validation, figures)


def results() -> list[Any]:
    """Return all seeds of all settings, and another decision and amount that must not be mixed up with them."""
    return [
        *(result(setting, seed, value) for setting, values in ACCURACY.items() for seed, value in enumerate(values)),
        *(result(BASE, seed, value + 0.01 * seed, decision="superclass") for seed, value in enumerate(ACCURACY[BASE])),
        *(result(STRONG, seed, 0.3, decision="superclass") for seed in range(4)),  # which the table does not show
        *(result(setting, seed, 0.9 - seed / 7, amount="10") for setting in (MILD, BASE) for seed in (0, 1)),
    ]


def mean_and_error(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def differences(setting: Any) -> list[float]:
    return [own - other for own, other in zip(ACCURACY[setting], ACCURACY[BASE], strict=True)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_change_is_that_of_pairs_of_seeds(order: int) -> None:
    for setting in (MILD, STRONG):
        found = report.changes(results()[::order], "all", setting)
        for name, factor in (("accuracy", 1), ("severity", -2)):
            # Rounded sums of four numbers below 2.
            expected = mean_and_error([factor * difference for difference in differences(setting)])
            assert found[name][:2] == pytest.approx(expected, abs=2**-50)
            assert found[name].seeds == 4
    validation = report.changes(results(), "all", MILD, split="validation")["accuracy"]
    assert validation.mean == pytest.approx(mean_and_error(differences(MILD))[0] / 2, abs=2**-50)


def test_a_decision_is_compared_with_the_most_probable_class_or_with_itself() -> None:
    found = report.changes(results(), "all", BASE, "superclass")["accuracy"]
    assert found[:2] == pytest.approx(mean_and_error([0.0, 0.01, 0.02, 0.03]), abs=2**-50)
    found = report.changes(results(), "all", MILD, base_decision="superclass")["accuracy"]
    expected = [difference - 0.01 * seed for seed, difference in enumerate(differences(MILD))]
    assert found[:2] == pytest.approx(mean_and_error(expected), abs=2**-50)


def test_only_seeds_that_both_have_are_compared() -> None:
    some = [one for one in results() if one.trial.setting != BASE or one.trial.seed in (1, 3)]
    found = report.changes(some, "all", MILD)["accuracy"]
    assert (found.seeds, found.mean) == (2, pytest.approx((differences(MILD)[1] + differences(MILD)[3]) / 2))
    assert report.changes(some, "50", MILD) == {}


def test_one_seed_has_no_error_and_shows_nothing() -> None:
    """A figure that a seed lacks, as the severity of no mistakes, has no mean."""
    one = report.Change.of([0.25])
    assert (one.mean, math.isnan(one.error), one.seeds) == (0.25, True, 1)
    assert not one.is_rise
    assert not one.is_fall
    assert math.isnan(report.Change.of([math.nan, 1.0]).mean)


def test_a_change_is_shown_by_twice_its_error() -> None:
    for mean, rise, fall in ((2.1, True, False), (1.9, False, False), (-1.9, False, False), (-2.1, False, True)):
        change = report.Change(mean, 1.0, 5)
        assert (change.is_rise, change.is_fall) == (rise, fall)


def test_the_value_of_least_cost_on_validation_data_is_chosen() -> None:
    # On test data it would be the other one.
    turned = [one._replace(validation={"accuracy": -one.test["accuracy"]}) for one in results()]
    assert report.chosen(turned, "all", "mild", lambda found: -found["accuracy"].mean) == STRONG
    assert report.chosen(results(), "all", "mild", lambda found: -found["accuracy"].mean) == MILD
    assert report.chosen(results(), "all", "wild", lambda _found: 0.0) is None
    # Of 10 a class one of the two was not trained: there is nothing to choose from.
    assert report.chosen(results(), "10", "mild", lambda _found: 0.0) is None


def rows(text: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if "---" not in line[0]]


def write(folder: Path, found: list[Any], drawn: list[Any]) -> str:
    folder.mkdir(exist_ok=True)
    page = report.Page(tuple(ACCURACY), NAMES, PANELS, drawn, [BASE])
    report.write("bikes", folder, found, page, "All bikes.", "bikes.py data.zip")
    return (folder / "bikes.md").read_text(encoding="utf-8")


def test_the_tables_say_what_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = write(tmp_path, results(), [MILD])
    assert capsys.readouterr().out.strip() == text.strip()
    assert text.startswith("Made by `python examples/bikes.py data.zip` on ")
    assert "All bikes." in text

    def cells(values: list[float], sign: str = "+") -> list[str]:
        mean, error = mean_and_error([100 * value for value in values])
        other = mean_and_error([3 - 2 * value if sign == "" else -2 * value for value in values])
        return [f"{mean:{sign}.2f} ± {error:.2f}", f"{other[0]:{sign}.3f} ± {other[1]:.3f}"]

    head = ["setting", "decision", "seeds", "accuracy", "severity"]
    assert rows(text.split("**All data**")[1]) == [
        head,
        ["cross entropy", "most probable", "4", *cells(list(ACCURACY[BASE]), "")],
        ["cross entropy", "superclass", "4", *cells([0.01 * seed for seed in range(4)])],
        ["mild, r=0.5", "most probable", "4", *cells(differences(MILD))],
        ["mild, r=0.9", "most probable", "4", *cells(differences(STRONG))],
    ]
    # Fewer data come first, and seeds are paired: the accuracies are the same, as far apart as they are.
    few = rows(text.split("**10 a class**")[1].split("**")[0])
    assert few[2] == ["mild, r=0.5", "most probable", "2", "+0.00 ± 0.00", "+0.000 ± 0.000"]
    assert statistics.stdev([0.9, 0.9 - 1 / 7]) > 0.1


@pytest.mark.parametrize("is_report", [False, True])
def test_an_experiment_trains_what_is_missing_or_only_reports(is_report: bool, tmp_path: Path) -> None:
    trials = [sweep.Trial(setting, seed) for setting in (BASE, MILD) for seed in range(4)]
    trained: list[Any] = []

    def train(trial: Any) -> list[Any]:
        trained.append(trial)
        return [one for one in results() if one.trial == trial]

    given = argparse.Namespace(report=is_report, only=None, out=tmp_path, workers=1)
    page = report.Page(tuple(ACCURACY), NAMES, PANELS, [MILD], [])
    if is_report:
        with pytest.raises(sweep.DataError, match=r"bikes\.csv holds no results"):
            report.carry_out(given, "bikes", train, trials, page, "", "bikes.py")
    sweep.run(train, trials[:6], tmp_path / "bikes.csv", workers=1)
    trained.clear()
    report.carry_out(given, "bikes", train, trials, page, "", "bikes.py")
    assert trained == ([] if is_report else trials[6:])
    found = rows((tmp_path / "bikes.md").read_text(encoding="utf-8"))
    assert [row[2] for row in found[1:]] == ["4", "2" if is_report else "4"]


def test_the_same_results_give_the_same_picture(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        write(folder, results(), [MILD, STRONG])
    first, second = ((tmp_path / folder / "bikes.png").read_bytes() for folder in "ab")
    assert first == second
    write(tmp_path / "a", results(), [STRONG])
    assert (tmp_path / "a" / "bikes.png").read_bytes() != first
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"Matplotlib" not in first


def test_names_on_a_picture_do_not_stand_on_each_other() -> None:
    ends = [(1.0, "a", "C0"), (1.01, "b", "C1"), (1.02, "c", "C2"), (5.0, "d", "C3")]
    heights = [height for height, _ in report._apart(ends, 0.5)]
    assert all(above - below >= 0.5 - 1e-9 for below, above in itertools.pairwise(heights))
    assert statistics.fmean(heights) == pytest.approx(statistics.fmean(end[0] for end in ends))


@pytest.mark.parametrize("value", [0.25, math.nan])
def test_a_picture_of_one_seed_and_of_no_figures_is_drawn(tmp_path: Path, value: float) -> None:
    write(tmp_path, [result(BASE, 0, 0.5), result(MILD, 0, value)], [MILD, STRONG])
    assert (tmp_path / "bikes.png").stat().st_size > 0
