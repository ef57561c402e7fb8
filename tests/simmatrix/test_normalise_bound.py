"""The lower bound for an influence, against its definition bisected, sorted values, and fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix import ParameterError, normalise
from simmatrix.forms import Dense, Stored, Toeplitz
from simmatrix.normalise import bound_for, check_influence, count_of_ones
from tests.simmatrix.matrices import peak_memory, random_values

# Ties, ones, and anything else, but nothing between 0.96875 and 1: what a bound next to 1 does to the last digits of
# float64 is not the question.
SIMILARITIES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.0, 0.96875, width=32))


def mass_under(bound: float, values: list[float], counts: list[int]) -> float:
    """Return what the values below 1 add up to under a lower bound, by the formula of the paper."""
    pairs = zip(values, counts, strict=True)
    return math.fsum(count * max(0.0, (s - bound) / (1 - bound)) for s, count in pairs if s < 1)


def bisected(values: list[float], counts: list[int], mass: float) -> float:
    """Return the lower bound for a mass to within two neighbouring numbers, slowly."""
    low, high = 0.0, max((s for s in values if s < 1), default=0.0)
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if mass_under(middle, values, counts) > mass else (low, middle)
    return high


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(SIMILARITIES, st.integers(1, 9)), min_size=1, max_size=20), st.floats(0.001, 0.999))
def test_the_bound_is_the_one_that_bisection_finds(stored: list[tuple[float, int]], share: float) -> None:
    values, counts = map(list, zip(*stored, strict=True))
    mass = share * mass_under(0.0, values, counts)
    if mass < 2.0**-100:
        return
    bound = bound_for(Stored(np.array(values, np.float32), np.array(counts)).parts(), mass)
    expected = bisected(values, counts, mass)
    # Of (sum s - m) / (n - m), the sum of up to 20 products has 39 roundings, the rest has five, each of a number up to
    # n; and n - m is (1 - s) / (1 - l) for each of the n, at least 1/32. The formula that is bisected has as many.
    tolerance = 2 * 44 * 2.0**-53 * 32
    assert bound == pytest.approx(expected, rel=0, abs=tolerance)
    assert 0 <= bound < 1
    # Each value for itself is the same matrix.
    assert bound_for(Stored(np.repeat(np.float32(values), counts), None).parts(), mass) == pytest.approx(
        bound, rel=0, abs=tolerance
    )


def test_no_mass_is_the_greatest_value_below_1() -> None:
    values = np.float32([[1, 0.3, 0.2], [1, 1, 0.7], [0, 0.1, 1]])
    assert bound_for(Stored(values, None).parts(), 0.0) == np.float32(0.7)
    assert bound_for(Dense(np.eye(3, dtype=np.float32)).stored().parts(), 0.0) == 0
    assert bound_for(Stored(np.float32([0.5, 1, 1]), np.array([2, 3, 1])).parts(), 0.0) == 0.5


@pytest.mark.parametrize("size", [400, 1000])
def test_values_over_several_blocks_against_sorting(size: int) -> None:
    values = random_values(size)
    others = np.sort(values[values < 1])[::-1].astype(np.float64)
    sums, numbers = others.cumsum(), np.arange(1, others.size + 1)
    # What is left under a bound at each value, by the sums of all that are above it.
    left = (sums - numbers * others) / (1 - others)
    for mass in (0.001, 1.0, 0.3 * size, 0.1 * values.size):
        above = int(np.searchsorted(left, mass))
        expected = (sums[above - 1] - mass) / (above - mass)
        # A sum of n numbers below 1, one by one, has n roundings of at most n; here it is divided by more than n / 2.
        assert bound_for(Stored(values, None).parts(), mass) == pytest.approx(expected, rel=0, abs=2 * above * 2.0**-53)


def test_few_passes_lead_to_a_bound_far_out_in_the_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else ten or more are read before: Newton's method takes a pass a step there."""
    random = np.random.default_rng(0)
    values = np.clip(random.normal(0.25, 0.1, (1000, 1000)), 0, 1).astype(np.float32)
    passes = []
    step = normalise._root_from
    monkeypatch.setattr(normalise, "_root_from", lambda *given: passes.append(given) or step(*given))
    assert bound_for(Stored(values, None).parts(), 30.0) > 0.55
    assert len(passes) <= 4


def test_what_lies_between_two_float32_numbers_is_told_apart() -> None:
    """A bound may be nearer to the values above it than the next float32 is."""
    low, high, many = Fraction(2049, 4096) + Fraction(1, 2**20), Fraction(2050, 4096) - Fraction(1, 2**20), 10**6
    mass = 1e-5
    expected = (many * high - Fraction(mass)) / (many - Fraction(mass))
    values = np.float32([low, high])
    assert values.tolist() == [low, high]
    # Each of the two differences and their quotient is rounded once.
    assert bound_for(Stored(values, np.array([1, many])).parts(), mass) == pytest.approx(
        float(expected), rel=4 * 2.0**-53, abs=0
    )


def test_ones_are_counted() -> None:
    assert count_of_ones(Stored(np.float32([[1, 0.5], [1, 1]]), None).parts()) == 3
    assert count_of_ones(Toeplitz(np.float32([0.5, 1, 1, 1, 0])).stored().parts()) == 2 + 3 + 2


def test_it_takes_memory_for_some_rows_only() -> None:
    values = random_values(2000)
    # Of 131,072 values: their places and their weights, of 8 bytes each, and what is above the bound.
    most = 3 * 8 * (1 << 17)
    assert values.nbytes > 4 * most
    assert peak_memory(lambda: bound_for(Stored(values, None).parts(), 100.0)) < most
    assert peak_memory(lambda: bound_for(Stored(values, None).parts(), 0.0)) < most
    assert peak_memory(lambda: count_of_ones(Stored(values, None).parts())) < most


@pytest.mark.parametrize("influence", [-0.1, -1e-300, math.nan, math.inf, -math.inf])
def test_what_is_no_influence_is_refused(influence: float) -> None:
    message = rf"an influence of {influence} is not a finite number of at least 0; give .*, 0 for cross entropy"
    with pytest.raises(ParameterError, match=message):
        check_influence(influence)


@pytest.mark.parametrize("influence", [0.0, 0.3, 1e9])
def test_what_may_be_one_is_not(influence: float) -> None:
    check_influence(influence)
