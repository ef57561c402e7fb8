"""The commands, each in a module of its own. Nothing here imports NumPy: the command must start quickly."""

from __future__ import annotations

from typing import Annotated

import typer

from simmatrix.cli.blend import blend
from simmatrix.cli.build import build
from simmatrix.cli.card import card
from simmatrix.cli.classes import classes, senses
from simmatrix.cli.collect import collect
from simmatrix.cli.compare import compare
from simmatrix.cli.explore import explore
from simmatrix.cli.export import export
from simmatrix.cli.judge import judge
from simmatrix.cli.plot import plot
from simmatrix.cli.show import show, validate
from simmatrix.cli.sources import Grouped
from simmatrix.cli.suggest import suggest

app = typer.Typer(
    name="simmatrix",
    help="Similarity matrices of classes, from what people know about them, for training with SimLoss.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help starts in half the time of the one in boxes.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=Grouped)(build)
for command in (show, validate, judge, plot, compare, blend, card, classes, senses, suggest, export, explore, collect):
    app.command()(command)


def _version(asked: bool) -> bool:
    if asked:
        from simmatrix.version import __version__

        typer.echo(f"simmatrix {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
