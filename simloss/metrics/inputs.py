"""What a metric is given, brought into one form: decided classes, rankings, scores or nodes, and the true classes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from simloss.backoff import BackOff
from simloss.errors import ArgumentError, DtypeError
from simloss.scores import INDEX_DTYPES
from simmatrix.shapes import Float, Int

# Up to so many of a ranking are found sooner than all are sorted.
_FEW = 64
# Numbers that one thread sorts at a time: as many as fit into a core's own memory.
_SORTED = 2**18

Predicted: TypeAlias = "Tensor | BackOff | Predictions"


class Predictions:
    """What is predicted for n examples, and what is true; ignored examples are left out.

    Parameters
    ----------
    labels
        (n), the true classes.
    scores
        (n, C), logits or probabilities, if they are known; none is NaN.
    classes
        (n, k), the k first classes of a ranking, best first, where there are no scores; k is 1 for decided classes.
    nodes, confidence
        (n), nodes of a taxonomy and their probabilities, in place of both.
    """

    def __init__(
        self,
        labels: Int[Tensor, " n"],
        scores: Float[Tensor, "n C"] | None = None,
        classes: Int[Tensor, "n k"] | None = None,
        nodes: Int[Tensor, " n"] | None = None,
        confidence: Float[Tensor, " n"] | None = None,
    ) -> None:
        self.labels, self.scores, self.classes = labels, scores, classes
        self.nodes, self._confidence = nodes, confidence
        self._ranked: dict[int, Int[Tensor, "n k"]] = {}

    def kind(self) -> str:
        """Return what they are, for a message."""
        if self.scores is not None:
            return "scores"
        return "nodes" if self.classes is None else f"{self.classes.shape[1]} class(es) an example"

    def has_ranking(self, count: int) -> bool:
        """Tell whether the `count` first classes are known."""
        return self.scores is not None or (self.classes is not None and self.classes.shape[1] >= count)

    def ranked(self, count: int) -> Int[Tensor, "n k"]:
        """Return the `count` first classes of each example, best first; of equal scores the class that comes first."""
        if self.scores is None:
            assert self.classes is not None  # noqa: S101 - the caller has asked `has_ranking`
            return self.classes[:, :count]
        if count not in self._ranked:
            self._ranked[count] = _first(self.scores, count)
        return self._ranked[count]

    def rankings(self, count: int, height: int) -> Iterator[tuple[Int[Tensor, " b"], Int[Tensor, "b k"]]]:
        """Give the true classes and `ranked`, `height` examples at a time: rankings of all take much memory."""
        values = self.classes if self.scores is None else self.scores
        assert values is not None  # noqa: S101 - the caller has asked `has_ranking`
        for labels, part in zip(torch.split(self.labels, height), torch.split(values, height), strict=True):
            yield labels, part[:, :count] if self.scores is None else _first(part, count)

    def confidence(self) -> Float[Tensor, " n"] | None:
        """Return how probable what is predicted is held to be, if that is known, in float64.

        Scores are probabilities if none is negative and those of each example sum up to 1, within 1 %; else they are
        logits.
        """
        if self.scores is None:
            return self._confidence
        if not len(self.scores):
            return self.scores.new_zeros(0, dtype=torch.float64)
        top = self.scores.gather(1, self.ranked(1)).squeeze(1).double()
        sums = self.scores.sum(1, dtype=torch.float32 if self.scores.dtype.itemsize < 4 else None)
        if bool((self.scores.amin(1) >= 0).all() & ((sums - 1).abs() <= 0.01).all()):
            return top.clamp(0, 1)
        # The greatest logit is infinite, or the sum of the exponentials is at least 1.
        parts = [part.double().logsumexp(1) for part in torch.split(self.scores, max(1, 2**22 // self.scores.shape[1]))]
        return torch.where(top.isinf(), 1.0, (top - torch.cat(parts)).exp())


def _first(scores: Float[Tensor, "n C"], count: int) -> Int[Tensor, "n k"]:
    """Return the classes of the greatest scores, of equal ones the first. topk promises nothing about these."""
    if count == 1:
        return scores.argmax(1, keepdim=True)
    more = min(count + 1, scores.shape[1])
    if more <= _FEW or not scores.is_cpu:
        order = scores.topk(more, 1).indices
    elif scores.dtype != torch.float64:
        return _sorted(scores.float())[:, :count]
    else:
        # NumPy's sort is several times as fast as torch's.
        order = torch.from_numpy(np.argsort(-scores.numpy(), axis=1)[:, :more])
    ranked, values = order[:, :count].contiguous(), scores.gather(1, order)
    is_tied = (values[:, 1:] == values[:, :-1]).any(1)
    if is_tied.any():
        ranked[is_tied] = scores[is_tied].sort(dim=1, descending=True, stable=True).indices[:, :count]
    return ranked


def _sorted(scores: Float[Tensor, "n C"]) -> Int[Tensor, "n C"]:
    """Return the classes by descending score in float32, of equal ones the first.

    Score and class are sorted as one integer, the class in its lower half: NumPy sorts these faster than it finds the
    order of floating-point numbers.
    """
    found = torch.empty(scores.shape, dtype=torch.int64)
    classes = np.arange(scores.shape[1])

    def rank(values: Tensor, keys: Tensor) -> None:
        # Adding 0.0 turns -0.0 into 0.0. The bits of negative numbers ascend as the numbers descend.
        bits = (-(values.numpy() + np.float32(0.0))).view(np.int32)
        place = keys.numpy()
        np.bitwise_xor(bits, (bits >> 31) & 0x7FFFFFFF, out=place, dtype=np.int64)
        place <<= 32
        place |= classes
        place.sort(axis=1)
        place &= 0xFFFFFFFF

    height = max(1, _SORTED // scores.shape[1])
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(rank, torch.split(scores, height), torch.split(found, height)))
    return found


def read_predictions(
    preds: Predicted, target: Tensor | None, num_classes: int, ignore_index: int | None = None
) -> Predictions:
    """Return what is predicted and what is true, checked.

    Parameters
    ----------
    preds
        Logits or probabilities, of shape (N, C) or (N, C, d1, ...); class indices, of the shape of the target;
        rankings, class indices of shape (N, k) or (N, k, d1, ...), best first; or what `simloss.back_off` returns.
        What was read already is returned as it is.
    target
        Class indices, of shape (N) or (N, d1, ...).
    num_classes
        C.
    ignore_index
        The target of examples that are left out.

    Raises
    ------
    TypeError
        If the target holds no integers, or the predictions neither floating-point numbers nor integers.
    ValueError
        If the shapes do not fit each other, or a score is NaN.
    IndexError
        If a class index is out of bounds. On a GPU this waits for the device.
    """
    if isinstance(preds, Predictions):
        return preds
    if not isinstance(target, Tensor):
        raise DtypeError(f"target must be a tensor, got {type(target).__name__}")
    if target.dtype not in INDEX_DTYPES:
        raise DtypeError(f"target must hold class indices, got {target.dtype}")
    labels = target.flatten().long()
    kept = None if ignore_index is None else labels != ignore_index
    if kept is not None and kept.all():  # then there is no need to copy
        kept = None

    def chosen(values: Tensor) -> Tensor:
        return values if kept is None else values[kept]

    labels = chosen(labels)
    _check_bounds("target", labels, num_classes)
    if isinstance(preds, BackOff):
        if preds.nodes.shape != target.shape:
            raise ArgumentError(
                f"nodes must have the shape of the target, {tuple(target.shape)}; got {tuple(preds.nodes.shape)}"
            )
        nodes, confidence = (chosen(torch.as_tensor(part).flatten()) for part in preds[:2])
        return Predictions(labels, nodes=nodes, confidence=confidence)
    if not isinstance(preds, Tensor):
        raise DtypeError(f"preds must be a tensor, or what simloss.back_off returns; got {type(preds).__name__}")
    is_scores = preds.is_floating_point()
    if not is_scores and preds.dtype not in INDEX_DTYPES:
        raise DtypeError(f"preds must hold logits, probabilities or class indices, got {preds.dtype}")
    is_ranking = not is_scores and preds.ndim == target.ndim + 1
    second = num_classes if is_scores else preds.shape[1] if is_ranking and preds.ndim > 1 else 0
    expected = (*target.shape[:1], second, *target.shape[1:]) if is_scores or is_ranking else target.shape
    if target.ndim == 0 or preds.shape != expected or (is_ranking and not 1 <= second <= num_classes):
        raise ArgumentError(
            f"for a target of shape {tuple(target.shape)} and {num_classes} classes, preds must be scores of shape "
            "(N, C, ...), class indices of shape (N, ...) or rankings of shape (N, k, ...); got "
            f"{'scores' if is_scores else 'indices'} of shape {tuple(preds.shape)}"
        )
    rows = chosen(preds.movedim(1, -1).flatten(0, -2) if is_scores or is_ranking else preds.reshape(-1, 1))
    if is_scores:
        is_nan = rows.amax(1).isnan() if len(rows) else rows.new_zeros(0, dtype=torch.bool)
        if is_nan.any():
            raise ArgumentError(
                f"preds hold NaN in {int(is_nan.sum())} of {len(rows)} examples, the first is example "
                f"{int(is_nan.int().argmax())} (counted from 0, without the ignored ones); NaN predicts no class"
            )
        return Predictions(labels, scores=rows.detach())
    classes = rows.long()
    _check_bounds("preds", classes, num_classes)
    return Predictions(labels, classes=classes)


def _check_bounds(name: str, indices: Int[Tensor, "*shape"], num_classes: int) -> None:
    """Raise IndexError for a class that there is not: looked up, a negative one would count from the end."""
    if not indices.numel():
        return
    least, greatest = (int(end) for end in indices.aminmax())
    if least < 0 or greatest >= num_classes:
        found = least if least < 0 else greatest
        raise IndexError(f"{name} {found} is out of bounds: classes are 0 to {num_classes - 1}")
