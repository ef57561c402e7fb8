"""The ordinal embedding: its gradient against differences, its fit against the matrix that answers were drawn from."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import spearmanr

from simmatrix.builders.ordinal import embed, expected_shares, loss
from simmatrix.builders.triplets import shares


def truth(count: int, seed: int) -> np.ndarray:
    """Return squared distances of points in two dimensions."""
    points = np.random.default_rng(seed).normal(size=(count, 2))
    return ((points[:, None] - points) ** 2).sum(axis=-1)


def answered(distances: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Draw triplets, and the odd one of each: with probability exp(-d²) of the other two over the sum of all three."""
    random = np.random.default_rng(seed)
    three = np.argsort(random.random((number, len(distances))), axis=1)[:, :3]
    others = three[:, [[1, 2], [0, 2], [0, 1]]]
    left = np.argmax(random.gumbel(size=(number, 3)) - distances[others[..., 0], others[..., 1]], axis=1)
    rows = np.arange(number)
    return np.column_stack([others[rows, left], three[rows, left]])


def asked_of_all(distances: np.ndarray) -> np.ndarray:
    """Return the share of each pair over all thirds, one by one."""
    count = len(distances)
    shares = np.eye(count)
    for i in range(count):
        for j in range(count):
            thirds = [k for k in range(count) if k not in (i, j)]
            if i != j:
                alike = [np.exp(-distances[[i, i, j], [j, k, k]]) for k in thirds]
                shares[i, j] = np.mean([one[0] / one.sum() for one in alike])
    return shares


def test_the_loss_is_the_likelihood_and_its_gradient_that_of_differences() -> None:
    random = np.random.default_rng(3)
    points, triplets = random.normal(size=(7, 3)), answered(truth(7, 1), 60, 2)
    distances = ((points[:, None] - points) ** 2).sum(axis=-1)
    pairs = [distances[triplets[:, i], triplets[:, j]] for i, j in ((0, 1), (0, 2), (1, 2))]
    by_hand = (pairs[0] + logsumexp(-np.array(pairs), axis=0)).sum() + 0.3 * (points**2).sum()
    assert loss(points, triplets, 0.3)[0] == pytest.approx(by_hand, rel=1e-12)

    steps = np.eye(21).reshape(21, 7, 3) * 1e-5
    differences = [
        (loss(points + one, triplets, 0.3)[0] - loss(points - one, triplets, 0.3)[0]) / 2e-5 for one in steps
    ]
    np.testing.assert_allclose(loss(points, triplets, 0.3)[1].ravel(), differences, rtol=0, atol=1e-7)


def test_shares_are_those_of_asking_about_all() -> None:
    points = np.random.default_rng(0).normal(size=(9, 4))
    distances = ((points[:, None] - points) ** 2).sum(axis=-1)
    np.testing.assert_allclose(expected_shares(points), asked_of_all(distances), rtol=0, atol=1e-6)


def test_sparse_triplets_find_the_matrix_they_were_drawn_from() -> None:
    distances = truth(60, 5) * 2
    wanted, pairs = asked_of_all(distances), np.triu_indices(60, 1)
    triplets = answered(distances, 3000, 6)
    # Of 34,220 triplets one in twelve is asked.
    found = embed(triplets, 60)
    assert spearmanr(expected_shares(found.points)[pairs], wanted[pairs]).statistic > 0.95
    # The best that can be: knowing the distances that the answers were drawn by.
    unseen = answered(distances, 20_000, 7)
    together = distances[unseen[:, 0], unseen[:, 1]]
    apart = np.minimum(distances[unseen[:, 0], unseen[:, 2]], distances[unseen[:, 1], unseen[:, 2]])
    assert found.error == pytest.approx(np.mean(together > apart), abs=0.07)
    kinds = len(np.unique(np.sort(triplets, axis=1), axis=0))
    assert kinds // 10 <= found.held_out <= kinds // 10 + len(triplets) - kinds


def test_answers_that_say_nothing_leave_all_more_alike_than_counts_do() -> None:
    random = np.random.default_rng(0)
    triplets = np.argsort(random.random((2000, 30)), axis=1)[:, :3]
    found = embed(triplets, 30)
    pairs = np.triu_indices(30, 1)
    assert expected_shares(found.points)[pairs].std() < shares(triplets, 30)[0][pairs].std() / 2
    assert found.error == pytest.approx(2 / 3, abs=0.1)


def test_the_order_of_answers_changes_no_bit() -> None:
    triplets = answered(truth(20, 1), 300, 2)
    other = triplets[np.random.default_rng(1).permutation(300)][:, [1, 0, 2]]
    assert embed(triplets, 20).points.tobytes() == embed(other, 20).points.tobytes()
