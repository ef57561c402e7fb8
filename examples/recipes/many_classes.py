"""Many classes: fine-tuning with LinearSimLoss, which is the last layer too and never holds all logits.

The classes are 2,000 of ImageNet-21k's, with points around a made-up centre for each; 100,000 take the same lines.
A matrix of that many is kept sparse: `simmatrix build --top-k 32`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import simloss
import simmatrix

COUNT, WIDTH, EXAMPLES = 2_000, 64, 8


def examples(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return features (N, WIDTH) around a centre a class, and labels (N)."""
    centres = torch.randn(COUNT, WIDTH, generator=generator)
    labels = torch.arange(COUNT).repeat(EXAMPLES)
    return centres[labels] + 0.7 * torch.randn(len(labels), WIDTH, generator=generator), labels


def main(epochs: int = 3) -> tuple[float, float]:
    """Train, and return the loss before and after."""
    torch.manual_seed(0)
    features, labels = examples(torch.Generator().manual_seed(0))
    classes = simmatrix.read_classes("imagenet21k")
    matrix = simmatrix.from_wordnet(classes.select(classes.names[:COUNT])).top_k(32)
    body = nn.Linear(WIDTH, WIDTH)
    head = simloss.LinearSimLoss(WIDTH, matrix, share=0.4, similarity_smoothing=0.05)
    optimiser = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=1e-2)
    with torch.no_grad():
        before = head(body(features), labels).item()
    for _epoch in range(epochs):
        for chosen in torch.randperm(len(labels)).split(512):
            optimiser.zero_grad()
            head(body(features[chosen]), labels[chosen]).backward()
            optimiser.step()
    with torch.no_grad():
        return before, head(body(features), labels).item()


if __name__ == "__main__":
    print("loss {:.2f} before, {:.2f} after".format(*main()))
