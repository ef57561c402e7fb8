"""The ways to compute a loss that `loss.py` compares: torch's cross entropy, the paper's formula, ours, and others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from simloss.forms import Sparse, Toeplitz
from simloss.linear import linear_sim_loss
from simloss.loss import sim_loss

__all__ = [
    "BASE",
    "FORMULA",
    "LINEAR_BASE",
    "LINEAR_FORMULA",
    "Form",
    "Loss",
    "Method",
    "forms",
    "of_linear",
    "of_logits",
]

Loss: TypeAlias = Callable[..., Tensor]  # the mean loss: of logits, or of features and a weight

BASE, FORMULA = "F.cross_entropy", "formula"
LINEAR_BASE, LINEAR_FORMULA = "F.linear + F.cross_entropy", "F.linear + formula"

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
    rounds_once: bool = False  # keeps everything but its results in float32 at least
    spoils_input: bool = False  # puts its gradient where the logits were
    drops_below: float = 0.0  # may leave smaller probabilities out of the gradient


# --- similarities -----------------------------------------------------------------------------------------------------


def forms(classes: int, entries: int, device: torch.device) -> list[Form]:
    """Return similarities of so many classes: a dense one where it fits, one of k entries a row, a Toeplitz one."""
    random = torch.Generator(device).manual_seed(classes)
    dense = [_dense(classes, random)] if classes <= _MOST_DENSE else []
    return [*dense, _sparse(classes, min(entries, classes), random), _toeplitz(classes, device)]


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


def of_logits(labels: Tensor, similarities: Sequence[Form]) -> list[Method]:
    """Return the methods that take logits; the formula has the first of the similarities."""
    liger = Method(
        "liger_cross_entropy",
        lambda: _others(labels, "liger_kernel.transformers.functional", "liger_cross_entropy"),
        spoils_input=True,
    )
    formula = Method(FORMULA, lambda: _formula(labels, similarities[0]), similarities[0].rows)
    ours = [
        Method(f"sim_loss, {form.name}", partial(_ours, labels, form), form.rows, rounds_once=True)
        for form in similarities
    ]
    eager = [Method(BASE, lambda: _cross_entropy(labels)), liger, formula, *ours]
    return [one for method in eager for one in ([method] if method is liger else [method, _compiled(method)])]


def of_linear(labels: Tensor, similarities: Sequence[Form], dtype: torch.dtype) -> list[Method]:
    """Return the methods that take features and a weight; the formula and ours have the first of the similarities."""
    form = similarities[0]

    def chunked(features: Tensor, weight: Tensor) -> Tensor:
        return functional.linear_cross_entropy(features, weight, labels, options=torch.nn.LinearCrossEntropyOptions())

    def fused(features: Tensor, weight: Tensor) -> Tensor:
        return linear_sim_loss(features, weight, labels, form.similarity)

    base = Method(LINEAR_BASE, lambda: _after_linear(_cross_entropy(labels)))
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
        Method(f"F.linear + sim_loss, {form.name}", lambda: _after_linear(_ours(labels, form)), form.rows),
        Method(f"linear_sim_loss, {form.name}", lambda: fused, form.rows),
    ]


def _compiled(method: Method) -> Method:
    return method._replace(
        name=f"{method.name}, compiled", make=lambda: torch.compile(method.make(), fullgraph=True, dynamic=False)
    )


def _cross_entropy(labels: Tensor) -> Loss:
    return lambda logits: functional.cross_entropy(logits, labels)


def _ours(labels: Tensor, form: Form) -> Loss:
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
