"""The `simmatrix` command: options in, a library call, a table or a picture out."""

from __future__ import annotations

import sys

from simmatrix.cli.app import app
from simmatrix.errors import SimilarityError

__all__ = ["main"]


def main() -> None:
    """Run the command. The one place where errors become messages.

    Exit code 0 for success, 1 for what the user can mend, 2 for wrong usage, 130 for Ctrl-C.
    """
    try:
        app()
    except SimilarityError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError:
        print("error: not enough memory; use fewer classes or a machine with more", file=sys.stderr)
        sys.exit(1)
