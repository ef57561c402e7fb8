"""What holds for every metric. A new one inherits all of it by its case in metric_cases."""

import copy
import io
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from simloss.metrics import HierarchicalDistance, MistakeSeverity, SuperclassAccuracy
from tests.batch import batched
from tests.simloss.cases import random_similarity
from tests.simloss.metrics.metric_cases import METRICS, Facts, assert_is, random_batch

mpl.use("Agg")
every = pytest.mark.parametrize("name", METRICS)
FACTS = Facts(6, seed=4)


def expected(name: str, facts: Facts, logits: Tensor, target: Tensor) -> float:
    return METRICS[name].expected(logits.double().numpy(), target.numpy(), facts)


def value(metric: Metric, *batches: tuple[Tensor, Tensor]) -> Tensor:
    for preds, target in batches:
        metric.update(preds, target)
    return metric.compute()


@settings(max_examples=40, deadline=None)
@given(classes=st.integers(1, 7), count=st.integers(0, 12), seed=st.integers(0, 2**20), data=st.data())
@every
def test_it_is_the_oracle_however_the_examples_are_batched(
    name: str, classes: int, count: int, seed: int, data: st.DataObject
) -> None:
    """Scores and indices in turn, where it takes both; with some examples ignored."""
    facts = Facts(classes, seed)
    logits, target = random_batch(classes, count, seed)
    ignored = data.draw(st.sampled_from([None, -100, 255, 0]))
    if ignored in (-100, 255):
        target[:: data.draw(st.integers(1, 3))] = ignored
    metric = METRICS[name].make(facts, ignore_index=ignored)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=3)))
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, count], strict=True)):
        preds = logits[first:last]
        metric.update(preds.argmax(1) if METRICS[name].takes_indices and number % 2 else preds, target[first:last])
    kept = torch.ones_like(target, dtype=torch.bool) if ignored is None else target != ignored
    assert_is(metric.compute(), expected(name, facts, logits[kept], target[kept]), classes * count)


@batched("shape", [(), (4,), (2, 3), (0,)])
@every
def test_examples_may_have_any_shape(name: str, shape: tuple[int, ...]) -> None:
    logits, target = random_batch(6, 3, 1, *shape)
    rows = logits.movedim(1, -1).reshape(-1, 6)
    assert_is(
        value(METRICS[name].make(FACTS), (logits, target)), expected(name, FACTS, rows, target.flatten()), 6 * len(rows)
    )
    if METRICS[name].takes_indices:
        indices = logits.argmax(1)
        assert_is(
            value(METRICS[name].make(FACTS), (indices, target)),
            expected(name, FACTS, rows, target.flatten()),
            len(rows),
        )


@batched("dtype", [torch.float16, torch.bfloat16, torch.float64])
@batched("target_dtype", [torch.uint8, torch.int32])
@every
def test_dtypes_of_logits_and_target_make_no_difference(
    name: str, target_dtype: torch.dtype, dtype: torch.dtype
) -> None:
    logits, target = random_batch(6, 9, 2)
    metric = METRICS[name].make(FACTS)
    assert_is(value(metric, (logits.to(dtype), target.to(target_dtype))), expected(name, FACTS, logits, target), 54)
    assert metric.compute().dtype == torch.float32


@every
def test_nothing_to_average_is_nan(name: str) -> None:
    logits, target = random_batch(6, 0, 0)
    assert value(METRICS[name].make(FACTS), (logits, target)).isnan()
    ignoring = METRICS[name].make(FACTS, ignore_index=-1)
    assert value(ignoring, (torch.zeros(3, 6), torch.full((3,), -1))).isnan()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert METRICS[name].make(FACTS).compute().isnan()


@pytest.mark.parametrize("offset", [0, 1])
@every
def test_when_all_are_right_and_when_all_are_wrong(name: str, offset: int) -> None:
    target = torch.arange(6)
    logits = torch.eye(6)[(target + offset) % 6]
    found = value(METRICS[name].make(FACTS), (logits, target))
    assert_is(found, expected(name, FACTS, logits, target), 36)
    assert found.isnan() == (offset == 0 and name.startswith(("failed", "severity")))


@every
def test_called_it_gives_the_value_of_the_batch_and_counts_it(name: str) -> None:
    metric, batches = METRICS[name].make(FACTS), [random_batch(6, 5, seed) for seed in range(3)]
    for logits, target in batches:
        assert_is(metric(logits, target), expected(name, FACTS, logits, target), 30)
    logits, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert_is(metric.compute(), expected(name, FACTS, logits, target), 90)


@every
def test_reset_it_begins_again(name: str) -> None:
    metric = METRICS[name].make(FACTS)
    value(metric, random_batch(6, 5, 1))
    metric.reset()
    logits, target = random_batch(6, 5, 2)
    assert_is(value(metric, (logits, target)), expected(name, FACTS, logits, target), 30)


@every
def test_casting_a_model_leaves_its_digits(name: str) -> None:
    batches = [random_batch(6, 5, seed) for seed in range(2)]
    logits, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    model = nn.ModuleDict({"layer": nn.Linear(2, 2), "metric": METRICS[name].make(FACTS)})
    model["metric"].update(*batches[0])
    for cast in (model.half, model.bfloat16, lambda: model.to(torch.bfloat16), model.float):
        cast()
    assert_is(value(model["metric"], batches[1]), expected(name, FACTS, logits, target), 60)


@every
def test_it_moves_as_a_whole_and_adds_nothing_to_checkpoints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no GPU here: what is asked to move to one is recorded."""
    metric = METRICS[name].make(FACTS)
    assert metric.state_dict() == {}
    asked: list[tuple[int, torch.device]] = []
    monkeypatch.setattr(Tensor, "to", lambda self, device: asked.append((id(self), device)) or self)
    nn.ModuleDict({"metric": metric})._apply(lambda _: SimpleNamespace(device=torch.device("cuda")))
    tensors = [*metric.buffers(), *metric.metric_state.values(), *metric._defaults.values()]
    assert len(tensors) >= 4
    assert {(id(tensor), torch.device("cuda")) for tensor in tensors} <= set(asked)


@every
def test_what_has_values_does_not_go_to_where_there_are_none(name: str) -> None:
    metric, (logits, target) = METRICS[name].make(FACTS), random_batch(6, 5, 0)
    metric.update(logits, target)
    expected_value = metric.compute()
    moved = nn.ModuleDict({"metric": metric}).to("meta").to_empty(device="cpu")["metric"]
    assert {tensor.device.type for tensor in (*moved.buffers(), *moved.metric_state.values())} == {"cpu"}
    moved._computed = None  # or it would be remembered
    assert moved.compute() == expected_value


@every
def test_copies_and_pickles_go_on_by_themselves(name: str) -> None:
    metric, batches = METRICS[name].make(FACTS), [random_batch(6, 5, seed) for seed in range(2)]
    metric.update(*batches[0])
    file = io.BytesIO()
    torch.save(metric, file)
    file.seek(0)
    copies = (
        metric.clone(),
        copy.deepcopy(metric),
        torch.load(file, weights_only=False),
    )
    logits, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for other in copies:
        assert_is(value(other, batches[1]), expected(name, FACTS, logits, target), 60)
    assert_is(metric.compute(), expected(name, FACTS, *batches[0]), 30)


@every
def test_sums_keep_what_float32_would_lose(name: str) -> None:
    """After 2^25 examples, where one more would change nothing in float32, nor would a sum of that size."""
    alone, after_many = METRICS[name].make(FACTS), METRICS[name].make(FACTS)
    assert [state.dtype for state in alone.metric_state.values()] == [torch.float64, torch.int64]
    for state, default in after_many.metric_state.items():
        setattr(after_many, state, default + 2**25)
    for metric in (alone, after_many):
        metric.update(*random_batch(6, 3, 3))
    (own_sum, own_count), (total, count) = (metric.metric_state.values() for metric in (alone, after_many))
    assert count - 2**25 == own_count
    assert own_count > 0
    # The one sum is rounded at 2^25, once.
    assert abs(float(total) - 2**25 - float(own_sum)) <= 2.0 ** (25 - 53)


@batched(
    "preds, target, error, message",
    [
        (torch.zeros(2, 6), torch.tensor([0, 6]), IndexError, "target 6 is out of bounds: classes are 0 to 5"),
        (torch.zeros(2, 6), torch.tensor([-7, 1]), IndexError, "target -7 is out of bounds"),
        (
            torch.zeros(2, 6) * torch.nan,
            torch.tensor([-100, 1]),
            ValueError,
            "NaN in 1 of 1 examples.* predicts no class",
        ),
        (torch.zeros(2, 6), torch.tensor([0.0, 1.0]), TypeError, "target must hold class indices, got torch.float32"),
        (torch.zeros(2, 6), torch.tensor([True, False]), TypeError, "target must hold class indices, got torch.bool"),
        (torch.zeros(2, 6).bool(), torch.tensor([0, 1]), TypeError, "preds must hold .* got torch.bool"),
        (torch.zeros(2, 5), torch.tensor([0, 1]), ValueError, r"\(2,\) and 6 classes.* got scores of shape \(2, 5\)"),
        (torch.zeros(2), torch.tensor([0, 1]), ValueError, r"got scores of shape \(2,\)"),
        (torch.zeros(6), torch.tensor(0), ValueError, r"got scores of shape \(6,\)"),
        (torch.zeros(2, 6, 3), torch.zeros(2, 4).long(), ValueError, r"got scores of shape \(2, 6, 3\)"),
    ],
)
@every
def test_what_does_not_fit_is_refused_and_not_counted(
    name: str, preds: Tensor, target: Tensor, error: type[Exception], message: str
) -> None:
    metric, batch = METRICS[name].make(FACTS), random_batch(6, 5, 1)
    metric.update(*batch)
    with pytest.raises(error, match=message):
        metric.update(preds, target)
    assert_is(metric.compute(), expected(name, FACTS, *batch), 30)


@batched(
    "preds, error, message",
    [
        (torch.tensor([0, 6]), IndexError, "preds 6 is out of bounds"),
        (torch.tensor([0, -1]), IndexError, "preds -1 is out of bounds"),
        (torch.tensor([0, 1, 2]), ValueError, r"got indices of shape \(3,\)"),
    ],
)
@every
def test_class_indices_that_do_not_fit_are_refused(
    name: str, preds: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        METRICS[name].make(FACTS).update(preds, torch.tensor([0, 1]))


@every
def test_rankings_are_as_good_as_scores(name: str) -> None:
    """And what needs more of a ranking than there is says so."""
    logits, target = random_batch(6, 9, 3)
    ranking = logits.sort(dim=1, descending=True, stable=True).indices
    assert_is(value(METRICS[name].make(FACTS), (ranking, target)), expected(name, FACTS, logits, target), 54)
    if not METRICS[name].takes_indices:
        with pytest.raises(ValueError, match=r"or rankings of \d classes; got 1 class\(es\) an example"):
            METRICS[name].make(FACTS).update(ranking[:, 0], target)


@every
def test_ignored_examples_may_hold_anything(name: str) -> None:
    logits, target = random_batch(6, 5, 1)
    more = torch.cat([logits, torch.full((2, 6), torch.nan)]), torch.cat([target, torch.full((2,), -100)])
    assert_is(value(METRICS[name].make(FACTS), more), expected(name, FACTS, logits, target), 30)


@every
def test_it_can_be_plotted(name: str) -> None:
    """As torchmetrics' own: the present value, or several on the axes that are given."""
    metric = METRICS[name].make(FACTS)
    metric.update(*random_batch(6, 5, 1))
    figure, axes = metric.plot()
    assert axes.figure is figure
    assert metric.plot([metric.compute(), metric.compute()], axes)[1] is axes
    plt.close("all")


def test_a_collection_never_takes_two_for_one() -> None:
    """As it would, had their states the same names: after a first batch without a mistake all have the same values."""
    one, other = (random_similarity(6, seed) for seed in (1, 2))
    metrics = {
        "one": MistakeSeverity(one),
        "other": MistakeSeverity(other),
        "heights": MistakeSeverity(distance=np.ones((6, 6)) - np.eye(6)),
        "at 1": HierarchicalDistance(one),
        "at 2": HierarchicalDistance(one, k=2),
        "fine": SuperclassAccuracy(list("aabbcc")),
        "coarse": SuperclassAccuracy(list("aaabbb")),
        "ignoring": SuperclassAccuracy(list("aaabbb"), ignore_index=5),
    }
    together = MetricCollection({name: metric.clone() for name, metric in metrics.items()})
    right = torch.arange(5)
    batches = [(torch.eye(6)[right], right), random_batch(6, 20, 1)]
    alone = {name: value(metric, *batches) for name, metric in metrics.items()}
    assert len(together.compute_groups) == len(metrics)
    for batch in batches:
        together.update(*batch)
    assert together.compute() == alone
    assert len(together.compute_groups) == len(metrics)


def test_a_collection_takes_equal_ones_for_one() -> None:
    """The names of their states depend on nothing else, such as where or when they are made."""
    metrics = MetricCollection({name: SuperclassAccuracy(list("aab")) for name in ("one", "other")})
    metrics.update(torch.tensor([0, 1]), torch.tensor([2, 0]))
    assert len(metrics.compute_groups) == 1
    assert metrics.compute() == {"one": torch.tensor(0.5), "other": torch.tensor(0.5)}
