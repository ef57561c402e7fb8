"""What a command says of the matrix file it has written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from simmatrix.cli.output import percent, print_line, print_pairs, warn

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix

__all__ = ["report"]


def report(matrix: SimilarityMatrix, file: Path, origin: Iterable[tuple[str, str]]) -> None:
    """Print the figures of a matrix just written, with `origin` among them, what is worrying, and what to do next."""
    from simmatrix.summary import concerns, counts

    figures = counts(matrix)
    print_pairs(
        [
            ("classes", str(figures.classes)),
            *origin,
            ("density", percent(figures.density)),
            ("influence", f"{figures.influence:.3g} (0 is cross entropy)"),
            ("isolated", f"{percent(figures.identity_rows)} of the classes are similar to no other"),
            ("signal", f"{percent(figures.signal)} of cross entropy's gradient at the start of training"),
            ("file", f"{file} ({file.stat().st_size:,} bytes)"),
        ]
    )
    dropped = matrix.provenance.params.get("dropped", [])
    if dropped:
        warn([f"no vector, left out: {', '.join(dropped)} ({len(dropped)} of the classes)"])
    warn(concerns(matrix, figures))
    # The training set has them, and the loss would refuse what is proposed.
    if not dropped:
        print_line(f'next: criterion = simloss.SimLoss.from_file("{file}", classes=train_set.classes)', "cyan")
