"""`simmatrix show`: the library's figures, for people and for machines."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest

import simmatrix
from simmatrix import Provenance, SimilarityMatrix
from tests.cli.command import COMMAND, Command


@pytest.fixture
def matrix(command: Command) -> SimilarityMatrix:
    matrix = simmatrix.from_embeddings(classes="cifar100", lower_bound=0.7)
    matrix.save("m")
    return matrix


def test_json_agrees_with_the_library(command: Command, matrix: SimilarityMatrix) -> None:
    content = json.loads(command.good("show", "m", "bed", "seal", "-n", "3", "--json"))
    figures = dataclasses.asdict(simmatrix.statistics(matrix))
    figures["quantiles"] = {str(level): value for level, value in figures["quantiles"].items()}
    figures["isolated"] = list(figures["isolated"])
    figures["indistinguishable"] = [list(pair) for pair in figures["indistinguishable"]]
    assert content["statistics"] == figures
    assert content["neighbours"] == {name: dict(matrix.neighbours(name, 3)) for name in ("bed", "seal")}
    assert content["classes"] == list(matrix.classes)
    assert content["resolution"] == dict(matrix.provenance.resolution)
    assert content["source"] == [one._asdict() for one in matrix.provenance.source]


def test_what_people_see(command: Command, matrix: SimilarityMatrix) -> None:
    out = command.good("show", "m", "girl")
    figures = simmatrix.statistics(matrix)
    assert f"influence      {figures.influence:.4g} " in out
    assert f"{figures.density:.1%} of the pairs" in out
    assert "clip -> lower_bound 0.7 -> unit_diagonal" in out
    nearest = ", ".join(f"{name} {value:.3f}" for name, value in matrix.neighbours("girl"))
    assert out.splitlines()[-1].split(maxsplit=3) == ["girl", "name", "girl", nearest]
    assert len(command.good("show", "m").splitlines()) == len(out.splitlines()) + 99
    assert "\x1b" not in out
    # Of the pairs above 0, since most are 0.
    dense = matrix.to_dense()
    above = dense[(dense > 0) & ~np.eye(len(dense), dtype=bool)]
    middle = np.quantile(above, 0.5, method="inverted_cdf")
    assert f" 0.5: {middle:.3f}, " in out
    assert f" 1: {above.max():.3f} (of the pairs above 0)\n" in out
    matrix.top_k(3).save("few")
    few = matrix.top_k(3).to_dense()
    assert f"quantiles      0: {few[few > 0].min():.3f}, 0.25: " in command.good("show", "few")


def test_an_unknown_class_gets_suggestions(command: Command, matrix: SimilarityMatrix) -> None:
    result = command("show", "m", "bedd")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: the matrix has no class 'bedd' (did you mean bed")
    assert command("show", "m", "xyzzy").err.startswith("error: the matrix has no class 'xyzzy'; its classes are ")


def test_a_class_may_be_called_as_an_option_is(command: Command) -> None:
    SimilarityMatrix(np.array([[1, 0.5], [0.5, 1]]), ("-n", "rose")).save("m")
    assert command.good("show", "m", "--", "-n").splitlines()[-1].split() == ["-n", "rose", "0.500"]


def test_warnings_go_to_standard_error(command: Command) -> None:
    SimilarityMatrix(np.eye(3), ("a", "b", "c")).top_k(1).save("m")
    result = command("show", "m")
    assert result.code == 0
    assert result.err.startswith("warning: the matrix is the identity")
    assert "quantiles      none (of the pairs above 0)\n" in result.out
    assert "sparse" in result.out


def test_of_many_classes_the_first_are_shown(command: Command) -> None:
    names = [f"c{index}" for index in range(2_000)]
    simmatrix.from_order(names, decay=0.125).save("m")
    lines = command.good("show", "m").splitlines()
    assert [line.split()[0] for line in lines[-201:-1]] == names[:200]
    assert lines[-202].startswith("class")
    assert lines[-1] == "… and 1,800 more classes; name some to see theirs: simmatrix show m CLASS"
    last = command.good("show", "m", "c1999", "-n", "2").splitlines()
    assert last[-1].split() == ["c1999", "position", "1999", "c1998", "0.125,", "c1997", "0.016"]
    (found,) = json.loads(command.good("show", "m", "c7", "-n", "1", "--json"))["neighbours"].items()
    assert found == ("c7", {"c6": 0.125})


def test_json_holds_the_neighbours_of_up_to_so_many_classes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simmatrix.cli.show._IN_JSON", 300)
    for size, expected in ((300, 300), (301, 0)):
        simmatrix.from_order([f"c{index}" for index in range(size)], decay=0.25).save("m")
        assert len(json.loads(command.good("show", "m", "-n", "1", "--json"))["neighbours"]) == expected


def test_markup_is_shown_and_control_characters_are_not_obeyed(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.array([[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]])
    names = ("[red]x", "[/]", "o")
    provenance = Provenance(builder="\x1b[2J", resolution={"[red]x": {"how": "\x9b", "words": ["\x07"]}})
    SimilarityMatrix(values, names, provenance).save("m")
    for is_terminal in (False, True):
        monkeypatch.setattr("sys.stdout.isatty", lambda is_terminal=is_terminal: is_terminal)
        out = command.good("show", "m")
        assert "[red]x" in out
        assert r"\x1b[2J" in out
        assert r"\x9b" in out
        assert r"\x07" in out
        assert not {"\x1b[2J", "\x9b", "\x07"} & {out[at : at + size] for at in range(len(out)) for size in (1, 4)}
        json.loads(command.good("show", "m", "--json"))


def test_a_reader_that_stops_early_gets_no_traceback(command: Command, matrix: SimilarityMatrix) -> None:
    line = f"{COMMAND} show m | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=command.folder)
    assert done.stdout == "classes        100\n"
    assert done.stderr == ""
