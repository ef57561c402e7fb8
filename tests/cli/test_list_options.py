"""The two options that say how a class list is read, in every command that reads one beside a matrix."""

import json
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from tests.cli.command import Command

NAMES = ("plant/rose", "plant/oak", "thing/car")
# Two columns of names: which of them holds the classes is not clear.
TABLE = "name,label,superclass\nRosa,{},plant\nQuercus,{},plant\nAutomobile,{},thing\n"
COMMANDS = {
    "validate": ("m",),
    "compare": ("m", "m"),
    "plot": ("m", "--order", "superclass", "-o", "p.png"),
    "judge": ("m", "p.npz", "--json"),
    "senses": (),
}


@pytest.fixture(autouse=True)
def files(command: Command) -> None:
    simmatrix.SimilarityMatrix(np.eye(3) + 0.5 * np.eye(3)[[1, 0, 2]] * (1 - np.eye(3)), NAMES).save("m")
    np.savez("p.npz", logits=np.eye(3, dtype=np.float32), labels=np.arange(3), classes=simmatrix.load("m").classes)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_column_of_names(command: Command, name: str) -> None:
    Path("c.csv").write_text(TABLE.format(*(("rose", "oak", "car") if name == "senses" else NAMES)))
    arguments = (name, *COMMANDS[name])
    result = command(*arguments, "--classes", "c.csv")
    assert (result.code, "--class-column" in result.err) == (1, True)
    command.good(*arguments, "--classes", "c.csv", "--class-column", "label")
    for option in ("--class-column", "--separator"):
        result = command(*arguments, option, "label")
        assert (result.code, "say how --classes is read" in result.err) == (2, True) or name == "senses"


def test_the_parts_of_names(command: Command) -> None:
    """The first part becomes a column, which judge takes for the superclass."""
    Path("c.txt").write_text("\n".join(NAMES))
    for options, expected in ((), None), (("--separator", "/"), 1.0):
        found = json.loads(command.good("judge", "m", "p.npz", "--classes", "c.txt", "--json", *options))
        assert found["decisions"]["most probable"].get("superclass_accuracy") == expected
