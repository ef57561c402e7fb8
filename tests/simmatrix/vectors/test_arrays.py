"""NumPy's files with a vocabulary inside or beside them, against the arrays they were written from."""

import io
import struct
import time
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from simmatrix.errors import SourceError
from simmatrix.vectors.formats import read_vectors, words_of
from tests.simmatrix.vectors.detection import detect_format

WORDS = ["rose", "Käfer", "日本", "rose"]
ROWS = np.random.default_rng(0).normal(size=(4, 3))
BESIDE = "\n".join(WORDS)


def check(path: Path, dtype: str, vocabulary: Path | None = None) -> None:
    found = read_vectors(path, {"rose", "日本", "unknown"}, vocabulary=vocabulary).found
    assert set(found) == {"rose", "日本"}
    for word, row in (("rose", 0), ("日本", 2)):  # of the repeated word, the first
        expected = ROWS[row].astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(found[word].values, expected, strict=True)
    assert list(words_of(path, vocabulary=vocabulary)) == WORDS


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vocab", "vectors.vocab.txt", "elsewhere"])
def test_npy(name: str, order: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, np.asarray(ROWS.astype(dtype), order=order))
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + BESIDE.replace("\n", "\r\n").encode() + b"\r\n")
    assert detect_format(path) == "npy"
    check(path, dtype, tmp_path / name if name == "elsewhere" else None)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("inside", [np.array(WORDS), np.char.encode(WORDS), None], ids=["str", "bytes", "none"])
def test_npz(inside: np.ndarray | None, save: type, tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    save(path, anything=ROWS.astype(np.float32), **({} if inside is None else {"words": inside}))
    assert detect_format(path) == "npz"
    if inside is None:
        path.with_suffix(".vocab").write_text(BESIDE, encoding="utf-8")
    check(path, "<f4")
    (tmp_path / "other").write_text("a\nb\nc\nd")
    assert list(words_of(path, vocabulary=tmp_path / "other")) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 3), dtype=int), r"holds int64 values of shape \(4, 3\); vectors are rows of floats"),
        (np.ones(4), r"of shape \(4,\)"),
        (np.ones((4, 0)), r"of shape \(4, 0\)"),
        (np.ones((2, 2, 2)), r"of shape \(2, 2, 2\)"),
        (np.array([["a", None]], dtype=object), "is no plain array of numbers"),
        (np.ones((3, 3)), "has 3 vectors for a vocabulary of 4 words; give the vocabulary that belongs"),
        (np.ones((5, 3)), "has 5 vectors for a vocabulary of 4 words"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_other_arrays(suffix: str, array: np.ndarray, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"vectors{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, array)
    path.with_suffix(".txt").write_text(BESIDE, encoding="utf-8")
    if suffix == ".npz" and array.dtype.kind == "O":
        message = "holds no plain arrays .arr_0: it holds Python objects, which are never loaded"
    elif suffix == ".npz" and array.dtype.kind != "f":
        message = "holds 0 two-dimensional float arrays"
    elif suffix == ".npz" and array.ndim != 2:
        message = "holds 0 two-dimensional float arrays; one was expected"
    with pytest.raises(SourceError, match=message):
        read_vectors(path, {"rose"})


def header(shape: tuple[int, ...]) -> bytes:
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("shape", [(10**9, 300), (2**62, 2**62), (-1, 3), (3, 10**30), (5, 3)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_headers_that_lie_take_no_memory(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / f"vectors{suffix}"
    content = header(shape) + bytes(48)
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.npy", content)
    else:
        path.write_bytes(content)
    path.with_suffix(".txt").write_text(BESIDE, encoding="utf-8")
    with pytest.raises(SourceError, match=r"(holds no plain arrays|is no plain array)"):
        read_vectors(path, {"rose"})


ODD = (
    "{[]: 1}",
    "()",
    "{'descr': ('<f4',), 'fortran_order': False, 'shape': (4, 3)}",
    "{'descr': {[]: 1}, 'fortran_order': False, 'shape': (4, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True, True)}",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (4, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (12)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (04, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), 'more': 1}",
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4, 3)}",
    "{'descr': '<f3', 'fortran_order': False, 'shape': (4, 3)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (4, 3)}",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3)} or 1",
)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_headers_of_odd_types(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"vectors{suffix}"
    path.with_suffix(".txt").write_text(BESIDE, encoding="utf-8")
    sound = "{'shape': (4L, 3L,), 'descr':'<f4' , 'fortran_order':True}\n"
    for text in (*ODD, sound):
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(48)
        path.write_bytes(content)
        if suffix == ".npz":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("vectors.npy", content)
        if text == sound:
            assert read_vectors(path, {"rose"}).found["rose"].values.tolist() == [0, 0, 0]
            continue
        with pytest.raises(SourceError, match=r"(holds no plain arrays|is no plain array)"):
            read_vectors(path, {"rose"})


def peak(path: Path, wanted: set[str]) -> int:
    """Return the most memory that a reading takes, in MB."""
    tracemalloc.start()
    try:
        with suppress(SourceError):
            read_vectors(path, wanted)
        return tracemalloc.get_traced_memory()[1] >> 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_small_archive_of_a_large_array_takes_little_memory(order: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    rows = np.zeros((40_000, 400), np.float32, order=order)
    rows[[7, 39_999]] = [[1], [2]]
    np.savez_compressed(path, rows, np.array([f"w{index}" for index in range(len(rows))]))
    assert rows.nbytes > 100 * path.stat().st_size
    assert peak(path, {"missing"}) < 20
    assert peak(path, {"w7", "w39999"}) < 20
    found = read_vectors(path, {"w7", "w39999"}).found
    assert [found["w7"].values.tolist(), found["w39999"].values.tolist()] == [[1] * 400, [2] * 400]


def test_words_without_end_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    np.savez_compressed(path, np.zeros((20 << 20, 1), np.float16), np.zeros(20 << 20, "U1"))
    started = time.process_time()
    with pytest.raises(SourceError, match=r"its vocabulary holds '' \d+ times in a row"):
        read_vectors(path, {"rose"})
    assert time.process_time() - started < 2


def test_damage_to_what_is_not_wanted_is_seen_in_an_archive(tmp_path: Path) -> None:
    """Its checksum is checked: a stored row may have lost a bit just as well."""
    path = tmp_path / "vectors.npz"
    np.savez(path, ROWS, np.array(WORDS))
    whole = path.read_bytes()
    at = whole.index(ROWS[3].tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(SourceError, match="is damaged or cut short"):
        read_vectors(path, {"rose"})


@pytest.mark.parametrize("text", [b"(" * 9000, b"'a", b"{'descr': [", b"\xff\xfe", b"(" * 90 + b")" * 90])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_headers_that_python_can_not_parse(suffix: str, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"vectors{suffix}"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.npy", content)
    else:
        path.write_bytes(content)
    path.with_suffix(".txt").write_text(BESIDE, encoding="utf-8")
    with pytest.raises(SourceError, match=r"(holds no plain arrays|is no plain array)") as caught:
        read_vectors(path, {"rose"}, format=suffix[1:])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_cut_off_anywhere(suffix: str, tmp_path: Path) -> None:
    whole = io.BytesIO()
    (np.save if suffix == ".npy" else np.savez_compressed)(whole, ROWS)
    path = tmp_path / f"vectors{suffix}"
    path.with_suffix(".txt").write_text(BESIDE, encoding="utf-8")
    for size in range(len(whole.getvalue())):
        path.write_bytes(whole.getvalue()[:size])
        for given in (None, suffix[1:]):
            with pytest.raises(SourceError):
                read_vectors(path, {"rose"}, format=given)


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    np.savez_compressed(path, np.random.default_rng(0).normal(size=(4, 100)))
    path.with_suffix(".txt").write_text(BESIDE, encoding="utf-8")
    whole = path.read_bytes()
    for position in range(60, len(whole) - 150, 101):
        path.write_bytes(
            whole[:position] + bytes(255 - byte for byte in whole[position : position + 9]) + whole[position + 9 :]
        )
        with pytest.raises(SourceError):
            read_vectors(path, {"rose"}, format="npz")


def test_several_arrays_are_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    np.savez(path, a=ROWS, b=ROWS, words=np.array(WORDS))
    with pytest.raises(SourceError, match="holds 2 two-dimensional float arrays; one was expected"):
        read_vectors(path, {"rose"})
    np.savez(path, a=ROWS, words=np.array(WORDS), others=np.array(WORDS))
    with pytest.raises(SourceError, match="holds 2 one-dimensional string arrays"):
        read_vectors(path, {"rose"})


def test_no_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, ROWS)
    with pytest.raises(SourceError, match=r"has no vocabulary; give one .* as vectors\.txt, vectors\.vocab, v"):
        read_vectors(path, {"rose"})
    with pytest.raises(SourceError, match="none: there is no such file"):
        read_vectors(path, {"rose"}, vocabulary=tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"rose\nt\xfclip\n")
    with pytest.raises(SourceError, match="latin, line 2: is not UTF-8"):
        read_vectors(path, {"rose"}, vocabulary=tmp_path / "latin")
