"""The Triton kernels keep the contract: `triton_contract.py` is run in processes of its own.

Triton decides when it is imported, once, whether it compiles or interprets.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from simloss.rows.cuda.launch import launch_for

CONTRACT = Path(__file__).with_name("triton_contract.py")


INTERPRETER = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def assert_contract_is_kept(environment: dict[str, str], tests: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", tests, str(CONTRACT)]
    run = subprocess.run(
        command, cwd=CONTRACT.parents[2], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_the_heart_of_the_contract_is_kept_in_the_interpreter() -> None:
    assert_contract_is_kept(INTERPRETER, "not slow")


@pytest.mark.slow
def test_the_rest_of_the_contract_is_kept_in_the_interpreter() -> None:
    assert_contract_is_kept(INTERPRETER, "slow")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_contract_is_kept_on_the_device() -> None:
    assert_contract_is_kept({"TRITON_INTERPRET": "0"}, "slow or not slow")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "classes", [1, 2, 3, 16, 17, 100, 1000, 1001, 1024, 1025, 4097, 8192, 8193, 50257, 128256, 2**20]
)
def test_a_launch_fits_the_registers(classes: int, dtype: torch.dtype) -> None:
    """A tile is a power of two. Each thread has 4 or 8 words of it: two threads never hold the same element."""
    rows, tile, warps = launch_for(classes, dtype)
    assert math.log2(rows).is_integer()
    assert math.log2(tile).is_integer()
    assert rows * tile * dtype.itemsize // 4 // (32 * warps) in (4, 8)
    if classes <= 4096:
        assert tile // 2 < max(classes, 16) <= tile
    if tile < classes:
        assert rows == 1
    if classes <= 1024 // (dtype.itemsize // 4):
        assert rows > 1
