"""`simmatrix classes`: the bundled class lists."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from simmatrix.cli.output import print_table

__all__ = ["classes"]


def classes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|PATH]", help="The list to print; all are named if not given.")
    ] = None,
) -> None:
    """List the bundled class lists, or print one: a table on a terminal, a class list (.tsv) in a pipe."""
    import csv

    import simmatrix
    from simmatrix import data

    if name is None:
        lists = {known: simmatrix.read_classes(known) for known in data.class_list_names()}
        rows = ([known, str(len(one)), ", ".join(["class", *one.columns])] for known, one in lists.items())
        print_table(["name", "classes", "columns"], rows, right=["classes"])
        return
    listed = simmatrix.read_classes(name)
    header = ["class", *listed.columns]
    rows = (
        [listed.names[index], *(column[index] for column in listed.columns.values())] for index in range(len(listed))
    )
    if sys.stdout.isatty():
        print_table(header, rows)
        return
    csv.writer(sys.stdout, delimiter="\t", lineterminator="\n").writerows([header, *rows])
