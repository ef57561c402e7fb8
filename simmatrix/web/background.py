"""Work that takes seconds of a processor, in a process of its own that steps back for whoever waits for a page."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, resource_tracker
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_NICENESS = 10


class Background:
    """One process, started when there is first something to do, and again if it was ended."""

    def __init__(self) -> None:
        self._pool: Executor | None = None

    def submit(self, work: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> Future[_T]:
        """Have something done."""
        # Ctrl-C is for the server alone, which ends the process: by itself the process would show a traceback. It keeps
        # the signals blocked that are blocked in the thread that starts it. Python's tracker unblocks them when it
        # starts, and so is started before.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            try:
                return self._started().submit(work, *arguments, **options)
            except BrokenProcessPool:
                self._pool = None
                return self._started().submit(work, *arguments, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _started(self) -> Executor:
        if self._pool is None:
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=os.nice, initargs=(_NICENESS,))
        return self._pool

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._pool is None:
            return
        # Python 3.14 has terminate_workers.
        processes: dict[int, Any] = dict(getattr(self._pool, "_processes", None) or {})
        for process in processes.values():
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
