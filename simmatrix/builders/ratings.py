"""Similarity of classes from pairs that people rated."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simmatrix.builders.completion import check_completion, completed
from simmatrix.builders.lookup import inputs, match, not_seen
from simmatrix.builders.rating_table import RatingTable, read_ratings
from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.square import check_span, parsed_scale, unit_of
from simmatrix.choices import DUPLICATES
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.files import decoded
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.source import raw_type
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Provenance
from simmatrix.shapes import Float, Int
from simmatrix.study import read_answers
from simmatrix.text import check_choice, some


def from_ratings(
    ratings: str | Path,
    classes: Classes,
    *,
    scale: str | tuple[float, float] | None = None,
    complete: str | None = None,
    duplicates: str = "error",
    unknown: str = "error",
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    r"""Build a matrix from people's ratings of how similar pairs of classes are.

    Parameters
    ----------
    ratings
        A study of `simmatrix collect`, or a file with ``a, b, rating[, rater]`` a line, separated by tabs or commas
        (`simmatrix.builders.rating_table`).
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    scale
        The ratings for "not similar" and "the same", (0, 10) or ``"0:10"``. If not given: of a study and of
        what was exported from one the scale that the raters saw, otherwise the least and greatest rating
        of the file, those of words that are no class included; or of each rater, where raters are named. The latter
        takes a rater's scale from the pairs this rater saw: where all use the same one, state it.
    complete
        How to fill in pairs that nobody rated: ``"mean"`` or ``"low-rank"``; they are an error if it is not given.
    duplicates
        What to do with a pair that one rater, or a file without raters, rates differently: ``"error"``, or ``"mean"``
        of every row. SimLex-999 rates one pair twice and differently, WordSim-353 two.
    unknown
        What to do with names that the class list lacks: ``"error"``, or ``"ignore"`` to pass them over.
    lower_bound
        As in `from_embeddings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, a rating is no number or off the scale, ratings contradict each other, a class is
        not rated the same as itself or not rated at all, a rater rates all pairs alike, or pairs are missing that are
        not to be completed; names file and line.

    Examples
    --------
    >>> import simmatrix, tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("rose,tulip,5\nrose,truck,0\ntulip,truck,1\n")
    ...     file.flush()
    ...     simmatrix.from_ratings(file.name, ["rose", "tulip", "truck"], scale=(0, 10))["rose", "tulip"]
    0.5
    """
    check_lower_bound(lower_bound)
    raw = rating_similarity(
        Path(ratings),
        read_classes(classes),
        scale=parsed_scale(scale),
        complete=complete,
        unknown=unknown,
        duplicates=duplicates,
    )
    return raw.normalised(lower_bound)


@np.errstate(under="ignore")
def rating_similarity(
    path: Path,
    classes: ClassList,
    *,
    scale: tuple[float, float] | None = None,
    complete: str | None = None,
    unknown: str = "error",
    duplicates: str = "error",
) -> RawSimilarity:
    """Return the mean rating of each two classes.

    If a scale is stated, or no raters are named, all ratings are on one scale; otherwise each rating's place on its
    rater's own scale, from 0 to 1, is averaged. Without raters each row is a vote. A rater has one voice about a pair:
    equal rows by the same rater count once, unless ``duplicates="mean"`` asks for the mean of all of a rater's rows.
    Each class is as similar to itself as the scale allows. Parameters as in `from_ratings`.

    `params` tell the scale and where it is from, and count pairs and rows; if raters are named, they have
    Krippendorff's alpha (None where no pair was rated twice). `evidence` counts the rows behind each pair, equal ones
    as one.
    """
    check_completion(complete)
    # In alphabetical order: sums and completions depend on the order of the classes, in the last bits or in more.
    wanted, classes = classes.names, classes.select(sorted(classes.names))
    check_choice("duplicates", duplicates, DUPLICATES)
    raw, _, seen, left_out = read_answers(path, "ratings")
    scale = scale or seen
    table = read_ratings(decoded(raw, path), path)
    scale_of = _scale(table, scale, path)
    found = match(table.words, classes, path, unknown=unknown)
    # The pair of each rating, the lower index first: classes by index, other words by indices from C on.
    others = iter(range(len(classes), len(classes) + len(table.words)))
    ids = np.array([found.indices[word] if word in found.indices else next(others) for word in table.words])
    pairs = np.sort(ids[np.stack([table.first, table.second], axis=1)], axis=1)
    _check_selves(table, pairs, scale_of, path)
    low, high = scale_of.low, scale_of.high
    # In this unit no square or sum overflows or underflows.
    unit = float(unit_of(np.array([max(abs(low), abs(high))]))[0])
    answers, averaged = _answers(table, scale_of.ratings / unit, pairs, classes, path, duplicates)
    values, evidence = _means(answers, len(classes))
    lonely = [name for name, row in zip(classes.names, evidence, strict=True) if not row.any()]
    if lonely:
        remedy = "rate them, or take them out of the class list"
        raise not_seen(lonely, table.words, path, "has no rating of another class with", remedy)
    own = (answers.pairs[:, 0] == answers.pairs[:, 1]) & (answers.pairs[:, 1] < len(classes))
    np.fill_diagonal(values, high / unit)
    np.fill_diagonal(evidence, np.bincount(answers.pairs[own, 0], answers.counts[own], minlength=len(classes)))
    values, gaps = completed(values, complete, classes.names, path, "rating")
    return RawSimilarity(
        values=np.multiply(values, unit, out=values),
        classes=classes.names,
        provenance=Provenance(
            builder="ratings",
            params={
                "scale": [low, high],
                "scale_from": scale_of.source,
                "complete": complete,
                **gaps,
                "unknown": unknown,
                "ignored": int(np.count_nonzero((pairs >= len(classes)).any(axis=1))),
                "duplicates": duplicates,
                "averaged": averaged,
                **({"unused_columns": list(table.unused)} if table.unused else {}),
                **({"left_out_raters": left_out} if left_out else {}),
                **_agreement(answers, table, len(classes)),
            },
            source=inputs("ratings", path, hashlib.sha256(raw).hexdigest(), classes),
            resolution=found.resolution,
        ),
        scale=(low, high),
        evidence=evidence,
    ).in_order(wanted)


class _Scale(NamedTuple):
    """The scale of the averages, where it is from, each rating on it, and the upper end of each row's own scale."""

    low: float
    high: float
    source: str
    ratings: Float[np.ndarray, " n"]
    highs: Float[np.ndarray, " n"]


def _scale(table: RatingTable, stated: tuple[float, float] | None, path: Path) -> _Scale:
    """Return the scale that is stated, or that of each rater if there are several, or that of all ratings."""
    if stated is None and len(table.raters) > 1:
        lows, highs = _own_scales(table, path)
        return _Scale(0.0, 1.0, "raters", aligned(table.ratings, lows, highs), highs)
    low, high = _limits(table, stated, path)
    source = "ratings" if stated is None else "given"
    return _Scale(low, high, source, table.ratings, np.full(len(table.ratings), high))


def _own_scales(table: RatingTable, path: Path) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    lows, highs = np.full(len(table.raters), np.inf), np.full(len(table.raters), -np.inf)
    np.minimum.at(lows, table.rater, table.ratings)
    np.maximum.at(highs, table.rater, table.ratings)
    for rater, name in enumerate(table.raters):
        if lows[rater] == highs[rater]:
            raise SourceError(
                f"the rater {name!r} rates every pair {lows[rater]:g}, so that nothing tells this rater's scale; state "
                'the scale if it is that of all (scale="LOW:HIGH"), or take this rater\'s rows out',
                path,
                int(table.lines[table.rater == rater].min()),
            )
        check_span(float(lows[rater]), float(highs[rater]), path)
    return lows[table.rater], highs[table.rater]


def _limits(table: RatingTable, stated: tuple[float, float] | None, path: Path) -> tuple[float, float]:
    """Return the scale, stated or read from the ratings, that they are all on."""
    low, high = stated or (float(table.ratings.min()), float(table.ratings.max()))
    if low == high:
        raise SourceError(f'every rating is {low:g}; give the scale they are on (scale="LOW:HIGH")', path)
    check_span(low, high, path)
    outside = np.flatnonzero((table.ratings < low) | (table.ratings > high))
    if len(outside):
        at = int(outside[0])
        words = tuple(table.words)
        raise SourceError(
            f"the rating {table.ratings[at]:g} of {words[table.first[at]]!r} and {words[table.second[at]]!r} is off "
            f'the scale from {low:g} to {high:g}; mend it, or give another scale (scale="LOW:HIGH")',
            path,
            int(table.lines[at]),
        )
    return low, high


def _check_selves(table: RatingTable, pairs: Int[np.ndarray, "n 2"], scale: _Scale, path: Path) -> None:
    wrong = np.flatnonzero((pairs[:, 0] == pairs[:, 1]) & (table.ratings != scale.highs))
    if len(wrong):
        at = int(wrong[0])
        word = tuple(table.words)[table.first[at]]
        raise SourceError(
            f"{word!r} is rated {table.ratings[at]:g} with itself, which should be {scale.highs[at]:g}, the end of the "
            'scale; take the row out, or give another scale (scale="LOW:HIGH")',
            path,
            int(table.lines[at]),
        )


class _Answers(NamedTuple):
    """Each rater's answer about each pair, m of them: the rating, and how many rows it is the mean of."""

    pairs: Int[np.ndarray, "m 2"]
    rater: Int[np.ndarray, " m"]
    ratings: Float[np.ndarray, " m"]
    counts: Int[np.ndarray, " m"]


def _answers(
    table: RatingTable,
    values: Float[np.ndarray, " n"],
    pairs: Int[np.ndarray, "n 2"],
    classes: ClassList,
    path: Path,
    duplicates: str,
) -> tuple[_Answers, int]:
    """Return the raters' answers, from the ratings' values, and how many pairs of classes had contradictory ones."""
    # Sorted, so that sums come out the same to the last bit whatever the order of the file.
    order = np.lexsort((table.lines, table.ratings, table.rater, pairs[:, 1], pairs[:, 0]))
    parts = (pairs, table.rater, table.ratings, values, table.lines)
    pairs, rater, ratings, values, lines = (part[order] for part in parts)
    starts = np.r_[True, (np.diff(pairs, axis=0) != 0).any(axis=1) | (np.diff(rater) != 0)]
    distinct = starts | np.r_[True, np.diff(ratings) != 0]
    group = np.cumsum(starts) - 1
    doubtful = (np.bincount(group, distinct)[group] > 1) & (pairs[:, 1] < len(classes))
    if doubtful.any() and duplicates == "error":
        # Of equal rows the first is named.
        shown = doubtful & distinct
        raise _contradiction(lines[shown], group[shown], table, path)
    averaged = len(np.unique(pairs[doubtful], axis=0))
    votes = np.ones(len(ratings)) if duplicates == "mean" or table.raters == ("",) else distinct.astype(float)
    counts = np.bincount(group, votes)
    # Counted from the least one, so that the mean of equal ratings is that rating to the last bit.
    least = values[starts]
    means = least + np.bincount(group, votes * (values - least[group])) / counts
    return _Answers(pairs[starts], rater[starts], means, counts.astype(np.int64)), averaged


def _contradiction(
    lines: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"], table: RatingTable, path: Path
) -> SourceError:
    first: dict[int, int] = {}
    for at in np.argsort(lines, kind="stable").tolist():
        group, line = int(groups[at]), int(lines[at])
        if group in first:
            break
        first[group] = line
    now, then = (int(np.flatnonzero(table.lines == one)[0]) for one in (line, first[group]))
    words, rater = tuple(table.words), table.raters[table.rater[now]]
    by = f" by {rater!r}" if rater else ""
    unused = ""
    if table.unused and table.raters == ("",):
        # These columns may hold the raters.
        one = len(table.unused) == 1
        columns = f"column {table.unused[0]!r} was" if one else f"columns {some([*map(repr, table.unused)])} were"
        remedy = "if it names the raters, call it 'rater'" if one else "name the raters' column 'rater'"
        unused = f"; the {columns} not used: {remedy}"
    return SourceError(
        f"{words[table.first[now]]!r} and {words[table.second[now]]!r} are rated {table.ratings[now]:g}{by}, but "
        f'{table.ratings[then]:g} on line {first[group]}; take one of them out, or average them (duplicates="mean")'
        f"{unused}",
        path,
        line,
    )


def _means(answers: _Answers, count: int) -> tuple[Float[np.ndarray, "C C"], Int[np.ndarray, "C C"]]:
    """Return the mean rating of each two classes, NaN where there is none, and how many ratings it is of."""
    values = np.full((count, count), np.nan, dtype=raw_type(count))
    evidence = np.zeros((count, count), dtype=np.int32)
    kept = (answers.pairs[:, 1] < count) & (answers.pairs[:, 0] != answers.pairs[:, 1])
    pairs, group = np.unique(answers.pairs[kept], axis=0, return_inverse=True)
    means = np.bincount(group, answers.ratings[kept]) / np.bincount(group)
    numbers = np.bincount(group, answers.counts[kept])
    for rows, columns in (pairs.T, pairs.T[::-1]):
        values[rows, columns] = means
        evidence[rows, columns] = numbers
    return values, evidence


def _agreement(answers: _Answers, table: RatingTable, count: int) -> dict[str, Any]:
    """Return how many raters there are and how far they agree, if raters are named, about pairs of classes."""
    if table.raters == ("",):
        return {}
    first, second = answers.pairs.T
    kept = (second < count) & (first != second)
    agreed = alpha(answers.ratings[kept], first[kept] * count + second[kept])
    # Rounded, so that another machine, which sums in another order, writes the same file.
    return {"raters": len(np.unique(answers.rater[kept])), "alpha": None if agreed is None else round(agreed, 6)}


@np.errstate(under="ignore")
def aligned(
    ratings: Float[np.ndarray, " n"], lows: Float[np.ndarray, " n"], highs: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return each rating's place between the ends of its rater's own scale, in [0, 1].

    Examples
    --------
    >>> aligned(np.array([1.0, 4.0, 50.0]), np.array([1.0, 1.0, 0.0]), np.array([7.0, 7.0, 100.0])).tolist()
    [0.0, 0.5, 0.5]
    """
    return np.asarray((ratings - lows) / (highs - lows))


@np.errstate(under="ignore")
def alpha(ratings: Float[np.ndarray, " n"], pairs: Int[np.ndarray, " n"]) -> float | None:
    """Return Krippendorff's alpha for interval data, from each rating and its pair: 1 is agreement, 0 is chance.

    None where no pair was rated twice, or all that were are rated alike.
    """
    _, pairs, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    twice = counts[pairs] > 1
    if not twice.any() or np.ptp(ratings[twice]) == 0:
        return None
    # The mean squared difference within pairs, divided by that of all ratings (Krippendorff 2011).
    ratings, units = ratings[twice], np.unique(pairs[twice], return_inverse=True)[1]
    count, sizes = len(ratings), np.bincount(units)
    # In units of their range, so that no square underflows, however small the differences.
    centred = (ratings - ratings.min()) / np.ptp(ratings)
    centred -= centred.mean()
    squares, sums = np.bincount(units, centred**2), np.bincount(units, centred)
    within = np.sum((sizes * squares - sums**2) / (sizes - 1)) / count
    overall = (count * np.sum(centred**2) - np.sum(centred) ** 2) / (count * (count - 1))
    return float(1 - within / overall)
