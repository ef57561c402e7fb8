"""What a similarity matrix looks like in a few numbers, and what about it should worry its user."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simmatrix.forms import Form, Stored, blocks
from simmatrix.kinds import is_english, misfit, out_of_order
from simmatrix.matrix import SimilarityMatrix
from simmatrix.names import MANY
from simmatrix.text import a_few, some, some_lines, visible

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""The quantiles that are reported of the similarities of distinct classes."""

SHOWN_PAIRS = 1000
"""Up to so many indistinguishable pairs are named, and isolated classes; there can be C (C - 1) / 2 of them."""

# The high 16 bits of the float32 1.0 (the low ones are 0), and the number of values that are counted at a time.
_ONE = 0x3F80
_COUNTED = 1 << 22


@dataclass(frozen=True)
class Counts:
    """What can be counted of a similarity matrix with C classes in one pass over its values.

    Parameters
    ----------
    classes
        C.
    influence
        Mean over the rows of their sum off the diagonal, 0 (cross entropy) to C - 1.
    density
        Share of the pairs of distinct classes with a similarity above 0, in [0, 1].
    identity_rows
        Share of the rows that are the identity's, in [0, 1]: to them the loss is cross entropy.
    isolated
        The first 1000 classes of such rows, by name.
    indistinguishable
        The first 1000 pairs of distinct classes with similarity 1, by name: the loss can't tell them apart.
    indistinguishable_pairs
        How many such pairs there are, 0 to C (C - 1) / 2.
    completed_pairs
        Pairs of distinct classes that nobody judged, so that a method gave their value, 0 to C (C - 1) / 2; None where
        the values are not made from judgements.
    """

    classes: int
    influence: float
    density: float
    identity_rows: float
    isolated: tuple[str, ...]
    indistinguishable: tuple[tuple[str, str], ...]
    indistinguishable_pairs: int
    completed_pairs: int | None


@dataclass(frozen=True)
class Statistics(Counts):
    """Figures of a similarity matrix: its `Counts`, and what takes longer.

    Parameters
    ----------
    quantiles
        Of the similarities of distinct classes, by level.
    """

    quantiles: dict[float, float]


def counts(matrix: SimilarityMatrix) -> Counts:
    """Return what can be counted of a matrix.

    Examples
    --------
    >>> counts(SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip"))).density
    1.0
    """
    names, influence, others = matrix.classes, matrix.influence, matrix.stored.others(SHOWN_PAIRS)
    size, completed, evidence = len(names), None, matrix.evidence
    if evidence is not None:
        judged = sum(int(np.count_nonzero(evidence[rows])) for rows in blocks(evidence))
        completed = (size * (size - 1) - judged + int(np.count_nonzero(evidence.diagonal()))) // 2
    return Counts(
        classes=size,
        influence=influence,
        density=others.positive / (size * (size - 1)),
        identity_rows=len(others.isolated) / size,
        isolated=tuple(names[index] for index in others.isolated[:SHOWN_PAIRS]),
        indistinguishable=tuple((names[i], names[j]) for i, j in others.same),
        indistinguishable_pairs=others.same_count,
        completed_pairs=completed,
    )


def statistics(matrix: SimilarityMatrix) -> Statistics:
    """Return the figures of a matrix.

    Examples
    --------
    >>> figures = statistics(SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip")))
    >>> figures.density, figures.quantiles[0.5]
    (1.0, 0.5)
    """
    found = quantiles(matrix.stored, QUANTILES)
    return Statistics(**vars(counts(matrix)), quantiles=dict(zip(QUANTILES, found, strict=True)))


def quantiles(form: Form, levels: Sequence[float], *, positive: bool = False) -> list[float]:
    """Return the values at some levels in [0, 1] of the C (C - 1) similarities of distinct classes.

    With `positive`, only of those above 0, of which there must be one.

    The quantiles are not interpolated: each stands in the matrix. No copy of the values is made: float32 values in
    [0, 1] are in the order of their bits, of which the high and the low 16 are counted one after the other.

    Examples
    --------
    >>> from simmatrix.forms import Dense
    >>> quantiles(Dense(np.array([[1, 0.25, 0], [0.25, 1, 0.5], [0, 0.5, 1]], np.float32)), [0, 0.5, 1])
    [0.0, 0.25, 0.5]
    """
    size, stored = len(form), form.stored()
    highs = np.zeros(_ONE + 1, np.int64)
    for bits, counts in _bits(stored):
        highs += np.bincount(bits >> 16, counts, len(highs)).astype(np.int64)
    # All values that were not counted are 0. The ones on the diagonal do not count.
    zeros = 0 if positive else size**2 - int(highs.sum())
    highs[0] += zeros
    highs[_ONE] -= size
    ends = np.cumsum(highs)
    places = [max(math.ceil(level * int(ends[-1])) - 1, 0) for level in levels]
    of_places = np.searchsorted(ends, places, side="right").tolist()
    lows = {high: np.zeros(1 << 16, np.int64) for high in of_places}
    for bits, counts in _bits(stored):
        upper = bits >> 16
        for high, numbers in lows.items():
            is_here = upper == high
            here = None if counts is None else counts[is_here]
            numbers += np.bincount(bits[is_here] & 0xFFFF, here, len(numbers)).astype(np.int64)
    if 0 in lows:
        lows[0][0] += zeros
    found = [
        high << 16 | int(np.searchsorted(np.cumsum(lows[high]), place - (ends[high - 1] if high else 0), side="right"))
        for high, place in zip(of_places, places, strict=True)
    ]
    values: list[float] = np.array(found, np.uint32).view(np.float32).tolist()
    return values


def _bits(stored: Stored) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield the bits of the values above 0, some at a time, and how many entries each stands for."""
    for values, counts in stored.parts(_COUNTED):
        # Most values may be 0.
        positive = values > 0
        if positive.all():
            yield values.view(np.int32), counts
        else:
            yield values[positive].view(np.int32), None if counts is None else counts[positive]


# Options of the loss: what the experiments' rule chooses on validation data (docs/choosing.md).
RECOMMENDED = {"share": 0.4, "similarity_smoothing": 0.05}
# For classes in an order: the best of SimLoss's settings there. Soft labels are better still.
_FOR_ORDER = {"share": 0.8}
_OF_ORDER = "give a greater decay or length scale"
# Whose nearest classes tell how hard soft labels are.
_ASKED = 100


def recommended(matrix: SimilarityMatrix) -> tuple[str, Mapping[str, float]]:
    """Return the loss for a matrix, and its options."""
    origin = matrix.provenance
    if origin.builder != "order":
        return "SimLoss", RECOMMENDED
    if origin.params.get("kernel") != "triangular":
        return "SimLoss", _FOR_ORDER
    # With this beta the nearest class gets half as much as the true one, as with the best one in examples/diamonds.py.
    nearest = (matrix.neighbours(name, 1) for name in matrix.classes[:_ASKED])
    distance = 1 - float(np.median([one[0][1] for one in nearest if one] or [0.0]))
    return "SoftLabelLoss", {"beta": float(f"{math.log(2) / distance:.2g}") if 0 < distance < 1 else 20.0}


# Where less of cross entropy's gradient is left, SimLoss alone may give up classes: with many classes above an
# influence of a half, with five above a third.
FAINT = 2 / 3
# Classes, and senses of each.
_SHOWN = 10
_LONGEST = 200
# Names of more classes are not read as a scale: it would take longer than to build the matrix.
_LONGEST_SCALE = 10_000
_LOOKED_AT = 10_000
# From this share of so many classes on, ties have decided what the top k holds.
_MOST_UNCHOSEN, _MANY = 0.5, 1000
# Below this influence the loss is nearly cross entropy.
_LEAST_INFLUENCE = 0.01
# The builders that look names up as words, and the vectors that are known to be English.
_OF_WORDS = ("embeddings", "wordnet", "encoder")
_ENGLISH = "glove-6b-50d"

# By builder: what two classes share that it finds in the same place, and what to do about it.
_SHARED = {
    "wordnet": ("synset", "pin another in the class list's synset column (simmatrix senses WORD)"),
    "taxonomy": ("node", "give each class a node of its own in the taxonomy"),
}

# What a builder counts that its user should know.
_NOTES = {
    "averaged": "pairs that stand there with different ratings: {count}; the mean was taken",
    "ignored": "rows that were passed over, since they name what is no class: {count}",
}


def concerns(matrix: SimilarityMatrix, figures: Counts | None = None, *, reading: str = "") -> tuple[str, ...]:
    """Return one sentence for each thing about a matrix that would spoil a training, most serious first.

    From 100,000 classes on the names of the first 10,000 are looked at, and how those were found. `reading` are options
    of ``simmatrix build`` that say how the class list is read, for commands in the sentences.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.concerns(simmatrix.from_matrix([[1, 1], [1, 1]], ["rose", "truck"]))
    ("1 pair has similarity 1, the loss can't tell them apart: rose/truck",)
    """
    if figures is None:
        figures = counts(matrix)
    seen = matrix if figures.classes < MANY else matrix.select(matrix.classes[:_LOOKED_AT])
    told = [_misfit(seen, reading), _split(matrix), *_counted(seen, figures), _unchosen(matrix)]
    told += [*_found_otherwise(seen), _ambiguous(seen)]
    noted = ((sentence, matrix.provenance.params.get(name)) for name, sentence in _NOTES.items())
    return (
        *filter(None, told),
        *(sentence.format(count=count) for sentence, count in noted if isinstance(count, int) and count > 0),
    )


def _misfit(matrix: SimilarityMatrix, reading: str) -> str:
    """Say that the names have another order, are no words, or are words of another language."""
    origin = matrix.provenance
    names = matrix.classes
    looked_up = [name for name in names if str(origin.resolution.get(name, {}).get("how", "")).startswith("name")]
    source = next((one.name for one in origin.source if one.role == "classes"), "classes")
    if origin.builder == "order" and "positions" not in origin.params and len(names) <= _LONGEST_SCALE:
        return out_of_order(names, source, reading)
    if origin.builder not in _OF_WORDS or len(looked_up) < max(2, len(names) / 2):
        return ""
    if why := misfit(looked_up, source, reading):
        return why
    are_english = origin.builder == "embeddings" and any(one.name == _ENGLISH for one in origin.source)
    if are_english and not is_english(looked_up):
        return (
            f"few of the names are English words, as those of {_ENGLISH} are; if they are of another language, take "
            "vectors or an encoder of that language"
        )
    return ""


def gradient_kept(classes: int, influence: float) -> float:
    """Return how much of cross entropy's gradient SimLoss alone keeps for a model that has learnt nothing, in [0, 1].

    Where all C classes are equally likely, the gradient in the true class's logit is 1/C - 1 / (1 + I) under SimLoss,
    with I the row's influence, and 1/C - 1 under cross entropy. This is their ratio.

    Examples
    --------
    >>> gradient_kept(100, 0.0), gradient_kept(100, 99.0)
    (1.0, 0.0)
    """
    return (classes / (1 + influence) - 1) / (classes - 1) if classes > 1 else 1.0


def _is_bounded(params: Mapping[str, Any], steps: object) -> bool:
    """Tell whether a lower bound was taken off a matrix, or off one that it is a blend of."""
    return any(step.get("step") == "lower_bound" for step in _mappings(steps)) or any(
        _is_bounded(inner, part.get("normalisation"))
        for part in _mappings(params.get("parts"))
        for inner in _mappings([part.get("params")])
    )


def _mappings(content: object) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; a foreign file may have anything there."""
    return [one for one in content if isinstance(one, Mapping)] if isinstance(content, list | tuple) else []


def _split(matrix: SimilarityMatrix) -> str:
    """Say which groups of the classes may be one, though they are spelt differently."""
    alike = matrix.provenance.params.get("alike")
    if not (isinstance(alike, list) and alike):
        return ""
    groups = a_few(list(map(_visible, alike)))
    return f"groups that differ only in case or blanks: {groups}; if they are one, spell them the same"


def _counted(matrix: SimilarityMatrix, figures: Counts) -> Iterator[str]:
    """Say what is worrying about the values: all 0, classes that are the same, pairs that nobody judged."""
    origin = matrix.provenance
    if figures.identity_rows == 1:
        bounds = [step for step in _mappings(origin.normalisation) if step.get("step") == "lower_bound"]
        if bounds and all("from" in step for step in bounds):
            # The bound that is found leaves something if any pair is more alike than another.
            remedy = "no two classes are more similar than others in this source, take another source or measure"
        elif _is_bounded(origin.params, origin.normalisation):
            remedy = "give a smaller lower bound"
        elif origin.builder == "order":
            remedy = _OF_ORDER
        else:
            remedy = "no two classes are similar in this source, take another source or measure"
        yield f"the matrix is the identity, so training with it is plain cross entropy; {remedy}"
    elif figures.influence < _LEAST_INFLUENCE:
        remedy = _OF_ORDER if origin.builder == "order" else "give a smaller lower bound"
        yield (
            f"the similarities of a class to all others sum to {figures.influence:.2g} on average, so training with it "
            f"is nearly plain cross entropy; {remedy}"
        )
    if count := figures.indistinguishable_pairs:
        pairs_have = "pair has" if count == 1 else "pairs have"
        first = a_few(["/".join(pair) for pair in figures.indistinguishable])
        yield f"{count:,} {pairs_have} similarity 1, the loss can't tell them apart: {first}"
    if origin.builder in _SHARED:
        what, remedy = _SHARED[origin.builder]
        alike, owner = [], dict[str, str]()
        for name in matrix.classes:
            words = " + ".join(origin.resolution.get(name, {}).get("words", ()))
            earlier = owner.setdefault(words, name)
            # Where the measure gives 1, this was said above.
            if words and earlier != name and 1 not in (matrix[earlier, name], matrix[name, earlier]):
                alike.append(f"{earlier} and {name} are the same {what} {_visible(words)}")
        if alike:
            yield f"{a_few(alike)}; {remedy}"
    pairs, missing = figures.classes * (figures.classes - 1) // 2, figures.completed_pairs or 0
    error = origin.params.get("held_out_error")
    if isinstance(error, float):
        yield (
            f"{missing:,} of the {pairs:,} pairs are in no triplet; an ordinal embedding gives all values, and errs on "
            f"{error:.0%} of the triplets held out (guessing errs on 67%)"
        )
    elif missing:
        share = missing / pairs
        yield f"nobody judged {missing:,} of the {pairs:,} pairs ({share:.1%}), a method completed them"
    if any(step.get("step") == "symmetrise" for step in origin.normalisation):
        yield "the source is not symmetric; of each pair the mean of both was taken"


def _unchosen(matrix: SimilarityMatrix) -> str:
    """Say how many of many classes are among the top k of no other, if they are most."""
    if len(matrix.classes) < _MANY or not (matrix.provenance.has_step("top_k") and matrix.is_sparse):
        return ""
    # Each class is in its own row.
    share = float((np.bincount(matrix.stored.values.indices, minlength=len(matrix)) == 1).mean())
    if share < _MOST_UNCHOSEN:
        return ""
    return (
        f"{share:.0%} of the classes are among the top k of no other; of classes that are equally similar it has those "
        "that stand first in the list, so keep more, or take a source that tells them apart"
    )


def _found_otherwise(matrix: SimilarityMatrix) -> Iterator[str]:
    """Say which classes were found by their names, since their phrases were not, or by their last words alone."""
    found = matrix.provenance.resolution.items()
    missed = {name: one["missed"] for name, one in found if "missed" in one}
    heads = {name: " + ".join(one.get("words", ())) for name, one in found if str(one.get("how")).endswith(" head")}
    for told, how in (
        (missed, "looked up by name, since the phrase was not found"),
        (heads, "found by the last words alone"),
    ):
        if told:
            first = a_few([f"{_visible(name)} ({_visible(words)})" for name, words in told.items()])
            yield f"{_classes(told)} {how}: {first}"


def _visible(text: object) -> str:
    """Return what a file says on one line, cut, and without what a terminal would obey: the file may be foreign."""
    shown = str(text)
    return visible(shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…").replace("\n", "\\n")


def _ambiguous(matrix: SimilarityMatrix) -> str:
    """Say which classes have several senses, the most doubtful first, and how to pin another one."""
    several = {name: one for name, one in matrix.provenance.resolution.items() if isinstance(one.get("others"), list)}
    if not several:
        return ""
    doubts = {name: one["doubt"] for name, one in several.items() if isinstance(one.get("doubt"), float)}
    lines = []
    for name in sorted(several, key=lambda name: -doubts.get(name, 0.0))[:_SHOWN]:
        taken, others = _visible(" + ".join(several[name].get("words", ()))), several[name]["others"]
        doubt = f" (doubt {doubts[name]:.2f})" if name in doubts else ""
        lines.append(f"{_visible(name)}: {taken}, not {some([*map(_visible, others)], _SHOWN)}{doubt}")
    return (
        f"{_classes(several)} taken in one of several senses; pin another in the class list's synset column "
        f"(simmatrix senses WORD)\n{some_lines(lines, len(several))}"
    )


def _classes(some: Mapping[str, object]) -> str:
    return f"{len(some)} {'class was' if len(some) == 1 else 'classes were'}"
