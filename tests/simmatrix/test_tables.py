"""Delimited text, against Python's own csv module and what stands in the file."""

import csv
import io
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


def test_a_tab_in_a_comment_says_nothing() -> None:
    assert list(rows("# a\tb\nc,d\n", PATH)) == [(2, ["c", "d"])]


def test_a_quoted_cell_may_start_like_a_comment() -> None:
    assert list(rows('"#1",2\n', PATH)) == [(1, ["#1", "2"])]


def test_a_file_of_comments_has_no_rows() -> None:
    assert list(rows("# nothing\n\n", PATH)) == []


cells = st.text(st.characters(exclude_categories=("C", "Z")), max_size=5).filter(lambda cell: cell[:1] != "#")


@settings(deadline=None)
@given(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1), st.sampled_from(",\t"))
def test_what_the_csv_module_writes_is_read_back(table: list[list[str]], delimiter: str) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(table)
    assert [row for _line, row in rows(file.getvalue(), PATH)] == [row for row in table if any(row)]


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
