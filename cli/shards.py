"""Top-k matrices of many classes that `simmatrix build` writes to shards as they are found, here or by workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from simmatrix.cli.output import progress_bar

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix


def check_shards(file: Path, top_k: int | None, workers: int | None, dask: str | None) -> None:
    """Raise `typer.BadParameter` for options of shards and workers that have nothing to do."""
    from simmatrix.storage import SUFFIX, is_index

    named = [option for option, value in (("--workers", workers), ("--dask", dask)) if value is not None]
    if len(named) > 1:
        raise typer.BadParameter("--workers starts processes here, and --dask has others do the work; give one of them")
    if named and not is_index(file):
        raise typer.BadParameter(f"{named[0]} writes shards; name the output {file.stem}{SUFFIX}")
    if is_index(file) and top_k is None:
        raise typer.BadParameter("a matrix in shards is sparse; say how many others each class keeps (--top-k)")


@contextmanager
def in_shards(file: Path, workers: int | None, dask: str | None) -> Iterator[list[SimilarityMatrix]]:
    """Have matrices that are found inside the block written to shards, and give the list of those that were."""
    from simmatrix.errors import ParameterError
    from simmatrix.storage import is_index

    if not is_index(file):
        yield []
        return
    from simmatrix.neighbours import writing

    is_divided = workers is not None or dask is not None
    with ExitStack() as stack:
        run: writing.Run = writing.one_by_one
        if is_divided:
            from simmatrix.neighbours.workers import working

            run = stack.enter_context(working(workers, dask))
        progress = stack.enter_context(progress_bar(f"writing {file.name}"))
        written = stack.enter_context(writing.in_shards(file, run, progress))
        yield written
        if is_divided and not written:
            raise ParameterError(
                "workers find the nearest of more than 10,000 classes, from vectors, WordNet, a taxonomy or an order; "
                "here is nothing to divide, so leave them out"
            )
