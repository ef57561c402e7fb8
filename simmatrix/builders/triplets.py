"""Similarity of classes from triplets of which people picked the odd one out (Hebart et al. 2020)."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simmatrix.builders.completion import check_completion, completed
from simmatrix.builders.lookup import inputs, match, not_seen
from simmatrix.builders.ordinal import embed, expected_shares
from simmatrix.builders.raw import RawSimilarity
from simmatrix.classes import Classes, ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.files import decoded
from simmatrix.matrix import SimilarityMatrix
from simmatrix.neighbours.source import raw_type
from simmatrix.normalise import check_lower_bound
from simmatrix.provenance import Provenance
from simmatrix.shapes import Float, Int
from simmatrix.study import read_answers
from simmatrix.tables import key, rows

_REMEDY = "write a, b, odd or a, b, c, odd, separated by tabs or commas"
_HEADINGS = ("a", "b", "c", "odd")
# The two columns that are left, and the odd one's, for the odd one in the first, the second and the third column.
_ODD_LAST = np.array([[1, 2, 0], [0, 2, 1], [0, 1, 2]])


def from_triplets(
    triplets: str | Path,
    classes: Classes,
    *,
    complete: str | None = None,
    unknown: str = "error",
    lower_bound: float = 0.0,
) -> SimilarityMatrix:
    r"""Build a matrix from choices of the odd one out: how often two were left together (Hebart et al. 2020).

    Parameters
    ----------
    triplets
        A study of `simmatrix collect`, or a file with one answer a line, separated by tabs or commas: ``a, b, odd``,
        the third being the odd one, or ``a, b, c, odd``, the fourth naming the odd one of the three. A first line that
        ends in the word ``odd`` is a header, and so is one that names ``a, b, c, odd`` among other columns, which are
        passed over. The same triplet may be there often: each line is an answer.
    classes
        The class list: a file, the name of a bundled list, or the names themselves.
    complete
        How to fill in pairs that are in no triplet: ``"mean"`` or ``"low-rank"``. If it is not given and there are such
        pairs, or the questions were chosen by what was known, an ordinal embedding of all triplets gives every value
        (`simmatrix.builders.ordinal`): what the share would be if each two were asked about with every third.
    unknown, lower_bound
        As in `from_ratings`.

    Raises
    ------
    SimilarityError
        If the file can't be read, a line names a class twice or an odd one that is none of the three, or a class is in
        no triplet; names file and line.

    Examples
    --------
    >>> import simmatrix, tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("rose,tulip,truck\nrose,truck,tulip\n")
    ...     file.flush()
    ...     simmatrix.from_triplets(file.name, ["rose", "tulip", "truck"])["rose", "tulip"]
    0.5
    """
    check_lower_bound(lower_bound)
    raw = triplet_similarity(Path(triplets), read_classes(classes), complete=complete, unknown=unknown)
    return raw.normalised(lower_bound)


def shares(triplets: Int[np.ndarray, "T 3"], count: int) -> tuple[Float[np.ndarray, "C C"], Int[np.ndarray, "C C"]]:
    """Return S_ij, the share of the triplets holding i and j in which neither was the odd one, and their number.

    The third of each triplet is the odd one. The shares are in [0, 1], symmetric, NaN where no triplet holds both, with
    a unit diagonal; the numbers are 0 on the diagonal.

    Examples
    --------
    >>> values, evidence = shares(np.array([[0, 1, 2], [0, 2, 1]]), 3)
    >>> float(values[0, 1]), int(evidence[0, 1])
    (0.5, 2)
    """
    left, right, odd = triplets.astype(np.int64).T
    similar = np.minimum(left, right) * count + np.maximum(left, right)
    with_odd = [np.minimum(one, odd) * count + np.maximum(one, odd) for one in (left, right)]
    codes, numbers = np.unique(np.concatenate([similar, *with_odd]), return_counts=True)
    chosen, times = np.unique(similar, return_counts=True)
    share = np.zeros(len(codes))
    share[np.searchsorted(codes, chosen)] = times
    share /= numbers
    values = np.full((count, count), np.nan, dtype=raw_type(count))
    evidence = np.zeros((count, count), dtype=np.int32)
    first, second = np.divmod(codes, count)
    for row, column in ((first, second), (second, first)):
        values[row, column] = share
        evidence[row, column] = numbers
    np.fill_diagonal(values, 1.0)
    return values, evidence


def triplet_similarity(
    path: Path, classes: ClassList, *, complete: str | None = None, unknown: str = "error"
) -> RawSimilarity:
    """Return how often two classes were left when the odd one of three was picked: by `shares`, or by an embedding.

    `evidence` counts the triplets that hold both. Parameters as in `from_triplets`. Of an embedding, `params` has the
    ``method``, its ``penalty``, how many triplets were held out, and the ``held_out_error``, the share of them on which
    it errs: guessing errs on 2/3.
    """
    check_completion(complete)
    # In alphabetical order: sums and completions depend on the order of the classes, in the last bits or in more.
    wanted, classes = classes.names, classes.select(sorted(classes.names))
    raw, is_chosen, _, left_out = read_answers(path, "triplets")
    table = _read(decoded(raw, path), classes, path)
    found = match(table.words, classes, path, unknown=unknown)
    ids = np.array([found.indices.get(word, -1) for word in table.words])
    triplets = ids[table.triplets]
    triplets = triplets[(triplets >= 0).all(axis=1)]
    values, evidence = shares(triplets, len(classes))
    missing = [name for name, row in zip(classes.names, evidence, strict=True) if not row.any()]
    if missing:
        remedy = "ask about them, or take them out of the class list"
        raise not_seen(missing, table.words, path, "has no triplet of classes with", remedy)
    if complete is None and (is_chosen or np.isnan(values).any()):
        embedding = embed(triplets, len(classes))
        gaps: dict[str, Any] = {
            "completed": int(np.count_nonzero(np.triu(np.isnan(values)))),
            "method": "embedding",
            "penalty": embedding.penalty,
            "held_out": embedding.held_out,
            "held_out_error": round(embedding.error, 6),
        }
        values = expected_shares(embedding.points).astype(values.dtype)
    else:
        values, gaps = completed(values, complete, classes.names, path, "triplet")
    return RawSimilarity(
        values=values,
        classes=classes.names,
        provenance=Provenance(
            builder="triplets",
            params={
                "triplets": len(triplets),
                "complete": complete,
                **gaps,
                "unknown": unknown,
                "ignored": len(table.triplets) - len(triplets),
                **({"left_out_raters": left_out} if left_out else {}),
            },
            source=inputs("triplets", path, hashlib.sha256(raw).hexdigest(), classes),
            resolution=found.resolution,
        ),
        evidence=evidence,
    ).in_order(wanted)


class _Table(NamedTuple):
    """The words of a file, each with the line it stands on first, and triplets of their positions, the odd one last."""

    words: Mapping[str, int]
    triplets: Int[np.ndarray, "T 3"]


def _read(text: str, classes: ClassList, path: Path) -> _Table:
    table = rows(text, path)
    top, header = next(table, (0, []))
    width, names = len(header), [key(cell) for cell in header]
    places: Sequence[int] = range(width)
    if width > 4 and all(names.count(name) == 1 for name in _HEADINGS):
        # Columns that are named, and others beside them.
        places = [names.index(name) for name in _HEADINGS]
    elif header and width not in (3, 4):
        raise SourceError(f"has {width} cells; {_REMEDY}", path, top)
    elif header and not (names[-1] in ("odd", "oddoneout") and header[-1] not in classes.names):
        table = chain([(top, header)], table)
    ids: dict[str, int] = {}
    first_lines: list[int] = []
    codes, lines = array("q"), array("q")
    for line, cells in table:
        if len(cells) != width:
            raise SourceError(f"has {len(cells)} cells, the first row has {width}; {_REMEDY}", path, line)
        codes.extend([ids.setdefault(cells[at], len(ids)) for at in places])
        lines.append(line)
        if len(first_lines) < len(ids):
            first_lines += [line] * (len(ids) - len(first_lines))
    if not lines:
        raise SourceError(f"holds no triplets; {_REMEDY}", path)
    answers = np.frombuffer(codes, dtype=np.int64).reshape(-1, len(places))
    words = dict(zip(ids, first_lines, strict=True))
    return _Table(words, _odd_last(answers, tuple(words), lines, path))


def _odd_last(
    answers: Int[np.ndarray, "T k"], words: tuple[str, ...], lines: array[int], path: Path
) -> Int[np.ndarray, "T 3"]:
    """Return the three of each answer, the odd one last; refuse answers that are none."""
    three = answers[:, :3]
    twice = (three[:, 0] == three[:, 1]) | (three[:, 0] == three[:, 2]) | (three[:, 1] == three[:, 2])
    if twice.any():
        at = int(np.argmax(twice))
        raise SourceError(
            f"the triplet {', '.join(words[one] for one in three[at])} holds one twice; it takes three different ones, "
            "take the row out",
            path,
            lines[at],
        )
    if answers.shape[1] == 3:
        return three
    is_odd = three == answers[:, 3:]
    lost = ~is_odd.any(axis=1)
    if lost.any():
        at = int(np.argmax(lost))
        raise SourceError(
            f"the odd one, {words[answers[at, 3]]!r}, is none of {', '.join(words[one] for one in three[at])}; name "
            "one of the three, or take the row out",
            path,
            lines[at],
        )
    return np.take_along_axis(three, _ODD_LAST[np.argmax(is_odd, axis=1)], axis=1)
