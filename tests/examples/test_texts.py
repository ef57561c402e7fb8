"""Texts as bags of words and the training of their model, and the experiments that are made of them."""

from __future__ import annotations

import csv
import gzip
import importlib
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import simmatrix
from simmatrix.taxonomy.wordnet import Synset, bundled_wordnet

EXAMPLES = Path(__file__).parents[2] / "examples"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    sweep, methods, texts, icd10, clinc150, glosses = map(
        importlib.import_module, ("sweep", "methods", "texts", "icd10", "clinc150", "glosses")
    )


# --- bags of words ---


def test_a_text_is_the_words_that_stand_in_two_texts() -> None:
    made = texts.bags_of(
        ["The fern, the FERN and a rose.", "a fern-like rose", "qqqy qqqy", "and 2 qqqz's"], [0, 1, 1, 0]
    )
    vocabulary = ["a", "and", "fern", "rose"]
    bags = [["fern", "fern", "and", "a", "rose"], ["a", "fern", "rose"], [], ["and"]]
    starts = made.starts.tolist()
    found = [[vocabulary[word] for word in made.words[a:b].tolist()] for a, b in itertools.pairwise(starts)]
    assert found == bags
    assert made.labels.tolist() == [0, 1, 1, 0]
    assert torch.equal(made.vectors, texts.initial_vectors(vocabulary))


def test_vectors_start_from_the_bundled_ones_and_unknown_words_at_random_with_their_spread() -> None:
    words = ["fern", *(f"qqq{number}" for number in range(998)), "rose"]
    vectors = texts.initial_vectors(words)
    assert vectors.shape == (1000, 50)
    matrix = simmatrix.from_embeddings(classes=["fern", "rose"], lower_bound=0.0)
    cosine = torch.nn.functional.cosine_similarity(vectors[0], vectors[-1], dim=0).item()
    assert cosine == pytest.approx(matrix["fern", "rose"], abs=2**-20)
    # The deviation of 49,900 normal draws is itself off by 0.6 / sqrt(2 * 49,900), here by less than five times that.
    assert vectors[1:-1].std().item() == pytest.approx(0.6, abs=0.01)
    assert torch.equal(vectors, texts.initial_vectors(words))


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_bags_are_slices_of_the_words(lengths: list[int], seed: int) -> None:
    starts = [sum(lengths[:index]) for index in range(len(lengths) + 1)]
    words = [7 * index % 31 for index in range(starts[-1])]
    made = texts.Texts(
        torch.zeros(len(lengths)), torch.tensor(words, dtype=torch.int64), torch.tensor(starts), torch.empty(31, 3)
    )
    rows = np.random.default_rng(seed).permutation(len(lengths))[: 1 + seed % len(lengths)].tolist()
    found, offsets = made.bags(torch.tensor(rows))
    ends = [*offsets.tolist()[1:], len(found)]
    bags = [found[start:end].tolist() for start, end in zip(offsets.tolist(), ends, strict=True)]
    assert bags == [words[starts[row] : starts[row + 1]] for row in rows]


def test_a_bag_is_the_mean_of_its_vectors() -> None:
    model = texts.Reader(torch.tensor([[1.0, 0], [0, 1], [3, 3]]), 2)
    found = model.words(torch.tensor([0, 2, 1]), torch.tensor([0, 2]))
    assert found.tolist() == [[2.0, 1.5], [0.0, 1.0]]
    assert torch.equal(model.words(torch.tensor([0]), torch.tensor([0, 1]))[1], torch.zeros(2))  # no words


# --- the training ---

FLOWERS = ("rose", "tulip", "orchid", "poppy")
VEHICLES = ("bus", "train", "truck", "tractor")


def experiment(seeds: tuple[int, ...] = (0, 1)) -> Any:
    """Return short texts on four things in two groups, each with a word of its own and words that tell nothing."""
    generator = np.random.default_rng(0)
    names = (*FLOWERS[:2], *VEHICLES[:2])
    classes = simmatrix.ClassList(names, {"superclass": ("flower", "flower", "vehicle", "vehicle")}, source="test")
    labels = [number % 4 for number in range(400)]
    noise = ("the", "of", "and", "in", "some")
    lines = [f"{generator.choice(noise)} {names[label]} {generator.choice(noise)}" for label in labels]
    return texts.Experiment(
        texts=texts.bags_of(lines, labels),
        classes=classes,
        tree=simmatrix.from_taxonomy("superclass", classes, lower_bound=0.0),
        parts=dict.fromkeys((*seeds, 100), tuple(torch.arange(400).split([200, 100, 100]))),
        recipes={"all": texts.Recipe(0.01, 3), "5": texts.Recipe(0.01, 20)},
    )


def test_a_training_learns_and_decides_in_three_ways() -> None:
    trial = sweep.Trial(sweep.BASE, 1, "5")
    results = experiment()(trial)
    assert [(one.trial, one.decision) for one in results] == [
        (trial, name) for name in ("most probable", "minimum risk", "superclass")
    ]
    for one in results:
        assert min(one.validation["accuracy"], one.test["accuracy"]) > 0.9  # by chance a quarter


def test_a_training_is_that_of_its_seed_loss_and_amount() -> None:
    made = experiment()
    trials = [(sweep.BASE, 0, "all"), (sweep.BASE, 1, "all"), (methods.SMOOTHED, 0, "all"), (sweep.BASE, 0, "5")]
    found = [made(sweep.Trial(*trial))[0].test["calibration_error"] for trial in [*trials, trials[0]]]
    assert found[-1] == found[0]
    assert len(set(found)) == 4


def test_a_trial_trains_on_its_own_part_with_its_own_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    fit = texts.fit

    def watched(*given: Any) -> Any:
        seen.append(given)
        return fit(*given)

    monkeypatch.setattr(texts, "fit", watched)
    made = experiment()
    made(sweep.Trial(sweep.BASE, 1, "5"))
    ((_, criterion, rows, count, seed, recipe),) = seen
    assert isinstance(criterion, nn.CrossEntropyLoss)
    assert (count, seed, recipe) == (4, 1, texts.Recipe(0.01, 20))
    assert Counter(made.texts.labels[rows].tolist()) == {0: 5, 1: 5, 2: 5, 3: 5}
    assert rows.max() < 200


def test_recipes_are_tuned_on_validation_data_of_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "EPOCHS", (1, 8))
    made = experiment()
    blind = texts.replace(made, parts={100: (*made.parts[100][:2], torch.tensor([], dtype=torch.int64))})
    found = dict(blind.tuned("5"))
    assert list(found) == [texts.Recipe(rate, epochs) for rate in (0.002, 0.01) for epochs in (1, 8)]
    for rate in (0.002, 0.01):
        assert found[texts.Recipe(rate, 1)] < found[texts.Recipe(rate, 8)]


# --- diagnoses ---


@pytest.fixture(scope="module")
def codes() -> list[Any]:
    found: list[Any] = icd10.read_codes()
    return found


def test_codes_are_those_of_the_classification(codes: list[Any]) -> None:
    """Each with the block and the chapter that are above it in the package, if the block has 30 codes."""
    by_name = {code.code: code for code in codes}
    assert len(by_name) == len(codes) == 45_826
    assert by_name["S52.121"] == (
        "S52.121", "Displaced fracture of head of right radius", "S50-S59", "19",
    )  # fmt: skip
    assert by_name["C50.011"].block == "C50"
    assert "S52.121A" not in by_name
    assert "B99.8" not in by_name
    sizes = Counter(code.block for code in codes)
    assert (len(sizes), min(sizes.values())) == (217, 30)
    icd = icd10.package()
    for code in codes[::97]:
        above = icd.get_ancestors(code.code)
        assert code.chapter == above[-1]
        assert code.block == (above[-2] if len(above) > 1 else code.code)
        assert code.description == icd.get_description(code.code)


def test_a_stem_is_on_one_side(codes: list[Any]) -> None:
    for seed in (0, 1):
        parts = icd10.divided(codes, seed)
        assert torch.cat(parts).sort().values.tolist() == list(range(len(codes)))
        stems = [{codes[row].stem for row in part.tolist()} for part in parts]
        assert len(set.union(*stems)) == sum(map(len, stems))
        shares = [len(one) / sum(map(len, stems)) for one in stems]
        assert shares == pytest.approx([0.64, 0.16, 0.2], abs=1e-3)
    assert {code.stem for code in codes if code.code.startswith("S52.12")} == {"S521"}
    assert not torch.equal(icd10.divided(codes, 0)[2][:50], parts[2][:50])


def test_the_experiment_on_diagnoses_has_chapters_as_superclasses(codes: list[Any]) -> None:
    some = [code for code in codes if code.chapter in ("1", "2")]
    made = icd10.prepare(some, [0])
    index = made.classes.names
    assert [index[label] for label in made.texts.labels.tolist()] == [code.block for code in some]
    chapters = dict(zip(index, made.classes.column("superclass"), strict=True))
    assert all(chapters[code.block] == code.chapter for code in some)
    assert made.tree[index[0], index[1]] == pytest.approx(1 / 3)
    assert made.tree[index[0], index[-1]] == pytest.approx(1 / 5)


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simple_icd_10_cm", None)
    with pytest.raises(sweep.DataError, match=r'is in the package simple-icd-10-cm; pip install "\.\[examples\]"'):
        icd10.read_codes()


# --- requests ---

DOMAINS = {"travel": ["book_flight", "book_hotel"], "banking": ["balance", "transfer"], "work": ["pto", "payday"]}


def requests() -> dict[str, Any]:
    pairs = [
        [f"please {word} my {intent.replace('_', ' ')} {domain}", intent]
        for domain, intents in DOMAINS.items()
        for intent in intents
        for word in ("show", "do", "get", "start")
    ]
    return {
        "domains": DOMAINS, "train": pairs, "val": pairs[::-1], "test": pairs[::2], "oos_test": [["what", "oos"]],
    }  # fmt: skip


def test_requests_are_read_compressed_or_not(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(json.dumps(requests()), encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert clinc150.read(plain) == clinc150.read(packed)
    made = clinc150.prepare(packed, [0, 1])
    assert made.classes.names == tuple(intent for intents in DOMAINS.values() for intent in intents)
    assert made.classes.column("superclass") == tuple(
        domain for domain, intents in DOMAINS.items() for _intent in intents
    )
    training, validation, test = made.parts[1]
    for rows, part in ((training, "train"), (validation, "val"), (test, "test")):
        assert [made.classes.names[label] for label in made.texts.labels[rows].tolist()] == [
            intent for _, intent in requests()[part]
        ]
    assert made.words is not None
    assert made.words.classes == made.classes.names
    assert methods.BY_WORDS in made.settings
    assert methods.BY_WORDS not in experiment().settings
    few = clinc150.prepare(packed, [0], quick=True)
    assert set(few.classes.column("superclass")) == {"banking", "travel"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no json", "is no JSON file"),
        (gzip.compress(b"{}")[:-6], "is no JSON file"),
        (b"[]", "is not CLINC150; expected were train, val, test with"),
        (b"{}", "is not CLINC150"),
        (json.dumps({**requests(), "val": [["text"]]}).encode(), "is no JSON file|is not CLINC150"),
        (json.dumps({**requests(), "val": [["text", "pay"]]}).encode(), "val: the intent 'pay' stands in no domain"),
        (json.dumps({**requests(), "test": requests()["test"][:-2]}).encode(), "test: the intent 'payday' has no text"),
    ],
)
def test_other_requests_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(sweep.DataError, match=message):
        clinc150.read(tmp_path / "a.json")


# --- definitions ---

graphs = st.integers(2, 14).flatmap(
    lambda size: st.tuples(
        st.permutations(range(10, 10 + size)),
        st.tuples(*(st.sets(st.integers(0, max(child - 1, 0)), max_size=min(child, 3)) for child in range(size))),
    )
)


@settings(max_examples=200, deadline=None)
@given(given_graph=graphs, low=st.integers(1, 3), width=st.integers(0, 5), definitions=st.integers(1, 3))
def test_classes_of_definitions_are_those_of_slow_search(
    given_graph: Any, low: int, width: int, definitions: int
) -> None:
    """The nearest node above that stands for neither too little nor too much, if it does so for enough."""
    nodes, parents = given_graph
    nouns = [
        glosses.Noun(node, tuple(nodes[one] for one in above), "animal", "what it is")
        for node, above in zip(nodes, parents, strict=True)
    ]
    tree = nx.DiGraph()
    tree.add_nodes_from(nodes)
    tree.add_edges_from((one.node, above) for one in nouns for above in one.hypernyms)
    fit = [node for node in nodes if low <= len(nx.ancestors(tree, node)) <= low + width]
    nearest: dict[int, int] = {}
    for node in nodes:
        ways = {above: nx.shortest_path_length(tree, node, above) for above in nx.descendants(tree, node) & {*fit}}
        if ways:
            nearest[node] = min(above for above, steps in ways.items() if steps == min(ways.values()))
    sizes = Counter(nearest.values())
    expected = {node: above for node, above in nearest.items() if sizes[above] >= definitions}
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(glosses, "DESCENDANTS", (low, low + width))
        changed.setattr(glosses, "LEAST_DEFINITIONS", definitions)
        found = glosses.classes_of(nouns)
    assert found == expected
    assert list(found) == sorted(found)


def test_nouns_are_wordnets_with_their_definitions() -> None:
    nouns, wordnet = glosses.read_nouns(), bundled_wordnet()
    assert len(nouns) == 82_115
    for name, file, start in (
        ("dog.n.01", "animal", "a member of the genus Canis"),
        ("tulip.n.01", "plant", "any of numerous perennial bulbous herbs"),
        ("entity.n.01", "Tops", "that which is perceived"),
    ):
        synset = wordnet.find(name)
        assert synset is not None
        found = nouns[synset.node]
        assert (found.node, found.file) == (synset.node, file)
        assert found.definition.startswith(start)
        assert found.hypernyms == tuple(above.node for above in wordnet.hypernyms_of(synset))


@pytest.mark.slow
def test_the_experiment_on_definitions_is_the_one_that_is_described() -> None:
    made = glosses.prepare([0], step=16)
    assert len(made.classes) == 256
    assert made.classes.names == made.classes.column("synset")
    wordnet = bundled_wordnet()
    files = {wordnet.name_of(Synset("n", one.node)): one.file for one in glosses.read_nouns()}
    assert made.classes.column("superclass") == tuple(files[name] for name in made.classes.names)
    training, validation, test = made.parts[0]
    count = len(made.texts.labels)
    assert torch.cat([training, validation, test]).sort().values.tolist() == list(range(count))
    assert [len(training), len(validation)] == [int(0.7 * count), int(0.8 * count) - int(0.7 * count)]


# --- the commands ---


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run an experiment of its own as a command in this process."""

    def run(*arguments: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", ["shop.py", *map(str, arguments)])
        made = experiment()
        texts.main("shop", "A shop.", made.recipes, lambda _given, _seeds: made)

    return run


def test_a_run_writes_its_tables_and_goes_on_where_it_was(
    main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    arguments = ["--seeds", "2", "--workers", "1", "--amounts", "all"]
    main(*arguments, "--out", once)
    main(*arguments, "--out", twice, "--only", "share", "cross")
    main(*arguments, "--out", twice)
    for name in ("shop.csv", "shop.png"):
        assert (once / name).read_bytes() == (twice / name).read_bytes()
    with (once / "shop.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(methods.SETTINGS) * 3 * 2 * 2  # decisions, seeds, validation and test
    text = (once / "shop.md").read_text(encoding="utf-8")
    assert "400 texts, 4 classes, 2 superclasses." in text
    assert all(f"| {setting} | most probable | 2 |" in text for setting in methods.SETTINGS)
    assert re.search(r"\| share 0\.4, smoothing by S \| superclass \| 2 \|", text)
    assert not re.search(r"\| label smoothing \| superclass \|", text)
    assert "400 texts" in capsys.readouterr().out


def test_a_recipe_is_tuned_and_nothing_is_written(
    main: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(texts, "EPOCHS", (1, 3))
    main("--tune", "--amounts", "5", "--out", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:28] for line in lines[1:3]] == ["   5  rate 0.002  epochs   1", "   5  rate 0.002  epochs   3"]
    assert len(lines) == 5
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_quick_run_on_diagnoses_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "icd10.py", "--quick", "--workers", "1", "--out", tmp_path, "--amounts", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "3,262 texts, 30 classes, 2 superclasses.\nMade by `python examples/icd10.py --quick` on "
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"icd10-quick.{end}" for end in ("csv", "md", "png")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clinc150", "glosses"])
def test_bad_input_is_one_message(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="ascii")
    given = [tmp_path / "absent.json"] if name == "clinc150" else ["--only", "nothing"]
    command = [sys.executable, EXAMPLES / f"{name}.py", "--quick", *given, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: [^\n]*(absent\.json|no setting's name begins with 'nothing')[^\n]*\n", done.stderr)
    assert not (tmp_path / "out").exists()
