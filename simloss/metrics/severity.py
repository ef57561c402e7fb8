"""How severe mistakes are."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from simloss.metrics.pairs import Distances, MeanOverPairs, Similarities
from simmatrix.names import Names
from simmatrix.shapes import Float, Int


class MistakeSeverity(MeanOverPairs):
    """The mean distance of prediction and truth over the mistakes; what is right does not count.

    A model that adds easy mistakes improves it: look at it beside the accuracy, as `MistakeReport` does.

    The distance is 1 - S. Measure with a matrix without a lower bound, which would make all that lies below it equally
    far. For the height of the lowest common ancestor over that of the root take the measure "lcs-height", of a taxonomy
    or of the columns of a class list: ``simmatrix.from_taxonomy("superclass", "cifar100", measure="lcs-height",
    lower_bound=0.0)``. For the height itself, give that as the distance.

    Parameters
    ----------
    similarity
        S, (C, C), in [0, 1] with unit diagonal, row y of the true class y: a `simmatrix.SimilarityMatrix`, a tensor
        (strided or CSR), an array, `simloss.Sparse` or `simloss.Toeplitz`.
    distance
        In place of it a tensor or an array of distances, (C, C), on any scale: at least 0, and 0 on the diagonal.
    classes
        The names of the classes in the order of the logits, say `train_set.classes`. A `SimilarityMatrix` is reordered
        to it.
    ignore_index
        The target of examples that are left out.
    **kwargs
        Of `torchmetrics.Metric`.

    Raises
    ------
    TypeError
        If not one of similarity and distance is given, or it is of another type.
    ValueError
        If the matrix is not square, or its values can't be similarities, or distances.
    simmatrix.errors.ClassOrderError
        If `classes` and those of a `SimilarityMatrix` are not the same names.

    Notes
    -----
    In [0, 1] for a similarity, else in [0, max distance]; lower is better. NaN where there is no mistake.

    References
    ----------
    Bertinetto, Mueller, Tertikas, Samangooei and Lord, "Making Better Mistakes: Leveraging Class Hierarchies with Deep
    Networks", CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> severity = MistakeSeverity(torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    >>> severity(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 2, 1]))  # distances 0, 0.5, 0, 1
    tensor(0.7500)
    >>> heights = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 2, 0]])
    >>> MistakeSeverity(distance=heights)(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 2, 1]))
    tensor(1.5000)
    """

    higher_is_better: bool = False

    def __init__(
        self,
        similarity: Similarities | None = None,
        *,
        distance: Distances | None = None,
        classes: Names | None = None,
        ignore_index: int | None = -100,
        **kwargs: Any,
    ) -> None:
        super().__init__(similarity, distance, classes, ignore_index, **kwargs)

    def _values(self, ranked: Int[Tensor, "n 1"], labels: Int[Tensor, " n"]) -> Float[Tensor, " m"]:
        predicted = ranked[:, 0]
        mistaken = predicted != labels
        return self._distances(labels[mistaken], predicted[mistaken])
