"""The loss of a linear layer's logits that never holds these whole, in the manner of F.linear_cross_entropy.

Here is what a user meets: the function, the module, and what is refused. The arithmetic is in `chunked_loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import simmatrix
from simloss.checks import check_call, check_options
from simloss.chunked_loss import Options, chunked_loss
from simloss.forms import Similarity, Sparse, Toeplitz, as_similarity, class_count
from simloss.module import SimLoss
from simloss.reduction import row_scale, split_ignored

__all__ = ["LinearSimLoss", "linear_sim_loss"]


def linear_sim_loss(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    similarity: Tensor | Sparse | Toeplitz,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`sim_loss` of `F.linear(input, linear_weight, linear_bias)`, whose N x C logits are never held whole.

    It computes the gradients in the forward pass, those that are asked for. So it is for training: without gradients it
    saves memory only. The memory it takes beside the tensors given and their gradients does not grow with N; for
    float16 and bfloat16 the gradient of `linear_weight` is summed in float32, and rounded once.

    As in F.linear, `input`, `linear_weight` and `linear_bias` have one dtype, to which autocast casts them.

    Parameters
    ----------
    input
        Of shape (d) or (N, d). Never modified.
    linear_weight
        The weight of the linear layer, of shape (C, d).
    target
        Class indices, of shape () or (N), each in [0, C) or `ignore_index`.
    similarity
        S, in [0, 1] with unit diagonal, as in `sim_loss`: the sparse and the Toeplitz form go with many classes.
    linear_bias
        The bias of the linear layer, of shape (C).
    weight
        What a class counts, of shape (C). The mean is over the summed weights of the targets.
    reduction
        "mean", "sum", or "none" for one loss an example. For "none" the backward pass computes the logits again.
    ignore_index
        The class index of examples that count nothing, whatever is in their `input`.
    label_smoothing
        Must be 0.

    Returns
    -------
    Tensor
        In nats, at least 0. A single number, or for "none" of the shape of the target. Of the dtype of `input`, under
        autocast at least float32. NaN for the mean over nothing.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an option has no meaning; for class probabilities and label smoothing, which
        need the loss of each example for many classes: there call `sim_loss`.
    TypeError
        If a dtype is not what it has to be.
    IndexError
        If a class index is out of bounds (on a GPU a device-side assertion).
    RuntimeError
        If the tensors are on different devices; if `similarity` or `weight` requires a gradient; in a backward pass
        with create_graph=True, since there is no second derivative.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> head = torch.nn.Linear(2, 3)
    >>> features, target = torch.tensor([[1.0, -1.0]]), torch.tensor([0])
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
    >>> loss = linear_sim_loss(features, head.weight, target, similarity, linear_bias=head.bias)
    >>> loss.backward()
    >>> head.weight.grad.shape
    torch.Size([3, 2])
    """
    check_options(reduction, label_smoothing)
    form = as_similarity(similarity)
    dtype = _check(input, linear_weight, linear_bias, target, form, weight, ignore_index, label_smoothing)
    target = target.long()
    labels, ignored = split_ignored(target.flatten(), linear_weight.shape[0], ignore_index)
    scale, nothing = row_scale(labels, ignored, weight, reduction, torch.promote_types(dtype, torch.float32))
    layer = (input if input.ndim == 2 else input.unsqueeze(0), linear_weight, linear_bias)
    loss = chunked_loss(layer, target.flatten(), form, scale, Options(ignore_index, dtype, reduction != "none"))
    if nothing is not None:
        loss = loss + nothing
    is_autocast = torch.is_autocast_enabled(input.device.type)
    return (loss.view(target.shape) if reduction == "none" else loss).to(loss.dtype if is_autocast else input.dtype)


class LinearSimLoss(SimLoss):
    """`linear_sim_loss` as a module with the linear layer in it, in the manner of `torch.nn.LinearCrossEntropyLoss`.

    It takes the place of a model's last layer and its loss together. The layer is `linear`, an ordinary
    `torch.nn.Linear`: call that for the logits where there is no target. A `state_dict` is that of
    `nn.LinearCrossEntropyLoss`, and the similarity is held as in `SimLoss`. For a layer that the model owns, say one
    that shares its weight with an embedding, call `linear_sim_loss`.

    Parameters
    ----------
    in_features
        Size of each example, d.
    similarity, weight, ignore_index, reduction, classes
        As in `SimLoss`. The number of classes C is that of the similarity.
    label_smoothing
        Must be 0.
    bias
        Whether the layer adds a bias to the logits. As in the peer it does not, unless asked; `torch.nn.Linear` does.
    device
        Where the layer is made, and where the similarity and the weight are put; None for torch's default.
    dtype
        That of the layer; None for torch's default.

    Attributes
    ----------
    linear : torch.nn.Linear
        The layer, with a weight of shape (C, d).
    classes : tuple of str, or None
        The names of the classes in the order of the logits, where they are known.
    lower_bound : float
        As in `SimLoss`.

    Raises
    ------
    ValueError, TypeError, RuntimeError, simmatrix.errors.ClassOrderError
        As in `SimLoss`. ValueError for label smoothing, too.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> criterion = LinearSimLoss(4, torch.tensor([[1.0, 0.5], [0.5, 1.0]]), classes=["cat", "lynx"])
    >>> features = torch.zeros(3, 4)
    >>> loss = criterion(features, torch.tensor([0, 1, 1]))
    >>> logits = criterion.linear(features)
    """

    def __init__(
        self,
        in_features: int,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(similarity, weight, ignore_index, reduction, label_smoothing, classes=classes)
        _check_smoothing(label_smoothing)
        self.linear = nn.Linear(in_features, class_count(self._form()), bias=bias, device=device, dtype=dtype)
        self.to(self.linear.weight.device)

    @classmethod
    def from_file(  # type: ignore[override]  # a layer has a size, which SimLoss has no use for
        cls,
        path: str | Path,
        in_features: int,
        classes: Sequence[str] | None = None,
        **options: Any,
    ) -> LinearSimLoss:
        """Return the layer and its loss for the similarity matrix in a file.

        Parameters
        ----------
        path, classes
            As in `SimLoss.from_file`.
        in_features
            Size of each example, d.
        **options
            The other parameters of `LinearSimLoss`.

        Returns
        -------
        LinearSimLoss
            With the similarity in float32.

        Raises
        ------
        simmatrix.errors.ClassOrderError
            If `classes` and those of the file are not the same names.
        simmatrix.errors.SimilarityError
            If the file can't be read; see `simmatrix.load`.
        """
        return cls(in_features, simmatrix.load(path), classes=classes, **options)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of the layer's logits; see `linear_sim_loss`."""
        return linear_sim_loss(
            input,
            self.linear.weight,
            target,
            self.similarity,
            linear_bias=self.linear.bias,
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(
    input: Tensor,
    linear_weight: Tensor,
    linear_bias: Tensor | None,
    target: Tensor,
    similarity: Similarity,
    weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
) -> torch.dtype:
    """Raise for tensors that do not fit each other, and return the dtype that F.linear would compute in."""
    if input.ndim not in (1, 2):
        raise ValueError(f"input must have shape (d) or (N, d), got {tuple(input.shape)}")
    if linear_weight.ndim != 2 or linear_weight.shape[1] != input.shape[-1]:
        raise ValueError(
            f"for input of shape {tuple(input.shape)}, linear_weight must have shape (C, {input.shape[-1]}), one row a "
            f"class; got {tuple(linear_weight.shape)}"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:1]:
        raise ValueError(
            f"for linear_weight of shape {tuple(linear_weight.shape)}, linear_bias must have shape "
            f"({linear_weight.shape[0]},); got {tuple(linear_bias.shape)}"
        )
    dtype = _product_dtype(input)
    for name, tensor in (("linear_weight", linear_weight), ("linear_bias", linear_bias)):
        if tensor is None:
            continue
        if tensor.device != input.device:
            raise RuntimeError(f"{name} is on {tensor.device}, but the input is on {input.device}")
        if _product_dtype(tensor) != dtype:
            raise TypeError(f"input and {name} must have the same dtype, got {input.dtype} and {tensor.dtype}")
    # What the logits would be, with no memory for them.
    logits = input.new_empty(()).expand(*input.shape[:-1], linear_weight.shape[0])
    _check_smoothing(label_smoothing)
    if target.is_floating_point():
        raise ValueError(
            "target must hold class indices here, got "
            f"{target.dtype}: for class probabilities call sim_loss(F.linear(input, linear_weight, linear_bias), ...)"
        )
    if logits.shape == target.shape:
        raise ValueError(
            f"for input of shape {tuple(input.shape)}, target must have shape {tuple(input.shape[:-1])}, one class "
            f"index an example; got {tuple(target.shape)}"
        )
    check_call(logits, target, similarity, weight, ignore_index)
    return dtype


def _check_smoothing(label_smoothing: float) -> None:
    if label_smoothing != 0:
        raise ValueError(
            f"label_smoothing must be 0 here, got {label_smoothing}: for label smoothing call "
            "sim_loss(F.linear(input, linear_weight, linear_bias), ...)"
        )


def _product_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype that F.linear would take a tensor in; autocast leaves float64 alone."""
    if torch.is_autocast_enabled(tensor.device.type) and tensor.is_floating_point() and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype
