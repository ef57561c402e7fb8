"""Shards that a build which was cut off left are taken up by the same build, and by no other."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import simmatrix
from simmatrix import ClassList, shards
from simmatrix.files import Progress, silent
from simmatrix.neighbours.matrix import Neighbours
from simmatrix.neighbours.writing import Task, in_shards
from simmatrix.shards import Shard

NAME = "matrix.safetensors.index.json"
COUNT = 10_400
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def three_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS", 4000)


def build(ages: Callable[[int], float]) -> simmatrix.SimilarityMatrix:
    listed = ClassList([f"class {at}" for at in range(COUNT)], {"age": [str(ages(at)) for at in range(COUNT)]})
    return simmatrix.from_order(listed, positions="age", decay=0.5, top_k=4)


def written(path: Path, ages: Callable[[int], float], until: int = 9, progress: Progress = silent) -> int:
    """Build, fail after so many shards, and return how many there were to make."""
    asked: list[Task] = []

    def run(neighbours: Neighbours, tasks: list[Task]) -> Iterator[tuple[int, Shard]]:
        asked.extend(tasks)
        for task in tasks[:until]:
            yield task.number, task.done(neighbours)
        if until < len(tasks):
            raise KeyboardInterrupt

    with in_shards(path, run, progress):
        try:
            build(ages)
        except KeyboardInterrupt:
            assert not path.exists()
    return len(asked)


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def test_the_progress_begins_with_what_is_done_already(tmp_path: Path) -> None:
    """All shards hold 5 entries of 8 bytes a row: rows 0 to 3,999, 4,000 to 7,999 and the rest."""
    told: list[int] = []
    written(tmp_path / NAME, float, until=2, progress=lambda done, _: told.append(done))
    assert told == [0, 160_000, 320_000]
    written(tmp_path / NAME, float, progress=lambda done, _: told.append(done))
    assert told[3:] == [320_000, 416_000]


def test_shards_of_the_same_names_in_other_positions_are_not_taken_up(tmp_path: Path) -> None:
    """Nothing that is recorded tells the two builds apart: their ages were given in memory."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert written(here / NAME, lambda at: 1.5 * at, until=2) == 3
    assert written(here / NAME, lambda at: 1.5 * at, until=0) == 1
    assert written(here / NAME, float) == 3
    build(float).save(there / NAME)
    assert contents(here) == contents(there)


PROGRAM = """
from simmatrix import from_embeddings, from_order, from_wordnet, normalise, read_classes
from simmatrix.neighbours.matrix import ELSEWHERE
from simmatrix.neighbours.writing import _key

normalise.EXACT_UP_TO = 50
ELSEWHERE.set(lambda neighbours: print(type(neighbours.source).__name__, _key(neighbours, 3)))
listed = read_classes("cifar100")
from_order(listed, decay=0.5, top_k=4)
from_wordnet(listed, measure="lin", top_k=4)
from_embeddings("glove-6b-50d", listed, top_k=4)
from_embeddings("glove-6b-50d", listed, top_k=4, search="faiss")
"""


def test_the_same_build_has_the_same_key_in_any_process() -> None:
    """Or it would begin anew: nothing in the key depends on the order of a set."""
    told = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert [line.split()[0] for line in told[0].splitlines()] == ["Line", "Tree", "Cosines", "Approximate"]
