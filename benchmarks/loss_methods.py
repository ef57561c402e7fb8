"""The ways to compute a loss that `loss.py` compares: torch's cross entropy, the paper's formula, ours, and others'."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FunctionType
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from simloss.errors import SimilarityWarning
from simloss.forms import Sparse, Toeplitz
from simloss.linear import linear_sim_loss
from simloss.loss import SimLoss, sim_loss

__all__ = [
    "ALONE",
    "BASE",
    "COMPILED",
    "FORMULA",
    "LINEAR_BASE",
    "LINEAR_FORMULA",
    "MODULE",
    "SHARED",
    "SMOOTHED",
    "Form",
    "Loss",
    "Method",
    "forms",
    "is_ours",
    "of_linear",
    "of_logits",
    "of_ratios",
    "of_two_classes",
]

Loss: TypeAlias = Callable[..., Tensor]  # the mean loss: of logits, or of features and a weight

BASE, FORMULA = "F.cross_entropy", "formula"
LINEAR_BASE, LINEAR_FORMULA = "F.linear + F.cross_entropy", "F.linear + formula"

# Modules, and what the name of a compiled method ends in.
MODULE, COMPILED = "nn.CrossEntropyLoss", ", compiled"
ALONE = "SimLoss, dense"
SHARED, SMOOTHED = f"{ALONE}, share=0.4", f"{ALONE}, share=0.4, similarity_smoothing=0.05"

# A dense similarity of more classes is not held: in float32 it would take more than 4 GiB.
_MOST_DENSE = 2**15


class AbsentError(Exception):
    """A method that can't be had here."""


class Form(NamedTuple):
    """A similarity matrix: in the form that the loss takes, and its rows in float64, made without the loss."""

    name: str
    similarity: Tensor | Sparse | Toeplitz
    rows: Callable[[Tensor], Tensor]


class Method(NamedTuple):
    """One way to compute a loss."""

    name: str
    make: Callable[[], Loss]
    rows: Callable[[Tensor], Tensor] | None = None  # of S, in float64, for labels; None for cross entropy
    share: float = 1.0  # of SimLoss
    smoothing: float = 0.0  # of the target in the part of cross entropy, by similarity
    rounds_once: bool = False  # keeps everything but its results in float32 at least
    spoils_input: bool = False  # puts its gradient where the logits were
    drops_below: float = 0.0  # may leave smaller probabilities out of the gradient


# --- similarities -----------------------------------------------------------------------------------------------------


def forms(classes: int, entries: int, device: torch.device) -> list[Form]:
    """Return similarities of so many classes: a dense one where it fits, one of k entries a row, a Toeplitz one.

    That of k entries only where an eighth of a row holds them: SimLoss makes a fuller matrix dense.
    """
    random = torch.Generator(device).manual_seed(classes)
    dense = [_dense(classes, random)] if classes <= _MOST_DENSE else []
    sparse = [_sparse(classes, entries, random)] if 8 * entries <= classes else []
    return [*dense, *sparse, _toeplitz(classes, device)]


def _dense(classes: int, random: torch.Generator) -> Form:
    values = torch.rand(classes, classes, generator=random, device=random.device).fill_diagonal_(1.0)
    return Form("dense", values, lambda labels: values[labels].double())


def _sparse(classes: int, entries: int, random: torch.Generator) -> Form:
    """Return the similarity of each class to itself and to k - 1 others, as far from it as chance has it."""
    distances = torch.randperm(classes - 1, generator=random, device=random.device)[: entries - 1] + 1
    own = torch.arange(classes, device=random.device).unsqueeze(1)
    columns = torch.cat([own, (own + distances) % classes], 1).sort(1).values
    values = torch.rand(columns.shape, generator=random, device=random.device).masked_fill_(columns == own, 1.0)
    starts = torch.arange(classes + 1, device=random.device) * entries

    def rows(labels: Tensor) -> Tensor:
        empty = torch.zeros(len(labels), classes, dtype=torch.float64, device=labels.device)
        return empty.scatter_(1, columns[labels], values[labels].double())

    return Form(f"sparse k={entries}", Sparse(starts, columns.flatten().int(), values.flatten()), rows)


def _toeplitz(classes: int, device: torch.device) -> Form:
    """Return the similarity r^|i - j|, where the classes furthest apart are e^-10 alike."""
    diagonals = torch.arange(1 - classes, classes, device=device).abs().mul(-10 / classes).exp()
    numbers = torch.arange(classes, device=device)

    def rows(labels: Tensor) -> Tensor:
        return diagonals[classes - 1 + (numbers - labels.unsqueeze(1)).abs()].double()

    return Form("Toeplitz", Toeplitz(diagonals), rows)


# --- methods ----------------------------------------------------------------------------------------------------------


def is_ours(method: str) -> bool:
    """Return whether a method of this name is this project's."""
    return "sim_loss" in method or "SimLoss" in method


def of_logits(labels: Tensor, similarities: Sequence[Form]) -> list[Method]:
    """Return the methods that take logits; the formula has the first of the similarities."""
    first = similarities[0]
    liger = Method(
        "liger_cross_entropy",
        lambda: _others(labels, "liger_kernel.transformers.functional", "liger_cross_entropy"),
        spoils_input=True,
    )
    formula = Method(FORMULA, lambda: _formula(labels, first), first.rows)
    modules = [*_mixtures(labels, first), *(_module(labels, form) for form in similarities[1:])]
    return [
        *_twice(_cross_entropy(labels)),
        _cross_entropy_module(labels),
        liger,
        *_twice(formula),
        Method(f"sim_loss, {first.name}", lambda: _function(labels, first), first.rows, rounds_once=True),
        *(one for module in modules for one in _twice(module)),
    ]


def of_ratios(labels: Tensor, similarity: Form) -> list[Method]:
    """Return cross entropy and this loss as modules, and both compiled."""
    modules = _mixtures(labels, similarity)
    compiled = [_compiled(method) for method in (_cross_entropy(labels), *modules)]
    return [_cross_entropy_module(labels), *modules, *compiled]


def of_two_classes(labels: Tensor, others: Tensor, first: float, similarity: Form) -> list[Method]:
    """Return the methods for targets that give `first` to one class and the rest to another."""
    classes = similarity.rows(labels[:1]).shape[1]
    target = labels.new_zeros(len(labels), classes, dtype=torch.float32)
    for of_row, given in ((labels, first), (others, 1 - first)):
        target.scatter_add_(1, of_row.unsqueeze(1), target.new_full((len(labels), 1), given))

    def apart() -> Loss:
        criterion = _criterion(similarity)
        return lambda logits: first * criterion(logits, labels) + (1 - first) * criterion(logits, others)

    return [
        _cross_entropy(target),
        *_mixtures(target, similarity),
        Method(f"{ALONE}, each class by itself", apart, similarity.rows),
    ]


def of_linear(labels: Tensor, similarities: Sequence[Form], dtype: torch.dtype) -> list[Method]:
    """Return the methods that take features and a weight; the formula and ours have the first of the similarities."""
    form = similarities[0]

    def chunked(features: Tensor, weight: Tensor) -> Tensor:
        return functional.linear_cross_entropy(features, weight, labels, options=torch.nn.LinearCrossEntropyOptions())

    def fused(features: Tensor, weight: Tensor) -> Tensor:
        return linear_sim_loss(features, weight, labels, form.similarity)

    base = Method(LINEAR_BASE, lambda: _after_linear(_cross_entropy(labels).make()))
    formula = Method(LINEAR_FORMULA, lambda: _after_linear(_formula(labels, form)), form.rows)
    return [
        base,
        _compiled(base),
        Method("F.linear_cross_entropy, chunked", lambda: chunked),
        Method(
            "cut_cross_entropy",
            lambda: _others(labels, "cut_cross_entropy", "linear_cross_entropy"),
            drops_below=torch.finfo(dtype).eps / 32,  # its default, for gradients that rounding would lose
        ),
        Method(
            "liger_fused_linear_cross_entropy",
            lambda: _others(labels, "liger_kernel.transformers.functional", "liger_fused_linear_cross_entropy"),
        ),
        formula,
        _compiled(formula),
        Method(f"F.linear + sim_loss, {form.name}", lambda: _after_linear(_function(labels, form)), form.rows),
        Method(f"linear_sim_loss, {form.name}", lambda: fused, form.rows),
    ]


def _twice(method: Method) -> list[Method]:
    """Return a method and the same compiled."""
    return [method, _compiled(method)]


def _compiled(method: Method) -> Method:
    def make() -> Loss:
        loss = method.make()
        assert isinstance(loss, FunctionType)
        # With a code object of its own: where several share one, each call looks through what was compiled for all.
        own = FunctionType(loss.__code__.replace(co_name="loss"), loss.__globals__, closure=loss.__closure__)
        compiled: Loss = torch.compile(own, fullgraph=True, dynamic=False)
        return compiled

    return method._replace(name=f"{method.name}{COMPILED}", make=make)


def _cross_entropy(target: Tensor) -> Method:
    return Method(BASE, lambda: lambda logits: functional.cross_entropy(logits, target))


def _cross_entropy_module(target: Tensor) -> Method:
    return Method(MODULE, lambda: _bound(torch.nn.CrossEntropyLoss(), target))


def _mixtures(target: Tensor, form: Form) -> list[Method]:
    """Return SimLoss by itself, beside cross entropy, and beside cross entropy with smoothed targets."""
    return [_module(target, form, *mixture) for mixture in ((1.0, 0.0), (0.4, 0.0), (0.4, 0.05))]


def _module(target: Tensor, form: Form, share: float = 1.0, smoothing: float = 0.0) -> Method:
    name = f"SimLoss, {form.name}"
    name += f", share={share}" if share < 1 else ""
    name += f", similarity_smoothing={smoothing}" if smoothing else ""

    def make() -> Loss:
        return _bound(_criterion(form, share, smoothing), target)

    return Method(name, make, form.rows, share, smoothing, rounds_once=True)


def _criterion(form: Form, share: float = 1.0, smoothing: float = 0.0) -> SimLoss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimilarityWarning)  # nothing is trained with these similarities
        return SimLoss(form.similarity, share=share, similarity_smoothing=smoothing)


def _bound(criterion: torch.nn.Module, target: Tensor) -> Loss:
    return lambda logits: criterion(logits, target)


def _function(labels: Tensor, form: Form) -> Loss:
    return lambda logits: sim_loss(logits, labels, form.similarity)


def _formula(labels: Tensor, form: Form) -> Loss:
    """Return the paper's formula as one writes it down: -log sum_c S[y, c] softmax(z)[c]."""
    similarity = form.similarity
    if isinstance(similarity, Tensor):
        return lambda logits: -(similarity[labels] * logits.softmax(1)).sum(1).log().mean()
    assert isinstance(similarity, Sparse)
    columns = similarity.col_indices.view(len(similarity.crow_indices) - 1, -1).long()
    values = similarity.values.view_as(columns)
    return lambda logits: -(values[labels] * logits.softmax(1).gather(1, columns[labels])).sum(1).log().mean()


def _after_linear(loss: Loss) -> Loss:
    return lambda features, weight: loss(functional.linear(features, weight))


def _others(labels: Tensor, module: str, name: str) -> Loss:
    """Return a loss of another project, which takes the labels last."""
    if labels.device.type != "cuda":
        raise AbsentError("runs on CUDA only")
    try:
        loss = getattr(import_module(module), name)
    except ImportError as error:
        raise AbsentError(f"not installed ({error})") from error
    return lambda *inputs: loss(*inputs, labels)
