"""Bundled data: class lists and word vectors, with their sources and licences in ``LICENSES.md`` beside this file.

Only finds files; reading them is the business of whoever knows the format.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from simmatrix.errors import SourceError

__all__ = ["class_list_names", "class_list_path", "vector_file_names", "vector_file_path"]


def class_list_names() -> tuple[str, ...]:
    """Return the names of the bundled class lists, sorted.

    Examples
    --------
    >>> "cifar100" in class_list_names()
    True
    """
    return _names("classes", ".tsv")


def class_list_path(name: str) -> Path:
    """Return the path of a bundled class list: a table with a header, one class a line, in label order.

    Raises
    ------
    SourceError
        If there is no list of that name.

    Examples
    --------
    >>> class_list_path("cifar100").name
    'cifar100.tsv'
    """
    return _path("classes", ".tsv", name)


def vector_file_names() -> tuple[str, ...]:
    """Return the names of the bundled word vectors, sorted.

    Examples
    --------
    >>> vector_file_names()
    ('glove-6b-50d',)
    """
    return _names("vectors", ".safetensors")


def vector_file_path(name: str) -> Path:
    r"""Return the path of a bundled file of word vectors.

    It holds ``vectors``, float16 of shape (V, d), and ``vocabulary``, uint8: the V words in UTF-8, joined by ``\n``.

    Raises
    ------
    SourceError
        If there are no vectors of that name.

    Examples
    --------
    >>> vector_file_path("glove-6b-50d").name
    'glove-6b-50d.safetensors'
    """
    return _path("vectors", ".safetensors", name)


def _folder(name: str) -> Path:
    # A real folder even for an editable install; NumPy and torch can't be imported from a zip file in any case.
    return Path(str(files("simmatrix.data"))) / name


def _names(folder: str, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _folder(folder).glob(f"*{suffix}")))


def _path(folder: str, suffix: str, name: str) -> Path:
    known = _names(folder, suffix)
    if name not in known:
        raise SourceError(f"no bundled {folder} are named {name!r}; there are {', '.join(known)}")
    return _folder(folder) / f"{name}{suffix}"
