"""What about a similarity matrix should worry its user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from simmatrix.matrix import SimilarityMatrix
from simmatrix.summary import Counts, counts

__all__ = ["FAINT", "concerns"]

# Where less of cross entropy's gradient is left: of many classes above an influence of a half, of five above a third.
# SimLoss by itself gave up a tenth of the classes before that (docs/choosing.md).
FAINT = 2 / 3
_SHOWN_PAIRS = 3
_SHOWN_CLASSES = 10
_SHOWN_SENSES = 10

# What two classes share that a builder found in the same place, and how to tell it of another.
_SHARED = {
    "wordnet": ("synset", "pin another in the class list's synset column (simmatrix senses WORD)"),
    "taxonomy": ("node", "give each class a node of its own in the taxonomy"),
}

# What a builder's parameters may count and its user should know.
_NOTES = {
    "averaged": "pairs that stand there with different ratings: {count}; the mean was taken",
    "ignored": "rows that were passed over, since they name what is no class: {count}",
}


def concerns(matrix: SimilarityMatrix, figures: Counts | None = None) -> tuple[str, ...]:
    """Return one sentence for each thing about a matrix that would spoil a training, most serious first."""
    if figures is None:
        figures = counts(matrix)
    told = (
        _weak(matrix, figures),
        _indistinguishable(figures),
        _found_alike(matrix),
        _completed(figures),
        _averaged(matrix),
        _missed(matrix),
        _ambiguous(matrix),
    )
    noted = ((sentence, matrix.provenance.params.get(name)) for name, sentence in _NOTES.items())
    return (
        *filter(None, told),
        *(sentence.format(count=count) for sentence, count in noted if isinstance(count, int) and count > 0),
    )


def _weak(matrix: SimilarityMatrix, figures: Counts) -> str:
    """Say whether the similarities change nothing, or too much."""
    if figures.identity_rows == 1:
        remedy = (
            "give a smaller lower bound"
            if _is_bounded(matrix.provenance.params, matrix.provenance.normalisation)
            else "no two classes are similar in this source, take another source or measure"
        )
        return f"the matrix is the identity, so training with it is plain cross entropy; {remedy}"
    if figures.signal < FAINT:
        return (
            f"at an influence of {figures.influence:.3g} SimLoss starts with {figures.signal:.1%} of cross entropy's "
            "gradient and may give up classes for others that are like them; take less influence (--influence, or a "
            "larger lower bound), or a share of cross entropy beside it"
        )
    return ""


def _is_bounded(params: Mapping[str, Any], steps: object) -> bool:
    """Tell whether similarities were taken off by a lower bound, in a matrix or in what it is a blend of."""
    parts = params.get("parts")
    return any(step.get("step") == "lower_bound" for step in _mappings(steps)) or any(
        _is_bounded(inner, part.get("normalisation"))
        for part in _mappings(parts)
        for inner in _mappings([part.get("params")])
    )


def _mappings(content: object) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; a foreign file may have anything there."""
    return [one for one in content if isinstance(one, Mapping)] if isinstance(content, list | tuple) else []


def _indistinguishable(figures: Counts) -> str:
    """Say which classes the loss can't tell apart."""
    count = figures.indistinguishable_pairs
    if not count:
        return ""
    first = ", ".join("/".join(pair) for pair in figures.indistinguishable[:_SHOWN_PAIRS])
    return (
        f"{count:,} {'pair has' if count == 1 else 'pairs have'} similarity 1, the loss can't tell them apart: "
        + first
        + (" …" if count > _SHOWN_PAIRS else "")
    )


def _found_alike(matrix: SimilarityMatrix) -> str:
    """Say which classes were taken for the same thing, though the measure gives less than 1 between them."""
    if matrix.provenance.builder not in _SHARED:
        return ""
    what, remedy = _SHARED[matrix.provenance.builder]
    pairs = list(islice(_pairs_alike(matrix), _SHOWN_PAIRS + 1))
    if not pairs:
        return ""
    shown = ", ".join(f"{one} and {other} are the same {what} {name}" for one, other, name in pairs[:_SHOWN_PAIRS])
    return shown + (" …" if len(pairs) > _SHOWN_PAIRS else "") + f"; {remedy}"


def _pairs_alike(matrix: SimilarityMatrix) -> Iterator[tuple[str, str, str]]:
    """Yield each class whose words stand for an earlier one too, that one before it, and the words."""
    first: dict[str, str] = {}
    for name in matrix.classes:
        words = " + ".join(matrix.provenance.resolution.get(name, {}).get("words", ()))
        earlier = first.setdefault(words, name)
        if words and earlier != name and 1 not in (matrix[earlier, name], matrix[name, earlier]):
            yield earlier, name, words


def _completed(figures: Counts) -> str:
    """Say how many pairs nobody judged."""
    if not figures.completed_pairs:
        return ""
    pairs = figures.classes * (figures.classes - 1) // 2
    share = figures.completed_pairs / pairs
    return f"nobody judged {figures.completed_pairs:,} of the {pairs:,} pairs ({share:.1%}), a method completed them"


def _averaged(matrix: SimilarityMatrix) -> str:
    """Say that the source had two values for a pair."""
    steps = (step.get("step") for step in _mappings(matrix.provenance.normalisation))
    return "the source is not symmetric; of each pair the mean of both was taken" if "symmetrise" in steps else ""


def _missed(matrix: SimilarityMatrix) -> str:
    """Say which classes were found by their names, because their phrases were not found."""
    missed = {name: one["missed"] for name, one in matrix.provenance.resolution.items() if "missed" in one}
    if not missed:
        return ""
    first = ", ".join(f"{name} ({phrase})" for name, phrase in list(missed.items())[:3])
    return f"{_classes(missed)} looked up by name, since the phrase was not found: {first}" + (
        " …" if len(missed) > 3 else ""
    )


def _ambiguous(matrix: SimilarityMatrix) -> str:
    """Say which classes have several senses, of which the first was taken, and how to pin another."""
    several = {name: one for name, one in matrix.provenance.resolution.items() if isinstance(one.get("others"), list)}
    if not several:
        return ""
    lines = [
        f"  {name}: {' + '.join(one['words'])}, not {_first(list(map(str, one['others'])))}"
        for name, one in list(several.items())[:_SHOWN_CLASSES]
    ]
    more = len(several) - len(lines)
    return "\n".join(
        [
            f"{_classes(several)} taken in the first of several senses; pin another in the class list's synset column "
            "(simmatrix senses WORD)",
            *lines,
            *([f"  … and {more} more"] if more else []),
        ]
    )


def _first(senses: list[str]) -> str:
    """Name senses, of a word with very many the first ones."""
    more = len(senses) - _SHOWN_SENSES
    return ", ".join(senses[:_SHOWN_SENSES]) + (f" and {more} more" if more > 0 else "")


def _classes(some: Mapping[str, object]) -> str:
    return f"{len(some)} {'class was' if len(some) == 1 else 'classes were'}"
