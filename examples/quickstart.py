"""A training loop with SimLoss, next to the same loop with cross entropy.

    simmatrix build --classes cifar100
    python examples/quickstart.py cifar100.safetensors

The features are made up so that this runs anywhere in seconds: each class of CIFAR-100 is a point near that of its
superclass, and each example is its class's point with noise. They show how the loss is used, what its influence trades
(accuracy against milder mistakes), and what a share of cross entropy does about it. They do not show what the loss is
worth on your data. For real data see glosses.py, diamonds.py, cifar100.py and age.py beside this file.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

import simloss
import simmatrix

EPOCHS, BATCH, EXAMPLES_PER_CLASS, FEATURES, NOISE = 20, 256, 60, 32, 2.0
# Beside what the file has: more and more of what the word vectors know.
INFLUENCES = (0.3, 1.0, 3.0)

Criterion: TypeAlias = Callable[[Tensor, Tensor], Any]


def made_up_data(classes: simmatrix.ClassList, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return features (N, d) and labels (N)."""
    superclasses = classes.column("superclass")
    groups = {name: torch.randn(FEATURES, generator=generator) for name in dict.fromkeys(superclasses)}
    points = torch.stack([groups[name] + torch.randn(FEATURES, generator=generator) for name in superclasses])
    labels = torch.arange(len(classes)).repeat_interleave(EXAMPLES_PER_CLASS)
    return points[labels] + NOISE * torch.randn(len(labels), FEATURES, generator=generator), labels


def train(criterion: Criterion, features: Tensor, labels: Tensor, count: int) -> nn.Module:
    """Train a small network; this loop is the same for any criterion."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, count))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _epoch in range(EPOCHS):
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), BATCH):
            batch = order[start : start + BATCH]
            optimiser.zero_grad()
            loss = criterion(model(features[batch]), labels[batch])
            loss.backward()
            optimiser.step()
    return model


def main() -> None:
    """Train with each criterion and print how often, and how badly, each model is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("matrix", help="a similarity matrix of CIFAR-100's classes")
    path = parser.parse_args().matrix
    classes = simmatrix.read_classes("cifar100")
    generator = torch.Generator().manual_seed(0)
    features, labels = made_up_data(classes, generator)
    shuffled = torch.randperm(len(labels), generator=generator)
    training, test = shuffled[: len(labels) // 2], shuffled[len(labels) // 2 :]

    # The one line that changes.
    criterion = simloss.SimLoss.from_file(path, classes=classes.names)
    criteria: dict[str, Criterion] = {
        "cross entropy": nn.CrossEntropyLoss(),
        f"SimLoss, influence {simmatrix.load(path).influence:.3g} (the file)": criterion,
    }
    # It warns of the larger influences: by itself it gives up classes there, as the table shows.
    warnings.simplefilter("ignore", simloss.SimilarityWarning)
    whole = simmatrix.from_embeddings(classes=classes, lower_bound=0.0)
    for influence in INFLUENCES:
        criteria[f"SimLoss, influence {influence:.3g}"] = simloss.SimLoss(whole.with_influence(influence))
    # Beside cross entropy the last of these matrices gives up no class.
    last, said = whole.with_influence(INFLUENCES[-1]), f"SimLoss, influence {INFLUENCES[-1]:.3g}"
    criteria[f"{said}, share 0.5"] = simloss.SimLoss(last, share=0.5)
    criteria[f"{said}, share 0.4, smoothing 0.05"] = simloss.SimLoss(last, share=0.4, similarity_smoothing=0.05)

    similarity = torch.tensor(whole.to_dense())
    width = max(map(len, criteria))
    print(f"{'':{width}}  accuracy  similarity of mistakes  classes predicted")
    for name, one in criteria.items():
        model = train(one, features[training], labels[training], len(classes))
        predicted = model(features[test]).argmax(1)
        wrong = predicted != labels[test]
        mildness = similarity[labels[test][wrong], predicted[wrong]].mean()
        accuracy, count = 1 - wrong.float().mean(), len(predicted.unique())
        print(f"{name:{width}}  {accuracy:8.3f}  {mildness:22.3f}  {count:17}")


if __name__ == "__main__":
    main()
