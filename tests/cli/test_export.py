"""`simmatrix export`."""

from pathlib import Path

import simmatrix
from tests.cli.command import Command, assert_mendable


def test_what_is_exported_can_be_built_from(command: Command) -> None:
    matrix = simmatrix.from_classes("cifar10")
    matrix.save("m")
    for file in ("m.csv", "m.npy"):
        out = command.good("export", "m", "-o", file)
        assert out == f"{file}: 10 classes ({Path(file).stat().st_size:,} bytes)\n"
        command.good("build", "--from-matrix", file, "--classes", "cifar10", "-o", "again")
        assert (simmatrix.load("again").to_dense() == matrix.to_dense()).all()
        assert_mendable(command("export", "m", "-o", file), f"{file}: is there already")
        command.good("export", "m", "-o", file, "--force")


def test_a_bad_name_is_told_before_anything_is_read(command: Command) -> None:
    assert_mendable(command("export", "missing", "-o", "m.xls"), "m.xls: ends in none of .csv, .tsv or .npy")


def test_of_a_missing_output_it_is_said_what_to_type(command: Command) -> None:
    """The first file that was named is the matrix, and not the one to write."""
    for typed, right in ((("m",), "-o FILE m"), (("m", "m.csv", "--force"), "m -o m.csv --force")):
        result = command("export", *typed)
        assert (result.code, result.out) == (2, "")
        assert result.err.splitlines()[-1] == f"Error: -o is missing; type: simmatrix export {right}"
