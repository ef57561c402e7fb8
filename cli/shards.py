"""Top-k matrices of many classes that `simmatrix build` writes to shards as they are found, here or by workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from simmatrix.cli.output import progress_bar, warn
from simmatrix.cli.usage import UsageError

if TYPE_CHECKING:
    from simmatrix.cli.sources import Source
    from simmatrix.matrix import SimilarityMatrix


def check_shards(file: Path, top_k: int | None, workers: int | None, dask: str | None) -> None:
    """Raise `UsageError` for options of shards and workers that have nothing to do."""
    from simmatrix.storage import SUFFIX, is_index

    named = [option for option, value in (("--workers", workers), ("--dask", dask)) if value is not None]
    if len(named) > 1:
        raise UsageError("--workers starts processes here, and --dask has others do the work; give one of them")
    if top_k is None:
        why = f"{named[0]} divides the search for each class's nearest" if named else "a matrix in shards is sparse"
        raise UsageError(f"{why}; say how many others each class keeps (--top-k)")
    if named and not is_index(file):
        raise UsageError(f"{named[0]} writes shards; name the output {file.with_name(file.stem + SUFFIX)}")


def check_divided(classes: int, top_k: int, source: Source, search: str, *, is_final: bool) -> None:
    """Raise `UsageError` if workers would have nothing to do."""
    from simmatrix.builders.raw import is_found_by_rows

    if not is_final:
        raise UsageError(
            "--influence and --pairs change the whole matrix, which no workers hold; leave out --workers or --dask"
        )
    if not source.finds_top_k or not is_found_by_rows(classes, top_k, search):
        raise UsageError(
            "workers divide the rows of more than 10,000 classes, where a row keeps at most an eighth of them (here "
            f"{top_k + 1} of {classes}), from vectors, an encoder, WordNet, a taxonomy or an order; here is nothing to "
            "divide, so leave out --workers or --dask"
        )


@contextmanager
def in_shards(file: Path, workers: int | None, dask: str | None) -> Iterator[list[SimilarityMatrix]]:
    """Have matrices that are found inside the block written to shards, and give the list of those that were."""
    from simmatrix.neighbours import writing

    with ExitStack() as stack:
        run: writing.Run = writing.one_by_one
        if workers is not None or dask is not None:
            from simmatrix.neighbours.workers import working

            run = stack.enter_context(working(workers, dask))
        progress = stack.enter_context(progress_bar(f"writing {file.name}"))
        done: list[int] = []

        def report(written: int, about: int) -> None:
            if written and not done:
                warn([f"a build that was cut off left some {written / about:.0%} of the rows; going on from there"])
            done.append(written)
            progress(written, about)

        try:
            yield stack.enter_context(writing.in_shards(file, run, report))
        except KeyboardInterrupt:
            if any(done):
                warn(["interrupted; the same command goes on from the shards that are done"])
            raise
