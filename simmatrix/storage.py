"""The file of a similarity matrix: safetensors, byte for byte the same for the same matrix."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simmatrix.errors import MatrixError, OutputError, SourceError
from simmatrix.files import check_input, check_output_folder, reading, write_atomically
from simmatrix.matrix import SimilarityMatrix, is_sparse
from simmatrix.provenance import Input, Provenance
from simmatrix.toeplitz import diagonals_of, toeplitz_view
from simmatrix.version import __version__

if TYPE_CHECKING:
    from io import BufferedReader

    from scipy.sparse import csr_array

__all__ = ["FORMAT_VERSION", "check_output", "load", "save"]

FORMAT = "simmatrix"
FORMAT_VERSION = 2
"""The newest version that is read. What version 1 can hold is written as version 1."""
KIND = "similarity"

_CODES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I32": np.dtype("<i4"), "I64": np.dtype("<i8")}
_VERSION = re.compile("[1-9][0-9]{0,8}")
_DENSE = {"similarity": "F32"}
# int64 first, so that every tensor starts at a multiple of its item's size.
_SPARSE = {"crow_indices": "I64", "col_indices": "I32", "values": "F32"}
_TOEPLITZ = {"diagonals": "F32"}
_EVIDENCE = {"evidence": "I32"}
# By format version.
_LAYOUTS = {
    1: (_DENSE, _SPARSE),
    2: (_DENSE, _SPARSE, _TOEPLITZ, *(form | _EVIDENCE for form in (_DENSE, _SPARSE, _TOEPLITZ))),
}
# The safetensors library reads no longer ones.
_LONGEST_HEADER = 100_000_000


def save(matrix: SimilarityMatrix, path: str | Path) -> None:
    """Write a matrix to a file. A crash at any point leaves the old file or the new one.

    Parameters
    ----------
    matrix
        What to write.
    path
        A file that does not exist yet, or holds a similarity matrix, which is replaced. The folder must exist.

    Raises
    ------
    OutputError
        If the file is something else than a similarity matrix, or can't be written.
    """
    path = Path(path)
    check_output(path)
    tensors = _tensors(matrix)
    header = _header(tensors, _metadata(matrix, _version_of(tensors)))
    if len(header) > _LONGEST_HEADER:
        raise OutputError(
            f"{path}: the names of {len(matrix)} classes, and how each was found, take {len(header) // 10**6} MB; "
            f"a safetensors file has room for {_LONGEST_HEADER // 10**6}, so give the classes shorter names"
        )
    write_atomically(path, (header, *(_bytes(array) for array in tensors.values())))


def check_output(path: Path) -> None:
    """Raise `OutputError` unless a matrix may be written to `path`: nothing is there yet, or a similarity matrix is."""
    check_output_folder(path)
    if not path.exists():
        return
    try:
        _read_header(path)
    except SourceError:
        raise OutputError(
            f"{path}: is there already and is no similarity matrix; it is left alone, write to another file"
        ) from None


def load(path: str | Path) -> SimilarityMatrix:
    """Read a matrix from a file that `save` wrote.

    Returns
    -------
    SimilarityMatrix
        With its provenance; the values are read once, no second copy is made of a dense matrix.

    Raises
    ------
    SourceError
        If the file is missing, damaged, of a newer format version, or no similarity matrix.
    MatrixError
        If its values or names break an invariant.
    """
    path = Path(path)
    tensors, metadata, start = _read_header(path)
    with reading(path), path.open("rb") as file:
        arrays = {name: _read_tensor(file, start, tensor, path) for name, tensor in tensors.items()}
    classes = tuple(_parsed(metadata, "classes", list, path))
    if not _is_text(classes):
        raise _damaged("classes", path)
    if metadata.get("classes_sha256") != _digest(classes):
        raise SourceError("its class names do not match their checksum; build it again", path)
    try:
        values = _values(arrays, len(classes), path)
        return SimilarityMatrix(values, classes, _provenance(metadata, path), arrays.get("evidence"))
    except MatrixError as error:
        raise MatrixError(f"{path}: {error}") from None


def _tensors(matrix: SimilarityMatrix) -> dict[str, np.ndarray]:
    values = matrix.values
    if is_sparse(values):
        codes = _SPARSE
        arrays = {"crow_indices": values.indptr, "col_indices": values.indices, "values": values.data}
    elif (diagonals := diagonals_of(values)) is not None:
        codes = _TOEPLITZ
        arrays = {"diagonals": diagonals}
    else:
        codes = _DENSE
        arrays = {"similarity": values}
    if matrix.evidence is not None:
        codes = codes | _EVIDENCE
        arrays["evidence"] = matrix.evidence
    # A tensor's bytes are its elements in C order, which only a contiguous array's buffer has.
    return {name: np.ascontiguousarray(arrays[name], dtype=_CODES[code]) for name, code in codes.items()}


def _version_of(tensors: Mapping[str, object]) -> int:
    """Return the first version that has these tensors: older releases read what they can."""
    return next(
        version for version, layouts in _LAYOUTS.items() if any(tensors.keys() == layout.keys() for layout in layouts)
    )


def _metadata(matrix: SimilarityMatrix, version: int) -> dict[str, str]:
    provenance = matrix.provenance
    return {
        "format": FORMAT,
        "format_version": str(version),
        "kind": KIND,
        "classes": _json(matrix.classes),
        "classes_sha256": _digest(matrix.classes),
        "builder": provenance.builder,
        "params": _json(dict(provenance.params)),
        "source": _json([one._asdict() for one in provenance.source]),
        "resolution": _json({name: dict(found) for name, found in provenance.resolution.items()}),
        "normalisation": _json([dict(step) for step in provenance.normalisation]),
        "tool_version": __version__,
    }


def _header(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return the head of a safetensors file. The library's own writer puts the metadata in an order of chance."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    names = {dtype: code for code, dtype in _CODES.items()}
    offset = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": names[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = _json(header).encode()
    # The tensors start at a multiple of 8.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(array: np.ndarray) -> memoryview:
    # An empty tensor has no bytes, and a view of it can't be cast.
    return array.data.cast("B") if array.size else memoryview(b"")


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _digest(classes: tuple[str, ...]) -> str:
    # A damaged file may hold names that are no sound text; the matrix refuses them by name.
    return hashlib.sha256(_json(classes).encode("utf-8", "surrogatepass")).hexdigest()


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    """Return the tensors' descriptions, the metadata, and where the tensors start, having checked the whole layout."""
    from safetensors import SafetensorError, safe_open

    check_input(path)
    try:
        # The library checks sizes, types, overlaps and gaps; it does not touch the tensors.
        with reading(path), safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise SourceError(f"{_kind(path)} ({error}); give a file made by simmatrix build", path) from None
    _check_format(metadata, path)
    with reading(path), path.open("rb") as raw:
        size = int.from_bytes(raw.read(8), "little")
        header: dict[str, Any] = json.loads(raw.read(size))
    header.pop("__metadata__", None)
    _check_tensors(header, _LAYOUTS[int(metadata["format_version"])], path)
    return header, metadata, 8 + size


def _kind(path: Path) -> str:
    with reading(path), path.open("rb") as file:
        start = file.read(3)
    # The size that a safetensors file starts with may look like a pickle's first two bytes, but has a zero behind them.
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and start[2:] not in (b"", b"\0"):
        return "is a pickle, which is never loaded since that would run the code it names"
    return "is no safetensors file, or a damaged one"


def _check_format(metadata: Mapping[str, str], path: Path) -> None:
    if metadata.get("format") != FORMAT:
        raise SourceError("is a safetensors file without a similarity matrix; give one made by simmatrix build", path)
    version = metadata.get("format_version", "")
    if _VERSION.fullmatch(version) is None:
        raise SourceError(f"has the format version {version[:20]!r}, which is none; build it again", path)
    if int(version) > FORMAT_VERSION:
        raise SourceError(
            f"has format version {version}, this release reads up to {FORMAT_VERSION}; install a newer release", path
        )
    if metadata.get("kind") != KIND:
        raise SourceError(f"holds a {metadata.get('kind')!r}, not a {KIND} matrix; this release can't read it", path)


def _check_tensors(header: Mapping[str, Any], layouts: Iterable[Mapping[str, str]], path: Path) -> None:
    found = {name: tensor["dtype"] for name, tensor in header.items()}
    if found not in layouts:
        raise SourceError(f"holds the tensors {found}, not those of a similarity matrix; build it again", path)
    for name, tensor in header.items():
        # Its size is within the file's, but an empty array or one of many dimensions can be more than NumPy takes.
        if 0 in tensor["shape"] or len(tensor["shape"]) > 2:
            shape = ", ".join(map(str, tensor["shape"]))[:40]
            raise SourceError(f"its tensor {name} has the shape ({shape}), which is no matrix's; build it again", path)


def _read_tensor(file: BufferedReader, start: int, tensor: Mapping[str, Any], path: Path) -> np.ndarray:
    # Straight into the array: the library would hold the bytes a second time.
    array = np.empty(tensor["shape"], _CODES[tensor["dtype"]])
    file.seek(start + tensor["data_offsets"][0])
    if file.readinto(_bytes(array)) != array.nbytes:
        raise SourceError("was cut short while it was read; read it again", path)
    array.flags.writeable = False
    return array


def _values(arrays: Mapping[str, np.ndarray], count: int, path: Path) -> np.ndarray | csr_array:
    if "similarity" in arrays:
        return arrays["similarity"]
    if "diagonals" in arrays:
        shape = arrays["diagonals"].shape
        if shape != (2 * count - 1,):
            raise SourceError(f"its diagonals of shape {shape} do not fit {count} classes; build it again", path)
        return toeplitz_view(arrays["diagonals"])
    from scipy.sparse import csr_array

    starts, columns, values = (arrays[name] for name in _SPARSE)
    try:
        matrix = csr_array((values, columns, starts), shape=(count, count))
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise SourceError(f"its sparse matrix is damaged ({error}); build it again", path) from None
    if not matrix.has_canonical_format or (values == 0).any():
        raise SourceError("its sparse matrix is damaged (unsorted columns or stored zeros); build it again", path)
    return matrix


def _provenance(metadata: Mapping[str, str], path: Path) -> Provenance:
    params, source, resolution, normalisation = (
        _parsed(metadata, key, kind, path)
        for key, kind in (("params", dict), ("source", list), ("resolution", dict), ("normalisation", list))
    )
    fields = set(Input._fields)
    sound = {
        "source": all(isinstance(one, dict) and one.keys() == fields and _is_text(one.values()) for one in source),
        "resolution": all(
            isinstance(one, dict) and _is_text([one.get("how", ""), *_list(one.get("words", []))])
            for one in resolution.values()
        ),
        "normalisation": all(isinstance(one, dict) for one in normalisation),
    }
    for key, is_sound in sound.items():
        if not is_sound:
            raise _damaged(key, path)
    inputs = tuple(Input(**one) for one in source)
    return Provenance(metadata.get("builder", ""), params, inputs, resolution, tuple(normalisation))


def _list(content: object) -> list[object]:
    return content if isinstance(content, list) else [content, None]


def _is_text(values: Any) -> bool:
    return isinstance(values, Iterable) and all(isinstance(value, str) for value in values)


def _damaged(key: str, path: Path) -> SourceError:
    return SourceError(f"its {key} is missing or damaged; build it again", path)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _parsed(metadata: Mapping[str, str], key: str, kind: type, path: Path) -> Any:
    try:
        content = json.loads(metadata[key], parse_constant=_refuse)
    except (KeyError, ValueError, RecursionError):
        content = None
    if not isinstance(content, kind):
        raise _damaged(key, path)
    return content
