"""The file: what goes in comes out, the same bytes for the same matrix, and a clear refusal of everything else."""

import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from simmatrix import (
    MatrixError,
    OutputError,
    Provenance,
    SimilarityError,
    SimilarityMatrix,
    SourceError,
    container,
    from_order,
    load,
    save,
    storage,
)
from simmatrix.files import silent
from simmatrix.forms import Dense
from simmatrix.matrix import load_input
from simmatrix.provenance import Input
from simmatrix.summary import concerns
from simmatrix.toeplitz import toeplitz_view
from tests.simmatrix.matrices import NAMES, in_form, peak_memory, random_matrix, random_values, values_for

GOLDEN = Path(__file__).parent / "golden"
FORMS = ("dense", "sparse", "toeplitz")
KINDS = ("v1-dense", "v1-sparse", "v2-toeplitz", "v2-dense-evidence", "v2-sparse-evidence")
form_by_form = pytest.mark.parametrize("form", FORMS)
kind_by_kind = pytest.mark.parametrize("kind", KINDS)

# No control characters, the bidirectional ones among them: those are no names.
BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=BIDIRECTIONAL)
NAME = st.text(CHARACTERS, min_size=1, max_size=12).filter(str.strip)


def golden_matrix(kind: str) -> SimilarityMatrix:
    """Return what the golden files hold: every field filled, names outside ASCII, a sparse one with an empty row."""
    _version, form, *rest = kind.split("-")
    values = np.array([[1, 0.5, 0, 0.25], [0.5, 1, 0, 0], [0, 0, 1, 0], [0.25, 0, 0, 1]])
    if form == "toeplitz":
        values = np.array([[1, 0.5, 0.25, 0], [0.75, 1, 0.5, 0.25], [0.125, 0.75, 1, 0.5], [0, 0.125, 0.75, 1]])
    plain = in_form(form, values, ("rose", "großer Baum", '"quoted"', "🚚"))
    provenance = Provenance(
        builder="embeddings",
        params={"measure": "cosine", "dimension": 50},
        source=(Input("vectors", "glove.txt", "0" * 64), Input("classes", "classes.txt", "1" * 64)),
        resolution={"rose": {"how": "name", "words": ["rose"]}, "🚚": {"how": "phrase", "words": ["truck"]}},
        normalisation=({"step": "clip"}, {"step": "lower_bound", "bound": 0.5}, {"step": "unit_diagonal"}),
    )
    evidence = np.array([[0, 3, 1, 0], [3, 0, 2, 5], [1, 2, 9, 2**31 - 1], [0, 5, 2**31 - 1, 0]]) if rest else None
    return SimilarityMatrix(plain.values, plain.classes, provenance, evidence)


def assert_same(one: SimilarityMatrix, other: SimilarityMatrix) -> None:
    assert (one.classes, one.provenance, one.form) == (other.classes, other.provenance, other.form)
    np.testing.assert_array_equal(one.to_dense(), other.to_dense())
    assert (one.evidence is None) == (other.evidence is None)
    if one.evidence is not None:
        np.testing.assert_array_equal(one.evidence, other.evidence)


@kind_by_kind
def test_golden_bytes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "__version__", "0.0.0")
    golden_matrix(kind).save(tmp_path / "matrix")
    assert (tmp_path / "matrix").read_bytes() == (GOLDEN / f"{kind}.safetensors").read_bytes()


@kind_by_kind
def test_golden_files_stay_readable(kind: str) -> None:
    matrix = load(GOLDEN / f"{kind}.safetensors")
    assert_same(matrix, golden_matrix(kind))
    if matrix.evidence is not None:
        assert not matrix.evidence.flags.writeable


@form_by_form
@settings(deadline=None, max_examples=40)
@given(names=st.lists(NAME, min_size=2, max_size=6, unique=True), seed=st.integers(0, 99))
def test_round_trip(form: str, names: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("round") / "matrix"
    plain = in_form(form, values_for(form, len(names), seed), tuple(names))
    counts = np.random.default_rng(seed).integers(0, 9, (len(names), len(names)))
    matrix = SimilarityMatrix(plain.values, plain.classes, evidence=counts + counts.T if seed % 2 else None)
    save(matrix, path)
    loaded = load(path)
    assert_same(loaded, matrix)
    before = path.read_bytes()
    save(loaded, path)
    assert path.read_bytes() == before


@kind_by_kind
def test_the_safetensors_library_reads_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "matrix.safetensors"
    matrix = golden_matrix(kind)
    matrix.save(path)
    tensors = load_file(path)
    expected: dict[str, tuple[str, list[Any]]] = {
        "dense": {"similarity": ("f4", [[1, 0.5, 0, 0.25], [0.5, 1, 0, 0], [0, 0, 1, 0], [0.25, 0, 0, 1]])},
        "sparse": {
            "crow_indices": ("i8", [0, 3, 5, 6, 8]),
            "col_indices": ("i4", [0, 1, 3, 0, 1, 2, 0, 3]),
            "values": ("f4", [1, 0.5, 0.25, 0.5, 1, 1, 0.25, 1]),
        },
        "toeplitz": {"diagonals": ("f4", [0, 0.125, 0.75, 1, 0.5, 0.25, 0])},
    }[matrix.form]
    if kind.endswith("evidence"):
        big = 2**31 - 1
        expected["evidence"] = ("i4", [[0, 3, 1, 0], [3, 0, 2, 5], [1, 2, 9, big], [0, 5, big, 0]])
    assert {name: (array.dtype.str[1:], array.tolist()) for name, array in tensors.items()} == expected
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    classes = ["rose", "großer Baum", '"quoted"', "🚚"]
    compact = json.dumps(classes, ensure_ascii=False, separators=(",", ":"))
    assert json.loads(metadata.pop("classes")) == classes
    assert metadata.pop("classes_sha256") == hashlib.sha256(compact.encode()).hexdigest()
    assert metadata.pop("tool_version") == storage.__version__
    assert {key: metadata.pop(key) for key in ("format", "format_version", "kind", "builder")} == {
        "format": "simmatrix",
        "format_version": kind[1],
        "kind": "similarity",
        "builder": "embeddings",
    }
    assert {key: json.loads(text) for key, text in metadata.items()} == {
        "params": dict(matrix.provenance.params),
        "source": [one._asdict() for one in matrix.provenance.source],
        "resolution": dict(matrix.provenance.resolution),
        "normalisation": list(matrix.provenance.normalisation),
    }


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda values: np.repeat(values, 2, axis=0)[::2], np.transpose])
def test_any_memory_layout_is_saved_rightly(
    arrange: Callable[[np.ndarray], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = random_values(6)
    values[0, 1] = 0.125
    matrix = SimilarityMatrix(values, NAMES)
    # Past the constructor, which would have put it in order already.
    object.__setattr__(matrix, "stored", Dense(arrange(values)))
    matrix.save(tmp_path / "matrix")
    np.testing.assert_array_equal(load_file(tmp_path / "matrix")["similarity"], arrange(values))


@pytest.mark.slow
def test_a_large_toeplitz_matrix_is_a_small_file(tmp_path: Path) -> None:
    size = 100_000
    names = tuple(map(str, range(size)))
    matrix = SimilarityMatrix(toeplitz_view(1.0 / (1 + np.abs(np.arange(1 - size, size)))), names)
    started = time.process_time()
    matrix.save(tmp_path / "matrix")
    loaded = load(tmp_path / "matrix")
    assert time.process_time() - started < 5
    assert (loaded.form, loaded.classes) == ("toeplitz", names)
    assert loaded["0", "99999"] == loaded["99999", "0"] == np.float32(1e-5)
    assert (tmp_path / "matrix").stat().st_size < 3_000_000


def test_loading_makes_no_second_copy(tmp_path: Path) -> None:
    matrix = SimilarityMatrix(random_values(2000), tuple(map(str, range(2000))))
    matrix.save(tmp_path / "matrix")
    assert peak_memory(lambda: load(tmp_path / "matrix")) < 1.3 * matrix.values.nbytes
    assert not load(tmp_path / "matrix").values.flags.writeable
    assert peak_memory(lambda: matrix.save(tmp_path / "matrix")) < 0.3 * matrix.values.nbytes


def write_with(path: Path, tensors: dict[str, np.ndarray] | None = None, **metadata: str | None) -> None:
    """Write a sound matrix of two classes, but for what is given; None takes a key out."""
    names = metadata.get("classes") or '["rose","tulip"]'
    sound: dict[str, str | None] = {
        "format": "simmatrix",
        "format_version": "1",
        "kind": "similarity",
        "classes": names,
        "classes_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "builder": "given",
        "params": "{}",
        "source": "[]",
        "resolution": "{}",
        "normalisation": "[]",
    }
    kept = {key: text for key, text in (sound | metadata).items() if text is not None}
    save_file({"similarity": np.eye(2, dtype=np.float32)} if tensors is None else tensors, path, kept)


def sparse(crow: list[int], columns: list[int], values: list[float]) -> dict[str, np.ndarray]:
    parts = (("crow_indices", crow, "i8"), ("col_indices", columns, "i4"), ("values", values, "f4"))
    return {name: np.array(part, dtype=dtype) for name, part, dtype in parts}


def diagonals(*values: float) -> dict[str, np.ndarray]:
    return {"diagonals": np.array(values, np.float32)}


def judged(evidence: object, dtype: type = np.int32) -> dict[str, np.ndarray]:
    return {"similarity": np.eye(2, dtype=np.float32), "evidence": np.array(evidence, dtype)}


def test_the_forgery_is_sound_otherwise(tmp_path: Path) -> None:
    for tensors in (
        None,
        sparse([0, 1, 2], [0, 1], [1, 1]),
        diagonals(0, 1, 0),
        judged([[0, 1], [1, 0]]),
    ):
        write_with(tmp_path / "matrix", tensors, format_version="2")
        np.testing.assert_array_equal(load(tmp_path / "matrix").to_dense(), np.eye(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "without a similarity matrix; give one made by simmatrix build"),
        ({"format": "other"}, "without a similarity matrix"),
        ({"format_version": "3"}, "has format version 3, this release reads up to 2; install a newer release"),
        ({"format_version": "one"}, "format version 'one', which is none"),
        ({"format_version": "0"}, "format version '0', which is none"),
        ({"format_version": "9" * 5000}, "format version '99999999999999999999', which is none"),
        ({"format_version": None}, "format version '', which is none"),
        ({"kind": "distance"}, "holds a 'distance', not a similarity matrix"),
        ({"classes_sha256": "0" * 64}, "class names do not match their checksum; build it again"),
        ({"classes_sha256": None}, "class names do not match"),
        ({"classes": None}, "its classes is missing or damaged"),
        ({"classes": "{}"}, "its classes is missing or damaged"),
        ({"classes": '["rose"'}, "its classes is missing or damaged"),
        ({"classes": "[" * 100_000}, "its classes is missing or damaged"),
        ({"classes": '["rose"]'}, "1 classes were named for 2 rows"),
        ({"classes": '["rose","rose"]'}, "the class rose stands there twice"),
        ({"classes": "[1,2]"}, "its classes is missing or damaged"),
        ({"classes": '[["a"],{}]'}, "its classes is missing or damaged"),
        ({"classes": '["rose","\\u001b[31m"]'}, "no class names|do not match"),
        ({"params": "[]"}, "its params is missing or damaged"),
        ({"params": "[" + "1" * 5000 + "]"}, "its params is missing or damaged"),
        ({"source": '[{"role":"vectors"}]'}, "its source is missing or damaged"),
        ({"source": "[1]"}, "its source is missing or damaged"),
        ({"source": '[{"role":"vectors","name":1,"sha256":"0"}]'}, "its source is missing or damaged"),
        ({"resolution": '{"rose":1}'}, "its resolution is missing or damaged"),
        ({"resolution": '{"rose":{"words":[1]}}'}, "its resolution is missing or damaged"),
        ({"resolution": '{"rose":{"words":1}}'}, "its resolution is missing or damaged"),
        ({"resolution": '{"rose":{"words":"abc"}}'}, "its resolution is missing or damaged"),
        ({"resolution": '{"rose":{"how":{}}}'}, "its resolution is missing or damaged"),
        ({"resolution": '{"caf\u00e9":{},"cafe\u0301":{}}'}, "its resolution is missing or damaged"),
        ({"resolution": '{"rose":{"missed":1e999}}'}, "its resolution is missing or damaged"),
        ({"params": '{"a":NaN}'}, "its params is missing or damaged"),
        ({"params": '{"a":[1e999]}'}, "its params is missing or damaged"),
        ({"params": '{"a":"\\ud800"}'}, "its params is missing or damaged"),
        ({"params": '{"a":1,"a":2}'}, "its params is missing or damaged"),
        ({"params": '{"a":' + "[" * 700 + "]" * 700 + "}"}, "its params is missing or damaged"),
        ({"params": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"}, "its params is missing or damaged"),
        ({"params": '{"a":' + "9" * 4000 + "}"}, "its params is missing or damaged"),
        ({"normalisation": '[{"low":-1e999}]'}, "its normalisation is missing or damaged"),
        ({"kind": "x" * 100_000}, r"holds a 'x{39}, not a similarity matrix"),
        ({"tensors": {f"t{i}": np.eye(1) for i in range(2_000)}}, r"tensors \{.{,100}\} and 1995 more, not those"),
        ({"tensors": {"t" * 100_000: np.eye(1)}}, r"tensors \{'t{298}, not those"),
        ({"normalisation": "[1]"}, "its normalisation is missing or damaged"),
        ({"tensors": {"values": np.eye(2, dtype=np.float32)}}, "holds the tensors .*; build it again"),
        ({"tensors": {"similarity": np.eye(2)}}, "holds the tensors {'similarity': 'F64'}"),
        ({"tensors": {"similarity": np.ones(4, dtype=np.float32)}}, "not square"),
        ({"tensors": {"similarity": np.array(1, dtype=np.float32)}}, "not square"),
        (
            {"tensors": {"similarity": np.ones((0, 2), dtype=np.float32)}},
            r"similarity has the shape \(0, 2\), which is",
        ),
        ({"tensors": {"similarity": np.ones((1,) * 64, dtype=np.float32)}}, r"similarity has the shape \(1, 1, 1, "),
        ({"tensors": {"similarity": np.eye(3, dtype=np.float32)}}, "2 classes were named for 3 rows"),
        ({"tensors": {"similarity": np.full((2, 2), 2, dtype=np.float32)}}, "not in .0, 1.: rose, rose: 2.0"),
        ({"tensors": {"similarity": np.full((2, 2), np.nan, dtype=np.float32)}}, "rose, rose: nan"),
        ({"tensors": sparse([0, 3, 4], [1, 0, 1, 1], [0.3, 1, 0.3, 1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([0, 2, 3], [1, 0, 1], [0.3, 1, 1])}, "its sparse matrix is damaged .unsorted columns"),
        ({"tensors": sparse([0, 2, 3], [0, 1, 1], [1, 0, 1])}, "its sparse matrix is damaged .* or stored zeros"),
        ({"tensors": sparse([0, 1, 2], [0, 2], [1, 1])}, "its sparse matrix is damaged .*; build it again"),
        ({"tensors": sparse([0, 1, 2], [0, -1], [1, 1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([0, 1, 3], [0, 1], [1, 1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([0, 2, 1], [0, 1], [1, 1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([1, 1, 2], [0, 1], [1, 1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([0, 1], [0], [1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([0, 1, 2], [0, 1], [1])}, "its sparse matrix is damaged"),
        ({"tensors": sparse([0, 1, 2], [0, 1], [1, 0.5])}, "similarity to itself is not 1: tulip"),
        ({"tensors": diagonals(0.5, 1, 0.5), "format_version": "1"}, "holds the tensors .*; build it again"),
        ({"tensors": diagonals(0.5, 1)}, r"its diagonals of shape \(2,\) do not fit 2 classes; build it again"),
        ({"tensors": diagonals(1)}, r"its diagonals of shape \(1,\) do not fit 2 classes"),
        ({"tensors": diagonals()}, r"its tensor diagonals has the shape \(0\), which is no matrix's; build it again"),
        ({"tensors": diagonals(0, 0.5, 1, 0.5, 0)}, r"its diagonals of shape \(5,\) do not fit 2 classes"),
        ({"tensors": {"diagonals": np.ones((3, 1), np.float32)}}, r"its diagonals of shape \(3, 1\) do not fit"),
        ({"tensors": {"diagonals": np.ones((2, 2), np.float32)}}, r"its diagonals of shape \(2, 2\) do not fit"),
        ({"tensors": {"diagonals": np.ones(3)}}, "holds the tensors {'diagonals': 'F64'}"),
        ({"tensors": diagonals(0.5, 1, 1.5)}, r"not in \[0, 1\]: rose, tulip: 1.5"),
        ({"tensors": diagonals(np.nan, 1, 0.5)}, r"not in \[0, 1\]: tulip, rose: nan"),
        ({"tensors": diagonals(0.5, 0.5, 0.5)}, "similarity to itself is not 1: rose, tulip"),
        ({"tensors": diagonals(0.5, 1, 0.5) | {"similarity": np.eye(2, dtype=np.float32)}}, "holds the tensors"),
        ({"tensors": judged([[0, 1], [1, 0]]), "format_version": "1"}, "holds the tensors .*; build it again"),
        ({"tensors": {"evidence": np.zeros((2, 2), np.int32)}}, "holds the tensors {'evidence': 'I32'}"),
        ({"tensors": judged([[0, 1], [1, 0]], np.int64)}, "holds the tensors .*'evidence': 'I64'"),
        ({"tensors": judged([[0, -1], [-1, 0]])}, "counts of judgements below 0: rose, tulip: -1"),
        ({"tensors": judged([[0, 1], [2, 0]])}, "1 judgements of rose, tulip but 2 of tulip, rose"),
    ],
)
def test_what_is_no_sound_matrix_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "matrix.safetensors"
    write_with(path, **{"format_version": "2"} | changes)
    with pytest.raises(SimilarityError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


# In a process without the tests' check of shapes, which would refuse it first.
LOAD = """
import sys
import simmatrix
try:
    simmatrix.load(sys.argv[1])
except simmatrix.SimilarityError as error:
    print(error)
"""


@pytest.mark.parametrize("shape", [(3, 3), (2,), (2, 1), (4,), ()])
def test_evidence_of_another_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "matrix.safetensors"
    write_with(path, judged(np.zeros(shape)), format_version="2")
    result = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True, check=True)
    assert result.stdout == f"{path}: evidence of shape {shape} does not fit 2 classes; give a count a pair\n"


def test_nothing_is_written_that_is_not_read(tmp_path: Path) -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"a": nested(levels - 1)} if levels else {}

    def with_params(content: object) -> Provenance:
        return Provenance(params={"a": content})

    refused = {
        "params": [
            *map(with_params, (float("nan"), [{"b": -float("inf")}], "\ud800", 10**5000, {1, 2}, {1: 1, "1": 2}, b"x")),
            with_params(nested(250)),
            *map(with_params, (np.float32("nan"), np.longdouble(1), np.array([1]), np.datetime64(1, "s"))),
        ],
        "resolution": [Provenance(resolution={"rose": one}) for one in ({"words": "abc"}, {"how": None}, {"a": {1}})],
        "builder": [Provenance(builder="\udcff")],
        "normalisation": [Provenance(normalisation=({"low": float("nan")},))],
        "source": [Provenance(source=(Input("vectors", "\udcff", ""),))],
    }
    for name, provenances in refused.items():
        for provenance in provenances:
            matrix = SimilarityMatrix(np.eye(2), ("rose", "tulip"), provenance)
            with pytest.raises(OutputError, match=f"file: can't hold the matrix's {name}; give text and finite"):
                matrix.save(tmp_path / "file")
            assert not list(tmp_path.iterdir())
    for provenance in (
        with_params(nested(190)),
        with_params((1, 0.5, "a\nb\x1b[31m", None, True, 2**64, np.float64(2), np.float32(0.5), np.int8(3), np.True_)),
        Provenance(resolution={"cafe\u0301": {"words": ("a",), "how": "name", "others": ["b", {"c": []}]}}),
    ):
        SimilarityMatrix(np.eye(2), ("rose", "caf\u00e9"), provenance).save(tmp_path / "file")
        first = (tmp_path / "file").read_bytes()
        loaded = load(tmp_path / "file")
        concerns(loaded)
        loaded.save(tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == first
    assert loaded.provenance.only(["caf\u00e9"]).resolution["caf\u00e9"]["words"] == ["a"]


REPLACING = """
import itertools, os, sys
a, b, path = sys.argv[1:]
print("ready", flush=True)
for source in itertools.cycle([a, b]):
    os.link(source, path + ".new")
    os.replace(path + ".new", path)
"""


def test_a_file_that_is_replaced_all_the_time_is_one_or_the_other(tmp_path: Path) -> None:
    path, kinds = tmp_path / "file", {"a": 0.25, "b": 0.75}
    digests = {}
    for name, value in kinds.items():
        SimilarityMatrix(np.array([[1, value], [value, 1]]), (name, "tulip")).save(tmp_path / name)
        digests[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    path.hardlink_to(tmp_path / "a")
    arguments = [sys.executable, "-c", REPLACING, tmp_path / "a", tmp_path / "b", path]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            for _ in range(300):
                matrix, told = load_input(path, silent)
                name = matrix.classes[0]
                assert (matrix[name, "tulip"], told.sha256) == (kinds[name], digests[name])
        finally:
            process.kill()


def test_an_empty_tensor_of_a_huge_shape_is_refused(tmp_path: Path) -> None:
    write_with(tmp_path / "matrix")
    whole = (tmp_path / "matrix").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    header["similarity"] = {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}
    text = json.dumps(header).encode()
    (tmp_path / "matrix").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(SourceError, match=r"similarity has the shape \(0, 4611686018427387904\)"):
        load(tmp_path / "matrix")


def test_names_for_which_a_file_has_no_room_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert container.LONGEST_HEADER == 100_000_000
    for longest, is_refused in ((2_000_000, False), (1_000_000, True)):
        monkeypatch.setattr(storage, "LONGEST_HEADER", longest)
        matrix = SimilarityMatrix(np.eye(2), ("rose", "x" * 1_500_000))
        if is_refused:
            with pytest.raises(OutputError, match=r"names of 2 classes, .*, take 1 MB; a .* has room for 1, so write"):
                matrix.save(tmp_path / "other")
        else:
            matrix.save(tmp_path / "matrix")
    assert [one.name for one in tmp_path.iterdir()] == ["matrix"]


@kind_by_kind
def test_a_truncated_file_is_refused_wherever_it_ends(kind: str, tmp_path: Path) -> None:
    whole = (GOLDEN / f"{kind}.safetensors").read_bytes()
    path = tmp_path / "matrix"
    for size in [*range(1, 40), *range(40, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"no safetensors file, or a damaged one .*; give a file made by"):
            load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(SourceError, match="damaged"):
        load(path)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_loaded(protocol: int, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    for content in (pickle.dumps(Trap(trap), protocol), b"\x93NUMPY" + pickle.dumps(Trap(trap), protocol)):
        (tmp_path / "matrix").write_bytes(content)
        with pytest.raises(SourceError, match=r"a pickle, which is never loaded|no safetensors file"):
            load(tmp_path / "matrix")
    assert not trap.exists()
    function, arguments = Trap(trap).__reduce__()
    function(*arguments)
    assert trap.exists()


def test_other_things_that_are_no_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.eye(2))
    (tmp_path / "empty").touch()
    for name, message in (("array.npy", "no safetensors"), ("empty", "is empty"), ("", "folder"), ("none", "no such")):
        with pytest.raises(SourceError, match=message):
            load(tmp_path / name)


def test_a_file_that_is_not_there_is_told_the_near_ones(tmp_path: Path) -> None:
    for name in ("vehicles.safetensors", "vehicles.txt", "digits.safetensors"):
        (tmp_path / name).touch()
    for name, remedy in (
        ("vehicles.safetensor", "did you mean vehicles.safetensors?"),
        ("vehicle.safetensors", "did you mean vehicles.safetensors?"),
        ("qqzzx.safetensors", "check the path"),
        ("none/vehicles.safetensors", "check the path"),
        ("vehicle.txt", "check the path"),
    ):
        with pytest.raises(SourceError) as caught:
            load(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: there is no such file; {remedy}"


def test_an_existing_matrix_is_replaced_and_anything_else_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "matrix"
    random_matrix("sparse").save(path)
    random_matrix("dense").save(path)
    assert not load(path).is_sparse
    for content in (b"", b"my thesis", b"\x80\x04."):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="is no similarity matrix; it is left alone, write to another file"):
            random_matrix().save(path)
        assert path.read_bytes() == content


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    write_with(tmp_path / "matrix", format_version="3")
    with pytest.raises(OutputError, match="left alone"):
        random_matrix().save(tmp_path / "matrix")


SAVING = """
import signal, sys
import numpy as np
from simmatrix import SimilarityMatrix
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
names = tuple(map(str, range(600)))
matrices = [SimilarityMatrix(np.where(np.eye(600) > 0, 1, value), names) for value in (0.25, 0.75)]
print("ready", flush=True)
while True:
    for matrix in matrices:
        matrix.save(sys.argv[1])
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_at_any_moment_the_file_is_whole(stop: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "matrix"
    random_matrix(size=600).save(path)
    for moment in np.random.default_rng(0).uniform(0, 0.03, 4):
        with subprocess.Popen(
            [sys.executable, "-c", SAVING, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moment)
            process.send_signal(stop)
            try:
                process.wait(timeout=10)
            finally:
                process.kill()
        assert process.returncode != 0
        assert len(load(path)) == 600
        if stop != signal.SIGKILL:
            assert [one.name for one in tmp_path.iterdir()] == ["matrix"]


def test_a_damaged_invariant_names_the_file(tmp_path: Path) -> None:
    write_with(tmp_path / "matrix", {"similarity": np.zeros((2, 2), dtype=np.float32)})
    with pytest.raises(MatrixError, match=r"matrix: the similarity to itself is not 1: rose, tulip"):
        load(tmp_path / "matrix")


def test_a_name_of_another_format_is_refused(tmp_path: Path) -> None:
    matrix = from_order(["bad", "good"], decay=0.5)
    for name in ("m.npy", "m.CSV", "m.npz", "m.png", "m.tsv", "m.json", "m.pkl", "m.pt", "m.txt", "m.h5", "a.b.xlsx"):
        suffix = name[name.rindex(".") :].lower()
        with pytest.raises(OutputError, match=f"{name}: a matrix file is safetensors, not {suffix}; name it "):
            matrix.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    for name in ("m", "m.sim", "m.v2", "m.0.5", "m.csv.safetensors", ".npy", "m.safetensors"):
        matrix.save(tmp_path / name)
        assert load(tmp_path / name).classes == matrix.classes
