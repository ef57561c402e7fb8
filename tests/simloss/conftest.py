"""What the checks of simloss's annotations would change: tracing, and whose line a warning points to.

torch.compile and torch.export can't trace through the checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import beartype
import jaxtyping
import pytest
import torch
from jaxtyping import config

from simloss import errors

# The checks stand between a caller and the function; a warning looks past them, as past torch.
errors._NOT_THE_USERS += tuple(f"{Path(file).parent}/" for file in (jaxtyping.__file__, beartype.__file__))


@pytest.fixture(autouse=True)
def _no_checks_once_something_compiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    compile_ = torch.compile

    def without_checks(*arguments: Any, **options: Any) -> Any:
        config.update("jaxtyping_disable", True)
        return compile_(*arguments, **options)

    monkeypatch.setattr(torch, "compile", without_checks)
    yield
    config.update("jaxtyping_disable", False)
