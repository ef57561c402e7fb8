"""The oracle itself, compared with the definition in 80 decimal digits."""

import math

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
