"""The loss of a linear layer's logits that never holds these whole, in the manner of F.linear_cross_entropy.

The logits of a chunk of rows become their own gradient in place, and that the gradients of the layer's input, weight
and bias, while it is at hand. So what is held beside those is one chunk, however many rows there are; and the gradients
are ready when the backward pass asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

import simmatrix
from simloss.autograd import refuse_second_derivative, refuse_tracing
from simloss.checks import check_call, check_options, has_no_values
from simloss.errors import ArgumentError, DtypeError
from simloss.forms import FORMS, Similarity, Sparse, Toeplitz, as_similarity, class_count, name_of
from simloss.loss import SimLoss
from simloss.reduction import is_autocast, row_scale, split_ignored
from simloss.rows import row_losses, scale_gradient_
from simloss.rows.call import Call, mix_of
from simmatrix.names import Names
from simmatrix.shapes import Float, Int


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
    share: float = 1.0,
    similarity_smoothing: float = 0.0,
) -> Tensor:
    """`sim_loss` of `F.linear(input, linear_weight, linear_bias)`, whose N x C logits are never held whole.

    It computes the gradients that are asked for in the forward pass, so it is meant for training: without gradients it
    only saves memory. The memory it takes beside the tensors given and their gradients does not grow with N; for
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
    share, similarity_smoothing
        As in `sim_loss`.

    Returns
    -------
    Tensor
        In nats, at least 0: a single number, or for "none" one number per target. It has the dtype of `input`, and
        under autocast at least float32. The mean over no example is NaN.

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
    check_options(reduction, label_smoothing, share, similarity_smoothing)
    form, mix = as_similarity(similarity), mix_of(share, similarity_smoothing, input.device)
    layer = (input, linear_weight, linear_bias)
    return _loss(layer, target, form, mix, weight, reduction, ignore_index, label_smoothing)


def _loss(
    layer: _Layer,
    target: Tensor,
    form: Similarity,
    mix: Tensor | None,
    weight: Tensor | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    """Return the loss for a mix of it and cross entropy; see `rows.call`."""
    refuse_tracing()
    features, linear_weight, linear_bias = layer
    dtype = _check(features, linear_weight, linear_bias, target, form, weight, ignore_index, label_smoothing)
    target = target.long()
    labels, ignored = split_ignored(target.flatten(), linear_weight.shape[0], ignore_index)
    scale, nothing = row_scale(labels, ignored, weight, reduction, torch.promote_types(dtype, torch.float32))
    layer = (features if features.ndim == 2 else features.unsqueeze(0), linear_weight, linear_bias)
    call, chunks = Call(ignore_index, scale, mix), _Chunks(dtype, reduction != "none")
    loss = _chunked_loss(layer, target.flatten(), form, call, chunks)
    if nothing is not None:
        loss = loss + nothing
    loss = loss.view(target.shape) if reduction == "none" else loss
    return loss if is_autocast(features.device) else loss.to(features.dtype)


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
    similarity, weight, ignore_index, reduction, share, similarity_smoothing, classes
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
    classes : sequence of str, or None
        The names of the classes in the order of the logits, where they are known.
    share, similarity_smoothing, lower_bound : float
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
        share: float = 1.0,
        similarity_smoothing: float = 0.0,
        classes: Names | None = None,
    ) -> None:
        super().__init__(
            similarity,
            weight,
            ignore_index,
            reduction,
            label_smoothing,
            share=share,
            similarity_smoothing=similarity_smoothing,
            classes=classes,
        )
        _check_smoothing(label_smoothing)
        self.linear = nn.Linear(in_features, class_count(self._given), bias=bias, device=device, dtype=dtype)
        self.to(self.linear.weight.device)

    @classmethod
    def from_file(  # type: ignore[override]  # a layer has a size, which SimLoss has no use for
        cls,
        path: str | Path,
        in_features: int,
        classes: Names | None = None,
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
        check_options(self.reduction, self.label_smoothing)
        (form, mix, _), layer = self._held, (input, self.linear.weight, self.linear.bias)
        return _loss(layer, target, form, mix, self.weight, self.reduction, self.ignore_index, self.label_smoothing)


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
        raise ArgumentError(f"input must have shape (d) or (N, d), got {tuple(input.shape)}")
    if linear_weight.ndim != 2 or linear_weight.shape[1] != input.shape[-1]:
        raise ArgumentError(
            f"for input of shape {tuple(input.shape)}, linear_weight must have shape (C, {input.shape[-1]}), one row a "
            f"class; got {tuple(linear_weight.shape)}"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:1]:
        raise ArgumentError(
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
            raise DtypeError(f"input and {name} must have the same dtype, got {input.dtype} and {tensor.dtype}")
    # What the logits would be, with no memory for them.
    logits = input.new_empty(()).expand(*input.shape[:-1], linear_weight.shape[0])
    _check_smoothing(label_smoothing)
    if target.is_floating_point():
        raise ArgumentError(
            "target must hold class indices here, got "
            f"{target.dtype}: for class probabilities call sim_loss(F.linear(input, linear_weight, linear_bias), ...)"
        )
    if logits.shape == target.shape:
        raise ArgumentError(
            f"for input of shape {tuple(input.shape)}, target must have shape {tuple(input.shape[:-1])}, one class "
            f"index an example; got {tuple(target.shape)}"
        )
    check_call(logits, target, similarity, weight, ignore_index)
    return dtype


def _check_smoothing(label_smoothing: float) -> None:
    if label_smoothing != 0:
        raise ArgumentError(
            f"label_smoothing must be 0 here, got {label_smoothing}: for label smoothing call "
            "sim_loss(F.linear(input, linear_weight, linear_bias), ...)"
        )


def _product_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype that F.linear would take a tensor in; autocast leaves float64 alone."""
    if is_autocast(tensor.device) and tensor.is_floating_point() and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype


# --- chunk by chunk ---------------------------------------------------------------------------------------------------

# Bytes of logits at a time, and how many rows at least. More rows at once make the products of matrices faster, and
# fewer passes over the gradient of the weight. On a CPU chunks that stay in its caches are faster still: of 64 to 2048
# rows, 512 are the fastest or within 4 % of it, for 1,000, for 8,192 and for 32,000 classes.
_WORKSPACE = 2**28
_LEAST_ROWS = 2048
_WORKSPACE_OF_CACHE = 2**22
_LEAST_ROWS_OF_CACHE = 512

# Newer versions of torch have products of float16 or bfloat16 matrices with a result in float32, on CUDA.
_HAS_WIDE_PRODUCTS = hasattr(torch.ops.aten.addmm, "dtype_out")


_Layer: TypeAlias = tuple[Tensor, Tensor, Tensor | None]  # input, weight and bias
_Gradients: TypeAlias = list[Tensor | None]  # those of the same; None where it is not wanted


class _Chunks(NamedTuple):
    """What holds for all chunks alike, beside the call."""

    dtype: torch.dtype  # of the logits, as F.linear would make them
    is_summed: bool


def _chunked_loss(
    layer: _Layer, labels: Int[Tensor, " N"], similarity: Similarity, call: Call, chunks: _Chunks
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Return the loss of each row of the layer's logits, or the sum of these; see `rows.row_losses`."""
    wanted = [torch.is_grad_enabled() and part is not None and part.requires_grad for part in layer]
    now = wanted if chunks.is_summed else [False] * len(wanted)
    if torch.compiler.is_compiling():
        loss: Tensor = _operator(*layer, labels, name_of(similarity), list(similarity), *call, *chunks, now)[0]
        return loss
    result: Tensor = _ChunkedLoss.apply(*layer, labels, similarity, call, chunks, now)  # type: ignore[no-untyped-call]  # torch has no types for it
    return result


def _losses(
    layer: _Layer,
    labels: Int[Tensor, " N"],
    similarity: Similarity,
    call: Call,
    chunks: _Chunks,
    wanted: Sequence[bool],
) -> tuple[Float[Tensor, " N"], _Gradients]:
    """Return the loss of each row, and the gradients of their sum for those parts of the layer that want one.

    These are of the dtype of their part, but in float32 for float16, where many a slope is too small until the scale
    that a GradScaler put on the loss comes upstream. See `rows.row_losses` for labels, similarity and call.
    """
    if has_no_values(layer[0]):
        losses, *made = _shapes(*layer, labels, "", [], 0, None, None, chunks.dtype, False, wanted)
        return losses, [gradient if is_wanted else None for gradient, is_wanted in zip(made, wanted, strict=True)]
    x, weight, bias = layer
    (count, classes), device = (x.shape[0], weight.shape[0]), x.device
    dtype, work = _chunk_dtype(chunks.dtype, device), torch.promote_types(chunks.dtype, torch.float32)
    height = _height(count, classes, dtype, device)
    summed = work if count > height else torch.promote_types(dtype, _held_dtype(weight))
    losses = torch.empty(count, dtype=work, device=device)
    to_x = torch.empty(x.shape, dtype=_held_dtype(x), device=device) if wanted[0] else None
    to_w = torch.empty(weight.shape, dtype=summed, device=device) if wanted[1] else None
    to_b = torch.zeros(classes, dtype=work, device=device) if wanted[2] else None
    if to_w is not None and not count:
        to_w.zero_()
    scale, common = _at_most_one(call.scale, dtype)
    with torch.autocast(device.type, enabled=False):  # it would round what is summed in float32
        w, b = weight.to(dtype), None if bias is None else bias.to(dtype)
        space = torch.empty(min(count, height), classes, dtype=dtype, device=device)
        for rows in (slice(top, top + height) for top in range(0, count, height)):
            # Rubbish in an ignored row would go into the gradient of the weight, as 0 times rubbish.
            part = x[rows].masked_fill((labels[rows] == call.ignore_index).unsqueeze(1), 0.0).to(dtype)
            z = _linear(part, w, b, space[: part.shape[0]])
            factor = scale[rows] if scale is not None and scale.ndim else scale
            slopes = z if any(wanted) else None
            losses[rows] = row_losses(z, labels[rows], similarity, call._replace(scale=factor), slopes)
            if to_x is not None:
                to_x[rows] = z @ w
            if to_w is not None:
                _add_product_(to_w, z.T, part, is_first=rows.start == 0)
            if to_b is not None:
                to_b += z.sum(0, dtype=work)
    for sums in (losses, to_x, to_w, to_b):
        if sums is not None and common is not None:
            sums.mul_(common)
    pairs = zip((to_x, to_w, to_b), layer, strict=True)
    return losses, [None if to is None or part is None else to.to(_held_dtype(part)) for to, part in pairs]


def _chunk_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of the logits of a chunk. CPUs have no products of float16 matrices to speak of."""
    return torch.float32 if dtype == torch.float16 and device.type == "cpu" else dtype


def _held_dtype(part: Tensor) -> torch.dtype:
    """Return the dtype that the gradient of a part of the layer has until the backward pass."""
    return torch.float32 if part.dtype == torch.float16 else part.dtype


def _height(count: int, classes: int, dtype: torch.dtype, device: torch.device) -> int:
    """Return how many rows to take at a time.

    All of them where they fit and the logits are in half precision: then the gradient of the weight is one product, and
    needs no sum in float32.
    """
    width = classes * dtype.itemsize
    fitting = max(1, _WORKSPACE // width)
    if device.type != "cpu":
        return max(_LEAST_ROWS, fitting)
    if dtype.itemsize == 2 and count <= fitting:
        return fitting
    return min(max(_LEAST_ROWS_OF_CACHE, _WORKSPACE_OF_CACHE // width), fitting)


def _at_most_one(scale: Tensor | None, dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    """Return a scale whose factors are at most 1, and the number that is missing from all results then; None for 1.

    Only logits in float16 need this: slopes that are divided by the number of examples are often too small for it.
    """
    if scale is None or dtype != torch.float16 or not scale.numel():
        return scale, None
    greatest = scale.abs().nan_to_num(nan=0.0, posinf=0.0).amax()
    common = greatest.masked_fill(greatest == 0, 1.0)
    return scale / common, common


def _linear(
    x: Float[Tensor, "N d"], w: Float[Tensor, "C d"], b: Float[Tensor, " C"] | None, out: Float[Tensor, "N C"]
) -> Float[Tensor, "N C"]:
    return torch.mm(x, w.T, out=out) if b is None else torch.addmm(b, x, w.T, out=out)


def _add_product_(
    total: Float[Tensor, "C d"], slopes: Float[Tensor, "C N"], x: Float[Tensor, "N d"], is_first: bool
) -> None:
    """Add a product to a total that has at least the digits of its factors. The first is written instead."""
    beta = 0 if is_first else 1
    if x.dtype != total.dtype and x.is_cuda and _HAS_WIDE_PRODUCTS:
        torch.addmm(total, slopes, x, out_dtype=total.dtype, beta=beta, out=total)
    else:
        total.addmm_(slopes.to(total.dtype), x.to(total.dtype), beta=beta)


# --- autograd ---------------------------------------------------------------------------------------------------------


class _ChunkedLoss(torch.autograd.Function):
    """The gradients of a sum are computed in the forward pass, those of single losses in the backward pass.

    They are private until the backward pass hands them out, so it scales them in place. For a graph that is kept, the
    next such pass computes them again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        similarity: Similarity,
        call: Call,
        chunks: _Chunks,
        now: list[bool],
    ) -> Tensor:
        ctx.save_for_backward(input, weight, bias, labels, call.scale, call.mix, *similarity)
        ctx.ignore_index, ctx.chunks, ctx.form = call.ignore_index, chunks, type(similarity)
        ctx.dtypes = _dtypes_of((input, weight, bias))
        losses, ctx.gradients = _losses((input, weight, bias), labels, similarity, call, chunks, now)
        return losses.sum() if chunks.is_summed else losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None or not ctx.chunks.is_summed:
            gradients = _computed_again(ctx, None if ctx.chunks.is_summed else upstream)
        if ctx.chunks.is_summed:
            for gradient in gradients:
                if gradient is not None:
                    scale_gradient_(gradient if gradient.ndim == 2 else gradient.unsqueeze(0), upstream)
        of_inputs = (None if to is None else to.to(dtype) for to, dtype in zip(gradients, ctx.dtypes, strict=True))
        return *of_inputs, None, None, None, None, None


def _computed_again(ctx: Any, upstream: Tensor | None) -> _Gradients:
    """Return the gradients from what was saved: for upstream gradients that are known by now, or a graph that was kept.

    Asking for what was saved raises where the graph was not kept, or where an input was changed in place since.
    """
    *layer, labels, scale, mix = ctx.saved_tensors[:6]
    if upstream is not None:
        scale = _joint_scale(scale, upstream, labels, ctx.ignore_index)
    call = Call(ctx.ignore_index, scale, mix)
    similarity = ctx.form(*ctx.saved_tensors[6:])
    return _losses(tuple(layer), labels, similarity, call, ctx.chunks, ctx.needs_input_grad[:3])[1]


def _joint_scale(
    scale: Tensor | None, upstream: Float[Tensor, " N"], labels: Int[Tensor, " N"], ignore_index: int
) -> Float[Tensor, " N"]:
    """Return what each row counts in the end. What comes upstream for ignored rows may be infinite."""
    factor = upstream.masked_fill(labels == ignore_index, 0.0)
    return factor if scale is None else factor * scale


# --- under torch.compile ----------------------------------------------------------------------------------------------

_SCHEMA = (
    "(Tensor input, Tensor weight, Tensor? bias, Tensor labels, str form, Tensor[] similarity, int ignore_index,"
    " Tensor? scale, Tensor? mix, ScalarType dtype, bool is_summed, bool[] wanted) -> (Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("simloss::linear_losses", mutates_args=(), schema=_SCHEMA)
def _operator(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    form: str,
    similarity: list[Tensor],
    ignore_index: int,
    scale: Tensor | None,
    mix: Tensor | None,
    dtype: torch.dtype,
    is_summed: bool,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the loss and the gradients. Those that are not wanted are empty: an operator returns tensors only."""
    call, chunks = Call(ignore_index, scale, mix), _Chunks(dtype, is_summed)
    losses, gradients = _losses((input, weight, bias), labels, FORMS[form](*similarity), call, chunks, wanted)
    to_x, to_w, to_b = (losses.new_empty(0) if gradient is None else gradient for gradient in gradients)
    return losses.sum() if is_summed else losses, to_x, to_w, to_b


@_operator.register_fake
def _shapes(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    _form: str,
    _similarity: list[Tensor],
    _ignore_index: int,
    _scale: Tensor | None,
    _mix: Tensor | None,
    dtype: torch.dtype,
    is_summed: bool,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    work = torch.promote_types(dtype, torch.float32)
    loss = torch.empty(() if is_summed else labels.shape, dtype=work, device=input.device)
    to_x, to_w, to_b = (
        torch.empty(part.shape, dtype=_held_dtype(part), device=part.device)
        if part is not None and is_wanted
        else loss.new_empty(0)
        for part, is_wanted in zip((input, weight, bias), wanted, strict=True)
    )
    return loss, to_x, to_w, to_b


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *layer, labels, ctx.name, similarity, ctx.ignore_index, scale, mix, dtype, is_summed, _wanted = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.chunks, ctx.dtypes, ctx.parts = _Chunks(dtype, is_summed), _dtypes_of(layer), len(similarity)
    ctx.save_for_backward(*(output[1:] if is_summed else (*layer, labels, scale, mix, *similarity)))


def _slopes(ctx: Any, upstream: Tensor, *_of_gradients: Tensor) -> tuple[Any, ...]:
    refuse_second_derivative()
    wanted = list(ctx.needs_input_grad[:3])
    if ctx.chunks.is_summed:
        gradients = [gradient * upstream for gradient in ctx.saved_tensors]
    else:
        *layer, labels, scale, mix = ctx.saved_tensors[:6]
        call = Call(ctx.ignore_index, _joint_scale(scale, upstream, labels, ctx.ignore_index), mix)
        parts = list(ctx.saved_tensors[6:])
        gradients = _operator(*layer, labels, ctx.name, parts, *call, *ctx.chunks, wanted)[1:]
    of_inputs = (
        to.to(dtype) if is_wanted else None for to, dtype, is_wanted in zip(gradients, ctx.dtypes, wanted, strict=True)
    )
    return *of_inputs, None, None, [None] * ctx.parts, None, None, None, None, None, None


_operator.register_autograd(_slopes, setup_context=_keep)


def _dtypes_of(layer: Sequence[Tensor | None]) -> list[torch.dtype | None]:
    return [None if part is None else part.dtype for part in layer]
