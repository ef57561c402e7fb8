"""fastText's two files, against gensim, which trains and writes them."""

from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model

from simmatrix.builders import embeddings
from simmatrix.builders.embeddings import VectorSource, embedding_similarity
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, SourceError
from simmatrix.vectors.formats import read_vectors, vector_file, words_of
from simmatrix.vectors.streams import Files
from tests.simmatrix.vectors.detection import detect_format

TEXT = [["rose", "tulip", "flower"], ["truck", "lorry", "wheel"], ["rose", "flower", "red"]] * 5


def model(folder: Path, **options: int) -> Path:
    path = folder / "model.bin"
    trained = FastText(TEXT, vector_size=4, min_count=1, epochs=1, workers=1, seed=1, **options)
    save_facebook_model(trained, str(path))
    return path


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("fasttext"), bucket=50)


@pytest.fixture(scope="session")
def theirs(path: Path) -> KeyedVectors:
    return load_facebook_vectors(str(path))


def test_equal_to_gensim(path: Path, theirs: KeyedVectors) -> None:
    assert detect_format(path) == "fasttext"
    with Files(path) as files:
        ours = vector_file(files).read({*theirs.index_to_key, "unknown"})
        assert set(ours.found) == set(theirs.index_to_key)
        for word, one in ours.found.items():
            np.testing.assert_array_equal(one.values, theirs[word], strict=True)
        assert ours.compose is not None
        for word in ("roses", "Käfer", "日本語", "a", "x y", "r" * 99):
            np.testing.assert_array_equal(ours.compose(word).values, theirs[word], strict=True)
    assert list(words_of(path)) == theirs.index_to_key


def test_vec_is_word2vec_text(theirs: KeyedVectors, tmp_path: Path) -> None:
    path = tmp_path / "model.vec"
    theirs.save_word2vec_format(str(path))
    assert detect_format(path) == "word2vec"
    ours = read_vectors(path, set(theirs.index_to_key))
    for word, one in ours.found.items():
        np.testing.assert_array_equal(one.values, theirs[word])


@pytest.mark.parametrize("at_once", [2, 10])
def test_subwords_stand_in_for_missing_words(
    at_once: int, path: Path, theirs: KeyedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "_FORMS_AT_ONCE", at_once)
    classes = ClassList(("rose", "tulipes", "RedTruckish"))
    raw = embedding_similarity(VectorSource(path, path.name), classes)
    assert {name: one["how"] for name, one in raw.provenance.resolution.items()} == {
        "rose": "name",
        "tulipes": "subwords",
        "RedTruckish": "subwords",
    }
    # A word of the mean that the vocabulary does know is found by its forms, as it would be elsewhere.
    assert raw.provenance.resolution["RedTruckish"]["words"] == ["red", "Truckish"]
    assert raw.values[0, 1] == pytest.approx(theirs.similarity("rose", "tulipes"), abs=1e-6)


def test_without_subwords_a_missing_word_is_missing(tmp_path: Path) -> None:
    path = model(tmp_path, max_n=0, bucket=0)
    with Files(path) as files:
        assert vector_file(files).read({"rose"}).compose is None
    with pytest.raises(ClassNotFoundError, match="tulpi: no 'tulpi', nearest tulip"):
        embedding_similarity(VectorSource(path, path.name), ClassList(("rose", "tulpi")))


def test_cut_off_anywhere(path: Path, theirs: KeyedVectors, tmp_path: Path) -> None:
    whole, cut = path.read_bytes(), tmp_path / "cut.bin"
    # The matrix that ends the file serves training alone: a flag, two sizes, and its values.
    needed = len(whole) - (1 + 8 + 8 + theirs.vectors.nbytes)
    for size in (*range(1, needed, 97), needed - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"damaged or cut short|is not fastText's"):
            read_vectors(cut, {"rose"}, format="fasttext")


def test_a_header_that_lies_takes_no_memory(path: Path, tmp_path: Path) -> None:
    lying = bytearray(path.read_bytes())
    lying[8:12] = (2**31 - 1).to_bytes(4, "little")  # the dimension, behind magic and version
    (tmp_path / "lying.bin").write_bytes(lying)
    with pytest.raises(SourceError, match="damaged or cut short"):
        read_vectors(tmp_path / "lying.bin", {"rose"})


FIELDS = {"version": 4, "dim": 8, "model": 36, "bucket": 40, "minn": 44, "maxn": 48, "size": 64, "nwords": 68}
FIELDS |= {"nlabels": 72, "pruned": 84}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 1 << 20, "damaged or cut short"),
        ("size", -1, "damaged or cut short"),
        ("nwords", 3, "damaged or cut short"),
        ("dim", 0, "damaged or cut short"),
        ("bucket", -1, "damaged or cut short"),
        ("minn", -1, "damaged or cut short"),
        ("maxn", -1, "damaged or cut short"),
        ("model", 3, "supervised"),
        ("nlabels", 2, "supervised"),
        ("pruned", 5, "quantised"),
        ("version", 13, "of version 13 of fastText's format; 12 is the latest known"),
    ],
)
def test_sizes_are_checked_first_and_models_of_other_kinds_are_told(
    field: str, value: int, message: str, path: Path, tmp_path: Path
) -> None:
    """The dictionary's size once made the reader loop for ever."""
    changed = bytearray(path.read_bytes())
    changed[FIELDS[field] : FIELDS[field] + 4] = value.to_bytes(4, "little", signed=True)
    if field == "pruned":
        changed[FIELDS[field] + 4 : FIELDS[field] + 8] = bytes(4)
    (tmp_path / "changed.bin").write_bytes(changed)
    with pytest.raises(SourceError, match=message):
        read_vectors(tmp_path / "changed.bin", {"rose"})


def test_the_older_header(path: Path, theirs: KeyedVectors, tmp_path: Path) -> None:
    """Before version 11 there were no magic number, no version, no pruning and no quantisation."""
    whole, old = path.read_bytes(), tmp_path / "old.bin"
    end = 92 + sum(len(word.encode()) + 10 for word in theirs.index_to_key)
    old.write_bytes(whole[8:84] + whole[92:end] + whole[end + 1 :])
    assert detect_format(old) == "fasttext"
    np.testing.assert_array_equal(load_facebook_vectors(str(old))["rose"], theirs["rose"])
    for word, one in read_vectors(old, set(theirs.index_to_key)).found.items():
        np.testing.assert_array_equal(one.values, theirs[word], strict=True)
