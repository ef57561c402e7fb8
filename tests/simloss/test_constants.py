"""A similarity can't get lost: whatever is done to a module, its loss stays the same.

All memory that torch hands out uninitialised holds NaN here, so that what is lost shows.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, multiprocessing, nn
from torch.nn.utils import skip_init

import simmatrix
from simloss import LinearSimLoss, SimilarityLabelSmoothingLoss, SimLoss, SoftLabelLoss
from simloss.metrics import MistakeReport
from tests.simloss import sharded_worker
from tests.simloss.cases import in_form, random_labels, random_logits, random_similarity, random_weight
from tests.simloss.holders import MAKERS, C, Model, bounded

FORMS = ["dense", "sparse", "toeplitz"]


@pytest.fixture(autouse=True)
def _memory_holds_rubbish() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty returns
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def pickled(model: Model) -> Model:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: Model = torch.load(file, weights_only=False)
    return loaded


def emptied(model: Model) -> Model:
    """Lose all values, as deferred initialisation does, and load those that are in a checkpoint."""
    state = copy.deepcopy(model.state_dict())
    model.to("meta").to_empty(device="cpu")
    assert model.head.weight.isnan().all()
    model.load_state_dict(state)
    return model


def constants(module: nn.Module) -> list[Tensor]:
    return [*module._given, *module._held.similarity] if isinstance(module, SimLoss) else [module.soft_targets]


@pytest.mark.parametrize("name", MAKERS)
def test_whatever_is_done_to_a_model_the_loss_is_the_same(name: str) -> None:
    model = MAKERS[name]()
    features, labels = random_logits(9, C), random_labels(9, classes=C)
    expected, held = model(features, labels), copy.deepcopy(constants(model.criterion))
    assert expected.isfinite()
    for change in (
        copy.deepcopy,
        pickled,
        emptied,
        lambda one: pickled(emptied(copy.deepcopy(one))),
        lambda one: one.to("meta").to_empty(device="cpu").to("cpu"),
        lambda one: one.double().float(),
        lambda one: one.half(),
        lambda one: one.bfloat16().requires_grad_(False).float(),
    ):
        state = copy.deepcopy(model.state_dict())
        model = change(model).float()
        assert [part.dtype for part in constants(model.criterion)] == [part.dtype for part in held]
        assert all(map(torch.equal, constants(model.criterion), held))
        model.load_state_dict(state)
        assert torch.equal(model(features, labels), expected)


@pytest.mark.parametrize("name", MAKERS)
def test_a_model_made_on_the_meta_device_has_the_loss_of_one_made_with_its_memory(name: str) -> None:
    model, features, labels = MAKERS[name](), random_logits(9, C), random_labels(9, classes=C)
    with torch.device("meta"):
        deferred = MAKERS[name]()
    assert deferred.head.weight.is_meta
    deferred.to_empty(device="cpu")
    deferred.load_state_dict(model.state_dict())
    assert torch.equal(deferred(features, labels), model(features, labels))
    assert copy.deepcopy(deferred).state_dict().keys() == model.state_dict().keys()


def test_a_checkpoint_is_that_of_the_peer() -> None:
    for options in ({}, {"weight": random_weight(C)}):
        peer, layer = nn.CrossEntropyLoss(**options).state_dict().keys(), {"linear.weight"}
        for form in FORMS:
            assert SimLoss(in_form(form, C)[0], share=0.4, **options).state_dict().keys() == peer
            assert bounded(in_form(form, C)[0], **options).state_dict().keys() == peer
            assert LinearSimLoss(C, in_form(form, C)[0], **options).state_dict().keys() == peer | layer
        assert SoftLabelLoss(torch.eye(C), 4.0, **options).state_dict().keys() == peer


@pytest.mark.parametrize("form", FORMS)
def test_skip_init_leaves_the_similarity(form: str) -> None:
    similarity, _ = in_form(form, C)
    layer, features, labels = LinearSimLoss(4, similarity), random_logits(9, 4), random_labels(9, classes=C)
    skipped = skip_init(LinearSimLoss, 4, similarity)
    assert skipped.linear.weight.isnan().all()
    skipped.load_state_dict(layer.state_dict())
    assert torch.equal(skipped(features, labels), layer(features, labels))


def test_a_similarity_without_values_is_refused() -> None:
    """One that is made on the meta device has none, and none can come back."""
    with torch.device("meta"):
        lost = torch.eye(C)
    for make in (
        lambda: SimLoss(lost),
        lambda: SimLoss(lost, share=0.4),
        lambda: LinearSimLoss(4, lost),
        lambda: SoftLabelLoss(lost, 4.0),
        lambda: SimilarityLabelSmoothingLoss(lost),
        lambda: MistakeReport(lost),
    ):
        with pytest.raises(ValueError, match="similarity is on the meta device, where it has no values"):
            make()


@pytest.mark.parametrize("form", FORMS)
def test_metrics_keep_their_tables(form: str) -> None:
    similarity, _ = in_form(form, C)

    def made() -> MistakeReport:
        return MistakeReport(similarity, superclasses=[0, 0, 1, 1, 2, 2], positions=[1.0, 2.0, 4.0, 5.0, 7.0, 9.0])

    scores, labels = random_logits(30, C), random_labels(30, classes=C)
    report = made()
    report.update(scores, labels)
    expected = {name: value.item() for name, value in report.compute().items()}
    assert {"accuracy", "calibration_error", "severity", "position_mae"} < set(expected)
    with torch.device("meta"):
        deferred = made()
    for other in (
        made().to("meta").to_empty(device="cpu"),
        deferred.to_empty(device="cpu"),
        made().half(),
        copy.deepcopy(made()),
        pickled(made()),
    ):
        other.reset()
        other.update(scores, labels)
        assert {name: value.item() for name, value in other.compute().items()} == expected


# --- Hugging Face -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")  # of transformers' own
def test_a_hugging_face_model_has_the_same_loss_once_it_is_saved_and_loaded(tmp_path: Path) -> None:
    """Of every kind that holds a table; each made where the model is, from a tensor, a matrix or a file."""
    transformers = pytest.importorskip("transformers")
    matrix = simmatrix.from_order([f"c{number}" for number in range(C)], decay=0.5)
    matrix.save(tmp_path / "order.safetensors")
    similarity = random_similarity(C)

    class Tiny(transformers.PreTrainedModel):
        config_class = transformers.BertConfig

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.encoder = transformers.BertModel(config)
            self.criteria = nn.ModuleDict(
                {
                    "tensor": SimLoss(similarity, random_weight_of_cpu, share=0.4, similarity_smoothing=0.05),
                    "matrix": SimLoss(matrix),
                    "file": SimLoss.from_file(tmp_path / "order.safetensors", share=0.4),
                    "bounded": bounded(similarity),
                    "layer": LinearSimLoss(C, similarity, share=0.4),
                    "soft": SoftLabelLoss(similarity, 4.0),
                }
            )
            self.post_init()

        def forward(self, tokens: Tensor, labels: Tensor) -> list[Tensor]:
            hidden = self.encoder(tokens).last_hidden_state[:, 0]
            return [criterion(hidden, labels) for criterion in self.criteria.values()]

    random_weight_of_cpu = random_weight(C)
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=C, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    torch.manual_seed(0)
    model = Tiny(config).eval()
    tokens, labels = torch.arange(20).view(5, 4) % 11, random_labels(5, classes=C)
    expected = model(tokens, labels)
    assert all(loss.isfinite() for loss in expected)
    model.save_pretrained(tmp_path / "model")
    assert not any("similarity" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
    loaded = Tiny.from_pretrained(tmp_path / "model").eval()
    assert loaded(tokens, labels) == expected
    in_half = Tiny.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    assert torch.equal(in_half.criteria["tensor"].similarity, similarity)


# --- FSDP2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sharded_model_has_the_same_loss_before_and_after_save_and_load(tmp_path: Path) -> None:
    """With deferred initialisation, on two processes; both have the loss that one process alone has."""
    features, labels, models = random_logits(8, C), random_labels(8, classes=C), {}
    for name in ("soft labels", "dense, a share", "sparse, bounded", "toeplitz, a layer"):
        torch.manual_seed(0)
        models[name] = MAKERS[name]()
    states = {name: model.state_dict() for name, model in models.items()}
    torch.save((features, labels, states), tmp_path / "given.pt")
    multiprocessing.spawn(sharded_worker.work, (2, tmp_path), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, model in models.items():
        first = model(features, labels)
        first.backward()
        torch.optim.SGD(model.parameters(), lr=1.0).step()
        expected = torch.stack([first, model(features, labels)]).detach()
        for losses in (results[name] for results in found):
            assert torch.equal(losses[0], expected[0])
            # Gradients are averaged over the two, which have the same: half of twice, and exact.
            assert torch.equal(losses[1], expected[1])
            assert torch.equal(losses[2], losses[1])
