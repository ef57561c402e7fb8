"""Decisions that stop where a model stops being sure: "some bird" rather than the wrong bird.

The probability of a node is that of all classes at or below it, in graphs too, where a class may be below a node on
several ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import simmatrix
from simloss.errors import ArgumentError, DtypeError
from simloss.scores import Examples, as_examples, as_labels, blocks
from simmatrix.shapes import Float, Int

# Numbers worked on at a time: in float64 8 MiB, which stays near the processor.
_BLOCK = 2**20


class BackOff(NamedTuple):
    """The nodes of a taxonomy that were decided on.

    Parameters
    ----------
    nodes
        Indices into the taxonomy's names, of shape (), (N) or (N, d1, ...); int64.
    probabilities
        That of each of these nodes, float64.
    names
        Their names, an array of the same shape.
    """

    nodes: Tensor | np.ndarray
    probabilities: Tensor | np.ndarray
    names: np.ndarray


class Curve(NamedTuple):
    """What becomes of back-off as the confidence rises; four float64 arrays.

    Parameters
    ----------
    confidence
        In (0, 1], ascending: all at which a decision changes. Decisions are the same down to the one before.
    accuracy
        How many of the decisions are right: the node is above the true class, or its own.
    depth, information
        The mean depth of the nodes, and their mean information in bits.
    """

    confidence: Float[np.ndarray, " m"]
    accuracy: Float[np.ndarray, " m"]
    depth: Float[np.ndarray, " m"]
    information: Float[np.ndarray, " m"]


def back_off(
    logits: Tensor | np.ndarray, taxonomy: simmatrix.ClassTaxonomy, confidence: float = 0.9, *, from_logits: bool = True
) -> BackOff:
    """Return the deepest node of each example whose probability is at least the confidence.

    Of nodes of one depth, which can be several only if the confidence is at most 1/2 or nodes have several parents, the
    most probable one is taken, and of equals the first. The root is always probable enough.

    Parameters
    ----------
    logits
        Of shape (C), (N, C) or (N, C, d1, ...), of any floating-point dtype: a tensor or a NumPy array. Calibrated, say
        divided by `fit_temperature`; otherwise the nodes are not as sure as they seem.
    taxonomy
        What `simmatrix.read_taxonomy` gives for the classes, in the order of the logits (`ClassTaxonomy.reorder`).
    confidence
        In (0, 1]; `choose_confidence` finds one.
    from_logits
        Whether these are logits, or else probabilities, which sum to 1.

    Returns
    -------
    BackOff
        Nodes, their probabilities, and their names.

    Raises
    ------
    ValueError
        If the confidence is out of its range, the logits have another number of classes, one is NaN, or probabilities
        do not sum to 1.
    TypeError
        If the taxonomy is none, or the logits are not of a floating-point dtype.

    References
    ----------
    Deng, Krause, Berg and Fei-Fei, "Hedging Your Bets: Optimizing Accuracy-Specificity Trade-offs in Large Scale Visual
    Recognition", CVPR 2012.

    Examples
    --------
    >>> tree = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}
    >>> taxonomy = simmatrix.read_taxonomy(tree, ["owl", "wren", "cod"])
    >>> probabilities = np.array([[0.5, 0.45, 0.05], [0.4, 0.2, 0.4], [0.95, 0.03, 0.02]])
    >>> back_off(probabilities, taxonomy, from_logits=False).names.tolist()
    ['bird', 'animal', 'owl']
    """
    _check_confidence(confidence)
    return candidates(logits, taxonomy, from_logits=from_logits).at(confidence)


def choose_confidence(
    logits: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    taxonomy: simmatrix.ClassTaxonomy,
    accuracy: float = 0.95,
    *,
    from_logits: bool = True,
    ignore_index: int = -100,
) -> float:
    """Return the least confidence from which on `back_off` is right as often as wanted.

    It has to be chosen on data that the model was not trained on, calibrated in the same way; on other data of the same
    kind the accuracy is then about what was wanted.

    Parameters
    ----------
    logits, taxonomy, from_logits
        As in `back_off`.
    labels
        Class indices, (N) or (N, d1, ...).
    accuracy
        In [0, 1]: the share of the decisions that should be right.
    ignore_index
        The label of examples that are left out.

    Returns
    -------
    float
        In (0, 1]. At 1 most decisions are the root, which is always right.

    Raises
    ------
    ValueError, TypeError, IndexError
        If the accuracy is out of its range, there is no example, or a label is no class; otherwise as in `back_off`.

    Examples
    --------
    >>> tree = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}
    >>> taxonomy = simmatrix.read_taxonomy(tree, ["owl", "wren", "cod"])
    >>> probabilities, labels = np.array([[0.5, 0.4, 0.1], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1]]), np.array([1, 1, 0])
    >>> confidence = choose_confidence(probabilities, labels, taxonomy, from_logits=False)
    >>> back_off(probabilities, taxonomy, confidence, from_logits=False).names.tolist()
    ['bird', 'bird', 'owl']
    """
    if not isinstance(accuracy, (int, float)) or not 0 <= accuracy <= 1:
        raise ArgumentError(f"accuracy must be between 0 and 1, got {accuracy!r}")
    curve = back_off_curve(logits, labels, taxonomy, from_logits=from_logits, ignore_index=ignore_index)
    # Counts over the number of examples: what is meant to be equal differs by rounding.
    too_little = np.flatnonzero(curve.accuracy < accuracy - 1e-12)
    first = int(too_little[-1]) + 1 if len(too_little) else 0
    below = curve.confidence[first - 1] if first else 0.0
    # Between the two, so that probabilities that are rounded in another way are decided alike.
    return float((below + curve.confidence[first]) / 2)


def back_off_curve(
    logits: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    taxonomy: simmatrix.ClassTaxonomy,
    *,
    from_logits: bool = True,
    ignore_index: int = -100,
) -> Curve:
    """Return the accuracy of `back_off`, and how much its nodes say, for every confidence.

    Parameters
    ----------
    logits, labels, taxonomy, from_logits, ignore_index
        As in `choose_confidence`.

    Returns
    -------
    Curve
        One entry for each confidence at which a decision changes; the last is 1.

    Raises
    ------
    ValueError, TypeError, IndexError
        As in `choose_confidence`.

    Examples
    --------
    >>> tree = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}
    >>> taxonomy = simmatrix.read_taxonomy(tree, ["owl", "wren", "cod"])
    >>> curve = back_off_curve(np.array([[0.5, 0.4, 0.1]]), np.array([1]), taxonomy, from_logits=False)
    >>> curve.confidence.tolist(), curve.accuracy.tolist(), curve.depth.tolist()
    ([0.5, 0.9, 1.0], [0.0, 1.0, 1.0], [2.0, 1.0, 0.0])
    """
    return candidates(logits, taxonomy, from_logits=from_logits).curve(labels, ignore_index=ignore_index)


@dataclass(frozen=True, eq=False)
class Candidates:
    """What each of N examples could back off to: the most probable node of each depth.

    Parameters
    ----------
    taxonomy
        The taxonomy.
    examples
        The examples' scores.
    probabilities, nodes
        (N, D), the greatest probability of a node of depth d, and the first node that has it; 0 where there is none.
    """

    taxonomy: simmatrix.ClassTaxonomy
    examples: Examples
    probabilities: Float[Tensor, "N D"]
    nodes: Int[Tensor, "N D"]

    def at(self, confidence: float) -> BackOff:
        """Return the decisions at a confidence; see `back_off`."""
        _check_confidence(confidence)
        depths = torch.arange(1, self.nodes.shape[1] + 1, device=self.nodes.device)
        deepest = ((self.probabilities >= confidence) * depths).argmax(1, keepdim=True)
        nodes, probabilities = (part.gather(1, deepest).squeeze(1) for part in (self.nodes, self.probabilities))
        names = np.array(self.taxonomy.names, dtype=object)[nodes.cpu().numpy()].reshape(self.examples.shape)
        return BackOff(self.examples.restored(nodes), self.examples.restored(probabilities), names)

    def curve(self, labels: Tensor | np.ndarray, *, ignore_index: int = -100) -> Curve:
        """Return what becomes of the decisions as the confidence rises; see `back_off_curve`."""
        targets = as_labels(labels, self.examples, ignore_index)
        kept = targets != ignore_index
        if not kept.any():
            raise ArgumentError("there is no example to judge")
        probabilities, nodes = (part[kept].cpu().numpy() for part in (self.probabilities, self.nodes))
        places = self.taxonomy.places[targets[kept].cpu().numpy()]
        # A node is decided on for confidences above all that are deeper, up to its own probability.
        above = np.maximum.accumulate(probabilities[:, ::-1], axis=1)[:, ::-1]
        above = np.pad(above[:, 1:], ((0, 0), (0, 1)))
        example, depth = np.nonzero(probabilities > above)
        node = nodes[example, depth]
        confidence, last = np.unique(probabilities[example, depth], return_inverse=True)
        first = np.searchsorted(confidence, above[example, depth], side="right")
        is_right = self.taxonomy.is_above(node, places[example])
        sums = []
        for numbers in (is_right, self.taxonomy.depths[node], self.taxonomy.information[node]):
            steps = np.bincount(first, numbers, len(confidence) + 1) - np.bincount(
                last + 1, numbers, len(confidence) + 1
            )
            # What was added is taken off again in another order: of 0 rounding may leave a little.
            sums.append(np.maximum(np.cumsum(steps)[:-1] / len(places), 0.0))
        return Curve(confidence, *sums)


@torch.no_grad()
def candidates(
    logits: Tensor | np.ndarray, taxonomy: simmatrix.ClassTaxonomy, *, from_logits: bool = True
) -> Candidates:
    """Return what each example could back off to, for any number of confidences. Parameters as in `back_off`."""
    examples = as_examples(logits, from_logits)
    check_taxonomy(taxonomy, examples.rows.shape[1])
    return Candidates(taxonomy, examples, *_best_of_each_depth(examples.rows, taxonomy, from_logits=from_logits))


def _check_confidence(confidence: object) -> None:
    if not isinstance(confidence, (int, float)) or not 0 < confidence <= 1:
        raise ArgumentError(f"confidence must be above 0 and at most 1, got {confidence!r}")


def check_taxonomy(taxonomy: object, classes: int) -> None:
    """Raise for what is no taxonomy of so many classes."""
    if not isinstance(taxonomy, simmatrix.ClassTaxonomy):
        raise DtypeError(
            f"taxonomy must be what simmatrix.read_taxonomy gives for the classes, got {type(taxonomy).__name__}"
        )
    if len(taxonomy.classes) != classes:
        raise ArgumentError(f"the taxonomy has {len(taxonomy.classes)} classes, but the logits have {classes}")


def _best_of_each_depth(
    rows: Float[Tensor, "N C"], taxonomy: simmatrix.ClassTaxonomy, *, from_logits: bool
) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N D"]]:
    """Return of each depth the greatest probability of a node, and the first node that has it; 0 where is none."""
    device, runs, count = rows.device, taxonomy.runs, len(taxonomy)
    is_single = taxonomy.class_counts == 1
    # Column 0 stands for no class, so that sums of what comes before a run are in reach.
    order = torch.from_numpy(np.insert(runs.order, 0, 0)).to(device)
    singles, several = (_Nodes.of(np.flatnonzero(mask), taxonomy, device) for mask in (is_single, ~is_single))
    column_of_single = torch.from_numpy(runs.starts[:count][is_single] + 1).to(device)
    is_further = np.arange(len(runs.starts)) >= count
    kept = is_further | np.append(~is_single, np.ones(len(runs.nodes), bool))
    starts, stops = (torch.from_numpy(part[kept]).to(device) for part in (runs.starts, runs.stops))
    further = torch.from_numpy(np.searchsorted(np.flatnonzero(~is_single), runs.nodes)).to(device)
    best = rows.new_zeros(len(rows), int(taxonomy.depths[-1]) + 1, dtype=torch.float64)
    nodes = rows.new_zeros(best.shape, dtype=torch.int64)
    for part, top, at in zip(
        *(blocks(one, _BLOCK * one.shape[1] // rows.shape[1]) for one in (rows, best, nodes)), strict=True
    ):
        e = _exponentials(part, order) if from_logits else part.index_select(1, order)
        e[:, 0] = 0.0
        sums = e.cumsum(1, dtype=torch.float64)
        # Divided by the same sum, so that a node above all classes has the probability 1 exactly.
        total = sums[:, -1:].clone()
        of_runs = sums.index_select(1, stops).sub_(sums.index_select(1, starts))
        of_nodes = of_runs[:, : len(several.nodes)].index_add_(1, further, of_runs[:, len(several.nodes) :])
        several.best(of_nodes, top, at)
        singles.best(e.index_select(1, column_of_single), top, at)
        top.div_(total).clamp_(max=1.0)
    return best, nodes


class _Nodes(NamedTuple):
    """Some nodes, by their depths: those of depth d are ``nodes[bounds[d] : bounds[d + 1]]``."""

    nodes: Int[Tensor, " m"]
    bounds: list[int]

    @classmethod
    def of(cls, nodes: Int[np.ndarray, " m"], taxonomy: simmatrix.ClassTaxonomy, device: torch.device) -> _Nodes:
        """Return nodes, which are in the order of the taxonomy."""
        bounds = np.searchsorted(taxonomy.depths[nodes], np.arange(taxonomy.depths[-1] + 2))
        return cls(torch.from_numpy(nodes).to(device), bounds.tolist())

    def best(self, values: Float[Tensor, "b m"], top: Float[Tensor, "b D"], at: Int[Tensor, "b D"]) -> None:
        """Write, where a node has a greater value than what stands there, its value and its index."""
        for depth, (first, last) in enumerate(pairwise(self.bounds)):
            if first < last:
                greatest, place = values[:, first:last].max(1)
                node, greatest = self.nodes[first + place], greatest.double()
                is_better = (greatest > top[:, depth]) | ((greatest == top[:, depth]) & (node < at[:, depth]))
                top[:, depth] = torch.where(is_better, greatest, top[:, depth])
                at[:, depth] = torch.where(is_better, node, at[:, depth])


def _exponentials(logits: Float[Tensor, "b C"], order: Int[Tensor, " C1"]) -> Float[Tensor, "b C1"]:
    """Return exp(z - max z) of the classes in an order, in float32 or float64."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    greatest = wide.amax(1, keepdim=True)
    e = wide.index_select(1, order)
    if greatest.isinf().any():
        # The classes that have an infinite logit share all.
        is_top = e == greatest
        return e.sub_(greatest).exp_().nan_to_num_(nan=0.0).masked_fill_(is_top, 1.0)
    return e.sub_(greatest).exp_()
