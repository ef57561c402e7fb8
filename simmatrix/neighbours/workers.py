"""Shards made by workers on Dask (the extra scale): processes on this machine, or a cluster that runs already.

The scheduler and its retries are Dask's own. What the rows are made from is written once, to a file that
the workers map into their memory; a task brings its number only. All have to see the folder that is written to.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simmatrix.errors import OutputError, ParameterError, SimilarityError, SourceError
from simmatrix.files import write_atomically
from simmatrix.neighbours.matrix import Neighbours
from simmatrix.neighbours.writing import Run, Task
from simmatrix.provenance import Provenance
from simmatrix.shards import Shard, vectors_beside
from simmatrix.version import __version__

if TYPE_CHECKING:
    from dask.distributed import Client, Future

_SECONDS = 10
# A worker may be lost more often than the three times that Dask allows, where memory is short or machines are shared.
_LOSSES = 20
_AGAIN = "run the same again: it goes on from the shards that are done"
# Arrays start at multiples of this, as those that NumPy makes for itself.
_ALIGNED = 64


@contextmanager
def working(workers: int | None = None, address: str | None = None) -> Iterator[Run]:
    """Give what makes shards by workers, for `simmatrix.neighbours.writing.write`.

    Parameters
    ----------
    workers
        How many processes to start on this machine, each with one thread.
    address
        Where a Dask scheduler answers, such as ``tcp://10.0.0.1:8786``, instead.

    Raises
    ------
    ParameterError
        If there is to be no worker, or both are given or neither.
    SourceError
        If Dask is not installed; if no scheduler answers, or it has no workers; if they have another release of this
        package.
    """
    if (workers is None) == (address is None):
        raise ParameterError("give workers, for processes on this machine, or the address of a Dask scheduler (dask)")
    if workers is not None and workers < 1:
        raise ParameterError(f"workers must be at least 1, got {workers}")
    try:
        import dask
        from dask.distributed import Client, LocalCluster
        from distributed.utils import silence_logging_cmgr
    except ImportError:
        raise SourceError('Dask is not installed; install it: pip install "simloss[scale]"') from None
    with ExitStack() as stack:
        # What goes wrong is told once, by an error of ours.
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": _LOSSES}))
        if workers is None:
            client = stack.enter_context(_connected(Client, str(address)))
        else:
            # No dashboard, and what answers for it in Dask is on this machine alone.
            quiet = {"dashboard_address": "localhost:0", "scheduler_kwargs": {"dashboard": False}}
            local = {**quiet, "memory_limit": 0, "silence_logs": 50}
            cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, **local))
            client = stack.enter_context(Client(cluster))
        _check_workers(client, address)
        yield lambda neighbours, tasks: _run(client, neighbours, tasks)


def _connected(client: type[Client], address: str) -> Client:
    # A client that can't be made is closed when it is collected, which fails again, late and loudly. This thread may
    # have an event loop already, as in a notebook.
    with ThreadPoolExecutor(1) as pool:
        is_there = pool.submit(asyncio.run, _is_scheduler(address)).result()
    if not is_there:
        raise SourceError(f"no Dask scheduler answers at {address}; start one (dask scheduler), or check it")
    return client(address, timeout=_SECONDS, set_as_default=False)


async def _is_scheduler(address: str) -> bool:
    from distributed.comm.core import connect
    from distributed.core import send_recv
    from distributed.security import Security

    with suppress(OSError, ValueError, TimeoutError):
        comm = await connect(address, timeout=_SECONDS, **Security().get_connection_args("client"))
        try:
            found = await asyncio.wait_for(send_recv(comm, op="identity"), _SECONDS)
        finally:
            comm.abort()
        return bool(found["type"] == "Scheduler")
    return False


def _check_workers(client: Client, address: str | None) -> None:
    try:
        found = client.run(_release)
    except (ImportError, AttributeError, OSError):
        # What is sent is the name of a function, which they do not have.
        raise SourceError(
            f"the workers at {address} lack simloss, or have another release than {__version__}; install it there"
        ) from None
    if not found:
        raise SourceError(f"the Dask scheduler at {address} has no workers; start some: dask worker {address}")
    for worker, there in found.items():
        if there != __version__:
            raise SourceError(
                f"the worker at {worker} has the release {there} of simloss, and this is {__version__}; install the "
                "same for all"
            )


def _release() -> str:
    return __version__


class _Shared(NamedTuple):
    """What the rows are made from: a pickle without its arrays, and where these stand in a file."""

    file: Path
    head: bytes
    spans: tuple[tuple[int, int], ...]
    run: bytes  # drawn anew: a worker keeps what it has opened, and the next build may have other arrays there


def _run(client: Client, neighbours: Neighbours, tasks: list[Task]) -> Iterator[tuple[int, Shard]]:
    if not tasks:
        return
    index = tasks[0].index
    # Workers need neither the names nor what is told of them.
    shared = _shared(replace(neighbours, classes=(), provenance=Provenance()), vectors_beside(index))
    with _told(client):
        futures = {client.submit(_made, shared, task, pure=False): task for task in tasks}
    for future in _as_done(client, futures):
        task = futures[future]
        with _told(client, task):
            shard = future.result()
            future.release()
        if not index.with_name(shard.file).is_file():
            raise OutputError(f"a worker wrote {shard.file} elsewhere; write to a folder that all share", index)
        yield task.number, shard


@contextmanager
def _told(client: Client, task: Task | None = None) -> Iterator[None]:
    """Turn what Dask and the workers raise inside the block into an error that says what to do."""
    from distributed.scheduler import KilledWorker

    which = "the shards" if task is None else f"shard {task.number} of {task.of}"
    try:
        yield
    except SimilarityError:
        raise
    except KilledWorker:
        raise SourceError(f"all workers that made {which} were lost; give them more memory, and {_AGAIN}") from None
    except Exception as error:
        if client.status != "running":
            raise SourceError(f"the Dask scheduler went away; start it, and {_AGAIN}") from None
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(f"a worker failed in {which} ({what}); mend that, and {_AGAIN}") from error


def _as_done(client: Client, futures: Iterable[Future]) -> Iterator[Future]:
    """Yield each future when it is done.

    Dask waits for workers for ever. Here the build ends if none is there at two looks in a row: one may be starting.
    """
    from dask.distributed import wait

    pending, looks = set(futures), 0
    while pending:
        with _told(client), client.as_current():
            try:
                done, pending = wait(pending, timeout=_SECONDS, return_when="FIRST_COMPLETED")
            except TimeoutError:
                done, looks = set(), 0 if client.nthreads() else looks + 1
        if looks == 2:
            raise SourceError(f"no workers are left; start some, and {_AGAIN}")
        yield from done


def _shared(neighbours: Neighbours, file: Path) -> _Shared:
    from distributed.protocol.pickle import dumps

    buffers: list[Any] = []
    head = dumps(neighbours, buffer_callback=buffers.append, protocol=5)
    parts: list[bytes | memoryview] = []
    spans, start = [], 0
    for buffer in buffers:
        raw = buffer.raw()
        spans.append((start, raw.nbytes))
        padding = -raw.nbytes % _ALIGNED
        parts += [raw, b"\0" * padding]
        start += raw.nbytes + padding
    parts.append(b"\0")
    write_atomically(file, parts)
    return _Shared(file, head, tuple(spans), os.urandom(16))


@lru_cache(maxsize=1)
def _opened(shared: _Shared) -> Neighbours:
    """Return what the rows are made from, its arrays mapped from the file."""
    from distributed.protocol.pickle import loads

    try:
        raw = np.memmap(shared.file, np.uint8, "r")
    except OSError as error:
        raise SourceError(
            f"a worker can't read it ({error.strerror}); write to a folder that all share", shared.file
        ) from None
    found: Neighbours = loads(shared.head, buffers=[raw[start : start + size] for start, size in shared.spans])
    return found


def _made(shared: _Shared, task: Task) -> Shard:
    return task.done(_opened(shared))
