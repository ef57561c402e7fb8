"""`simmatrix blend`: one matrix file from several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simmatrix.cli.options import Influence, LowerBound, PairsFile, TopK, check_bounds, limited
from simmatrix.cli.output import progress_bar, report

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix
    from simmatrix.provenance import Input

# Up to the last colon: a path may hold colons itself.
_PART = re.compile(r"(?P<file>.+):(?P<weight>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)", re.DOTALL)


def blend(
    parts: Annotated[
        list[str], typer.Argument(metavar="FILE:WEIGHT", help="Matrix files, each with its weight; they sum to 1.")
    ],
    lower_bound: LowerBound = None,
    influence: Influence = None,
    top_k: TopK = None,
    pairs: PairsFile = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Matrix file.")] = Path(
        "blend.safetensors"
    ),
) -> None:
    """Blend matrices of the same classes into one file: their weighted mean."""
    from simmatrix import blending
    from simmatrix.storage import check_output

    is_replaced = check_output(output)
    files, weights = zip(*(_parsed(part) for part in parts), strict=True)
    blending.check_weights(weights)
    check_bounds(lower_bound, influence)
    matrices, inputs = zip(*(_loaded(file) for file in files), strict=True)
    matrix = blending.blend(zip(matrices, weights, strict=True), inputs).lower_bound(lower_bound or 0.0)
    matrix, found = limited(matrix, top_k, influence, pairs)
    matrix.save(output)
    told = [("blend of", ", ".join(parts)), ("form", matrix.form), *found]
    report(matrix, output, told, is_replaced=is_replaced)


def _parsed(part: str) -> tuple[Path, float]:
    from simmatrix.errors import SourceError

    found = _PART.fullmatch(part)
    if found is None:
        raise SourceError(f"{part!r} does not end in a colon and a weight; write each matrix as a.safetensors:0.5")
    return Path(found["file"]), float(found["weight"])


def _loaded(file: Path) -> tuple[SimilarityMatrix, Input]:
    from simmatrix.files import shown_name
    from simmatrix.matrix import load_input

    with progress_bar(f"reading {shown_name(file)}") as progress:
        return load_input(file, progress)
