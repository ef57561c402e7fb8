"""Files of pair ratings, whatever their columns are called."""

from pathlib import Path

import pytest

from simmatrix.builders.rating_table import read_ratings
from simmatrix.errors import SourceError

PATH = Path("ratings.csv")
# The first lines as the data sets' own distributions have them.
SIMLEX = (
    "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\tAssoc(USF)\tSimAssoc333\tSD(SimLex)\n"
    "old\tnew\tA\t1.58\t2.72\t2.81\t2\t7.25\t1\t0.41\n"
)
WORDSIM = "Word 1,Word 2,Human (mean)\nold,new,1.58\n"
WORDSIM_SET1 = "Word 1,Word 2,Human (mean),1,2,3\nold,new,1.58,1,2,1\n"


def said(text: str) -> list[tuple[int, str, str, float, str]]:
    """Return what a file says: line, words, rating, rater."""
    table = read_ratings(text, PATH)
    words = list(table.words)
    return [
        (line, words[first], words[second], rating, table.raters[rater])
        for line, first, second, rating, rater in zip(
            table.lines.tolist(), table.first, table.second, table.ratings.tolist(), table.rater, strict=True
        )
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("old,new,1.58\n", 1),
        ("old\tnew\t1.58\n", 1),
        ("# Word 1\tWord 2\tHuman (mean)\nold\tnew\t1.58\n", 2),
        ("a,b,rating\nold,new,1.58\n", 2),
        ("similarity,Class 2,Class_1\n1.58,new,old\n", 2),
        ("first,second,comment,score\nold,new,,1.58\n", 2),
        ("old,new,1.58,\n", 1),
        ("a,b,rating,rater\nold,new,1.58,\n", 2),
        (SIMLEX, 2),
        (WORDSIM, 2),
        (WORDSIM_SET1, 2),
    ],
)
def test_the_columns_are_found(text: str, line: int) -> None:
    assert said(text) == [(line, "old", "new", 1.58, "")]


@pytest.mark.parametrize(
    "text",
    [
        "old,new,1.58,me\n",
        "rater,rating,b,a\nme,1.58,new,old\n",
        "A,B,Mean,Subject\nold,new,1.58,me\n",
        *(
            f"a,b,rating,{heading}\nold,new,1.58,me\n"
            for heading in ("rater_id", "RaterID", "rater-id", "user", "User Name", "worker", "WorkerId", "subject_id")
        ),
        *(f"a,b,rating,{heading}\nold,new,1.58,me\n" for heading in ("participant_id", "annotator id", "judge name")),
    ],
)
def test_the_rater_is_found(text: str) -> None:
    assert [row[1:] for row in said(text)] == [("old", "new", 1.58, "me")]


def test_classes_may_be_called_like_columns() -> None:
    assert said("a,b,1\nscore,first,2\n") == [(1, "a", "b", 1.0, ""), (2, "score", "first", 2.0, "")]


@pytest.mark.parametrize(
    "text",
    [
        "a,b,rating,rater\nold,new,7,5\nold,big,3,25\n",
        "old\tnew\t7\t5\nold\tbig\t3\t25\n",
        "old,new,7,5\nold,big,3,25\nnew,old,7,25\n",
    ],
)
def test_raters_may_be_numbers_where_they_can_be_nothing_else(text: str) -> None:
    assert [row[1:] for row in said(text)][:2] == [("old", "new", 7.0, "5"), ("old", "big", 3.0, "25")]


def test_words_and_raters_are_sorted_and_have_the_line_they_stand_on_first() -> None:
    table = read_ratings("old,new,1,you\nnew,big,2,me\nold,big,3,you\n", PATH)
    assert list(table.words.items()) == [("big", 2), ("new", 1), ("old", 1)]
    assert table.raters == ("me", "you")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("# nothing\n", None, "holds no ratings; write a, b, rating"),
        ("a,b,rating\n", None, "holds no ratings; write a, b, rating"),
        ("old new 1.58\n", 1, "has 1 cells and names no columns; write a, b, rating"),
        ("old,new,N,1.58,X\n", 1, "has 5 cells and names no columns"),
        ("old,new,1,me,x\n", 1, "has 5 cells and names no columns"),
        ("one,two,how\nold,new,1\n", 1, r"is neither a rating \('how' is no number\) nor a header with names that are"),
        ("a,b,rating,score\nold,new,1,2\n", 1, "the header names the rating twice, 'rating' and 'score'; rename one"),
        ("a,word1,b,rating\nold,old,new,1\n", 1, "the header names the first word twice, 'a' and 'word1'"),
        ("old,new,1\nold,new\n", 2, "has 2 cells, the first row has 3; "),
        ("old,new,1\nold,new,1,me\n", 2, "has 4 cells, the first row has 3; "),
        ("old,new,1\n\nold,new,much\n", 3, "'much' is no number"),
        ("old,new,1\nold,new,nan\n", 2, "'nan' is no number"),
        ("old,new,inf\n", 1, "'inf' is no number"),
        ('"old","new","7,5"\n', 1, "'7,5' is no number; write it with a decimal point, as 7.5"),
        ("old,new,7,5\nold,big,3,25\n", 1, "7,5 may be the rating 7.5, or 7 by the rater 5; write ratings with a deci"),
        ("old\tnew\t7,5\n", 1, "'7,5' is no number; write it with a decimal point"),
        ("old;new;1\nold;big;2\n", 1, "separates its cells by semicolons; separate them by commas or tabs$"),
        ("# x\nold;new;7,5\n", 2, "separates its cells by semicolons; .* and write 7,5 with a decimal point, as 7.5"),
        ("a;b;rating\nold;new;7,5\n", 1, "separates its cells by semicolons; .* and write 7,5 with a decimal point"),
        ("old,new,1\nold,new,\n", 2, "should hold a number is empty"),
        ("old,new,1,me\nold,big,1,\n", 2, "names no rater, and other rows do; name the rater in each row or in none"),
        ("old,new,1,\nold,big,1,me\n", 1, "names no rater, and other rows do"),
    ],
)
def test_bad_files_are_refused_with_their_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_ratings(text, PATH)
    assert (caught.value.path, caught.value.line) == (PATH, line)


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        (WORDSIM_SET1, ("1", "2", "3")),
        (WORDSIM, ()),
        ("old,new,1\n", ()),
        ("a,b,,score,who\nold,new,x,1,me\n", ("column 3", "who")),
        ("a,b,score,\nold,new,1,\n", ()),
    ],
)
def test_columns_that_are_not_used_are_told(text: str, unused: tuple[str, ...]) -> None:
    assert read_ratings(text, PATH).unused == unused
