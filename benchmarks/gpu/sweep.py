"""The loss on a GPU against float64, through the public functions: one JSON line a case, written as it is done.

    python benchmarks/gpu/sweep.py found.jsonl --seconds 100 [--part 1/4] [--dry]

It goes over forms, numbers of classes, dtypes, weights, ignored rows, strides, shares and far rows, then over what
belongs to a device: autocast, GradScaler, CUDA graphs, streams, compiled code, more than 2^31 logits, equal runs,
waiting, and assertions. `--part` shares the cases out among processes. `--dry` takes small shapes on the CPU, which
checks this script and not the kernels. The status is 1 if a case failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd import backward
from torch.nn import functional

from simloss import LinearSimLoss, SimLoss, Sparse, Toeplitz, linear_sim_loss, minimum_risk, sim_loss
from simloss.metrics import MistakeReport

FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
FORMS = ("dense", "sparse", "toeplitz")
IGNORED = -100
# A dense similarity of more classes is not made: it would take more than 4 GiB.
MOST_DENSE = 33_000
ENTRIES = 64  # of a row of the sparse similarity
BLOCK = 2**24  # logits that are compared at a time

Rows: TypeAlias = Callable[[Tensor], Tensor]
Found: TypeAlias = dict[str, Any]


class WrongError(Exception):
    """What a case found is not what float64 says."""


class Case(NamedTuple):
    """What is checked: its name, what returns the figures or raises, and how many seconds it may take."""

    name: str
    run: Callable[[], Found | None]
    least: float = 0.0


class Device(NamedTuple):
    """Where it runs: on a GPU, or dry, in small, on the CPU."""

    dry: bool

    @property
    def name(self) -> str:
        """The name that torch has for it."""
        return "cpu" if self.dry else "cuda"


# --- what is right ----------------------------------------------------------------------------------------------------


class Exact(NamedTuple):
    """Loss (N) and gradient (N, C) in float64, and the sizes (N, C) in proportion to which rounding makes errors."""

    losses: Tensor
    gradient: Tensor
    sizes: Tensor


def exact(z: Tensor, labels: Tensor, rows: Rows, share: float, smoothing: float) -> Exact:
    """Return (1 - share) CE + share SimLoss of logits (N, C), by the formulas; ignored rows are 0."""
    kept = (labels != IGNORED).unsqueeze(1)
    labels = torch.where(labels == IGNORED, 0, labels)
    z, s = z.double(), rows(labels)
    e = (z - z.amax(1, keepdim=True)).exp()
    p = e / e.sum(1, keepdim=True)
    losses, gradient, sizes = z.new_zeros(len(z), 1), torch.zeros_like(z), torch.zeros_like(z)
    if share > 0:
        alike, unlike = (s * e).sum(1, keepdim=True), ((1 - s) * e).sum(1, keepdim=True)
        scores = torch.where(s > 0, z, -math.inf) + s.log()
        apart = z.logsumexp(1, keepdim=True) - scores.logsumexp(1, keepdim=True)
        q = (scores - scores.logsumexp(1, keepdim=True)).exp()
        losses = losses + share * torch.where(alike > 1e-280, (unlike / alike).log1p(), apart)
        gradient, sizes = gradient + share * (p - q), sizes + share * (p + q)
    if share < 1:
        target = _smoothed(s, labels, smoothing)
        own = torch.zeros_like(z, dtype=torch.bool).scatter_(1, labels.unsqueeze(1), value=True)
        rest = e.masked_fill(own, 0).sum(1, keepdim=True)
        logs = z - z.logsumexp(1, keepdim=True)
        near = -(rest / e.gather(1, labels.unsqueeze(1))).log1p()
        logs = torch.where(own & (e > 1e-280), near, logs)
        losses = losses - (1 - share) * torch.where(target > 0, target * logs, 0).sum(1, keepdim=True)
        gradient, sizes = gradient + (1 - share) * (p - target), sizes + (1 - share) * (p + target)
    return Exact((losses * kept).squeeze(1), gradient * kept, sizes * kept)


def _smoothed(s: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the target (N, C) of cross entropy."""
    others = s.scatter(1, labels.unsqueeze(1), 0.0)
    total = others.sum(1, keepdim=True)
    spread = torch.full_like(total, smoothing).where(total > 0, 0.0)
    return (spread * others / total.clamp(min=1e-300)).scatter(1, labels.unsqueeze(1), 1 - spread)


class Share(NamedTuple):
    """The share of SimLoss, and the smoothing of the target beside it."""

    share: float = 1.0
    smoothing: float = 0.0


class Taught(NamedTuple):
    """What the loss returned: losses (N) or None, the gradient (N, C), and what each row counts in either (N)."""

    losses: Tensor | None
    gradient: Tensor
    counts: Tensor
    factor: Tensor


def errors(z: Tensor, labels: Tensor, rows: Rows, share: Share, taught: Taught) -> Found:
    """Return the largest errors of losses and gradient, in units of what rounding explains: 1 at most is right.

    A sum of C products in the work dtype is off by some sqrt(C) roundings, an exponential by the difference of logits.
    Each result is rounded once to its own dtype.
    """
    work = torch.finfo(torch.promote_types(z.dtype, FP32))
    worst = {"losses": 0.0, "gradient": 0.0}
    height = max(1, BLOCK // z.shape[1])
    for part in (slice(top, top + height) for top in range(0, len(z), height)):
        found = exact(z[part].detach(), labels[part], rows, *share)
        within = z[part].double().clamp(-1e4, 1e4)
        spread = min((within.amax() - within.amin()).item(), 1400.0 if work.bits == 64 else 110.0)
        unit = (32 + 4 * math.sqrt(z.shape[1]) + spread) * work.eps
        if taught.losses is not None:
            own, right = torch.finfo(taught.losses.dtype), found.losses * taught.counts[part]
            allowed = (unit + own.eps) * right.abs() + 4 * own.tiny
            worst["losses"] = max(worst["losses"], _worst(taught.losses[part].double() - right, allowed))
        own, scale = torch.finfo(taught.gradient.dtype), taught.factor[part].double().unsqueeze(1)
        right = found.gradient * scale
        # Where the similar classes are lost beside the maximum, what is left of them may be less than a normal number.
        lost = 8 * work.tiny * found.losses.clamp(max=71 if work.bits == 32 else 670).exp().unsqueeze(1)
        allowed = unit * found.sizes * scale.abs() + 2.5 * own.eps * right.abs() + 4 * own.tiny + lost * scale.abs()
        worst["gradient"] = max(worst["gradient"], _worst(taught.gradient[part].double() - right, allowed))
    return worst


def _worst(error: Tensor, allowed: Tensor) -> float:
    worst = (error.abs() / allowed).max().item() if error.numel() else 0.0
    return math.inf if math.isnan(worst) else worst


# --- inputs, made without the package ---------------------------------------------------------------------------------


def similarity(form: str, classes: int, device: str, dtype: torch.dtype = FP32) -> tuple[Any, Rows]:
    """Return a similarity in a form, and what gives its rows in float64."""
    random = torch.Generator(device).manual_seed(classes)
    numbers = torch.arange(classes, device=device)
    if form == "dense":
        values = torch.rand(classes, classes, generator=random, device=device)
        values[values < 0.2] = 0
        values = values.fill_diagonal_(1).to(dtype)
        return values, lambda labels: values[labels].double()
    if form == "sparse":
        count = min(classes, ENTRIES)
        far = torch.randperm(classes - 1, generator=random, device=device)[: count - 1] + 1
        columns = torch.cat([numbers[:, None], (numbers[:, None] + far) % classes], 1).sort(1).values
        values = torch.rand(columns.shape, generator=random, device=device)
        values = values.masked_fill_(columns == numbers[:, None], 1.0).to(dtype)
        starts = torch.arange(classes + 1, device=device) * count

        def spread(labels: Tensor) -> Tensor:
            empty = torch.zeros(len(labels), classes, dtype=FP64, device=device)
            return empty.scatter_(1, columns[labels], values[labels].double())

        return Sparse(starts, columns.flatten().int(), values.flatten()), spread
    diagonals = torch.rand(2 * classes - 1, generator=random, device=device)
    diagonals[::4] = 0
    diagonals[classes - 1] = 1
    diagonals = diagonals.to(dtype)
    return Toeplitz(diagonals), lambda labels: diagonals[classes - 1 + numbers - labels[:, None]].double()


def logits(count: int, classes: int, dtype: torch.dtype, device: str, scale: float = 3.0, seed: int = 0) -> Tensor:
    """Return normal logits (N, C)."""
    random = torch.Generator(device).manual_seed(seed)
    return (torch.randn(count, classes, generator=random, device=device) * scale).to(dtype)


def labels_of(count: int, classes: int, device: str, seed: int = 1, *, ignore: int = 0) -> Tensor:
    """Return random labels (N); every so many are ignored."""
    labels = torch.randint(classes, (count,), generator=torch.Generator(device).manual_seed(seed), device=device)
    if ignore:
        labels[::ignore] = IGNORED
    return labels


def teach(criterion: Callable[[Tensor, Tensor], Tensor], z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient of the logits."""
    leaf = z.detach().clone().requires_grad_()
    loss = criterion(leaf, labels)
    backward(loss.sum())
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


# --- the grid ---------------------------------------------------------------------------------------------------------

CLASSES = (2, 3, 10, 17, 100, 1000, 8192, 8193, 32000)
MORE = (16, 31, 32, 33, 128, 129, 1001, 1024, 1025, 2048, 2049, 4096, 4097, 16384, 50257, 65536, 128256)
SHARES = (Share(), Share(0.4, 0.05), Share(0.4), Share(0.0, 0.1))


class Options(NamedTuple):
    """What a case of the grid has beside its shape and dtype."""

    reduction: str = "none"
    weighted: bool = False
    ignoring: bool = False
    strided: bool = False
    similarity_dtype: torch.dtype = FP32
    scale: float = 3.0
    share: Share = Share()


def against_float64(device: str, form: str, classes: int, count: int, dtype: torch.dtype, options: Options) -> Found:
    """Compare losses and gradients of one batch."""
    table, rows = similarity(form, classes, device, options.similarity_dtype)
    z = logits(count, classes, dtype, device, options.scale)
    if options.strided:
        wide = torch.full((count, classes + 7), math.nan, dtype=dtype, device=device)
        wide[:, 3 : 3 + classes] = z
        z = wide[:, 3 : 3 + classes]
    labels = labels_of(count, classes, device, ignore=3 if options.ignoring else 0)
    weight = torch.rand(classes, device=device).add_(0.5) if options.weighted else None
    leaf = z.detach().requires_grad_()
    loss = sim_loss(
        leaf,
        labels,
        table,
        weight=weight,
        reduction=options.reduction,
        share=options.share.share,
        similarity_smoothing=options.share.smoothing,
    )
    slope = torch.rand(loss.shape, device=device).add_(0.5).to(loss.dtype)
    backward(loss, slope)
    assert leaf.grad is not None
    kept = labels != IGNORED
    counts = kept.double() if weight is None else kept * weight.double()[torch.where(kept, labels, 0)]
    factor = slope.double() * counts / (counts.sum() if options.reduction == "mean" else 1)
    losses = loss.detach() if options.reduction == "none" else None
    found = errors(z, labels, rows, options.share, Taught(losses, leaf.grad, counts, factor))
    if loss.dtype != dtype or leaf.grad.dtype != dtype:
        raise WrongError(f"the loss is {loss.dtype}, its gradient {leaf.grad.dtype}")
    if options.ignoring and leaf.grad[~kept].any():
        raise WrongError("an ignored row has a gradient")
    if options.reduction != "none":
        parts = [
            exact(z[top : top + 256].detach(), labels[top : top + 256], rows, *options.share).losses
            for top in range(0, count, 256)
        ]
        right = (torch.cat(parts) * counts).sum() / (counts.sum() if options.reduction == "mean" else 1)
        allowed = right.abs() * (torch.finfo(loss.dtype).eps + 2e-6 * (1 + options.scale)) + 1e-30
        found["reduced"] = _worst(loss.detach().double() - right, allowed)
    return _within(found)


def _within(found: Found) -> Found:
    if not all(value <= 1 for value in found.values()):
        raise WrongError(f"errors in units of what rounding explains: {found}")
    return {name: round(value, 3) for name, value in found.items()}


def grid(device: Device) -> Iterator[Case]:
    """Yield forms x classes x dtypes, each with other options, the most usual first; then far rows."""
    turns = itertools.count(1)
    for group in ((2, 17, 100), (33,)) if device.dry else (CLASSES, MORE):
        for classes, form in itertools.product(group, FORMS):
            if form == "dense" and classes > MOST_DENSE:
                continue
            for dtype in (FP32, BF16, FP16, *((FP64,) if classes in (17, 1000, 8193) else ())):
                turn = next(turns)
                options = Options(
                    reduction=("none", "mean", "sum")[turn % 3],
                    weighted=turn % 4 == 1,
                    ignoring=turn % 2 == 0,
                    strided=turn % 5 == 0,
                    similarity_dtype=(FP32, BF16, FP32, FP16, FP64)[turn % 5],
                    scale=(3.0, 0.3, 20.0)[turn % 3],
                    share=SHARES[turn % 7 % 4],
                )
                count = 37 if device.dry else max(3, min(4099, 2**22 // classes))
                yield _of_grid(device, form, classes, count, dtype, options)
    sizes = (10, 100) if device.dry else (10, 100, 1000, 9000)
    for form, classes, scale in itertools.product(("dense", "sparse"), sizes, (100.0, 1000.0)):
        for share in SHARES[:2]:
            yield _of_grid(device, form, classes, 64, FP32, Options(scale=scale, share=share))


def _of_grid(device: Device, form: str, classes: int, count: int, dtype: torch.dtype, options: Options) -> Case:
    name = f"{form}, N = {count}, C = {classes}, {dtype}, {options}"
    return Case(name, partial(against_float64, device.name, form, classes, count, dtype, options))


# --- the rest of the contract -----------------------------------------------------------------------------------------


def identity(device: Device) -> Found:
    """Compare with F.cross_entropy, which S = 1 on the diagonal alone makes of it."""
    worst = 0.0
    for classes, dtype in itertools.product((10, 50) if device.dry else (10, 100, 1000, 32000), (FP32, BF16)):
        z, labels = logits(256, classes, dtype, device.name), labels_of(256, classes, device.name, ignore=5)
        numbers = torch.arange(classes + 1, device=device.name)
        eye = Sparse(numbers, numbers[:-1].int(), torch.ones(classes, device=device.name))
        ours, ours_slope = teach(partial(sim_loss, similarity=eye), z, labels)
        theirs, theirs_slope = teach(functional.cross_entropy, z, labels)
        if ours.dtype != theirs.dtype:
            raise WrongError(f"{ours.dtype} instead of {theirs.dtype}")
        eps = torch.finfo(dtype).eps
        worst = max(worst, abs(ours.item() / theirs.item() - 1) / eps / 8)
        torch.testing.assert_close(ours_slope, theirs_slope, rtol=32 * eps, atol=eps / 64)
    return _within({"loss": worst})


def equal_runs(device: Device) -> None:
    """Run twenty times and compare the bits."""
    for form, classes in itertools.product(FORMS, (100,) if device.dry else (100, 1000, 32000)):
        if form == "dense" and classes > 10_000:
            continue
        table, _rows = similarity(form, classes, device.name)
        z, labels = logits(512, classes, BF16, device.name), labels_of(512, classes, device.name)
        runs = [teach(partial(sim_loss, similarity=table), z, labels) for _ in range(20)]
        if not all(torch.equal(a, b) for run in runs for a, b in zip(run, runs[0], strict=True)):
            raise WrongError(f"runs differ: {form}, C = {classes}")


def no_waiting(device: Device) -> None:
    """Check that forward and backward never wait for the device."""
    weight = torch.rand(1000, device=device.name)
    options: tuple[dict[str, Any], ...] = ({}, {"reduction": "none"}, {"share": 0.4}, {"weight": weight})
    for form, more in itertools.product(FORMS, options):
        table, _rows = similarity(form, 1000, device.name)
        z = logits(512, 1000, BF16, device.name).requires_grad_()
        labels = labels_of(512, 1000, device.name, ignore=7)
        backward(sim_loss(z, labels, table, **more).sum())
        torch.cuda.set_sync_debug_mode("error")
        try:
            backward(sim_loss(z, labels, table, **more).sum())
        finally:
            torch.cuda.set_sync_debug_mode("default")


def autocast(device: Device) -> Found:
    """Check that the loss of half-precision logits is float32 under autocast, and its gradient right."""
    count, worst = 64 if device.dry else 256, 0.0
    table, rows = similarity("dense", 1000, device.name)
    layer, criterion = nn.Linear(64, 1000, device=device.name), SimLoss(table, share=0.4)
    x, labels = torch.randn(count, 64, device=device.name), labels_of(count, 1000, device.name)
    for dtype in (BF16, FP16):
        with torch.autocast(device.name, dtype):
            z = layer(x)
            z.retain_grad()
            loss = criterion(z, labels)
        if (z.dtype, loss.dtype) != (dtype, FP32):
            raise WrongError(f"logits are {z.dtype}, the loss {loss.dtype}")
        backward(loss)
        assert z.grad is not None
        ones = torch.ones(count, device=device.name)
        found = errors(z.detach(), labels, rows, Share(0.4), Taught(None, z.grad, ones, ones / count))
        worst = max(worst, found["gradient"])
    return _within({"gradient": worst})


def grad_scaler(device: Device) -> Found:
    """Check that a loss scaled by 2^16 keeps the small slopes of float16 logits."""
    count = 64 if device.dry else 4096
    table, rows = similarity("dense", 1000, device.name)
    labels = labels_of(count, 1000, device.name)
    leaf = logits(count, 1000, FP16, device.name).requires_grad_()
    with torch.autocast(device.name, FP16):
        loss = sim_loss(leaf, labels, table)
    backward(loss * 2.0**16)
    assert leaf.grad is not None
    ones = torch.ones(count, device=device.name)
    taught = Taught(None, leaf.grad, ones, ones * 2.0**16 / count)
    return _within(errors(leaf.detach(), labels, rows, Share(), taught))


new_stream: Callable[[], Any] = torch.cuda.Stream  # which has no types


def cuda_graph(device: Device) -> None:
    """Check that a captured graph gives the bits of eager code, for new data and for a changed share."""
    for form, (reduction, classes) in itertools.product(FORMS, (("mean", 1000), ("none", 9000))):
        table, _rows = similarity(form, classes, device.name)
        criterion = SimLoss(table, reduction=reduction, share=0.4)
        z = logits(128, classes, BF16, device.name).requires_grad_()
        labels = labels_of(128, classes, device.name)
        side = new_stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                z.grad = None
                backward(criterion(z, labels).sum())
        torch.cuda.current_stream().wait_stream(side)
        graph, z.grad = torch.cuda.CUDAGraph(), None
        with torch.cuda.graph(graph):
            loss = criterion(z, labels)
            backward(loss.sum())
        for seed, share in ((5, 0.4), (6, 0.7)):
            with torch.no_grad():
                z.copy_(logits(128, classes, BF16, device.name, seed=seed))
                labels.copy_(labels_of(128, classes, device.name, seed, ignore=4))
            criterion.share = share
            graph.replay()
            torch.cuda.synchronize()
            right, slope = teach(criterion, z, labels)
            if not (torch.equal(loss, right) and z.grad is not None and torch.equal(z.grad, slope)):
                raise WrongError(f"the graph differs: {form}, {reduction}, seed {seed}")


class WithLoss(nn.Module):
    """A model that returns its loss."""

    def __init__(self, criterion: nn.Module, device: str) -> None:
        super().__init__()
        self.layer, self.criterion = nn.Linear(32, 100, device=device), criterion

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of features (N, 32)."""
        loss: Tensor = self.criterion(self.layer(x), labels)
        return loss


def graphed_callables(device: Device) -> None:
    """Check that torch.cuda.make_graphed_callables takes a model that holds the loss."""
    model = WithLoss(SimLoss(similarity("dense", 100, device.name)[0], share=0.4), device.name)
    x = torch.randn(64, 32, device=device.name, requires_grad=True)
    labels = labels_of(64, 100, device.name)
    right = model(x, labels)
    backward(right)
    assert model.layer.weight.grad is not None
    slope = model.layer.weight.grad.clone()
    model.zero_grad()
    graphed: Any = torch.cuda.make_graphed_callables(model, (x, labels))
    loss = graphed(x, labels)
    backward(loss)
    torch.testing.assert_close(loss, right)
    torch.testing.assert_close(model.layer.weight.grad, slope)


def streams(device: Device) -> None:
    """Check that calls on streams of their own do not disturb each other."""
    table, _rows = similarity("sparse", 32000, device.name)
    labels = labels_of(256, 32000, device.name)
    batches = [logits(256, 32000, BF16, device.name, seed=seed) for seed in range(4)]
    right = [teach(partial(sim_loss, similarity=table), z, labels) for z in batches]
    torch.cuda.synchronize()
    found = []
    for z in batches:
        with torch.cuda.stream(new_stream()):
            found.append(teach(partial(sim_loss, similarity=table), z, labels))
    torch.cuda.synchronize()
    if not all(
        torch.equal(a, b) for one, other in zip(found, right, strict=True) for a, b in zip(one, other, strict=True)
    ):
        raise WrongError("a stream of its own gives other bits")


def many_logits(device: Device, form: str, dtype: torch.dtype) -> Found:
    """Check rows at the beginning, in the middle and at the end of more than 2^31 logits."""
    count, classes = (65, 300) if device.dry else (65_600, 32_800)
    table, rows = similarity(form, classes, device.name)
    z = torch.empty(count, classes, dtype=dtype, device=device.name)
    for top in range(0, count, 1024):
        z[top : top + 1024].normal_(0, 3)
    z.requires_grad_()
    labels = labels_of(count, classes, device.name, ignore=11)
    loss = sim_loss(z, labels, table, reduction="none")
    backward(loss.sum())
    assert z.grad is not None
    length = 20 if device.dry else 40
    starts = (0, count // 2, count - length)
    chosen = torch.cat([torch.arange(start, start + length) for start in starts]).to(device.name)
    if not loss.isfinite().all():
        raise WrongError("a loss is not finite")
    ones = torch.ones(len(chosen), device=device.name)
    taught = Taught(loss.detach()[chosen], z.grad[chosen], labels[chosen] != IGNORED, ones)
    return _within(errors(z.detach()[chosen], labels[chosen], rows, Share(), taught))


def linear(device: Device, form: str, dtype: torch.dtype, reduction: str) -> None:
    """Check that the fused layer is at most twice as far from float64 as F.linear followed by the loss."""
    count, classes, features = (90, 100, 16) if device.dry else (6000, 8192, 256)
    table, _rows = similarity(form, classes, device.name)
    labels = labels_of(count, classes, device.name, ignore=9)
    inputs = [
        torch.randn(count, features, device=device.name).to(dtype),
        (torch.randn(classes, features, device=device.name) * 2 / math.sqrt(features)).to(dtype),
        torch.randn(classes, device=device.name).to(dtype),
    ]

    def fused(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return linear_sim_loss(x, w, labels, table, linear_bias=bias, reduction=reduction, share=0.6)

    def plain(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return sim_loss(functional.linear(x, w, bias), labels, table, reduction=reduction, share=0.6)

    def results(function: Callable[..., Tensor], work: torch.dtype) -> list[Tensor]:
        leaves = [one.to(work).clone().requires_grad_() for one in inputs]
        loss = function(*leaves)
        backward(loss.sum())
        return [loss.detach().double(), *(leaf.grad.double() for leaf in leaves if leaf.grad is not None)]

    both = zip(results(fused, dtype), results(plain, dtype), results(plain, FP64), strict=True)
    for what, (found, usual, right) in zip(("loss", "input", "weight", "bias"), both, strict=True):
        off, allowed = (found - right).abs().max().item(), 2 * (usual - right).abs().max().item()
        if off > allowed + 4 * torch.finfo(dtype).eps * right.abs().max().item():
            raise WrongError(f"{what}: off by {off}, plain code by half of {allowed}")


def targets_and_shapes(device: Device) -> None:
    """Check class probabilities, label smoothing, more dimensions, uint8 labels, no rows, and only ignored rows."""
    table, _rows = similarity("dense", 40, device.name)
    z = torch.randn(6, 40, 5, device=device.name)
    labels = torch.randint(0, 40, (6, 5), device=device.name)
    chances = torch.rand(6, 40, 5, device=device.name).softmax(1)
    weight = torch.rand(40, device=device.name)
    options: tuple[dict[str, Any], ...] = ({}, {"label_smoothing": 0.1}, {"reduction": "none"}, {"weight": weight})
    for target, more in itertools.product((labels, chances), options):
        wide: dict[str, Any] = {
            name: value.double() if isinstance(value, Tensor) else value for name, value in more.items()
        }
        many = target.double() if target.is_floating_point() else target
        found = teach(partial(sim_loss, similarity=table, **more), z, target)
        right = teach(partial(sim_loss, similarity=table.double(), **wide), z.double(), many)
        torch.testing.assert_close(found[0].double(), right[0], rtol=2e-5, atol=2e-6)
        torch.testing.assert_close(found[1].double(), right[1], rtol=2e-4, atol=2e-6)
    torch.testing.assert_close(sim_loss(z, labels.byte(), table), sim_loss(z, labels, table))
    nothing = torch.full_like(labels, IGNORED)
    assert sim_loss(z[:0], labels[:0], table).isnan()
    assert sim_loss(z, nothing, table).isnan()
    assert sim_loss(z, nothing, table, reduction="sum") == 0


def deciding_and_judging(device: Device) -> None:
    """Check that minimum_risk and MistakeReport on the device are those of the CPU."""
    table, _rows = similarity("dense", 30, device.name)
    z, labels = torch.randn(200, 30, device=device.name), labels_of(200, 30, device.name)
    superclasses = [index % 4 for index in range(30)]
    reports = []
    for place in (device.name, "cpu"):
        report = MistakeReport(table.to(place), superclasses=superclasses).to(place)
        report.update(z.to(place), labels.to(place))
        reports.append(report.compute())
    for name, value in reports[1].items():
        torch.testing.assert_close(reports[0][name].cpu(), value, rtol=1e-5, atol=1e-6, equal_nan=True)
    for form in FORMS:
        there, _rows = similarity(form, 30, device.name)
        here = there.cpu() if isinstance(there, Tensor) else type(there)(*(part.cpu() for part in there))
        if not torch.equal(minimum_risk(z, there).cpu(), minimum_risk(z.cpu(), here)):
            raise WrongError(f"minimum_risk differs: {form}")


OUT_OF_BOUNDS = """
import torch, simloss
z = torch.randn(4, {0}, device="cuda")
labels = torch.tensor([0, 1, {0}, 2], device="cuda")
simloss.sim_loss(z, labels, simloss.Toeplitz(torch.ones(2 * {0} - 1, device="cuda")), reduction="none")
torch.cuda.synchronize()
"""


def assertions(_device: Device) -> None:
    """Check that a label out of bounds fails an assertion on the device, in a process of its own."""
    for classes in (10, 9000):
        command = [sys.executable, "-c", OUT_OF_BOUNDS.format(classes)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        if run.returncode == 0 or "device-side assert" not in run.stderr:
            raise WrongError(f"no assertion: {run.stderr[-300:]}")


def compiled(device: Device, form: str) -> None:
    """Check that compiled code in one graph gives what eager code does, for one shape and for many."""
    torch.compiler.reset()
    table, _rows = similarity(form, 1000, device.name)
    layer, criterion = nn.Linear(32, 1000, device=device.name), SimLoss(table, share=0.4)
    modes: tuple[dict[str, Any], ...] = ({"dynamic": True}, {"mode": "reduce-overhead"})
    if device.dry:
        modes = ({"dynamic": True, "backend": "aot_eager"},)
    for mode in modes:
        function = torch.compile(lambda x, y: criterion(layer(x), y), fullgraph=True, **mode)
        for count in (64, 96, 96, 96):
            x, labels = torch.randn(count, 32, device=device.name), labels_of(count, 1000, device.name)
            found = []
            for loss_of in (function, lambda x, y: criterion(layer(x), y)):
                layer.zero_grad()
                loss = loss_of(x, labels)
                backward(loss)
                assert layer.weight.grad is not None
                found.append((loss.detach().clone(), layer.weight.grad.clone()))
            torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


def moves(device: Device) -> None:
    """Check that the modules take their similarity along to the device."""
    for form in FORMS:
        table, _rows = similarity(form, 50, "cpu")
        z, labels = logits(20, 50, FP32, "cpu"), labels_of(20, 50, "cpu")
        right = SimLoss(table, share=0.4)(z, labels)
        found = SimLoss(table, share=0.4).to(device.name)(z.to(device.name), labels.to(device.name))
        torch.testing.assert_close(found.cpu(), right, rtol=1e-5, atol=1e-6)
        layer = LinearSimLoss(8, table, share=0.4).to(device.name)
        backward(layer(torch.randn(20, 8, device=device.name), labels.to(device.name)))


def rest(device: Device) -> Iterator[Case]:
    """Yield what is not the grid. A dry run leaves out what needs a device."""
    yield Case("S of the diagonal alone is F.cross_entropy", partial(identity, device))
    yield Case("twenty runs give the same bits", partial(equal_runs, device))
    yield Case("autocast", partial(autocast, device))
    yield Case("GradScaler", partial(grad_scaler, device))
    yield Case("targets and shapes", partial(targets_and_shapes, device))
    yield Case("decisions and metrics", partial(deciding_and_judging, device))
    yield Case("modules move", partial(moves, device))
    for form, dtype, reduction in (
        ("sparse", BF16, "mean"),
        ("dense", FP32, "mean"),
        ("toeplitz", BF16, "none"),
        ("sparse", FP16, "sum"),
    ):
        name = f"fused layer, {form}, {dtype}, {reduction}"
        yield Case(name, partial(linear, device, form, dtype, reduction))
    if not device.dry:
        yield Case("no waiting for the device", partial(no_waiting, device))
        yield Case("a CUDA graph", partial(cuda_graph, device))
        yield Case("make_graphed_callables", partial(graphed_callables, device))
        yield Case("streams", partial(streams, device))
        yield Case("assertions", partial(assertions, device))
    for form, dtype in (("sparse", BF16), ("toeplitz", BF16), ("sparse", FP32)):
        name = f"more than 2^31 logits, {form}, {dtype}"
        yield Case(name, partial(many_logits, device, form, dtype), 12)
    for form in FORMS:
        yield Case(f"compiled, {form}", partial(compiled, device, form), 25)


# --- running ----------------------------------------------------------------------------------------------------------


def run(case: Case, end: float) -> Found:
    """Return what came of a case, as it is written."""
    started = time.monotonic()
    if started + case.least > end:
        return {"case": case.name, "result": "left out", "why": "no time was left"}
    try:
        found = case.run() or {}
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        return {"case": case.name, "result": "left out", "why": "the device has too little memory"}
    except Exception as error:  # whatever it is, the other cases go on
        found = {"result": "failed", "why": f"{type(error).__name__}: {error}"[:500]}
    return {"case": case.name, "result": "passed", "seconds": round(time.monotonic() - started, 2), **found}


def main() -> None:
    """Run the cases of this part and write what they find."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path, help="JSON lines, to which it adds")
    parser.add_argument("--seconds", type=float, default=100, help="after which no case begins (%(default)s)")
    parser.add_argument("--part", default="1/1", help="which part of the cases, such as 1/4")
    parser.add_argument("--dry", action="store_true", help="small shapes on the CPU")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    device = Device(options.dry)
    part, parts = map(int, options.part.split("/"))
    end, counts = time.monotonic() + options.seconds, {"passed": 0, "failed": 0, "left out": 0}
    with options.found.open("a", encoding="utf-8", buffering=1) as file:
        # What is not the grid comes first: a part of it in each process.
        for case in itertools.islice(itertools.chain(rest(device), grid(device)), part - 1, None, parts):
            found = run(case, end)
            counts[found["result"]] += 1
            file.write(json.dumps(found) + "\n")
            if found["result"] == "failed":
                print(f"FAILED {case.name}: {found['why']}", flush=True)
                if "device-side assert" in found["why"] or "illegal memory" in found["why"]:
                    print("the device's context is lost; no more cases are tried", flush=True)
                    break
    print(", ".join(f"{count} {result}" for result, count in counts.items()), flush=True)
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
