"""Kobs et al.'s experiment on CIFAR-100, on the images themselves: LeNet, with each loss of PLAN.md.

    python examples/cifar100.py cifar100-images.zip
    python examples/cifar100.py cifar100-images.zip --amounts 50 10 --seeds 3
    python examples/cifar100.py cifar-100-binary.tar.gz --model resnet18 --seeds 3

It reads a folder or a zip with ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or the "binary version" of
https://www.cs.toronto.edu/~kriz/cifar.html. S is WordNet's path similarity; SimLoss is also tried by word vectors, as
in the paper. All 100 classes take part, or with --paper the 96 of the authors, looked up under the names that they used
(they took the vectors of Google News, --vectors). Their data loader is not published; here LeNet's images are not
augmented.

A training of LeNet with all images takes some minutes on one core. Results are kept: what was trained is not trained
again, so the command that was stopped goes on where it was. Copies of ten test images are among the training images, as
in the original.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from cifar100_data import ARCHIVE, Archive, read
from images import Images, Recipe, fit, predict, scored, some
from methods import (
    DECIDED,
    DRAWN,
    MAIN,
    PANELS,
    SETTINGS,
    Criterion,
    Yardstick,
    alone,
    by_words,
    edges_of,
    median_bound,
    results_of,
)
from report import TREE, Page, carry_out
from sweep import ALL, DataError, Result, Setting, Trial, count_of, options
from torch import Tensor, nn

import simloss
import simmatrix

CLASSES, VECTORS = "cifar100", "glove-6b-50d"
LOWER_BOUNDS, MAIN_BOUND, BETA = (0.5, 0.7, 0.9), 0.7, 30
VALIDATION = 0.1
AMOUNTS = (ALL, "50", "10")
# Of the main settings and of the others.
SEEDS, FEWER_SEEDS = 5, 3
QUICK_IMAGES, QUICK_EPOCHS = 600, 2

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


# --- the similarities -------------------------------------------------------------------------------------------------


def paper_classes(every: simmatrix.ClassList) -> simmatrix.ClassList:
    """Return the 96 classes of the authors, in label order, each with what they looked up as its phrase."""
    kept = every.select([name for name in every.names if name not in LEFT_OUT])
    phrases = tuple(PAPER_NAMES.get(name, "") for name in kept.names)
    return simmatrix.ClassList(
        kept.names,
        {"superclass": kept.column("superclass"), "synset": kept.column("synset"), "phrase": phrases},
        "paper's classes",
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
        *(nn.Conv2d(3, 6, 5), nn.MaxPool2d(2), nn.ReLU()),  # in this order a fifth faster, to the same bits
        *(nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
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


def settings_of(words: simmatrix.SimilarityMatrix) -> dict[Setting, Criterion]:
    """Return the settings of PLAN.md: those of all data sets, and those that take the classes' word vectors."""

    def sim_loss(bound: float) -> Criterion:
        return lambda _matrix, _seed: alone(words.lower_bound(bound))

    return {
        **SETTINGS,
        **by_words(words),
        **{word_setting(bound): sim_loss(bound) for bound in LOWER_BOUNDS},
        Setting("soft labels", f"beta {BETA}"): lambda matrix, _seed: simloss.SoftLabelLoss(matrix, BETA),
    }


def word_setting(bound: float) -> Setting:
    """Return the paper's setting: SimLoss alone by word vectors with a lower bound."""
    return Setting("SimLoss", f"words, l = {bound}")


@dataclass(frozen=True)
class Experiment:
    """What is the same for all trainings; called with a trial it trains and measures.

    Parameters
    ----------
    training, test
        The images.
    classes
        With their superclasses.
    path, words
        The similarity by WordNet and that by word vectors.
    recipe
        How the model is trained with all images.
    """

    training: Images
    test: Images
    classes: simmatrix.ClassList
    path: simmatrix.SimilarityMatrix
    words: simmatrix.SimilarityMatrix
    recipe: Recipe

    def __call__(self, trial: Trial) -> list[Result]:
        """Return the figures of one training, one a decision."""
        torch.manual_seed(trial.seed)
        everything, validation = split(self.training, trial.seed)
        training, recipe = some(everything, self.recipe, trial.amount, trial.seed)
        device = training.pixels.device
        similarity = median_bound(self.path)
        model = nn.Sequential(Normalise(training.pixels), recipe.model(len(self.classes))).to(device)
        criterion = settings_of(self.words)[trial.setting](similarity, trial.seed).to(device)
        fit(model, criterion, training, recipe, partial(accuracy, validation))
        yardstick = Yardstick.of_tree(edges_of(self.path), self.classes.column("superclass"), similarity)
        return results_of(trial, scored(model, validation), scored(model, self.test), yardstick)


def accuracy(images: Images, model: nn.Module) -> float:
    """Return how many of the images are right."""
    return (predict(model, images.pixels).argmax(1) == images.labels).double().mean().item()


def trials_of(settings: Mapping[Setting, Criterion], amounts: Sequence[str], seeds: int) -> list[Trial]:
    """Return the trainings, the main settings first, and those of a seed together."""
    main = (*MAIN, word_setting(MAIN_BOUND))
    others = [setting for setting in settings if setting not in main]
    return [
        Trial(setting, seed, amount)
        for group, most in ((main, seeds), (others, min(seeds, FEWER_SEEDS)))
        for amount in amounts
        for seed in range(most)
        for setting in group
    ]


# --- the command ------------------------------------------------------------------------------------------------------


def prepare(given: argparse.Namespace, archive: Archive) -> Experiment:
    """Read the data, build the matrices, and put together what is to be done."""
    every = simmatrix.read_classes(CLASSES)
    classes = paper_classes(every) if given.paper else every
    words = simmatrix.from_embeddings(given.vectors, classes, lower_bound=0.0)
    for note in notes(words):
        print(f"note: {note}", file=sys.stderr)
    kept = [every.names.index(name) for name in classes.names]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training, test = (
        select(few(images) if given.quick else images, kept, len(every)).to(device)
        for images in read(given.data, every, archive)
    )
    recipe = RECIPES[given.model]
    epochs = given.epochs or (QUICK_EPOCHS if given.quick else recipe.epochs)
    path = simmatrix.from_wordnet(classes, lower_bound=0.0)
    return Experiment(training, test, classes, path, words, recipe._replace(epochs=epochs))


def few(images: Images) -> Images:
    """Return some images, spread over all."""
    return images[:: math.ceil(len(images) / QUICK_IMAGES)]


def main(archive: Archive = ARCHIVE) -> None:
    """Train with each setting, amount of data and seed, and write the results."""
    parser = options(__doc__, seeds=SEEDS, amounts=AMOUNTS)
    parser.add_argument("data", type=Path, help="a folder or a zip of images, or cifar-100-binary.tar.gz")
    parser.add_argument("--paper", action="store_true", help="the authors' 96 classes, under their names")
    parser.add_argument("--model", choices=RECIPES, default="lenet", help="what to train (%(default)s)")
    parser.add_argument("--vectors", default=VECTORS, metavar="FILE", help="word vectors (the bundled ones)")
    epochs = ", ".join(f"{name}: {recipe.epochs}" for name, recipe in RECIPES.items())
    parser.add_argument("--epochs", type=count_of("epochs"), metavar="N", help=f"at most ({epochs})")
    given = parser.parse_args()
    torch.backends.cudnn.deterministic = True
    # A name for each experiment, so that none gets another one's results.
    model = [] if given.model == "lenet" else [given.model]
    vectors = [] if given.vectors == VECTORS else [Path(given.vectors).name.partition(".")[0]]
    stopped = [f"{given.epochs}-epochs"] if given.epochs else []
    flags = [one for one in ("paper", "quick") if getattr(given, one)]
    name = "-".join(["cifar100", *model, *vectors, *stopped, *flags])
    try:
        experiment = prepare(given, archive)
        settings = settings_of(experiment.words)
        trials = trials_of(settings, given.amounts, 1 if given.quick else given.seeds)
        about = f"{len(experiment.classes)} classes, {len(experiment.training):,} + {len(experiment.test):,} images."
        chosen = [] if given.model == "lenet" else [f"--model {given.model}"]
        command = " ".join(["cifar100.py", given.data.name, *chosen, *(f"--{flag}" for flag in flags)])
        page = Page(tuple(settings), TREE, PANELS, DRAWN, DECIDED)
        carry_out(given, name, experiment, trials, page, about, command)
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
