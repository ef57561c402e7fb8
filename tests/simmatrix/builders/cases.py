"""One case a builder for the contract of all builders: what each makes of the same classes, from a file of its own.

    python -m tests.simmatrix.builders.cases FOLDER

prints the checksum of each case's matrix file.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from simmatrix import ClassList
from simmatrix.builders.confusion import confusion_similarity
from simmatrix.builders.embeddings import VectorSource, embedding_similarity
from simmatrix.builders.encoder import encoder_similarity
from simmatrix.builders.order import order_similarity
from simmatrix.builders.ratings import rating_similarity
from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.ready import given_similarity
from simmatrix.builders.taxonomy import TaxonomyColumns, TaxonomyFile, taxonomy_similarity
from simmatrix.builders.triplets import triplet_similarity
from simmatrix.builders.wordnet import wordnet_similarity
from tests.simmatrix.builders.minilm import MODEL

Builder = Callable[[ClassList], RawSimilarity]

NAMES = ("rose", "tulip", "oak_tree", "trucks", "van", "seal")
CLASSES = ClassList(
    NAMES,
    {
        "superclass": ("flower", "flower", "tree", "vehicle", "vehicle", "animal"),
        "kingdom": ("plant", "plant", "plant", "thing", "thing", "creature"),
        "synset": ("", "", "oak.n.02", "", "van.n.05", "seal.n.09"),
        "phrase": ("", "", "", "", "", "seals"),
        "size": ("0.3", "0.4", "20", "8", "5", "1.5"),
    },
)


def _numbers(seed: int) -> np.ndarray:
    """Return a symmetric matrix of whole numbers from 1 to 9 with 10 on its diagonal."""
    values = np.triu(np.random.default_rng(seed).integers(1, 10, (len(NAMES), len(NAMES))), 1)
    return values + values.T + 10 * np.eye(len(NAMES), dtype=int)


def _table(path: Path, values: np.ndarray) -> Path:
    rows = [["", *NAMES], *([name, *map(str, row)] for name, row in zip(NAMES, values.tolist(), strict=True))]
    path.write_text("".join(f"{','.join(row)}\n" for row in rows))
    return path


def _embeddings(folder: Path) -> Builder:
    words = ("rose", "tulip", "oak", "tree", "truck", "van", "seals")
    vectors = np.random.default_rng(0).normal(size=(len(words), 5))
    lines = (f"{word} {' '.join(f'{value:.4f}' for value in row)}\n" for word, row in zip(words, vectors, strict=True))
    (folder / "vectors.txt").write_text("".join(lines))
    return partial(embedding_similarity, VectorSource(folder / "vectors.txt", "vectors.txt"))


def _taxonomy(folder: Path) -> Builder:
    edges = (
        "entity plant|entity thing|plant rose|plant tulip|plant oak_tree|thing truck|thing van|entity seal|thing seal"
    )
    (folder / "edges.txt").write_text(edges.replace("|", "\n"))
    return partial(taxonomy_similarity, TaxonomyFile(folder / "edges.txt", "edges.txt"), measure="wup")


def _ratings(folder: Path) -> Builder:
    pairs = list(combinations(range(len(NAMES)), 2))
    rows = [
        f"{NAMES[i]}\t{NAMES[j]}\t{_numbers(seed)[i, j]}\trater {seed}\n" for seed in range(3) for i, j in pairs[seed:]
    ]
    (folder / "ratings.tsv").write_text("a\tb\trating\trater\n" + "".join(rows))
    return partial(rating_similarity, folder / "ratings.tsv", scale=(0.0, 10.0))


def _completed(folder: Path) -> Builder:
    rows = [f"{NAMES[i]},{NAMES[j]},{_numbers(0)[i, j]}\n" for i, j in combinations(range(len(NAMES)), 2) if i + j != 4]
    (folder / "some.csv").write_text("".join(rows))
    return partial(rating_similarity, folder / "some.csv", complete="low-rank")


def _triplets(folder: Path) -> Builder:
    random = np.random.default_rng(0)
    rows = [",".join(NAMES[index] for index in random.permutation(len(NAMES))[:3]) for _ in range(400)]
    (folder / "triplets.csv").write_text("\n".join(rows))
    return partial(triplet_similarity, folder / "triplets.csv")


def _confusion(folder: Path) -> Builder:
    counts = np.random.default_rng(0).integers(0, 5, (len(NAMES), len(NAMES))) + 50 * np.eye(len(NAMES), dtype=int)
    return partial(confusion_similarity, _table(folder / "confusion.csv", counts))


def _given(folder: Path) -> Builder:
    return partial(given_similarity, _table(folder / "matrix.csv", _numbers(1)), scale=(0.0, 10.0))


def _asymmetric(folder: Path) -> Builder:
    values = _numbers(1)
    values[0, 1], values[4, 2] = 10, 0
    return partial(given_similarity, _table(folder / "asymmetric.csv", values), scale=(0.0, 10.0))


ASYMMETRIC: Mapping[str, str] = {
    "asymmetric matrix": "a ready matrix is taken as it is; people may find a tulip more like a rose than the reverse",
}
"""Cases whose raw values need not be symmetric, and why; `simmatrix.normalise` makes them so, and records it."""

CASES: Mapping[str, Callable[[Path], Builder]] = {
    "embeddings": _embeddings,
    "order": lambda _: partial(order_similarity, kernel="gaussian", positions="size", length_scale=4.0),
    "circular order": lambda _: partial(order_similarity, decay=0.7, positions="size", circular=True, period=24.0),
    "wordnet": lambda _: wordnet_similarity,
    "wordnet, information": lambda _: partial(wordnet_similarity, measure="jcn", information_content="tagged"),
    "taxonomy": _taxonomy,
    "taxonomy of columns": lambda _: partial(taxonomy_similarity, TaxonomyColumns(("superclass", "kingdom"))),
    "ratings": _ratings,
    "completed ratings": _completed,
    "triplets": _triplets,
    "confusion": _confusion,
    "matrix": _given,
    "asymmetric matrix": _asymmetric,
    "encoder": lambda _: partial(encoder_similarity, MODEL),
}


def main() -> None:
    """Print the checksum of every case's matrix file."""
    folder = Path(sys.argv[1])
    for name, prepare in CASES.items():
        prepare(folder)(CLASSES).normalised(0.1).save(folder / "m.safetensors")
        print(name, hashlib.sha256((folder / "m.safetensors").read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
