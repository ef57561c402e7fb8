"""The age of faces: SimLoss by the order of the ages, r^|difference|, next to cross entropy and other ways.

    python examples/age.py UTKFace
    python examples/age.py AFAD-Full

The protocol is that of Kobs et al. (ISMIS 2020): faces scaled to 60x60, a network of three convolutions, 60 % of the
faces for training, 20 % each for validation and test, early stopping and the choice of r in {0.1, ..., 0.9} by the mean
absolute error on validation data, ten runs that differ in their seed but not in the division. The paper's r = 0 is
cross entropy, which stands beside it. Batch, learning rate, widths and patience are those of the authors' code, and so
is that UTKFace's faces of more than 90 years are left out. Two things are compared besides: soft labels, which are
another loss for the same knowledge, and the decision of least expected error (the median of the predicted ages), which
needs no training.

It reads the folders as the data sets' archives have them: UTKFace's ``[age]_[gender]_[race]_[date&time].jpg`` (or
``.jpg.chip.jpg``, in any folders) or AFAD's ``<age>/<111 or 112>/*.jpg``. What can't be used is left out and named.
Faces are divided, not people: where there are several photographs of a person they can be on both sides. All settings,
ten times each, are work for a GPU; ``--quick`` is for a CPU. Neither data set comes with this repository, nor do
results on them.
"""

from __future__ import annotations

import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from sweep import BASE, Result, Setting, Trial, choose, keep_best, options, run, write
from torch import Tensor, nn

import simloss
import simmatrix
from simloss.metrics import MistakeReport

SIZE, EPOCHS, PATIENCE, BATCH, LEARNING_RATE, SEEDS = 60, 200, 10, 1024, 1e-3, 10
QUICK_FACES, QUICK_EPOCHS = 400, 2
FIGURES = ("accuracy", "calibration_error", "severity", "position_mae", "position_mse")

SIMLOSS = {Setting("SimLoss", f"r = {tenths / 10}"): tenths / 10 for tenths in range(1, 10)}
SOFT_LABELS = {Setting("soft labels", f"beta = {beta}"): float(beta) for beta in (10, 30, 100, 300)}
SETTINGS = (BASE, *SIMLOSS, *SOFT_LABELS)
QUICK_SETTINGS = (BASE, Setting("SimLoss", "r = 0.5"), Setting("soft labels", "beta = 30"))
MINIMUM_RISK = Setting("minimum risk", "of cross entropy")
# What Pillow raises on damaged files, and on files that claim a size beyond all measure.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)


class DataError(Exception):
    """What is given can't be used; the message says what was expected."""


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
    """A data set: images (N, 3, 60, 60) in uint8, labels (N), the age in years of each class, in order."""

    kind: str
    images: Tensor
    labels: Tensor
    ages: tuple[int, ...]
    left_out: tuple[str, ...]


def find(folder: Path) -> tuple[Kind, dict[str, int], list[str]]:
    """Return what a folder holds: the data set, the age of each of its files, and the other files, in sorted order."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder")
    paths = [
        Path(place, file) for place, _, files in os.walk(folder, onerror=_stop, followlinks=True) for file in files
    ]
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    matches = {kind: {name: found for name in names if (found := kind.pattern.fullmatch(name))} for kind in KINDS}
    kinds = [kind for kind in KINDS if matches[kind]]
    if len(kinds) != 1:
        some = f"no faces among {len(names):,} files{_some(names, ', such as ')}"
        expected = " or ".join(f"{kind.name} ({kind.expected})" for kind in KINDS)
        what = "faces of both data sets" if kinds else some
        raise DataError(f"{folder} holds {what}; expected was a folder of {expected}")
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
    """Read a folder of faces; of `most` faces at most, which are spread over it.

    The classes are the ages that occur. An age without a face is no class, but leaves its gap: the similarity of two
    classes depends on the difference of their ages, not on how many classes lie between.
    """
    kind, found, others = find(folder)
    files = [name for name, age in found.items() if age <= kind.oldest]
    images, names, unreadable = read(folder, files[:: math.ceil(len(files) / most)] if most and files else files)
    ages = np.array([found[name] for name in names], dtype=np.int64)
    classes, labels = np.unique(ages, return_inverse=True)
    left_out = [
        (len(others), f"files that are no face of {kind.name}", others),
        (len(unreadable), "images that can't be read", unreadable),
        (len(found) - len(files), f"faces of more than {kind.oldest} years", []),
    ]
    reasons = tuple(f"{count:,} {what}{_some(names, ': ')}" for count, what, names in left_out if count)
    if len(classes) < 2 or len(ages) < 5:
        raise DataError(
            f"{folder} holds {len(ages)} faces of {len(classes)} ages that can be used; 5 faces of 2 ages are the "
            f"least{_some(reasons, '. Left out are ')}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Faces(kind.name, images.to(device), torch.from_numpy(labels), tuple(classes.tolist()), reasons)


def read(folder: Path, files: Sequence[str]) -> tuple[Tensor, list[str], list[str]]:
    """Return images (N, 3, 60, 60) in uint8, the files they are of, and a message for each file that can't be read."""
    images = torch.empty((len(files), 3, SIZE, SIZE), dtype=torch.uint8)
    names: list[str] = []
    unreadable: list[str] = []
    console = Console(stderr=True)
    with warnings.catch_warnings():
        # Pillow looks at the size that an image claims before it takes the memory; what it warns of is refused.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for name in track(files, "reading faces", console=console, transient=True, disable=not console.is_terminal):
            try:
                images[len(names)] = _pixels(folder / name)
            except UNREADABLE as error:
                unreadable.append(f"{name} ({error})")
            else:
                names.append(name)
    return images[: len(names)], names, unreadable


def split(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which examples are for training (60 %), validation and test (20 % each): the same ones for all trials."""
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    training, validation, test = shuffled.tensor_split([count * 3 // 5, count * 4 // 5])
    return training, validation, test


def network(count: int) -> nn.Module:
    """Return the paper's network, from images (N, 3, 60, 60) in [0, 1] to logits (N, C)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),  # 28x28
        *(nn.Conv2d(20, 40, 7), nn.ReLU(), nn.MaxPool2d(2)),  # 11x11
        *(nn.Conv2d(40, 80, 11), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(80, 120), nn.ReLU(), nn.Linear(120, count)),
    )


def criterion(setting: Setting, ages: Sequence[int]) -> nn.Module:
    """Return the loss of a setting for classes of these ages."""
    if setting in SIMLOSS:
        names = [str(age) for age in ages]
        matrix = simmatrix.from_order(names, decay=SIMLOSS[setting], positions="class")
        return simloss.SimLoss(matrix, classes=names)
    if setting in SOFT_LABELS:
        return simloss.SoftLabelLoss(closeness(ages), SOFT_LABELS[setting])
    return nn.CrossEntropyLoss()


def closeness(ages: Sequence[int]) -> Tensor:
    """Return 1 - |difference| / range for each two classes, (C, C): one minus it is an error in years, scaled."""
    return 1 - differences(ages) / (max(ages) - min(ages))


def differences(ages: Sequence[int]) -> Tensor:
    """Return the years between each two classes, (C, C)."""
    years = torch.tensor(ages, dtype=torch.float32)
    return (years.unsqueeze(1) - years).abs()


@dataclass(frozen=True)
class Training:
    """Trains one trial on faces, and says how good the model is."""

    faces: Faces
    epochs: int

    def __call__(self, trial: Trial) -> list[Result]:
        """Return what comes of one training; of cross entropy also what its decision of least risk is worth."""
        torch.manual_seed(trial.seed)
        torch.backends.cudnn.deterministic = True
        images, ages, device = self.faces.images, self.faces.ages, self.faces.images.device
        labels = self.faces.labels.to(device)
        training, validation, test = split(len(labels))
        model, loss = network(len(ages)).to(device), criterion(trial.setting, ages).to(device)
        optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

        def train_epoch() -> None:
            for batch in torch.split(training[torch.randperm(len(training))].to(device), BATCH):
                optimiser.zero_grad()
                loss(model(images[batch] / 255), labels[batch]).backward()
                optimiser.step()

        def scores(part: Tensor) -> Tensor:
            with torch.no_grad():
                return torch.cat([model(images[batch] / 255) for batch in torch.split(part.to(device), BATCH)]).cpu()

        def validate() -> float:
            return mean_absolute_error(scores(validation).argmax(1), self.faces.labels[validation], ages)

        fit(model, train_epoch, validate, self.epochs)
        parts = [(scores(part), self.faces.labels[part]) for part in (validation, test)]

        def judged(setting: Setting, decide: Callable[[Tensor], Tensor]) -> Result:
            return Result(setting, trial.seed, *(figures(logits, decide(logits), y, ages) for logits, y in parts))

        results = [judged(trial.setting, lambda logits: logits.argmax(1))]
        if trial.setting == BASE:
            results.append(judged(MINIMUM_RISK, lambda logits: simloss.minimum_risk(logits, closeness(ages))))
        return results


def fit(model: nn.Module, train_epoch: Callable[[], None], validate: Callable[[], float], epochs: int) -> None:
    """Train until there was nothing better for more than `PATIENCE` epochs, and leave the model as it was best."""

    def epoch() -> float:
        train_epoch()
        return -validate()

    keep_best(model, epoch, epochs, PATIENCE + 1)


def mean_absolute_error(decided: Tensor, labels: Tensor, ages: Sequence[int]) -> float:
    """Return by how many years the decided classes (N) are off, on average."""
    return differences(ages)[labels, decided].double().mean().item()


def figures(logits: Tensor, decided: Tensor, labels: Tensor, ages: Sequence[int]) -> dict[str, float]:
    """Return the figures of a decision (N): the confidence is the model's, the mistakes are those of the decision.

    The severity is in years, of the mistakes alone; the mean absolute error is that of all faces.
    """
    found = _reported(nn.functional.one_hot(decided, len(ages)).float(), labels, ages)
    found["calibration_error"] = _reported(logits, labels, ages)["calibration_error"]
    return {name: found[name] for name in FIGURES}


def main() -> None:
    """Train all settings on a folder of faces and write tables and a picture."""
    parser = options(__doc__, seeds=SEEDS)
    parser.add_argument("folder", type=Path, help="of UTKFace or AFAD")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="at most (%(default)s)")
    arguments = parser.parse_args()
    if arguments.epochs < 1:
        parser.error(f"argument --epochs: {arguments.epochs} is too few; give 1 or more")
    settings, most, seeds, epochs = SETTINGS, None, arguments.seeds, arguments.epochs
    if arguments.quick:
        settings, most = QUICK_SETTINGS, QUICK_FACES
        epochs = min(epochs, QUICK_EPOCHS)
    try:
        faces = load(arguments.folder, most)
        if faces.left_out:
            print(f"warning: left out are {', '.join(faces.left_out)}", file=sys.stderr)
        name = f"age-{faces.kind.lower()}{'-quick' if arguments.quick else ''}"
        trials = [Trial(setting, seed) for setting in settings for seed in range(seeds)]
        workers = 1 if arguments.quick else None
        results = run(Training(faces, epochs), trials, arguments.out / f"{name}.csv", workers=workers)
        rule = f"{_about(faces)} Of each method the setting whose mean absolute error on validation data is the least."
        chosen = choose(results, lambda found: (found["position_mae"].mean,))
        write(name, arguments.out, results, chosen, rule, ("severity", "accuracy"))
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


def _pixels(path: Path) -> Tensor:
    """Return an image as (3, 60, 60); a large one is decoded at a smaller scale, at least twice that."""
    if not path.is_file():  # to open a pipe would wait for ever
        raise OSError("no regular file")
    with Image.open(path, formats=("JPEG",)) as image:
        image.draft("RGB", (2 * SIZE, 2 * SIZE))
        scaled = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(scaled)).permute(2, 0, 1)


def _about(faces: Faces) -> str:
    ages = faces.ages
    return f"{len(faces.labels):,} faces of {faces.kind}, {len(ages)} ages from {ages[0]} to {ages[-1]} years."


def _reported(scores: Tensor, labels: Tensor, ages: Sequence[int]) -> dict[str, float]:
    report = MistakeReport(distance=differences(ages), positions=ages)
    report.update(scores, labels)
    return {name: float(value) for name, value in report.compute().items()}


def _some(names: Sequence[str], before: str) -> str:
    """Return the first of them, and how many more there are."""
    if not names:
        return ""
    return before + ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _stop(error: OSError) -> None:
    raise error


if __name__ == "__main__":
    main()
