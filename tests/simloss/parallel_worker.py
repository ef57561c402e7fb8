"""What each of the processes does that tests/simloss/test_parallel.py starts: all cases in one go."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

from simloss import Sparse, Toeplitz, parallel
from simloss.parallel import ClassParallelSimLoss, class_parallel_sim_loss, shard_similarity
from tests.simloss.cases import random_logits, random_similarity, random_weight, uneven

C = 10
# How many of the C columns each process holds; None is a DTensor, which divides them in its own way.
WIDTHS = {2: [(5, 5), (7, 3), (0, 10), None], 4: [(3, 3, 2, 2), (1, 6, 0, 3), (0, 0, 10, 0), None]}
GAPS = (50.0, 70.0, 88.0, 104.0, 200.0, 800.0, 1e4)
EACH_CLASS = torch.arange(C)


class Case(NamedTuple):
    """The whole of what the processes divide."""

    logits: Tensor
    target: Tensor
    similarity: Tensor
    widths: tuple[int, ...] | None
    form: str = "dense"
    options: dict[str, Any] = {}  # noqa: RUF012 - nothing changes it
    block: int | None = None


class Outcome(NamedTuple):
    """What one process found: the loss, the gradient of its own columns, and what was communicated."""

    value: Tensor
    gradient: Tensor
    forward: list[tuple[str, list[torch.Size]]]
    backward: list[tuple[str, list[torch.Size]]]


def cases(size: int) -> dict[str, Case]:
    """Return the cases for so many processes, by name."""
    found: dict[str, Case] = {}
    for makers in (_of_forms, _of_reductions, _of_far_rows, _of_corners, _of_shares, _of_masked_shares):
        found |= {f"{makers.__name__[4:]}-{name}": case for name, case in makers(size)}
    return found


def similarity_of(form: str) -> Tensor:
    """Return a matrix that has this form."""
    if form == "toeplitz":
        diagonals = random_similarity(2 * C - 1)[0]
        diagonals[C - 1] = 1.0
        return torch.stack([diagonals[C - 1 - i : 2 * C - 1 - i] for i in range(C)])
    return torch.eye(C) if form == "identity" else random_similarity(C)


def _of_forms(size: int) -> Iterator[tuple[str, Case]]:
    dtypes = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    for widths, form, dtype in product(WIDTHS[size], ("dense", "sparse", "identity", "toeplitz"), dtypes):
        logits, labels = random_logits(3 * C, C, dtype=dtype), EACH_CLASS.repeat(3)
        yield f"{widths}-{form}-{dtype}", Case(logits, labels, similarity_of(form), widths, form)


def _of_reductions(size: int) -> Iterator[tuple[str, Case]]:
    logits, labels = random_logits(2 * C, C, dtype=torch.float64), EACH_CLASS.repeat(2)
    for widths, reduction, ignore, weighted in product(
        WIDTHS[size][1::2], ("none", "mean", "sum"), (-100, 3), (False, True)
    ):
        weight = random_weight(C, dtype=torch.float64) if weighted else None
        options = {"reduction": reduction, "ignore_index": ignore, "weight": weight}
        yield (
            f"{widths}-{reduction}-{ignore}-{weighted}",
            Case(logits, labels, similarity_of("dense"), widths, options=options),
        )


def _of_far_rows(size: int) -> Iterator[tuple[str, Case]]:
    """Each class far below the others with the one class like it, for each gap; a third is hardly like it."""
    for widths, dtype, smallest in product(WIDTHS[size], (torch.float64, torch.float32), (0.0, 1e-3, 1e-30, 1e-42)):
        similarity = torch.eye(C) + 0.75 * torch.eye(C).roll(5, 1) + smallest * torch.eye(C).roll(3, 1)
        logits = random_logits(len(GAPS) * C, C, dtype=dtype)
        labels = EACH_CLASS.repeat(len(GAPS))
        gaps = torch.tensor(GAPS, dtype=dtype).repeat_interleave(C)
        rows = torch.arange(len(labels))
        logits[rows, labels] = -gaps
        logits[rows, (labels + 5) % C] = -gaps - 1
        yield f"{widths}-{dtype}-{smallest}", Case(logits, labels, similarity, widths)


def _of_corners(size: int) -> Iterator[tuple[str, Case]]:
    """Rows with something odd at each place in turn, so on each process."""
    for widths, form in product(WIDTHS[size], ("dense", "identity")):
        base = Case(random_logits(C, C), EACH_CLASS.flip(0), similarity_of(form), widths, form)
        at_bottom = base.similarity[base.target] > 0
        for name, where, value in (
            ("nan", torch.eye(C, dtype=torch.bool), torch.nan),
            ("infinity", torch.eye(C, dtype=torch.bool), torch.inf),
            ("masked label", base.target.unsqueeze(1) == EACH_CLASS, -torch.inf),
            ("masked similar", at_bottom, -torch.inf),
            ("masked half", (EACH_CLASS < C // 2).expand(C, C), -torch.inf),
            ("lowest half", (EACH_CLASS < C // 2).expand(C, C), torch.finfo(torch.float32).min),
            ("masked all", torch.ones(C, C, dtype=torch.bool), -torch.inf),
        ):
            yield f"{widths}-{form}-{name}", base._replace(logits=base.logits.masked_fill(where, value))
        rubbish = base.logits.masked_fill((base.target == 4).unsqueeze(1), torch.nan)
        yield f"{widths}-{form}-ignored", base._replace(logits=rubbish, options={"ignore_index": 4})
        yield (
            f"{widths}-{form}-all ignored",
            base._replace(target=torch.full((C,), -100), options={"reduction": "mean"}),
        )
        yield f"{widths}-{form}-none", base._replace(logits=base.logits[:0], target=base.target[:0])
        yield f"{widths}-{form}-bytes", base._replace(target=base.target.byte())
        yield f"{widths}-{form}-strided", base._replace(logits=random_logits(2 * C, 2 * C)[::2, ::2])
        for block in (1, 11, 31):
            yield f"{widths}-{form}-block {block}", base._replace(block=block)


MIXES = tuple(product((0.0, 0.3, 1.0), (0.0, 0.05, 1.0)))


def sparsely(similarity: Tensor) -> Tensor:
    """Return a matrix in which class 3 has no neighbours, class 4 hardly any, and 6 some that are hardly similar."""
    similarity = similarity.clone()
    similarity[3], similarity[4], similarity[6] = torch.eye(C)[3], torch.eye(C)[4], torch.eye(C)[6]
    similarity[4, 1] = 2.0**-60
    similarity[6, 0], similarity[6, 9] = 2.0**-140, 2.0**-139
    return similarity


def _of_shares(size: int) -> Iterator[tuple[str, Case]]:
    """Each class as a label, in ordinary rows, near zero loss, and far below the others with all that is like it."""
    for widths, form, dtype, (share, smoothing) in product(
        WIDTHS[size][1::2], ("dense", "sparse", "identity", "toeplitz"), (torch.float64, torch.float32), MIXES
    ):
        similarity = similarity_of(form) if form in ("identity", "toeplitz") else sparsely(similarity_of(form))
        logits, labels = random_logits(4 * C, C, dtype=dtype), EACH_CLASS.repeat(4)
        logits[C : 2 * C][torch.eye(C, dtype=torch.bool)] += 30.0
        for part, gap in ((2, 100.0), (3, 400.0)):
            logits[part * C : part * C + C][similarity > 0] -= gap
        options = {"share": share, "similarity_smoothing": smoothing}
        if (share, smoothing) == (0.3, 0.05):  # once with all options
            options |= {"reduction": "mean", "weight": random_weight(C, dtype=torch.float64), "ignore_index": 2}
        yield f"{widths}-{form}-{dtype}-{share}-{smoothing}", Case(logits, labels, similarity, widths, form, options)


def _of_masked_shares(size: int) -> Iterator[tuple[str, Case]]:
    """Rows with -inf at each class in turn, at the label, at all that is like it, at all that is not."""
    similarity = sparsely(similarity_of("dense"))
    for widths, (share, smoothing) in product(WIDTHS[size][1::2], MIXES):
        logits, labels = random_logits(4 * C, C, dtype=torch.float64), EACH_CLASS.repeat(4)
        masks = torch.eye(C).roll(3, 1) > 0, torch.eye(C) > 0, similarity > 0, similarity == 0
        logits = logits.masked_fill(torch.cat(masks), -torch.inf)
        options = {"share": share, "similarity_smoothing": smoothing}
        yield f"{widths}-{share}-{smoothing}", Case(logits, labels, similarity, widths, options=options)
        nothing = base_of_nothing(options, widths)
        yield f"{widths}-{share}-{smoothing}-none", nothing._replace(logits=logits[:0], target=labels[:0])
        yield f"{widths}-{share}-{smoothing}-all ignored", nothing._replace(logits=torch.full_like(logits, torch.nan))


def base_of_nothing(options: dict[str, Any], widths: tuple[int, ...] | None) -> Case:
    labels = torch.full((4 * C,), -100)
    return Case(torch.zeros(4 * C, C), labels, similarity_of("dense"), widths, options=options | {"reduction": "mean"})


class Communication(TorchDispatchMode):
    """Writes down what goes between processes, by whatever way."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[torch.Size]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it makes calls on plain tensors out of this one, and those come here
        if "c10d" in func.namespace:
            tensors = [leaf for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            self.calls.append((func.name(), [tensor.shape for tensor in tensors]))
        return func(*args, **(kwargs or {}))


def in_form(form: str, similarity: Tensor) -> Tensor | Sparse | Toeplitz:
    if form in ("sparse", "identity"):
        counts = (similarity != 0).sum(1)
        crow_indices = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        return Sparse(crow_indices, similarity.nonzero()[:, 1].int(), similarity[similarity != 0])
    if form == "toeplitz":
        return Toeplitz(torch.cat([similarity[1:, 0].flip(0), similarity[0]]))
    return similarity


class Process:
    """One of the processes, and how it runs a case."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.mesh = rank, size, init_device_mesh("cpu", (size,))

    def columns(self, whole: Tensor, widths: tuple[int, ...] | None) -> Tensor:
        """Return a leaf with the logits of this process."""
        if widths is None:
            return distribute_tensor(whole, self.mesh, [Shard(-1)]).requires_grad_()
        first = sum(widths[: self.rank])
        return whole[:, first : first + widths[self.rank]].detach().requires_grad_()

    def part(self, case: Case) -> Tensor | Sparse | Toeplitz:
        similarity, columns = in_form(case.form, case.similarity), case.widths and case.widths[self.rank]
        return shard_similarity(similarity, columns=columns)

    def loss(self, case: Case, **options: Any) -> tuple[Tensor, Tensor]:
        """Return the logits and the loss of a case."""
        logits = self.columns(case.logits, case.widths)
        options = {"reduction": "none", **case.options, **options}
        return logits, class_parallel_sim_loss(logits, case.target, self.part(case), **options)

    def outcome(self, case: Case) -> Outcome:
        logits, part = self.columns(case.logits, case.widths), self.part(case)
        options = {"reduction": "none", **case.options}
        usual = parallel._BLOCK
        parallel._BLOCK = case.block or usual
        with Communication() as forward:
            value = class_parallel_sim_loss(logits, case.target, part, **options)
        upstream = uneven(self.whole(value).detach())
        if upstream.ndim:  # as from a mean over nothing
            upstream = upstream.masked_fill(case.target == options.get("ignore_index", -100), torch.inf)
        if isinstance(value, DTensor):
            upstream = DTensor.from_local(upstream, self.mesh, [Replicate()], run_check=False)
        with Communication() as backward:
            value.backward(upstream)
        parallel._BLOCK = usual
        gradient = logits.grad
        assert gradient is not None
        assert type(gradient) is type(value) is (DTensor if case.widths is None else Tensor)
        if isinstance(gradient, DTensor):
            assert gradient.placements == (Shard(1),)
            assert value.placements == (Replicate(),)
            gradient = gradient.to_local()
        return Outcome(self.whole(value).detach(), gradient, forward.calls, backward.calls)

    @staticmethod
    def whole(value: Tensor) -> Tensor:
        return value.to_local() if isinstance(value, DTensor) else value


# --- what is no comparison with the whole -----------------------------------------------------------------------------


def kept_graphs(process: Process) -> list[Tensor]:
    """Return the gradient after one, two and three passes back through one graph, each with the same upstream."""
    found = []
    for widths, reduction in product(WIDTHS[process.size], ("none", "mean", "sum")):
        case = Case(random_logits(C, C), EACH_CLASS, similarity_of("dense"), widths)
        logits, value = process.loss(case, reduction=reduction)
        gradients = []
        for _ in range(3):
            with Communication() as mode:
                value.backward(torch.ones_like(value), retain_graph=True)
            assert mode.calls == []
            gradients.append(process.whole(logits.grad).clone())
        found.append(torch.stack(gradients))
    return found


def scaled_half(process: Process) -> Tensor:
    """Return a gradient that float16 could not hold before the upstream gradient makes it larger."""
    case = Case(random_logits(C, C).half(), EACH_CLASS, similarity_of("dense"), WIDTHS[process.size][0])
    logits, value = process.loss(case, weight=torch.full((C,), 2.0**-26), reduction="sum")
    value.backward(torch.tensor(2.0**15, dtype=torch.float16))
    assert logits.grad is not None
    return logits.grad * 2.0**11


def unchanged(process: Process) -> bool:
    """Tell whether all that was given is as it was."""
    case = Case(random_logits(C, C, scale=50), EACH_CLASS, similarity_of("dense"), WIDTHS[process.size][1])
    logits, part, weight = process.columns(case.logits, case.widths), process.part(case), random_weight(C)
    given = [logits, case.target, part, weight]
    before = copy.deepcopy(given)
    value = class_parallel_sim_loss(logits, case.target, part, weight)
    after = value.detach().clone()
    upstream = torch.tensor(3.0)
    value.backward(upstream)
    pairs = zip([*given, value, upstream], [*before, after, torch.tensor(3.0)], strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def second_derivative(process: Process) -> list[str]:
    case = Case(random_logits(C, C), EACH_CLASS, similarity_of("dense"), WIDTHS[process.size][1])
    messages = []
    for power in (1, 2):
        logits, value = process.loss(case)
        total = value.pow(power).sum()
        messages.append(_error(lambda v=total, z=logits: torch.autograd.grad(v, z, create_graph=True)))
    return messages


def autocast(process: Process) -> torch.dtype:
    case = Case(random_logits(C, C).bfloat16(), EACH_CLASS, similarity_of("dense"), WIDTHS[process.size][0])
    with torch.autocast("cpu", torch.bfloat16):
        return process.loss(case)[1].dtype


def without_gradient(process: Process) -> Tensor:
    """Return the loss of logits that ask for none."""
    case = Case(random_logits(C, C), EACH_CLASS, similarity_of("dense"), WIDTHS[process.size][0])
    logits = process.columns(case.logits, case.widths).detach()
    value = class_parallel_sim_loss(logits, case.target, process.part(case), reduction="none")
    assert not value.requires_grad
    return value


def of_dtensors(process: Process) -> tuple[Tensor, Tensor]:
    """Return loss and gradient where all is a DTensor, as a training step has them: the mean, and backward()."""
    replicated = [distribute_tensor(whole, process.mesh, [Replicate()]) for whole in (EACH_CLASS, random_weight(C))]
    similarity = distribute_tensor(similarity_of("dense"), process.mesh, [Shard(-1)])
    logits = distribute_tensor(random_logits(C, C), process.mesh, [Shard(-1)]).requires_grad_()
    value = class_parallel_sim_loss(logits, replicated[0], similarity, replicated[1])
    value.backward()
    return value.full_tensor().detach(), logits.grad.full_tensor()


def fewer_classes(process: Process) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of a DTensor of five classes: of four processes one has none, and one fewer."""
    logits = distribute_tensor(random_logits(5, 5), process.mesh, [Shard(-1)]).requires_grad_()
    value = class_parallel_sim_loss(logits, torch.arange(5), shard_similarity(random_similarity(5)), reduction="sum")
    value.backward()
    return value.full_tensor().detach(), logits.grad.full_tensor()


def subgroups(process: Process) -> list[Tensor]:
    """Return the loss in a group of this process alone, and in the group of the last two, on those."""
    alone = [dist.new_group([rank]) for rank in range(process.size)][process.rank]
    last = dist.new_group([process.size - 2, process.size - 1])
    logits, similarity = random_logits(C, C), similarity_of("dense")
    found = [class_parallel_sim_loss(logits, EACH_CLASS, shard_similarity(similarity, alone), group=alone)]
    if process.rank >= process.size - 2:
        here = slice(0, 4) if process.rank == process.size - 2 else slice(4, C)
        part = shard_similarity(similarity, last, columns=here.stop - here.start)
        found.append(class_parallel_sim_loss(logits[:, here], EACH_CLASS, part, group=last))
    return found


def shards(process: Process) -> list[tuple[Tensor, Tensor]]:
    """Return what shard_similarity made, and what torch makes of the same matrix."""
    found = []
    for classes in (C, 9, 5, 1):
        similarity = random_similarity(classes)
        theirs = distribute_tensor(similarity, process.mesh, [Shard(-1)]).to_local()
        found.append((shard_similarity(similarity), theirs))
    return found


def modules(process: Process) -> dict[str, Any]:
    """Return what the module computes beside the function, and what it is."""
    widths = WIDTHS[process.size][1]
    columns = widths[process.rank]
    logits = process.columns(random_logits(C, C), widths).detach()
    weight = random_weight(C)
    found: dict[str, Any] = {}
    for form in ("dense", "sparse", "identity", "toeplitz"):
        similarity = in_form(form, similarity_of(form))
        module = ClassParallelSimLoss(similarity, weight, 3, "sum", columns=columns).bfloat16().float()
        part = shard_similarity(similarity, columns=columns)
        expected = class_parallel_sim_loss(logits, EACH_CLASS, part, module.weight, 3, "sum")
        found[form] = (module(logits, EACH_CLASS), copy.deepcopy(module)(logits, EACH_CLASS), expected)
        found[f"{form} says"] = repr(module)
        found[f"{form} keeps"] = list(module.state_dict())
        found[f"{form} bounded"] = []
        for bound in (0.5, 0.25):
            module.lower_bound = bound
            whole = ((similarity_of(form).double() - bound) / (1 - bound)).clamp(min=0).float()
            fresh = ClassParallelSimLoss(in_form(form, whole), module.weight, 3, "sum", columns=columns)
            found[f"{form} bounded"].append((module(logits, EACH_CLASS), fresh(logits, EACH_CLASS)))
        found[f"{form} then says"] = repr(module)
    sharded = distribute_tensor(random_logits(C, C), process.mesh, [Shard(-1)])
    found["dtensor"] = ClassParallelSimLoss(similarity_of("dense"))(sharded, EACH_CLASS).full_tensor()
    found["shares"] = []
    module = ClassParallelSimLoss(similarity_of("dense"), columns=columns, share=0.4, similarity_smoothing=0.05)
    alone, part = (
        ClassParallelSimLoss(similarity_of("dense"), columns=columns),
        shard_similarity(similarity_of("dense"), columns=columns),
    )
    for share, smoothing in ((0.4, 0.05), *MIXES):
        module.share, module.similarity_smoothing = share, smoothing
        mix = {"share": share, "similarity_smoothing": smoothing}
        found["shares"].append((module(logits, EACH_CLASS), class_parallel_sim_loss(logits, EACH_CLASS, part, **mix)))
    module.share = 1.0
    found["alone again"] = []
    for one in (module, alone):
        leaf = logits.clone().requires_grad_()
        one(leaf, EACH_CLASS).backward()
        found["alone again"].append((one(leaf, EACH_CLASS).detach(), leaf.grad))
    found["columns"] = ClassParallelSimLoss(similarity_of("dense"), columns=columns).columns
    return found


def refusals(process: Process) -> dict[str, str]:
    """Return what was said to each thing that does not fit. All processes make the same mistake."""
    logits, similarity = random_logits(4, 2 * process.size), random_similarity(2 * process.size)
    target, part, mesh = torch.arange(4), shard_similarity(similarity), process.mesh
    local = logits[:, 2 * process.rank : 2 * process.rank + 2]
    toeplitz = shard_similarity(Toeplitz(torch.ones(4 * process.size - 1)))
    sharded = distribute_tensor(logits, mesh, [Shard(-1)])
    by_rows = distribute_tensor(logits, mesh, [Shard(0)])
    whole_part = distribute_tensor(similarity, mesh, [Replicate()])
    target_by_rows = distribute_tensor(target, mesh, [Shard(0)])
    square = init_device_mesh("cpu", (1, process.size))
    on_square = distribute_tensor(logits, square, [Replicate(), Shard(1)])
    loss = class_parallel_sim_loss
    attempts: dict[str, Callable[[], object]] = {
        "label above": lambda: loss(local, target + 2 * process.size - 3, part),
        "label below": lambda: loss(local, target - 1, part),
        "whole similarity": lambda: loss(local, target, similarity),
        "whole toeplitz": lambda: loss(sharded, target, Toeplitz(torch.ones(4 * process.size - 1))),
        "short toeplitz": lambda: loss(local, target, Toeplitz(toeplitz.diagonals[:2])),
        "other classes": lambda: loss(sharded, target, part[:-1]),
        "probabilities": lambda: loss(local, local.softmax(1), part),
        "three dimensions": lambda: loss(local.unsqueeze(2), target.unsqueeze(1), part),
        "integer logits": lambda: loss(local.long(), target, part),
        "integer similarity": lambda: loss(local, target, part.long()),
        "integer weight": lambda: loss(local, target, part, torch.ones(2 * process.size).long()),
        "local weight": lambda: loss(local, target, part, torch.ones(2)),
        "learnt weight": lambda: loss(local, target, part, torch.ones(2 * process.size, requires_grad=True)),
        "learnt similarity": lambda: loss(local, target, part.clone().requires_grad_()),
        "short target": lambda: loss(local, target[:3], part),
        "int32 target": lambda: loss(local, target.int(), part),
        "meta target": lambda: loss(local, target.to("meta"), part),
        "reduction": lambda: loss(local, target, part, reduction="average"),
        "array": lambda: loss(local, target, part.numpy()),
        "sharded by rows": lambda: loss(by_rows, target, part),
        "target by rows": lambda: loss(sharded, target_by_rows, part),
        "replicated similarity": lambda: loss(sharded, target, whole_part),
        "two mesh dimensions": lambda: loss(on_square, target, part),
        "too few columns": lambda: shard_similarity(similarity, columns=1),
        "not square": lambda: shard_similarity(similarity[:, :-1]),
        "share": lambda: loss(local, target, part, share=1.5),
        "smoothing": lambda: loss(local, target, part, similarity_smoothing=-0.5),
        "label smoothing": lambda: ClassParallelSimLoss(similarity, label_smoothing=0.1),
    }
    return {name: _error(attempt) for name, attempt in attempts.items()}


def _error(attempt: Callable[[], object]) -> str:
    """Return the kind and the message of the error that it raises."""
    try:
        attempt()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


CHECKS = (
    kept_graphs,
    scaled_half,
    unchanged,
    second_derivative,
    autocast,
    without_gradient,
    of_dtensors,
    fewer_classes,
    subgroups,
    shards,
    modules,
    refusals,
)


def work(rank: int, size: int, folder: Path) -> None:
    """Run all cases as one of the processes, and write what came out."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "at an influence of")  # as random similarities have much of it
    warnings.filterwarnings("ignore", "DTensor random operators")  # which older torch says of every CPU
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=size)
    try:
        process = Process(rank, size)
        found: dict[str, Any] = {name: process.outcome(case) for name, case in cases(size).items()}
        found |= {check.__name__: check(process) for check in CHECKS}
        torch.save(found, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
