"""A program may have set `numpy.seterr(all="raise")`: what is too small for a number is 0 to us all the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import SimilarityMatrix
from simmatrix.builders.completion import complete
from simmatrix.builders.confusion import from_counts
from simmatrix.builders.ratings import alpha
from simmatrix.neighbours.vectors import cosine
from simmatrix.ordering import ORDERS
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.builders.cases import CASES, CLASSES
from tests.simmatrix.matrices import in_form

TINY = float(np.finfo(np.float32).smallest_subnormal)
NAMES = ("a", "b", "c", "d")
SUPERCLASSES = ("x", "x", "y", "y")


def tiny_matrix(form: str) -> SimilarityMatrix:
    # Half of the least float32, its square and its product with a weight are all below what float32 or float64 have.
    diagonals = np.array([0, TINY, 2.5 * TINY, 1, 2.5 * TINY, TINY, 0])
    return in_form(form, toeplitz_view(diagonals), NAMES)


def tables(folder: Path) -> list[Callable[[], SimilarityMatrix]]:
    """Return builds from files whose numbers are as small as they get, or as far apart."""
    names = list(NAMES[:3])

    def written(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        return folder / name

    counts = written("counts.csv", ",a,b,c\na,1e300,1e-300,0\nb,1e-320,1,5e-324\nc,0,1e-200,1e-200\n")
    rows = "a,b,{0},{1}\na,c,{2},{1}\nb,c,{2},{1}\n"
    ratings = rows.format("1e-320", "x", "5e-324") + rows.format("5e-324", "y", "0")
    ratings = written("ratings.csv", "a,b,rating,rater\n" + ratings)
    gaps = written("gaps.csv", "a,b,1e-320\nb,c,5e-324\n")
    ready = written("ready.csv", f",a,b,c\na,1,{TINY},5e-324\nb,1e-320,1,0\nc,5e-324,1e-320,1\n")
    np.save(folder / "ready.npy", np.array([[1, TINY, 5e-324], [1e-320, 1, 0], [5e-324, 1e-320, 1]]))
    return [
        lambda: simmatrix.from_confusion(counts, names),
        lambda: simmatrix.from_ratings(ratings, names),
        lambda: simmatrix.from_ratings(ratings, names, scale="0:1", lower_bound=0.5),
        *(
            lambda how=how: simmatrix.from_ratings(gaps, names, scale="0:1", complete=how)
            for how in ("mean", "low-rank")
        ),
        *(lambda path=path: simmatrix.from_matrix(path, names) for path in (ready, folder / "ready.npy")),
        lambda: simmatrix.from_order(list(map(str, range(400))), decay=0.1),
        lambda: simmatrix.from_order(list(map(str, range(400))), decay=1e-300, circular=True, lower_bound=0.5),
        lambda: simmatrix.from_order(["0", "1e-323", "3e-323"], decay=0.5, positions="class", length_scale=1e-323),
        lambda: simmatrix.from_order(["1", "2", "1e4"], kernel="gaussian", positions="class"),
        lambda: simmatrix.from_order(
            ["1e-320", "0", "1e308"], kernel="laplace", positions="class", length_scale=1e-300
        ),
    ]


def calls() -> list[Callable[[], object]]:
    ours = [tiny_matrix(form) for form in ("dense", "sparse", "toeplitz")]
    one, flat = ours[0], SimilarityMatrix(np.where(np.eye(3) > 0, 1, 0.1), NAMES[:3])
    rows = np.array([[1, 1e-200, 0], [1e-200, 1, 1e-170], [0, 1e-170, 1]])
    return [
        lambda: SimilarityMatrix(np.where(np.eye(2) > 0, 1, 1e-60), ("a", "b")),
        *(lambda matrix=matrix: matrix.lower_bound(1e-44) for matrix in ours),
        *(lambda matrix=matrix: matrix.with_influence(matrix.influence / 2) for matrix in ours),
        *(lambda matrix=matrix: matrix.with_influence(1e-320, nearest=True) for matrix in ours),
        *(lambda bound=bound: flat.with_influence(bound, nearest=True) for bound in (1e-320, 3e-323)),
        *(lambda matrix=matrix: matrix.top_k(1) for matrix in ours),
        *(lambda matrix=matrix: simmatrix.blend([(matrix, 1e-300), (matrix, 1 - 1e-300)]) for matrix in ours),
        lambda: simmatrix.blend([(ours[0], 0.25), (ours[1], 0.75)]),
        lambda: simmatrix.compare(one, ours[2], SUPERCLASSES),
        *(lambda matrix=matrix: (simmatrix.statistics(matrix), simmatrix.concerns(matrix)) for matrix in ours),
        *(lambda order=order: ORDERS[order](one, SUPERCLASSES) for order in ORDERS),
        lambda: cosine(rows),
        lambda: from_counts(np.array([[1, 1e-200], [1e-200, 1]])),
        lambda: alpha(np.array([1e-320, 0, 0.5, 1]), np.array([0, 0, 1, 1])),
        lambda: complete(np.array([[1, 1e-320, np.nan], [1e-320, 1, 5e-324], [np.nan, 5e-324, 1]]), "low-rank"),
    ]


def test_whatever_the_program_set_the_result_is_the_same(tmp_path: Path) -> None:
    everything = [*tables(tmp_path), *calls()]
    plain = [call() for call in everything]
    with np.errstate(all="raise"):
        strict = [call() for call in everything]
    for one, other in zip(plain, strict, strict=True):
        if isinstance(one, SimilarityMatrix):
            np.testing.assert_array_equal(one.to_dense(), other.to_dense())
        else:
            np.testing.assert_equal(other, one) if not hasattr(one, "matrix") else None


@pytest.mark.parametrize("name", [name for name in CASES if name != "encoder"])
def test_so_it_is_for_every_builder(name: str, tmp_path: Path) -> None:
    build = CASES[name](tmp_path)
    plain = build(CLASSES).normalised(0.1)
    with np.errstate(all="raise"):
        strict = build(CLASSES).normalised(0.1)
    np.testing.assert_array_equal(plain.to_dense(), strict.to_dense())
