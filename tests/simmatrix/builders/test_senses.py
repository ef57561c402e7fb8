"""Senses in context: against a slow oracle of the documented score, and on words that everybody can judge."""

import math
import random
from collections.abc import Sequence
from functools import cache

import pytest

from simmatrix import from_wordnet, read_classes
from simmatrix.builders.senses import Choice, Weights, choose_senses, grouping
from simmatrix.builders.wordnet import look_up
from simmatrix.classes import ClassList
from simmatrix.taxonomy.graph import Edge, Taxonomy, from_edges
from simmatrix.taxonomy.wordnet import bundled_wordnet


def chosen(*names: str, **columns: tuple[str, ...]) -> list[str]:
    wordnet = bundled_wordnet()
    found = look_up(wordnet, ClassList(names, columns))
    return [wordnet.name_of(one.synset) if one else "" for one in found.values()]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("tiger", "leopard", "lion"), ["tiger.n.02", "leopard.n.02", "lion.n.01"]),
        (("seal", "whale", "dolphin", "otter"), ["seal.n.09", "whale.n.02", "dolphin.n.02", "otter.n.02"]),
        (("bass", "guitar", "drum"), ["bass.n.07", "guitar.n.01", "drum.n.01"]),
        (("mouse", "rat", "hamster", "squirrel"), ["mouse.n.01", "rat.n.01", "hamster.n.01", "squirrel.n.01"]),
        (("hot dog", "pizza", "sandwich", "donut"), ["hotdog.n.02", "pizza.n.01", "sandwich.n.01", "doughnut.n.02"]),
        (("maple_tree", "crane (bird)"), ["maple.n.02", "crane.n.05"]),
        (("tench, Tinca tinca", "drake"), ["tench.n.01", "drake.n.02"]),
        (("Wilson_Warbler", "001.Black_footed_Albatross"), ["wilson's_warbler.n.01", "black-footed_albatross.n.01"]),
    ],
)
def test_the_sense_that_fits(names: tuple[str, ...], expected: list[str]) -> None:
    assert chosen(*names) == expected


def test_a_group_says_which_sense_is_meant() -> None:
    names = ("crane", "heron", "stork", "bulldozer", "truck", "tractor")
    birds, machines = ("birds",) * 3, ("machines",) * 3
    assert chosen(*names, superclass=(*birds, *machines))[0] == "crane.n.05"
    assert chosen(*names, superclass=("machines", *birds[1:], *machines))[0] == "crane.n.04"


def test_pinned_synsets_stay_and_are_context() -> None:
    pins = ("", "truck.n.01", "bulldozer.n.01")
    assert chosen("crane", "heron", "stork", synset=pins)[1:] == ["truck.n.01", "bulldozer.n.01"]
    assert chosen("crane", "heron", "stork", synset=pins)[0] != chosen("crane", "heron", "stork")[0]


def test_the_measured_lists_reach_what_was_aimed_at() -> None:
    cifar, imagenet = read_classes("cifar100"), read_classes("imagenet1k")
    found = chosen(*cifar.names, superclass=cifar.column("superclass"))
    assert sum(map(str.__eq__, found, cifar.column("synset"))) >= 90
    names, truth = imagenet.column("name"), imagenet.column("synset")
    wordnet = bundled_wordnet()
    first = look_up(wordnet, ClassList(names), Weights(1, 0, 0, 0, 0))
    before = [wordnet.name_of(one.synset) if one else "" for one in first.values()]
    wrong_at_first = sum(map(str.__ne__, before, truth))
    wrong = sum(map(str.__ne__, chosen(*names), truth))
    assert 0 < wrong <= wrong_at_first / 2


def test_the_order_of_the_classes_changes_nothing() -> None:
    names = list(read_classes("cifar100").names)
    expected = look_up(bundled_wordnet(), ClassList(tuple(names)))
    random.Random(0).shuffle(names)
    assert look_up(bundled_wordnet(), ClassList(tuple(names))) == expected


def test_doubt_and_other_senses_are_recorded() -> None:
    found = from_wordnet(["tiger", "leopard", "tulip"]).provenance.resolution
    assert found["tiger"]["words"] == ["tiger.n.02"]
    assert found["tiger"]["others"] == ["tiger.n.01"]
    assert 0 < found["tiger"]["doubt"] < 0.5
    assert found["tulip"] == {"how": "name", "words": ["tulip.n.01"]}


def test_the_finest_column_of_groups() -> None:
    columns = {
        "synset": ("", "", "", ""),
        "split": ("train",) * 4,
        "number": ("1", "1", "2", "2"),
        "id": ("a", "b", "c", "d"),
        "kind": ("x", "x", "y", "y"),
    }
    assert grouping(columns) == ("x", "x", "y", "y")
    assert grouping({name: values for name, values in columns.items() if name != "kind"}) is None


def random_tree(seed: int) -> Taxonomy:
    source = random.Random(seed)
    edges = [Edge("n0", "n1")] + [Edge(f"n{source.randrange(node)}", f"n{node}") for node in range(2, 40)]
    return from_edges(edges, "tree")


@pytest.mark.parametrize("seed", range(6))
def test_against_a_slow_oracle(seed: int) -> None:
    source = random.Random(seed)
    taxonomy = random_tree(seed)
    senses = [[source.randrange(1, 40) for _sense in range(source.randint(1, 4))] for _class in range(8)]
    senses = [list(dict.fromkeys(one)) for one in senses]
    tags = [[source.choice((0, 0, 1, 9)) for _sense in one] for one in senses]
    groups = [source.choice(("", "a", "b")) for _class in senses]
    weights = Weights(nearest=source.choice((1, 3, 20)))
    for grouped in (None, groups):
        expected = slow_choices(taxonomy, senses, tags, grouped, weights)
        for ours, theirs in zip(choose_senses(taxonomy, senses, tags, grouped, weights), expected, strict=True):
            assert ours.order == theirs.order
            assert ours.doubt == pytest.approx(theirs.doubt, abs=2e-3)


def slow_choices(
    taxonomy: Taxonomy,
    senses: Sequence[Sequence[int]],
    tags: Sequence[Sequence[int]],
    groups: Sequence[str] | None,
    weights: Weights,
) -> list[Choice]:
    """Work out the documented score pair by pair."""

    def line(node: int) -> list[int]:
        above = [node]
        while taxonomy.starts[above[-1]] < taxonomy.starts[above[-1] + 1]:
            above.append(int(taxonomy.parents[taxonomy.starts[above[-1]]]))
        return above

    @cache
    def content(node: int) -> float:
        below = sum(node in line(other) for other in range(len(taxonomy)))
        return 1 - math.log(below) / math.log(len(taxonomy))

    @cache
    def shared(one: int, other: int) -> float:
        common = max(content(node) for node in line(one) if node in line(other))
        return common / content(one) if content(one) else 0.0

    def support(at: int, one: int, others: list[int], most: int) -> float:
        met = sorted(
            (
                (shared(one, node), share)
                for other in others
                for node, share in zip(senses[other], now[other], strict=True)
            ),
            reverse=True,
        )
        left, total = float(most), 0.0
        for value, share in met:
            total += value * min(share, left)
            left -= min(share, left)
        return total / most if most else 0.0

    now = [[1 / len(one)] * len(one) for one in senses]
    for _round in range(6):
        new = []
        for at, one in enumerate(senses):
            others = [other for other in range(len(senses)) if other != at]
            mates = [other for other in others if groups and groups[at] and groups[other] == groups[at]]
            scores = []
            for place, node in enumerate(one):
                taken = sum(
                    share
                    for other in others
                    for sense, share in zip(senses[other], now[other], strict=True)
                    if sense == node
                )
                scores.append(
                    weights.tags * math.log(tags[at][place] + 1)
                    + weights.others * support(at, node, others, min(len(others), weights.nearest))
                    + weights.group * support(at, node, mates, len(mates))
                    - weights.taken * min(taken, 1)
                )
            powers = [math.exp(score) for score in scores]
            new.append([power / sum(powers) for power in powers])
        now = new
    choices = []
    for one in now:
        order = sorted(range(len(one)), key=lambda place: (-round(one[place], 9), place))
        choices.append(Choice(tuple(order), one[order[1]] / one[order[0]] if len(one) > 1 else 0.0))
    return choices
