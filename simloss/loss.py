"""SimLoss, as a function in the manner of F.cross_entropy and as a module in the manner of nn.CrossEntropyLoss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

import simmatrix
from simloss.autograd import Batch, Held, IndexLoss, index_loss, refuse_tracing
from simloss.checks import check_call, check_options, check_similarity, check_similarity_values, check_weight
from simloss.constants import HoldsConstants
from simloss.errors import ArgumentError, SimilarityWarning, warn_user
from simloss.forms import (
    Dense,
    Similarity,
    Sparse,
    Toeplitz,
    as_similarity,
    bounded,
    class_count,
    from_matrix,
    influence_of,
    moved,
    rows,
    with_numbers,
)
from simloss.reduction import (
    is_autocast,
    label_weights,
    one_hot,
    reduced,
    smoothed,
    split_ignored,
    weighted,
    work_dtype,
)
from simloss.rows import native
from simloss.rows.call import mix_of
from simloss.targets import distribution_losses
from simmatrix.names import Names, names_in_order
from simmatrix.shapes import Float
from simmatrix.summary import FAINT, gradient_kept


def sim_loss(
    input: Tensor,
    target: Tensor,
    similarity: Tensor | Sparse | Toeplitz,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    share: float = 1.0,
    similarity_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy that knows which classes are alike: -log sum_c S[y, c] softmax(input)[c].

    It takes everything that `torch.nn.functional.cross_entropy` takes, and with the identity matrix for S it is that
    function. One thing differs: where logits are NaN or infinite, an ignored example and a class that has no part in
    the target count nothing, while cross entropy may return NaN for them. A larger S[y, c] makes it cheaper to predict
    class c where class y is true; with S = 1 everywhere the loss is 0.

    SimLoss alone gives up rare classes for their neighbours. With a share of cross entropy, (1 - share) CE + share
    SimLoss, no class is given up. Both are computed in one pass.

    The arithmetic is in float32, for float64 logits in float64, whatever the dtype of the similarity. The products
    with S that class probabilities and label smoothing need obey `torch.set_float32_matmul_precision`.

    Parameters
    ----------
    input
        Logits, of shape (C), (N, C) or (N, C, d1, ...). Never modified.
    target
        Either class indices, of shape (), (N) or (N, d1, ...), each in [0, C) or `ignore_index`; or class
        probabilities t, of the shape of `input`: the loss is then sum_k t_k times the loss for class k.
    similarity
        S, in [0, 1] with unit diagonal, of any floating-point dtype: a tensor of shape (C, C), strided or CSR, or
        `simloss.Sparse` or `simloss.Toeplitz`. Row y belongs to the true class y; S need not be symmetric. The values
        are not checked here, but `SimLoss` checks them once. S gets no gradient.
    weight
        What a class counts, of shape (C). The mean is over the summed weights of the targets.
    ignore_index
        The class index of examples that count nothing. Not for class probabilities.
    reduction
        "mean", "sum", or "none" for one loss an example.
    label_smoothing
        In [0, 1]: the share of the target that is spread evenly over all classes, as in `F.cross_entropy`.
    share
        In [0, 1]: how much of the loss is SimLoss. 1 is SimLoss alone, 0 is cross entropy.
    similarity_smoothing
        In [0, 1]: in the part of cross entropy, how much of each target goes to the other classes, in proportion to
        their similarity. A class without similar classes keeps all of its target.

    Returns
    -------
    Tensor
        In nats, at least 0: a single number, or for "none" one number per class index. It has the dtype of `input`, or
        the dtype to which `F.cross_entropy` promotes it for class probabilities or under autocast. The mean over no
        example (an empty batch, or all targets ignored) is NaN.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an option has no meaning. A RuntimeError too, as torch raises here.
    TypeError
        If a dtype is not what it has to be. A RuntimeError too.
    IndexError
        If a class index is out of bounds (on a GPU a device-side assertion, as in `F.cross_entropy`).
    RuntimeError
        If the tensors are on different devices; if `similarity` requires a gradient, or `weight` does beside class
        indices; in a backward pass with create_graph=True, since there is no second derivative; under torch.jit.trace.

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
    >>> sim_loss(logits, torch.tensor([0]), similarity, share=0.4)  # 0.6 of the one, 0.4 of the other
    tensor(0.3401)
    """
    check_options(reduction, label_smoothing, share, similarity_smoothing)
    form = as_similarity(similarity)
    check_call(input, target, form, weight, ignore_index)
    held = Held(form, mix_of(share, similarity_smoothing, input.device), None)
    return _loss(input, target, held, weight, ignore_index, reduction, label_smoothing)


def _loss(
    input: Tensor,
    target: Tensor,
    held: Held,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Return the loss of arguments that fit each other."""
    refuse_tracing()
    logits = _rows(input)
    if target.shape == input.shape:
        result = _of_probabilities(logits, _rows(target), held, weight, reduction, label_smoothing)
    else:
        batch = Batch(target.flatten().long(), held, weight, ignore_index, reduction)
        result = _of_smoothed_labels(logits, batch, label_smoothing) if label_smoothing else index_loss(logits, batch)
    if reduction == "none":
        result = result.view(input.shape[:1] + input.shape[2:] if input.ndim > 1 else ())
    return result.to(_result_dtype(input, target, weight))


def _of_smoothed_labels(logits: Float[Tensor, "N C"], batch: Batch, label_smoothing: float) -> Tensor:
    """Return the loss for class indices whose target gives a share to every class, in the work dtype."""
    target, held, weight, ignore_index, reduction = batch
    dtype = work_dtype(logits)
    labels, ignored = split_ignored(target, logits.shape[1], ignore_index)
    distribution = weighted(smoothed(one_hot(labels, logits.shape[1], dtype), label_smoothing), weight)
    losses = distribution_losses(logits, distribution, ignored, held.similarity, held.mix)
    return reduced(losses, label_weights(labels, ignored, weight, dtype).sum(), reduction)


def _of_probabilities(
    logits: Float[Tensor, "N C"],
    target: Float[Tensor, "N C"],
    held: Held,
    weight: Float[Tensor, " C"] | None,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Return the loss for class probabilities, in the work dtype."""
    distribution = weighted(smoothed(target.to(work_dtype(logits)), label_smoothing), weight)
    losses = distribution_losses(logits, distribution, None, held.similarity, held.mix)
    return reduced(losses, logits.shape[0], reduction)


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
    if is_autocast(logits.device):
        dtype = torch.promote_types(dtype, torch.float32)
    return dtype


# --- the module -------------------------------------------------------------------------------------------------------


class SimLoss(HoldsConstants):
    """`sim_loss` as a module, in the manner of `torch.nn.CrossEntropyLoss`.

    The similarity is part of the module, not of its state: it moves with the module from device to device, keeps its
    own dtype where a model is cast, and does not enter checkpoints; `state_dict` is that of `nn.CrossEntropyLoss`. It
    can't get lost: where a model is made on the meta device and gets its memory later, it stays where it was made.

    Parameters
    ----------
    similarity
        A tensor of shape (C, C), strided or CSR, or `simloss.Sparse` or `simloss.Toeplitz`, in [0, 1] with unit
        diagonal, row y for the true class y, kept as it is in whatever floating-point dtype it has; or a
        `simmatrix.SimilarityMatrix`, in float32 and in its own form. A sparse one is made dense where it has so many
        entries that this is faster.
    weight, ignore_index, reduction, label_smoothing, share, similarity_smoothing
        As in `sim_loss`.
    classes
        The names of the classes in the order of the logits. A `SimilarityMatrix` is reordered to it.

    Attributes
    ----------
    classes : sequence of str, or None
        The names of the classes in the order of the logits, where they are known.
    share, similarity_smoothing : float
        As in `sim_loss`. They may be set between the steps of a training, say to raise the share epoch by epoch.
    lower_bound : float
        The l of max(0, (S - l) / (1 - l)), the similarity in use; 0 at first. It may be set as these.

    Warns
    -----
    SimilarityWarning
        If the share is 1 and the similarity leaves so little of cross entropy's gradient that classes may be given up;
        if the share is 1 and `similarity_smoothing` above 0, which then does nothing.

    Raises
    ------
    ValueError
        If the similarity is not square, leaves [0, 1], has a NaN or a diagonal that is not 1, or has no values since it
        is on the meta device; if `classes` does not have one name a row of a tensor; or if an option has no meaning.
    TypeError
        If the similarity or the weight is not of a floating-point dtype.
    RuntimeError
        If the similarity requires a gradient.
    simmatrix.errors.ClassOrderError
        If `classes` and those of a `SimilarityMatrix` are not the same names.

    References
    ----------
    Kobs, Steininger, Zehe, Lautenschlager and Hotho, "SimLoss: Class Similarities in Cross Entropy", ISMIS 2020.

    Examples
    --------
    >>> import torch
    >>> criterion = SimLoss(torch.tensor([[1.0, 0.5], [0.5, 1.0]]), share=0.4, classes=["cat", "lynx"])
    >>> logits = torch.zeros(1, 2, requires_grad=True)
    >>> loss = criterion(logits, torch.tensor([0]))
    >>> loss.backward()
    >>> logits.grad
    tensor([[-0.3667,  0.3667]])
    """

    weight: Tensor | None

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        share: float = 1.0,
        similarity_smoothing: float = 0.0,
        classes: Names | None = None,
    ) -> None:
        super().__init__()
        check_options(reduction, label_smoothing, share, similarity_smoothing)
        form, self.classes = form_and_classes(similarity, classes)
        if not isinstance(similarity, simmatrix.SimilarityMatrix):  # whose values have been checked
            check_similarity_values(form)
        self._begin(
            form, class_count(form), weight, ignore_index, reduction, label_smoothing, share, similarity_smoothing
        )
        self._warn_alone()

    def _begin(
        self,
        form: Similarity,
        count: int,
        weight: Tensor | None,
        ignore_index: int,
        reduction: str,
        label_smoothing: float,
        share: float,
        similarity_smoothing: float,
    ) -> None:
        """Hold a sound similarity and the options."""
        check_weight(weight, count)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self._share, self._similarity_smoothing, self._lower_bound = float(share), float(similarity_smoothing), 0.0
        self._hold(form, form, mix_of(share, similarity_smoothing, form[-1].device))
        self._is_warned = False

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        classes: Names | None = None,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **options: Any,
    ) -> Self:
        """Return the loss for the similarity matrix in a file.

        Parameters
        ----------
        path
            A file that `simmatrix` wrote, of any form.
        classes
            The names of the classes in the order of the logits, say `train_set.classes`, or a mapping between names and
            indices, as `id2label` and `class_to_idx`. The matrix is reordered to it. Without it the logits must be in
            the order of the file.
        weight, ignore_index, reduction, label_smoothing, **options
            The other parameters of the class.

        Returns
        -------
        SimLoss
            On the CPU, with the similarity in float32.

        Raises
        ------
        simmatrix.errors.ClassOrderError
            If `classes` and those of the file are not the same names.
        simmatrix.errors.SimilarityError
            If the file can't be read; see `simmatrix.load`.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> matrix = simmatrix.SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("cat", "lynx"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cats.safetensors")
        ...     matrix.save(path)
        ...     criterion = SimLoss.from_file(path, classes=["lynx", "cat"], share=0.4, similarity_smoothing=0.05)
        >>> criterion.classes
        ('lynx', 'cat')
        """
        return cls(simmatrix.load(path), weight, ignore_index, reduction, label_smoothing, classes=classes, **options)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; see `sim_loss`."""
        held, ignore_index, reduction = self._held, self.ignore_index, self.reduction
        # The buffer itself, since an attribute of a module takes long to find. A weight may be a parameter, too.
        is_plain = self._buffers.get("weight", self) is None and self.label_smoothing == 0 and reduction == "mean"
        # Most calls need no further checks, and small batches would feel them.
        if (
            is_plain
            and not torch.compiler.is_compiling()
            and native.takes_batch(input, target, held.similarity, held.table)
        ):
            batch = Batch(target, held, None, ignore_index, reduction)
            return IndexLoss.apply(input, batch, input.requires_grad and torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]  # torch has no types for it
        weight = self.weight
        check_options(reduction, self.label_smoothing)
        check_call(input, target, held.similarity, weight, ignore_index)
        held = Held(held.similarity, held.mix, None)
        return _loss(input, target, held, weight, ignore_index, reduction, self.label_smoothing)

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        form = self._held.similarity
        kind = "" if isinstance(form, Dense) else f"{type(form).__name__} "
        return (
            f"num_classes={class_count(form)}, similarity={kind}{form[-1].dtype}, ignore_index={self.ignore_index}, "
            f"reduction={self.reduction!r}, label_smoothing={self.label_smoothing}{self._options_repr()}"
        )

    def _options_repr(self) -> str:
        """Return what the representation says of the options that cross entropy lacks, where they are in use."""
        usual = {"share": 1.0, "similarity_smoothing": 0.0, "lower_bound": 0.0}
        return "".join(f", {name}={getattr(self, name)}" for name in usual if getattr(self, name) != usual[name])

    # --- what is held ---------------------------------------------------------------------------------------------

    @property
    def similarity(self) -> Tensor | Sparse | Toeplitz:
        """The similarity in the form that the loss holds, under its lower bound; a dense one is a plain tensor."""
        form = self._held.similarity
        return form.values if isinstance(form, Dense) else form

    @property
    def share(self) -> float:
        """How much of the loss is SimLoss, in [0, 1]; the rest is cross entropy. It may be set at any time.

        Nothing waits for the device. Compiled code and a captured CUDA graph see the change, if the share was other
        than 1 once before: SimLoss alone is computed by code of its own. So set it before a CUDA graph is captured.

        Raises
        ------
        ValueError
            If it is set to what is not in [0, 1].
        """
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        check_options("mean", 0.0, share)
        self._share = float(share)
        self._set_mix()
        if self._device().type == "cpu" or self._similarity_smoothing:  # elsewhere the influence would be waited for
            self._warn_alone()

    @property
    def similarity_smoothing(self) -> float:
        """How much of each target cross entropy gives to similar classes, in [0, 1]; see `sim_loss`. As `share`."""
        return self._similarity_smoothing

    @similarity_smoothing.setter
    def similarity_smoothing(self, smoothing: float) -> None:
        check_options("mean", 0.0, similarity_smoothing=smoothing)
        self._similarity_smoothing = float(smoothing)
        self._set_mix()
        if smoothing:
            self._warn_alone()

    @property
    def lower_bound(self) -> float:
        """The l in [0, 1) of max(0, (S - l) / (1 - l)), which the loss uses in place of the S that it was given.

        0 at first, and it may be set at any time, higher or lower: it is S that is bounded, not what an earlier bound
        left. The result is computed in float64 (in float32 on devices without), and rounded once to the dtype of S.

        Nothing waits for the device. The first bound other than 0 takes memory for S a second time, since S as it was
        given is kept. On a device later ones write to the same memory, where a CUDA graph finds it: set a bound before
        a CUDA graph is captured. On the CPU each bound has memory of its own, so a thread that computes a loss at the
        time uses one bound throughout. A checkpoint knows nothing of it: set it again after a restart.

        A graph that waits for its backward pass has its gradient already, that of the bound of its forward pass.

        Raises
        ------
        ValueError
            If it is set to what is not in [0, 1).

        Examples
        --------
        From more similarity to less, epoch by epoch:

        >>> from simloss import SimLoss
        >>> criterion = SimLoss(torch.tensor([[1.0, 0.6], [0.6, 1.0]]), share=0.4)
        >>> for epoch in range(3):
        ...     criterion.lower_bound = 0.25 * epoch
        ...     print(f"{criterion.similarity[0, 1]:.2f}")  # train an epoch here
        0.60
        0.47
        0.20
        """
        return self._lower_bound

    @lower_bound.setter
    def lower_bound(self, bound: float) -> None:
        bound = float(bound)
        if not 0.0 <= bound < 1.0:
            raise ArgumentError(f"lower_bound must be in [0, 1), got {bound}; 0 uses the similarity as it was given")
        given, held = self._given, self._held.similarity
        if bound == self._lower_bound:
            return
        # Tensors made in inference mode could not be used in training.
        with torch.inference_mode(False):
            numbers = torch.empty_like(given[-1])
            bounded(given[-1], bound, numbers)
            is_fixed = given is not held and numbers.device.type != "cpu" and not held[-1].is_inference()
            if is_fixed:  # in one operation, so that an interruption leaves one bound or the other
                numbers = held[-1].copy_(numbers)
        self._hold(given, with_numbers(given, numbers), self._held.mix)
        self._lower_bound = bound

    @property
    def fingerprint(self) -> str:
        """What tells this loss from one of another matrix, in logs, checkpoints and model cards: 16 hexadecimal digits.

        It is a hash of the names of the classes, of S as it was given, and of `share`, `similarity_smoothing` and
        `lower_bound`. It does not depend on the form of S, on the device, or on weights and reduction. A
        `ClassParallelSimLoss` has the fingerprint of its own classes' columns.

        Examples
        --------
        >>> matrix = simmatrix.from_order(["low", "middle", "high"], decay=0.5)
        >>> SimLoss(matrix, share=0.4).fingerprint == SimLoss(matrix, share=0.5).fingerprint
        False
        """
        numbers = [self.share, self.similarity_smoothing, self.lower_bound]
        digest = hashlib.sha256(json.dumps([None if self.classes is None else list(self.classes), numbers]).encode())
        (height, width), device = self._shape(), self._device()
        for chosen in torch.split(torch.arange(height, device=device), max(1, 2**24 // width)):
            block = rows(self._given, chosen, torch.empty(len(chosen), width, device=device))
            digest.update(block.cpu().numpy().astype("<f4").tobytes())
        return digest.hexdigest()[:16]

    def _shape(self) -> tuple[int, int]:
        """Return how many rows and columns of S are held."""
        return (class_count(self._given),) * 2

    def _warn_alone(self, influence: float | None = None) -> None:
        """Warn, once a module, where SimLoss alone gives up classes, or smoothing does nothing."""
        if self._share < 1 or self._is_warned:
            return
        if self._similarity_smoothing > 0:
            self._is_warned = True
            warn_user(
                f"similarity_smoothing={self._similarity_smoothing:g} does nothing with share=1, where no part is "
                "cross entropy; give a smaller share too, as share=0.4",
                SimilarityWarning,
            )
            return
        influence = influence_of(self._held.similarity) if influence is None else influence
        kept = gradient_kept(class_count(self._given), influence)
        if kept < FAINT:
            self._is_warned = True
            warn_user(
                f"at an influence of {influence:.3g} SimLoss alone starts with {kept:.1%} of cross entropy's "
                "gradient, and it may give up classes for others that are like them; give cross entropy a share, as "
                "with share=0.4, or take a larger lower bound",
                SimilarityWarning,
            )

    def _set_mix(self) -> None:
        """Bring share and smoothing to where the rows find them, once the share was other than 1."""
        mix, (given, in_use) = self._held.mix, (self._given, self._held.similarity)
        if mix is not None and mix.device.type != "cpu":  # where a CUDA graph finds it
            mix[0].fill_(self._share)
            mix[1].fill_(self._similarity_smoothing)
            return
        with torch.inference_mode(False):
            new = mix_of(self._share, self._similarity_smoothing, in_use[-1].device, even_alone=mix is not None)
        self._hold(given, in_use, new)

    def _hold(self, given: Similarity, in_use: Similarity, mix: Tensor | None) -> None:
        """Hold a similarity as it was given and as it is used. One record, so that a call sees all of one moment."""
        self._given = given
        self._held = Held(in_use, mix, native.table_of(in_use))

    def _device(self) -> torch.device:
        return self._given[-1].device

    def _move(self, device: torch.device) -> None:
        in_use, mix = self._held.similarity, self._held.mix
        is_given = in_use is self._given
        given = moved(self._given, device)
        in_use = given if is_given else with_numbers(given, in_use[-1].to(device))
        if mix is not None and mix.device != device:
            with torch.inference_mode(False):
                mix = mix_of(self._share, self._similarity_smoothing, device, even_alone=True)
        self._hold(given, in_use, mix)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle holds: no addresses of this process."""
        state = self.__dict__.copy()
        state["_held"] = self._held._replace(table=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy or a pickle."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no types for it
        self._hold(self._given, self._held.similarity, self._held.mix)


def form_and_classes(
    similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix, classes: Names | None
) -> tuple[Similarity, Sequence[str] | None]:
    """Return the similarity in the order of the classes, and their names."""
    if isinstance(classes, Set):
        raise TypeError(
            f"classes must be in the order of the logits, which a {type(classes).__name__} does not say; give a list"
        )
    names = None if classes is None else names_in_order(classes)
    if isinstance(similarity, simmatrix.SimilarityMatrix):
        matrix = similarity if names is None else similarity.reorder(names)
        return from_matrix(matrix), matrix.classes
    form = as_similarity(similarity)
    check_similarity(form)
    if form[-1].is_meta:
        raise ArgumentError(
            "similarity is on the meta device, where it has no values: make it on the CPU, say under "
            'torch.device("cpu"), and the module will keep it'
        )
    if isinstance(similarity, Tensor) and isinstance(form, Sparse):
        form = Sparse(*(part.clone() for part in form))  # the parts of a CSR tensor are views, which don't compile
    if names is not None and len(names) != class_count(form):
        raise ArgumentError(f"{len(names)} classes do not name the rows of shape {(class_count(form),) * 2}")
    return form, names
