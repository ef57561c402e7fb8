"""The module: nn.CrossEntropyLoss is the peer for what a module does, sim_loss for what it computes."""

import copy
import io
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor, nn

import simloss.boosting
import simmatrix
from simloss import LinearSimLoss, SimilarityWarning, SimLoss, Sparse, Toeplitz, sim_loss
from simmatrix.errors import ClassOrderError, SimilarityError
from tests.simloss.cases import (
    in_form,
    random_distribution,
    random_labels,
    random_logits,
    random_similarity,
    random_weight,
    sparse_of,
    value_and_gradient,
)

CLASSES = ("cat", "lynx", "oak")
VALUES = np.array([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]], dtype=np.float32)


def matrix(values: object = VALUES) -> simmatrix.SimilarityMatrix:
    return simmatrix.SimilarityMatrix(values, CLASSES)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_it_computes_what_the_function_does(kind: str, weighted: bool, smoothing: float, reduction: str) -> None:
    logits, similarity = random_logits(6, 5), random_similarity(5)
    weight = random_weight(5) if weighted else None
    target, ignore = (random_labels(6, classes=5), 2) if kind == "indices" else (random_distribution(6, 5), -100)
    module = SimLoss(similarity, weight, ignore, reduction, smoothing)
    ours = value_and_gradient(lambda z: module(z, target), logits)
    function = value_and_gradient(
        lambda z: sim_loss(z, target, similarity, weight, ignore, reduction, smoothing), logits
    )
    torch.testing.assert_close(ours, function, rtol=0, atol=0)


def test_its_options_are_those_of_the_peer() -> None:
    weight = random_weight(5)
    options = {"weight": weight, "ignore_index": 3, "reduction": "sum", "label_smoothing": 0.1}
    ours, peer = SimLoss(torch.eye(5), **options), nn.CrossEntropyLoss(**options)
    for name in options:
        assert getattr(ours, name) is getattr(peer, name)
    assert SimLoss(torch.eye(5)).weight is None
    assert SimLoss(torch.eye(5)).ignore_index == nn.CrossEntropyLoss().ignore_index
    assert SimLoss(torch.eye(5)).reduction == nn.CrossEntropyLoss().reduction


@pytest.mark.parametrize("weight", [None, random_weight(5)])
def test_checkpoints_are_those_of_the_peer(weight: Tensor | None) -> None:
    ours, peer = SimLoss(random_similarity(5), weight), nn.CrossEntropyLoss(weight)
    assert ours.state_dict().keys() == peer.state_dict().keys()
    peer.load_state_dict(ours.state_dict())
    ours.load_state_dict(peer.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("cast", ["half", "bfloat16", "float", "double"])
def test_casting_a_model_leaves_the_similarity_as_it_is(cast: str, dtype: torch.dtype) -> None:
    similarity = random_similarity(5, dtype=dtype)
    model = nn.ModuleDict({"layer": nn.Linear(4, 5), "loss": SimLoss(similarity, random_weight(5))})
    getattr(model, cast)()
    assert model["loss"].similarity.dtype == dtype
    assert torch.equal(model["loss"].similarity, similarity)
    assert model["loss"].weight.dtype == model["layer"].weight.dtype
    logits = model["layer"](random_logits(6, 4).to(model["layer"].weight.dtype))
    model["loss"](logits, random_labels(6, classes=5)).backward()
    assert model["layer"].weight.grad.isfinite().all()


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_the_similarity_moves_with_a_model(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands in for a GPU: what is asked of the parts is recorded."""
    similarity, _ = in_form(form, 5)
    model = nn.ModuleDict({"loss": SimLoss(similarity, random_weight(5), share=0.4)})
    moved = []
    monkeypatch.setattr(SimLoss, "_move", lambda _self, device: moved.append(device))
    model.to("cpu")
    model.to("meta")
    assert moved == [torch.device("cpu")]
    assert dict(model.named_buffers()).keys() == {"loss.weight"}
    assert model["loss"].weight.is_meta


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_a_move_takes_every_part_along(form: str) -> None:
    similarity, _ = in_form(form, 5)
    module = SimLoss(similarity, share=0.4, similarity_smoothing=0.05)
    module.lower_bound = 0.5
    module._move(torch.device("meta"))  # which `to` never asks for, and which tells where the parts went
    assert all(part.is_meta for part in (*module._given, *module._held.similarity, module._held.mix))
    assert module._held.table is None


def test_copies_and_pickles_compute_the_same() -> None:
    module = SimLoss(matrix(), torch.tensor([1.0, 2.0, 0.5]), 1, "sum", 0.1)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        logits, labels = random_logits(6, 3), random_labels(6, classes=3)
        assert torch.equal(other(logits, labels), module(logits, labels))
        assert other.classes == CLASSES
        assert other.similarity.data_ptr() != module.similarity.data_ptr()


@pytest.mark.parametrize("form", ["sparse", "toeplitz"])
def test_each_form_is_held_moved_and_copied_as_it_is(form: str) -> None:
    similarity, dense = in_form(form, 5, dtype=torch.float16)
    module = SimLoss(similarity, reduction="sum")
    logits, labels = random_logits(6, 5), random_labels(6, classes=5)
    expected = sim_loss(logits, labels, dense, reduction="sum")
    for other in (module, copy.deepcopy(module), copy.deepcopy(module).bfloat16()):
        assert type(other.similarity) is type(similarity)
        assert [part.dtype for part in other.similarity] == [part.dtype for part in similarity]
        # Two sums in another order: a rounding for each of five classes, two dozen elsewhere.
        torch.testing.assert_close(other(logits, labels), expected, rtol=29 * 2.0**-24, atol=0)
    assert module.state_dict() == {}
    assert f"similarity={type(similarity).__name__} torch.float16" in repr(module)


def test_a_similarity_whose_memory_moves_is_still_the_one_that_is_used() -> None:
    """Compiled C reads by address: pickling for another process moves a tensor to shared memory, in place."""
    logits, labels = random_logits(6, 300), random_labels(6, classes=300)
    for form in ("dense", "sparse", "toeplitz"):
        similarity, _ = in_form(form, 300)
        module = SimLoss(similarity)
        expected = module(logits, labels)
        ForkingPickler.dumps(module)
        assert torch.equal(module(logits, labels), expected)
        leaf = logits.clone().requires_grad_()
        value = module(leaf, labels)
        (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
        module._given[-1].data = module._given[-1].clone()
        assert torch.equal(torch.autograd.grad(value, leaf)[0], first)
        torch.full_like(module._given[-1], 0.5)  # where the numbers were
        assert torch.equal(module(logits, labels), expected)


def test_a_weight_may_be_a_parameter_beside_class_probabilities() -> None:
    module, weight = SimLoss(random_similarity(5), random_weight(5)), nn.Parameter(random_weight(5))
    module.weight = weight
    module(random_logits(6, 5), random_distribution(6, 5)).backward()
    assert weight.grad.abs().sum() > 0


def test_a_move_that_moves_nothing_keeps_the_share_where_it_is() -> None:
    """A CUDA graph knows its address; and what was made in inference mode could not be trained with."""
    module = SimLoss(random_similarity(5), share=0.4)
    mix = module._held.mix
    with torch.inference_mode():
        module.to("cpu").float()
    assert module._held.mix is mix


@pytest.mark.parametrize("value", ["0.4", None])
@pytest.mark.parametrize("name", ["share", "similarity_smoothing", "label_smoothing"])
def test_options_that_are_no_numbers_are_named(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a number, got {value!r}"):
        SimLoss(random_similarity(5), **{name: value})


def test_a_warning_points_to_the_line_of_the_user(tmp_path: Path) -> None:
    full = torch.full((5, 5), 0.9).fill_diagonal_(1.0)
    simmatrix.SimilarityMatrix(full.numpy(), tuple("abcde")).save(tmp_path / "full.safetensors")
    scheduled = SimLoss(full, share=0.4)
    calls = [
        lambda: SimLoss(full),
        lambda: SimLoss.from_file(tmp_path / "full.safetensors"),
        lambda: LinearSimLoss(2, full),
        lambda: LinearSimLoss.from_file(tmp_path / "full.safetensors", 2),
        lambda: setattr(scheduled, "share", 1.0),
    ]
    for call in calls:
        with pytest.warns(SimilarityWarning, match="share=0.4") as caught:
            call()
        assert [one.filename for one in caught] == [__file__]


def test_it_says_what_it_is() -> None:
    module = SimLoss(torch.eye(3, dtype=torch.float16), reduction="sum", label_smoothing=0.1)
    assert repr(module) == (
        "SimLoss(num_classes=3, similarity=torch.float16, ignore_index=-100, reduction='sum', label_smoothing=0.1)"
    )


# --- similarities -----------------------------------------------------------------------------------------------------


def test_a_tensor_is_kept_as_it_is() -> None:
    similarity = random_similarity(5, dtype=torch.float16)
    assert SimLoss(similarity).similarity is similarity
    assert SimLoss(similarity).classes is None
    assert SimLoss(torch.eye(3), classes=list(CLASSES)).classes == CLASSES


# So full a sparse matrix is made dense.
@pytest.mark.parametrize("values", [VALUES, scipy.sparse.csr_array(VALUES)], ids=["dense", "sparse"])
def test_a_matrix_brings_its_classes(values: object) -> None:
    module = SimLoss(matrix(values))
    assert module.classes == CLASSES
    assert module.similarity.dtype == torch.float32
    assert torch.equal(module.similarity, torch.tensor(VALUES))


def test_a_matrix_is_not_shared_with_the_module() -> None:
    """It is read-only, and tensors can't be."""
    original = matrix()
    module = SimLoss(original)
    module.similarity[0, 1] = 0.5
    assert original.to_dense()[0, 1] == 0.75


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_a_matrix_is_copied_once(form: str) -> None:
    size = 1000
    classes = tuple(f"c{index}" for index in range(size))
    given = simmatrix.from_order(classes, decay=0.5)
    if form != "toeplitz":
        values = given.to_dense()
        given = simmatrix.SimilarityMatrix(scipy.sparse.csr_array(values) if form == "sparse" else values, classes)
    assert given.form == form
    tracemalloc.start()
    try:
        made = simloss.forms.from_matrix(given)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The arrays that are made are the tensors': they live on, and there were no others.
    size = sum(part.nbytes for part in made)
    assert held > size
    assert most < 1.5 * size + 20_000
    every = torch.arange(len(classes))
    np.testing.assert_array_equal(
        simloss.forms.rows(made, every, torch.empty(len(classes), len(classes))), given.to_dense()
    )


def test_a_matrix_is_brought_into_the_order_of_the_classes() -> None:
    module = SimLoss(matrix(), classes=["oak", "cat", "lynx"])
    assert module.classes == ("oak", "cat", "lynx")
    assert module.similarity.tolist() == [[1.0, 0.0, 0.25], [0.0, 1.0, 0.75], [0.25, 0.75, 1.0]]


def test_other_classes_are_refused_by_name() -> None:
    with pytest.raises(ClassOrderError, match=r"(?s)elm.*oak|oak.*elm"):
        SimLoss(matrix(), classes=["cat", "lynx", "elm"])


@pytest.mark.parametrize("classes", [set(CLASSES), frozenset(CLASSES), {}.keys()])
@pytest.mark.parametrize("similarity", [matrix(), torch.eye(3)])
def test_classes_without_an_order_are_refused(similarity: object, classes: object) -> None:
    with pytest.raises(TypeError, match="order of the logits"):
        SimLoss(similarity, classes=classes)


@pytest.mark.parametrize("make", [SimLoss, partial(simloss.SoftLabelLoss, beta=4.0), simloss.boosting.BoostingLoss])
@pytest.mark.parametrize("similarity", [matrix(), torch.eye(3)])
def test_a_mapping_of_indices_is_read_by_index(similarity: object, make: Callable[..., Any]) -> None:
    mappings = ({2: "oak", 0: "lynx", 1: "cat"}, {"1": "cat", "0": "lynx", "2": "oak"}, {"oak": 2, "lynx": 0, "cat": 1})
    for classes in mappings:
        assert make(similarity, classes=classes).classes == ("lynx", "cat", "oak")
    with pytest.raises(ClassOrderError, match="neither its keys nor its values are the indices 0 to 2"):
        make(similarity, classes=dict.fromkeys(CLASSES, 0))


def test_classes_of_a_tensor_are_counted() -> None:
    with pytest.raises(ValueError, match=r"2 classes .*\(3, 3\)"):
        SimLoss(torch.eye(3), classes=["cat", "lynx"])


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, 2, 1.5, r"\[0, 1\], but similarity\[1, 2\] is 1.5"),
        (2, 0, -0.25, r"\[0, 1\], but similarity\[2, 0\] is -0.25"),
        (0, 1, float("nan"), r"\[0, 1\], but similarity\[0, 1\] is nan"),
        (1, 1, 0.5, r"1 to itself, but similarity\[1, 1\] is 0.5"),
    ],
)
def test_values_that_are_no_similarities_are_refused(row: int, column: int, value: float, message: str) -> None:
    similarity = torch.tensor(VALUES)
    similarity[row, column] = value
    with pytest.raises(ValueError, match=message):
        SimLoss(similarity)


def sparse(crow_indices: list[int], col_indices: list[int], values: list[float]) -> Sparse:
    return Sparse(torch.tensor(crow_indices), torch.tensor(col_indices).int(), torch.tensor(values))


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        (Toeplitz(torch.tensor([0.5, 1.5, 1.0, 0.5, 0.5])), r"\[0, 1\], but diagonals\[1\] is 1.5"),
        (Toeplitz(torch.tensor([0.5, 0.5, 0.75, 0.5, 0.5])), r"similarity\[0, 0\] is 0.75"),
        (sparse([0, 1, 3], [0, 0, 1], [1.0, -0.5, 1.0]), r"\[0, 1\], but values\[1\] is -0.5"),
        (sparse([0, 1, 2], [0, 0], [1.0, 0.5]), r"similarity\[1, 1\] is 0.0"),
        (sparse([0, 1, 3], [0, 1, 0], [1.0, 1.0, 0.5]), "ascend in each row"),
        (sparse([0, 1, 3], [0, 1, 1], [1.0, 1.0, 0.5]), "ascend in each row"),
        (sparse([0, 1, 2], [0, 2], [1.0, 1.0]), "classes, 0 to 1"),
        (sparse([0, 1, 2], [0, -1], [1.0, 1.0]), "classes, 0 to 1"),
        (sparse([0, 2, 1], [0, 1], [1.0, 1.0]), "rise from 0 to 2"),
        (sparse([1, 1, 2], [0, 1], [1.0, 1.0]), "rise from 0 to 2"),
    ],
)
def test_forms_whose_values_are_no_similarities_are_refused(similarity: Sparse | Toeplitz, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimLoss(similarity)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((Toeplitz(torch.ones(4)),), {}, ValueError, r"2 C - 1 numbers.*\(4,\)"),
        ((Toeplitz(torch.ones(5).long()),), {}, TypeError, "int64"),
        ((Sparse(torch.arange(4), torch.arange(2), torch.ones(3)),), {}, ValueError, r"C \+ 1.*\(4,\), \(2,\), \(3,\)"),
        ((Sparse(torch.arange(4.0), torch.arange(3), torch.ones(3)),), {}, TypeError, "crow_indices.*float32"),
        (
            (Sparse(torch.arange(4), torch.arange(3), torch.ones(3, requires_grad=True)),),
            {},
            RuntimeError,
            "no gradient",
        ),
        ((torch.ones(3, 4),), {}, ValueError, r"square.*\(3, 4\)"),
        ((VALUES,), {}, TypeError, r"SimilarityMatrix; got ndarray \(simmatrix\.load reads such a matrix from"),
        ((torch.eye(3).long(),), {}, TypeError, "int64"),
        ((torch.eye(3, requires_grad=True),), {}, RuntimeError, "gets no gradient"),
        ((torch.eye(3), torch.ones(4)), {}, ValueError, r"weight.*\(3,\).*\(4,\)"),
        ((torch.eye(3),), {"reduction": "average"}, ValueError, "'average' is not a valid value for reduction"),
        ((torch.eye(3),), {"label_smoothing": 2.0}, ValueError, "label_smoothing"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_made(
    arguments: tuple[Tensor, ...], options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        SimLoss(*arguments, **options)
    assert isinstance(caught.value, (RuntimeError, IndexError))  # as torch raises


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "three.safetensors"
    matrix().save(path)
    return path


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_a_file_gives_its_matrix_and_classes(file: Path, classes: tuple[str, ...] | None) -> None:
    module = SimLoss.from_file(file, classes)
    assert module.classes == CLASSES
    assert torch.equal(module.similarity, torch.tensor(VALUES))


@pytest.mark.parametrize("form", ["toeplitz", "sparse"])
def test_a_file_keeps_its_form(form: str, tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(40)]
    saved = simmatrix.from_order(names, decay=0.5)
    saved = saved.top_k(2) if form == "sparse" else saved
    saved.save(tmp_path / "ages.safetensors")
    module = SimLoss.from_file(tmp_path / "ages.safetensors", names)
    assert isinstance(module.similarity, Sparse if form == "sparse" else Toeplitz)
    logits, labels = random_logits(6, 40), random_labels(6, classes=40)
    expected = sim_loss(logits, labels, torch.tensor(saved.to_dense()))
    torch.testing.assert_close(module(logits, labels), expected, rtol=64 * 2.0**-24, atol=0)


def test_a_file_takes_the_order_of_the_classes_and_the_options(file: Path) -> None:
    weight = random_weight(3)
    module = SimLoss.from_file(
        str(file), ["oak", "cat", "lynx"], weight=weight, ignore_index=1, reduction="sum", label_smoothing=0.1
    )
    logits, labels = random_logits(6, 3), random_labels(6, classes=3)
    order = [2, 0, 1]
    expected = sim_loss(logits, labels, torch.tensor(VALUES[np.ix_(order, order)]), weight, 1, "sum", 0.1)
    assert torch.equal(module(logits, labels), expected)


def test_a_file_of_other_classes_is_refused(file: Path) -> None:
    with pytest.raises(ClassOrderError, match="elm"):
        SimLoss.from_file(file, classes=["cat", "lynx", "elm"])


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimilarityError, match=r"missing\.safetensors"):
        SimLoss.from_file(tmp_path / "missing.safetensors")


def test_a_subclass_reads_files_too(file: Path) -> None:
    class Mine(SimLoss):
        pass

    assert type(Mine.from_file(file)) is Mine


def test_the_version_is_that_of_the_package() -> None:
    assert simloss.__version__ == version("simloss")


def test_a_fingerprint_tells_losses_apart_and_not_their_forms():
    """Each change of what the loss computes gives another one; form, device and reduction do not."""
    criterion = SimLoss(matrix(), share=0.4, similarity_smoothing=0.05)
    same = [
        SimLoss(matrix(), share=0.4, similarity_smoothing=0.05, reduction="sum"),
        SimLoss(sparse_of(torch.tensor(VALUES)), share=0.4, similarity_smoothing=0.05, classes=CLASSES),
        copy.deepcopy(criterion).bfloat16(),
        LinearSimLoss(5, matrix(), share=0.4, similarity_smoothing=0.05),
    ]
    assert {one.fingerprint for one in same} == {criterion.fingerprint}
    bounded = copy.deepcopy(criterion)
    bounded.lower_bound = 0.1
    changed = VALUES.copy()
    changed[0, 1] += 2**-20
    others = [
        bounded,
        SimLoss(matrix(changed), share=0.4, similarity_smoothing=0.05),
        SimLoss(matrix(), share=0.5, similarity_smoothing=0.05),
        SimLoss(matrix(), share=0.4),
        SimLoss(matrix(), share=0.4, similarity_smoothing=0.05, classes=CLASSES[::-1]),
        SimLoss(torch.from_numpy(VALUES), share=0.4, similarity_smoothing=0.05),
    ]
    assert len({criterion.fingerprint, *(one.fingerprint for one in others)}) == len(others) + 1
    assert len(criterion.fingerprint) == 16
    order = simmatrix.from_order([str(number) for number in range(5)], decay=0.5)
    dense = SimLoss(torch.tensor(order.to_dense()), share=0.4, classes=order.classes)
    assert isinstance(SimLoss(order, share=0.4).similarity, Toeplitz)
    assert SimLoss(order, share=0.4).fingerprint == dense.fingerprint
