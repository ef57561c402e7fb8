"""The similarity that a class list itself knows: from its synsets, its superclasses, or else its names."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

import simmatrix
from simmatrix.builders.senses import NO_GROUPS
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.kinds import kind_of, levels_of, misfit
from simmatrix.matrix import SimilarityMatrix
from simmatrix.normalise import check_lower_bound
from simmatrix.tables import is_number
from simmatrix.text import some

# The names of columns that group the classes, perhaps numbered.
_LEVEL = re.compile(r"(super|coarse)[ _-]?(class|category|label)(es)?|(category|group|level)[ _-]?\d*", re.IGNORECASE)
# Each column is compared with all levels, and nobody types more of them.
_MOST_LEVELS = 10


class KnownSource(NamedTuple):
    """A source that needs nothing but the class list: the function of this package, its arguments, and the reason."""

    function: str
    arguments: dict[str, Any]
    reason: str


def known_source(classes: ClassList, reading: str = "") -> KnownSource:
    """Return the source that fits a class list by itself: by its columns, or word vectors if its names are words.

    `SourceError` if they are no words (`simmatrix.kinds`): word vectors would find nonsense. It says what to do, with a
    command that reads the list by the options `reading`.

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
    hint = f"{groups}; " if (groups := possible_groups(classes)) else ""
    if why := misfit(names, classes.source, reading):
        raise SourceError(hint + why, classes.source)
    reason = f"the class list has neither synsets nor superclasses; {hint}simmatrix suggest looks for a better source"
    return KnownSource("from_embeddings", {}, reason)


def possible_groups(classes: ClassList) -> str:
    """Say, of a list without superclasses, which columns for them are empty, and which others could group the classes.

    Returns an empty text if there is no such column.
    """
    empty = [name for name, values in classes.columns.items() if _LEVEL.fullmatch(name) and not any(values)]
    found = [f"the column {name} is empty" for name in empty]
    if groups := _all_levels(classes, ()):
        found.append(f"if {', '.join(groups)} can be superclasses: --from-taxonomy {shlex.quote(','.join(groups))}")
    return "; ".join(found)


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
        levels = _all_levels(classes, columns)
        if unused := [name for name in levels if name not in columns]:
            both = "both" if len(levels) == 2 else "all"
            named = shlex.quote(",".join(levels))
            reason += f"; not used: {', '.join(unused)}; for {both}: --from-taxonomy {named}"
        if len(columns) == 1 and (others := [name for name in _path_columns(classes) if name not in levels]):
            named = shlex.quote(others[0])
            reason += f"; not used: {others[0]}, which holds paths; for it: --from-taxonomy {named}"
        rows = zip(classes.names, *(classes.columns[name] for name in columns), strict=True)
        if lacking := [name for name, *groups in rows if not all(groups)]:
            reason += f", with gaps that must be filled in first: {some(lacking, 3)}"
        return KnownSource("from_taxonomy", {"taxonomy": columns}, reason)
    return None


def level_columns(classes: ClassList) -> tuple[str, ...]:
    """Return the columns whose names say that they group the classes; the finest first, which has most groups.

    Where no name says so, it is the first column of paths, such as ``Home > Garden``. A column that has another group
    for each class is left out if there are others: it groups nothing.

    Examples
    --------
    >>> groups = {"level 1": ("plant", "plant", "plant"), "level 2": ("flower", "tree", "tree")}
    >>> level_columns(ClassList(("rose", "oak", "elm"), groups))
    ('level 2', 'level 1')
    """
    found = [name for name, values in classes.columns.items() if _LEVEL.fullmatch(name) and any(values)]
    found = [name for name in found if len(set(classes.columns[name])) < len(classes)] or found
    found = found or _path_columns(classes)[:1]
    stems = [name.rstrip("0123456789") for name in found]

    def rank(name: str) -> tuple[int, int, int]:
        # Of level_1 and level_2 with as many groups, level_2 is the finer one.
        stem = name.rstrip("0123456789")
        return -len(set(classes.columns[name])), stems.index(stem), -int(name[len(stem) :][:9] or 0)

    return tuple(sorted(found, key=rank))


def _path_columns(classes: ClassList) -> list[str]:
    return [name for name in classes.columns if name not in NO_GROUPS and _holds_paths(classes, name)]


def _holds_paths(classes: ClassList, name: str) -> bool:
    """Tell whether most of a column are paths, and group the classes: a note may hold such a sign."""
    values = classes.columns[name]
    found = levels_of([(name, values)])
    are_paths = 2 * sum(map(operator.ne, values, found[-1][1])) > len(classes)
    return are_paths and 1 < len(set(found[0][1])) < len(classes)


def levels_for(matrix: SimilarityMatrix, classes: ClassList) -> tuple[str, ...]:
    """Return the columns that group a matrix's classes: those that it was built from, or else `level_columns`."""
    built = matrix.provenance.params.get("columns") if matrix.provenance.builder == "taxonomy" else None
    filled = [name for name, values in classes.columns.items() if any(values)]
    # A foreign file may have anything there.
    if isinstance(built, list) and built and all(name in filled for name in built):
        return tuple(built)
    return level_columns(classes)


def superclasses_of(classes: ClassList, levels: Sequence[str] | None = None) -> Sequence[str]:
    """Return the superclass of each class; nothing if there is none.

    That is its group in the finest column that is filled in for all classes, or else in the finest. The columns are
    these, or `level_columns`.

    Examples
    --------
    >>> superclasses_of(ClassList(("rose", "oak"), {"group": ("flower", "tree")}))
    ('flower', 'tree')
    """
    levels = level_columns(classes) if levels is None else levels
    filled = [name for name in levels if all(classes.column(name))] or levels[:1]
    return levels_of([(name, classes.column(name)) for name in filled])[0][1] if filled else ()


def _all_levels(classes: ClassList, used: Sequence[str]) -> tuple[str, ...]:
    """Return the columns used and others that divide their groups, or are divided by them; the finest first."""
    counts = {name: len(set(classes.columns[name])) for name in used}

    def divides(finer: str, coarser: str) -> bool:
        above: dict[str, str] = {}
        pairs = zip(classes.columns[finer], classes.columns[coarser], strict=True)
        return all(above.setdefault(low, high) == high for low, high in pairs)

    for name, column in classes.columns.items():
        if len(counts) >= _MOST_LEVELS:
            break
        values = set[str]() if name in (*used, *NO_GROUPS) or "," in name else set(column)
        # As many groups as in another are the same groups, or across them.
        is_group = 1 < len(values) < len(classes) and len(values) not in counts.values()
        if is_group and all(map(str.strip, values)) and not any(map(is_number, values)):
            pairs = [(name, level) if len(values) > count else (level, name) for level, count in counts.items()]
            if all(divides(*pair) for pair in pairs):
                counts[name] = len(values)
    return tuple(sorted(counts, key=lambda name: -counts[name]))


def from_classes(classes: Classes = "cifar100", *, lower_bound: float | None = None) -> SimilarityMatrix:
    """Build a matrix from what the class list itself knows.

    That is WordNet where it has a ``synset`` column, else the taxonomy of its columns for groups (``superclass``,
    ``supercategory``, ``level 1`` and the like; name others to `from_taxonomy`), else the bundled word vectors for the
    names. The matrix is that of `from_wordnet`, `from_taxonomy` or `from_embeddings`, and its provenance says of which.

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
