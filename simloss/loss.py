"""SimLoss as a function and as a module, in the manner of F.cross_entropy and nn.CrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import simmatrix
from simloss.checks import check_call, check_options, check_similarity, check_similarity_values, check_weight
from simloss.dense import distribution_losses, index_losses, work_dtype
from simloss.reduction import label_weights, one_hot, reduced, smoothed, split_ignored, weighted
from simmatrix.matrix import is_sparse
from simmatrix.shapes import Float, Int

__all__ = ["SimLoss", "sim_loss"]


def sim_loss(
    input: Tensor,
    target: Tensor,
    similarity: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy that knows which classes are alike: -log sum_c S[y, c] softmax(input)[c].

    All that `torch.nn.functional.cross_entropy` takes it takes, and with the identity matrix for S it is that function.
    Only where that one returns NaN for logits that are NaN or infinite, this one is stricter about what counts: an
    ignored example and a class without a share in the target count nothing at all. A larger S[y, c] makes it cheaper to
    take class c for class y; with S = 1 everywhere the loss is 0.

    The arithmetic is in float32, for float64 logits in float64, whatever the dtype of the similarity. The products
    with S that class probabilities and label smoothing need obey `torch.set_float32_matmul_precision`.

    Parameters
    ----------
    input
        Logits, of shape (C), (N, C) or (N, C, d1, ...). Never modified.
    target
        Either class indices, of shape (), (N) or (N, d1, ...), each in [0, C) or `ignore_index`; or class
        probabilities t, of the shape of `input`: the loss is then sum_k t_k (-log sum_c S[k, c] softmax(input)[c]).
    similarity
        S, of shape (C, C), in [0, 1] with unit diagonal, of any floating-point dtype. These values are not checked
        here, but `SimLoss` checks them once. It gets no gradient.
    weight
        What a class counts, of shape (C). The mean is over the summed weights of the targets.
    ignore_index
        The class index of examples that count nothing. Not for class probabilities.
    reduction
        "mean", "sum", or "none" for one loss an example.
    label_smoothing
        In [0, 1]: the share of the target that is spread evenly over all classes.

    Returns
    -------
    Tensor
        In nats, at least 0. A single number, or for "none" of the shape of the class indices. Of the dtype of
        `input`, or of what `F.cross_entropy` promotes it to beside class probabilities or under autocast. NaN for the
        mean over nothing: an empty batch, or all targets ignored.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an option has no meaning.
    TypeError
        If a dtype is not what it has to be.
    IndexError
        If a class index is out of bounds (on a GPU a device-side assertion, as in `F.cross_entropy`).
    RuntimeError
        If the tensors are on different devices; if `similarity` requires a gradient, or `weight` does beside class
        indices; in a backward pass with create_graph=True, since there is no second derivative.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
    >>> sim_loss(logits, torch.tensor([0]), similarity)
    tensor(0.2388)
    >>> sim_loss(logits, torch.tensor([0]), torch.eye(3))  # cross entropy
    tensor(0.4076)
    """
    check_options(reduction, label_smoothing)
    check_call(input, target, similarity, weight, ignore_index)
    logits = _rows(input)
    if target.shape == input.shape:
        losses, total = _of_probabilities(logits, _rows(target), similarity, weight, label_smoothing)
    else:
        labels, ignored = split_ignored(target.flatten().long(), logits.shape[1], ignore_index)
        losses, total = _of_labels(logits, labels, ignored, similarity, weight, label_smoothing)
    losses = losses.view(input.shape[:1] + input.shape[2:] if input.ndim > 1 else ())
    return reduced(losses, total, reduction).to(_result_dtype(input, target, weight))


def _of_labels(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    ignored: Tensor,
    similarity: Float[Tensor, "C C"],
    weight: Float[Tensor, " C"] | None,
    label_smoothing: float,
) -> tuple[Float[Tensor, " N"], Tensor | int]:
    """Return the loss of each example for class indices, and what their mean is over."""
    dtype = work_dtype(logits)
    counts = label_weights(labels, ignored, weight, dtype)
    if label_smoothing == 0:
        return index_losses(logits, labels, ignored, similarity) * counts, counts.sum()
    distribution = weighted(smoothed(one_hot(labels, logits.shape[1], dtype), label_smoothing), weight)
    return distribution_losses(logits, distribution, ignored, similarity), counts.sum()


def _of_probabilities(
    logits: Float[Tensor, "N C"],
    target: Float[Tensor, "N C"],
    similarity: Float[Tensor, "C C"],
    weight: Float[Tensor, " C"] | None,
    label_smoothing: float,
) -> tuple[Float[Tensor, " N"], Tensor | int]:
    """Return the loss of each example for class probabilities, and what their mean is over."""
    distribution = weighted(smoothed(target.to(work_dtype(logits)), label_smoothing), weight)
    none_ignored = torch.zeros(logits.shape[0], dtype=torch.bool, device=logits.device)
    return distribution_losses(logits, distribution, none_ignored, similarity), logits.shape[0]


def _rows(tensor: Tensor) -> Float[Tensor, "N C"]:
    """Return (C), (N, C) or (N, C, d1, ...) as one row of classes an example."""
    return tensor.unsqueeze(0) if tensor.ndim == 1 else tensor.movedim(1, -1).flatten(0, -2)


def _result_dtype(logits: Tensor, target: Tensor, weight: Tensor | None) -> torch.dtype:
    """Return the dtype that F.cross_entropy would give the loss."""
    dtype = logits.dtype
    if target.is_floating_point():
        for other in (target, weight):
            dtype = dtype if other is None else torch.promote_types(dtype, other.dtype)
    if torch.is_autocast_enabled(logits.device.type):
        dtype = torch.promote_types(dtype, torch.float32)
    return dtype


class SimLoss(nn.Module):
    """`sim_loss` as a module, in the manner of `torch.nn.CrossEntropyLoss`.

    The similarity moves with the module from device to device, but keeps its own dtype where the rest of a model is
    cast, and does not enter checkpoints: `state_dict` is that of `nn.CrossEntropyLoss`.

    Parameters
    ----------
    similarity
        A tensor of shape (C, C) in [0, 1] with unit diagonal, kept as it is in whatever floating-point dtype it has,
        or a `simmatrix.SimilarityMatrix`, in float32. A sparse one is made dense.
    weight, ignore_index, reduction, label_smoothing
        As in `sim_loss`.
    classes
        The names of the classes in the order of the logits. A `SimilarityMatrix` is reordered to it.

    Attributes
    ----------
    classes : tuple of str, or None
        The names of the classes in the order of the logits, where they are known.

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

    similarity: Tensor
    weight: Tensor | None

    def __init__(
        self,
        similarity: Tensor | simmatrix.SimilarityMatrix,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        check_options(reduction, label_smoothing)
        values, self.classes = _values_and_classes(similarity, classes)
        check_similarity_values(values)
        check_weight(weight, values.shape[0])
        self.register_buffer("similarity", values, persistent=False)
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
            A file that `simmatrix` wrote. A sparse matrix is made dense.
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
        return (
            f"num_classes={self.similarity.shape[0]}, similarity={self.similarity.dtype}, "
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SimLoss:
        """Apply a move or a cast, from which the similarity takes the device only: bfloat16 would blur it for good."""
        similarity = self.similarity
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types for it
        self.similarity = similarity.to(self.similarity.device)
        return self


def _values_and_classes(
    similarity: Tensor | simmatrix.SimilarityMatrix, classes: Sequence[str] | None
) -> tuple[Tensor, tuple[str, ...] | None]:
    """Return the similarity as a dense tensor in the order of the classes, and the names of the classes."""
    if isinstance(similarity, simmatrix.SimilarityMatrix):
        matrix = similarity if classes is None else similarity.reorder(classes)
        # One copy: made dense or not, the array is the tensor's own.
        values = matrix.values.toarray() if is_sparse(matrix.values) else matrix.values.copy()
        return torch.from_numpy(values), matrix.classes
    check_similarity(similarity)
    if classes is not None and len(classes) != similarity.shape[0]:
        raise ValueError(f"{len(classes)} classes do not name the rows of shape {tuple(similarity.shape)}")
    return similarity, None if classes is None else tuple(classes)
