"""What messages share: names as they are shown, and nearest spellings, against words that anyone can tell."""

from pathlib import Path

import pytest

from simmatrix.text import nearest, nearest_to_each, or_list, shown_name, some

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
    [("a", "a"), ("abcde", "a, b, c, d, e"), ("abcdefg", "a, b, c, d, e and 2 more")],
)
def test_some_names_are_shown_and_the_rest_is_counted(names: str, expected: str) -> None:
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
