"""Delimited text, against Python's own csv module and what stands in the file."""

import csv
import io
import unicodedata
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.errors import SourceError
from simmatrix.tables import key, numbers, rows

PATH = Path("table.csv")


def test_rows_have_their_lines_and_cells_without_blanks() -> None:
    text = '# heading\n\na, b ,c\n   \n , ,\n"x, y",,"say ""so"""\n#end\nlast,1,2'
    assert list(rows(text, PATH)) == [(3, ["a", "b", "c"]), (6, ["x, y", "", 'say "so"']), (8, ["last", "1", "2"])]


def test_tabs_win_over_commas() -> None:
    assert list(rows("a, b\tc\nd\te,f\n", PATH)) == [(1, ["a, b", "c"]), (2, ["d", "e,f"])]


def test_the_separator_is_what_most_rows_have() -> None:
    stray = "a,b,rating\nrose,tulip,8\nrose,oak,2\ntulip,oak,1\t\n"
    assert [row for _line, row in rows(stray, PATH)][1:] == [
        ["rose", "tulip", "8"],
        ["rose", "oak", "2"],
        ["tulip", "oak", "1"],
    ]
    cases = {
        "a,b,rating\t\nrose,tulip,8\n": ([["a", "b", "rating"], ["rose", "tulip", "8"]]),
        "a,b,c\nrose\ttulip,8\n": ([["a", "b", "c"], ["rose\ttulip", "8"]]),
        "a\tb\nrose, red\toak, white\ntulip, red\toak\n": (
            [["a", "b"], ["rose, red", "oak, white"], ["tulip, red", "oak"]]
        ),
        'a,"x\ty"\nc,d\n': ([["a", "x\ty"], ["c", "d"]]),
        "Ratings, 2020\na\tb\nc\td\n": ([["Ratings, 2020"], ["a", "b"], ["c", "d"]]),
        "a\tb\tc\nd,e,f\n": ([["a", "b", "c"], ["d,e,f"]]),
        "a\tb\tc\nd,e,f\ng,h,i\n": ([["a\tb\tc"], ["d", "e", "f"], ["g", "h", "i"]]),
        "one\n": [["one"]],
    }
    for text, expected in cases.items():
        assert [row for _line, row in rows(text, PATH)] == expected


def test_a_tab_in_a_comment_says_nothing() -> None:
    assert list(rows("# a\tb\nc,d\n", PATH)) == [(2, ["c", "d"])]


def test_a_quoted_cell_may_start_like_a_comment() -> None:
    assert list(rows('"#1",2\n', PATH)) == [(1, ["#1", "2"])]


def test_a_file_of_comments_has_no_rows() -> None:
    assert list(rows("# nothing\n\n", PATH)) == []


cells = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=";"), max_size=5)
cells = cells.map(partial(unicodedata.normalize, "NFC"))


@settings(deadline=None)
@given(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1), st.sampled_from(",\t"))
def test_what_the_csv_module_writes_is_read_back(table: list[list[str]], delimiter: str) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(table)
    lines = file.getvalue().split("\n")
    expected = [row for row, line in zip(table, lines, strict=False) if any(row) and line[0] != "#"]
    while expected and len({len(row) for row in expected}) == 1 and not any(row[-1] for row in expected):
        expected = [row[:-1] for row in expected]
    assert [row for _line, row in rows(file.getvalue(), PATH)] == expected


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('a,b\n"c,d\ne,f\n', 2, "not a well-formed row"),
        ('a,b\n"c,d\ne",f\n', 2, "not closed on its line"),
        ('# x\na,b\nc,"d', 3, "not a well-formed row"),
        ('a,b\n\n"c"d,e\n', 3, "not a well-formed row"),
    ],
)
def test_bad_quotes_are_refused_with_their_line(text: str, line: int, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        list(rows(text, PATH))
    assert (caught.value.path, caught.value.line) == (PATH, line)


def test_numbers_are_read_exactly() -> None:
    assert numbers(["1", "-2.5", "1e-3", "+.5"], PATH, 1) == [1.0, -2.5, 0.001, 0.5]


@pytest.mark.parametrize("wrong", ["x", "nan", "inf", "-Infinity", "1_0", "0,5", "1 2", "1e999"])
def test_what_is_no_finite_number_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(SourceError, match=f"^table.csv, line 7: '{wrong}' is no number; "):
        numbers(["1", wrong, "2"], PATH, 7)


def test_an_empty_cell_is_no_number() -> None:
    with pytest.raises(SourceError, match="should hold a number is empty"):
        numbers(["1", ""], PATH, 7)


def test_headings_are_compared_by_letters_and_digits() -> None:
    assert [key(text) for text in ("Word 1", "WORD_1", "Human (mean)", " ")] == ["word1", "word1", "humanmean", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b,,\nc,d,,\n", [["a", "b"], ["c", "d"]]),
        ('a,b, ,""\nc,d,,\n', [["a", "b"], ["c", "d"]]),
        ("a\tb\t\nc\td\t\n", [["a", "b"], ["c", "d"]]),
        ("a,b,\nc,d,e\n", [["a", "b", ""], ["c", "d", "e"]]),
        ("a,b,x\nc,d,\n", [["a", "b", "x"], ["c", "d", ""]]),
        ("a,b,\nc,d\n", [["a", "b", ""], ["c", "d"]]),
        ("a,b,,\nc,d,\n", [["a", "b", "", ""], ["c", "d", ""]]),
        (",,,\na,,b,\nc,d,,\n", [["a", "", "b"], ["c", "d", ""]]),
    ],
)
def test_columns_at_the_end_that_are_empty_throughout_are_left_out(text: str, expected: list[list[str]]) -> None:
    assert [row for _line, row in rows(text, PATH)] == expected


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("# x;y\na;b;c\n", ""),
        ("a;b;c\nx;y;1.5\n", ""),
        ('"a,b";c\n', ""),
        ("a;b;7,5\n", ", and write 7,5 with a decimal point, as 7.5"),
        ("a;b\nc;-,5\n", ", and write -,5 with a decimal point, as -.5"),
        ("a;b;1,234\n", ", and write 1,234 as 1234 or as 1.234, whichever it is"),
        ("a;b;1.234,5\n", ", and write 1.234,5 with a decimal point, as 1234.5"),
    ],
)
def test_semicolons_between_cells_are_refused_by_name(text: str, remedy: str) -> None:
    with pytest.raises(SourceError) as caught:
        list(rows(text, PATH))
    line = 2 if text[0] == "#" else 1
    assert str(caught.value) == (
        f"table.csv, line {line}: separates its cells by semicolons; separate them by commas or tabs{remedy}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b,c,d\n", [["a;b", "c", "d"]]),
        ('x,"a;b;c",y\n', [["x", "a;b;c", "y"]]),
        ("a;b\tc\n", [["a;b", "c"]]),
        ("a,b\nc;d\n", [["a", "b"], ["c;d"]]),
    ],
)
def test_semicolons_within_cells_are_text(text: str, expected: list[list[str]]) -> None:
    assert [row for _line, row in rows(text, PATH)] == expected


def test_numbers_with_commas_are_told_how_to_be_written() -> None:
    point, either = "with a decimal point, as ", ", whichever it is"
    cases = {
        "-7,25": f"{point}-7.25",
        "0,123": f"{point}0.123",
        "1,2345": f"{point}1.2345",
        "1234,5": f"{point}1234.5",
        "1.234,5": f"{point}1234.5",
        "1\u202f234,50": f"{point}1234.50",
        "1'234,5": f"{point}1234.5",
        "1,234": f"as 1234 or as 1.234{either}",
        "-12,345": f"as -12345 or as -12.345{either}",
        "1,234,567": "as 1234567",
        "1,234.5": "as 1234.5",
    }
    for cell, hint in cases.items():
        with pytest.raises(SourceError) as caught:
            numbers([cell], PATH, 1)
        assert str(caught.value) == f"table.csv, line 1: {cell!r} is no number; write it {hint}"
    for cell in ("1,2,3", "rose,2", "1,23,456", ",", "x" * 1000):
        with pytest.raises(
            SourceError, match="is no number; write numbers with a decimal point, and none as"
        ) as caught:
            numbers([cell], PATH, 1)
        assert len(str(caught.value)) < 200


def test_accents_are_composed() -> None:
    assert list(rows("cafe\u0301,1\n", PATH)) == [(1, ["caf\u00e9", "1"])]
