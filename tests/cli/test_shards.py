"""`simmatrix build` that writes shards, here and by workers: the bytes of one process, or the matrix that was there."""

import subprocess
import time
from pathlib import Path

import pytest

import simmatrix
from simmatrix import shards
from simmatrix.neighbours import writing
from simmatrix.neighbours.matrix import Neighbours
from tests.cli.command import COMMAND, Command, Result

NAME = "matrix.safetensors.index.json"
COUNT = 10_400
ORDER = ("--from-order", "--decay", "0.5")
pytestmark = pytest.mark.filterwarnings("default")  # what Dask and its event loops say of themselves


@pytest.fixture
def arguments(command: Command) -> tuple[object, ...]:
    """Return what builds the 4 nearest of enough classes to be found row by row."""
    Path("many.txt").write_text("".join(f"name-{'abcdefgh'[at % 8]}x{at}\n" for at in range(COUNT)))
    return ("build", "--classes", "many.txt", *ORDER, "--top-k", 4, "-o", NAME)


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.glob("*.safetensors*")}


def outside(*arguments: object) -> Result:
    """Run the command in a process of its own, where nobody has a client of Dask."""
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def test_dask_and_workers_write_what_one_process_writes(command: Command, arguments: tuple[object, ...]) -> None:
    from dask.distributed import LocalCluster

    command(*arguments)
    expected = contents(command.folder)
    assert len(expected) == 3
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="localhost:0"
    ) as cluster:
        for option in (("--dask", cluster.scheduler_address), ("--workers", 1)):
            for name in expected:
                Path(name).unlink()
            result = outside(*arguments, *option)
            assert result.code == 0, result.err
            assert "Traceback" not in result.err
            assert contents(command.folder) == expected


def test_ctrl_c_says_how_to_go_on_where_there_is_something_to_go_on_from(
    command: Command, arguments: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROWS", 4000)
    done, left = writing.Task.done, [0]

    def some(task: writing.Task, found: Neighbours) -> shards.Shard:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return done(task, found)

    monkeypatch.setattr(writing.Task, "done", some)
    result = command(*arguments)
    assert (result.code, result.err, contents(command.folder)) == (130, "", {})
    left[0] = 1
    again = "warning: interrupted; the same command goes on from the shards that are done\n"
    result = command(*arguments)
    assert (result.code, result.err, len(contents(command.folder))) == (130, again, 1)
    left[0] = 2
    result = command(*arguments)
    # 4,000 of 10,400 rows, each of as many entries but for the first and the last two.
    there = "warning: a build that was cut off left some 38% of the rows; going on from there\n"
    assert (result.code, result.err.splitlines(True)[:1]) == (0, [there])


def test_who_is_no_scheduler_is_told_at_once_and_in_one_line(command: Command, arguments: tuple[object, ...]) -> None:
    from dask.distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="localhost:0"
    ) as cluster:
        worker = cluster.workers[0].address
        for address in ("nonsense", worker):
            began = time.monotonic()
            result = outside(*arguments, "--dask", address)
            assert (result.code, result.out) == (1, "")
            wanted = f"error: no Dask scheduler answers at {address}; start one (dask scheduler), or check it\n"
            assert result.err == wanted
            assert time.monotonic() - began < 15
    assert contents(command.folder) == {}


def test_workers_that_have_nothing_to_do_are_refused_before_any_work(
    command: Command, arguments: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simmatrix.neighbours.workers.working", None)
    monkeypatch.setattr("simmatrix.cli.sources.Source.build", None)
    Path("few.txt").write_text("".join(f"name-x{at}\n" for at in range(2500)))
    Path("pairs.csv").write_text("name-ax0,name-bx1,0.5\n")
    few = ("build", "--classes", "few.txt", *ORDER, "--top-k", 4, "-o", NAME)
    square = ("build", "--classes", "many.txt", "--from-confusion", "counts.csv", "--top-k", 4, "-o", NAME)
    alone = ("build", "--classes", "few.txt", *ORDER, "-o", "there/one.safetensors")
    for given, message in (
        (alone, "divides the search for each class's nearest; say how many others each class keeps (--top-k)"),
        ((*alone, "--top-k", 4), "writes shards; name the output there/one.safetensors.index.json"),
        (few, "here 5 of 2500"),
        ((*arguments, "--top-k", 1300), f"here 1301 of {COUNT}"),
        (square, "from vectors, an encoder, WordNet, a taxonomy or an order"),
        ((*arguments, "--influence", 2), "leave out --workers or --dask"),
        ((*arguments, "--pairs", "pairs.csv"), "leave out --workers or --dask"),
    ):
        for option in (("--workers", 2), ("--dask", "tcp://127.0.0.1:9")):
            result = command(*given, *option)
            assert result.code == 2
            assert message in " ".join(result.err.split()), result.err
    assert not list(Path().glob("*.safetensors*"))


def test_a_build_that_fails_at_its_end_leaves_the_old_matrix(command: Command, arguments: tuple[object, ...]) -> None:
    assert command(*arguments[:-4], "--top-k", 2, "-o", NAME).code == 0
    old = contents(command.folder)
    Path("pairs.csv").write_text("name-ax0,unknown,0.5\n")
    for more in (("--influence", 5000), ("--pairs", "pairs.csv"), ("--pairs", "missing.csv")):
        result = command(*arguments, *more)
        assert result.code == 1
        assert result.err.startswith("error: ")
        assert contents(command.folder) == old
    # What succeeds is there once, with all of its steps.
    Path("pairs.csv").write_text("name-ax0,name-ax8,0.25\n")
    assert command(*arguments, "--influence", 1.2, "--pairs", "pairs.csv").code == 0
    found = simmatrix.load(NAME)
    assert found["name-ax0", "name-ax8"] == 0.25
    assert found.influence == pytest.approx(1.2, abs=1e-3)
    assert not old.keys() & (contents(command.folder).keys() - {NAME, *(one for one in old if "classes" in one)})
