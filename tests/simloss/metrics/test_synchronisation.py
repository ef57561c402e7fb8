"""The metrics in two real processes, which gloo connects: what each finds is what one finds of all examples."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import multiprocessing

from tests.batch import batched
from tests.simloss.metrics import sync_worker
from tests.simloss.metrics.metric_cases import METRICS, assert_is, random_batch
from tests.simloss.metrics.sync_worker import FACTS, SHARES, SIZE, batches, report

# Two processes that import torchmetrics take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(sync_worker.work, (folder,), nprocs=SIZE)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(SIZE)]


@batched("share", SHARES)
@batched("name", METRICS)
def test_all_processes_find_what_the_oracle_finds_of_all_examples(
    name: str, share: str, found: list[dict[Any, Any]]
) -> None:
    """Also after they have found it once and gone on."""
    first = [batch for rank in range(SIZE) for batch in batches(share, rank)]
    further = first + [random_batch(FACTS.classes, 3, 100 + rank) for rank in range(SIZE)]
    for moment, examples in enumerate((first, further)):
        scores = np.concatenate([preds.double().numpy() for preds, _ in examples])
        target = np.concatenate([labels.numpy() for _, labels in examples])
        expected = METRICS[name].expected(scores, target, FACTS)
        for results in found:
            assert_is(results[share, name][moment], expected, FACTS.classes * len(target))


def test_the_report_is_that_of_all_examples(found: list[dict[Any, Any]]) -> None:
    whole = report()
    for rank in range(SIZE):
        for preds, target in batches("uneven", rank):
            whole.update(preds, target)
    for results in found:
        assert list(results["report"]) == list(whole.compute())
        # Calibration sums up ten examples in float32, in 15 bins; the others differ by float64's rounding, or not.
        torch.testing.assert_close(results["report"], whole.compute(), rtol=(10 + 15 + 4) * 2.0**-24, atol=2.0**-24)
