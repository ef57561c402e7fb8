"""The rows of a top-k matrix go to shards as they are made: no process holds the whole matrix in the meantime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import PickleBuffer, dumps
from typing import TypeAlias

from simmatrix import shards
from simmatrix.container import canonical_json
from simmatrix.files import Progress, silent
from simmatrix.matrix import SimilarityMatrix, load
from simmatrix.neighbours.matrix import ELSEWHERE, Neighbours
from simmatrix.shards import Shard, make_shard, shard_ranges, unfinished
from simmatrix.version import __version__


@dataclass(frozen=True)
class Task:
    """One shard to make: where, which of how many, and its rows."""

    index: Path
    number: int
    of: int
    first: int
    last: int

    def done(self, neighbours: Neighbours) -> Shard:
        """Make the rows and write them."""
        found = neighbours.rows(self.first, self.last)
        rows = shards.Rows(found.starts, found.indices, found.values)
        return make_shard(self.index, self.number, self.of, self.first, rows, len(neighbours.source))


Run: TypeAlias = Callable[[Neighbours, list[Task]], Iterable[tuple[int, Shard]]]
"""Does tasks in any order, and gives the number and the shard of each as it is done."""


def one_by_one(neighbours: Neighbours, tasks: list[Task]) -> Iterator[tuple[int, Shard]]:
    """Do the tasks here."""
    return ((task.number, task.done(neighbours)) for task in tasks)


def write(neighbours: Neighbours, path: Path, run: Run = one_by_one, progress: Progress = silent) -> None:
    """Write the top-k matrix to shards, whose bytes do not depend on who makes them.

    Shards of the same build that a run left behind are taken up; see `simmatrix.shards.unfinished`.

    Parameters
    ----------
    neighbours
        What makes the rows.
    path
        The index to write, ``name.safetensors.index.json``.
    run
        Who makes the shards.
    progress
        Called with the bytes of the rows that are done and about how many there will be.

    Raises
    ------
    OutputError
        If a file can't be written, or somebody else writes the same matrix.
    """
    ranges = shard_ranges(len(neighbours))
    with unfinished(path, _key(neighbours, len(ranges))) as build:
        tasks = [Task(build.path, at, len(ranges), one.start, one.stop) for at, one in enumerate(ranges, 1)]
        about = 8 * len(neighbours) * (neighbours.count + 1)

        def tell() -> None:
            progress(8 * sum(one.entries for one in build.done.values()), about)

        tell()
        for number, shard in run(neighbours, [task for task in tasks if task.number not in build.done]):
            build.add(number, shard)
            tell()
        build.commit(neighbours.classes, neighbours.provenance)


def _key(neighbours: Neighbours, count: int) -> str:
    """Return what two builds have in common whose shards are the same: inputs, parameters, steps, names, release.

    Inputs of which no file tells, such as arrays and columns, count by the source that was made of them.
    """
    told = replace(neighbours.provenance, resolution={}).to_metadata()
    digest = hashlib.sha256(canonical_json([told, count, __version__]).encode())
    for name in neighbours.classes:
        digest.update(name.encode() + b"\n")
    arrays: list[PickleBuffer] = []
    digest.update(dumps(neighbours.source, protocol=5, buffer_callback=arrays.append))
    for array in arrays:
        digest.update(array.raw())
    return digest.hexdigest()


@contextmanager
def in_shards(path: Path, run: Run = one_by_one, progress: Progress = silent) -> Iterator[list[SimilarityMatrix]]:
    """Write each top-k matrix that is found inside the block to shards, and read it back; see `write`.

    The list that is given has the matrices that were written.
    """
    written: list[SimilarityMatrix] = []

    def found(neighbours: Neighbours) -> SimilarityMatrix:
        write(neighbours, path, run, progress)
        written.append(load(path))
        return written[-1]

    token = ELSEWHERE.set(found)
    try:
        yield written
    finally:
        ELSEWHERE.reset(token)
