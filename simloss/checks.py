"""What the loss refuses, before it computes anything.

The kinds of error say what was wrong: ValueError a value or a shape, TypeError a dtype, RuntimeError a device or a
gradient that does not exist, IndexError a class index (raised where the indices are read, in `reduction`).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_call", "check_options", "check_similarity", "check_similarity_values", "check_weight"]

REDUCTIONS = ("none", "mean", "sum")
INDEX_DTYPES = (torch.int64, torch.uint8)  # those of F.cross_entropy


def check_options(reduction: str, label_smoothing: float) -> None:
    """Raise ValueError for options that have no meaning."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction!r} is not a valid value for reduction; use one of {', '.join(REDUCTIONS)}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0, got {label_smoothing}")


def check_similarity(similarity: object) -> None:
    """Raise for a similarity that is no square floating-point tensor, or that waits for a gradient."""
    if not isinstance(similarity, Tensor):
        raise TypeError(
            f"similarity must be a tensor, or for SimLoss a SimilarityMatrix; got {type(similarity).__name__} "
            "(SimLoss.from_file reads files)"
        )
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or similarity.shape[0] == 0:
        raise ValueError(f"similarity must be a square matrix, one row a class; got shape {tuple(similarity.shape)}")
    if not similarity.is_floating_point():
        raise TypeError(f"similarity must be of a floating-point dtype, got {similarity.dtype}")
    if similarity.requires_grad:
        raise RuntimeError("similarity gets no gradient from this loss; pass similarity.detach()")


def check_similarity_values(similarity: Tensor) -> None:
    """Raise ValueError where a square matrix has an entry outside [0, 1], a NaN, or a diagonal that is not 1.

    It reads the whole matrix and, on a GPU, waits for the answer. So it is done when a module is made, not when it is
    called.
    """
    outside = ~((similarity >= 0) & (similarity <= 1))  # so written, NaN is outside too
    if outside.any():
        row, column = outside.nonzero()[0].tolist()
        found = similarity[row, column].item()
        raise ValueError(f"similarity must lie in [0, 1], but similarity[{row}, {column}] is {found}")
    other = similarity.diagonal() != 1
    if other.any():
        row = int(other.nonzero()[0].item())
        found = similarity[row, row].item()
        raise ValueError(f"a class must have similarity 1 to itself, but similarity[{row}, {row}] is {found}")


def check_weight(weight: Tensor | None, classes: int) -> None:
    """Raise for class weights that are not one floating-point number a class."""
    if weight is None:
        return
    if tuple(weight.shape) != (classes,):
        raise ValueError(f"weight must have shape ({classes},), one number a class; got {tuple(weight.shape)}")
    if not weight.is_floating_point():
        raise TypeError(f"weight must be of a floating-point dtype, got {weight.dtype}")


def check_call(logits: Tensor, target: Tensor, similarity: Tensor, weight: Tensor | None, ignore_index: int) -> None:
    """Raise for tensors that do not fit each other. Looks at shapes, dtypes and devices only, never at values."""
    if logits.ndim == 0:
        raise ValueError("logits must have shape (C), (N, C) or (N, C, d1, ...), got a single number")
    if not logits.is_floating_point():
        raise TypeError(f"logits must be of a floating-point dtype, got {logits.dtype}")
    check_similarity(similarity)
    classes = logits.shape[0 if logits.ndim == 1 else 1]
    if similarity.shape[0] != classes:
        raise ValueError(
            f"similarity has shape {tuple(similarity.shape)}, but the logits of shape {tuple(logits.shape)} "
            f"have {classes} classes"
        )
    check_weight(weight, classes)
    for name, tensor in (("target", target), ("similarity", similarity), ("weight", weight)):
        if tensor is not None and tensor.device != logits.device:
            raise RuntimeError(f"{name} is on {tensor.device}, but the logits are on {logits.device}")
    if target.shape == logits.shape:
        _check_probabilities(target, ignore_index)
    else:
        _check_indices(logits, target, weight)


def _check_probabilities(target: Tensor, ignore_index: int) -> None:
    """Raise for a target of the logits' shape that can't be class probabilities."""
    if not target.is_floating_point():
        raise TypeError(
            f"a target of the logits' shape holds class probabilities, of a floating-point dtype; got {target.dtype}"
        )
    if ignore_index >= 0:
        raise ValueError(f"ignore_index is not supported for class probabilities, got {ignore_index}")


def _check_indices(logits: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """Raise for a target that is neither class probabilities nor one index an example."""
    expected = tuple(logits.shape[:1] + logits.shape[2:]) if logits.ndim > 1 else ()
    if tuple(target.shape) != expected:
        raise ValueError(
            f"for logits of shape {tuple(logits.shape)}, target must have shape {expected} (class indices) or the "
            f"logits' shape (class probabilities); got {tuple(target.shape)}"
        )
    if target.dtype not in INDEX_DTYPES:
        raise TypeError(f"class indices must be torch.int64 or torch.uint8, got {target.dtype}")
    if weight is not None and weight.requires_grad:
        raise RuntimeError("weight gets no gradient when the target holds class indices; pass weight.detach()")
