"""What a training step over a million classes takes, with the last layer and the loss in one, from a file in shards.

Claim: N = 1,024 examples of d = 64 features, C = 1,000,000 classes and a sparse similarity of 32 entries a class train
on a CPU in under 8 GB. The logits alone would take 4.1 GB, a dense similarity 4 TB. A step is loss, backward pass and
plain gradient descent; the memory is the most that the whole process has held. Another process makes the file.

    python benchmarks/million_classes.py
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
import warnings
from pathlib import Path

import torch
from measure import table, write_result
from torch import Tensor

from simloss import LinearSimLoss, SimilarityWarning

EXAMPLES, FEATURES, CLASSES, ENTRIES = 1024, 64, 1_000_000, 32
STEPS, RATE = 3, 0.1
HEADER = ["step", "loss before it", "time", "peak memory"]


def write_similarity(path: Path) -> None:
    """Write a matrix in which each class is like the 31 that follow it, the less the further, in shards."""
    import numpy as np
    from scipy.sparse import csr_array

    import simmatrix

    beside = np.arange(ENTRIES, dtype=np.int32)
    columns = (np.arange(CLASSES, dtype=np.int32)[:, None] + beside) % CLASSES
    values = np.broadcast_to((0.9**beside).astype(np.float32), columns.shape)
    starts = np.arange(0, CLASSES * ENTRIES + 1, ENTRIES)
    sparse = csr_array((values.ravel(), columns.ravel(), starts), shape=(CLASSES, CLASSES))
    simmatrix.SimilarityMatrix(sparse, [f"class number {index}" for index in range(CLASSES)]).save(path)


def gigabytes() -> float:
    """Return the most memory that this process has held, in GB (10^9 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def step(criterion: LinearSimLoss, features: Tensor, labels: Tensor) -> tuple[float, float]:
    """Train one step; return the loss before it, and the seconds."""
    started = time.perf_counter()
    loss = criterion(features, labels)
    torch.autograd.backward(loss)
    with torch.no_grad():
        for part in criterion.parameters():
            if part.grad is not None:
                part.sub_(RATE * part.grad)
            part.grad = None
    return loss.item(), time.perf_counter() - started


def main() -> None:
    """Train, and write the table."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.safetensors.index.json"
        writer = multiprocessing.get_context("spawn").Process(target=write_similarity, args=(path,))
        writer.start()
        writer.join()
        started = time.perf_counter()
        with warnings.catch_warnings():
            # So even a similarity would want a share of cross entropy.
            warnings.simplefilter("ignore", SimilarityWarning)
            criterion = LinearSimLoss.from_file(path, FEATURES, bias=True)
        opened = time.perf_counter() - started
    features, labels = torch.randn(EXAMPLES, FEATURES), torch.randint(CLASSES, (EXAMPLES,))
    before = gigabytes()
    rows = []
    for number in range(1, STEPS + 1):
        loss, seconds = step(criterion, features, labels)
        rows.append([str(number), f"{loss:.4f}", f"{seconds:.1f} s", f"{gigabytes():.2f} GB"])
    said = f"The module was made from the file in {opened:.1f} s. {before:.2f} GB had been held before the first step."
    write_result("million_classes", "python benchmarks/million_classes.py", f"{table(HEADER, rows)}\n\n{said}")


if __name__ == "__main__":
    main()
