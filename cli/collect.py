"""`simmatrix collect`: a study in the browser that asks people how similar classes are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from simmatrix.choices import Questions, Task
from simmatrix.cli.options import ClassColumn
from simmatrix.cli.output import print_line, print_pairs, warn


def collect(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The file of the study; it is made if there is none.")],
    classes: Annotated[
        str | None, typer.Option(metavar="PATH|NAME", help="Class list, as for build; needed to begin a study.")
    ] = None,
    class_column: ClassColumn = None,
    task: Annotated[
        Task | None, typer.Option(help="What is asked: the odd one out of three, or a rating of a pair.")
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Of ratings: the values for not similar and the same.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Judge pictures: CLASS.jpg, or folders CLASS of pictures, for each class."),
    ] = None,
    consent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A text that participants read and agree to, UTF-8.")
    ] = None,
    questions: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="How many each participant is asked, 200 if not given; catch trials come on top."
        ),
    ] = None,
    choose: Annotated[
        Questions | None,
        typer.Option(help="Ask those of which least is known (the default of triplets), or any (that of ratings)."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The address to serve at; if others can reach it, the link holds a secret."
        ),
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="The port; a free one if not given.")] = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The address of a proxy in front, as https://study.example.org.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open the page.")] = True,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the answers as .csv, and serve nothing.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the exported file if it is there.")] = False,
) -> None:
    """Run a study that asks people how similar classes are; or export its answers.

    `simmatrix build --from-triplets STUDY` or `--from-ratings STUDY` makes the matrix. The dashboard asks for a
    password: that of the variable SIMMATRIX_PASSWORD, or one that is shown at the start.
    """
    if export is not None:
        _export(study, export, force=force)
        return
    import secrets

    from simmatrix import read_classes, web

    web.check_installed()
    from simmatrix.errors import ParameterError
    from simmatrix.files import decoded, read_bytes
    from simmatrix.study import Study, designed
    from simmatrix.web.collect import link, study_app
    from simmatrix.web.images import find_images
    from simmatrix.web.serving import LOCAL, checked_public_url, listen, serve

    design = designed(
        study,
        consent=None if consent is None else decoded(read_bytes(consent), consent).strip(),
        classes=None if classes is None else tuple(read_classes(classes, class_column=class_column).names),
        task=task,
        scale=scale,
        has_images=True if images else None,
        questions=questions,
        method=choose,
    )
    if design.has_images and images is None:
        raise ParameterError('the study shows pictures; give their folder (images="FOLDER")')
    pictures = find_images(images, design.classes) if images else ()
    is_public = bool(public_url) or (host not in LOCAL and host != "::1")
    public_url = checked_public_url(public_url) if public_url else ""
    # Tried before a study is begun: where it can't be served, no file is made.
    listen(host, port).close()
    with Study(study, design) as opened:
        chosen = os.environ.get("SIMMATRIX_PASSWORD")
        password = chosen or secrets.token_urlsafe(9)
        app = study_app(opened, password=password, images=pictures, is_public=is_public, public_url=public_url)
        path = link(opened, is_public=is_public)

        def say(address: str) -> None:
            rows = [("participants", address), ("dashboard", f"{address}dashboard")]
            if not chosen:
                rows.append(("password", password))
            print_pairs([*rows, ("stop", "Ctrl-C; the study goes on when it is served again")])

        serve(app, host, port, browser=browser, path=path, public_url=public_url, say=say)


def _export(study: Path, file: Path, *, force: bool) -> None:
    from simmatrix.errors import OutputError
    from simmatrix.study import export_study

    if file.suffix != ".csv":
        raise OutputError("an export is a table with commas; name it with .csv at the end", file)
    count, left_out, others = export_study(study, file, force=force)
    print_line(f"{count:,} answers written to {file}; {others:,} more were skipped, taken back or catch trials")
    if left_out:
        warn([f"{', '.join(left_out)} failed most catch trials and are left out, as build leaves them out"])
