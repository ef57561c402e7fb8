"""The lower bound of the modules: the paper's formula in float64, and modules made for the bounded similarity."""

import copy
import io
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import simloss.forms
import simloss.loss
import simmatrix
from simloss import LinearSimLoss, SimLoss
from simloss.forms import Similarity
from tests.oracle import sim_loss as exact_losses
from tests.simloss.cases import (
    in_form,
    random_distribution,
    random_labels,
    random_logits,
    random_similarity,
    value_and_gradient,
)

FORMS = ["dense", "sparse", "toeplitz"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# Up, down, and back to what was given.
BOUNDS = (0.5, 0.2, 0.9, 0.0, 1 / 3)

form_by_form = pytest.mark.parametrize("form", FORMS)
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def bounded(numbers: Tensor, bound: float) -> Tensor:
    """Return max(0, (S - l) / (1 - l)) by the formula, in float64 and rounded once."""
    exact = np.maximum(0, (numbers.double().numpy() - bound) / (1 - bound))
    return torch.from_numpy(exact).to(numbers.dtype)


def numbers_of(similarity: Tensor | Similarity) -> Tensor:
    return similarity if isinstance(similarity, Tensor) else similarity[-1]


def with_bound(form: Similarity, bound: float) -> Similarity:
    return type(form)(*form[:-1], bounded(form[-1], bound))


# --- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 7, 2**21])
@pytest.mark.parametrize("dtype", DTYPES)
@form_by_form
def test_it_is_always_the_given_similarity_that_is_bounded(
    form: str, dtype: torch.dtype, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simloss.forms, "_BLOCK", block)
    similarity, _ = in_form(form, 5, dtype=dtype)
    module = SimLoss(similarity)
    assert module.lower_bound == 0
    for bound in BOUNDS:
        module.lower_bound = bound
        assert module.lower_bound == bound
        expected = bounded(similarity[-1], bound)
        found = numbers_of(module.similarity)
        assert found.dtype == dtype
        assert torch.equal(found, expected)
        assert torch.equal(found == 1, similarity[-1] == 1)
        assert bound == 0 or not torch.equal(found, similarity[-1])
    assert type(module.similarity) is (Tensor if form == "dense" else type(similarity))


@pytest.mark.parametrize("scale", [3.0, 200.0])
@form_by_form
def test_the_loss_is_that_of_a_matrix_bounded_when_it_was_made(form: str, scale: float) -> None:
    """Also where logits are so far apart that the sum over similar classes underflows."""
    names = tuple(f"c{number}" for number in range(40))
    matrix = simmatrix.from_order(names, decay=0.75)
    if form != "toeplitz":
        matrix = simmatrix.SimilarityMatrix(matrix.to_dense(), names)
    matrix = matrix.top_k(3) if form == "sparse" else matrix
    logits, labels = random_logits(12, 40, scale=scale), random_labels(12, classes=40)
    module = SimLoss(matrix, reduction="none")
    for bound in (0.5, 0.2, 0.6):
        module.lower_bound = bound
        fresh = SimLoss(matrix.lower_bound(bound), reduction="none")
        mine, theirs = (value_and_gradient(lambda z, m=m: m(z, labels), logits) for m in (module, fresh))
        if form == "sparse":
            # At an end of the order the third neighbour is at 0.75^3: the fresh one has no entry for it, this one a 0.
            assert (numbers_of(module.similarity) == 0).any() == (bound > 0.75**3)
            torch.testing.assert_close(mine, theirs, rtol=2 * (40 + 24) * 2.0**-24, atol=2.0**-23)
        else:
            assert torch.equal(numbers_of(module.similarity), numbers_of(fresh.similarity))
            assert all(map(torch.equal, mine, theirs))


@form_by_form
@pytest.mark.parametrize("bound", [0.25, 0.7])
def test_the_loss_is_that_of_the_formula(form: str, bound: float) -> None:
    """In float64 throughout, so that nothing of the similarity is rounded but by arithmetic."""
    similarity, dense = in_form(form, 5, dtype=torch.float64)
    logits, labels = random_logits(8, 5, dtype=torch.float64), random_labels(8, classes=5)
    module = SimLoss(similarity, reduction="none")
    module.lower_bound = bound
    value, gradient = value_and_gradient(lambda z: module(z, labels), logits)
    losses, gradients, _ = exact_losses(logits.numpy(), labels.numpy(), bounded(dense, bound).numpy())
    # Two sums over five classes, their exponentials and logarithm, on both sides.
    tolerance = 2 * (2 * 5 + 24) * 2.0**-53
    np.testing.assert_allclose(value, losses, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, gradients, rtol=0, atol=tolerance)


def test_a_layer_with_its_loss_has_it_too() -> None:
    similarity = random_similarity(5)
    torch.manual_seed(0)
    module = LinearSimLoss(4, similarity)
    features, labels = random_logits(6, 4), random_labels(6, classes=5)
    for bound in (0.5, 0.2):
        module.lower_bound = bound
        expected = simloss.linear_sim_loss(features, module.linear.weight, labels, bounded(similarity, bound))
        assert torch.equal(module(features, labels), expected)
    assert set(module.state_dict()) == {"linear.weight"}


# --- how it is held ---------------------------------------------------------------------------------------------------


@form_by_form
def test_what_was_given_is_never_changed(form: str) -> None:
    similarity, _ = in_form(form, 5)
    before = copy.deepcopy(similarity)
    module = SimLoss(similarity)
    for bound in BOUNDS:
        module.lower_bound = bound
    assert all(map(torch.equal, similarity, before))


@form_by_form
def test_a_bound_leaves_the_numbers_of_the_one_before(form: str) -> None:
    """A thread that computes a loss meanwhile has one bound throughout."""
    similarity, _ = in_form(form, 5)
    module = SimLoss(similarity)
    assert all(mine is given for mine, given in zip(module._held.similarity, similarity, strict=True))
    for bound in BOUNDS:
        before = numbers_of(module.similarity)
        copied = before.clone()
        module.lower_bound = bound
        assert numbers_of(module.similarity) is not before
        assert torch.equal(before, copied)
    module.lower_bound = bound
    same = numbers_of(module.similarity)
    module.lower_bound = bound
    assert numbers_of(module.similarity) is same


def test_threads_that_compute_while_another_sets_bounds_get_the_loss_of_one_of_them() -> None:
    """And never is the property anything but one of them."""
    bounds = (0.2, 0.7)
    similarity, logits, labels = random_similarity(200), random_logits(300, 200), random_labels(300, classes=200)
    module, fresh = SimLoss(similarity), [SimLoss(bounded(similarity, bound)) for bound in bounds]
    module.lower_bound = bounds[0]
    allowed = {criterion(logits, labels).item() for criterion in fresh}
    assert len(allowed) == 2
    seen, read, stop = set(), set(), threading.Event()

    def compute() -> None:
        while not stop.is_set():
            read.add(module.lower_bound)
            seen.add(module(logits, labels).item())

    readers = [threading.Thread(target=compute) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(200):
        module.lower_bound = bounds[number % 2]
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= allowed
    assert read <= set(bounds)


@pytest.mark.parametrize("arrange", [Tensor.t, lambda values: values.repeat_interleave(2, 1)[:, ::2]])
def test_a_tensor_in_another_order_is_bounded_too(arrange: Callable[[Tensor], Tensor]) -> None:
    similarity = arrange(random_similarity(5))
    assert not similarity.is_contiguous()
    module = SimLoss(similarity)
    module.lower_bound = 0.5
    assert torch.equal(module.similarity, bounded(similarity, 0.5))


def copies(module: SimLoss) -> Iterator[SimLoss]:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    yield from (copy.deepcopy(module), torch.load(file, weights_only=False))


@pytest.mark.parametrize("first", [0.0, 0.5])
@form_by_form
def test_copies_and_pickles_have_a_bound_of_their_own(form: str, first: float) -> None:
    similarity, _ = in_form(form, 5)
    module = SimLoss(similarity)
    module.lower_bound = first
    for other in copies(module):
        assert other.lower_bound == first
        other.lower_bound = 0.25
        assert torch.equal(numbers_of(other.similarity), bounded(similarity[-1], 0.25))
        assert module.lower_bound == first
        assert torch.equal(numbers_of(module.similarity), bounded(similarity[-1], first))


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
@form_by_form
def test_a_cast_leaves_both_similarities_as_they_are(form: str, cast: str) -> None:
    similarity, _ = in_form(form, 5)
    model = nn.ModuleDict({"layer": nn.Linear(4, 5), "loss": SimLoss(similarity)})
    model["loss"].lower_bound = 0.5
    getattr(model, cast)()
    assert torch.equal(numbers_of(model["loss"].similarity), bounded(similarity[-1], 0.5))
    model["loss"].lower_bound = 0.25
    assert torch.equal(numbers_of(model["loss"].similarity), bounded(similarity[-1], 0.25))


def test_a_move_to_the_meta_device_leaves_both_similarities_where_they_are() -> None:
    similarity = random_similarity(5)
    module = SimLoss(similarity)
    module.lower_bound = 0.5
    module = module.to("meta").to_empty(device="cpu")
    assert torch.equal(module.similarity, bounded(similarity, 0.5))
    module.lower_bound = 0.25
    assert torch.equal(module.similarity, bounded(similarity, 0.25))


def test_checkpoints_know_nothing_of_it() -> None:
    module = SimLoss(random_similarity(5), torch.ones(5))
    module.lower_bound = 0.5
    assert module.state_dict().keys() == nn.CrossEntropyLoss(torch.ones(5)).state_dict().keys()
    module.load_state_dict(nn.CrossEntropyLoss(torch.ones(5)).state_dict())
    assert module.lower_bound == 0.5


def test_it_is_shown_where_there_is_one() -> None:
    module = SimLoss(torch.eye(3))
    assert "lower_bound" not in repr(module)
    module.lower_bound = 0.25
    assert repr(module) == (
        "SimLoss(num_classes=3, similarity=torch.float32, ignore_index=-100, reduction='mean', label_smoothing=0.0, "
        "lower_bound=0.25)"
    )


@pytest.mark.parametrize("bound", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_what_is_no_bound_is_refused_and_changes_nothing(bound: float) -> None:
    similarity = random_similarity(5)
    module = SimLoss(similarity)
    for before in (0.0, 0.5):
        module.lower_bound = before
        with pytest.raises(ValueError, match=rf"lower_bound must be in \[0, 1\), got {bound}; 0 uses the similarity"):
            module.lower_bound = bound
        assert module.lower_bound == before
        assert torch.equal(module.similarity, bounded(similarity, before))


def test_it_may_be_set_where_nothing_is_learnt() -> None:
    module = SimLoss(random_similarity(5))
    with torch.inference_mode():
        module.lower_bound = 0.5
    logits = random_logits(6, 5).requires_grad_()
    module(logits, random_labels(6, classes=5)).backward()
    assert logits.grad.abs().max() > 0


# --- graphs -----------------------------------------------------------------------------------------------------------


@form_by_form
@pytest.mark.parametrize("kind", ["indices", "none", "probabilities", "linear", "linear none"])
@pytest.mark.parametrize("bounds", [(0.0, 0.5), (0.5, 0.2), (0.5, 0.0)])
def test_a_bound_set_before_the_backward_pass_never_makes_it_wrong(
    bounds: tuple[float, float], kind: str, form: str
) -> None:
    """The gradient is that of the forward pass, also where it has to be computed again."""
    similarity, _ = in_form(form, 5)
    reduction = "none" if "none" in kind else "mean"
    is_linear = kind.startswith("linear")
    module = (
        LinearSimLoss(4, similarity, reduction=reduction) if is_linear else SimLoss(similarity, reduction=reduction)
    )
    inputs = random_logits(6, 4 if is_linear else 5).requires_grad_()
    target = random_distribution(6, 5) if kind == "probabilities" else random_labels(6, classes=5)

    def gradient(value: Tensor) -> Tensor:
        return torch.autograd.grad(value.sum(), inputs, retain_graph=True)[0]

    first, second = bounds
    module.lower_bound = first
    expected, value = gradient(module(inputs, target)), module(inputs, target)
    module.lower_bound = second
    # For single losses the layer's gradients are computed in the backward pass; for a sum, in a second one.
    for _ in range(2):
        assert torch.equal(gradient(value), expected)
    assert not torch.equal(gradient(module(inputs, target)), expected)


@pytest.mark.parametrize("make", [SimLoss, lambda similarity: LinearSimLoss(5, similarity)], ids=["plain", "linear"])
@form_by_form
def test_compiled_code_sees_every_bound_and_is_compiled_once(form: str, make: Callable[[Similarity], SimLoss]) -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    similarity, _ = in_form(form, 5)
    module = make(similarity)
    whole = torch.compile(module, backend=counter, fullgraph=True)
    logits, labels = random_logits(8, 5), random_labels(8, classes=5)
    seen = set()
    for bound in (0.0, *BOUNDS):
        module.lower_bound = bound
        fresh = make(with_bound(similarity, bound))
        fresh.load_state_dict(module.state_dict())
        mine, theirs = (value_and_gradient(lambda z, m=m: m(z, labels), logits) for m in (whole, fresh))
        # The mean is divided before the sum or after.
        torch.testing.assert_close(mine, theirs, rtol=2.0**-22, atol=0)
        seen.add(mine[0].item())
    assert len(seen) == len({0.0, *BOUNDS})
    assert counter.frame_count == 1


def test_a_bound_set_before_a_compiled_backward_pass_never_makes_it_wrong() -> None:
    """Single losses of a layer: their gradients are computed in the backward pass."""
    torch._dynamo.reset()
    module = LinearSimLoss(4, random_similarity(5), reduction="none")
    whole = torch.compile(module, backend="aot_eager", fullgraph=True)
    features, labels = random_logits(6, 4).requires_grad_(), random_labels(6, classes=5)
    module.lower_bound = 0.5
    (expected,) = torch.autograd.grad(module(features, labels).sum(), features)
    value = whole(features, labels).sum()
    module.lower_bound = 0.2
    value.backward()
    assert torch.equal(features.grad, expected)
    assert not torch.equal(torch.autograd.grad(module(features, labels).sum(), features)[0], expected)


# --- on a GPU ---------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@form_by_form
def test_on_a_gpu_it_is_the_same_and_waits_for_nothing(form: str, dtype: torch.dtype) -> None:
    similarity, _ = in_form(form, 50, dtype=dtype)
    module = SimLoss(similarity).cuda()
    for bound in BOUNDS:
        torch.cuda.set_sync_debug_mode("error")
        try:
            module.lower_bound = bound
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert torch.equal(numbers_of(module.similarity).cpu(), bounded(similarity[-1], bound))


@on_a_gpu
def test_a_captured_graph_sees_every_bound() -> None:
    module = SimLoss(random_similarity(50)).cuda()
    logits, labels = random_logits(8, 50).cuda(), random_labels(8, classes=50).cuda()
    module.lower_bound = 0.5
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        module(logits, labels)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = module(logits, labels)
    for bound in BOUNDS:
        module.lower_bound = bound
        graph.replay()
        assert torch.equal(loss, module(logits, labels))


@pytest.mark.parametrize("place", ["empty_like", "bounded"])
@pytest.mark.parametrize("earlier", [(), (0.25,)])
def test_a_failure_on_the_way_leaves_what_was_given_and_can_be_mended(
    place: str, earlier: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    similarity = random_similarity(6)
    before = similarity.clone()
    criterion = SimLoss(similarity)
    for bound in earlier:
        criterion.lower_bound = bound

    def out_of_memory(*_arguments: object) -> None:
        raise MemoryError("enough")

    with monkeypatch.context() as patch:
        patch.setattr(simloss.loss if place == "bounded" else torch, place, out_of_memory)
        with pytest.raises(MemoryError):
            criterion.lower_bound = 0.5
        bound = (0.0, *earlier)[-1]
        assert criterion.lower_bound == bound
        assert torch.equal(criterion.similarity, bounded(before, bound))
    for bound in (0.5, *earlier, 0.75, 0.0):
        criterion.lower_bound = bound
        assert torch.equal(criterion.similarity, bounded(before, bound))
    assert torch.equal(similarity, before)


def test_any_number_is_a_bound() -> None:
    similarity = random_similarity(6)
    criterion = SimLoss(similarity)
    for bound in (np.array(0.5), np.float32(0.25), torch.tensor(0.75), 0):
        criterion.lower_bound = bound
        assert (type(criterion.lower_bound), criterion.lower_bound) == (float, float(bound))
        assert torch.equal(criterion.similarity, bounded(similarity, float(bound)))


def test_a_copy_made_in_inference_mode_can_be_bounded_anew() -> None:
    similarity = random_similarity(6)
    criterion = SimLoss(similarity)
    criterion.lower_bound = 0.5
    with torch.inference_mode():
        copied = copy.deepcopy(criterion)
    copied.lower_bound = 0.25
    assert torch.equal(copied.similarity, bounded(similarity, 0.25))
    assert torch.equal(criterion.similarity, bounded(similarity, 0.5))
