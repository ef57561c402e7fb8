"""Agreement against the library, and alignment against its formula."""

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders.ratings import aligned, alpha

RATERS = 4
PAIRS = 6
tables = st.lists(
    st.lists(st.one_of(st.none(), st.integers(1, 7)), min_size=PAIRS, max_size=PAIRS), min_size=RATERS, max_size=RATERS
)


def flat(table: list[list[int | None]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ratings, their pairs and their raters."""
    found = [(value, pair, rater) for rater, row in enumerate(table) for pair, value in enumerate(row) if value]
    ratings, pairs, raters = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return ratings.astype(float), pairs * 3, raters  # the numbers of pairs need not be dense


@settings(deadline=None)
@given(tables)
def test_alpha_is_the_librarys_of_raters_by_pairs(table: list[list[int | None]]) -> None:
    ratings, pairs, _raters = flat(table)
    data = np.array([[np.nan if value is None else value for value in row] for row in table])
    twice = data[:, np.sum(~np.isnan(data), axis=0) > 1]
    found = alpha(ratings, pairs)
    if len(np.unique(twice[~np.isnan(twice)])) < 2:
        assert found is None
    else:
        expected = krippendorff.alpha(reliability_data=data, level_of_measurement="interval")
        assert found == pytest.approx(expected, abs=1e-12)


def test_alpha_of_many_ratings_takes_no_table_of_values_by_values() -> None:
    ratings = np.random.default_rng(0).normal(size=8000)
    assert abs(alpha(ratings, np.repeat(np.arange(4000), 2)) or 1) < 0.1


def test_ratings_are_placed_on_their_raters_scales() -> None:
    ratings, lows, highs = [1.0, 4.0, 7.0, 0.0, 85.0], [1.0, 1.0, 1.0, 0.0, 0.0], [7.0, 7.0, 7.0, 100.0, 100.0]
    expected = [(rating - low) / (high - low) for rating, low, high in zip(ratings, lows, highs, strict=True)]
    assert aligned(np.array(ratings), np.array(lows), np.array(highs)).tolist() == expected


def test_agreement_does_not_depend_on_how_small_the_ratings_are() -> None:
    ratings, pairs = np.array([1.0, 2.0, 5.0, 5.0, 3.0, 4.5]), np.array([0, 0, 1, 1, 2, 2])
    expected = alpha(ratings, pairs)
    assert expected == pytest.approx(krippendorff.alpha(ratings.reshape(3, 2).T, level_of_measurement="interval"))
    for unit in (2.0**-600, 2.0**-1000, 2.0**600):
        assert alpha(ratings * unit, pairs) == expected
    assert alpha(np.array([1e-200, 2e-200]), np.array([0, 0])) == 0.0
