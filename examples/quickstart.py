"""Code diagnoses, and compare four losses and decisions: from a description of ICD-10-CM to the block of its code.

    pip install -c constraints.txt -e . simple-icd-10-cm
    python examples/quickstart.py --write-classes diagnoses.tsv
    simmatrix build --classes diagnoses.tsv
    python examples/quickstart.py diagnoses.safetensors

A wrong block of the right chapter is the milder mistake. The class list says which chapter a block belongs to, and
`simmatrix build` makes a similarity of it. Each loss trains the same small network, on ten descriptions a block, with
three seeds. The table shows cross entropy's own figures, and for all others the difference to cross entropy.
icd10.py beside this file has more data, more losses and more seeds.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from icd10 import RECIPES, class_list, prepare, read_codes
from methods import Yardstick, edges_of, results_of
from report import rows_of
from sweep import BASE, DataError, Result, Setting, Trial
from texts import Experiment
from torch import nn

import simloss
import simmatrix

AMOUNT, SEEDS = "10", 3
SHOWN = ("accuracy", "superclass_accuracy", "severity", "calibration_error", "scaled_calibration_error")


def losses(file: Path, classes: Sequence[str]) -> dict[Setting, Callable[[], nn.Module]]:
    """Return what makes each loss. This is the line that changes in a training loop."""
    from_file = partial(simloss.SimLoss.from_file, file, classes=classes)
    return {
        BASE: nn.CrossEntropyLoss,
        Setting("SimLoss alone (the paper's)"): from_file,
        Setting("share 0.4, smoothing by S (recommended)"): partial(from_file, share=0.4, similarity_smoothing=0.05),
    }


def trained(data: Experiment, file: Path) -> list[Result]:
    """Train with each loss and each seed, and measure how often, and how badly, the models are wrong."""
    classes = data.classes
    similarity = simmatrix.load(file).reorder(classes.names)
    yardstick = Yardstick.of_tree(edges_of(data.tree), classes.column("superclass"), similarity)
    results = []
    for setting, loss in losses(file, classes.names).items():
        for seed in range(SEEDS):
            print(f"{setting}: training {seed + 1} of {SEEDS}", file=sys.stderr)
            model = data.fitted(loss(), AMOUNT, seed, RECIPES[AMOUNT])
            validation, test = (data.predicted(model, rows) for rows in data.parts[seed][1:])
            results += results_of(Trial(setting, seed, AMOUNT), validation, test, yardstick)
    return results


def columns_of(results: Sequence[Result]) -> str:
    """Return the table in columns: what cross entropy has, by each way to decide, and what each loss changes."""
    settings = dict.fromkeys(one.trial.setting for one in results)
    rows = [[*row[:2], *row[3:]] for row in rows_of(results, settings, AMOUNT, SHOWN, [BASE])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def write_classes(path: Path) -> None:
    """Write the class list: the blocks, each with its chapter as the superclass."""
    classes = class_list(read_codes())
    chapters = classes.column("superclass")
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, delimiter="\t", lineterminator="\n")
        rows.writerows([["class", "superclass"], *zip(classes.names, chapters, strict=True)])
    print(f"wrote {path}: {len(classes)} blocks of {len(set(chapters))} chapters")


def main() -> None:
    """Write the class list, or compare what a similarity of its classes does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("matrix", type=Path, nargs="?", help="the similarity of the blocks; train with it")
    what.add_argument("--write-classes", type=Path, metavar="FILE", help="write the class list, and stop")
    given = parser.parse_args()
    torch.set_num_threads(1)  # as in the experiments; the network is too small for more
    # SimLoss alone warns that it may give up classes; that is one of the things to be seen here.
    warnings.simplefilter("ignore", simloss.SimilarityWarning)
    try:
        if given.write_classes:
            write_classes(given.write_classes)
            return
        data = prepare(read_codes(), range(SEEDS))
        print(f"{data.described} {AMOUNT} texts a class to train with, {SEEDS} seeds.")
        print(columns_of(trained(data, given.matrix)))
    except (DataError, simmatrix.SimilarityError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
