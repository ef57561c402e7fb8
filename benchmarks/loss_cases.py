"""What all methods for one shape and dtype take, once they are seen to be right."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from loss_check import Part, Result, mismatch
from loss_meter import Job, Time, interleaved, peak_bytes
from loss_methods import COMPILED, AbsentError, Form, Method, is_ours, of_linear, of_logits, of_ratios, of_two_classes
from torch import Tensor

__all__ = ["Case", "Measured", "Ratios", "Yardsticks", "case_of_two_classes", "cases_of", "ratios_of"]

# What a target of two classes gives to the first of them.
_FIRST = 0.7


class Measured(NamedTuple):
    """What one method took."""

    method: str
    forward: Time
    both: Time
    peak: int


class Yardsticks(NamedTuple):
    """What the memory does with as many bytes as the logits have."""

    copy: Time
    fill: Time
    fill_new: Time


class Case(NamedTuple):
    """What the methods took for one shape and dtype. Features are 0 where the inputs are the logits themselves."""

    rows: int
    classes: int
    dtype: torch.dtype
    features: int
    measured: Sequence[Measured]
    yardsticks: Yardsticks
    absent: dict[str, str]
    target: str = "indices"

    @property
    def title(self) -> str:
        """The shape and the dtype."""
        return f"N = {self.rows:,}, C = {self.classes:,}, {str(self.dtype).removeprefix('torch.')}"

    @property
    def logit_bytes(self) -> int:
        """The bytes that the logits take."""
        return self.rows * self.classes * self.dtype.itemsize

    @property
    def base(self) -> str:
        """The method that the others are compared with."""
        return self.measured[0].method

    def time_of(self, method: str) -> float:
        """Return the seconds of forward and backward of a method; NaN if it was not measured."""
        return next((one.both.median for one in self.measured if one.method == method), math.nan)


class Ratios(NamedTuple):
    """Times of forward and backward on the CPU, by method, for one shape and so many threads."""

    rows: int
    classes: int
    threads: int
    times: dict[str, Time]


def cases_of(
    count: int,
    classes: int,
    dtype: torch.dtype,
    similarities: Sequence[Form],
    features: int,
    seconds: float,
    device: torch.device,
) -> tuple[Case, Case]:
    """Measure the methods for logits and those for a linear layer, of one shape and dtype."""
    torch.compiler.reset()
    random, labels, logits = _drawn(count, classes, dtype, device)
    target = [(labels, 1.0)]
    of_given = _measured(of_logits(labels, similarities), [logits], target, classes, seconds)
    del logits
    # Logits as large as the given ones, about.
    inputs = [
        torch.randn(count, features, generator=random, device=device).to(dtype),
        torch.randn(classes, features, generator=random, device=device).mul_(3 / math.sqrt(features)).to(dtype),
    ]
    return of_given, _measured(of_linear(labels, similarities, dtype), inputs, target, classes, seconds)


def case_of_two_classes(count: int, classes: int, similarity: Form, seconds: float, device: torch.device) -> Case:
    """Measure the methods for targets of two classes each, as mixup makes them."""
    random, labels, logits = _drawn(count, classes, torch.float32, device)
    others = (labels + torch.randint(1, classes, (count,), generator=random, device=device)) % classes
    target = [(labels, _FIRST), (others, 1 - _FIRST)]
    case = _measured(of_two_classes(labels, others, _FIRST, similarity), [logits], target, classes, seconds)
    return case._replace(target="two classes")


def ratios_of(count: int, classes: int, similarity: Form, seconds: float) -> Ratios:
    """Time the methods whose ratios are to be known, on the CPU with as many threads as are set."""
    torch.compiler.reset()
    _, labels, logits = _drawn(count, classes, torch.float32, torch.device("cpu"))
    methods = of_ratios(labels, similarity)
    jobs = [_checked_jobs(method, [logits], [(labels, 1.0)])[1] for method in methods]
    times = interleaved(jobs, seconds, labels.device)
    return Ratios(count, classes, torch.get_num_threads(), dict(zip((one.name for one in methods), times, strict=True)))


def _drawn(
    count: int, classes: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Generator, Tensor, Tensor]:
    """Return a source of chance, labels and logits."""
    random = torch.Generator(device).manual_seed(0)
    labels = torch.randint(classes, (count,), generator=random, device=device)
    return random, labels, torch.randn(count, classes, generator=random, device=device).mul_(3).to(dtype)


def _measured(
    methods: Sequence[Method], inputs: Sequence[Tensor], target: Sequence[Part], classes: int, seconds: float
) -> Case:
    """Check, then measure all methods that run for these inputs: logits, or features and a weight."""
    jobs: dict[str, tuple[Job, Job]] = {}
    absent = {}
    for method in methods:
        try:
            jobs[method.name] = _checked_jobs(method, inputs, target)
        except Exception as error:  # whatever another project raises, or a compiler that is not there
            if is_ours(method.name) and not method.name.endswith(COMPILED):
                raise
            absent[method.name] = _reason(error)
    device, dtype, count = inputs[0].device, inputs[0].dtype, len(inputs[0])
    here, there = torch.zeros(2, count, classes, dtype=dtype, device=device)
    yardsticks = [
        Job(lambda: there.copy_(here)),
        Job(lambda: there.fill_(0.0)),
        Job(lambda: torch.empty_like(there).fill_(0.0)),
    ]
    times = interleaved([*yardsticks, *(job for pair in jobs.values() for job in pair)], seconds, device)
    peaks = [peak_bytes(both, device) for _, both in jobs.values()]
    rows = zip(jobs, times[3::2], times[4::2], peaks, strict=True)
    features = inputs[0].shape[1] if len(inputs) == 2 else 0
    found = [Measured(*row) for row in rows]
    return Case(count, classes, dtype, features, found, Yardsticks(*times[:3]), absent)


def _checked_jobs(method: Method, inputs: Sequence[Tensor], target: Sequence[Part]) -> tuple[Job, Job]:
    """Return the jobs of a method, forward and both, after a look at what they return."""
    loss = method.make()
    leaves = [(tensor.clone() if method.spoils_input else tensor.detach()).requires_grad_() for tensor in inputs]
    constants = [tensor.detach() for tensor in leaves]

    def prepare() -> None:
        for leaf, constant, tensor in zip(leaves, constants, inputs, strict=True):
            leaf.grad = None
            if method.spoils_input:
                constant.copy_(tensor)

    def forward() -> Tensor:
        with torch.no_grad():
            return loss(*constants)

    def both() -> Tensor:
        value = loss(*leaves)
        torch.autograd.backward(value)
        return value.detach()

    losses = []
    for run in (forward, both):
        prepare()
        losses.append(run())
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    wrong = mismatch(method, Result(losses, gradients), inputs, target)
    prepare()
    if wrong:
        sys.exit(f"{method.name}, inputs {[tuple(tensor.shape) for tensor in inputs]} of {inputs[0].dtype}: {wrong}")
    return Job(forward, prepare), Job(both, prepare)


def _reason(error: Exception) -> str:
    """Return in one line why a method does not run."""
    first = str(error).strip().partition("\n")[0]
    return first if isinstance(error, AbsentError) else f"{type(error).__name__}: {first}"
