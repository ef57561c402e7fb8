"""What holds for every builder, whatever it builds from."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix.builders.raw import RawSimilarity
from tests.simmatrix.builders.cases import ASYMMETRIC, CASES, CLASSES, NAMES

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, tmp_path_factory.mktemp("case")


def built(case: tuple[str, Path], names: tuple[str, ...] = NAMES) -> RawSimilarity:
    name, folder = case
    return CASES[name](folder)(CLASSES.select(names))


def test_a_square_of_finite_numbers_in_class_order(case: tuple[str, Path]) -> None:
    raw = built(case)
    assert raw.classes == NAMES
    assert raw.values.shape == (len(NAMES), len(NAMES))
    assert raw.values.dtype == np.float64
    assert np.isfinite(raw.values).all()


def test_symmetric_but_where_a_reason_is_stated(case: tuple[str, Path]) -> None:
    values = built(case).values
    assert np.array_equal(values, values.T) == (case[0] not in ASYMMETRIC)


def test_a_matrix_is_symmetric_and_says_if_it_was_made_so(case: tuple[str, Path]) -> None:
    values = built(case).values
    matrix = built(case).normalised()
    assert np.array_equal(matrix.to_dense(), matrix.to_dense().T)
    assert ({"step": "symmetrise"} in matrix.provenance.normalisation) == (case[0] in ASYMMETRIC)
    if case[0] in ASYMMETRIC:
        means = replace(built(case), values=(values + values.T) / 2).normalised()
        assert np.array_equal(matrix.to_dense(), means.to_dense())


def test_nothing_is_more_similar_to_a_class_than_itself(case: tuple[str, Path]) -> None:
    raw = built(case)
    own = raw.values.diagonal()[:, None]
    others = raw.values - np.diag(raw.values.diagonal())
    # A confusion may be larger than its share of what was recognised; it is cut off at 1.
    assert raw.provenance.builder == "confusion" or (others <= own).all()


def test_it_is_said_how_each_class_was_found_and_from_what(case: tuple[str, Path]) -> None:
    raw = built(case)
    assert list(raw.provenance.resolution) == list(NAMES)
    assert all(isinstance(one["how"], str) for one in raw.provenance.resolution.values())
    assert all(isinstance(word, str) for one in raw.provenance.resolution.values() for word in one["words"])
    assert raw.provenance.builder in case[0]
    assert ("classes", CLASSES.source, CLASSES.sha256) in [tuple(one) for one in raw.provenance.source]
    assert all(len(one.sha256) == 64 and "/" not in one.name for one in raw.provenance.source)


def test_permuting_the_classes_permutes_the_matrix(case: tuple[str, Path]) -> None:
    raw = built(case)
    order = [3, 0, 5, 1, 4, 2]
    permuted = built(case, tuple(NAMES[index] for index in order))
    assert np.array_equal(permuted.values, raw.values[np.ix_(order, order)])
    assert permuted.provenance.resolution == raw.provenance.resolution
    assert permuted.scale == raw.scale
    if raw.evidence is not None:
        assert permuted.evidence is not None
        assert np.array_equal(permuted.evidence, raw.evidence[np.ix_(order, order)])


@pytest.mark.parametrize("bound", [0.0, 0.3])
def test_save_and_load(case: tuple[str, Path], bound: float, tmp_path: Path) -> None:
    matrix = built(case).normalised(bound)
    matrix.save(tmp_path / "m.safetensors")
    loaded = simmatrix.load(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.to_dense(), matrix.to_dense())
    assert (loaded.classes, loaded.provenance) == (matrix.classes, matrix.provenance)
    assert (loaded.evidence is None) == (matrix.evidence is None)
    if matrix.evidence is not None:
        assert np.array_equal(loaded.evidence, matrix.evidence)


def test_four_threads_give_four_equal_matrices(case: tuple[str, Path]) -> None:
    name, folder = case
    build = CASES[name](folder)
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: build(CLASSES), range(4)))
    for raw in several:
        assert np.array_equal(raw.values, several[0].values)
        assert raw.provenance == several[0].provenance


@pytest.mark.slow
def test_the_same_bytes_in_processes_with_other_hash_seeds(tmp_path: Path) -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-m", "tests.simmatrix.builders.cases", str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert [line.rpartition(" ")[0] for line in outputs[0]] == list(CASES)
