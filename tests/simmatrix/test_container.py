"""The safetensors file of arrays and text, against the safetensors library, which reads and writes it too."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from simmatrix import SourceError
from simmatrix.container import canonical_json, open_container, parsed_json, serialised

TYPES = ["bool", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]
TENSORS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(lambda name: name[0] != "_"),
    st.sampled_from(TYPES).flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0))),
    min_size=1,
    max_size=4,
)


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
        assert array.tobytes() == other[name].tobytes()


@settings(deadline=None)
@given(
    tensors=TENSORS,
    metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.just("text: é")),
)
def test_the_library_reads_what_is_written_and_the_other_way_round(
    tensors: dict[str, np.ndarray], metadata: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("container") / "file"
    path.write_bytes(b"".join(serialised(tensors, metadata)))
    assert_same(load_file(path), tensors)
    with safe_open(path, framework="numpy") as file:
        assert (file.metadata() or {}) == metadata
    save_file(tensors, path, metadata)
    with open_container(path, "") as ours:
        assert_same({name: ours.read(name) for name in ours.tensors}, tensors)
        assert ours.metadata == metadata


def written(header: object, content: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


X = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "raw",
    [
        b"1234567",
        written({"x": X}, b"1234567"),
        written({"x": X}, b"123456789"),
        written({"x": X}, b"12345678", 1 << 62),
        written({"x": X}, b"12345678", 5),
        written([X], b"12345678"),
        written(b"{", b""),
        written(b"\xff", b""),
        written(b"[" * 100_000, b""),
        written({"x": X | {"shape": [3]}}, b"12345678"),
        written({"x": X | {"shape": [-2]}}, b"12345678"),
        written({"x": X | {"shape": [2.0]}}, b"12345678"),
        written({"x": X | {"shape": 2}}, b"12345678"),
        written({"x": X | {"shape": [2**40, 2**40]}}, b"12345678"),
        written(b'{"__metadata__":{"a":"b"},"__metadata__":{"a":"c"}}', b""),
        written(json.dumps({"x": X}).replace("[2]", "[1e999]").encode(), b"12345678"),
        written({"x": X | {"dtype": "F31"}}, b"12345678"),
        written({"x": X | {"dtype": 3}}, b"12345678"),
        written({"x": X | {"data_offsets": [8, 0]}}, b"12345678"),
        written({"x": X | {"data_offsets": [0]}}, b"12345678"),
        written({"x": X | {"data_offsets": "08"}}, b"12345678"),
        written({"x": X | {"data_offsets": [4, 12]}}, b"123456781234"),
        written({"x": X, "y": X}, b"12345678"),
        written({"x": X, "y": X | {"data_offsets": [4, 12]}}, b"123456781234"),
        written({"x": X, "y": X | {"data_offsets": [12, 20]}}, b"1" * 20),
        written({"x": 1}, b""),
        written({"x": {}}, b""),
        written({"x": X, "__metadata__": {"a": 1}}, b"12345678"),
        written({"x": X, "__metadata__": []}, b"12345678"),
    ],
)
def test_what_the_library_refuses_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(SafetensorError):
        load_file(tmp_path / "file")
    with (
        pytest.raises(SourceError, match=r"file: is no safetensors file, or a damaged one \(.*\); get another$"),
        open_container(tmp_path / "file", "get another"),
    ):
        pass


def test_a_file_that_is_replaced_while_it_is_read_stays_what_was_opened(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"".join(serialised({"x": np.array([1, 2], np.uint8)}, {})))
    other.write_bytes(b"".join(serialised({"x": np.array([3], np.uint8)}, {})))
    with open_container(path, "") as file:
        other.replace(path)
        assert file.read("x").tolist() == [1, 2]


def read_while(path: Path, change: bytes) -> None:
    with open_container(path, "") as file:
        later = time.time_ns() + 10**9
        path.write_bytes(change)
        os.utime(path, ns=(later, later))
        file.read("x")


def test_a_file_that_is_changed_while_it_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "file", b"".join(serialised({"x": np.ones(100_000)}, {}))
    for change, message in ((b"", "was cut short"), (other, "was changed")):
        path.write_bytes(b"".join(serialised({"x": np.zeros(100_000)}, {})))
        with pytest.raises(SourceError, match=f"file: {message} while it was read; read it again"):
            read_while(path, change)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_numbers_that_are_none(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": [number]})
    with pytest.raises(ValueError, match="is no JSON"):
        parsed_json(json.dumps(number))
