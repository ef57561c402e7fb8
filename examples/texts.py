"""Texts as bags of words, and the model of them: the mean of word embeddings with a small network on top."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product, starmap
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from methods import (
    DECIDED,
    DRAWN,
    PANELS,
    SETTINGS,
    Criterion,
    Yardstick,
    by_words,
    drawn,
    edges_of,
    median_bound,
    results_of,
)
from report import TREE, Page, carry_out
from sweep import DataError, Result, Setting, Trial, options
from torch import Tensor, nn

import simmatrix
from simmatrix.container import open_container
from simmatrix.data import vector_file_path

__all__ = ["Experiment", "Part", "Recipe", "Texts", "bags_of", "fit", "initial_vectors", "main", "words_in"]

VECTORS = "glove-6b-50d"
BATCH, HIDDEN, DROPOUT = 256, 512, 0.3
# What is tried for cross entropy, on validation data of a seed that is not used otherwise.
RATES, EPOCHS, TUNING_SEED = (0.002, 0.01), (15, 30, 60), 100
SEEDS, QUICK_EPOCHS = 6, 2
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# The standard deviation of the entries of GloVe's vectors, for words that are not among them.
SPREAD = 0.6
_WORD = re.compile(r"[a-z]+")


def words_in(text: str) -> list[str]:
    """Return the words of a text: runs of letters, in lower case."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Texts:
    """Labelled texts as bags of words.

    Parameters
    ----------
    labels
        (N), the class of each text.
    words, starts
        The words of text i are ``words[starts[i] : starts[i + 1]]``, indices into the vectors.
    vectors
        (V, d), where training starts from.
    """

    labels: Tensor
    words: Tensor
    starts: Tensor
    vectors: Tensor

    def bags(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the words of some texts, one after the other, and where each starts, on the device."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        offsets = lengths.cumsum(0) - lengths
        within = torch.arange(int(lengths.sum())) - offsets.repeat_interleave(lengths)
        return self.words[self.starts[rows].repeat_interleave(lengths) + within].to(DEVICE), offsets.to(DEVICE)


def bags_of(texts: Sequence[str], labels: Sequence[int]) -> Texts:
    """Return texts as bags of those words that stand in two texts at least; their vectors start from GloVe's."""
    split = [words_in(text) for text in texts]
    counts = Counter(word for words in split for word in set(words))
    vocabulary = {word: index for index, word in enumerate(sorted(one for one, count in counts.items() if count > 1))}
    kept = [[vocabulary[word] for word in words if word in vocabulary] for words in split]
    return Texts(
        labels=torch.tensor(labels),
        words=torch.tensor([word for words in kept for word in words]),
        starts=torch.tensor([0, *np.cumsum([len(words) for words in kept]).tolist()]),
        vectors=initial_vectors(list(vocabulary)),
    )


def initial_vectors(words: Sequence[str]) -> Tensor:
    """Return the bundled vectors of words (V, d); random ones for words that have none."""
    with open_container(vector_file_path(VECTORS), "install simloss again") as file:
        bundled = {name: file.read(name) for name in ("vocabulary", "vectors")}
    rows = {word: row for row, word in enumerate(bundled["vocabulary"].tobytes().decode().split("\n"))}
    known = bundled["vectors"].astype(np.float32)
    vectors = SPREAD * torch.randn(len(words), known.shape[1], generator=torch.Generator().manual_seed(0))
    for number, word in enumerate(words):
        if word in rows:
            vectors[number] = torch.from_numpy(known[rows[word]])
    return vectors


class Recipe(NamedTuple):
    """How a model is trained."""

    rate: float
    epochs: int


class Reader(nn.Module):
    """The mean of a text's word vectors, and a network with a hidden layer: logits of shape (N, C)."""

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


def fit(texts: Texts, criterion: nn.Module, rows: Tensor, count: int, seed: int, recipe: Recipe) -> Reader:
    """Train a model of `count` classes on some of the texts; the loop is the same for every criterion."""
    torch.manual_seed(seed)
    model = Reader(texts.vectors, count).to(DEVICE)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate, fused=True)
    steps = recipe.epochs * -(-len(rows) // BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    for _epoch in range(recipe.epochs):
        for batch in torch.split(rows[torch.randperm(len(rows))], BATCH):
            optimiser.zero_grad()
            loss = criterion(model(*texts.bags(batch)), texts.labels[batch].to(DEVICE))
            loss.backward()
            optimiser.step()
            rate.step()
    return model.eval()


Part: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""The rows for training, for validation and for the test."""


@dataclass(frozen=True)
class Experiment:
    """What a training of texts needs; called with a trial it trains and measures.

    Parameters
    ----------
    texts
        All of them.
    classes
        The C classes, with their superclasses.
    tree
        Their path similarity.
    parts
        The division of each seed.
    recipes
        By amount of training data.
    words
        The similarity by word vectors, where the names of the classes are words.
    """

    texts: Texts
    classes: simmatrix.ClassList
    tree: simmatrix.SimilarityMatrix
    parts: Mapping[int, Part]
    recipes: Mapping[str, Recipe]
    words: simmatrix.SimilarityMatrix | None = None

    def __call__(self, trial: Trial) -> list[Result]:
        """Return the figures of one training, one a decision."""
        similarity = median_bound(self.tree)
        criterion = self.settings[trial.setting](similarity, trial.seed).to(DEVICE)
        model = self.fitted(criterion, trial.amount, trial.seed, self.recipes[trial.amount])
        validation, test = (self.predicted(model, rows) for rows in self.parts[trial.seed][1:])
        yardstick = Yardstick.of_tree(edges_of(self.tree), self.classes.column("superclass"), similarity)
        return results_of(trial, validation, test, yardstick)

    @property
    def settings(self) -> dict[Setting, Criterion]:
        """What is trained with."""
        return SETTINGS if self.words is None else {**SETTINGS, **by_words(self.words)}

    @property
    def described(self) -> str:
        """How much there is of what, a sentence."""
        superclasses = set(self.classes.column("superclass"))
        return f"{len(self.texts.labels):,} texts, {len(self.classes)} classes, {len(superclasses)} superclasses."

    def fitted(self, criterion: nn.Module, amount: str, seed: int, recipe: Recipe) -> Reader:
        """Return a model that is trained on some of a seed's training data."""
        rows = drawn(self.texts.labels, self.parts[seed][0], amount, seed)
        return fit(self.texts, criterion, rows, len(self.classes), seed, recipe)

    @torch.no_grad()
    def predicted(self, model: Reader, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (N, C) and the labels (N) of some texts."""
        return model(*self.texts.bags(rows)).cpu(), self.texts.labels[rows]

    def tuned(self, amount: str) -> Iterator[tuple[Recipe, float]]:
        """Yield recipes, each with the accuracy that it gives cross entropy on the validation data of `TUNING_SEED`."""
        for recipe in starmap(Recipe, product(RATES, EPOCHS)):
            model = self.fitted(nn.CrossEntropyLoss(), amount, TUNING_SEED, recipe)
            logits, labels = self.predicted(model, self.parts[TUNING_SEED][1])
            yield recipe, (logits.argmax(1) == labels).double().mean().item()


def main(
    name: str,
    description: str | None,
    recipes: Mapping[str, Recipe],
    prepare: Callable[[argparse.Namespace, Sequence[int]], Experiment],
    arguments: Callable[[argparse.ArgumentParser], object] = lambda _parser: None,
) -> None:
    """Run an experiment with texts as a command.

    Parameters
    ----------
    name, description
        Of the files of results, and for the help.
    recipes
        By amount of training data.
    prepare
        Puts it together, from what was given on the command line and the seeds that there will be.
    arguments
        Adds the experiment's own options.
    """
    parser = options(description, seeds=SEEDS, amounts=tuple(recipes))
    parser.add_argument("--tune", action="store_true", help="print which recipe is best for cross entropy, and stop")
    arguments(parser)
    given = parser.parse_args()
    try:
        seeds = (TUNING_SEED,) if given.tune else range(given.seeds)
        experiment = prepare(given, seeds)
        print(experiment.described)
        if given.tune:
            for amount in given.amounts:
                for recipe, accuracy in experiment.tuned(amount):
                    print(f"{amount:>4}  rate {recipe.rate}  epochs {recipe.epochs:3}  accuracy {accuracy:.4f}")
            return
        settings = tuple(experiment.settings)
        trials = [Trial(setting, seed, amount) for amount in given.amounts for seed in seeds for setting in settings]
        command = " ".join([f"{name}.py", *([given.data.name] if "data" in given else [])])
        if given.quick:
            name, command = f"{name}-quick", f"{command} --quick"
            quick = dict.fromkeys(given.amounts, Recipe(RATES[-1], QUICK_EPOCHS))
            experiment, trials = replace(experiment, recipes=quick), trials[: len(settings)]
        page = Page(settings, TREE, PANELS, DRAWN, DECIDED)
        carry_out(given, name, experiment, trials, page, experiment.described, command)
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")
