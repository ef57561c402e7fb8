"""The forms of a matrix: what each says of a row, and which a matrix takes. The peers are dense tensors and SciPy."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import simmatrix
from simloss.forms import FORMS as CLASSES
from simloss.forms import (
    Dense,
    Sparse,
    Toeplitz,
    as_similarity,
    class_count,
    columns_of,
    from_matrix,
    name_of,
    rows,
    spans,
)
from tests.simloss.cases import in_form, random_labels, random_similarity, sparse_of

FORMS = ["dense", "sparse", "toeplitz"]


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(1, 12), count=st.integers(0, 9), seed=st.integers(0, 2**20), data=st.data())
@pytest.mark.parametrize("form", FORMS)
def test_rows_and_columns_are_those_of_the_matrix(
    form: str, classes: int, count: int, seed: int, data: st.DataObject
) -> None:
    similarity, dense = in_form(form, classes, seed)
    labels = random_labels(count, classes=classes, seed=seed)
    first = data.draw(st.integers(0, classes))
    last = data.draw(st.integers(first, classes))
    assert class_count(similarity) == classes
    assert torch.equal(rows(similarity, labels, torch.full((count, classes), 9.0)), dense[labels])
    some = columns_of(similarity, first, last, classes)
    assert type(some) is type(similarity)
    if last > first:
        assert torch.equal(rows(some, labels, torch.full((count, last - first), 9.0)), dense[labels, first:last])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_in_the_dtype_that_is_wanted(form: str, dtype: torch.dtype) -> None:
    similarity, dense = in_form(form, 5)
    labels = torch.tensor([4, 0, 4])
    assert torch.equal(rows(similarity, labels, torch.empty(3, 5, dtype=dtype)), dense[labels].to(dtype))


def test_spans_of_rows_of_different_lengths() -> None:
    """SciPy's CSR says which entries a row has; a shorter row repeats its last one."""
    similarity = random_similarity(9)
    similarity[4] = 0.0
    expected = scipy.sparse.csr_array(similarity.numpy())
    columns, values, is_entry = spans(sparse_of(similarity), torch.tensor([3, 4, 0]), torch.float32)
    for row, label in enumerate([3, 4, 0]):
        entries = expected[[label]]
        assert columns[row, is_entry[row]].tolist() == entries.indices.tolist()
        assert values[row, is_entry[row]].tolist() == entries.data.tolist()
        filled = ~is_entry[row]
        if entries.nnz and filled.any():
            assert columns[row, filled].unique().tolist() == [entries.indices[-1]]
            assert values[row, filled].unique().tolist() == [entries.data[-1]]
    assert values[1].tolist() == [0.0] * columns.shape[1]


def test_spans_of_rows_of_one_length_need_no_mask() -> None:
    columns, values, is_entry = spans(sparse_of(torch.eye(4)), torch.tensor([2, 0]), torch.float32)
    assert columns.tolist() == [[2], [0]]
    assert values.tolist() == [[1.0], [1.0]]
    assert is_entry is None


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_its_name_and_tensors(form: str) -> None:
    similarity, _ = in_form(form, 5)
    again = CLASSES[name_of(similarity)](*similarity)
    assert type(again) is type(similarity)
    assert all(one is other for one, other in zip(again, similarity, strict=True))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_tensors_have_a_form() -> None:
    dense = random_similarity(6)
    assert as_similarity(dense).values is dense
    of_csr = as_similarity(dense.to_sparse_csr())
    assert isinstance(of_csr, Sparse)
    assert torch.equal(rows(of_csr, torch.arange(6), torch.empty(6, 6)), dense)
    for form in (Dense(dense), of_csr, Toeplitz(torch.ones(5))):
        assert as_similarity(form) is form
    with pytest.raises(ValueError, match=r"square.*CSR tensor of shape \(6, 4\)"):
        as_similarity(dense[:, :4].to_sparse_csr())
    with pytest.raises(TypeError, match="got list"):
        as_similarity([[1.0]])


# --- from a SimilarityMatrix ------------------------------------------------------------------------------------------


def named(values: object) -> simmatrix.SimilarityMatrix:
    return simmatrix.SimilarityMatrix(values, tuple(f"c{number}" for number in range(values.shape[0])))


def banded(classes: int, beside: int) -> scipy.sparse.csr_array:
    offsets = range(-beside, beside + 1)
    return scipy.sparse.csr_array(
        scipy.sparse.diags_array(
            [0.5 + 0.5 * (k == 0) for k in offsets], offsets=list(offsets), shape=(classes, classes)
        )
    )


@pytest.mark.parametrize(
    ("matrix", "form"),
    [
        (named(np.eye(5, dtype=np.float32)), Dense),
        (named(banded(40, 1)), Sparse),
        (named(banded(40, 3)), Dense),  # 268 of 1,600: more than an eighth
        (simmatrix.from_order([f"c{number}" for number in range(7)], decay=0.5), Toeplitz),
        (simmatrix.from_order([f"c{number}" for number in range(40)], decay=0.5).top_k(2), Sparse),
    ],
)
def test_a_matrix_takes_the_form_that_is_fastest(matrix: simmatrix.SimilarityMatrix, form: type) -> None:
    made = from_matrix(matrix)
    size = len(matrix.classes)
    assert type(made) is form
    assert made[-1].dtype == torch.float32
    np.testing.assert_array_equal(rows(made, torch.arange(size), torch.empty(size, size)), matrix.to_dense())
