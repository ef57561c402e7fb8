"""`simmatrix build`: a class list and a source in, a matrix file out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from simmatrix.cli.output import percent, print_line, print_pairs, progress_bar, warn

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix

__all__ = ["Format", "build"]

# The names in `simmatrix.vectors.formats`, which can't be imported here: the command must start quickly.
Format: TypeAlias = Literal[
    "glove", "word2vec", "word2vec-binary", "fasttext", "keyedvectors", "npy", "npz", "safetensors"
]


def build(
    classes: Annotated[
        str,
        typer.Option(
            metavar="PATH|NAME", help="Class list: .txt, .tsv, .csv or .json, or a bundled one (simmatrix classes)."
        ),
    ],
    from_embeddings: Annotated[
        str, typer.Option(metavar="PATH|NAME", help="Word vectors: a file, or the bundled ones.")
    ] = "glove-6b-50d",
    format: Annotated[
        Format | None,
        typer.Option(help="Format of the word vectors, if it is not to be detected."),
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Words of vectors that are an array alone, one a line.")
    ] = None,
    lower_bound: Annotated[
        float, typer.Option(metavar="L", help="Similarities become max(0, (s - L) / (1 - L)), for L in [0, 1).")
    ] = 0.5,
    top_k: Annotated[
        int | None,
        typer.Option(metavar="K", min=1, help="Keep each class's K most similar others (sparse)."),
    ] = None,
    oov: Annotated[
        Literal["error", "drop"], typer.Option(help="Classes without a vector: refuse, or leave them out.")
    ] = "error",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Matrix file; named after the class list if not given."),
    ] = None,
) -> None:
    """Build a similarity matrix from word vectors and write it to a file."""
    import simmatrix
    from simmatrix.storage import check_output

    listed = simmatrix.read_classes(classes)
    file = output or Path(f"{Path(listed.source).stem}.safetensors")
    check_output(file)
    with progress_bar(f"reading {Path(from_embeddings).name}") as progress:
        matrix = simmatrix.from_embeddings(
            from_embeddings,
            listed,
            lower_bound=lower_bound,
            oov=oov,
            format=format,
            vocabulary=vocabulary,
            progress=progress,
        )
    if top_k is not None:
        matrix = matrix.top_k(top_k)
    matrix.save(file)
    _report(matrix, file)


def _report(matrix: SimilarityMatrix, file: Path) -> None:
    from simmatrix.summary import concerns, statistics

    figures = statistics(matrix)
    found = Counter(one["how"] for one in matrix.provenance.resolution.values())
    print_pairs(
        [
            ("classes", str(figures.classes)),
            ("vectors", next(one.name for one in matrix.provenance.source if one.role == "vectors")),
            ("found by", ", ".join(f"{how} {count}" for how, count in found.most_common())),
            ("density", percent(figures.density)),
            ("influence", f"{figures.influence:.3g} (0 is cross entropy)"),
            ("signal", f"{percent(figures.signal)} of cross entropy's gradient at the start of training"),
            ("file", f"{file} ({file.stat().st_size:,} bytes)"),
        ]
    )
    dropped = matrix.provenance.params.get("dropped", [])
    if dropped:
        warn([f"{len(dropped)} classes have no vector and were left out: {', '.join(dropped)}"])
    warn(concerns(matrix, figures))
    if not dropped:
        print_line(f'next: criterion = simloss.SimLoss.from_file("{file}", classes=train_set.classes)', "cyan")
