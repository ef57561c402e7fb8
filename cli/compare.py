"""`simmatrix compare`: how far two matrix files agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simmatrix.cli.options import AsJson, ClassColumn, MatrixPath, Separator, read_list, superclasses_for
from simmatrix.cli.output import print_line, print_pairs, print_table, warn
from simmatrix.text import a_few

if TYPE_CHECKING:
    from simmatrix.comparison import Comparison


def compare(
    first: MatrixPath,
    second: Annotated[Path, typer.Argument(metavar="OTHER", help="Another one.")],
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME",
            help="Class list with the superclass column; the bundled one FILE was built for if not given.",
        ),
    ] = None,
    class_column: ClassColumn = None,
    separator: Separator = None,
    count: Annotated[int, typer.Option("-n", "--pairs", metavar="N", min=1, help="How many pairs to list.")] = 10,
    json: AsJson = False,
) -> None:
    """Compare two matrices: rank correlations, the pairs that differ most, how well each knows the superclasses."""
    import simmatrix
    from simmatrix import comparison

    given = read_list(classes, class_column, separator)
    one, other = simmatrix.load(first), simmatrix.load(second)
    superclasses = superclasses_for(one, given)
    result = comparison.compare(one, other, superclasses, count)
    for file, matrix in ((first, one), (second, other)):
        if matrix.provenance.has_step("top_k"):
            warn(
                [
                    f"{file} holds the nearest of each class alone, all other pairs count as 0; build it without "
                    "--top-k, from a list of some of the classes if there are very many"
                ]
            )
    if json:
        _print_json(result, first, second)
        return
    print_pairs(_figures(result, first, second, known=superclasses is not None))
    print_line("")
    if not result.differences:
        print_line("no pairs rank differently")
        return
    print_table(
        ["class", "class", str(first), str(second), "ranks apart"],
        (
            [*one.classes, *(f"{value:.3f}" for value in one.values), f"{one.rank_difference:+,.1f}"]
            for one in result.differences
        ),
        right=[str(first), str(second), "ranks apart"],
    )


def _figures(result: Comparison, first: Path, second: Path, *, known: bool) -> list[tuple[str, str]]:
    sampled = "" if result.sampled_from is None else f", a sample of {result.sampled_from:,}"
    unjudged = f"; {result.unjudged:,} that no one judged are left out" if result.unjudged else ""
    rho, tau = (
        "undefined (one of them has the same similarity for all pairs)" if value is None else f"{value:.3f}"
        for value in (result.spearman, result.kendall)
    )
    figures = [("classes", f"{len(result.classes)} in both")]
    for file, names in ((first, result.only_first), (second, result.only_second)):
        if names:
            figures.append((f"only in {file}", f"{len(names)}: {a_few(names, 5)}"))
    figures += [("pairs", f"{result.pairs:,}{sampled}{unjudged}"), ("Spearman's rho", rho), ("Kendall's tau-b", tau)]
    if result.superclass_auc is not None:
        both = zip((first, second), result.superclass_auc, strict=True)
        return [*figures, *((f"superclass AUC of {file}", f"{value:.3f}") for file, value in both)]
    why = (
        "undefined (it takes pairs of one superclass and pairs of two)"
        if known
        else "superclasses are not known; give a class list with a superclass column (--classes)"
    )
    return [*figures, ("superclass AUC", why)]


def _print_json(result: Comparison, first: Path, second: Path) -> None:
    import json
    from dataclasses import asdict

    typer.echo(json.dumps({"files": [str(first), str(second)], **asdict(result)}, indent=2))
