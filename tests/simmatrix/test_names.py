"""Names in an array behave as a tuple of them does, and take their characters alone."""

import copy
import pickle
import random
import string
from pathlib import Path

import numpy as np
import pytest

from simmatrix import classes
from simmatrix.names import TextArray, are_names, composed, index_of, is_name, names_in_order

ODD = ["", " ", "a\nb", "\x7f", "ß", "e\u0301", "\u202e", "🚚", "日本", "rose", "a b", "\u00a0", "x" * 300]


def some_texts(seed: int) -> tuple[str, ...]:
    rng = random.Random(seed)
    pool = ODD if seed % 3 == 0 else [*ODD[8:11], *string.ascii_letters]
    return tuple(rng.choice(pool) for _ in range(rng.randrange(12)))


def test_it_is_what_the_tuple_is() -> None:
    for seed in range(600):
        texts = some_texts(seed)
        found = TextArray.of(iter(texts))
        places = {text: texts.index(text) for text in texts}
        repeats = [(at, texts.index(text)) for at, text in enumerate(texts) if texts.index(text) < at]
        assert (len(found), tuple(found), found[:], found[1::2]) == (len(texts), texts, texts, texts[1::2])
        assert found == texts
        assert texts == found
        assert found == TextArray.of(texts)
        assert found != (*texts, "more")
        assert [found[-at - 1] for at in range(len(texts))] == list(reversed(texts)) == list(reversed(found))
        assert {text: found.index(text) for text in texts} == places == dict(index_of(found).items())
        assert [text in found for text in ODD] == [text in texts for text in ODD]
        assert found.find("no such") == -1
        assert "no such" not in index_of(found)
        assert found.repeated() == min(repeats, default=None)
        assert found.nameless() == next((at for at, text in enumerate(texts) if not is_name(text)), None)
        assert are_names(found) == are_names(texts)
        assert found.are_composed() == all(composed(text) == text for text in texts)
        assert pickle.loads(pickle.dumps(found)) == texts == copy.deepcopy(found)  # noqa: S301 - our own
        for at in (len(texts), -len(texts) - 1):
            with pytest.raises(IndexError):
                found[at]


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """All texts have one hash: who trusts it alone takes each for the first."""
    import builtins

    from simmatrix import names

    monkeypatch.setattr(names, "hash", lambda _text: 7, raising=False)
    found = TextArray.of(["rose", "tulip", "oak", "tulip", "ox", "rose"])
    assert builtins.hash("a") != builtins.hash("b")
    assert found.repeated() == (3, 1)
    assert [found.find(text) for text in ("rose", "tulip", "oak", "ox", "van")] == [0, 1, 2, 4, -1]


def test_bytes_that_are_no_texts_are_refused() -> None:
    for raw, offsets in (
        (b"\xff", [0, 1]),
        (b"\xc3\xa4", [0, 1, 2]),  # in the middle of a character
        (b"ab", [0, 1]),
        (b"ab", [1, 2]),
        (b"ab", [0, 2, 1, 2]),
        (b"", []),
        (b"\xed\xa0\x80", [0, 3]),  # half of a character pair
    ):
        with pytest.raises(ValueError, match=r"offsets|utf-8|middle"):
            TextArray(np.frombuffer(raw, np.uint8), np.array(offsets, np.int64))


def test_many_names_are_no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 5000
    monkeypatch.setattr("simmatrix.names.MANY", many)
    names = [f"class number {index}" for index in range(many)]
    size = sum(map(len, names)) + 8 * (many + 1)
    assert isinstance(names_in_order(names[:-1]), tuple)
    listed = classes.ClassList(names)
    assert isinstance(listed.names, TextArray)
    assert listed.names.data.nbytes + listed.names.offsets.nbytes == size
    assert listed.select(names[5:2:-1]).names == tuple(names[5:2:-1])
    assert listed.sha256 == classes.ClassList(listed.names).sha256
    with pytest.raises(classes.SourceError, match="'class number 7' stands there twice"):
        classes.ClassList([*names, "class number 7"])
    with pytest.raises(classes.SourceError, match="control character"):
        classes.ClassList([*names, "\ud800"])


def test_a_long_list_is_read_in_a_stream_to_the_same_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the reader of whole texts says of short lists, names and refusals, holds of long ones."""
    path = tmp_path / "names.txt"

    def outcome() -> tuple[object, ...]:
        try:
            found = classes.read_classes(path)
        except classes.SourceError as error:
            return (str(error),)
        return tuple(found.names), found.sha256, dict(found.columns)

    plain = ["rose", " tulip ", "Ka\u0308fer", "日本", "ice cream"]
    streamed = 0
    for lines in (
        plain,
        ["\ufeffrose", *plain[1:]],
        [*plain, "", ""],
        [*plain, "", "ox"],
        ["", *plain],
        [*plain, "rose"],
        [*plain, "a\tb"],
        [*plain, "a\x00b"],
        [f"{name}\r" for name in plain],
        ["a\rb", *plain],
        [f"{index} {name}" for index, name in enumerate(plain)],
        [f"{name} {index}" for index, name in enumerate(plain)],
        ["n01440764 tench, Tinca", "n01443537 goldfish"],
        ["rose 0.1 0.2 0.3", "tulip 0.4 0.5 0.6"],
        ["\udcff", *plain],
        ["rose"],
        [],
    ):
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        expected = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(classes, "_LONG", 1)
            patch.setattr(classes, "MANY", 1)
            assert outcome() == expected, lines
            streamed += path.stat().st_size > 0 and classes._read_long(path) is not None
    assert streamed > 4
