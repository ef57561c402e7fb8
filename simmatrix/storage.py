"""The file of a similarity matrix (docs/file-format.md): which tensors and texts it holds, by version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simmatrix.container import LONGEST_HEADER, Container, canonical_json, open_container, serialised
from simmatrix.errors import OutputError, SourceError
from simmatrix.files import Progress, check_output_folder, digest_of, reading, write_atomically
from simmatrix.provenance import Provenance, parsed_field
from simmatrix.version import __version__

SUFFIX = ".safetensors.index.json"
"""What the name of an index of shards ends in, as those of models do (`simmatrix.shards`)."""

FORMAT = "simmatrix"
FORMAT_VERSION = 2
"""The newest version that is read. What version 1 can hold is written as version 1."""
KIND = "similarity"

_SHOWN = 5
_OTHER_FORMATS = re.compile(
    r"\.(np[yz]|[ct]sv|txt|dat|jsonl?|ya?ml|xml|html?|md|tex|png|svg|pdf|jpe?g|gif|webp|pkl|pickle|joblib|pt|pth|bin|ckpt|"
    r"onnx|h5|hdf5|parquet|feather|arrow|mat|xlsx?|ods|docx?|zip|gz|tar|xz|bz2|py|ipynb)"
)
_VERSION = re.compile("[1-9][0-9]{0,8}")
_MADE = "made by simmatrix build"
_DENSE = {"similarity": "F32"}
_SPARSE = {"crow_indices": "I64", "col_indices": "I32", "values": "F32"}
_TOEPLITZ = {"diagonals": "F32"}
_FORMS = (_DENSE, _SPARSE, _TOEPLITZ)
# The tensors and their types, by format version.
_LAYOUTS = {1: (_DENSE, _SPARSE), 2: (*_FORMS, *(form | {"evidence": "I32"} for form in _FORMS))}


class MatrixFile(NamedTuple):
    """What a file holds, as it stands there, and its checksum, if that was asked for."""

    tensors: dict[str, np.ndarray]
    classes: Sequence[str]
    provenance: Provenance
    sha256: str


def write_matrix(path: Path, tensors: Mapping[str, np.ndarray], classes: Sequence[str], provenance: Provenance) -> None:
    """Write a matrix's tensors, in their order, and what is told of it; see `simmatrix.save`."""
    # The oldest version that has these tensors, so that older releases can read the file.
    version = min(one for one, layouts in _LAYOUTS.items() if tensors.keys() in [layout.keys() for layout in layouts])
    check_output(path)
    provenance.check(path)
    origin, names = provenance.to_metadata(), canonical_json(list(classes))
    metadata = {
        "format": FORMAT,
        "format_version": str(version),
        "kind": KIND,
        "classes": names,
        "classes_sha256": hashlib.sha256(names.encode()).hexdigest(),
        **origin,
        "tool_version": __version__,
    }
    header, *arrays = serialised(tensors, metadata)
    if len(header) > LONGEST_HEADER:
        raise OutputError(
            f"the names of {len(classes)} classes, and how each was found, take {len(header) // 10**6} MB; "
            f"a safetensors file has room for {LONGEST_HEADER // 10**6}, so write it in shards "
            f"({path.stem}{SUFFIX})",
            path,
        )
    write_atomically(path, (header, *arrays))


def is_index(path: Path) -> bool:
    """Tell whether a file's name is that of an index of shards."""
    return path.name.endswith(SUFFIX)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a matrix in shards."""
    files = [path]
    if is_index(path):
        from simmatrix.shards import read_index

        index = read_index(path)
        files += map(index.beside, index.files())
    return sum(file.stat().st_size for file in files)


def check_output(path: Path) -> bool:
    """Return whether a similarity matrix is at `path`, which is about to be replaced.

    Raises `OutputError` if something else is there, or the name belongs to another format.
    """
    if is_index(path):
        from simmatrix.shards import check_index

        check_index(path)
        return path.exists()
    suffix = path.suffix.lower()
    if _OTHER_FORMATS.fullmatch(suffix):
        raise OutputError(f"a matrix file is safetensors, not {suffix}; name it {path.stem}.safetensors", path)
    check_output_folder(path)
    if not path.exists():
        return False
    try:
        with open_container(path, "") as file:
            _check_layout(file)
    except SourceError:
        message = "is there already and is no similarity matrix; it is left alone, write to another file"
        raise OutputError(message, path) from None
    return True


def read_matrix(path: Path, progress: Progress | None = None) -> MatrixFile:
    """Read a file that `write_matrix` wrote; with a `progress`, take the checksum of the same bytes too.

    Raises `SourceError` if the file is missing, damaged, of a newer format version, or no similarity matrix.
    """
    with open_container(path, f"give a file {_MADE}") as file:
        _check_layout(file)
        tensors = {name: file.read(name) for name in file.tensors}
        with reading(path):
            sha256 = "" if progress is None else digest_of(file.file, progress)
    classes = tuple(parsed_field(file.metadata, "classes", list, path))
    if not all(isinstance(name, str) for name in classes):
        raise SourceError("its classes is missing or damaged; build it again", path)
    if file.metadata.get("classes_sha256") != hashlib.sha256(canonical_json(classes).encode()).hexdigest():
        raise SourceError("its class names do not match their checksum; build it again", path)
    return MatrixFile(tensors, classes, Provenance.from_metadata(file.metadata, path), sha256)


def _check_layout(file: Container) -> None:
    """Raise `SourceError` unless a file has the layout of a similarity matrix that this release reads."""
    metadata, path = file.metadata, file.path
    if metadata.get("format") != FORMAT:
        raise SourceError(f"is a safetensors file without a similarity matrix; give one {_MADE}", path)
    if metadata.get("kind") in ("rows", "classes"):
        raise SourceError(f"is a part of a matrix; name its index, which ends in {SUFFIX}", path)
    version = metadata.get("format_version", "")
    if _VERSION.fullmatch(version) is None:
        raise SourceError(f"has the format version {version[:20]!r}, which is none; build it again", path)
    if int(version) > FORMAT_VERSION:
        raise SourceError(
            f"has format version {version}, this release reads up to {FORMAT_VERSION}; install a newer release", path
        )
    if metadata.get("kind") != KIND:
        kind = repr(metadata.get("kind"))
        raise SourceError(f"holds a {kind:.40}, not a {KIND} matrix; this release can't read it", path)
    found = {name: tensor["dtype"] for name, tensor in file.tensors.items()}
    if found not in _LAYOUTS[int(version)]:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        shown = f"{dict(islice(found.items(), _SHOWN))!s:.300}{more}"
        raise SourceError(f"holds the tensors {shown}, not those of a similarity matrix; build it again", path)
    for name, tensor in file.tensors.items():
        # Its size is within the file's, but an empty array or one of many dimensions can be more than NumPy takes.
        if 0 in tensor["shape"] or len(tensor["shape"]) > 2:
            shape = ", ".join(map(str, tensor["shape"]))[:40]
            raise SourceError(f"its tensor {name} has the shape ({shape}), which is no matrix's; build it again", path)
