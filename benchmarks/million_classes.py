"""What a training step over a million classes takes, with the last layer and the loss in one.

Claim: N = 1,024 examples of d = 64 features, C = 1,000,000 classes and a sparse similarity of 32 entries a class train
on a CPU in under 8 GB. The logits alone would take 4.1 GB, a dense similarity 4 TB. A step is loss, backward pass and
plain gradient descent; the memory is the most that the whole process has held.

    python benchmarks/million_classes.py
"""

from __future__ import annotations

import resource
import time

import torch
from measure import table, write_result
from torch import Tensor

from simloss import Sparse, linear_sim_loss

EXAMPLES, FEATURES, CLASSES, ENTRIES = 1024, 64, 1_000_000, 32
STEPS, RATE = 3, 0.1
HEADER = ["step", "loss before it", "time", "peak memory"]


def similarity() -> Sparse:
    """Return a matrix in which each class is like the 31 that follow it, the less the further."""
    beside = torch.arange(ENTRIES, dtype=torch.int32)
    columns = (torch.arange(CLASSES, dtype=torch.int32).unsqueeze(1) + beside) % CLASSES
    columns, order = columns.sort(1)
    values = (0.9**beside)[order]
    return Sparse(torch.arange(0, CLASSES * ENTRIES + 1, ENTRIES), columns.flatten(), values.flatten())


def gigabytes() -> float:
    """Return the most memory that this process has held, in GB (10^9 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def step(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, matrix: Sparse) -> tuple[float, float]:
    """Train one step; return the loss before it, and the seconds."""
    started = time.perf_counter()
    loss = linear_sim_loss(features, weight, labels, matrix, linear_bias=bias)
    torch.autograd.backward(loss)
    with torch.no_grad():
        for part in (weight, bias):
            part -= RATE * part.grad if part.grad is not None else 0
            part.grad = None
    return loss.item(), time.perf_counter() - started


def main() -> None:
    """Train, and write the table."""
    torch.manual_seed(0)
    features, labels = torch.randn(EXAMPLES, FEATURES), torch.randint(CLASSES, (EXAMPLES,))
    weight = (torch.randn(CLASSES, FEATURES) / 8).requires_grad_()
    bias = torch.zeros(CLASSES, requires_grad=True)
    matrix = similarity()
    before = gigabytes()
    rows = []
    for number in range(1, STEPS + 1):
        loss, seconds = step(features, weight, bias, labels, matrix)
        rows.append([str(number), f"{loss:.4f}", f"{seconds:.1f} s", f"{gigabytes():.2f} GB"])
    said = f"{before:.2f} GB were held before the first step."
    write_result("million_classes", "python benchmarks/million_classes.py", f"{table(HEADER, rows)}\n\n{said}")


if __name__ == "__main__":
    main()
