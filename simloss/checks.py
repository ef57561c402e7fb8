"""What the loss refuses, before it computes anything.

The kinds of error say what was wrong: ValueError a value or a shape, TypeError a dtype, RuntimeError a device or a
gradient that does not exist, IndexError a class index (raised where the indices are read, in `reduction`). The first
two are RuntimeErrors as well, which torch raises for most of them.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from simloss.errors import ArgumentError, DtypeError
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, class_count

REDUCTIONS = ("none", "mean", "sum")
INDEX_DTYPES = (torch.int64, torch.uint8)  # those of F.cross_entropy


def check_options(
    reduction: str, label_smoothing: float, share: float = 1.0, similarity_smoothing: float = 0.0
) -> None:
    """Raise ValueError for options that have no meaning."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"{reduction!r} is not a valid value for reduction; use one of {', '.join(REDUCTIONS)}")
    for name, value in (
        ("label_smoothing", label_smoothing),
        ("share", share),
        ("similarity_smoothing", similarity_smoothing),
    ):
        if value is None or isinstance(value, str):
            raise DtypeError(f"{name} must be a number, got {value!r}")
        if not 0.0 <= value <= 1.0:
            raise ArgumentError(f"{name} must be between 0.0 and 1.0, got {value}")


def check_similarity(similarity: Similarity) -> None:
    """Raise for parts that make no square matrix of floating-point numbers, or that wait for a gradient."""
    # No `match` on classes: torch.compile can't trace it before torch 2.11.
    if isinstance(similarity, Dense):
        shape = similarity.values.shape
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
            raise ArgumentError(f"similarity must be a square matrix, one row a class; got shape {tuple(shape)}")
    elif isinstance(similarity, Toeplitz):
        shape = similarity.diagonals.shape
        if len(shape) != 1 or shape[0] % 2 == 0:
            raise ArgumentError(
                "the diagonals of a Toeplitz similarity must be 2 C - 1 numbers for C classes; got shape "
                f"{tuple(shape)}"
            )
    else:
        crow_indices, col_indices, values = similarity
        if crow_indices.ndim != 1 or crow_indices.shape[0] < 2 or values.ndim != 1 or col_indices.shape != values.shape:
            raise ArgumentError(
                "a sparse similarity of C classes has C + 1 crow_indices, and as many col_indices as values; got "
                f"shapes {', '.join(str(tuple(part.shape)) for part in similarity)}"
            )
        for name, part in (("crow_indices", crow_indices), ("col_indices", col_indices)):
            if part.dtype not in (torch.int32, torch.int64):
                raise DtypeError(f"{name} of a sparse similarity must be torch.int32 or torch.int64, got {part.dtype}")
    numbers = similarity[-1]
    if not numbers.is_floating_point():
        raise DtypeError(f"similarity must be of a floating-point dtype, got {numbers.dtype}")
    if numbers.requires_grad:
        raise RuntimeError("similarity gets no gradient from this loss; pass similarity.detach()")


def check_similarity_values(similarity: Similarity) -> None:
    """Raise ValueError where a matrix has an entry outside [0, 1], a NaN, or a diagonal that is not 1.

    It reads the whole matrix and, on a GPU, waits for the answer. So it is done when a module is made, not when it is
    called.
    """
    if isinstance(similarity, Sparse):
        _check_places(similarity)
    numbers = similarity[-1]
    is_outside = ~((numbers >= 0) & (numbers <= 1))  # so written, NaN is outside too
    if is_outside.any():
        place = tuple(is_outside.nonzero()[0].tolist())
        found = numbers[place].item()
        raise ArgumentError(f"similarity must lie in [0, 1], but {_name_of(similarity, place)} is {found}")
    diagonal = _diagonal(similarity)
    is_other = diagonal != 1
    if is_other.any():
        row = int(is_other.nonzero()[0].item())
        found = diagonal[row].item()
        raise ArgumentError(f"a class must have similarity 1 to itself, but similarity[{row}, {row}] is {found}")


def _check_places(similarity: Sparse) -> None:
    """Raise ValueError for a sparse similarity whose entries are in no order, or outside the matrix."""
    crow_indices, col_indices, values = similarity
    lengths = crow_indices.diff()
    if crow_indices[0] != 0 or crow_indices[-1] != values.shape[0] or (lengths < 0).any():
        raise ArgumentError(f"crow_indices must rise from 0 to {values.shape[0]}, the number of entries")
    count = lengths.shape[0]
    if ((col_indices < 0) | (col_indices >= count)).any():
        raise ArgumentError(f"col_indices must be classes, 0 to {count - 1}")
    is_first = torch.zeros_like(col_indices, dtype=torch.bool)
    is_first[crow_indices[:-1][lengths > 0].long()] = True
    if ((col_indices.diff() <= 0) & ~is_first[1:]).any():
        raise ArgumentError("col_indices must ascend in each row, each column once")


def _diagonal(similarity: Similarity) -> Tensor:
    """Return the similarity of each class to itself; of a Toeplitz matrix the one number that it is."""
    match similarity:
        case Dense(values):
            return values.diagonal()
        case Toeplitz(diagonals):
            return diagonals[diagonals.shape[0] // 2].unsqueeze(0)
        case Sparse(crow_indices, col_indices, values):
            numbers = torch.arange(crow_indices.shape[0] - 1, device=values.device)
            row_of_entry = numbers.repeat_interleave(crow_indices.diff())
            is_own = col_indices == row_of_entry
            return values.new_zeros(numbers.shape).index_put_((row_of_entry[is_own],), values[is_own])


def _name_of(similarity: Similarity, place: tuple[int, ...]) -> str:
    """Return what the number at a place of the last part is called, for a message."""
    names = {Dense: "similarity", Toeplitz: "diagonals", Sparse: "values"}
    return f"{names[type(similarity)]}[{', '.join(map(str, place))}]"


def has_no_values(tensor: Tensor) -> bool:
    """Return whether a tensor is on the meta device or is torch's fake: then only shapes are asked for."""
    if type(tensor) is Tensor or tensor.is_meta:
        return tensor.is_meta
    fakes = sys.modules.get("torch._subclasses.fake_tensor")
    return fakes is not None and isinstance(tensor, fakes.FakeTensor)


def check_weight(weight: Tensor | None, classes: int) -> None:
    """Raise for class weights that are not one floating-point number a class."""
    if weight is None:
        return
    if not isinstance(weight, Tensor):
        raise DtypeError(f"weight must be a tensor, got {type(weight).__name__}")
    if tuple(weight.shape) != (classes,):
        raise ArgumentError(f"weight must have shape ({classes},), one number a class; got {tuple(weight.shape)}")
    if not weight.is_floating_point():
        raise DtypeError(f"weight must be of a floating-point dtype, got {weight.dtype}")


def check_call(
    logits: Tensor, target: Tensor, similarity: Similarity, weight: Tensor | None, ignore_index: int
) -> None:
    """Raise for tensors that do not fit each other. Looks at shapes, dtypes and devices only, never at values."""
    for name, value in (("logits", logits), ("target", target)):
        if not isinstance(value, Tensor):
            raise DtypeError(f"{name} must be a tensor, got {type(value).__name__}")
        if type(value).__name__ == "DTensor":
            raise DtypeError(f"{name} is a DTensor: call class_parallel_sim_loss, or give it .full_tensor()")
    if logits.ndim == 0:
        raise ArgumentError("logits must have shape (C), (N, C) or (N, C, d1, ...), got a single number")
    if not logits.is_floating_point():
        raise DtypeError(f"logits must be of a floating-point dtype, got {logits.dtype}")
    check_similarity(similarity)
    classes = logits.shape[0 if logits.ndim == 1 else 1]
    count = class_count(similarity)
    if count != classes:
        raise ArgumentError(
            f"similarity has shape {(count, count)}, but the logits of shape {tuple(logits.shape)} "
            f"have {classes} classes (their dimension is the second, or the only one)"
        )
    check_weight(weight, classes)
    # A module keeps its similarity where a model is moved to the meta device, to find its shapes.
    parts = () if has_no_values(logits) else similarity
    for name, tensor in (("target", target), ("weight", weight), *(("similarity", part) for part in parts)):
        if tensor is not None and tensor.device != logits.device:
            raise RuntimeError(f"{name} is on {tensor.device}, but the logits are on {logits.device}")
    if target.shape == logits.shape:
        _check_probabilities(target, ignore_index)
    else:
        _check_indices(logits, target, weight)


def _check_probabilities(target: Tensor, ignore_index: int) -> None:
    """Raise for a target of the logits' shape that can't be class probabilities."""
    if not target.is_floating_point():
        raise DtypeError(
            f"a target of the logits' shape holds class probabilities, of a floating-point dtype; got {target.dtype}"
        )
    if ignore_index >= 0:
        raise ArgumentError(f"ignore_index is not supported for class probabilities, got {ignore_index}")


def _check_indices(logits: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """Raise for a target that is neither class probabilities nor one index an example."""
    expected = tuple(logits.shape[:1] + logits.shape[2:]) if logits.ndim > 1 else ()
    if tuple(target.shape) != expected:
        raise ArgumentError(
            f"for logits of shape {tuple(logits.shape)}, target must have shape {expected} (class indices) or the "
            f"logits' shape (class probabilities); got {tuple(target.shape)}"
        )
    if target.dtype not in INDEX_DTYPES:
        raise DtypeError(f"class indices must be torch.int64 or torch.uint8, got {target.dtype}; call .long()")
    if weight is not None and weight.requires_grad:
        raise RuntimeError("weight gets no gradient when the target holds class indices; pass weight.detach()")
