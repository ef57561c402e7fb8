"""What may be chosen, by argument: the one table for the library and the command. Importing it takes no time."""

from typing import Literal, TypeAlias, get_args

VectorFormat: TypeAlias = Literal[
    "glove", "word2vec", "word2vec-binary", "fasttext", "keyedvectors", "npy", "npz", "safetensors"
]
VECTOR_FORMATS: tuple[str, ...] = get_args(VectorFormat)
"""Formats of word vectors. fastText's ``.vec`` is ``word2vec``, its ``.bin`` is ``fasttext``."""

TaxonomyFormat: TypeAlias = Literal["edges", "outline", "json"]
TAXONOMY_FORMATS: tuple[str, ...] = get_args(TaxonomyFormat)
"""The written forms of a taxonomy."""

Measure: TypeAlias = Literal["path", "wup", "lch", "res", "lin", "jcn", "lcs-height"]
MEASURES: tuple[str, ...] = get_args(Measure)
"""Measures of similarity on a taxonomy; see `simmatrix.taxonomy.measures`."""

Kernel: TypeAlias = Literal["decay", "laplace", "gaussian", "triangular"]
KERNELS: tuple[str, ...] = get_args(Kernel)
"""Similarities of the distance between two classes in an order."""

Completion: TypeAlias = Literal["mean", "low-rank"]
COMPLETIONS: tuple[str, ...] = get_args(Completion)
"""Ways to fill in pairs that nobody judged."""

Oov: TypeAlias = Literal["error", "drop"]
OOV: tuple[str, ...] = get_args(Oov)
"""What to do with classes that have no vector: refuse, or leave them out and say so."""

Unknown: TypeAlias = Literal["error", "ignore"]
UNKNOWN: tuple[str, ...] = get_args(Unknown)
"""What to do with names that are no class: refuse, or leave out what is said of them and count it."""

Duplicates: TypeAlias = Literal["error", "mean"]
DUPLICATES: tuple[str, ...] = get_args(Duplicates)
"""What to do where one rater, or a file without raters, rates a pair differently: refuse, or take the mean."""

Search: TypeAlias = Literal["exact", "faiss"]
SEARCHES: tuple[str, ...] = get_args(Search)
"""How the nearest of many vectors are found: all of them, or nearly all by FAISS."""

Task: TypeAlias = Literal["triplets", "ratings"]
TASKS: tuple[str, ...] = get_args(Task)
"""What a study asks: which of three is the odd one out, or how similar two are."""

Questions: TypeAlias = Literal["active", "random"]
QUESTIONS: tuple[str, ...] = get_args(Questions)
"""Which question of a study comes next: the one whose answer tells most, or any."""

RECALL = 0.95
"""The least share of the exact neighbours that FAISS has to find if nothing else is asked for."""
