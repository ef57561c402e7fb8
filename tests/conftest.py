"""Set-up for all tests: the shapes in simmatrix's annotations are enforced, and a fixture runs the command.

simloss is left out: `torch.compile` traces through it, and can't trace through the checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jaxtyping
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.cli.command import Command

# Before anything imports the package: what is imported already, the hook can't reach.
jaxtyping.install_import_hook("simmatrix", "beartype.beartype")


# The same examples each time, and no limit of time: a run says something of the code, not of its luck.
# Others are drawn with --hypothesis-profile=default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    from tests.cli.command import Command

    return Command(monkeypatch, capsys, tmp_path)
