"""What all experiments together say: the setting that PLAN.md's rule chooses, and its claims, one by one.

    python examples/evidence.py

It reads the files of results beside it and trains nothing. A cell is a data set with superclasses and an amount of
training data, of which all settings with S are there.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from methods import ALONE, BY_WORDS, CANDIDATE, LITTLE, PERMUTED, SHARED, SMOOTHED, UNIFORM
from report import FIGURES, Change, amounts_of, changes, chosen, markdown, means
from sweep import BASE, PROBABLE, RESULTS, DataError, Result, Setting, read_results

DATA = {
    "icd10": "ICD-10-CM",
    "cifar100": "CIFAR-100",
    "clinc150": "CLINC150",
    "glosses": "glosses",
}
# Those among which the plan's rule chooses.
WITH_S = (SMOOTHED, ALONE, LITTLE, SHARED, CANDIDATE)
# So much accuracy may be lost.
LEAST = -0.005
MADE = "Made by `python examples/evidence.py` from the files of results beside it."
BY_SUPERCLASS = "superclass"
SHOWN = ("accuracy", "superclass_accuracy", "failed_superclass_accuracy", "severity", "scaled_calibration_error")


class Cell(NamedTuple):
    """A data set with an amount of training data."""

    name: str
    amount: str
    results: Sequence[Result]

    def __str__(self) -> str:
        return f"{self.name}, {self.amount}{' a class' if self.amount.isdecimal() else ''}"

    def change(self, setting: Setting, figure: str, split: str = "test") -> Change | None:
        """Return how a figure differs from cross entropy's, or None if it was not measured."""
        return changes(self.results, self.amount, setting, split=split).get(figure)


def cells_of(folder: Path) -> list[Cell]:
    """Return the cells for which all settings with S were trained.

    Raises
    ------
    DataError
        If there is none.
    """
    files = {name: folder / f"{file}.csv" for file, name in DATA.items()}
    found = {name: read_results(file) for name, file in files.items() if file.exists()}
    cells = [Cell(name, amount, results) for name, results in found.items() for amount in amounts_of(results)]
    whole = [cell for cell in cells if all(cell.change(setting, "accuracy") for setting in (*WITH_S, BASE))]
    if not whole:
        raise DataError(f"{folder} holds no results of a data set with superclasses; run the experiments first")
    return whole


def choice(cells: Sequence[Cell]) -> tuple[Setting | None, dict[Setting, tuple[float, float]]]:
    """Return the setting that the plan's rule chooses, and of each its two figures on validation data.

    These are the change of accuracy where it is least, and the mean gain of superclass accuracy.
    """

    def of(setting: Setting, figure: str) -> list[float]:
        found = (cell.change(setting, figure, split="validation") for cell in cells)
        return [change.mean for change in found if change]

    figures = {
        setting: (min(of(setting, "accuracy")), statistics.fmean(of(setting, "superclass_accuracy")))
        for setting in WITH_S
    }
    kept = [setting for setting, (least, _) in figures.items() if least >= LEAST]
    return max(kept, key=lambda setting: figures[setting][1], default=None), figures


class Verdict(NamedTuple):
    """Of a claim: in how many of the cells it is so, and where it is not."""

    claim: str
    right: int
    cells: int
    wrong: Sequence[str]


def verdict(claim: str, cells: Iterable[Cell], holds: Callable[[Cell], bool | None]) -> Verdict:
    """Return the verdict on a claim; a cell in which something was not measured does not count."""
    found = {str(cell): answer for cell in cells if (answer := holds(cell)) is not None}
    wrong = [name for name, answer in found.items() if not answer]
    return Verdict(claim, len(found) - len(wrong), len(found), wrong)


def claims(cells: Sequence[Cell]) -> list[Verdict]:
    """Return the verdicts on the claims of PLAN.md that are about cells."""

    def that(
        is_so: Callable[[Change], bool],
        figure: str,
        setting: Setting = CANDIDATE,
        base: Setting = BASE,
        decision: str = PROBABLE,
    ) -> Callable[[Cell], bool | None]:
        """Return what tells of a change whether it is so; both decide alike."""

        def holds(cell: Cell) -> bool | None:
            found = changes(cell.results, cell.amount, setting, decision, base=base, base_decision=decision)
            change = found.get(figure)
            return None if change is None else is_so(change)

        return holds

    def rises(change: Change) -> bool:
        return change.is_rise

    def falls(change: Change) -> bool:
        return change.is_fall

    superclass = "superclass_accuracy"
    found: dict[str, Callable[[Cell], bool | None]] = {
        "1. The candidate raises superclass accuracy.": that(rises, superclass),
        "2. It lowers severity.": that(falls, "severity"),
        "3. Its accuracy is no more than 0.5 points below cross entropy's.": that(
            lambda change: change.mean >= LEAST, "accuracy"
        ),
        "4a. Its superclass accuracy is above that of the control with permuted classes.": that(
            rises, superclass, base=PERMUTED
        ),
        "4b. Label smoothing does not raise superclass accuracy.": that(
            lambda change: not change.is_rise, superclass, UNIFORM
        ),
        "5. Both deciding by superclass, its superclass accuracy is above cross entropy's.": that(
            rises, superclass, decision=BY_SUPERCLASS
        ),
        "6. Scaled, its calibration error is at most a point larger.": that(
            lambda change: change.mean <= 0.01, "scaled_calibration_error"
        ),
        "7. SimLoss alone with S loses accuracy.": that(falls, "accuracy", ALONE),
    }
    return [verdict(claim, cells, holds) for claim, holds in found.items()]


def papers_findings(folder: Path) -> list[list[str]]:
    """Return what the paper's own two data sets say of the paper's loss, a row each."""
    rows = []
    for file, name, figure, method, sign in (
        ("cifar100", "CIFAR-100", "accuracy", "SimLoss", -1),
        ("age-utkface", "UTKFace", "position_mae", "SimLoss", 1),
    ):
        path = folder / f"{file}.csv"
        results = read_results(path) if path.exists() else []
        if file == "cifar100":  # claim 8 is about word vectors
            results = [
                one
                for one in results
                if one.trial.setting.method != method or one.trial.setting.value.startswith("words")
            ]
        for amount in amounts_of(results):
            cost = _cost(figure, sign)
            best = chosen(results, amount, method, cost)
            change = changes(results, amount, best).get(figure) if best else None
            if best and change:
                base = means(results, amount, BASE)[figure]
                kind = FIGURES[figure]
                shown = [kind.title, kind.shown(base), kind.shown(change, "+")]
                rows.append([str(Cell(name, amount, results)), str(best), str(change.seeds), *shown])
    return rows


def _cost(figure: str, sign: int) -> Callable[[Mapping[str, Change]], float]:
    return lambda found: sign * found[figure].mean


def text_of(folder: Path) -> str:
    """Return the page of evidence, in Markdown."""
    cells = cells_of(folder)
    best, figures = choice(cells)
    rows = [["setting", "accuracy where it is least", "superclass accuracy, mean gain", ""]]
    for setting, (least, gain) in figures.items():
        rows.append([str(setting), f"{100 * least:+.2f}", f"{100 * gain:+.2f}", "chosen" if setting == best else ""])
    parts = [
        MADE,
        f"**The plan's rule, on validation data of {len(cells)} cells, in points**",
        markdown(rows),
    ]
    if best:
        parts += [
            f"**The chosen setting, {best}: differences to cross entropy on test data**",
            _against(BASE, cells, best),
        ]
        parts.append(statement(cells, best))
        for base in (SMOOTHED, UNIFORM, PERMUTED, BY_WORDS):
            if best != base and any(changes(cell.results, cell.amount, best, base=base) for cell in cells):
                parts += [f"**The same: differences to {base}**", _against(base, cells, best)]
        for decision, what in ((PROBABLE, "The same"), (BY_SUPERCLASS, "The same, decided so too")):
            table = _against(BASE, cells, best, decision, BY_SUPERCLASS)
            parts += [f"**{what}: differences to {BASE} that decides by superclass**", table]
    rows = [["claim", "holds", "not in"]]
    rows += [[one.claim, f"{one.right} of {one.cells}", "; ".join(one.wrong)] for one in claims(cells)]
    parts += ["**The plan's claims, on test data**", markdown(rows)]
    findings = papers_findings(folder)
    if findings:
        titles = ["data", "the paper's SimLoss, chosen on validation data", "seeds", "figure", "cross entropy"]
        parts += ["**Claim 8, the paper's findings**", markdown([[*titles, "difference"], *findings])]
    return "\n\n".join(parts) + "\n"


def _against(
    base: Setting, cells: Sequence[Cell], setting: Setting, decision: str = PROBABLE, base_decision: str = PROBABLE
) -> str:
    rows = [["data", "seeds", *(FIGURES[name].title for name in SHOWN)]]
    for cell in cells:
        if found := changes(cell.results, cell.amount, setting, decision, base=base, base_decision=base_decision):
            shown = [FIGURES[name].shown(found[name], "+") for name in SHOWN]
            rows.append([str(cell), str(found["accuracy"].seeds), *shown])
    return markdown(rows)


def summary_of(folder: Path) -> str:
    """Return the table for the front page, in Markdown: what the chosen setting changes, beside a decision alone."""
    cells = cells_of(folder)
    best, _ = choice(cells)
    if best is None:
        return f"{MADE}\n\nThe plan's rule recommends no setting.\n"
    superclass, figures = "superclass_accuracy", ("accuracy", "superclass_accuracy", "severity")
    rows = [["data", "seeds", "accuracy", "superclass accuracy", "severity, in edges", "by decision alone", "by both"]]
    for cell in cells:
        found = changes(cell.results, cell.amount, best)
        shown = [FIGURES[name].shown(found[name], "+") for name in figures]
        decided = (changes(cell.results, cell.amount, one, BY_SUPERCLASS)[superclass] for one in (BASE, best))
        shown += [FIGURES[superclass].shown(change, "+") for change in decided]
        rows.append([str(cell), str(found["accuracy"].seeds), *shown])
    return f"{MADE}\n\n{markdown(rows)}\n\n{statement(cells, best)}\n"


def statement(cells: Sequence[Cell], setting: Setting) -> str:
    """Return between what the changes are, a sentence."""

    def ends(figure: str) -> tuple[float, float]:
        found = [change.mean for cell in cells if (change := cell.change(setting, figure))]
        return min(found), max(found)

    gain, milder, accuracy = ends("superclass_accuracy"), ends("severity"), ends("accuracy")
    return (
        f"With {setting}, superclass accuracy changes by {100 * gain[0]:+.2f} to {100 * gain[1]:+.2f} points and "
        f"severity by {milder[0]:+.3f} to {milder[1]:+.3f} edges, at a change of accuracy of {100 * accuracy[0]:+.2f} "
        f"to {100 * accuracy[1]:+.2f} points (means over the seeds)."
    )


def main() -> None:
    """Write the page of evidence and its summary beside the results, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="with the results (%(default)s)")
    folder = parser.parse_args().out
    try:
        text = text_of(folder)
        (folder / "evidence.md").write_text(text, encoding="utf-8")
        (folder / "summary.md").write_text(summary_of(folder), encoding="utf-8")
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    print(text)


if __name__ == "__main__":
    main()
