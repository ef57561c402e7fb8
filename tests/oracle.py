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
    shares = np.exp(scores - scores.max())
    total = math.fsum(shares)
    return math.log(d) + z.max() - scores.max() - math.log(total), e / d - shares / total


def sim_loss(
    logits: np.ndarray,
    target: np.ndarray,
    similarity: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return losses (N), their gradients (N, C), and what their mean is over.

    Logits are (N, C); the target is (N) class indices or (N, C) class probabilities. Smoothing and weights as the
    documentation of torch.nn.CrossEntropyLoss defines them.
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
            share = (1 - label_smoothing) * wanted.get(k, 0.0) + label_smoothing / classes
            if share != 0:
                loss, gradient = sim_loss_row(logits[i], similarity[k])
                losses[i] += weight[k] * share * loss
                gradients[i] += weight[k] * share * gradient
    return losses, gradients, total
