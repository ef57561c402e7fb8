"""The bundled WordNet: its file, and all that it says against what NLTK reads in WordNet 3.0 (see tests/wordnet.py)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from simmatrix import data, read_classes
from simmatrix.taxonomy.wordnet import bundled_wordnet
from tests.wordnet import digests, our_lines

FIXTURES = Path(__file__).parent / "fixtures"
DATA = Path(__file__).parents[2] / "data"  # the checksums are not installed


@pytest.fixture(scope="module")
def path() -> Path:
    return data.wordnet_path()


@pytest.mark.slow
def test_everything_in_it_is_what_nltk_reads_in_wordnet() -> None:
    expected = (FIXTURES / "wordnet-3.0-digests.tsv").read_text(encoding="utf-8").splitlines()
    assert digests(our_lines(bundled_wordnet())) == expected


def test_the_digests_cover_all_of_wordnet() -> None:
    rows = [line.split("\t") for line in (FIXTURES / "wordnet-3.0-digests.tsv").read_text().splitlines()]
    counts: dict[str, int] = {}
    for part, count, _digest in rows:
        kind = " ".join(part.split()[:2])
        counts[kind] = counts.get(kind, 0) + int(count)
    # The figures of WordNet's own page of statistics (wnstats) for 3.0: synsets and unique strings.
    assert counts.pop("exceptions") > 2000
    assert counts == {
        "synsets n": 82115,
        "synsets v": 13767,
        "tags n": 82115,
        "tags v": 13767,
        "lemmas n": 117798,
        "lemmas v": 11529,
    }


def test_checksum(path: Path) -> None:
    digest, name = (DATA / "wordnet" / "wordnet-3.0.sha256").read_text(encoding="utf-8").split()
    assert name == path.name
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_arrays_start_where_their_types_may(path: Path) -> None:
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    assert header.pop("__metadata__")["licence"] == "WordNet-3.0"
    widths = {"U8": 1, "U16": 2, "I32": 4}
    assert all((8 + size + one["data_offsets"][0]) % widths[one["dtype"]] == 0 for one in header.values())


def test_lemmas_are_sorted_and_unique(path: Path) -> None:
    tensors = load_file(path)
    for part in ("noun", "verb"):
        lemmas = tensors[f"{part}.lemmas"].tobytes().decode().split("\n")
        assert lemmas == sorted(set(lemmas))
        assert np.all(np.diff(tensors[f"{part}.offsets"]) > 0)


@pytest.mark.parametrize("name", data.class_list_names())
def test_it_has_every_synset_of_the_class_lists(name: str) -> None:
    wordnet, listed = bundled_wordnet(), read_classes(name)
    found = [wordnet.find(synset) for synset in listed.columns["synset"]]
    assert [None if one is None else wordnet.name_of(one) for one in found] == list(listed.columns["synset"])
    if name.startswith("imagenet"):
        assert found == [wordnet.find(wnid) for wnid in listed.names]


@pytest.mark.parametrize(
    ("name", "offset"),
    # As ImageNet's ids and NLTK's documentation have them.
    [("entity.n.01", 1740), ("dog.n.01", 2084071), ("tench.n.01", 1440764), ("run.v.01", 1926311)],
)
def test_offsets_are_those_of_princetons_files(name: str, offset: int) -> None:
    synset = bundled_wordnet().find(name)
    assert synset is not None
    assert bundled_wordnet().parts[synset.pos].offsets[synset.node] == offset
