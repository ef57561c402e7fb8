"""The loss of each row and its gradient in plain torch operations: the way of the CPU, and of any device.

With p = softmax(z), a = sum S p and b = sum (1 - S) p, for the similarity row S of one label, SimLoss is

    log1p(b / a)            and its slope    (1 - S) p - S p b / a

No logarithm of S, so no -inf for classes that have nothing in common. And no small difference of large numbers: near
zero loss, -log(a) and softmax differences in float32 lose all their digits where these two keep theirs. For the same
reason cross entropy is log1p(rest / p_y), where rest is the sum of p over the other classes, and its slope for y -rest.

Rows are taken in blocks whose intermediate results stay in the caches: what is written to memory is the gradient and
nothing else. Each operation cuts its work along the rows, so that a core finds again what it wrote itself.

Where all similar classes lie so far below the largest logit that a underflows, a row is far: there the similar classes
get a maximum of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from simloss.forms import Similarity, Sparse, rows, spans
from simloss.reduction import split_ignored, work_dtype
from simloss.rows.call import Call, mixture
from simmatrix.shapes import Float, Int

# Elements a thread; the fastest of 2^16 to 2^19, for 1,000 and for 21,841 classes.
_BLOCK = 2**18

Mixing = tuple[Tensor, Tensor] | None  # share and smoothing as single numbers; None where SimLoss stands alone


def row_losses(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    call: Call,
    gradient: Float[Tensor, "N C"] | None,
) -> Float[Tensor, " N"]:
    """Return the loss of each row and write its gradient; see `rows.row_losses`."""
    labels, ignored = split_ignored(labels, logits.shape[1], call.ignore_index)
    losses = torch.empty(logits.shape[0], dtype=work_dtype(logits), device=logits.device)
    mixing, scale = call.mixing(losses.dtype), call.scale
    height = _height(logits)
    buffers = losses.new_empty(3, height, logits.shape[1])
    for block in [slice(top, top + height) for top in range(0, logits.shape[0], height)]:
        z, out = logits[block].to(losses.dtype), None if gradient is None else gradient[block]
        room = _room(buffers, z, out)
        losses[block], slopes = _block(z, labels[block], similarity, mixing, room, out is not None)
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
    """Multiply each row of a gradient by its factor, of shape () or (N), in place.

    Row by row the factor is of another dtype than a gradient in half precision, and torch copies both to multiply them.
    So rows are taken in blocks: the numbers are the same, and the copies stay small.
    """
    height = _height(gradient)
    factor = factor.expand(gradient.shape[0])
    for rows_here, factors in zip(torch.split(gradient, height), torch.split(factor, height), strict=True):
        rows_here.mul_(factors.unsqueeze(1))


def _height(logits: Float[Tensor, "N C"]) -> int:
    """Return how many rows to take at a time: what stays in the caches of a CPU; all of them elsewhere."""
    count, classes = logits.shape
    fitting = max(1, _BLOCK * torch.get_num_threads() // max(1, classes)) if logits.device.type == "cpu" else count
    return max(1, min(count, fitting))


class _Room(NamedTuple):
    """Where the intermediate results of a block go. `p` may be where its gradient goes in the end."""

    p: Float[Tensor, "N C"]
    like: Float[Tensor, "N C"]
    unlike: Float[Tensor, "N C"]


def _room(buffers: Float[Tensor, "3 H C"], z: Float[Tensor, "N C"], out: Float[Tensor, "N C"] | None) -> _Room:
    """Return the room for a block: fewer bytes in the caches where the gradient's own place can hold p."""
    p, like, unlike = buffers.unbind() if z.shape[0] == buffers.shape[1] else buffers[:, : z.shape[0]].unbind()
    if out is not None and out.dtype == z.dtype and out.data_ptr() != z.data_ptr():
        p = out
    return _Room(p, like, unlike)


def _block(
    z: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    mixing: Mixing,
    room: _Room,
    wants_slopes: bool,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N C"]]:
    """Return the loss of each row, and where it is wanted its gradient, in the room."""
    torch.softmax(z, 1, out=room.p)
    entropy = None if mixing is None else _cross_entropy(z, room.p, labels, similarity, mixing)
    if isinstance(similarity, Sparse):
        a, ratio, slopes = _sparse_block(labels, similarity, room, wants_slopes, entropy)
    else:
        a, ratio, slopes = _full_block(labels, similarity, room, wants_slopes, entropy)
    losses = ratio.log1p().squeeze_(1)
    if entropy is not None:
        losses = mixture(losses, entropy.losses, entropy.share)
    far = _far_rows(a, z.shape[1])
    if far is not None:
        losses[far], slopes[far] = far_rows(z[far], labels[far], similarity, mixing)
    return losses, slopes


def _full_block(
    labels: Int[Tensor, " N"], similarity: Similarity, room: _Room, wants_slopes: bool, entropy: _CrossEntropy | None
) -> tuple[Float[Tensor, "N 1"], Float[Tensor, "N 1"], Float[Tensor, "N C"]]:
    """Return a, b / a and the gradient of each row."""
    s = rows(similarity, labels, room.unlike)
    pull = s if entropy is None else entropy.pull(s)
    torch.mul(room.p, s, out=room.like)
    unlike = _remainder_(room.p, s)
    a = room.like.sum(1, keepdim=True)
    ratio = unlike.sum(1, keepdim=True).div_(a)
    if not wants_slopes:
        return a, ratio, unlike
    slopes = unlike.addcmul_(room.like, ratio, value=-1)
    if entropy is None:
        return a, ratio, slopes
    own = slopes.gather(1, entropy.labels)
    slopes.mul_(entropy.share).add_(room.p.mul_(1 - entropy.share)).sub_(pull)
    return a, ratio, slopes.scatter_(1, entropy.labels, entropy.own_slope(own))


def _sparse_block(
    labels: Int[Tensor, " N"], similarity: Sparse, room: _Room, wants_slopes: bool, entropy: _CrossEntropy | None
) -> tuple[Float[Tensor, "N 1"], Float[Tensor, "N 1"], Float[Tensor, "N C"]]:
    """Return a, b / a and the gradient of each row."""
    p = room.p
    columns, s, is_entry = spans(similarity, labels, p.dtype)
    p_entries = p.gather(1, columns)
    pull = s if entropy is None else entropy.pull(s)
    like = p_entries * s
    unlike = _remainder_(p_entries, s)
    # What the classes without an entry share: summed when the entries are taken out, since 1 minus these would cancel.
    rest = p.scatter_(1, columns, 0.0).sum(1, keepdim=True)
    a = (like if is_entry is None else like * is_entry).sum(1, keepdim=True)
    ratio = (unlike if is_entry is None else unlike * is_entry).sum(1, keepdim=True).add_(rest).div_(a)
    if not wants_slopes:
        return a, ratio, p
    slopes = unlike.addcmul_(like, ratio, value=-1)
    if entropy is None:
        return a, ratio, p.scatter_(1, columns, slopes)
    own = slopes.gather(1, (columns == entropy.labels).to(torch.int64).argmax(1, keepdim=True))
    slopes.mul_(entropy.share).add_(p_entries.mul_(1 - entropy.share)).sub_(pull)
    return a, ratio, p.scatter_(1, columns, slopes).scatter_(1, entropy.labels, entropy.own_slope(own))


def _remainder_(p: Float[Tensor, "N K"], s: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    """Return (1 - s) p in the place of s, in one pass. torch.lerp takes 1 - s first where s is large."""
    return torch.lerp(p, p.new_zeros(()), s, out=s)


# --- the part of cross entropy ----------------------------------------------------------------------------------------


class _CrossEntropy(NamedTuple):
    """Cross entropy of a block of rows, whose target follows the similarity."""

    share: Float[Tensor, ""]
    labels: Int[Tensor, "N 1"]
    losses: Float[Tensor, " N"]
    rest: Float[Tensor, "N 1"]  # the sum of p over the other classes
    smoothed: Float[Tensor, "N 1"]  # (1 - share) times what the target gives to the other classes
    neighbours: Float[Tensor, "N 1"]  # the sum of S over these; 1 where it is 0

    def pull(self, s: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """Return what the target takes off the slopes of classes with the similarities s, other than the label."""
        return s / self.neighbours * self.smoothed

    def own_slope(self, of_similarity: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """Return the slope of the label, given that of SimLoss."""
        return self.share * of_similarity - (1 - self.share) * self.rest + self.smoothed


def _cross_entropy(
    z: Float[Tensor, "N C"],
    p: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    mixing: tuple[Tensor, Tensor],
) -> _CrossEntropy:
    """Return cross entropy of each row, of p_y where that did not underflow and else of the logit itself."""
    share, smoothing = mixing
    y = labels.unsqueeze(1)
    own = p.gather(1, y)
    rest = p.scatter(1, y, 0.0).sum(1, keepdim=True)
    log_d = -p.amax(1, keepdim=True).log()  # the largest p is 1 / d
    highest = z.amax(1, keepdim=True)
    losses = torch.where(own < torch.finfo(p.dtype).tiny, log_d + (highest - z.gather(1, y)), (rest / own).log1p())
    if isinstance(similarity, Sparse):
        columns, s, is_entry = spans(similarity, labels, p.dtype)
        is_other = columns != y if is_entry is None else (columns != y) & is_entry
        s, behind = s.masked_fill(~is_other, 0.0), z.gather(1, columns) - highest
    else:
        s, behind = rows(similarity, labels, torch.empty_like(z)).scatter_(1, y, 0.0), z - highest
    neighbours = s.sum(1, keepdim=True)
    smoothing = torch.where(neighbours > 0, smoothing, 0.0)
    neighbours = neighbours.masked_fill(neighbours == 0, 1.0)
    # A class of no similarity counts nothing, even where its logit is -inf.
    between = (s / neighbours * behind).masked_fill_(s == 0, 0.0).sum(1, keepdim=True)
    losses = mixture(log_d - between, losses, smoothing)
    return _CrossEntropy(share, y, losses.squeeze(1), rest, (1 - share) * smoothing, neighbours)


# --- far rows ---------------------------------------------------------------------------------------------------------


def least_sum(dtype: torch.dtype, classes: int) -> float:
    """Return the sum a of S p below which it may have lost digits to underflow.

    Each of the C products in a is wrong by at most the smallest normal number. So from C times that number over the
    machine epsilon on, a is right to the last digit.
    """
    limits = torch.finfo(dtype)
    return classes * limits.tiny / limits.eps


def _far_rows(a: Float[Tensor, "N 1"], classes: int) -> Int[Tensor, " M"] | None:
    """Return the rows where a may have lost digits to underflow, or None if there are none."""
    least = least_sum(a.dtype, classes)
    # Written so that NaN, which amin passes on, makes look closer. On a GPU this question waits for the device.
    return None if a.amin().item() >= least else (a < least).squeeze(1).nonzero().squeeze(1)


def far_rows(
    z: Float[Tensor, "M C"], labels: Int[Tensor, " M"], similarity: Similarity, mixing: Mixing
) -> tuple[Float[Tensor, " M"], Float[Tensor, "M C"]]:
    """Return the loss and the gradient of rows whose similar classes are lost beside the largest logit."""
    p = z.softmax(1)
    losses, shares = far_losses(z, rows(similarity, labels, torch.empty_like(z)))
    slopes = p - shares
    if mixing is None:
        return losses, slopes
    entropy = _cross_entropy(z, p, labels, similarity, mixing)
    pull = entropy.pull(rows(similarity, labels, torch.empty_like(z)))
    own = entropy.own_slope(slopes.gather(1, entropy.labels))
    slopes = entropy.share * slopes + (1 - entropy.share) * p - pull
    return mixture(losses, entropy.losses, entropy.share), slopes.scatter_(1, entropy.labels, own)


def far_losses(
    z: Float[Tensor, "M C"], s: Float[Tensor, "M C"] | Float[Tensor, "1 C"]
) -> tuple[Float[Tensor, " M"], Float[Tensor, "M C"]]:
    """Return the loss of rows z with the similarities s, and softmax(z + log S): the gradient is softmax(z) minus that.

    The similar classes get a maximum of their own. S enters through its logarithm, since a small S may underflow too.
    """
    is_unlike = s == 0
    highest = z.amax(1, keepdim=True)
    top = z.masked_fill(is_unlike, -torch.inf).amax(1, keepdim=True)
    # Where all similar classes are at -inf, each is at the top: (-inf) - (-inf) is 0 here.
    scores = ((z - top).masked_fill_(z == top, 0.0) + s.log()).masked_fill_(is_unlike, -torch.inf)
    losses = (z - highest).logsumexp(1, keepdim=True) + (highest - top) - scores.logsumexp(1, keepdim=True)
    return losses.squeeze(1), scores.softmax(1)
