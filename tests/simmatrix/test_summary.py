"""The figures of a matrix, against loops over the dense matrix and a numeric gradient."""

import dataclasses
import re

import numpy as np
import pytest

from simmatrix import SimilarityMatrix, Statistics, concerns, statistics
from simmatrix.summary import QUANTILES, signal
from tests.simmatrix.matrices import in_form, random_values

form_by_form = pytest.mark.parametrize("form", ["dense", "sparse"])


def with_corners() -> np.ndarray:
    """Return a matrix that is not symmetric, with similarity 1 both ways, one way, and an identity row."""
    values = random_values(9, seed=3)
    values[0, 5] = values[5, 0] = 1
    values[7, 2], values[2, 7] = 1, 0.5
    values[4] = np.eye(9)[4]
    return values


@form_by_form
@pytest.mark.parametrize("values", [with_corners(), random_values(20), random_values(20, share=1.0), np.eye(4)])
def test_statistics_against_loops(form: str, values: np.ndarray) -> None:
    size = len(values)
    names = tuple(f"c{index}" for index in range(size))
    figures = statistics(in_form(form, values, names))
    others = [[values[i, j].item() for j in range(size) if j != i] for i in range(size)]
    flat = [value for row in others for value in row]
    assert figures.classes == size
    assert figures.influence == pytest.approx(sum(flat) / size, rel=1e-12)
    assert figures.density == sum(value > 0 for value in flat) / len(flat)
    assert figures.identity_rows == sum(not any(row) for row in others) / size
    assert figures.indistinguishable == tuple(
        (names[i], names[j]) for i in range(size) for j in range(i + 1, size) if 1 in (values[i, j], values[j, i])
    )
    for level in QUANTILES:
        assert figures.quantiles[level] == np.quantile(flat, level, method="inverted_cdf")
    symmetric = (values.astype(np.float64) + values.T) / 2
    assert figures.smallest_eigenvalue == pytest.approx(np.linalg.eigvals(symmetric).real.min(), abs=1e-9)


def test_dense_and_sparse_have_the_same_figures() -> None:
    dense, sparse = (
        dataclasses.asdict(statistics(in_form(form, with_corners(), tuple("abcdefghi"))))
        for form in ("dense", "sparse")
    )
    assert dense.pop("influence") == pytest.approx(sparse.pop("influence"), rel=1e-14)
    assert dense.pop("signal") == pytest.approx(sparse.pop("signal"), rel=1e-14)
    assert dense == sparse


def test_no_eigenvalue_of_a_large_matrix() -> None:
    size = 2049
    figures = statistics(SimilarityMatrix(np.eye(size), tuple(map(str, range(size)))))
    assert figures.smallest_eigenvalue is None


@pytest.mark.parametrize("size", [2, 5, 40])
@pytest.mark.parametrize("similarity", [0.0, 0.1, 0.7, 1.0])
def test_signal_is_the_share_of_cross_entropys_gradient(size: int, similarity: float) -> None:
    values = np.full((size, size), similarity)
    np.fill_diagonal(values, 1)
    logits, step = np.zeros(size), 1e-5

    def loss(row: np.ndarray, logit: float) -> float:
        z = logits.copy()
        z[0] = logit
        return float(-np.log(row @ np.exp(z) / np.exp(z).sum()))

    slopes = [(loss(row, step) - loss(row, -step)) / (2 * step) for row in (values[0], np.eye(size)[0])]
    matrix = SimilarityMatrix(values, tuple(map(str, range(size))))
    assert signal(matrix) == pytest.approx(slopes[0] / slopes[1], abs=1e-6)


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
            in_form("dense", with_corners(), tuple("abcdefghi")),
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
