"""The loss against torch's cross entropy and the paper's formula: time, memory, and how near it is to the possible.

    python benchmarks/loss.py [--shape N C]... [--dtype float32 ...] [--k 32] [--features D] [--threads T] [--seconds S]
    python benchmarks/loss.py --quick

On CUDA where there is a device, else on the CPU. For each shape and dtype all ways to compute a mean loss of the same
logits run in one process: in rounds, each once a round, in an order of chance. The times are medians over the rounds.
Forward is without gradients, as when a model is evaluated; forward and backward begins without a `.grad`, as training
does after `zero_grad`. On CUDA the L2 cache is flushed before each call.

A method that had no memory to wait for but that of the logits and their gradient would read the one and write the
other. So many bytes over its time are the bytes per second that it achieves; `Tensor.copy_` of the logits reads and
writes as many. What a method allocates the C library may take from the system anew at each call, page by page (glibc
does above 32 MB): that is in the times, as it is in training, and how long it takes is said beside those of a copy.

The formula and the losses of a linear layer take the first form of the similarity: dense, or sparse where a dense one
would be too large.

Memory is the most that is allocated at once in forward and backward above what was allocated before: the gradient
is part of it, the logits are not (but are where a linear layer makes them). On CUDA it is what
`torch.cuda.max_memory_allocated` says. On the CPU it is the sum of the allocations that torch's profiler records: to
the byte, and the same in every run. What a library takes for itself past torch is not seen.

Before anything is timed, each loss and its gradients are compared with float64 (see loss_check.py); if rounding does
not explain what is found, the script ends with status 1.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from loss_cases import Case, cases_of
from loss_methods import forms
from loss_report import draw, tables, write_numbers
from measure import RESULTS, write_result

from simloss.rows import native


class Defaults(NamedTuple):
    """What is measured where nothing else is asked for."""

    shape: Sequence[Sequence[int]]
    dtype: Sequence[str]
    k: int
    features: int
    seconds: float


DEFAULTS = {
    "cpu": Defaults(((1024, 100), (1024, 1000), (4096, 1000), (512, 21841)), ("float32",), 32, 256, 10),
    "cuda": Defaults([(8192, c) for c in (100, 1000, 8192, 32000, 128256)], ("bfloat16", "float32"), 64, 4096, 5),
}
QUICK = Defaults([(64, 50)], ("float32",), 8, 16, 0.2)


def main() -> None:
    """Measure, and write the tables, the numbers and the plot."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = _options(device)
    if options.threads:
        torch.set_num_threads(options.threads)
    cases: list[tuple[Case, Case]] = []
    for count, classes in options.shape:
        similarities = forms(classes, options.k, device)
        for dtype in options.dtype:
            numbers = getattr(torch, dtype)
            cases.append(cases_of(count, classes, numbers, similarities, options.features, options.seconds, device))
            print(f"measured {cases[-1][0].title}", file=sys.stderr)
    body = f"{_place(device)}\n\n{tables(cases)}"
    if options.quick:
        print(body)
        return
    name = "loss-cuda" if device.type == "cuda" else "loss"
    write_result(name, shlex.join(["python", "benchmarks/loss.py", *sys.argv[1:]]), body)
    write_numbers(cases, RESULTS / f"{name}.csv")
    draw(cases, RESULTS / f"{name}.png")


def _options(device: torch.device) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=2, action="append", metavar=("N", "C"), help="may be repeated")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"))
    parser.add_argument("--k", type=int, help="entries in a row of the sparse similarity")
    parser.add_argument("--features", type=int, help="of the linear layer")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument(
        "--seconds", type=float, help="for the rounds of a shape and dtype; logits and linear layer each"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one tiny shape, nothing written; takes seconds, but for what has to be compiled first",
    )
    options = parser.parse_args()
    defaults = QUICK if options.quick else DEFAULTS[device.type]
    for name, value in defaults._asdict().items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _place(device: torch.device) -> str:
    """Return on what this runs."""
    if device.type == "cuda":
        return f"PyTorch {torch.__version__}, {torch.cuda.get_device_name(device)}."
    way = "compiled C" if native.is_compiled() else "torch operations"
    return f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; sim_loss in float32 is done by {way}."


if __name__ == "__main__":
    main()
