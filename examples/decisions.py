"""What a trained model can still do with the same matrix: decide in other ways, and back off where it is not sure.

    python examples/decisions.py glosses
    python examples/decisions.py clinc150 clinc150.json.gz

One model is trained with cross entropy on 20 examples a class, or on all of them (``--amount all``), as in glosses.py
and clinc150.py. The temperature is fitted on the validation data, and each decision is judged on the test data.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import clinc150
import glosses
import torch
from methods import edges_of, median_bound
from sweep import DataError
from torch import nn

import simloss
import simmatrix
from simloss.metrics import judge

CONFIDENCES = (0.5, 0.75, 0.9)
WANTED = 0.95
COLUMNS = {
    "accuracy": ("accuracy", 100),
    "severity, edges": ("severity", 1),
    "HD@1": ("hierarchical_distance_1", 1),
    "HD@5": ("hierarchical_distance_5", 1),
    "superclass": ("superclass_accuracy", 100),
    "hier. F1": ("hierarchical_f1", 100),
    "right node": ("node_accuracy", 100),
    "depth": ("node_depth", 1),
    "bits": ("node_information", 1),
}
RESULTS = Path(__file__).with_name("results")


def table(data: str, path: Path | None, amount: str, seed: int = 0) -> str:
    """Train a model and return the table of its decisions."""
    if data == "glosses":
        experiment = glosses.prepare([seed])
        taxonomy = simmatrix.read_taxonomy("wordnet", experiment.classes)
    else:
        if path is None:
            raise DataError("give the path of clinc150.json.gz")
        experiment = clinc150.prepare(path, [seed])
        taxonomy = simmatrix.read_taxonomy("superclass", experiment.classes)
    model = experiment.fitted(nn.CrossEntropyLoss(), amount, seed, experiment.recipes[amount])
    validation, (logits, labels) = (experiment.predicted(model, rows) for rows in experiment.parts[seed][1:])
    temperature = simloss.fit_temperature(*validation)
    similarity, superclasses = median_bound(experiment.tree), experiment.classes.column("superclass")
    z = logits / temperature
    chosen = simloss.choose_confidence(validation[0] / temperature, validation[1], taxonomy, WANTED)
    decisions: dict[str, Any] = {
        "most probable": logits,
        "most probable, with a temperature": z,
        "minimum risk": simloss.expected_similarity(z, similarity)
        .sort(dim=1, descending=True, stable=True)
        .indices[:, :5],
        "minimum risk, without a temperature": (
            simloss.expected_similarity(logits, similarity).sort(dim=1, descending=True, stable=True).indices[:, :5]
        ),
        "superclass": simloss.with_superclasses(z, superclasses)
        .sort(dim=1, descending=True, stable=True)
        .indices[:, :5],
        **{f"back-off at {confidence}": simloss.back_off(z, taxonomy, confidence) for confidence in CONFIDENCES},
        f"back-off at {chosen:.3f}, chosen for {WANTED:.0%}": simloss.back_off(z, taxonomy, chosen),
    }
    options: dict[str, Any] = {
        "distance": edges_of(experiment.tree),
        "superclasses": superclasses,
        "taxonomy": taxonomy,
    }
    found = {name: judge(preds, labels, **options) for name, preds in decisions.items()}
    command = " ".join(["examples/decisions.py", data, *([path.name] if path else []), "--amount", amount])
    calibration = [f"{100 * found[name]['calibration_error']:.1f} %" for name in list(decisions)[:2]]
    return (
        f"Made by `python {command}`.\n\n{experiment.described} One model, trained with cross entropy on "
        f"{'all of the data' if amount == 'all' else f'{amount} examples a class'}; {len(labels):,} test examples. The "
        f"temperature is {temperature:.3f}: with it the calibration error is {calibration[1]}, without it "
        f"{calibration[0]}. Where not said otherwise, decisions are made with it.\n\n{_rows(found)}"
    )


def _rows(found: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f"| decision | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for name, values in found.items():
        cells = (
            "" if math.isnan(values.get(key, math.nan)) else f"{scale * values[key]:.{1 if scale == 100 else 2}f}"
            for key, scale in COLUMNS.values()
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the experiment as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("glosses", "clinc150"))
    parser.add_argument("data", type=Path, nargs="?", help="clinc150.json.gz")
    parser.add_argument("--amount", choices=("20", "all"), default="20", help="training examples of each class")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    given = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    try:
        text = table(given.experiment, given.data, given.amount)
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")
    (given.out / f"decisions-{given.experiment}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
