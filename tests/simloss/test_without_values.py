"""Tensors without values, on the meta device or torch's fakes, and calls that are recorded with values in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody gives it
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import simmatrix
from simloss import LinearSimLoss, SimLoss, sim_loss
from simloss.decisions import minimum_risk
from tests.simloss.cases import in_form, random_labels, random_logits, random_similarity, random_weight

FORMS = ["dense", "sparse", "toeplitz"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
KINDS = {"meta": "meta", "fake": "cpu"}
C = 5


def described(value: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return value.shape, value.dtype, value.device


def without_values(kind: str, tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device=KINDS[kind], requires_grad=tensor.is_floating_point())


def targets() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits and targets of each shape: class indices and class probabilities."""
    for shape in ((C,), (4, C), (2, C, 3), (0, C)):
        rest = shape[:1] + shape[2:] if len(shape) > 1 else ()
        for dtype in (torch.bfloat16, torch.float32):
            yield torch.zeros(shape, dtype=dtype), torch.zeros(rest, dtype=torch.int64)
            yield torch.zeros(shape, dtype=dtype), torch.zeros(shape)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_dtypes_are_those_of_cross_entropy(kind: str, form: str) -> None:
    similarity, _ = in_form(form, C)
    options = list(product(("none", "mean"), ((0.0, 1.0), (0.0, 0.4), (0.1, 0.4))))
    modules = [
        SimLoss(similarity, None, -100, reduction, smoothing, share=share, similarity_smoothing=0.05)
        for reduction, (smoothing, share) in options
    ]
    with FakeTensorMode() if kind == "fake" else nullcontext():
        for (logits, target), (module, (reduction, (smoothing, share))) in product(
            list(targets()), list(zip(modules, options, strict=True))
        ):
            mine, theirs = without_values(kind, logits), without_values(kind, logits)
            labels = without_values(kind, target)
            value = module(mine, labels)
            peer = F.cross_entropy(theirs, labels, reduction=reduction, label_smoothing=smoothing)
            assert described(value) == described(peer)
            assert isinstance(value, FakeTensor) == (kind == "fake")
            value.sum().backward()
            peer.sum().backward()
            assert described(mine.grad) == described(theirs.grad)
            moved = type(similarity)(*(part.to(KINDS[kind]) for part in similarity)) if kind == "meta" else similarity
            of_function = sim_loss(mine, labels, moved, reduction=reduction, share=share)
            assert described(of_function) == described(peer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_has_the_shapes_of_a_linear_layer_and_cross_entropy(kind: str) -> None:
    for dtype, reduction, bias, share in product(DTYPES, ("none", "mean", "sum"), (False, True), (1.0, 0.4)):
        module = LinearSimLoss(3, random_similarity(C), bias=bias, dtype=dtype, reduction=reduction, share=share)
        with FakeTensorMode(allow_non_fake_inputs=True) if kind == "fake" else nullcontext():
            if kind == "meta":
                module.to("meta")
            features = torch.empty(7, 3, dtype=dtype, device=KINDS[kind], requires_grad=True)
            labels = torch.empty(7, dtype=torch.int64, device=KINDS[kind])
            value = module(features, labels)
            assert described(value) == described(
                F.cross_entropy(module.linear(features.detach()), labels, reduction=reduction)
            )
            value.sum().backward()
            assert described(features.grad) == described(features)
            for parameter in module.parameters():
                assert described(parameter.grad) == described(parameter)


def test_a_decision_takes_a_matrix_to_where_the_logits_are() -> None:
    """The meta device stands in for a GPU: as that of the logits, and as the default, which is asked for nothing.

    It has no products with sparse matrices.
    """
    names = [f"c{number}" for number in range(40)]
    order = simmatrix.from_order(names, decay=0.5)
    dense = simmatrix.SimilarityMatrix(random_similarity(40).numpy(), tuple(names))
    for matrix, shape in product((order, dense), ((40,), (3, 40), (3, 40, 2))):
        found = minimum_risk(torch.empty(shape, device="meta"), matrix)
        examples = torch.Size(shape[:1] + shape[2:] if shape[1:] else ())
        assert described(found) == (examples, torch.int64, torch.device("meta"))
    logits = random_logits(9, 40)
    for matrix in (order, order.top_k(2), dense):
        expected = minimum_risk(logits, matrix)
        with torch.device("meta"):
            assert torch.equal(minimum_risk(logits, matrix), expected)


# --- recorded calls ---------------------------------------------------------------------------------------------------


def callers() -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """Return modules and what they are called with: each takes a way of its own."""
    logits, labels, similarity = random_logits(4, C), random_labels(4, classes=C), random_similarity(C)

    class Function(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            return sim_loss(logits, labels, similarity)

    return {
        "plain": (SimLoss(similarity), (logits, labels)),
        "share": (SimLoss(similarity, share=0.4), (logits, labels)),
        "weighted": (SimLoss(similarity, random_weight(C)), (logits, labels)),
        "label smoothing": (SimLoss(similarity, label_smoothing=0.1), (logits, labels)),
        "probabilities": (SimLoss(similarity), (logits, logits.softmax(1))),
        "double": (SimLoss(similarity), (logits.double(), labels)),
        "layer": (LinearSimLoss(C, similarity), (logits, labels)),
        "function": (Function(), (logits, labels)),
    }


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*legacy TorchScript-based ONNX export:DeprecationWarning")
@pytest.mark.parametrize("name", callers())
@pytest.mark.parametrize("record", ["trace", "export"])
def test_a_trace_is_refused(record: str, name: str, tmp_path: Path) -> None:
    """It would keep the loss as a constant, or which examples were ignored."""
    module, arguments = callers()[name]

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *given: Tensor) -> Tensor:
            return 2 * self.inner(*given)

    attempts: dict[str, Callable[[], object]] = {
        "trace": lambda: torch.jit.trace(Whole(), arguments),
        "export": lambda: torch.onnx.export(Whole(), arguments, tmp_path / "loss.onnx", dynamo=False),
    }
    with pytest.raises(RuntimeError, match=r"would record this loss as a constant.*torch\.compile or torch\.export"):
        attempts[record]()
    assert list(tmp_path.iterdir()) == []


# What dynamo says to itself on its way.
@pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["plain", "weighted", "none", "share", "label smoothing", "linear"])
def test_under_torch_compile_a_bad_label_is_an_index_error(kind: str) -> None:
    torch._dynamo.reset()
    options: dict[str, dict[str, object]] = {
        "weighted": {"weight": random_weight(C)},
        "none": {"reduction": "none"},
        "share": {"share": 0.4},
        "label smoothing": {"label_smoothing": 0.1},
    }
    similarity = random_similarity(C)
    module = LinearSimLoss(C, similarity) if kind == "linear" else SimLoss(similarity, **options.get(kind, {}))
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    logits, labels = random_logits(4, C), torch.tensor([0, 1, -100, 2])
    torch.testing.assert_close(compiled(logits, labels), module(logits, labels), rtol=2.0**-22, atol=0)
    for label in (C, -1):
        labels[3] = label
        with pytest.raises(IndexError, match=rf"target {label} is out of bounds: classes are 0 to 4"):
            compiled(logits, labels)
