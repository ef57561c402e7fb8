"""Other losses that know which classes are alike, to compare with: cross entropy with soft targets made from S.

Cross entropy itself is `torch.nn.CrossEntropyLoss`. `simloss.decisions.minimum_risk` needs no other loss.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

import simmatrix
from simloss.checks import INDEX_DTYPES, check_options, check_similarity_values, check_weight
from simloss.constants import HoldsConstants
from simloss.errors import ArgumentError, DtypeError, SimilarityWarning, warn_user
from simloss.forms import Similarity, Sparse, Toeplitz, class_count, rows
from simloss.loss import form_and_classes
from simloss.reduction import is_autocast, label_weights, reduced, split_ignored, weighted, work_dtype
from simmatrix.names import Names
from simmatrix.shapes import Float

# Labels that keep more than this are hard.
_HARD = 0.99


def soft_labels(similarity: Float[Tensor, "C C"], beta: float) -> Float[Tensor, "C C"]:
    """Return the target of each class: softmax(-beta d) of its distances d = 1 - S to all.

    For beta = 0 it is uniform, for a large one nearly one-hot.

    Examples
    --------
    >>> soft_labels(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), beta=4.0)
    tensor([[0.8808, 0.1192],
            [0.1192, 0.8808]])
    """
    return (-beta * (1 - similarity)).softmax(1)


def similarity_smoothed_labels(similarity: Float[Tensor, "C C"], label_smoothing: float) -> Float[Tensor, "C C"]:
    """Return the target of each class: 1 - e for itself, and e = label_smoothing shared out among the others by S.

    A class that is similar to no other keeps all for itself.

    Examples
    --------
    >>> similarity = torch.tensor([[1.0, 0.75, 0.25], [0.75, 1.0, 0.0], [0.25, 0.0, 1.0]])
    >>> similarity_smoothed_labels(similarity, 0.1)
    tensor([[0.9000, 0.0750, 0.0250],
            [0.1000, 0.9000, 0.0000],
            [0.1000, 0.0000, 0.9000]])
    """
    others = similarity.clone().fill_diagonal_(0.0)
    sums = others.sum(1, keepdim=True)
    shares = label_smoothing * others / sums.masked_fill(sums == 0, 1.0)
    own = torch.full_like(sums, 1 - label_smoothing).masked_fill(sums == 0, 1.0)
    return shares.diagonal_scatter(own.squeeze(1))


class _SoftTargetLoss(HoldsConstants):
    """Cross entropy with a soft target for each class."""

    weight: Tensor | None
    soft_targets: Tensor

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        to_targets: Callable[[Float[Tensor, "C C"]], Float[Tensor, "C C"]],
        weight: Tensor | None,
        ignore_index: int,
        reduction: str,
        classes: Names | None,
    ) -> None:
        super().__init__()
        form, self.classes = form_and_classes(similarity, classes)
        check_similarity_values(form)
        check_options(reduction, 0.0)
        check_weight(weight, class_count(form))
        self.soft_targets = to_targets(_dense(form))
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    @classmethod
    def from_file(cls, path: str | Path, classes: Names | None = None, **options: Any) -> Self:
        """Return the loss for the similarity matrix in a file.

        Parameters
        ----------
        path
            A file that `simmatrix` wrote, of any form.
        classes
            The names of the classes in the order of the logits, say `train_set.classes`. The matrix is reordered to
            it. Without it the logits must be in the order of the file.
        **options
            All other parameters of the loss, by name.

        Raises
        ------
        simmatrix.errors.ClassOrderError
            If `classes` and those of the file are not the same names.
        simmatrix.errors.SimilarityError
            If the file can't be read; see `simmatrix.load`.
        """
        return cls(simmatrix.load(path), classes=classes, **options)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        input
            Logits, of shape (C), (N, C) or (N, C, d1, ...).
        target
            Class indices, of shape (), (N) or (N, d1, ...).

        Returns
        -------
        Tensor
            In nats. A single number, or for the reduction "none" of the shape of the target. NaN for the mean over
            nothing.

        Raises
        ------
        ValueError
            If the shapes do not fit each other.
        TypeError
            If the target does not hold class indices.
        IndexError
            If a class index is out of bounds (on a GPU a device-side assertion).
        """
        if target.is_floating_point():
            raise DtypeError(f"{type(self).__name__} takes class indices alone, got a target of {target.dtype}")
        count = self.soft_targets.shape[0]
        axis = 0 if input.ndim == 1 else 1
        if (
            input.ndim == 0
            or input.shape[axis] != count
            or target.shape != input.shape[:axis] + input.shape[axis + 1 :]
        ):
            raise ArgumentError(
                f"for {count} classes and a target of shape {tuple(target.shape)}, logits must have shape (C), (N, C) "
                f"or (N, C, d1, ...) to match; got {tuple(input.shape)}"
            )
        if target.dtype not in INDEX_DTYPES:
            raise DtypeError(f"class indices must be torch.int64 or torch.uint8, got {target.dtype}")
        labels, ignored = split_ignored(target.flatten().long(), count, self.ignore_index)
        logs = input.movedim(axis, -1).reshape(-1, count).log_softmax(1, dtype=work_dtype(input))
        shares = weighted(self.soft_targets.index_select(0, labels).to(logs.dtype), self.weight)
        # A class that has no share counts nothing, even where its logit is -inf.
        losses = -(shares * logs).masked_fill(shares == 0, 0.0).sum(1)
        losses = losses if ignored is None else losses.masked_fill(ignored, 0.0)
        total = label_weights(labels, ignored, self.weight, logs.dtype).sum()
        result = reduced(losses, total, self.reduction)
        is_wide = is_autocast(input.device)
        result = result.reshape(target.shape) if self.reduction == "none" else result
        return result.to(None if is_wide else input.dtype)

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        return f"num_classes={len(self.soft_targets)}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"

    def _device(self) -> torch.device:
        return self.soft_targets.device

    def _move(self, device: torch.device) -> None:
        self.soft_targets = self.soft_targets.to(device)


class SoftLabelLoss(_SoftTargetLoss):
    """Cross entropy with soft labels: the target of class y is softmax(-beta (1 - S[y])).

    With the identity matrix it is `nn.CrossEntropyLoss` with a label smoothing of C / (C - 1 + exp(beta)). The targets
    are kept as C x C numbers, whatever the form of S.

    Parameters
    ----------
    similarity
        S, (C, C), in [0, 1] with unit diagonal: a `simmatrix.SimilarityMatrix`, a tensor (strided or CSR),
        `simloss.Sparse` or `simloss.Toeplitz`. With the measure "lcs-height" 1 - S are the distances of the paper.
    beta
        How hard the labels are, at least 0; it has to be given. A class at distance d from the true one has
        exp(-beta d) times its part: for beta = 4 a class at distance 1 has 1/55 of it, for 20 one at distance 0.1 has
        1/7.
    weight, ignore_index, reduction
        As in `torch.nn.CrossEntropyLoss` beside label smoothing. For class indices.
    classes
        The names of the classes in the order of the logits. A `SimilarityMatrix` is reordered to it.

    Warns
    -----
    SimilarityWarning
        If the labels are so hard that this is nearly cross entropy.

    Raises
    ------
    ValueError, TypeError, RuntimeError, simmatrix.errors.ClassOrderError
        As in `simloss.SimLoss`; ValueError also if beta is negative or not finite.

    References
    ----------
    Bertinetto, Mueller, Tertikas, Samangooei and Lord, "Making Better Mistakes: Leveraging Class Hierarchies with Deep
    Networks", CVPR 2020.

    Examples
    --------
    >>> criterion = SoftLabelLoss(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), beta=4.0)
    >>> criterion(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.3653)
    """

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        beta: float | None = None,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        classes: Names | None = None,
    ) -> None:
        if beta is None:
            raise TypeError("SoftLabelLoss needs a beta, as beta=20; the larger it is, the harder are the labels")
        if not 0 <= beta < float("inf"):
            raise ArgumentError(f"beta must be finite and at least 0, got {beta}")
        super().__init__(similarity, lambda s: soft_labels(s, beta), weight, ignore_index, reduction, classes)
        self.beta = beta
        own = float(self.soft_targets.diagonal().double().mean())
        if len(self.soft_targets) > 1 and own > _HARD:
            warn_user(
                f"the labels keep {own:.2%} of their weight for the true class, so the loss is nearly cross entropy; "
                "give a smaller beta, or a similarity that falls more slowly",
                SimilarityWarning,
            )

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        return f"beta={self.beta}, {super().extra_repr()}"


class SimilarityLabelSmoothingLoss(_SoftTargetLoss):
    """Cross entropy with label smoothing that favours similar classes.

    The target of class y is 1 - e for y, and e S[y, c] / sum_{k != y} S[y, k] for each other class c; where y is
    similar to no other class, it is one-hot. With S = 1 everywhere it is `nn.CrossEntropyLoss` with a label smoothing
    of e C / (C - 1). The targets are kept as C x C numbers, whatever the form of S.

    Parameters
    ----------
    similarity
        As in `SoftLabelLoss`.
    label_smoothing
        e, in [0, 1].
    weight, ignore_index, reduction, classes
        As in `SoftLabelLoss`.

    Raises
    ------
    ValueError, TypeError, RuntimeError, simmatrix.errors.ClassOrderError
        As in `simloss.SimLoss`; ValueError also if label_smoothing is out of its range.

    References
    ----------
    After the idea of Liu and JaJa, "Class-Similarity Based Label Smoothing for Confidence Calibration", ICANN 2021: the
    labels of classes follow their similarities to the true one. The formula above is a plain form of it.

    Examples
    --------
    >>> criterion = SimilarityLabelSmoothingLoss(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), label_smoothing=0.1)
    >>> criterion(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.3269)
    """

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        label_smoothing: float = 0.1,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        classes: Names | None = None,
    ) -> None:
        check_options(reduction, label_smoothing)
        super().__init__(
            similarity,
            lambda s: similarity_smoothed_labels(s, label_smoothing),
            weight,
            ignore_index,
            reduction,
            classes,
        )
        self.label_smoothing = label_smoothing

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        return f"label_smoothing={self.label_smoothing}, {super().extra_repr()}"


def _dense(similarity: Similarity) -> Float[Tensor, "C C"]:
    """Return all rows of a matrix, in float32 or float64."""
    count, numbers = class_count(similarity), similarity[-1]
    out = torch.empty(count, count, dtype=work_dtype(numbers), device=numbers.device)
    return rows(similarity, torch.arange(count, device=numbers.device), out)
