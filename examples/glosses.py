"""Tell what kind of thing a dictionary definition defines, and be wrong as mildly as can be.

    python examples/glosses.py

The definitions are those of WordNet's nouns, some 64,000; they come with the toolkit. The class of a definition is the
nearest node above its noun that stands for neither too little nor too much: "domestic animal", "vehicle", "disease";
its superclass is the lexicographers' file that the class is in: animals, artefacts, states. A class may lie below
another one, which then has the definitions that are not nearer to it. Two in a hundred test definitions stand word for
word among the training data too, nearly all with the same class, for all methods alike.

Each setting of PLAN.md is trained with each amount of training data and each seed. Results are kept: what was trained
is not trained again.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

import torch
from sweep import ALL
from texts import Experiment, Part, Recipe, bags_of, main

import simmatrix
from simmatrix.data import wordnet_definitions_path
from simmatrix.taxonomy.wordnet import Synset, bundled_wordnet

# A class has so many nouns below it, and so many definitions of which it is the nearest such node.
DESCENDANTS = (150, 1500)
LEAST_DEFINITIONS = 100
# Shares of training and of validation data; the rest is for the test.
SHARES = (0.7, 0.1)
# In a short run: one definition of so many.
QUICK_STEP = 16
# What --tune found best for cross entropy on validation data.
RECIPES = {ALL: Recipe(0.002, 60), "20": Recipe(0.01, 30)}

# WordNet numbers its lexicographers' files; those of the nouns (lexnames(5WN)).
FILES = dict(
    enumerate(
        (
            *("Tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event"),
            *("feeling", "food", "group", "location", "motive", "object", "person", "phenomenon", "plant"),
            *("possession", "process", "quantity", "relation", "shape", "state", "substance", "time"),
        ),
        start=3,
    )
)


class Noun(NamedTuple):
    """A noun synset: its node, what it is a kind or an instance of, its lexicographers' file, its definition."""

    node: int
    hypernyms: tuple[int, ...]
    file: str
    definition: str


def read_nouns() -> list[Noun]:
    """Return all nouns of the bundled WordNet with their definitions."""
    wordnet = bundled_wordnet()
    with gzip.open(wordnet_definitions_path(), "rt", encoding="utf-8") as stream:
        lines = [line.rstrip("\n").split("\t") for line in stream]
    return [
        Noun(node, tuple(above.node for above in wordnet.hypernyms_of(Synset("n", node))), FILES[int(file)], definition)
        for node, (file, definition) in enumerate(lines)
    ]


def classes_of(nouns: Sequence[Noun]) -> dict[int, int]:
    """Return the class of each noun that has one, both by their nodes."""
    ways = _ways_up({one.node: one.hypernyms for one in nouns})
    below = Counter(node for noun, above in ways.items() for node in above if node != noun)
    fit = {node for node, count in below.items() if DESCENDANTS[0] <= count <= DESCENDANTS[1]}
    nearest = {}
    for noun, above in sorted(ways.items()):
        # Of several as near, the one that comes first in the files.
        near = min(((steps, node) for node, steps in above.items() if node in fit and steps), default=None)
        if near is not None:
            nearest[noun] = near[1]
    sizes = Counter(nearest.values())
    return {noun: node for noun, node in nearest.items() if sizes[node] >= LEAST_DEFINITIONS}


def _ways_up(hypernyms: Mapping[int, tuple[int, ...]]) -> dict[int, dict[int, int]]:
    """Return of each noun all that is above it, and itself, with the number of steps up."""
    found: dict[int, dict[int, int]] = {}
    for node in TopologicalSorter(hypernyms).static_order():
        steps = {node: 0}
        for parent in hypernyms[node]:
            for above, further in found[parent].items():
                steps[above] = min(steps.get(above, further + 1), further + 1)
        found[node] = steps
    return found


def class_list(nodes: Sequence[Noun]) -> simmatrix.ClassList:
    """Return the classes with their superclasses; their names are those of synsets."""
    names = tuple(bundled_wordnet().name_of(Synset("n", one.node)) for one in nodes)
    columns = {"superclass": tuple(one.file for one in nodes), "synset": names}
    return simmatrix.ClassList(names, columns, source="glosses")


def divided(count: int, seed: int) -> Part:
    """Return the rows for training, for validation and for the test."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    first, second = int(SHARES[0] * count), int(sum(SHARES) * count)
    return order[:first], order[first:second], order[second:]


def prepare(seeds: Sequence[int], step: int = 1) -> Experiment:
    """Read the definitions, one of every `step`, and put together what the trainings need."""
    nouns = read_nouns()
    class_of = classes_of(nouns)
    chosen = [one for one in nouns if one.node in class_of][::step]
    found = {class_of[one.node] for one in chosen}
    nodes = [one for one in nouns if one.node in found]
    index = {one.node: number for number, one in enumerate(nodes)}
    classes = class_list(nodes)
    return Experiment(
        texts=bags_of([one.definition for one in chosen], [index[class_of[one.node]] for one in chosen]),
        classes=classes,
        tree=simmatrix.from_wordnet(classes, lower_bound=0.0),
        parts={seed: divided(len(chosen), seed) for seed in seeds},
        recipes=RECIPES,
    )


if __name__ == "__main__":
    main("glosses", __doc__, RECIPES, lambda given, seeds: prepare(seeds, QUICK_STEP if given.quick else 1))
