"""gensim's KeyedVectors files, against gensim, and pickles that are up to no good."""

import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec

from simmatrix.errors import SourceError
from simmatrix.vectors.formats import read_vectors, words_of
from tests.simmatrix.vectors.detection import detect_format


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.kv"


@pytest.mark.parametrize("sep_limit", [0, 10 << 20], ids=["arrays beside", "arrays inside"])
def test_equal_to_gensim(sep_limit: int, peer: KeyedVectors, path: Path) -> None:
    peer.save(str(path), sep_limit=sep_limit)
    assert path.with_name("vectors.kv.vectors.npy").exists() == (sep_limit == 0)
    assert detect_format(path) == "keyedvectors"
    theirs = KeyedVectors.load(str(path))
    ours = read_vectors(path, {*peer.index_to_key, "unknown"}).found
    assert set(ours) == set(peer.index_to_key)
    for word, one in ours.items():
        np.testing.assert_array_equal(one.values, theirs[word], strict=True)
    assert list(words_of(path)) == peer.index_to_key


def test_trained_vectors(path: Path) -> None:
    theirs = Word2Vec([["rose", "tulip"], ["rose", "truck"]], vector_size=3, min_count=1, workers=1).wv
    theirs.save(str(path))
    ours = read_vectors(path, set(theirs.index_to_key)).found
    for word in theirs.index_to_key:
        np.testing.assert_array_equal(ours[word].values, theirs[word], strict=True)


@pytest.mark.parametrize("sep_limit", [0, 10 << 20], ids=["arrays beside", "arrays inside"])
def test_parts_of_words_are_not_taken_for_words(sep_limit: int, path: Path) -> None:
    """Gensim leaves a fastText model's word vectors out of the file: it makes them of the parts again."""
    theirs = FastText([["rose", "tulip"]], vector_size=3, min_count=1, workers=1, bucket=50).wv
    theirs.save(str(path), sep_limit=sep_limit)
    with pytest.raises(SourceError, match="parts of words; save the words with gensim's save_word2vec_format"):
        read_vectors(path, {"rose"})


def stored(record: dict[str, object]) -> bytes:
    """Pickle a KeyedVectors object with other attributes than it has today."""
    vectors = KeyedVectors.__new__(KeyedVectors)
    vectors.__dict__.update(record)
    return pickle.dumps(vectors, protocol=2)


@pytest.mark.parametrize("words", ["index_to_key", "index2word"])
@pytest.mark.parametrize("rows", ["vectors", "syn0"])
def test_attributes_of_older_gensims(rows: str, words: str, path: Path) -> None:
    path.write_bytes(stored({rows: np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), words: ["a", "b"]}))
    assert read_vectors(path, {"b"}).found["b"].values.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "holds no vectors"),
        ({"vectors": np.ones((2, 2))}, "holds no list of words"),
        ({"vectors": np.ones((2, 2)), "index_to_key": ["a", 3]}, "holds no list of words"),
        ({"vectors": np.ones((2, 2)), "index_to_key": ["a"]}, "has 2 vectors for a vocabulary of 1 words"),
        ({"vectors": np.ones(2), "index_to_key": ["a", "b"]}, r"float64 values of shape \(2,\)"),
        ({"vectors": np.ones((2, 2), int), "index_to_key": ["a", "b"]}, "int64 values"),
        ({"__numpys": ["vectors"], "index_to_key": ["a"]}, r"vectors\.kv\.vectors\.npy: there is no such file"),
    ],
)
def test_incomplete_objects(record: dict[str, object], message: str, path: Path) -> None:
    path.write_bytes(stored(record))
    with pytest.raises(SourceError, match=message):
        read_vectors(path, {"a"})


class Runs:
    """Calls a function with arguments when it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> object:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("hidden", [False, True], ids=["bare", "inside KeyedVectors"])
@pytest.mark.parametrize("way", ["system", "eval", "open", "tofile"])
def test_malicious_pickles_are_refused_and_do_not_run(way: str, hidden: bool, protocol: int, path: Path) -> None:
    proof = path.with_name("proof")
    payload = {
        "system": Runs(os.system, f"touch {proof}"),
        "eval": Runs(eval, f"open({str(proof)!r}, 'w').close()"),
        "open": Runs(open, str(proof), "w"),
        "tofile": Runs(np.memmap, str(proof), "uint8", "w+", 0, (1,)),
    }[way]
    content: object = payload
    if hidden:
        content = KeyedVectors(2)
        content.payload = payload
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(SourceError, match=r"it names .*, which has no place in word vectors"):
        read_vectors(path, {"rose"}, format="keyedvectors")
    assert not proof.exists()


def test_the_malicious_pickles_would_run(path: Path) -> None:
    """Or else the test above would show nothing."""
    proof = path.with_name("proof")
    path.write_bytes(pickle.dumps(Runs(os.system, f"touch {proof}")))
    with pytest.raises(AttributeError):  # gensim runs it, and then misses its own object
        KeyedVectors.load(str(path))
    assert proof.exists()


# ndarray((2,), "O", buffer=16 bytes) makes two pointers of bytes, and ndarray(that) follows them: a crash at best.
FORGED_POINTERS = b"\x80\x03cnumpy\nndarray\n(cnumpy\nndarray\n((K\x02tX\x01\x00\x00\x00OC\x10" + b"A" * 16 + b"tRtR."
# Sets an attribute on the class itself, and not on an object of it.
CLASS_ATTRIBUTE = b"\x80\x03cgensim.models.keyedvectors\nKeyedVectors\n}X\x04\x00\x00\x00evilK\x01sb."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"rose": [1.0, 2.0]}), "is a pickle of something else than KeyedVectors"),
        (pickle.dumps([1, 2]), "is a pickle of something else"),
        (pickle.dumps(np.ones((2, 2)), protocol=4), "is a pickle of something else"),
        (pickle.dumps(Path("x")), "it names pathlib"),
        (pickle.dumps({"a": 1})[:-3], "can't be read as KeyedVectors"),
        (b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.", "holds no vectors"),
        (FORGED_POINTERS, "holds no vectors"),
        (CLASS_ATTRIBUTE, "can't be read as KeyedVectors"),
        (b"\x80\x04rubbish", "can't be read as KeyedVectors"),
    ],
)
def test_other_pickles(content: bytes, message: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_vectors(path, {"rose"})


def test_memory_is_not_taken_for_what_a_pickle_claims(path: Path) -> None:
    """An index into the unpickler's memory once took 16 bytes for each place up to it."""
    for content in (
        b"\x80\x02Nr" + (150_000_000).to_bytes(4, "little") + b".",
        b"\x80\x02Np150000000\n.",
        b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"N.",
        b"\x80\x05\x96" + (1 << 33).to_bytes(8, "little") + b"N.",
        b"\x80\x02" + b"cnumpy\ndtype\n" * 50_000 + b".",
    ):
        path.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(SourceError):
            read_vectors(path, {"rose"}, format="keyedvectors")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
        tracemalloc.stop()
