"""The bundled word vectors: their file, and their values against GloVe's as others print them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors import safe_open

from simmatrix import data
from simmatrix.errors import SourceError

FIXTURES = Path(__file__).parent / "fixtures"
DATA = Path(__file__).parents[2] / "data"  # the checksums are not installed
SAMPLE = [line.split() for line in (FIXTURES / "glove-6b-50d-sample.txt").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def path() -> Path:
    return data.vector_file_path("glove-6b-50d")


@pytest.fixture(scope="module")
def vectors(path: Path) -> npt.NDArray[np.float16]:
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor("vectors")


@pytest.fixture(scope="module")
def words(path: Path) -> list[str]:
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor("vocabulary").tobytes().decode("utf-8").split("\n")


def test_names() -> None:
    assert data.vector_file_names() == ("glove-6b-50d",)


def test_unknown_name() -> None:
    with pytest.raises(SourceError, match=r"glove-6b-300d.*glove-6b-50d"):
        data.vector_file_path("glove-6b-300d")


def test_checksum(path: Path) -> None:
    digest, name = (DATA / "vectors" / "glove-6b-50d.sha256").read_text(encoding="utf-8").split()
    assert name == path.name
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_size(path: Path) -> None:
    assert path.stat().st_size < 6_000_000


def test_header(path: Path) -> None:
    """The bytes keep one order, the vectors first and aligned, which safetensors' own writer does not promise."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    assert header.startswith(b'{"__metadata__":{"format":"simmatrix-vectors","name":"glove-6b-50d","source":')
    assert header.index(b'"vectors"') < header.index(b'"vocabulary"')
    assert (8 + length) % 8 == 0


def test_metadata(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata.keys() == {"format", "name", "source", "licence"}
    assert metadata["licence"] == "PDDL-1.0"


def test_layout(vectors: npt.NDArray[np.float16], words: list[str]) -> None:
    assert vectors.dtype == np.float16
    assert vectors.shape == (55_232, 50)
    assert len(words) == len(vectors)


def test_words(words: list[str]) -> None:
    assert len(set(words)) == len(words)
    assert not [word for word in words if word != word.lower() or word.split() != [word]]


def test_values_are_usable(vectors: npt.NDArray[np.float16]) -> None:
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()


@pytest.mark.parametrize(("word", "values"), [(line[0], line[1:]) for line in SAMPLE], ids=[line[0] for line in SAMPLE])
def test_values(word: str, values: list[str], vectors: npt.NDArray[np.float16], words: list[str]) -> None:
    """Each value is the float16 nearest to the printed one: equal, with no tolerance."""
    np.testing.assert_array_equal(vectors[words.index(word)], np.array(values, dtype=np.float32).astype(np.float16))


def test_order_is_by_frequency(words: list[str]) -> None:
    """GloVe's own order, most frequent first."""
    ranks = [words.index(word) for word in ("the", "of", "king", "cat", "melon")]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0
