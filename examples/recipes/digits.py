"""The data of the recipes: scikit-learn's digits, 8 x 8 pixels, and which of them look alike."""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

import simmatrix

# Digits with a loop, with straight strokes, and with open bows.
SHAPES = {"0": "loop", "1": "stroke", "2": "bow", "3": "bow", "4": "stroke"}
SHAPES |= {"5": "bow", "6": "loop", "7": "stroke", "8": "loop", "9": "loop"}
CLASSES = simmatrix.ClassList(tuple(SHAPES), {"shape": tuple(SHAPES.values())}, "digits")


class Digits(NamedTuple):
    """Pixels (N, 1, 8, 8) in [0, 1], float32, and labels (N), int64."""

    training: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def digits() -> Digits:
    """Return three quarters of the digits to train with, the rest to test with."""
    found = load_digits()
    pixels = torch.from_numpy(found.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(found.target)
    training, test = train_test_split(torch.arange(len(labels)), random_state=0)
    return Digits((pixels[training], labels[training]), (pixels[test], labels[test]))


def matrix() -> simmatrix.SimilarityMatrix:
    """Return the similarity of the ten digits by their shapes."""
    return simmatrix.from_taxonomy("shape", CLASSES)
