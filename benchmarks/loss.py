"""The loss against torch's cross entropy and the paper's formula: time, memory, and how near it is to the possible.

    python benchmarks/loss.py [--shape N C]... [--dtype float32 ...] [--k 32] [--features D] [--threads T] [--seconds S]
    python benchmarks/loss.py --ratios [--shape N C]... [--seconds S]
    python benchmarks/loss.py --quick

On CUDA where there is a device, else on the CPU. For each shape and dtype all ways to compute a mean loss of the same
logits run in one process: in rounds, each once a round, in an order of chance. The times are medians over the rounds.
Forward is without gradients, as when a model is evaluated; forward and backward begins without a `.grad`, as training
does after `zero_grad`. On CUDA the L2 cache is flushed before each call.

A method that had no memory to wait for but that of the logits and their gradient would read the one and write the
other. So many bytes over its time are the bytes per second that it achieves; `Tensor.copy_` of the logits reads and
writes as many. What a method allocates the C library may take from the system anew at each call, page by page (glibc
does above 32 MB): that is in the times, as it is in training, and how long it takes is said beside those of a copy.

On the CPU it then measures a few ratios on one thread and on two, for a small table of their own: SimLoss to
nn.CrossEntropyLoss as modules, a share of cross entropy to none, and both losses compiled. They are of the least times
among the rounds, which other work on the machine disturbs least. `--ratios` measures these alone.

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
from pathlib import Path
from typing import NamedTuple

import torch
from loss_cases import Case, Ratios, case_of_two_classes, cases_of, ratios_of
from loss_methods import forms
from loss_report import draw, ratio_table, tables, write_numbers
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
    "cpu": Defaults(
        ((128, 10), (256, 100), (1024, 100), (1024, 1000), (4096, 1000), (512, 21841)), ("float32",), 32, 256, 10
    ),
    "cuda": Defaults([(8192, c) for c in (100, 1000, 8192, 32000, 128256)], ("bfloat16", "float32"), 64, 4096, 5),
}
QUICK = Defaults([(64, 50)], ("float32",), 4, 16, 0.2)

# The shape of the targets of two classes.
MIXED = (256, 1000)

# On so many threads of the CPU each of the ratios is measured.
THREADS = (1, 2)


def main() -> None:
    """Measure, and write the tables, the numbers and the plot."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = _options(device)
    if options.threads:
        torch.set_num_threads(options.threads)
    command = shlex.join(["python", "benchmarks/loss.py", *sys.argv[1:]])
    if not options.ratios:
        _write_tables(options, device, command)
    if device.type == "cpu":
        _write_ratios(options, command)


def _write_tables(options: argparse.Namespace, device: torch.device, command: str) -> None:
    cases: list[tuple[Case, Case]] = []
    count, classes = options.shape[0] if options.quick else MIXED
    mixed = case_of_two_classes(count, classes, forms(classes, options.k, device)[0], options.seconds, device)
    name = "loss-cuda" if device.type == "cuda" else "loss"
    for count, classes in options.shape:
        similarities = forms(classes, options.k, device)
        for dtype in options.dtype:
            numbers = getattr(torch, dtype)
            cases.append(cases_of(count, classes, numbers, similarities, options.features, options.seconds, device))
            print(f"measured {cases[-1][0].title}", file=sys.stderr)
            if not options.quick:  # after each, so that what was measured stays where a run is cut short
                write_result(name, command, f"{_place(device)}\n\n{tables(cases, mixed)}", options.out)
    if options.quick:
        print(f"{_place(device)}\n\n{tables(cases, mixed)}")
        return
    write_numbers([*(case for pair in cases for case in pair), mixed], options.out / f"{name}.csv")
    draw(cases, options.out / f"{name}.png")


def _write_ratios(options: argparse.Namespace, command: str) -> None:
    found: list[Ratios] = []
    for count, classes in options.shape:
        dense = forms(classes, options.k, torch.device("cpu"))[0]
        for threads in THREADS:
            torch.set_num_threads(threads)
            found.append(ratios_of(count, classes, dense, options.seconds))
            print(f"measured the ratios at N = {count:,}, C = {classes:,} on {threads}", file=sys.stderr)
    body = f"PyTorch {torch.__version__}; {_way()}\n\n{ratio_table(found)}"
    if options.quick:
        print(body)
    else:
        write_result("loss_ratios", command, body, options.out)


def _options(device: torch.device) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=2, action="append", metavar=("N", "C"), help="may be repeated")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"))
    parser.add_argument("--k", type=int, help="entries in a row of the sparse similarity")
    parser.add_argument("--features", type=int, help="of the linear layer")
    parser.add_argument("--threads", type=int, help="of the CPU, for all but the ratios")
    parser.add_argument(
        "--seconds", type=float, help="for the rounds of a shape and dtype; logits, linear layer and ratios each"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="for the results (%(default)s)")
    parser.add_argument("--ratios", action="store_true", help="measure the ratios only, on the CPU")
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
    return f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; {_way()}"


def _way() -> str:
    """Return what computes the loss on the CPU."""
    return f"SimLoss in float32 is done by {'compiled C' if native.is_compiled() else 'torch operations'}."


if __name__ == "__main__":
    main()
