"""Metrics on a taxonomy: HiClass's own on random trees, and sets on random graphs."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hiclass import metrics as hiclass

import simmatrix
from simloss import BackOff
from simloss.metrics import (
    HierarchicalF1,
    HierarchicalPrecision,
    HierarchicalRecall,
    MistakeReport,
    MistakeSeverity,
    NodeAccuracy,
    NodeDepth,
    NodeInformation,
    judge,
)
from tests.simmatrix.test_class_taxonomy import ancestors_and_depths, random_graph, written

OVERLAPS = {HierarchicalPrecision: hiclass.precision, HierarchicalRecall: hiclass.recall, HierarchicalF1: hiclass.f1}


def as_nodes(nodes: list[int]) -> BackOff:
    found = torch.tensor(nodes)
    return BackOff(found, torch.ones(len(nodes), dtype=torch.float64), np.array(nodes, dtype=object))


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_overlaps_are_those_of_hiclass(average: str, tmp_path: Path) -> None:
    """Of leaves and of inner nodes; HiClass is given a row of ancestors for each, without the root."""
    random, count = np.random.default_rng(0), 0
    for seed in range(60):
        graph, classes = random_graph(seed)
        taxonomy = simmatrix.read_taxonomy(written(tmp_path, graph), classes)
        for is_node in (False, True):
            target = random.integers(0, len(classes), 8)
            chosen = random.integers(0, len(taxonomy) if is_node else len(classes), 8)
            nodes = chosen if is_node else taxonomy.places[chosen]
            rows = [
                [taxonomy.ancestors[taxonomy.starts[node] : taxonomy.starts[node + 1]].tolist() for node in some]
                for some in (taxonomy.places[target], nodes)
            ]
            if any(len(row) == 1 for row in (*rows[0], *rows[1])):
                continue  # the root has no ancestors, for which HiClass divides by 0
            # Sets of nodes as rows of texts; the root, 0, is left out.
            wide = max(map(len, rows[0] + rows[1]))
            true, predicted = (
                np.array(
                    [
                        [*map(str, row[:-1] if row[-1] == 0 else [x for x in row if x]), *[""] * wide][:wide]
                        for row in side
                    ]
                )
                for side in rows
            )
            preds = as_nodes(nodes.tolist()) if is_node else torch.from_numpy(chosen)
            for metric, peer in OVERLAPS.items():
                found = metric(taxonomy, average=average)(preds, torch.from_numpy(target))
                with warnings.catch_warnings(action="ignore"):  # where nothing is shared, HiClass says that F is 0
                    expected = peer(true, predicted, average=average)
                assert math.isclose(found.item(), expected, rel_tol=2.0**-23)
                count += 1
    assert count > 100


def test_figures_of_nodes_are_what_sets_say(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for seed in range(30):
        graph, classes = random_graph(seed)
        taxonomy = simmatrix.read_taxonomy(written(tmp_path, graph), classes)
        above, _depths = ancestors_and_depths(graph)
        target, nodes = random.integers(0, len(classes), 9), random.integers(0, len(taxonomy), 9)
        names = [taxonomy.names[node] for node in nodes]
        right = [name == "root" or name in above[classes[label]] for name, label in zip(names, target, strict=True)]
        counts = [sum(name == "root" or name in above[one] for one in classes) for name in names]
        preds, labels = as_nodes(nodes.tolist()), torch.from_numpy(target)
        for metric, expected in (
            (NodeAccuracy, np.mean(right)),
            (NodeDepth, np.mean(taxonomy.depths[nodes])),
            (NodeInformation, np.mean([math.log2(len(classes) / one) for one in counts])),
        ):
            assert math.isclose(metric(taxonomy)(preds, labels).item(), expected, rel_tol=2.0**-23, abs_tol=2.0**-50)


TAXONOMY = simmatrix.read_taxonomy({"animal": {"bird": ["owl", "wren"], "fish": ["cod"]}}, ["owl", "wren", "cod"])


def test_the_root_says_nothing() -> None:
    """It has no ancestors: precision has nothing to count, recall and F1 are 0."""
    root, target = as_nodes([0, 0]), torch.tensor([0, 2])
    for average in ("micro", "macro"):
        assert HierarchicalPrecision(TAXONOMY, average=average)(root, target).isnan()
        assert HierarchicalRecall(TAXONOMY, average=average)(root, target) == 0
        assert HierarchicalF1(TAXONOMY, average=average)(root, target) == 0
    assert NodeAccuracy(TAXONOMY)(root, target) == 1
    assert NodeInformation(TAXONOMY)(root, target) == 0


def test_a_report_judges_classes_rankings_scores_and_nodes() -> None:
    similarity = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.25], [0.25, 0.25, 1.0]])
    p, target = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]), np.array([0, 2, 1])
    options = {"taxonomy": TAXONOMY, "superclasses": list("aab"), "costs": 1 - similarity}
    of_scores = judge(p, target, similarity, **options)
    assert not [name for name, value in of_scores.items() if math.isnan(value)]
    classes = judge(p.argmax(1), target, similarity, **options)
    rankings = judge(np.argsort(-p, axis=1, kind="stable"), target, similarity, **options)
    # What is not in decided classes: their confidence, and the ranking.
    assert {name for name, value in classes.items() if math.isnan(value)} == {"calibration_error", "ndcg"}
    assert {name for name, value in rankings.items() if math.isnan(value)} == {"calibration_error"}
    for name, value in of_scores.items():
        assert math.isnan(classes[name]) or classes[name] == value
        assert math.isnan(rankings[name]) or rankings[name] == value
    nodes = BackOff(np.array([2, 0, 3]), np.array([0.75, 1.0, 0.5]), np.array(["bird", "animal", "owl"], dtype=object))
    found = judge(nodes, target, similarity, **options)
    known = {name for name, value in found.items() if not math.isnan(value)}
    overlaps = {"hierarchical_precision", "hierarchical_recall", "hierarchical_f1"}
    assert known == {"calibration_error", "node_accuracy", "node_depth", "node_information"} | overlaps
    assert TAXONOMY.names[1:4] == ("bird", "fish", "owl")


def test_nodes_that_there_are_not() -> None:
    metric = NodeDepth(TAXONOMY)
    for node in (-1, 6):
        with pytest.raises(IndexError, match="nodes are 0 to 5"):
            metric.update(as_nodes([node]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"nodes must have the shape of the target, \(2,\); got \(1,\)"):
        metric.update(as_nodes([0]), torch.tensor([0, 1]))
    with pytest.raises(TypeError, match="read_taxonomy"):
        NodeDepth("superclass")
    with pytest.raises(ValueError, match="'micro' or 'macro', got 'mean'"):
        HierarchicalF1(TAXONOMY, average="mean")
    with pytest.raises(ValueError, match="the taxonomy has 3 classes, but"):
        MistakeReport(torch.eye(4), taxonomy=TAXONOMY)
    with pytest.raises(ValueError, match="preds must be scores or class indices; got nodes"):
        MistakeSeverity(torch.eye(3)).update(as_nodes([0]), torch.tensor([0]))


def test_a_taxonomy_follows_the_order_of_the_classes() -> None:
    matrix = simmatrix.SimilarityMatrix(np.eye(3, dtype=np.float32), ("owl", "wren", "cod"))
    report = MistakeReport(matrix, classes=["cod", "wren", "owl"], taxonomy=TAXONOMY)
    report.update(torch.tensor([2]), torch.tensor([1]))  # an owl for a wren
    assert report.compute()["hierarchical_precision"] == 0.5


def test_the_number_of_threads_changes_no_digit() -> None:
    """Of groups of 3, 7 and 11 classes the information is no round number: a sum of many depends on its order."""
    sizes = (3, 7, 11)
    tree = {f"group {size}": [f"{size} {number}" for number in range(size)] for size in sizes}
    names = [name for group in tree.values() for name in group]
    taxonomy = simmatrix.read_taxonomy(tree, names)
    threads, generator = torch.get_num_threads(), torch.Generator().manual_seed(0)
    try:
        for length in (300_007, 1_000_003, 3_000_001):
            nodes, found = torch.randint(len(taxonomy), (length,), generator=generator), set()
            preds = BackOff(nodes, torch.ones(length, dtype=torch.float64), None)
            for count in (1, 2, 3, 4, 5):
                torch.set_num_threads(count)
                metric = NodeInformation(taxonomy)
                metric.update(preds, torch.zeros_like(nodes))
                found.add(metric.sum_of("sum").item())
            (total,) = found
            assert total == pytest.approx(math.fsum(taxonomy.information[nodes.numpy()].tolist()), rel=1e-14)
    finally:
        torch.set_num_threads(threads)
