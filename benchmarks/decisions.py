"""What decisions and their judgement take for very many classes and examples.

Claims: `simloss.back_off` decides on 10,000 examples of ImageNet-21k's 21,843 classes within 5 s and 2 GB on 2 cores,
and `simmatrix judge` compares all decisions for 100,000 examples of ImageNet-1k's classes; 10 s on 2 idle cores are its
aim. The processor time is that of all threads, which matters where other work runs too; there several threads also
spend it on waiting for each other. The memory includes the logits.

    python benchmarks/decisions.py [--threads 1]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import table, write_result

import simloss
import simmatrix

HEADER = ["what", "time", "processor time", "peak memory"]


def back_off() -> list[str]:
    """Time back-off in WordNet's graph, where a class may be below a node on several ways."""
    taxonomy = simmatrix.read_taxonomy("wordnet", "imagenet21k")
    logits = torch.empty(10_000, len(taxonomy.classes)).normal_(generator=torch.Generator().manual_seed(0))
    simloss.back_off(logits[:10], taxonomy)
    started, used = time.perf_counter(), time.process_time()
    simloss.back_off(logits, taxonomy)
    seconds = time.perf_counter() - started, time.process_time() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    what = f"`back_off`, 10,000 x {len(taxonomy.classes):,}"
    return [what, f"{seconds[0]:.1f} s", f"{seconds[1]:.1f} s", f"{memory:.2f} GB"]


def judge(folder: Path) -> list[str]:
    """Time the command on a file of logits, as a process of its own."""
    matrix = simmatrix.from_wordnet("imagenet1k")
    matrix.save(folder / "m.safetensors")
    random, count = np.random.default_rng(0), 100_000
    logits = random.standard_normal((count, len(matrix)), dtype=np.float32)
    labels = random.integers(0, len(matrix), count)
    logits[np.arange(count), labels] += 4
    np.savez(folder / "p.npz", logits=logits, labels=labels, classes=matrix.classes)
    del logits
    program = "from simmatrix.cli import main; main()"
    options = ["--taxonomy", "wordnet", "--json"]
    command = [sys.executable, "-c", program, "judge", "m.safetensors", "p.npz", *options]
    seconds, usage = _run(command, folder)
    return [
        f"`simmatrix judge`, {count:,} x {len(matrix):,}",
        f"{seconds:.1f} s",
        f"{usage.ru_utime + usage.ru_stime:.1f} s",
        f"{usage.ru_maxrss * 1024 / 1e9:.2f} GB",
    ]


def _run(command: list[str], folder: Path) -> tuple[float, resource.struct_rusage]:
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit("simmatrix judge failed")
    return time.perf_counter() - started, usage


def main() -> None:
    """Measure both, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    threads = parser.parse_args().threads
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = [back_off(), judge(Path(folder))]
    write_result("decisions", f"python benchmarks/decisions.py --threads {threads}", table(HEADER, rows))


if __name__ == "__main__":
    main()
