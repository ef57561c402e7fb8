"""Which mistakes a model makes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simloss.metrics.inputs import read_predictions
from simloss.metrics.pairs import Similarities
from simloss.metrics.severity import MistakeSeverity
from simloss.scores import as_tensor
from simmatrix.names import Names


class ConfusedPair(NamedTuple):
    """Examples of one class that are taken for another one.

    Parameters
    ----------
    truth, predicted
        The two classes: by name where names are known, else by index.
    examples
        How many there are.
    similarity
        S[truth, predicted].
    share
        Their part of the sum of all mistakes' distances 1 - S, in [0, 1]; 0 where that sum is 0.
    """

    truth: str | int
    predicted: str | int
    examples: int
    similarity: float
    share: float


def confused_pairs(
    preds: Tensor | np.ndarray,
    target: Tensor | np.ndarray,
    similarity: Similarities,
    *,
    classes: Names | None = None,
    count: int | None = 10,
    ignore_index: int | None = -100,
) -> list[ConfusedPair]:
    """Return the pairs of classes that are confused most often, which of them are similar, and what they cost.

    Parameters
    ----------
    preds
        Logits, probabilities or class indices, as in `MistakeSeverity`; a tensor or an array.
    target
        Class indices.
    similarity, classes, ignore_index
        As in `MistakeSeverity`.
    count
        How many pairs; None for all.

    Returns
    -------
    list
        The most frequent first; among as frequent ones those of the greater share, then in the order of the classes.

    Raises
    ------
    TypeError, ValueError, IndexError
        As in `MistakeSeverity`.

    Examples
    --------
    >>> similarity = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> preds, target = np.array([1, 1, 2, 1]), np.array([0, 0, 0, 1])
    >>> confused_pairs(preds, target, similarity, classes=["cat", "lynx", "oak"])[0]
    ConfusedPair(truth='cat', predicted='lynx', examples=2, similarity=0.5, share=0.5)
    """
    metric = MistakeSeverity(similarity, classes=classes)
    batch = read_predictions(as_tensor(preds, "preds"), as_tensor(target, "target"), metric.num_classes, ignore_index)
    if not batch.has_ranking(1):
        raise ValueError("which classes are confused can't be told of nodes")
    predicted = batch.ranked(1)[:, 0]
    is_wrong = predicted != batch.labels
    pairs, counts = (batch.labels[is_wrong] * metric.num_classes + predicted[is_wrong]).unique(return_counts=True)  # type: ignore[no-untyped-call]
    truths, others = torch.div(pairs, metric.num_classes, rounding_mode="floor"), pairs % metric.num_classes
    similarities = metric.to(pairs.device)._similarities(truths, others)
    parts = counts * (1 - similarities)
    shares = parts / parts.sum() if float(parts.sum()) else torch.zeros_like(parts)
    found = zip(truths.tolist(), others.tolist(), counts.tolist(), similarities.tolist(), shares.tolist(), strict=True)
    order = sorted(found, key=lambda pair: (-pair[2], -pair[4], pair[0], pair[1]))[:count]
    names = metric.classes
    return [
        ConfusedPair(*pair) if names is None else ConfusedPair(names[pair[0]], names[pair[1]], *pair[2:])
        for pair in order
    ]
