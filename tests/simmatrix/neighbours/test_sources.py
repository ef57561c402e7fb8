"""Each source's nearest classes against the top k of its dense matrix, bit for bit, and that against slow oracles."""

import math
import pickle
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import pytest

from simmatrix.builders.order import gaussian, laplace
from simmatrix.neighbours import line, tree, vectors
from simmatrix.neighbours.line import Line
from simmatrix.neighbours.source import Finish, Rows, Source, best_of
from simmatrix.neighbours.tree import Tree
from simmatrix.neighbours.vectors import Candidates, Cosines, cosine
from simmatrix.normalise import normalise
from simmatrix.taxonomy.graph import Edge, from_edges
from simmatrix.taxonomy.measures import MEASURES, NEED_CONTENT, intrinsic, taxonomy_values


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few classes are treated as many are."""
    monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", 0)


def check(source: Source, count: int, bound: float, random: np.random.Generator, raw: np.ndarray | None = None) -> None:
    """Compare all rows, some rows in another order and some blocks with what the dense matrix says."""
    raw = source.dense() if raw is None else raw
    form, _ = normalise(raw.copy(), bound=bound)
    expected = form.top_k(count).values
    found = source.nearest(np.arange(len(source)), count, Finish(bound))
    assert found.indices.dtype == np.int32
    assert np.array_equal(found.counts, np.diff(expected.indptr))
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.values, expected.data)
    some = random.permutation(len(source))[:5]
    part = pickle.loads(pickle.dumps(source)).nearest(some, count, Finish(bound))  # noqa: S301
    assert np.array_equal(part.indices, np.concatenate([expected[[row]].indices for row in some]))
    assert np.array_equal(source.block(some, some[:3]), raw[np.ix_(some, some[:3])])


def unit_vectors(random: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Return random vectors of length 1; some are there several times."""
    drawn = random.standard_normal((count, width))
    drawn[random.integers(0, count, count // 3)] = drawn[random.integers(0, count, count // 3)]
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_a_minimum_that_was_raised_is_not_lowered() -> None:
    """A row of which few columns at a time were seen knows its minimum before it sees many."""
    candidates = Candidates(2, 2, -1.0, 4)
    for column, product in enumerate((0.9, 0.8)):
        candidates.add(np.full((2, 1), product, np.float32), np.arange(2), column)
    assert len(candidates.settled()[0]) == 4
    candidates.add(np.full((2, 3), 0.1, np.float32), np.arange(2), 2)
    assert candidates._waiting == 0


@pytest.mark.parametrize("seed", range(4))
def test_vectors(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    for rows, columns in ((256, 1024), (3, 8), (7, 5)):
        monkeypatch.setattr(vectors, "_ROWS", rows)
        monkeypatch.setattr(vectors, "_COLUMNS", columns)
        for _ in range(6):
            count = int(random.integers(3, 120))
            source = Cosines(unit_vectors(random, count, int(random.integers(1, 60))))
            dense = source.dense()
            for bound in (0.0, 0.3, 0.9):
                check(source, int(random.integers(1, count)), bound, random, dense)


def test_vectors_may_be_of_any_kind_and_stay_as_they_are() -> None:
    unit = unit_vectors(np.random.default_rng(2), 50, 8).astype(np.float32)
    before = unit.copy()
    unit.flags.writeable = False
    expected = Cosines(unit.astype(np.float64))
    for given in (unit, np.asfortranarray(unit), unit[::-1][::-1]):
        source = Cosines(given)
        assert source.vectors.flags.c_contiguous
        assert np.array_equal(source.vectors, expected.vectors)
        assert np.array_equal(source.inverses, expected.inverses)
    assert np.array_equal(unit, before)


def test_vectors_that_are_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Everything is within the error of everything: rows are taken by themselves.
    monkeypatch.setattr(vectors, "_MANY", 1)
    random = np.random.default_rng(0)
    for unit in (
        np.full((300, 3), 3**-0.5),
        np.repeat(np.eye(5), 60, axis=0),
        np.tile([[0.6, 0.8], [-0.6, -0.8]], (9, 1)),
    ):
        for bound in (0.0, 0.5):
            check(Cosines(unit), 3, bound, random)


def test_cosines_in_float32_are_those_of_exact_sums() -> None:
    unit = unit_vectors(np.random.default_rng(1), 60, 40)
    exact = np.array([[math.fsum(one * other) for other in unit] for one in unit])
    np.testing.assert_allclose(Cosines(unit).dense(), exact, rtol=0, atol=6e-8)
    np.testing.assert_allclose(cosine(unit), exact, rtol=0, atol=1e-15)
    # A vector is as similar to its like as to itself.
    twice = Cosines(np.concatenate([unit, unit])).dense()
    assert (twice.diagonal(60) == 1).all()


def random_taxonomy(random: np.random.Generator) -> tuple[object, np.ndarray]:
    size, parents, is_deep = int(random.integers(3, 120)), int(random.integers(1, 4)), random.random() < 0.5
    edges = [
        Edge(f"n{random.integers(max(0, child - 5) if is_deep else 0, child)}", f"n{child}")
        for child in range(1, size)
        for _ in range(parents)
    ]
    taxonomy = from_edges(edges, "here")
    return taxonomy, random.integers(0, len(taxonomy), int(random.integers(2, 2 * size)))


@pytest.mark.parametrize("measure", MEASURES)
def test_trees(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for rows in (256, 3):
        monkeypatch.setattr(tree, "_ROWS", rows)
        for _ in range(12):
            taxonomy, nodes = random_taxonomy(random)
            content = intrinsic(taxonomy) if measure in NEED_CONTENT else None
            source = Tree(taxonomy, nodes, measure, content)
            dense = source.dense()
            assert np.array_equal(dense, taxonomy_values(taxonomy, nodes, measure, content, np.float32))
            for bound in (0.0, 0.25):
                check(source, int(random.integers(1, len(nodes))), bound, random, dense)


@pytest.mark.parametrize("measure", NEED_CONTENT)
def test_trees_of_nearly_equal_information(measure: str) -> None:
    # Levels that differ by less than float32 tells apart: rounding decides, and then the order of classes.
    random = np.random.default_rng(0)
    for _ in range(30):
        taxonomy, nodes = random_taxonomy(random)
        content = intrinsic(taxonomy) + random.random(len(taxonomy)) * 1e-8
        check(Tree(taxonomy, nodes, measure, content), int(random.integers(1, len(nodes))), 0.0, random)


def half(distance: np.ndarray) -> np.ndarray:
    return np.power(0.5, distance)


def around(distance: np.ndarray, similarity: Callable[[np.ndarray], np.ndarray], period: float | None) -> np.ndarray:
    return similarity(distance if period is None else np.minimum(distance, np.abs(period - distance)))


@pytest.mark.parametrize("similarity", [half, gaussian, laplace])
def test_lines_and_circles(similarity: Callable[[np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for candidates in (1 << 20, 20):
        monkeypatch.setattr(line, "_CANDIDATES", candidates)
        for _ in range(5):
            count = int(random.integers(2, 60))
            for places in (
                random.integers(0, 10, count).astype(float),
                random.standard_normal(count) * 100,
                np.arange(count) * -1.0,
                # So near to each other that a Gaussian is 1 for all.
                random.random(count) * 1e-4,
            ):
                for period in (None, np.ptp(places) + 1e-5, np.ptp(places) * 2 + 1):
                    source = Line(places, partial(around, similarity=similarity, period=period), period=period)
                    dense = source.dense()
                    for bound, kept in ((0.0, count - 1), (0.3, 1), (0.0, int(random.integers(1, count)))):
                        check(source, kept, bound, random, dense)


def test_the_best_of_candidates_by_hand() -> None:
    found = best_of(
        np.array([2, 0]), np.array([0, 0, 0, 0, 1]), np.array([3, 1, 2, 0, 1]), np.float32([0.5, 0.5, 0.9, 0.1, 0.0]), 2
    )
    # Row 2 keeps the first of two that are equal, both here, and not itself; row 0 keeps nothing that is 0.
    assert [array.tolist() for array in found] == [[1, 2, 3, 0], [0.5, 1.0, 0.5, 1.0], [3, 1]]
    assert found.last(np.array([2, 0]), 2).tolist() == [0.5, 0]
    new = found.replaced(np.array([1]), lambda _: Rows(np.int32([0, 3]), np.float32([1, 0.25]), np.array([2])))
    assert new.indices.tolist() == [1, 2, 3, 0, 3]


@pytest.mark.parametrize("module", [tree, line])
def test_what_all_classes_have_in_common_is_prepared_once(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task of a build asks for some rows of the same source."""
    random = np.random.default_rng(0)
    if module is line:
        source: Source = Line(random.random(400), laplace)
    else:
        nodes = [Edge(f"n{int(random.integers(0, child))}", f"n{child}") for child in range(1, 400)]
        source = Tree(from_edges(nodes, "random"), np.arange(400), "path")
    name = "_order" if module is line else "_kept"
    prepare, calls = getattr(type(source), name), []
    monkeypatch.setattr(type(source), name, lambda self, count: calls.append(count) or prepare(self, count))
    whole = source.nearest(np.arange(400), 5, Finish())
    size = len(pickle.dumps(source))
    parts = [source.nearest(np.arange(start, start + 100), 5, Finish()) for start in range(0, 400, 100)]
    assert len(calls) == 1
    for at, array in enumerate(whole):
        assert np.array_equal(array, np.concatenate([part[at] for part in parts]))
    # A worker prepares it by itself, and another number of neighbours needs something else.
    del source._prepared
    assert len(pickle.dumps(source)) == size
    assert np.array_equal(source.nearest(np.arange(9), 3, Finish()).counts, np.full(9, 4))
    again = pickle.loads(pickle.dumps(source)).nearest(np.arange(400), 5, Finish())  # noqa: S301
    assert all(map(np.array_equal, again, whole))
