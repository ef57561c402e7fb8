"""Shards made by workers on Dask: the bytes of one process, whatever is lost on the way."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from simmatrix import OutputError, ParameterError, SourceError, load, shards
from simmatrix.neighbours import workers, writing
from simmatrix.neighbours.approximate import Approximate
from simmatrix.neighbours.workers import working
from simmatrix.neighbours.writing import Run, in_shards, write
from simmatrix.shards import vectors_beside
from tests.simmatrix.neighbours import worked
from tests.simmatrix.neighbours.worked import ROWS, neighbours

ROOT = Path(__file__).resolve().parents[3]
AGAIN = "run the same again: it goes on from the shards that are done"
NAME = "matrix.safetensors.index.json"
pytestmark = pytest.mark.filterwarnings("default")  # what Dask and its event loops say of themselves


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS", ROWS)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with working(2) as found:
        yield found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files that one process writes."""
    folder = tmp_path_factory.mktemp("expected")
    before, shards.ROWS = shards.ROWS, ROWS
    write(neighbours(), folder / NAME)
    shards.ROWS = before
    found = contents(folder)
    assert len(found) == worked.CLASSES // ROWS + 2
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def processes() -> list[psutil.Process]:
    """Return the workers' processes."""
    children = psutil.Process().children(recursive=True)
    found = []
    for one in children:
        with suppress(psutil.NoSuchProcess):
            found += [one] if any("spawn_main" in text for text in one.cmdline()) else []
    return found


def test_one_process_writes_the_matrix_that_it_would_hold(expected: dict[str, bytes], tmp_path: Path) -> None:
    whole = neighbours().matrix()
    with in_shards(tmp_path / NAME) as written:
        found = neighbours().matrix()
    assert written == [found]
    assert (found.values != whole.values).nnz == 0
    assert (found.classes, found.provenance) == (whole.classes, whole.provenance)
    assert contents(tmp_path) == expected
    whole.save(tmp_path / NAME)
    assert contents(tmp_path) == expected


def test_a_build_ends_where_no_worker_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dask.distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="localhost:0") as cluster,
        working(address=cluster.scheduler_address) as run,
    ):
        monkeypatch.setattr(workers, "_SECONDS", 0.2)
        cluster.scale(0)
        with pytest.raises(SourceError, match="no workers are left; start some, and run the same again"):
            write(neighbours(), tmp_path / NAME, run)


def test_workers_write_the_same_bytes(run: Run, expected: dict[str, bytes], tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    write(neighbours(), tmp_path / NAME, run, lambda *one: done.append(one))
    assert contents(tmp_path) == expected
    assert done == sorted(done)
    assert done[0][0] == 0
    assert len(done) == 1 + worked.CLASSES // ROWS
    # What a worker keeps opened is not taken for what another build has in the same place.
    write(neighbours(seed=1), tmp_path / NAME, run)
    (tmp_path / "alone").mkdir()
    write(neighbours(seed=1), tmp_path / "alone" / NAME)
    alone = contents(tmp_path / "alone")
    shutil.rmtree(tmp_path / "alone")
    assert contents(tmp_path) == alone
    assert alone.keys() & expected.keys() == {NAME, *(name for name in expected if "classes" in name)}


def test_workers_write_what_faiss_finds(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The centres are trained once, and sent to the workers with all that is made of them."""
    monkeypatch.setattr(shards, "ROWS", 4000)
    many = 10_500  # FAISS is for more than 10,000
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    found = neighbours(search="faiss", classes=many)
    assert isinstance(found.source, Approximate)
    write(found, tmp_path / "here" / NAME)
    write(found, tmp_path / "there" / NAME, run)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    exact, approximate = neighbours(classes=many).matrix().values, load(tmp_path / "there" / NAME).values
    assert 0 < (exact != approximate).nnz < 0.1 * exact.nnz


def failing(shared: object, task: writing.Task) -> None:
    raise MemoryError("no\nroom")


def test_what_dask_and_workers_raise_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dask.distributed import LocalCluster

    path = tmp_path / NAME
    local = {"processes": False, "protocol": "tcp", "dashboard_address": "localhost:0", "silence_logs": 50}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, **local) as cluster,
        working(address=cluster.scheduler_address) as run,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(workers, "_made", failing)
            refused(
                lambda: write(neighbours(), path, run),
                SourceError,
                "failed in shard ",
                "MemoryError: no room",
                AGAIN,
            )
        monkeypatch.setattr(workers, "_SECONDS", 1)
        # The scheduler goes away when the first shard is there.
        refused(
            lambda: write(neighbours(), path, run, lambda done, _all: cluster.close() if done else None),
            SourceError,
            "the Dask scheduler went away; start it",
            AGAIN,
        )
    assert 1 <= len([one for one in contents(tmp_path) if "-of-" in one]) < worked.CLASSES // ROWS
    assert not vectors_beside(path).exists()


def killed_meanwhile(run: Run, folder: Path, rng: random.Random, others: Sequence[object] = ()) -> psutil.Process:
    """Write the matrix, and return the worker (none of the others) that was killed when some shards were written."""
    shards_of_all, killed = worked.CLASSES // ROWS, []
    # It is told first that nothing is there; then, what is written runs ahead of what is told.
    at = 1 + rng.randrange(1, shards_of_all // 2)

    def done(*_bytes: int) -> None:
        nonlocal at
        at -= 1
        if at == 0:
            time.sleep(rng.uniform(0, 0.05))
            # Dask does not start a worker again that is killed while it starts: both have started.
            first, second = (one for one in processes() if one not in others)
            killed.append(rng.choice((first, second)))
            killed[0].kill()
            written = len([*folder.glob("matrix-*-of-*.safetensors")])
            assert 1 <= written < shards_of_all, written

    write(neighbours(), folder / NAME, run, done)
    (one,) = killed
    return one


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced(expected: dict[str, bytes], tmp_path: Path) -> None:
    """Twenty kills fall in the midst of a build, each among workers that were just started."""
    rng = random.Random(0)
    for moment in range(20):
        folder, others = tmp_path / str(moment), processes()
        folder.mkdir()
        with working(2) as run:
            killed_meanwhile(run, folder, rng, others)
        assert contents(folder) == expected, moment


def test_a_worker_that_is_killed_is_replaced(run: Run, expected: dict[str, bytes], tmp_path: Path) -> None:
    killed = killed_meanwhile(run, tmp_path, random.Random(1))
    assert contents(tmp_path) == expected
    until = time.monotonic() + 60
    while len({*processes()} - {killed}) < 2:
        assert time.monotonic() < until, "no worker is in its place"
        time.sleep(0.05)


@pytest.mark.slow
def test_killed_as_a_whole_the_old_matrix_is_whole_and_the_next_run_goes_on(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.simmatrix.neighbours.worked"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    path, reference = tmp_path / "here" / NAME, tmp_path / "there" / NAME
    for one in (path, reference):
        one.parent.mkdir()
    subprocess.run([*program, path, "0"], cwd=ROOT, env=environment, check=True, capture_output=True)
    write(neighbours(seed=1), reference)
    old, new = contents(path.parent), contents(reference.parent)
    rng, journal = random.Random(0), path.with_name(".matrix.simmatrix-build")

    def killed(lines: int, *then: str) -> tuple[bool, list[str]]:
        """Kill a run soon after some lines; return whether it had ended, and the shards that are noted as done."""
        with subprocess.Popen(
            [*program, path, "1", *then], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _line in range(lines):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
        there = contents(path.parent)
        has_ended = there[NAME] != old[NAME]
        matrix = new if has_ended else old
        assert {name: there[name] for name in matrix} == matrix
        # What was written and is not noted yet is made again.
        noted = journal.read_text() if journal.exists() else ""
        return has_ended, [name for name in there.keys() & new.keys() - old.keys() if name in noted]

    for lines in (1, 4, 9, 17):  # it has begun, and noted so many shards less one
        has_ended, _ = killed(lines)
        if has_ended:
            write(neighbours(), path)
    write(neighbours(), path)
    for shards_done in (1, 2, 3):
        has_ended, done = killed(2, "wait")
        assert not has_ended
        assert len(done) == shards_done
    made = {name: (path.parent / name).stat().st_mtime_ns for name in done}
    subprocess.run([*program, path, "1"], cwd=ROOT, env=environment, check=True, capture_output=True)
    found = contents(path.parent)
    assert {name: found[name] for name in new} == new
    # Workers outlive the command for a moment: what they had begun is hidden, and belongs to no matrix.
    assert all(name.startswith(".") for name in found.keys() - new.keys())
    # What was done was not made again.
    assert made.items() <= {name: (path.parent / name).stat().st_mtime_ns for name in new}.items()


def refused(call: Callable[[], object], error: type[Exception], *texts: str) -> None:
    with pytest.raises(error) as told:
        call()
    assert all(text in str(told.value) for text in texts), str(told.value)
    assert "\n" not in str(told.value)


def test_who_can_not_work_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(workers: int | None = None, address: str | None = None) -> Callable[[], None]:
        def begin() -> None:
            with working(workers, address):
                raise AssertionError

        return begin

    refused(begun(), ParameterError, "give workers")
    refused(begun(2, "tcp://127.0.0.1:1"), ParameterError, "give workers")
    refused(begun(0), ParameterError, "at least 1, got 0")
    monkeypatch.setattr(workers, "_SECONDS", 1)
    refused(begun(address="tcp://127.0.0.1:9"), SourceError, "no Dask scheduler answers at tcp://127.0.0.1:9")
    refused(begun(address="nonsense://x"), SourceError, "no Dask scheduler answers at nonsense://x")
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address="localhost:0", silence_logs=50) as cluster:
        refused(begun(address=cluster.scheduler_address), SourceError, "has no workers; start some: dask worker tcp://")
        cluster.scale(1)
        cluster.wait_for_workers(1)
        with monkeypatch.context() as patch:
            patch.setattr(workers, "__version__", "99.9")
            refused(begun(address=cluster.scheduler_address), SourceError, "the release", "and this is 99.9", "install")
        with working(address=cluster.scheduler_address) as other:
            write(neighbours(), tmp_path / NAME, other)
    assert len(contents(tmp_path)) == worked.CLASSES // ROWS + 2
    monkeypatch.setitem(sys.modules, "dask", None)
    refused(begun(1), SourceError, 'Dask is not installed; install it: pip install "simloss[scale]"')


def test_a_disk_that_fills_up_leaves_the_old_matrix(run: Run, expected: dict[str, bytes], tmp_path: Path) -> None:
    """The workers may write no file as long as a shard."""
    path = tmp_path / NAME
    write(neighbours(), path, run)
    limit = 20_000
    for one in processes():
        resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        refused(
            lambda: write(neighbours(seed=1, count=16), path, run), OutputError, "can't be written", "free some room"
        )
        after = contents(tmp_path)
        assert {name: after[name] for name in expected} == expected
        assert not [name for name in after if name.endswith((".tmp", ".vectors"))]
    finally:
        for one in processes():
            resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    write(neighbours(), path, run)
    assert contents(tmp_path) == expected


def test_a_task_says_what_it_makes(tmp_path: Path) -> None:
    task = writing.Task(tmp_path / NAME, 2, 16, ROWS, 2 * ROWS)
    shard = task.done(neighbours())
    assert (shard.first, shard.last) == (ROWS, 2 * ROWS)
    indices, values, counts = neighbours().rows(ROWS, 2 * ROWS)
    assert shard.entries == len(indices) == len(values) == counts.sum()
    assert np.array_equal(counts, np.full(ROWS, 9))
