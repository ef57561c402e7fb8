"""torch.compile and torch.export trace through simloss, and can't trace through the checks of its annotations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from jaxtyping import config


@pytest.fixture(autouse=True)
def _no_checks_once_something_compiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    compile_ = torch.compile

    def without_checks(*arguments: Any, **options: Any) -> Any:
        config.update("jaxtyping_disable", True)
        return compile_(*arguments, **options)

    monkeypatch.setattr(torch, "compile", without_checks)
    yield
    config.update("jaxtyping_disable", False)
