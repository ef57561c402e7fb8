"""How honest confidence is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import simmatrix
from simloss.errors import ArgumentError
from simloss.metrics.inputs import Predictions
from simloss.metrics.mean import SumsOverExamples
from simloss.metrics.nodes import Tables
from simmatrix.shapes import Float, Int


class Reliability(NamedTuple):
    """What a reliability diagram shows, by bins of confidence.

    Parameters
    ----------
    confidence, accuracy
        Their means in each bin, float64; NaN where the bin is empty.
    examples
        How many there are in each bin.
    """

    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]
    examples: Int[Tensor, " bins"]


class CalibrationError(SumsOverExamples):
    """The expected calibration error: the mean distance of confidence and accuracy, over bins of confidence.

    The confidence is the greatest probability; of nodes of a taxonomy, which `simloss.back_off` returns, theirs. Bins
    are of equal width, closed on the left, the last one on both sides. Kept are three numbers a bin.

    Parameters
    ----------
    num_classes
        C.
    n_bins
        1 or more.
    taxonomy
        To judge nodes by, what `simmatrix.read_taxonomy` gives.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    ValueError
        If there is no bin.

    Notes
    -----
    In [0, 1]; lower is better. NaN where there is no example. Scores are taken for probabilities if none in the batch
    is negative and those of each example sum up to 1, within 1 %; otherwise for logits.

    References
    ----------
    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> import torch
    >>> error = CalibrationError(2)
    >>> error(torch.tensor([[0.95, 0.05], [1.0, 0.0]]), torch.tensor([0, 1]))  # |0.975 - 0.5|
    tensor(0.4750)
    >>> error.reliability().examples[-1]
    tensor(2)
    """

    higher_is_better: bool = False
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    def __init__(
        self,
        num_classes: int,
        *,
        n_bins: int = 15,
        taxonomy: simmatrix.ClassTaxonomy | None = None,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        if n_bins < 1:
            raise ArgumentError(f"n_bins must be at least 1, got {n_bins}")
        sums = {
            "confidence": torch.zeros(n_bins, dtype=torch.float64, device="cpu"),
            "right": torch.zeros(n_bins, dtype=torch.int64, device="cpu"),
            "count": torch.zeros(n_bins, dtype=torch.int64, device="cpu"),
        }
        tables = {} if taxonomy is None else Tables.of(taxonomy, num_classes)
        super().__init__(num_classes, tables, sums, [n_bins], ignore_index, **kwargs)
        self.n_bins = n_bins
        self._knows_nodes = taxonomy is not None

    def value(self) -> Float[Tensor, ""]:
        """Return the error over what this process has counted, in float64; NaN where that is nothing."""
        gaps = (self.sum_of("confidence") - self.sum_of("right")).abs()
        error: Tensor = gaps.sum() / self.sum_of("count").sum()
        return error

    def reliability(self) -> Reliability:
        """Return the mean confidence and the accuracy of each bin."""
        confidence, right, count = (self.sum_of(name) for name in ("confidence", "right", "count"))
        return Reliability(confidence / count, right / count, count.clone())

    def reliability_diagram(self, ax: Any = None) -> tuple[Any, Any]:
        """Draw the accuracy of each bin over its confidence, with a bar for the bin's share of the examples.

        Parameters
        ----------
        ax
            Matplotlib's axes to draw on; new ones if not given.

        Returns
        -------
        tuple
            The figure and the axes.
        """
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.subplots()[1]
        confidence, accuracy, count = (part.cpu().numpy() for part in self.reliability())
        shares = count / max(count.sum(), 1)
        ax.bar(
            np.arange(self.n_bins) / self.n_bins,
            shares,
            1 / self.n_bins,
            align="edge",
            color="0.85",
            label="share of the examples",
        )
        ax.plot([0, 1], [0, 1], ":", color="0.5", label="as sure as right")
        seen = count > 0
        ax.plot(confidence[seen], accuracy[seen], "o-", label="accuracy")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
        ax.legend(loc="upper left")
        return ax.figure, ax

    def _is_enough(self, batch: Predictions) -> bool:
        return batch.scores is not None or (batch.nodes is not None and self._knows_nodes)

    def _wanted(self) -> str:
        return "logits or probabilities, or nodes where a taxonomy is given"

    def _sums(self, batch: Predictions) -> Mapping[str, Tensor | int]:
        confidence = batch.confidence()
        assert confidence is not None  # noqa: S101 - `_is_enough` has seen to it
        if batch.nodes is None:
            is_right = batch.ranked(1)[:, 0] == batch.labels
        else:
            is_right = Tables(*(self.get_buffer(name) for name in Tables._fields)).is_above(batch.nodes, batch.labels)
        edges = torch.arange(1, self.n_bins, dtype=torch.float64, device=confidence.device) / self.n_bins
        bins = torch.bucketize(confidence.double(), edges, right=True)
        zeros = confidence.new_zeros(self.n_bins, dtype=torch.float64)
        ones = zeros.long()
        return {
            "confidence": zeros.index_add(0, bins, confidence.double()),
            "right": ones.index_add(0, bins, is_right.long()),
            "count": ones.index_add(0, bins, torch.ones_like(bins)),
        }
