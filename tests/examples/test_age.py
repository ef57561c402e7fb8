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
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

EXAMPLES = Path(__file__).parents[2] / "examples"
DATE = "20170116174525125"


with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    sweep, methods, images, age_module = map(importlib.import_module, ("sweep", "methods", "images", "age"))


@pytest.fixture(scope="module")
def age() -> ModuleType:
    return age_module


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
    values = [image.unique().tolist() for image in faces.images.pixels]
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
    assert faces.images.pixels.shape == (5, 3, 60, 60)
    assert faces.images.pixels.dtype == torch.uint8
    assert greys(faces) == [18, 20, 2, 180, 19]
    assert faces.images.labels.tolist() == [1, 2, 0, 3, 1]


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
    assert age.find(tmp_path, [name])[1] == {name: years}


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
    assert len(faces.images.labels) == 6
    assert faces.left_out == (f"1 files that are no face of UTKFace: {name}",)


def test_afad_is_read_with_the_ages_of_its_folders(age: ModuleType, tmp_path: Path) -> None:
    faces = age.load(afad(tmp_path, {18: 1, 21: 2, 75: 1}))
    assert (faces.kind, faces.ages) == ("AFAD", (18, 21, 75))
    assert faces.images.labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert greys(faces) == [54, 54, 63, 63, 63, 63, 225, 225]
    assert faces.left_out == (
        "3 files that are no face of AFAD: AFAD-Full/18/111/Thumbs.db, AFAD-Full/AFAD-Full.txt, README.md",
    )
    inside = age.load(tmp_path / "AFAD-Full")
    assert inside.images.labels.tolist() == faces.images.labels.tolist()


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
    assert faces.images.labels.tolist() == [0, 0, 0, 1, 1, 1]
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
    found = age.load(tmp_path).images.pixels[0].to(torch.int64)
    # Y, Cb and Cr are rounded to integers, by 1/2 at most, and each colour is at most Y + 1.772 Cb or Cr (ITU T.871).
    assert (found - torch.from_numpy(image).permute(2, 0, 1)).abs().max() <= 2


def test_an_aligned_face_is_scaled_from_all_its_pixels(age: ModuleType, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = tmp_path / f"20_0_0_{DATE}.jpg.chip.jpg"
    Image.fromarray(noise).save(path)
    with images.open_files(tmp_path) as files:
        found, *_ = images.read_images(files, [path.name], 60, ("JPEG",))
    expected = Image.open(path).resize((60, 60), Image.Resampling.BILINEAR)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), np.array(expected))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colour_models_become_red_green_and_blue(age: ModuleType, tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"20_0_0_{DATE}.jpg"
    Image.new("L", (1200, 900), 77).convert(mode).save(path, quality=100)
    with images.open_files(tmp_path) as files:
        found, names, unreadable = images.read_images(files, [path.name], 60, ("JPEG",))
    assert (names, unreadable) == ([path.name], [])
    assert found.shape == (1, 3, 60, 60)
    assert found.unique().tolist() == [77]


def test_some_faces_of_a_folder_are_spread_over_it(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path, {20: 10, 30: 10, 40: 10})
    faces = age.load(tmp_path, 14)
    assert faces.ages == (20, 30, 40)
    assert len(faces.images.labels) == 10
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
    assert age.load(tmp_path / "data").images.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_zip_is_read_as_its_folder_is(age: ModuleType, tmp_path: Path) -> None:
    """A damaged member is left out and named, whatever is wrong with it."""
    utkface(tmp_path / "faces", {20: 3, 21: 3})
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for file in sorted((tmp_path / "faces").iterdir()):
            archive.write(file, f"part1/{file.name}")
        archive.writestr(f"part1/21_1_1_{DATE}.jpg", b"no image")
        archive.writestr(f"part1/22_1_1_{DATE}.jpg", b"damaged later")
    raw = (tmp_path / "faces.zip").read_bytes()
    (tmp_path / "faces.zip").write_bytes(raw.replace(b"damaged later", b"damaged LATER"))
    faces = age.load(tmp_path / "faces.zip")
    same = age.load(tmp_path / "faces")
    assert torch.equal(faces.images.pixels, same.images.pixels)
    assert torch.equal(faces.images.labels, same.images.labels)
    (left_out,) = faces.left_out
    assert left_out.startswith("2 images that can't be read: ")
    assert "Bad CRC-32" in left_out


def test_copies_of_a_face_are_refused(age: ModuleType, tmp_path: Path) -> None:
    utkface(tmp_path / "aligned", {20: 3, 21: 3})
    save(tmp_path / "part1" / "20_0_0_20170116174520000.jpg")
    with pytest.raises(age.DataError, match=r"twice, aligned/20_0_0_\d*\.jpg\.chip\.jpg and part1/20_0_0_\d*\.jpg,"):
        age.load(tmp_path)


def test_the_same_number_at_another_age_or_gender_is_another_face(age: ModuleType, tmp_path: Path) -> None:
    afad(tmp_path, {18: 1, 19: 1, 20: 1})
    assert len(age.load(tmp_path).images) == 6
    save(tmp_path / "AFAD-Lite" / "18" / "111" / "638660-0.jpg")
    with pytest.raises(age.DataError, match="twice"):
        age.load(tmp_path)


@pytest.mark.parametrize("count", [5, 7, 24, 1000])
def test_the_parts_are_three_fifths_and_a_fifth_each_and_disjoint(age: ModuleType, count: int) -> None:
    parts = age.split(count)
    assert torch.cat(parts).sort().values.tolist() == list(range(count))
    assert [len(part) for part in parts] == [count * 6 // 10, count * 8 // 10 - count * 6 // 10, -(-count * 2 // 10)]
    again = age.split(count)
    assert all(torch.equal(*both) for both in zip(parts, again, strict=True))


def test_the_network_has_the_layers_of_the_paper(age: ModuleType) -> None:
    network = age.network(90)
    assert network(torch.zeros(2, 3, 60, 60, dtype=torch.uint8)).shape == (2, 90)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, *layer.kernel_size) for layer in convolutions] == [
        (20, 5, 5),
        (40, 7, 7),
        (80, 11, 11),
    ]
    weights = 3 * 20 * 5**2 + 20 * 40 * 7**2 + 40 * 80 * 11**2 + 80 * 120 + 120 * 90
    assert sum(values.numel() for values in network.parameters()) == weights + 20 + 40 + 80 + 120 + 90


def test_the_recipe_is_that_of_the_paper_and_stops_after_more_than_ten_epochs(age: ModuleType) -> None:
    optimiser = age.RECIPE.optimiser([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimiser, torch.optim.Adam)
    assert optimiser.param_groups[0]["lr"] == 1e-3
    assert age.RECIPE[2:] == (1024, 200, 11, False)


def test_the_losses_are_those_of_the_difference_in_years(age: ModuleType) -> None:
    """SimLoss by r^|difference|, and soft labels by exp(-beta |difference| / range)."""
    ages, labels = (20, 21, 24, 40), [0, 2, 3, 1]
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = age.settings_of(ages)
    assert len(settings) == 4 + 4 + 2 + 1
    probabilities = logits.softmax(1).tolist()
    for r in (0.3, 0.5, 0.7, 0.9):
        near = [
            sum(p * r ** abs(ages[label] - years) for p, years in zip(row, ages, strict=True))
            for row, label in zip(probabilities, labels, strict=True)
        ]
        expected = -sum(map(math.log, near)) / 4
        criterion = settings[sweep.Setting("SimLoss", f"r = {r}")](age.by_age(ages, 0.9), 0)
        # The matrix is kept in float32, which rounds each similarity by half an ulp; a logarithm keeps relative errors.
        assert criterion(logits, torch.tensor(labels)).item() == pytest.approx(expected, abs=2**-24 + 2**-40)
    soft = settings[sweep.Setting("soft labels", "beta 30")](age.by_age(ages, 0.9), 0)
    targets = torch.tensor([[math.exp(-30 * abs(ages[label] - years) / 20) for years in ages] for label in labels])
    wanted = nn.functional.cross_entropy(logits.float(), targets / targets.sum(1, keepdim=True))
    torch.testing.assert_close(soft(logits.float(), torch.tensor(labels)), wanted)


def test_a_training_learns_and_decides_by_the_median_too(age: ModuleType, tmp_path: Path) -> None:
    faces = age.load(utkface(tmp_path, {1: 10, 90: 10}))
    trial = sweep.Trial(sweep.BASE, 3)
    results = age.Experiment(faces, age.RECIPE._replace(epochs=25))(trial)
    assert [(one.trial, one.decision) for one in results] == [(trial, "most probable"), (trial, "minimum risk")]
    for one in results:
        for found in (one.validation, one.test):
            assert found["accuracy"] == 1  # black, or nearly white
            assert found["position_mae"] == 0
            assert "superclass_accuracy" not in found


def test_minimum_risk_is_the_median_age(age: ModuleType) -> None:
    ages = (20, 21, 24, 40, 41)
    logits = 2 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    decided = methods.gains(age.closeness(ages).double(), logits.softmax(1)).argmax(1)
    median = (logits.softmax(1).cumsum(1) >= 0.5).int().argmax(1)
    assert torch.equal(decided, median)
    assert not torch.equal(decided, logits.argmax(1))


def test_the_mean_absolute_error_is_in_years(age: ModuleType) -> None:
    """The model believes what the grey says: the number of a class."""
    ages = (20, 23, 30)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[0.0, 0, 0], [2, 0, 0], [3.5, 0, 0]]))
        model[2].bias.copy_(torch.tensor([0.0, -1, -3]))
    pixels = torch.tensor([0.0, 1, 2, 2]).view(4, 1, 1, 1).expand(4, 3, 60, 60)
    found = age.mean_absolute_error(model, images.Images(pixels, torch.tensor([0, 0, 1, 2])), ages)
    assert found == (0 + 3 + 7 + 0) / 4


def test_another_loss_or_seed_gives_another_model_and_the_same_ones_the_same(age: ModuleType, tmp_path: Path) -> None:
    train = age.Experiment(age.load(utkface(tmp_path, {1: 5, 40: 5, 90: 5})), age.RECIPE._replace(epochs=1))
    simloss = sweep.Setting("SimLoss", "r = 0.9")
    trials = [sweep.Trial(*one) for one in ((sweep.BASE, 0), (sweep.BASE, 1), (simloss, 0), (sweep.BASE, 0))]
    errors = [train(trial)[0].test["calibration_error"] for trial in trials]
    assert errors[0] == errors[3]
    assert len(set(errors)) == 3


def test_a_training_takes_so_many_faces_of_each_age(
    age: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = age.load(utkface(tmp_path, {1: 10, 40: 12, 90: 10}))
    seen: list[Any] = []
    monkeypatch.setattr(age, "fit", lambda _model, _criterion, training, recipe, _good: seen.append((training, recipe)))
    for amount in ("2", "all"):
        age.Experiment(faces, age.RECIPE)(sweep.Trial(sweep.BASE, 5, amount))
    (few, smaller), (many, whole) = seen
    assert few.labels.bincount().tolist() == [2, 2, 2]
    assert many.labels.tolist() == faces.images.labels[age.split(32)[0]].tolist()
    assert (smaller.batch, whole.batch) == (math.ceil(1024 * 6 / len(many)), 1024)


FOLDERS = {"utkface": utkface, "afad": afad}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the labels keep")  # of so few ages
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_quick_run_writes_its_tables_and_the_same_bytes_again(
    main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = FOLDERS[kind](tmp_path / "faces", {18: 5, 19: 5, 21: 5})
    (folder / "A.txt").touch()
    for out in ("first", "second"):
        main(folder, "--quick", "--out", tmp_path / out)
    printed = capsys.readouterr()
    files = {path.name for path in (tmp_path / "first").iterdir()}
    assert files == {f"age-{kind}-quick{end}" for end in (".csv", ".md", ".png")}
    written = [(tmp_path / out / f"age-{kind}-quick.csv").read_bytes() for out in ("first", "second")]
    assert written[0] == written[1]
    rows = list(csv.DictReader(written[0].decode().splitlines()))
    assert len(rows) == 11 * 2 * 2  # settings, ways to decide, validation and test
    assert all(0 <= float(row["position_mae"]) <= 3 for row in rows)
    faces = {"utkface": 15, "afad": 30}[kind]
    assert f"{faces} faces of {'UTKFace' if kind == 'utkface' else 'AFAD'}, 3 ages from 18 to 21 years." in printed.out
    assert "| SimLoss, r = 0.5 | most probable |" in printed.out
    assert "| cross entropy | minimum risk |" in printed.out
    assert printed.err.count("\n") == 2  # a line each time
    assert printed.err.startswith("warning: left out are ")
    assert ": A.txt" in printed.err


@pytest.mark.slow
def test_the_command_trains_in_processes_of_its_own(tmp_path: Path) -> None:
    folder = utkface(tmp_path / "faces", {18: 4, 19: 4})
    command = [sys.executable, EXAMPLES / "age.py", folder, "--quick", "--only", "cross", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Made by `python examples/age.py faces --quick` on " in done.stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (str, r"\S*faces is no folder and no zip$"),
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
    assert "'0' is no number of epochs" in capsys.readouterr().err
