"""Segmentation: a class for each pixel, pixels to be ignored, and MONAI's Wasserstein Dice with the same matrix."""

from __future__ import annotations

import torch
from digits import digits, matrix
from monai.losses import GeneralizedWassersteinDiceLoss
from torch import Tensor, nn

import simloss

VOID, IGNORED = 10, 255  # the background is a class of its own; grey pixels are nobody's


def pictures(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 8, 8) and targets (N, 8, 8): the digit where there is ink, and IGNORED where it is faint."""
    ink = pixels[:, 0]
    target = torch.where(ink > 0.5, labels[:, None, None], VOID)
    return pixels, target.masked_fill((ink > 0.25) & (ink <= 0.5), IGNORED)


def with_void(similarity: Tensor) -> Tensor:
    """Return the similarity with a class more, which is like no other."""
    return torch.block_diag(similarity, torch.ones(1, 1))


def main(epochs: int = 10) -> float:
    """Train a network with both losses, and return its accuracy over the pixels that count."""
    torch.manual_seed(0)
    data = digits()
    similarity = with_void(torch.tensor(matrix().to_dense()))
    criterion = simloss.SimLoss(similarity, ignore_index=IGNORED, share=0.4, similarity_smoothing=0.05)
    # MONAI asks for distances: 0 for a class and itself, 1 for those that are alike in nothing.
    dice = GeneralizedWassersteinDiceLoss((1 - similarity).numpy())
    layers = (nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 11 * 64), nn.Unflatten(1, (11, 8, 8)))
    model = nn.Sequential(*layers)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    images, targets = pictures(*data.training)
    for _epoch in range(epochs):
        for chosen in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            logits, target = model(images[chosen]), targets[chosen]
            counted = target.where(target != IGNORED, torch.tensor(VOID))  # MONAI's has nothing to be ignored
            loss = criterion(logits, target) + dice(logits, counted[:, None])
            loss.backward()
            optimiser.step()
    images, targets = pictures(*data.test)
    with torch.no_grad():
        counts = targets != IGNORED
        return (model(images).argmax(1) == targets)[counts].double().mean().item()


if __name__ == "__main__":
    print(f"accuracy of pixels {main():.3f}")
