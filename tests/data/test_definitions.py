"""The bundled definitions: their checksum, and what they say against WordNet as NLTK's test of senses has it."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from simmatrix import data
from simmatrix.taxonomy.wordnet import bundled_wordnet

DATA = Path(__file__).parents[2] / "data"  # the checksums are not installed


@pytest.fixture(scope="module")
def text() -> bytes:
    return gzip.decompress(data.wordnet_definitions_path().read_bytes())


def test_checksum(text: bytes) -> None:
    digest, name = (DATA / "wordnet" / "definitions-3.0.sha256").read_text(encoding="utf-8").split()
    assert name == "definitions-3.0.txt"
    assert digest == hashlib.sha256(text).hexdigest()


def test_each_noun_has_a_line_with_its_file_and_its_definition(text: bytes) -> None:
    """As WordNet's own search on the web shows them."""
    wordnet = bundled_wordnet()
    lines = [line.split("\t") for line in text.decode().removesuffix("\n").split("\n")]
    assert len(lines) == len(wordnet.parts["n"]) == 82115
    assert {int(file) for file, _ in lines} == set(range(3, 29))
    assert all(definition == definition.strip() != "" for _, definition in lines)
    for name, file, definition in (
        ("entity.n.01", "03", "that which is perceived or known or inferred to have its own distinct existence"),
        ("dog.n.01", "05", "a member of the genus Canis (probably descended from the common wolf)"),
        ("tulip.n.01", "20", "any of numerous perennial bulbous herbs having linear or broadly lanceolate leaves"),
    ):
        synset = wordnet.find(name)
        assert synset is not None
        assert lines[synset.node][0] == file
        assert lines[synset.node][1].startswith(definition)
        assert '"' not in lines[synset.node][1]
