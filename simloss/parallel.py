"""The loss where each of several processes holds the logits, and the columns of the similarity, of some of the classes.

Here is what a user meets: the function, the module, the division of a similarity, DTensors, and what is refused. The
arithmetic is in `divided_loss`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

import simmatrix
from simloss.checks import INDEX_DTYPES, check_options, check_similarity, check_weight
from simloss.divided_loss import divided_loss
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, as_similarity, class_count, columns_of
from simloss.module import SimLoss
from simloss.reduction import row_scale, split_ignored, work_dtype

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.tensor import DTensor

__all__ = ["ClassParallelSimLoss", "class_parallel_sim_loss", "shard_similarity"]


def class_parallel_sim_loss(
    logits: Tensor,
    target: Tensor,
    similarity: Tensor | Sparse | Toeplitz,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    group: ProcessGroup | None = None,
) -> Tensor:
    """`sim_loss` of class indices, for logits whose classes are divided among processes.

    The processes exchange two numbers for each example in the forward pass, and nothing in the backward pass. Each must
    call with the same target, weight and options.

    Class probabilities and label smoothing need the loss of each example for many classes instead of one, so they are
    not supported: gather the logits, and call `sim_loss`.

    Parameters
    ----------
    logits
        Of shape (N, C): a DTensor on a one-dimensional mesh, sharded over the classes by `Shard(-1)`. Or, of shape
        (N, C_r), the C_r columns that this process holds, in a plain tensor: the processes together hold all C, in the
        order of their ranks, divided as one likes. Never modified. Beyond 2^29 in magnitude the logits of several
        processes are compared with fewer digits than `sim_loss` does, for float64 beyond 1 already.
    target
        Class indices of shape (N), each in [0, C) or `ignore_index`. A DTensor must be replicated.
    similarity
        The columns of S for the same classes, of shape (C, C_r), as `shard_similarity` makes them; or a DTensor of
        shape (C, C) sharded as the logits are. In [0, 1] with unit diagonal, which is not checked here.
    weight
        What a class counts, of shape (C), for all classes. A DTensor must be replicated.
    ignore_index, reduction
        As in `sim_loss`.
    group
        The processes, for plain logits; all if it is None. A DTensor brings its own mesh, and this is not looked at.

    Returns
    -------
    Tensor
        What `sim_loss` returns for the whole logits, the same on all processes: for a DTensor a replicated DTensor.

    Raises
    ------
    NotImplementedError
        If the target holds class probabilities.
    ValueError
        If shapes do not fit each other, an option has no meaning, or a DTensor is divided otherwise.
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
    In a group of one process:

    >>> import torch
    >>> import torch.distributed as dist
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
    >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
    >>> class_parallel_sim_loss(logits, torch.tensor([0]), shard_similarity(similarity))
    tensor(0.2388)
    >>> dist.destroy_process_group()
    """
    check_options(reduction, 0.0)
    options = (_whole(target, "target"), _columns(similarity), _whole(weight, "weight"), ignore_index, reduction)
    if not _is_dtensor(logits):
        return _local_loss(logits, *options, None, group)
    from torch.distributed.tensor import DTensor, Replicate

    sharded = cast("DTensor", logits)
    local, mesh = _columns(sharded, "logits"), sharded.device_mesh
    loss = _local_loss(local, *options, sharded.shape[1], mesh.get_group())
    return DTensor.from_local(loss, mesh, [Replicate()], run_check=False)


def shard_similarity(
    similarity: Tensor | Sparse | Toeplitz, group: ProcessGroup | None = None, *, columns: int | None = None
) -> Tensor | Sparse | Toeplitz:
    """Return the columns of a similarity that belong to the logits of this process.

    Parameters
    ----------
    similarity
        S for all C classes, of shape (C, C), as `sim_loss` takes it.
    group
        The processes; all if it is None. For a DTensor, `mesh.get_group()`.
    columns
        How many classes this process holds. The processes then tell each other, so all must call. None for as many as
        a DTensor holds there: ceil(C / R) on each of the R processes as long as there are any left.

    Returns
    -------
    Tensor, Sparse or Toeplitz
        Of the form of `similarity`, with all C rows.

    Raises
    ------
    ValueError
        If the similarity is not square, or the processes do not hold C columns together.
    TypeError
        If the similarity is not of a floating-point dtype.
    RuntimeError
        If the similarity requires a gradient.
    """
    form = as_similarity(similarity)
    check_similarity(form)
    classes = class_count(form)
    here = _columns_here(classes, group, columns, form[-1].device)
    part = columns_of(form, here.start, here.stop, classes)
    return part.values if isinstance(part, Dense) else part


class ClassParallelSimLoss(SimLoss):
    """`class_parallel_sim_loss` as a module: a `SimLoss` that holds the columns of this process only.

    Parameters
    ----------
    similarity, weight, ignore_index, reduction, classes
        As in `SimLoss`, for all classes: the columns of this process are taken out here.
    label_smoothing
        Must be 0.
    group, columns
        The processes, and how many classes this one holds; see `shard_similarity`.

    Attributes
    ----------
    columns : range
        The classes of this process.
    lower_bound : float
        As in `SimLoss`. All processes must set the same.

    Raises
    ------
    NotImplementedError
        If label smoothing is asked for.
    ValueError, TypeError, RuntimeError, simmatrix.errors.ClassOrderError
        As in `SimLoss` and `shard_similarity`.
    """

    def __init__(
        self,
        similarity: Tensor | Sparse | Toeplitz | simmatrix.SimilarityMatrix,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        classes: Sequence[str] | None = None,
        group: ProcessGroup | None = None,
        columns: int | None = None,
    ) -> None:
        super().__init__(similarity, weight, ignore_index, reduction, label_smoothing, classes=classes)
        if label_smoothing != 0:
            raise NotImplementedError(
                "label smoothing is not supported where processes share the classes: gather the logits, and use SimLoss"
            )
        self.group = group
        form = self._form()
        self.num_classes = class_count(form)
        self.columns = _columns_here(self.num_classes, group, columns, form[-1].device)
        part = columns_of(form, self.columns.start, self.columns.stop, self.num_classes)
        for name, tensor in zip(self._names, part, strict=True):
            setattr(self, name, tensor)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; see `class_parallel_sim_loss`."""
        return class_parallel_sim_loss(
            input, target, self.similarity, self.weight, self.ignore_index, self.reduction, group=self.group
        )

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        return (
            f"num_classes={self.num_classes}, columns={self.columns.start}:{self.columns.stop}, "
            f"similarity={self._form()[-1].dtype}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"
            f"{self._bound_repr()}"
        )


# --- which columns are here -------------------------------------------------------------------------------------------


def _columns_here(classes: int, group: ProcessGroup | None, columns: int | None, device: torch.device) -> range:
    """Return the classes of this process: so many, or as many as torch.chunk would give it."""
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if columns is None:
        most = -(-classes // size)
        return range(min(rank * most, classes), min((rank + 1) * most, classes))
    counts = torch.empty(size, 1, dtype=torch.int64, device=device)
    dist.all_gather(list(counts.unbind(0)), torch.full_like(counts[0], columns), group=group)
    held: list[int] = counts.flatten().tolist()
    if sum(held) != classes:
        raise ValueError(
            f"the processes hold {' + '.join(map(str, held))} = {sum(held)} columns, "
            f"but the similarity has {classes} classes"
        )
    first = sum(held[:rank])
    return range(first, first + columns)


def _is_dtensor(value: object) -> bool:
    """Tell a DTensor, without the import: where one is, its module has been loaded."""
    return isinstance(value, getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", ()))


def _whole(tensor: Tensor | None, name: str) -> Any:
    """Return what is the same on all processes as a plain tensor."""
    if not _is_dtensor(tensor):
        return tensor
    whole = cast("DTensor", tensor)
    if not all(placement.is_replicate() for placement in whole.placements):
        raise ValueError(f"{name} must be replicated, got a DTensor with {_placements(whole)}")
    return whole.to_local()


def _columns(tensor: Any, name: str = "similarity") -> Any:
    """Return the columns of a DTensor that are here as a plain tensor, and what is no DTensor as it is."""
    if not _is_dtensor(tensor):
        return tensor
    sharded = cast("DTensor", tensor)
    if sharded.ndim != 2 or sharded.device_mesh.ndim != 1 or not sharded.placements[0].is_shard(1):
        raise ValueError(
            f"{name} must be of two dimensions and sharded over the classes by Shard(-1), on a mesh of one dimension; "
            f"got a DTensor of shape {tuple(sharded.shape)} with {_placements(sharded)}"
        )
    return sharded.to_local()


def _placements(tensor: DTensor) -> str:
    return f"placements {tensor.placements} on a mesh of shape {tuple(tensor.device_mesh.shape)}"


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(logits: Tensor, target: Tensor, similarity: Similarity, weight: Tensor | None, classes: int | None) -> int:
    """Raise for tensors that do not fit each other, and return how many classes there are; classes, if that is known.

    Nothing has been sent yet: where all processes make the same mistake, none is left waiting for the others.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must have shape (N, C), got {tuple(logits.shape)}: flatten further dimensions")
    if not logits.is_floating_point():
        raise TypeError(f"logits must be of a floating-point dtype, got {logits.dtype}")
    count = _check_similarity(similarity, logits.shape[1])
    if classes is not None and classes != count:
        raise ValueError(f"similarity has rows for {count} classes, but the logits have {classes} classes")
    check_weight(weight, count)
    if weight is not None and weight.requires_grad:
        raise RuntimeError("weight gets no gradient when the target holds class indices; pass weight.detach()")
    _check_target(logits, target)
    for name, tensor in (("target", target), ("weight", weight), *(("similarity", part) for part in similarity)):
        if tensor is not None and tensor.device != logits.device:
            raise RuntimeError(f"{name} is on {tensor.device}, but the logits are on {logits.device}")
    return count


def _check_similarity(similarity: Similarity, columns: int) -> int:
    """Raise for a similarity that has not so many columns, as far as it knows, and return how many rows it has."""
    numbers = similarity[-1]
    if not numbers.is_floating_point():
        raise TypeError(f"similarity must be of a floating-point dtype, got {numbers.dtype}")
    if numbers.requires_grad:
        raise RuntimeError("similarity gets no gradient from this loss; pass similarity.detach()")
    match similarity:
        case Dense(values):
            fits, count = values.ndim == 2 and values.shape[1] == columns, values.shape[0]
        case Sparse(crow_indices):
            fits, count = True, crow_indices.shape[0] - 1
        case Toeplitz(diagonals):
            count = diagonals.shape[0] - columns + 1
            fits = count >= columns
    if not fits:
        raise ValueError(
            f"the logits have {columns} columns on this process, but the similarity does not: its part has shape "
            f"{tuple(numbers.shape)}; shard_similarity makes the part that fits"
        )
    return count


def _check_target(logits: Tensor, target: Tensor) -> None:
    """Raise for a target that is not one class index an example."""
    if target.is_floating_point():
        raise NotImplementedError(
            "class probabilities are not supported where processes share the classes: gather the logits, and call "
            "sim_loss"
        )
    if tuple(target.shape) != (logits.shape[0],):
        raise ValueError(
            f"target must have shape ({logits.shape[0]},), one class index an example; got {tuple(target.shape)}"
        )
    if target.dtype not in INDEX_DTYPES:
        raise TypeError(f"class indices must be torch.int64 or torch.uint8, got {target.dtype}")


# --- the loss ---------------------------------------------------------------------------------------------------------


def _local_loss(
    logits: Tensor,
    target: Tensor,
    similarity: object,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    classes: int | None,
    group: ProcessGroup | None,
) -> Tensor:
    """Return the loss, from the columns that are here."""
    form = as_similarity(similarity)
    classes = _check(logits, target, form, weight, classes)
    labels, ignored = split_ignored(target.long(), classes, ignore_index)
    scale, nothing = row_scale(labels, ignored, weight, reduction, work_dtype(logits))
    loss = divided_loss(logits, labels, ignored, form, scale, group, reduction != "none")
    if nothing is not None:
        loss = loss + nothing
    is_autocast = torch.is_autocast_enabled(logits.device.type)
    return loss.to(work_dtype(logits) if is_autocast else logits.dtype)
