"""Damage the files of one format many times in one process, and compare what is read with the oracle.

    python -m tests.fuzz.harness FORMAT [--count 2000] [--seed 0] [--keep FOLDER]

prints one line of JSON. A file counts as wrong if reading it ends in an exception that is no SimilarityError, takes
more than 10 seconds or 200 MB more than the file, or gives something else than the oracle reads.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simmatrix.errors import SimilarityError
from tests.fuzz.formats import FORMATS, Format, Judge
from tests.fuzz.mutations import mutated
from tests.fuzz.oracles import Refused

SECONDS = 10
MEGABYTES = 200


class _TooLong(BaseException):
    """The time for one file is over."""


def same(ours: Any, theirs: Any) -> bool:
    """Tell whether two results are equal, arrays to the last bit and NaN like NaN."""
    if isinstance(theirs, Judge):
        return theirs.accepts(ours)
    if isinstance(ours, np.ndarray) or isinstance(theirs, np.ndarray):
        a, b = np.asarray(ours), np.asarray(theirs)
        return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f"))
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, Sequence) and not isinstance(ours, str | bytes):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


def _resident(*, reset: bool = False) -> int:
    """Return the most memory that this process had since the last reset, in KiB.

    That of getrusage is no use: a process begins with its parent's, and it only grows.
    """
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0])


def judged(case: Format, path: Path, raw: bytes) -> str:
    """Read one file; return ``accepted``, ``refused``, or what is wrong."""
    path.write_bytes(raw)
    # The processor's time: a process that is made to wait does not hang.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    before = _resident(reset=True)
    try:
        ours = case.read(path)
    except SimilarityError as error:
        # One line that says what, where and what to do. Lists of names may follow it.
        if "\x1b" in str(error) or len(str(error)) > 20_000:
            return f"message: {str(error)[:300]!r}"
        return "refused"
    except _TooLong:
        return f"time: more than {SECONDS} s"
    except Exception:  # this is what is looked for
        return "exception: " + "".join(traceback.format_exc(limit=-3))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        grown = _resident() - before
    if grown * 1024 > MEGABYTES * 10**6 + len(raw):
        return f"memory: {grown >> 10} MB"
    try:
        readings = case.oracle(raw)
    except Refused as reason:
        return f"accepted, but the oracle refuses it ({reason}): {str(ours)[:300]}"
    if not any(same(ours, theirs) for theirs in readings):
        return f"read as {str(ours)[:600]} for {str(readings)[:600]}"
    return "accepted"


def run(name: str, count: int, seed: int, keep: Path | None = None) -> dict[str, Any]:
    """Damage the files of a format `count` times; return how many were refused, accepted, and read wrongly."""
    case = FORMATS[name]
    rng = random.Random(f"{name} {seed}")
    refused = accepted = 0
    wrong: list[dict[str, Any]] = []

    def stop(_number: int, _frame: object) -> None:
        raise _TooLong

    signal.signal(signal.SIGPROF, stop)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"damaged{case.suffix}"
        for beside, content in case.beside.items():
            (Path(folder) / beside).write_bytes(content)
        for raw in case.seeds:
            verdict = judged(case, path, raw)
            if verdict != "accepted":
                raise AssertionError(f"{name}: a sound file is {verdict}")
        for index in range(count):
            source, other = rng.choice(case.seeds), rng.choice(case.seeds)
            change = case.inside if case.inside is not None and rng.random() < 0.6 else mutated
            raw = change(source, other, rng)
            verdict = judged(case, path, raw)
            if verdict == "refused":
                refused += 1
            elif verdict == "accepted":
                accepted += 1
            else:
                wrong.append({"index": index, "verdict": verdict})
                if keep is not None:
                    keep.mkdir(exist_ok=True, parents=True)
                    (keep / f"{name}-{seed}-{index}{case.suffix}").write_bytes(raw)
            if index % 500 == 0:
                gc.collect()
    return {"format": name, "tried": count, "refused": refused, "accepted": accepted, "wrong": wrong}


def main() -> None:
    """Run one format and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that are read wrongly")
    options = parser.parse_args()
    # Whoever asks for more than this would make the machine swap before the time is over.
    limit = 8 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    json.dump(run(options.format, options.count, options.seed, options.keep), sys.stdout)
    print()


if __name__ == "__main__":
    main()
