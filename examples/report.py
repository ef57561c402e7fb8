"""Tables and a picture of an experiment's results: what each setting changes, seed by seed."""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from sweep import BASE, PROBABLE, DataError, Result, Setting, Train, Trial, picked, run

__all__ = [
    "FIGURES",
    "ORDERED",
    "TREE",
    "Change",
    "Page",
    "Panel",
    "amounts_of",
    "carry_out",
    "changes",
    "chosen",
    "machine",
    "markdown",
    "means",
    "picture",
    "rows_of",
    "write",
]


class Kind(NamedTuple):
    """How a figure is shown: its title, by what it is multiplied, and with how many digits."""

    title: str
    factor: float = 1.0
    digits: int = 3

    def shown(self, change: Change, sign: str = "") -> str:
        """Return a mean with its standard error."""
        mean, error = self.factor * change.mean, self.factor * change.error
        return f"{mean:{sign}.{self.digits}f}" + ("" if math.isnan(error) else f" ± {error:.{self.digits}f}")


FIGURES = {
    "accuracy": Kind("accuracy", 100, 2),
    "superclass_accuracy": Kind("superclass accuracy", 100, 2),
    "failed_superclass_accuracy": Kind("failed superclass accuracy", 100, 2),
    "severity": Kind("severity"),
    "hierarchical_distance_1": Kind("HD@1"),
    "position_mae": Kind("MAE"),
    "position_mse": Kind("MSE", 1, 2),
    "calibration_error": Kind("calibration error", 100, 1),
    "scaled_calibration_error": Kind("scaled calibration error", 100, 1),
    "classes_predicted": Kind("classes predicted", 1, 1),
}
TREE = tuple(name for name in FIGURES if not name.startswith("position"))
_OF_SUPERCLASSES = ("superclass_accuracy", "failed_superclass_accuracy", "hierarchical_distance_1")
ORDERED = tuple(name for name in FIGURES if name not in _OF_SUPERCLASSES)
LEGEND = (
    "The row of cross entropy has its own figures, all others the difference to it with the same seed: mean ± standard "
    "error over the seeds. Accuracies and calibration errors are per cent, their differences points."
)


class Change(NamedTuple):
    """The mean over seeds, its standard error (NaN for one seed), and their number."""

    mean: float
    error: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Change:
        """Return that of one value a seed."""
        # A severity is NaN where there are no mistakes, and statistics.stdev can't take it.
        is_spread = len(values) > 1 and all(map(math.isfinite, values))
        error = statistics.stdev(values) / math.sqrt(len(values)) if is_spread else math.nan
        return cls(statistics.fmean(values), error, len(values))

    @property
    def is_rise(self) -> bool:
        """Whether it is above 0 by more than twice its standard error."""
        return self.mean > 2 * self.error

    @property
    def is_fall(self) -> bool:
        """Whether it is below 0 by more than twice its standard error."""
        return -self.mean > 2 * self.error


def changes(
    results: Iterable[Result],
    amount: str,
    setting: Setting,
    decision: str = PROBABLE,
    *,
    base: Setting = BASE,
    base_decision: str = PROBABLE,
    split: str = "test",
) -> dict[str, Change]:
    """Return how a setting's figures differ from another one's, over the seeds that both have."""
    figures = {(result.trial, result.decision): getattr(result, split) for result in results}
    pairs = [
        (own, other)
        for (trial, decided), own in figures.items()
        if (trial.setting, trial.amount, decided) == (setting, amount, decision)
        and (other := figures.get((Trial(base, trial.seed, amount), base_decision)))
    ]
    names = pairs[0][0] if pairs else ()
    return {name: Change.of([own[name] - other[name] for own, other in pairs]) for name in names}


def amounts_of(results: Iterable[Result]) -> list[str]:
    """Return the amounts of training data, the least first and all of them last."""
    amounts = {result.trial.amount for result in results}
    return sorted(amounts, key=lambda amount: (not amount.isdecimal(), int(amount) if amount.isdecimal() else 0))


def means(results: Iterable[Result], amount: str, setting: Setting, split: str = "test") -> dict[str, Change]:
    """Return a setting's own figures, decided by the most probable class."""
    found: list[Mapping[str, float]] = [
        getattr(result, split)
        for result in results
        if (result.trial.setting, result.trial.amount, result.decision) == (setting, amount, PROBABLE)
    ]
    return {name: Change.of([figures[name] for figures in found]) for name in (found[0] if found else ())}


def chosen(
    results: Sequence[Result], amount: str, method: str, cost: Callable[[Mapping[str, Change]], float]
) -> Setting | None:
    """Return the setting of a method whose mean cost on validation data is least; None if one was not trained."""
    settings = dict.fromkeys(one.trial.setting for one in results if one.trial.setting.method == method)
    costs = {
        setting: cost(found) for setting in settings if (found := means(results, amount, setting, split="validation"))
    }
    return min(costs, key=lambda setting: costs[setting], default=None) if len(costs) == len(settings) else None


def rows_of(
    results: Sequence[Result],
    settings: Iterable[Setting],
    amount: str,
    names: Sequence[str],
    decided: Sequence[Setting],
) -> list[list[str]]:
    """Return the rows of the table of an amount of training data, titles first; of some settings with all decisions."""
    decisions = dict.fromkeys(result.decision for result in results)
    ordered = [PROBABLE, *(one for one in decisions if one != PROBABLE)]
    rows = [["setting", "decision", "seeds", *(FIGURES[name].title for name in names)]]
    for setting in settings:
        for decision in ordered if setting in decided else ordered[:1]:
            is_base = (setting, decision) == (BASE, PROBABLE)
            found = means(results, amount, BASE) if is_base else changes(results, amount, setting, decision)
            if found:
                cells = [FIGURES[name].shown(found[name], "" if is_base else "+") for name in names]
                rows.append([str(setting), decision, str(next(iter(found.values())).seeds), *cells])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; its first row holds the titles."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:]))


class Panel(NamedTuple):
    """A question of the picture, the figure that answers it, and the figure's unit."""

    question: str
    figure: str
    unit: str = "points"


def picture(
    results: Sequence[Result], settings: Sequence[Setting], amounts: Sequence[str], panels: Sequence[Panel], file: Path
) -> None:
    """Draw the differences to cross entropy over the amounts of training data, a panel a question, a line a setting.

    Bars are standard errors. Names stand at the ends of the lines. An amount without a difference is left out.
    """
    amounts = [
        amount for amount in amounts if any(changes(results, amount, setting) for setting in settings)
    ] or amounts
    figure = Figure(figsize=(5.4 * len(panels), 3.8), layout="constrained")
    plots = figure.subplots(1, len(panels), squeeze=False)[0]
    for plot, panel in zip(plots, panels, strict=True):
        kind = FIGURES[panel.figure]
        ends: list[tuple[float, str, str]] = []
        for number, setting in enumerate(settings):
            found = {
                place: change[panel.figure]
                for place, amount in enumerate(amounts)
                if (change := changes(results, amount, setting))
            }
            if not found:
                continue
            # Lines stand a little apart, so that their bars can be told.
            places = [place + 0.06 * (number - (len(settings) - 1) / 2) for place in found]
            heights = [kind.factor * change.mean for change in found.values()]
            errors = [0.0 if math.isnan(one.error) else kind.factor * one.error for one in found.values()]
            plot.errorbar(places, heights, errors, marker="o", markersize=4, linewidth=1.6, color=f"C{number}")
            ends.append((heights[-1], str(setting), f"C{number}"))
        plot.plot([-0.4, len(amounts) - 0.85], [0, 0], color="black", linewidth=0.8)  # not through the names
        plot.set_title(panel.question, fontsize=11)
        plot.set_ylabel(f"{kind.title}: difference to cross entropy, {panel.unit}", fontsize=8)
        plot.set_xticks(range(len(amounts)), [_amount(amount) for amount in amounts])
        plot.set_xlim(-0.4, len(amounts) - 0.6 + 0.5 * len(amounts))
        plot.spines[["top", "right"]].set_visible(False)
        low, high = plot.get_ylim()
        for height, (_, name, colour) in _apart(sorted(ends), 0.06 * (high - low)):
            at = (len(amounts) - 1 + 0.2, height)
            plot.annotate(name, at, color=colour, fontsize=9, verticalalignment="center")
    # Without the time of day and the version, so that the same results give the same bytes.
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _apart(ends: Sequence[tuple[float, str, str]], least: float) -> list[tuple[float, tuple[float, str, str]]]:
    """Return the ends of lines with heights for their names, which are `least` apart, as near as may be."""
    placed: list[tuple[float, tuple[float, str, str]]] = []
    for end in ends:
        placed.append((max(end[0], placed[-1][0] + least) if placed else end[0], end))
    shift = statistics.fmean(height - end[0] for height, end in placed) if placed else 0.0
    return [(height - shift, end) for height, end in placed]


def _amount(amount: str) -> str:
    return f"{amount} a class" if amount.isdecimal() else f"{amount} data"


class Page(NamedTuple):
    """What the tables and the picture of an experiment show.

    Parameters
    ----------
    settings
        In the tables' order; those without results are left out.
    figures
        The columns, of `FIGURES`.
    panels, drawn
        The picture's questions, and its settings.
    decided
        The settings that are shown with all decisions.
    """

    settings: Sequence[Setting]
    figures: Sequence[str]
    panels: Sequence[Panel]
    drawn: Sequence[Setting]
    decided: Sequence[Setting]


def carry_out(
    given: argparse.Namespace, name: str, train: Train, trials: Sequence[Trial], page: Page, about: str, command: str
) -> None:
    """Train what is missing of what was asked for on the command line, and write the tables and the picture.

    `about` and `command` are those of `write`.
    """
    chosen_trials = [] if given.report else picked(trials, given.only)
    results = run(train, chosen_trials, given.out / f"{name}.csv", workers=given.workers)
    write(name, given.out, results, page, about, command)


def write(name: str, folder: Path, results: Sequence[Result], page: Page, about: str, command: str) -> None:
    """Write the tables (``name.md``) and the picture (``name.png``), and print the tables.

    Parameters
    ----------
    name, folder
        Of the files.
    results
        All that there are.
    page
        What is shown of them.
    about
        Sentences on the data.
    command
        What makes it: the script with what it needs. Results may have come in several runs, so it is not this run's.

    Raises
    ------
    DataError
        If there are no results.
    """
    if not results:
        raise DataError(f"{folder / name}.csv holds no results; run the experiment without --report first")
    amounts = amounts_of(results)
    head = f"Made by `python examples/{command}` on {machine()}. {about}\n\n{LEGEND}\n"
    if name.endswith("-quick"):
        head += "\nA short run, to see it work: its figures say nothing about the methods.\n"
    tables = {
        amount: markdown(rows_of(results, page.settings, amount, page.figures, page.decided)) for amount in amounts
    }
    parts = [f"\n**{_amount(amount).capitalize()}**\n\n{table}\n" for amount, table in tables.items()]
    text = head + "".join(parts)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    picture(results, page.drawn, amounts, page.panels, folder / f"{name}.png")
    print(text)


def machine() -> str:
    """Return what the trainings ran on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores"
    return f"{device} ({platform.machine()}), Python {platform.python_version()}, PyTorch {torch.__version__}"
