"""WordNet's synsets, names and senses. That all of them are right, ``tests/data/test_wordnet.py`` shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Barrier

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix.taxonomy import wordnet as module
from simmatrix.taxonomy.wordnet import ROOT, Index, PartOfSpeech, WordNet, bundled_wordnet, is_id, starts_of

# The first senses that BUILDERS.md warns of, each with what it is a kind of.
FIRST_SENSES = {
    "ray": "beam.n.04",
    "seal": "sealing_wax.n.01",
    "plate": "home_plate.n.01",
    "table": "table.n.01",
    "turtle": "turtleneck.n.01",
    "shrew": "shrew.n.01",
    "beaver": "beaver.n.01",
    "tiger": "tiger.n.01",
}


@pytest.fixture(scope="module")
def wordnet() -> WordNet:
    return bundled_wordnet()


def names(wordnet: WordNet, lemma: str, pos: str = "n") -> list[str]:
    return [wordnet.name_of(sense.synset) for sense in wordnet.senses(lemma, pos)]


@pytest.mark.parametrize(("lemma", "first"), FIRST_SENSES.items())
def test_first_senses_are_often_not_what_a_data_set_means(wordnet: WordNet, lemma: str, first: str) -> None:
    assert names(wordnet, lemma)[0] == first


def test_senses_are_in_order_with_their_counts(wordnet: WordNet) -> None:
    assert names(wordnet, "seal")[-1] == "seal.n.09"
    # As in index.sense: "dog%1:05:00:: 02084071 1 42" and no other dog but "dog%2:38:00:: 02001858 1 2".
    assert [sense.tags for sense in wordnet.senses("dog")] == [42, 0, 0, 0, 0, 0, 0]
    assert [sense.tags for sense in wordnet.senses("dog", "v")] == [2]
    assert wordnet.senses("qwerty_uiop") == ()
    assert wordnet.senses("zzz") == wordnet.senses("") == ()


@pytest.mark.parametrize("lemma", ["Great White Shark", "great_white_shark", "GREAT_WHITE_SHARK"])
def test_neither_case_nor_blanks_matter(wordnet: WordNet, lemma: str) -> None:
    assert names(wordnet, lemma) == ["great_white_shark.n.01"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("seal.n.09", "seal.n.09"),
        ("SEAL.N.9", "seal.n.09"),
        ("seal.n.01", "sealing_wax.n.01"),
        ("canis_familiaris.n.01", "dog.n.01"),
        ("u.s.a..n.01", "united_states.n.01"),
        ("n01440764", "tench.n.01"),
        ("v01926311", "run.v.01"),
        ("run.v.01", "run.v.01"),
    ],
)
def test_synsets_are_found_by_name_and_id(wordnet: WordNet, text: str, name: str) -> None:
    found = wordnet.find(text)
    assert found is not None
    assert wordnet.name_of(found) == name


@pytest.mark.parametrize(
    "text",
    [
        *("seal", "seal.n.10", "seal.n.00", "seal.n.-1", "seal.n.", "seal.n.x", "seal.n.²", "seal.a.01", "seel.n.01"),
        *("n01440765", "n0144076", "n99999999", "v01440764", "N01440764", "", ".n.1", "..", f"seal.n.{'9' * 5000}"),
    ],
)
def test_what_names_no_synset_is_not_found(wordnet: WordNet, text: str) -> None:
    assert wordnet.find(text) is None


def test_ids_are_those_of_version_3_0_alone(wordnet: WordNet) -> None:
    assert is_id("n01440764")
    other = replace(wordnet, version="3.1")
    assert (other.takes_ids, other.find("n01440764")) == (False, None)
    assert other.find("tench.n.01") == wordnet.find("n01440764")


def test_lemmas_keep_their_order_and_spelling(wordnet: WordNet) -> None:
    dog, seal = wordnet.find("dog.n.01"), wordnet.find("navy_seal.n.01")
    assert dog is not None
    assert seal is not None
    assert wordnet.lemmas_of(dog) == ("dog", "domestic_dog", "Canis_familiaris")
    assert wordnet.lemmas_of(seal) == ("Navy_SEAL", "SEAL")
    assert [wordnet.name_of(one) for one in wordnet.hypernyms_of(dog)] == ["domestic_animal.n.01", "canine.n.02"]


def test_nouns_have_one_root_and_verbs_are_given_one(wordnet: WordNet) -> None:
    nouns, verbs = wordnet.taxonomy("n"), wordnet.taxonomy("v")
    assert [nouns.names[root] for root in nouns.roots] == ["entity.n.01"]
    assert [verbs.names[root] for root in verbs.roots] == [ROOT]
    assert (len(nouns), len(verbs)) == (82115, 13768) == (len(nouns.names), len(verbs.names))
    # As NLTK counts: 19 for nouns, 12 for verbs without the root that it simulates.
    assert (nouns.depth, verbs.depth) == (19, 13)
    assert verbs.names[-2:] == (verbs.names[len(verbs) - 2], ROOT)
    with pytest.raises(IndexError):
        verbs.names[len(verbs)]
    assert wordnet.tags("v")[-1] == 0
    assert len(wordnet.tags("n")) == len(nouns)


def test_of_a_circle_the_last_is_cut_off(wordnet: WordNet) -> None:
    verbs = wordnet.taxonomy("v")
    restrain, inhibit = (wordnet.find(name) for name in ("restrain.v.01", "inhibit.v.04"))
    assert restrain is not None
    assert inhibit is not None
    assert wordnet.hypernyms_of(restrain) == (inhibit,)
    assert wordnet.hypernyms_of(inhibit) == (restrain,)

    def parents(node: int) -> list[int]:
        return verbs.parents[verbs.starts[node] : verbs.starts[node + 1]].tolist()

    assert parents(restrain.node) == [inhibit.node]
    assert parents(inhibit.node) == [len(verbs) - 1]


def part_of(pos: str, size: int, edges: set[tuple[int, int]]) -> PartOfSpeech:
    """Return a part of speech with synsets a, b, c, … and hypernyms by pairs of child and parent."""
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    every = np.arange(size)
    index = Index([chr(ord("a") + one) for one in range(size)], starts_of(np.ones(size, int)), every, every)
    return PartOfSpeech(
        pos=pos,
        offsets=every,
        starts=starts_of(np.bincount(pairs[:, 0], minlength=size)),
        hypernyms=pairs[:, 1],
        index=index,
        word_starts=np.arange(size + 1),
        words=every,
        cased=np.array([], dtype=int),
        spellings=[],
    )


PAIRS = st.integers(1, 7).flatmap(
    lambda size: st.tuples(
        st.just(size), st.sets(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=14)
    )
)


@given(graph=PAIRS, pos=st.sampled_from("nv"))
def test_any_graph_becomes_a_taxonomy_with_one_root(graph: tuple[int, set[tuple[int, int]]], pos: str) -> None:
    size, edges = graph
    taxonomy = part_of(pos, size, edges).taxonomy
    children = np.repeat(np.arange(len(taxonomy)), np.diff(taxonomy.starts)).tolist()
    kept = set(zip(children, taxonomy.parents.tolist(), strict=True))
    original = networkx.DiGraph(edges)
    original.add_nodes_from(range(size))
    result = networkx.DiGraph(kept)
    result.add_nodes_from(range(len(taxonomy)))
    assert networkx.is_directed_acyclic_graph(result)
    roots = [node for node in range(len(taxonomy)) if not result.out_degree(node)]
    assert list(taxonomy.roots) == roots
    assert len(roots) == 1
    # Nothing was lost but edges on circles, from the last node of each.
    inner = {pair for pair in kept if size not in pair}
    assert inner <= edges
    for child, parent in edges - inner:
        assert networkx.has_path(original, parent, child)
    if networkx.is_directed_acyclic_graph(original):
        assert inner == edges
    tops = [node for node in range(size) if not any(child == node for child, _parent in inner)]
    put_under_a_root = [] if pos == "n" and len(tops) == 1 else tops
    assert sorted(child for child, parent in kept if parent == size) == put_under_a_root


def test_the_last_of_each_circle_is_what_is_cut() -> None:
    taxonomy = part_of("n", 5, {(0, 1), (1, 2), (2, 0), (3, 4), (4, 3), (3, 0)}).taxonomy
    names = list(taxonomy.names)
    above = {
        name: [names[node] for node in taxonomy.parents[taxonomy.starts[at] : taxonomy.starts[at + 1]]]
        for at, name in enumerate(names)
    }
    assert above == {
        "a.n.01": ["b.n.01"],
        "b.n.01": ["c.n.01"],
        "c.n.01": [ROOT],
        "d.n.01": ["a.n.01", "e.n.01"],
        "e.n.01": [ROOT],
        ROOT: [],
    }


def test_threads_share_one_wordnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_read_bundled", cache(module._read_bundled.__wrapped__))
    barrier = Barrier(16)

    def work(_number: int) -> tuple[WordNet, list[str], int, float]:
        barrier.wait()
        wordnet = bundled_wordnet()
        return wordnet, names(wordnet, "seal"), wordnet.taxonomy("v").depth, float(wordnet.tags("n").sum())

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    assert len({id(one[0]) for one in results}) == 1
    assert all(one[1:] == results[0][1:] for one in results)


def test_the_checksum_is_the_files(wordnet: WordNet) -> None:
    listed = (Path(__file__).parents[3] / "data/wordnet/wordnet-3.0.sha256").read_text(encoding="utf-8")
    assert wordnet.sha256 == listed.split()[0]
