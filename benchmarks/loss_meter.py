"""Seconds and bytes of calls, on the CPU or on CUDA."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["Job", "Time", "interleaved", "peak_bytes"]

_WARM_UPS = 3
_LEAST_ROUNDS = 5


class Job(NamedTuple):
    """What to measure, and what to do before it unmeasured."""

    run: Callable[[], object]
    prepare: Callable[[], None] = lambda: None


class Time(NamedTuple):
    """Seconds of a job: the median and the least of all rounds."""

    median: float
    least: float
    rounds: int


def interleaved(jobs: Sequence[Job], seconds: float, device: torch.device) -> list[Time]:
    """Time jobs in rounds, each once a round in an order of chance, until the seconds are over; 5 rounds at least."""
    watch = _cuda_watch(device) if device.type == "cuda" else _cpu_seconds
    for job in jobs:
        for _ in range(_WARM_UPS):
            watch(job)
    random = torch.Generator().manual_seed(0)
    times: list[list[float]] = [[] for _ in jobs]
    end = time.perf_counter() + seconds
    while len(times[0]) < _LEAST_ROUNDS or time.perf_counter() < end:
        for index in torch.randperm(len(jobs), generator=random).tolist():
            times[index].append(watch(jobs[index]))
    return [Time(statistics.median(one), min(one), len(one)) for one in times]


def _cpu_seconds(job: Job) -> float:
    job.prepare()
    started = time.perf_counter()
    result = job.run()
    seconds = time.perf_counter() - started
    del result  # only now: what a caller still holds is not freed in the time of the call
    return seconds


def _cuda_watch(device: torch.device) -> Callable[[Job], float]:
    """Return what times a job on a device whose L2 cache holds nothing of the job's."""
    # Twice the cache, so that nothing else stays in it.
    other = torch.empty(2 * torch.cuda.get_device_properties(device).L2_cache_size, dtype=torch.uint8, device=device)
    event: Callable[..., Any] = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)

    def seconds(job: Job) -> float:
        job.prepare()
        other.zero_()
        torch.cuda.synchronize(device)
        start.record()
        result = job.run()
        end.record()
        torch.cuda.synchronize(device)
        del result
        return float(start.elapsed_time(end)) / 1000

    return seconds


def peak_bytes(job: Job, device: torch.device) -> int:
    """Return the most memory that a job held at once, above what was held before."""
    job.prepare()
    return _cuda_peak(job, device) if device.type == "cuda" else _cpu_peak(job)


def _cuda_peak(job: Job, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    job.run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_peak(job: Job) -> int:
    """Return the highest that torch's allocator stood, of which the profiler records every step."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler announces itself each time
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        result = job.run()
    del result
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    steps = [
        event["args"] for event in sorted(events, key=lambda event: event.get("ts", 0)) if event["name"] == "[memory]"
    ]
    if not steps:
        return 0
    before = steps[0]["Total Allocated"] - steps[0]["Bytes"]
    return int(max(0, *(step["Total Allocated"] - before for step in steps)))
