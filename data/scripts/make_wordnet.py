"""Makes ``data/wordnet/wordnet-3.0.safetensors`` from WordNet 3.0's files: what its nouns and verbs are kinds of.

    python data/scripts/make_wordnet.py --wordnet WordNet-3.0/dict

The files have to be Princeton's own: Debian's package gives one verb another hypernym, which moves most verbs' offsets.
Left out are adjectives and adverbs, which have no hypernyms, the definitions and examples, and all relations but
hypernyms. `simmatrix.data.wordnet_path` tells what each tensor is. The same files give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simmatrix.container import serialised
from simmatrix.taxonomy.wndb import read_exceptions, read_part
from simmatrix.taxonomy.wordnet import PARTS, PartOfSpeech

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).resolve().parent.parent
VERSION = "3.0"
# Of the files as Princeton distributes them.
CHECKSUMS = {
    "data.noun": "489f145e0f68877c0be5bd0eb4117adaaac52f38f6204eb8d85dbe2158b614cc",
    "data.verb": "7fff397e93b4fb152fdaee116747cf1c40d7badedccb4b63f5503e8e962d9102",
    "index.noun": "a490d99d93d017bf4822fe2f0ffa51fd73911ce271dc7535fade21f8814b5a04",
    "index.verb": "c7c79b558d787f1e31c6f8b3eeadb8fcbb26a64545ecc1241e21d9b61f95ee8e",
    "cntlist.rev": "a198580b8f705fa02797bba8b13e5cbe4a9f9f40cb1697e774c7fc6a5865b035",
    "noun.exc": "2b5d675c380b39ecf595af9fa9d4e7feb1d58c643b0bff08c40ed5bfe41fab7a",
}
METADATA = {
    "format": "simmatrix-wordnet",
    "name": f"wordnet-{VERSION}",
    "source": f"WordNet {VERSION} (Princeton University 2006): hypernyms, lemmas and tag counts of nouns and verbs",
    "licence": "WordNet-3.0",
}


def main() -> None:
    """Write the extract and its checksum, and say what went in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet 3.0's dict folder, with data.noun")
    parser.add_argument("--output", type=Path, default=DATA / "wordnet" / f"wordnet-{VERSION}.safetensors")
    options = parser.parse_args()

    def read(name: str) -> str:
        raw: bytes = (options.wordnet / name).read_bytes()
        if hashlib.sha256(raw).hexdigest() != CHECKSUMS[name]:
            raise SystemExit(f"{options.wordnet / name}: is not Princeton's file of WordNet {VERSION}")
        return raw.decode("utf-8")

    parts = {long: read_part(read, pos) for pos, long in PARTS.items()}
    arrays = {f"{long}.{name}": array for long, part in parts.items() for name, array in tensors(part).items()}
    exceptions = sorted(read_exceptions(read).items())
    arrays["noun.exceptions"] = text(" ".join((plural, *singulars)) for plural, singulars in exceptions)
    # The widest first, so that every array starts where its type may.
    ordered = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))
    content = b"".join(serialised(ordered, METADATA))
    options.output.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    options.output.with_suffix(".sha256").write_text(f"{digest}  {options.output.name}\n", encoding="utf-8")

    for long, part in parts.items():
        print(f"{len(part)} {long} synsets, {len(part.index.lemmas)} lemmas, {len(part.words)} words")
    print(f"{len(content)} bytes")
    print(f"sha256 {digest}")


def tensors(part: PartOfSpeech) -> dict[str, np.ndarray]:
    """Return a part of speech as arrays of the smallest types that hold it."""
    return {
        "offsets": narrowed(part.offsets, np.int32),
        "hypernym_counts": narrowed(np.diff(part.starts), np.uint8),
        "hypernyms": narrowed(part.hypernyms, np.int32),
        "lemmas": text(part.index.lemmas),
        "sense_counts": narrowed(np.diff(part.index.starts), np.uint8),
        "senses": narrowed(part.index.synsets, np.int32),
        "tags": narrowed(part.index.tags, np.uint16),
        "word_counts": narrowed(np.diff(part.word_starts), np.uint8),
        "words": narrowed(part.words, np.int32),
        "cased": narrowed(part.cased, np.int32),
        "spellings": text(part.spellings),
    }


def narrowed(array: np.ndarray, dtype: type[np.integer]) -> np.ndarray:
    """Return an array in another type, little-endian, if that holds its values."""
    result = array.astype(np.dtype(dtype).newbyteorder("<"))
    if not np.array_equal(result, array):
        raise SystemExit(f"values up to {array.max()} do not fit {np.dtype(dtype)}")
    return result


def text(lines: Iterable[str]) -> np.ndarray:
    """Return lines as one array of bytes."""
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)


if __name__ == "__main__":
    main()
