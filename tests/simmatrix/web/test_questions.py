"""Which question comes next: what is least known, by counting and by looking at every answer."""

import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy

from simmatrix.builders.ordinal import choice, loss
from simmatrix.study import Design, Study
from simmatrix.web import background, questions
from simmatrix.web.questions import Chooser, best_triplets
from tests.simmatrix.builders.test_ordinal import answered

NAMES = tuple(f"class {number}" for number in range(50))


def kinds_apart(groups: int, size: int) -> np.ndarray:
    """Return squared distances of classes in groups: near within, far between."""
    group = np.repeat(np.arange(groups), size)
    return np.where(group[:, None] == group, 0.2, 4.0) * (1 - np.eye(len(group)))


def test_what_was_never_asked_is_asked_first() -> None:
    distances = kinds_apart(6, 5)
    known = answered(distances[:28, :28], 1500, 0)
    # Of the last two nothing is known but one answer each.
    known = np.concatenate([known, [[28, 0, 6], [29, 1, 7]]])
    asked = best_triplets(known, 30, 60)
    assert len(asked) == len(np.unique(asked, axis=0)) == 60
    assert (np.diff(asked, axis=1) > 0).all()
    assert (asked.min() >= 0, asked.max() <= 29) == (True, True)
    assert np.isin(asked[:10], [28, 29]).any(axis=1).mean() >= 0.8
    # And yet no class is in more than twice its share.
    assert np.bincount(asked.ravel(), minlength=30).max() <= 2 * 60 * 3 / 30
    assert (asked == best_triplets(known, 30, 60)).all()


def test_what_is_asked_is_what_opinions_differ_about_most(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    opinions, every = random.normal(size=(4, 12, 2)), np.array(list(combinations(range(12), 3)))
    monkeypatch.setattr(questions, "_posterior", lambda *_: opinions)
    monkeypatch.setattr(questions, "_candidates", lambda *_: every)
    gains = []
    for three in every.tolist():
        # Each opinion's probabilities that a pair is left together, and what hearing the answer would tell.
        likely = []
        for points in opinions:
            alike = [np.exp(-(((points[one] - points[two]) ** 2).sum())) for one, two in combinations(three, 2)]
            likely.append([one / sum(alike) for one in alike])
        mean = np.mean(likely, axis=0)
        gains.append(entropy(mean) - np.mean([entropy(one) for one in likely]))
    asked = best_triplets(answered(kinds_apart(3, 4), 200, 0), 12, 3)
    assert [tuple(one) for one in asked.tolist()] == [tuple(every[at]) for at in np.argsort(gains)[::-1][:3].tolist()]


def test_the_curvature_is_the_expected_square_of_the_gradient() -> None:
    points, answers = np.random.default_rng(0).normal(size=(6, 3)), answered(kinds_apart(2, 3), 25, 1)
    wanted = np.zeros((6, 3, 3))
    for three in answers:
        # The gradient of each possible answer, weighed by how likely it is.
        for odd, likely in enumerate(choice(points, three[None])[0]):
            turned = three[[(odd + 1) % 3, (odd + 2) % 3, odd]]
            slope = loss(points, turned[None])[1]
            wanted += likely * slope[:, :, None] * slope[:, None]
    found = np.zeros((6, 3, 3))
    questions._add_curvature(found, points, answers)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_active_questions_come_from_the_fit_and_go_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, design = tmp_path / "study.db", Design("triplets", NAMES, questions=150)
    # In a thread, which is not put off as long as a process that steps back for all others.
    monkeypatch.setattr(background, "ProcessPoolExecutor", lambda number, **_: ThreadPoolExecutor(number))
    with Study(path, design) as study:
        chooser = Chooser(study)
        who, _ = study.join()
        for _ in range(110):
            items, kind = chooser.following(who) or ((), "")
            study.answer(who, study.ask(who, items, kind).number, 0)
            if kind != "catch":
                chooser.answered(items)
        assert chooser._fit is not None
        first = {tuple(three) for three in chooser._fit.result(60).tolist()}
        items, _ = chooser.following(who) or ((), "")
        chooser.answered(items)
        assert {tuple(sorted(one)) for one in chooser._pool} <= first
        items, kind = chooser.following(who) or ((), "")
        assert (tuple(sorted(items)) in first) == (kind == "ask")
        # Where choosing fails, the study goes on.
        chooser._fit = Future()
        chooser._fit.set_exception(MemoryError())
        chooser.answered(items)
        assert chooser.following(who) is not None
        # What was answered before a restart counts at once.
        again = Chooser(study)
        again.answered((0, 1, 2))
        assert again._fit is not None
        again.close()


def test_pairs_of_many_classes_are_drawn_without_listing_them(tmp_path: Path) -> None:
    count = 5000
    names = tuple(map(str, range(count)))
    with Study(tmp_path / "study.db", Design("ratings", names, scale=(1.0, 7.0), method="active")) as study:
        chooser = Chooser(study)
        who, _ = study.join()
        chooser._random = np.random.default_rng(0)
        drawn = {chooser._any(np.random.default_rng(0))}
        # Of a pair that would be drawn there is an answer.
        for pair in drawn:
            chooser.answered(pair)
        chooser._random = np.random.default_rng(0)
        tracemalloc.start()
        assert chooser.following(who) is not None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The list of all 12,497,500 pairs would take 200 MB.
        assert peak < 10_000_000
        assert len(chooser._pool) > 4900
        assert not drawn & {*chooser._pool}


def test_each_participant_gets_two_catch_trials_and_one_in_twenty_on_top(tmp_path: Path) -> None:
    for asked, catches in ((1, 2), (6, 2), (33, 2), (60, 3), (200, 10)):
        design = Design("triplets", NAMES, method="random", questions=asked)
        with Study(tmp_path / f"{asked}.db", design) as study:
            chooser = Chooser(study)
            who, _ = study.join()
            kinds = []
            while following := chooser.following(who):
                items, kind = following
                study.answer(who, study.ask(who, items, kind).number, 0)
                kinds.append(kind)
            assert (kinds.count("catch"), len(kinds), chooser.total()) == (catches, asked + catches, asked + catches)
