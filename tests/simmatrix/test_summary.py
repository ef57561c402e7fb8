"""The figures of a matrix, against loops over the dense matrix."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from simmatrix import SimilarityMatrix, concerns, forms, statistics, summary
from simmatrix.summary import QUANTILES, SHOWN_PAIRS, Counts, counts
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.matrices import in_form, peak_memory, random_toeplitz, random_values

form_by_form = pytest.mark.parametrize("form", ["dense", "sparse"])


def with_corners() -> np.ndarray:
    """Return a matrix that is not symmetric, with similarity 1 both ways, one way, and an identity row."""
    values = random_values(9, seed=3)
    values[0, 5] = values[5, 0] = 1
    values[7, 2], values[2, 7] = 1, 0.5
    values[4] = np.eye(9)[4]
    return values


def toeplitz_of(row: list[float], column: list[float]) -> np.ndarray:
    return np.array([[(row[j - i] if j > i else column[i - j]) for j in range(len(row))] for i in range(len(row))])


def assert_figures_of_loops(matrix: SimilarityMatrix) -> None:
    """Compare each figure with loops over all pairs."""
    values, names = matrix.to_dense(), matrix.classes
    size = len(values)
    figures = statistics(matrix)
    others = [[values[i, j].item() for j in range(size) if j != i] for i in range(size)]
    flat = [value for row in others for value in row]
    assert figures.classes == size
    assert figures.influence == pytest.approx(sum(flat) / size, rel=1e-12)
    assert figures.density == sum(value > 0 for value in flat) / len(flat)
    assert figures.identity_rows == sum(not any(row) for row in others) / size
    assert figures.isolated == tuple(name for name, row in zip(names, others, strict=True) if not any(row))
    same = [(names[i], names[j]) for i in range(size) for j in range(i + 1, size) if 1 in (values[i, j], values[j, i])]
    assert figures.indistinguishable == tuple(same[:SHOWN_PAIRS])
    assert figures.indistinguishable_pairs == len(same)
    for level in QUANTILES:
        assert figures.quantiles[level] == np.quantile(flat, level, method="inverted_cdf")
    assert figures.completed_pairs is None


def numbered(size: int) -> tuple[str, ...]:
    return tuple(f"c{index}" for index in range(size))


@form_by_form
@pytest.mark.parametrize(
    "values",
    [with_corners(), random_values(20), random_values(20, share=1.0), np.eye(4), np.ones((3, 3)), np.ones((47, 47))],
)
def test_statistics_against_loops(form: str, values: np.ndarray) -> None:
    assert_figures_of_loops(in_form(form, values, numbered(len(values))))


def test_sparse_matrices_are_counted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in (1, 5, 50):
        monkeypatch.setattr(forms, "BLOCK", block)
        for values in (with_corners(), random_values(20), np.eye(4), np.ones((47, 47))):
            assert_figures_of_loops(in_form("sparse", values, numbered(len(values))))
    monkeypatch.setattr(forms, "BLOCK", 1 << 12)
    random = np.random.default_rng(0)
    values = random.integers(1, 3, (20_000, 50)).astype(np.float32) / 4
    columns = random.integers(0, 400, values.shape) + 400 * np.arange(50)
    entries = csr_array((values.ravel(), columns.ravel(), 50 * np.arange(20_001))).tolil()
    entries.setdiag(1)
    matrix = SimilarityMatrix(entries.tocsr(), numbered(20_000))
    most = peak_memory(lambda: matrix.stored.others(10))
    assert most < values.nbytes / 2


@pytest.mark.parametrize(
    "values",
    [
        *(
            random_toeplitz(size, seed, share)
            for size, seed, share in ((2, 0, 1.0), (3, 1, 0.5), (20, 2, 0.2), (9, 3, 1.0))
        ),
        np.eye(5),
        np.ones((47, 47)),
        # Some rows are the identity's: the similarities stand far from the diagonal.
        toeplitz_of([1, 0, 0, 0, 0.5, 0], [1, 0, 0, 0, 0, 0.25]),
        toeplitz_of([1, 0, 0, 0, 0, 0.5], [1, 0, 0, 0, 0, 0]),
        toeplitz_of([1, 0, 0, 0, 0, 0], [1, 0, 0, 0.5, 0, 0]),
        # Similarity 1 above, below, and on both sides of the diagonal.
        toeplitz_of([1, 0, 1, 0.5, 0, 1], [1, 1, 0.25, 0, 0, 1]),
    ],
)
def test_statistics_of_toeplitz_matrices_against_loops(values: np.ndarray) -> None:
    assert_figures_of_loops(in_form("toeplitz", values, numbered(len(values))))


# Floats whose high or low halves are equal, neighbours of 1, the least there are, and a zero with a sign.
TRICKY = np.array(
    [0.0, -0.0, 1e-45, 1e-41, 9.2e-41, 1e-38, 0.5, np.nextafter(np.float32(0.5), 1), 0.50001, 0.5039, 0.999999, 1.0],
    np.float32,
)


@settings(deadline=None, max_examples=200)
@given(st.integers(2, 9), st.data())
def test_statistics_of_floats_that_differ_in_their_last_bits(size: int, data: st.DataObject) -> None:
    values = data.draw(
        arrays(np.float32, (size, size), elements=st.sampled_from(TRICKY.tolist()) | st.floats(0, 1, width=32))
    )
    np.fill_diagonal(values, 1)
    dense = SimilarityMatrix(values, numbered(size))
    assert np.signbit(dense.values).tolist() == np.signbit(values).tolist()
    assert_figures_of_loops(dense)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("counted", [summary._COUNTED, 100_000])
def test_quantiles_over_many_blocks(share: float, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "_COUNTED", counted)
    values = random_values(1200, share=share)
    values[values > 0.9] = 1
    values[(values > 0.4) & (values < 0.5)] = 0.45
    others = values[~np.eye(1200, dtype=bool)]
    figures = statistics(SimilarityMatrix(values, numbered(1200)))
    for level in QUANTILES:
        assert figures.quantiles[level] == np.quantile(others, level, method="inverted_cdf")
    rows, columns = np.nonzero(np.triu(values == 1, 1))
    assert figures.indistinguishable_pairs == len(rows)
    first = [
        (f"c{i}", f"c{j}") for i, j in zip(rows[:SHOWN_PAIRS].tolist(), columns[:SHOWN_PAIRS].tolist(), strict=True)
    ]
    assert list(figures.indistinguishable) == first


def test_statistics_take_little_memory() -> None:
    values = random_values(4000, share=1.0)
    values[values > 0.9] = 1
    values.flags.writeable = False
    matrix = SimilarityMatrix(values, numbered(4000))
    # A buffer or two, whatever the size: of 64 MB here, and of 1.9 GB at 21,843 classes.
    assert peak_memory(lambda: concerns(matrix)) < 130_000_000
    assert peak_memory(lambda: SimilarityMatrix(values, matrix.classes)) < 3_000_000


def test_statistics_of_a_hundred_thousand_classes_in_order() -> None:
    size = 100_000
    diagonals = np.full(2 * size - 1, 0.5)
    diagonals[size - 3 : size + 2] = 1
    matrix = SimilarityMatrix(toeplitz_view(diagonals), numbered(size))
    figures = statistics(matrix)
    assert figures.indistinguishable[:3] == (("c0", "c1"), ("c0", "c2"), ("c1", "c2"))
    assert len(figures.indistinguishable) == SHOWN_PAIRS
    assert figures.indistinguishable_pairs == 2 * size - 3
    assert figures.influence == pytest.approx((size - 1) / 2 + (2 * size - 3) / size, rel=1e-12)
    assert concerns(matrix, figures)[0].startswith("199,997 pairs have similarity 1, ")


def test_dense_and_sparse_have_the_same_figures() -> None:
    dense, sparse = (
        dataclasses.asdict(statistics(in_form(form, with_corners(), tuple("abcdefghi"))))
        for form in ("dense", "sparse")
    )
    assert dense.pop("influence") == pytest.approx(sparse.pop("influence"), rel=1e-14)
    assert dense == sparse


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_what_a_build_tells_and_warns_of_takes_counting_alone(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = in_form(form, random_toeplitz(9), numbered(9))
    figures = statistics(matrix)
    told = concerns(matrix, figures)

    def refused(*_arguments: object) -> None:
        raise AssertionError("this takes too long")

    monkeypatch.setattr("simmatrix.summary.quantiles", refused)
    counted = counts(matrix)
    assert type(counted) is Counts
    assert vars(counted).items() <= vars(figures).items()
    assert vars(figures).keys() - vars(counted).keys() == {"quantiles"}
    assert concerns(matrix) == concerns(matrix, counted) == told
