"""The similarity matrix: the one type that crosses from builders to files and to the loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simmatrix import bounding, normalise
from simmatrix.errors import ClassNotFoundError, ClassOrderError, MatrixError
from simmatrix.names import is_name
from simmatrix.provenance import Provenance, Step
from simmatrix.shapes import Float, Int
from simmatrix.suggest import nearest_to_each, or_list
from simmatrix.toeplitz import diagonals_of, lengths, stored_of, toeplitz_view

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from typing_extensions import TypeIs

__all__ = ["SimilarityMatrix", "Values", "is_sparse"]

Values: TypeAlias = "Float[np.ndarray, 'C C'] | csr_array"

_SHOWN = 5
_LARGEST_COUNT = np.iinfo(np.int32).max
# Twice the relative error of a rounding to float32: of the influence that a matrix has, and of the one asked for.
_FLOAT32_ROUNDING = 2.0**-23


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """Similarities of named classes: values in [0, 1], 1 on the diagonal. Frozen; its array is read-only.

    Parameters
    ----------
    values
        (C, C), row and column i belong to class i. Dense (float32), sparse (SciPy CSR, float32, sorted columns), or
        Toeplitz: a read-only view of its 2 C - 1 diagonals, which is all that is stored, checked and copied of it
        (`simmatrix.toeplitz.toeplitz_view`). A writeable array is copied, a read-only dense one is taken as it is.
    classes
        The C names, unique, in label order.
    provenance
        Where the values come from.
    evidence
        (C, C), int32, symmetric: how many human judgements are behind each pair, 0 where a method completed the value.
        None where the values are not made from judgements.

    Raises
    ------
    MatrixError
        If the values are not square, not finite, outside [0, 1] or without a unit diagonal, or do not fit the names;
        if the evidence is not one count a pair. Names the classes concerned.

    Examples
    --------
    >>> matrix = SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip"))
    >>> matrix["rose", "tulip"], matrix.influence
    (0.5, 0.5)
    """

    values: Values
    classes: tuple[str, ...]
    provenance: Provenance = field(default_factory=Provenance)
    evidence: Int[np.ndarray, "C C"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        values = _frozen_sparse(self.values) if is_sparse(self.values) else _frozen(self.values)
        _check(values, self.classes)
        object.__setattr__(self, "values", values)
        if self.evidence is not None:
            object.__setattr__(self, "evidence", _frozen_evidence(self.evidence, self.classes))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: a copied or unpickled array is writeable. And of a Toeplitz view an array's own way
        # would write all C x C entries.
        if not is_sparse(self.values) and (diagonals := diagonals_of(self.values)) is not None:
            return _from_diagonals, (diagonals, self.classes, self.provenance, self.evidence)
        return SimilarityMatrix, (self.values, self.classes, self.provenance, self.evidence)

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        return f"SimilarityMatrix({len(self)} classes, {self.form}, influence {self.influence:.3g})"

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """Return the similarity of two classes, by name."""
        first, second = self._indices(pair)
        return float(self.values[first, second])

    @property
    def is_sparse(self) -> bool:
        """Whether the values are kept as a sparse matrix."""
        return is_sparse(self.values)

    @property
    def is_toeplitz(self) -> bool:
        """Whether the values are kept as the diagonals of a Toeplitz matrix."""
        return not is_sparse(self.values) and diagonals_of(self.values) is not None

    @property
    def form(self) -> str:
        """How the values are kept: ``"dense"``, ``"sparse"`` or ``"toeplitz"``."""
        return "sparse" if self.is_sparse else "toeplitz" if self.is_toeplitz else "dense"

    @cached_property
    def influence(self) -> float:
        """The mean over the rows of their sum off the diagonal, from 0 (cross entropy) to C - 1."""
        if is_sparse(self.values):
            sums = [float(self.values.sum(dtype=np.float64))]
        elif (diagonals := diagonals_of(self.values)) is not None:
            # Exact: a float32 times a length below 2^29 is a float64.
            sums = (diagonals.astype(np.float64) * lengths(len(self))).tolist()
        else:
            sums = [float(self.values[rows].sum(dtype=np.float64)) for rows in normalise.blocks(self.values)]
        return (math.fsum(sums) - len(self)) / len(self)

    @property
    def influence_range(self) -> tuple[float, float]:
        """The influences that a lower bound can give: from that of pairs of similarity 1 alone to the matrix's own."""
        return self._alike / len(self), self.influence

    @cached_property
    def _alike(self) -> int:
        """How many entries off the diagonal are 1."""
        return bounding.count_of_ones(*self._stored()) - len(self)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    def to_dense(self) -> Float[np.ndarray, "C C"]:
        """Return the values as a dense, read-only, contiguous float32 array (C, C)."""
        if is_sparse(self.values):
            return _read_only(np.asarray(self.values.toarray()))
        return _read_only(self.values.copy()) if self.is_toeplitz else self.values

    def neighbours(self, name: str, count: int = 5) -> tuple[tuple[str, float], ...]:
        """Return the `count` other classes most similar to a class, best first; equal ones in class order.

        Classes of similarity 0 are no neighbours.
        """
        index = self._indices((name,))[0]
        columns, row = self._row(index)
        is_other = (row > 0) & (columns != index)
        columns, row = columns[is_other], row[is_other]
        if 0 < count < len(row):
            # Only what may be among the best is sorted.
            is_near = row >= np.partition(row, -count)[-count]
            columns, row = columns[is_near], row[is_near]
        order = np.argsort(-row, kind="stable")
        best = zip(columns[order].tolist(), row[order].tolist(), strict=True)
        return tuple((self.classes[other], value) for (other, value), _ in zip(best, range(count), strict=False))

    def lower_bound(self, bound: float) -> SimilarityMatrix:
        """Return max(0, (S - l) / (1 - l)) for a lower bound l in [0, 1) (Kobs et al. 2020).

        Bounds compose: bounding with l1 and then with l2 equals bounding once with l1 + l2 (1 - l1).

        Examples
        --------
        >>> matrix = SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip"))
        >>> matrix.lower_bound(0.2)["rose", "tulip"]
        0.375
        """
        normalise.check_lower_bound(bound)
        if bound == 0:
            return self
        step = {"step": "lower_bound", "bound": bound}
        if not is_sparse(self.values):
            return self._with(_read_only(normalise.bounded(self.values, bound)), step)
        values = self.values.copy()
        values.data = normalise.bounded(values.data, bound)
        return self._with(values, step)

    def with_influence(self, influence: float) -> SimilarityMatrix:
        """Return the matrix under the lower bound that gives it an influence, whatever scale its source has.

        It is a mean: where a few pairs are much more similar than all others, they have nearly all of a small
        influence, and most classes are left without any. The bound found is recorded as by `lower_bound`. For 0 it is
        the greatest similarity of distinct classes, so that the identity is left. Where a matrix has that influence
        already, to float32 rounding, it stays as it is.

        Parameters
        ----------
        influence
            The mean over the rows of their sum off the diagonal that is wanted, from 0 (cross entropy) to the matrix's
            own. It comes out right to float32 rounding, a relative error of 2^-24.

        Raises
        ------
        MatrixError
            If the influence is more than the matrix has, since a lower bound can only lessen it; or less than pairs of
            similarity 1 have, since it never lessens those.

        Examples
        --------
        >>> matrix = SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip")).with_influence(0.375)
        >>> matrix.influence, matrix.provenance.normalisation[-1]["bound"]
        (0.375, 0.2)
        """
        bounding.check_influence(influence)
        if _is_same(influence, self.influence):
            return self
        if influence > self.influence:
            raise MatrixError(
                f"an influence of {influence} is more than the {self.influence:.9g} of the matrix, and a lower bound "
                "only lessens it; ask for less, or take less off before: a smaller lower bound, or a larger top k"
            )
        least = self._alike / len(self)
        if influence < least and not _is_same(influence, least):
            raise MatrixError(
                f"an influence of {influence} is less than {least:.9g}, which pairs of similarity 1 have under any "
                f"lower bound: {_some_alike(self)}; ask for more, or tell these classes apart in the source"
            )
        mass = 0.0 if _is_same(influence, least) else influence * len(self) - self._alike
        return self.lower_bound(bounding.bound_for(*self._stored(), mass))

    def top_k(self, count: int) -> SimilarityMatrix:
        """Return a sparse matrix of each row's `count` largest similarities to other classes, and the diagonal.

        Of equal similarities the class that comes first is kept. The result need not be symmetric.
        """
        normalise.check_top_k(count, len(self))
        dense = self.to_dense() if is_sparse(self.values) else self.values
        return self._with(normalise.keep_top(dense, count), {"step": "top_k", "count": count})

    def select(self, names: Sequence[str]) -> SimilarityMatrix:
        """Return the matrix of some of the classes, in the order given.

        A Toeplitz matrix stays one for classes that follow each other in it, and becomes dense for others.

        Raises
        ------
        ClassNotFoundError
            If the matrix has no class of a name; suggests the nearest ones.

        Examples
        --------
        >>> matrix = SimilarityMatrix(np.eye(3), ("rose", "tulip", "truck"))
        >>> matrix.select(["truck", "rose"]).classes
        ('truck', 'rose')
        """
        names = _names(names)
        indices = np.array(self._indices(names), dtype=np.intp)
        if is_sparse(self.values):
            values: Values = self.values[indices, :][:, indices]
        elif self.is_toeplitz and (np.diff(indices) == 1).all():
            run = slice(indices[0], indices[-1] + 1) if len(indices) else slice(0)
            values = self.values[run, run]
        else:
            values = _read_only(self.values[indices[:, None], indices])
        evidence = None if self.evidence is None else _read_only(self.evidence[indices[:, None], indices])
        return SimilarityMatrix(values, names, self.provenance.only(names), evidence)

    def reorder(self, names: Sequence[str]) -> SimilarityMatrix:
        """Return the matrix with its classes in another order, such as a training set's.

        Raises
        ------
        ClassOrderError
            If the names are not exactly the matrix's classes; lists the difference.

        Examples
        --------
        >>> SimilarityMatrix(np.eye(2), ("rose", "tulip")).reorder(["tulip", "rose"]).classes
        ('tulip', 'rose')
        """
        wanted = _names(names)
        if wanted == self.classes:
            return self
        _check_same(wanted, self.classes)
        return self.select(wanted)

    def save(self, path: str | Path) -> None:
        """Write the matrix to a safetensors file; see `simmatrix.storage.save`."""
        from simmatrix.storage import save

        save(self, path)

    def _row(self, index: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return the columns, ascending, and the values of what is stored of a row."""
        if not is_sparse(self.values):
            return np.arange(len(self)), self.values[index]
        stored = slice(*self.values.indptr[index : index + 2].tolist())
        return self.values.indices[stored], self.values.data[stored]

    def _stored(self) -> tuple[Float[np.ndarray, "*shape"], Int[np.ndarray, " D"] | None]:
        """Return what is stored of the values, and how many entries each stands for where that is not one."""
        if is_sparse(self.values):
            return self.values.data, None
        diagonals = diagonals_of(self.values)
        return (self.values, None) if diagonals is None else (diagonals, lengths(len(self)))

    def _with(self, values: Values, step: Step) -> SimilarityMatrix:
        return SimilarityMatrix(values, self.classes, self.provenance.with_step(step), self.evidence)

    def _indices(self, names: Iterable[str]) -> list[int]:
        unknown = [name for name in names if name not in self._index]
        if unknown:
            raise ClassNotFoundError(f"the matrix has no class {_some(_hinted(unknown, self.classes))}", tuple(unknown))
        return [self._index[name] for name in names]


def is_sparse(values: Any) -> TypeIs[csr_array]:
    """Tell whether values are a SciPy sparse array of any kind, without importing SciPy."""
    return hasattr(values, "tocsr")


def _from_diagonals(
    diagonals: Float[np.ndarray, " D"], classes: tuple[str, ...], provenance: Provenance, evidence: np.ndarray | None
) -> SimilarityMatrix:
    return SimilarityMatrix(toeplitz_view(diagonals), classes, provenance, evidence)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def _frozen(values: Any) -> Float[np.ndarray, "*shape"]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise MatrixError(f"values of type {array.dtype} are no similarities; give numbers")
    if (diagonals := diagonals_of(array)) is not None:
        return toeplitz_view(_float32(diagonals))
    if array.dtype == np.float32 and array.flags.c_contiguous and _nobody_writes(array):
        return array
    return _float32(array)


def _float32(array: np.ndarray) -> Float[np.ndarray, "*shape"]:
    # What is too large for float32 becomes infinite, which the check of the values refuses.
    with np.errstate(over="ignore"):
        return _read_only(np.array(array, dtype=np.float32, order="C"))


def _frozen_evidence(evidence: Any, classes: tuple[str, ...]) -> np.ndarray:
    array = np.asarray(evidence)
    _check_evidence(array, classes)
    if array.dtype == np.int32 and array.flags.c_contiguous and _nobody_writes(array):
        return array
    return _read_only(np.array(array, dtype=np.int32, order="C"))


def _names(names: Sequence[object]) -> tuple[str, ...]:
    """Return class names as a tuple; what data sets offer as their classes is not always names."""
    if isinstance(names, str):
        raise ClassOrderError(
            f"the classes are one text, {names!r}; give a list of names (simmatrix.read_classes reads files)"
        )
    found = tuple(names)
    for position, name in enumerate(found):
        if not isinstance(name, str):
            kind = type(name).__name__
            raise ClassOrderError(
                f"class {position} (counted from 0) is {name!r}, a {kind}; give the classes by name "
                "(for torchvision's ImageNet these are its wnids)"
            )
    return tuple(str(name) for name in found)


def _nobody_writes(array: np.ndarray) -> bool:
    """Tell whether an array and all arrays it is a view of are read-only."""
    while not array.flags.writeable:
        if not isinstance(array.base, np.ndarray):
            return array.base is None
        array = array.base
    return False


def _frozen_sparse(values: Any) -> csr_array:
    from scipy.sparse import csr_array

    sparse = csr_array(values, dtype=np.float32, copy=True)
    # One form for the same values, whatever they came from: sorted, nothing twice, no zero stored.
    sparse.sum_duplicates()
    sparse.eliminate_zeros()
    for part in (sparse.data, sparse.indices, sparse.indptr):
        part.flags.writeable = False
    return sparse


def _check(values: Values, classes: tuple[str, ...]) -> None:
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise MatrixError(f"values of shape {values.shape} are not square; a row and a column belong to each class")
    if len(classes) != values.shape[0]:
        raise MatrixError(f"{len(classes)} classes were named for {values.shape[0]} rows; name each row once")
    if len(classes) < 2:
        raise MatrixError("a similarity needs at least two classes")
    if nameless := [f"{index}: {name!r}" for index, name in enumerate(classes) if not is_name(name)]:
        raise MatrixError(
            f"no class names: {_some(nameless)} (counted from 0); a name is text without control characters, not empty"
        )
    if repeated := _repeated(classes):
        raise MatrixError(f"the class {_some(repeated)} stands there twice; names must be unique")
    stored = values.data if is_sparse(values) else stored_of(values)
    if not all(_are_similarities(stored[rows]) for rows in normalise.blocks(stored)):
        raise MatrixError(f"not in [0, 1]: {_outside(values, classes)}; normalise the values first")
    diagonal = values.diagonal()
    if not (diagonal == 1).all():
        wrong = [classes[index] for index in np.flatnonzero(diagonal != 1)]
        raise MatrixError(f"the similarity to itself is not 1: {_some(wrong)}; set the diagonal to 1")


def _are_similarities(block: np.ndarray) -> bool:
    # NaN fails both comparisons.
    return not block.size or bool(block.min() >= 0 and block.max() <= 1)


def _outside(values: Values, classes: tuple[str, ...]) -> str:
    if is_sparse(values):
        entries = values.tocoo()
        wrong = _is_outside(entries.data)
        pairs = zip(*(axis[wrong].tolist() for axis in entries.coords), strict=True)
        return _some_pairs(values, pairs, int(np.count_nonzero(wrong)), classes)
    diagonals = diagonals_of(values)
    if diagonals is None:
        return _where(values, _is_outside, classes)
    # One pair of each diagonal: its first.
    offsets = (np.flatnonzero(_is_outside(diagonals)) - (len(values) - 1)).tolist()
    firsts = ((max(-offset, 0), max(offset, 0)) for offset in offsets)
    return _some_pairs(values, firsts, len(offsets), classes)


def _is_outside(values: np.ndarray) -> np.ndarray:
    return np.asarray(~((values >= 0) & (values <= 1)))


def _where(values: np.ndarray, is_wrong: Callable[[np.ndarray], np.ndarray], classes: tuple[str, ...]) -> str:
    """Name the first pairs of classes at which values are wrong. Takes memory for some rows only."""

    def pairs() -> Iterator[tuple[int, int]]:
        for rows in normalise.blocks(values):
            yield from ((rows.start + row, column) for row, column in np.argwhere(is_wrong(values[rows])).tolist())

    count = sum(int(np.count_nonzero(is_wrong(values[rows]))) for rows in normalise.blocks(values))
    return _some_pairs(values, pairs(), count, classes)


def _is_same(influence: float, other: float) -> bool:
    """Tell whether two influences may be of the same values, rounded to float32 or not."""
    return math.isclose(influence, other, rel_tol=_FLOAT32_ROUNDING)


def _some_alike(matrix: SimilarityMatrix) -> str:
    """Name the first pairs of distinct classes of similarity 1, each once."""

    def pairs() -> Iterator[str]:
        for index, name in enumerate(matrix.classes):
            columns, row = matrix._row(index)
            for other in columns[(row == 1) & (columns != index)].tolist():
                if index < other or matrix.values[other, index] != 1:
                    yield f"{name}/{matrix.classes[other]}"

    found = list(islice(pairs(), _SHOWN + 1))
    return ", ".join(found[:_SHOWN]) + (" …" if len(found) > _SHOWN else "")


def _some_pairs(values: Values, pairs: Iterable[tuple[int, int]], count: int, classes: tuple[str, ...]) -> str:
    shown = (f"{classes[i]}, {classes[j]}: {values[i, j]}" for i, j in islice(pairs, _SHOWN))
    return ", ".join(shown) + (f" and {count - _SHOWN} more" if count > _SHOWN else "")


def _check_evidence(evidence: np.ndarray, classes: tuple[str, ...]) -> None:
    if evidence.dtype.kind not in "iu":
        raise MatrixError(f"evidence of type {evidence.dtype} is no count of judgements; give whole numbers")
    if evidence.shape != (len(classes), len(classes)):
        raise MatrixError(
            f"evidence of shape {evidence.shape} does not fit {len(classes)} classes; give a count a pair"
        )
    tests: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "below 0": lambda block: block < 0,
        f"above {_LARGEST_COUNT}": lambda block: block > _LARGEST_COUNT,
    }
    for what, is_wrong in tests.items():
        if any(is_wrong(evidence[rows]).any() for rows in normalise.blocks(evidence)):
            raise MatrixError(f"counts of judgements {what}: {_where(evidence, is_wrong, classes)}; mend the source")
    if not normalise.is_symmetric(evidence):
        i, j = next((i, j) for i, row in enumerate(evidence) for j in np.flatnonzero(row != evidence[:, i]).tolist())
        raise MatrixError(
            f"{evidence[i, j]} judgements of {classes[i]}, {classes[j]} but {evidence[j, i]} of {classes[j]}, "
            f"{classes[i]}; a pair has one count, in both places"
        )


def _check_same(wanted: tuple[str, ...], classes: tuple[str, ...]) -> None:
    repeated = _repeated(wanted)
    known, asked = set(classes), set(wanted)
    lacking = [name for name in wanted if name not in known]
    unasked = [name for name in classes if name not in asked]
    parts = [
        f"{what} {_some(names)}"
        for what, names in (
            ("not in the matrix:", _hinted(lacking, unasked)),
            ("only in the matrix:", unasked),
            ("given twice:", repeated),
        )
        if names
    ]
    if parts:
        raise ClassOrderError(
            f"the classes differ from the matrix's {len(classes)}; {'; '.join(parts)}. "
            "Build the matrix from the training set's class list, or pick classes with select()"
        )


def _hinted(unknown: Sequence[str], known: Iterable[str]) -> list[str]:
    hints = nearest_to_each(unknown[:_SHOWN], known)
    shown = [
        f"{name!r}" + (f" (did you mean {or_list(near)}?)" if near else "")
        for name, near in zip(unknown, hints, strict=False)
    ]
    return shown + [repr(name) for name in unknown[_SHOWN:]]


def _repeated(names: Sequence[str]) -> list[str]:
    if len(set(names)) == len(names):
        return []
    return [name for name, count in Counter(names).items() if count > 1]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
