"""Every pixel of every tile at every level, against a slow reading of the values."""

import numpy as np
import pytest

from simmatrix import MatrixError, ParameterError
from simmatrix.web import pyramid
from simmatrix.web.preview import Preview
from simmatrix.web.pyramid import Difference, Pyramid
from tests.simmatrix.matrices import peak_memory, random_matrix

SIZE = 85


def _pixel(values: np.ndarray, step: int, row: int, column: int, itself: float) -> tuple[float, float]:
    """Return mean and greatest of a block, one value after the other; the diagonal only where there is no more."""
    found = [
        float(values[i, j])
        for i in range(row * step, min((row + 1) * step, len(values)))
        for j in range(column * step, min((column + 1) * step, len(values)))
        if i != j
    ]
    return (sum(found) / len(found), max(found, key=abs)) if found else (itself, itself)


def _check(found: Pyramid, values: np.ndarray, itself: float) -> None:
    side = pyramid.TILE
    for level in range(found.levels):
        step = 1 << level
        width = -(-len(values) // step)
        for row in range(-(-width // side)):
            for column in range(-(-width // side)):
                tile = found.tile(level, row, column)
                assert tile.mean.shape == (min(side, width - row * side), min(side, width - column * side))
                expected = np.array(
                    [
                        [
                            _pixel(values, step, row * side + i, column * side + j, itself)
                            for j in range(tile.mean.shape[1])
                        ]
                        for i in range(tile.mean.shape[0])
                    ]
                )
                np.testing.assert_allclose(tile.mean, expected[..., 0], rtol=0, atol=1e-6)
                np.testing.assert_array_equal(np.abs(tile.greatest), np.abs(expected[..., 1]).astype(np.float32))


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_every_pixel_is_the_mean_and_the_greatest_of_its_block(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "TILE", 4)
    order = np.random.default_rng(0).permutation(SIZE)
    previews = [
        Preview(random_matrix(form, SIZE, seed), bound=0.3, pairs={("class 1", "class 9"): 0.9}) for seed in (0, 1)
    ]
    values = [preview.made().to_dense().astype(np.float64)[np.ix_(order, order)] for preview in previews]
    one = Pyramid(previews[0], order)
    assert one.levels == 6
    _check(one, values[0], 1.0)
    _check(Pyramid(Difference(*previews), order), values[1] - values[0], 0.0)


def test_a_lone_high_value_is_seen_at_the_coarsest_level() -> None:
    matrix = random_matrix("sparse", 300).with_pairs({("class 17", "class 250"): 1.0}).lower_bound(0.9999)
    coarsest = Pyramid(Preview(matrix), np.arange(300)).tile(1, 0, 0)
    assert coarsest.greatest[8, 125] == coarsest.greatest[125, 8] == 1
    assert np.count_nonzero(coarsest.greatest == 1) == 2


def test_the_last_level_is_one_tile() -> None:
    for size, levels in ((6, 1), (256, 1), (257, 2), (512, 2), (513, 3)):
        found = Pyramid(Preview(random_matrix("toeplitz", size)), np.arange(size))
        assert found.levels == levels
        found.tile(levels - 1, 0, 0)
        for place in ((levels, 0, 0), (levels - 1, 1, 0), (-1, 0, 0), (0, 0, -1)):
            with pytest.raises(ParameterError, match="there is no tile"):
                found.tile(*place)


def test_too_many_classes_are_seen_in_parts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "MOST", 2000)
    found = Pyramid(Preview(random_matrix("toeplitz", 2001)), np.arange(2001))
    assert found.levels == 4
    found.tile(2, 0, 0)
    with pytest.raises(MatrixError, match="2,001 classes are too many to be seen as a whole; zoom in"):
        found.tile(3, 0, 0)


def test_it_takes_a_fraction_of_the_matrix_s_memory() -> None:
    matrix = random_matrix("dense", 1200)
    found = Pyramid(Preview(matrix, bound=0.2), np.random.default_rng(0).permutation(1200))
    assert peak_memory(lambda: found.tile(3, 0, 0)) < matrix.to_dense().nbytes / 4
