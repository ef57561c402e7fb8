"""Which mistakes: counted by hand, and all of them by sklearn's confusion matrix; and a ranking by sklearn's NDCG."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, ndcg_score

import simmatrix
from simloss import BackOff
from simloss.metrics import NDCG, ExpectedCost, MistakeSeverity, confused_pairs
from tests.simloss.cases import in_form, random_labels, random_logits, random_similarity


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_the_pairs_are_the_confusion_matrix(form: str) -> None:
    similarity, dense = in_form(form, 6)
    logits, target = random_logits(200, 6), random_labels(200, classes=6)
    found = confused_pairs(logits, target, similarity, count=None)
    counts = confusion_matrix(target, logits.argmax(1), labels=range(6))
    np.fill_diagonal(counts, 0)
    assert {(pair.truth, pair.predicted): pair.examples for pair in found} == {
        (y, k): counts[y, k] for y, k in np.argwhere(counts).tolist()
    }
    assert [pair.examples for pair in found] == sorted((pair.examples for pair in found), reverse=True)
    assert all(pair.similarity == dense[pair.truth, pair.predicted].item() for pair in found)
    total = MistakeSeverity(similarity)(logits, target).item() * counts.sum()
    for pair in found:
        assert pair.share == pytest.approx(pair.examples * (1 - pair.similarity) / total, rel=1e-6)
    assert sum(pair.share for pair in found) == pytest.approx(1.0)
    assert confused_pairs(logits.numpy(), target.numpy(), similarity, count=3) == found[:3]


def test_names_follow_the_order_of_the_classes() -> None:
    matrix = simmatrix.SimilarityMatrix(np.array([[1, 0.25], [0.5, 1]], np.float32), ("cat", "lynx"))
    found = confused_pairs(np.array([0, 0, 1]), np.array([1, 1, -100]), matrix, classes=["lynx", "cat"])
    assert found == [("cat", "lynx", 2, 0.25, 1.0)]
    assert confused_pairs(np.array([0]), np.array([0]), matrix) == []
    nodes = BackOff(torch.tensor([0]), torch.tensor([1.0]), np.array(["x"], dtype=object))
    with pytest.raises(TypeError, match="preds must be a tensor or a NumPy array, got BackOff"):
        confused_pairs(nodes, torch.tensor([0]), matrix)


@pytest.mark.parametrize("k", [None, 1, 3, 9])
def test_ndcg_is_sklearns(k: int | None) -> None:
    """Of scores without ties, with a gain that is similarity."""
    similarity, logits = random_similarity(9), random_logits(40, 9, dtype=torch.float64)
    target = random_labels(40, classes=9)
    found = NDCG(similarity, k=k)(logits, target).item()
    assert found == pytest.approx(ndcg_score(similarity[target].double().numpy(), logits.numpy(), k=k), rel=2.0**-22)


def test_what_is_no_cost_or_no_ranking_is_refused() -> None:
    for costs, message in (
        (np.zeros((2, 3)), "costs must be a square matrix"),
        (np.array([[0, np.inf], [1, 0]]), r"costs\[0, 1\] is inf"),
    ):
        with pytest.raises(ValueError, match=message):
            ExpectedCost(costs)
    for k in (0, 4):
        with pytest.raises(ValueError, match="k must be 1 to 3"):
            NDCG(torch.eye(3), k=k)
