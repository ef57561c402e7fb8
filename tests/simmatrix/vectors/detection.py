"""Which format a file of word vectors is found to have."""

from pathlib import Path

from simmatrix.vectors.formats import VectorFile


def detect_format(path: Path) -> str:
    """Return the name of a file's format, told from its first bytes."""
    with VectorFile(path) as file:
        return file.format
