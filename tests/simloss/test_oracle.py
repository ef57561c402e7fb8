"""The oracle itself, compared with the definition in 80 decimal digits."""

import math
from itertools import product

import numpy as np
import pytest

from tests import oracle

EPS = 2.0**-52


@pytest.mark.parametrize("gap", [0.0, 1.0, 20.0, 100.0, 690.0, 1000.0, 1e4])
def test_row_is_the_definition_for_every_distance_of_the_similar_classes(gap: float) -> None:
    z = np.array([-gap, 0.0, -gap - 1.0, -0.5])
    s = np.array([1.0, 0.0, 0.5, 0.0])
    loss, gradient = oracle.sim_loss_row(z, s)
    assert loss == pytest.approx(oracle.sim_loss_exact(z, s), rel=16 * EPS)  # a dozen operations, each right to EPS
    assert abs(gradient.sum()) <= 4 * EPS


@pytest.mark.parametrize("loss", [1e-3, 3e-6, 1e-8, 1e-12])
def test_row_keeps_its_digits_near_zero_where_the_plain_form_loses_them(loss: float) -> None:
    z, s = np.array([0.0, math.log(loss), math.log(loss)]), np.array([1.0, 0.5, 0.0])
    exact = oracle.sim_loss_exact(z, s)
    assert oracle.sim_loss_row(z, s)[0] == pytest.approx(exact, rel=32 * EPS)
    assert abs(oracle.sim_loss_plain(z, s) - exact) <= 4 * EPS  # right, but only absolutely


def test_gradient_is_the_slope_of_the_loss() -> None:
    z, s, step = np.array([0.3, -1.0, 2.0, 0.1]), np.array([0.2, 1.0, 0.0, 0.7]), 1e-5
    _, gradient = oracle.sim_loss_row(z, s)
    for c in range(4):
        move = step * np.eye(4)[c]
        slope = (oracle.sim_loss_exact(z + move, s) - oracle.sim_loss_exact(z - move, s)) / (2 * step)
        assert gradient[c] == pytest.approx(slope, abs=step**2 + 4 * EPS / step)  # truncation, and rounding


def test_a_share_is_the_definition_for_every_distance_and_similarity() -> None:
    """Also near zero loss, for a class without neighbours, and where all but one class underflow."""
    rows = [np.array([1.0, 0.0, 0.5, 0.25]), np.array([1.0, 0.0, 0.0, 0.0]), np.array([1.0, 1e-40, 0.0, 1e-300])]
    for gap, s, share, smoothing in product(
        (-30.0, -5.0, 0.0, 1.0, 100.0, 690.0, 1000.0, 1e4), rows, (0.0, 0.3, 1.0), (0.0, 0.05, 1.0)
    ):
        z = np.array([-gap, 0.0, -gap - 1.0, -0.5])
        loss, gradient = oracle.mixed_row(z, s, 0, share, smoothing)
        exact = oracle.mixed_exact(z, s, 0, share, smoothing)
        # Two parts of a dozen operations each, over four classes. A small loss is e^-gap, whose exponent was rounded.
        assert loss == pytest.approx(exact, rel=(64 + abs(math.log(exact or 1.0))) * EPS)
        assert abs(gradient.sum()) <= 16 * EPS


@pytest.mark.parametrize("label", [0, 2])
def test_the_gradient_of_a_share_is_the_slope_of_the_definition(label: int) -> None:
    z, s, step = np.array([0.3, -1.0, 2.0, 0.1]), np.array([0.2, 1.0, 0.0, 0.7]), 1e-5
    s[label] = 1.0
    for share, smoothing in product((0.0, 0.3, 1.0), (0.0, 0.05, 1.0)):
        _, gradient = oracle.mixed_row(z, s, label, share, smoothing)
        for c in range(4):
            move = step * np.eye(4)[c]
            above, below = (oracle.mixed_exact(z + sign * move, s, label, share, smoothing) for sign in (1, -1))
            assert gradient[c] == pytest.approx((above - below) / (2 * step), abs=step**2 + 4 * EPS / step)


def test_a_share_counts_nothing_where_it_is_zero_even_if_infinite() -> None:
    z, s = np.array([-math.inf, 0.0, 0.0]), np.array([1.0, 0.5, 0.0])
    assert oracle.mixed_row(z, s, 0, share=1.0)[0] == pytest.approx(math.log(4))  # half of half
    assert oracle.mixed_row(z, s, 0, share=0.5)[0] == math.inf
    np.testing.assert_allclose(oracle.mixed_row(z, s, 0, share=0.5)[1], [-0.5, 0.0, 0.5])
