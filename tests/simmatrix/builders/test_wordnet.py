"""Similarities from WordNet: how classes are found, and values against NLTK's on the same WordNet."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import nltk
import numpy as np
import pytest

import simmatrix
from simmatrix import read_classes
from simmatrix.builders import wordnet as module
from simmatrix.builders.wordnet import Found, find_word, look_up, open_wordnet, senses_of, wordnet_similarity
from simmatrix.choices import MEASURES
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, ParameterError, SenseWarning, SourceError
from simmatrix.taxonomy.wordnet import WordNet, bundled_wordnet

ANIMALS = ("dog", "cat", "great white shark", "tulip", "oak", "lorry", "rose", "entity")


def similarity_of(*names: str, measure: str = "path", **options: object) -> module.RawSimilarity:
    columns = {name: options.pop(name) for name in ("synset", "phrase") if name in options}
    return wordnet_similarity(ClassList(names, columns), measure=measure, **options)


def words(raw: module.RawSimilarity) -> list[str]:
    return [one["words"][0] for one in raw.provenance.resolution.values()]


def hows(raw: module.RawSimilarity) -> list[str]:
    return [one["how"] for one in raw.provenance.resolution.values()]


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """Return a file of counts, made by NLTK's rule from each noun's and verb's offset, 1 or more each."""
    path = tmp_path / "ic-test-add1.dat"
    path.write_text(propagated_counts(), encoding="utf-8")
    return path


@cache
def propagated_counts() -> str:
    wordnet = bundled_wordnet()
    lines = ["wnver::eOS9lXC6GvMWznF1wkZofDdtbBU"]
    for pos in "nv":
        part, taxonomy = wordnet.parts[pos], wordnet.taxonomy(pos)
        sums = [1 + offset % 7 for offset in part.offsets.tolist()] + [0] * (len(taxonomy) - len(part))
        closure = taxonomy.closure(np.arange(len(taxonomy)))
        totals = np.zeros(len(taxonomy), dtype=int)
        np.add.at(totals, closure.nodes[closure.ancestors], np.array(sums)[closure.sources])
        tops = (
            set(taxonomy.roots)
            if pos == "n"
            else {node for node in range(len(part)) if taxonomy.parents[taxonomy.starts[node]] == len(part)}
        )
        lines += [
            f"{offset}{pos} {totals[node]}{' ROOT' if node in tops else ''}"
            for node, offset in enumerate(part.offsets.tolist())
        ]
    return "\n".join(lines) + "\n"


@cache
def counts_above(*names: str) -> str:
    """Return the counts of some nouns and of all above them: to read those of every noun takes a while."""
    wordnet = bundled_wordnet()
    nodes = wordnet.taxonomy("n").closure(np.array([wordnet.find(name).node for name in names])).nodes
    wanted = {"wnver::eOS9lXC6GvMWznF1wkZofDdtbBU", *(f"{offset}n" for offset in wordnet.parts["n"].offsets[nodes])}
    lines = propagated_counts().splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[0] in wanted)


def test_the_order_of_attempts() -> None:
    raw = similarity_of(
        *("seal", "n02084071", "tiger.n.02", "Wolves", "pepper", "Aquarium Fish", "leaves", "GreatWhiteShark", "cup"),
        synset=("seal.n.09", "", "", "", "", "", "", "", "n03147509"),
        phrase=("harbour seal", "cat", "cat", "", "sweet pepper", "fire engines", "", "", ""),
    )
    assert dict(zip(words(raw), hows(raw), strict=True)) == {
        "seal.n.09": "synset",
        "dog.n.01": "id",
        "tiger.n.02": "synset",
        "wolf.n.01": "name form",
        "sweet_pepper.n.01": "phrase",
        "fire_engine.n.01": "phrase form",
        "leaf.n.01": "name form",
        "great_white_shark.n.01": "name form",
        "cup.n.01": "id",
    }


def test_an_id_in_front_of_a_name_pins_it() -> None:
    found = look_up(bundled_wordnet(), ClassList(("n02085620-tulip", "n02085620x", "n02110958_pug", "n99999999-pug")))
    assert {name: one and one.how for name, one in found.items()} == {
        "n02085620-tulip": "id",
        "n02085620x": None,
        "n02110958_pug": "id",
        "n99999999-pug": "name form",
    }


def test_a_phrase_that_is_no_word_leaves_it_to_the_name() -> None:
    raw = similarity_of("seal", "rose", phrase=("aquatic seal animal", "tulip"))
    assert list(zip(words(raw), hows(raw), strict=True)) == [("sealing_wax.n.01", "name"), ("tulip.n.01", "phrase")]


def test_a_noun_is_looked_for_in_phrase_and_name_before_a_verb() -> None:
    raw = similarity_of("seal", "rose", phrase=("befriend", ""))
    assert list(zip(words(raw), hows(raw), strict=True)) == [("sealing_wax.n.01", "name"), ("rose.n.01", "name")]


def test_the_other_senses_are_recorded() -> None:
    raw = similarity_of("seal", "tulip", "ray", synset=("", "", "ray.n.07"))
    seal = raw.provenance.resolution["seal"]
    senses = [f"seal.n.{number:02}" for number in (2, 3, 5, 7, 8, 9)]
    assert {*seal["words"], *seal["others"]} == {"sealing_wax.n.01", "navy_seal.n.01", "cachet.n.01", *senses}
    assert len(seal["others"]) == 8
    assert all("others" not in raw.provenance.resolution[name] for name in ("tulip", "ray"))
    json.dumps(dict(raw.provenance.resolution))


def test_verbs() -> None:
    raw = similarity_of("decorate", "befriend", "run.v.01", synset=("", "", "jump.v.01"))
    assert words(raw) == ["decorate.v.01", "befriend.v.01", "jump.v.01"]
    assert raw.provenance.params["pos"] == "v"
    assert np.all(raw.values > 0)


def test_nouns_and_verbs_have_nothing_in_common() -> None:
    with pytest.raises(SourceError) as caught:
        similarity_of("rose", "decorate", "befriend")
    assert str(caught.value).startswith("rose is a noun (rose.n.01) and decorate is a verb (decorate.v.01)")
    # Of the fewer it says which of the others' kind are like them.
    with pytest.raises(SourceError, match=r"no noun is 'befriend' \(nearest noun: .*friend"):
        similarity_of("rose", "tulip", "befriend")


def test_a_verb_among_nouns_does_not_unmake_the_senses_of_the_nouns() -> None:
    animals = ("tiger", "leopard", "lion", "seal")
    wordnet = bundled_wordnet()
    alone = look_up(wordnet, ClassList(animals))
    assert look_up(wordnet, ClassList((*animals, "befriend"))) == {
        **alone,
        "befriend": Found("name", wordnet.senses("befriend", "v")[0].synset),
    }


def test_what_is_spelt_in_two_words_is_the_noun_of_one_and_the_last_word_goes_before_a_verb() -> None:
    # Among the verbs "sail" is a kind of "boat", and "decorate" one of "change".
    raw = similarity_of("Sail_Boat", "decorate_change", "tulip")
    assert words(raw)[::2] == ["sailboat.n.01", "tulip.n.01"]
    assert hows(raw) == ["name form", "name head", "name"]
    assert raw.provenance.params["pos"] == "n"


def test_every_class_that_is_missing_is_named_with_what_is_like_it() -> None:
    with pytest.raises(ClassNotFoundError) as caught:
        similarity_of(
            *("tulpi", "rose", "qqzzxx", "seal", "orca", "bird", "n99999999"),
            synset=("", "", "", "seal.n.19", "orka.n.01", "n00000001", ""),
        )
    assert caught.value.missing == ("tulpi", "qqzzxx", "seal", "orca", "bird", "n99999999")
    first, *lines, last = str(caught.value).split("\n")
    assert first == "wordnet-3.0 has no synset for 6 of the classes:"
    assert lines[0].startswith("  tulpi: no 'tulpi', nearest ")
    assert "tulip" in lines[0]
    assert lines[1] == "  qqzzxx: no 'qqzzxx'"
    assert lines[2].startswith("  seal: no 'seal.n.19'; there are sealing_wax.n.01, seal.n.02,")
    assert lines[2].endswith(" seal.n.09")
    assert lines[3].startswith("  orca: no 'orka.n.01', nearest ")
    assert ".n.01" in lines[3].partition("nearest")[2]
    assert lines[4] == "  bird: no 'n00000001', which should be an offset into WordNet 3.0"
    assert lines[5] == "  n99999999: no 'n99999999', which should be an offset into WordNet 3.0"
    assert "simmatrix senses WORD" in last


def test_many_missing_classes_take_no_time() -> None:
    with pytest.raises(ClassNotFoundError) as caught:
        similarity_of(*(f"tulpi {number}" for number in range(3000)))
    assert len(caught.value.missing) == 3000
    assert str(caught.value).count("nearest") == 20
    assert str(caught.value).split("\n")[21] == "  … and 2980 more"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"measure": "jaccard"},
            "measure must be 'path', 'wup', 'lch', 'res', 'lin', 'jcn' or 'lcs-height', got",
        ),
        ({"wordnet": "3.1"}, "wordnet must be 'bundled', 'nltk' or 'nltk:CORPUS', got '3.1'"),
        ({"wordnet": "bundled:x"}, "wordnet must be 'bundled'"),
        ({"language": "fra"}, "the bundled WordNet is in English, not in 'fra'; take NLTK's"),
        ({"information_content": "ic.dat"}, "path needs no information content, so ic.dat would have no effect"),
        ({"measure": "lin", "information_content": "ic.dat"}, "ic.dat: there is no such file"),
    ],
)
def test_what_can_not_be_chosen(options: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError if "no such file" in message else ParameterError) as caught:
        similarity_of("rose", "tulip", **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("names", [ANIMALS, ("run.v.01", "jump.v.01", "think.v.01", "inhibit.v.04", "restrain.v.01")])
def test_every_measure_gives_a_square_of_sound_values(measure: str, names: tuple[str, ...]) -> None:
    raw = similarity_of(*names, measure=measure)
    assert raw.values.shape == (len(names), len(names))
    assert np.array_equal(raw.values, raw.values.T)
    assert np.all(np.isfinite(raw.values))
    assert np.all(raw.values <= 1 + 1e-12)
    assert (raw.provenance.builder, raw.classes, raw.values.dtype) == ("wordnet", names, np.float64)
    assert raw.provenance.params["measure"] == measure


def test_every_input_is_recorded(counts: Path) -> None:
    raw = similarity_of(*ANIMALS, measure="res", information_content=counts)
    listed = ClassList(ANIMALS)
    assert [tuple(one) for one in raw.provenance.source] == [
        ("wordnet", "wordnet-3.0", bundled_wordnet().sha256),
        ("classes", "classes", listed.sha256),
        ("information content", "ic-test-add1.dat", hashlib.sha256(counts.read_bytes()).hexdigest()),
    ]
    assert raw.provenance.params == {"measure": "res", "pos": "n", "information_content": "ic-test-add1.dat"}
    assert "information_content" not in similarity_of(*ANIMALS).provenance.params


def test_path_is_nltks(nltk_data: Path) -> None:
    raw = wordnet_similarity(read_classes("cifar100"))
    theirs = [nltk.corpus.wordnet.synset(name) for name in words(raw)]
    for (i, one), (j, other) in combinations(enumerate(theirs), 2):
        assert raw.values[i, j] == one.path_similarity(other)


@pytest.mark.parametrize("measure", ["lin", "res"])
def test_with_counts_it_is_nltks(nltk_data: Path, counts: Path, measure: str) -> None:
    reader = nltk.corpus.wordnet
    # NLTK reads in its own folder only.
    (nltk_data / counts.name).write_bytes(counts.read_bytes())
    theirs = nltk.corpus.reader.WordNetICCorpusReader(str(nltk_data), [counts.name]).ic(counts.name)
    for names in (ANIMALS, ("run.v.01", "jump.v.01", "sprint.v.01", "think.v.01")):
        raw = similarity_of(*names, measure=measure, information_content=str(counts))
        pos = raw.provenance.params["pos"]
        most = -np.log(min(count for offset, count in theirs[pos].items() if offset) / theirs[pos][0])
        synsets = [reader.synset(name) for name in words(raw)]
        for (i, one), (j, other) in combinations(enumerate(synsets), 2):
            if measure == "lin" and pos == "v" and not one.common_hypernyms(other):
                # NLTK has no root over verbs here.
                assert raw.values[i, j] == 0
                continue
            value = getattr(one, f"{measure}_similarity")(other, theirs)
            assert raw.values[i, j] == pytest.approx(value / (most if measure == "res" else 1), abs=1e-12)


def test_tag_counts_with_one_more_for_each_synset() -> None:
    raw = similarity_of("dog", "cat", "entity", measure="res", information_content="tagged")
    wordnet = bundled_wordnet()
    part, taxonomy = wordnet.parts["n"], wordnet.taxonomy("n")
    own = part.tags + 1
    total = own.sum()

    def content(name: str) -> float:
        node = wordnet.find(name).node
        return float(-np.log(own[_is_below(taxonomy, node)].sum() / total))

    # What is common to dogs and cats is that they are carnivores; the most informative nouns are leaves without tags.
    assert raw.values[0, 1] == pytest.approx(content("carnivore.n.01") / np.log(total))
    assert raw.values[0, 2] == 0


def _is_below(taxonomy: object, top: int) -> np.ndarray:
    """Return which nodes are a node or below it."""
    below = np.zeros(len(taxonomy), dtype=bool)
    below[top] = True
    for node in np.argsort(taxonomy.depths, kind="stable"):
        below[node] |= below[taxonomy.parents[taxonomy.starts[node] : taxonomy.starts[node + 1]]].any()
    return below


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^wnver::", "version ", "line 1: should start with wnver::"),
        (r"^1740n ", "1740x ", "line 2: is not an offset and a count"),
        (r"^1740n ", "1741n ", "line 2: WordNet has no noun at offset 1741; take counts for this version"),
        (r"^1740n ", "1740n -", "is no count; give a number that is not negative"),
        (r"^1740n ", "1740n nan", "is no count"),
        (r"^1740n ", "1740n 1_0", "is no count"),
        (r"^1740n ", "1740n 9e999", "is no count"),
        (r"^1740n (\d+) ROOT", r"1740n \1", "has no root among its nouns, so no total"),
        (r"^2084071n .*", "2084071n 0", "has a count of 0 for dog; take a file made with 1 added"),
        (r"^2084071n .*\n", "", "has a count of 0 for dog; take a file made with 1 added"),
        (r"^2084071n ", "2084071n 9999999", "counts dog.n.01 more often than"),
    ],
)
def test_counts_that_can_not_be_used(tmp_path: Path, pattern: str, replacement: str, message: str) -> None:
    text, changed = re.subn(pattern, replacement, counts_above("dog.n.01", "cat.n.01"), count=1, flags=re.MULTILINE)
    assert changed == 1
    counts = tmp_path / "ic-test-add1.dat"
    counts.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        similarity_of("dog", "cat", measure="lin", information_content=str(counts))
    assert str(caught.value).startswith(f"{counts}")
    assert message in str(caught.value)


def test_nltks_wordnet_gives_the_same_values(nltk_data: Path) -> None:
    listed = read_classes("cifar100")
    ours, theirs = wordnet_similarity(listed), wordnet_similarity(listed, wordnet="nltk")
    assert np.array_equal(ours.values, theirs.values)
    assert ours.provenance.resolution == theirs.provenance.resolution
    assert theirs.provenance.source[0].name == "nltk wordnet 3.0"


def test_classes_in_french(nltk_data: Path) -> None:
    raw = similarity_of("Chien", "chat", wordnet="nltk:wordnet", language="fra")
    assert words(raw) == ["dog.n.01", "cat.n.01"]
    assert raw.provenance.resolution["Chien"]["others"] == ["canine.n.02"]


def test_english_plurals_are_no_rule_for_other_languages() -> None:
    assert find_word(bundled_wordnet(), "tulips", "n") is not None
    assert find_word(replace(bundled_wordnet(), language="fra"), "tulips", "n") is None


def test_threads_agree() -> None:
    listed = read_classes("imagenet1k")
    with ThreadPoolExecutor(16) as pool:
        values = list(pool.map(lambda _number: wordnet_similarity(listed).values, range(16)))
    assert all(np.array_equal(one, values[0]) for one in values)


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("tulips", ["tulip.n.01"]),
        ("Geese", ["goose.n.01", "fathead.n.01", "goose.n.03"]),
        ("befriend", ["befriend.v.01"]),
        ("great white shark", ["great_white_shark.n.01"]),
    ],
)
def test_senses_of_a_word(word: str, names: list[str]) -> None:
    wordnet = bundled_wordnet()
    assert [wordnet.name_of(sense.synset) for sense in senses_of(wordnet, word)] == names


def test_senses_are_of_nouns_and_then_of_verbs() -> None:
    assert "".join(sense.synset.pos for sense in senses_of(bundled_wordnet(), "seal")) == "n" * 9 + "v" * 6


def test_plurals_are_what_nltk_makes_of_them(nltk_data: Path) -> None:
    wordnet: WordNet = open_wordnet()
    for word in ("butterflies", "wolves", "boxes", "mice", "oxen", "churches", "policemen", "trousers", "bus", "glass"):
        found = find_word(wordnet, word, "n")
        assert found is not None
        assert wordnet.name_of(found.senses[0].synset) == nltk.corpus.wordnet.synsets(word, "n")[0].name()


def test_actions_are_verbs_where_one_of_them_is_no_noun() -> None:
    raw = wordnet_similarity(ClassList(("swim", "run", "sit")))
    assert raw.provenance.params["pos"] == "v"
    assert [one["words"] for one in raw.provenance.resolution.values()] == [["swim.v.01"], ["run.v.01"], ["sit.v.01"]]
    # What can be a noun throughout is one.
    assert wordnet_similarity(ClassList(("swim", "run", "jump"))).provenance.params["pos"] == "n"


def test_a_pinned_verb_makes_the_others_verbs() -> None:
    classes = ClassList(("swim", "run"), {"synset": ("", "run.v.01")})
    assert wordnet_similarity(classes).provenance.resolution["swim"]["words"] == ["swim.v.01"]


def test_a_phrase_that_is_not_found_is_recorded() -> None:
    classes = ClassList(("rose", "tulip"), {"phrase": ("rosse of old", "tulips")})
    resolution = wordnet_similarity(classes).provenance.resolution
    assert resolution["rose"]["missed"] == "rosse of old"
    assert "missed" not in resolution["tulip"]


def test_senses_in_doubt_are_warned_of() -> None:
    with pytest.warns(
        SenseWarning,
        match=r"the sense of 2 of the classes is in doubt: otter \(.*\); bass \(\w+\.n\.\d\d, not \w+\.n\.\d\d\)",
    ):
        simmatrix.from_wordnet(["otter", "bass", "rose"])
