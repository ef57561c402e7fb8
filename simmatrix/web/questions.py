"""Which question comes next: any, or the one whose answer tells most.

Of triplets, the active way asks what the fits to all answers so far disagree about (Bayesian active learning by
disagreement, Houlsby et al. 2011; for triplets of people's choices the crowd kernel's information gain, Tamuz et al.
2011). The posterior of the ordinal embedding is taken as normal around the best fit, each class by itself (Laplace's
approximation, by the Gauss-Newton matrix). A few draws of it give several opinions on each candidate; the gain is the
entropy of their mean answer less the mean of their entropies: high where each opinion is sure and they differ.

Of ratings, it asks about the pairs with the fewest answers.

One question in ten is one that all participants are asked, so that their agreement can be told. For every twenty
questions there is a catch trial on top, and two at least: two of the classes are the same.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import combinations

import numpy as np

from simmatrix.builders.ordinal import choice, embed
from simmatrix.shapes import Float, Int
from simmatrix.study import FEWEST_CATCHES, Participant, Study
from simmatrix.web.background import Background

_log = logging.getLogger(__name__)
# The catch trials cut the questions into stretches of equal length; each trial stands at this part of its stretch.
_CATCH_EVERY, _CATCH_AT = 20, 0.6
# The place of the common question among every ten.
_COMMON_AT, _COMMON_EVERY = 5, 10
_COMMON = 100
# Up to so many questions are all listed; of more, questions are drawn until one is new, so many times at most.
_FEW, _TRIES = 5000, 200
# Up to so many pairs are all counted; of more, those with the fewest answers are sought among some that are drawn.
_COUNTED = 1_000_000
# A fit is made anew after so many answers for each class, and gives somewhat more questions than that.
_ANSWERS_A_CLASS, _FEWEST_ANSWERS = 2, 40
_SPARE = 1.5
# Draws of the posterior, and candidates that are looked at.
_DRAWS, _CANDIDATES = 12, 20_000
# Answers whose curvature is computed at a time.
_BLOCK = 10_000


def best_triplets(answers: Int[np.ndarray, "T 3"], count: int, number: int, seed: int = 0) -> Int[np.ndarray, "n 3"]:
    """Return the `number` triplets whose answers would tell most beyond those that are known, the most telling first.

    In the answers the odd one is last. Candidates and opinions are drawn with the seed.
    """
    random = np.random.default_rng(seed)
    known = embed(answers, count)
    opinions = _posterior(known.points, answers, known.penalty, random)
    candidates = _candidates(opinions[0], random)
    likely = np.stack([choice(one, candidates) for one in opinions])
    gain = _entropy(likely.mean(axis=0)) - _entropy(likely).mean(axis=0)
    # No class stands in many more of them than others do: after its first few answers the rest would tell less.
    most = max(3, math.ceil(6 * number / count))
    used, kept = np.zeros(count, dtype=np.int64), []
    for at in np.argsort(-gain, kind="stable").tolist():
        three = candidates[at]
        if (used[three] < most).all():
            used[three] += 1
            kept.append(at)
            if len(kept) == number:
                break
    return np.asarray(candidates[kept])


def _entropy(likely: Float[np.ndarray, "*n k"]) -> Float[np.ndarray, "*n"]:
    return np.asarray(-(likely * np.log(np.maximum(likely, np.finfo(np.float64).tiny))).sum(axis=-1))


def _posterior(
    points: Float[np.ndarray, "C d"], answers: Int[np.ndarray, "T 3"], penalty: float, random: np.random.Generator
) -> Float[np.ndarray, "n C d"]:
    """Draw embeddings that the answers leave possible."""
    count, size = points.shape
    precision = np.tile(2 * penalty * np.eye(size), (count, 1, 1))
    for top in range(0, len(answers), _BLOCK):
        _add_curvature(precision, points, answers[top : top + _BLOCK])
    half = np.linalg.cholesky(np.linalg.inv(precision))
    return np.asarray(points + np.einsum("cij,ncj->nci", half, random.normal(size=(_DRAWS, count, size))))


def _add_curvature(
    precision: Float[np.ndarray, "C d d"], points: Float[np.ndarray, "C d"], answers: Int[np.ndarray, "T 3"]
) -> None:
    """Add what answers say about each class's point while all others are fixed."""
    likely = choice(points, answers)
    # Each class in a triplet is in two pairs, which are left together with some likelihood: column k of `likely` is
    # that of the pair without the k-th class.
    for one, other, third in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        place = points[answers[:, one]]
        # The gradients of the pairs' similarities by this class's point.
        slopes = [-2 * (place - points[answers[:, second]]) for second in (other, third)]
        weights = [likely[:, third], likely[:, other]]
        mean = sum(weight[:, None] * slope for weight, slope in zip(weights, slopes, strict=True))
        spread = sum(
            weight[:, None, None] * slope[:, :, None] * slope[:, None]
            for weight, slope in zip(weights, slopes, strict=True)
        )
        np.add.at(precision, answers[:, one], spread - mean[:, :, None] * mean[:, None])


def _candidates(points: Float[np.ndarray, "C d"], random: np.random.Generator) -> Int[np.ndarray, "n 3"]:
    """Draw triplets: any; a class with one that may be near it and any; and a class with two that may be near it."""
    count = len(points)
    lengths = (points**2).sum(axis=1)
    near = np.exp(-np.maximum(lengths[:, None] + lengths - 2 * points @ points.T, 0.0))
    np.fill_diagonal(near, 0.0)
    # Each class's neighbours are a stretch of this line, as long as they are near.
    line = np.cumsum(near)
    starts = np.r_[0.0, line[count - 1 :: count]]
    first, second, third = random.integers(0, count, (3, _CANDIDATES))

    def neighbour() -> Int[np.ndarray, " n"]:
        level = starts[first] + random.random(_CANDIDATES) * (starts[first + 1] - starts[first])
        return np.asarray(np.clip(np.searchsorted(line, level) - first * count, 0, count - 1))

    close, also = neighbour(), neighbour()
    kinds = ((first, second, third), (first, close, third), (first, close, also))
    drawn = np.concatenate([np.stack(three, axis=1) for three in kinds])
    drawn.sort(axis=1)
    return np.unique(drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)], axis=0)


class Chooser:
    """Chooses what each participant of a study is asked next. Not for several threads at once."""

    def __init__(self, study: Study) -> None:
        self._study, self._design = study, study.design
        self._size = 3 if study.design.task == "triplets" else 2
        self._count = len(study.design.classes)
        answers = study.answers()
        self._random = np.random.default_rng([study.design.seed, len(answers)])
        common = np.random.default_rng(study.design.seed)
        self._common = [self._any(common) for _ in range(_COMMON)]
        self._all = list(combinations(range(self._count), self._size)) if self._kinds() <= _FEW else None
        self._is_active = study.design.method == "active"
        self._asked = Counter(tuple(sorted(one.items)) for one in answers)
        self._pool: list[tuple[int, ...]] = []
        # Answers since the last fit.
        self._news = len(answers)
        self._background = Background()
        self._fit: Future[Int[np.ndarray, "n 3"]] | None = None

    def _kinds(self) -> int:
        return math.comb(self._count, self._size)

    def _any(self, random: np.random.Generator) -> tuple[int, ...]:
        return tuple(sorted(random.choice(self._count, self._size, replace=False).tolist()))

    def _real(self) -> int:
        """Return how many questions a participant is asked that are no catch trials."""
        return min(self._design.questions, self._kinds())

    def _catches(self) -> int:
        return max(FEWEST_CATCHES, round(self._real() / _CATCH_EVERY))

    def total(self) -> int:
        """Return how many questions a participant is asked, catch trials included."""
        return self._real() + self._catches()

    def following(self, who: Participant) -> tuple[tuple[int, ...], str] | None:
        """Return the classes of the next question in the order to show them, and its kind; None after the last."""
        asked = [tuple(sorted(one)) for one in self._study.asked(who)]
        real = [one for one in asked if len(set(one)) == self._size]
        at, caught, seen = len(real), len(asked) - len(real), set(real)
        # The next catch trial comes after so many other questions.
        if caught < self._catches() and at >= int((caught + _CATCH_AT) * self._real() / self._catches()):
            one, other = self._random.choice(self._count, 2, replace=False).tolist()
            return self._shown((one, one, other) if self._size == 3 else (one, one)), "catch"
        if at >= self._real():
            return None
        if at % _COMMON_EVERY == _COMMON_AT:
            for items in self._common:
                if items not in seen:
                    return self._shown(items), "common"
        fresh = self._new(seen)
        return None if fresh is None else (self._shown(fresh), "ask")

    def _shown(self, items: Sequence[int]) -> tuple[int, ...]:
        return tuple(self._random.permutation(items).tolist())

    def _new(self, seen: set[tuple[int, ...]]) -> tuple[int, ...] | None:
        if self._is_active and self._size == 2:
            self._refill_pairs()
        for at, items in enumerate(self._pool):
            if items not in seen:
                del self._pool[at]
                return items
        if self._all is not None:
            left = [items for items in self._all if items not in seen]
            return left[int(self._random.integers(len(left)))] if left else None
        drawn = (self._any(self._random) for _ in range(_TRIES))
        return next((items for items in drawn if items not in seen), None)

    def _refill_pairs(self) -> None:
        """Put the pairs with the fewest answers into an empty pool."""
        if self._pool:
            return
        if self._kinds() > _COUNTED:
            drawn = list(dict.fromkeys(self._any(self._random) for _ in range(_FEW)))
            least = min(self._asked[pair] for pair in drawn)
            self._pool = [pair for pair in drawn if self._asked[pair] == least]
            return
        first, second = np.triu_indices(self._count, 1)
        times = np.zeros(len(first), dtype=np.int64)
        for (one, other), number in self._asked.items():
            times[one * (2 * self._count - one - 1) // 2 + other - one - 1] = number
        fewest = np.flatnonzero(times == times.min())
        order = self._random.permutation(fewest)[:_FEW].tolist()
        self._pool = [(int(first[at]), int(second[at])) for at in order]

    def answered(self, items: Sequence[int]) -> None:
        """Take note of an answer; now and then the questions are chosen anew, in a process of their own."""
        self._asked[tuple(sorted(items))] += 1
        self._news += 1
        if not self._is_active or self._size == 2:
            return
        if self._fit is not None and self._fit.done():
            # The answer is kept by now. Where a fit failed, the study goes on with other questions.
            if error := self._fit.exception():
                _log.warning("the next questions are drawn by chance, since choosing them failed: %r", error)
            else:
                self._pool = [tuple(three) for three in self._fit.result().tolist()]
            self._fit = None
        number = max(_FEWEST_ANSWERS, _ANSWERS_A_CLASS * self._count, sum(self._asked.values()) // 10)
        if self._fit is None and self._news >= number:
            self._news = 0
            known = [sorted(one.items, key=one.items[int(one.value)].__eq__) for one in self._study.answers()]
            seed = int(self._random.integers(1 << 30))
            number = math.ceil(_SPARE * number)
            self._fit = self._background.submit(best_triplets, np.array(known), self._count, number, seed)

    def close(self) -> None:
        """Stop choosing."""
        self._background.close()
