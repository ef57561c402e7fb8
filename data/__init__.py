"""Bundled data: class lists, word vectors and WordNet; ``LICENSES.md`` beside this file has sources and licences.

Only finds files; reading them is the business of whoever knows the format.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from simmatrix.errors import SourceError

__all__ = [
    "class_list_names",
    "class_list_path",
    "vector_file_names",
    "vector_file_path",
    "wordnet_definitions_path",
    "wordnet_path",
]


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


def wordnet_path() -> Path:
    r"""Return the path of the bundled nouns and verbs of WordNet 3.0, a file of safetensors.

    N synsets, ascending by offset, have W words; L lemmas have S senses. For ``noun`` and ``verb`` there are:

    - ``offsets``, int32 (N): where WordNet's ``data.noun`` or ``data.verb`` has each synset
    - ``hypernym_counts``, uint8 (N), and ``hypernyms``, int32: the synsets, counted from 0, that each is a kind or an
      instance of, ascending
    - ``lemmas``, uint8: the L lemmas in lower case, sorted, in UTF-8, joined by ``\n``
    - ``sense_counts``, uint8 (L), ``senses``, int32 (S), and ``tags``, uint16 (S): the synsets of each lemma, first
      sense first, and how often each was tagged in WordNet's corpora
    - ``word_counts``, uint8 (N), and ``words``, int32 (W): the words of each synset in its own order, each by its sense
    - ``cased``, int32, and ``spellings``, uint8: which of the W words are not spelt as their lemma, and their spelling,
      joined by ``\n``

    ``noun.exceptions``, uint8, has the plurals that follow no rule, each on a line with its singulars.

    Examples
    --------
    >>> wordnet_path().name
    'wordnet-3.0.safetensors'
    """
    return _path("wordnet", ".safetensors", "wordnet-3.0")


def wordnet_definitions_path() -> Path:
    r"""Return the path of the definitions of WordNet 3.0's nouns, a text file compressed by gzip.

    Line i, in UTF-8, is of the i-th noun synset of `wordnet_path`: the number of the lexicographers' file that it is in
    (lexnames(5WN)), ``03`` to ``28``, a tab, and its definition, without examples of use.

    Examples
    --------
    >>> wordnet_definitions_path().name
    'definitions-3.0.txt.gz'
    """
    return _path("wordnet", ".txt.gz", "definitions-3.0")


def _folder(name: str) -> Path:
    # A real folder even for an editable install; NumPy and torch can't be imported from a zip file in any case.
    return Path(str(files("simmatrix.data"))) / name


def _names(folder: str, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(path.name.removesuffix(suffix) for path in _folder(folder).glob(f"*{suffix}")))


def _path(folder: str, suffix: str, name: str) -> Path:
    known = _names(folder, suffix)
    if name not in known:
        raise SourceError(f"no bundled {folder} are named {name!r}; there are {', '.join(known)}")
    return _folder(folder) / f"{name}{suffix}"
