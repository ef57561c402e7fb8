"""What to decide, given what a model believes: at test time, for any trained model.

A model that is too sure of itself, as most are, decides better once its logits are divided by what `fit_temperature`
returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

import simmatrix
from simloss.checks import check_similarity
from simloss.errors import ArgumentError, DtypeError, SimilarityWarning, warn_user
from simloss.forms import Dense, Similarity, Sparse, Toeplitz, as_similarity, class_count, from_matrix, moved, rows
from simloss.scores import Array, as_examples, as_labels, as_logits, as_tensor, blocks, shares
from simmatrix.names import Names, names_in_order
from simmatrix.shapes import Float, Int

# Elements of S taken at a time: products of matrices this large run at full speed.
_BLOCK = 2**22
# The temperature is sought from this part of the logits' own scale to this multiple of it.
_SPAN = 1000.0

Similarities = simmatrix.SimilarityMatrix | Tensor | np.ndarray | Sparse | Toeplitz


@torch.no_grad()
def fit_temperature(
    logits: Tensor | np.ndarray, labels: Tensor | np.ndarray, *, ignore_index: int = -100, from_logits: bool = True
) -> float:
    """Return the temperature T under which softmax(logits / T) has the least negative log likelihood.

    It has to be fitted on data that the model was not trained on. Dividing all logits by it changes no argmax, but how
    sure the model is, and so every other decision. In 1 / T the likelihood is concave: its derivative is 0 at one
    place, which is found by Brent's method.

    Parameters
    ----------
    logits
        (N, C) or (N, C, d1, ...), a tensor or an array. One of -inf rules a class out at any temperature.
    labels
        Class indices, (N) or (N, d1, ...).
    ignore_index
        The label of examples that are left out.
    from_logits
        Whether these are logits, or else probabilities, which sum to 1; T divides their logarithms.

    Returns
    -------
    float
        Above 0. If no temperature is best (each label is the most probable class, or the logits tell nothing of the
        labels), the end of the range that is searched, with a `SimilarityWarning`.

    Raises
    ------
    ValueError, TypeError, IndexError
        If there is no example, shapes or dtypes do not fit, a logit is NaN or inf, a label is no class, or a label is
        ruled out: by a logit of -inf or a probability of 0.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    Of four examples three are right, so the model should be sure to 3/4, and log 3 = 1.0986.

    >>> logits = torch.tensor([[4.0, 0.0]] * 4)
    >>> round(fit_temperature(logits, torch.tensor([0, 0, 0, 1])), 4)
    3.641
    """
    examples = as_examples(logits, from_logits)
    targets = as_labels(labels, examples, ignore_index)
    kept = targets != ignore_index
    z, targets = as_logits(examples.rows[kept], from_logits=from_logits), targets[kept]
    if not len(z):
        raise ArgumentError("there is no example to fit a temperature on")
    own = z.gather(1, targets.unsqueeze(1))
    is_odd = (z.amax(1, keepdim=True) == math.inf) | own.isinf()
    if is_odd.any():
        first = int(kept.nonzero()[int(is_odd.int().argmax())])
        zero = "a logit of inf, or of -inf" if from_logits else "a probability of 0"
        raise ArgumentError(f"example {first} (counted from 0) has {zero} for its label; leave such examples out")

    def slope(log_inverse: float) -> float:
        """Return the derivative of the mean negative log likelihood by 1 / T."""
        total = 0.0
        for part, label in zip(blocks(z), torch.split(targets, max(1, len(blocks(z)[0]))), strict=True):
            scaled = part.double()
            p = (scaled * math.exp(log_inverse)).softmax(1)
            # Relative to the label's logit, so that nothing is lost to their common size. A class that is ruled out
            # adds 0, not 0 * -inf.
            apart = scaled - scaled.gather(1, label.unsqueeze(1))
            total += float((p * apart.masked_fill_(apart == -math.inf, 0.0)).sum())
        return total / len(z)

    spread = float(torch.where(z.isinf(), own, z).double().std(1, correction=0).mean())
    middle, half = -math.log(spread or 1.0), math.log(_SPAN)
    ends = (middle - half, middle + half)
    slopes = [slope(end) for end in ends]
    if slopes[0] < 0 < slopes[1]:
        return math.exp(-brentq(slope, *ends, xtol=1e-12))
    # The slope rises: it is negative everywhere, or nowhere; or 0, where all logits of an example are equal.
    always_right = slopes[1] <= 0 and spread > 0
    end = ends[1] if always_right else ends[0]
    if always_right:
        why = "every label is the most probable class"
    else:
        why = "the logits tell nothing of the labels" if spread else "none changes the probabilities"
    warn_user(f"no temperature is best, since {why}; {math.exp(-end):g} is the end of the range", SimilarityWarning)
    return math.exp(-end)


@torch.no_grad()
def minimum_risk(
    logits: Array,
    similarity: Similarities | None = None,
    *,
    costs: Tensor | np.ndarray | None = None,
    from_logits: bool = True,
    classes: Names | None = None,
) -> Array:
    """Return the decision of each example that costs least: k for which sum_y softmax(logits)[y] cost[y, k] is least.

    The cost is 1 - S, or what `costs` says. If this cost is what matters, no decision is better for a calibrated model,
    however it was trained. For the identity matrix it is the most probable class. If several decisions cost the same,
    or so nearly the same that rounding could decide, the one with the greatest logit is returned, and among equal
    logits the first. So with the identity matrix this is `logits.argmax`, also for nearly equal logits.

    It is computed in float64. A sparse matrix is never made dense, a Toeplitz matrix only part by part.

    Parameters
    ----------
    logits
        Of shape (C), (N, C) or (N, C, d1, ...), of any floating-point dtype: a tensor or a NumPy array.
    similarity
        S, (C, C), in [0, 1] with unit diagonal, row y of the true class y, in the order of the logits: a tensor
        (strided or CSR), an array, `simloss.Sparse`, `simloss.Toeplitz` or a `simmatrix.SimilarityMatrix`. The values
        are not checked.
    costs
        In place of it the costs, (C, K): rows are the true classes, columns the decisions, finite, on any scale. There
        may be more decisions than classes, such as to ask a person.
    from_logits
        Whether these are logits, or else probabilities, which sum to 1.
    classes
        The names of the classes in the order of the logits. A `SimilarityMatrix` is reordered to it; without it the
        logits must be in the order of the matrix. Of other similarities the order can't be checked.

    Returns
    -------
    Tensor or ndarray
        Class indices, or columns of the costs, int64, of shape (), (N) or (N, d1, ...).

    Raises
    ------
    ValueError
        If the shapes do not fit each other, a logit is NaN, probabilities do not sum to 1 or a cost is not finite.
    TypeError
        If logits or similarity are not of a floating-point dtype, or the similarity is none of these.
    RuntimeError
        If the tensors are on different devices, or the similarity requires a gradient.
    simmatrix.errors.ClassOrderError
        If `classes` and those of a `SimilarityMatrix` are not the same names.

    References
    ----------
    Karthik, Prabhu, Dokania and Gandhi, "No Cost Likelihood Manipulation at Test Time for Making Better Mistakes in
    Deep Networks", ICLR 2021.

    Examples
    --------
    An oak is most probable, but it is probably a cat of some kind.

    >>> logits = torch.tensor([0.3, 0.3, 0.4]).log()  # cat, lynx, oak
    >>> minimum_risk(logits, torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    tensor(0)
    >>> minimum_risk(logits, torch.eye(3))
    tensor(2)

    To miss an illness costs ten times as much as a needless test.

    >>> costs = np.array([[0, 1], [10, 0]])  # healthy, ill
    >>> minimum_risk(np.array([[0.8, 0.2], [0.95, 0.05]]), costs=costs, from_logits=False)
    array([1, 0])
    """
    examples = as_examples(logits, from_logits)
    if (similarity is None) == (costs is None):
        raise DtypeError("give either a similarity or costs")
    if costs is not None and classes is not None:
        raise DtypeError("costs have no names that classes could put in order; give them in the order of the logits")
    form = _form(similarity, examples.rows, classes) if costs is None else _gains_of(costs, examples.rows)
    product = _product_with(form)
    parts = [
        _decisions(part, product(shares(part, from_logits=from_logits)), examples.rows.shape[1])
        for part in blocks(examples.rows)
    ]
    found: Array = examples.restored(torch.cat(parts))
    return found


@torch.no_grad()
def expected_similarity(
    logits: Array, similarity: Similarities, *, from_logits: bool = True, classes: Names | None = None
) -> Array:
    """Return how similar each class is expected to be to the true one, sum_y softmax(logits)[y] S[y, k].

    These scores rank all classes: the first is the decision of `minimum_risk`, and the next are those that are good
    beside it, as `simloss.metrics.HierarchicalDistance` judges them for k > 1.

    Parameters
    ----------
    logits, similarity, from_logits, classes
        As in `minimum_risk`.

    Returns
    -------
    Tensor or ndarray
        Of the shape of the logits, float64, in [0, 1].

    Raises
    ------
    ValueError, TypeError, RuntimeError, simmatrix.errors.ClassOrderError
        As in `minimum_risk`.

    Examples
    --------
    >>> similarity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> expected_similarity(torch.tensor([0.3, 0.3, 0.4]), similarity, from_logits=False)
    tensor([0.4500, 0.4500, 0.4000], dtype=torch.float64)
    """
    examples = as_examples(logits, from_logits)
    product = _product_with(_form(similarity, examples.rows, classes))
    parts = []
    for part in blocks(examples.rows):
        e = shares(part, from_logits=from_logits)
        parts.append(product(e).div_(e.sum(1, keepdim=True)))
    found: Array = examples.restored(torch.cat(parts))
    return found


@torch.no_grad()
def with_superclasses(
    logits: Array, superclasses: Sequence[Hashable] | np.ndarray | Tensor, *, from_logits: bool = True
) -> Array:
    """Return scores in which each class's probability is multiplied with that of its superclass.

    Their argmax favours a class whose siblings are probable as well. No training is needed; a model that is too sure of
    itself gains by `fit_temperature` first.

    Parameters
    ----------
    logits, from_logits
        As in `minimum_risk`.
    superclasses
        The superclass of each class, C names or numbers in the order of the logits, as in
        `simloss.metrics.SuperclassAccuracy`.

    Returns
    -------
    Tensor or ndarray
        Of the shape of the logits, float64: logits, log p_c + log p_superclass(c); or of probabilities the products,
        divided by their sum.

    Raises
    ------
    ValueError, TypeError
        If there is not one superclass a class; otherwise as in `minimum_risk`.

    Examples
    --------
    >>> with_superclasses(np.array([0.3, 0.3, 0.4]), ["cat", "cat", "tree"], from_logits=False).round(3)
    array([0.346, 0.346, 0.308])
    """
    examples = as_examples(logits, from_logits)
    groups = numbered(superclasses).to(examples.rows.device)
    count = examples.rows.shape[1]
    if len(groups) != count:
        raise ArgumentError(f"superclasses must be {count}, one a class; got {len(groups)}")
    parts = []
    for part in blocks(examples.rows):
        z = part.double() if from_logits else part.double().log()
        z = z - z.logsumexp(1, keepdim=True)
        index = groups.expand_as(z)
        zeros = z.new_zeros(len(z), int(groups.max()) + 1)
        # With a greatest logit of each superclass's own, so that no improbable one becomes impossible.
        greatest = (zeros - torch.inf).scatter_reduce_(1, index, z, "amax").clamp_(min=torch.finfo(z.dtype).min)
        sums = zeros.scatter_add_(1, index, (z - greatest.gather(1, index)).exp_())
        z = z + (greatest + sums.log()).gather(1, index)
        parts.append(z if from_logits else z.softmax(1))
    found: Array = examples.restored(torch.cat(parts))
    return found


def numbered(superclasses: Sequence[Hashable] | np.ndarray | Tensor) -> Int[Tensor, " C"]:
    """Return the superclass of each class as a number: the first is 0, the next that differs 1, and so on.

    Raises
    ------
    ValueError
        If a class has none: an empty name or None.
    TypeError
        If they are one text.
    """
    if isinstance(superclasses, str):
        raise TypeError(f"the superclasses are one text, {superclasses!r}; give one name a class")
    names = superclasses.tolist() if isinstance(superclasses, (np.ndarray, Tensor)) else list(superclasses)
    if not names:
        raise ValueError("there must be one superclass a class, got none")
    lacking = [position for position, name in enumerate(names) if name is None or not str(name).strip()]
    if lacking:
        raise ValueError(
            f"{len(lacking)} of {len(names)} classes have no superclass, the first is class {lacking[0]} (counted from "
            "0); is it the right column of the class list?"
        )
    numbers: dict[Hashable, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names], device="cpu")


def _form(similarity: Similarities | None, logits: Float[Tensor, "N C"], order: Names | None) -> Similarity:
    """Return a similarity that fits the logits in its form, on their device, in the order of the names."""
    names = None if order is None else names_in_order(order)
    if isinstance(similarity, simmatrix.SimilarityMatrix):
        form = moved(from_matrix(similarity if names is None else similarity.reorder(names)), logits.device)
    else:
        form = as_similarity(as_tensor(similarity, "similarity") if isinstance(similarity, np.ndarray) else similarity)
    check_similarity(form)
    classes, count = logits.shape[1], class_count(form)
    if classes != count:
        raise ArgumentError(f"similarity has shape {(count, count)}, but the logits have {classes} classes")
    if names is not None and len(names) != count:
        raise ArgumentError(f"there are {len(names)} names in classes, but the logits have {count} columns")
    for part in form:
        if part.device != logits.device:
            raise RuntimeError(f"similarity is on {part.device}, but the logits are on {logits.device}")
    return form


def _gains_of(costs: Tensor | np.ndarray, logits: Float[Tensor, "N C"]) -> Dense:
    """Return what each decision saves to the costliest one, (C, K), at least 0: the sums are then as exact as of S."""
    values = as_tensor(costs, "costs")
    if values.ndim != 2 or values.shape[0] != logits.shape[1] or values.shape[1] == 0:
        raise ArgumentError(
            f"costs must have shape ({logits.shape[1]}, K), rows the true classes and columns the decisions; got "
            f"{tuple(values.shape)}"
        )
    if values.device != logits.device:
        raise RuntimeError(f"costs are on {values.device}, but the logits are on {logits.device}")
    values = values.double()
    if not values.isfinite().all():
        row, column = (~values.isfinite()).nonzero()[0].tolist()
        raise ArgumentError(f"costs must be finite, but costs[{row}, {column}] is {values[row, column].item()}")
    return Dense(values.amax(1, keepdim=True) - values)


def _decisions(logits: Float[Tensor, "N C"], gains: Float[Tensor, "N K"], terms: int) -> Int[Tensor, " N"]:
    """Return the decision of the greatest gain in each row, among equals the greatest logit's."""
    most = gains.amax(1, keepdim=True)
    # Each sum of C products of numbers that are not negative is off by C units in its last place at most.
    is_best = ~(gains < most * (1 - 2 * terms * torch.finfo(gains.dtype).eps))
    if gains.shape[1] != terms:
        return is_best.int().argmax(1)
    # Even a best class may have the logit -inf.
    z = logits.double().clamp_min(torch.finfo(gains.dtype).min)
    return z.masked_fill(~is_best, -torch.inf).argmax(1)


def _product_with(similarity: Similarity) -> Callable[[Float[Tensor, "N C"]], Float[Tensor, "N K"]]:
    """Return a function that gives e @ S, in float64."""
    if isinstance(similarity, Sparse):
        crow_indices, col_indices, values = similarity
        count = len(crow_indices) - 1
        row_of_entry = torch.arange(count, device=values.device).repeat_interleave(crow_indices.diff())
        transposed = torch.sparse_coo_tensor(
            torch.stack([col_indices.long(), row_of_entry]),
            values.double(),
            (count, count),
            device=values.device,
            check_invariants=False,
        )
        return lambda e: (transposed @ e.T).T
    if isinstance(similarity, Dense) and similarity.values.numel() <= _BLOCK:
        whole = similarity.values.double()
        return lambda e: e @ whole
    return lambda e: _by_blocks(e, similarity)


def _by_blocks(e: Float[Tensor, "N C"], similarity: Dense | Toeplitz) -> Float[Tensor, "N K"]:
    """Return e @ S with some rows of S at a time, so that it is never whole in float64."""
    count = e.shape[1]
    width = similarity.values.shape[1] if isinstance(similarity, Dense) else count
    found = e.new_zeros(len(e), width)
    height = max(1, _BLOCK // width)
    for first in range(0, count, height):
        block = torch.arange(first, min(first + height, count), device=e.device)
        if isinstance(similarity, Dense):
            part = similarity.values[block].to(e.dtype)
        else:
            part = rows(similarity, block, e.new_empty(len(block), count))
        found.addmm_(e[:, block], part)
    return found
