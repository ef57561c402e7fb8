"""The `simmatrix` command: options in, a library call, a table or a picture out."""

from __future__ import annotations

import sys

from simmatrix.cli.app import app
from simmatrix.cli.output import fail, with_options
from simmatrix.errors import SimilarityError

__all__ = ["main"]


def main() -> None:
    """Run the command. The one place where errors become messages.

    Exit code 0 for success, 1 for what the user can mend, 2 for wrong usage, 130 for Ctrl-C.
    """
    try:
        # By this name whatever starts it: usage lines and shell completion go by it.
        app(prog_name="simmatrix")
    except SimilarityError as error:
        fail(with_options(str(error)))
        sys.exit(1)
    except UnicodeEncodeError as error:
        fail(f"the output's encoding {error.encoding} has no {error.object[error.start]!a}; set PYTHONIOENCODING=utf-8")
        sys.exit(1)
    except MemoryError:
        fail("not enough memory; use fewer classes or a machine with more")
        sys.exit(1)
