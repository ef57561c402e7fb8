"""A checkpoint that knows its matrix: resuming with another one is refused, not silently trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from digits import digits, matrix
from torch import nn

import simloss


def save(path: Path, model: nn.Module, criterion: simloss.SimLoss) -> None:
    """Save the weights, and which loss they were trained with."""
    torch.save({"model": model.state_dict(), "loss": criterion.fingerprint}, path)


def resume(path: Path, model: nn.Module, criterion: simloss.SimLoss) -> None:
    """Load the weights, if they were trained with this loss.

    Raises
    ------
    ValueError
        If matrix, share, smoothing or lower bound are others.
    """
    found = torch.load(path, weights_only=True)
    if found["loss"] != criterion.fingerprint:
        raise ValueError(
            f"{path.name} was trained with the loss {found['loss']}, this is {criterion.fingerprint}: load the matrix "
            "and the options of that training, or start anew"
        )
    model.load_state_dict(found["model"])


def main() -> None:
    """Train a step, resume, and try to resume with a stricter matrix."""
    pixels, labels = digits().training
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    criterion = simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05)
    criterion(model(pixels), labels).backward()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.pt")
        save(path, model, criterion)
        resume(path, model, criterion)
        print("resumed with", criterion.fingerprint)
        criterion.lower_bound = 0.1
        try:
            resume(path, model, criterion)
        except ValueError as error:
            print("refused:", error)


if __name__ == "__main__":
    main()
