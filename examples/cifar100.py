"""Kobs et al.'s experiment on CIFAR-100: cross entropy, SimLoss at each lower bound, and what else knows of similarity.

    python examples/cifar100.py cifar-100-binary.tar.gz
    python examples/cifar100.py cifar-100-binary.tar.gz --paper --vectors GoogleNews-vectors-negative300.bin.gz
    python examples/cifar100.py cifar-100-binary.tar.gz --model resnet18 --seeds 3

The archive is the "binary version" of https://www.cs.toronto.edu/~kriz/cifar.html. Similarities are cosines of the
classes' word vectors. All 100 classes take part, or with --paper the 96 of the authors, looked up under the names that
they used. The script that they published takes word2vec's vectors of Google News. Their data loader is not published;
here LeNet's images are not augmented.

Each method is tried over a range of settings and several seeds. Settings are chosen on validation data and reported on
test data.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sweep import BASE, Result, Setting, Trial, choose, count_of, keep_best, options, run, write
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import simloss
import simmatrix
from simloss.metrics import MistakeReport

CLASSES, VECTORS = "cifar100", "glove-6b-50d"
LOWER_BOUNDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
# From soft labels to hard ones, about the range of Bertinetto et al., "Making Better Mistakes", CVPR 2020.
BETAS = (4, 10, 30)
VALIDATION = 0.1
QUICK_IMAGES, QUICK_EPOCHS = (300, 100), 2
RULE = "Of each method the setting of the highest mean accuracy on validation data."
AXES = ("severity", "accuracy")

# The authors looked each class up as one word, under the name that it has on the data set's page. There these four have
# names of two words, for which there is no vector.
LEFT_OUT = {
    "aquarium_fish": "aquarium fish",
    "keyboard": "computer keyboard",
    "pickup_truck": "pickup truck",
    "sweet_pepper": "sweet peppers",
}
# The names of others that are not those of the files.
PAPER_NAMES = {
    "apple": "apples",
    "bottle": "bottles",
    "bowl": "bowls",
    "can": "cans",
    "cup": "cups",
    "lawn_mower": "lawnmower",
    "maple_tree": "maple",
    "mushroom": "mushrooms",
    "oak_tree": "oak",
    "orange": "oranges",
    "orchid": "orchids",
    "palm_tree": "palm",
    "pear": "pears",
    "pine_tree": "pine",
    "plate": "plates",
    "poppy": "poppies",
    "rose": "roses",
    "sunflower": "sunflowers",
    "tulip": "tulips",
    "willow_tree": "willow",
}


# --- the data ---------------------------------------------------------------------------------------------------------

SIDE, CHANNELS = 32, 3
RECORD = 2 + CHANNELS * SIDE * SIDE
"""Bytes of an image: its superclass, its class, and the pixels' red, green and blue, each row by row."""
_FOLDER = "cifar-100-binary"
_NAMES_AT_MOST = 8192


class DataError(Exception):
    """A file that is not the data set."""


class Archive(NamedTuple):
    """What an archive has to be: its checksum, and how many images there are in it."""

    md5: str
    training: int
    test: int


ARCHIVE = Archive("03b5dce01913d631647c71ecec9e9cb8", training=50_000, test=10_000)


@dataclass(frozen=True)
class Images:
    """Pixels (N, 3, 32, 32), uint8, and labels (N), int64."""

    pixels: Tensor
    labels: Tensor

    def __getitem__(self, chosen: Tensor | slice) -> Images:
        return Images(self.pixels[chosen], self.labels[chosen])

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Images:
        """Return them on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))


def read_archive(path: Path, classes: simmatrix.ClassList, archive: Archive = ARCHIVE) -> tuple[Images, Images]:
    """Return the training images and the test images of CIFAR-100's binary archive.

    The checksum is verified before anything else is read. The archive's class names have to be those of the list, in
    its order, and the two labels of each image have to fit each other, so that no label can mean another class.

    Raises
    ------
    DataError
        If the file is another one.
    OSError
        If it can't be read.
    """
    _verify(path, archive.md5)
    sizes = {"train.bin": archive.training * RECORD, "test.bin": archive.test * RECORD}
    parts = _members(path, {**sizes, "fine_label_names.txt": None, "coarse_label_names.txt": None})
    fine, coarse = (parts[f"{kind}_label_names.txt"].decode("utf-8", "replace").split() for kind in ("fine", "coarse"))
    for position, (found, expected) in enumerate(zip(fine, classes.names, strict=False)):
        if found != expected:
            raise DataError(f"{path}: class {position} (counted from 0) is {found!r} in it, not {expected!r}")
    if len(fine) != len(classes):
        raise DataError(f"{path}: names {len(fine)} classes, not {len(classes)}")
    superclasses = classes.column("superclass")
    if sorted(coarse) != sorted(set(superclasses)):
        raise DataError(f"{path}: coarse_label_names.txt does not name the {len(set(superclasses))} superclasses")
    coarse_of_fine = np.array([coarse.index(name) for name in superclasses], dtype=np.uint8)
    training, test = (_images(f"{path}: {name}", parts[name], coarse_of_fine) for name in sizes)
    return training, test


def _verify(path: Path, md5: str) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: the MD5 checksum is {found}, that of the data set's binary version is {md5}; "
            "get cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"
        )


def _members(path: Path, sizes: Mapping[str, int | None]) -> dict[str, bytes]:
    """Return the files of the archive that are wanted, each with its size, or None for a list of names."""
    found = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                if folder == _FOLDER and name in sizes:
                    found[name] = _member(tar, member, f"{path}: {name}", sizes[name])
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is no whole .tar.gz archive ({error})") from None
    for name in sizes:
        if name not in found:
            raise DataError(f"{path}: has no {_FOLDER}/{name}")
    return found


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, where: str, size: int | None) -> bytes:
    if size is not None and member.size != size:
        raise DataError(f"{where} has {member.size} bytes, not {size}")
    if size is None and member.size > _NAMES_AT_MOST:
        raise DataError(f"{where} has {member.size} bytes, more than {_NAMES_AT_MOST}")
    stream = tar.extractfile(member) if member.isreg() else None
    if stream is None:
        raise DataError(f"{where} is no plain file")
    return stream.read()


def _images(where: str, raw: bytes, coarse_of_fine: np.ndarray) -> Images:
    records = np.frombuffer(raw, dtype=np.uint8).reshape(-1, RECORD)
    coarse, fine = records[:, 0], records[:, 1]
    count = len(coarse_of_fine)
    for wrong, what in (
        (fine >= count, f"there are {count} classes"),
        (coarse_of_fine[fine % count] != coarse, "that class is in another superclass"),
    ):
        if wrong.any():
            first = int(wrong.argmax())
            labels = f"the superclass label {coarse[first]} and the class label {fine[first]}"
            raise DataError(f"{where}: image {first} (counted from 0) has {labels}; {what}")
    pixels = records[:, 2:].copy().reshape(-1, CHANNELS, SIDE, SIDE)
    return Images(torch.from_numpy(pixels), torch.from_numpy(fine.astype(np.int64)))


def select(images: Images, kept: Sequence[int], count: int) -> Images:
    """Return the images of some of `count` classes, labelled by the class's place among these."""
    places = torch.full((count,), -1)
    places[list(kept)] = torch.arange(len(kept))
    labels = places[images.labels]
    return Images(images.pixels, labels)[labels >= 0]


def split(images: Images, seed: int) -> tuple[Images, Images]:
    """Return nine tenths to train with and one to validate with, drawn at random."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    count = max(1, round(VALIDATION * len(order)))
    chosen = order.to(images.labels.device)
    return images[chosen[count:]], images[chosen[:count]]


def augment(pixels: Tensor) -> Tensor:
    """Return each image (N, C, H, W) moved by up to 4 pixels, black coming in, and every second one mirrored."""
    count, channels, height, width = pixels.shape
    device = pixels.device
    down, right = torch.randint(0, 9, (2, count, 1), device=device)
    mirrored = torch.rand(count, 1, device=device) < 0.5
    rows = down + torch.arange(height, device=device)
    columns = right + torch.arange(width, device=device)
    columns = torch.where(mirrored, columns.flip(1), columns)
    image, channel = torch.arange(count, device=device), torch.arange(channels, device=device)
    padded = nn.functional.pad(pixels, (4, 4, 4, 4))
    return padded[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


# --- the similarities -------------------------------------------------------------------------------------------------


def paper_classes() -> simmatrix.ClassList:
    """Return the 96 classes of the authors, in label order, each with what they looked up as its phrase."""
    every = simmatrix.read_classes(CLASSES)
    kept = every.select([name for name in every.names if name not in LEFT_OUT])
    phrases = tuple(PAPER_NAMES.get(name, "") for name in kept.names)
    return simmatrix.ClassList(
        kept.names, {"superclass": kept.column("superclass"), "phrase": phrases}, "paper's classes"
    )


def notes(matrix: simmatrix.SimilarityMatrix) -> Iterator[str]:
    """Tell of each class that has no vector under what it was to be looked up."""
    for name, found in matrix.provenance.resolution.items():
        if "missed" in found:
            yield f"the vectors have no {found['missed']!r}: {name} is looked up by {' and '.join(found['words'])}"


# --- the models -------------------------------------------------------------------------------------------------------


class Normalise(nn.Module):
    """Pixels of mean 0 and deviation 1 in each channel, as they are in the images given."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, pixels: Tensor) -> None:
        super().__init__()
        # Channel by channel: all of them as float32 at once would take four times the memory of the data set.
        moments = [torch.std_mean(pixels[:, channel].float(), correction=0) for channel in range(pixels.shape[1])]
        deviation, mean = (torch.stack(values).view(-1, 1, 1) for values in zip(*moments, strict=True))
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation.clamp_min(1.0))  # images of one colour have none

    def forward(self, pixels: Tensor) -> Tensor:
        """Return images (N, C, H, W), float32."""
        return (pixels - self.mean) / self.deviation


def lenet(classes: int) -> nn.Module:
    """Return LeNet-5 (LeCun et al. 1998) for images (N, 3, 32, 32) as the authors have it."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16 * 5 * 5, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU()),
        nn.Linear(84, classes),
    )


def convolution(channels: int, filters: int, size: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution that keeps height and width, but for its stride, and normalises its batch."""
    layer = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(filters))


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, filters, 3, stride), nn.ReLU(), convolution(filters, filters, 3)
        )
        around = stride == 1 and channels == filters
        self.shortcut = nn.Identity() if around else convolution(channels, filters, 1, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, filters, H / stride, W / stride)."""
        return nn.functional.relu(self.body(images) + self.shortcut(images))


def resnet18(classes: int) -> nn.Module:
    """Return ResNet-18 (He et al. 2016) in its form for small images: a first layer of 3 x 3, and no pooling there."""
    widths = (64, 64, 128, 256, 512)
    blocks = [
        block
        for channels, filters in pairwise(widths)
        for block in (Block(channels, filters, filters // channels), Block(filters, filters, 1))
    ]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))
    return nn.Sequential(convolution(3, widths[0], 3), nn.ReLU(), *blocks, *head)


class Recipe(NamedTuple):
    """How a model is trained; it stops after `patience` epochs that are no better, and the best one counts."""

    model: Callable[[int], nn.Module]
    optimiser: Callable[..., torch.optim.Optimizer]
    batch: int
    epochs: int
    patience: float
    is_modern: bool  # images are augmented, and the learning rate falls along a half cosine


RECIPES = {
    "lenet": Recipe(lenet, partial(torch.optim.Adam, lr=1e-3), batch=1024, epochs=1000, patience=20, is_modern=False),
    # DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, without cutout,
    # with the cosine of Loshchilov and Hutter, "SGDR", ICLR 2017, in place of steps.
    "resnet18": Recipe(
        resnet18,
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        batch=128,
        epochs=200,
        patience=math.inf,
        is_modern=True,
    ),
}


# --- the training -----------------------------------------------------------------------------------------------------


class Experiment(NamedTuple):
    """What is the same for all trainings."""

    training: Images
    test: Images
    superclasses: tuple[str, ...]
    similarity: simmatrix.SimilarityMatrix  # by word vectors, which all methods learn from
    heights: simmatrix.SimilarityMatrix  # by superclass, which all of them are judged by
    recipe: Recipe


def _sim_loss(matrix: simmatrix.SimilarityMatrix, bound: float) -> nn.Module:
    return simloss.SimLoss(matrix.lower_bound(bound))


def _soft_labels(matrix: simmatrix.SimilarityMatrix, beta: float) -> nn.Module:
    return simloss.SoftLabelLoss(matrix, beta)


CRITERIA: dict[Setting, Callable[[simmatrix.SimilarityMatrix], nn.Module]] = {
    BASE: lambda _matrix: nn.CrossEntropyLoss(),
    **{Setting("SimLoss", f"l = {bound}"): partial(_sim_loss, bound=bound) for bound in LOWER_BOUNDS},
    **{Setting("soft labels", f"beta = {beta}"): partial(_soft_labels, beta=beta) for beta in BETAS},
}
QUICK_SETTINGS = (BASE, Setting("SimLoss", "l = 0.5"))


def train(experiment: Experiment, trial: Trial) -> list[Result]:
    """Train a model; with that of cross entropy, classes are decided on by minimum risk as well."""
    torch.manual_seed(trial.seed)
    training, validation = split(experiment.training, trial.seed)
    device = training.pixels.device
    count = len(experiment.superclasses)
    model = nn.Sequential(Normalise(training.pixels), experiment.recipe.model(count)).to(device)
    criterion = CRITERIA[trial.setting](experiment.similarity).to(device)
    fit(model, criterion, training, validation, experiment.recipe)
    parts = [(predict(model, part.pixels).cpu(), part.labels.cpu()) for part in (validation, experiment.test)]
    found = [figures(logits, labels, experiment) for logits, labels in parts]
    results = [Result(trial.setting, trial.seed, *found)]
    for bound in LOWER_BOUNDS if trial.setting == BASE else ():
        matrix = experiment.similarity.lower_bound(bound)
        decided = [
            # How sure the model is does not depend on what is decided.
            figures(gains(logits, matrix), labels, experiment) | {"calibration_error": own["calibration_error"]}
            for (logits, labels), own in zip(parts, found, strict=True)
        ]
        results.append(Result(Setting("minimum risk", f"l = {bound}"), trial.seed, *decided))
    return results


def fit(model: nn.Module, criterion: nn.Module, training: Images, validation: Images, recipe: Recipe) -> None:
    """Train the model, and leave it as it was after the epoch of the highest accuracy on validation data."""
    optimiser = recipe.optimiser(model.parameters())
    schedule = CosineAnnealingLR(optimiser, recipe.epochs) if recipe.is_modern else None

    def epoch() -> float:
        model.train()
        for chosen in torch.split(torch.randperm(len(training), device=training.labels.device), recipe.batch):
            pixels, labels = training.pixels[chosen], training.labels[chosen]
            optimiser.zero_grad()
            loss = criterion(model(augment(pixels) if recipe.is_modern else pixels), labels)
            loss.backward()
            optimiser.step()
        if schedule is not None:
            schedule.step()
        return (predict(model, validation.pixels).argmax(1) == validation.labels).double().mean().item()

    keep_best(model, epoch, recipe.epochs, recipe.patience)


@torch.no_grad()
def predict(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return the logits (N, C) of images (N, 3, 32, 32)."""
    model.eval()
    return torch.cat([model(part) for part in torch.split(pixels, 1024)])


def gains(logits: Tensor, matrix: simmatrix.SimilarityMatrix) -> Tensor:
    """Return what each class is expected to gain if it is decided on, sum_y softmax(logits)[y] S[y, k]; (N, C).

    The greatest is that of `simloss.minimum_risk`; by all of them Karthik et al. (ICLR 2021) rank the classes.
    """
    return logits.double().softmax(1) @ torch.tensor(matrix.to_dense(), dtype=torch.float64)


def figures(scores: Tensor, labels: Tensor, experiment: Experiment) -> dict[str, float]:
    """Return how a model is mistaken whose scores (N, C) rank the classes, as `MistakeReport` has it."""
    report = MistakeReport(experiment.heights, superclasses=experiment.superclasses)
    report.update(scores, labels)
    return {name: float(value) for name, value in report.compute().items()}


# --- the choice, and the command --------------------------------------------------------------------------------------


def prepare(given: argparse.Namespace, archive: Archive) -> Experiment:
    """Read the data, build the matrices, and put together what is to be done."""
    every = simmatrix.read_classes(CLASSES)
    classes = paper_classes() if given.paper else every
    matrix = simmatrix.from_embeddings(given.vectors, classes)
    for note in notes(matrix):
        print(f"note: {note}", file=sys.stderr)
    kept = [every.names.index(name) for name in classes.names]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training, test = (
        select(images[:few] if given.quick else images, kept, len(every)).to(device)
        for images, few in zip(read_archive(given.archive, every, archive), QUICK_IMAGES, strict=True)
    )
    recipe = RECIPES[given.model]
    epochs = given.epochs or (QUICK_EPOCHS if given.quick else recipe.epochs)
    heights = simmatrix.from_taxonomy("superclass", classes, measure="lcs-height")
    return Experiment(training, test, classes.column("superclass"), matrix, heights, recipe._replace(epochs=epochs))


def main(archive: Archive = ARCHIVE) -> None:
    """Train with each setting and seed, choose on validation data, and write the results."""
    parser = options(__doc__, seeds=10)
    parser.add_argument("archive", type=Path, help="cifar-100-binary.tar.gz")
    parser.add_argument("--paper", action="store_true", help="the authors' 96 classes, under their names")
    parser.add_argument("--model", choices=RECIPES, default="lenet", help="what to train (%(default)s)")
    parser.add_argument("--vectors", default=VECTORS, metavar="FILE", help="word vectors (the bundled ones)")
    epochs = ", ".join(f"{name}: {recipe.epochs}" for name, recipe in RECIPES.items())
    parser.add_argument("--epochs", type=count_of("epochs"), metavar="N", help=f"at most ({epochs})")
    given = parser.parse_args()
    torch.backends.cudnn.deterministic = True
    # A name for each experiment, so that none overwrites another one's results.
    vectors = [] if given.vectors == VECTORS else [Path(given.vectors).name.partition(".")[0]]
    stopped = [f"{given.epochs}-epochs"] if given.epochs else []
    name = "-".join(
        ["cifar100", given.model, *vectors, *stopped, *(one for one in ("paper", "quick") if getattr(given, one))]
    )
    settings = QUICK_SETTINGS if given.quick else tuple(CRITERIA)
    trials = [Trial(setting, seed) for seed in range(given.seeds) for setting in settings]
    try:
        experiment = prepare(given, archive)
        workers = 1 if given.quick else None
        results = run(partial(train, experiment), trials, given.out / f"{name}.csv", workers=workers)
        write(name, given.out, results, choose(results, lambda found: (-found["accuracy"].mean,)), RULE, AXES)
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
