"""Similarity by class order: the formula in plain loops, SciPy's Toeplitz and circulant matrices, and permutations."""

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import circulant, toeplitz

from simmatrix.builders.order import decay, gaussian, laplace, order_similarity
from simmatrix.builders.raw import RawSimilarity
from simmatrix.choices import KERNELS
from simmatrix.classes import ClassList
from simmatrix.errors import ParameterError, SourceError
from simmatrix.normalise import normalise
from simmatrix.provenance import Input
from simmatrix.toeplitz import diagonals_of
from tests.simmatrix.matrices import peak_memory

# One rounding of the distance and one of the function: pow and exp are right to the last bit or the one before it.
EXACT = {"rtol": 1e-14, "atol": 0.0}
RATE = 0.8
DECAYS = (0.0, 1e-300, 0.1, 0.5, 0.8, 0.999999)
FORMULAS = {
    "decay": lambda distance, rate: rate**distance,
    "laplace": lambda distance, _: math.exp(-distance),
    "gaussian": lambda distance, _: math.exp(-distance * distance / 2),
    "triangular": lambda distance, _: max(0.0, 1 - distance),
}


def listed(positions: list[float] | None = None, size: int = 7) -> ClassList:
    size = size if positions is None else len(positions)
    columns = {} if positions is None else {"age": tuple(map(repr, positions)), "group": ("",) * size}
    return ClassList(tuple(f"c{index}" for index in range(size)), columns, "ages.tsv")


def kernel_options(kernel: str) -> dict[str, object]:
    return {"kernel": kernel, "decay": RATE} if kernel == "decay" else {"kernel": kernel}


def slowly(
    positions: list[float], kernel: str, rate: float = 0.0, scale: float = 1.0, period: float | None = None
) -> list[list[float]]:
    """Return K(|v_i - v_j| / s) pair by pair."""
    values = []
    for one in positions:
        distances = [abs(one - other) for other in positions]
        if period is not None:
            distances = [min(distance, period - distance) for distance in distances]
        values.append([FORMULAS[kernel](distance / scale, rate) for distance in distances])
    return values


def is_toeplitz(raw: RawSimilarity) -> bool:
    return diagonals_of(raw.values) is not None


@pytest.mark.parametrize("rate", DECAYS)
@pytest.mark.parametrize("size", [2, 3, 40])
def test_a_decay_for_each_step_as_in_the_paper(rate: float, size: int) -> None:
    raw = order_similarity(listed(size=size), decay=rate)
    np.testing.assert_allclose(raw.values, slowly(list(range(size)), "decay", rate), **EXACT)
    np.testing.assert_allclose(raw.values, toeplitz([rate**step for step in range(size)]), **EXACT)
    assert is_toeplitz(raw)
    assert raw.values.dtype == np.float64


def test_a_decay_of_0_is_the_identity() -> None:
    np.testing.assert_array_equal(order_similarity(listed(), decay=0.0).values, np.eye(7))
    twins = order_similarity(listed([3.0, 1.0, 3.0]), decay=0.0, positions="age").values
    assert twins.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_a_triangle_as_long_as_the_classes_is_the_error_in_parts_of_the_range() -> None:
    """As the soft labels of examples/diamonds.py and age.py have it, with np.subtract.outer for the errors."""
    ages = [1.0, 2.0, 5.0, 11.0]
    raw = order_similarity(listed(ages), kernel="triangular", positions="age")
    np.testing.assert_allclose(raw.values, 1 - np.abs(np.subtract.outer(ages, ages)) / 10, rtol=1e-14)
    assert raw.provenance.params["length_scale"] == 10
    # The other side of a circle is the farthest there is.
    months = order_similarity(listed(size=12), kernel="triangular", circular=True)
    np.testing.assert_allclose(months.values[0], [*np.linspace(1, 0, 7), *np.linspace(0, 1, 7)[1:-1]], atol=1e-15)
    arc = order_similarity(listed([0.0, 90.0]), kernel="triangular", positions="age", circular=True, period=360.0)
    assert arc.values.tolist() == [[1, 0], [0, 1]]
    assert order_similarity(listed([7.0, 7.0]), kernel="triangular", positions="age").values.tolist() == [[1, 1]] * 2


@pytest.mark.parametrize("size", [2, 3, 12, 13])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_circle_of_classes_is_circulant(size: int, kernel: str) -> None:
    raw = order_similarity(listed(size=size), **kernel_options(kernel), length_scale=2.0, circular=True)
    steps = [min(step, size - step) for step in range(size)]
    first = [FORMULAS[kernel](step / 2, RATE) for step in steps]
    np.testing.assert_allclose(raw.values, circulant(first), **EXACT)
    assert is_toeplitz(raw)


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8),
    st.sampled_from(list(KERNELS)),
    st.floats(0, 0.999),
    st.floats(0.1, 100),
    st.one_of(st.none(), st.floats(0, 10)),
)
def test_positions_in_a_column_against_loops(
    positions: list[float], kernel: str, rate: float, scale: float, beyond: float | None
) -> None:
    period = None if beyond is None else max(positions) - min(positions) + beyond
    if period == 0:
        return
    options = {
        "kernel": kernel,
        "length_scale": scale,
        "positions": "age",
        "circular": period is not None,
        "period": period,
    }
    raw = order_similarity(listed(positions), **options, **({"decay": rate} if kernel == "decay" else {}))
    expected = slowly(positions, kernel, rate, scale, period)
    # Positions that are evenly spaced but for their rounding count as even: an error of some 1e-12 in the distance.
    np.testing.assert_allclose(raw.values, expected, rtol=1e-8, atol=1e-12 if rate else 1)
    np.testing.assert_array_equal(raw.values, raw.values.T)
    assert (raw.values.diagonal() == 1).all()


EVEN = [
    [10.0, 20.0, 30.0, 40.0],
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    [7.0, 4.0, 1.0, -2.0],
    [1e-3 * step for step in range(50)],
    [math.pi / 6 * step for step in range(12)],
    [2.5, 2.75],
]
UNEVEN = [
    [8.0, 40.0, 70.0],
    [0.0, 1.0, 2.0, 3.5],
    [1.0, 2.0, 2.0, 3.0],
    [1.0, 1.0],
    [1.0, 3.0, 2.0],
    [0.0, 1.0, 2.0 + 1e-9, 3.0],
    # A little more than what rounding explains.
    [0.0, 1.0, 2.0 + 1e-14, 3.0],
    # The spacing is hardly more than the rounding: even within some last bits, and yet not even.
    [1e9, 1e9 + 2**-23, 1e9 + 2**-21],
]


@pytest.mark.parametrize("positions", EVEN)
@pytest.mark.parametrize("kernel", KERNELS)
def test_evenly_spaced_positions_are_toeplitz(positions: list[float], kernel: str) -> None:
    raw = order_similarity(listed(positions), **kernel_options(kernel), length_scale=3.0, positions="age")
    assert is_toeplitz(raw)
    np.testing.assert_allclose(raw.values, slowly(positions, kernel, RATE, 3.0), rtol=1e-12)


@pytest.mark.parametrize("positions", UNEVEN)
def test_other_positions_are_dense(positions: list[float]) -> None:
    raw = order_similarity(listed(positions), decay=0.5, positions="age")
    assert not is_toeplitz(raw)
    np.testing.assert_allclose(raw.values, slowly(positions, "decay", 0.5), **EXACT)


@pytest.mark.parametrize("positions", [*EVEN, *UNEVEN])
@pytest.mark.parametrize("circular", [True, False])
def test_classes_in_another_order_have_the_same_similarities(positions: list[float], *, circular: bool) -> None:
    order = np.random.default_rng(0).permutation(len(positions))
    period = max(positions) - min(positions) + 1 if circular else None
    one, other = (
        order_similarity(listed(some), decay=RATE, positions="age", circular=circular, period=period).values
        for some in (positions, [positions[place] for place in order])
    )
    np.testing.assert_array_equal(other, one[np.ix_(order, order)])


def test_angles_where_0_and_360_are_the_same() -> None:
    raw = order_similarity(
        listed([0.0, 90.0, 180.0, 270.0, 360.0]),
        decay=0.5,
        length_scale=90.0,
        positions="age",
        circular=True,
        period=360.0,
    )
    expected = [[0.5 ** min(abs(i - j) % 4, 4 - abs(i - j) % 4) for j in range(5)] for i in range(5)]
    assert raw.values.tolist() == expected
    assert is_toeplitz(raw)


def test_a_circle_no_longer_than_rounded_positions_span() -> None:
    span = 3.1
    assert span / 3 * 3 > span
    classes = listed([span * step / 3 for step in range(4)])
    raw = order_similarity(classes, decay=0.0, positions="age", circular=True, period=span)
    # Behind the whole circle, by the last bit of a float.
    assert raw.values.max() == 1
    raw = order_similarity(classes, decay=0.5, positions="age", circular=True, period=span)
    assert raw.values.max() == 1
    assert raw.values[0, 3] == pytest.approx(1, abs=1e-15)


def test_class_names_can_be_the_numbers() -> None:
    classes = ClassList(("-1", "2.5", " 3e0 "))
    raw = order_similarity(classes, decay=0.5, positions="class")
    np.testing.assert_allclose(raw.values, slowly([-1.0, 2.5, 3.0], "decay", 0.5), **EXACT)
    assert raw.provenance.resolution["2.5"] == {"how": "position", "words": ["2.5"]}


def test_distances_beyond_float64_are_dissimilar() -> None:
    for positions in ([-1.7e308, 0.0, 1.7e308], [-1.7e308, 1.6e308, 1.7e308]):
        for kernel in KERNELS:
            raw = order_similarity(listed(positions), **kernel_options(kernel), length_scale=1e-300, positions="age")
            np.testing.assert_array_equal(raw.values, np.eye(3))


def test_huge_steps_are_steps_of_their_size() -> None:
    raw = order_similarity(listed([-1.5e308, 0.0, 1.5e308]), kernel="laplace", length_scale=1.5e308, positions="age")
    e = math.exp(-1)
    np.testing.assert_allclose(raw.values, [[1, e, 0], [e, 1, e], [0, e, 1]], **EXACT)


@pytest.mark.parametrize(
    ("kernel", "value"), [(laplace, math.exp(-1.5)), (gaussian, math.exp(-1.125)), (lambda d: decay(d, 0.5), 0.5**1.5)]
)
def test_kernels(kernel: object, value: float) -> None:
    similarity = kernel(np.array([0.0, 1.5]))  # type: ignore[operator]
    assert similarity.tolist() == pytest.approx([1, value], rel=1e-15)


def test_a_gaussian_counts_near_classes_more_and_far_ones_less_than_laplace() -> None:
    near, far = (gaussian(np.array([d])) - laplace(np.array([d])) for d in (0.5, 4.0))
    assert near > 0 > far


def test_what_is_recorded() -> None:
    classes = listed([8.0, 40.0, 70.0])
    raw = order_similarity(classes, decay=0.8, positions="age", circular=True, period=100.0)
    assert raw.classes == ("c0", "c1", "c2")
    assert raw.provenance.builder == "order"
    assert raw.provenance.source == (Input("classes", "ages.tsv", classes.sha256),)
    assert raw.provenance.params == {
        "kernel": "decay",
        "decay": 0.8,
        "length_scale": 1.0,
        "positions": "age",
        "circular": True,
        "period": 100.0,
    }
    assert raw.provenance.resolution["c1"] == {"how": "position", "words": ["40.0"]}
    assert (raw.scale, raw.evidence) == (None, None)
    plain = order_similarity(listed(), kernel="laplace", length_scale=2.0)
    assert plain.provenance.params == {"kernel": "laplace", "length_scale": 2.0, "circular": False}
    assert plain.provenance.resolution["c6"] == {"how": "position", "words": ["6"]}
    assert order_similarity(listed(), decay=0.8, circular=True).provenance.params["period"] == 7
    for one in (raw, plain):
        json.dumps([dict(one.provenance.params), dict(one.provenance.resolution)], allow_nan=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"the kernel decay needs a decay, the similarity of neighbours; give one in \[0, 1\), such as decay=0.5"),
        ({"kernel": "linear"}, "kernel must be 'decay', 'laplace', 'gaussian' or 'triangular', got 'linear'"),
        ({"kernel": "gaussian", "decay": 0.5}, "the kernel gaussian has no decay; give it a length scale, or"),
        *(({"decay": rate}, rf"a decay of {rate} is outside \[0, 1\); 0 makes") for rate in (-0.1, 1.0, 2.0, math.nan)),
        *(
            ({"decay": 0.5, "length_scale": scale}, f"a length scale of {scale} is not above 0")
            for scale in (0.0, -1.0, math.nan, math.inf)
        ),
        (
            {"decay": 0.5, "positions": "years"},
            "ages.tsv: has no column 'years'; it has class, which are the names, age or group",
        ),
        ({"decay": 0.5, "positions": "Age"}, r"ages.tsv: has no column 'Age'; did you mean age\?"),
        (
            {"decay": 0.5, "positions": "group"},
            r"ages.tsv: the position of a class is no number in column group: c0 \(''\), c1 \(''\), c2 \(''\); give",
        ),
        ({"decay": 0.5, "positions": "class"}, r"no number in column class: c0 \('c0'\), c1"),
        (
            {"decay": 0.5, "period": 12.0},
            "a period of 12.0 without a circle; ask for a circular order too, or leave it out",
        ),
        (
            {"decay": 0.5, "circular": True, "period": 12.0},
            "a period of 12.0 without positions; an order of 3 classes closes",
        ),
        ({"decay": 0.5, "positions": "age", "circular": True}, "needs a period, such as 360 for degrees; they span 62"),
        *(
            (
                {"decay": 0.5, "positions": "age", "circular": True, "period": period},
                f"a period of {period} does not hold .* span 62",
            )
            for period in (61.9, 0.0, -100.0, math.nan, math.inf)
        ),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], message: str) -> None:
    is_about_the_list = "positions" in options and not {"circular", "period"} & options.keys()
    with pytest.raises(SourceError if is_about_the_list else ParameterError, match=message):
        order_similarity(listed([8.0, 40.0, 70.0]), **options)


@pytest.mark.parametrize(
    "text", ["", "old", "nan", "inf", "-Infinity", "1e999", "1,5", "1_000", "(0, 2)", "0x10", "1 2"]
)
def test_what_is_no_number_is_named(text: str) -> None:
    classes = ClassList(("baby", "child", "adult"), {"age": ("1", text, "40")})
    with pytest.raises(SourceError, match=r"in column age: child \(.*\); give each class a finite number"):
        order_similarity(classes, decay=RATE, positions="age")


def test_a_position_with_a_comma_is_told_both_ways() -> None:
    classes = ClassList(("a", "b", "c"), {"price": ("1,234", "2,5", "3")})
    ending = r"a \('1,234'\); b \('2,5'\); give each .*, and write 1,234 as 1234 or as 1.234, whichever it is$"
    with pytest.raises(SourceError, match=ending):
        order_similarity(classes, decay=RATE, positions="price")


def test_of_many_classes_without_a_number_the_first_are_named() -> None:
    classes = ClassList(tuple(f"c{index}" for index in range(9)), {"age": ("x",) * 9})
    with pytest.raises(SourceError, match=r"c0 \('x'\), .* c4 \('x'\) and 4 more; give"):
        order_similarity(classes, decay=RATE, positions="age")


def test_a_circle_of_one_position_needs_a_length() -> None:
    with pytest.raises(ParameterError, match=r"a period of 0\.0 does not hold positions that span 0"):
        order_similarity(listed([1.0, 1.0]), decay=RATE, positions="age", circular=True, period=0.0)


def test_twenty_thousand_classes_in_order_take_no_matrix() -> None:
    classes = listed(size=20_000)
    raws: list[RawSimilarity] = []
    assert peak_memory(lambda: raws.append(order_similarity(classes, decay=0.9))) < 20_000_000
    form, _ = normalise(raws[0].values, bound=0.1)
    assert form.name == "toeplitz"
    assert form.values[0, 2] == np.float32((0.9**2 - 0.1) / 0.9)


def test_a_large_dense_matrix_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", 1999)
    positions = [math.sqrt(index) for index in range(2000)]
    arrays: list[np.ndarray] = []
    classes = listed(positions)
    peak = peak_memory(lambda: arrays.append(order_similarity(classes, decay=RATE, positions="age").values))
    values = arrays[0]
    assert values.dtype == np.float32
    assert peak < 1.5 * values.nbytes
    np.testing.assert_allclose(values, slowly(positions, "decay", 0.8), rtol=1e-7)


def test_the_class_list_is_left_as_it_is() -> None:
    classes = listed([8.0, 40.0, 70.0])
    before = dataclasses.replace(classes)
    order_similarity(classes, decay=0.8, positions="age")
    assert classes == before


def test_similarity_falls_with_distance() -> None:
    for kernel in KERNELS:
        row = order_similarity(listed(), **kernel_options(kernel)).values[0].tolist()
        assert all(near > far for near, far in pairwise(row))
