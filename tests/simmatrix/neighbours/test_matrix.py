"""The top k of many classes by every builder that finds it without the rest, against its dense matrix's top k."""

import sys
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

import simmatrix
from simmatrix.builders.embeddings import VectorSource, embedding_similarity
from simmatrix.builders.wordnet import wordnet_similarity
from simmatrix.data import vector_file_path
from simmatrix.errors import ParameterError, SourceError
from simmatrix.neighbours.approximate import Approximate
from simmatrix.neighbours.matrix import bounded, neighbours_of
from simmatrix.neighbours.source import Finish, Rows
from simmatrix.neighbours.tree import Tree
from simmatrix.neighbours.vectors import Cosines
from simmatrix.normalise import sampled, sampled_bound
from simmatrix.taxonomy.graph import Edge, from_edges

NAMES = simmatrix.read_classes("cifar100").names
AGES = simmatrix.ClassList(NAMES, {"age": tuple(str(index**1.5) for index in range(100))})
BUILT: dict[str, Callable[..., simmatrix.SimilarityMatrix]] = {
    "words": lambda **options: simmatrix.from_embeddings(classes="cifar100", **options),
    "wordnet": lambda **options: simmatrix.from_wordnet("cifar100", measure="lin", **options),
    "taxonomy": lambda **options: simmatrix.from_taxonomy("superclass", "cifar100", **options),
    "order": lambda **options: simmatrix.from_order(NAMES, decay=0.9, **options),
    "positions": lambda **options: simmatrix.from_order(AGES, kernel="laplace", positions="age", **options),
}


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("bound", [None, 0.0, 0.2])
def test_the_file_is_that_of_the_dense_matrix_s_top_k(
    name: str, bound: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {} if bound is None else {"lower_bound": bound}
    few = BUILT[name](top_k=5, **options)
    assert few.form == "sparse"
    for exact_up_to in (10_000, 99):
        monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", exact_up_to)
        BUILT[name](**options).top_k(5).save(tmp_path / "dense")
        BUILT[name](top_k=5, **options).save(tmp_path / "found")
        assert (tmp_path / "dense").read_bytes() == (tmp_path / "found").read_bytes()
        if exact_up_to > 100:
            few.save(tmp_path / "few")
            assert (tmp_path / "few").read_bytes() == (tmp_path / "found").read_bytes()


def test_the_default_bound_of_many_classes_is_that_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", 99)
    monkeypatch.setattr("simmatrix.normalise._SAMPLED", 20)
    rows = by_hash(100, 20)
    assert sampled(100).tolist() == rows
    assert sampled(20).tolist() == list(range(20))
    raw = wordnet_similarity(simmatrix.read_classes("cifar100"), measure="jcn").values
    some = raw[np.ix_(rows, rows)]
    pairs = np.sort(some[np.triu_indices(20, 1)])
    for matrix in (
        simmatrix.from_wordnet("cifar100", measure="jcn"),
        simmatrix.from_wordnet("cifar100", measure="jcn", top_k=3),
    ):
        step = next(step for step in matrix.provenance.normalisation if step["step"] == "lower_bound")
        assert step == {"step": "lower_bound", "bound": pairs[94], "from": "median", "sampled_pairs": 190}
    # Of three classes that are like each other and two strangers, most pairs are strangers.
    among = np.full((5, 5), 0.25)
    among[:3, :3] = 0.5
    assert sampled_bound(among, np.array([0.5, 0.5, 0.5, 0.25, 0.25])) == (
        0.25,
        {"from": "median", "sampled_pairs": 10},
    )


def by_hash(count: int, kept: int) -> list[int]:
    """Return the positions with the least SplitMix64 hash, in Python's whole numbers."""
    keys = []
    for position in range(count):
        key = (position + 1) * 0x9E3779B97F4A7C15 % 2**64
        key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        key = (key ^ key >> 27) * 0x94D049BB133111EB % 2**64
        keys.append(key ^ key >> 31)
    # What SplitMix64 gives first and second for the seed 0.
    assert keys[:2] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    return sorted(sorted(range(count), key=keys.__getitem__)[:kept])


def test_the_default_bound_of_a_periodic_list_is_the_median_of_all_its_pairs() -> None:
    """Parents before their nine children each: every tenth class is a parent."""
    parents, children = 1010, 9
    edges = [Edge("root", f"p{number}") for number in range(parents)]
    edges += [Edge(f"p{number}", f"p{number}c{child}") for number in range(parents) for child in range(children)]
    taxonomy = from_edges(edges, "periodic")
    names = [f"p{number}{rest}" for number in range(parents) for rest in ("", *(f"c{n}" for n in range(children)))]
    at = {name: node for node, name in enumerate(taxonomy.names)}
    bound, _ = bounded(Tree(taxonomy, np.array([at[name] for name in names]), "path"), None)
    # Children of two parents are four steps apart, and nearly all pairs are of these: 1 / (1 + 4).
    assert bound == pytest.approx(1 / 5, rel=2.0**-24)
    for period in (2, 3, 10, 89, 100):
        remainders = np.bincount(sampled(100_000) % period, minlength=period)
        assert remainders.max() < 1000 / period + 5 * (1000 / period) ** 0.5


def vectors(count: int) -> Cosines:
    random = np.random.default_rng(0)
    # In clusters, as words are.
    unit = random.standard_normal((50, 16))[random.integers(0, 50, count)] + random.standard_normal((count, 16)) / 4
    return Cosines(unit / np.linalg.norm(unit, axis=1, keepdims=True))


def test_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", 0)
    source = vectors(3000)
    names = tuple(f"class {index}" for index in range(3000))
    given = simmatrix.SimilarityMatrix(np.eye(2), ("a", "b")).provenance
    exact = neighbours_of(source, 8, names, given, lower_bound=0.1).matrix()
    found = neighbours_of(source, 8, names, given, lower_bound=0.1, search="faiss", recall=0.9)
    step = dict(found.provenance.normalisation[-1])
    assert (step["step"], step["count"], step["search"]) == ("top_k", 8, "faiss")
    # 2 to the power of round(log2(4 sqrt(3000))).
    assert step["cells"] == 256
    assert step["compared"] < 0.5
    matrix = found.matrix()
    # What is found has its exact similarity, and the recall is what it was measured to be.
    whole = neighbours_of(source, 2999, names, given, lower_bound=0.1).matrix().to_dense()
    other = matrix.to_dense()
    np.testing.assert_array_equal(other[other > 0], whole[other > 0])
    # One half of the sampled classes sets what is looked at, the other measures.
    rows = sampled(3000)[1::2]
    # That each class is nearest to itself is nothing found.
    asked = exact.to_dense() > 0
    np.fill_diagonal(asked, val=False)
    assert asked[rows].sum(axis=1).max() == 8
    assert step["recall"] == round(np.count_nonzero(asked[rows] & (other > 0)[rows]) / asked[rows].sum(), 4) >= 0.9
    assert step["measured_rows"] == len(rows) == 500
    # The same bytes again.
    matrix.save(tmp_path / "one")
    neighbours_of(source, 8, names, given, lower_bound=0.1, search="faiss", recall=0.9).matrix().save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_faiss_finds_the_same_whichever_rows_are_asked_for_together() -> None:
    random = np.random.default_rng(0)
    unit = random.standard_normal((3000, 12))  # not in clusters: cells that are not the nearest count too
    found = Approximate(Cosines(unit / np.linalg.norm(unit, axis=1, keepdims=True)), 8, Finish(), 0.95)
    some = random.permutation(3000)[:100]
    together = found.nearest(some, 8, Finish())
    pieces = [found.nearest(part, 8, Finish()) for part in (some[:1], some[1:8], some[8:])]
    assert np.array_equal(np.concatenate([piece.indices for piece in pieces]), together.indices)


def test_faiss_finds_among_vectors_of_which_many_are_the_same() -> None:
    random = np.random.default_rng(0)
    unit = random.standard_normal((40, 8))[np.repeat(np.arange(40), 30)]
    unit[:600] = unit[0]
    source = Cosines(unit / np.linalg.norm(unit, axis=1, keepdims=True))
    found = Approximate(source, 4, Finish(), 0.9)
    rows = np.arange(0, 1200, 7)
    assert (found.nearest(rows, 4, Finish()).values == source.nearest(rows, 4, Finish()).values).mean() > 0.9


def test_faiss_finds_for_a_class_that_is_unlike_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 vectors in a cone leave some of the 512 cells empty, and one points the other way."""
    random = np.random.default_rng(0)
    unit = (random.standard_normal((400, 16)) / 10 + np.eye(16)[0])[random.integers(0, 400, 20_000)]
    unit[5000] = random.standard_normal(16) / 10 - np.eye(16)[0]
    found = Approximate(Cosines(unit / np.linalg.norm(unit, axis=1, keepdims=True)), 4, Finish(), 0.9)
    assert found.nearest(np.array([5000]), 4, Finish()).indices.tolist() == [5000]
    # Few rows at a time, since each looks at some cells and keeps some classes.
    monkeypatch.setattr("simmatrix.neighbours.approximate._HELD", 300)
    sizes: list[int] = []
    search = found._nearest
    monkeypatch.setattr(found, "_nearest", lambda rows, *given: (sizes.append(len(rows)), search(rows, *given))[1])
    found.nearest(np.arange(4), 49, Finish())
    assert sizes[:2] == [2, 2]


def test_faiss_leaves_no_class_short() -> None:
    """Fifty tight groups, whose nearest cells are enough, and thirty vectors far from all, alone in their cells."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((50, 30)) + 0.8
    unit = centres[random.integers(0, 50, 3000)] + random.standard_normal((3000, 30)) / 20
    lone = random.choice(3000, 30, replace=False)
    unit[lone] = random.standard_normal((30, 30)) + 0.8
    exact = Cosines(unit / np.linalg.norm(unit, axis=1, keepdims=True))
    approximate = Approximate(exact, 8, Finish(), 0.95)
    found, expected = (source.nearest(np.arange(3000), 8, Finish()) for source in (approximate, exact))
    assert (expected.counts == 9).all()
    assert (found.counts == 9).all()
    # Where the bound leaves few to each, to compare all of these with all would be the exact way.
    bound = Finish(float(np.float32(0.99)))
    few = Approximate(exact, 8, bound, 0.95).nearest(lone, 8, bound)
    assert (few.counts < 9).any()


def test_where_no_class_has_a_neighbour_none_is_missed() -> None:
    assert Approximate(Cosines(np.eye(64)), 1, Finish(0.5), 1.0).settings["recall"] == 1.0


def test_threads_are_as_before_where_the_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    source = vectors(100)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        source.vectors[0, 0] = np.nan
        with pytest.raises(RuntimeError, match="NaN"):
            Approximate(source, 3, Finish(), 0.9)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(threads)


def scattered(width: int) -> Cosines:
    unit = np.random.default_rng(0).standard_normal((2000, width))  # not in clusters, which is hard
    return Cosines(unit / np.linalg.norm(unit, axis=1, keepdims=True))


def test_the_recall_is_that_of_classes_which_did_not_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it falls short of what was asked for, more is looked at, once."""
    searches: list[np.ndarray] = []
    search = Approximate.nearest
    monkeypatch.setattr(
        Approximate, "nearest", lambda self, rows, *given: (searches.append(rows), search(self, rows, *given))[1]
    )
    source, finish, times = scattered(12), Finish(), []
    rows = sampled(2000)[1::2]

    def pairs(rows_found: Rows) -> set[tuple[int, int]]:
        return {*zip(np.repeat(rows, rows_found.counts).tolist(), rows_found.indices.tolist(), strict=True)}

    exact = pairs(source.nearest(rows, 8, finish))
    for asked in (0.8, 0.85, 0.99):
        searches.clear()
        found = Approximate(source, 8, finish, asked)
        assert all(np.array_equal(one, rows) for one in searches)
        times.append(len(searches))
        both = exact & pairs(found.nearest(rows, 8, finish))
        # Of the 9 of each row, one is the class itself.
        assert found.settings["recall"] == round((len(both) - 500) / 4000, 4) >= asked
    assert times == [1, 2, 1]


def test_what_the_search_can_not_reach_is_refused() -> None:
    as_long = r"with (\d\d|100)% of all, which takes as long as all; take search=\"exact\""
    with pytest.raises(SourceError, match=rf"to find 99.9% of the 10 nearest, each class .* {as_long}"):
        Approximate(scattered(200), 10, Finish(), 0.999)
    # The cells that are looked at first are half of all.
    with pytest.raises(SourceError, match=rf"to find 50.0% of the 400 nearest, each class .* {as_long}"):
        Approximate(scattered(8), 400, Finish(), 0.5)
    # The classes that set it can't ask for more than all.
    with pytest.raises(
        SourceError, match=r"of the 8 nearest of 500 classes, 99\.\d\d% were found where 100\.0% have to be"
    ):
        Approximate(scattered(12), 8, Finish(), 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 100}, "can't keep 100 of the 99 other classes; give 1 to 99"),
        ({"search": "faiss"}, r'search="faiss" finds the nearest of each class; say how many, such as top_k=32'),
        ({"search": "fais", "top_k": 3}, "search must be 'exact' or 'faiss', got 'fais'"),
        ({"search": "faiss", "top_k": 3, "recall": 1.5}, r"a recall of 1.5 is outside \(0, 1\]"),
        ({"top_k": 3, "recall": 7.5}, r"a recall of 7.5 is outside \(0, 1\]"),
        ({"recall": float("nan")}, r"a recall of nan is outside \(0, 1\]"),
        ({"top_k": 3, "recall": 0.95}, 'recall=0.95 is for search="faiss"; all other searches find all, leave it out'),
        ({"search": "faiss", "top_k": 3}, 'search="faiss" is for more than 10,000 classes; all pairs of 100 take sec'),
    ],
)
def test_what_is_wrong_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        simmatrix.from_embeddings(classes="cifar100", **options)


def test_that_faiss_lacks_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    for build in (simmatrix.from_embeddings, simmatrix.from_encoder):
        # Nobody is to install what then has nothing to do.
        with pytest.raises(ParameterError, match="is for more than 10,000 classes"):
            build("no such file", classes="cifar100", top_k=3, search="faiss")
    monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", 99)
    for build in (simmatrix.from_embeddings, simmatrix.from_encoder):
        with pytest.raises(SourceError, match="needs the library faiss-cpu"):
            build("no such file", classes="cifar100", top_k=3, search="faiss")


def test_faiss_searches_vectors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = wordnet_similarity(simmatrix.read_classes("cifar100"))
    monkeypatch.setattr("simmatrix.normalise.EXACT_UP_TO", 99)
    with pytest.raises(ParameterError, match="all other sources are searched exactly"):
        raw.normalised(0.0, 3, search="faiss")
    words = embedding_similarity(
        VectorSource(vector_file_path("glove-6b-50d"), "glove"), simmatrix.read_classes("cifar100")
    )
    matrix = words.normalised(0.0, 3, search="faiss", recall=0.5)
    assert matrix.form == "sparse"
