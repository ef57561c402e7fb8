"""`simmatrix validate`: a sound file, and whether it fits a class list."""

import numpy as np
import pytest

from simmatrix import SimilarityMatrix
from tests.cli.command import Command, assert_mendable


@pytest.fixture(autouse=True)
def files(command: Command) -> None:
    values = np.array([[1, 0.1, 0], [0.1, 1, 0.1], [0, 0.1, 1]])
    SimilarityMatrix(values, ("rose", "tulip", "oak")).save("m")
    for name, content in (("same", "rose\ntulip\noak"), ("turned", "oak\ntulip\nrose"), ("other", "rose\nelm\noak")):
        (command.folder / f"{name}.txt").write_text(content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "m: sound, 3 classes\n"),
        (("--classes", "same.txt"), "m: sound, 3 classes, the classes of same.txt\n"),
        (
            ("--classes", "turned.txt"),
            "the classes of turned.txt in another order (SimLoss.from_file reorders them by name)",
        ),
    ],
)
def test_sound(options: tuple[str, ...], message: str, command: Command) -> None:
    assert message in command.good("validate", "m", *options)


def test_other_classes_are_listed(command: Command) -> None:
    result = command("validate", "m", "--classes", "other.txt")
    assert_mendable(result, "not in the matrix: 'elm'; only in the matrix: tulip")


def test_concerns_are_warned_of(command: Command) -> None:
    SimilarityMatrix(np.eye(2), ("a", "b")).save("identity")
    result = command("validate", "identity")
    assert result.code == 0
    assert result.err.startswith("warning: the matrix is the identity")
