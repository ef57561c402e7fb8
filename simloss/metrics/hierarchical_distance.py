"""How far the best predictions are from the truth."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from simloss.metrics.pairs import Distances, MeanOverPairs, Similarities
from simmatrix.names import Names
from simmatrix.shapes import Float, Int


class HierarchicalDistance(MeanOverPairs):
    """The mean distance of the k best predictions to the truth, over all examples: HD@k.

    For k = 1 it is the severity times the rate of mistakes. For a greater k it tells whether what comes next to the
    best is near the truth as well. It can't be 0 then: the best that it can be is the mean distance of a class to its
    k nearest, itself included.

    Parameters
    ----------
    similarity, distance, classes, ignore_index, **kwargs
        As in `MistakeSeverity`.
    k
        In [1, C]. For k > 1 the metric takes logits, probabilities or rankings, for k = 1 also class indices.

    Raises
    ------
    TypeError, ValueError, simmatrix.errors.ClassOrderError
        As in `MistakeSeverity`; ValueError also if k is out of its range.

    Notes
    -----
    In [0, 1] for a similarity, else in [0, max distance]; lower is better. NaN where there is no example. Of equal
    logits the class that comes first is the better.

    References
    ----------
    Bertinetto, Mueller, Tertikas, Samangooei and Lord, "Making Better Mistakes: Leveraging Class Hierarchies with Deep
    Networks", CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> heights = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 2, 0]])
    >>> logits, target = torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]), torch.tensor([0, 1])
    >>> HierarchicalDistance(distance=heights)(logits, target)  # 0 and 1
    tensor(0.5000)
    >>> HierarchicalDistance(distance=heights, k=2)(logits, target)  # 0, 1 and 1, 2
    tensor(1.)
    """

    higher_is_better: bool = False

    def __init__(
        self,
        similarity: Similarities | None = None,
        *,
        distance: Distances | None = None,
        k: int = 1,
        classes: Names | None = None,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        super().__init__(similarity, distance, classes, ignore_index, [k], **kwargs)
        if not 1 <= k <= self.num_classes:
            raise ValueError(f"k must be 1 to {self.num_classes}, the number of classes; got {k}")
        self.k = self.needed = k

    def _values(self, ranked: Int[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " nk"]:
        return self._distances(labels.unsqueeze(1).expand_as(ranked).flatten(), ranked.flatten())
