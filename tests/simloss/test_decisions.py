"""Decisions of minimum risk: the oracle's risks are the yardstick, and argmax where the matrix says nothing."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import _TemperatureScaling
from torch import Tensor

import simloss.decisions
import simmatrix
from simloss.decisions import expected_similarity, fit_temperature, minimum_risk, with_superclasses
from simloss.errors import SimilarityWarning
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


def test_not_a_number_decides_nothing() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [0.0, math.nan, 1.0], [0.0, 1.0, 2.0]])
    for decide in (lambda z: minimum_risk(z, torch.eye(3)), lambda z: with_superclasses(z, list("aab"))):
        with pytest.raises(ValueError, match=r"logits hold NaN in example 1 \(counted from 0\)"):
            decide(logits)


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
        (torch.zeros(2, 4), torch.eye(3), ValueError, r"similarity has shape \(3, 3\), but the logits have 4 classes"),
        (torch.zeros(2, 4), torch.ones(4, 3), ValueError, "square"),
        (torch.zeros(2, 3), torch.eye(3).long(), TypeError, "int64"),
        (torch.zeros(2, 3), [[1.0]], TypeError, "similarity must be a tensor"),
        (torch.zeros(2, 0), torch.eye(3), ValueError, "have no classes"),
        ([[0.0]], torch.eye(1), TypeError, "logits must be a tensor or a NumPy array, got list"),
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


def slow_risks(p: np.ndarray, costs: np.ndarray) -> list[float]:
    return [math.fsum(p[y] * costs[y, k] for y in range(len(p))) for k in range(costs.shape[1])]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_costs_of_any_scale_and_direction() -> None:
    """Rows are the true classes, columns the decisions, of which there may be more or fewer."""
    random = np.random.default_rng(0)
    for count, classes, decisions in ((40, 3, 3), (40, 5, 5), (30, 4, 6), (30, 5, 2)):
        z = random.normal(size=(count, classes)) * 2
        costs = random.normal(size=(classes, decisions)) * 100
        found = minimum_risk(z, costs=costs)
        assert isinstance(found, np.ndarray)
        risks = [slow_risks(p, costs) for p in softmax(z)]
        assert found.tolist() == [int(np.argmin(one)) for one in risks]
        assert minimum_risk(softmax(z), costs=costs, from_logits=False).tolist() == found.tolist()
        # A number for each row, whatever is decided, changes no decision.
        assert minimum_risk(z, costs=costs + random.normal(size=(classes, 1)) * 10).tolist() == found.tolist()
        if decisions == classes:
            turned = [int(np.argmin(slow_risks(p, costs.T))) for p in softmax(z)]
            assert minimum_risk(z, costs=costs.T).tolist() == turned != found.tolist()
    similarity = random.uniform(size=(5, 5))
    np.fill_diagonal(similarity, 1)
    z = random.normal(size=(50, 5))
    assert minimum_risk(z, similarity).tolist() == minimum_risk(z, costs=1 - similarity).tolist()


def test_arrays_give_arrays_and_tensors_tensors() -> None:
    z, similarity, groups = random_logits(6, 4, 3), random_similarity(4), list("abba")
    for function in (
        lambda scores, s: minimum_risk(scores, s),
        lambda scores, s: expected_similarity(scores, s),
        lambda scores, _s: with_superclasses(scores, groups),
    ):
        expected = function(z, similarity)
        assert isinstance(expected, Tensor)
        read_only = z.numpy().copy()
        read_only.flags.writeable = False
        turned = z.numpy().astype(">f4")[::-1][::-1]
        for array in (z.numpy(), read_only, turned):
            for matrix in (
                similarity.numpy(),
                similarity,
                simmatrix.SimilarityMatrix(similarity.numpy(), tuple("wxyz")),
            ):
                found = function(array, matrix)
                assert isinstance(found, np.ndarray)
                assert found.dtype == expected.numpy().dtype
                np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("form", FORMS)
def test_expected_similarity(form: str) -> None:
    similarity, dense = in_form(form, 7)
    z = random_logits(20, 7, scale=2.0)
    expected = softmax(z.double().numpy()) @ dense.double().numpy()
    np.testing.assert_allclose(expected_similarity(z, similarity).numpy(), expected, rtol=0, atol=8 * 7 * 2.0**-53)
    p = softmax(z.double().numpy())
    np.testing.assert_allclose(
        expected_similarity(torch.from_numpy(p), similarity, from_logits=False).numpy(), expected, rtol=0, atol=1e-14
    )
    assert torch.equal(expected_similarity(z, similarity).argmax(1), minimum_risk(z, similarity))
    assert expected_similarity(z.T.reshape(1, 7, 4, 5), similarity).shape == (1, 7, 4, 5)
    # Of infinite logits only those count.
    infinite = expected_similarity(torch.tensor([0.0, math.inf, *[3.0] * 5]), similarity)
    np.testing.assert_array_equal(infinite.numpy(), dense.double().numpy()[1])


def test_superclasses_multiply() -> None:
    groups = [0, 1, 0, 2, 1]
    z = random_logits(30, 5, scale=3.0, dtype=torch.float64)
    p = softmax(z.numpy())
    expected = np.array(
        [[row[c] * sum(row[k] for k in range(5) if groups[k] == groups[c]) for c in range(5)] for row in p]
    )
    np.testing.assert_allclose(with_superclasses(z, groups).exp().numpy(), expected, rtol=1e-13)
    found = with_superclasses(p, ["a", "b", "a", "c", "b"], from_logits=False)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-12)
    # An improbable class does not become impossible, nor does an impossible one become NaN.
    far = with_superclasses(torch.tensor([0.0, -2000.0, -2001.0]), list("abb"))
    pair = math.log1p(math.exp(-1))
    np.testing.assert_allclose(far.numpy(), [0.0, -4000 + pair, -4001 + pair], rtol=1e-13)
    assert with_superclasses(torch.tensor([0.0, -math.inf, -math.inf]), list("abb")).tolist() == [
        0,
        -math.inf,
        -math.inf,
    ]
    assert with_superclasses(np.array([1.0, 0.0, 0.0]), list("abb"), from_logits=False).tolist() == [1, 0, 0]


def test_the_temperature_is_the_best_of_all() -> None:
    """The likelihood falls on both sides; sklearn and a search by scipy find it where its derivative is 0."""
    random = np.random.default_rng(1)
    for count, classes, scale in ((60, 3, 1.0), (200, 10, 8.0), (200, 10, 0.01), (300, 4, 1e4)):
        z = random.normal(size=(count, classes)) * scale
        labels = np.where(random.random(count) < 0.7, z.argmax(1), random.integers(0, classes, count))

        def loss(t: float, z: np.ndarray = z, labels: np.ndarray = labels) -> float:
            return torch.nn.functional.cross_entropy(torch.from_numpy(z / t), torch.from_numpy(labels)).item()

        found = fit_temperature(z, labels)
        assert fit_temperature(torch.from_numpy(z), torch.from_numpy(labels)) == found
        assert loss(found) <= min(loss(found * factor) for factor in (0.9, 0.999, 1.001, 1.1))
        searched = minimize_scalar(
            lambda log, loss=loss: loss(math.exp(log)), (math.log(found) - 1, math.log(found) + 1), tol=1e-9
        )
        assert math.isclose(found, math.exp(searched.x), rel_tol=1e-6)
        assert math.isclose(fit_temperature(z / found, labels), 1.0, rel_tol=1e-9)
        sklearn = _TemperatureScaling().fit(z, labels)
        assert math.isclose(found, 1 / sklearn.beta_, rel_tol=1e-4) or not 1e-4 < found < 1e4
        masked = np.concatenate([labels, np.full(5, -100)])
        assert fit_temperature(np.concatenate([z, np.full((5, classes), 9.0)]), masked) == found


def test_what_is_ruled_out_changes_no_temperature() -> None:
    """Classes of -inf are as if they were not there; and probabilities are as good as logits."""
    random = np.random.default_rng(2)
    z = random.normal(size=(80, 4)) * 3
    labels = np.where(random.random(80) < 0.7, z.argmax(1), random.integers(0, 4, 80))
    found = fit_temperature(z, labels)
    wide = np.insert(z, [0, 2, 4], -np.inf, axis=1)
    assert math.isclose(fit_temperature(wide, np.array([1, 2, 4, 5])[labels]), found, rel_tol=1e-9)
    p = torch.from_numpy(wide).softmax(1).numpy()
    for dtype, error in ((np.float64, 1e-9), (np.float32, 1e-5), (np.float16, 2e-2)):
        again = fit_temperature(p.astype(dtype), np.array([1, 2, 4, 5])[labels], from_logits=False)
        assert math.isclose(again, found, rel_tol=error)


def test_a_matrix_is_put_in_the_order_of_the_logits() -> None:
    dense, names = random_similarity(5, seed=3), list("abcde")
    matrix = simmatrix.SimilarityMatrix(dense.numpy(), names)
    order = [3, 0, 4, 1, 2]
    shuffled = [names[at] for at in order]
    logits = random_logits(40, 5, seed=4)
    right = minimum_risk(logits, dense)
    assert (torch.tensor(order)[minimum_risk(logits[:, order], matrix, classes=shuffled)] == right).all()
    scores = expected_similarity(logits[:, order], matrix, classes=dict(enumerate(shuffled)))
    assert torch.allclose(scores, expected_similarity(logits, dense)[:, order], atol=1e-12)
    assert (minimum_risk(logits, dense, classes=names) == right).all()
    for wrong, message in ((names[1:], "only in the matrix: a"), (set(names), "order")):
        with pytest.raises(simmatrix.ClassOrderError, match=message):
            minimum_risk(logits, matrix, classes=wrong)
    with pytest.raises(ValueError, match="there are 2 names in classes, but the logits have 5 columns"):
        minimum_risk(logits, dense, classes=names[:2])
    with pytest.raises(TypeError, match="costs have no names"):
        minimum_risk(logits, costs=1 - dense, classes=names)


def test_where_no_temperature_is_best_it_says_so() -> None:
    right = np.eye(3) * 2
    with pytest.warns(SimilarityWarning, match="every label is the most probable class"):
        assert 0 < fit_temperature(right, np.arange(3)) < 0.01
    with pytest.warns(SimilarityWarning, match="tell nothing of the labels"):
        assert fit_temperature(right, np.array([1, 2, 0])) > 100
    for flat in (np.zeros((3, 3)), np.where(np.eye(3), 0, -np.inf)):
        with pytest.warns(SimilarityWarning, match="none changes the probabilities"):
            assert fit_temperature(flat, np.arange(3)) > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: minimum_risk(np.ones((2, 3)), np.eye(3), from_logits=False), ValueError, "example 0 .* sum to 3;"),
        (
            lambda: minimum_risk(np.array([1.5, -0.5]), np.eye(2), from_logits=False),
            ValueError,
            "at least 0.* has -0.5",
        ),
        (
            lambda: minimum_risk(np.array([[1, 0], [np.nan, 1.0]]), np.eye(2), from_logits=False),
            ValueError,
            "NaN in example 1",
        ),
        (lambda: minimum_risk(np.zeros((2, 3))), TypeError, "either a similarity or costs"),
        (lambda: minimum_risk(np.zeros((2, 3)), np.eye(3), costs=np.eye(3)), TypeError, "either a similarity or costs"),
        (lambda: minimum_risk(np.zeros((2, 3)), costs=np.eye(4)), ValueError, r"costs must have shape \(3, K\)"),
        (lambda: minimum_risk(np.zeros(2), costs=np.array([[0, np.nan], [1, 0]])), ValueError, r"costs\[0, 1\] is nan"),
        (lambda: minimum_risk(np.zeros(2, dtype=object), np.eye(2)), TypeError, "numbers that torch has"),
        (
            lambda: with_superclasses(np.zeros((2, 3)), ["a", "b"]),
            ValueError,
            "superclasses must be 3, one a class; got 2",
        ),
        (lambda: with_superclasses(np.zeros((2, 3)), ["a", "", "b"]), ValueError, "1 of 3 classes have no superclass"),
        (
            lambda: fit_temperature(np.zeros((2, 3)), np.array([0, 3])),
            IndexError,
            "label of example 1 .* is 3, but classes are 0 to 2",
        ),
        (lambda: fit_temperature(np.zeros((2, 3)), np.array([0])), ValueError, r"labels must have shape \(2,\)"),
        (
            lambda: fit_temperature(np.zeros((2, 3)), np.array([0.0, 1.0])),
            TypeError,
            "class indices, got torch.float64",
        ),
        (lambda: fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)), ValueError, "no example"),
        (lambda: fit_temperature(np.zeros((1, 3)), np.array([-100])), ValueError, "no example"),
        (lambda: fit_temperature(np.array([[np.inf, 0]]), np.array([0])), ValueError, "example 0 .* a logit of inf"),
        (
            lambda: fit_temperature(np.array([[0, 1.0], [9, 9], [-np.inf, 0]]), np.array([0, -100, 0])),
            ValueError,
            "example 2 .* of -inf for its label",
        ),
        (
            lambda: fit_temperature(np.array([[0, 1.0], [0.5, 0.5]]), np.array([0, 1]), from_logits=False),
            ValueError,
            "example 0 .* a probability of 0 for its label",
        ),
    ],
)
def test_bad_input_of_the_others(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
