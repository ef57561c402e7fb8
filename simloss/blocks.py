"""The loss of each row and its gradient in plain torch operations: the way of the CPU, and of any device.

With p = softmax(z), a = sum S p and b = sum (1 - S) p, for the similarity row S of one label:

    loss = log1p(b / a)            dloss/dz = (1 - S) p - S p b / a

No logarithm of S, so no -inf for classes that have nothing in common. And no small difference of large numbers: near
zero loss, -log(a) and softmax differences in float32 lose all their digits where these two keep theirs.

Rows are taken in blocks whose intermediate results stay in the caches: what is written to memory is the gradient and
nothing else. Each operation cuts its work along the rows, so that a core finds again what it wrote itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from simloss.far import far_losses, least_sum
from simloss.forms import Similarity, Sparse, rows, spans
from simloss.reduction import split_ignored, work_dtype
from simmatrix.shapes import Float, Int

__all__ = ["row_losses", "scale_gradient_"]

# Elements a thread; the fastest of 2^16 to 2^19, for 1,000 and for 21,841 classes.
_BLOCK = 2**18


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    scale: Tensor | None,
    ignore_index: int,
    gradient: Float[Tensor, "N C"] | None,
) -> Float[Tensor, " N"]:
    """Return scale * (-log sum_c S[y, c] softmax(z)[c]) of each row, and write its gradient.

    Parameters
    ----------
    logits
        One row an example, of any floating-point dtype.
    labels
        The class y of each row, in [0, C), or `ignore_index`: such rows get a loss and a gradient of exactly 0 whatever
        their logits are.
    similarity
        In [0, 1], with unit diagonal.
    scale
        What each row counts, in the work dtype: of shape () or (N), or None for 1.
    ignore_index
        The label of rows that count nothing.
    gradient
        Where the gradient of the result is written, rounded once to the dtype that this has. May be `logits` itself.
        None if it is not wanted.

    Returns
    -------
    Tensor
        Of shape (N), in the work dtype: float64 for float64 logits, else float32.

    Raises
    ------
    IndexError
        If a label on the CPU is neither a class nor `ignore_index`.
    """
    labels, ignored = split_ignored(labels, logits.shape[1], ignore_index)
    losses = torch.empty(logits.shape[0], dtype=work_dtype(logits), device=logits.device)
    height = _height(logits)
    buffers = losses.new_empty(3, height, logits.shape[1])
    for block in [slice(top, top + height) for top in range(0, logits.shape[0], height)]:
        z, out = logits[block].to(losses.dtype), None if gradient is None else gradient[block]
        room = _room(buffers, z, out)
        losses[block], slopes = _block(z, labels[block], similarity, room, out is not None)
        if out is None:
            continue
        if scale is None:
            out.copy_(slopes)
        else:
            torch.mul(slopes, scale if scale.ndim == 0 else scale[block].unsqueeze(1), out=out)
    if scale is not None:
        losses.mul_(scale)
    if ignored is not None:
        losses.masked_fill_(ignored, 0.0)
        if gradient is not None:
            gradient.masked_fill_(ignored.unsqueeze(1), 0.0)
    return losses


def scale_gradient_(gradient: Float[Tensor, "N C"], factor: Tensor) -> None:
    """Multiply each row of a gradient by its factor, of shape () or (N), in place."""
    if factor.ndim:
        gradient.mul_(factor.unsqueeze(1))
    elif factor.item() != 1:
        gradient.mul_(factor)


def _height(logits: Float[Tensor, "N C"]) -> int:
    """Return how many rows to take at a time: what stays in the caches of a CPU; all of them elsewhere."""
    count, classes = logits.shape
    fitting = max(1, _BLOCK * torch.get_num_threads() // classes) if logits.device.type == "cpu" else count
    return max(1, min(count, fitting))


class _Room(NamedTuple):
    """Where the intermediate results of a block go. `p` may be where its gradient goes in the end."""

    p: Float[Tensor, "N C"]
    like: Float[Tensor, "N C"]
    unlike: Float[Tensor, "N C"]


def _room(buffers: Float[Tensor, "3 N C"], z: Float[Tensor, "N C"], out: Float[Tensor, "N C"] | None) -> _Room:
    """Return the room for a block: fewer bytes in the caches where the gradient's own place can hold p."""
    p, like, unlike = buffers.unbind() if z.shape[0] == buffers.shape[1] else buffers[:, : z.shape[0]].unbind()
    if out is not None and out.dtype == z.dtype and out.data_ptr() != z.data_ptr():
        p = out
    return _Room(p, like, unlike)


def _block(
    z: Float[Tensor, "N C"], labels: Int[Tensor, " N"], similarity: Similarity, room: _Room, wants_slopes: bool
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N C"]]:
    """Return the loss of each row, and where it is wanted its gradient, in the room."""
    torch.softmax(z, 1, out=room.p)
    if isinstance(similarity, Sparse):
        a, ratio, slopes = _sparse_block(labels, similarity, room, wants_slopes)
    else:
        a, ratio, slopes = _full_block(labels, similarity, room, wants_slopes)
    losses = ratio.log1p().squeeze_(1)
    far = _far_rows(a, z.shape[1])
    if far is not None:
        losses[far], shares = far_losses(z[far], rows(similarity, labels[far], room.like[: far.shape[0]]))
        slopes[far] = z[far].softmax(1) - shares
    return losses, slopes


def _full_block(
    labels: Int[Tensor, " N"], similarity: Similarity, room: _Room, wants_slopes: bool
) -> tuple[Float[Tensor, "N 1"], Float[Tensor, "N 1"], Float[Tensor, "N C"]]:
    """Return a, b / a and the gradient of each row."""
    s = rows(similarity, labels, room.unlike)
    torch.mul(room.p, s, out=room.like)
    unlike = _remainder_(room.p, s)
    a = room.like.sum(1, keepdim=True)
    ratio = unlike.sum(1, keepdim=True).div_(a)
    return a, ratio, unlike.addcmul_(room.like, ratio, value=-1) if wants_slopes else unlike


def _sparse_block(
    labels: Int[Tensor, " N"], similarity: Sparse, room: _Room, wants_slopes: bool
) -> tuple[Float[Tensor, "N 1"], Float[Tensor, "N 1"], Float[Tensor, "N C"]]:
    """Return a, b / a and the gradient of each row."""
    p = room.p
    columns, s, is_entry = spans(similarity, labels, p.dtype)
    p_entries = p.gather(1, columns)
    like = p_entries * s
    unlike = _remainder_(p_entries, s)
    # What the classes without an entry share: summed when the entries are taken out, since 1 minus these would cancel.
    rest = p.scatter_(1, columns, 0.0).sum(1, keepdim=True)
    a = (like if is_entry is None else like * is_entry).sum(1, keepdim=True)
    ratio = (unlike if is_entry is None else unlike * is_entry).sum(1, keepdim=True).add_(rest).div_(a)
    return a, ratio, p.scatter_(1, columns, unlike.addcmul_(like, ratio, value=-1)) if wants_slopes else p


def _remainder_(p: Float[Tensor, "N K"], s: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    """Return (1 - s) p in the place of s, in one pass. torch.lerp takes 1 - s first where s is large."""
    return torch.lerp(p, p.new_zeros(()), s, out=s)


def _far_rows(a: Float[Tensor, "N 1"], classes: int) -> Int[Tensor, " M"] | None:
    """Return the rows where a may have lost digits to underflow, or None if there are none."""
    least = least_sum(a.dtype, classes)
    # Written so that NaN, which amin passes on, makes look closer. On a GPU this question waits for the device.
    return None if a.amin().item() >= least else (a < least).squeeze(1).nonzero().squeeze(1)
