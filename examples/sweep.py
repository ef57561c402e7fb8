"""What the experiments share: trainings over settings, amounts of data and seeds, each written as soon as it is done.

An experiment is a list of trials and a function that trains one of them and says how good the model is, on validation
data and on test data. Results stand in a CSV file. A trial that is in it is not trained again, so that a run that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

__all__ = [
    "ALL",
    "BASE",
    "PROBABLE",
    "RESULTS",
    "DataError",
    "Result",
    "Setting",
    "Train",
    "Trial",
    "amount_of",
    "count_of",
    "keep_best",
    "options",
    "picked",
    "read_results",
    "run",
]

RESULTS = Path(__file__).parent / "results"
ALL = "all"
PROBABLE = "most probable"
_COLUMNS = ("amount", "method", "setting", "seed", "decision", "data")
_SPLITS = ("validation", "test")


class DataError(Exception):
    """What is given can't be used; the message says what was expected."""


class Setting(NamedTuple):
    """A method, and a value of what is varied of it."""

    method: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.method}, {self.value}" if self.value else self.method


BASE = Setting("cross entropy")
"""What all others are compared with."""


class Trial(NamedTuple):
    """One training: its setting, its seed, and how much training data there is, `ALL` or a number a class."""

    setting: Setting
    seed: int
    amount: str = ALL


class Result(NamedTuple):
    """How good a trained model is. A training gives one for each way to decide with the model."""

    trial: Trial
    decision: str
    validation: Mapping[str, float]
    test: Mapping[str, float]


Train: TypeAlias = Callable[[Trial], list[Result]]


def count_of(what: str) -> Callable[[str], int]:
    """Return what reads a number of something, at least 1, from the command line."""

    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {what}; give 1 or more")
        return int(text)

    return count


def amount_of(text: str) -> str:
    """Return an amount of training data from the command line: `ALL`, or a number of examples a class."""
    return text if text == ALL else str(count_of("examples a class")(text))


def options(description: str | None, *, seeds: int, amounts: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser with the options that all experiments have.

    With `amounts`, those that are trained if none are named, it has an option for them.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=count_of("trainings"), default=seeds, metavar="N", help="trainings a setting (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a short run on less data: to see it work, not to learn")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="for the results (%(default)s)")
    parser.add_argument(
        "--workers", type=count_of("processes"), metavar="N", help="trainings at a time (one a core; one on a GPU)"
    )
    parser.add_argument(
        "--report", action="store_true", help="train nothing: write the tables of what is in the file of results"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="settings whose names begin so")
    if amounts:
        parser.add_argument(
            "--amounts",
            type=amount_of,
            nargs="+",
            default=list(amounts),
            metavar="N",
            help=f"training examples a class, or {ALL} ({' '.join(amounts)})",
        )
    return parser


def picked(trials: Sequence[Trial], only: Sequence[str] | None) -> list[Trial]:
    """Return the trials whose settings' names begin in one of some ways, or all.

    Raises
    ------
    DataError
        If no setting's name begins so.
    """
    for start in only or ():
        if not any(str(trial.setting).startswith(start) for trial in trials):
            names = "; ".join(dict.fromkeys(str(trial.setting) for trial in trials))
            raise DataError(f"--only: no setting's name begins with {start!r}; there are {names}")
    return [trial for trial in trials if only is None or str(trial.setting).startswith(tuple(only))]


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
    """Train the trials that the file does not have yet, write each to it at once, and return all that it then has.

    On a CPU several are trained at a time, in `workers` processes of one thread each (one a core, if not given), so
    that the results do not depend on how many there are. What `train` holds goes to each process once. The order of
    the file's rows does not depend on the order of the trainings.

    Raises
    ------
    DataError
        If the file is no file of results, or one of other figures.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    found = read_results(file) if file.exists() else []
    done = {result.trial for result in found}
    missing = [trial for trial in trials if trial not in done]
    if workers is None:
        workers = 1 if torch.cuda.is_available() else min(len(missing), os.cpu_count() or 1)
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as progress:
        for results in progress.track(_trained(train, missing, workers), total=len(missing)):
            found = sorted([*found, *results], key=lambda result: (result.trial[::-1], result.decision))
            _write(file, found)
    # As the file has them, rounded: so the tables do not depend on when a trial was run.
    return read_results(file) if found else []


def read_results(file: Path) -> list[Result]:
    """Return the results in a CSV file.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    splits: dict[tuple[Trial, str], dict[str, dict[str, float]]] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        try:
            for row in rows:
                amount, method, value, seed, decision, split = (row.pop(name) for name in _COLUMNS)
                figures = {name: float(text) for name, text in row.items()}
                splits.setdefault((Trial(Setting(method, value), int(seed), amount), decision), {})[split] = figures
            return [Result(*key, *(parts[split] for split in _SPLITS)) for key, parts in splits.items()]
        except (KeyError, TypeError, ValueError, csv.Error):
            where = f"{file}, line {rows.line_num}"
            raise DataError(f"{where}: is no row of results; move the file away, or name another folder") from None


def _write(file: Path, results: Sequence[Result]) -> None:
    names = list(results[0].test)
    unfinished = file.with_name(f"{file.name}.part")
    with unfinished.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*_COLUMNS, *names])
        for trial, decision, *parts in results:
            for split, figures in zip(_SPLITS, parts, strict=True):
                if set(figures) != set(names):
                    unfinished.unlink()
                    raise DataError(f"{file} holds other figures than are made now; move it away")
                row = [trial.amount, *trial.setting, trial.seed, decision, split]
                writer.writerow([*row, *(f"{figures[name]:.6g}" for name in names)])
    unfinished.replace(file)


def _copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _trained(train: Train, trials: Sequence[Trial], workers: int) -> Iterator[list[Result]]:
    if workers <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in processes of their own, since sums depend on it in their last bits
        try:
            yield from map(train, trials)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (train,)) as pool:
        futures = [pool.submit(_train_in_worker, trial) for trial in trials]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_in_worker: Train


def _start_worker(train: Train) -> None:
    global _in_worker  # what a process is given at its start has nowhere else to stay
    torch.set_num_threads(1)
    _in_worker = train


def _train_in_worker(trial: Trial) -> list[Result]:
    return _in_worker(trial)
