"""`simmatrix suggest`: which source fits a class list, and the list as a table to edit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from simmatrix.cli.options import ClassColumn, Separator
from simmatrix.cli.output import print_line, print_pairs, print_table, warn
from simmatrix.cli.usage import UsageError


def suggest(
    listed: Annotated[
        str | None, typer.Argument(metavar="PATH|NAME|-", show_default=False, help="The class list.")
    ] = None,
    classes: Annotated[str | None, typer.Option(metavar="PATH|NAME|-", help="The same, as in build.")] = None,
    class_column: ClassColumn = None,
    separator: Separator = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.tsv", help="Write the list as a table to edit: what each name is taken for."
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--doubtful", metavar="N", min=0, help="How many doubtful classes to show.")
    ] = 10,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Say which source fits a class list and why, what WordNet and word vectors find of it, and what is in doubt."""
    import simmatrix
    from simmatrix.suggestion import check_table
    from simmatrix.text import or_list, some

    if (listed is None) == (classes is None):
        raise UsageError("give one class list")
    if output is not None:
        check_table(output, force=force)
    found = simmatrix.suggest(listed or classes, class_column=class_column, separator=separator)
    shown = len(found.table)
    source = f"--{found.source.replace('_', '-')}" if found.source else "none"
    print_pairs(
        [
            ("classes", str(shown + found.left_out) + (f", {shown} of them looked up" if found.left_out else "")),
            ("source", source),
            ("since", found.reason),
            *(
                (
                    one.source,
                    f"{one.found} of {shown}"
                    + (f", {one.doubtful} in doubt" if one.doubtful else "")
                    + (f"; by the last words alone {some(one.by_head)}" if one.by_head else "")
                    + (f"; not {some(one.missing)}" if one.missing else ""),
                )
                for one in found.lookups
            ),
        ]
    )
    doubtful = found.doubtful(count)
    if doubtful:
        columns = [found.table.column(name) for name in ("synset", "meaning", "doubt")]
        rows = {
            name: [name, synset, meaning, doubt if synset else "not found"]
            for name, synset, meaning, doubt in zip(found.table.names, *columns, strict=True)
        }
        print_line("")
        print_table(["class", "synset", "meaning", "doubt"], (rows[name] for name in doubtful), right=["doubt"])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", simmatrix.SenseWarning)
        if output is not None:
            found.save(output, force=force)
            print_line(f"{output}: {shown} classes to edit")
    warn(str(one.message) for one in told)
    if found.misspelt:
        corrections = [f"{name!r} (did you mean {or_list(words)}?)" for name, words in found.misspelt.items()]
        where = "the list" if listed == "-" or classes == "-" else output or listed or classes
        add = "" if "--oov drop" in found.command else ", or add --oov drop to the command if they are spelt right"
        print_line(f"first: correct {some(corrections)} in {where}{add}", "cyan")
    if found.command:
        print_line(f"next: {found.command if output is None else found.command_for(output)}", "cyan")
