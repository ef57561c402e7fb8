"""Images with their labels: read from a folder or a zip, and a network trained on them with early stopping."""

from __future__ import annotations

import io
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import torch
from methods import drawn
from PIL import Image
from rich.console import Console
from rich.progress import track
from sweep import DataError, keep_best
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

__all__ = [
    "UNREADABLE",
    "Files",
    "Images",
    "Recipe",
    "augment",
    "fit",
    "open_files",
    "predict",
    "read_images",
    "scored",
    "some",
]

# What Pillow raises on damaged files and on files that claim a size beyond all measure, and zipfile on damaged members.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning),
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),
)
_MEMBER_AT_MOST = 2**26  # bytes of one image in a zip
_BATCH = 64  # of predictions: few enough for the caches of a CPU
_LAYOUT = torch.channels_last  # twice as fast as the other one on a CPU


@dataclass(frozen=True)
class Images:
    """Pixels (N, 3, H, W), uint8, and labels (N), int64."""

    pixels: Tensor
    labels: Tensor

    def __getitem__(self, chosen: Tensor | slice) -> Images:
        return Images(self.pixels[chosen], self.labels[chosen])

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Images:
        """Return them on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))


# --- reading ----------------------------------------------------------------------------------------------------------


class Files(Protocol):
    """The files of a folder or of a zip: their names, in sorted order, with / between their parts."""

    @property
    def names(self) -> Sequence[str]:
        """Their names."""

    def open(self, name: str) -> BinaryIO:
        """Open one of them."""


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        found = (
            Path(place, file) for place, _, files in os.walk(path, onerror=_stop, followlinks=True) for file in files
        )
        self.names = sorted(file.relative_to(path).as_posix() for file in found)

    def open(self, name: str) -> BinaryIO:
        file = self.path / name
        if not file.is_file():  # to open a pipe would wait for ever
            raise OSError("no regular file")
        return file.open("rb")


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.names = sorted(name for name in archive.namelist() if not name.endswith("/"))

    def open(self, name: str) -> BinaryIO:
        if self.archive.getinfo(name).file_size > _MEMBER_AT_MOST:
            raise OSError(f"more than {_MEMBER_AT_MOST:,} bytes")
        return io.BytesIO(self.archive.read(name))


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """Open a folder or a zip of files.

    Raises
    ------
    DataError
        If it is neither.
    OSError
        If it can't be read.
    """
    if path.is_dir():
        yield _Folder(path)
        return
    if not path.is_file():
        raise DataError(f"{path} is no folder and no zip")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise DataError(f"{path} is no folder and no whole zip") from None
    with archive:
        yield _Zip(archive)


def read_images(
    files: Files, names: Sequence[str], size: int, formats: tuple[str, ...], *, exact: bool = False
) -> tuple[Tensor, list[str], list[str]]:
    """Return images (N, 3, size, size) in uint8, the files they are of, and a message for each that can't be read.

    An image of another size is scaled, or can't be read if the size has to be `exact`. A large JPEG is decoded at a
    smaller scale, at least twice that.
    """
    images = torch.empty((len(names), 3, size, size), dtype=torch.uint8)
    kept: list[str] = []
    unreadable: list[str] = []
    console = Console(stderr=True)
    with warnings.catch_warnings():
        # Pillow looks at the size that an image claims before it takes the memory; what it warns of is refused.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for name in track(names, "reading images", console=console, transient=True, disable=not console.is_terminal):
            try:
                with files.open(name) as stream:
                    images[len(kept)] = _pixels(stream, size, formats, exact=exact)
            except UNREADABLE as error:
                unreadable.append(f"{name} ({error})")
            else:
                kept.append(name)
    return images[: len(kept)], kept, unreadable


def _pixels(stream: BinaryIO, size: int, formats: tuple[str, ...], *, exact: bool) -> Tensor:
    with Image.open(stream, formats=formats) as image:
        if exact and image.size != (size, size):
            raise ValueError(f"{image.width} x {image.height} pixels, not {size} x {size}")
        image.draft("RGB", (2 * size, 2 * size))
        colours = image.convert("RGB")
    if colours.size != (size, size):
        colours = colours.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(colours)).permute(2, 0, 1)


def _stop(error: OSError) -> None:
    raise error


# --- training ---------------------------------------------------------------------------------------------------------


class Recipe(NamedTuple):
    """How a model is trained; it stops after `patience` epochs that are no better, and the best one counts."""

    model: Callable[[int], nn.Module]
    optimiser: Callable[..., torch.optim.Optimizer]
    batch: int
    epochs: int
    patience: float
    is_modern: bool = False  # images are augmented, and the learning rate falls along a half cosine


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


def fit(
    model: nn.Module, criterion: nn.Module, training: Images, recipe: Recipe, good: Callable[[nn.Module], float]
) -> None:
    """Train the model, and leave it as it was after the epoch in which `good` said most of it."""
    model.to(memory_format=_LAYOUT)  # type: ignore[call-overload]  # which torch's types do not know
    optimiser = recipe.optimiser(model.parameters())
    schedule = CosineAnnealingLR(optimiser, recipe.epochs) if recipe.is_modern else None

    def epoch() -> float:
        model.train()
        for chosen in torch.split(torch.randperm(len(training), device=training.labels.device), recipe.batch):
            pixels = augment(training.pixels[chosen]) if recipe.is_modern else training.pixels[chosen]
            optimiser.zero_grad()
            loss = criterion(model(pixels.contiguous(memory_format=_LAYOUT)), training.labels[chosen])
            loss.backward()
            optimiser.step()
        if schedule is not None:
            schedule.step()
        return good(model)

    keep_best(model, epoch, recipe.epochs, recipe.patience)


def some(training: Images, recipe: Recipe, amount: str, seed: int) -> tuple[Images, Recipe]:
    """Return so many of the images a class, and the recipe with a batch that is smaller in proportion.

    So an epoch has as many steps with fewer images.
    """
    chosen = training[drawn(training.labels.cpu(), torch.arange(len(training)), amount, seed)]
    return chosen, recipe._replace(batch=math.ceil(recipe.batch * len(chosen) / len(training)))


def scored(model: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
    """Return the logits (N, C) of images and their labels (N), on the CPU."""
    return predict(model, images.pixels).cpu(), images.labels.cpu()


@torch.no_grad()
def predict(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return the logits (N, C) of images (N, 3, H, W)."""
    model.eval()
    parts = torch.split(pixels, _BATCH)
    return torch.cat([model(part.contiguous(memory_format=_LAYOUT)) for part in parts])
