"""Back-off: on random graphs against sets, at every confidence; and the curve and the choice that follow from it."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import simloss.backoff
import simmatrix
from simloss import back_off, back_off_curve, choose_confidence
from simloss.backoff import BackOff
from tests.simmatrix.test_class_taxonomy import random_graph, written

TREE = {"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}, "plant": ["oak"]}
NAMES = ("oak", "owl", "cod", "wren")
TAXONOMY = simmatrix.read_taxonomy(TREE, NAMES)


def holds(taxonomy: simmatrix.ClassTaxonomy) -> np.ndarray:
    """Return which classes are at or below each node, (n, C), as 0 and 1."""
    found = np.zeros((len(taxonomy), len(taxonomy.classes)))
    for number, place in enumerate(taxonomy.places):
        found[taxonomy.ancestors[taxonomy.starts[place] : taxonomy.starts[place + 1]], number] = 1
    return found


def decided(sums: np.ndarray, taxonomy: simmatrix.ClassTaxonomy, confidence: float) -> int:
    """Return of nodes with these probabilities the deepest one, among equals the most probable, then the first."""
    probable = [node for node, total in enumerate(sums) if node == 0 or total >= confidence]
    return max(probable, key=lambda node: (taxonomy.depths[node], sums[node], -node))


def test_it_is_the_deepest_probable_node(tmp_path: Path) -> None:
    """Probabilities are multiples of 1/64, of which no sum is rounded; so are half of the confidences."""
    random, seen = np.random.default_rng(0), set()
    for seed in range(60):
        graph, classes = random_graph(seed)
        taxonomy = simmatrix.read_taxonomy(written(tmp_path, graph), classes)
        p = random.multinomial(64, random.dirichlet(np.ones(len(classes)) * 0.3), 4) / 64
        sums = p @ holds(taxonomy).T
        for confidence in (1 / 64, 0.3, 0.5, 0.75, 0.9, 1.0):
            found = back_off(p, taxonomy, confidence, from_logits=False)
            expected = [decided(row, taxonomy, confidence) for row in sums]
            assert found.nodes.tolist() == expected
            assert found.names.tolist() == [taxonomy.names[node] for node in expected]
            assert found.probabilities.tolist() == sums[np.arange(4), expected].tolist()
            seen |= {int(taxonomy.depths[node]) for node in expected}
    assert seen >= {0, 1, 2, 3}


def test_logits_are_as_good_as_their_probabilities() -> None:
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        z = logits.to(dtype)
        sums = z.double().softmax(1).numpy() @ holds(TAXONOMY).T
        found = back_off(z, TAXONOMY, 0.8)
        assert isinstance(found.nodes, Tensor)
        assert found.nodes.tolist() == [decided(row, TAXONOMY, 0.8) for row in sums]
        # Exponentials in float32, or in float64, of differences that are rounded once.
        rounding = 30 * (2.0**-24 if dtype != torch.float64 else 2.0**-53)
        np.testing.assert_allclose(found.probabilities.numpy(), sums[np.arange(200), found.nodes], rtol=rounding)


def test_what_is_certain_is_certain() -> None:
    """At a confidence of 1 only rounding could decide: the root is 1 exactly, and so is what holds all probability."""
    z = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    assert set(back_off(z, TAXONOMY, 1.0).names.tolist()) == {"root"}
    sure = torch.tensor([[0.0, 900.0, 0.0, 900.0], [0.0, math.inf, 0.0, 0.0], [5.0, *[-math.inf] * 3]])
    assert back_off(sure, TAXONOMY, 1.0).names.tolist() == ["bird", "owl", "oak"]
    everything_below_one = simmatrix.read_taxonomy({"thing": {"animal": ["owl", "cod"]}}, ["owl", "cod"])
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert set(back_off(z, everything_below_one, 1.0).names.tolist()) == {"animal"}


def test_shapes_and_kinds() -> None:
    p = np.array([[0.1, 0.5, 0.0, 0.4], [0.9, 0.1, 0.0, 0.0]])
    one = back_off(p[0], TAXONOMY, from_logits=False)
    assert (one.nodes.shape, str(one.names)) == ((), "bird")
    images = np.stack([p, p[::-1]], 2)
    found = back_off(images, TAXONOMY, from_logits=False)
    assert isinstance(found, BackOff)
    assert found.names.tolist() == [["bird", "oak"], ["oak", "bird"]]
    assert isinstance(found.nodes, np.ndarray)
    assert back_off(p[:0], TAXONOMY, from_logits=False).names.shape == (0,)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    expected = back_off(z, TAXONOMY, 0.7)
    for size in (1, 12, 41):
        monkeypatch.setattr(simloss.backoff, "_BLOCK", size)
        assert torch.equal(back_off(z, TAXONOMY, 0.7).nodes, expected.nodes)


def judged(p: np.ndarray, labels: np.ndarray, taxonomy: simmatrix.ClassTaxonomy, confidence: float) -> list[float]:
    """Return accuracy, depth and information of what is decided."""
    members = holds(taxonomy)
    nodes = [decided(row, taxonomy, confidence) for row in p @ members.T]
    bits = [math.log2(p.shape[1] / members[node].sum()) for node in nodes]
    return [float(np.mean(one)) for one in (members[nodes, labels], taxonomy.depths[nodes], bits)]


def test_the_curve_is_what_every_confidence_gives(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for seed in range(15):
        graph, classes = random_graph(seed)
        taxonomy = simmatrix.read_taxonomy(written(tmp_path, graph), classes)
        p = random.multinomial(64, random.dirichlet(np.ones(len(classes)) * 0.5), 12) / 64
        labels = random.integers(0, len(classes), 12)
        curve = back_off_curve(p, labels, taxonomy, from_logits=False)
        assert (np.diff(curve.confidence) > 0).all()
        assert curve.confidence[-1] == 1
        between = (curve.confidence + np.insert(curve.confidence[:-1], 0, 0)) / 2
        for at, accuracy, depth, information in zip(*curve, strict=True):
            np.testing.assert_allclose(
                [accuracy, depth, information], judged(p, labels, taxonomy, at), rtol=1e-12, atol=1e-12
            )
        for at, *figures in zip(between, *curve[1:], strict=True):
            np.testing.assert_allclose(figures, judged(p, labels, taxonomy, at), rtol=1e-12, atol=1e-12)
        wanted = float(random.choice(curve.accuracy))
        chosen = choose_confidence(p, labels, taxonomy, wanted, from_logits=False)
        reached = [judged(p, labels, taxonomy, at)[0] >= wanted - 1e-12 for at in (chosen, *curve.confidence)]
        # From there on it is reached, and just below it is not.
        assert all(good for good, at in zip(reached, (chosen, *curve.confidence), strict=True) if at >= chosen)
        before = curve.confidence[curve.confidence < chosen]
        assert not len(before) or judged(p, labels, taxonomy, before[-1])[0] < wanted


def test_the_choice_holds_on_other_examples() -> None:
    """With probabilities that are true, 20,000 examples of one half do as well as 20,000 of the other."""
    random = np.random.default_rng(2)
    p = random.dirichlet(np.ones(4) * 0.5, 40_000)
    labels = (p.cumsum(1) < random.random((40_000, 1))).sum(1).clip(max=3)
    confidence = choose_confidence(p[:20_000], labels[:20_000], TAXONOMY, 0.9, from_logits=False)
    nodes = back_off(p[20_000:], TAXONOMY, confidence, from_logits=False).nodes
    right = TAXONOMY.is_above(nodes, TAXONOMY.places[labels[20_000:]]).mean()
    # Two binomial errors of sqrt(0.9 * 0.1 / 20,000), four standard deviations.
    assert abs(right - 0.9) < 4 * math.sqrt(2 * 0.09 / 20_000)


def test_ignored_examples_count_nothing() -> None:
    z, labels = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 4
    expected = back_off_curve(z, labels, TAXONOMY)
    more = np.concatenate([z, -z]), np.concatenate([labels, np.full(20, -100)])
    for one, other in zip(back_off_curve(*more, TAXONOMY), expected, strict=True):
        np.testing.assert_array_equal(one, other)


LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: back_off(z, TAXONOMY, 0.0), ValueError, "confidence must be above 0 and at most 1, got 0.0"),
        (lambda z: back_off(z, TAXONOMY, 1.1), ValueError, "confidence must be above 0 and at most 1, got 1.1"),
        (lambda z: back_off(z, TAXONOMY, math.nan), ValueError, "got nan"),
        (lambda z: back_off(z, TAXONOMY, "0.9"), ValueError, "got '0.9'"),
        (lambda z: back_off(z[:, :3], TAXONOMY), ValueError, "the taxonomy has 4 classes, but the logits have 3"),
        (lambda z: back_off(z, "superclass"), TypeError, "what simmatrix.read_taxonomy gives for the classes, got str"),
        (lambda z: back_off(z * math.nan, TAXONOMY), ValueError, "NaN in example 0"),
        (lambda z: back_off(z + 1, TAXONOMY, from_logits=False), ValueError, "must sum to 1"),
        (
            lambda z: choose_confidence(z, LABELS, TAXONOMY, 1.5),
            ValueError,
            "accuracy must be between 0 and 1, got 1.5",
        ),
        (lambda z: choose_confidence(z, LABELS + 3, TAXONOMY), IndexError, "label of example 1 .* is 4"),
        (lambda z: choose_confidence(z[:0], LABELS[:0], TAXONOMY), ValueError, "no example to judge"),
        (lambda z: choose_confidence(z, LABELS * 0 - 100, TAXONOMY), ValueError, "no example to judge"),
        (lambda z: back_off_curve(z, LABELS[:1], TAXONOMY), ValueError, r"labels must have shape \(2,\)"),
    ],
)
def test_bad_input(call: Callable[[np.ndarray], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.zeros((2, 4)))


@pytest.mark.slow
def test_imagenet_21k_in_seconds() -> None:
    """A tenth of 10,000 examples in a tenth of 5 s on 2 cores: a second of one core."""
    taxonomy = simmatrix.read_taxonomy("wordnet", "imagenet21k")
    z = torch.randn(1000, 21843, generator=torch.Generator().manual_seed(0)).mul_(4)
    back_off(z[:10], taxonomy)
    start = time.process_time()
    back_off(z, taxonomy)
    assert time.process_time() - start < 1.0
