"""What can be a scale."""

import pytest

from simmatrix.builders.square import parsed_scale
from simmatrix.errors import ParameterError


def test_a_range_is_a_scale() -> None:
    assert parsed_scale((-1.0, 7.0)) == (-1.0, 7.0)
    assert parsed_scale(None) is None


@pytest.mark.parametrize("scale", [(1.0, 1.0), (7.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_anything_else_is_not(scale: tuple[float, float]) -> None:
    with pytest.raises(ParameterError, match=r"^scale must start with its lowest value, as '0:10' does, got"):
        parsed_scale(scale)


def test_a_scale_is_no_wider_than_numbers_are() -> None:
    with pytest.raises(ParameterError, match=r"^the scale from -1e\+308 to 1e\+308 is too wide to calculate with"):
        parsed_scale((-1e308, 1e308))
