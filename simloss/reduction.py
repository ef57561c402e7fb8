"""What each example counts: ignored ones, class weights, label smoothing, and the sum or mean of it all.

Everything here does what F.cross_entropy does, for every way of computing the losses themselves.
"""

from __future__ import annotations

import torch

from simmatrix.shapes import Float, Int

__all__ = ["label_weights", "one_hot", "reduced", "smoothed", "split_ignored", "weighted"]


def split_ignored(
    target: Int[torch.Tensor, " N"], classes: int, ignore_index: int
) -> tuple[Int[torch.Tensor, " N"], torch.Tensor]:
    """Return labels that are safe to look up, and a mask of the examples to ignore, whose label is made 0.

    Raises
    ------
    IndexError
        If a label is neither a class nor ignore_index. On a GPU looking would mean to wait for the device; there the
        look-up in the similarity matrix asserts, as that of F.cross_entropy does.
    """
    ignored = target == ignore_index
    labels = target.masked_fill(ignored, 0)
    if labels.device.type == "cpu":
        outside = (labels < 0) | (labels >= classes)
        if outside.any():
            found = labels[outside][0].item()
            raise IndexError(
                f"target {found} is out of bounds: classes are 0 to {classes - 1}, and ignore_index is {ignore_index}"
            )
    return labels, ignored


def label_weights(
    labels: Int[torch.Tensor, " N"], ignored: torch.Tensor, weight: Float[torch.Tensor, " C"] | None, dtype: torch.dtype
) -> Float[torch.Tensor, " N"]:
    """Return what each example counts: the weight of its label, or 1; 0 if it is ignored."""
    if weight is None:
        return (~ignored).to(dtype)
    return weight.to(dtype).index_select(0, labels).masked_fill(ignored, 0.0)


def smoothed(distribution: Float[torch.Tensor, "N C"], label_smoothing: float) -> Float[torch.Tensor, "N C"]:
    """Return each distribution mixed with the uniform one."""
    if label_smoothing == 0:
        return distribution
    return distribution * (1 - label_smoothing) + label_smoothing / distribution.shape[1]


def one_hot(labels: Int[torch.Tensor, " N"], classes: int, dtype: torch.dtype) -> Float[torch.Tensor, "N C"]:
    """Return the labels as distributions."""
    empty = torch.zeros((labels.shape[0], classes), dtype=dtype, device=labels.device)
    return empty.scatter_(1, labels.unsqueeze(1), 1.0)


def weighted(
    distribution: Float[torch.Tensor, "N C"], weight: Float[torch.Tensor, " C"] | None
) -> Float[torch.Tensor, "N C"]:
    """Return each distribution with its classes counted by their weights."""
    return distribution if weight is None else distribution * weight.to(distribution.dtype)


def reduced(losses: torch.Tensor, total: torch.Tensor | int, reduction: str) -> torch.Tensor:
    """Return the losses themselves, their sum, or their sum over the total; NaN where there is nothing to average."""
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / total
