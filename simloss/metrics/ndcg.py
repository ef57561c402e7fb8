"""How good a whole ranking of the classes is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simloss.forms import Dense, rows
from simloss.metrics.inputs import Predictions
from simloss.metrics.pairs import MeanOverPairs, Similarities
from simmatrix.names import Names
from simmatrix.shapes import Float, Int

# Numbers ranked at a time.
_BLOCK = 2**22


class NDCG(MeanOverPairs):
    """The normalised discounted cumulative gain of a ranking of all classes, or of its first k.

    A class gains its similarity to the truth, the more the further in front it stands: sum_r S[y, c_r] / log2(r + 1),
    for r from 1, divided by the most that there can be. It judges the order of all classes, where
    `HierarchicalDistance` takes the first k alike.

    Parameters
    ----------
    similarity, classes, ignore_index, **kwargs
        As in `MistakeSeverity`.
    k
        How many of the ranking count, in [1, C]; all if not given.

    Raises
    ------
    TypeError, ValueError, simmatrix.errors.ClassOrderError
        As in `MistakeSeverity`; ValueError also if k is out of its range.

    Notes
    -----
    In [0, 1]; higher is better. NaN where there is no example. Of equal scores the class that comes first is
    the better.

    References
    ----------
    Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS 2002.

    Examples
    --------
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> NDCG(similarity)(torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]), torch.tensor([0, 0]))
    tensor(0.9751)
    """

    higher_is_better: bool = True
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    def __init__(
        self,
        similarity: Similarities,
        *,
        k: int | None = None,
        classes: Names | None = None,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        super().__init__(similarity, None, classes, ignore_index, [k], **kwargs)
        self.k = self.num_classes if k is None else k
        if not 1 <= self.k <= self.num_classes:
            raise ValueError(f"k must be 1 to {self.num_classes}, the number of classes; got {k}")
        self.needed = self.k

    def _sums(self, batch: Predictions) -> Mapping[str, Tensor | int]:
        labels = batch.labels
        discounts = 1 / torch.arange(2, self.k + 2, dtype=torch.float64, device=labels.device).log2()
        wanted, row_of = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        best = labels.new_zeros(len(wanted), dtype=torch.float64)
        total = labels.new_zeros((), dtype=torch.float64)
        height = max(1, _BLOCK // self.num_classes)
        for part, block in zip(torch.split(wanted, height), torch.split(best, height), strict=True):
            block.copy_(self._gains(part).double().topk(self.k, 1).values @ discounts)
        for (part, order), row in zip(batch.rankings(self.k, height), torch.split(row_of, height), strict=True):
            total += ((self._gains(part).gather(1, order).double() @ discounts) / best[row]).sum()
        return {"sum": total, "count": len(labels)}

    def _gains(self, labels: Int[Tensor, " n"]) -> Float[Tensor, "n C"]:
        form = self._form(*(self.get_buffer(name) for name in self._tables))
        if isinstance(form, Dense):
            return form.values[labels]
        return rows(form, labels, torch.empty(len(labels), self.num_classes, dtype=torch.float64, device=labels.device))
