"""`simmatrix export`: a matrix file as a table or an array, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simmatrix.cli.options import MatrixPath
from simmatrix.cli.output import print_line


def export(
    file: MatrixPath,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help=".csv or .tsv (with names), or .npy (an array).")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a matrix as a table with names, or as a NumPy array; --from-matrix reads both."""
    import simmatrix
    from simmatrix.exporting import check_export

    check_export(output, force=force)
    matrix = simmatrix.load(file)
    simmatrix.export(matrix, output, force=force)
    print_line(f"{output}: {len(matrix)} classes ({output.stat().st_size:,} bytes)")
