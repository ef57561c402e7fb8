"""word2vec's binary format, against gensim's writer and reader, and cut off everywhere."""

from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from simmatrix.errors import SourceError
from simmatrix.vectors import word2vec_binary
from simmatrix.vectors.formats import read_vectors, words_of
from tests.simmatrix.vectors.detection import detect_format

ROWS = {"cat": [1.0, 2.0], "日本": [0.5, -1.0], "ä": [0.0, 3.0]}


def tiny(separator: bytes = b"") -> bytes:
    records = (word.encode() + b" " + np.array(row, "<f4").tobytes() + separator for word, row in ROWS.items())
    return b"3 2\n" + b"".join(records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.bin"


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_equal_to_gensim(block: int, peer: KeyedVectors, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer.save_word2vec_format(str(path), binary=True)
    monkeypatch.setattr(word2vec_binary, "_BLOCK", max(block, 5))  # the header is read with the first block
    assert detect_format(path) == "word2vec-binary"
    theirs = KeyedVectors.load_word2vec_format(str(path), binary=True)
    ours = read_vectors(path, {*peer.index_to_key, "unknown"}).found
    assert set(ours) == set(peer.index_to_key)
    for word in peer.index_to_key:
        np.testing.assert_array_equal(ours[word].values, theirs[word], strict=True)
    assert list(words_of(path)) == peer.index_to_key


@pytest.mark.parametrize("separator", [b"", b"\n"], ids=["nothing", "line end"])
def test_with_and_without_line_ends_between_records(separator: bytes, path: Path) -> None:
    path.write_bytes(tiny(separator))
    found = read_vectors(path, set(ROWS)).found
    assert {word: one.values.tolist() for word, one in found.items()} == ROWS


@pytest.mark.parametrize("given_format", [None, "word2vec-binary"])
@pytest.mark.parametrize("separator", [b"", b"\n"], ids=["nothing", "line end"])
def test_cut_off_anywhere(separator: bytes, given_format: str | None, path: Path) -> None:
    whole = tiny(separator)
    for size in range(len(whole) - len(separator)):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError):
            read_vectors(path, set(ROWS), format=given_format)


@pytest.mark.parametrize("extra", [b"x", b"dog 12345678", b"\n\nmore"])
def test_more_than_promised(extra: bytes, path: Path) -> None:
    path.write_bytes(tiny() + extra)
    with pytest.raises(SourceError, match="goes on behind the 3 words its header promises"):
        read_vectors(path, {"cat"})


def test_text_given_as_binary_is_no_garbage(peer: KeyedVectors, path: Path) -> None:
    peer.save_word2vec_format(str(path), binary=False)
    with pytest.raises(SourceError, match=r"another format|never ends|ends at word|there is no text"):
        read_vectors(path, {"rose"}, format="word2vec-binary")


def test_the_first_of_repeated_words_wins(path: Path) -> None:
    path.write_bytes(tiny().replace("ä".encode(), b"cat"))
    assert read_vectors(path, {"cat"}).found["cat"].values.tolist() == ROWS["cat"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"3 2", "expected word2vec's header"),
        (b"cat 2\n", "expected word2vec's header"),
        (b"0 2\n", "promises 0 words of 2 values"),
        (b"3 0\n", "promises 3 words of 0 values"),
        (b"3 99999999999\ncat 1", "promises 3 words of 99999999999 values"),
        (b"3 2\n" + b"x" * 70_000, "word 1 never ends"),
        (b"3 2\ncat 12345678", "ends at word 2 of the 3 its header promises"),
    ],
)
def test_damage(content: bytes, message: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_vectors(path, {"cat"}, format="word2vec-binary")


def test_words_that_hold_blanks(path: Path) -> None:
    """Gensim writes them, and reads its own file wrongly."""
    rng = np.random.default_rng(0)
    names = ["linux", "windows 10", "windows", "a b c", "New York City", "z", "ice cream ", "日本 x", "caf\u00e9 1"]
    for trial in range(40):
        order = rng.permutation(names).tolist()
        dimension = int(rng.integers(4, 60))
        values = rng.normal(size=(len(order), dimension)).astype(np.float32)
        if trial % 2:
            values = np.abs(values.round(1))
        vectors = KeyedVectors(dimension)
        vectors.add_vectors(order, values)
        for separator in (b"", b"\n"):
            vectors.save_word2vec_format(str(path), binary=True)
            if separator:
                records = (word.encode() + b" " + row.tobytes() for word, row in zip(order, values, strict=True))
                path.write_bytes(b"%d %d\n" % values.shape + b"\n".join(records) + b"\n")
            assert list(words_of(path)) == order
            found = read_vectors(path, set(names)).found
            for word, row in zip(order, values, strict=True):
                np.testing.assert_array_equal(found[word].values, row)


@pytest.mark.parametrize("token", [b"ca\x00t", b"\xff\xfe", b"a\tb", b"\x7f", b"a\nb", b"\xc3(", b"\x80"])
def test_a_token_that_is_no_text(token: bytes, path: Path) -> None:
    path.write_bytes(tiny().replace("日本".encode(), token))
    with pytest.raises(SourceError, match="where word 2 should be there is no text"):
        read_vectors(path, {"cat"})


def test_a_word_that_was_cut_inside_a_character(path: Path) -> None:
    path.write_bytes(tiny().replace("日本".encode(), "日本".encode()[:-1]))
    assert read_vectors(path, {"cat"}).found["cat"].values.tolist() == ROWS["cat"]


def test_a_byte_more_or_less_is_seen(path: Path) -> None:
    whole = tiny().replace("日本".encode(), b"owl").replace("ä".encode(), b"elk")
    for position in range(4, len(whole)):
        for damaged in (whole[:position] + whole[position + 1 :], whole[:position] + b"x" + whole[position:]):
            path.write_bytes(damaged)
            try:
                found = list(words_of(path, format="word2vec-binary"))
            except SourceError:
                continue
            # All bytes are accounted for: a byte of a word went or came.
            assert sum(len(word.encode()) for word in found) == len(damaged) - 4 - 3 * 9
