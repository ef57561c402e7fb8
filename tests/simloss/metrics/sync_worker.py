"""One of the processes in which the metrics are synchronised. Each test of it runs in test_synchronisation.py."""

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from simloss.metrics import MistakeReport
from tests.simloss.cases import random_similarity
from tests.simloss.metrics.metric_cases import METRICS, Facts, random_batch

FACTS = Facts(7, seed=3)
SIZE = 2
# How many examples each process has, batch by batch.
SHARES = {"uneven": ((5, 4), (1,)), "one has none": ((6,), (0,)), "nobody has any": ((0,), (0,))}


def batches(share: str, rank: int) -> list[tuple[Tensor, Tensor]]:
    return [random_batch(FACTS.classes, count, 10 * rank + part) for part, count in enumerate(SHARES[share][rank])]


def report() -> MistakeReport:
    return MistakeReport(random_similarity(FACTS.classes), superclasses=FACTS.superclasses, positions=FACTS.positions)


def work(rank: int, folder: Path) -> None:
    """Compute each metric of what all processes have, go on, and compute it again."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=SIZE)
    try:
        found: dict[str, Any] = {}
        for share in SHARES:
            for name, case in METRICS.items():
                metric = case.make(FACTS)
                for preds, target in batches(share, rank):
                    metric.update(preds, target)
                first = metric.compute()
                metric.update(*random_batch(FACTS.classes, 3, 100 + rank))
                found[share, name] = first, metric.compute()
        of_all = report()
        for preds, target in batches("uneven", rank):
            of_all.update(preds, target)
        found["report"] = of_all.compute()
        torch.save(found, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
