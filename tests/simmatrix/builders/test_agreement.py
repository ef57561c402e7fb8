"""Agreement against the library, and alignment against its formula."""

import statistics

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders import agreement
from simmatrix.builders.agreement import aligned, alpha

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


@pytest.mark.parametrize("up_to", [agreement._LIBRARY_UP_TO, 0])
@settings(deadline=None)
@given(tables)
def test_alpha_is_the_librarys_of_raters_by_pairs(up_to: int, table: list[list[int | None]]) -> None:
    ratings, pairs, _raters = flat(table)
    data = np.array([[np.nan if value is None else value for value in row] for row in table])
    twice = data[:, np.sum(~np.isnan(data), axis=0) > 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "_LIBRARY_UP_TO", up_to)
        found = alpha(ratings, pairs)
    if len(np.unique(twice[~np.isnan(twice)])) < 2:
        assert found is None
    else:
        expected = krippendorff.alpha(reliability_data=data, level_of_measurement="interval")
        assert found == pytest.approx(expected, abs=1e-12)


def test_few_ratings_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(krippendorff, "alpha", lambda **_options: 0.25)
    assert alpha(np.array([1.0, 2, 3, 3]), np.array([0, 0, 1, 1])) == 0.25
    ratings = np.random.default_rng(0).normal(size=8000)
    assert abs(alpha(ratings, np.repeat(np.arange(4000), 2)) or 1) < 0.1  # its table would take terabytes


def test_aligned_ratings_have_everyones_mean_and_spread() -> None:
    said = {0: [1.0, 2.0, 6.0], 1: [3.0, 3.0, 4.0, 5.0], 2: [7.0, 1.0]}
    everything = [rating for own in said.values() for rating in own]
    mean, spread = statistics.fmean(everything), statistics.pstdev(everything)
    expected = [
        mean + spread * (rating - statistics.fmean(own)) / statistics.pstdev(own)
        for own in said.values()
        for rating in own
    ]
    raters = np.repeat(list(said), [len(own) for own in said.values()])
    assert aligned(np.array(everything), raters) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=8, unique=True), st.integers(1, 5), st.integers(-9, 9))
def test_raters_who_use_the_scale_differently_come_to_agree(ratings: list[int], stretch: int, shift: int) -> None:
    both = np.array([*ratings, *(stretch * rating + shift for rating in ratings)], dtype=float)
    one, other = aligned(both, np.repeat([0, 1], len(ratings))).reshape(2, -1)
    assert one == pytest.approx(other, abs=1e-9)
    assert (np.argsort(one) == np.argsort(ratings)).all()


@pytest.mark.parametrize("factor", [1e160, -1e160, 1e-170, 1e300])
def test_raters_are_aligned_whatever_the_size_of_their_ratings(factor: float) -> None:
    ratings, raters = np.array([1.0, 2.0, 6.0, -3.0, 4.0, 5.0]), np.array([0, 0, 0, 1, 1, 1])
    assert aligned(ratings * factor, raters) / factor == pytest.approx(aligned(ratings, raters), rel=1e-12)


def test_a_rater_whose_ratings_hardly_differ_is_aligned() -> None:
    found = aligned(np.array([0.0, 1e-200, 0.0, 1.0]), np.array([0, 0, 1, 1]))
    assert found[:2] == pytest.approx(found[2:])
