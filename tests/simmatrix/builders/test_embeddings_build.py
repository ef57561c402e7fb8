"""From word vectors to a matrix, against gensim's vectors and the formula in float64."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from simmatrix import data, load
from simmatrix.builders.embeddings import DEFAULT_VECTORS, from_embeddings
from simmatrix.choices import VECTOR_FORMATS
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.vectors.formats import read_vectors, words_of

BUNDLED = data.vector_file_path(DEFAULT_VECTORS)
BOUNDS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> KeyedVectors:
    """Return some bundled vectors as gensim reads them from its own binary file."""
    words = list(words_of(BUNDLED))[200:3000:14]
    found = read_vectors(BUNDLED, set(words)).found
    vectors = KeyedVectors(50)
    vectors.add_vectors(words, np.stack([found[word].values for word in words]))
    path = tmp_path_factory.mktemp("build") / "vectors.bin"
    vectors.save_word2vec_format(str(path), binary=True)
    return KeyedVectors.load_word2vec_format(str(path), binary=True)


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_formula(bound: float, theirs: KeyedVectors) -> None:
    unit = theirs.vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    expected = np.maximum(0, (unit @ unit.T - bound) / (1 - bound))
    np.fill_diagonal(expected, 1)
    matrix = from_embeddings(classes=theirs.index_to_key, lower_bound=bound)
    assert matrix.classes == tuple(theirs.index_to_key)
    assert isinstance(matrix.values, np.ndarray)
    np.testing.assert_allclose(matrix.values, expected, rtol=0, atol=1e-6)
    assert np.array_equal(matrix.values, matrix.values.T)


def test_a_file_and_its_bundled_twin_are_the_same_but_for_the_name(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(BUNDLED.read_bytes())
    bundled, mine = from_embeddings(), from_embeddings(str(tmp_path / "mine.safetensors"))
    assert np.array_equal(bundled.values, mine.values)
    assert len(bundled) == 100
    digest = hashlib.sha256(BUNDLED.read_bytes()).hexdigest()
    for matrix, name in ((bundled, DEFAULT_VECTORS), (mine, "mine.safetensors")):
        assert tuple(matrix.provenance.source[0]) == ("vectors", name, digest)
        assert matrix.provenance.source[1].name == "cifar100"
    assert [step["step"] for step in bundled.provenance.normalisation] == ["clip", "lower_bound", "unit_diagonal"]


def test_what_is_similar_is_similar() -> None:
    matrix = from_embeddings()
    for first, near, far in (("maple_tree", "oak_tree", "bus"), ("bus", "train", "rose"), ("wolf", "fox", "lamp")):
        assert matrix[first, near] > matrix[first, far] + 0.2


def test_options_reach_the_builder(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    (tmp_path / "words").write_text("rose\ntulip\ntruck\n")
    seen: list[tuple[int, int]] = []
    options = {"format": "npy", "vocabulary": tmp_path / "words"}
    matrix = from_embeddings(tmp_path / "v.npy", ["rose", "tulip", "lorry"], oov="drop", lower_bound=0.0, **options)
    assert matrix.classes == ("rose", "tulip")
    assert matrix["rose", "tulip"] == pytest.approx(0.5**0.5)
    with pytest.raises(ClassNotFoundError, match="lorry"):
        from_embeddings(tmp_path / "v.npy", ["rose", "tulip", "lorry"], **options)
    with pytest.raises(SourceError, match="format glove, which holds its own vocabulary"):
        from_embeddings(tmp_path / "v.npy", ["rose", "tulip"], format="glove", vocabulary=tmp_path / "words")
    (tmp_path / "v.txt").write_text("rose 1 0\ntruck 0 1\n")
    from_embeddings(tmp_path / "v.txt", ["rose", "truck"], progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (19, 19)
    # Of an array only some rows are read; what takes time is its checksum.
    seen.clear()
    from_embeddings(
        tmp_path / "v.npy", ["rose", "tulip"], progress=lambda done, total: seen.append((done, total)), **options
    )
    size = (tmp_path / "v.npy").stat().st_size
    assert seen == [(size, size)]


@pytest.mark.parametrize("bound", [-0.1, 1.0, 1.5, float("nan")])
def test_a_bound_out_of_range_is_refused_before_anything_is_read(bound: float) -> None:
    with pytest.raises(ParameterError, match=r"outside \[0, 1\)"):
        from_embeddings("no such file", lower_bound=bound)


def test_the_same_values_in_processes_with_other_hash_seeds(tmp_path: Path) -> None:
    code = "import simmatrix, sys; sys.stdout.buffer.write(simmatrix.from_embeddings().values.tobytes())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {np.asarray(from_embeddings().values).tobytes()}


def test_the_name_of_an_archives_member_is_recorded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("dir/v.txt", "rose 1 2\ntulip 2 1\n")
        archive.writestr("other.txt", "rose 1 2\n")
    matrix = from_embeddings(f"{tmp_path}/a.zip:dir/v.txt", ["rose", "tulip"])
    assert matrix.provenance.source[0].name == "a.zip:dir/v.txt"


def test_a_file_name_that_is_not_utf_8_can_be_recorded(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gl\xff.txt"))
    path.write_text("rose 1 2\ntulip 2 1\n")
    matrix = from_embeddings(path, ["rose", "tulip"])
    matrix.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").provenance.source[0].name == r"gl\udcff.txt"


@pytest.mark.parametrize("format", [None, *VECTOR_FORMATS])
def test_a_pipe_is_refused_and_not_waited_for(format: str | None, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is not a regular file; write its contents to a file first"):
        from_embeddings(tmp_path / "pipe", ["rose", "tulip"], format=format)
