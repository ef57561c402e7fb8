"""Decisions of minimum risk: the oracle's risks are the yardstick, and argmax where the matrix says nothing."""

import doctest
import math
import warnings

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import simloss.decisions
import simmatrix
from simloss.decisions import minimum_risk
from simloss.forms import Sparse, Toeplitz
from tests import metrics_oracle as oracle
from tests.simloss.cases import in_form, random_logits, random_similarity, random_toeplitz, sparse_of

FORMS = ["dense", "sparse", "toeplitz"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def identity(form: str, classes: int) -> Tensor | Sparse | Toeplitz:
    if form == "toeplitz":
        return Toeplitz(torch.eye(1, 2 * classes - 1).roll(classes - 1, 1)[0])
    return sparse_of(torch.eye(classes)) if form == "sparse" else torch.eye(classes)


@settings(max_examples=60, deadline=None)
@given(
    classes=st.integers(1, 9), count=st.integers(0, 6), seed=st.integers(0, 2**20), scale=st.sampled_from([0.1, 3, 99])
)
@pytest.mark.parametrize("form", FORMS)
def test_no_class_has_less_risk(form: str, classes: int, count: int, seed: int, scale: float) -> None:
    """And of those with as little, none has a greater logit."""
    similarity, dense = in_form(form, classes, seed)
    logits = random_logits(count, classes, seed=seed, scale=scale)
    found = minimum_risk(logits, similarity)
    assert found.shape == (count,)
    assert found.dtype == torch.int64
    # Of each risk in float64: a sum of C terms, and C gains that are taken for equal; and a dozen roundings.
    allowed = (6 * classes + 12) * 2.0**-53
    for z, decided in zip(logits.double().numpy(), found.tolist(), strict=True):
        risks = oracle.risks(z, dense.double().numpy())
        assert risks[decided] <= min(risks) + allowed
        assert all(z[c] <= z[decided] for c, risk in enumerate(risks) if risk == risks[decided])


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(1, 9), seed=st.integers(0, 2**20), data=st.data())
@pytest.mark.parametrize("form", FORMS)
def test_with_the_identity_matrix_it_is_argmax(form: str, classes: int, seed: int, data: st.DataObject) -> None:
    """Also where logits are equal, almost equal, or infinite."""
    numbers = st.sampled_from([0.0, -0.0, 1.0, 1 + 2.0**-23, 1e-30, -1e-30, 300.0, -3e38, 3e38, math.inf, -math.inf])
    logits = torch.tensor(data.draw(st.lists(st.lists(numbers, min_size=classes, max_size=classes), max_size=5)))
    logits = logits.reshape(-1, classes)
    assert torch.equal(minimum_risk(logits, identity(form, classes)), logits.argmax(1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_with_the_identity_matrix_it_is_argmax_in_every_dtype(form: str, dtype: torch.dtype) -> None:
    logits = random_logits(200, 30, dtype=dtype)
    assert torch.equal(minimum_risk(logits, identity(form, 30)), logits.argmax(1))


@pytest.mark.parametrize("form", FORMS)
def test_equal_risks_follow_the_greater_logit(form: str) -> None:
    """All are equal where all classes are the same, whatever the sums round to; and of equal logits the first wins."""
    ones = torch.ones(300, 300)
    similarity = {"dense": ones, "sparse": sparse_of(ones), "toeplitz": Toeplitz(torch.ones(599))}[form]
    logits = random_logits(50, 300).bfloat16()
    assert torch.equal(minimum_risk(logits, similarity), logits.argmax(1))


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("seed", range(5))
def test_risks_that_only_rounding_tells_apart_follow_the_greater_logit(seed: int, form: str) -> None:
    """The last two classes are similar to all others by the same numbers in two orders, which sum up differently."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(98, generator=generator, dtype=torch.float64)
    similarity = torch.eye(100, dtype=torch.float64)
    similarity[:98, 98:] = torch.stack([shares, shares[torch.randperm(98, generator=generator)]], 1)
    similarity[98:, 98:] = 1.0
    logits = torch.zeros(2, 100)
    logits[:, 98:] = torch.tensor([[-1.0, -1.5], [-1.5, -1.0]])
    assert minimum_risk(logits, sparse_of(similarity) if form == "sparse" else similarity).tolist() == [98, 99]


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_infinite_logits_share_all(form: str) -> None:
    """Two classes are certain, each as much as the other: what is similar to both is the decision."""
    similarity = torch.tensor([[1.0, 0.0, 0.75], [0.0, 1.0, 0.75], [0.0, 0.0, 1.0]])
    logits = torch.tensor([[math.inf, math.inf, 0.0], [math.inf, 3e38, 0.0], [-math.inf] * 3])
    assert minimum_risk(logits, sparse_of(similarity) if form == "sparse" else similarity).tolist() == [2, 0, 2]


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_risk_that_is_a_little_less_is_less(form: str) -> None:
    """Nothing but rounding is taken for equal: here 2^-42 more similarity outweighs a logit that is greater."""
    similarity = torch.tensor([[1, 1 - 2.0**-42], [1, 1]], dtype=torch.float64)
    logits = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert minimum_risk(logits, sparse_of(similarity) if form == "sparse" else similarity).item() == 0


def test_the_row_is_the_true_class() -> None:
    """A cat taken for a lynx costs nothing here, a lynx for a cat all: so lynx is the decision, however improbable."""
    similarity, logits = torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.tensor([9.0, 0.0])
    assert minimum_risk(logits, similarity).item() == 1
    assert minimum_risk(logits, similarity.T).item() == 0


def test_the_best_class_may_be_one_that_is_impossible() -> None:
    similarity = torch.tensor([[1.0, 0.0, 0.75], [0.0, 1.0, 0.75], [0.0, 0.0, 1.0]])
    logits = torch.tensor([[0.0, 0.0, -math.inf], [0.0, -math.inf, -math.inf]])
    assert minimum_risk(logits, similarity).tolist() == [2, 0]


def test_not_a_number_is_pointed_at_and_stays_in_its_row() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [0.0, math.nan, 1.0], [0.0, 1.0, 2.0]])
    assert minimum_risk(logits, torch.eye(3)).tolist() == logits.argmax(1).tolist() == [1, 1, 2]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(), (4,), (4, 2), (4, 2, 3), (0,), (2, 0)])
def test_logits_have_the_shapes_of_cross_entropy(shape: tuple[int, ...], form: str) -> None:
    similarity, dense = in_form(form, 5)
    logits = random_logits(5) if not shape else random_logits(shape[0], 5, *shape[1:])
    found = minimum_risk(logits, similarity)
    assert found.shape == shape
    rows = (logits.unsqueeze(0) if not shape else logits).movedim(1, -1).reshape(-1, 5)
    for z, decided in zip(rows.double().numpy(), found.flatten().tolist(), strict=True):
        assert decided == np.argmin(oracle.risks(z, dense.double().numpy()))


def test_a_matrix_is_taken_in_any_form() -> None:
    names = tuple(f"c{number}" for number in range(40))
    logits = random_logits(20, 40, scale=0.5)
    for values in (random_toeplitz(40).numpy(), random_similarity(40).numpy(), np.eye(40, dtype=np.float32)):
        matrix = simmatrix.SimilarityMatrix(values, names)
        expected = minimum_risk(logits, torch.from_numpy(values))
        assert torch.equal(minimum_risk(logits, matrix), expected)
        sparse = simmatrix.SimilarityMatrix(scipy.sparse.csr_array(values), names)
        assert torch.equal(minimum_risk(logits, sparse), expected)
        reordered = matrix.reorder(names[::-1])
        assert torch.equal(39 - minimum_risk(logits.flip(1), reordered), expected)


def test_a_csr_tensor_is_taken() -> None:
    similarity, logits = random_similarity(9), random_logits(30, 9, scale=0.5)
    with warnings.catch_warnings(action="ignore"):  # torch calls the layout a beta
        csr = similarity.to_sparse_csr()
    assert torch.equal(minimum_risk(logits, csr), minimum_risk(logits, similarity))


def test_a_large_sparse_matrix_is_not_made_dense() -> None:
    """Dense it would take 80 GB in float64."""
    count = 100_000
    row = torch.arange(count)
    columns = torch.stack([row, (row + 1) % count], 1).sort(1)
    values = torch.where(columns.values == row[:, None], 1.0, 0.75)
    similarity = Sparse(torch.arange(0, 2 * count + 1, 2), columns.values.flatten().int(), values.flatten())
    logits = torch.full((2, count), -math.inf)
    logits[0, 7], logits[0, 8] = 0.2, 0.0
    logits[1, 50_000], logits[1, 4] = 0.0, -1.0
    assert minimum_risk(logits, similarity).tolist() == [8, 50_000]


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, dense = in_form("toeplitz", 9)
    logits = random_logits(30, 9, scale=0.5)
    expected = minimum_risk(logits, similarity)
    for size in (1, 18, 40):
        monkeypatch.setattr(simloss.decisions, "_BLOCK", size)
        assert torch.equal(minimum_risk(logits, similarity), expected)
        assert torch.equal(minimum_risk(logits, dense), expected)


def test_it_needs_no_gradient_and_modifies_nothing() -> None:
    logits = random_logits(6, 5, dtype=torch.float64).requires_grad_()
    similarity = random_similarity(5, dtype=torch.float64)
    before = logits.detach().clone(), similarity.clone()
    with torch.autocast("cpu"):
        found = minimum_risk(logits, similarity)
    assert torch.equal(found, minimum_risk(logits, similarity))
    assert not found.requires_grad
    assert torch.equal(logits.detach(), before[0])
    assert torch.equal(similarity, before[1])


@pytest.mark.parametrize(
    ("logits", "similarity", "error", "message"),
    [
        (torch.tensor(1.0), torch.eye(3), ValueError, "got a single number"),
        (
            torch.zeros(2, 3).long(),
            torch.eye(3),
            TypeError,
            "logits must be of a floating-point dtype, got torch.int64",
        ),
        (torch.zeros(2, 4), torch.eye(3), ValueError, r"similarity has shape \(3, 3\).* \(2, 4\) have 4 classes"),
        (torch.zeros(2, 4), torch.ones(4, 3), ValueError, "square"),
        (torch.zeros(2, 3), torch.eye(3).long(), TypeError, "int64"),
        (torch.zeros(2, 3), np.eye(3), TypeError, "similarity must be a tensor"),
        (
            torch.zeros(2, 3, device="meta"),
            torch.eye(3),
            RuntimeError,
            "similarity is on cpu, but the logits are on meta",
        ),
        (torch.zeros(2, 3), torch.eye(3, requires_grad=True), RuntimeError, "detach"),
    ],
)
def test_what_does_not_fit_is_refused(logits: Tensor, similarity: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        minimum_risk(logits, similarity)


def test_the_examples_of_the_documentation_run() -> None:
    result = doctest.testmod(simloss.decisions)
    assert result.attempted >= 3
    assert result.failed == 0
