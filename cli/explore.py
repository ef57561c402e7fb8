"""`simmatrix explore`: a page in the browser to look at a matrix, to compare it, and to try out what it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simmatrix.cli.options import MatrixPath, known_list, read_list
from simmatrix.cli.output import print_line


def explore(
    file: MatrixPath,
    other: Annotated[
        Path | None, typer.Argument(metavar="OTHER", show_default=False, help="Another one, to compare it with.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME",
            help="Class list with superclasses, synsets and phrases; the bundled one FILE was built for if not given.",
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Where to serve; a free port if not given.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open the page.")] = True,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Instead of serving write one page that needs no server, for up to 2,000 classes."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the exported page if it is there.")] = False,
) -> None:
    """Explore a matrix in the browser, on this machine alone; needs the extra web. Ctrl-C stops it."""
    from simmatrix.web import check_installed

    check_installed()
    import simmatrix
    from simmatrix.web.exploration import Exploration
    from simmatrix.web.explore import explore_application
    from simmatrix.web.serving import serve

    if export is not None:
        from simmatrix.web.exported import check_page, write_page

        check_page(export, force=force)
    matrix = simmatrix.load(file)
    exploration = Exploration(
        matrix,
        file,
        other=None if other is None else simmatrix.load(other),
        other_file=other,
        classes=known_list(matrix, read_list(classes, None, None)),
    )
    if export is not None:
        write_page(exploration, export)
        print_line(f"{export}: {len(exploration):,} classes ({export.stat().st_size:,} bytes)")
        return
    serve(
        explore_application(exploration),
        "127.0.0.1",
        port,
        browser=browser,
        say=lambda address: print_line(f"{address} (Ctrl-C stops it)"),
    )
