"""Which format a file of word vectors is found to have."""

from pathlib import Path

from simmatrix.vectors.formats import vector_file
from simmatrix.vectors.streams import Files


def detect_format(path: Path) -> str:
    """Return the name of a file's format, told from its first bytes."""
    with Files(path) as files:
        return vector_file(files).format
