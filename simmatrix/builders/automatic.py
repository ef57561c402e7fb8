"""The similarity that a class list itself knows: from its synsets, its superclasses, or else its names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import simmatrix
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.kinds import kind_of, misfit
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import check_lower_bound

# The names of columns that group the classes, perhaps numbered.
_LEVEL = re.compile(r"(super|coarse)[ _-]?(class|category|label)(es)?|(category|group|level)[ _-]?\d*", re.IGNORECASE)


class KnownSource(NamedTuple):
    """A source that needs nothing but the class list: the function of this package, its arguments, and the reason."""

    function: str
    arguments: dict[str, Any]
    reason: str


def known_source(classes: ClassList) -> KnownSource:
    """Return the source that fits a class list by itself: by its columns, or word vectors if its names are words.

    `SourceError` if they are no words (`simmatrix.kinds`): word vectors would find nonsense. It says what to do.

    Examples
    --------
    >>> known_source(ClassList(("rose", "oak"), {"superclass": ("flower", "tree")})).reason
    'the class list has the column superclass'
    """
    if known := known_columns(classes):
        return known
    names = phrases_of(classes)
    kind = kind_of(names)
    if kind is not None and kind.name == "synsets":
        return KnownSource("from_wordnet", {}, kind.reason)
    if why := misfit(names, classes.source):
        raise SourceError(why, classes.source)
    reason = "the class list has neither synsets nor superclasses; simmatrix suggest looks for a better source"
    return KnownSource("from_embeddings", {}, reason)


def phrases_of(classes: ClassList) -> Sequence[str]:
    """Return what says in words what the classes are: their phrases if each has one, else their names."""
    phrases = classes.column("phrase")
    return phrases if all(phrases) else classes.names


def known_columns(classes: ClassList) -> KnownSource | None:
    """Return the surest source that fits the columns of a class list; None if there is none."""
    if any(classes.column("synset")):
        return KnownSource("from_wordnet", {}, "the class list has the column synset")
    if columns := level_columns(classes):
        reason = f"the class list has the column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"
        return KnownSource("from_taxonomy", {"taxonomy": columns}, reason)
    return None


def level_columns(classes: ClassList) -> tuple[str, ...]:
    """Return the columns whose names say that they group the classes; the finest first, which has most groups.

    Examples
    --------
    >>> level_columns(ClassList(("rose", "oak"), {"level 1": ("plant", "plant"), "level 2": ("flower", "tree")}))
    ('level 2', 'level 1')
    """
    found = [name for name, values in classes.columns.items() if _LEVEL.fullmatch(name) and any(values)]
    return tuple(sorted(found, key=lambda name: -len(set(classes.columns[name]))))


def from_classes(classes: Classes = "cifar100", *, lower_bound: float | None = None) -> SimilarityMatrix:
    """Build a matrix from what the class list itself knows.

    That is WordNet where it has a ``synset`` column, else the taxonomy of its columns for groups (``superclass``,
    ``supercategory``, ``level 1`` and the like), else the bundled word vectors for the names. The matrix is that of
    `from_wordnet`, `from_taxonomy` or `from_embeddings`, and its provenance says of which.

    Parameters
    ----------
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    lower_bound
        As in `from_embeddings`: the median of all pairs if not given.

    Raises
    ------
    SimilarityError
        If the names are no words but an order, paths, placeholders or codes; says what to do. Else as the function that
        it calls.

    Examples
    --------
    >>> import simmatrix
    >>> simmatrix.from_classes("cifar100").provenance.builder
    'wordnet'
    """
    check_lower_bound(lower_bound)
    listed = read_classes(classes)
    known = known_source(listed)
    build = getattr(simmatrix, known.function)
    matrix: SimilarityMatrix = build(classes=listed, lower_bound=lower_bound, **known.arguments)
    return matrix
