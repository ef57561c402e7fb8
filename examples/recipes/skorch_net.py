"""skorch: the loss in scikit-learn's world, with cross validation and probabilities."""

from __future__ import annotations

import torch
from digits import digits, matrix
from sklearn.model_selection import cross_val_predict
from skorch import NeuralNetClassifier
from torch import nn

import simloss


def main() -> tuple[float, float]:
    """Return the accuracy of the most probable classes, and of the decisions of least risk, by cross validation."""
    torch.manual_seed(0)
    (pixels, labels), _test = digits()
    net = NeuralNetClassifier(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        criterion=simloss.SimLoss(matrix(), share=0.4, similarity_smoothing=0.05),
        # The network gives logits. skorch takes them for probabilities unless the loss is torch's own.
        predict_nonlinearity=nn.Softmax(dim=1),
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=10,
        train_split=None,
        verbose=0,
    )
    probabilities = cross_val_predict(net, pixels.numpy(), labels.numpy(), cv=3, method="predict_proba")
    decided = simloss.minimum_risk(torch.from_numpy(probabilities).log(), matrix())
    truth = labels.numpy()
    return float((probabilities.argmax(1) == truth).mean()), float((decided.numpy() == truth).mean())


if __name__ == "__main__":
    print("accuracy {:.3f}, of least risk {:.3f}".format(*main()))
