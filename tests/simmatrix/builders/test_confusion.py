"""Confusion matrices, against plain Python."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders.confusion import confusion_similarity, from_counts
from simmatrix.classes import ClassList
from simmatrix.errors import SourceError

CLASSES = ClassList(("rose", "tulip", "truck"))


def oracle(counts: list[list[float]]) -> list[list[float]]:
    size = range(len(counts))
    shares = [[count / math.fsum(row) for count in row] for row in counts]
    symmetric = [[(shares[i][j] + shares[j][i]) / 2 for j in size] for i in size]
    return [[symmetric[i][j] / math.sqrt(symmetric[i][i] * symmetric[j][j]) for j in size] for i in size]


@st.composite
def tables(draw: st.DrawFn) -> list[list[float]]:
    size = draw(st.integers(2, 6))
    number = st.one_of(st.integers(0, 1000).map(float), st.floats(0, 1e308, allow_subnormal=False))
    counts = [[draw(number) for _ in range(size)] for _ in range(size)]
    for index, row in enumerate(counts):
        row[index] = draw(st.floats(0.01, 1)) * max(1, *row)
    return counts


@settings(deadline=None)
@given(tables())
def test_similarities_equal_the_formula(counts: list[list[float]]) -> None:
    found = from_counts(np.array(counts))
    halves = [[count / 1e8 for count in row] for row in counts]  # the formula's own sums must not overflow
    np.testing.assert_allclose(found, oracle(halves), rtol=1e-12, atol=1e-300)
    assert (found == found.T).all()
    assert (np.diagonal(found) == 1).all()


@settings(deadline=None)
@given(tables(), st.randoms())
def test_permuting_the_classes_permutes_the_matrix(counts: list[list[float]], random: object) -> None:
    order = np.random.default_rng(len(counts)).permutation(len(counts))
    permuted = from_counts(np.array(counts)[np.ix_(order, order)])
    np.testing.assert_allclose(permuted, from_counts(np.array(counts))[np.ix_(order, order)], rtol=1e-12)


def test_a_row_counts_the_same_however_many_it_holds() -> None:
    counts = np.array([[8.0, 2, 0], [1, 9, 0], [0, 1, 9]])
    often = counts * [[1], [10], [0.001]]
    np.testing.assert_allclose(from_counts(often), from_counts(counts), rtol=1e-14)


def test_a_file_is_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("true,truck,rose,tulip\ntulip,0,3,7\nrose,1,9,2\ntruck,5,0,0\n")
    raw = confusion_similarity(path, CLASSES)
    np.testing.assert_allclose(raw.values, oracle([[9, 2, 1], [3, 7, 0], [0, 0, 5]]), rtol=1e-14)
    assert (raw.provenance.builder, raw.provenance.params, raw.classes, raw.scale) == (
        "confusion",
        {},
        CLASSES.names,
        None,
    )
    assert [(one.role, one.name) for one in raw.provenance.source] == [
        ("confusion", "counts.csv"),
        ("classes", "classes"),
    ]
    np.save(tmp_path / "counts.npy", np.array([[9, 2, 1], [3, 7, 0], [0, 0, 5]]))
    assert (confusion_similarity(tmp_path / "counts.npy", CLASSES).values == raw.values).all()


def test_two_classes_confused_more_often_than_recognised_are_above_1(tmp_path: Path) -> None:
    assert from_counts(np.array([[1.0, 9.0], [9.0, 1.0]]))[0, 1] == pytest.approx(9)


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ("rose,9,-2,0\ntulip,1,9,0\ntruck,0,0,9", 2, "'rose' was called 'tulip' -2 times; a count is at least 0, mend"),
        (
            "rose,9,1,0\ntulip,0,0,0\ntruck,0,0,9",
            3,
            r"the class 'tulip' was never seen \(its row holds zeros alone\)",
        ),
        ("rose,9,1,0\ntulip,1,9,0\ntruck,3,1,0", 4, "the class 'truck' was never recognised .*; count more, or add a"),
        ("rose,9,1,0\ntulip,1,9,0\ntruk,3,1,1", 4, r"'truk' is no class of classes \(did you mean truck\?\); make the"),
        (
            "rose,9,1,0\ntulip,1e300,1e-300,0\ntruck,3,1,1",
            3,
            "the class 'tulip' was recognised too seldom to compare its confusions to .1e-300 where its row and column "
            "meet, and up to 1e.300 beside it.; count more, or add a small number to all counts",
        ),
        ("rose,9,1,0\ntulip,1,many,0\ntruck,3,1,1", 3, "'many' is no number"),
    ],
)
def test_bad_counts_are_refused_with_their_line(tmp_path: Path, rows: str, line: int, message: str) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(f",rose,tulip,truck\n{rows}\n")
    with pytest.raises(SourceError, match=message) as caught:
        confusion_similarity(path, CLASSES)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_the_least_share_that_is_taken_gives_finite_similarities(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(",rose,tulip,truck\nrose,1e-307,1,1\ntulip,1,1e-307,1\ntruck,1,1,1e-307\n")
    values = confusion_similarity(path, CLASSES).values
    assert np.isfinite(values).all()
    assert values[0, 1] == pytest.approx(1e307)
    path.write_text(",rose,tulip,truck\nrose,1e-308,1,1\ntulip,1,1e-308,1\ntruck,1,1,1e-308\n")
    with pytest.raises(SourceError, match="line 2: the class 'rose' was recognised too seldom"):
        confusion_similarity(path, CLASSES)
