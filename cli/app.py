"""The commands, each in a module of its own. Nothing here imports NumPy: the command must start quickly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from simmatrix.cli.sources import Grouped
from simmatrix.cli.usage import Command

# Each command in a line, and the module that it is in where that has another name.
COMMANDS = {
    "build": "Build a similarity matrix from one source.",
    "show": "Show a matrix: its figures, its source, its classes.",
    "validate": "Check a matrix file.",
    "judge": "Judge predictions by a matrix: how severe are the mistakes?",
    "plot": "Draw a matrix as a heat map.",
    "compare": "Compare two matrices of the same classes.",
    "blend": "Blend matrices of the same classes into one.",
    "card": "Write a folder to share on the Hugging Face Hub.",
    "classes": "List the bundled class lists, or print one.",
    "senses": "List the senses of words in WordNet.",
    "suggest": "Say which source fits a class list.",
    "export": "Write a matrix as a table or as a NumPy array.",
    "explore": "Explore a matrix in the browser.",
    "collect": "Ask people how similar classes are, in the browser.",
}
_MODULES = {"validate": "show", "senses": "classes"}


class _Commands(Mapping[str, TyperCommand]):
    """The commands by name: each is imported, and its options are read, when it is asked for."""

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in COMMANDS:
            raise KeyError(name)
        module = import_module(f"simmatrix.cli.{_MODULES.get(name, name)}")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=Grouped if name == "build" else Command)(getattr(module, name))
        command = get_command(alone)
        assert isinstance(command, TyperCommand)  # noqa: S101 - what Typer makes of a single function
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    """A group whose help needs none of its commands: to read all of them takes longer than a small matrix."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # Typer changes none

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="simmatrix",
    cls=_Group,
    help="Similarity matrices of classes, from what people know about them, for training with SimLoss.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help starts in half the time of the one in boxes.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
