"""Quantiles of each form of a matrix, against NumPy's of the values off the diagonal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.summary import quantiles
from tests.simmatrix.matrices import in_form, values_for


@settings(deadline=None)
@given(
    st.sampled_from(["dense", "sparse", "toeplitz"]),
    st.integers(2, 9),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.lists(st.floats(0, 1), max_size=5),
)
def test_quantiles_are_numpys(form: str, size: int, seed: int, share: float, levels: list[float]) -> None:
    values = values_for(form, size, seed, share)
    matrix = in_form(form, values, tuple(f"c{index}" for index in range(size)))
    others = values[~np.eye(size, dtype=bool)]
    expected = [np.quantile(others, level, method="inverted_cdf").item() for level in levels]
    assert quantiles(matrix.stored, levels) == expected
    if (above := others[others > 0]).size:
        expected = [np.quantile(above, level, method="inverted_cdf").item() for level in levels]
        assert quantiles(matrix.stored, levels, positive=True) == expected


def test_a_place_is_right_where_a_product_of_floats_is_not() -> None:
    """Nine tenths of 21 x 20 pairs are 378, but 0.9 * 21 * 20 is more."""
    values = values_for("dense", 21, 0, 1.0)
    others = np.sort(values[~np.eye(21, dtype=bool)])
    assert others[377] < others[378]
    matrix = in_form("dense", values, tuple(f"c{index}" for index in range(21)))
    assert quantiles(matrix.stored, [0.9]) == [others[377]]


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_the_ends_are_the_least_and_the_greatest_similarity(form: str) -> None:
    values = values_for(form, 6, share=1.0)
    others = values[~np.eye(6, dtype=bool)]
    assert quantiles(in_form(form, values).stored, (0.0, 1.0)) == [others.min(), others.max()]
