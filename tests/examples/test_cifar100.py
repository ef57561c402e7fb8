"""CIFAR-100's experiment: the reader on archives written byte by byte here, the training on images made up."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib
import io
import itertools
import math
import os
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import simloss
import simmatrix

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = simmatrix.read_classes("cifar100")
SUPERCLASSES = CLASSES.column("superclass")
COARSE = sorted(set(SUPERCLASSES))


@pytest.fixture
def cifar100(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the example as a module, which imports its neighbour as a script would."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = set(sys.modules)
    yield importlib.import_module("cifar100")
    for name in {"cifar100", "sweep"} - before:
        sys.modules.pop(name, None)


class Record(NamedTuple):
    coarse: int
    fine: int
    pixels: bytes  # 1024 red, 1024 green, 1024 blue


def records(count: int, seed: int) -> list[Record]:
    generator = np.random.default_rng(seed)
    fine = generator.integers(0, 100, count).tolist()
    return [Record(COARSE.index(SUPERCLASSES[label]), label, generator.bytes(3072)) for label in fine]


def packed(written: Sequence[Record]) -> bytes:
    return b"".join(struct.pack("BB3072s", *record) for record in written)


def contents(training: Sequence[Record], test: Sequence[Record]) -> dict[str, bytes]:
    """Return the files of the archive by name, as the real one has them."""
    return {
        "cifar-100-binary/train.bin": packed(training),
        "cifar-100-binary/test.bin": packed(test),
        "cifar-100-binary/fine_label_names.txt": "".join(f"{name}\n" for name in CLASSES.names).encode(),
        "cifar-100-binary/coarse_label_names.txt": "".join(f"{name}\n" for name in COARSE).encode(),
    }


def written(path: Path, files: Mapping[str, bytes], counts: tuple[int, int]) -> Any:
    """Write an archive; return what the example has to know of it."""
    with gzip.GzipFile(path, "wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        folder = tarfile.TarInfo("cifar-100-binary")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return spec(path, counts)


def spec(path: Path, counts: tuple[int, int]) -> Any:
    archive: Any = importlib.import_module("cifar100").Archive
    return archive(hashlib.md5(path.read_bytes()).hexdigest(), *counts)  # noqa: S324  # the checksum that is known of it


# --- the reader ---


def test_pixels_and_labels_are_read_as_they_stand(cifar100: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    training, test = records(7, seed=1), records(3, seed=2)
    archive = written(path, contents(training, test), (7, 3))
    for images, expected in zip(cifar100.read_archive(path, CLASSES, archive), (training, test), strict=True):
        assert images.pixels.shape == (len(expected), 3, 32, 32)
        assert images.pixels.dtype == torch.uint8
        assert images.labels.tolist() == [record.fine for record in expected]
        for n, channel, row, column in itertools.product(range(len(expected)), range(3), (0, 5, 31), (0, 9, 31)):
            assert images.pixels[n, channel, row, column] == expected[n].pixels[1024 * channel + 32 * row + column]


def test_what_is_read_is_the_readers_own(cifar100: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    images, _test = cifar100.read_archive(path, CLASSES, written(path, contents(records(2, 1), records(1, 2)), (2, 1)))
    assert images.pixels.is_contiguous()
    assert images.pixels.numpy().flags.writeable


def test_the_order_of_the_files_in_the_archive_is_nothing(cifar100: ModuleType, tmp_path: Path) -> None:
    files = contents(records(4, 1), records(2, 2))
    labels = []
    for name, order in (("a", list(files)), ("b", list(files)[::-1])):
        path = tmp_path / name
        archive = written(path, {file: files[file] for file in order}, (4, 2))
        labels.append([part.labels.tolist() for part in cifar100.read_archive(path, CLASSES, archive)])
    assert labels[0] == labels[1]


def test_the_archive_known_is_the_published_one(cifar100: ModuleType) -> None:
    assert cifar100.ARCHIVE == ("03b5dce01913d631647c71ecec9e9cb8", 50_000, 10_000)
    assert cifar100.RECORD == 3074


TRAINING, TEST = records(5, seed=1), records(2, seed=2)
FILES = contents(TRAINING, TEST)
FINE, COARSE_FILE = "cifar-100-binary/fine_label_names.txt", "cifar-100-binary/coarse_label_names.txt"
TRAIN_FILE, TEST_FILE = "cifar-100-binary/train.bin", "cifar-100-binary/test.bin"
SWAPPED = [CLASSES.names[1], CLASSES.names[0], *CLASSES.names[2:]]


def with_third(**changed: int) -> bytes:
    return packed([*TRAINING[:2], TRAINING[2]._replace(**changed), *TRAINING[3:]])


BAD = {
    "a truncated record": ({TRAIN_FILE: FILES[TRAIN_FILE][:-1]}, "train.bin has 15369 bytes, not 15370"),
    "a byte too many": ({TEST_FILE: FILES[TEST_FILE] + b"\0"}, "test.bin has 6149 bytes, not 6148"),
    "no test images": ({TEST_FILE: None}, "has no cifar-100-binary/test.bin"),
    "no class names": ({FINE: None}, "has no cifar-100-binary/fine_label_names.txt"),
    "another folder": (
        {TRAIN_FILE: None, "cifar-10-binary/train.bin": FILES[TRAIN_FILE]},
        "has no cifar-100-binary/train.bin",
    ),
    "a renamed class": (
        {FINE: FILES[FINE].replace(b"rose\n", b"roses\n")},
        "class 70 (counted from 0) is 'roses' in it, not 'rose'",
    ),
    "swapped classes": (
        {FINE: "\n".join(SWAPPED).encode()},
        "class 0 (counted from 0) is 'aquarium_fish' in it, not 'apple'",
    ),
    "a class too few": ({FINE: FILES[FINE].replace(b"worm\n", b"")}, "names 99 classes, not 100"),
    "a class too many": ({FINE: FILES[FINE] + b"wyvern\n"}, "names 101 classes, not 100"),
    "names that are no text": ({FINE: b"\xff" * 9}, "class 0 (counted from 0) is '\ufffd"),
    "huge names": ({FINE: b"apple\n" * 10**6}, "fine_label_names.txt has 6000000 bytes, more than 8192"),
    "no superclasses": ({COARSE_FILE: b""}, "coarse_label_names.txt does not name the 20 superclasses"),
    "a label out of range": (
        {TRAIN_FILE: with_third(fine=100)},
        f"train.bin: image 2 (counted from 0) has the superclass label {TRAINING[2].coarse} and the class label 100; "
        "there are 100 classes",
    ),
    "labels that do not fit": (
        {TRAIN_FILE: with_third(coarse=(TRAINING[2].coarse + 1) % 20)},
        "that class is in another superclass",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_archive_is_refused(case: str, cifar100: ModuleType, tmp_path: Path) -> None:
    changed, message = BAD[case]
    path = tmp_path / "a.tar.gz"
    files = {name: content for name, content in {**FILES, **changed}.items() if content is not None}
    archive = written(path, files, (5, 2))
    with pytest.raises(cifar100.DataError) as caught:
        cifar100.read_archive(path, CLASSES, archive)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_swapped_superclasses_are_refused(cifar100: ModuleType, tmp_path: Path) -> None:
    """Each label is in range, but means another superclass."""
    path = tmp_path / "a.tar.gz"
    archive = written(path, {**FILES, COARSE_FILE: "\n".join(COARSE[::-1]).encode()}, (5, 2))
    with pytest.raises(cifar100.DataError, match="that class is in another superclass"):
        cifar100.read_archive(path, CLASSES, archive)


def test_another_checksum_is_refused_before_anything_is_read(cifar100: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive = written(path, FILES, (5, 2))
    with pytest.raises(cifar100.DataError, match=f"the MD5 checksum is {archive.md5}, .* is {'0' * 32}; get "):
        cifar100.read_archive(path, CLASSES, archive._replace(md5="0" * 32))
    path.write_bytes(b"no archive")
    with pytest.raises(cifar100.DataError, match="checksum"):
        cifar100.read_archive(path, CLASSES, archive)


@pytest.mark.parametrize("how", ["not compressed", "cut off", "damaged", "the tar cut off"])
def test_what_is_no_archive_is_refused(how: str, cifar100: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    written(path, contents(records(40, 1), TEST), (40, 2))
    raw = path.read_bytes()
    tar = gzip.decompress(raw)
    blocks = bytearray(gzip.compress(tar, compresslevel=0))  # after ten bytes of header: type, length, its complement
    blocks[10 + 5 + int.from_bytes(blocks[11:13], "little")] = 0b111  # the second block's type is one that there is not
    changed = {
        "not compressed": b"plain text",
        "cut off": raw[: len(raw) // 2],
        "damaged": bytes(blocks),
        "the tar cut off": gzip.compress(tar[:4000]),
    }[how]
    path.write_bytes(changed)
    with pytest.raises(cifar100.DataError, match=r"a\.tar\.gz: "):
        cifar100.read_archive(path, CLASSES, spec(path, (40, 2)))


def test_a_link_is_refused(cifar100: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo(FINE)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    with pytest.raises(cifar100.DataError, match=r"fine_label_names\.txt is no plain file"):
        cifar100.read_archive(path, CLASSES, spec(path, (5, 2)))


# --- the classes ---

# As the data set's page has them, by superclass; lawn-mower as the authors have it.
PAGE = """
beaver, dolphin, otter, seal, whale; aquarium fish, flatfish, ray, shark, trout; orchids, poppies, roses, sunflowers,
tulips; bottles, bowls, cans, cups, plates; apples, mushrooms, oranges, pears, sweet peppers; clock, computer keyboard,
lamp, telephone, television; bed, chair, couch, table, wardrobe; bee, beetle, butterfly, caterpillar, cockroach; bear,
leopard, lion, tiger, wolf; bridge, castle, house, road, skyscraper; cloud, forest, mountain, plain, sea; camel, cattle,
chimpanzee, elephant, kangaroo; fox, porcupine, possum, raccoon, skunk; crab, lobster, snail, spider, worm; baby, boy,
girl, man, woman; crocodile, dinosaur, lizard, snake, turtle; hamster, mouse, rabbit, shrew, squirrel; maple, oak, palm,
pine, willow; bicycle, bus, motorcycle, pickup truck, train; lawnmower, rocket, streetcar, tank, tractor
"""
GROUPS = [[name.strip() for name in group.split(",")] for group in PAGE.replace("\n", " ").split(";")]


def looked_up(classes: simmatrix.ClassList) -> list[str]:
    return [phrase or name for name, phrase in zip(classes.names, classes.column("phrase"), strict=True)]


def test_the_papers_classes_are_those_of_the_page_whose_name_is_one_word(cifar100: ModuleType) -> None:
    classes = cifar100.paper_classes()
    names = looked_up(classes)
    assert len(names) == 96
    assert set(names) == {name for group in GROUPS for name in group if " " not in name}
    groups: dict[str, set[str]] = {}
    for name, superclass in zip(names, classes.column("superclass"), strict=True):
        groups.setdefault(superclass, set()).add(name)
    assert sorted(map(sorted, groups.values())) == sorted(
        sorted(name for name in group if " " not in name) for group in GROUPS
    )
    assert {name for group in GROUPS for name in group} - set(names) == set(cifar100.LEFT_OUT.values())


def test_the_papers_classes_are_in_label_order(cifar100: ModuleType) -> None:
    """The authors sort their names, which is the data set's own order."""
    classes = cifar100.paper_classes()
    assert list(classes.names) == [name for name in CLASSES.names if name not in cifar100.LEFT_OUT]
    assert looked_up(classes) == sorted(looked_up(classes))


def test_only_those_left_out_need_several_words(cifar100: ModuleType) -> None:
    found = simmatrix.from_embeddings(classes=cifar100.paper_classes()).provenance.resolution
    # The bundled vectors are an extract that lacks "lawnmower".
    assert [name for name, one in found.items() if len(one["words"]) != 1] == ["lawn_mower"]
    found = simmatrix.from_embeddings(classes=list(cifar100.LEFT_OUT.values())).provenance.resolution
    assert [one["how"] for one in found.values()] == ["name words"] * 4


def test_a_class_found_under_another_name_is_told_of(cifar100: ModuleType) -> None:
    matrix = simmatrix.from_embeddings(classes=cifar100.paper_classes())
    assert "the vectors have no 'lawnmower': lawn_mower is looked up by lawn and mower" in cifar100.notes(matrix)
    assert list(cifar100.notes(simmatrix.from_embeddings(classes="cifar100"))) == []


def test_images_of_other_classes_are_left_out(cifar100: ModuleType) -> None:
    images = cifar100.Images(torch.arange(6), torch.tensor([3, 0, 2, 1, 3, 2]))
    kept = cifar100.select(images, [1, 3], 4)
    assert kept.pixels.tolist() == [0, 3, 4]
    assert kept.labels.tolist() == [1, 0, 1]


# --- the images ---


def test_a_tenth_is_kept_for_validation(cifar100: ModuleType) -> None:
    images = cifar100.Images(torch.arange(250), torch.arange(250) % 7)
    training, validation = cifar100.split(images, seed=3)
    assert len(validation) == 25
    assert sorted([*training.pixels.tolist(), *validation.pixels.tolist()]) == list(range(250))
    for part in (training, validation):
        assert torch.equal(part.labels, part.pixels % 7)
    assert torch.equal(cifar100.split(images, seed=3)[1].pixels, validation.pixels)
    assert not torch.equal(cifar100.split(images, seed=4)[1].pixels, validation.pixels)


def test_an_augmented_image_is_a_part_of_the_padded_one_or_its_mirror_image(cifar100: ModuleType) -> None:
    torch.manual_seed(0)
    images = torch.randint(1, 256, (400, 3, 32, 32), dtype=torch.uint8)
    augmented = cifar100.augment(images)
    assert augmented.dtype == torch.uint8
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)))
    moves = set()
    for image, found in zip(padded, augmented.numpy(), strict=True):
        parts = {(y, x): image[:, y : y + 32, x : x + 32] for y in range(9) for x in range(9)}
        matches = [
            (*place, mirrored)
            for place, part in parts.items()
            for mirrored in (False, True)
            if np.array_equal(part[:, :, ::-1] if mirrored else part, found)
        ]
        assert len(matches) == 1
        moves.add(matches[0])
    ys, xs, mirrored = zip(*moves, strict=True)
    assert set(ys) == set(xs) == set(range(9))
    assert set(mirrored) == {False, True}
    # Of 162 moves that are alike 400 draws hit 148 on average; moves of all images alike, or tied ones, hit few.
    assert len(moves) > 120


def test_normalised_pixels_have_mean_0_and_deviation_1_in_each_channel(cifar100: ModuleType) -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8) // torch.tensor([1, 2, 5]).view(3, 1, 1)
    pixels = pixels.to(torch.uint8)
    exact = pixels.numpy().astype(np.float64)
    expected = (exact - exact.mean((0, 2, 3), keepdims=True)) / exact.std((0, 2, 3), keepdims=True)
    # float32 in a few steps: each off by some of its units of 6e-8, and values are below 4.
    np.testing.assert_allclose(cifar100.Normalise(pixels)(pixels).numpy(), expected, rtol=0, atol=4e-6)


def test_images_of_one_colour_stay_finite(cifar100: ModuleType) -> None:
    pixels = torch.full((4, 3, 32, 32), 7, dtype=torch.uint8)
    assert torch.equal(cifar100.Normalise(pixels)(pixels), torch.zeros(4, 3, 32, 32))


# --- the models ---


def parameters(model: nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


@pytest.mark.parametrize("classes", [96, 100])
def test_lenet_has_the_papers_layers(classes: int, cifar100: ModuleType) -> None:
    model = cifar100.lenet(classes)
    layers = [(75, 6), (150, 16), (400, 120), (120, 84), (84, classes)]
    assert parameters(model) == sum((before + 1) * after for before, after in layers)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, classes)


def test_resnet18_has_its_layers(cifar100: ModuleType) -> None:
    model = cifar100.resnet18(100).eval()
    blocks = [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    count = 9 * 3 * 64 + 2 * 64 + 512 * 100 + 100
    for before, after in blocks:
        count += 9 * before * after + 2 * after + 9 * after * after + 2 * after
        count += before * after + 2 * after if before != after else 0
    assert parameters(model) == count
    assert sum(isinstance(one, nn.Conv2d) for one in model.modules()) == 20  # 17, and 3 on the ways around
    with torch.no_grad():
        images = torch.zeros(2, 3, 32, 32)
        assert model(images).shape == (2, 100)
        assert model[:-3](images).shape == (2, 512, 4, 4)  # halved three times, not five times


def test_a_block_adds_what_goes_around_it(cifar100: ModuleType) -> None:
    torch.manual_seed(0)
    block = cifar100.Block(4, 4, 1)
    nn.init.zeros_(block.body[-1][-1].weight)  # the last normalisation: nothing comes through the body
    images = torch.randn(3, 4, 8, 8)
    assert torch.equal(block(images), images.relu())


# --- the training ---


@pytest.mark.parametrize(
    ("accuracies", "patience", "run", "best"),
    [
        ([0.1, 0.3, 0.2, 0.25, 0.9], 2, 4, 2),  # stops two epochs after the second
        ([0.1, 0.3, 0.2, 0.4, 0.1], 2, 5, 4),
        ([0.1, 0.3, 0.3, 0.3, 0.9], 2, 4, 2),  # as good is not better
        ([0.0, 0.0, 0.0], 20, 3, 1),
        ([0.5, 0.1, 0.1, 0.6, 0.2], math.inf, 5, 4),
    ],
)
def test_training_stops_for_lack_of_progress_and_keeps_the_best(
    accuracies: list[float], patience: float, run: int, best: int, cifar100: ModuleType
) -> None:
    model = nn.BatchNorm1d(1)  # has a parameter and a state that is none
    done = []

    def epoch() -> float:
        done.append(len(done) + 1)
        with torch.no_grad():
            for value in (model.weight, model.running_mean):
                assert value is not None
                value.fill_(done[-1])
        return accuracies[done[-1] - 1]

    cifar100.keep_best(model, epoch, len(accuracies), patience)
    assert len(done) == run
    assert model.state_dict()["weight"].item() == model.state_dict()["running_mean"].item() == best


class Recorder(nn.Module):
    """A model of two classes that keeps what it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))
        self.seen: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(pixels)
        return self.bias.expand(len(pixels), 2)


def fitted(cifar100: ModuleType, *, is_modern: bool) -> tuple[torch.Tensor, list[torch.Tensor], list[float]]:
    """Return the images, the batches trained on, and the learning rate of each; 3 epochs of 10 images by 4."""
    torch.manual_seed(0)
    pixels = torch.randint(1, 256, (12, 3, 32, 32), dtype=torch.uint8)
    images = cifar100.Images(pixels, torch.arange(12) % 2)
    model, rates = Recorder(), []

    def optimiser(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=0.5)
        made.register_step_pre_hook(lambda *_arguments: rates.append(made.param_groups[0]["lr"]))
        return made

    recipe = cifar100.Recipe(cifar100.lenet, optimiser, batch=4, epochs=3, patience=math.inf, is_modern=is_modern)
    cifar100.fit(model, nn.CrossEntropyLoss(), images[:10], images[10:], recipe)
    return pixels[:10], model.seen, rates


def test_each_epoch_sees_each_image_once_in_an_order_of_its_own(cifar100: ModuleType) -> None:
    pixels, seen, rates = fitted(cifar100, is_modern=False)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    orders = []
    for epoch in range(3):
        images = torch.cat(seen[3 * epoch : 3 * epoch + 3])
        orders.append([next(n for n in range(10) if torch.equal(pixels[n], image)) for image in images])
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1] != orders[2]
    assert rates == [0.5] * 9


def test_the_modern_recipe_augments_and_lowers_its_rate_along_a_half_cosine(cifar100: ModuleType) -> None:
    pixels, seen, rates = fitted(cifar100, is_modern=True)
    same = sum(torch.equal(image, other) for batch in seen for image in batch for other in pixels)
    assert same <= 3  # of 30 images, one in 162 stays as it is
    expected = [0.25 * (1 + math.cos(math.pi * epoch / 3)) for epoch in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_each_step_takes_the_gradient_of_its_own_batch(cifar100: ModuleType) -> None:
    """With one class and a bias alone it is softmax(bias) - (1, 0)."""
    model, steps = Recorder(), []

    def optimiser(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=0.5)
        made.register_step_pre_hook(lambda *_arguments: steps.append(model.bias.detach().clone()))
        made.register_step_pre_hook(lambda *_arguments: steps.append(model.bias.grad))
        return made

    images = cifar100.Images(torch.zeros(8, 3, 32, 32, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    recipe = cifar100.Recipe(cifar100.lenet, optimiser, batch=4, epochs=2, patience=math.inf, is_modern=False)
    cifar100.fit(model, nn.CrossEntropyLoss(), images, images, recipe)
    assert len(steps) == 2 * 4
    for bias, gradient in zip(steps[::2], steps[1::2], strict=True):
        torch.testing.assert_close(gradient, bias.softmax(0) - torch.tensor([1.0, 0.0]))


def test_the_criteria_take_the_matrix_at_their_setting(cifar100: ModuleType) -> None:
    matrix = simmatrix.from_embeddings(classes=["rose", "tulip", "truck"])
    values = torch.tensor(matrix.to_dense())
    for (method, value), criterion in cifar100.CRITERIA.items():
        made = criterion(matrix)
        number = float(value.rpartition(" ")[2] or 0)
        if method == "SimLoss":
            expected = ((values.double() - number) / (1 - number)).clamp_min(0)
            # Of numbers up to 1, rounded once to float32.
            torch.testing.assert_close(made.similarity.double(), expected, atol=2**-24, rtol=0)
        elif method == "soft labels":
            expected = (number * (values.double() - 1)).softmax(1)
            # Exponents of up to `number`, rounded twice; then exp, a sum of three and a quotient.
            rounded = (2 * number + 6) * 2**-24
            torch.testing.assert_close(made.soft_targets.double(), expected, rtol=rounded, atol=0)
        else:
            assert isinstance(made, nn.CrossEntropyLoss)


def test_the_recipes_are_those_of_the_paper_and_of_resnets(cifar100: ModuleType) -> None:
    parameter = [nn.Parameter(torch.zeros(1))]
    plain, modern = cifar100.RECIPES["lenet"], cifar100.RECIPES["resnet18"]
    assert (plain.batch, plain.patience, plain.is_modern) == (1024, 20, False)
    assert isinstance(plain.optimiser(parameter), torch.optim.Adam)
    assert plain.optimiser(parameter).param_groups[0]["lr"] == 1e-3
    assert (modern.batch, modern.epochs, modern.patience, modern.is_modern) == (128, 200, math.inf, True)
    group = modern.optimiser(parameter).param_groups[0]
    assert [group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")] == [0.1, 0.9, True, 5e-4]
    bounds = [f"l = {n / 10}" for n in range(10)] + ["l = 0.99"]
    assert [setting.value for setting in cifar100.CRITERIA if setting.method == "SimLoss"] == bounds


# --- what comes of it ---


def test_by_gains_the_best_class_is_that_of_minimum_risk(cifar100: ModuleType) -> None:
    matrix = simmatrix.from_embeddings(classes=["rose", "tulip", "truck", "bus", "shark"]).lower_bound(0.3)
    torch.manual_seed(0)
    logits = torch.randn(50, 5, dtype=torch.float64)
    found = cifar100.gains(logits, matrix)
    similarity = matrix.to_dense()
    probabilities = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = [[sum(p[y] * similarity[y, k] for y in range(5)) for k in range(5)] for p in probabilities]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)
    assert torch.equal(found.argmax(1), simloss.minimum_risk(logits, matrix))
    assert not torch.equal(found.argmax(1), logits.argmax(1))


def test_the_most_accurate_setting_on_validation_data_is_chosen_of_each_method(
    cifar100: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = importlib.import_module("sweep").Setting
    base, low, high, other = setting("cross entropy"), setting("a", "0"), setting("a", "1"), setting("b", "0")
    accuracies = {base: (0.9, 0.9), low: (0.5, 0.7), high: (0.3, 0.8), other: (0.1, 0.1)}
    results = [
        importlib.import_module("sweep").Result(one, seed, {"accuracy": value}, {"accuracy": 1 - value})
        for one, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    written: list[Any] = []
    monkeypatch.setattr(cifar100, "prepare", lambda *_: None)
    monkeypatch.setattr(cifar100, "run", lambda *_, **__: results)
    monkeypatch.setattr(cifar100, "write", lambda *given: written.append(given))
    monkeypatch.setattr(sys, "argv", ["cifar100.py", "some.tar.gz"])
    cifar100.main()
    ((_name, _folder, given_results, chosen, _rule, axes),) = written
    assert (given_results, chosen, axes) == (results, [low, other], ("severity", "accuracy"))


def experiment(cifar100: ModuleType) -> Any:
    """Four classes of images, each of a colour of its own with noise, in two superclasses."""
    classes = simmatrix.read_classes("cifar100").select(["rose", "tulip", "bus", "train"])
    generator = torch.Generator().manual_seed(5)
    colours = torch.tensor([[200, 40, 40], [200, 160, 40], [40, 40, 200], [40, 160, 200]]).view(4, 3, 1, 1)

    def images(count: int) -> Any:
        labels = torch.arange(count) % 4
        noise = torch.randint(-40, 41, (count, 3, 32, 32), generator=generator)
        return cifar100.Images((colours[labels] + noise).to(torch.uint8), labels)

    recipe = cifar100.RECIPES["lenet"]._replace(batch=32, epochs=4)
    similarity = simmatrix.from_embeddings(classes=classes)
    heights = simmatrix.from_taxonomy("superclass", classes, measure="lcs-height")
    return cifar100.Experiment(images(400), images(80), classes.column("superclass"), similarity, heights, recipe)


@pytest.mark.parametrize(
    ("method", "value"), [("cross entropy", ""), ("SimLoss", "l = 0.9"), ("soft labels", "beta = 10")]
)
def test_a_training_learns_what_is_easy(method: str, value: str, cifar100: ModuleType) -> None:
    sweep = importlib.import_module("sweep")
    results = cifar100.train(experiment(cifar100), sweep.Trial(sweep.Setting(method, value), 1))
    assert results[0].setting == (method, value)
    assert results[0].validation["accuracy"] > 0.9
    assert results[0].test["accuracy"] > 0.9
    others = results[1:]
    assert [one.setting for one in others] == [
        ("minimum risk", f"l = {bound}") for bound in cifar100.LOWER_BOUNDS if method == "cross entropy"
    ]
    for one in others:
        assert one.test.keys() == results[0].test.keys()
        assert one.test["calibration_error"] == results[0].test["calibration_error"]


def test_minimum_risk_decides_by_the_models_own_logits(cifar100: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = importlib.import_module("sweep")
    made = experiment(cifar100)
    logits = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(cifar100, "fit", lambda *_arguments: None)
    monkeypatch.setattr(cifar100, "predict", lambda _model, pixels: logits[: len(pixels)])
    base, *others = cifar100.train(made, sweep.Trial(sweep.BASE, 0))
    assert len(others) == 11
    for bound, found in zip(cifar100.LOWER_BOUNDS, others, strict=True):
        decided = simloss.minimum_risk(logits, made.similarity.lower_bound(bound))
        assert found.test["accuracy"] == pytest.approx((decided == made.test.labels).double().mean().item(), abs=2**-24)
    assert others[0].test["accuracy"] != base.test["accuracy"]


def test_a_training_again_gives_the_same(cifar100: ModuleType) -> None:
    sweep = importlib.import_module("sweep")
    made = experiment(cifar100)
    made = made._replace(recipe=made.recipe._replace(epochs=1))
    runs = [cifar100.train(made, sweep.Trial(sweep.Setting("SimLoss", "l = 0.5"), seed)) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0][0].test != runs[2][0].test


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("quick", [False, True])
def test_what_is_asked_for_is_prepared(paper: bool, quick: bool, cifar100: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    training, test = records(400, 1), records(150, 2)
    archive = written(path, contents(training, test), (400, 150))
    given = {"archive": path, "paper": paper, "quick": quick, "vectors": "glove-6b-50d", "model": "lenet"}
    made = cifar100.prepare(argparse.Namespace(**given, epochs=None), archive)
    names = made.similarity.classes
    assert len(names) == (96 if paper else 100)
    assert names == made.heights.classes
    assert made.superclasses == tuple(SUPERCLASSES[CLASSES.names.index(name)] for name in names)
    assert (made.heights["rose", "tulip"], made.heights["rose", "bus"]) == (0.5, 0.0)
    for images, all_records, few in ((made.training, training, 300), (made.test, test, 100)):
        labels = [CLASSES.names[record.fine] for record in (all_records[:few] if quick else all_records)]
        assert [names[label] for label in images.labels] == [name for name in labels if name in names]
    assert made.recipe == cifar100.RECIPES["lenet"]._replace(epochs=2 if quick else 1000)
    assert cifar100.prepare(argparse.Namespace(**given, epochs=7), archive).recipe.epochs == 7


def test_figures_count_mistakes_by_superclass(cifar100: ModuleType) -> None:
    """Rose and tulip are flowers, bus and train vehicles."""
    scores = torch.eye(4)[[0, 1, 2, 0]]
    found = cifar100.figures(scores, torch.tensor([0, 0, 0, 0]), experiment(cifar100))
    assert found["accuracy"] == 0.5
    assert found["hierarchical_distance_1"] == (0.5 + 1) / 4
    assert found["severity"] == (0.5 + 1) / 2
    assert found["superclass_accuracy"] == 0.75
    assert found["failed_superclass_accuracy"] == 0.5


# --- the command ---

CALL = "import sys, cifar100; cifar100.main(cifar100.Archive(sys.argv.pop(1), 400, 150))"
OPTIONS = ["--quick", "--paper", "--seeds", "1", "--out", "out"]


def test_a_quick_run_gives_the_same_bytes_in_processes_and_without(
    cifar100: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.tar.gz"
    archive = written(path, contents(records(400, 1), records(150, 2)), (400, 150))
    separate = tmp_path / "separate"
    separate.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CALL, archive.md5, str(path), *OPTIONS],
        cwd=separate,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "note: the vectors have no 'lawnmower': lawn_mower is looked up by lawn and mower\n" in done.stderr
    assert "Warning" not in done.stderr
    names = [f"cifar100-lenet-paper-quick{end}" for end in ("-all.md", ".csv", ".md", ".png")]
    assert sorted(file.name for file in (separate / "out").iterdir()) == names
    rows = [line.split(",") for line in (separate / "out" / names[1]).read_text().splitlines()]
    assert len(rows) == 1 + 2 * (1 + 11 + 1)  # cross entropy, minimum risk and SimLoss, each on two parts

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)  # to be put back
    monkeypatch.setattr(sys, "argv", ["cifar100.py", str(path), *OPTIONS])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cifar100.main(archive)
    finally:
        torch.set_num_threads(threads)
    assert "| SimLoss | l = 0.5 |" in capsys.readouterr().out
    assert (tmp_path / "out" / names[1]).read_bytes() == (separate / "out" / names[1]).read_bytes()


@pytest.mark.parametrize("case", ["another file", "no file", "a folder", "no vectors"])
def test_bad_input_is_one_message_and_nothing_is_written(
    case: str, cifar100: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tar.gz"
    archive = written(path, FILES, (5, 2))
    given = {"no file": [str(tmp_path / "absent.tar.gz")], "a folder": [str(tmp_path)]}.get(case, [str(path)])
    given += ["--vectors", str(tmp_path / "absent.txt")] if case == "no vectors" else []
    message = {"another file": "MD5 checksum", "no file": "absent.tar.gz", "a folder": "directory"}
    monkeypatch.setattr(sys, "argv", ["cifar100.py", *given, "--out", str(tmp_path / "out")])
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    with pytest.raises(SystemExit, match=f"^error: .*{message.get(case, 'absent.txt')}"):
        cifar100.main(cifar100.ARCHIVE if case == "another file" else archive)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("epochs", ["0", "-1", "many"])
def test_a_number_of_epochs_is_one(
    epochs: str, cifar100: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cifar100.py", "a.tar.gz", f"--epochs={epochs}"])
    with pytest.raises(SystemExit):
        cifar100.main()
    assert f"{epochs!r} is no number of epochs" in capsys.readouterr().err
