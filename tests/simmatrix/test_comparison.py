"""Comparisons against listed pairs, loops and SciPy; what changes nothing; what can't be compared."""

import dataclasses
import re
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from simmatrix import ClassOrderError, MatrixError, ParameterError, SimilarityMatrix, SourceError, comparison
from simmatrix.comparison import Comparison, compare
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.matrices import NAMES, in_form, peak_memory, random_matrix, random_values

SUPERCLASSES = ("flower", "flower", "plant", "vehicle", "vehicle", "animal")
Pairs = list[tuple[str, str]]


def listed(first: SimilarityMatrix, second: SimilarityMatrix) -> tuple[Pairs, list[list[float]]]:
    """Return the pairs to compare, by name, and their values in both matrices, one at a time."""
    pairs = [
        pair
        for pair in combinations(sorted(set(first.classes) & set(second.classes)), 2)
        if all(judgements(matrix, pair) != 0 for matrix in (first, second))
    ]
    return pairs, [[(matrix[a, b] + matrix[b, a]) / 2 for a, b in pairs] for matrix in (first, second)]


def judgements(matrix: SimilarityMatrix, pair: tuple[str, str]) -> int | None:
    if matrix.evidence is None:
        return None
    return int(matrix.evidence[tuple(matrix.classes.index(name) for name in pair)])


def ranks_of(values: list[float]) -> list[float]:
    return [sum(one < value for one in values) + (sum(one == value for one in values) + 1) / 2 for value in values]


def auc_of(values: list[float], same: list[bool]) -> float:
    """Count, over all pairs of pairs, how often the one of a single superclass is more similar."""
    wins = [
        (value > other) + (value == other) / 2
        for value, is_same in zip(values, same, strict=True)
        for other, is_other in zip(values, same, strict=True)
        if is_same and not is_other
    ]
    return sum(wins) / len(wins)


def assert_as_listed(
    first: SimilarityMatrix, second: SimilarityMatrix, superclasses: Sequence[str] | None = None
) -> Comparison:
    """Check a comparison against the listed pairs, and return it."""
    pairs, (one, other) = listed(first, second)
    result = compare(first, second, superclasses, count=len(pairs))
    assert result.pairs == len(pairs)
    assert result.sampled_from is None
    assert result.spearman == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)
    assert result.kendall == pytest.approx(kendalltau(one, other).statistic, abs=1e-12)
    apart = [there - here for here, there in zip(ranks_of(one), ranks_of(other), strict=True)]
    order = sorted(range(len(pairs)), key=lambda place: (-abs(apart[place]), pairs[place]))
    assert [(found.classes, found.values, found.rank_difference) for found in result.differences] == [
        (pairs[place], (one[place], other[place]), apart[place]) for place in order if apart[place]
    ]
    if superclasses is not None:
        known = dict(zip(first.classes, superclasses, strict=True))
        same = [known[a] == known[b] for a, b in pairs]
        assert result.superclass_auc == pytest.approx((auc_of(one, same), auc_of(other, same)), abs=1e-12)
    return result


def rounded(size: int, seed: int) -> np.ndarray:
    """Return similarities with many ties."""
    return np.round(random_values(size, seed), 1)


def numbered(values: np.ndarray) -> SimilarityMatrix:
    return SimilarityMatrix(values, tuple(f"c{index}" for index in range(len(values))))


@pytest.mark.parametrize("forms", [("dense", "dense"), ("dense", "sparse"), ("sparse", "dense"), ("sparse", "sparse")])
def test_pairs_are_compared_as_listed(forms: tuple[str, str]) -> None:
    first, second = (in_form(form, rounded(6, seed)) for seed, form in enumerate(forms))
    result = assert_as_listed(first, second, SUPERCLASSES)
    assert (result.classes, result.only_first, result.only_second, result.unjudged) == (NAMES, (), (), 0)


def test_many_pairs_with_ties() -> None:
    groups = [f"g{index % 5}" for index in range(30)]
    assert_as_listed(numbered(rounded(30, 1)), numbered(rounded(30, 2)), groups)


def test_a_class_order_is_compared() -> None:
    toeplitz = SimilarityMatrix(toeplitz_view(0.7 ** np.abs(np.arange(-5.0, 6.0))), NAMES)
    assert_as_listed(toeplitz, random_matrix(seed=4), SUPERCLASSES)
    assert_as_listed(random_matrix(seed=4), toeplitz, SUPERCLASSES)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_pair_counts_the_mean_of_both_directions(form: str) -> None:
    kept = numbered(random_values(12, share=1.0)).top_k(3).to_dense()
    uneven = np.maximum(np.random.default_rng(1).random((12, 12)), np.eye(12))
    for values in (kept, uneven):
        assert (values != values.T).any()
        names = tuple(f"c{index}" for index in range(12))
        assert_as_listed(in_form(form, values, names), numbered(rounded(12, 5)), ["a", "b"] * 6)


def test_classes_are_matched_by_name_and_the_others_told() -> None:
    first = random_matrix(seed=1).select(["ox", "van", "rose", "tulip", "oak"])
    second = random_matrix("sparse", seed=2).select(["lorry", "rose", "oak", "ox", "tulip"])
    result = assert_as_listed(first, second, ["animal", "vehicle", "flower", "flower", "plant"])
    assert result.classes == ("ox", "rose", "tulip", "oak")
    assert (result.only_first, result.only_second) == (("van",), ("lorry",))
    assert result.pairs == 6


def judged(values: np.ndarray, seed: int, names: tuple[str, ...] = NAMES) -> SimilarityMatrix:
    """Return a matrix of which about half the pairs were judged."""
    counts = np.triu(np.random.default_rng(seed).integers(0, 2, values.shape), 1) * 3
    return SimilarityMatrix(values, names, evidence=counts + counts.T)


@pytest.mark.parametrize("seeds", [(1, None), (None, 2), (1, 2)])
def test_only_judged_pairs_are_compared(seeds: tuple[int | None, ...]) -> None:
    names = tuple(f"c{index}" for index in range(12))
    first, second = (
        numbered(values) if seed is None else judged(values, seed, names)
        for seed, values in zip(seeds, (random_values(12, 7), random_values(12, 8)), strict=True)
    )
    result = assert_as_listed(first, second.select(names[::-1]), ["a", "b", "c"] * 4)
    assert result.unjudged == 66 - result.pairs > 20


@pytest.mark.parametrize(
    ("second", "expected"),
    [([0.1, 0.4, 0.9], 1.0), ([0.9, 0.4, 0.1], -1.0), ([0.4, 0.1, 0.9], 0.5)],
)
def test_rho_by_hand(second: list[float], expected: float) -> None:
    def matrix_of(pairs: list[float]) -> SimilarityMatrix:
        values = np.eye(3)
        values[np.triu_indices(3, 1)] = pairs
        return SimilarityMatrix(np.maximum(values, values.T), ("a", "b", "c"))

    result = compare(matrix_of([0.2, 0.5, 0.7]), matrix_of(second))
    assert result.spearman == pytest.approx(expected)
    assert result.kendall == pytest.approx({1.0: 1.0, -1.0: -1.0, 0.5: 1 / 3}[expected])


@pytest.mark.parametrize("other", [np.eye(4), np.full((4, 4), 0.3) + 0.7 * np.eye(4)])
def test_no_correlation_with_a_constant(other: np.ndarray) -> None:
    constant, varied = numbered(other), numbered(random_values(4, 1))
    for one, two in ((constant, varied), (varied, constant), (constant, constant)):
        result = compare(one, two, ["a", "a", "b", "b"])
        assert (result.spearman, result.kendall) == (None, None)
    assert result.superclass_auc == (0.5, 0.5)
    assert result.differences == ()


@pytest.mark.parametrize("superclasses", [None, ["a"] * 6, list("abcdef")])
def test_no_curve_without_pairs_of_both_kinds(superclasses: list[str] | None) -> None:
    assert compare(random_matrix(), random_matrix(seed=1), superclasses).superclass_auc is None


@pytest.mark.parametrize("count", [0, 1, 4, 100])
def test_as_many_pairs_as_asked_for(count: int) -> None:
    first, second = random_matrix(seed=1), random_matrix(seed=2)
    whole = compare(first, second, count=15).differences
    assert compare(first, second, count=count).differences == whole[:count]
    _, values = listed(first, second)
    assert len(whole) == sum(here != there for here, there in zip(*map(ranks_of, values), strict=True)) < 15


def swapped(result: Comparison) -> Comparison:
    """Return what the comparison the other way round should be, but for the order of the classes."""
    return dataclasses.replace(
        result,
        only_first=result.only_second,
        only_second=result.only_first,
        superclass_auc=result.superclass_auc and result.superclass_auc[::-1],
        differences=tuple(
            dataclasses.replace(one, values=one.values[::-1], rank_difference=-one.rank_difference)
            for one in result.differences
        ),
    )


SEEDS = st.integers(0, 999)


def close(result: Comparison, other: Comparison) -> bool:
    figures = ("spearman", "kendall", "superclass_auc")
    assert [getattr(result, name) for name in figures[:2]] == pytest.approx(
        [getattr(other, name) for name in figures[:2]], abs=1e-12
    )
    assert result.superclass_auc == pytest.approx(other.superclass_auc, abs=1e-12)
    rest = [field.name for field in dataclasses.fields(Comparison) if field.name not in (*figures, "classes")]
    assert sorted(result.classes) == sorted(other.classes)
    return [getattr(result, name) for name in rest] == [getattr(other, name) for name in rest]


@settings(deadline=None, max_examples=40)
@given(SEEDS, SEEDS, st.permutations(range(6)), st.permutations(range(5)), st.booleans())
def test_no_order_matters(one: int, two: int, turn: list[int], turned: list[int], is_sampled: bool) -> None:
    first, second = SimilarityMatrix(rounded(6, one), NAMES), SimilarityMatrix(rounded(5, two), NAMES[1:])
    moved = first.select([NAMES[place] for place in turn]), second.select([NAMES[1:][place] for place in turned])
    groups = dict(zip(NAMES, SUPERCLASSES, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        if is_sampled:
            patch.setattr(comparison, "PAIRS_UP_TO", 8)
        result = compare(first, second, SUPERCLASSES)
        assert (result.sampled_from is not None) == is_sampled
        assert close(compare(moved[0], moved[1], [groups[name] for name in moved[0].classes]), result)
        assert close(compare(moved[1], moved[0], [groups[name] for name in moved[1].classes]), swapped(result))


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from([2.0, 0.5]), st.floats(0, 0.3))
def test_a_rising_function_changes_no_order(seed: int, power: float, bound: float) -> None:
    # In steps of 1/32, from 0.3 on: no two different ones meet in float32, none falls below the bound.
    values = 0.3125 + np.round(random_values(7, seed, share=1.0) * 22) / 32
    np.fill_diagonal(values, 1)
    first, second = numbered(values), numbered(values**power).lower_bound(0.0)
    bounded = numbered(values).lower_bound(bound)
    for other in (second, bounded):
        result = compare(first, other, list("aabbccc"))
        assert result.spearman == pytest.approx(1, abs=1e-12)
        assert result.kendall == pytest.approx(1, abs=1e-12)
        assert result.differences == ()
        assert result.superclass_auc is not None
        assert result.superclass_auc[0] == result.superclass_auc[1]


def test_a_sample_stands_for_many_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    first = numbered(random_values(400, 1))
    second = numbered((first.values + random_values(400, 2)) / 2)
    groups = [f"g{index % 7}" for index in range(400)]
    whole = compare(first, second, groups)
    assert (whole.pairs, whole.sampled_from) == (79_800, None)
    monkeypatch.setattr(comparison, "PAIRS_UP_TO", 20_000)
    sample = compare(first, second, groups, count=79_800)
    assert sample.sampled_from == 79_800
    # 20,000 draws of 79,800 meet each with probability 1 - (1 - 1/79,800)^20,000.
    assert sample.pairs == pytest.approx(79_800 * (1 - np.exp(-20_000 / 79_800)), rel=0.02)
    assert len({found.classes for found in sample.differences}) == sample.pairs
    assert all(found.values == (first[found.classes], second[found.classes]) for found in sample.differences[:500])
    assert sample.spearman == pytest.approx(whole.spearman, abs=0.03)
    assert sample.kendall == pytest.approx(whole.kendall, abs=0.03)
    assert sample.superclass_auc == pytest.approx(whole.superclass_auc, abs=0.03)
    assert compare(first, second, groups, count=79_800) == sample


def test_a_sample_reaches_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAIRS_UP_TO", 2_000)
    first, second = numbered(random_values(100, 1)), numbered(random_values(100, 2))
    counts: dict[str, int] = {}
    for found in compare(first, second, count=2_000).differences:
        for name in found.classes:
            counts[name] = counts.get(name, 0) + 1
    expected = 2 * sum(counts.values()) / 2 / 100
    assert len(counts) == 100
    assert all(0.5 * expected < count < 1.5 * expected for count in counts.values())


def test_only_judged_pairs_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAIRS_UP_TO", 100)
    names = tuple(f"c{index}" for index in range(40))
    first, second = judged(random_values(40, 1), 1, names), judged(random_values(40, 2), 2, names)
    pairs, _ = listed(first, second)
    result = compare(first, second, count=100)
    assert (result.sampled_from, result.unjudged) == (len(pairs), 780 - len(pairs))
    assert 60 < result.pairs <= 100
    assert {found.classes for found in result.differences} <= set(pairs)
    assert all(found.values == (first[found.classes], second[found.classes]) for found in result.differences)


def test_class_orders_of_many_classes_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAIRS_UP_TO", 50_000)
    size = 30_000
    first, second = (
        numbered(toeplitz_view(np.float32(rate) ** np.abs(np.arange(1 - size, size)))) for rate in (0.999, 0.9995)
    )
    results: list[Comparison] = []
    # 450 million pairs: their numbers alone would take 3.6 GB.
    assert peak_memory(lambda: results.append(compare(first, second))) < 100e6
    assert results[0].sampled_from == size * (size - 1) // 2
    assert results[0].spearman == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("names", [("a", "b", "c"), ("rose", "b", "c"), ("rose", "oak", "c")])
def test_too_few_classes_in_common(names: tuple[str, ...]) -> None:
    common = sum(name in NAMES for name in names)
    message = f"the matrices have {common} classes in common, a comparison needs 3 at least; only in the first: "
    with pytest.raises(ClassOrderError, match=message) as caught:
        compare(random_matrix(), SimilarityMatrix(np.eye(3), names))
    assert f"only in the second: {', '.join(names[common:])}. Compare matrices of the same classes" in str(caught.value)


def test_too_few_classes_with_none_left() -> None:
    small = SimilarityMatrix(np.eye(2), NAMES[:2])
    with pytest.raises(ClassOrderError, match=r"only in the first: none; only in the second: none\."):
        compare(small, small)


def test_too_few_judged_pairs() -> None:
    counts = np.zeros((6, 6), dtype=int)
    counts[0, 1] = counts[1, 0] = counts[4, 2] = counts[2, 4] = 9
    first = SimilarityMatrix(random_values(6), NAMES, evidence=counts)
    for one, other in ((first, random_matrix()), (random_matrix(), first)):
        with pytest.raises(MatrixError, match="people judged 2 of the pairs, a comparison needs 3 at least; compare"):
            compare(one, other)
    counts[0, 2] = counts[2, 0] = 1
    assert compare(SimilarityMatrix(random_values(6), NAMES, evidence=counts), random_matrix()).pairs == 3


@pytest.mark.parametrize(
    ("superclasses", "message"),
    [
        (["a"] * 5, "5 superclasses were given for the 6 classes of the first matrix; give one for each"),
        (["a", "b", "", "c", "d", "e"], "the class list has no superclass for 'oak'; fill it in"),
    ],
)
def test_superclasses_that_do_not_fit(superclasses: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=re.escape(message)):
        compare(random_matrix(), random_matrix(), superclasses)


def test_a_class_that_is_not_compared_needs_no_superclass() -> None:
    second = random_matrix(seed=2).select(["rose", "tulip", "lorry", "van"])
    assert compare(random_matrix(), second, ["a", "a", "", "b", "b", ""]).superclass_auc is not None


def test_a_count_below_0() -> None:
    with pytest.raises(ParameterError, match="can't show -1 pairs; give 0 or more"):
        compare(random_matrix(), random_matrix(), count=-1)


def test_a_sample_that_would_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from simmatrix import comparison

    monkeypatch.setattr(comparison, "MANY", 6)
    sparse, dense = random_matrix("sparse"), random_matrix()
    with pytest.raises(MatrixError, match=r"of so many classes \(6 and 6\) nearly all pairs are 0"):
        compare(sparse, sparse)
    assert compare(sparse, dense).pairs == compare(sparse, sparse.select(sparse.classes[:5])).pairs + 5 == 15
