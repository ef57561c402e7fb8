"""`simmatrix build`: a class list and a source in, a matrix file out."""

from __future__ import annotations

import warnings
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from simmatrix.choices import (
    Completion,
    Duplicates,
    Kernel,
    Measure,
    Oov,
    Search,
    TaxonomyFormat,
    Unknown,
    VectorFormat,
)
from simmatrix.cli.options import ClassColumn, Influence, LowerBound, PairsFile, Separator, TopK, check_bounds, limited
from simmatrix.cli.output import built_by, report, warn
from simmatrix.cli.shards import check_divided, check_shards, in_shards
from simmatrix.cli.sources import chosen, known, options_of, renamed


def build(
    classes: Annotated[
        str,
        typer.Option(
            metavar="PATH|NAME|-",
            help="Class list: a file (.txt, .tsv, .csv, .json, .yaml, .xml), a folder of folders of images, - for "
            "standard input, or a bundled list (simmatrix classes).",
        ),
    ],
    class_column: ClassColumn = None,
    separator: Separator = None,
    lower_bound: LowerBound = None,
    influence: Influence = None,
    top_k: TopK = None,
    pairs: PairsFile = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Matrix file; named after the class list if not given."),
    ] = None,
    from_embeddings: Annotated[
        str | None, typer.Option(metavar="PATH|NAME", help="Word vectors: a file, or the bundled glove-6b-50d.")
    ] = None,
    from_order: Annotated[
        bool, typer.Option("--from-order", help="The order of the class list, or positions on a scale.")
    ] = False,
    from_wordnet: Annotated[
        bool, typer.Option("--from-wordnet", help="WordNet's hierarchy of nouns or of verbs, bundled.")
    ] = False,
    from_taxonomy: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|COLUMN,…",
            help="Any hierarchy: a file of edges (parent child), an indented outline or nested JSON; or columns of the "
            "class list, the finest first.",
        ),
    ] = None,
    from_ratings: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="People's ratings of pairs: a study (simmatrix collect), or a, b, rating[, rater]."
        ),
    ] = None,
    from_triplets: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Odd-one-out choices: a study (simmatrix collect), or a, b, odd; or a, b, c, odd."
        ),
    ] = None,
    from_confusion: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Confusion counts, rows are the true classes: .csv or .tsv, or .npy."),
    ] = None,
    from_matrix: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A ready matrix: .csv or .tsv with names, or .npy.")
    ] = None,
    from_encoder: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A sentence encoder: a folder or a hub name (needs the extra encoder)."),
    ] = None,
    vector_format: Annotated[
        VectorFormat | None,
        typer.Option(
            help="Format of the word vectors; detected if not given. (Its earlier name, --format, still works.)"
        ),
    ] = None,
    taxonomy_format: Annotated[
        TaxonomyFormat | None, typer.Option(help="Format of the hierarchy; detected if not given.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(hidden=True, help="The earlier name of --vector-format and --taxonomy-format.")
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Text file with one word per line, for vector files that hold no words."),
    ] = None,
    oov: Annotated[
        Oov | None, typer.Option(help="Classes that the source lacks: refuse, which is the default, or leave them out.")
    ] = None,
    search: Annotated[
        Search | None,
        typer.Option(
            help="How the nearest of many vectors are found for --top-k: all of them, or nearly all by FAISS."
        ),
    ] = None,
    recall: Annotated[
        float | None, typer.Option(metavar="R", help="The share of the true nearest that FAISS has to find (0.95).")
    ] = None,
    decay: Annotated[
        float | None,
        typer.Option(metavar="R", help="Similarity of two neighbours, in [0, 1); needed for the kernel decay."),
    ] = None,
    kernel: Annotated[
        Kernel | None,
        typer.Option(
            help="decay (the default): R^(d / S); laplace: exp(-d / S); gaussian: exp(-d^2 / (2 S^2)); triangular: "
            "1 - d / S, at least 0."
        ),
    ] = None,
    length_scale: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="The unit of distance d, above 0; if not given 1, and for triangular the greatest distance.",
        ),
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column with each class's position; class for the names themselves."),
    ] = None,
    circular: Annotated[
        bool, typer.Option("--circular", help="The last class is next to the first, as with months.")
    ] = False,
    period: Annotated[
        float | None, typer.Option(metavar="P", help="How long the circle is, where positions are given.")
    ] = None,
    measure: Annotated[Measure | None, typer.Option(help="How similar two nodes are; path if not given.")] = None,
    wordnet: Annotated[
        str | None,
        typer.Option(metavar="bundled|nltk[:CORPUS]", help="Whose WordNet; NLTK's may be of another version."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="LANG", help="Language of the names, such as fra; needs --wordnet nltk.")
    ] = None,
    information_content: Annotated[
        str | None,
        typer.Option(metavar="intrinsic|tagged|PATH", help="For res, lin and jcn; PATH is a file like ic-brown.dat."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="What stands for not similar and the same; from the data, or 0:1."),
    ] = None,
    complete: Annotated[
        Completion | None,
        typer.Option(
            help="How to fill in pairs that nobody judged. If not given, ratings that lack pairs are refused."
        ),
    ] = None,
    duplicates: Annotated[
        Duplicates | None,
        typer.Option(help="A pair rated differently by one rater, or without raters: refuse, the default, or average."),
    ] = None,
    unknown: Annotated[
        Unknown | None,
        typer.Option(help="Names that the class list lacks: refuse, which is the default, or pass them over."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Find --top-k of many classes with so many processes on this machine, which write shards (needs the "
            "extra scale).",
        ),
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The same with the workers of the Dask scheduler there.")
    ] = None,
    symmetrise: Annotated[
        bool | None,
        typer.Option(
            "--symmetrise/--no-symmetrise",
            help="Whether a pair gets the mean of both directions, which is the default; if not, rows stay the true "
            "classes and columns the predicted ones.",
        ),
    ] = None,
) -> None:
    """Build a similarity matrix from one source and write it to a file.

    If no source is named, it is what the class list itself knows: WordNet if it has a synset column, else the taxonomy
    of its superclass columns, else the bundled word vectors. If neither a lower bound nor an influence is given, the
    median of all pairs is the lower bound of word vectors, encoders, WordNet and taxonomies.

    For example: simmatrix build --classes cifar100 --from-wordnet -o cifar100.safetensors
    """
    # First of all, while there are no other locals: the options by their names in `simmatrix.cli.sources`.
    given = options_of(locals())
    import simmatrix
    from simmatrix.kinds import reading_of
    from simmatrix.names import MANY
    from simmatrix.normalise import DENSE_UP_TO, check_top_k
    from simmatrix.storage import SUFFIX, check_output, is_index

    given, said = renamed(given)
    source = chosen(given)
    if said:
        warn(said)
    check_bounds(lower_bound, influence)
    listed = simmatrix.read_classes(classes, class_column=class_column, separator=separator)
    are_many = top_k is not None and (len(listed) >= MANY or workers or dask)
    file = output or Path(f"{Path(listed.source).stem}{SUFFIX if are_many else '.safetensors'}")
    is_divided, has_workers = is_index(file), workers is not None or dask is not None
    if is_divided or has_workers:
        check_shards(file, top_k, workers, dask)
    is_replaced = check_output(file)
    if top_k is not None:
        check_top_k(top_k, len(listed))
    why = []
    reading = "" if class_column is None and separator is None else reading_of(class_column, separator)
    if source is None:
        source, given, reason = known(given, listed, reading)
        why = [("source", f"{source.option}, since {reason}")]
    # A matrix of evenly spaced classes has one value a diagonal.
    is_small = source.name == "from_order" and positions is None
    if top_k is None and source.finds_top_k and not is_small and len(listed.names) > DENSE_UP_TO:
        size = len(listed.names)
        warn(
            [
                f"all pairs of {size:,} classes take {4 * size**2 / 1e9:.1f} GB; --top-k 32 keeps the nearest of each, "
                f"in {8 * 33 * size / 1e6:.0f} MB"
            ]
        )
    is_final = influence is None and pairs is None
    if top_k is not None and has_workers:
        check_divided(len(listed), top_k, source, given.get("search", "exact"), is_final=is_final)
    # A matrix that becomes another one afterwards is written once, as what was asked for.
    writes_rows = is_divided and is_final
    shards: AbstractContextManager[list[Any]] = in_shards(file, workers, dask) if writes_rows else nullcontext([])
    with shards as written, warnings.catch_warnings():
        # Doubtful senses are told with the other concerns.
        warnings.simplefilter("ignore", simmatrix.SenseWarning)
        matrix = source.build(given, listed, lower_bound if influence is None else 0.0)
    matrix, bound = limited(matrix, None if source.finds_top_k else top_k, influence, pairs)
    # What was written row by row and is left as it is stands there.
    if matrix not in written:
        matrix.save(file)
    origin = matrix.provenance
    found = Counter(one["how"] for one in origin.resolution.values())
    inputs = [(one.role, one.name) for one in origin.source if one.role != "classes"]
    how = ", ".join(f"{how} {count}" for how, count in found.most_common())
    told = [*why, ("built by", built_by(origin.builder, origin.params)), *inputs, ("found by", how), *bound]
    report(matrix, file, told, is_replaced=is_replaced, reading=reading)
