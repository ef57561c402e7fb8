"""Word vectors as text, against gensim's reader, the bundled vectors, and a pure Python reader of a few lines."""

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from simmatrix.data import vector_file_path
from simmatrix.errors import SourceError
from simmatrix.vectors import text
from simmatrix.vectors.formats import read_vectors, words_of

LINES = ("cat 1 2 3", "dog 4 5 6", ". . . 7 8 9", "at name@domain.com -1 -2.5 3e-2", "a 1 1 1", "ä 0 0 1", "日本 2 2 2")

# gensim opens a file without a header twice and leaves one of the two to the garbage collector.
GENSIM_LEAKS = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def oracle(content: bytes, dimension: int) -> dict[str, tuple[list[float], int]]:
    """Read every line of GloVe text: its word's values and its number."""
    found: dict[str, tuple[list[float], int]] = {}
    for number, line in enumerate(content.decode("utf-8-sig").rstrip("\r\n").split("\n"), start=1):
        pieces = line.strip("\r ").split(" ")
        found.setdefault(" ".join(pieces[:-dimension]), ([float(piece) for piece in pieces[-dimension:]], number))
    return found


def check(path: Path, expected: dict[str, tuple[list[float], int]], **options: str) -> None:
    found = read_vectors(path, {*expected, "unknown", "", "cat 1"}, **options).found
    assert set(found) == set(expected)
    for word, (values, line) in expected.items():
        np.testing.assert_array_equal(found[word].values, np.array(values, dtype=np.float32), strict=True)
        assert found[word].line == line


def written(folder: Path, content: bytes | str, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@GENSIM_LEAKS
@pytest.mark.parametrize("header", [True, False], ids=["word2vec", "glove"])
def test_equal_to_gensim(header: bool, peer: KeyedVectors, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    peer.save_word2vec_format(str(path), write_header=header)
    theirs = KeyedVectors.load_word2vec_format(str(path), no_header=not header)
    ours = read_vectors(path, set(peer.index_to_key)).found
    assert set(ours) == set(peer.index_to_key)
    for index, word in enumerate(peer.index_to_key):
        np.testing.assert_array_equal(ours[word].values, theirs[word], strict=True)
        assert ours[word].line == index + 1 + header
    assert list(words_of(path)) == peer.index_to_key


@GENSIM_LEAKS
def test_real_vectors_are_equal_to_gensims(tmp_path: Path) -> None:
    tensors = load_file(vector_file_path("glove-6b-50d"))
    words = tensors["vocabulary"].tobytes().decode().split("\n")[:5000]
    rows = tensors["vectors"][:5000]
    lines = (f"{word} {' '.join(map(str, row))}" for word, row in zip(words, rows.tolist(), strict=True))
    path = written(tmp_path, "\n".join(lines))
    theirs = KeyedVectors.load_word2vec_format(str(path), no_header=True)
    ours = read_vectors(path, set(words)).found
    assert list(words_of(path)) == words == theirs.index_to_key
    np.testing.assert_array_equal(np.stack([ours[word].values for word in words]), theirs.vectors)
    np.testing.assert_array_equal(theirs.vectors, rows.astype(np.float32))


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", " \n", " \r\n"], ids=repr)
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "BOM"])
def test_line_ends_and_byte_order_mark(start: str, line_end: str, end: str, tmp_path: Path) -> None:
    content = (start + line_end.join(LINES) + end).encode()
    path = written(tmp_path, content)
    check(path, oracle(content, 3))
    assert list(words_of(path)) == ["cat", "dog", ". . .", "at name@domain.com", "a", "ä", "日本"]


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", " \n"], ids=repr)
def test_header(start: str, line_end: str, tmp_path: Path) -> None:
    path = written(tmp_path, start + line_end.join((f"{len(LINES)} 3", *LINES)))
    expected = {word: (values, line + 1) for word, (values, line) in oracle("\n".join(LINES).encode(), 3).items()}
    check(path, expected)
    check(path, expected, format="word2vec")
    assert list(words_of(path)) == list(expected)


@pytest.mark.parametrize("line", ["cat\t1\t2\t3", "cat 1  2 3", "cat  1 2 3", "cat 1 2\t3 "])
def test_tabs_and_double_spaces(line: str, tmp_path: Path) -> None:
    for lines in (["dog 4 5 6", line], [line, "dog 4 5 6"], [line, line.replace("cat", "dog")]):
        path = written(tmp_path, "\n".join(lines))
        np.testing.assert_array_equal(read_vectors(path, {"cat"}).found["cat"].values, [1, 2, 3])
        assert sorted(words_of(path)) == ["cat", "dog"]


@pytest.mark.parametrize("repeat", ["cat 9 9 9", "cat  9 9 9", "cat 9 9 9 "])
def test_the_first_of_repeated_words_wins(repeat: str, tmp_path: Path) -> None:
    for lines in (("cat 1 2 3", repeat), ("dog 0 0 1", "cat 1 2 3", "x 1 1 1", repeat)):
        found = read_vectors(written(tmp_path, "\n".join(lines)), {"cat"}).found["cat"]
        np.testing.assert_array_equal(found.values, [1, 2, 3])
        swapped = [repeat if line.startswith("cat 1") else "cat 1 2 3" if line == repeat else line for line in lines]
        found = read_vectors(written(tmp_path, "\n".join(swapped)), {"cat"}).found["cat"]
        np.testing.assert_array_equal(found.values, [9, 9, 9])


words_strategy = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=5), min_size=2
)
numbers = st.lists(st.floats(-9, 9, width=16), min_size=2, max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(words=words_strategy, values=st.data(), block=st.integers(1, 40), header=st.booleans(), tail=st.booleans())
def test_neither_block_size_nor_order_matters(
    words: list[str],
    values: st.DataObject,
    block: int,
    header: bool,
    tail: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {word: values.draw(numbers) for word in words}
    path = tmp_path / "vectors.txt"
    for order in (list(rows), list(rows)[::-1]):
        lines = [f"{word} {rows[word][0]} {rows[word][1]}" for word in order]
        head = [f"{len(lines)} 2"] if header else []
        written(tmp_path, "\n".join(head + lines) + "\n" * tail)
        for size in (block, 1 << 19):
            monkeypatch.setattr(text, "_BLOCK", size)
            if order[0].startswith("\ufeff") and not header:
                continue  # a byte-order mark in front of the file is no part of its first word
            request = read_vectors(path, set(rows), format="word2vec" if header else "glove")
            assert {word: one.values.tolist() for word, one in request.found.items()} == rows


DAMAGED = [
    (["cat 1 2 3", "dog 4 5", "x 1 1 1"], 2, "has 2 values where 3 were expected"),
    (["cat 1 2", "dog 4 5 6", "x 1 1 1"], 1, "has 2 values where 3 were expected"),
    (["cat 1 2 3", "dog 4 5 6", "x 1 1"], 3, "has 2 values where 3 were expected"),
    (["cat 1 2 3", "dog 4 5 6", "x"], 3, "has 0 values where 3 were expected"),
    (["dog 4 5 6", "cat 1 2 3 4", "x 1 1"], 3, "has 2 values where 3 were expected"),
    (["cat 1 2 3", "", "x 1 1 1"], 2, "has 0 values where 3 were expected"),
    # One line's missing value and another's extra one do not make up for each other.
    (["cat 1 2 3", "dog 4 5", "x 1 1 1 1"], 2, "has 2 values where 3 were expected"),
    (["4 3", "cat 1 2 3", "dog 4 5 6", "x 1 1 1"], 4, "ends after 3 of the 4 words its header promises"),
    (["2 3", "cat 1 2 3", "dog 4 5 6", "x 1 1 1"], 3, "goes on behind the 2 words its header promises"),
    (["3 3", "cat 1 2 3", "dog 4 5 6", "x 1"], 4, "has 1 values where 3 were expected"),
    (["2 3", "cat 1 2 3", "dog 4 5", "x 1 1 1"], 3, "has 2 values where 3 were expected"),
]


@pytest.mark.parametrize("block", [1, 5, 1 << 19])
@pytest.mark.parametrize("wanted", [{"dog", "x", "cat"}, {"nothing"}], ids=["wanted", "not wanted"])
@pytest.mark.parametrize(("lines", "line", "message"), DAMAGED)
def test_damage_is_found_whether_wanted_or_not(
    lines: list[str],
    line: int,
    message: str,
    wanted: set[str],
    block: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_BLOCK", block)
    path = written(tmp_path, "\n".join(lines))
    with pytest.raises(SourceError, match=message) as caught:
        read_vectors(path, wanted)
    assert (caught.value.path, caught.value.line) == (path, line)


@pytest.mark.parametrize("line", ["dog 4 x 6", "dog 4 5,5 6", "dog big 5 6"])
def test_a_wanted_words_value_that_is_no_number(line: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"cat 1 2 3\n{line}\n")
    with pytest.raises(SourceError, match=r"line 2: '.*', a value of 'dog', is not a number"):
        read_vectors(path, {"dog"})
    assert set(read_vectors(path, {"cat"}).found) == {"cat"}


def test_a_missing_value_hidden_by_a_double_space(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 2: has 2 values where 3 were expected"):
        read_vectors(written(tmp_path, "cat 1 2 3\ndog 4  5\n"), {"dog"})


@pytest.mark.parametrize("content", [b"x" * 5000, b"cat 1 2\n" + b"1 " * 3000])
def test_a_line_without_end_does_not_fill_the_memory(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_BLOCK", 100)
    monkeypatch.setattr(text, "_LONGEST_LINE", 1000)
    with pytest.raises(SourceError, match="without a line end"):
        read_vectors(written(tmp_path, content), {"cat"}, format="glove")


@pytest.mark.parametrize(
    ("content", "given_format", "message"),
    [
        ("cat 1 2 3\n", "word2vec", "expected word2vec's header"),
        ("3 3\n", "word2vec", "holds no vectors behind its header"),
        ("3 0\ncat\n", "word2vec", "holds no vectors behind its header"),
        ("1 3\ncat 1 2 3\n", "glove", "starts with a header, which is word2vec's format"),
        ("just some words\nin a file\n", "glove", "expected a word and its numbers"),
        ("\n\n", "glove", "holds no vectors"),
    ],
)
def test_what_does_not_fit_the_format_given(content: str, given_format: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read_vectors(written(tmp_path, content), {"cat"}, format=given_format)


def test_huge_and_tiny_values(tmp_path: Path) -> None:
    path = written(tmp_path, "big 1e30 1\nhuge 1e300 1\ntiny 1e-30 1\nnone nan 1\n")
    found = read_vectors(path, {"big", "huge", "tiny", "none"}).found
    first = np.array([found[word].values[0] for word in ("big", "huge", "tiny", "none")])
    np.testing.assert_array_equal(first, np.array([1e30, np.inf, 1e-30, np.nan], dtype=np.float32))


@pytest.mark.parametrize("content", ["a 1\nb 2\n \n", "a 1\nb 2\n "])
def test_a_last_line_shorter_than_what_is_compared(content: str, tmp_path: Path) -> None:
    assert read_vectors(written(tmp_path, content), {"b"}).found["b"].values == [2]


def test_progress_ends_at_the_files_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BLOCK", 64)
    content = "\n".join(f"w{index} 1 2" for index in range(100)).encode()
    for path in (written(tmp_path, content), written(tmp_path, gzip.compress(content), "vectors.txt.gz")):
        seen: list[tuple[int, int]] = []
        read_vectors(path, {"w1"}, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == sorted(seen)
        assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_256_values_less_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    lines = [f"{word} {' '.join(['1'] * count)}" for word, count in (("cat", 300), ("dog", 300), ("elm", 44))]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceError, match="line 3: has 44 values where 300 were expected"):
        read_vectors(path, {"cat"}, format="glove")


WORDS_WITH_BLANKS = {
    "linux": b"linux 0 1 0",
    "windows 10": b"windows 10 0 1 .1",
    "ice-cream": b"ice-cream\t 1 0 0",
    "ice": b"ice 0 1 0.5",
    "sweet pepper": b"sweet pepper\t0 2\t1",
    "a": b"a\t.1 .2 .3",
    "no": b"no\x0b1 2 3",
    "ox": b"ox \x0c 4 5 6",
    "x": b"x\x0c7 8 9",
    "1 2": b"1 2 3 4 5",
    "7": b"7 1 1 1 ",
    ". . .": b". . . 3 2 1",
    "caf\u00e9 cr\u00e8me": "caf\u00e9 cr\u00e8me 1 0 2".encode(),
    "nan": b"nan 1 1 2",
    "inf nan": b"inf nan 1 1 3",
}
VALUES = [float(value) for line in WORDS_WITH_BLANKS.values() for value in line.split()[-3:]]


def test_the_last_fields_are_the_vector_and_the_rest_is_the_word(tmp_path: Path) -> None:
    """However many blanks of whichever kind are in a word or behind it, and also if the word is blank."""
    blank = [b"  .5 .5 .5", b" 1 2 3"]
    expected = dict(zip(WORDS_WITH_BLANKS, np.array(VALUES, np.float32).reshape(-1, 3).tolist(), strict=True))
    orders = [list(WORDS_WITH_BLANKS.values()), list(WORDS_WITH_BLANKS.values())[::-1]]
    orders += [blank + lines for lines in orders]
    for lines in orders:
        for header in (b"", b"%d 3\n" % len(lines)):
            for end in (b"\n", b"\r\n"):
                path = written(tmp_path, header + end.join(lines) + end)
                found = read_vectors(path, {*expected, "windows", "sweet", "10"}).found
                assert {word: one.values.tolist() for word, one in found.items()} == expected
                assert {*words_of(path)} == {*expected, *([""] if blank[0] in lines else [])}


def test_the_dimension_is_that_of_most_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "windows 10 0 1 .1\nlinux 0 1 0\nowl 0 0 1\n")
    assert read_vectors(path, {"windows 10"}).found["windows 10"].values.tolist() == np.float32([0, 1, 0.1]).tolist()


def test_many_line_ends_take_no_time(tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(SourceError, match=r"line \d+: has 0 values"):
        read_vectors(written(tmp_path, gzip.compress(b"a 1\n" + b"\n" * (40 << 20)), "a.gz"), {"a"})
    assert time.process_time() - started < 5


def test_what_only_python_takes_for_a_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2\ndog 1_0 2\n")
    with pytest.raises(SourceError, match="line 2: '1_0', a value of 'dog', is not a number"):
        read_vectors(path, {"dog"}, format="glove")
