"""Taxonomies from the columns of a table: each column groups what the one before it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from simmatrix.errors import SourceError
from simmatrix.taxonomy.taxonomy import Edge, Taxonomy, from_edges

__all__ = ["ROOT", "column_taxonomy"]

ROOT = "root"
"""The node above the coarsest groups."""

_SHOWN = 5


def column_taxonomy(
    names: Sequence[str], levels: Sequence[tuple[str, Sequence[str]]], where: str = "classes"
) -> Taxonomy:
    """Return the taxonomy of named rows: below their groups, these below coarser groups, all below one root.

    Parameters
    ----------
    names
        What the rows are called, each name once; C names. They stay the names of their nodes.
    levels
        The columns, finest first: the column's name, and C values.
    where
        What to call the table in messages.

    A group with rows in several coarser groups has several parents. Equal values of different columns, or of a column
    and a name, are different nodes; the coarser one is then called by its column as well (``superclass: fish``).

    Raises
    ------
    SourceError
        If a row has no value in a column, or the columns are the wrong way round; names rows and columns.

    Examples
    --------
    >>> column_taxonomy(["rose", "oak"], [("kind", ["flower", "tree"])]).names
    ('root', 'flower', 'tree', 'rose', 'oak')
    """
    for column, values in levels:
        _check_filled(column, values, names, where)
    for finer, coarser in pairwise(levels):
        _check_order(finer, coarser, where)
    return from_edges(_edges(names, levels), where)


def _check_filled(column: str, values: Sequence[str], names: Sequence[str], where: str) -> None:
    empty = [name for name, value in zip(names, values, strict=True) if not value.strip()]
    if empty:
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        raise SourceError(f"no {column} is given for {', '.join(empty[:_SHOWN])}{more}; fill it in", where)


def _check_order(finer: tuple[str, Sequence[str]], coarser: tuple[str, Sequence[str]], where: str) -> None:
    """Refuse columns that make a tree only the other way round."""
    pairs = set(zip(finer[1], coarser[1], strict=True))
    lower, upper = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(pairs) == len(upper) > len(lower):
        value = next(value for value in finer[1] if sum(value == pair[0] for pair in pairs) > 1)
        raise SourceError(
            f"{value!r} of {finer[0]} is in several groups of {coarser[0]}, each of which holds nothing else: name the "
            f"finer column first, {coarser[0]},{finer[0]}",
            where,
        )


def _edges(names: Sequence[str], levels: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Edge]:
    rows: list[Sequence[str]] = [names]
    taken = set(names)
    for column, values in (*levels, ("taxonomy", [ROOT] * len(names))):
        called: dict[str, str] = {}
        for value in dict.fromkeys(values):
            called[value] = _free(value, column, taken)
            taken.add(called[value])
        rows.append([called[value] for value in values])
    # From the root down, so that groups are named before what is in them.
    for below, above in reversed(tuple(pairwise(rows))):
        yield from map(Edge, above, below)


def _free(value: str, column: str, taken: set[str]) -> str:
    """Return a name that no node has yet."""
    while value in taken:
        value = f"{column}: {value}"
    return value
