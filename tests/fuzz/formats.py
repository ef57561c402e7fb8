"""The formats: sound files of each, how they are read, and their oracle."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse

import simmatrix
from simmatrix.builders.confusion import confusion_similarity
from simmatrix.builders.rating_table import read_ratings
from simmatrix.builders.ratings import rating_similarity
from simmatrix.builders.ready import given_similarity
from simmatrix.builders.triplets import triplet_similarity
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.files import decoded, read_bytes
from simmatrix.taxonomy.wndb import read_corpus_counts
from simmatrix.taxonomy.wordnet import bundled_wordnet
from simmatrix.taxonomy.written import detect, read_taxonomy
from simmatrix.vectors.formats import read_vectors, words_of
from tests.fuzz import oracles
from tests.fuzz.mutations import mutated
from tests.fuzz.oracles import WORDS

__all__ = ["FORMATS", "Format", "Judge"]

CLASSES = ["rose", "tulip", "oak", "Käfer"]


@dataclass(frozen=True)
class Format:
    """One format.

    Parameters
    ----------
    seeds
        Sound files.
    read
        What is tested: reads a file.
    oracle
        Returns the readings of a file's bytes that are right.
    suffix
        How the file's name ends.
    inside
        Damages what is packed inside a file, and packs it again.
    beside
        Files that lie beside it.
    """

    seeds: list[bytes]
    read: Callable[[Path], Any]
    oracle: Callable[[bytes], list[Any]]
    suffix: str = ".txt"
    inside: Callable[[bytes, bytes, random.Random], bytes] | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict)


# --- a matrix ---------------------------------------------------------------------------------------------------------


def _saved(matrix: simmatrix.SimilarityMatrix) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        matrix.save(path)
        return path.read_bytes()


def _matrices() -> list[bytes]:
    order = simmatrix.from_order(CLASSES, decay=0.5)
    dense = order.select(["rose", "Käfer", "oak"])
    sparse = scipy.sparse.csr_array(np.array([[1, 0, 0.25], [0, 1, 0], [0.25, 0, 1]], np.float32))
    return [_saved(one) for one in (order, dense, simmatrix.SimilarityMatrix(sparse, tuple(CLASSES[:3])))]


def _load(path: Path) -> Any:
    found = simmatrix.load(path)
    return list(found.classes), np.array([[found[a, b] for b in found.classes] for a in found.classes], np.float32)


# A matrix in two shards: its index, and the files beside it.
_INDEX = "damaged.safetensors.index.json"


@cache
def _in_shards() -> dict[str, bytes]:
    import tempfile

    sparse = scipy.sparse.csr_array(np.array([[1, 0, 0.25], [0, 1, 0.5], [0.25, 0, 1]], np.float32))
    told = simmatrix.Provenance("test", resolution={name: {"how": "name", "words": [name]} for name in CLASSES[1:3]})
    with tempfile.TemporaryDirectory() as folder:
        simmatrix.save(simmatrix.SimilarityMatrix(sparse, CLASSES[1:], told), Path(folder) / _INDEX, shards=2)
        return {one.name: one.read_bytes() for one in Path(folder).iterdir()}


def _shards() -> dict[str, bytes]:
    return {name: raw for name, raw in _in_shards().items() if name != _INDEX}


def _listing(name: str, raw: bytes) -> bytes:
    """Return the index with the checksum of another file in the place of one that it lists."""
    old, new = (hashlib.sha256(one).hexdigest() for one in (_shards()[name], raw))
    return _in_shards()[_INDEX].replace(old.encode(), new.encode())


def _load_with(name: str) -> Callable[[Path], Any]:
    """Return what reads the matrix with one of its files damaged, and listed as it is."""

    def read(path: Path) -> Any:
        raw = path.read_bytes()
        path.with_name(name).write_bytes(raw)
        path.with_name(_INDEX).write_bytes(_listing(name, raw))
        return _load(path.with_name(_INDEX))

    return read


def _part(what: str) -> Format:
    name = next(name for name in _shards() if what in name)
    return Format(
        [_shards()[name]],
        _load_with(name),
        lambda raw: oracles.index_of_shards(_listing(name, raw), {**_shards(), name: raw}),
        ".safetensors",
        _header,
        _shards(),
    )


def _header(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage the header of a safetensors file; its length stays right, and so does the checksum of the classes."""
    length = int.from_bytes(raw[:8], "little")
    header = mutated(raw[8 : 8 + length], other[8 : 8 + int.from_bytes(other[:8], "little")], rng)
    return struct.pack("<Q", len(header)) + header + raw[8 + length :]


# --- word vectors -----------------------------------------------------------------------------------------------------


@cache
def _vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)


def _lines(end: str = "\n", tail: str = "") -> str:
    return end.join(
        f"{word} {' '.join(map(str, row))}{tail}" for word, row in zip(WORDS, _vectors().tolist(), strict=True)
    )


def _found(path: Path, format: str | None = None) -> Any:
    return {word: one.values for word, one in read_vectors(path, set(WORDS), format=format).found.items()}


def _texts() -> list[bytes]:
    head = f"{len(WORDS)} 4\n"
    return [
        text.encode()
        for text in (_lines(), head + _lines() + "\n", "\ufeff" + _lines("\r\n"), head + _lines("\n", " "))
    ]


def _binary() -> list[bytes]:
    pairs = [(word.encode(), row.tobytes()) for word, row in zip(WORDS, _vectors(), strict=True)]
    head = b"%d 4\n" % len(WORDS)
    return [head + b"".join(word + b" " + row + end for word, row in pairs) for end in (b"", b"\n")]


def _read_binary(path: Path) -> Any:
    words = list(words_of(path, format="word2vec-binary"))
    found = read_vectors(path, set(words), format="word2vec-binary").found
    return words, {word: one.values for word, one in found.items()}


@runtime_checkable
class Judge(Protocol):
    """Stands for all results that are right."""

    def accepts(self, ours: Any) -> bool:
        """Tell whether a result is right."""


@dataclass(frozen=True)
class _AllBytes(Judge):
    """Readings of word2vec's binary format that account for all bytes."""

    raw: bytes

    def accepts(self, ours: Any) -> bool:
        return oracles.binary_words(self.raw, *ours)


def _npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def _npys() -> list[bytes]:
    rows = _vectors()
    return [_npy(rows), _npy(np.asfortranarray(rows.astype(np.float64))), _npy(rows.astype(">f4"), (2, 0))]


def _zip(members: Mapping[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return file.getvalue()


def _npzs() -> list[bytes]:
    rows, words = _vectors(), np.array(WORDS)
    return [
        _zip({"a.npy": _npy(rows), "words.npy": _npy(words)}),
        _zip({"words.npy": _npy(np.char.encode(words)), "a.npy": _npy(np.asfortranarray(rows))}, zipfile.ZIP_STORED),
        _zip({"a.npy": _npy(rows.astype(np.float16))}, zipfile.ZIP_LZMA),
        _zip({"a.npy": _npy(rows)}, zipfile.ZIP_BZIP2),
    ]


def _members(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage a member of a zip archive, and pack it again."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive, zipfile.ZipFile(io.BytesIO(other)) as second:
        members = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(sorted(members))
        members[name] = mutated(members[name], second.read(second.namelist()[0]), rng)
    packing = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    return _zip(members, packing)


def _gzipped(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    return gzip.compress(mutated(gzip.decompress(raw), gzip.decompress(other), rng), 1, mtime=0)


def _safetensors(tensors: Mapping[str, np.ndarray], kinds: Mapping[str, str]) -> bytes:
    header, body = {}, b""
    for name, tensor in tensors.items():
        start, body = len(body), body + tensor.tobytes()
        header[name] = {"dtype": kinds[name], "shape": list(tensor.shape), "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _safetensors_vectors() -> list[bytes]:
    rows, words = _vectors(), np.frombuffer("\n".join(WORDS).encode(), np.uint8)
    return [
        _safetensors({"v": rows, "vocabulary": words}, {"v": "F32", "vocabulary": "U8"}),
        _safetensors({"other": words, "v": rows.astype(np.float16)}, {"other": "U8", "v": "F16"}),
        _safetensors({"b": rows.astype(np.float16), "v": rows.astype("<f8")}, {"b": "BF16", "v": "F64"}),
    ]


def _kv() -> list[bytes]:
    import tempfile

    from gensim.models import KeyedVectors

    vectors = KeyedVectors(4)
    vectors.add_vectors(list(WORDS), _vectors())
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for protocol in (2, 4):
            path = Path(folder) / "v.kv"
            vectors.save(str(path), sep_limit=1 << 30, pickle_protocol=protocol)
            files.append(path.read_bytes())
        return files


def _kv_oracle(raw: bytes) -> list[Any]:
    return [oracles.keyed_vectors(raw)]


def _fasttexts() -> list[bytes]:
    """Models without and with subwords, and one of the form before version 11."""

    def model(buckets: int, shortest: int, longest: int, version: int) -> bytes:
        args = struct.pack("<10id", 5, 1, 5, 1, 2, 2, buckets, shortest, longest, 100, 1e-4)
        start = (
            struct.pack("<2i", 793712314, version) + struct.pack("<2i", 4, 5) if version else struct.pack("<2i", 4, 5)
        )
        dictionary = struct.pack("<3iq", len(WORDS), len(WORDS), 0, 100)
        if version:
            dictionary += struct.pack("<q", -1)
        entries = b"".join(word.encode() + b"\0" + struct.pack("<qb", 3, 0) for word in WORDS)
        rows = np.random.default_rng(buckets).normal(size=(len(WORDS) + buckets, 4)).astype("<f4")
        flag = b"\0" if version else b""
        table = flag + struct.pack("<2q", *rows.shape) + rows.tobytes()
        return (
            start
            + args
            + dictionary
            + entries
            + table
            + flag
            + struct.pack("<2q", len(WORDS), 4)
            + bytes(16 * len(WORDS))
        )

    return [model(0, 0, 0, 12), model(20, 3, 6, 12), model(7, 1, 2, 0)]


# --- classes, taxonomies, tables --------------------------------------------------------------------------------------


def _class_list(path: Path) -> Any:
    found = read_classes(path)
    return list(found.names), {name: list(values) for name, values in found.columns.items()}


def _taxonomy(format: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        text = decoded(read_bytes(path), path)
        detect(text)
        found = read_taxonomy(text, path, format)
        ends = found.starts.tolist()
        return {
            (found.names[parent], found.names[node])
            for node in range(len(found))
            for parent in found.parents[ends[node] : ends[node + 1]].tolist()
        }

    return read


@cache
def _nouns() -> Any:
    return bundled_wordnet().parts["n"]


def _corpus_counts(path: Path) -> Any:
    found = read_corpus_counts(path, _nouns())
    kept = np.flatnonzero(found.counts[: len(_nouns())])
    return {int(node): float(found.counts[node]) for node in kept}, found.total


class _Nodes(dict[int, int]):
    """The node of each noun, by its offset."""

    def __contains__(self, offset: object) -> bool:
        assert isinstance(offset, int)
        return _nouns().at_offset(offset) is not None

    def __getitem__(self, offset: int) -> int:
        node: int = _nouns().at_offset(offset)
        return node


def _ratings(path: Path) -> Any:
    table = read_ratings(decoded(read_bytes(path), path), path)
    words = list(table.words)
    # What is made of them has to hold as well, or to be refused.
    with suppress(simmatrix.SimilarityError):
        rating_similarity(path, ClassList(tuple(words)), duplicates="mean", complete="mean")
    return [
        (words[a], words[b], float(value), table.raters[rater])
        for a, b, value, rater in zip(table.first, table.second, table.ratings, table.rater, strict=True)
    ]


def _triplets(path: Path) -> Any:
    raw = triplet_similarity(path, ClassList(tuple(CLASSES)), unknown="ignore")
    if raw.provenance.params.get("method") == "embedding":
        # What is read is seen by the counts alone; where pairs are missing there are none, but an embedding.
        raise SourceError("not every pair is in a triplet", path)
    return np.asarray(raw.values, np.float64)


def _confusion_oracle(raw: bytes) -> list[Any]:
    return [_Close(oracles.confusion(one)) for one in oracles.square(raw, CLASSES)]


@dataclass(frozen=True)
class _Close(Judge):
    """Arrays that differ by rounding alone."""

    values: np.ndarray

    def accepts(self, ours: Any) -> bool:
        return bool(np.allclose(np.asarray(ours), self.values, rtol=1e-9, atol=1e-12))


def _confusion(path: Path) -> Any:
    return confusion_similarity(path, ClassList(tuple(CLASSES))).values.tolist()


def _given(path: Path) -> Any:
    return np.asarray(given_similarity(path, ClassList(tuple(CLASSES))).values, np.float64)


_EDGES = [
    b"entity\tplant\nentity\tanimal\nplant\trose\nplant\toak tree\nanimal\tdog\n# end\n",
    b'parent,child\nplant,rose\nplant,tulip\n"a, b",plant\n',
    "all life\nlife Käfer\nlife rose\nall rose\n".encode(),
]
_OUTLINES = [
    b"plant\n  flower\n    rose\n    tulip\n  oak\nanimal\n  dog\n",
    "- life\n\t- Käfer\n\t- rose\n- all\n\t- rose\n".encode(),
]
_JSONS = [
    b'{"plant": {"flower": ["rose", "tulip"], "oak": {}}, "animal": {"dog": null}}',
    b'{"name": "plant", "size": 3, "children": [{"name": "rose"}, {"name": "oak", "children": [{"name": "x"}]}]}',
]
_RATINGS = [
    b"a,b,rating,rater\nrose,tulip,8,x\nrose,oak,2.5,x\ntulip,oak,1,x\nrose,tulip,7,y\ntulip,oak,3,y\n",
    "rose\tKäfer\t1\nrose\ttulip\t9.5\n# note\ntulip\tKäfer\t2\n".encode(),
    b'word1,word2,POS,SimLex999\n"rose, red",tulip,N,8\ntulip,oak,N,2\n',
]
_TRIPLETS = [
    "rose,tulip,oak\nrose,tulip,Käfer\noak,Käfer,rose\ntulip,oak,Käfer\nrose,oak,tulip\n".encode(),
    "a\tb\tc\todd\nrose\ttulip\toak\toak\nKäfer\trose\ttulip\tKäfer\noak\tKäfer\trose\trose\ntulip\toak\tKäfer\toak\n".encode(),
]
_CONFUSIONS = [
    ",rose,tulip,oak,Käfer\nrose,8,1,1,0\ntulip,2,7,0,1\noak,0,1,9,0\nKäfer,0,0,1,5\n".encode(),
    _npy(np.array([[8, 1, 1, 0], [2, 7, 0, 1], [0, 1, 9, 0], [0, 0, 1, 5]])),
]
_SQUARES = [
    "x\ttulip\trose\tKäfer\toak\nrose\t.5\t1\t0\t0.25\ntulip\t1\t.5\t0\t0\nKäfer\t0\t0\t1\t1e-3\noak\t0\t.25\t0\t1\n".encode(),
    _npy(np.array([[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.25], [0, 0, 0.25, 1]], np.float32)),
]


def _counts() -> list[bytes]:
    return [
        b"wnver::eOS9lXC6GvMWznF1wkZofDdtbBU\n1740n 1915712 ROOT\n1930n 859272\n1740v 5 ROOT\n2137n 10.5\n4475n 1\n"
    ]


FORMATS: Mapping[str, Format] = {
    "matrix (safetensors)": Format(_matrices(), _load, oracles.matrix, ".safetensors", _header),
    "GloVe and word2vec text": Format(_texts(), _found, oracles.text_vectors),
    "text in gzip": Format([gzip.compress(one) for one in _texts()[:3]], _found, oracles.gzip_text, ".gz", _gzipped),
    "text in zip": Format(
        [_zip({"v.txt": one}, packing) for one, packing in zip(_texts(), (0, 8, 12, 14), strict=True)],
        _found,
        oracles.zip_text,
        ".zip",
        _members,
    ),
    "word2vec binary": Format(_binary(), _read_binary, lambda raw: [_AllBytes(raw)], ".bin"),
    "fastText .bin": Format(_fasttexts(), lambda path: _found(path, "fasttext"), oracles.fasttext, ".bin"),
    "gensim .kv": Format(_kv(), lambda path: _found(path, "keyedvectors"), _kv_oracle, ".kv"),
    ".npy": Format(
        _npys(),
        lambda path: _found(path, "npy"),
        oracles.npy_vectors,
        ".npy",
        None,
        {"damaged.txt": "\n".join(WORDS).encode()},
    ),
    ".npz": Format(
        _npzs(),
        lambda path: _found(path, "npz"),
        oracles.npz_vectors,
        ".npz",
        _members,
        {"damaged.txt": "\n".join(WORDS).encode()},
    ),
    "index of shards": Format(
        [_in_shards()[_INDEX]],
        _load,
        lambda raw: oracles.index_of_shards(raw, _shards()),
        ".safetensors.index.json",
        None,
        _shards(),
    ),
    "shard": _part("00001-of"),
    "names of shards": _part("classes"),
    "vectors in safetensors": Format(
        _safetensors_vectors(),
        lambda path: _found(path, "safetensors"),
        oracles.safetensors_vectors,
        ".safetensors",
        _header,
        {"damaged.txt": "\n".join(WORDS).encode()},
    ),
    "class list .txt": Format(
        ["rose\ntulip\nKäfer\n".encode(), b"\xef\xbb\xbfa b\r\nc\r\n"], _class_list, oracles.class_list_txt
    ),
    "class list .tsv": Format(
        [b"class\tphrase\tsynset\nrose\tred rose\t\ntulip\t\ttulip.n.01\noak\t\t\n"],
        _class_list,
        oracles.class_list_tsv,
        ".tsv",
    ),
    "class list .csv": Format(
        ['group,class\nplant,rose\n"a, b","tu""lip"\nx,Käfer\n'.encode()], _class_list, oracles.class_list_csv, ".csv"
    ),
    "class list .json": Format(
        [b'["rose", "tulip", "K\\u00e4fer"]', b'{"0": "rose", "1": "tulip", "2": "oak"}'],
        _class_list,
        oracles.class_list_json,
        ".json",
    ),
    "edge list": Format(_EDGES, _taxonomy("edges"), oracles.edges),
    "outline": Format(_OUTLINES, _taxonomy("outline"), oracles.outline),
    "taxonomy .json": Format(_JSONS, _taxonomy("json"), oracles.nested, ".json"),
    "information content": Format(_counts(), _corpus_counts, lambda raw: oracles.corpus_counts(raw, _Nodes()), ".dat"),
    "ratings": Format(_RATINGS, _ratings, oracles.ratings, ".csv"),
    "triplets": Format(_TRIPLETS, _triplets, lambda raw: oracles.triplets(raw, CLASSES), ".csv"),
    "confusion": Format(_CONFUSIONS, _confusion, _confusion_oracle, ".csv"),
    "matrix .csv and .npy": Format(_SQUARES, _given, lambda raw: oracles.square(raw, CLASSES), ".csv"),
}
