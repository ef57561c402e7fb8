"""SimLoss as a module, in the manner of nn.CrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from torch import Tensor

import simmatrix
from simloss.checks import check_options, check_similarity, check_similarity_values, check_weight
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, as_similarity, class_count, from_matrix
from simloss.held import HoldsSimilarity
from simloss.loss import sim_loss

__all__ = ["SimLoss", "form_and_classes"]


class SimLoss(HoldsSimilarity):
    """`sim_loss` as a module, in the manner of `torch.nn.CrossEntropyLoss`.

    The similarity moves with the module from device to device, but keeps its own dtype where the rest of a model is
    cast, and does not enter checkpoints: `state_dict` is that of `nn.CrossEntropyLoss`.

    Parameters
    ----------
    similarity
        A tensor of shape (C, C), strided or CSR, or `simloss.Sparse` or `simloss.Toeplitz`, in [0, 1] with unit
        diagonal, kept as it is in whatever floating-point dtype it has; or a `simmatrix.SimilarityMatrix`, in float32
        and in its own form. Only where a sparse one has so many entries that a dense one is faster is it made dense.
    weight, ignore_index, reduction, label_smoothing
        As in `sim_loss`.
    classes
        The names of the classes in the order of the logits. A `SimilarityMatrix` is reordered to it.

    Attributes
    ----------
    classes : tuple of str, or None
        The names of the classes in the order of the logits, where they are known.
    lower_bound : float
        The l of max(0, (S - l) / (1 - l)), the similarity in use; 0 at first. It may be set between the steps of a
        training, say to anneal it.

    Raises
    ------
    ValueError
        If the similarity is not square, leaves [0, 1], has a NaN or a diagonal that is not 1; if `classes` does not
        have one name a row of a tensor; or if an option has no meaning.
    TypeError
        If the similarity or the weight is not of a floating-point dtype.
    RuntimeError
        If the similarity requires a gradient.
    simmatrix.errors.ClassOrderError
        If `classes` and those of a `SimilarityMatrix` are not the same names.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> criterion = SimLoss(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), classes=["cat", "lynx"])
    >>> logits = torch.zeros(1, 2, requires_grad=True)
    >>> loss = criterion(logits, torch.tensor([0]))
    >>> loss.backward()
    >>> logits.grad
    tensor([[-0.1667,  0.1667]])
    """

    weight: Tensor | None

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        check_options(reduction, label_smoothing)
        form, self.classes = form_and_classes(similarity, classes)
        check_similarity_values(form)
        check_weight(weight, class_count(form))
        self._hold(form)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        classes: Sequence[str] | None = None,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> SimLoss:
        """Return the loss for the similarity matrix in a file.

        Parameters
        ----------
        path
            A file that `simmatrix` wrote, of any form.
        classes
            The names of the classes in the order of the logits, say `train_set.classes`. The matrix is reordered to
            it. Without it the logits must be in the order of the file.
        weight, ignore_index, reduction, label_smoothing
            As in `sim_loss`.

        Returns
        -------
        SimLoss
            On the CPU, with the similarity in float32.

        Raises
        ------
        simmatrix.errors.ClassOrderError
            If `classes` and those of the file are not the same names.
        simmatrix.errors.SimilarityError
            If the file can't be read; see `simmatrix.load`.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> matrix = simmatrix.SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("cat", "lynx"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cats.safetensors")
        ...     matrix.save(path)
        ...     criterion = SimLoss.from_file(path, classes=["lynx", "cat"])
        >>> criterion.classes
        ('lynx', 'cat')
        """
        return cls(simmatrix.load(path), weight, ignore_index, reduction, label_smoothing, classes=classes)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; see `sim_loss`."""
        return sim_loss(
            input, target, self.similarity, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        form = self._form()
        kind = "" if isinstance(form, Dense) else f"{type(form).__name__} "
        return (
            f"num_classes={class_count(form)}, similarity={kind}{form[-1].dtype}, "
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"
            f"{self._bound_repr()}"
        )


def form_and_classes(
    similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix, classes: Sequence[str] | None
) -> tuple[Similarity, tuple[str, ...] | None]:
    """Return the similarity in the order of the classes, and their names."""
    if isinstance(classes, Set | Mapping):
        raise TypeError(
            f"classes must be in the order of the logits, which a {type(classes).__name__} does not say; of a "
            "class_to_idx give sorted(class_to_idx, key=class_to_idx.get)"
        )
    if isinstance(similarity, simmatrix.SimilarityMatrix):
        matrix = similarity if classes is None else similarity.reorder(classes)
        return from_matrix(matrix), matrix.classes
    form = as_similarity(similarity)
    check_similarity(form)
    if isinstance(similarity, Tensor) and isinstance(form, Sparse):
        form = Sparse(*(part.clone() for part in form))  # the parts of a CSR tensor are views, which don't compile
    if classes is not None and len(classes) != class_count(form):
        raise ValueError(f"{len(classes)} classes do not name the rows of shape {(class_count(form),) * 2}")
    return form, None if classes is None else tuple(classes)
