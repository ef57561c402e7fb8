"""The Triton kernels compile for real devices, without one: what launches them is run, and compiles instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from simloss.forms import Dense, Similarity, Sparse, Toeplitz
from simloss.rows.call import Call
from simloss.rows.cuda import row_losses, scale_gradient_
from simloss.rows.cuda.registers import rows_in_registers
from simloss.rows.cuda.scaled import scaled
from simloss.rows.cuda.sweeps import row_in_sweeps

ARCHITECTURES = [80, 90]
FORMS = ["dense", "sparse", "toeplitz"]
# One for each branch: several rows a program, one, swept twice; of a length that vectors divide, or not. A Toeplitz
# matrix is dense with odd strides.
CASES = [
    *(("dense", classes) for classes in (10, 100, 1000, 1001, 2048, 4096, 8192, 32000, 50257)),
    *(("sparse", classes) for classes in (10, 1000, 8192, 32000, 50257)),
    *(("toeplitz", classes) for classes in (1000, 32000)),
]
KERNELS = [rows_in_registers, row_in_sweeps, scaled]
REGISTERS = 65536  # of a multiprocessor
MIX = torch.empty(2, dtype=torch.float64)


class Elsewhere:
    """Stands for the driver of a GPU that this machine need not have."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, 32)


class Compiled(NamedTuple):
    """A kernel, as PTX, and what the assembler says of it."""

    ptx: str
    log: str

    def count(self, pattern: str) -> int:
        return len(re.findall(pattern, self.ptx))

    @property
    def registers(self) -> int:
        return int(re.findall(r"Used (\d+) registers", self.log)[-1])

    @property
    def spilled(self) -> int:
        return sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", self.log)))

    @property
    def texts(self) -> str:
        """All texts among the constants."""
        numbers = re.findall(r"\.b8 \w+\[\d+\] = \{([\d, ]+)\}", self.ptx)
        return "\n".join(bytes(map(int, line.split(","))).decode(errors="replace") for line in numbers)


Compile = Callable[..., Compiled]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Compile]:
    """Return a function that calls another one for an architecture, and returns what that would have launched."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DUMP_PTXAS_LOG", "1")
    found: list[Any] = []

    def instead(kernel: Any) -> Callable[..., None]:
        def run(*arguments: Any, grid: object, warmup: bool, **options: Any) -> None:
            found.append(type(kernel).run(kernel, *arguments, grid=grid, warmup=True, **options))

        return run

    for kernel in KERNELS:
        monkeypatch.setattr(kernel, "run", instead(kernel))

    def compile_(architecture: int, launch: Callable[..., object], *arguments: object) -> Compiled:
        monkeypatch.setattr(driver, "_active", Elsewhere(architecture))
        forget()
        launch(*arguments)
        return Compiled(found.pop().asm["ptx"], capsys.readouterr().out)

    yield compile_
    forget()


def forget() -> None:
    """Have the kernels compiled anew."""
    for kernel in KERNELS:
        kernel.device_caches.clear()


def similarity_of(form: str, classes: int, dtype: torch.dtype = torch.float32) -> Similarity:
    """Return a similarity without values: only dtypes, strides and alignment count here."""
    if form == "dense":
        return Dense(
            torch.empty(1, classes, dtype=dtype).expand(classes, classes).as_strided((1, classes), (classes, 1))
        )
    if form == "toeplitz":
        return Toeplitz(torch.empty(2 * classes - 1, dtype=dtype))
    counts, columns = torch.empty(classes + 1, dtype=torch.int64), torch.empty(classes, dtype=torch.int32)
    return Sparse(counts, columns, torch.empty(classes, dtype=dtype))


def arguments(
    form: str, classes: int, dtype: torch.dtype, with_gradient: bool = True, mix: Tensor | None = None
) -> tuple[Tensor, Tensor, Similarity, Call, Tensor | None]:
    logits = torch.empty(3, classes, dtype=dtype)
    labels = torch.zeros(3, dtype=torch.int64)
    gradient = torch.empty_like(logits) if with_gradient else None
    return logits, labels, similarity_of(form, classes), Call(-100, torch.ones(()), mix), gradient


def test_a_mixed_kernel_compiles(compiled: Compile) -> None:
    assert_fits(compiled(90, row_losses, *arguments("dense", 1000, torch.bfloat16, mix=MIX)), "dense", 1000)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("form", "classes"), CASES)
def test_mixed_kernels_hold_what_they_need_in_registers(
    compiled: Compile, form: str, classes: int, dtype: torch.dtype
) -> None:
    """A program of 1,024 threads has 64 registers for each of them, where at most 4 words find no place."""
    is_tight = classes == 8192 and dtype == torch.float32
    kernel = compiled(90, row_losses, *arguments(form, classes, dtype, mix=MIX))
    assert_fits(kernel, form, classes, words=4 if is_tight else 0)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("form", "classes"), CASES)
def test_kernels_hold_what_they_need_in_registers(
    compiled: Compile, form: str, classes: int, dtype: torch.dtype, architecture: int
) -> None:
    assert_fits(compiled(architecture, row_losses, *arguments(form, classes, dtype)), form, classes)


def assert_fits(kernel: Compiled, form: str, classes: int, words: int = 0) -> None:
    """Check that so many words are spilled at most, and that a multiprocessor has room for 16 warps at least."""
    assert kernel.spilled <= 2 * 4 * words  # each is written and read
    assert 0 < kernel.registers * 32 * 16 <= REGISTERS
    assert "target is out of bounds" in kernel.texts
    assert "overflow" not in kernel.texts
    if classes % 8:
        return
    # The rows begin at multiples of 16 bytes: 1,000 is a multiple of 8 and of no more, which bfloat16 needs.
    vectors, singles = kernel.count(r"ld\.global\S*\.v4\.b32"), kernel.count(r"ld\.global\S*\.b(?:16|32) ")
    assert vectors > 0
    assert kernel.count(r"st\.global\S*\.v4\.b32") > 0
    assert kernel.count(r"st\.global\S*\.b16 ") == 0
    if form == "dense":  # then all but what there is one of for a row
        assert singles <= vectors + 2


@pytest.mark.slow
@pytest.mark.parametrize(("form", "classes"), [*((form, 1) for form in FORMS), ("dense", 50257), ("sparse", 50257)])
def test_other_dtypes_and_what_becomes_a_constant_compile(compiled: Compile, form: str, classes: int) -> None:
    """An argument of None or 1 becomes a constant."""
    for case in (
        arguments(form, classes, torch.float16),
        arguments(form, classes, torch.float32, with_gradient=False),
        arguments(form, classes, torch.float64),
        arguments(form, classes, torch.float16, mix=MIX),
        arguments(form, classes, torch.float32, with_gradient=False, mix=MIX),
        arguments(form, classes, torch.float64, mix=MIX),
    ):
        assert compiled(90, row_losses, *case).ptx
    logits, labels, similarity, *_ = arguments(form, classes, torch.float32)
    for mix in (None, MIX):
        assert compiled(90, row_losses, logits[:1], labels[:1], similarity, Call(1, mix=mix), logits[:1]).ptx


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scaling_reads_vectors(compiled: Compile, dtype: torch.dtype, architecture: int) -> None:
    for classes in (1000, 32000):
        for factor in (torch.ones(()), torch.ones(3)):
            gradient = torch.empty(3, classes, dtype=dtype)
            kernel = compiled(architecture, scale_gradient_, gradient, factor)
            assert kernel.count(r"ld\.global\S*\.v4\.b32") > 0
            assert kernel.count(r"st\.global\S*\.v4\.b32") > 0
            assert kernel.spilled == 0
