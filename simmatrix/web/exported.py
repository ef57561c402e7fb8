"""A page to explore a matrix that needs no server: everything is in the one file, to be mailed to a colleague."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from importlib.resources import files
from pathlib import Path

import numpy as np
from markupsafe import Markup

from simmatrix.errors import MatrixError, OutputError
from simmatrix.files import check_output_folder, write_atomically
from simmatrix.web.exploration import NEIGHBOURS, Exploration, Json
from simmatrix.web.serving import template

MOST = 2000
"""Up to so many classes are written into a page: their values take 8 MB before they are packed."""

# In an order in which each comes after those that it imports from.
_MODULES = (
    *("base", "colours", "map", "picture", "search", "class", "limits", "edits", "tree", "reports", "explore"),
    "local",
)
_START = 'start(await local(JSON.parse(document.getElementById("content").textContent)));\n'


def check_page(path: Path, *, force: bool) -> None:
    """Raise `OutputError` unless a page can be written to `path`."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError("is no name for a page; give one that ends in .html", path)
    check_output_folder(path, is_new=not force)


def write_page(exploration: Exploration, path: Path) -> None:
    """Write a page of up to 2,000 classes that shows what `explore` does, without what changes the matrix.

    Values are rounded to 1 / 65535. The same matrix gives the same bytes. Raises `MatrixError` if there are more
    classes, or two matrices, and `OutputError` if it can't be written.
    """
    if len(exploration) > MOST:
        raise MatrixError(
            f"a page of {len(exploration):,} classes would be too large to mail, {MOST:,} is the most; choose some: "
            "matrix.select(names).save(FILE) in Python makes a file of these alone"
        )
    if exploration.other is not None:
        raise MatrixError("a page that stands alone shows one matrix; export each by itself")
    script, style = _bundled(), _text("base.css") + _text("explore/explore.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    # In a script element only its end could be read as HTML.
    content = json.dumps(_content(exploration), separators=(",", ":")).replace("<", "\\u003c")
    page = template(
        "explore-exported.html",
        policy=policy,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        content=Markup(content),  # noqa: S704 - no < is left in it
    )
    write_atomically(path, [page.encode()])


def _content(exploration: Exploration) -> Json:
    matrix, count = exploration.matrix, len(exploration)
    values = np.rint(matrix.to_dense().astype(np.float64) * 65535).astype("<u2")
    tree = exploration.order("clusters").tree
    assert tree is not None  # noqa: S101 - the order by clusters has one
    return {
        "about": exploration.about(),
        "classes": [exploration.named(index) for index in range(count)],
        "details": [exploration.told(index) for index in range(count)],
        "neighbours": NEIGHBOURS,
        "orders": {by: exploration.order(by).places.tolist() for by in exploration.orders},
        "tree": {
            "children": tree.children.tolist(),
            "similarities": tree.similarities.tolist(),
            "starts": tree.starts,
            "sizes": tree.sizes,
        },
        "concerns": exploration.concerns(),
        "values": base64.b64encode(zlib.compress(values.tobytes(), 9)).decode(),
    }


def _bundled() -> str:
    """Return the page's modules as one: without what they import from each other, and what they export."""
    texts = (_text(f"{name}.js" if name == "base" else f"explore/{name}.js") for name in _MODULES)
    return "".join(re.sub(r"^import .*\n|^export ", "", text, flags=re.MULTILINE) for text in texts) + _START


def _text(name: str) -> str:
    return (files("simmatrix.web") / "static" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
