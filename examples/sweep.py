"""What the experiments share: trainings over settings and seeds, the choice on validation data, tables and a picture.

An experiment is a list of trials (a method, its setting, a seed) and a function that trains one of them and says how
good the model is on validation data and on test data. Settings are chosen by the former and reported by the latter.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

import simloss
import simmatrix

__all__ = [
    "BASE",
    "Result",
    "Setting",
    "Spread",
    "Summary",
    "Together",
    "Train",
    "Trial",
    "choose",
    "count_of",
    "keep_best",
    "options",
    "run",
    "summary",
    "write",
]

RESULTS = Path(__file__).parent / "results"

_SPLITS = ("validation", "test")
# What the picture shows has at least this share of what cross entropy has on the y axis.
_LEAST_SHARE = 0.85
_TITLES = {
    "hierarchical_distance_1": "HD@1",
    "hierarchical_distance_5": "HD@5",
    "position_mae": "MAE",
    "position_mse": "MSE",
}


class Setting(NamedTuple):
    """A method, which is one curve of the picture, and a value of what is swept, which is a point on it."""

    method: str
    value: str = ""


BASE = Setting("cross entropy")
"""What all others are compared with."""


class Trial(NamedTuple):
    """One training."""

    setting: Setting
    seed: int


class Result(NamedTuple):
    """How good a trained model is. A training may give several, one for each way to decide with the model."""

    setting: Setting
    seed: int
    validation: Mapping[str, float]
    test: Mapping[str, float]


class Spread(NamedTuple):
    """A mean over seeds, and the standard deviation of one seed from it."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if math.isnan(self.deviation) else f"{self.mean:.3f} ± {self.deviation:.3f}"


Train: TypeAlias = Callable[[Trial], list[Result]]
Summary: TypeAlias = dict[Setting, dict[str, Spread]]
"""Of each setting, the spread of each figure over the seeds."""


class Together(nn.Module):
    """Cross entropy and SimLoss at once: the one tells all classes apart, the other minds what is far off.

    Parameters
    ----------
    matrix
        The similarity, of as much influence as it may be.
    share
        That of SimLoss in the sum, in [0, 1].
    """

    def __init__(self, matrix: simmatrix.SimilarityMatrix, share: float) -> None:
        super().__init__()
        self.exact, self.similar, self.share = nn.CrossEntropyLoss(), simloss.SimLoss(matrix), share

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the examples."""
        loss: Tensor = (1 - self.share) * self.exact(logits, labels) + self.share * self.similar(logits, labels)
        return loss


def count_of(what: str) -> Callable[[str], int]:
    """Return what reads a number of something, at least 1, from the command line."""

    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {what}; give 1 or more")
        return int(text)

    return count


def options(description: str | None, *, seeds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all experiments have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=count_of("trainings"), default=seeds, metavar="N", help="trainings a setting (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a short run on less data: to see it work, not to learn")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="for the results (%(default)s)")
    return parser


def keep_best(model: nn.Module, epoch: Callable[[], float], epochs: int, patience: float = math.inf) -> None:
    """Run epochs, each of which changes the model and says how good it is; leave it as it was at its best.

    It stops after `patience` epochs in a row that are no better.
    """
    best, since, state = -math.inf, 0, _copied(model)
    for _epoch in range(epochs):
        good = epoch()
        since += 1
        if good > best:
            best, since, state = good, 0, _copied(model)
        if since >= patience:
            break
    model.load_state_dict(state)


def run(train: Train, trials: Sequence[Trial], file: Path, *, workers: int | None = None) -> list[Result]:
    """Train all trials, and write what comes of each to a CSV file at once.

    On a CPU several are trained at a time, in `workers` processes of one thread each (one a core, if not given), so
    that the results do not depend on how many there are. What `train` holds goes to each process once.
    """
    if workers is None:
        workers = 1 if torch.cuda.is_available() else min(len(trials), os.cpu_count() or 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.part")
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    results: list[Result] = []
    names: list[str] = []
    bar = Progress(*columns, transient=True, disable=not sys.stdout.isatty())
    with unfinished.open("w", encoding="utf-8", newline="") as stream, bar as progress:
        writer = csv.writer(stream, lineterminator="\n")
        for found in progress.track(_trained(train, trials, workers), total=len(trials)):
            if not names:
                names = list(found[0].test)
                writer.writerow(["method", "setting", "seed", "data", *names])
            for result in found:
                for split in _SPLITS:
                    figures = getattr(result, split)
                    writer.writerow([*result.setting, result.seed, split, *(f"{figures[name]:.6g}" for name in names)])
            results += found
            stream.flush()
    unfinished.replace(file)
    return results


def summary(results: Sequence[Result], split: str) -> Summary:
    """Return the means and deviations over the seeds, on validation or on test data."""
    found: dict[Setting, list[Mapping[str, float]]] = {}
    for result in results:
        found.setdefault(result.setting, []).append(getattr(result, split))
    return {
        setting: {name: _spread([figures[name] for figures in runs]) for name in runs[0]}
        for setting, runs in found.items()
    }


def choose(results: Sequence[Result], cost: Callable[[Mapping[str, Spread]], tuple[float, ...]]) -> list[Setting]:
    """Return of each method but cross entropy the setting of the least cost on validation data."""
    found = summary(results, "validation")
    methods = dict.fromkeys(setting.method for setting in found if setting != BASE)
    return [
        min((setting for setting in found if setting.method == method), key=lambda setting: cost(found[setting]))
        for method in methods
    ]


def write(
    name: str, folder: Path, results: Sequence[Result], chosen: Sequence[Setting], rule: str, axes: tuple[str, str]
) -> None:
    """Write the tables and the picture, and print the table of what was chosen.

    Parameters
    ----------
    name, folder
        ``name.md`` has the chosen settings, ``name-all.md`` all of them, ``name.png`` is the picture.
    results
        Those of all trials, of `BASE` among them.
    chosen
        One setting of each method, chosen on validation data.
    rule
        How it was chosen, a sentence.
    axes
        The figures that the picture has on its x and its y axis.
    """
    found = summary(results, "test")
    head = f"Made by `{_command()}` on {_machine()}.\n\n"
    if name.endswith("-quick"):
        head += "A short run, to see it work: its figures say nothing about the methods.\n\n"
    legend = "On test data, mean ± standard deviation over the seeds."
    compared = _table([BASE, *chosen], found)
    differences = _table(chosen, _differences(results))
    texts = {
        f"{name}.md": f"{rule} {legend}\n\n{compared}\n\nDifference to cross entropy, seed by seed:\n\n{differences}\n",
        f"{name}-all.md": f"{legend}\n\n{_table(list(found), found)}\n",
    }
    for file, text in texts.items():
        (folder / file).write_text(head + text, encoding="utf-8")
    _picture(found, chosen, axes, folder / f"{name}.png")
    print(head + texts[f"{name}.md"])


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _trained(train: Train, trials: Sequence[Trial], workers: int) -> Iterator[list[Result]]:
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in processes of their own, since sums depend on it in their last bits
        try:
            yield from map(train, trials)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (train,)) as pool:
        yield from pool.map(_train_in_worker, trials)


_in_worker: Train


def _start_worker(train: Train) -> None:
    global _in_worker  # what a process is given at its start has nowhere else to stay
    torch.set_num_threads(1)
    _in_worker = train


def _train_in_worker(trial: Trial) -> list[Result]:
    return _in_worker(trial)


def _spread(values: Sequence[float]) -> Spread:
    # A severity is NaN where there are no mistakes, and statistics.stdev can't take it.
    is_defined = len(values) > 1 and all(map(math.isfinite, values))
    return Spread(statistics.fmean(values), statistics.stdev(values) if is_defined else math.nan)


def _differences(results: Sequence[Result]) -> Summary:
    """Return how far each setting's figures on test data are from cross entropy's with the same seed."""
    base = {result.seed: result.test for result in results if result.setting == BASE}
    return summary(
        [
            result._replace(test={name: value - base[result.seed][name] for name, value in result.test.items()})
            for result in results
        ],
        "test",
    )


def _table(settings: Sequence[Setting], found: Summary) -> str:
    names = list(found[settings[0]])
    header = ["method", "setting", *(_title(name) for name in names)]
    rows = [[*setting, *(str(found[setting][name]) for name in names)] for setting in settings]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _picture(found: Summary, chosen: Sequence[Setting], axes: tuple[str, str], file: Path) -> None:
    """Draw each method as a curve through its settings, each with its value; what was chosen is ringed.

    What is far below cross entropy on the y axis is left to the table: among it nothing else could be told apart.
    """
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    plot = figure.add_subplot(xlabel=_title(axes[0]), ylabel=_title(axes[1]))
    plot.set_prop_cycle(color=[colormaps["tab20"](number) for number in range(20)])
    lowest = _LEAST_SHARE * found[BASE][axes[1]].mean
    shown = {setting: figures for setting, figures in found.items() if not figures[axes[1]].mean < lowest}
    for method in dict.fromkeys(setting.method for setting in shown):
        points = [[figures[axis] for axis in axes] for setting, figures in shown.items() if setting.method == method]
        (x, dx), (y, dy) = (zip(*axis, strict=True) for axis in zip(*points, strict=True))
        marker = {"marker": "*", "markersize": 14} if method == BASE.method else {"marker": "."}
        plot.errorbar(x, y, xerr=dx, yerr=dy, linewidth=1, elinewidth=0.3, label=method, **marker)
    for setting, figures in shown.items():
        at = (figures[axes[0]].mean, figures[axes[1]].mean)
        plot.annotate(setting.value.rpartition(" ")[2], at, (4, 4), textcoords="offset points", fontsize=6)
    across, up = ([shown[setting][axis].mean for setting in chosen if setting in shown] for axis in axes)
    plot.scatter(across, up, s=120, facecolors="none", edgecolors="black", label="chosen on validation data", zorder=3)
    figure.legend(loc="outside right upper", fontsize="small")
    plot.grid(alpha=0.3)
    # Without the time of day and the version, so that the same results give the same bytes.
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _command() -> str:
    return shlex.join(["python", f"examples/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def _machine() -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores"
    return f"{device} ({platform.machine()}), Python {platform.python_version()}, PyTorch {torch.__version__}"
