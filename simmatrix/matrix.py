"""The similarity matrix: the one type that crosses from builders to files and to the loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from simmatrix import normalise
from simmatrix.errors import ClassNotFoundError, ClassOrderError, MatrixError, ParameterError, SourceError
from simmatrix.files import Progress, reading, shown_name, silent
from simmatrix.forms import Dense, Form, Sparse, Values, csr_of, form_of, form_of_tensors, frozen, read_only
from simmatrix.names import Names, are_names, index_of, is_name, names_in_order
from simmatrix.provenance import Input, Provenance, Step
from simmatrix.shapes import Float, Int
from simmatrix.storage import SUFFIX, is_index, read_matrix, write_matrix
from simmatrix.text import a_few, hinted, some

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from simmatrix.pairs import Pairs
    from simmatrix.shards import Columns


_SHOWN = 5
_LARGEST_COUNT = np.iinfo(np.int32).max
# Twice the relative error of a rounding to float32: of the influence that a matrix has, and of the one asked for.
_is_same = partial(math.isclose, rel_tol=2.0**-23)


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """Similarities of named classes: values in [0, 1], 1 on the diagonal. Frozen; its array is read-only.

    Parameters
    ----------
    values
        (C, C), row and column i belong to class i; where it is not symmetric, the row is the true class and the column
        the predicted one. Dense (float32), sparse (SciPy CSR, float32, sorted columns), or
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
    classes: Sequence[str]
    provenance: Provenance = field(default_factory=Provenance)
    evidence: Int[np.ndarray, "C C"] | None = None
    stored: Form = field(init=False)

    def __post_init__(self) -> None:
        stored, classes = form_of(self.values), names_in_order(self.classes)
        _check(stored, classes)
        object.__setattr__(self, "stored", stored)
        object.__setattr__(self, "values", stored.values)
        object.__setattr__(self, "classes", classes)
        if self.evidence is not None:
            object.__setattr__(self, "evidence", _checked_evidence(self.evidence, classes))

    @classmethod
    def of(
        cls, stored: Form, classes: Sequence[str], provenance: Provenance, evidence: np.ndarray | None = None
    ) -> SimilarityMatrix:
        """Return the matrix whose values are kept in a form."""
        values: Any = stored
        return cls(values, classes, provenance, evidence)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: copied and unpickled arrays can be written to.
        return SimilarityMatrix, (self.stored, self.classes, self.provenance, self.evidence)

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        return f"SimilarityMatrix({len(self)} classes, {self.form}, influence {self.influence:.3g})"

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """Return the similarity of two classes, by name."""
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ParameterError(f'matrix[...] takes two names of classes, as in matrix["a", "b"], got {pair!r:.60}')
        first, second = self.places(pair)
        return float(self.values[first, second])

    @property
    def is_sparse(self) -> bool:
        """Whether the values are kept as a sparse matrix."""
        return self.form == Sparse.name

    @property
    def form(self) -> str:
        """How the values are kept: ``"dense"``, ``"sparse"`` or ``"toeplitz"``."""
        return self.stored.name

    @cached_property
    def influence(self) -> float:
        """The mean over the rows of their sum off the diagonal, from 0 (cross entropy) to C - 1."""
        count = len(self.classes)
        return (self.stored.total() - count) / count

    @property
    def influence_range(self) -> tuple[float, float]:
        """The influences that a lower bound can give: from that of pairs of similarity 1 alone to the matrix's own."""
        return self._alike / len(self), self.influence

    @cached_property
    def _alike(self) -> int:
        """How many entries off the diagonal are 1."""
        return normalise.count_of_ones(self.stored.stored().parts()) - len(self.classes)

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return index_of(self.classes)

    def to_dense(self) -> Float[np.ndarray, "C C"]:
        """Return the values as a dense, read-only, contiguous float32 array (C, C)."""
        return self.stored.dense()

    def neighbours(self, name: str, count: int = 5) -> tuple[tuple[str, float], ...]:
        """Return the `count` other classes most similar to a class, best first; equal ones in class order.

        Classes of similarity 0 are no neighbours.
        """
        index = self.places((name,))[0]
        columns, row = self.stored.row(index)
        is_other = (row > 0) & (columns != index)
        columns, row = columns[is_other], row[is_other]
        if 0 < count < len(row):
            # Only what may be among the best is sorted.
            is_near = row >= np.partition(row, -count)[-count]
            columns, row = columns[is_near], row[is_near]
        order = np.argsort(-row, kind="stable")[: max(count, 0)]
        return tuple((self.classes[int(columns[at])], float(row[at])) for at in order.tolist())

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
        return self._bounded(bound) if bound else self

    def _bounded(self, bound: float) -> SimilarityMatrix:
        bounded = self.stored.mapped(partial(normalise.lower_bound, bound=bound))
        return self._with(bounded, {"step": "lower_bound", "bound": bound})

    def with_influence(self, influence: float, *, nearest: bool = False) -> SimilarityMatrix:
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
        nearest
            Whether to take the nearest influence that a lower bound can give, where it can't give this one.

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
        bound = self.bound_for(influence, nearest=nearest)
        return self if bound is None else self._bounded(bound)

    def bound_for(self, influence: float, *, nearest: bool = False) -> float | None:
        """Return the lower bound that `with_influence` takes; None where the matrix has that influence already."""
        normalise.check_influence(influence)
        if nearest:
            least, most = self.influence_range
            influence = min(max(influence, least), most)
        if _is_same(influence, self.influence):
            return None
        if influence > self.influence:
            raise MatrixError(
                f"an influence of {influence} is more than the {self.influence:.9g} of the matrix, and a lower bound "
                "only lessens it; ask for less, or take less off before: a smaller lower bound, or a larger top k"
            )
        least = self._alike / len(self)
        if influence < least and not _is_same(influence, least):
            same = self.stored.others(_SHOWN + 1).same
            alike = a_few([f"{self.classes[i]}/{self.classes[j]}" for i, j in same], _SHOWN)
            raise MatrixError(
                f"an influence of {influence} is less than {least:.9g}, which pairs of similarity 1 have under any "
                f"lower bound: {alike}; ask for more, or tell these classes apart in the source"
            )
        mass = 0.0 if _is_same(influence, least) else influence * len(self) - self._alike
        return normalise.bound_for(self.stored.stored().parts(), mass)

    def top_k(self, count: int) -> SimilarityMatrix:
        """Return a sparse matrix of each row's `count` largest similarities to other classes, and the diagonal.

        Of equal similarities the class that comes first is kept. The result need not be symmetric.
        """
        normalise.check_top_k(count, len(self))
        return self._with(self.stored.top_k(count), {"step": "top_k", "count": count})

    def with_pairs(self, pairs: Pairs) -> SimilarityMatrix:
        """Return the matrix with the similarity of some pairs set by hand, in both directions; recorded as a step.

        Parameters
        ----------
        pairs
            The similarity in [0, 1] of pairs of distinct classes, by their names.

        Raises
        ------
        ParameterError
            If a similarity is not in [0, 1], or a pair is set twice or of one class.
        ClassNotFoundError
            If the matrix has no class of a name; suggests the nearest ones.

        Examples
        --------
        >>> matrix = SimilarityMatrix(np.eye(3), ("rose", "tulip", "truck"))
        >>> matrix.with_pairs({("rose", "tulip"): 0.5})["tulip", "rose"]
        0.5
        """
        from simmatrix.pairs import checked

        wanted = checked(pairs)
        places = np.array([self.places(pair) for pair in wanted], dtype=np.intp).T
        values = np.array(list(wanted.values()), np.float32)
        form = self.stored.replaced(np.hstack([places, places[::-1]]), np.tile(values, 2))
        return self._with(form, {"step": "pairs", "pairs": [[*pair, value] for pair, value in wanted.items()]})

    def to_pandas(self) -> Any:
        """Return the values as a pandas DataFrame, the classes as its index and its columns; `from_matrix` reads it.

        Raises
        ------
        SourceError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise SourceError("pandas is not installed; install it: pip install pandas") from None
        return DataFrame(self.to_dense().copy(), index=list(self.classes), columns=list(self.classes))

    def select(self, names: Names) -> SimilarityMatrix:
        """Return the matrix of some of the classes, in the order given.

        A Toeplitz matrix stays one for classes that follow each other in it, and becomes dense for others. A top k
        keeps few pairs, since most of the nearest classes are not chosen; build a matrix of these names instead.

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
        wanted = names_in_order(names)
        indices = np.array(self.places(wanted), dtype=np.intp)
        evidence = None if self.evidence is None else read_only(self.evidence[indices[:, None], indices])
        return SimilarityMatrix.of(self.stored.select(indices), wanted, self.provenance.only(wanted), evidence)

    def reorder(self, names: Names) -> SimilarityMatrix:
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
        wanted = names_in_order(names)
        if wanted == self.classes:
            return self
        known, asked = set(self.classes), set(wanted)
        lacking = [name for name in wanted if name not in known]
        unasked = [name for name in self.classes if name not in asked]
        repeated = [name for name, count in Counter(wanted).items() if count > 1]
        told = {"not in the matrix": hinted(lacking, unasked), "only in the matrix": unasked, "given twice": repeated}
        parts = [f"{what}: {some(names)}" for what, names in told.items() if names]
        if parts:
            raise ClassOrderError(
                f"the classes differ from the matrix's {len(self)}; {'; '.join(parts)}. "
                "Build the matrix from the training set's class list, or pick classes with select()"
            )
        return self.select(wanted)

    def save(self, path: str | Path, *, shards: int | None = None) -> None:
        """Write the matrix to a safetensors file; see `simmatrix.save`."""
        save(self, path, shards=shards)

    def _with(self, stored: Form, step: Step) -> SimilarityMatrix:
        # What a sound matrix becomes under a bound or a top k is sound: not checked again.
        matrix = object.__new__(SimilarityMatrix)
        provenance = self.provenance.with_step(step)
        fields = {"stored": stored, "values": stored.values, "classes": self.classes, "provenance": provenance}
        vars(matrix).update(fields, evidence=self.evidence)
        return matrix

    def places(self, names: Iterable[str]) -> list[int]:
        """Return where classes stand. Raises `ClassNotFoundError` if there is none of a name; suggests near ones."""
        wanted = names_in_order(names)
        unknown = [name for name in wanted if name not in self._index]
        if unknown:
            told = f"{some(hinted(unknown, self.classes))}; its classes are {some(self.classes)}"
            raise ClassNotFoundError(f"the matrix has no class {told}", tuple(unknown))
        return [self._index[name] for name in wanted]


def _check(stored: Form, classes: Sequence[str]) -> None:
    count = stored.values.shape[0]
    if len(classes) != count:
        raise MatrixError(f"{len(classes)} classes were named for {count} rows; name each row once")
    if len(classes) < 2:
        raise MatrixError("a similarity needs at least two classes")
    if not are_names(classes):
        if nameless := [f"{index}: {name!r}" for index, name in enumerate(classes) if not is_name(name)]:
            raise MatrixError(
                f"no class names: {some(nameless)} (counted from 0); a name is text without control characters, not "
                "empty"
            )
        repeated = [name for name, count in Counter(classes).items() if count > 1]
        raise MatrixError(f"the class {some(repeated)} stands there twice; names must be unique")
    values = stored.stored().values
    # NaN fails both comparisons.
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        wrong = _where(stored, lambda values: ~((values >= 0) & (values <= 1)), classes)
        raise MatrixError(f"not in [0, 1]: {wrong}; normalise the values first")
    diagonal = stored.values.diagonal()
    if not (diagonal == 1).all():
        wrong = some([classes[index] for index in np.flatnonzero(diagonal != 1).tolist()])
        raise MatrixError(f"the similarity to itself is not 1: {wrong}; set the diagonal to 1")


def _checked_evidence(evidence: Any, classes: Sequence[str]) -> Int[np.ndarray, "C C"]:
    counts = np.asarray(evidence)
    if counts.dtype.kind not in "iu":
        raise MatrixError(f"evidence of type {counts.dtype} is no count of judgements; give whole numbers")
    if counts.shape != (len(classes), len(classes)):
        raise MatrixError(f"evidence of shape {counts.shape} does not fit {len(classes)} classes; give a count a pair")
    form = Dense(counts)
    tests: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "below 0": lambda block: block < 0,
        f"above {_LARGEST_COUNT}": lambda block: block > _LARGEST_COUNT,
    }
    for what, is_wrong in tests.items():
        if any(is_wrong(block).any() for block, _ in form.stored().parts()):
            raise MatrixError(f"counts of judgements {what}: {_where(form, is_wrong, classes)}; mend the source")
    if not form.is_symmetric():
        i, j = next((i, j) for i, row in enumerate(counts) for j in np.flatnonzero(row != counts[:, i]).tolist())
        raise MatrixError(
            f"{counts[i, j]} judgements of {classes[i]}, {classes[j]} but {counts[j, i]} of {classes[j]}, "
            f"{classes[i]}; a pair has one count, in both places"
        )
    return frozen(counts, np.int32)


def _where(form: Form, is_wrong: Callable[[np.ndarray], np.ndarray], classes: Sequence[str]) -> str:
    count, pairs = form.where(is_wrong)
    return some([f"{classes[i]}, {classes[j]}: {form.values[i, j]}" for i, j in islice(pairs, _SHOWN)], _SHOWN, count)


def save(matrix: SimilarityMatrix, path: str | Path, *, shards: int | None = None) -> None:
    """Write a matrix to a file, or to several. A crash at any point leaves the old matrix or the new one.

    Parameters
    ----------
    matrix
        What to write.
    path
        A file that does not exist yet, or holds a similarity matrix, which is replaced. The folder must exist. Where it
        ends in ``.safetensors.index.json``, the rows of a sparse matrix are divided among files beside it.
    shards
        Among how many; with 32,768 rows in each if that is not said.

    Raises
    ------
    OutputError
        If the file is something else than a similarity matrix, or can't be written; if a matrix that is not sparse is
        to be written in shards.

    Examples
    --------
    See `load`.
    """
    path = Path(path)
    if is_index(path):
        from simmatrix.shards import write_shards

        write_shards(path, matrix.stored, matrix.classes, matrix.provenance, shards, matrix.evidence)
        return
    if shards is not None:
        raise ParameterError(f"a matrix in shards has an index; name it {path.stem}{SUFFIX}")
    evidence = {} if matrix.evidence is None else {"evidence": matrix.evidence}
    write_matrix(path, matrix.stored.tensors() | evidence, matrix.classes, matrix.provenance)


@dataclass(frozen=True, eq=False)
class MatrixRows:
    """Some rows of a matrix; see `load`.

    Attributes
    ----------
    values : scipy.sparse.csr_array or numpy.ndarray
        (R, C), float32: row i is of class `rows[i]`, and each class has a column.
    rows : range
        The classes whose rows these are.
    classes
        The names of all C classes.
    provenance
        Where the values come from.
    """

    values: Float[np.ndarray, "R C"] | csr_array
    rows: range
    classes: Sequence[str]
    provenance: Provenance


@overload
def load(path: str | Path, *, rows: None = None) -> SimilarityMatrix: ...
@overload
def load(path: str | Path, *, rows: range) -> MatrixRows: ...
def load(path: str | Path, *, rows: range | None = None) -> SimilarityMatrix | MatrixRows:
    """Read a matrix from a file that `save` wrote.

    Parameters
    ----------
    path
        A file, or ``hf://owner/name/file.safetensors`` for one on the Hugging Face Hub, which takes huggingface_hub. A
        matrix in shards is read by its index, ``name.safetensors.index.json``, or under ``name.safetensors`` where
        there is no such file.
    rows
        Some rows that follow each other: of a matrix in shards only those that hold them are read.

    Returns
    -------
    SimilarityMatrix or MatrixRows
        With its provenance; the values are read once, no second copy is made of a dense matrix or of one in shards.

    Raises
    ------
    ParameterError
        If the rows are no range.
    SourceError
        If the file is missing, damaged, of a newer format version, or no similarity matrix; if one of several files is
        missing or not the one that the index lists.
    MatrixError
        If its values or names break an invariant.

    Examples
    --------
    >>> import simmatrix, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simmatrix.save(simmatrix.from_order(["low", "high"], decay=0.5), f"{folder}/order.safetensors")
    ...     simmatrix.load(f"{folder}/order.safetensors")["low", "high"]
    0.5
    """
    if rows is not None and not isinstance(rows, range):
        raise ParameterError(f"rows must be a range, such as range(0, 100), not {rows!r:.60}")
    place = _place_of(path)
    if rows is None:
        return _loaded(place)[0]
    from simmatrix.shards import checked_rows, read_shards

    if is_index(place):
        found = read_shards(place, rows)
        values = csr_of(*found.rows, len(found.classes))
        return MatrixRows(values, rows, found.classes, found.provenance)
    matrix = _loaded(place)[0]
    checked_rows(rows, len(matrix), place)
    return MatrixRows(matrix.values[rows.start : rows.stop], rows, matrix.classes, matrix.provenance)


def load_columns(path: str | Path, here: Callable[[int], range]) -> Columns | None:
    """Return some columns of a matrix in shards, and None for any other; `here` says which, of how many classes."""
    place = _place_of(path)
    if not is_index(place):
        return None
    from simmatrix.shards import read_columns

    return read_columns(place, here)


def _place_of(path: str | Path) -> Path:
    """Return the file on this machine that a path means; of a matrix in shards, its index."""
    if isinstance(path, str) and path.startswith("hf://"):
        from simmatrix.hub import downloaded

        place = downloaded(path)
        if is_index(place):
            from simmatrix.shards import read_index

            for file in read_index(place).files():
                downloaded(f"{path.rpartition('/')[0]}/{file}")
        return place
    place = Path(path)
    if place.suffix != ".safetensors":
        return place
    index = place.with_name(place.stem + SUFFIX)
    with reading(place):
        return index if not place.exists() and index.exists() else place


def _loaded(path: Path, progress: Progress | None = None) -> tuple[SimilarityMatrix, str]:
    """Return the matrix in a file, and the file's checksum if there is a `progress` to report to."""
    try:
        if is_index(path):
            from simmatrix.shards import read_shards

            shards = read_shards(path, None, progress or silent)
            form: Form = Sparse(csr_of(*shards.rows, len(shards.classes)))
            return SimilarityMatrix.of(form, shards.classes, shards.provenance), shards.sha256
        found = read_matrix(path, progress)
        form = form_of_tensors(found.tensors, len(found.classes), path)
        matrix = SimilarityMatrix.of(form, found.classes, found.provenance, found.tensors.get("evidence"))
    except MatrixError as error:
        raise MatrixError(f"{path}: {error}") from None
    return matrix, found.sha256


def load_input(path: Path, progress: Progress) -> tuple[SimilarityMatrix, Input]:
    """Read a matrix, and return what is recorded of its file too: the checksum is of the bytes that were read."""
    place = _place_of(path)
    matrix, sha256 = _loaded(place, progress)
    return matrix, Input("matrix", shown_name(place), sha256)
