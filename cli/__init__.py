"""The `simmatrix` command: options in, a library call, a table or a picture out."""

from __future__ import annotations

import sys

from simmatrix.cli.app import app
from simmatrix.cli.output import fail, with_options, without_stream
from simmatrix.errors import SimilarityError

__all__ = ["main"]


def main() -> None:
    """Run the command. The one place where errors become messages.

    Exit code 0 for success, 1 for what the user can mend, 2 for wrong usage, 130 for Ctrl-C.
    """
    if sys.stderr is None:
        without_stream("stderr")
    if sys.stdout is None:
        # Before anything is read or written: the next file that is opened would be taken for standard output.
        fail("standard output is closed; send it to a file, or to /dev/null if nobody is to read it")
        sys.exit(1)
    try:
        # By this name whatever starts it: usage lines and shell completion go by it.
        app(prog_name="simmatrix")
    except SimilarityError as error:
        message = with_options(str(error))
    except UnicodeEncodeError as error:
        message = (
            f"the output's encoding {error.encoding} has no {error.object[error.start]!a}; set PYTHONIOENCODING=utf-8"
        )
    except MemoryError:
        message = "not enough memory; keep each class's nearest alone (build --top-k 32), or use a machine with more"
    except RecursionError:
        message = "a file holds what is nested too deeply to be read or shown; flatten it"
    except OSError as error:
        # Of the files that it reads and writes, the library tells by errors of its own: this one is about the output.
        where = "standard output" if error.filename is None else error.filename
        message = f"{where}: can't be written ({error.strerror or error}); free some room or write elsewhere"
        without_stream("stdout")
    fail(message)
    sys.exit(1)
