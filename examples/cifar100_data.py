"""CIFAR-100 as it comes: a folder or a zip of images, one folder a class, or the published binary archive."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from images import Files, Images, open_files, read_images
from sweep import DataError

import simmatrix

__all__ = ["ARCHIVE", "Archive", "read", "read_archive", "read_folders"]

SIDE, CHANNELS = 32, 3
RECORD = 2 + CHANNELS * SIDE * SIDE
"""Bytes of an image: its superclass, its class, and the pixels' red, green and blue, each row by row."""
_FOLDER = "cifar-100-binary"
_NAMES_AT_MOST = 8192


class Archive(NamedTuple):
    """What an archive has to be: its checksum, and how many images there are in it."""

    md5: str
    training: int
    test: int


ARCHIVE = Archive("03b5dce01913d631647c71ecec9e9cb8", training=50_000, test=10_000)


def read(path: Path, classes: simmatrix.ClassList, archive: Archive = ARCHIVE) -> tuple[Images, Images]:
    """Return the training images and the test images of a folder, a zip or the binary archive.

    Raises
    ------
    DataError
        If it is something else.
    OSError
        If it can't be read.
    """
    is_archive = path.is_file() and path.suffix != ".zip"
    return read_archive(path, classes, archive) if is_archive else read_folders(path, classes)


def read_folders(path: Path, classes: simmatrix.ClassList) -> tuple[Images, Images]:
    """Return the training images and the test images of ``train/CLASS/*.png`` and ``test/CLASS/*.png``.

    The folders of both have to be those of the classes. Images come in the order of their names.

    Raises
    ------
    DataError
        If there are other folders, or an image is not one of 32 x 32 pixels.
    OSError
        If the path can't be read.
    """
    with open_files(path) as files:
        training, test = (_folders(path, files, part, classes) for part in ("train", "test"))
    return training, test


def _folders(path: Path, files: Files, part: str, classes: simmatrix.ClassList) -> Images:
    labels = {}
    index = {name: number for number, name in enumerate(classes.names)}
    for name in files.names:
        *above, folder, file = PurePosixPath(name).parts[-3:]
        if above == [part] and file.lower().endswith(".png"):
            if folder not in index:
                raise DataError(f"{path}: {part}/{folder} is no class of CIFAR-100; name its folder or zip")
            labels[name] = index[folder]
    missing = [name for name, number in index.items() if number not in set(labels.values())]
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(f"{path} has no images {part}/CLASS/*.png of {some}")
    pixels, kept, unreadable = read_images(files, list(labels), SIDE, ("PNG",), exact=True)
    if unreadable:
        raise DataError(f"{path}: {unreadable[0]}")
    return Images(pixels, torch.tensor([labels[name] for name in kept]))


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
