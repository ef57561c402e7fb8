"""A plain training loop, compiled: the one changed line is the criterion."""

from __future__ import annotations

import torch
from digits import digits, matrix
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import simloss


def main() -> float:
    """Train a network and return its accuracy."""
    torch.manual_seed(0)
    data = digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    criterion = simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05)  # was: nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)

    @torch.compile
    def loss_of(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return criterion(model(pixels), labels)

    for _epoch in range(10):
        for pixels, labels in DataLoader(TensorDataset(*data.training), 128, shuffle=True, drop_last=True):
            optimiser.zero_grad()
            loss_of(pixels, labels).backward()
            optimiser.step()
    pixels, labels = data.test
    return (model(pixels).argmax(1) == labels).double().mean().item()


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")
