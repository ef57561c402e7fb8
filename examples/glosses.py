"""Tell what kind of thing a dictionary definition defines, and be wrong as mildly as can be.

    python examples/glosses.py [--wordnet FOLDER]

The definitions are those of WordNet's nouns, some 64,000. The class of a definition is the nearest node above its noun
that stands for neither too little nor too much: "domestic animal", "vehicle", "disease"; its superclass is the
lexicographers' file that the class is in: animals, artefacts, states. A class may lie below another one, which then has
the definitions that are not nearer to it. Two in a hundred test definitions stand word for word among the training data
too, nearly all with the same class, for all methods alike. The model is the mean of word vectors, made finer in
training, with a small network on top.

WordNet 3.0 is taken from NLTK's data (`python -m nltk.downloader wordnet`), or from a folder with its `data.noun`.

Each way to be told of the classes' similarity is tried over a range of settings and several seeds. Settings are chosen
on validation data and reported on test data.
"""

from __future__ import annotations

import math
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple, TypeAlias

import nltk
import numpy as np
import torch
from sweep import BASE, Result, Setting, Spread, Together, Trial, choose, options, run, summary, write
from torch import Tensor, nn

import simloss
import simmatrix
from simloss.metrics import MistakeReport
from simmatrix.data import vector_file_names, vector_file_path
from simmatrix.taxonomy.wordnet import bundled_wordnet
from simmatrix.vectors.formats import read_vectors
from simmatrix.vectors.vectors import WordVector

# A class has so many nouns below it, and so many definitions of which it is the nearest such node.
DESCENDANTS = (150, 1500)
LEAST_DEFINITIONS = 100
# Shares of training and of validation data; the rest is for the test.
SHARES = (0.7, 0.1)
EPOCHS, BATCH, RATE, HIDDEN, DROPOUT = 15, 256, 2e-3, 512, 0.3
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# In a short run: so many epochs, on one definition of so many.
QUICK_EPOCHS, QUICK_STEP = 2, 8
# Where influence rises during training, the lower bound falls from this one, on top of what the matrix has, to 0.
FIRST_BOUND = 0.9
# The standard deviation of the entries of GloVe's vectors, for words that are not among them.
SPREAD = 0.6

# WordNet numbers its lexicographers' files; those of the nouns (lexnames(5WN)).
FILES = dict(
    enumerate(
        (
            *("Tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event"),
            *("feeling", "food", "group", "location", "motive", "object", "person", "phenomenon", "plant"),
            *("possession", "process", "quantity", "relation", "shape", "state", "substance", "time"),
        ),
        start=3,
    )
)

RULE = (
    "Of each method that setting which, on validation data, has the least mean distance between prediction and truth "
    "(HD@1) without falling below cross entropy's accuracy there by more than its standard deviation over the seeds, "
    "each of which has its own split; where every setting falls below, the most accurate one. Distances are edges of "
    "WordNet's hierarchy."
)

_WORD = re.compile(r"[a-z]+")


# --- the data ---------------------------------------------------------------------------------------------------------


class Noun(NamedTuple):
    """A line of `data.noun`: a synset, its words, what it is a kind or an instance of, and how it is defined."""

    offset: int
    file: str
    lemmas: tuple[str, ...]
    hypernyms: tuple[int, ...]
    definition: str


def noun(line: str) -> Noun:
    """Return what a line of `data.noun` says (wndb(5WN))."""
    fields, bar, gloss = line.partition("|")
    offset, file, _type, count, *rest = fields.split()
    words = 2 * int(count, 16)
    pointers = rest[words + 1 :]
    if not bar or len(pointers) != 4 * int(rest[words]):
        raise ValueError(line)
    above = (int(to) for kind, to in zip(pointers[::4], pointers[1::4], strict=True) if kind in ("@", "@i"))
    # Examples of use follow the definition, nearly always so.
    definition = gloss.split('; "')[0].strip()
    return Noun(int(offset), FILES[int(file)], tuple(rest[:words:2]), tuple(above), definition)


def read_nouns(folder: Path | None) -> list[Noun]:
    """Return all nouns of WordNet, of a folder or of NLTK's data."""
    where = "NLTK's WordNet" if folder is None else str(folder / "data.noun")
    lines = _open_lines(folder)
    try:
        nouns = [noun(line) for line in lines if line.strip() and not line.startswith("  ")]
        TopologicalSorter({one.offset: one.hypernyms for one in nouns}).prepare()
    except (ValueError, LookupError):  # a circle is a ValueError
        raise simmatrix.SourceError("is no list of WordNet's nouns; get the files again", where) from None
    if {above for one in nouns for above in one.hypernyms} - {one.offset for one in nouns}:
        raise simmatrix.SourceError("lacks nouns that others are kinds of; get the files again", where)
    if not nouns or not any(one.definition for one in nouns):
        raise simmatrix.SourceError("holds no definitions; get the files again", where)
    return nouns


def _open_lines(folder: Path | None) -> list[str]:
    if folder is not None:
        return (folder / "data.noun").read_text(encoding="latin-1").splitlines()
    for name in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        try:
            with nltk.data.find(name).join("data.noun").open() as stream:
                text: str = stream.read().decode("latin-1")
        except (LookupError, OSError, zipfile.BadZipFile, zlib.error):
            continue
        return text.splitlines()
    raise simmatrix.SourceError(
        "NLTK has no WordNet; run `python -m nltk.downloader wordnet`, or name a folder that holds WordNet 3.0's "
        "data.noun with --wordnet"
    )


def classes_of(nouns: Sequence[Noun]) -> dict[int, int]:
    """Return the class of each noun that has one, both by their offsets."""
    ways = _ways_up({one.offset: one.hypernyms for one in nouns})
    below = Counter(node for noun, above in ways.items() for node in above if node != noun)
    fit = {node for node, count in below.items() if DESCENDANTS[0] <= count <= DESCENDANTS[1]}
    nearest = {}
    for offset, above in sorted(ways.items()):
        # Of several as near, the one that comes first in the files.
        near = min(((steps, node) for node, steps in above.items() if node in fit and steps), default=None)
        if near is not None:
            nearest[offset] = near[1]
    sizes = Counter(nearest.values())
    return {offset: node for offset, node in nearest.items() if sizes[node] >= LEAST_DEFINITIONS}


def _ways_up(hypernyms: Mapping[int, tuple[int, ...]]) -> dict[int, dict[int, int]]:
    """Return of each noun all that is above it, and itself, with the number of steps up."""
    found: dict[int, dict[int, int]] = {}
    for node in TopologicalSorter(hypernyms).static_order():
        steps = {node: 0}
        for parent in hypernyms[node]:
            for above, further in found[parent].items():
                steps[above] = min(steps.get(above, further + 1), further + 1)
        found[node] = steps
    return found


def class_list(nodes: Sequence[Noun], known: Set[str]) -> simmatrix.ClassList:
    """Return the classes with their superclasses, their synsets, and what to look up among word vectors."""
    wordnet = bundled_wordnet()
    names = []
    for one in nodes:
        synset = wordnet.find(f"n{one.offset:08d}")
        if synset is None or wordnet.lemmas_of(synset)[0] != one.lemmas[0]:
            raise simmatrix.SourceError(f"has {one.lemmas[0]} elsewhere than WordNet 3.0; get that version", "WordNet")
        names.append(wordnet.name_of(synset))
    columns = {
        "superclass": tuple(one.file for one in nodes),
        "synset": tuple(names),
        "phrase": phrases(nodes, known),
    }
    return simmatrix.ClassList(tuple(names), columns, source="glosses")


def phrases(nouns: Sequence[Noun], known: Set[str]) -> tuple[str, ...]:
    """Return the words that stand for each noun among word vectors: those known of the first lemma that has any.

    To word vectors, nouns spelt alike would be one and the same. Theirs are joined by those of their definitions.
    """
    lemmas = [next(filter(None, (_known(lemma, known) for lemma in one.lemmas)), []) for one in nouns]
    alike = {key for key, count in Counter(map(tuple, lemmas)).items() if count > 1}
    return tuple(
        " ".join([*words, *_long_words(one.definition, known)] if tuple(words) in alike else words)
        for one, words in zip(nouns, lemmas, strict=True)
    )


def _long_words(text: str, known: Set[str]) -> list[str]:
    return [word for word in _known(text, known) if len(word) > 3]


def _known(text: str, known: Set[str]) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word in known]


@dataclass(frozen=True)
class Definitions:
    """The definitions as bags of words.

    Parameters
    ----------
    classes
        The C classes.
    labels
        (N), the class of each definition.
    words, starts
        The words of definition i are ``words[starts[i] : starts[i + 1]]``, indices into the vectors.
    vectors
        (V, d), where training starts from.
    """

    classes: simmatrix.ClassList
    labels: Tensor
    words: Tensor
    starts: Tensor
    vectors: Tensor

    def bags(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the words of some definitions, one after the other, and where each starts, on the device."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        offsets = lengths.cumsum(0) - lengths
        within = torch.arange(int(lengths.sum())) - offsets.repeat_interleave(lengths)
        return self.words[self.starts[rows].repeat_interleave(lengths) + within].to(DEVICE), offsets.to(DEVICE)


def read_definitions(folder: Path | None, vectors: str, step: int = 1) -> Definitions:
    """Return the definitions that have a class, one of every `step`; words are those that stand in two at least."""
    nouns = read_nouns(folder)
    nodes = classes_of(nouns)
    chosen = [one for one in nouns if one.offset in nodes][::step]
    if not chosen:
        raise simmatrix.SourceError(
            "holds no class with enough definitions; get WordNet 3.0 whole", folder or "WordNet"
        )
    texts = [_WORD.findall(one.definition.lower()) for one in chosen]
    counts = Counter(word for words in texts for word in set(words))
    vocabulary = {word: index for index, word in enumerate(sorted(one for one, count in counts.items() if count > 1))}
    nearest = set(nodes.values())
    classes = [one for one in nouns if one.offset in nearest]
    spelt = (word for one in classes for text in (*one.lemmas, one.definition) for word in _WORD.findall(text.lower()))
    path = vector_file_path(vectors) if vectors in vector_file_names() else Path(vectors)
    found = read_vectors(path, {*vocabulary, *spelt}).found
    if not found:
        raise simmatrix.SourceError("has none of the definitions' words; give word vectors of English", path)
    index = {one.offset: position for position, one in enumerate(classes)}
    kept = [[vocabulary[word] for word in words if word in vocabulary] for words in texts]
    return Definitions(
        classes=class_list(classes, found.keys()),
        labels=torch.tensor([index[nodes[one.offset]] for one in chosen]),
        words=torch.tensor([word for words in kept for word in words]),
        starts=torch.tensor([0, *np.cumsum([len(words) for words in kept]).tolist()]),
        vectors=_initial(vocabulary, found),
    )


def _initial(vocabulary: Mapping[str, int], found: Mapping[str, WordVector]) -> Tensor:
    """Return the vectors that training starts from; random ones for words that have none."""
    width = len(next(iter(found.values())).values)
    vectors = SPREAD * torch.randn(len(vocabulary), width, generator=torch.Generator().manual_seed(0))
    for word, row in vocabulary.items():
        if word in found:
            vectors[row] = torch.tensor(found[word].values)
    return vectors


# --- what is known of the classes -------------------------------------------------------------------------------------


def matrices_of(classes: simmatrix.ClassList, vectors: str | Path) -> dict[str, simmatrix.SimilarityMatrix]:
    """Return similarity matrices from WordNet's hierarchy, from word vectors, and from both.

    Those of edges are linear in the distance that models are judged by, 1 - edges / most edges.
    """
    path, height = (simmatrix.from_wordnet(classes, measure=measure) for measure in ("path", "lcs-height"))
    words = simmatrix.from_embeddings(vectors, classes)
    edges = edges_of(path)
    return {
        "path": path,
        "edges": simmatrix.SimilarityMatrix(1 - edges / edges.max(), classes.names),
        "lcs-height": height,
        "lcs-height squared": simmatrix.SimilarityMatrix(height.values**2, classes.names),
        "word vectors": words,
        "blend": simmatrix.blend([(height, 0.5), (words, 0.5)]),
    }


def edges_of(path: simmatrix.SimilarityMatrix) -> np.ndarray:
    """Return the edges between each two classes, (C, C), of their path similarity 1 / (edges + 1)."""
    return np.rint(1 / path.to_dense().astype(np.float64) - 1)


# --- the methods ------------------------------------------------------------------------------------------------------

Matrices: TypeAlias = Mapping[str, simmatrix.SimilarityMatrix]


class Plan(NamedTuple):
    """The loss of a setting, and whether its influence rises during training.

    Then the lower bound falls evenly, from `FIRST_BOUND` on top of what the matrix has in the first epoch to nothing in
    the last one.
    """

    criterion: Callable[[Matrices], nn.Module]
    rises: bool = False


def alone(source: str, influence: float, *, rises: bool = False) -> Plan:
    """Plan SimLoss with a matrix of some influence."""
    return Plan(lambda of: simloss.SimLoss(of[source].with_influence(influence)), rises)


def together(source: str, share: float) -> Plan:
    """Plan SimLoss with a matrix of much influence beside cross entropy."""
    return Plan(lambda of: Together(of[source].with_influence(MUCH), share))


def softened(source: str, beta: float) -> Plan:
    """Plan cross entropy with soft labels."""
    return Plan(lambda of: simloss.SoftLabelLoss(of[source], beta))


def smoothed(source: str, smoothing: float) -> Plan:
    """Plan cross entropy with labels smoothed by similarity."""
    return Plan(lambda of: simloss.SimilarityLabelSmoothingLoss(of[source].with_influence(1.0), smoothing))


MUCH = 10.0
BESIDE = "cross entropy + SimLoss"
PLANS = {
    BASE: Plan(lambda _of: nn.CrossEntropyLoss()),
    **{
        Setting(f"SimLoss, {source}", f"influence {influence}"): alone(source, influence)
        for source in ("path", "lcs-height", "word vectors", "blend")
        for influence in (0.03, 0.1, 0.3, 1.0)
    },
    **{
        Setting("SimLoss, lcs-height, rising", f"influence {influence}"): alone("lcs-height", influence, rises=True)
        for influence in (1.0, 3.0)
    },
    **{
        Setting(f"{BESIDE}, {source}", f"share {share}"): together(source, share)
        for source in ("path", "lcs-height")
        for share in (0.2, 0.4, 0.6, 0.8)
    },
    **{
        Setting(f"{BESIDE}, {source}", f"share {share}"): together(source, share)
        for source in ("lcs-height squared", "word vectors", "blend")
        for share in (0.4, 0.6)
    },
    **{
        Setting(f"soft labels, {source}", f"beta {beta}"): softened(source, beta)
        for source in ("lcs-height", "edges")
        for beta in (10, 20, 40)
    },
    **{
        Setting("similarity label smoothing", f"smoothing {smoothing}"): smoothed("lcs-height", smoothing)
        for smoothing in (0.05, 0.1, 0.2)
    },
}
QUICK = (BASE, Setting("SimLoss, path", "influence 0.3"), Setting(f"{BESIDE}, path", "share 0.4"))


def decisions_of(setting: Setting) -> dict[Setting, str]:
    """Return what else is decided with a trained model: classes of least risk, by these matrices."""
    if setting == BASE:
        return {Setting(f"minimum risk, {source}"): source for source in ("path", "edges", "lcs-height")}
    if setting.method == f"{BESIDE}, path":
        return {Setting(f"{setting.method}, minimum risk", setting.value): "path"}
    return {}


# --- a training -------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """The mean of a definition's word vectors, and a network with a hidden layer: logits of shape (N, C)."""

    def __init__(self, vectors: Tensor, count: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag.from_pretrained(vectors.clone(), freeze=False, mode="mean")
        self.network = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(vectors.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, count),
        )

    def forward(self, words: Tensor, offsets: Tensor) -> Tensor:
        """Return the logits of bags of words."""
        logits: Tensor = self.network(self.words(words, offsets))
        return logits


def split(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which examples are for training, for validation and for the test."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    first, second = int(SHARES[0] * count), int(sum(SHARES) * count)
    return order[:first], order[first:second], order[second:]


def fit(data: Definitions, criterion: nn.Module, rows: Tensor, seed: int, epochs: int, *, rises: bool) -> Reader:
    """Train a model on some of the examples; the loop is the same for every criterion."""
    torch.manual_seed(seed)
    model = Reader(data.vectors, len(data.classes)).to(DEVICE)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    steps = epochs * -(-len(rows) // BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for epoch in range(epochs):
        if rises and isinstance(criterion, simloss.SimLoss):
            criterion.lower_bound = FIRST_BOUND * (1 - epoch / max(epochs - 1, 1))
        for batch in torch.split(rows[torch.randperm(len(rows))], BATCH):
            optimiser.zero_grad()
            loss = criterion(model(*data.bags(batch)), data.labels[batch].to(DEVICE))
            loss.backward()
            optimiser.step()
            rate.step()
    return model.eval()


@dataclass(frozen=True)
class Experiment:
    """What a training needs; called with a trial it trains and measures."""

    data: Definitions
    matrices: Matrices
    epochs: int

    def __call__(self, trial: Trial) -> list[Result]:
        """Return the figures of one training, and those of other decisions with its model."""
        setting, seed = trial
        training, *held_out = split(len(self.data.labels), seed)
        plan = PLANS[setting]
        criterion = plan.criterion(self.matrices).to(DEVICE)
        model = fit(self.data, criterion, training, seed, self.epochs, rises=plan.rises)
        with torch.no_grad():
            parts = [(model(*self.data.bags(rows)).cpu(), self.data.labels[rows]) for rows in held_out]
        found = [self.figures(logits, labels) for logits, labels in parts]
        results = [Result(setting, seed, *found)]
        for decision, source in decisions_of(setting).items():
            matrix = torch.tensor(self.matrices[source].values)
            # All classes ranked by their risk (Karthik et al. 2021). The model is as well calibrated as it was.
            decided = [
                self.figures(logits.softmax(1) @ matrix, labels) | {"calibration_error": own["calibration_error"]}
                for (logits, labels), own in zip(parts, found, strict=True)
            ]
            results.append(Result(decision, seed, *decided))
        return results

    def figures(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Return how good predictions are whose scores (N, C) rank the classes; distances are in edges."""
        superclasses = self.data.classes.column("superclass")
        report = MistakeReport(distance=edges_of(self.matrices["path"]), superclasses=superclasses)
        report.update(scores, labels)
        found = {name: float(value) for name, value in report.compute().items()}
        return found | {"classes_predicted": float(len(set(scores.argmax(1).tolist())))}


def least_accuracy(results: Sequence[Result]) -> float:
    """Return the accuracy on validation data that a setting has to keep; see `RULE`."""
    base = summary(results, "validation")[BASE]["accuracy"]
    return base.mean if math.isnan(base.deviation) else base.mean - base.deviation


def cost(least: float, found: Mapping[str, Spread]) -> tuple[float, ...]:
    """Return what is least for the setting that is chosen of a method; see `RULE`."""
    accuracy = found["accuracy"].mean
    return (0, found["hierarchical_distance_1"].mean) if accuracy >= least else (1, -accuracy)


def main() -> None:
    """Train all, choose, and write what came of it."""
    parser = options(__doc__, seeds=5)
    parser.add_argument("--wordnet", type=Path, metavar="FOLDER", help="with WordNet 3.0's data.noun; else NLTK's data")
    parser.add_argument("--vectors", default="glove-6b-50d", metavar="PATH|NAME", help="word vectors (%(default)s)")
    arguments = parser.parse_args()
    try:
        data = read_definitions(arguments.wordnet, arguments.vectors, QUICK_STEP if arguments.quick else 1)
        matrices = matrices_of(data.classes, arguments.vectors)
        superclasses = set(data.classes.column("superclass"))
        print(f"{len(data.labels):,} definitions, {len(data.classes)} classes, {len(superclasses)} superclasses")
        name = "glosses-quick" if arguments.quick else "glosses"
        experiment = Experiment(data, matrices, epochs=QUICK_EPOCHS if arguments.quick else EPOCHS)
        settings = QUICK if arguments.quick else tuple(PLANS)
        trials = [Trial(setting, seed) for setting in settings for seed in range(arguments.seeds)]
        results = run(experiment, trials, arguments.out / f"{name}.csv", workers=1 if arguments.quick else None)
        chosen = choose(results, partial(cost, least_accuracy(results)))
        write(name, arguments.out, results, chosen, RULE, ("severity", "accuracy"))
    except (simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
