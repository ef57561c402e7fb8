"""Wrong usage, exit code 2: what to type in its place."""

from __future__ import annotations

import shlex
from typing import Any

import typer
from typer.core import TyperCommand


class UsageError(typer.BadParameter):
    """Options that do not fit each other, told in our own words alone: Typer would begin with "Invalid value"."""

    def format_message(self) -> str:
        """Return the message."""
        return self.message


class Command(TyperCommand):
    """A command that says what to type where an option is missing, or lacks its value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options."""
        for one in self.params:
            # Behind -- there are no options.
            if args[-1:] and "--" not in args and args[-1] in one.opts and not getattr(one, "is_flag", True):
                raise UsageError(f"{args[-1]} needs {one.metavar or 'a value'}. {getattr(one, 'help', '')}", ctx)
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            # Typer takes pydantic's messages, and of what is missing it says nothing.
            error.message = error.message.removeprefix("Value error, ").removeprefix("Input ")
            if error.message or error.param is None or not error.param.opts[0].startswith("-"):
                raise
            option, value = error.param.opts[0], error.param.metavar or "VALUE"
            # What stands behind the command's arguments is meant as its value.
            count = sum(one.param_type_name == "argument" for one in self.params)
            if len(given) > count and not any(one.startswith("-") for one in given[: count + 1]):
                command = shlex.join([*given[:count], option, *given[count:]])
            else:
                command = f"{option} {value} {shlex.join(given)}".rstrip()
            raise UsageError(f"{option} is missing; type: {ctx.command_path} {command}", ctx) from None
