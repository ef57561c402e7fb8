"""What messages share: names as they are shown, and nearest spellings, against words that anyone can tell."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from simmatrix.files import shown_name
from simmatrix.text import nearest, nearest_to_each, or_list, some, some_lines, visible

FLOWERS = ("rose", "tulip", "violet", "orchid", "lily", "Rosé", "roses")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rose", "rose"),
        ("caf\u00e9", "caf\u00e9"),
        ("a\udcff.csv", "a\\udcff.csv"),
        ("folder/a.csv", "folder/a.csv"),
        (Path("folder/a\udcff.csv"), "a\\udcff.csv"),
    ],
)
def test_what_can_not_be_written_is_escaped_and_folders_of_files_are_left_out(name: str | Path, expected: str) -> None:
    assert shown_name(name) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a", "a"),
        ("abcde", "a, b, c, d, e"),
        ("abcdefg", "a, b, c, d, e and 2 more"),
        # A name may hold a comma, and a reader must see where it ends.
        (["tench, Tinca tinca", "goldfish"], "tench, Tinca tinca; goldfish"),
        ([*"abcde", "tench, Tinca tinca"], "a, b, c, d, e and 1 more"),
    ],
)
def test_some_names_are_shown_and_the_rest_is_counted(names: Sequence[str], expected: str) -> None:
    assert some(names) == expected


@pytest.mark.parametrize(
    ("word", "first"), [("tulpi", "tulip"), ("Orchid", "orchid"), ("vioet", "violet"), ("rose", "rose")]
)
def test_the_nearest_spelling_is_first(word: str, first: str) -> None:
    assert nearest(word, FLOWERS)[0] == first


def test_what_is_spelt_otherwise_is_left_out() -> None:
    assert nearest("locomotive", FLOWERS) == ()


def test_no_more_than_asked_and_none_twice() -> None:
    assert len(nearest("rose", ("rose", "rose", "roses", "prose", "nose"), 2)) == 2
    assert nearest("rose", ("rose", "rose"), 2) == ("rose",)


def test_each_is_as_one_by_one_and_the_words_are_read_once() -> None:
    words = ["tulpi", "orchidd", "???"]
    assert nearest_to_each(words, iter(FLOWERS)) == [nearest(word, FLOWERS) for word in words]


@pytest.mark.parametrize(
    ("names", "text"),
    [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c"), ({"x": 1, "y": 2}, "x or y")],
)
def test_or_list(names: list[str], text: str) -> None:
    assert or_list(names) == text


def test_near_spellings_of_many_names_among_many_words_are_bounded() -> None:
    words = [f"word{number:x}" for number in range(400_000)]
    asked = [f"wrod{number:x}" for number in range(0, 400_000, 200)]
    started = time.process_time()
    near = nearest_to_each(asked, words)
    # 0.3 s on one core; ten milliseconds for each of the 2,000 were 20 s.
    assert time.process_time() - started < 3
    assert len(near) == 2000
    assert all(near[:20])
    assert not any(near[20:])


def test_some_lines_are_shown_and_the_rest_is_counted() -> None:
    assert some_lines(["a", "b"], 2) == "  a\n  b"
    lines = some_lines((str(number) for number in range(1000)), 1000).split("\n")
    assert lines == [*(f"  {number}" for number in range(20)), "  … and 980 more"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rose", "rose"),
        ("großer Baum 🚚", "großer Baum 🚚"),
        ("one\ntwo", "one\ntwo"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m\x07\r\t\x7f", r"\x9b31m\x07\r\t\x7f"),
        ("\udc80", r"\udc80"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
