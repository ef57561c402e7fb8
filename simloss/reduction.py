"""What each example counts: ignored ones, class weights, label smoothing, and the sum or mean of it all.

Everything here does what F.cross_entropy does, for every way of computing the losses themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simloss.checks import has_no_values
from simmatrix.shapes import Bool, Float, Int


def work_dtype(logits: Tensor) -> torch.dtype:
    """Return the dtype that the loss of these logits is computed in: float64 for float64, else float32."""
    return torch.promote_types(logits.dtype, torch.float32)


def is_autocast(device: torch.device) -> bool:
    """Return whether autocast is on for a device; the meta device has none."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def split_ignored(
    target: Int[Tensor, " N"], classes: int, ignore_index: int
) -> tuple[Int[Tensor, " N"], Bool[Tensor, " N"] | None]:
    """Return labels that are safe to look up, and a mask of the examples to ignore, whose label is made 0.

    The mask is None where it is known that none is ignored: on the CPU, where looking costs next to nothing.

    Raises
    ------
    IndexError
        If a label is neither a class nor ignore_index. On a GPU looking would mean to wait for the device; there the
        look-up in the similarity matrix asserts, as that of F.cross_entropy does.
    """
    if target.is_cpu and torch.compiler.is_compiling():
        return _checked_labels(target, classes, ignore_index), target == ignore_index
    may_look = target.is_cpu and not has_no_values(target)
    if may_look and not 0 <= ignore_index < classes and _all_within(target, classes):
        return target, None
    ignored = target == ignore_index
    labels = target.masked_fill(ignored, 0)
    if may_look and not _all_within(labels, classes):
        raise out_of_bounds(target, classes, ignore_index)
    return labels, ignored


@torch.library.custom_op(
    "simloss::checked_labels",
    mutates_args=(),
    schema="(Tensor target, SymInt classes, SymInt ignore_index) -> Tensor",
)
def _checked_labels(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Do the same under torch.compile, whose graphs can't look at a label."""
    return split_ignored(target, classes, ignore_index)[0].clone()


@_checked_labels.register_fake
def _labels_like(target: Tensor, _classes: int, _ignore_index: int) -> Tensor:
    return torch.empty_like(target)


def out_of_bounds(labels: Int[Tensor, " N"], classes: int, ignore_index: int) -> IndexError:
    """Return the error for labels of which one is neither a class nor ignore_index."""
    found = labels[((labels < 0) | (labels >= classes)) & (labels != ignore_index)][0].item()
    return IndexError(
        f"target {found} is out of bounds: classes are 0 to {classes - 1}, and ignore_index is {ignore_index}"
    )


def _all_within(labels: Int[Tensor, " N"], classes: int) -> bool:
    if not labels.shape[0]:
        return True
    least, greatest = labels.aminmax()
    return bool(least.item() >= 0 and greatest.item() < classes)


def row_scale(
    labels: Int[Tensor, " N"],
    ignored: Bool[Tensor, " N"] | None,
    weight: Float[Tensor, " C"] | None,
    reduction: str,
    dtype: torch.dtype,
) -> tuple[Tensor | None, Tensor | None]:
    """Return what the loss of each example counts in the result, and a number to add to their sum.

    The first is of shape () or (N), or None for 1. The second is 0, but NaN for a mean over nothing, which no scale of
    no examples could make; or None for 0.
    """
    if weight is None:
        if reduction != "mean":
            return None, None
        if ignored is None and labels.shape[0]:
            return torch.tensor(1 / labels.shape[0], dtype=dtype, device=labels.device), None
        scale = _number_of(labels, ignored, dtype).reciprocal()
        return scale, 0 * scale
    counts = label_weights(labels, ignored, weight, dtype)
    if reduction != "mean":
        return counts, None
    scale = counts.sum().reciprocal()
    return counts * scale, 0 * scale


def _number_of(labels: Int[Tensor, " N"], ignored: Bool[Tensor, " N"] | None, dtype: torch.dtype) -> Float[Tensor, ""]:
    """Return how many examples count. As a sum: on a GPU it is nothing to wait for."""
    return torch.ones_like(labels, dtype=dtype).sum() if ignored is None else (~ignored).sum().to(dtype)


def label_weights(
    labels: Int[Tensor, " N"],
    ignored: Bool[Tensor, " N"] | None,
    weight: Float[Tensor, " C"] | None,
    dtype: torch.dtype,
) -> Float[Tensor, " N"]:
    """Return what each example counts: the weight of its label, or 1; 0 if it is ignored."""
    counts = torch.ones_like(labels, dtype=dtype) if weight is None else weight.to(dtype).index_select(0, labels)
    return counts if ignored is None else counts.masked_fill(ignored, 0.0)


def smoothed(distribution: Float[Tensor, "N C"], label_smoothing: float) -> Float[Tensor, "N C"]:
    """Return each distribution mixed with the uniform one."""
    if label_smoothing == 0:
        return distribution
    return distribution * (1 - label_smoothing) + label_smoothing / distribution.shape[1]


def one_hot(labels: Int[Tensor, " N"], classes: int, dtype: torch.dtype) -> Float[Tensor, "N C"]:
    """Return the labels as distributions."""
    empty = torch.zeros((labels.shape[0], classes), dtype=dtype, device=labels.device)
    return empty.scatter_(1, labels.unsqueeze(1), 1.0)


def weighted(distribution: Float[Tensor, "N C"], weight: Float[Tensor, " C"] | None) -> Float[Tensor, "N C"]:
    """Return each distribution with its classes counted by their weights."""
    return distribution if weight is None else distribution * weight.to(distribution.dtype)


def reduced(losses: Tensor, total: Tensor | int, reduction: str) -> Tensor:
    """Return the losses themselves, their sum, or their sum over the total; NaN where there is nothing to average."""
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / total
