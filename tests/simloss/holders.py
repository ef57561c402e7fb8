"""Models that hold a criterion, of every kind that there is, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from simloss import LinearSimLoss, SimilarityLabelSmoothingLoss, SimLoss, SoftLabelLoss
from tests.simloss.cases import in_form, random_similarity, random_weight

C = 6


class Model(nn.Module):
    """A classifier that holds its criterion."""

    def __init__(self, make: Callable[..., nn.Module], *arguments: Any, **options: Any) -> None:
        super().__init__()
        self.head = nn.Linear(C, C)
        self.criterion = make(*arguments, **options)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.criterion(self.head(features), labels)


def bounded(similarity: object, **options: Any) -> SimLoss:
    module = SimLoss(similarity, **options)
    module.lower_bound = 0.25
    return module


def makers() -> dict[str, Callable[[], Model]]:
    options = {"weight": random_weight(C), "ignore_index": 2}
    shares = {"share": 0.4, "similarity_smoothing": 0.05}
    values, half = random_similarity(C), random_similarity(C, dtype=torch.float16)
    found = {
        "soft labels": lambda: Model(SoftLabelLoss, values, 4.0, **options),
        "label smoothing": lambda: Model(SimilarityLabelSmoothingLoss, values, **options),
        "half": lambda: Model(SimLoss, half),
    }
    for form in ("dense", "sparse", "toeplitz"):
        similarity, _ = in_form(form, C)
        found[form] = lambda s=similarity: Model(SimLoss, s, **options)
        found[f"{form}, a share"] = lambda s=similarity: Model(SimLoss, s, **options, **shares)
        found[f"{form}, bounded"] = lambda s=similarity: Model(bounded, s, **options, **shares)
        found[f"{form}, a layer"] = lambda s=similarity: Model(LinearSimLoss, C, s, **options, **shares)
    return found


MAKERS = makers()
