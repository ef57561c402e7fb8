"""The similarity matrix: the one type that crosses from builders to files and to the loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simmatrix import normalise
from simmatrix.errors import ClassNotFoundError, ClassOrderError, MatrixError
from simmatrix.names import is_name
from simmatrix.provenance import Provenance, Step
from simmatrix.shapes import Float
from simmatrix.suggest import nearest_to_each, or_list

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from typing_extensions import TypeIs

__all__ = ["SimilarityMatrix", "Values", "is_sparse"]

Values: TypeAlias = "Float[np.ndarray, 'C C'] | csr_array"

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """Similarities of named classes: values in [0, 1], 1 on the diagonal. Frozen; its array is read-only.

    Parameters
    ----------
    values
        (C, C), row and column i belong to class i. Dense (float32) or sparse (SciPy CSR, float32, sorted columns).
        A writeable array is copied, a read-only one is taken as it is.
    classes
        The C names, unique, in label order.
    provenance
        Where the values come from.

    Raises
    ------
    MatrixError
        If the values are not square, not finite, outside [0, 1] or without a unit diagonal, or do not fit the names;
        names the classes concerned.

    Examples
    --------
    >>> matrix = SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("rose", "tulip"))
    >>> matrix["rose", "tulip"], matrix.influence
    (0.5, 0.5)
    """

    values: Values
    classes: tuple[str, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        values = _frozen_sparse(self.values) if is_sparse(self.values) else _frozen_dense(self.values)
        _check(values, self.classes)
        object.__setattr__(self, "values", values)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: a copied or unpickled array is writeable.
        return SimilarityMatrix, (self.values, self.classes, self.provenance)

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        form = "sparse" if self.is_sparse else "dense"
        return f"SimilarityMatrix({len(self)} classes, {form}, influence {self.influence:.3g})"

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """Return the similarity of two classes, by name."""
        first, second = self._indices(pair)
        return float(self.values[first, second])

    @property
    def is_sparse(self) -> bool:
        """Whether the values are kept as a sparse matrix."""
        return is_sparse(self.values)

    @cached_property
    def influence(self) -> float:
        """The mean over the rows of their sum off the diagonal, from 0 (cross entropy) to C - 1."""
        return float(self.values.sum(dtype=np.float64) - len(self)) / len(self)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    def to_dense(self) -> Float[np.ndarray, "C C"]:
        """Return the values as a dense, read-only float32 array (C, C)."""
        if not is_sparse(self.values):
            return self.values
        dense = self.values.toarray()
        dense.flags.writeable = False
        return np.asarray(dense)

    def neighbours(self, name: str, count: int = 5) -> tuple[tuple[str, float], ...]:
        """Return the `count` other classes most similar to a class, best first; equal ones in class order.

        Classes of similarity 0 are no neighbours.
        """
        index = self._indices((name,))[0]
        row = self.values[[index], :].toarray()[0] if is_sparse(self.values) else self.values[index]
        order = np.argsort(-row, kind="stable")
        others = (other for other in order.tolist() if other != index and row[other] > 0)
        return tuple((self.classes[other], float(row[other])) for other, _ in zip(others, range(count), strict=False))

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

    def top_k(self, count: int) -> SimilarityMatrix:
        """Return a sparse matrix of each row's `count` largest similarities to other classes, and the diagonal.

        Of equal similarities the class that comes first is kept. The result need not be symmetric.
        """
        if not 1 <= count < len(self):
            raise MatrixError(f"can't keep {count} of the {len(self) - 1} other classes; give 1 to {len(self) - 1}")
        return self._with(normalise.keep_top(self.to_dense(), count), {"step": "top_k", "count": count})

    def select(self, names: Sequence[str]) -> SimilarityMatrix:
        """Return the matrix of some of the classes, in the order given.

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
        else:
            values = _read_only(self.values[indices[:, None], indices])
        return SimilarityMatrix(values, names, self.provenance.only(names))

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

    def _with(self, values: Values, step: Step) -> SimilarityMatrix:
        return SimilarityMatrix(values, self.classes, self.provenance.with_step(step))

    def _indices(self, names: Iterable[str]) -> list[int]:
        unknown = [name for name in names if name not in self._index]
        if unknown:
            raise ClassNotFoundError(f"the matrix has no class {_some(_hinted(unknown, self.classes))}", tuple(unknown))
        return [self._index[name] for name in names]


def is_sparse(values: Any) -> TypeIs[csr_array]:
    """Tell whether values are a SciPy sparse array of any kind, without importing SciPy."""
    return hasattr(values, "tocsr")


def _read_only(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    values.flags.writeable = False
    return values


def _frozen_dense(values: Any) -> Float[np.ndarray, "*shape"]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise MatrixError(f"values of type {array.dtype} are no similarities; give numbers")
    if array.dtype == np.float32 and array.flags.c_contiguous and _nobody_writes(array):
        return array
    # What is too large for float32 becomes infinite, which the check of the values refuses.
    with np.errstate(over="ignore"):
        return _read_only(np.array(array, dtype=np.float32, order="C"))


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
    stored = values.data if is_sparse(values) else values
    # NaN fails both comparisons.
    if stored.size and not (stored.min() >= 0 and stored.max() <= 1):
        raise MatrixError(f"not in [0, 1]: {_some(_outside(values, classes))}; normalise the values first")
    diagonal = values.diagonal()
    if not (diagonal == 1).all():
        wrong = [classes[index] for index in np.flatnonzero(diagonal != 1)]
        raise MatrixError(f"the similarity to itself is not 1: {_some(wrong)}; set the diagonal to 1")


def _outside(values: Values, classes: tuple[str, ...]) -> list[str]:
    if is_sparse(values):
        entries = values.tocoo()
        triples = zip(*entries.coords, entries.data, strict=True)
        return [f"{classes[i]}, {classes[j]}: {value}" for i, j, value in triples if not 0 <= value <= 1]
    wrong = np.argwhere(~((values >= 0) & (values <= 1)))
    return [f"{classes[i]}, {classes[j]}: {values[i, j]}" for i, j in wrong]


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
    return [name for name, count in Counter(names).items() if count > 1]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
