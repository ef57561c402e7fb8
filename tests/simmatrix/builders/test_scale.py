"""What can be a scale."""

import pytest

from simmatrix.builders.scale import check_scale
from simmatrix.errors import SourceError


def test_a_range_is_a_scale() -> None:
    assert check_scale((-1.0, 7.0)) == (-1.0, 7.0)
    assert check_scale(None) is None


@pytest.mark.parametrize("scale", [(1.0, 1.0), (7.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_anything_else_is_not(scale: tuple[float, float]) -> None:
    with pytest.raises(SourceError, match=r"is no range; give its lowest value first \(--scale 0:10\)"):
        check_scale(scale)


def test_a_scale_is_no_wider_than_numbers_are() -> None:
    with pytest.raises(SourceError, match=r"^the scale from -1e\+308 to 1e\+308 is too wide to reckon with; divide"):
        check_scale((-1e308, 1e308))
