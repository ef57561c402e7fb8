"""Nearest spellings, against words whose nearest spelling anyone can tell."""

import pytest

from simmatrix.text import nearest, nearest_to_each, or_list

FLOWERS = ("rose", "tulip", "violet", "orchid", "lily", "Rosé", "roses")


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
