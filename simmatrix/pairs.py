"""Single pairs of a matrix, set by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from simmatrix.errors import ParameterError, SourceError
from simmatrix.files import decoded, read_bytes, shown_name
from simmatrix.names import composed
from simmatrix.provenance import Input
from simmatrix.tables import OF_RATINGS, key, numbers, rows

if TYPE_CHECKING:
    from simmatrix.matrix import SimilarityMatrix

Pairs = Mapping[tuple[str, str], float]
"""The similarity of pairs of distinct classes, in [0, 1]; of both directions."""


def checked(pairs: Pairs) -> dict[tuple[str, str], float]:
    """Return pairs with their names in NFC, each pair once.

    Raises `ParameterError` if there are none, a similarity is not in [0, 1], a class is paired with itself, or a pair
    is set to two values.

    Examples
    --------
    >>> checked({("rose", "tulip"): 0.9, ("tulip", "rose"): 0.9})
    {('rose', 'tulip'): 0.9}
    """
    if not pairs:
        raise ParameterError("there are no pairs to set; give some, as {('rose', 'tulip'): 0.9}")
    found: dict[tuple[str, str], float] = {}
    for names, value in pairs.items():
        if isinstance(names, str) or len(names) != 2 or not all(isinstance(name, str) for name in names):
            raise ParameterError(f"{names!r:.80} is no pair of classes; give two names, as ('rose', 'tulip')")
        first, second = map(composed, names)
        if first == second:
            raise ParameterError(f"{first!r} is paired with itself, which is always 1; take the pair out")
        if not 0 <= value <= 1:
            raise ParameterError(f"the similarity {value} of {first!r} and {second!r} is outside [0, 1]; mend it")
        earlier = found.get((second, first), value)
        if earlier != value:
            raise ParameterError(f"{first!r} and {second!r} are set to {earlier:g} and to {value:g}; keep one of them")
        if (second, first) not in found:
            found[first, second] = float(value)
    return found


def read_pairs(path: Path) -> tuple[dict[tuple[str, str], float], Input]:
    """Read pairs from a table: two classes and their similarity a line, with or without a header.

    Raises `SourceError` if the file can't be read, a line has other than three cells, or a value is no number in
    [0, 1]; names the line.
    """
    raw = read_bytes(path)
    table = list(rows(decoded(raw, path), path))
    # Any other first row is a pair: skipping it would lose one.
    if table and key(table[0][1][-1]) in OF_RATINGS:
        del table[0]
    pairs: dict[tuple[str, str], float] = {}
    for line, cells in table:
        if len(cells) != 3:
            raise SourceError(f"has {len(cells)} cells; write two classes and their similarity", path, line)
        (value,) = numbers(cells[2:], path, line)
        pair = (cells[0], cells[1])
        if pairs.setdefault(pair, value) != value:
            raise SourceError(
                f"sets {pair[0]!r} and {pair[1]!r} to {value:g}, and to {pairs[pair]:g} before", path, line
            )
        try:
            checked({pair: value})
        except ParameterError as error:
            raise SourceError(str(error), path, line) from None
    if not pairs:
        raise SourceError("holds no pairs; write two classes and their similarity a line", path)
    return pairs, Input("pairs", shown_name(path), hashlib.sha256(raw).hexdigest())


def with_pairs(matrix: SimilarityMatrix, path: Path) -> SimilarityMatrix:
    """Return a matrix with the pairs of a file set, and the file among its inputs."""
    from dataclasses import replace

    pairs, source = read_pairs(path)
    changed_matrix = matrix.with_pairs(pairs)
    origin = changed_matrix.provenance
    return replace(changed_matrix, provenance=replace(origin, source=(*origin.source, source)))
