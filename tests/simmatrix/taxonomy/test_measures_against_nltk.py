"""The measures on WordNet, against NLTK's own for random pairs of ImageNet-1k's synsets and for CIFAR-100's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import simmatrix
from simmatrix.taxonomy.measures import from_counts, intrinsic, propagated, taxonomy_values
from simmatrix.taxonomy.wordnet import bundled_wordnet

PAIRS, MANY = 5_000, 100_000
# NLTK's methods whose result never changes and that it works out anew for every pair.
REPEATED = ("_shortest_hypernym_paths", "hypernyms", "instance_hypernyms")


class Synsets(NamedTuple):
    """NLTK's synsets, our nodes for them, and the pairs to compare."""

    theirs: list[Any]
    nodes: np.ndarray
    pairs: list[tuple[int, int]]

    def ours(self, measure: str, content: np.ndarray | None = None) -> np.ndarray:
        values = taxonomy_values(bundled_wordnet().taxonomy("n"), self.nodes, measure, content)
        return np.array([values[pair] for pair in self.pairs])

    def of_nltk(self, similarity: Callable[[Any, Any], float]) -> np.ndarray:
        return np.array([similarity(self.theirs[i], self.theirs[j]) for i, j in self.pairs])


@pytest.fixture(scope="module")
def reader(nltk_folder: Path) -> Iterator[Any]:
    """NLTK's reader, which remembers what it has worked out."""
    import nltk
    from nltk.corpus.reader import wordnet as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(nltk_folder)])
        for name in REPEATED:
            patch.setattr(module.Synset, name, functools.cache(getattr(module.Synset, name)))
        patch.setattr(module.WordNetCorpusReader, "get_version", lambda _: "3.0")
        # Anything but None stands for the other languages, which are not asked for.
        reader = module.WordNetCorpusReader(str(nltk_folder / "corpora" / "wordnet"), object())
        yield reader
        for file in reader._data_file_map.values():
            file.close()


def _synsets(theirs: list[Any], pairs: list[tuple[int, int]]) -> Synsets:
    found = [bundled_wordnet().find(one.name()) for one in theirs]
    return Synsets(theirs, np.array([one.node for one in found if one is not None]), pairs)


@pytest.fixture(scope="module")
def many(reader: Any) -> Synsets:
    names = simmatrix.read_classes("imagenet1k").names
    theirs = [reader.synset_from_pos_and_offset("n", int(name[1:])) for name in names]
    pairs = np.random.default_rng(0).integers(0, len(names), (MANY, 2)).tolist()
    return _synsets(theirs, [(i, j) for i, j in pairs])


@pytest.fixture(scope="module")
def imagenet(many: Synsets) -> Synsets:
    return many._replace(pairs=many.pairs[:PAIRS])


@pytest.fixture(scope="module")
def cifar(reader: Any) -> Synsets:
    names = simmatrix.read_classes("cifar100").column("synset")
    # Both are symmetric: ours to the last bit, as tests/simmatrix/builders/test_contract.py has it.
    pairs = [(i, j) for i in range(len(names)) for j in range(i, len(names))]
    return _synsets([reader.synset(name) for name in names], pairs)


@pytest.fixture(
    scope="module", params=["cifar", *(pytest.param(name, marks=pytest.mark.slow) for name in ("imagenet", "many"))]
)
def synsets(request: pytest.FixtureRequest, reader: Any) -> Synsets:
    """Return synsets to compare. They come from `reader`, by which the tests are marked as slow."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Synsets)
    return found


def test_path(synsets: Synsets) -> None:
    theirs = synsets.of_nltk(lambda one, other: one.path_similarity(other))
    np.testing.assert_allclose(synsets.ours("path"), theirs, rtol=0, atol=1e-12)


def test_lch(synsets: Synsets) -> None:
    theirs = synsets.of_nltk(lambda one, other: one.lch_similarity(other))
    greatest = synsets.theirs[0].lch_similarity(synsets.theirs[0])
    np.testing.assert_allclose(synsets.ours("lch") * greatest, theirs, rtol=0, atol=1e-12)


def chosen_by_nltk(one: Any, other: Any) -> Any:
    """Return the ancestor that NLTK's wup goes by: the deepest by the shortest way from the root."""
    lowest = one.lowest_common_hypernyms(other, use_min_depth=True)
    return one if one in lowest else lowest[0]


def test_wup_differs_only_where_nltk_takes_an_ancestor_that_is_not_the_lowest(synsets: Synsets) -> None:
    theirs = synsets.of_nltk(lambda one, other: one.wup_similarity(other))
    differs = np.abs(synsets.ours("wup") - theirs) > 1e-12
    for (i, j), different in zip(synsets.pairs, differs.tolist(), strict=True):
        one, other = synsets.theirs[i], synsets.theirs[j]
        taken = chosen_by_nltk(one, other)
        lower = [node for node in one.common_hypernyms(other) if node != taken and taken in _all_above(node)]
        if different:
            # What is lower is less deep, or as deep, by the shortest way from the root. In the first case NLTK finds it
            # not fully similar to itself, in the second the choice between the two goes by their names.
            assert lower
            assert any(
                node.wup_similarity(node) < 1 or node.min_depth() == taken.min_depth() < node.max_depth()
                for node in lower
            )
    assert 0 < differs.mean() < 0.03


def _all_above(node: Any) -> set[Any]:
    node.common_hypernyms(node)
    return node._all_hypernyms


def test_nltks_wup_is_not_1_for_107_synsets_with_themselves_and_ours_is(imagenet: Synsets) -> None:
    assert sum(one.wup_similarity(one) != 1 for one in imagenet.theirs) == 107
    values = taxonomy_values(bundled_wordnet().taxonomy("n"), imagenet.nodes, "wup")
    assert (values.diagonal() == 1).all()


def _tagged() -> np.ndarray:
    nouns, wordnet = bundled_wordnet().taxonomy("n"), bundled_wordnet()
    counts = propagated(nouns, wordnet.tags("n") + 1)
    return from_counts(counts, float(counts.max()))


@pytest.mark.parametrize("content", ["intrinsic", "tagged"])
def test_res_lin_and_jcn_with_the_same_information_content(content: str, synsets: Synsets) -> None:
    ours = intrinsic(bundled_wordnet().taxonomy("n")) if content == "intrinsic" else _tagged()
    # NLTK keeps counts by offset, the total at 0.
    offsets = bundled_wordnet().parts["n"].offsets.tolist()
    theirs = {"n": {0: 1.0, **dict(zip(offsets, np.exp(-ours).tolist(), strict=True))}}
    greatest = float(ours.max())
    few = synsets._replace(pairs=synsets.pairs[:20_000])
    res = few.of_nltk(lambda one, other: one.res_similarity(other, theirs))
    np.testing.assert_allclose(few.ours("res", ours) * greatest, res, rtol=0, atol=1e-9)
    lin = few.of_nltk(lambda one, other: one.lin_similarity(other, theirs))
    np.testing.assert_allclose(few.ours("lin", ours), lin, rtol=0, atol=1e-9)
    jcn = few.of_nltk(lambda one, other: one.jcn_similarity(other, theirs))
    distances = (1 - few.ours("jcn", ours)) * 2 * greatest
    # NLTK gives 1 / distance, and a huge number for none.
    expected = [0.0 if value > 1e200 else 1 / value for value in jcn.tolist()]
    np.testing.assert_allclose(distances, expected, rtol=0, atol=1e-9)


def test_verbs_share_a_root(reader: Any) -> None:
    verbs = bundled_wordnet()
    names = ["run.v.01", "walk.v.01", "eat.v.01", "think.v.01", "swim.v.01", "be.v.01"]
    theirs = [reader.synset(name) for name in names]
    found = [verbs.find(name) for name in names]
    nodes = np.array([one.node for one in found if one is not None])
    path = taxonomy_values(verbs.taxonomy("v"), nodes, "path")
    # (For lch NLTK needs the depth of all verbs, and gives up at WordNet's one circle.)
    for i, one in enumerate(theirs):
        for j, other in enumerate(theirs):
            assert path[i, j] == pytest.approx(one.path_similarity(other), abs=1e-12)
