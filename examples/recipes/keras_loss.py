"""Keras 3 with torch as its backend: the loss in a few lines."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from digits import digits, matrix
from torch import Tensor

import simloss


class KerasSimLoss(keras.losses.Loss):
    """SimLoss of logits (N, C) and class indices (N), for `model.compile`."""

    def __init__(self, name: str = "sim_loss", **options: float) -> None:
        super().__init__(name=name)
        self.criterion = simloss.SimLoss(matrix(), reduction="none", **options)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each example, (N)."""
        return self.criterion.to(y_pred.device)(y_pred, y_true.reshape(-1).long())


def main(epochs: int = 5) -> float:
    """Train a network and return its accuracy."""
    keras.utils.set_random_seed(0)
    data = digits()
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
    criterion = KerasSimLoss(share=0.4, similarity_smoothing=0.05)
    model.compile(keras.optimizers.Adam(1e-2), criterion, metrics=["accuracy"], jit_compile=False)
    (pixels, labels), (unseen, truth) = ((part[0].numpy(), part[1].numpy()) for part in data)
    model.fit(pixels, labels, batch_size=64, epochs=epochs, verbose=0)
    return float(model.evaluate(unseen, truth, verbose=0, return_dict=True)["accuracy"])


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")
