"""Matrices for other programs, as csv and NumPy read them, and back."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import eye_array

import simmatrix
from simmatrix import OutputError, SimilarityMatrix
from tests.simmatrix.matrices import random_values

NAMES = ("a, b", 'c"', "é", "#1", *map(str, range(96)))


@pytest.fixture
def matrix() -> SimilarityMatrix:
    values = random_values(100) ** 9
    np.fill_diagonal(values, 1)
    return SimilarityMatrix(values, NAMES)


@pytest.mark.parametrize("form", ["dense", "sparse", "toeplitz"])
def test_others_read_what_is_written(form: str, matrix: SimilarityMatrix, tmp_path: Path) -> None:
    if form != "dense":
        matrix = matrix.top_k(5) if form == "sparse" else simmatrix.from_order(list(NAMES), decay=0.7)
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        simmatrix.export(matrix, tmp_path / f"m{suffix}")
        with (tmp_path / f"m{suffix}").open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file, delimiter=delimiter)
        assert tuple(header[1:]) == tuple(row[0] for row in rows) == NAMES
        np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), matrix.to_dense())
    simmatrix.export(matrix, tmp_path / "m.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "m.npy"), matrix.to_dense())
    for suffix in (".csv", ".tsv", ".npy"):
        again = simmatrix.from_matrix(tmp_path / f"m{suffix}", NAMES, symmetrise=False)
        np.testing.assert_array_equal(again.to_dense(), matrix.to_dense())


def test_a_frame_goes_there_and_back(matrix: SimilarityMatrix) -> None:
    frame = matrix.to_pandas()
    assert (tuple(frame.index), tuple(frame.columns)) == (NAMES, NAMES)
    again = simmatrix.from_matrix(frame, symmetrise=False)
    assert again.classes == NAMES
    np.testing.assert_array_equal(again.to_dense(), matrix.to_dense())


def test_a_file_that_is_there_is_left_alone(matrix: SimilarityMatrix, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("my thesis")
    with pytest.raises(OutputError, match="is there already; write to another file, or replace it"):
        simmatrix.export(matrix, tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "my thesis"
    simmatrix.export(matrix, tmp_path / "m.csv", force=True)
    assert (tmp_path / "m.csv").read_text().startswith("class,")
    with pytest.raises(OutputError, match=r"ends in none of \.csv, \.tsv or \.npy"):
        simmatrix.export(matrix, tmp_path / "m.xls")
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


def test_what_would_fill_a_disk_is_refused(tmp_path: Path) -> None:
    many = simmatrix.SimilarityMatrix(eye_array(50_001), [f"c{index}" for index in range(50_001)])
    for suffix in (".csv", ".npy"):
        with pytest.raises(OutputError, match=r"would hold 2,500,100,001 numbers of 50,001 classes; .* matrix\.values"):
            simmatrix.export(many, tmp_path / f"m{suffix}")
    assert not list(tmp_path.iterdir())
