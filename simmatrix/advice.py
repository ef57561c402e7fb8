"""What about a similarity matrix should worry its user."""

from __future__ import annotations

from collections.abc import Mapping

from simmatrix.matrix import SimilarityMatrix
from simmatrix.summary import Statistics, statistics

__all__ = ["concerns"]

# Where less than a third of cross entropy's gradient is left; the quick start of the README shows what that can cost.
_FAINT = 1 / 3
_SHOWN_SENSES = 10

# What a builder's parameters may count and its user should know.
_NOTES = {
    "averaged": "pairs that the same rater rated differently: {count}; the mean was taken",
    "ignored": "rows that were passed over, since they name what is no class: {count}",
}


def concerns(matrix: SimilarityMatrix, figures: Statistics | None = None) -> tuple[str, ...]:
    """Return one sentence for each thing about a matrix that would spoil a training, most serious first."""
    if figures is None:
        figures = statistics(matrix)
    found = []
    if figures.identity_rows == 1:
        found.append(
            "the matrix is the identity, so training with it is plain cross entropy; give a smaller lower bound"
        )
    elif figures.signal < _FAINT:
        found.append(
            f"at an influence of {figures.influence:.3g} training starts with {figures.signal:.1%} of cross entropy's "
            "gradient and may drown; watch the accuracy, and give a larger lower bound if it suffers"
        )
    if figures.indistinguishable:
        count = figures.indistinguishable_pairs
        first = ", ".join("/".join(pair) for pair in figures.indistinguishable[:3])
        found.append(
            f"{count:,} {'pair has' if count == 1 else 'pairs have'} similarity 1, the loss can't tell them apart: "
            + first
            + (" …" if count > 3 else "")
        )
    if figures.completed_pairs:
        pairs = figures.classes * (figures.classes - 1) // 2
        share = figures.completed_pairs / pairs
        found.append(
            f"nobody judged {figures.completed_pairs:,} of the {pairs:,} pairs ({share:.1%}), a method completed them"
        )
    found.extend(sentence for sentence in (_missed(matrix), _ambiguous(matrix)) if sentence)
    counts = ((sentence, matrix.provenance.params.get(name)) for name, sentence in _NOTES.items())
    found.extend(sentence.format(count=count) for sentence, count in counts if isinstance(count, int) and count > 0)
    return tuple(found)


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
        f"  {name}: {' + '.join(one['words'])}, not {', '.join(map(str, one['others']))}"
        for name, one in list(several.items())[:_SHOWN_SENSES]
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


def _classes(some: Mapping[str, object]) -> str:
    return f"{len(some)} {'class was' if len(some) == 1 else 'classes were'}"
