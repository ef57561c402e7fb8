"""Metrics on a taxonomy: they judge classes and the nodes above them alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

import simmatrix
from simloss.backoff import check_taxonomy
from simloss.errors import ArgumentError
from simloss.metrics.inputs import Predictions
from simloss.metrics.mean import MeanOverExamples
from simmatrix.shapes import Bool, Float, Int


class Tables(NamedTuple):
    """What is known of the nodes of a taxonomy, as buffers of a metric.

    Parameters
    ----------
    places
        The node of each class.
    depths, information
        Of each node.
    starts, ancestors
        The ancestors of node i, itself first, are ``ancestors[starts[i] : starts[i + 1]]``.
    keys
        The number i * n + j for each node i and each j of these, ascending.
    """

    places: Int[Tensor, " C"]
    depths: Int[Tensor, " n"]
    information: Float[Tensor, " n"]
    starts: Int[Tensor, " n1"]
    ancestors: Int[Tensor, " a"]
    keys: Int[Tensor, " a"]

    @classmethod
    def of(cls, taxonomy: simmatrix.ClassTaxonomy, classes: int | None = None) -> dict[str, Tensor]:
        """Return what is known of a taxonomy's nodes, by name."""
        check_taxonomy(taxonomy, len(getattr(taxonomy, "classes", ())) if classes is None else classes)
        tables = cls(
            *(
                torch.from_numpy(getattr(taxonomy, name).copy())
                for name in ("places", "depths", "information", "starts", "ancestors", "keys")
            )
        )
        return tables._asdict()

    def is_above(self, nodes: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Return whether each node is above a true class, or is its own."""
        return self._has(self.places[labels] * len(self.depths) + nodes)

    def sizes(self, nodes: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return how many ancestors each node has, itself among them, but not the root."""
        return self.starts[nodes + 1] - self.starts[nodes] - 1

    def shared(self, nodes: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return how many ancestors each node has in common with the node of a true class; as in `sizes`."""
        counts = self.sizes(nodes) + 1
        example = torch.arange(len(nodes), device=nodes.device).repeat_interleave(counts)
        within = torch.arange(len(example), device=nodes.device) - (counts.cumsum(0) - counts)[example]
        ancestors = self.ancestors[self.starts[nodes][example] + within]
        has = self._has(self.places[labels][example] * len(self.depths) + ancestors)
        return torch.zeros_like(nodes).index_add_(0, example, has.long()) - 1

    def _has(self, keys: Int[Tensor, " m"]) -> Bool[Tensor, " m"]:
        return self.keys[torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)] == keys


class MeanOverNodes(MeanOverExamples):
    """A mean over nodes that are predicted, or over the nodes of classes that are.

    Parameters
    ----------
    taxonomy
        What is above the classes, in the order of the logits: `simmatrix.read_taxonomy` gives it.
    ignore_index
        The target of examples that are left out.
    settings, **kwargs
        As in `SumsOverExamples`.
    """

    needed: int | None = None

    def __init__(
        self,
        taxonomy: simmatrix.ClassTaxonomy,
        *,
        ignore_index: int | None = -100,
        settings: tuple[object, ...] = (),
        **kwargs: Any,
    ) -> None:
        tables = Tables.of(taxonomy)
        super().__init__(len(taxonomy.classes), tables, ignore_index, settings, **kwargs)

    @property
    def _tables(self) -> Tables:
        return Tables(*(self.get_buffer(name) for name in Tables._fields))

    def _sums(self, batch: Predictions) -> Mapping[str, Tensor | int]:
        nodes = self._tables.places[batch.ranked(1)[:, 0]] if batch.nodes is None else batch.nodes
        if nodes.numel() and not 0 <= int(nodes.min()) <= int(nodes.max()) < len(self._tables.depths):
            raise IndexError(f"a node is out of bounds: nodes are 0 to {len(self._tables.depths) - 1}")
        above, below = self._parts(nodes, batch.labels)
        return {"sum": above.sum(dtype=torch.float64), "count": below if isinstance(below, int) else below.sum()}

    def _parts(self, nodes: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> tuple[Tensor, Tensor | int]:
        """Return what is above and what is below the line of the ratio, an example or all of them."""
        raise NotImplementedError


class NodeAccuracy(MeanOverNodes):
    """The share of the examples whose node is right: it is above the true class, or its own.

    Parameters
    ----------
    taxonomy
        What is above the classes, in the order of the logits: `simmatrix.read_taxonomy` gives it.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    TypeError
        If the taxonomy is none.

    Notes
    -----
    In [0, 1]; higher is better. NaN where there is no example. The root is always right: look at it beside the depth
    or the information, as `MistakeReport` does.

    References
    ----------
    Deng, Krause, Berg and Fei-Fei, "Hedging Your Bets: Optimizing Accuracy-Specificity Trade-offs in Large Scale Visual
    Recognition", CVPR 2012.

    Examples
    --------
    >>> import simloss, simmatrix, torch
    >>> tree = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}
    >>> taxonomy = simmatrix.read_taxonomy(tree, ["owl", "wren", "cod"])
    >>> logits, target = torch.tensor([[0.5, 0.45, 0.05]] * 2).log(), torch.tensor([1, 2])
    >>> NodeAccuracy(taxonomy)(simloss.back_off(logits, taxonomy, 0.9), target)  # bird for wren, bird for cod
    tensor(0.5000)
    """

    higher_is_better: bool = True
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    def _parts(self, nodes: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> tuple[Tensor, Tensor | int]:
        return self._tables.is_above(nodes, labels), len(nodes)


class _NodeFigure(MeanOverNodes):
    """The mean of what is known of each node."""

    _column: str
    higher_is_better: bool = True
    plot_lower_bound: float = 0.0

    def _parts(
        self,
        nodes: Int[Tensor, " n"],
        labels: Int[Tensor, " n"],  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | int]:
        # Node by node: a sum over many examples would depend on the number of threads in its last digit.
        known = getattr(self._tables, self._column)
        return known * torch.bincount(nodes, minlength=len(known)), len(nodes)


class NodeDepth(_NodeFigure):
    """The mean depth of the nodes that are predicted: how precise they are, right or wrong. The root has depth 0.

    Parameters
    ----------
    taxonomy, ignore_index, **kwargs
        As in `NodeAccuracy`.

    Notes
    -----
    At least 0, in edges of the longest way from the root; higher says more. NaN where there is no example.

    Examples
    --------
    >>> import simmatrix, torch
    >>> tree = {"animal": {"bird": ["owl", "wren"]}, "plant": ["oak"]}
    >>> taxonomy = simmatrix.read_taxonomy(tree, ["owl", "wren", "oak"])
    >>> NodeDepth(taxonomy)(torch.tensor([0, 2]), torch.tensor([0, 0]))
    tensor(2.5000)
    """

    _column = "depths"


class NodeInformation(_NodeFigure):
    """The mean information of the nodes that are predicted, in bits: log2(C / classes at or below the node).

    Parameters
    ----------
    taxonomy, ignore_index, **kwargs
        As in `NodeAccuracy`.

    Notes
    -----
    In [0, log2 C]; higher says more. NaN where there is no example.

    References
    ----------
    Deng, Krause, Berg and Fei-Fei, "Hedging Your Bets: Optimizing Accuracy-Specificity Trade-offs in Large Scale Visual
    Recognition", CVPR 2012.

    Examples
    --------
    >>> import simmatrix, torch
    >>> tree = {"bird": ["owl", "wren"], "fish": ["cod", "eel"]}
    >>> taxonomy = simmatrix.read_taxonomy(tree, ["owl", "wren", "cod", "eel"])
    >>> NodeInformation(taxonomy)(torch.tensor([0, 2]), torch.tensor([0, 0]))
    tensor(2.)
    """

    _column = "information"


class _Overlap(MeanOverNodes):
    """A ratio of the ancestors that a node shares with the true class's to those of either, or of both."""

    _weights: tuple[int, int]
    """Whether the predicted node's ancestors count below the line, and whether the true class's do."""
    higher_is_better: bool = True
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    def __init__(
        self,
        taxonomy: simmatrix.ClassTaxonomy,
        *,
        average: Literal["micro", "macro"] = "micro",
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        if average not in ("micro", "macro"):
            raise ArgumentError(f"average must be 'micro' or 'macro', got {average!r}")
        super().__init__(taxonomy, ignore_index=ignore_index, settings=(average,), **kwargs)
        self.average = average

    def _parts(self, nodes: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> tuple[Tensor, Tensor | int]:
        tables = self._tables
        shared, predicted, true = tables.shared(nodes, labels), tables.sizes(nodes), tables.sizes(tables.places[labels])
        of_predicted, of_true = self._weights
        above, below = (of_predicted + of_true) * shared, of_predicted * predicted + of_true * true
        if self.average == "micro":
            return above, below
        said = below > 0
        return above[said] / below[said], int(said.sum())


class HierarchicalPrecision(_Overlap):
    """How many of the predicted node and its ancestors are the true class's or ancestors of it.

    Parameters
    ----------
    taxonomy, ignore_index, **kwargs
        As in `NodeAccuracy`.
    average
        ``"micro"`` adds up the nodes of all examples before it divides, ``"macro"`` takes the mean of the examples'
        ratios.

    Raises
    ------
    TypeError, ValueError
        As in `NodeAccuracy`; ValueError also for another average.

    Notes
    -----
    In [0, 1]; higher is better. The root does not count; where it is predicted, and for "macro" an example of it,
    nothing is counted. NaN where nothing is. Equal to HiClass's.

    References
    ----------
    Kiritchenko, Matwin and Famili, "Functional Annotation of Genes Using Hierarchical Text Categorization", BioLINK
    2005; Silla and Freitas, "A survey of hierarchical classification across different application domains", 2011.

    Examples
    --------
    >>> import simmatrix, torch
    >>> taxonomy = simmatrix.read_taxonomy({"bird": ["owl", "wren"], "fish": ["cod"]}, ["owl", "wren", "cod"])
    >>> HierarchicalPrecision(taxonomy)(torch.tensor([0, 0]), torch.tensor([0, 1]))  # owl and bird; bird
    tensor(0.7500)
    """

    _weights = (1, 0)


class HierarchicalRecall(_Overlap):
    """How many of the true class and its ancestors are predicted.

    Parameters
    ----------
    taxonomy, average, ignore_index, **kwargs
        As in `HierarchicalPrecision`.

    Notes
    -----
    As in `HierarchicalPrecision`.

    Examples
    --------
    >>> import simmatrix, torch
    >>> taxonomy = simmatrix.read_taxonomy({"bird": ["owl", "wren"], "fish": ["cod"]}, ["owl", "wren", "cod"])
    >>> HierarchicalRecall(taxonomy)(torch.tensor([0, 2]), torch.tensor([1, 1]))  # bird; nothing
    tensor(0.2500)
    """

    _weights = (0, 1)


class HierarchicalF1(_Overlap):
    """The harmonic mean of hierarchical precision and recall.

    Parameters
    ----------
    taxonomy, average, ignore_index, **kwargs
        As in `HierarchicalPrecision`. ``"macro"`` is the mean of the examples' own F1.

    Notes
    -----
    As in `HierarchicalPrecision`.

    Examples
    --------
    >>> import simmatrix, torch
    >>> taxonomy = simmatrix.read_taxonomy({"bird": ["owl", "wren"], "fish": ["cod"]}, ["owl", "wren", "cod"])
    >>> HierarchicalF1(taxonomy)(torch.tensor([0, 0]), torch.tensor([0, 1]))
    tensor(0.7500)
    """

    _weights = (1, 1)
