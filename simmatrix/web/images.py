"""Pictures of classes, found in a folder once; what is served is chosen by number, never by a path from outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simmatrix.errors import SourceError
from simmatrix.files import reading
from simmatrix.names import composed
from simmatrix.text import some

TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
}
"""The suffixes of files that are served, and their media types. No SVG, which may hold scripts."""


def find_images(folder: Path, classes: Sequence[str]) -> tuple[tuple[Path, ...], ...]:
    """Return the pictures of each class: ``CLASS.jpg``, and all that are in the folder ``CLASS``.

    Raises `SourceError` if there is no such folder, a class has no picture, or a picture is a link out of the folder.
    """
    with reading(folder):
        root = folder.resolve(strict=True)
        found: dict[str, list[Path]] = {}
        for path in sorted(root.iterdir()):
            if path.is_dir():
                found.setdefault(composed(path.name), []).extend(
                    one for one in sorted(path.iterdir()) if _is_image(one)
                )
            elif _is_image(path):
                found.setdefault(composed(path.stem), []).append(path)
        for path in (one for name in classes for one in found.get(name, ())):
            if not path.resolve().is_relative_to(root):
                raise SourceError(
                    f"the picture {path.name} is a link out of the folder; put the file itself in", folder
                )
    missing = [name for name in classes if not found.get(name)]
    if missing:
        raise SourceError(
            f"has no picture for {some(missing)}; add CLASS.jpg, or a folder CLASS with pictures, for each "
            f"({', '.join(TYPES)})",
            folder,
        )
    return tuple(tuple(found[name]) for name in classes)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in TYPES and path.is_file()
