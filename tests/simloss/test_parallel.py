"""The loss divided among processes, real ones that gloo connects: what they find together is what one finds alone.

Starting processes takes seconds, so each number of them is started once and runs all cases; see parallel_worker.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, multiprocessing

import simloss.parallel
from simloss import sim_loss
from tests import oracle
from tests.batch import batched
from tests.simloss import parallel_worker
from tests.simloss.cases import (
    assert_within_budget,
    eager_sim_loss,
    random_logits,
    random_similarity,
    random_weight,
    uneven,
    value_and_gradient,
)
from tests.simloss.parallel_worker import EACH_CLASS, WIDTHS, C, Case, similarity_of

# Four processes take three times as long to start as two.
by_size = pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
Found = Callable[[int], list[dict[str, Any]]]

cases = cache(parallel_worker.cases)


def names(pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for all cases whose names match, with each number of processes."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @by_size
        @wraps(test)
        def each(found: Found, size: int) -> None:
            batched("name", [name for name in cases(size) if re.search(pattern, name)])(test)(found=found, size=size)

        del each.__wrapped__
        return each

    return decorate


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return a function that gives what each of so many processes found."""

    @cache
    def run(size: int) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp(f"processes{size}")
        multiprocessing.spawn(parallel_worker.work, (size, folder), nprocs=size)
        return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]

    return run


def together(found: Found, size: int, name: str) -> tuple[Tensor, Tensor]:
    """Return the loss that all processes found alike, to the last bit, and their gradients side by side."""
    outcomes = [results[name] for results in found(size)]
    first = outcomes[0].value
    for outcome in outcomes:
        torch.testing.assert_close(outcome.value, first, rtol=0, atol=0, equal_nan=True)
    return first, torch.cat([outcome.gradient for outcome in outcomes], 1)


def reach(case: Case) -> float:
    """Return how large a logarithm of a sum can be: the largest logit, and the logarithm of the classes over S."""
    smallest = case.similarity[case.similarity > 0].min().item()
    return case.logits[case.logits.isfinite()].abs().max().item() + math.log(C / smallest)


def assert_is_oracle(case: Case, value: Tensor, gradient: Tensor) -> None:
    """Compare with the oracle on the same logits, in units of their dtype's rounding error.

    Each sum over the classes and over the examples rounds as often as it has terms, all else two dozen times. A sum
    also takes the rounding of z - m, of the size of z. Then each of the two goes through the logarithm, m + log and the
    sum over processes: that is 3 roundings in float64 of the size of the logarithm, 6 for both, and 2 for their
    difference. The gradient's quotients meet two logarithms more. The oracle rounds z - m too. Smoothing takes a mean
    of the logits off the logarithm of d: both are right to so many units of their own size.
    """
    options = {"weight": None, "ignore_index": -100, "reduction": "none"} | case.options
    weight = None if options["weight"] is None else options["weight"].numpy()
    logits, target, similarity = case.logits.double().numpy(), case.target.numpy(), case.similarity.double().numpy()
    share, smoothing = options.get("share", 1.0), options.get("similarity_smoothing", 0.0)
    losses, slopes, total = oracle.sim_loss(
        logits, target, similarity, weight, options["ignore_index"], share=share, similarity_smoothing=smoothing
    )
    if options["reduction"] != "none":
        divisor = total if options["reduction"] == "mean" else 1.0
        losses, slopes = losses.sum() / divisor, slopes / divisor
    upstream = uneven(value).numpy().reshape(-1, 1)
    unit, lost = torch.finfo(value.dtype).eps / 2, min(reach(case), -math.log(torch.finfo(value.dtype).tiny))
    allowed = (C + len(target) + 24 + 2 * lost) * unit + 16 * reach(case) * 2.0**-53
    smoothed = (1 - share) * smoothing * reach(case) * (1.0 if weight is None else weight.max())
    np.testing.assert_allclose(value.double().numpy(), losses, rtol=allowed, atol=smoothed * (C + 24) * unit)
    largest = np.abs(upstream * slopes).max()
    np.testing.assert_allclose(gradient.double().numpy(), slopes * upstream, rtol=0, atol=allowed * largest)


@names("forms.*float64|reductions")
def test_in_float64_it_is_the_oracle(found: Found, size: int, name: str) -> None:
    """For each form and each reduction. Each class is a label: of each process some are."""
    assert_is_oracle(cases(size)[name], *together(found, size, name))


@names("forms.*(float32|float16)")
def test_no_further_from_float64_than_eager_code_in_one_process(found: Found, size: int, name: str) -> None:
    case = cases(size)[name]
    exact = oracle.sim_loss(case.logits.double().numpy(), case.target.numpy(), case.similarity.double().numpy())
    upstream = uneven(torch.from_numpy(exact[0])).unsqueeze(1)
    budgets = value_and_gradient(lambda z: eager_sim_loss(z, case.target, case.similarity), case.logits, uneven)
    value, gradient = together(found, size, name)
    assert value.dtype == gradient.dtype == case.logits.dtype
    assert_within_budget(value, budgets[0].double(), torch.from_numpy(exact[0]))
    assert_within_budget(gradient, budgets[1].double(), torch.from_numpy(exact[1]) * upstream)


@names("far_rows")
def test_far_rows_have_all_digits(found: Found, size: int, name: str) -> None:
    """Each gap by itself, so that the small ones are not measured by the large ones."""
    case = cases(size)[name]
    value, gradient = together(found, size, name)
    for part in range(0, len(value), C):
        rows = slice(part, part + C)
        scale = uneven(value)[rows] / uneven(value[rows])  # its pattern has a period of 5
        assert torch.equal(scale, torch.ones(C))
        assert_is_oracle(case._replace(logits=case.logits[rows], target=case.target[rows]), value[rows], gradient[rows])


@names("corners")
def test_in_corners_it_is_what_one_process_computes(found: Found, size: int, name: str) -> None:
    """NaN and infinity in the same places; and each of the two is as wrong as float32 is, counted as for the oracle."""
    case = cases(size)[name]
    options = {"reduction": "none"} | case.options
    alone = value_and_gradient(lambda z: sim_loss(z, case.target, case.similarity, **options), case.logits, uneven)
    allowed = 2 * (C + 24 + 2 * 88) * 2.0**-24
    for mine, theirs in zip(together(found, size, name), alone, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=allowed, atol=allowed, equal_nan=True)


@names("nan|infinity")
def test_not_a_number_reaches_all_processes(found: Found, size: int, name: str) -> None:
    value, gradient = together(found, size, name)
    assert value.isnan().all()
    assert gradient.isnan().all()


@names("corners.*-ignored")
def test_ignored_rows_are_zero_whatever_is_in_them(found: Found, size: int, name: str) -> None:
    value, gradient = together(found, size, name)
    is_ignored = cases(size)[name].target == 4
    assert torch.equal(value == 0, is_ignored)
    assert torch.equal((gradient == 0).all(1), is_ignored)


@by_size
def test_similar_classes_all_at_minus_infinity(found: Found, size: int) -> None:
    """The loss is infinite, and the gradient pulls at the similar classes by S, wherever they are."""
    for name in cases(size):
        if "masked similar" in name and "dense" in name:
            case = cases(size)[name]
            value, gradient = together(found, size, name)
            s = case.similarity[case.target]
            has_other = (s == 0).any(1)
            assert torch.equal(value == torch.inf, has_other)
            pulled = -(s / s.sum(1, keepdim=True)) * uneven(value).unsqueeze(1)
            # A sum of C terms, its logarithm (at most 3) and exp; and one rounding each of quotient and product.
            where = (s > 0) & has_other.unsqueeze(1)
            torch.testing.assert_close(gradient[where], pulled[where], rtol=(C + 8) * 2.0**-24, atol=0)


@names("^(forms|reductions|far_rows|corners)")
def test_two_numbers_an_example_go_round_once(found: Found, size: int, name: str) -> None:
    """In the forward pass: each process gives its own, and gets those of all. In the backward pass there is nothing."""
    expected = torch.Size([len(cases(size)[name].target), 2])
    for results in found(size):
        outcome = results[name]
        assert len(outcome.forward) == 1
        ((operator, shapes),) = outcome.forward
        assert "gather" in operator
        assert shapes == [expected] * (size + 1)
        assert outcome.backward == []


@by_size
def test_a_share_of_cross_entropy_is_the_oracle(found: Found, size: int) -> None:
    """Ordinary rows, those near zero loss, and far ones, each by themselves, so that small is not measured by large."""
    compared = 0
    for name, case in cases(size).items():
        if name.startswith("shares"):
            value, gradient = together(found, size, name)
            is_reduced = value.ndim == 0
            for first in (0,) if is_reduced else range(0, 4 * C, C):
                rows = slice(None) if is_reduced else slice(first, first + C)
                part = case._replace(logits=case.logits[rows], target=case.target[rows])
                assert is_reduced or torch.equal(uneven(value)[rows], uneven(value[rows]))
                assert_is_oracle(part, value if is_reduced else value[rows], gradient[rows])
                compared += 1
    assert compared == 2 * 4 * 2 * (8 * 4 + 1)


@by_size
def test_a_share_of_cross_entropy_where_logits_are_minus_infinity(found: Found, size: int) -> None:
    """The value may be infinite, and the gradient is not; or there is nothing to average."""
    for name, case in cases(size).items():
        if name.startswith("masked_shares"):
            value, gradient = together(found, size, name)
            if name.endswith(("none", "all ignored")):
                torch.testing.assert_close(value, torch.tensor(torch.nan).to(value), equal_nan=True)
                assert torch.equal(gradient, torch.zeros_like(gradient))
            else:
                assert_is_oracle(case, value, gradient)


@by_size
def test_six_numbers_an_example_go_round_once_beside_a_share(found: Found, size: int) -> None:
    """And before it the number of columns, which a call of the function can't know. Nothing in the backward pass."""
    for name, case in cases(size).items():
        if name.startswith(("shares", "masked_shares")):
            for outcome in (results[name] for results in found(size)):
                is_alone = case.options["share"] == 1
                numbers = torch.Size([len(case.target), 2 if is_alone else 6])
                shapes = [shape for _, call in outcome.forward for shape in call if len(shape) == 2]
                assert shapes == [numbers] * (size + 1)
                assert len(outcome.forward) == (1 if is_alone else 2)
                assert outcome.backward == []


@by_size
def test_a_module_has_the_share_that_is_set(found: Found, size: int) -> None:
    """What the function computes with it; and back at 1 what one has that never had another, to the last bit."""
    for results in found(size):
        shares = results["modules"]["shares"]
        assert len(shares) == 10
        assert all(loss == expected for loss, expected in shares)
        again, alone = results["modules"]["alone again"]
        assert all(map(torch.equal, again, alone))


@by_size
def test_a_graph_that_is_kept_gives_the_same_gradient_again(found: Found, size: int) -> None:
    for results in found(size):
        for first, second, third in results["kept_graphs"]:
            assert torch.equal(second, 2 * first)
            # 3 g is rounded, where g + g was not.
            torch.testing.assert_close(third, 3 * first, rtol=2.0**-23, atol=0)


@by_size
def test_slopes_too_small_for_float16_wait_for_their_scale(found: Found, size: int) -> None:
    expected = value_and_gradient(
        lambda z: sim_loss(z, EACH_CLASS, similarity_of("dense"), reduction="sum"), random_logits(C, C).half().float()
    )[1]
    gradient = torch.cat([results["scaled_half"] for results in found(size)], 1)
    assert gradient.dtype == torch.float16
    # Rounded once to float16, of numbers that are 1 at most; the powers of two that it went through cost nothing.
    torch.testing.assert_close(gradient.float(), expected, rtol=0, atol=2.0**-12 + 2 * (C + 24) * 2.0**-24)


@by_size
def test_nothing_given_is_modified(found: Found, size: int) -> None:
    assert [results["unchanged"] for results in found(size)] == [True] * size


@by_size
def test_second_derivatives_are_refused(found: Found, size: int) -> None:
    for results in found(size):
        assert all(
            message.startswith("RuntimeError: this loss has no second") for message in results["second_derivative"]
        )


@by_size
def test_under_autocast_the_loss_is_in_float32(found: Found, size: int) -> None:
    assert [results["autocast"] for results in found(size)] == [torch.float32] * size


@by_size
def test_without_a_gradient_the_loss_is_the_same(found: Found, size: int) -> None:
    expected = sim_loss(random_logits(C, C), EACH_CLASS, similarity_of("dense"), reduction="none")
    for results in found(size):
        torch.testing.assert_close(results["without_gradient"], expected, rtol=2 * (C + 24) * 2.0**-24, atol=0)


@by_size
def test_all_may_be_dtensors(found: Found, size: int) -> None:
    expected = value_and_gradient(
        lambda z: sim_loss(z, EACH_CLASS, similarity_of("dense"), random_weight(C)), random_logits(C, C)
    )
    for results in found(size):
        torch.testing.assert_close(results["of_dtensors"], expected, rtol=0, atol=2 * (2 * C + 24) * 2.0**-24)


@by_size
def test_a_process_may_have_no_class_of_a_dtensor(found: Found, size: int) -> None:
    expected = value_and_gradient(
        lambda z: sim_loss(z, torch.arange(5), random_similarity(5), reduction="sum"), random_logits(5, 5)
    )
    for results in found(size):
        torch.testing.assert_close(results["fewer_classes"], expected, rtol=2 * (5 + 5 + 24) * 2.0**-24, atol=2.0**-20)


@by_size
def test_a_group_may_be_some_of_the_processes_or_one(found: Found, size: int) -> None:
    expected = sim_loss(random_logits(C, C), EACH_CLASS, similarity_of("dense"))
    for rank, results in enumerate(found(size)):
        assert len(results["subgroups"]) == (2 if rank >= size - 2 else 1)
        for loss in results["subgroups"]:
            torch.testing.assert_close(loss, expected, rtol=2 * (2 * C + 24) * 2.0**-24, atol=0)


@by_size
def test_shards_are_those_of_a_dtensor(found: Found, size: int) -> None:
    for results in found(size):
        for ours, theirs in results["shards"]:
            assert torch.equal(ours, theirs)


@by_size
@pytest.mark.parametrize("form", ["dense", "sparse", "identity", "toeplitz"])
def test_the_module_computes_what_the_function_does(found: Found, form: str, size: int) -> None:
    """Also when it has been cast there and back, which must not touch the similarity, and when it is a copy."""
    first = 0
    for rank, results in enumerate(found(size)):
        loss, of_copy, expected = results["modules"][form]
        assert loss == of_copy == expected
        assert results["modules"][f"{form} keeps"] == ["weight"]
        last = first + WIDTHS[size][1][rank]
        assert results["modules"][f"{form} says"] == (
            f"ClassParallelSimLoss(num_classes=10, columns={first}:{last}, similarity=torch.float32, ignore_index=3, "
            "reduction='sum')"
        )
        assert results["modules"]["columns"] == range(first, last)
        first = last


@by_size
@pytest.mark.parametrize("form", ["dense", "sparse", "identity", "toeplitz"])
def test_the_module_has_a_lower_bound(found: Found, form: str, size: int) -> None:
    """It computes what one does that is made for the bounded similarity."""
    for results in found(size):
        bounded = results["modules"][f"{form} bounded"]
        assert all(loss == fresh for loss, fresh in bounded)
        assert len({loss.item() for loss, _ in bounded}) == (1 if form == "identity" else 2)
        assert results["modules"][f"{form} then says"].endswith("reduction='sum', lower_bound=0.25)")


@by_size
def test_the_module_takes_dtensors(found: Found, size: int) -> None:
    expected = sim_loss(random_logits(C, C), EACH_CLASS, similarity_of("dense"))
    for results in found(size):
        torch.testing.assert_close(results["modules"]["dtensor"], expected, rtol=2 * (2 * C + 24) * 2.0**-24, atol=0)


@by_size
@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ("label above", r"IndexError: target {size2} is out of bounds: classes are 0 to"),
        ("label below", r"IndexError: target -1 is out of bounds"),
        ("whole similarity", "ArgumentError: the logits have 2 columns on this process"),
        ("whole toeplitz", "ArgumentError: similarity has rows for"),
        ("short toeplitz", "ArgumentError: the logits have 2 columns on this process"),
        ("other classes", "ArgumentError: similarity has rows for"),
        ("probabilities", "NotImplementedError: class probabilities are not supported"),
        ("three dimensions", r"ArgumentError: logits must have shape \(N, C\), got \(4, 2, 1\)"),
        ("integer logits", "DtypeError: logits must be of a floating-point dtype, got torch.int64"),
        ("integer similarity", "DtypeError: similarity must be of a floating-point dtype, got torch.int64"),
        ("integer weight", "DtypeError: weight must be of a floating-point dtype"),
        ("local weight", r"ArgumentError: weight must have shape"),
        ("learnt weight", "RuntimeError: weight gets no gradient"),
        ("learnt similarity", "RuntimeError: similarity gets no gradient"),
        ("short target", r"ArgumentError: target must have shape \(4,\), one class index an example; got \(3,\)"),
        ("int32 target", "DtypeError: class indices must be torch.int64 or torch.uint8, got torch.int32"),
        ("meta target", "RuntimeError: target is on meta, but the logits are on cpu"),
        ("reduction", "ArgumentError: 'average' is not a valid value for reduction"),
        ("array", "DtypeError: similarity must be a tensor"),
        ("sharded by rows", r"ArgumentError: logits must be of two dimensions and sharded.*Shard\(dim=0\)"),
        ("target by rows", r"ArgumentError: target must be replicated.*Shard\(dim=0\)"),
        ("replicated similarity", "ArgumentError: similarity must be of two dimensions and sharded.*Replicate"),
        ("two mesh dimensions", r"ArgumentError: logits must be of two dimensions.*mesh of shape \(1, "),
        ("too few columns", r"ArgumentError: the processes hold 1 \+ 1.* = {size} columns, but the similarity has"),
        ("not square", "ArgumentError: similarity must be a square matrix"),
        ("share", "ArgumentError: share must be between 0.0 and 1.0, got 1.5"),
        ("smoothing", "ArgumentError: similarity_smoothing must be between 0.0 and 1.0, got -0.5"),
        ("label smoothing", "NotImplementedError: label smoothing is not supported"),
    ],
)
def test_what_does_not_fit_is_refused_by_all(found: Found, attempt: str, message: str, size: int) -> None:
    pattern = message.replace("{size2}", str(2 * size)).replace("{size}", str(size))
    for results in found(size):
        assert re.match(pattern, results["refusals"][attempt]), results["refusals"][attempt]


def test_every_refusal_is_looked_at(found: Found) -> None:
    (attempts,) = (
        mark.args[1]
        for mark in test_what_does_not_fit_is_refused_by_all.pytestmark
        if mark.args[0] == ("attempt", "message")
    )
    assert {attempt for attempt, _ in attempts} == set(found(2)[0]["refusals"])


def test_the_package_does_not_need_torch_distributed() -> None:
    """As in a build of torch without it, where its module is there but empty."""
    code = (
        "import sys, types, torch\n"
        "torch.distributed = sys.modules['torch.distributed'] = types.ModuleType('torch.distributed')\n"
        "import simloss, simloss.parallel\n"
        "simloss.sim_loss(torch.zeros(2, 3), torch.tensor([0, 1]), torch.eye(3))"
    )
    root = Path(simloss.parallel.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
