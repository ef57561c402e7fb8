"""Slow, obvious reference implementations, in float64 and in loops. Tests compare the real ones with these."""

import math
from decimal import Decimal, localcontext

import numpy as np

# --- SimLoss (Kobs, Steininger, Zehe, Lautenschlager, Hotho, 2020) ----------------------------------------------------


def sim_loss_plain(z: np.ndarray, s: np.ndarray) -> float:
    """Return -log sum_c s_c softmax(z)_c, as the paper defines it, for one example; s is the row of its class."""
    e = [math.exp(value - max(z)) for value in z]
    return -math.log(sum(s_c * e_c / sum(e) for s_c, e_c in zip(s, e, strict=True)))


def sim_loss_exact(z: np.ndarray, s: np.ndarray) -> float:
    """Evaluate the definition in decimal arithmetic of 80 digits, which neither cancels nor underflows here."""
    with localcontext() as context:
        context.prec = 80
        e = [Decimal(float(value)).exp() for value in z]
        a = sum((Decimal(float(s_c)) * e_c for s_c, e_c in zip(s, e, strict=True)), Decimal(0))
        return float((sum(e, Decimal(0)) / a).ln())


def sim_loss_row(z: np.ndarray, s: np.ndarray) -> tuple[float, np.ndarray]:
    """Return loss and gradient of one example in the form that keeps its digits near zero: log1p(b / a)."""
    z, s = np.asarray(z, dtype=np.float64), np.asarray(s, dtype=np.float64)
    e = np.exp(z - z.max())
    a, b = math.fsum(s * e), math.fsum((1 - s) * e)
    d = a + b
    if a > 1e-250:
        return math.log1p(b / a), e / d * ((1 - s) - s * (b / a))
    scores = np.full(len(z), -np.inf)  # the similar classes are lost beside the maximum: they get one of their own
    scores[s > 0] = z[s > 0] + np.log(s[s > 0])
    if scores.max() == -np.inf:  # all of them at -inf: each is pulled at by its similarity
        return math.inf, e / d - s / math.fsum(s)
    shares = np.exp(scores - scores.max())
    total = math.fsum(shares)
    return math.log(d) + z.max() - scores.max() - math.log(total), e / d - shares / total


# --- beside cross entropy ---------------------------------------------------------------------------------------------


def smoothed_target(s: np.ndarray, label: int, smoothing: float) -> np.ndarray:
    """Return the target of cross entropy: smoothing goes to the other classes in proportion to their similarity."""
    others = np.array(s, dtype=np.float64)
    others[label] = 0.0
    target = np.zeros(len(others))
    if others.any():
        target = smoothing * others / math.fsum(others)
        target[label] = 1 - smoothing
    else:
        target[label] = 1.0
    return target


def cross_entropy_row(z: np.ndarray, target: np.ndarray, label: int) -> tuple[float, np.ndarray]:
    """Return loss and gradient of one example for class probabilities of which most is on the label, as a rule.

    The loss is sum_c t_c (-log p_c), and -log p_c is log1p(rest / e_c), or m + log d - z_c where e_c underflows.
    """
    z = np.asarray(z, dtype=np.float64)
    e = np.exp(z - z.max())
    d, loss = math.fsum(e), 0.0
    for c in np.flatnonzero(target):
        rest = math.fsum(np.delete(e, c))
        loss += target[c] * (math.log1p(rest / e[c]) if e[c] > 1e-250 else math.log(d) + z.max() - z[c])
    gradient = e / d - target
    gradient[label] = (
        math.fsum(np.delete(target, label)) - math.fsum(np.delete(e, label)) / d
    )  # that is 1 - t - (1 - p)
    return loss, gradient


def mixed_exact(z: np.ndarray, s: np.ndarray, label: int, share: float, smoothing: float) -> float:
    """Evaluate (1 - share) CE + share SimLoss by its definition, in decimal arithmetic of 80 digits."""
    with localcontext() as context:
        context.prec = 80
        e, s = [Decimal(float(value)).exp() for value in z], [Decimal(float(value)) for value in s]
        d, share, smoothing = sum(e, Decimal(0)), Decimal(share), Decimal(smoothing)
        others = sum(s, Decimal(0)) - s[label]
        smoothing = smoothing if others else Decimal(0)
        target = [smoothing * of_c / others if others else Decimal(0) for of_c in s]
        target[label] = 1 - smoothing
        entropy = -sum((t * (of_c / d).ln() for t, of_c in zip(target, e, strict=True) if t), Decimal(0))
        similar = -(sum((of_s * of_c for of_s, of_c in zip(s, e, strict=True)), Decimal(0)) / d).ln()
        return float((1 - share) * entropy + share * similar)


def mixed_row(
    z: np.ndarray, s: np.ndarray, label: int, share: float = 1.0, smoothing: float = 0.0
) -> tuple[float, np.ndarray]:
    """Return loss and gradient of (1 - share) CE + share SimLoss, where what has no share may be infinite."""
    loss, gradient = 0.0, np.zeros(len(z))
    for factor, row in (
        (share, lambda: sim_loss_row(z, s)),
        (1 - share, lambda: cross_entropy_row(z, smoothed_target(s, label, smoothing), label)),
    ):
        if factor:
            of_row, slopes = row()
            loss += factor * of_row
            gradient += factor * slopes
    return loss, gradient


def sim_loss(
    logits: np.ndarray,
    target: np.ndarray,
    similarity: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    share: float = 1.0,
    similarity_smoothing: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return losses (N), their gradients (N, C), and what their mean is over.

    Logits are (N, C); the target is (N) class indices or (N, C) class probabilities. Smoothing and weights as the
    documentation of torch.nn.CrossEntropyLoss defines them; `mixed_row` is the loss for one class.
    """
    count, classes = logits.shape
    weight = np.ones(classes) if weight is None else np.asarray(weight, dtype=np.float64)
    losses, gradients, total = np.zeros(count), np.zeros((count, classes)), 0.0
    for i in range(count):
        if target.ndim == 1 and target[i] == ignore_index:
            continue
        if target.ndim == 1:
            wanted = {int(target[i]): 1.0}
            total += weight[target[i]]
        else:
            wanted = dict(enumerate(target[i].astype(np.float64)))
            total += 1.0
        for k in range(classes) if label_smoothing else wanted:
            part = (1 - label_smoothing) * wanted.get(k, 0.0) + label_smoothing / classes
            if part != 0:
                loss, gradient = mixed_row(logits[i], similarity[k], k, share, similarity_smoothing)
                losses[i] += weight[k] * part * loss
                gradients[i] += weight[k] * part * gradient
    return losses, gradients, total
