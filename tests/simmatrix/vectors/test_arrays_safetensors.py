"""safetensors with a vocabulary inside or beside it, against the tensors it was written from."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from simmatrix.errors import SourceError
from simmatrix.vectors.formats import read_vectors, words_of
from tests.simmatrix.vectors.detection import detect_format

WORDS = ["rose", "Käfer", "日本", "rose"]
ROWS = np.random.default_rng(0).normal(size=(4, 3))
VOCABULARY = np.frombuffer("\n".join(WORDS).encode(), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.safetensors"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("inside", [True, False])
def test_values(inside: bool, dtype: type, path: Path) -> None:
    tensors = {"any": ROWS.astype(dtype), "ids": np.arange(4)}
    save_file(tensors | ({"vocabulary": VOCABULARY} if inside else {}), path)
    if not inside:
        path.with_suffix(".txt").write_text("\n".join(WORDS), encoding="utf-8")
    assert detect_format(path) == "safetensors"
    found = read_vectors(path, {"rose", "日本", "unknown"}).found
    assert set(found) == {"rose", "日本"}
    for word, row in (("rose", 0), ("日本", 2)):
        np.testing.assert_array_equal(found[word].values, ROWS[row].astype(dtype).astype(np.float32), strict=True)
    assert list(words_of(path)) == WORDS


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": ROWS}, "has no vocabulary; give one"),
        ({"a": ROWS, "b": ROWS}, r"should hold one matrix .* it holds 'a' F64 \[4, 3\]; 'b' F64 \[4, 3\]"),
        ({"a": ROWS[0]}, r"it holds 'a' F64 \[3\]"),
        ({"a": np.ones((4, 3), np.int32)}, r"it holds 'a' I32 \[4, 3\]"),
        ({"a": np.ones((4, 0))}, r"holds float64 values of shape \(4, 0\)"),
        ({"a": ROWS[:2], "vocabulary": VOCABULARY}, "has 2 vectors for a vocabulary of 4 words"),
        ({"a": ROWS, "vocabulary": VOCABULARY.astype(np.int32)}, "its tensor vocabulary is not UTF-8 text in bytes"),
        ({"a": ROWS, "vocabulary": np.array([0xFC, 0x0A], np.uint8)}, "its tensor vocabulary is not UTF-8"),
    ],
)
def test_other_tensors(tensors: dict[str, np.ndarray], message: str, path: Path) -> None:
    save_file(tensors, path)
    with pytest.raises(SourceError, match=message):
        read_vectors(path, {"rose"})


def test_cut_off_anywhere(path: Path) -> None:
    save_file({"vectors": ROWS, "vocabulary": VOCABULARY}, path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError):
            read_vectors(path, {"rose"}, format="safetensors")
        with pytest.raises(SourceError):
            list(words_of(path, format="safetensors"))
