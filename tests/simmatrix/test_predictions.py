"""Archives of predictions: against NumPy's own reading; and what claims too much, which must take no memory."""

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simmatrix import predictions
from simmatrix.errors import SourceError
from simmatrix.predictions import read_predictions

NAMES = ("owl", "wren", "cod")
LOGITS = np.random.default_rng(0).normal(size=(50, 3))
LABELS = np.random.default_rng(1).integers(0, 3, 50)
# Where an entry of a zip archive's directory has the size of the unpacked file: the field behind its signature.
DIRECTORY, UNPACKED = b"PK\1\2", 24


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_as_numpy_reads_them(save: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    for dtype in ("<f2", "<f4", ">f4", "<f8", ">f8"):
        for order in ("C", "F"):
            save(path, logits=np.asarray(LOGITS.astype(dtype), order=order), labels=LABELS.astype(">i4"))
            found = read_predictions(path, NAMES)
            with np.load(path) as archive:
                np.testing.assert_array_equal(found.scores, archive["logits"])
                np.testing.assert_array_equal(found.labels, archive["labels"])
            assert found.scores.dtype.isnative
            assert (found.are_logits, found.classes) == (True, NAMES)


def test_a_large_array_is_read_in_pieces(tmp_path: Path) -> None:
    path, count = tmp_path / "p.npz", 200_000
    logits = np.random.default_rng(2).normal(size=(count, 3))
    np.savez_compressed(path, logits=logits, labels=np.arange(count) % 3)
    np.testing.assert_array_equal(read_predictions(path, NAMES).scores, logits)


def npy(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + content


def write(path: Path, count: int, scores: bytes, labels: bytes, unpacked: int | None = None) -> None:
    """Write an archive that claims `count` examples; `unpacked` is the size that its directory claims for scores."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("logits.npy", npy((count, 3), "<f4", scores))
        archive.writestr("labels.npy", npy((count,), "<i8", labels))
    if unpacked is not None:
        content = bytearray(path.read_bytes())
        at = content.index(DIRECTORY) + UNPACKED
        content[at : at + 4] = unpacked.to_bytes(4, "little")
        path.write_bytes(content)


def test_what_claims_too_much_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.npz"
    zeros = 1 << 24
    bomb = (zeros // 12, bytes(zeros), bytes(8 * (zeros // 12)))
    for arguments, message in (
        ((10**12, b"", b""), r"it claims 12000000000000 bytes in a file of \d+"),
        ((4 * 10**8, b"", b"", 4 * 10**9), r"unpacks to 4,000,0\d\d,\d\d\d bytes from \d{3}; if that is meant"),
        ((10**5, bytes(100), b"", 1_300_000), "is cut short"),
        (bomb, r"unpacks to 27,9\d\d,\d\d\d bytes from \d\d,\d\d\d; "),
    ):
        write(path, *arguments)
        if arguments is bomb:
            read_predictions(path, NAMES)
            monkeypatch.setattr(predictions, "_LARGE", 1 << 20)
        tracemalloc.start()
        with pytest.raises(SourceError, match=f"p.npz: .*{message}"):
            read_predictions(path, NAMES)
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 22, message


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, logits=LOGITS, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[content.index(LOGITS[7].tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged or cut short"):
        read_predictions(path, NAMES)
