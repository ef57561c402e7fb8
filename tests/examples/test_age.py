"""The experiment on faces: both data sets' folders as their archives have them, the protocol, and short runs of it."""

from __future__ import annotations

import csv
import importlib
import math
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.functional.classification import multiclass_calibration_error

EXAMPLES = Path(__file__).parents[2] / "examples"
DATE = "20170116174525125"


@pytest.fixture(scope="module")
def age() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("age")


@pytest.fixture
def main(age: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the command in this process, with trainings one after the other."""

    def run(*arguments: str | Path) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        monkeypatch.setattr(sys, "argv", ["age.py", *map(str, arguments)])
        age.main()

    return run


def save(path: Path, level: int = 128, size: tuple[int, int] = (64, 64)) -> None:
    """Write a grey JPEG. At this quality a coefficient's step is 1, so that a flat grey comes back exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path, "JPEG", quality=100)


def utkface(folder: Path, ages: dict[int, int]) -> Path:
    """Write so many aligned faces of each age, each in a grey of its own age."""
    for years, count in ages.items():
        for i in range(count):
            save(folder / f"{years}_{i % 2}_{i % 5}_2017011617452{i:04}.jpg.chip.jpg", 2 * years)
    return folder


def afad(folder: Path, ages: dict[int, int]) -> Path:
    """Write so many faces of each age and gender, and what lies beside them in the archive."""
    for years, count in ages.items():
        for gender in (111, 112):
            for i in range(count):
                save(folder / "AFAD-Full" / str(years) / str(gender) / f"{638660 + i}-{i % 3}.jpg", 3 * years)
    for stray in ("README.md", "AFAD-Full/AFAD-Full.txt", "AFAD-Full/18/111/Thumbs.db"):
        (folder / stray).write_bytes(b"no face")
    return folder


def claim(path: Path, size: int) -> None:
    """Let a JPEG claim another size in its frame header (ITU T.81, B.2.2): marker, length, precision, Y, X."""
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", size, size)
    path.write_bytes(data)


def greys(faces: Any) -> list[int]:
    """Return the grey of each image, which must be flat."""
    values = [image.unique().tolist() for image in faces.images]
    assert all(len(value) == 1 for value in values)
    return [value for (value,) in values]


def test_utkface_is_read_in_the_order_of_its_names_with_ages_and_pixels(age: ModuleType, tmp_path: Path) -> None:
    names = {  # sorted as text
        f"part1/100_0_0_{DATE}.jpg": 200,
        f"part1/9_1_3_{DATE}.jpg": 18,
        f"part2/10_1_3_{DATE}.jpg.chip.jpg": 20,
        f"part2/deep/1_0_4_{DATE}.JPG": 2,
        f"part3/90_0_4_{DATE}.jpeg": 180,
        f"part3/9_0_4_{DATE}.jpg": 19,
    }
    for name, level in names.items():
        save(tmp_path / name, level)
    faces = age.load(tmp_path)
    assert (faces.kind, faces.ages) == ("UTKFace", (1, 9, 10, 90))
    assert faces.left_out == ("1 faces of more than 90 years",)
    assert faces.images.shape == (5, 3, 60, 60)
    assert faces.images.dtype == torch.uint8
    assert greys(faces) == [18, 20, 2, 180, 19]
    assert faces.labels.tolist() == [1, 2, 0, 3, 1]


@pytest.mark.parametrize(
    ("name", "years"),
    [
        ("61_1_20170109142408075.jpg.chip.jpg", 61),
        ("53__0_20170116184028385.jpg", 53),
        ("55_0_0_20170116232725357jpg.jpg", 55),
        ("44_1_4_20170116235150272.pg.chip.jpg", 44),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", 24),
        ("0_1_4_20170116235150272.jpg", 0),
    ],
)
def test_a_misspelt_utkface_name_still_tells_its_age(age: ModuleType, tmp_path: Path, name: str, years: int) -> None:
    save(tmp_path / name)
    assert age.find(tmp_path)[1] == {name: years}


@pytest.mark.parametrize(
    "name",
    [
        f"_1_0_{DATE}.jpg",
        f"1000_1_0_{DATE}.jpg",
        f"young_1_0_{DATE}.jpg",
        f"-5_1_0_{DATE}.jpg",
        f"٣_1_0_{DATE}.jpg",
        f"25_1_0_{DATE}.png",
        f"25_1_0_{DATE}.jpg.part",
        f"._25_1_0_{DATE}.jpg",
        "12_angry_men.jpg",
        "25.jpg",
        "111/25/1-0.jpg",
        "25/113/1-0.jpg",
        "25/111/1-0.png",
        "25/111/deeper/1-0.jpg",
    ],
)
def test_any_other_name_is_counted_and_named(age: ModuleType, tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    utkface(tmp_path, {20: 3, 21: 3})
    faces = age.load(tmp_path)
    assert len(faces.labels) == 6
    assert faces.left_out == (f"1 files that are no face of UTKFace: {name}",)


def test_afad_is_read_with_the_ages_of_its_folders(age: ModuleType, tmp_path: Path) -> None:
    faces = age.load(afad(tmp_path, {18: 1, 21: 2, 75: 1}))
    assert (faces.kind, faces.ages) == ("AFAD", (18, 21, 75))
    assert faces.labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert greys(faces) == [54, 54, 63, 63, 63, 63, 225, 225]
    assert faces.left_out == (
        "3 files that are no face of AFAD: AFAD-Full/18/111/Thumbs.db, AFAD-Full/AFAD-Full.txt, README.md",
    )
    inside = age.load(tmp_path / "AFAD-Full")
    assert inside.labels.tolist() == faces.labels.tolist()


def test_of_many_files_left_out_the_first_are_named_and_the_others_counted(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path, {20: 3, 21: 3})
    for i in range(5):
        (tmp_path / f"notes{i}.txt").touch()
    expected = "5 files that are no face of UTKFace: notes0.txt, notes1.txt, notes2.txt and 2 more"
    assert age.load(tmp_path).left_out == (expected,)


def cut(path: Path, stop: int) -> None:
    path.write_bytes(path.read_bytes()[:stop])


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), "cannot identify"),
        (lambda path: path.write_text("not found"), "cannot identify"),
        (lambda path: Image.new("RGB", (9, 9)).save(path, "PNG"), "cannot identify"),
        (lambda path: cut(path, 400), "Truncated"),
        (lambda path: cut(path, -20), "truncated"),
        (pipe, "no regular file"),
        (lambda path: claim(path, 10_000), "exceeds limit"),  # which Pillow itself would only warn of
        (lambda path: claim(path, 30_000), "exceeds limit"),
    ],
    ids=["empty", "text", "png", "head", "body", "pipe", "large", "huge"],
)
def test_an_image_that_cannot_be_read_is_left_out_and_named(
    age: ModuleType, tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    utkface(tmp_path, {20: 3, 21: 3})
    path = tmp_path / f"20_1_1_{DATE}.jpg.chip.jpg"
    save(path)
    damage(path)
    faces = age.load(tmp_path)
    assert faces.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert greys(faces) == [40] * 3 + [42] * 3
    (left_out,) = faces.left_out
    assert left_out.startswith(f"1 images that can't be read: {path.name} (")
    assert reason in left_out


def test_an_age_whose_only_image_is_damaged_is_no_class(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path, {20: 3, 30: 3})
    (tmp_path / f"25_1_1_{DATE}.jpg").write_bytes(b"")
    assert age.load(tmp_path).ages == (20, 30)


def test_rows_columns_and_colours_are_where_they_belong(age: ModuleType, tmp_path: Path) -> None:
    image = np.zeros((60, 60, 3), dtype=np.uint8)
    image[:24, :, 0] = 255  # red above
    image[:, 40:, 2] = 255  # blue on the right; both at borders of blocks, and colours at full resolution
    for i in range(5):
        Image.fromarray(image).save(tmp_path / f"{20 + i}_0_0_{DATE}.jpg", quality=100, subsampling=0)
    found = age.load(tmp_path).images[0].to(torch.int64)
    # Y, Cb and Cr are rounded to integers, by 1/2 at most, and each colour is at most Y + 1.772 Cb or Cr (ITU T.871).
    assert (found - torch.from_numpy(image).permute(2, 0, 1)).abs().max() <= 2


def test_an_aligned_face_is_scaled_from_all_its_pixels(age: ModuleType, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = tmp_path / f"20_0_0_{DATE}.jpg.chip.jpg"
    Image.fromarray(noise).save(path)
    found, *_ = age.read(tmp_path, [path.name])
    expected = Image.open(path).resize((60, 60), Image.Resampling.BILINEAR)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), np.array(expected))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colour_models_become_red_green_and_blue(age: ModuleType, tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"20_0_0_{DATE}.jpg"
    Image.new("L", (1200, 900), 77).convert(mode).save(path, quality=100)
    found, names, unreadable = age.read(tmp_path, [path.name])
    assert (names, unreadable) == ([path.name], [])
    assert found.shape == (1, 3, 60, 60)
    assert found.unique().tolist() == [77]


def test_some_faces_of_a_folder_are_spread_over_it(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path, {20: 10, 30: 10, 40: 10})
    faces = age.load(tmp_path, 14)
    assert faces.ages == (20, 30, 40)
    assert len(faces.labels) == 10
    assert faces.left_out == ()


def test_a_folder_that_cannot_be_listed_is_an_error(
    main: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utkface(tmp_path / "part1", {20: 5, 21: 5})
    (tmp_path / "part2").mkdir()
    scandir = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("part2"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SystemExit, match=r"error: .*Permission denied.*part2"):
        main(tmp_path, "--quick", "--out", tmp_path / "out")


def test_a_linked_folder_is_read_too(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path / "elsewhere", {20: 3, 21: 3})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "part1").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert age.load(tmp_path / "data").labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_copies_of_a_face_are_refused(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path / "aligned", {20: 3, 21: 3})
    save(tmp_path / "part1" / "20_0_0_20170116174520000.jpg")
    with pytest.raises(age.DataError, match=r"twice, aligned/20_0_0_\d*\.jpg\.chip\.jpg and part1/20_0_0_\d*\.jpg,"):
        age.load(tmp_path)


def test_the_same_number_at_another_age_or_gender_is_another_face(age: ModuleType, tmp_path: Path) -> None:
    afad(tmp_path, {18: 1, 19: 1})
    assert len(age.find(tmp_path)[1]) == 4
    save(tmp_path / "AFAD-Lite" / "18" / "111" / "638660-0.jpg")
    with pytest.raises(age.DataError, match="twice"):
        age.find(tmp_path)


@pytest.mark.parametrize("count", [5, 7, 24, 1000])
def test_the_parts_are_three_fifths_and_a_fifth_each_and_disjoint(age: ModuleType, count: int) -> None:
    parts = age.split(count)
    assert torch.cat(parts).sort().values.tolist() == list(range(count))
    assert [len(part) for part in parts] == [count * 6 // 10, count * 8 // 10 - count * 6 // 10, -(-count * 2 // 10)]
    again = age.split(count)
    assert all(torch.equal(*both) for both in zip(parts, again, strict=True))


def test_the_network_has_the_layers_of_the_paper(age: ModuleType) -> None:
    network = age.network(90)
    assert network(torch.zeros(2, 3, 60, 60)).shape == (2, 90)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, *layer.kernel_size) for layer in convolutions] == [
        (20, 5, 5),
        (40, 7, 7),
        (80, 11, 11),
    ]
    weights = 3 * 20 * 5**2 + 20 * 40 * 7**2 + 40 * 80 * 11**2 + 80 * 120 + 120 * 90
    assert sum(values.numel() for values in network.parameters()) == weights + 20 + 40 + 80 + 120 + 90


def test_the_settings_are_those_of_the_paper(age: ModuleType) -> None:
    assert sorted(age.SIMLOSS.values()) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert set(age.QUICK_SETTINGS) <= set(age.SETTINGS)
    assert (age.BATCH, age.LEARNING_RATE, age.EPOCHS, age.PATIENCE, age.SEEDS) == (1024, 1e-3, 200, 10, 10)


@pytest.mark.parametrize("r", [0.0, 0.1, 0.5, 0.9])
def test_the_loss_is_that_of_the_difference_in_years(
    age: ModuleType, monkeypatch: pytest.MonkeyPatch, r: float
) -> None:
    ages, labels = (20, 21, 24, 40), [0, 2, 3, 1]
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    setting = age.Setting("SimLoss", str(r))
    monkeypatch.setitem(age.SIMLOSS, setting, r)
    found = age.criterion(setting, ages)(logits, torch.tensor(labels))
    expected = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        total = sum(map(math.exp, row))
        near = [math.exp(z) / total * r ** abs(ages[label] - years) for z, years in zip(row, ages, strict=True)]
        expected -= math.log(sum(near)) / 4
    # The matrix is kept in float32, which rounds each similarity by half an ulp; a logarithm keeps relative errors.
    assert found.item() == pytest.approx(expected, abs=2**-24 + 2**-40)
    if r == 0:
        cross_entropy = age.criterion(age.BASE, ages)(logits, torch.tensor(labels))
        assert found.item() == pytest.approx(cross_entropy.item(), rel=1e-12)


def test_soft_labels_fall_off_with_the_difference_in_years(age: ModuleType) -> None:
    ages, beta = (20, 21, 24, 40), 30
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    found = age.criterion(age.Setting("soft labels", f"beta = {beta}"), ages)(logits, torch.tensor([1]))
    target = torch.tensor([math.exp(-beta * abs(21 - years) / 20) for years in ages])
    expected = nn.functional.cross_entropy(logits, (target / target.sum()).unsqueeze(0))
    torch.testing.assert_close(found, expected)


def scripted(age: ModuleType, errors: list[float], epochs: int) -> tuple[float, int]:
    """Train a model whose weight is the number of the epoch; return its weight in the end, and how many there were."""
    model = nn.Linear(1, 1, bias=False)
    done: list[float] = []

    def train_epoch() -> None:
        with torch.no_grad():
            model.weight.fill_(len(done) + 1)

    def validate() -> float:
        done.append(errors[len(done)])
        return done[-1]

    age.fit(model, train_epoch, validate, epochs)
    return model.weight.item(), len(done)


def test_training_stops_and_the_best_epoch_is_restored(age: ModuleType) -> None:
    assert scripted(age, [5, 3, 4] + [3] * 97, 100) == (2, 13)  # the first of equals; 11 epochs were no better
    assert scripted(age, [5, 3] + [4] * 10 + [2] + [9] * 87, 100) == (13, 24)  # better just in time
    assert scripted(age, [5, 4, 3, 6], 4) == (3, 4)
    assert scripted(age, [3, 2], 2) == (2, 2)


def example(ages: tuple[int, ...], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels, the former somewhat right."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(len(ages), (count,), generator=generator)
    logits = torch.randn(count, len(ages), generator=generator) + 2 * nn.functional.one_hot(labels, len(ages))
    return logits, labels


def test_the_figures_are_those_of_the_decision_and_the_confidence_is_that_of_the_model(age: ModuleType) -> None:
    ages = (20, 21, 24, 40, 41)
    logits, labels = example(ages, 60)
    decided = torch.randint(5, (60,), generator=torch.Generator().manual_seed(1))
    found = age.figures(logits, decided, labels, ages)
    years = [abs(ages[d] - ages[y]) for d, y in zip(decided.tolist(), labels.tolist(), strict=True)]
    assert list(found) == ["accuracy", "calibration_error", "severity", "position_mae", "position_mse"]
    # Sums of whole numbers are exact in float32, and a quotient is rounded once.
    assert found["accuracy"] == pytest.approx(years.count(0) / 60, rel=2**-24)
    assert found["position_mae"] == pytest.approx(sum(years) / 60, rel=2**-24)
    assert found["position_mse"] == pytest.approx(sum(y * y for y in years) / 60, rel=2**-24)
    assert found["severity"] == pytest.approx(sum(years) / (60 - years.count(0)), rel=2**-24)
    assert found["calibration_error"] == multiclass_calibration_error(logits.softmax(1), labels, 5).item()
    assert age.mean_absolute_error(decided, labels, ages) == sum(years) / 60


def test_the_decision_of_least_risk_is_the_median_of_the_ages(age: ModuleType) -> None:
    ages = (20, 21, 24, 40, 41)
    logits, _ = example(ages, 200)
    decided = age.simloss.minimum_risk(logits, age.closeness(ages))
    median = (logits.double().softmax(1).cumsum(1) >= 0.5).int().argmax(1)
    assert torch.equal(decided, median)
    assert not torch.equal(decided, logits.argmax(1))


def test_settings_are_chosen_by_validation_data(
    age: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {
        ("cross entropy", ""): (1, 1),
        ("a", "1"): (5, 1),
        ("a", "2"): (4, 9),
        ("a", "3"): (6, 0),
        ("b", ""): (9, 9),
    }
    results = [
        age.Result(age.Setting(*setting), seed, *({"accuracy": -e, "position_mae": e + seed} for e in both))
        for setting, both in errors.items()
        for seed in (0, 1)
    ]
    written: list[Any] = []
    monkeypatch.setattr(age, "run", lambda *_, **__: results)
    monkeypatch.setattr(age, "write", lambda *given: written.append(given))
    monkeypatch.setattr(sys, "argv", ["age.py", str(utkface(tmp_path, {1: 10, 90: 10}))])
    age.main()
    ((_name, _folder, given_results, chosen, _rule, axes),) = written
    assert (given_results, chosen, axes) == (results, [("a", "2"), ("b", "")], ("severity", "accuracy"))


def test_a_training_learns_and_judges_cross_entropy_twice(age: ModuleType, tmp_path: Path) -> None:
    faces = age.load(utkface(tmp_path, {1: 10, 90: 10}))
    first, second = age.Training(faces, 25)(age.Trial(age.BASE, 3))
    assert [(first.setting, first.seed), (second.setting, second.seed)] == [(age.BASE, 3), (age.MINIMUM_RISK, 3)]
    for data in ("validation", "test"):
        assert getattr(first, data)["accuracy"] == 1  # black, or nearly white
        assert getattr(first, data)["calibration_error"] == getattr(second, data)["calibration_error"]


def test_another_loss_or_seed_gives_another_model_and_the_same_ones_the_same(age: ModuleType, tmp_path: Path) -> None:
    train = age.Training(age.load(utkface(tmp_path, {1: 5, 40: 5, 90: 5})), 1)
    simloss = age.Setting("SimLoss", "r = 0.9")
    trials = [age.Trial(age.BASE, 0), age.Trial(age.BASE, 1), age.Trial(simloss, 0), age.Trial(age.BASE, 0)]
    errors = [train(trial)[0].test["calibration_error"] for trial in trials]
    assert errors[0] == errors[3]
    assert len(set(errors)) == 3


def test_the_decision_of_least_risk_is_judged_beside_the_most_probable_class(
    age: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = age.load(utkface(tmp_path, {20: 4, 23: 7, 30: 4}))
    asked = []

    def always_the_middle(logits: torch.Tensor, similarity: torch.Tensor) -> torch.Tensor:
        asked.append(similarity)
        return torch.ones(len(logits), dtype=torch.int64)

    monkeypatch.setattr(age, "fit", lambda *_: None)
    monkeypatch.setattr(age.simloss, "minimum_risk", always_the_middle)
    _, found = age.Training(faces, 1)(age.Trial(age.BASE, 0))
    torch.testing.assert_close(asked[0], torch.tensor([[1, 0.7, 0], [0.7, 1, 0.3], [0, 0.3, 1]]))
    _, validation, test = (faces.labels[part].tolist() for part in age.split(15))
    expected = [sum((3, 0, 7)[label] for label in part) / 3 for part in (validation, test)]
    assert expected[0] != expected[1]
    assert [found.validation["position_mae"], found.test["position_mae"]] == pytest.approx(expected, rel=2**-24)


def test_no_gradient_of_an_epoch_is_left_for_the_next(
    age: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = []

    def two_epochs(model: nn.Module, train_epoch: Callable[[], None], *_: object) -> None:
        for _epoch in range(2):
            train_epoch()
            gradients.append(torch.cat([values.grad.flatten().clone() for values in model.parameters()]))

    monkeypatch.setattr(age, "fit", two_epochs)
    monkeypatch.setattr(age, "LEARNING_RATE", 0.0)
    age.Training(age.load(utkface(tmp_path, {1: 5, 90: 5})), 2)(age.Trial(age.BASE, 0))
    first, second = gradients
    # The same batch in another order; were the first still there, the second would be twice as long.
    assert (second - first).norm() < 0.1 * first.norm()


FOLDERS = {"utkface": utkface, "afad": afad}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_quick_run_writes_its_tables_and_the_same_bytes_again(
    main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = FOLDERS[kind](tmp_path / "faces", {18: 5, 19: 5, 21: 5})
    (folder / "A.txt").touch()
    for out in ("first", "second"):
        main(folder, "--quick", "--seeds", "2", "--out", tmp_path / out)
    printed = capsys.readouterr()
    files = {path.name for path in (tmp_path / "first").iterdir()}
    assert files == {f"age-{kind}-quick{end}" for end in (".csv", ".md", "-all.md", ".png")}
    written = [(tmp_path / out / f"age-{kind}-quick.csv").read_bytes() for out in ("first", "second")]
    assert written[0] == written[1]
    rows = list(csv.DictReader(written[0].decode().splitlines()))
    assert [row["method"] for row in rows[::4]] == ["cross entropy", "cross entropy", "SimLoss", "soft labels"]
    assert len(rows) == 4 * 2 * 2  # ways to decide, seeds, validation and test
    assert all(0 <= float(row["position_mae"]) <= 3 for row in rows)
    faces = {"utkface": 15, "afad": 30}[kind]
    assert f"{faces} faces of {'UTKFace' if kind == 'utkface' else 'AFAD'}, 3 ages from 18 to 21 years." in printed.out
    assert all(method in printed.out for method in ("| SimLoss | r = 0.5 |", "| minimum risk | of cross entropy |"))
    assert printed.err.count("\n") == 2  # a line each time
    assert printed.err.startswith("warning: left out are ")
    assert ": A.txt" in printed.err


def test_the_command_trains_in_processes_of_its_own(tmp_path: Path) -> None:
    folder = utkface(tmp_path / "faces", {18: 4, 19: 4})
    command = [sys.executable, EXAMPLES / "age.py", folder, "--quick", "--seeds", "1", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Made by `python examples/age.py " in done.stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (str, r"no folder"),
        (
            Path.mkdir,
            r"no faces among 0 files; expected .*UTKFace \(\[age\]_.*jpg\) or AFAD \(<age>/<111 or 112>/\*.jpg\)",
        ),
        (lambda folder: save(folder / "x.jpg"), r"no faces among 1 files, such as x.jpg;"),
        (lambda folder: (afad(folder, {18: 2}), utkface(folder, {18: 2})), r"faces of both data sets"),
        (lambda folder: utkface(folder, {20: 9}), r"9 faces of 1 ages .* 5 faces of 2 ages are the least$"),
        (lambda folder: utkface(folder, {20: 2, 21: 2}), r"4 faces of 2 ages"),
        (lambda folder: utkface(folder, {91: 9, 92: 1}), r"0 faces of 0 ages .* Left out are 10 faces of more than 90"),
        (lambda folder: (folder.mkdir(), (folder / f"1_0_0_{DATE}.jpg").touch()), r"Left out are 1 images that can't"),
    ],
    ids=["missing", "empty", "others", "both", "one age", "few", "old", "damaged"],
)
def test_a_folder_without_faces_is_one_clear_message_and_nothing_is_written(
    main: Callable[..., None], tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "faces")
    with pytest.raises(SystemExit) as stopped:
        main(tmp_path / "faces", "--quick", "--out", tmp_path / "out")
    assert isinstance(stopped.value.code, str)
    assert re.match(rf"error: .*{message}", stopped.value.code)
    assert "\n" not in stopped.value.code
    assert not (tmp_path / "out").exists()


def test_no_epoch_is_refused(main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(tmp_path, "--epochs", "0")
    assert "--epochs: 0 is too few" in capsys.readouterr().err
