"""The age of faces, with the paper's protocol: SimLoss by the order of the ages, r^|difference|, and other losses.

    python examples/age.py utkface-60px.zip
    python examples/age.py AFAD-Full

The protocol is that of Kobs et al. (ISMIS 2020): faces scaled to 60x60, a network of three convolutions, 60 % of the
faces for training, 20 % each for validation and test, early stopping and the choice of r by the mean absolute error on
validation data, trainings that differ in their seed but not in the division. The paper's r = 0 is cross entropy. Batch,
learning rate, widths and patience are those of the authors' code, and so is that UTKFace's faces of more than 90 years
are left out.

It reads a folder or a zip as the data sets' archives have them: UTKFace's ``[age]_[gender]_[race]_[date&time].jpg`` (or
``.jpg.chip.jpg``, in any folders) or AFAD's ``<age>/<111 or 112>/*.jpg``. What can't be used is left out and named.
Faces are divided, not people: where there are several photographs of a person they can be on both sides.

The settings are those of PLAN.md. Results are kept: what was trained is not trained again.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from images import Images, Recipe, fit, open_files, predict, read_images, scored, some
from methods import (
    CANDIDATE,
    DECIDED,
    PERMUTED,
    SETTINGS,
    SHARED,
    SMOOTHED,
    UNIFORM,
    Criterion,
    Yardstick,
    alone,
    gains,
    results_of,
)
from report import ORDERED, Page, Panel, carry_out
from sweep import ALL, BASE, DataError, Result, Setting, Trial, count_of, options
from torch import Tensor, nn

import simloss
import simmatrix

SIZE, SEEDS = 60, 3
QUICK_FACES, QUICK_EPOCHS = 400, 2
# Of S, and of the paper's SimLoss.
DECAY, DECAYS = 0.9, (0.3, 0.5, 0.7, 0.9)
BETA = 30
PANELS = (
    Panel("By how many years less is it wrong?", "position_mae", "years"),
    Panel("What does it do to accuracy?", "accuracy"),
)
DRAWN = (CANDIDATE, SHARED, SMOOTHED, Setting("SimLoss", f"r = {DECAY}"), Setting("soft labels", f"beta {BETA}"))


class Kind(NamedTuple):
    """A data set, by the names of its files below the folder; two files of the same `face` are copies."""

    name: str
    pattern: re.Pattern[str]
    oldest: float
    expected: str


KINDS = (
    # Some names lack a field or have a misspelt ending; the age is always the first field, and the date the last.
    Kind(
        "UTKFace",
        re.compile(
            r"(?:.*/)?(?P<face>(?P<age>[0-9]{1,3})_(?:[0-9]*_)*[0-9]{8,}[^/]*?)(?:(?:\.jpe?g)?\.chip)?\.jpe?g",
            re.I | re.S,
        ),
        90,
        "[age]_[gender]_[race]_[date&time].jpg",
    ),
    Kind(
        "AFAD",
        re.compile(r"(?:.*/)?(?P<face>(?P<age>[0-9]{1,3})/11[12]/[^/]+)\.jpe?g", re.I | re.S),
        math.inf,
        "<age>/<111 or 112>/*.jpg",
    ),
)


class Faces(NamedTuple):
    """A data set: its name, images (N, 3, 60, 60), the age in years of each class, in order, and what was left out."""

    kind: str
    images: Images
    ages: tuple[int, ...]
    left_out: tuple[str, ...]


def find(folder: Path, names: Sequence[str]) -> tuple[Kind, dict[str, int], list[str]]:
    """Return what a folder or a zip holds: the data set, the age of each of its faces, and the names of other files."""
    matches = {kind: {name: found for name in names if (found := kind.pattern.fullmatch(name))} for kind in KINDS}
    kinds = [kind for kind in KINDS if matches[kind]]
    if len(kinds) != 1:
        some = f"no faces among {len(names):,} files{_some(names, ', such as ')}"
        expected = " or ".join(f"{kind.name} ({kind.expected})" for kind in KINDS)
        what = "faces of both data sets" if kinds else some
        raise DataError(f"{folder} holds {what}; expected were {expected}")
    ages = {name: int(match["age"]) for name, match in matches[kinds[0]].items()}
    places: dict[str, str] = {}
    for name, match in matches[kinds[0]].items():
        if (other := places.setdefault(match["face"], name)) != name:
            raise DataError(
                f"{folder} holds a face twice, {other} and {name}, which could be in training data and in test data; "
                "name a folder that holds one copy"
            )
    return kinds[0], ages, [name for name in names if name not in ages]


def load(folder: Path, most: int | None = None) -> Faces:
    """Read a folder or a zip of faces; of `most` faces at most, which are spread over it.

    The classes are the ages that occur. An age without a face is no class, but leaves its gap: the similarity of two
    classes depends on the difference of their ages, not on how many classes lie between.
    """
    with open_files(folder) as files:
        kind, found, others = find(folder, files.names)
        names = [name for name, age in found.items() if age <= kind.oldest]
        step = math.ceil(len(names) / most) if most and names else 1
        pixels, kept, unreadable = read_images(files, names[::step], SIZE, ("JPEG",))
    ages = np.array([found[name] for name in kept], dtype=np.int64)
    classes, labels = np.unique(ages, return_inverse=True)
    left_out = [
        (len(others), f"files that are no face of {kind.name}", others),
        (len(unreadable), "images that can't be read", unreadable),
        (len(found) - len(names), f"faces of more than {kind.oldest} years", []),
    ]
    reasons = tuple(f"{count:,} {what}{_some(names, ': ')}" for count, what, names in left_out if count)
    if len(classes) < 2 or len(ages) < 5:
        raise DataError(
            f"{folder} holds {len(ages)} faces of {len(classes)} ages that can be used; 5 faces of 2 ages are the "
            f"least{_some(reasons, '. Left out are ')}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Faces(kind.name, Images(pixels, torch.from_numpy(labels)).to(device), tuple(classes.tolist()), reasons)


def split(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which examples are for training (60 %), validation and test (20 % each): the same ones for all trials."""
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    training, validation, test = shuffled.tensor_split([count * 3 // 5, count * 4 // 5])
    return training, validation, test


class Scale(nn.Module):
    """Pixels in [0, 1]."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return images (N, C, H, W), float32."""
        return pixels / 255


def network(count: int) -> nn.Module:
    """Return the paper's network, from images (N, 3, 60, 60) in uint8 to logits (N, C)."""
    return nn.Sequential(
        Scale(),
        # To pool before the rectifier gives the same bits in less time.
        *(nn.Conv2d(3, 20, 5), nn.MaxPool2d(2), nn.ReLU()),  # 28x28
        *(nn.Conv2d(20, 40, 7), nn.MaxPool2d(2), nn.ReLU()),  # 11x11
        *(nn.Conv2d(40, 80, 11), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(80, 120), nn.ReLU(), nn.Linear(120, count)),
    )


# Training stops when there was nothing better for more than 10 epochs.
RECIPE = Recipe(network, partial(torch.optim.Adam, lr=1e-3), batch=1024, epochs=200, patience=11)


def by_age(ages: Sequence[int], decay: float) -> simmatrix.SimilarityMatrix:
    """Return the similarity decay^|difference in years|."""
    return simmatrix.from_order([str(age) for age in ages], decay=decay, positions="class")


def settings_of(ages: Sequence[int]) -> dict[Setting, Criterion]:
    """Return the settings of PLAN.md for classes of these ages; the order itself is their S."""

    def sim_loss(decay: float) -> Criterion:
        return lambda _matrix, _seed: alone(by_age(ages, decay))

    return {
        **{setting: SETTINGS[setting] for setting in (BASE, SMOOTHED, SHARED, CANDIDATE)},
        **{Setting("SimLoss", f"r = {decay}"): sim_loss(decay) for decay in DECAYS},
        **{setting: SETTINGS[setting] for setting in (UNIFORM, PERMUTED)},
        Setting("soft labels", f"beta {BETA}"): lambda _matrix, _seed: simloss.SoftLabelLoss(closeness(ages), BETA),
    }


def closeness(ages: Sequence[int]) -> Tensor:
    """Return 1 - |difference| / range for each two classes, (C, C): one minus it is an error in years, scaled."""
    return 1 - differences(ages) / (max(ages) - min(ages))


def differences(ages: Sequence[int]) -> Tensor:
    """Return the years between each two classes, (C, C)."""
    years = torch.tensor(ages, dtype=torch.float32)
    return (years.unsqueeze(1) - years).abs()


@dataclass(frozen=True)
class Experiment:
    """What is the same for all trainings; called with a trial it trains and measures."""

    faces: Faces
    recipe: Recipe

    def __call__(self, trial: Trial) -> list[Result]:
        """Return the figures of one training, one a decision."""
        torch.manual_seed(trial.seed)
        torch.backends.cudnn.deterministic = True
        images, ages = self.faces.images, self.faces.ages
        device = images.labels.device
        training, validation, test = (images[part.to(device)] for part in split(len(images)))
        model = self.recipe.model(len(ages)).to(device)
        criterion = settings_of(ages)[trial.setting](by_age(ages, DECAY), trial.seed).to(device)
        few, recipe = some(training, self.recipe, trial.amount, trial.seed)
        fit(model, criterion, few, recipe, lambda fitted: -mean_absolute_error(fitted, validation, ages))
        decisions = {"minimum risk": partial(gains, closeness(ages).double())}
        yardstick = Yardstick(differences(ages).numpy(), None, ages, decisions)
        return results_of(trial, scored(model, validation), scored(model, test), yardstick)


def mean_absolute_error(model: nn.Module, images: Images, ages: Sequence[int]) -> float:
    """Return by how many years the most probable classes are off, on average."""
    years = torch.tensor(ages, dtype=torch.float64, device=images.labels.device)
    return (years[predict(model, images.pixels).argmax(1)] - years[images.labels]).abs().mean().item()


def main() -> None:
    """Train all settings on a folder of faces and write tables and a picture."""
    parser = options(__doc__, seeds=SEEDS, amounts=(ALL,))
    parser.add_argument("data", type=Path, help="a folder or a zip of UTKFace or AFAD")
    parser.add_argument("--epochs", type=count_of("epochs"), default=RECIPE.epochs, metavar="N", help="%(default)s")
    given = parser.parse_args()
    try:
        faces = load(given.data, QUICK_FACES if given.quick else None)
        if faces.left_out:
            print(f"warning: left out are {', '.join(faces.left_out)}", file=sys.stderr)
        name = f"age-{faces.kind.lower()}{'-quick' if given.quick else ''}"
        settings = settings_of(faces.ages)
        seeds = range(1 if given.quick else given.seeds)
        trials = [Trial(setting, seed, amount) for amount in given.amounts for seed in seeds for setting in settings]
        epochs = min(given.epochs, QUICK_EPOCHS) if given.quick else given.epochs
        experiment = Experiment(faces, RECIPE._replace(epochs=epochs))
        command = f"age.py {given.data.name}{' --quick' if given.quick else ''}"
        page = Page(tuple(settings), ORDERED, PANELS, DRAWN, DECIDED)
        carry_out(given, name, experiment, trials, page, _about(faces), command)
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


def _about(faces: Faces) -> str:
    ages = faces.ages
    return f"{len(faces.images):,} faces of {faces.kind}, {len(ages)} ages from {ages[0]} to {ages[-1]} years."


def _some(names: Sequence[str], before: str) -> str:
    """Return the first of them, and how many more there are."""
    if not names:
        return ""
    return before + ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


if __name__ == "__main__":
    main()
