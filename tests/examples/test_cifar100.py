"""CIFAR-100's experiment: the readers on archives and folders written here, the training on images made up."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import itertools
import math
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import simloss
import simmatrix

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = simmatrix.read_classes("cifar100")
SUPERCLASSES = CLASSES.column("superclass")
COARSE = sorted(set(SUPERCLASSES))


with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    sweep, methods, images, data, experiment_module = map(
        importlib.import_module, ("sweep", "methods", "images", "cifar100_data", "cifar100")
    )


@pytest.fixture
def cifar100() -> ModuleType:
    return experiment_module


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
    archive: Any = data.Archive
    return archive(hashlib.md5(path.read_bytes()).hexdigest(), *counts)  # noqa: S324  # the checksum that is known of it


# --- the reader ---


def test_pixels_and_labels_are_read_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    training, test = records(7, seed=1), records(3, seed=2)
    archive = written(path, contents(training, test), (7, 3))
    for found, expected in zip(data.read_archive(path, CLASSES, archive), (training, test), strict=True):
        assert found.pixels.shape == (len(expected), 3, 32, 32)
        assert found.pixels.dtype == torch.uint8
        assert found.labels.tolist() == [record.fine for record in expected]
        for n, channel, row, column in itertools.product(range(len(expected)), range(3), (0, 5, 31), (0, 9, 31)):
            assert found.pixels[n, channel, row, column] == expected[n].pixels[1024 * channel + 32 * row + column]


def test_what_is_read_is_the_readers_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    found, _test = data.read_archive(path, CLASSES, written(path, contents(records(2, 1), records(1, 2)), (2, 1)))
    assert found.pixels.is_contiguous()
    assert found.pixels.numpy().flags.writeable


def test_the_order_of_the_files_in_the_archive_is_nothing(tmp_path: Path) -> None:
    files = contents(records(4, 1), records(2, 2))
    labels = []
    for name, order in (("a", list(files)), ("b", list(files)[::-1])):
        path = tmp_path / name
        archive = written(path, {file: files[file] for file in order}, (4, 2))
        labels.append([part.labels.tolist() for part in data.read_archive(path, CLASSES, archive)])
    assert labels[0] == labels[1]


def test_the_archive_known_is_the_published_one(cifar100: ModuleType) -> None:
    assert cifar100.ARCHIVE == ("03b5dce01913d631647c71ecec9e9cb8", 50_000, 10_000)
    assert data.RECORD == 3074


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
def test_a_wrong_archive_is_refused(case: str, tmp_path: Path) -> None:
    changed, message = BAD[case]
    path = tmp_path / "a.tar.gz"
    files = {name: content for name, content in {**FILES, **changed}.items() if content is not None}
    archive = written(path, files, (5, 2))
    with pytest.raises(data.DataError) as caught:
        data.read_archive(path, CLASSES, archive)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_swapped_superclasses_are_refused(tmp_path: Path) -> None:
    """Each label is in range, but means another superclass."""
    path = tmp_path / "a.tar.gz"
    archive = written(path, {**FILES, COARSE_FILE: "\n".join(COARSE[::-1]).encode()}, (5, 2))
    with pytest.raises(data.DataError, match="that class is in another superclass"):
        data.read_archive(path, CLASSES, archive)


def test_another_checksum_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive = written(path, FILES, (5, 2))
    with pytest.raises(data.DataError, match=f"the MD5 checksum is {archive.md5}, .* is {'0' * 32}; get "):
        data.read_archive(path, CLASSES, archive._replace(md5="0" * 32))
    path.write_bytes(b"no archive")
    with pytest.raises(data.DataError, match="checksum"):
        data.read_archive(path, CLASSES, archive)


@pytest.mark.parametrize("how", ["not compressed", "cut off", "damaged", "the tar cut off"])
def test_what_is_no_archive_is_refused(how: str, tmp_path: Path) -> None:
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
    with pytest.raises(data.DataError, match=r"a\.tar\.gz: "):
        data.read_archive(path, CLASSES, spec(path, (40, 2)))


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo(FINE)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    with pytest.raises(data.DataError, match=r"fine_label_names\.txt is no plain file"):
        data.read_archive(path, CLASSES, spec(path, (5, 2)))


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
    classes = cifar100.paper_classes(CLASSES)
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
    classes = cifar100.paper_classes(CLASSES)
    assert list(classes.names) == [name for name in CLASSES.names if name not in cifar100.LEFT_OUT]
    assert looked_up(classes) == sorted(looked_up(classes))


def test_only_those_left_out_need_several_words(cifar100: ModuleType) -> None:
    found = simmatrix.from_embeddings(classes=cifar100.paper_classes(CLASSES)).provenance.resolution
    # The bundled vectors are an extract that lacks "lawnmower".
    assert [name for name, one in found.items() if len(one["words"]) != 1] == ["lawn_mower"]
    found = simmatrix.from_embeddings(classes=list(cifar100.LEFT_OUT.values())).provenance.resolution
    assert [one["how"] for one in found.values()] == ["name words"] * 4


def test_a_class_found_under_another_name_is_told_of(cifar100: ModuleType) -> None:
    matrix = simmatrix.from_embeddings(classes=cifar100.paper_classes(CLASSES))
    assert "the vectors have no 'lawnmower': lawn_mower is looked up by lawn and mower" in cifar100.notes(matrix)
    assert list(cifar100.notes(simmatrix.from_embeddings(classes="cifar100"))) == []


def test_images_of_other_classes_are_left_out(cifar100: ModuleType) -> None:
    kept = cifar100.select(images.Images(torch.arange(6), torch.tensor([3, 0, 2, 1, 3, 2])), [1, 3], 4)
    assert kept.pixels.tolist() == [0, 3, 4]
    assert kept.labels.tolist() == [1, 0, 1]


# --- the images ---


def test_a_tenth_is_kept_for_validation(cifar100: ModuleType) -> None:
    every = images.Images(torch.arange(250), torch.arange(250) % 7)
    training, validation = cifar100.split(every, seed=3)
    assert len(validation) == 25
    assert sorted([*training.pixels.tolist(), *validation.pixels.tolist()]) == list(range(250))
    for part in (training, validation):
        assert torch.equal(part.labels, part.pixels % 7)
    assert torch.equal(cifar100.split(every, seed=3)[1].pixels, validation.pixels)
    assert not torch.equal(cifar100.split(every, seed=4)[1].pixels, validation.pixels)


def test_an_augmented_image_is_a_part_of_the_padded_one_or_its_mirror_image() -> None:
    torch.manual_seed(0)
    before = torch.randint(1, 256, (400, 3, 32, 32), dtype=torch.uint8)
    augmented = images.augment(before)
    assert augmented.dtype == torch.uint8
    padded = np.pad(before.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)))
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


def fitted(*, is_modern: bool) -> tuple[torch.Tensor, list[torch.Tensor], list[float]]:
    """Return the images, the batches trained on, and the learning rate of each; 3 epochs of 10 images by 4."""
    torch.manual_seed(0)
    pixels = torch.randint(1, 256, (12, 3, 32, 32), dtype=torch.uint8)
    every = images.Images(pixels, torch.arange(12) % 2)
    model, rates = Recorder(), []

    def optimiser(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=0.5)
        made.register_step_pre_hook(lambda *_arguments: rates.append(made.param_groups[0]["lr"]))
        return made

    recipe = images.Recipe(
        experiment_module.lenet, optimiser, batch=4, epochs=3, patience=math.inf, is_modern=is_modern
    )
    images.fit(model, nn.CrossEntropyLoss(), every[:10], recipe, lambda _model: 0.0)
    return pixels[:10], model.seen, rates


def test_each_epoch_sees_each_image_once_in_an_order_of_its_own() -> None:
    pixels, seen, rates = fitted(is_modern=False)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    orders = []
    for epoch in range(3):
        shown = torch.cat(seen[3 * epoch : 3 * epoch + 3])
        orders.append([next(n for n in range(10) if torch.equal(pixels[n], image)) for image in shown])
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1] != orders[2]
    assert rates == [0.5] * 9


def test_the_modern_recipe_augments_and_lowers_its_rate_along_a_half_cosine() -> None:
    pixels, seen, rates = fitted(is_modern=True)
    same = sum(torch.equal(image, other) for batch in seen for image in batch for other in pixels)
    assert same <= 3  # of 30 images, one in 162 stays as it is
    expected = [0.25 * (1 + math.cos(math.pi * epoch / 3)) for epoch in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_each_step_takes_the_gradient_of_its_own_batch() -> None:
    """With one class and a bias alone it is softmax(bias) - (1, 0)."""
    model, steps = Recorder(), []

    def optimiser(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=0.5)
        made.register_step_pre_hook(lambda *_arguments: steps.append(model.bias.detach().clone()))
        made.register_step_pre_hook(lambda *_arguments: steps.append(model.bias.grad))
        return made

    every = images.Images(torch.zeros(8, 3, 32, 32, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    recipe = images.Recipe(experiment_module.lenet, optimiser, batch=4, epochs=2, patience=math.inf, is_modern=False)
    images.fit(model, nn.CrossEntropyLoss(), every, recipe, lambda _model: 0.0)
    assert len(steps) == 2 * 4
    for bias, gradient in zip(steps[::2], steps[1::2], strict=True):
        torch.testing.assert_close(gradient, bias.softmax(0) - torch.tensor([1.0, 0.0]))


def test_the_settings_by_words_and_soft_labels_are_those_of_the_plan(cifar100: ModuleType) -> None:
    words = simmatrix.from_embeddings(classes=["rose", "tulip", "truck"], lower_bound=0.0)
    path = simmatrix.from_wordnet(["rose", "tulip", "truck"], lower_bound=0.0)
    settings = cifar100.settings_of(words)
    assert list(settings)[: len(methods.SETTINGS)] == list(methods.SETTINGS)
    values = torch.tensor(words.to_dense()).double()
    for bound in (0.5, 0.7, 0.9):
        made = settings[sweep.Setting("SimLoss", f"words, l = {bound}")](path, 0)
        # Of numbers up to 1, rounded once to float32.
        expected = ((values - bound) / (1 - bound)).clamp_min(0)
        torch.testing.assert_close(made.similarity.double(), expected, atol=2**-24, rtol=0)
    with pytest.warns(simloss.SimilarityWarning, match=r"the labels keep 100.00%"):  # as docs/evidence.md says
        soft = settings[sweep.Setting("soft labels", "beta 30")](path, 0)
    expected = (30 * (torch.tensor(path.to_dense()).double() - 1)).softmax(1)
    # Exponents of up to 30, rounded twice; then exp, a sum of three and a quotient.
    torch.testing.assert_close(soft.soft_targets.double(), expected, rtol=66 * 2**-24, atol=0)
    by_words = settings[methods.BY_WORDS](path, 0)
    middle = values[0, 1:].tolist() + values[1, 2:].tolist()
    bound = sorted(middle)[1]
    expected = ((values - bound) / (1 - bound)).clamp_min(0)
    torch.testing.assert_close(by_words.similarity.double(), expected, atol=2**-24, rtol=0)
    assert (by_words.share, by_words.similarity_smoothing) == (0.4, 0.05)
    assert len(settings) == len(methods.SETTINGS) + 5


def test_fewer_images_come_from_each_class_in_batches_that_are_as_many(cifar100: ModuleType) -> None:
    labels = torch.tensor([0] * 7 + [1] * 20 + [2] * 3)
    everything = images.Images(torch.arange(30).view(-1, 1, 1, 1).expand(30, 3, 2, 2), labels)
    recipe = cifar100.RECIPES["lenet"]._replace(batch=8)
    for amount, counts, batch in (("5", [5, 5, 3], math.ceil(8 * 13 / 30)), ("all", [7, 20, 3], 8)):
        few, smaller = images.some(everything, recipe, amount, 1)
        assert few.labels.bincount().tolist() == counts
        assert torch.equal(few.labels, labels[few.pixels[:, 0, 0, 0]])
        assert smaller == recipe._replace(batch=batch)
    seeds = [images.some(everything, recipe, "5", seed)[0].pixels for seed in (1, 1, 2)]
    assert torch.equal(seeds[0], seeds[1])
    assert not torch.equal(seeds[0], seeds[2])


def test_the_recipes_are_those_of_the_paper_and_of_resnets(cifar100: ModuleType) -> None:
    parameter = [nn.Parameter(torch.zeros(1))]
    plain, modern = cifar100.RECIPES["lenet"], cifar100.RECIPES["resnet18"]
    assert (plain.batch, plain.patience, plain.is_modern) == (1024, 20, False)
    assert isinstance(plain.optimiser(parameter), torch.optim.Adam)
    assert plain.optimiser(parameter).param_groups[0]["lr"] == 1e-3
    assert (modern.batch, modern.epochs, modern.patience, modern.is_modern) == (128, 200, math.inf, True)
    group = modern.optimiser(parameter).param_groups[0]
    assert [group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")] == [0.1, 0.9, True, 5e-4]


def test_the_main_settings_of_all_seeds_come_first_and_the_others_have_fewer_seeds(cifar100: ModuleType) -> None:
    settings = cifar100.settings_of(simmatrix.from_embeddings(classes=["rose", "tulip"], lower_bound=0.0))
    trials = cifar100.trials_of(settings, ["all", "50"], 5)
    main = [*map(str, methods.MAIN), "SimLoss, words, l = 0.7"]
    assert [str(trial.setting) for trial in trials[:6]] == main
    assert {(trial.amount, trial.seed) for trial in trials[:6]} == {("all", 0)}
    assert [str(trial.setting) for trial in trials[:60]] == main * 10
    others = trials[60:]
    assert not {str(trial.setting) for trial in others} & set(main)
    assert {trial.seed for trial in others} == {0, 1, 2}
    assert len(set(trials)) == len(trials) == 60 + 2 * 3 * (len(settings) - 6)


# --- the command ---


def folder_of(path: Path, classes: Sequence[str], training: int, test: int) -> Path:
    """Write so many images of each class, a colour a class with noise, and return the folder."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(classes):
        for part, count in (("train", training), ("test", test)):
            (path / part / name).mkdir(parents=True)
            for one in range(count):
                pixels = np.full((32, 32, 3), [2 * number, 255 - 2 * number, 37 * number % 256], dtype=np.uint8)
                pixels[:8] = generator.integers(0, 256, (8, 32, 3))
                Image.fromarray(pixels).save(path / part / name / f"{name}_s_{one:06}.png")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("cifar100"), CLASSES.names, 6, 2)


def zipped(folder: Path, path: Path, *, above: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, f"{above}{file.relative_to(folder).as_posix()}")
    return path


def test_a_folder_and_a_zip_are_read_alike(folder: Path, tmp_path: Path) -> None:
    inside = zipped(folder, tmp_path / "a.zip", above="cifar100/")
    for path in (folder, zipped(folder, tmp_path / "b.zip"), inside):
        training, test = data.read(path, CLASSES)
        for found, count in ((training, 6), (test, 2)):
            assert found.labels.tolist() == [number for number in range(100) for _ in range(count)]
            assert found.pixels.shape == (100 * count, 3, 32, 32)
        pixels = np.array(Image.open(folder / "train" / "rose" / "rose_s_000004.png"))
        at = CLASSES.names.index("rose") * 6 + 4
        assert np.array_equal(training.pixels[at].permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "train" / "rose").rename(path / "train" / "roses"), "train/roses is no class of CIFAR"),
        (lambda path: shutil.rmtree(path / "test" / "rose"), "has no images test/CLASS/*.png of rose"),
        (lambda path: shutil.rmtree(path / "test"), "of apple, aquarium_fish, baby and 97 more"),
        (lambda path: (path / "train/rose/x.png").write_bytes(b"no image"), "train/rose/x.png (cannot identify"),
        (lambda path: Image.new("RGB", (31, 32)).save(path / "test/rose/x.png"), "x.png (31 x 32 pixels, not 32 x 32)"),
    ],
)
def test_other_folders_are_refused(
    folder: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "changed"
    shutil.copytree(folder, path)
    change(path)
    with pytest.raises(data.DataError) as caught:
        data.read(path, CLASSES)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_zip_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    path = zipped(folder, tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(data.DataError, match="is no folder and no whole zip"):
        data.read(path, CLASSES)
    with pytest.raises(data.DataError, match="is no folder and no zip"):
        data.read(tmp_path / "absent.zip", CLASSES)


def run(cifar100: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)  # to be put back
    monkeypatch.setattr(sys, "argv", ["cifar100.py", *map(str, arguments)])
    cifar100.main()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the labels keep")  # as docs/evidence.md says
def test_a_quick_run_writes_its_tables_and_goes_on_where_it_was(
    cifar100: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    arguments = [folder, "--quick", "--paper", "--workers", "1", "--amounts", "3"]
    run(cifar100, monkeypatch, *arguments, "--out", once)
    run(cifar100, monkeypatch, *arguments, "--out", twice, "--only", "label", "share 0.4")
    run(cifar100, monkeypatch, *arguments, "--out", twice)
    names = [f"cifar100-paper-quick.{end}" for end in ("csv", "md", "png")]
    for out in (once, twice):
        assert sorted(file.name for file in out.iterdir()) == names
    for name in (names[0], names[2]):
        assert (once / name).read_bytes() == (twice / name).read_bytes()
    found = sweep.read_results(once / names[0])
    assert {str(one.trial.setting) for one in found} == set(
        map(str, cifar100.settings_of(simmatrix.from_embeddings(classes=["rose", "bus"], lower_bound=0.0)))
    )
    assert {one.decision for one in found} == {"most probable", "minimum risk", "superclass"}
    assert "96 classes, 576 + 192 images." in (once / names[1]).read_text()


@pytest.mark.slow
def test_the_command_trains_on_the_binary_archive_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive = written(path, contents(records(400, 1), records(150, 2)), (400, 150))
    call = "import sys, cifar100; cifar100.main(cifar100.Archive(sys.argv.pop(1), 400, 150))"
    options = ["--quick", "--only", "cross", "--amounts", "all", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", call, archive.md5, str(path), *options],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "100 classes, 400 + 150 images." in done.stdout


@pytest.mark.parametrize("case", ["another file", "no file", "no vectors"])
def test_bad_input_is_one_message_and_nothing_is_written(
    case: str, cifar100: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tar.gz"
    written(path, FILES, (5, 2))
    given = [tmp_path / "absent.tar.gz"] if case == "no file" else [path]
    given += ["--vectors", str(tmp_path / "absent.txt")] if case == "no vectors" else []
    message = {"another file": "MD5 checksum", "no file": "absent.tar.gz"}.get(case, "absent.txt")
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        run(cifar100, monkeypatch, *given, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("epochs", ["0", "-1", "many"])
def test_a_number_of_epochs_is_one(
    epochs: str, cifar100: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cifar100.py", "a.tar.gz", f"--epochs={epochs}"])
    with pytest.raises(SystemExit):
        cifar100.main()
    assert f"{epochs!r} is no number of epochs" in capsys.readouterr().err
