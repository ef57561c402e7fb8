"""SimLoss as a function, in the manner of F.cross_entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from simloss.checks import check_call, check_options
from simloss.distribution_loss import distribution_losses
from simloss.forms import Similarity, Sparse, Toeplitz, as_similarity
from simloss.index_loss import index_loss
from simloss.reduction import label_weights, one_hot, reduced, row_scale, smoothed, split_ignored, weighted, work_dtype
from simmatrix.shapes import Float, Int

__all__ = ["sim_loss"]


def sim_loss(
    input: Tensor,
    target: Tensor,
    similarity: Tensor | Sparse | Toeplitz,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy that knows which classes are alike: -log sum_c S[y, c] softmax(input)[c].

    All that `torch.nn.functional.cross_entropy` takes it takes, and with the identity matrix for S it is that function.
    Only where that one returns NaN for logits that are NaN or infinite, this one is stricter about what counts: an
    ignored example and a class without a share in the target count nothing at all. A larger S[y, c] makes it cheaper to
    take class c for class y; with S = 1 everywhere the loss is 0.

    The arithmetic is in float32, for float64 logits in float64, whatever the dtype of the similarity. The products
    with S that class probabilities and label smoothing need obey `torch.set_float32_matmul_precision`.

    Parameters
    ----------
    input
        Logits, of shape (C), (N, C) or (N, C, d1, ...). Never modified.
    target
        Either class indices, of shape (), (N) or (N, d1, ...), each in [0, C) or `ignore_index`; or class
        probabilities t, of the shape of `input`: the loss is then sum_k t_k (-log sum_c S[k, c] softmax(input)[c]).
    similarity
        S, in [0, 1] with unit diagonal, of any floating-point dtype: a tensor of shape (C, C), strided or CSR, or
        `simloss.Sparse` or `simloss.Toeplitz`. These values are not checked here, but `SimLoss` checks them once. It
        gets no gradient.
    weight
        What a class counts, of shape (C). The mean is over the summed weights of the targets.
    ignore_index
        The class index of examples that count nothing. Not for class probabilities.
    reduction
        "mean", "sum", or "none" for one loss an example.
    label_smoothing
        In [0, 1]: the share of the target that is spread evenly over all classes.

    Returns
    -------
    Tensor
        In nats, at least 0. A single number, or for "none" of the shape of the class indices. Of the dtype of
        `input`, or of what `F.cross_entropy` promotes it to beside class probabilities or under autocast. NaN for the
        mean over nothing: an empty batch, or all targets ignored.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an option has no meaning.
    TypeError
        If a dtype is not what it has to be.
    IndexError
        If a class index is out of bounds (on a GPU a device-side assertion, as in `F.cross_entropy`).
    RuntimeError
        If the tensors are on different devices; if `similarity` requires a gradient, or `weight` does beside class
        indices; in a backward pass with create_graph=True, since there is no second derivative.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
    >>> sim_loss(logits, torch.tensor([0]), similarity)
    tensor(0.2388)
    >>> sim_loss(logits, torch.tensor([0]), torch.eye(3))  # cross entropy
    tensor(0.4076)
    """
    check_options(reduction, label_smoothing)
    form = as_similarity(similarity)
    check_call(input, target, form, weight, ignore_index)
    logits = _rows(input)
    shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    if target.shape == input.shape:
        result = _of_probabilities(logits, _rows(target), form, weight, reduction, label_smoothing)
    else:
        result = _of_labels(logits, target.flatten().long(), form, weight, ignore_index, reduction, label_smoothing)
    return (result.view(shape) if reduction == "none" else result).to(_result_dtype(input, target, weight))


def _of_labels(
    logits: Float[Tensor, "N C"],
    target: Int[Tensor, " N"],
    similarity: Similarity,
    weight: Float[Tensor, " C"] | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Return the loss for class indices, in the work dtype."""
    dtype = work_dtype(logits)
    labels, ignored = split_ignored(target, logits.shape[1], ignore_index)
    if label_smoothing == 0:
        scale, nothing = row_scale(labels, ignored, weight, reduction, dtype)
        loss = index_loss(logits, target, similarity, scale, ignore_index, reduction != "none")
        return loss if nothing is None else loss + nothing
    distribution = weighted(smoothed(one_hot(labels, logits.shape[1], dtype), label_smoothing), weight)
    losses = distribution_losses(logits, distribution, ignored, similarity)
    return reduced(losses, label_weights(labels, ignored, weight, dtype).sum(), reduction)


def _of_probabilities(
    logits: Float[Tensor, "N C"],
    target: Float[Tensor, "N C"],
    similarity: Similarity,
    weight: Float[Tensor, " C"] | None,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Return the loss for class probabilities, in the work dtype."""
    distribution = weighted(smoothed(target.to(work_dtype(logits)), label_smoothing), weight)
    return reduced(distribution_losses(logits, distribution, None, similarity), logits.shape[0], reduction)


def _rows(tensor: Tensor) -> Float[Tensor, "N C"]:
    """Return (C), (N, C) or (N, C, d1, ...) as one row of classes an example."""
    if tensor.ndim == 2:
        return tensor
    return tensor.unsqueeze(0) if tensor.ndim == 1 else tensor.movedim(1, -1).flatten(0, -2)


def _result_dtype(logits: Tensor, target: Tensor, weight: Tensor | None) -> torch.dtype:
    """Return the dtype that F.cross_entropy would give the loss."""
    dtype = logits.dtype
    if target.is_floating_point():
        for other in (target, weight):
            dtype = dtype if other is None else torch.promote_types(dtype, other.dtype)
    if torch.is_autocast_enabled(logits.device.type):
        dtype = torch.promote_types(dtype, torch.float32)
    return dtype
