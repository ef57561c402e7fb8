"""The loss where each of several processes holds the logits, and the columns of the similarity, of some of the classes.

With a = sum S e^z and b = sum (1 - S) e^z, for the similarity row S of one label, and d = a + b:

    loss = log(1 + b / a)          dloss/dz = e^z / d ((1 - S) - S b / a)

Both are sums over the processes. So each sends the logarithms of its own two, one gathering brings all of them to
everyone, and from there on each process knows the loss, and the gradient for its own logits. The logarithms of sums in
float32 are sent in float64, which keeps all their digits. A share of cross entropy needs four more such numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

import simmatrix
from simloss.autograd import refuse_second_derivative
from simloss.checks import INDEX_DTYPES, check_options, check_similarity, check_weight
from simloss.errors import ArgumentError, DtypeError
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, as_similarity, class_count, columns_of, from_matrix, rows
from simloss.loss import SimLoss
from simloss.reduction import is_autocast, row_scale, split_ignored, work_dtype
from simloss.rows import scale_gradient_
from simloss.rows.call import Call, mix_of, mixture
from simloss.rows.eager import least_sum
from simmatrix.names import Names, names_in_order
from simmatrix.shapes import Bool, Float, Int

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.tensor import DTensor


def class_parallel_sim_loss(
    logits: Tensor,
    target: Tensor,
    similarity: Tensor | Sparse | Toeplitz,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    share: float = 1.0,
    similarity_smoothing: float = 0.0,
    group: ProcessGroup | None = None,
) -> Tensor:
    """`sim_loss` of class indices, for logits whose classes are divided among processes.

    The processes exchange two numbers for each example in the forward pass, six where cross entropy has a share, and
    nothing in the backward pass. With a share of cross entropy this function also asks the others how many classes they
    hold, and waits for the answer; the module knows. Each must call with the same target, weight and options.

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
    ignore_index, reduction, share, similarity_smoothing
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
    check_options(reduction, 0.0, share, similarity_smoothing)
    form, mix = as_similarity(_columns(similarity)), mix_of(share, similarity_smoothing, logits.device)
    return _loss(logits, target, form, mix, weight, ignore_index, reduction, _Place(group))


class _Place(NamedTuple):
    """Where a process stands among those that share the classes."""

    group: ProcessGroup | None  # all processes if it is None
    first: int = -1  # the first of its classes; -1 where that is not known


def _loss(
    logits: Tensor,
    target: Tensor,
    form: Similarity,
    mix: Tensor | None,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    place: _Place,
) -> Tensor:
    """Return the loss for a mix of it and cross entropy; see `rows.call`."""
    options = (_whole(target, "target"), form, mix, _whole(weight, "weight"), ignore_index, reduction)
    if not _is_dtensor(logits):
        return _local_loss(logits, *options, None, place)
    from torch.distributed.tensor import DTensor, Replicate

    sharded = cast("DTensor", logits)
    local, mesh = _columns(sharded, "logits"), sharded.device_mesh
    loss = _local_loss(local, *options, sharded.shape[1], _Place(mesh.get_group(), place.first))
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
    similarity, weight, ignore_index, reduction, share, similarity_smoothing, classes
        As in `SimLoss`, for all classes: the columns of this process are taken out here.
    label_smoothing
        Must be 0.
    group, columns
        The processes, and how many classes this one holds; see `shard_similarity`.

    Attributes
    ----------
    columns : range
        The classes of this process.
    share, similarity_smoothing, lower_bound : float
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
        share: float = 1.0,
        similarity_smoothing: float = 0.0,
        classes: Names | None = None,
        group: ProcessGroup | None = None,
        columns: int | None = None,
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
        self.group = group
        self.num_classes = class_count(self._given)
        self.columns = _columns_here(self.num_classes, group, columns, self._given[-1].device)
        part = columns_of(self._given, self.columns.start, self.columns.stop, self.num_classes)
        self._hold(part, part, self._held.mix)
        self._is_warned = True  # that was for all classes; the influence of these columns alone says nothing

    @classmethod
    def from_file(  # type: ignore[override]  # where this process stands is nothing that SimLoss has a use for
        cls,
        path: str | Path,
        rank: int | None = None,
        world_size: int | None = None,
        *,
        classes: Names | None = None,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        share: float = 1.0,
        similarity_smoothing: float = 0.0,
        group: ProcessGroup | None = None,
        columns: int | None = None,
    ) -> Self:
        """Return the loss for the columns of this process of the similarity matrix in a file.

        Of a matrix in shards, in the order of its classes, it goes through one shard after the other and keeps these
        columns alone. Any other matrix is read whole, and divided then.

        Parameters
        ----------
        path
            A file that `simmatrix` wrote, or the index of one in shards.
        rank, world_size
            Which process of how many this is, as `torch.chunk` divides the classes; None for those of the group.
        classes
            As in `SimLoss.from_file`. In another order than the file's the matrix is read whole.
        weight, ignore_index, reduction, label_smoothing, share, similarity_smoothing, group, columns
            As in the class; with `rank` and `world_size` no `columns`.

        Raises
        ------
        ValueError
            If the rank is none of the processes.
        simmatrix.errors.ClassOrderError
            If `classes` and those of the file are not the same names.
        simmatrix.errors.SimilarityError
            If the file can't be read; see `simmatrix.load`.
        """
        if (rank is None) != (world_size is None) or (rank is not None and columns is not None):
            raise ArgumentError("give rank and world_size together, and without columns")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise ArgumentError(f"rank must be from 0 to world_size - 1, got {rank} of {world_size}")

        def here(count: int) -> range:
            if rank is None or world_size is None:
                return _columns_here(count, group, columns, torch.device("cpu"))
            return _chunk(count, rank, world_size)

        check_options(reduction, label_smoothing, share, similarity_smoothing)
        _check_smoothing(label_smoothing)
        part = _part_of_file(path, classes, here)
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        module.group, module.num_classes, module.columns = group, len(part.classes), part.columns
        module.classes = part.classes
        module._begin(
            part.form, len(part.classes), weight, ignore_index, reduction, label_smoothing, share, similarity_smoothing
        )
        module._warn_alone(part.influence)
        module._is_warned = True
        return module

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; see `class_parallel_sim_loss`."""
        check_options(self.reduction, self.label_smoothing)
        (form, mix, _), place = self._held, _Place(self.group, self.columns.start)
        return _loss(input, target, form, mix, self.weight, self.ignore_index, self.reduction, place)

    def _shape(self) -> tuple[int, int]:
        return self.num_classes, len(self.columns)

    def extra_repr(self) -> str:
        """Return what the representation says beside the name."""
        return (
            f"num_classes={self.num_classes}, columns={self.columns.start}:{self.columns.stop}, "
            f"similarity={self._given[-1].dtype}, ignore_index={self.ignore_index}, reduction={self.reduction!r}"
            f"{self._options_repr()}"
        )


class _FilePart(NamedTuple):
    """Columns of the matrix in a file, the names of all its classes, and the influence of the whole."""

    form: Similarity
    columns: range
    classes: Sequence[str]
    influence: float


def _part_of_file(path: str | Path, classes: Names | None, here: Callable[[int], range]) -> _FilePart:
    """Read the columns that are here, once it is known how many there are."""
    found = simmatrix.matrix.load_columns(path, here)
    names = None if classes is None else names_in_order(classes)
    if found is None or (names is not None and names != found.classes):
        matrix = simmatrix.load(path)
        matrix = matrix if names is None else matrix.reorder(names)
        columns, form = here(len(matrix)), from_matrix(matrix)
        part = columns_of(form, columns.start, columns.stop, len(matrix))
        return _FilePart(part, columns, matrix.classes, matrix.influence)
    parts = [torch.from_numpy(part) for part in (found.starts, found.columns, found.values)]
    return _FilePart(Sparse(*parts), found.here, found.classes, found.total / len(found.classes) - 1)


def _check_smoothing(label_smoothing: float) -> None:
    if label_smoothing != 0:
        raise NotImplementedError(
            "label smoothing is not supported where processes share the classes: gather the logits, and use SimLoss"
        )


# --- which columns are here -------------------------------------------------------------------------------------------


def _columns_here(classes: int, group: ProcessGroup | None, columns: int | None, device: torch.device) -> range:
    """Return the classes of this process: so many, or as many as torch.chunk would give it."""
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if columns is None:
        return _chunk(classes, rank, size)
    counts = torch.empty(size, 1, dtype=torch.int64, device=device)
    dist.all_gather(list(counts.unbind(0)), torch.full_like(counts[0], columns), group=group)
    held: list[int] = counts.flatten().tolist()
    if sum(held) != classes:
        raise ArgumentError(
            f"the processes hold {' + '.join(map(str, held))} = {sum(held)} columns, "
            f"but the similarity has {classes} classes"
        )
    first = sum(held[:rank])
    return range(first, first + columns)


def _chunk(classes: int, rank: int, size: int) -> range:
    """Return the classes that torch.chunk would give to a process."""
    most = -(-classes // size)
    return range(min(rank * most, classes), min((rank + 1) * most, classes))


def _is_dtensor(value: object) -> bool:
    """Tell a DTensor, without the import: where one is, its module has been loaded."""
    return isinstance(value, getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", ()))


def _whole(tensor: Tensor | None, name: str) -> Any:
    """Return what is the same on all processes as a plain tensor."""
    if not _is_dtensor(tensor):
        return tensor
    whole = cast("DTensor", tensor)
    if not all(placement.is_replicate() for placement in whole.placements):
        raise ArgumentError(f"{name} must be replicated, got a DTensor with {_placements(whole)}")
    return whole.to_local()


def _columns(tensor: Any, name: str = "similarity") -> Any:
    """Return the columns of a DTensor that are here as a plain tensor, and what is no DTensor as it is."""
    if not _is_dtensor(tensor):
        return tensor
    sharded = cast("DTensor", tensor)
    if sharded.ndim != 2 or sharded.device_mesh.ndim != 1 or not sharded.placements[0].is_shard(1):
        raise ArgumentError(
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
        raise ArgumentError(f"logits must have shape (N, C), got {tuple(logits.shape)}: flatten further dimensions")
    if not logits.is_floating_point():
        raise DtypeError(f"logits must be of a floating-point dtype, got {logits.dtype}")
    count = _check_similarity(similarity, logits.shape[1])
    if classes is not None and classes != count:
        raise ArgumentError(f"similarity has rows for {count} classes, but the logits have {classes} classes")
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
        raise DtypeError(f"similarity must be of a floating-point dtype, got {numbers.dtype}")
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
        raise ArgumentError(
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
        raise ArgumentError(
            f"target must have shape ({logits.shape[0]},), one class index an example; got {tuple(target.shape)}"
        )
    if target.dtype not in INDEX_DTYPES:
        raise DtypeError(f"class indices must be torch.int64 or torch.uint8, got {target.dtype}")


# --- the loss ---------------------------------------------------------------------------------------------------------


def _local_loss(
    logits: Tensor,
    target: Tensor,
    form: Similarity,
    mix: Tensor | None,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    classes: int | None,
    place: _Place,
) -> Tensor:
    """Return the loss, from the columns that are here."""
    classes = _check(logits, target, form, weight, classes)
    if mix is not None and place.first < 0:
        here = _columns_here(classes, place.group, logits.shape[1], logits.device)
        place = place._replace(first=here.start)
    labels, ignored = split_ignored(target.long(), classes, ignore_index)
    scale, nothing = row_scale(labels, ignored, weight, reduction, work_dtype(logits))
    call = Call(ignore_index, scale, mix)
    loss = _divided_loss(logits, labels, ignored, form, call, place, reduction != "none")
    if nothing is not None:
        loss = loss + nothing
    return loss.to(work_dtype(logits) if is_autocast(logits.device) else logits.dtype)


# --- row by row -------------------------------------------------------------------------------------------------------

# Elements of a block of rows: on the CPU, for each thread, what stays in the caches; elsewhere what bounds the memory.
_BLOCK = 2**17
_BLOCK_ELSEWHERE = 2**25

# Where all similar classes of a process are at -inf, the logarithm of their sum would say no more than that there may
# be none. The gradient has to know the sum of their similarities, so that is sent, as a number below all others.
_AT_BOTTOM = -(2.0**1000)
_LOWEST = -(2.0**850)  # 2^-149 is the smallest float32 above 0


def _divided_loss(
    logits: Float[Tensor, "N K"],
    labels: Int[Tensor, " N"],
    ignored: Bool[Tensor, " N"] | None,
    similarity: Similarity,
    call: Call,
    place: _Place,
    is_summed: bool,
) -> Float[Tensor, ""] | Float[Tensor, " N"]:
    """Return the loss of each row, or the sum of these, in the work dtype; see `rows.row_losses`.

    Parameters
    ----------
    logits
        The K columns that are here.
    labels
        The class of each row, among those of all processes.
    ignored
        Rows that get a loss and a gradient of exactly 0; None for none.
    similarity
        The same K columns, of all C rows.
    call
        The options.
    place
        Where this process stands among the others.
    is_summed
        Whether the sum is wanted.
    """
    loss: Tensor = _DividedLoss.apply(logits, labels, ignored, similarity, call, place, is_summed)  # type: ignore[no-untyped-call]  # torch has no types for it
    return loss


class _Part(NamedTuple):
    """What a process knows of each row from its own columns. The logarithms are in float64, the maximum is not."""

    log_a: Float[Tensor, " N"]  # -inf where no class is similar
    log_b: Float[Tensor, " N"]
    highest: Float[Tensor, " N"]
    is_far: Bool[Tensor, " N"]  # whether a underflows beside e^highest
    entropy: Float[Tensor, "4 N"] | None  # where cross entropy has a share, what it needs: see `_own_part`


class _Whole(NamedTuple):
    """What all processes know of each row after the gathering, in float64."""

    log_a: Float[Tensor, " N"]
    log_b: Float[Tensor, " N"]
    log_d: Float[Tensor, " N"]
    is_at_bottom: Bool[Tensor, " N"]  # all similar classes are at -inf: log_a is that of the sum of their similarities
    entropy: Float[Tensor, "4 N"] | None  # the sums of the parts


class _DividedLoss(torch.autograd.Function):
    """The gradient is computed in the forward pass, and is private until the backward pass hands it out."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        ignored: Tensor | None,
        similarity: Similarity,
        call: Call,
        place: _Place,
        is_summed: bool,
    ) -> Tensor:
        part = _part(logits, labels, similarity, None if call.mix is None else place.first)
        numbers = torch.stack(part[:2]) if part.entropy is None else torch.cat([torch.stack(part[:2]), part.entropy])
        losses, whole = _merged(_gathered(numbers.T.contiguous(), place.group), call.mixing(torch.float64))
        if ctx.needs_input_grad[0]:
            ctx.gradient = _gradient(logits, labels, ignored, call, place.first, part, whole, similarity)
        ctx.save_for_backward(logits, labels, ignored, call.scale, call.mix, *part, *whole, *similarity)
        ctx.ignored, ctx.place, ctx.form, ctx.ignore_index = ignored, place, type(similarity), call.ignore_index
        losses = losses.to(work_dtype(logits))
        if call.scale is not None:
            losses *= call.scale
        if ignored is not None:
            losses = losses.masked_fill(ignored, 0.0)
        return losses.sum() if is_summed else losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradient, ctx.gradient = ctx.gradient, None
        logits, labels, ignored, scale, mix, *tensors = ctx.saved_tensors
        if gradient is None:  # the graph was kept, and the gradient has been given away
            part, whole, similarity = _Part(*tensors[:5]), _Whole(*tensors[5:10]), ctx.form(*tensors[10:])
            call = Call(ctx.ignore_index, scale, mix)
            gradient = _gradient(logits, labels, ignored, call, ctx.place.first, part, whole, similarity)
        if upstream.ndim and ctx.ignored is not None:  # what comes for ignored examples may be infinite
            upstream = upstream.masked_fill(ctx.ignored, 0.0)
        scale_gradient_(gradient, upstream)
        return gradient.to(logits.dtype), None, None, None, None, None, None


def _gathered(numbers: Float[Tensor, "N n"], group: ProcessGroup | None) -> Float[Tensor, "R N n"]:
    """Return the numbers of each of the R processes. This is all that is ever communicated."""
    gathered = numbers.new_empty(dist.get_world_size(group), *numbers.shape)
    dist.all_gather(list(gathered.unbind(0)), numbers, group=group)
    return gathered


def _merged(
    numbers: Float[Tensor, "R N n"], mixing: tuple[Tensor, Tensor] | None
) -> tuple[Float[Tensor, " N"], _Whole]:
    """Return the loss of each row, and what its gradient needs."""
    log_a, log_b = numbers[..., :2].logsumexp(0).unbind(1)
    is_at_bottom = log_a.isfinite() & (log_a < _LOWEST)
    log_a = log_a.masked_fill(is_at_bottom, -torch.inf)
    losses = torch.logaddexp(log_b - log_a, torch.zeros_like(log_a))
    log_d = torch.logaddexp(log_a, log_b)
    similarities = (numbers[..., 0] / _AT_BOTTOM).nan_to_num(posinf=0.0).sum(0)
    entropy = None
    if mixing is not None:
        (share, smoothing), log_rest = mixing, numbers[..., 2].logsumexp(0)
        own = numbers[..., 3].amax(0)
        neighbours, between = numbers[..., 4].sum(0), numbers[..., 5].sum(0)
        smoothing = torch.where(neighbours > 0, smoothing, 0.0)
        entropies = torch.logaddexp(log_rest - own, torch.zeros_like(own))
        others = torch.logaddexp(log_rest, own) - between / neighbours.masked_fill(neighbours == 0, 1.0)
        losses = mixture(losses, mixture(others, entropies, smoothing), share)
        entropy = torch.stack([log_rest, own, neighbours, between])
    return losses, _Whole(torch.where(is_at_bottom, similarities.log(), log_a), log_b, log_d, is_at_bottom, entropy)


# --- the columns of one process ---------------------------------------------------------------------------------------


def _part(logits: Float[Tensor, "N K"], labels: Int[Tensor, " N"], similarity: Similarity, first: int | None) -> _Part:
    """Return what the columns that are here tell of each row. Where cross entropy has a share, `first` is the first."""
    (count, columns), dtype = logits.shape, work_dtype(logits)
    a, b, highest = logits.new_zeros(3, count, dtype=dtype)
    highest.fill_(-torch.inf)
    is_far = torch.zeros_like(labels, dtype=torch.bool)
    log_far = a.double()
    entropy = None if first is None else a.new_full((4, count), -torch.inf, dtype=torch.float64)
    if entropy is not None:
        entropy[2:] = 0.0
    for block, s, e, product in _blocks(logits):
        z = logits[block].to(dtype)
        rows(similarity, labels[block], s)
        torch.amax(z, 1, out=highest[block])
        _exponentials_(e, z, highest[block])
        a[block] = torch.mul(s, e, out=product).sum(1)
        b[block] = torch.lerp(e, e.new_zeros(()), s, out=product).sum(1)
        # A process that has no class like the label has a = 0, and nothing is lost there.
        far = (a[block] < least_sum(dtype, columns)) & (s.amax(1) > 0)
        if far.any():  # on a GPU this question waits for the device
            is_far[block] = far
            log_far[block][far] = _log_far(z[far], s[far])
        if entropy is not None and first is not None:
            entropy[:, block] = _own_part(z, s, e, highest[block], labels[block] - first)
    log_a = torch.where(is_far, log_far, a.double().log() + highest)
    return _Part(log_a, b.double().log() + highest, highest, is_far, entropy)


def _own_part(
    z: Float[Tensor, "N K"],
    s: Float[Tensor, "N K"],
    e: Float[Tensor, "N K"],
    highest: Float[Tensor, " N"],
    columns: Int[Tensor, " N"],
) -> Float[Tensor, "4 N"]:
    """Return what cross entropy needs of the columns that are here, in float64.

    That is the logarithm of the sum of e^z over the classes other than the label, the logit of the label (-inf where it
    is elsewhere), and the sums of S and of S z over the other classes. It changes s and e.
    """
    here = ((columns >= 0) & (columns < z.shape[1])).nonzero().squeeze(1)
    own = torch.full_like(highest, -torch.inf, dtype=torch.float64)
    own[here] = z[here, columns[here]].double()
    s[here, columns[here]] = 0.0
    e[here, columns[here]] = 0.0
    neighbours = s.sum(1).double()
    shift = highest.masked_fill(highest == -torch.inf, 0.0)
    # A class of no similarity counts nothing, even where its logit is -inf.
    of_sum = s / s.sum(1, keepdim=True).masked_fill_(neighbours.unsqueeze(1) == 0, 1.0)  # or small products lose digits
    between = (of_sum * (z - shift.unsqueeze(1))).masked_fill_(s == 0, 0.0).sum(1).double() + shift.double()
    between = torch.where(neighbours > 0, between * neighbours, 0.0)
    return torch.stack([e.sum(1).double().log() + highest, own, neighbours, between])


def _gradient(
    logits: Float[Tensor, "N K"],
    labels: Int[Tensor, " N"],
    ignored: Bool[Tensor, " N"] | None,
    call: Call,
    first: int,
    part: _Part,
    whole: _Whole,
    similarity: Similarity,
) -> Float[Tensor, "N K"]:
    """Return the gradient for the columns that are here.

    With the maximum m of those it is e^(z - m) ((1 - S) e^m / d - S (e^m / a) (b / d)), where the quotients are of the
    row. They are in range unless a underflows beside e^m, and that is when the row is far. Where cross entropy has a
    share, its part is e^(z - m) e^m / d less what its target gives to the class.
    """
    scale, mixing = call.scale, call.mixing(torch.float64)
    dtype = work_dtype(logits)
    # In float32 for float16, where many a slope is too small until the scale of a GradScaler comes upstream.
    out = torch.empty_like(logits, dtype=dtype if logits.dtype == torch.float16 else logits.dtype)
    away = (part.highest - whole.log_d).exp_()
    towards = (part.highest - whole.log_a).exp_().mul_((whole.log_b - whole.log_d).exp_())
    towards.masked_fill_(part.log_a == -torch.inf, 0.0)
    factor = torch.ones_like(away) if scale is None else scale.to(away.dtype).expand_as(away)
    away, towards = ((numbers * factor).to(dtype).unsqueeze(1) for numbers in (away, towards))
    for block, s, e, slopes in _blocks(logits):
        z = logits[block].to(dtype)
        rows(similarity, labels[block], s)
        _exponentials_(e, z, part.highest[block])
        torch.lerp(away[block], e.new_zeros(()), s, out=slopes)
        slopes.addcmul_(s, towards[block], value=-1)
        if mixing is None:
            torch.mul(slopes, e, out=out[block])
        else:
            slopes.mul_(e)
        far = part.is_far[block]
        if far.any():
            of_far = _far_slopes(z[far], s[far], *(numbers[block][far] for numbers in whole[:4]))
            of_far.mul_(factor[block][far].unsqueeze(1))
            (out[block] if mixing is None else slopes)[far] = of_far.to(out.dtype if mixing is None else dtype)
        if mixing is not None and whole.entropy is not None:
            e.mul_(away[block])
            target = (whole.log_d[block], whole.entropy[:, block], factor[block], labels[block] - first)
            out[block] = _mixed_slopes(slopes, e, s, mixing, *target)
    return out if ignored is None else out.masked_fill_(ignored.unsqueeze(1), 0.0)


def _log_far(z: Float[Tensor, "M K"], s: Float[Tensor, "M K"]) -> Float[Tensor, " M"]:
    """Return log sum S e^z of rows where that is small beside the largest e^z. S enters by its logarithm, as z does."""
    s = s.double()
    log_a = (z.double() + s.log()).logsumexp(1)
    return torch.where(log_a == -torch.inf, s.sum(1) * _AT_BOTTOM, log_a)


def _mixed_slopes(
    of_similarity: Float[Tensor, "N K"],
    p: Float[Tensor, "N K"],
    s: Float[Tensor, "N K"],
    mixing: tuple[Tensor, Tensor],
    log_d: Float[Tensor, " N"],
    entropy: Float[Tensor, "4 N"],
    factor: Float[Tensor, " N"],
    columns: Int[Tensor, " N"],
) -> Float[Tensor, "N K"]:
    """Return share times the slopes of SimLoss plus (1 - share) times those of cross entropy.

    The slopes and p are scaled by the factor of their row already.
    """
    (share, smoothing), (log_rest, _own, neighbours, _between) = mixing, entropy
    smoothed = torch.where(neighbours > 0, smoothing, 0.0) * factor
    target = s / neighbours.masked_fill(neighbours == 0, 1.0).to(s.dtype).unsqueeze(1)
    of_entropy = p - target * smoothed.to(s.dtype).unsqueeze(1)
    here = ((columns >= 0) & (columns < p.shape[1])).nonzero().squeeze(1)
    own = smoothed - (log_rest - log_d).exp() * factor
    of_entropy[here, columns[here]] = own[here].to(p.dtype)
    share = share.to(p.dtype)
    slopes: Tensor = share * of_similarity + (1 - share) * of_entropy
    return slopes


def _far_slopes(
    z: Float[Tensor, "M K"],
    s: Float[Tensor, "M K"],
    log_a: Float[Tensor, " M"],
    log_b: Float[Tensor, " M"],
    log_d: Float[Tensor, " M"],
    is_at_bottom: Bool[Tensor, " M"],
) -> Float[Tensor, "M K"]:
    """Return the gradient of such rows: p (1 - S) - q b / d, with p = e^z / d and q = S e^z / a."""
    z, s = z.double(), s.double()
    log_a, log_b, log_d, is_at_bottom = (numbers.unsqueeze(1) for numbers in (log_a, log_b, log_d, is_at_bottom))
    p = (z - log_d).exp()
    # Where all similar classes are at -inf, it pulls at each by its similarity.
    q = (z.masked_fill(is_at_bottom & (z == -torch.inf), 0.0) + s.log() - log_a).exp()
    return p * (1 - s) - q * (log_b - log_d).exp()


def _blocks(logits: Float[Tensor, "N K"]) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Cut the rows into blocks, and yield each with three places of its shape to work in, in the work dtype."""
    count, columns = logits.shape
    if columns == 0:  # a process may hold none
        return
    most = _BLOCK * torch.get_num_threads() if logits.device.type == "cpu" else _BLOCK_ELSEWHERE
    height = max(1, min(count, most // columns))
    spare = logits.new_empty(3, height, columns, dtype=work_dtype(logits))
    for top in range(0, count, height):
        one, two, three = spare[:, : count - top]
        yield slice(top, top + height), one, two, three


def _exponentials_(out: Float[Tensor, "N K"], z: Float[Tensor, "N K"], highest: Float[Tensor, " N"]) -> None:
    """Write e^(z - highest). Rows that are -inf throughout are 0."""
    torch.sub(z, highest.masked_fill(highest == -torch.inf, 0.0).unsqueeze(1), out=out).exp_()
