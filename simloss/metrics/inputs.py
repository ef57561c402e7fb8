"""What a metric is given, brought into one form: the classes that were predicted, and the true ones."""

from __future__ import annotations

import torch
from torch import Tensor

from simmatrix.shapes import Float, Int

__all__ = ["ranked_classes"]

_INDEX_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def ranked_classes(
    preds: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = None, count: int = 1
) -> tuple[Int[Tensor, "n k"], Int[Tensor, " n"]]:
    """Return the k = `count` first predictions of each example, best first, and its true class.

    Parameters
    ----------
    preds
        Logits or probabilities, of shape (N, C) or (N, C, d1, ...); of equal ones the class that comes first counts. Or
        for one prediction an example class indices, of the shape of the target.
    target
        Class indices, of shape (N) or (N, d1, ...).
    num_classes
        C.
    ignore_index
        The target of examples that are left out.
    count
        In [1, C].

    Raises
    ------
    TypeError
        If the target holds no integers, or the predictions neither floating-point numbers nor integers.
    ValueError
        If the shapes do not fit each other, or several predictions an example are wanted of class indices.
    IndexError
        If a class index is out of bounds. On a GPU this waits for the device.
    """
    _check_dtypes(preds, target, count)
    is_scores = preds.is_floating_point()
    expected = (*target.shape[:1], num_classes, *target.shape[1:]) if is_scores else target.shape
    if target.ndim == 0 or preds.shape != expected:
        raise ValueError(
            f"for a target of shape {tuple(target.shape)} and {num_classes} classes, preds must be scores of shape "
            "(N, C, ...) or class indices of shape (N, ...); got "
            f"{'scores' if is_scores else 'indices'} of shape {tuple(preds.shape)}"
        )
    rows = preds.movedim(1, -1).flatten(0, -2) if is_scores else preds.reshape(-1, 1)
    labels = target.flatten()
    if ignore_index is not None:
        kept = labels != ignore_index
        rows, labels = rows[kept], labels[kept]
    ranked = _best(rows, count) if is_scores else rows.long()
    labels = labels.long()
    for name, indices in (("target", labels), ("preds", ranked)):
        _check_bounds(name, indices, num_classes)
    return ranked, labels


def _best(scores: Float[Tensor, "n C"], count: int) -> Int[Tensor, "n k"]:
    """Return the classes of the greatest scores, of equal ones the first. topk promises nothing about these."""
    if count == 1:
        return scores.argmax(1, keepdim=True)
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :count]


def _check_dtypes(preds: Tensor, target: Tensor, count: int) -> None:
    for name, tensor in (("target", target), ("preds", preds)):
        may_be_scores = name == "preds" and tensor.is_floating_point()
        if not may_be_scores and tensor.dtype not in _INDEX_DTYPES:
            kinds = "logits, probabilities or class indices" if name == "preds" else "class indices"
            raise TypeError(f"{name} must hold {kinds}, got {tensor.dtype}")
    if count > 1 and not preds.is_floating_point():
        raise ValueError(f"preds must be logits or probabilities to have {count} predictions an example; got indices")


def _check_bounds(name: str, indices: Int[Tensor, "*shape"], num_classes: int) -> None:
    """Raise IndexError for a class that there is not: looked up, a negative one would count from the end."""
    if not indices.numel():
        return
    least, greatest = (int(end) for end in indices.aminmax())
    if least < 0 or greatest >= num_classes:
        found = least if least < 0 else greatest
        raise IndexError(f"{name} {found} is out of bounds: classes are 0 to {num_classes - 1}")
