"""A top-k matrix that takes some seconds, and a program that writes it by workers, to be killed."""

import signal
import sys
from pathlib import Path

import numpy as np

from simmatrix import shards
from simmatrix.neighbours.matrix import Neighbours, neighbours_of
from simmatrix.neighbours.vectors import Cosines
from simmatrix.neighbours.workers import working
from simmatrix.neighbours.writing import write
from simmatrix.provenance import Provenance

CLASSES, ROWS = 4000, 250


def neighbours(seed: int = 0, count: int = 8, search: str = "exact", classes: int = CLASSES) -> Neighbours:
    """Return what makes the 8 nearest of 4,000 random vectors."""
    vectors = np.random.default_rng(seed).normal(size=(classes, 48))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = tuple(f"class {index}" for index in range(classes))
    return neighbours_of(
        Cosines(unit), count, names, Provenance("test", {"seed": seed}), lower_bound=0.1, search=search
    )


def main() -> None:
    """Write the matrix of a seed by two workers, and say what is done; with a third argument, stop after a shard."""
    shards.ROWS = ROWS

    def say(what: str) -> None:
        sys.stdout.write(f"{what}\n")
        sys.stdout.flush()

    told: list[int] = []

    def done(written: int, _all: int) -> None:
        told.append(written)
        # At first it is told what was there before.
        if len(told) == 1:
            return
        say("another shard")
        if sys.argv[3:]:
            signal.pause()

    with working(2) as run:
        say("begun")
        write(neighbours(int(sys.argv[2])), Path(sys.argv[1]), run, done)


if __name__ == "__main__":
    main()
