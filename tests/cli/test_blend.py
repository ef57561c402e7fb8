"""`simmatrix blend`: the file it writes, what it says, and what it refuses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import SimilarityMatrix
from simmatrix.blending import blend
from simmatrix.provenance import Input
from tests.cli.command import Command, assert_mendable
from tests.simmatrix.matrices import random_matrix, random_values


@pytest.fixture(autouse=True)
def files(command: Command) -> None:
    simmatrix.from_embeddings(classes="cifar10", lower_bound=0.7).save("a.safetensors")
    names = simmatrix.read_classes("cifar10").names[::-1]
    SimilarityMatrix(random_values(10, seed=1, share=0.1), names).save("b.safetensors")


def expected(bound: float = 0.0) -> SimilarityMatrix:
    files = [Path("a.safetensors"), Path("b.safetensors")]
    inputs = [Input("matrix", file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return blend(zip(map(simmatrix.load, files), (0.7, 0.3), strict=True), inputs).lower_bound(bound)


def test_a_blend_is_the_librarys(command: Command) -> None:
    lines = command.good("blend", "a.safetensors:0.7", "b.safetensors:0.3").splitlines()
    matrix, whole = simmatrix.load("blend.safetensors"), expected()
    np.testing.assert_array_equal(matrix.values, whole.values)
    assert (matrix.classes, matrix.provenance) == (whole.classes, whole.provenance)
    assert matrix.classes == simmatrix.read_classes("cifar10").names
    figures = simmatrix.statistics(matrix)
    shown = dict(line.split(maxsplit=1) for line in lines if not line.startswith(("blend of", "next")))
    assert shown["classes"] == "10"
    assert shown["form"] == "dense"
    assert shown["density"] == f"{figures.density:.1%}"
    assert shown["influence"] == f"{figures.influence:.3g} (0 is cross entropy)"
    size = f"{Path('blend.safetensors').stat().st_size:,} bytes"
    assert shown["file"] == f"blend.safetensors ({size})"
    again = command.good("blend", "a.safetensors:0.7", "b.safetensors:0.3")
    assert f"blend.safetensors ({size}, replaces the matrix that was there)" in again
    assert "blend of   a.safetensors:0.7, b.safetensors:0.3" in lines
    assert lines[-1] == (
        'next: criterion = simloss.SimLoss.from_file("blend.safetensors", classes=train_set.classes, share=0.4, '
        "similarity_smoothing=0.05)"
    )


def test_options_reach_the_library(command: Command) -> None:
    command.good("blend", "a.safetensors:.7", "b.safetensors:3e-1", "--lower-bound", "0.1", "--top-k", "2", "-o", "x")
    matrix, whole = simmatrix.load("x"), expected(0.1).top_k(2)
    np.testing.assert_array_equal(matrix.to_dense(), whole.to_dense())
    assert matrix.provenance == whole.provenance
    assert not Path("blend.safetensors").exists()


@pytest.mark.parametrize("options", [(), ("--top-k", "2")])
def test_the_bound_for_an_influence_is_found(options: tuple[str, ...], command: Command) -> None:
    parts = ("a.safetensors:0.7", "b.safetensors:0.3")
    lines = command.good("blend", *parts, "--influence", "0.1", *options).splitlines()
    matrix, whole = simmatrix.load("blend.safetensors"), expected().top_k(2) if options else expected()
    assert matrix.influence == pytest.approx(0.1, rel=2.0**-24)
    bound = matrix.provenance.normalisation[-1]["bound"]
    assert f"lower bound  {bound:.6g} (found for this influence)" in lines
    np.testing.assert_array_equal(matrix.to_dense(), whole.lower_bound(bound).to_dense())
    assert matrix.provenance == whole.lower_bound(bound).provenance


def test_the_lineage_can_be_read_from_the_file(command: Command) -> None:
    command.good("blend", "a.safetensors:0.7", "b.safetensors:0.3")
    content = json.loads(command.good("show", "blend.safetensors", "--json"))
    assert content["builder"] == "blend"
    assert [part["builder"] for part in content["params"]["parts"]] == ["embeddings", "given"]
    assert [one["role"] for one in content["source"]] == ["matrix", "vectors", "classes", "matrix"]


def test_the_same_bytes_each_time(command: Command) -> None:
    for name in ("one", "two"):
        command.good("blend", "a.safetensors:0.7", "b.safetensors:0.3", "-o", name)
    assert Path("one").read_bytes() == Path("two").read_bytes()


def test_paths_may_hold_colons_and_folders_are_not_recorded(command: Command) -> None:
    Path("s:0.5").mkdir()
    random_matrix(seed=1).save("s:0.5/m:1")
    random_matrix(seed=2).save("n")
    command("blend", "s:0.5/m:1:0.25", "n:0.5", f"{command.folder}/n:0.25")
    matrix = simmatrix.load("blend.safetensors")
    assert [one.name for one in matrix.provenance.source] == ["m:1", "n"]
    assert matrix.provenance.params["weights"] == [0.25, 0.5, 0.25]


def test_a_part_may_be_replaced_by_the_blend(command: Command) -> None:
    whole = expected()
    command.good("blend", "a.safetensors:0.7", "b.safetensors:0.3", "-o", "a.safetensors")
    np.testing.assert_array_equal(simmatrix.load("a.safetensors").values, whole.values)


def test_concerns_are_warned_of(command: Command) -> None:
    for name in ("i", "j"):
        SimilarityMatrix(np.eye(3), ("x", "y", "z")).save(name)
    result = command("blend", "i:0.5", "j:0.5")
    assert result.code == 0
    assert result.err.startswith("warning: the matrix is the identity")


PARTS = ("a.safetensors:0.5", "b.safetensors:0.5")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("a.safetensors", "b.safetensors:1"), ("'a.safetensors' does not end in a colon and a weight; write each",)),
        (("a.safetensors:half", "b.safetensors:0.5"), ("'a.safetensors:half' does not end", "a.safetensors:0.5")),
        (("a.safetensors:nan", "b.safetensors:0.5"), ("'a.safetensors:nan' does not end",)),
        (("a.safetensors:", "b.safetensors:0.5"), ("'a.safetensors:' does not end",)),
        ((":0.5", "b.safetensors:0.5"), ("':0.5' does not end",)),
        (("0.5", "b.safetensors:0.5"), ("'0.5' does not end",)),
        (("a.safetensors:1",), ("a blend needs two matrices or more, not 1",)),
        (("a.safetensors:7", "b.safetensors:3"), ("the weights 7 and 3 sum to 10", "would be 0.7 and 0.3")),
        (("a.safetensors:-0.5", "b.safetensors:1.5"), ("a weight of -0.5 is not above 0",)),
        (("a.safetensors:1e999", "b.safetensors:0.5"), ("a weight of inf is not above 0",)),
        (("a.safetensors:0.5", "gone:0.5"), ("gone: there is no such file; check the path",)),
        (("a.safetensors:0.5", "text:0.5"), ("text: is no safetensors file",)),
        ((*PARTS, "--lower-bound", "1"), ("lower bound of 1.0 is outside [0, 1)",)),
        ((*PARTS, "--influence", "-1"), ("an influence of -1.0 is not a finite number of at least 0",)),
        ((*PARTS, "--influence", "9"), ("an influence of 9.0 is more than the",)),
        ((*PARTS, "--top-k", "10"), ("can't keep 10 of the 9 other classes",)),
        ((*PARTS, "-o", "text"), ("text: is there already and is no similarity matrix",)),
        ((*PARTS, "-o", "no/o"), ("no/o: the folder no does not exist",)),
        (
            ("a.safetensors:0.5", "other:0.5"),
            (
                "matrix 2 (other) has other classes than matrix 1 (a.safetensors); only in matrix 1 (a.safetensors): "
                "airplane, automobile, bird, cat, deer and 5 more; only in matrix 2 (other): rose, tulip, oak. Build",
            ),
        ),
    ],
)
def test_bad_input(arguments: tuple[str, ...], parts: tuple[str, ...], command: Command) -> None:
    Path("text").write_text("my thesis")
    random_matrix(size=3).save("other")
    before = {path.name: path.read_bytes() for path in command.folder.iterdir()}
    assert_mendable(command("blend", *arguments), *parts)
    assert {path.name: path.read_bytes() for path in command.folder.iterdir()} == before


@pytest.mark.parametrize(
    "wrong",
    [
        ("gone:0.5", "gone:0.4"),
        ("gone:0.5", "gone:0.5", "--lower-bound", "2"),
        ("gone:0.5", "gone:0.5", "--influence", "-1"),
    ],
)
def test_what_can_be_told_is_told_before_anything_is_read(wrong: tuple[str, ...], command: Command) -> None:
    assert "gone" not in command("blend", *wrong).err
    assert_mendable(command("blend", *wrong, "-o", command.folder), "is a folder; name the file")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (*PARTS, "--top-k", "0"),
        (*PARTS, "--lower-bound", "half"),
        (*PARTS, "--lower-bound", "0", "--influence", "0.3"),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], command: Command) -> None:
    assert command("blend", *arguments).code == 2
