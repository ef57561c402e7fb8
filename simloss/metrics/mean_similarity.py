"""How similar predictions and truth are."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from simloss.metrics.pairs import MeanOverPairs, Similarities
from simmatrix.names import Names
from simmatrix.shapes import Float, Int


class MeanSimilarity(MeanOverPairs):
    """The mean similarity of prediction and truth over all examples; with the identity matrix the accuracy.

    It is an accuracy that gives mistakes their share: S[y, c] for predicting c in place of y.

    Parameters
    ----------
    similarity, classes, ignore_index, **kwargs
        As in `MistakeSeverity`.

    Raises
    ------
    TypeError, ValueError, simmatrix.errors.ClassOrderError
        As in `MistakeSeverity`.

    Notes
    -----
    In [0, 1]; higher is better. NaN where there is no example.

    Examples
    --------
    >>> import torch
    >>> similarity = MeanSimilarity(torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    >>> similarity(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 0, 0]))
    tensor(0.7500)
    """

    higher_is_better: bool = True

    def __init__(
        self,
        similarity: Similarities,
        *,
        classes: Names | None = None,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        super().__init__(similarity, None, classes, ignore_index, **kwargs)

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self._similarities(labels, ranked[:, 0])
