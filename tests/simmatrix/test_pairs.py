"""Pairs that are set by hand."""

from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import ClassNotFoundError, ParameterError, SimilarityMatrix, SourceError
from simmatrix.pairs import read_pairs, with_pairs
from tests.simmatrix.matrices import random_values

NAMES = ("a", "b", "c", "d")


@pytest.fixture(params=["dense", "sparse", "toeplitz"])
def matrix(request: pytest.FixtureRequest) -> SimilarityMatrix:
    values = random_values(4)
    dense = SimilarityMatrix(np.maximum(values, values.T), NAMES)
    made = {"dense": dense, "sparse": dense.top_k(2), "toeplitz": simmatrix.from_order(list(NAMES), decay=0.5)}
    return made[request.param]


def test_both_directions_are_set_and_nothing_else(matrix: SimilarityMatrix, tmp_path: Path) -> None:
    changed = matrix.with_pairs({("a", "d"): 0.25, ("c", "b"): 0.0})
    expected = matrix.to_dense().copy()
    expected[0, 3] = expected[3, 0] = 0.25
    expected[1, 2] = expected[2, 1] = 0
    np.testing.assert_array_equal(changed.to_dense(), expected)
    assert changed.is_sparse == matrix.is_sparse
    step = {"step": "pairs", "pairs": [["a", "d", 0.25], ["c", "b", 0.0]]}
    assert changed.provenance.normalisation == (*matrix.provenance.normalisation, step)
    changed.save(tmp_path / "m")
    again = simmatrix.load(tmp_path / "m")
    np.testing.assert_array_equal(again.to_dense(), expected)
    assert again.provenance == changed.provenance


def test_a_file_of_pairs(matrix: SimilarityMatrix, tmp_path: Path) -> None:
    for text in ("a,b,similarity\na,d,0.25\nc,b,0\n", "a\td\t0.25\nc\tb\t0\n"):
        (tmp_path / "p.csv").write_text(text)
        changed = with_pairs(matrix, tmp_path / "p.csv")
        np.testing.assert_array_equal(
            changed.to_dense(), matrix.with_pairs({("a", "d"): 0.25, ("b", "c"): 0}).to_dense()
        )
        assert [one[:2] for one in changed.provenance.source][-1] == ("pairs", "p.csv")


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ({}, ParameterError, "there are no pairs to set"),
        ({("a", "a"): 0.5}, ParameterError, "'a' is paired with itself, which is always 1; take the pair out"),
        ({("a", "b"): 1.5}, ParameterError, r"the similarity 1.5 of 'a' and 'b' is outside \[0, 1\]"),
        ({("a", "b"): float("nan")}, ParameterError, r"nan of 'a' and 'b' is outside \[0, 1\]"),
        ({("a", "b"): 0.5, ("b", "a"): 0.25}, ParameterError, "'b' and 'a' are set to 0.5 and to 0.25; keep one"),
        ({("a", "x"): 0.5}, ClassNotFoundError, "the matrix has no class 'x'"),
    ],
)
def test_bad_pairs(pairs: dict[tuple[str, str], float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SimilarityMatrix(np.eye(4), NAMES).with_pairs(pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b,similarity\n", "holds no pairs"),
        ("a,b,O.9\na,c,0.5\n", "line 1: 'O.9' is no number"),
        ('a,b,"0,9"\na,c,0.5\n', "line 1: '0,9' is no number; write it with a decimal point, as 0.9"),
        ("a,b,0.5\na,c\n", "line 2: has 2 cells; write two classes and their similarity"),
        ("a,b,0.5\na,c,x\n", "line 2: 'x' is no number"),
        ("a,b,0.5\na,c,2\n", "line 2: the similarity 2.0 of 'a' and 'c' is outside"),
        ("a,b,0.5\na,b,0.25\n", "line 2: sets 'a' and 'b' to 0.25, and to 0.5 before"),
        ("a,a,0.5\n", "line 1: 'a' is paired with itself"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        read_pairs(tmp_path / "p.csv")
