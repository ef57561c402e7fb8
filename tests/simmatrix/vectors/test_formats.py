"""Formats are told by their contents, whatever the file's name."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from safetensors.numpy import save_file

from simmatrix.choices import VECTOR_FORMATS
from simmatrix.errors import ParameterError, SourceError
from simmatrix.vectors.formats import read_vectors, words_of
from tests.simmatrix.vectors.detection import detect_format


@pytest.fixture
def files(peer: KeyedVectors, tmp_path: Path) -> dict[str, Path]:
    """One file of each format gensim and NumPy write, all named alike."""
    paths = {name: tmp_path / name / "vectors.dat" for name in VECTOR_FORMATS if name != "fasttext"}
    for path in paths.values():
        path.parent.mkdir()
        path.with_suffix(".vocab").write_text("\n".join(peer.index_to_key), encoding="utf-8")
    peer.save_word2vec_format(str(paths["glove"]), write_header=False)
    peer.save_word2vec_format(str(paths["word2vec"]))
    peer.save_word2vec_format(str(paths["word2vec-binary"]), binary=True)
    peer.save(str(paths["keyedvectors"]))
    with paths["npy"].open("wb") as file:
        np.save(file, peer.vectors)
    with paths["npz"].open("wb") as file:
        np.savez(file, peer.vectors)
    save_file({"vectors": peer.vectors}, paths["safetensors"])
    return paths


def test_every_format_is_told_by_its_contents_and_reads_the_same(files: dict[str, Path], peer: KeyedVectors) -> None:
    for name, path in files.items():
        assert detect_format(path) == name
        for options in ({}, {"format": name}):
            found = read_vectors(path, set(peer.index_to_key), **options).found
            for word in peer.index_to_key:
                np.testing.assert_array_equal(found[word].values, peer[word])
            assert list(words_of(path, **options)) == peer.index_to_key


def test_a_wrong_format_is_an_error(files: dict[str, Path], peer: KeyedVectors) -> None:
    for right, path in files.items():
        for wrong in set(VECTOR_FORMATS) - {right}:
            with pytest.raises(SourceError) as caught:
                read_vectors(path, set(peer.index_to_key), format=wrong)
            assert "vectors.dat" in str(caught.value)


@pytest.mark.parametrize("name", ["npy", "keyedvectors", "safetensors"])
def test_a_compressed_file_that_is_not_streamed(name: str, files: dict[str, Path]) -> None:
    path = files[name]
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SourceError, match=f"is compressed, which format {name} can't be read from; unpack it first"):
        read_vectors(path, {"rose"})


def test_a_compressed_binary(files: dict[str, Path], peer: KeyedVectors) -> None:
    path = files["word2vec-binary"]
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_vectors(path, {"rose"}).found["rose"].values, peer["rose"])


def test_junk(tmp_path: Path) -> None:
    unknown = r"is of no known format .*: glove, .* npz or safetensors"
    for content, message in (
        (b"\x00" * 100, unknown),
        (b"\xff\xfec\x00a\x00t\x00 \x001\x00\n\x00", "is UTF-16; save the file as UTF-8"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"just some words\n", unknown),
        (b"<html>\n<body>\n", "is a web page; download the file itself"),
        (b"\n", unknown),
        (np.random.default_rng(0).bytes(5000), unknown),
        (b'{"rose": [1, 2]}', unknown),
    ):
        (tmp_path / "junk.txt").write_bytes(content)
        with pytest.raises(SourceError, match=r"junk\.txt: " + message):
            detect_format(tmp_path / "junk.txt")


def test_a_long_first_line_is_told_by_its_start(tmp_path: Path) -> None:
    path = tmp_path / "wide.txt"
    line = "cat " + " ".join(["0.123456789"] * 20_000)
    for head, name in (("", "glove"), ("1 20000\n", "word2vec")):
        path.write_text(head + line)
        assert detect_format(path) == name
        assert read_vectors(path, {"cat"}).found["cat"].values.shape == (20_000,)


@pytest.mark.parametrize("make", ["missing", "empty", "folder"])
def test_paths(make: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if make != "missing":
        path.touch() if make == "empty" else path.mkdir()
    message = {"missing": "there is no such file", "empty": "is empty", "folder": "is a folder"}[make]
    for given in (None, *VECTOR_FORMATS):
        with pytest.raises(SourceError, match=f"x: {message}"):
            read_vectors(path, {"rose"}, format=given)


def test_options_that_do_not_fit(files: dict[str, Path]) -> None:
    with pytest.raises(ParameterError, match=r"format must be 'glove', .* or 'safetensors', got 'vec'"):
        read_vectors(files["glove"], {"rose"}, format="vec")
    for name in ("glove", "word2vec", "word2vec-binary", "keyedvectors"):
        with pytest.raises(SourceError, match="holds its own vocabulary; give none"):
            read_vectors(files[name], {"rose"}, vocabulary=files[name].with_suffix(".vocab"))
