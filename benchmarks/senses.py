"""The senses chosen for class names, held against known ones: the first sense, and the one that fits the other classes.

    python benchmarks/senses.py

Truth is bundled: the curated synsets of the small lists; the ids of ImageNet-1k, under torchvision's names; the ids of
ImageNet-21k, under each synset's first lemma. All lists are given as names alone, CIFAR-100 also with its superclasses.
The weights of the score are tried in a grid; those that do best on one list are reported on the other.

Context needs a list whose classes have something in common. Words that have not, such as those of SimLex-999, are
better taken in their first senses: in context, Spearman's rho of path similarity there falls from 0.507 to 0.444, and
rises on WordSim-353 from 0.189 to 0.204 (`benchmarks/human_ratings.py`, with and without its pins).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import NamedTuple

from measure import table, write_result

from simmatrix.builders.senses import Weights
from simmatrix.builders.wordnet import Found, look_up
from simmatrix.classes import ClassList, read_classes
from simmatrix.taxonomy.wordnet import Synset, bundled_wordnet

FIRST = Weights(nearest=1, tags=0, others=0, group=0, taken=0)
GRID = [
    Weights(nearest, 0.5, others, others, taken)
    for nearest, others, taken in product((5, 10, 20, 40, 80), (3.0, 6.0, 12.0), (0.0, 2.0))
]
DOUBTS = (0, 0.05, 0.1, 0.3, 0.6, 1.01)


class Known(NamedTuple):
    """A list of names, and the synset that each means."""

    names: ClassList
    truth: Sequence[Synset]


def main() -> None:
    """Choose the senses of every list, and write the tables."""
    lists = _lists()
    rows = [_row(name, known) for name, known in lists.items()]
    started = time.perf_counter()
    look_up(bundled_wordnet(), lists["ImageNet-21k, first lemmas"].names)
    seconds = time.perf_counter() - started
    header = ["list", "names", "first sense", "in context", "ambiguous", "first sense", "in context", "mistakes gone"]
    first = table(header, rows)
    doubts = table(["doubt", "choices", "wrong"], _by_doubt(lists["ImageNet-1k"]))
    weights = table(["chosen on", "nearest", "others, group", "taken", *_TUNED], _tuned(lists))
    notes = (
        "The names whose sense is right, of all and of those with several senses, and the share of the first sense's "
        "mistakes among the latter that are gone. Some can't be right: an aquarium fish is a goldfish by CIFAR-100's "
        f"ids alone. To choose for ImageNet-21k took {seconds:.1f} seconds.",
        "The doubt of a choice is the runner-up's probability over its own. On ImageNet-1k:",
        "The best of a grid of weights on one list, and what they do on the other (right of the ambiguous names):",
    )
    body = "\n\n".join([first, notes[0], notes[1], doubts, notes[2], weights])
    write_result("senses", "python benchmarks/senses.py", body)


def _lists() -> dict[str, Known]:
    small, large, huge = (read_classes(name) for name in ("cifar100", "imagenet1k", "imagenet21k"))
    wordnet = bundled_wordnet()
    ids = _synsets(huge.names)
    # Lemmas repeat, and names of classes may not; a list of them is that of each first owner.
    lemmas = {wordnet.lemmas_of(synset)[0].replace("_", " "): synset for synset in reversed(ids)}
    return {
        "CIFAR-100": Known(ClassList(small.names), _synsets(small.column("synset"))),
        "CIFAR-100, with superclasses": Known(
            ClassList(small.names, {"superclass": small.column("superclass")}), _synsets(small.column("synset"))
        ),
        "ImageNet-1k": Known(ClassList(large.column("name")), _synsets(large.names)),
        **{name: _curated(name) for name in ("cifar10", "fashion-mnist")},
        "ImageNet-21k, first lemmas": Known(ClassList(tuple(lemmas)), tuple(lemmas.values())),
    }


def _curated(name: str) -> Known:
    listed = read_classes(name)
    return Known(ClassList(listed.names), _synsets(listed.column("synset")))


def _synsets(pins: Sequence[str]) -> tuple[Synset, ...]:
    found = [bundled_wordnet().find(pin) for pin in pins]
    return tuple(synset for synset in found if synset is not None)


def _row(name: str, known: Known) -> list[str]:
    before, after = (_right(look_up(bundled_wordnet(), known.names, one), known) for one in (FIRST, Weights()))
    mistakes = before.ambiguous - before.of_these
    gone = f"{(after.of_these - before.of_these) / mistakes:.0%}" if mistakes else ""
    counts = (len(known.names), before.of_all, after.of_all, before.ambiguous, before.of_these, after.of_these)
    return [name, *(f"{count:,}" for count in counts), gone]


class _Right(NamedTuple):
    """How many names have their true sense, how many names have several senses, and how many of these the true one."""

    of_all: int
    ambiguous: int
    of_these: int


def _right(found: Mapping[str, Found | None], known: Known) -> _Right:
    pairs = [(one, one.synset == truth) for one, truth in zip(found.values(), known.truth, strict=True) if one]
    several = [right for one, right in pairs if one.others]
    return _Right(sum(right for _one, right in pairs), len(several), sum(several))


def _by_doubt(known: Known) -> list[list[str]]:
    found = look_up(bundled_wordnet(), known.names)
    pairs = [(one, truth) for one, truth in zip(found.values(), known.truth, strict=True) if one and one.others]
    rows = []
    for low, high in pairwise(DOUBTS):
        wrong = [one.synset != truth for one, truth in pairs if low <= one.doubt < high]
        rows.append([f"{low:g} to {min(high, 1):g}", str(len(wrong)), str(sum(wrong))])
    return rows


_TUNED = ("CIFAR-100, with superclasses", "ImageNet-1k")


def _tuned(lists: Mapping[str, Known]) -> list[list[str]]:
    scores = {
        weights: [
            _right(look_up(bundled_wordnet(), lists[name].names, weights), lists[name]).of_these for name in _TUNED
        ]
        for weights in GRID
    }
    chosen = {name: max(GRID, key=lambda weights: scores[weights][at]) for at, name in enumerate(_TUNED)}
    chosen["what is built in"] = Weights()
    return [
        [name, str(one.nearest), f"{one.others:g}", f"{one.taken:g}", *map(str, scores[one])]
        for name, one in chosen.items()
    ]


if __name__ == "__main__":
    main()
