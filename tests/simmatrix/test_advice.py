"""What users are warned of: each sentence, from a matrix that deserves it."""

import dataclasses
import re

import numpy as np
import pytest

from simmatrix import Provenance, SimilarityMatrix, Statistics, concerns, statistics
from tests.simmatrix.test_summary import with_corners

CORNERS = with_corners()


def matrix_of(similarity: float, size: int = 30) -> SimilarityMatrix:
    values = np.full((size, size), similarity)
    np.fill_diagonal(values, 1)
    return SimilarityMatrix(values, tuple(f"c{index}" for index in range(size)))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (matrix_of(0.05), []),
        (matrix_of(0.0), ["is the identity, so training with it is plain cross entropy; give a smaller lower bound"]),
        (matrix_of(0.5), ["influence of 14.5 training starts with 3.2% of cross entropy's gradient"]),
        (matrix_of(1.0, 3), ["may drown", "3 pairs have similarity 1, .*: c0/c1, c0/c2, c1/c2$"]),
        (matrix_of(1.0, 4), ["may drown", "6 pairs have similarity 1, .*: c0/c1, c0/c2, c0/c3 …$"]),
        (
            SimilarityMatrix(CORNERS, tuple("abcdefghi")),
            ["may drown", "2 pairs have similarity 1, .*: a/f, c/h$"],
        ),
    ],
)
def test_concerns(matrix: SimilarityMatrix, expected: list[str]) -> None:
    found = concerns(matrix)
    assert len(found) == len(expected)
    for sentence, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, sentence)


def test_one_pair_is_singular() -> None:
    values = np.eye(3)
    values[0, 1] = 1
    (sentence,) = concerns(SimilarityMatrix(values, ("a", "b", "c")))
    assert sentence == "1 pair has similarity 1, the loss can't tell them apart: a/b"


def test_concerns_take_figures_as_given() -> None:
    matrix = matrix_of(0.05)
    figures: Statistics = dataclasses.replace(statistics(matrix), identity_rows=1.0)
    assert "identity" in concerns(matrix, figures)[0]


@pytest.mark.parametrize(
    ("counts", "completed", "sentence"),
    [
        ([1, 2, 3], 0, None),
        ([0, 2, 3], 1, "nobody judged 1 of the 3 pairs (33.3%), a method completed them"),
        ([0, 0, 0], 3, "nobody judged 3 of the 3 pairs (100.0%), a method completed them"),
    ],
)
@pytest.mark.parametrize("own", [0, 7])
def test_pairs_that_nobody_judged_are_told(counts: list[int], completed: int, sentence: str | None, own: int) -> None:
    evidence = np.full((3, 3), own)
    for (i, j), count in zip(((0, 1), (0, 2), (1, 2)), counts, strict=True):
        evidence[i, j] = evidence[j, i] = count
    values = np.where(np.eye(3) > 0, 1, 0.125)
    matrix = SimilarityMatrix(values, ("a", "b", "c"), evidence=evidence)
    assert statistics(matrix).completed_pairs == completed
    assert concerns(matrix) == (() if sentence is None else (sentence,))


def found_as(**resolution: dict[str, object]) -> SimilarityMatrix:
    values = np.full((3, 3), 0.01)
    np.fill_diagonal(values, 1)
    return SimilarityMatrix(values, ("rose", "seal", "oak"), Provenance(resolution=resolution))


def test_senses_that_were_not_taken_are_listed() -> None:
    others = {
        "rose": {"how": "name", "words": ["rose.n.01"], "others": ["rose.n.02", "blush_wine.n.01"]},
        "seal": {"how": "name", "words": ["sealing_wax.n.01"], "others": ["seal.n.02"]},
        "oak": {"how": "synset", "words": ["oak.n.02"]},
    }
    (sentence,) = concerns(found_as(**others))
    assert sentence.split("\n") == [
        "2 classes were taken in the first of several senses; pin another in the class list's synset column "
        "(simmatrix senses WORD)",
        "  rose: rose.n.01, not rose.n.02, blush_wine.n.01",
        "  seal: sealing_wax.n.01, not seal.n.02",
    ]


def test_of_many_such_classes_ten_are_listed() -> None:
    names = tuple(f"c{index}" for index in range(13))
    resolution = {name: {"how": "name", "words": ["a.n.01"], "others": ["a.n.02"]} for name in names}
    values = np.full((13, 13), 0.01)
    np.fill_diagonal(values, 1)
    (sentence,) = concerns(SimilarityMatrix(values, names, Provenance(resolution=resolution)))
    lines = sentence.split("\n")
    assert lines[0].startswith("13 classes were taken")
    assert lines[1:] == [*(f"  c{index}: a.n.01, not a.n.02" for index in range(10)), "  … and 3 more"]


def test_a_phrase_that_was_not_found_is_told() -> None:
    (sentence,) = concerns(found_as(rose={"how": "name", "words": ["rose"], "missed": "rosse"}))
    assert sentence == "1 class was looked up by name, since the phrase was not found: rose (rosse)"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"averaged": 0, "ignored": 0}, ()),
        ({"averaged": 2}, ("pairs that the same rater rated differently: 2; the mean was taken",)),
        ({"ignored": 7}, ("rows that were passed over, since they name what is no class: 7",)),
        # A foreign file may have anything there.
        ({"averaged": "many", "ignored": [1]}, ()),
    ],
)
def test_what_a_builder_counted_is_told(params: dict[str, object], expected: tuple[str, ...]) -> None:
    matrix = found_as()
    told = SimilarityMatrix(matrix.values, matrix.classes, Provenance(params=params))
    assert concerns(told) == expected
