"""LightGBM: the loss as the objective of boosted trees."""

from __future__ import annotations

import lightgbm
import numpy as np
from digits import digits, matrix

from simloss.boosting import BoostingLoss


def main() -> float:
    """Grow the trees and return their accuracy."""
    data = digits()
    (pixels, labels), (unseen, truth) = data.training, data.test
    y = labels.numpy().astype(str)
    names = np.unique(y)  # in this order LightGBM numbers the classes
    loss = BoostingLoss(matrix(), classes=names, share=0.4, similarity_smoothing=0.05)
    model = lightgbm.LGBMClassifier(objective=loss.objective, n_estimators=30, random_state=0, verbose=-1)
    model.fit(pixels.flatten(1).numpy(), y)
    # With an objective that is not its own it predicts scores; probabilities are their softmax.
    scores = model.predict(unseen.flatten(1).numpy(), raw_score=True)
    return float((names[scores.argmax(1)] == truth.numpy().astype(str)).mean())


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")
