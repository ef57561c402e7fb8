"""Which launch of the kernels is the fastest on this GPU, for each number of classes: a table for launch.py.

    python benchmarks/gpu/launches.py found.jsonl [--seconds 60] [--dry]

It times forward and backward in one pass (bfloat16 logits; dense S, or 64 entries a row where a dense one would be too
large) with the launch in use, then with other numbers of rows a program, classes at a time and warps. Each number of
classes is a line in the file of results, written when it is done. `--dry` lists the launches and times nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from sweep import BF16, MOST_DENSE, labels_of, logits, similarity
from torch import Tensor

from simloss.forms import as_similarity
from simloss.rows.call import Call
from simloss.rows.cuda import launch as launching
from simloss.rows.cuda.launch import Launch, launch_for

CLASSES = (1000, 8192, 32000, 100, 10, 128256)
ROWS = 8192
ROUNDS = 12


def candidates(classes: int) -> Iterator[Launch]:
    """Yield the launch in use, and others in which a thread has 4 to 32 elements."""
    yield launch_for(classes, torch.float32)
    tile = max(16, 1 << (classes - 1).bit_length())
    warps = (1, 2, 4, 8, 16, 32)
    if tile <= 16384:
        for elements in (512, 1024, 2048, 4096, 8192, 16384):
            if elements >= tile:
                yield from (Launch(elements // tile, tile, w) for w in warps if 4 <= elements // (32 * w) <= 32)
    for part in (1024, 2048, 4096, 8192):
        if part < classes:
            yield from (Launch(1, part, w) for w in warps if 4 <= part // (32 * w) <= 32)


def seconds_of(launch: Launch, z: Tensor, labels: Tensor, table: Any) -> float:
    """Return the median seconds of a call, with the L2 cache flushed before each; NaN if it can't be compiled."""
    gradient = torch.empty_like(z)
    other = torch.empty(2**27, dtype=torch.uint8, device=z.device)
    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    in_use, found = launching.launch_for, list[float]()
    launching.launch_for = lambda *_: launch  # what row_losses looks up
    try:
        for _ in range(ROUNDS):
            other.zero_()
            start.record()
            launching.row_losses(z, labels, table, Call(-100), gradient)
            end.record()
            torch.cuda.synchronize()
            found.append(start.elapsed_time(end) / 1000)
    except Exception as error:  # a launch that does not fit the device
        print(f"{launch}: {type(error).__name__} {str(error)[:100]}", file=sys.stderr)
        return math.nan
    finally:
        launching.launch_for = in_use
    return statistics.median(found[2:])


def search(classes: int, end: float) -> dict[str, Any]:
    """Return the seconds of each launch for so many classes, until the time is over."""
    count = ROWS if classes <= MOST_DENSE else ROWS // 2
    table = as_similarity(similarity("dense" if classes <= MOST_DENSE else "sparse", classes, "cuda")[0])
    z, labels = logits(count, classes, BF16, "cuda"), labels_of(count, classes, "cuda")
    times: dict[Launch, float] = {}
    for launch in dict.fromkeys(candidates(classes)):
        if times and time.monotonic() > end:
            break
        times[launch] = seconds_of(launch, z, labels, table)
    best = min(times, key=lambda one: times[one] if times[one] == times[one] else math.inf)
    in_use, moved = next(iter(times)), 2 * z.numel() * z.element_size()
    print(
        f"C = {classes}: {tuple(in_use)} takes {times[in_use] * 1e3:.3f} ms; of {len(times)} tried {tuple(best)} is "
        f"best with {times[best] * 1e3:.3f} ms, {moved / times[best] / 1e9:.0f} GB/s",
        flush=True,
    )
    return {"classes": classes, "best": best, "seconds": {str(tuple(one)): taken for one, taken in times.items()}}


def main() -> None:
    """Search for each number of classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path, help="JSON lines, to which it adds")
    parser.add_argument("--seconds", type=float, default=60, help="for all together (%(default)s)")
    parser.add_argument("--dry", action="store_true", help="list the launches and time nothing")
    options = parser.parse_args()
    if options.dry:
        for classes in CLASSES:
            print(f"C = {classes}: {len(set(candidates(classes)))} launches")
        return
    end = time.monotonic() + options.seconds
    architecture = "{}.{}".format(*torch.cuda.get_device_capability())
    with options.found.open("a", encoding="utf-8", buffering=1) as file:
        for index, classes in enumerate(CLASSES):
            left = end - time.monotonic()
            if left < 5:
                print(f"no time left for {CLASSES[index:]}")
                break
            found = search(classes, time.monotonic() + left / (len(CLASSES) - index))
            file.write(
                json.dumps({"device": torch.cuda.get_device_name(), "architecture": architecture, **found}) + "\n"
            )
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
