"""Which question comes next: what is least known, and what it brings in a simulated study."""

from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from simmatrix.builders.ordinal import embed, expected_shares
from simmatrix.study import Design, Study
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


def test_half_the_answers_do_in_a_simulated_study() -> None:
    distances = kinds_apart(10, 5)
    pairs = np.triu_indices(50, 1)

    def rho(known: np.ndarray) -> float:
        return float(spearmanr(expected_shares(embed(known, 50).points)[pairs], -distances[pairs]).statistic)

    known = answered(distances, 200, 1)
    while len(known) < 600:
        three = best_triplets(known, 50, 100, len(known))
        random = np.random.default_rng(len(known))
        others = three[:, [[1, 2], [0, 2], [0, 1]]]
        noise = random.gumbel(size=(len(three), 3))
        left = np.argmax(noise - distances[others[..., 0], others[..., 1]], axis=1)
        rows = np.arange(len(three))
        known = np.concatenate([known, np.column_stack([others[rows, left], three[rows, left]])])
    assert rho(known) > rho(answered(distances, 1200, 1))


def test_active_questions_come_from_the_fit_and_go_on_after_a_restart(tmp_path: Path) -> None:
    path, design = tmp_path / "study.db", Design("triplets", NAMES, questions=150)
    with Study(path, design) as study:
        chooser = Chooser(study)
        who, _ = study.join()
        for _ in range(100):
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
        chooser.close()
        # What was answered before a restart counts at once.
        again = Chooser(study)
        again.answered((0, 1, 2))
        assert again._fit is not None
        again.close()
