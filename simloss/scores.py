"""What decisions are given: logits or probabilities as rows, one an example, and the way back to their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from simloss.checks import has_no_values
from simloss.errors import ArgumentError, DtypeError
from simmatrix.shapes import Float, Int

Array = TypeVar("Array", Tensor, np.ndarray)

INDEX_DTYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

# Probabilities may sum to 1 with this error: those of a thousand classes in half precision do.
_OFF = 0.01
# Numbers worked on at a time, in float64 32 MiB.
_BLOCK = 2**22


@dataclass(frozen=True)
class Examples:
    """Scores of N examples.

    Parameters
    ----------
    rows
        (N, C), logits or probabilities.
    shape
        That of the examples: (), (N) or (N, d1, ...).
    is_array
        Whether they came as a NumPy array.
    """

    rows: Float[Tensor, "N C"]
    shape: tuple[int, ...]
    is_array: bool

    def restored(self, values: Tensor) -> Any:
        """Return values, (N) or (N, K), in the shape and the kind of array in which the scores came."""
        found = values.reshape((*self.shape, *values.shape[1:]))
        if values.ndim == 2 and len(self.shape) > 1:
            found = found.movedim(-1, 1)
        return found.numpy() if self.is_array else found


def as_tensor(values: object, name: str) -> Tensor:
    """Return a tensor, without its gradient, of a tensor or a NumPy array.

    Raises
    ------
    TypeError
        If it is neither, or an array whose numbers torch does not have.
    """
    if isinstance(values, Tensor):
        return values.detach()
    if not isinstance(values, np.ndarray):
        raise DtypeError(f"{name} must be a tensor or a NumPy array, got {type(values).__name__}")
    try:
        return torch.from_numpy(values if values.flags.writeable else values.copy())
    except (TypeError, ValueError):
        # Byte order and strides that torch does not have.
        if values.dtype.kind not in "fiu" or values.dtype.itemsize > 8:
            raise DtypeError(f"{name} must hold numbers that torch has, got {values.dtype}") from None
        return torch.from_numpy(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def as_examples(scores: Tensor | np.ndarray, from_logits: bool = True) -> Examples:
    """Return logits, or probabilities, as rows.

    Raises
    ------
    TypeError
        If they are no floating-point numbers.
    ValueError
        If they have no classes, one is NaN, or probabilities are negative or do not sum to 1.
    """
    name = "logits" if from_logits else "probabilities"
    values = as_tensor(scores, name)
    if values.ndim == 0:
        raise ArgumentError(f"{name} must have shape (C), (N, C) or (N, C, d1, ...), got a single number")
    if not values.is_floating_point():
        raise DtypeError(f"{name} must be of a floating-point dtype, got {values.dtype}")
    shape = () if values.ndim == 1 else values.shape[:1] + values.shape[2:]
    rows = values.unsqueeze(0) if values.ndim == 1 else values.movedim(1, -1).flatten(0, -2)
    if rows.shape[1] == 0:
        raise ArgumentError(f"{name} of shape {tuple(values.shape)} have no classes")
    if not rows.is_meta:
        _check(rows, name, from_logits=from_logits)
    return Examples(rows, tuple(shape), not isinstance(scores, Tensor))


def _check(rows: Float[Tensor, "N C"], name: str, *, from_logits: bool) -> None:
    is_nan = rows.amax(1).isnan()
    if is_nan.any():
        raise ArgumentError(
            f"{name} hold NaN in example {_first(is_nan)} (counted from 0); nothing can be decided there, leave it out"
        )
    if from_logits:
        return
    is_negative = rows.amin(1) < 0
    if is_negative.any():
        first = _first(is_negative)
        raise ArgumentError(
            f"probabilities must be at least 0, but example {first} (counted from 0) has {rows[first].amin():g}; "
            "pass logits with from_logits=True"
        )
    sums = rows.sum(1, dtype=torch.float64)
    is_off = ~((sums - 1).abs() <= _OFF)
    if is_off.any():
        first = _first(is_off)
        raise ArgumentError(
            f"probabilities must sum to 1, but those of example {first} (counted from 0) sum to {sums[first]:g}; "
            "normalise them, or pass logits with from_logits=True"
        )


def _first(is_meant: Tensor) -> int:
    return int(is_meant.int().argmax())


def as_labels(labels: Tensor | np.ndarray, examples: Examples, ignore_index: int) -> Int[Tensor, " N"]:
    """Return class indices, one for each of the examples.

    Raises
    ------
    TypeError, ValueError
        If they are no integers, or of another shape.
    IndexError
        If one is neither a class nor `ignore_index`.
    """
    values = as_tensor(labels, "labels")
    if values.dtype not in INDEX_DTYPES:
        raise DtypeError(f"labels must hold class indices, got {values.dtype}")
    if tuple(values.shape) != examples.shape:
        raise ArgumentError(f"labels must have shape {examples.shape}, one an example; got {tuple(values.shape)}")
    if values.device != examples.rows.device:
        raise RuntimeError(f"labels are on {values.device}, but the logits are on {examples.rows.device}")
    values, count = values.flatten().long(), examples.rows.shape[1]
    is_wrong = ((values < 0) | (values >= count)) & (values != ignore_index)
    if is_wrong.any():
        first = _first(is_wrong)
        raise IndexError(
            f"the label of example {first} (counted from 0) is {int(values[first])}, but classes are 0 to {count - 1}"
        )
    return values


def blocks(rows: Tensor, size: int = _BLOCK) -> tuple[Tensor, ...]:
    """Return the rows a part at a time, each of so many numbers."""
    return torch.split(rows, max(1, size // rows.shape[1]))


def as_logits(rows: Float[Tensor, "N C"], *, from_logits: bool) -> Float[Tensor, "N C"]:
    """Return logits; of probabilities their logarithms, in float32 at least."""
    return rows if from_logits else rows.to(torch.promote_types(rows.dtype, torch.float32)).log()


def shares(rows: Float[Tensor, "N C"], *, from_logits: bool) -> Float[Tensor, "N C"]:
    """Return numbers in float64 that are in proportion to the probabilities of each row."""
    if not from_logits:
        return rows.double()
    greatest = rows.amax(1, keepdim=True)
    e = (rows - greatest.double()).exp_()
    # Where the greatest is infinite, its own difference is NaN; the classes that have it share all, the others have 0.
    is_plain = not has_no_values(greatest) and not greatest.isinf().any()
    return e if is_plain else e.masked_fill_(rows == greatest, 1.0)
