"""A training loop with SimLoss, next to the same loop with cross entropy.

    simmatrix build --classes cifar100
    python examples/quickstart.py cifar100.safetensors

The features are made up so that this runs anywhere in seconds: each class of CIFAR-100 is a point near that of its
superclass, and each example is its class's point with noise. They show how the loss is used and what its influence
trades (accuracy against milder mistakes), not what it is worth on your data.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

import simloss
import simmatrix

EPOCHS, BATCH, EXAMPLES_PER_CLASS, FEATURES, NOISE = 20, 256, 60, 32, 2.0
# On top of the file's own lower bound: less and less influence, closer and closer to cross entropy.
BOUNDS = (0.0, 0.4, 0.6, 0.8)


def made_up_data(classes: simmatrix.ClassList, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return features (N, d) and labels (N)."""
    superclasses = classes.column("superclass")
    groups = {name: torch.randn(FEATURES, generator=generator) for name in dict.fromkeys(superclasses)}
    points = torch.stack([groups[name] + torch.randn(FEATURES, generator=generator) for name in superclasses])
    labels = torch.arange(len(classes)).repeat_interleave(EXAMPLES_PER_CLASS)
    return points[labels] + NOISE * torch.randn(len(labels), FEATURES, generator=generator), labels


def train(criterion: nn.Module, features: Tensor, labels: Tensor, count: int) -> nn.Module:
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

    matrix = simmatrix.load(path)
    own = next((step["bound"] for step in matrix.provenance.normalisation if step["step"] == "lower_bound"), 0.0)
    criteria: dict[str, nn.Module] = {"cross entropy": nn.CrossEntropyLoss()}
    for bound in BOUNDS:
        # The one line that changes; without a further bound: simloss.SimLoss.from_file(path, classes=...).
        bounded = matrix.lower_bound(bound)
        name = f"{own + bound * (1 - own):.1f} (influence {bounded.influence:.2f})"
        criteria[f"SimLoss, lower bound {name}"] = simloss.SimLoss(bounded, classes=classes.names)

    similarity = torch.tensor(matrix.reorder(classes.names).to_dense())
    print(f"{'':42}  accuracy  similarity of mistakes")
    for name, criterion in criteria.items():
        model = train(criterion, features[training], labels[training], len(classes))
        predicted = model(features[test]).argmax(1)
        wrong = predicted != labels[test]
        mildness = similarity[labels[test][wrong], predicted[wrong]].mean()
        print(f"{name:42}  {1 - wrong.float().mean():8.3f}  {mildness:22.3f}")


if __name__ == "__main__":
    main()
