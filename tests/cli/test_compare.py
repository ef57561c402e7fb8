"""`simmatrix compare`: the library's figures, for people and for machines."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import Provenance, SimilarityMatrix, comparison, read_classes
from simmatrix.comparison import compare
from simmatrix.provenance import Input
from tests.cli.command import Command, assert_mendable
from tests.simmatrix.matrices import NAMES, random_matrix, random_values

LIST = "class,superclass\nox,animal\nrose,flower\ntulip,flower\noak,plant\nlorry,vehicle\nvan,vehicle\n"


@pytest.fixture(autouse=True)
def files(command: Command) -> None:
    random_matrix(seed=1).save("a")
    random_matrix("sparse", seed=2).save("b")
    Path("c.csv").write_text(LIST)


def shown(out: str) -> dict[str, str]:
    """Return the figures printed, by name."""
    lines = out.split("\n\n")[0].splitlines()
    return {name.strip(): value for name, value in (line.split("  ", 1) for line in lines)}


def expected(count: int) -> comparison.Comparison:
    groups = read_classes(Path("c.csv")).select(NAMES).column("superclass")
    return compare(simmatrix.load("a"), simmatrix.load("b"), groups, count)


def test_json_agrees_with_the_library(command: Command) -> None:
    content = json.loads(command.good("compare", "a", "b", "--classes", "c.csv", "-n", "3", "--json"))
    assert content.pop("files") == ["a", "b"]
    assert content == json.loads(json.dumps(dataclasses.asdict(expected(3))))
    assert len(content["differences"]) == 3


def test_what_people_see(command: Command) -> None:
    out = command.good("compare", "a", "b", "--classes", "c.csv", "-n", "4")
    result = expected(4)
    assert result.superclass_auc is not None
    assert {name: value.strip() for name, value in shown(out).items()} == {
        "classes": "6 in both",
        "pairs": "15",
        "Spearman's rho": f"{result.spearman:.3f}",
        "Kendall's tau-b": f"{result.kendall:.3f}",
        "superclass AUC of a": f"{result.superclass_auc[0]:.3f}",
        "superclass AUC of b": f"{result.superclass_auc[1]:.3f}",
    }
    header, *rows = out.split("\n\n")[1].splitlines()
    assert header.split() == ["class", "class", "a", "b", "ranks", "apart"]
    assert [row.split() for row in rows] == [
        [*one.classes, f"{one.values[0]:.3f}", f"{one.values[1]:.3f}", f"{one.rank_difference:+,.1f}"]
        for one in result.differences
    ]


def test_a_top_k_is_told(command: Command) -> None:
    simmatrix.load("a").top_k(2).save("k")
    said = "warning: k holds the nearest of each class alone, all other pairs count as 0; build it without --top-k"
    assert command("compare", "k", "b").err.count(said) == 1
    assert "holds the nearest" not in command("compare", "a", "b").err


def test_a_terminal_gets_a_table(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "ranks apart" in command.good("compare", "a", "b")


def test_superclasses_of_the_bundled_list(command: Command) -> None:
    matrix = simmatrix.from_embeddings(classes="cifar100")
    matrix.save("one")
    matrix.lower_bound(0.5).save("two")
    result = compare(matrix, matrix.lower_bound(0.5), read_classes("cifar100").column("superclass"))
    assert result.superclass_auc is not None
    figures = shown(command.good("compare", "one", "two"))
    assert figures["superclass AUC of one"].strip() == f"{result.superclass_auc[0]:.3f}"
    # A blend is of the list that its parts are of.
    command("blend", "one:0.5", "two:0.5")
    assert figures.items() <= shown(command.good("compare", "one", "two", "--classes", "cifar100")).items()
    assert "superclass AUC of blend.safetensors" in shown(command.good("compare", "blend.safetensors", "two"))


@pytest.mark.parametrize("source", [(), ("imagenet1k",)])
def test_superclasses_that_are_not_known(source: tuple[str, ...], command: Command) -> None:
    names = read_classes("imagenet1k").names[:5]
    origin = Provenance(source=tuple(Input("classes", name, "") for name in source))
    SimilarityMatrix(random_values(5), names, origin).save("i")
    figures = shown(command.good("compare", "i", "i"))
    assert figures["superclass AUC"].strip().startswith("superclasses are not known; give a class list")


def test_superclasses_are_the_columns_that_build_takes(command: Command) -> None:
    figures = shown(command.good("compare", "a", "b", "--classes", "c.csv"))
    Path("group.csv").write_text(LIST.replace("superclass", "group"))
    assert shown(command.good("compare", "a", "b", "--classes", "group.csv")) == figures
    assert "superclass AUC of a" in figures
    # They are those that the first matrix was built from, whatever they are called.
    Path("kin.csv").write_text(LIST.replace("superclass", "kin"))
    simmatrix.from_taxonomy("kin", Path("kin.csv")).save("of_kin")
    assert "superclass AUC of b" in shown(command.good("compare", "of_kin", "b", "--classes", "kin.csv"))


def test_matrices_that_rank_alike(command: Command) -> None:
    assert command.good("compare", "a", "a").splitlines()[-1] == "no pairs rank differently"


def test_classes_of_one_alone_are_told(command: Command) -> None:
    random_matrix(size=5, seed=3).save("five")
    SimilarityMatrix(random_values(12), tuple(f"n{index}" for index in range(9)) + NAMES[:3]).save("twelve")
    figures = shown(command.good("compare", "a", "five"))
    assert figures["classes"].strip() == "5 in both"
    assert figures["only in a"].strip() == "1: ox"
    assert "only in five" not in figures
    figures = shown(command.good("compare", "a", "twelve"))
    assert figures["only in a"].strip() == "3: lorry, van, ox"
    assert figures["only in twelve"].strip() == "9: n0, n1, n2, n3, n4 …"


def test_pairs_that_are_left_out_are_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.ones((6, 6), dtype=int)
    counts[0, 1:4] = counts[1:4, 0] = 0
    SimilarityMatrix(random_values(6), NAMES, evidence=counts).save("judged")
    assert shown(command.good("compare", "a", "judged"))["pairs"].strip() == "12; 3 that no one judged are left out"
    monkeypatch.setattr(comparison, "PAIRS_UP_TO", 5)
    sampled = compare(simmatrix.load("a"), simmatrix.load("b")).pairs
    assert shown(command.good("compare", "a", "b"))["pairs"].strip() == f"{sampled}, a sample of 15"


def test_what_is_undefined_is_said(command: Command) -> None:
    SimilarityMatrix(np.eye(6), NAMES).save("identity")
    Path("one.csv").write_text("class,superclass\n" + "".join(f"{name},thing\n" for name in NAMES))
    figures = shown(command.good("compare", "a", "identity", "--classes", "one.csv"))
    for name in ("Spearman's rho", "Kendall's tau-b"):
        assert figures[name].strip() == "undefined (one of them has the same similarity for all pairs)"
    assert figures["superclass AUC"].strip() == "undefined (it takes pairs of one superclass and pairs of two)"
    content = json.loads(command.good("compare", "a", "identity", "--json"))
    assert (content["spearman"], content["kendall"], content["superclass_auc"]) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("a", "gone"), ("gone: there is no such file; check the path",)),
        (("c.csv", "a"), ("c.csv: is no safetensors file",)),
        (("a", "far"), ("have 2 classes in common, a comparison needs 3", "only in the second: x", "the same classes")),
        (("a", "b", "--classes", "gone.csv"), ("gone.csv: there is no such file",)),
        (("a", "b", "--classes", "cifar10"), ("cifar10: has no class 'rose'",)),
        (
            ("a", "b", "--classes", "plain.txt"),
            ("plain.txt: has no superclass column (it has no column but class); give a table",),
        ),
    ],
)
def test_bad_input(arguments: tuple[str, ...], parts: tuple[str, ...], command: Command) -> None:
    SimilarityMatrix(np.eye(3), ("rose", "tulip", "x")).save("far")
    Path("plain.txt").write_text("\n".join(NAMES))
    assert_mendable(command("compare", *arguments), *parts)


@pytest.mark.parametrize("arguments", [(), ("a",), ("a", "b", "-n", "0"), ("a", "b", "c.csv")])
def test_wrong_usage_is_2(arguments: tuple[str, ...], command: Command) -> None:
    assert command("compare", *arguments).code == 2
