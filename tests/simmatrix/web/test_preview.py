"""A preview says what the library makes: every value, neighbour and figure."""

from collections.abc import Callable

import numpy as np
import pytest

from simmatrix import ClassNotFoundError, ParameterError, SimilarityMatrix
from simmatrix.summary import counts
from simmatrix.web.preview import BOUNDS, Preview, Profile
from tests.simmatrix.matrices import random_matrix

SIZE = 30
FORMS = ("dense", "sparse", "toeplitz")
PAIRS = ({}, {("class 3", "class 7"): 0.5, ("class 4", "class 29"): 0.0, ("class 0", "class 1"): 1.0})
# Multiples of 1 / 4096, and others; one is a float32 that stands in the matrix.
LIMITS = (0.0, 0.25, 1 / BOUNDS, 0.3, 0.77, 0.999)


def _cases() -> list[tuple[SimilarityMatrix, float, dict[tuple[str, str], float]]]:
    # Values that are bounds themselves, and such as are just above them: 0.3 as a float32 is above 0.3.
    near = np.array([0.25, 0.25 + 1e-5, 0.3, 1 / BOUNDS, 1 / BOUNDS + 1e-5, 0.0], np.float32)
    values = near[(np.arange(SIZE)[:, None] * 7 + np.arange(SIZE)) % len(near)]
    np.fill_diagonal(values, 1)
    # Some of the rows have nothing above 0.3.
    values[:3] = np.where(np.eye(SIZE)[:3] > 0, 1, near[2])
    values[3:6] = np.where(np.eye(SIZE)[3:6] > 0, 1, near[3])
    matrices = [
        *(random_matrix(form, SIZE) for form in FORMS),
        SimilarityMatrix(values, tuple(f"class {index}" for index in range(SIZE))),
    ]
    there = [float(matrix.to_dense()[matrix.to_dense() > 0].min()) for matrix in matrices]
    return [
        (matrix, bound, pairs)
        for matrix, least in zip(matrices, there, strict=True)
        for bound in (*LIMITS, least)
        for pairs in PAIRS
    ]


def test_values_and_neighbours_are_those_of_the_matrix_made() -> None:
    random = np.random.default_rng(1)
    for matrix, bound, pairs in _cases():
        preview = Preview(matrix, bound=bound, pairs=pairs)
        made = preview.made()
        expected = matrix.lower_bound(bound).with_pairs(pairs) if pairs else matrix.lower_bound(bound)
        np.testing.assert_array_equal(made.to_dense(), expected.to_dense())
        assert made.provenance == expected.provenance
        rows, columns = random.permutation(SIZE)[:7], random.permutation(SIZE)[:11]
        values = made.to_dense()
        np.testing.assert_array_equal(preview.entries(rows, columns), values[np.ix_(rows, columns)])
        np.testing.assert_array_equal(preview.entries(rows), values[rows])
        for index, name in enumerate(matrix.classes):
            found = [(matrix.classes[at], value) for at, value in preview.neighbours(index, 4)]
            assert found == [*made.neighbours(name, 4)]


def test_figures_are_those_of_the_matrix_made() -> None:
    for matrix, bound, pairs in _cases():
        preview = Preview(matrix, lambda matrix=matrix: Profile(matrix), bound, pairs)
        found, expected = preview.figures(), counts(preview.made())
        # The matrix made is rounded to float32.
        assert found.influence == pytest.approx(expected.influence, rel=2e-7, abs=1e-9)
        assert (found.density, found.isolated / SIZE) == (expected.density, expected.identity_rows)
        rows = preview.made().to_dense() * (1 - np.eye(SIZE))
        assert preview.isolated().tolist() == np.flatnonzero(~rows.any(axis=1)).tolist()


def test_a_bound_found_for_an_influence_is_the_one_that_the_matrix_takes() -> None:
    for form in FORMS:
        matrix = random_matrix(form, SIZE)
        wanted = matrix.influence / 3
        bound = matrix.bound_for(wanted)
        assert bound is not None
        assert Preview(matrix, bound=bound).figures().influence == pytest.approx(wanted, rel=2e-7)
        assert matrix.with_influence(wanted).provenance.normalisation[-1]["bound"] == bound
        assert matrix.bound_for(matrix.influence) is None


def _counted(function: Callable[..., np.ndarray], calls: list[str]) -> Callable[..., np.ndarray]:
    def counted(*given: object) -> np.ndarray:
        calls.append(function.__name__)
        return function(*given)

    return counted


def test_pairs_are_read_once_for_all_lower_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for form in FORMS:
        matrix = random_matrix(form, SIZE)
        some = matrix.classes[:9]
        # Classes 0 to 8 are left with the pairs alone; some of these are 0.
        pairs = {(one, other): (index % 3) / 4 for index, one in enumerate(some) for other in matrix.classes[9:]}
        pairs |= {(one, other): 0.0 for index, one in enumerate(some) for other in some[:index]}
        profile = Profile(matrix)
        kind = type(matrix.stored)
        read: list[str] = []
        with monkeypatch.context() as patched:
            for name in ("entries", "at"):
                patched.setattr(kind, name, _counted(getattr(kind, name), read))
            preview = Preview(matrix, lambda profile=profile: profile, pairs=pairs)
            found = [preview.under(bound).figures() for bound in LIMITS]
        assert sorted(read) == ["at", "entries"]
        for bound, figures in zip(LIMITS, found, strict=True):
            made = matrix.lower_bound(bound).with_pairs(pairs)
            expected = counts(made)
            assert figures.influence == pytest.approx(expected.influence, rel=2e-7, abs=1e-9)
            assert (figures.density, figures.isolated / SIZE) == (expected.density, expected.identity_rows)
            np.testing.assert_array_equal(preview.under(bound).entries(np.arange(SIZE)), made.to_dense())


def test_what_is_out_of_range_is_refused() -> None:
    matrix = random_matrix()
    for bound, pairs, error in (
        (1.0, {}, ParameterError),
        (0.0, {("rose", "tulip"): 1.5}, ParameterError),
        (0.0, {("rose", "rose"): 0.5}, ParameterError),
        (0.0, {("rose", "tulp"): 0.5}, ClassNotFoundError),
    ):
        with pytest.raises(error):
            Preview(matrix, bound=bound, pairs=pairs)
