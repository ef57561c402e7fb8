"""The forms of a similarity matrix: dense, sparse, Toeplitz. Each owns what depends on how its values are stored.

Nobody else asks which form a matrix has: a form gives a row, the stored values and how many entries each stands for,
the rows and columns of some classes, the tensors of the file. Large arrays are processed block by block, in place where
nobody else holds them.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from simmatrix.errors import MatrixError, SourceError
from simmatrix.shapes import Float, Int
from simmatrix.toeplitz import diagonals_of, lengths, toeplitz_view, top_of_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from typing_extensions import TypeIs

# Underflow is ignored here and elsewhere: values too small for a number are 0, whatever `np.seterr` says.
Values: TypeAlias = "Float[np.ndarray, 'C C'] | csr_array"
Elementwise: TypeAlias = Callable[..., np.ndarray]
"""A function of each value by itself, which writes into an array `out` where one is given, as NumPy's own do."""

# Values worked on at a time, 1 MiB in float64; and the side of the squares where columns are read too.
BLOCK = 1 << 17
TILE = 256

Parts: TypeAlias = list[tuple[np.ndarray, np.ndarray | None]]
"""Some values, and how many entries of a matrix each of them stands for (None where each is one)."""


class Stored(NamedTuple):
    """The stored values of a matrix, and how many of its entries each stands for (None if each is one entry)."""

    values: Float[np.ndarray, "*shape"]
    counts: Int[np.ndarray, " D"] | None

    def parts(self, size: int = BLOCK) -> Parts:
        """Return views of about `size` values each, with their counts."""
        values, counts = self.values, self.counts
        return [(values[rows].reshape(-1), None if counts is None else counts[rows]) for rows in blocks(values, size)]


class Others(NamedTuple):
    """Counts over the C (C - 1) similarities of distinct classes.

    `isolated` are the classes whose rows are the identity's, ascending. `same` has the first pairs of similarity 1 in
    either direction, each once and in order; `same_count` counts all.
    """

    positive: int
    isolated: Sequence[int]
    same: tuple[tuple[int, int], ...]
    same_count: int


class Form(ABC):
    """How the values of a matrix are stored."""

    name: ClassVar[str]
    values: Any
    """The whole matrix: an array (C, C) or a SciPy sparse array."""

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays that a file holds, by their names in it."""

    @abstractmethod
    def stored(self) -> Stored:
        """Return what is stored of the values."""

    @abstractmethod
    def total(self) -> float:
        """Return the sum of all entries."""

    @abstractmethod
    def mapped(self, *functions: Elementwise) -> Form:
        """Return functions of each value, one after the other, computed in float64 and rounded to float32 once."""

    @abstractmethod
    def others(self, most: int) -> Others:
        """Count the similarities of distinct classes; name up to `most` pairs of similarity 1."""

    @abstractmethod
    def where(self, is_wrong: Callable[[np.ndarray], np.ndarray]) -> tuple[int, Iterator[tuple[int, int]]]:
        """Return how many of the stored values are wrong, and where each stands (first), in order."""

    def select(self, indices: Int[np.ndarray, " n"]) -> Form:
        """Return the rows and columns of some classes."""
        return Dense(read_only(self.values[indices[:, None], indices]))

    def row(self, index: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return the columns, ascending, and the values of what is stored of a row."""
        return np.arange(len(self)), self.values[index]

    def block(self, rows: slice) -> Float[np.ndarray, "n C"]:
        """Return some rows as a plain array."""
        return np.asarray(self.values[rows])

    def entries(
        self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"] | None = None
    ) -> Float[np.ndarray, "n m"]:
        """Return what stands in some rows, and in some columns of these, in their order, as an array of its own."""
        return np.asarray(self.values[rows] if columns is None else self.values[rows[:, None], columns])

    def at(self, places: Int[np.ndarray, "2 n"]) -> Float[np.ndarray, " n"]:
        """Return what stands at some rows and columns, as an array of its own."""
        return np.asarray(self.values[tuple(places)])

    def dense(self) -> Float[np.ndarray, "C C"]:
        """Return the values as a contiguous array, read-only."""
        return read_only(np.array(self.values, order="C"))

    def replaced(self, places: Int[np.ndarray, "2 n"], values: Float[np.ndarray, " n"]) -> Form:
        """Return the form with other values at some rows and columns: sparse if it was, else dense."""
        dense = np.array(self.dense())
        dense[tuple(places)] = values
        return Dense(read_only(dense))

    def top_k(self, count: int) -> Sparse:
        """Keep each row's `count` largest values off the diagonal, and its diagonal; the rest becomes 0.

        Of equal values the class that comes first is kept. The result need not be symmetric.
        """
        dense = self.dense()
        kept = np.concatenate([top_positions(dense[rows], rows.start, count) for rows in blocks(dense)])
        rows, columns = np.divmod(kept, len(dense))
        return sparse(dense[rows, columns], columns, np.searchsorted(rows, np.arange(len(dense) + 1)))


class Dense(Form):
    """All C x C values."""

    name = "dense"

    def __init__(self, values: Float[np.ndarray, "C C"] | Int[np.ndarray, "C C"]) -> None:
        self.values = values

    def tensors(self) -> dict[str, np.ndarray]:
        return {"similarity": self.values}

    def stored(self) -> Stored:
        return Stored(self.values, None)

    def total(self) -> float:
        return math.fsum(float(self.values[rows].sum(dtype=np.float64)) for rows in blocks(self.values))

    def dense(self) -> Float[np.ndarray, "C C"]:
        values: np.ndarray = self.values
        return values

    def mapped(self, *functions: Elementwise) -> Dense:
        return Dense(read_only(apply(self.values, functions, np.empty(self.values.shape, np.float32))))

    def normalised(self, *functions: Elementwise) -> Dense:
        """Return `mapped` with a diagonal of ones; float32 values that can be written to are overwritten."""
        out = self.values if _can_overwrite(self.values) else np.empty(self.values.shape, np.float32)
        values = apply(self.values, functions, out)
        np.fill_diagonal(values, 1.0)
        return Dense(read_only(values))

    def is_symmetric(self) -> bool:
        """Tell whether the values equal their transpose."""
        values = self.values
        return all(np.array_equal(values[rows, cols], values[cols, rows].T) for rows, cols in _tiles(len(self)))

    @np.errstate(under="ignore")
    def symmetrised(self) -> Dense:
        """Return (S + S^T) / 2; float32 values that can be written to are overwritten."""
        out = self.values if _can_overwrite(self.values) else np.array(self.values, np.float64)
        for rows, columns in _tiles(len(out)):
            mean = out[rows, columns] / 2 + out[columns, rows].T / 2
            out[rows, columns] = mean
            out[columns, rows] = mean.T
        return Dense(out)

    def others(self, most: int) -> Others:
        # By blocks: a mask of all values would take a quarter of the matrix's memory, their indices four times as much.
        entries: list[int] = []
        ones = -len(self)
        for rows in blocks(self.values):
            block = self.values[rows]
            entries += (int(np.count_nonzero(row)) for row in block > 0)
            ones += int(np.count_nonzero(block == 1))
        same, count = self._same_pairs(most) if ones > 0 else ((), 0)
        isolated = [index for index, count in enumerate(entries) if count == 1]
        return Others(sum(entries) - len(self), isolated, same, count)

    def _same_pairs(self, most: int) -> tuple[tuple[tuple[int, int], ...], int]:
        values, pairs, count = self.values, [], 0
        for top in range(0, len(values), TILE):
            same = values[top : top + TILE, top:] == 1
            for left in range(top, len(values), TILE):
                columns = slice(left - top, left - top + TILE)
                same[:, columns] |= (values[left : left + TILE, top : top + TILE] == 1).T
            same = np.triu(same, 1)
            count += int(np.count_nonzero(same))
            pairs += [(top + int(i), top + int(j)) for i, j in islice(zip(*same.nonzero(), strict=True), most)]
            del pairs[most:]
        return tuple(pairs), count

    def where(self, is_wrong: Callable[[np.ndarray], np.ndarray]) -> tuple[int, Iterator[tuple[int, int]]]:
        count = sum(int(np.count_nonzero(is_wrong(self.values[rows]))) for rows in blocks(self.values))
        found = ((rows.start, np.argwhere(is_wrong(self.values[rows])).tolist()) for rows in blocks(self.values))
        return count, ((first + row, column) for first, places in found for row, column in places)


class Sparse(Form):
    """The values above 0, row by row: a SciPy CSR array, its columns sorted."""

    name = "sparse"
    tensor_names = ("crow_indices", "col_indices", "values")

    def __init__(self, values: csr_array) -> None:
        self.values: csr_array = values

    def tensors(self) -> dict[str, np.ndarray]:
        # int64 first, so that every tensor starts at a multiple of its item's size.
        values = self.values
        parts = (values.indptr.astype("<i8"), values.indices.astype("<i4"), values.data)
        return dict(zip(self.tensor_names, parts, strict=True))

    def stored(self) -> Stored:
        return Stored(self.values.data, None)

    def total(self) -> float:
        return float(self.values.data.sum(dtype=np.float64))  # of a sparse array, older SciPy sums in its own dtype

    def row(self, index: int) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        stored = slice(*self.values.indptr[index : index + 2].tolist())
        return self.values.indices[stored], self.values.data[stored]

    def block(self, rows: slice) -> Float[np.ndarray, "n C"]:
        return np.asarray(self.values[rows].toarray())

    def entries(
        self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"] | None = None
    ) -> Float[np.ndarray, "n m"]:
        chosen = self.values[rows]
        return np.asarray((chosen if columns is None else chosen[:, columns]).toarray())

    def at(self, places: Int[np.ndarray, "2 n"]) -> Float[np.ndarray, " n"]:
        # SciPy leaves the result of no places, and of all that are 0, sparse.
        found = self.values[tuple(places)]
        return np.asarray(found.toarray() if hasattr(found, "toarray") else found)

    def dense(self) -> Float[np.ndarray, "C C"]:
        return read_only(np.asarray(self.values.toarray()))

    def mapped(self, *functions: Elementwise) -> Sparse:
        values = self.values.copy()
        values.data = apply(self.values.data, functions, np.empty(values.data.shape, np.float32))
        return Sparse(canonical(values))

    def replaced(self, places: Int[np.ndarray, "2 n"], values: Float[np.ndarray, " n"]) -> Sparse:
        entries = self.values.tolil()
        entries[tuple(places)] = values
        return Sparse(canonical(entries))

    def select(self, indices: Int[np.ndarray, " n"]) -> Sparse:
        return Sparse(canonical(self.values[indices, :][:, indices]))

    def top_k(self, count: int) -> Sparse:
        values = self.values
        lengths = np.diff(values.indptr)
        rows, columns = np.repeat(np.arange(len(self)), lengths), values.indices
        # Row by row: the diagonal, then the largest, of equal ones the first.
        order = np.lexsort((columns, -values.data, rows != columns, rows))
        ranks = np.arange(len(order)) - np.repeat(values.indptr[:-1], lengths)
        kept = np.sort(order[ranks <= count])
        return sparse(values.data[kept], columns[kept], np.searchsorted(rows[kept], np.arange(len(self) + 1)))

    def others(self, most: int) -> Others:
        # By blocks, as in `Dense.others`: the row of each entry as an index takes as much memory as the values.
        size, starts = len(self), self.values.indptr
        positive, isolated = 0, []
        pairs = [np.empty(0, np.int64)]
        for block in blocks(starts[:-1], BLOCK * size // max(self.values.nnz, 1)):
            stored = slice(starts[block.start], starts[min(block.stop, size)])
            numbers = np.arange(block.start, min(block.stop, size))
            rows = np.repeat(numbers, np.diff(starts[block.start : block.stop + 1]))
            columns = self.values.indices[stored]
            is_other = rows != columns
            positive += int(np.count_nonzero(is_other))
            isolated += np.setdiff1d(numbers, rows[is_other]).tolist()
            is_same = is_other & (self.values.data[stored] == 1)
            ends = rows[is_same], columns[is_same].astype(np.int64)
            pairs.append(np.minimum(*ends) * size + np.maximum(*ends))
        same = np.unique(np.concatenate(pairs))
        return Others(positive, isolated, tuple(divmod(pair, size) for pair in same[:most].tolist()), len(same))

    def where(self, is_wrong: Callable[[np.ndarray], np.ndarray]) -> tuple[int, Iterator[tuple[int, int]]]:
        wrong = np.flatnonzero(is_wrong(self.values.data))
        rows = np.searchsorted(self.values.indptr, wrong, side="right") - 1
        return len(wrong), zip(rows.tolist(), self.values.indices[wrong].tolist(), strict=True)


class Toeplitz(Form):
    """The 2 C - 1 diagonals of a matrix that has one value on each: S[i, j] = diagonals[C - 1 + j - i]."""

    name = "toeplitz"

    def __init__(self, diagonals: Float[np.ndarray, " D"]) -> None:
        self.diagonals = diagonals

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling the view as an array would write all C x C entries.
        return Toeplitz, (self.diagonals,)

    @cached_property
    def values(self) -> Float[np.ndarray, "C C"]:
        """The matrix as a read-only view of its diagonals."""
        return toeplitz_view(self.diagonals)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"diagonals": self.diagonals}

    def stored(self) -> Stored:
        return Stored(self.diagonals, lengths(len(self)))

    def total(self) -> float:
        # Exact: a float32 times a length below 2^29 is a float64.
        return math.fsum((self.diagonals.astype(np.float64) * lengths(len(self))).tolist())

    def mapped(self, *functions: Elementwise) -> Toeplitz:
        return Toeplitz(read_only(apply(self.diagonals, functions, np.empty(self.diagonals.shape, np.float32))))

    def normalised(self, *functions: Elementwise) -> Toeplitz:
        """Return `mapped` with a diagonal of ones."""
        diagonals = apply(self.diagonals, functions, np.empty(self.diagonals.shape, np.float32))
        diagonals[len(self) - 1] = 1.0
        return Toeplitz(read_only(diagonals))

    def is_symmetric(self) -> bool:
        """Tell whether the values equal their transpose."""
        return np.array_equal(self.diagonals, self.diagonals[::-1])

    @np.errstate(under="ignore")
    def symmetrised(self) -> Toeplitz:
        """Return (S + S^T) / 2."""
        return Toeplitz(self.diagonals / 2 + self.diagonals[::-1] / 2)

    def select(self, indices: Int[np.ndarray, " n"]) -> Form:
        if len(indices) > 1 and (np.diff(indices) == 1).all():
            middle = len(self) - 1
            return Toeplitz(self.diagonals[middle + 1 - len(indices) : middle + len(indices)])
        return super().select(indices)

    def top_k(self, count: int) -> Sparse:
        return sparse(*top_of_rows(self.diagonals, count))

    def others(self, most: int) -> Others:
        size = len(self)
        above, below = self.diagonals[size:], self.diagonals[size - 2 :: -1]
        # Row i crosses C - 1 - i diagonals above the main one and i below. If all of them hold 0, it is the identity's.
        reached = [int(np.argmax(side > 0)) if (side > 0).any() else size - 1 for side in (above, below)]
        distances = (np.flatnonzero((above == 1) | (below == 1)) + 1).tolist()
        pairs = ((i, i + distance) for i in range(size) for distance in distances if i + distance < size)
        count = sum(size - distance for distance in distances)
        positive = int(lengths(size)[self.diagonals > 0].sum()) - size
        isolated = range(size - 1 - reached[0], reached[1] + 1)
        return Others(positive, isolated, tuple(islice(pairs, min(most, count))), count)

    def where(self, is_wrong: Callable[[np.ndarray], np.ndarray]) -> tuple[int, Iterator[tuple[int, int]]]:
        offsets = (np.flatnonzero(is_wrong(self.diagonals)) - (len(self) - 1)).tolist()
        return len(offsets), ((max(-offset, 0), max(offset, 0)) for offset in offsets)


def form_of(values: object) -> Form:
    """Return values as a form with read-only float32 arrays: the given ones if nobody can write to them, else copies.

    The values are a form, a SciPy sparse array, or an array, which is Toeplitz if it is a view of its diagonals
    (`simmatrix.toeplitz.toeplitz_view`). `MatrixError` if they are no square matrix of numbers.
    """
    if isinstance(values, Toeplitz):
        return Toeplitz(frozen(values.diagonals))
    if isinstance(values, Dense):
        return Dense(frozen(values.values))
    if isinstance(values, Sparse):
        return Sparse(canonical(values.values)) if values.values.data.flags.writeable else values
    if is_sparse(values):
        _check_square(values.shape)
        return Sparse(canonical(values))
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise MatrixError(f"values of type {array.dtype} are no similarities; give numbers")
    _check_square(array.shape)
    diagonals = diagonals_of(array)
    return Dense(frozen(array)) if diagonals is None else Toeplitz(frozen(diagonals))


def form_of_tensors(tensors: Mapping[str, np.ndarray], count: int, path: Path) -> Form:
    """Return the form that a file holds for `count` classes. Raises SourceError if its tensors do not fit."""
    if "similarity" in tensors:
        return form_of(tensors["similarity"])
    if "diagonals" in tensors:
        diagonals = tensors["diagonals"]
        if diagonals.shape != (2 * count - 1,):
            raise SourceError(
                f"its diagonals of shape {diagonals.shape} do not fit {count} classes; build it again", path
            )
        return Toeplitz(diagonals)
    from scipy.sparse import csr_array

    starts, columns, values = (tensors[name] for name in Sparse.tensor_names)
    try:
        matrix = csr_array((values, columns, starts), shape=(count, count))
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise SourceError(f"its sparse matrix is damaged ({error}); build it again", path) from None
    if not matrix.has_canonical_format or (values == 0).any():
        raise SourceError("its sparse matrix is damaged (unsorted columns or stored zeros); build it again", path)
    return Sparse(canonical(matrix))


def csr_of(
    starts: Int[np.ndarray, " R1"], columns: Int[np.ndarray, " nnz"], values: Float[np.ndarray, " nnz"], count: int
) -> csr_array:
    """Return a CSR array, read-only, of parts that are in order: in their own memory."""
    from scipy.sparse import csr_array

    # Starts and columns have one type there: the wider of the two, for which the columns would be copied.
    starts = starts.astype(np.int32) if len(values) <= np.iinfo(np.int32).max else starts
    rows = csr_array((values, columns, starts), shape=(len(starts) - 1, count))
    for part in (rows.data, rows.indices, rows.indptr):
        part.flags.writeable = False
    return rows


def raw_form(values: Float[np.ndarray, "C C"]) -> Dense | Toeplitz:
    """Return the form of raw similarities, in their own memory."""
    diagonals = diagonals_of(values)
    return Dense(values) if diagonals is None else Toeplitz(diagonals)


@np.errstate(under="ignore")
def weighted_mean(forms: Sequence[Form], weights: Sequence[float]) -> Form:
    """Return the weighted sum, computed in float64 and rounded once: sparse or Toeplitz if all are so, else dense."""
    if all(isinstance(one, Sparse) for one in forms):
        return Sparse(canonical(_weighted([one.values for one in forms], weights)))
    toeplitz = [one.diagonals for one in forms if isinstance(one, Toeplitz)]
    if len(toeplitz) == len(forms):
        return Toeplitz(frozen(_weighted(toeplitz, weights)))
    mean = np.empty((len(forms[0]), len(forms[0])), np.float32)
    for rows in blocks(mean):
        mean[rows] = _weighted([one.block(rows) for one in forms], weights)
    return Dense(read_only(mean))


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise MatrixError(f"values of shape {shape} are not square; a row and a column belong to each class")


def _weighted(parts: Sequence[Any], weights: Sequence[float]) -> Any:
    return reduce(operator.add, (part.astype(np.float64) * weight for part, weight in zip(parts, weights, strict=True)))


def blocks(values: np.ndarray, size: int = BLOCK) -> list[slice]:
    """Return slices of an array's rows, one after the other, of about `size` values each."""
    step = max(1, size * len(values) // max(values.size, 1))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def _tiles(count: int) -> list[tuple[slice, slice]]:
    """Return the squares of rows and columns that cover the upper triangle, row by row.

    The memory of a square and of its mirror image stays in the cache while one is read along the other's columns.
    """
    starts = range(0, count, TILE)
    return [(slice(top, top + TILE), slice(left, left + TILE)) for top in starts for left in starts if left >= top]


@np.errstate(under="ignore")
def apply(
    values: Float[np.ndarray, "*shape"], functions: Sequence[Elementwise], out: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Apply functions to blocks of rows in float64, so that rounding to float32 happens once, at the end."""
    buffer = np.empty((0, *values.shape[1:]))
    for rows in blocks(values):
        block = values[rows]
        if len(buffer) < len(block):
            # Allocated once: memory that is allocated for each block is returned and cleared each time.
            buffer = np.empty(block.shape)
        work = buffer[: len(block)]
        work[...] = block
        for function in functions:
            function(work, out=work)
        out[rows] = work
    return out


def top_positions(block: Float[np.ndarray, "n C"], first: int, count: int) -> np.ndarray:
    """Return the positions that `top_k` keeps, row by row, in a block of rows that starts at row `first`."""
    size = block.shape[1]
    ranked = block.copy()
    # The diagonal is always kept.
    ranked[np.arange(len(block)), np.arange(first, first + len(block))] = np.inf
    least = np.partition(ranked, size - count - 1, axis=1)[:, [size - count - 1]]
    keep = ranked > least
    # Ties for the last places: as many as there is room for, from the left.
    tied = ranked == least
    room = count + 1 - np.count_nonzero(keep, axis=1)
    for row in np.flatnonzero(np.count_nonzero(tied, axis=1) > room):
        tied[row, np.flatnonzero(tied[row])[room[row] :]] = False
    keep |= tied
    keep &= block > 0
    positions: np.ndarray = np.flatnonzero(keep) + first * size
    return positions


def frozen(array: np.ndarray, dtype: type[np.generic] = np.float32) -> np.ndarray:
    """Return an array of a type that nobody can write to: the array itself if it is one, else a copy."""
    if array.dtype == dtype and array.flags.c_contiguous and _nobody_writes(array):
        return array
    # Values too large for float32 become infinite, which the check refuses; those too small become 0.
    with np.errstate(over="ignore", under="ignore"):
        return read_only(np.array(array, dtype=dtype, order="C"))


def read_only(values: np.ndarray) -> np.ndarray:
    """Make an array read-only, and return it."""
    values.flags.writeable = False
    return values


def _can_overwrite(values: np.ndarray) -> bool:
    return values.dtype == np.float32 and values.flags.writeable


def _nobody_writes(array: np.ndarray) -> bool:
    """Tell whether an array and all arrays it is a view of are read-only."""
    while not array.flags.writeable:
        if not isinstance(array.base, np.ndarray):
            return array.base is None
        array = array.base
    return False


def is_sparse(values: Any) -> TypeIs[csr_array]:
    """Tell whether values are a SciPy sparse array of any kind, without importing SciPy."""
    return hasattr(values, "tocsr")


def sparse(data: np.ndarray, columns: np.ndarray, starts: np.ndarray) -> Sparse:
    """Return the form with these parts of a CSR array."""
    from scipy.sparse import csr_array

    return Sparse(canonical(csr_array((data, columns, starts), shape=(len(starts) - 1, len(starts) - 1))))


@np.errstate(over="ignore", under="ignore")
def canonical(values: Any) -> csr_array:
    """Return values as the one CSR array that stands for them: sorted, nothing twice, no zero stored, read-only."""
    from scipy.sparse import csr_array

    sparse = csr_array(values, dtype=np.float32, copy=True)
    sparse.sum_duplicates()
    sparse.eliminate_zeros()
    for part in (sparse.data, sparse.indices, sparse.indptr):
        part.flags.writeable = False
    return sparse
