"""Pages in the browser: one to explore a matrix, one to collect judgements. They need the extra ``web``."""

from __future__ import annotations

from importlib.util import find_spec

from simmatrix.errors import SourceError


def check_installed() -> None:
    """Raise `SourceError` unless all that the extra ``web`` brings is installed."""
    lacking = [name for name in ("starlette", "uvicorn", "jinja2") if find_spec(name) is None]
    if lacking:
        raise SourceError(
            f'the pages in the browser need {", ".join(lacking)}; install the extra web: pip install "simloss[web]"'
        )
