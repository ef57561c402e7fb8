"""The figures of `loss.py` as tables, as a file of all numbers, and as a plot."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from loss_cases import Case, Measured, Ratios
from loss_meter import Time
from loss_methods import ALONE, BASE, COMPILED, FORMULA, LINEAR_FORMULA, MODULE, SHARED, SMOOTHED, is_ours
from measure import table

__all__ = ["draw", "ratio_table", "tables", "write_numbers"]

LEGEND = """\
Times are medians. The two columns of ratios are forward and backward over that of `F.cross_entropy` and over that of
the formula, both eager: below 1 is faster. Memory is the most held above the inputs, in multiples of what the logits
take. GB/s is the bytes of the logits and of their gradient over the time: the rate of a method that moves each of them
once and nothing else. The last column is its share of the rate of a copy."""

RATIO_LEGEND = f"""\
Forward and backward, for N x C logits in float32; SimLoss has a dense matrix. The first two lines are times, all others
ratios: below 1 is faster. All but the ratios of medians are of the least time among the rounds of one run. Compiled
losses are held against `{BASE}` compiled."""

# Of each ratio what it is called, the two methods, and which of their times is taken.
_RATIOS = (
    (f"SimLoss to {MODULE}", ALONE, MODULE, "least"),
    ("the same, of medians", ALONE, MODULE, "median"),
    ("share=0.4 to share=1", SHARED, ALONE, "least"),
    ("share=0.4, similarity_smoothing=0.05 to share=1", SMOOTHED, ALONE, "least"),
    ("compiled: SimLoss", ALONE + COMPILED, BASE + COMPILED, "least"),
    ("compiled: share=0.4", SHARED + COMPILED, BASE + COMPILED, "least"),
    ("compiled: share=0.4, similarity_smoothing=0.05", SMOOTHED + COMPILED, BASE + COMPILED, "least"),
)


def tables(cases: Sequence[tuple[Case, Case]], of_two_classes: Case) -> str:
    """Return all results as Markdown."""
    parts = [LEGEND.replace("\n", " ")]
    for of_given, of_linear in cases:
        parts += [f"### {of_given.title}", _yardsticks(of_given), _of_given(of_given)]
        parts += [f"From {of_linear.features:,} features by a linear layer:", _of_linear(of_linear)]
    parts += [f"### {of_two_classes.title}, targets of two classes", _of_two_classes(of_two_classes)]
    return "\n\n".join([*parts, *_absent(cases)])


def ratio_table(ratios: Sequence[Ratios]) -> str:
    """Return the ratios of methods as Markdown, a column for each shape."""
    shapes = list(dict.fromkeys((one.rows, one.classes) for one in ratios))
    threads = list(dict.fromkeys(one.threads for one in ratios))
    times = {(one.rows, one.classes, one.threads): one.times for one in ratios}

    def line(name: str, number: int, cell: Callable[[dict[str, Time]], str]) -> list[str]:
        return [name, str(number), *(cell(times[*shape, number]) for shape in shapes)]

    header = ["", "threads", *(f"{count:,} x {classes:,}" for count, classes in shapes)]
    rows = [line(MODULE, number, lambda found: _ms(found[MODULE].least)) for number in threads]
    rows += [
        line(name, number, partial(_quotient, one, other, kind))
        for name, one, other, kind in _RATIOS
        for number in threads
    ]
    return f"{RATIO_LEGEND.replace(chr(10), ' ')}\n\n{table(header, rows)}"


def _quotient(one: str, other: str, kind: str, times: dict[str, Time]) -> str:
    return f"{getattr(times[one], kind) / getattr(times[other], kind):.2f}"


def _yardsticks(case: Case) -> str:
    copy, fill, fill_new = case.yardsticks
    return (
        f"The logits take {case.logit_bytes / 1e6:,.1f} MB. To copy them takes {_ms(copy.median)} "
        f"({2 * case.logit_bytes / copy.median / 1e9:.1f} GB/s), to fill as much memory {_ms(fill.median)}, or "
        f"{_ms(fill_new.median)} if it is allocated anew, as a gradient is."
    )


def _of_given(case: Case) -> str:
    header = [
        "",
        "forward",
        "forward + backward",
        "to F.cross_entropy",
        "to the formula",
        "memory",
        "GB/s",
        "of a copy",
    ]
    rows = [
        [
            *_common(case, one, FORMULA),
            f"{2 * case.logit_bytes / one.both.median / 1e9:.3g}",
            f"{case.yardsticks.copy.median / one.both.median:.0%}",
        ]
        for one in case.measured
    ]
    return table(header, rows)


def _of_linear(case: Case) -> str:
    header = ["", "forward", "forward + backward", "to F.cross_entropy", "to the formula", "memory"]
    return table(header, [_common(case, one, LINEAR_FORMULA) for one in case.measured])


def _of_two_classes(case: Case) -> str:
    header = ["", "forward", "forward + backward", "to F.cross_entropy", "memory"]
    return table(header, [_common(case, one) for one in case.measured])


def _common(case: Case, one: Measured, *formula: str) -> list[str]:
    ratios = [one.both.median / case.time_of(other) for other in (case.base, *formula)]
    return [
        one.method,
        _ms(one.forward.median),
        _ms(one.both.median),
        *(f"{ratio:.2f}" for ratio in ratios),
        f"{one.peak / case.logit_bytes:.2f}",
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds * 1e3:,.0f} ms"


def _absent(cases: Sequence[tuple[Case, Case]]) -> Iterator[str]:
    """Yield what was not measured, and why: one line for each method and reason, with the cases if not all."""
    where: dict[tuple[str, str], list[str]] = {}
    for pair in cases:
        for case in pair:
            for method, reason in case.absent.items():
                where.setdefault((method, reason), []).append(case.title)
    if where:
        yield "### Not measured"
        yield "\n".join(
            f"- {method}: {reason}" + ("" if len(titles) == len(cases) else f" (at {'; '.join(titles)})")
            for (method, reason), titles in where.items()
        )


def write_numbers(cases: Sequence[Case], path: Path) -> None:
    """Write all figures: times in seconds, memory in bytes, rates in bytes a second."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = [row for case in cases for row in _numbers(case)]
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _numbers(case: Case) -> Iterator[dict[str, object]]:
    """Yield the figures of each method. Rates are of the logits and the gradient alone, and not of a linear layer."""
    size, rate = case.logit_bytes, 2 * case.logit_bytes / case.yardsticks.copy.median
    formula = case.time_of(LINEAR_FORMULA if case.features else FORMULA)
    for one in case.measured:
        forward, both = size / one.forward.median, 2 * size / one.both.median
        rates = {
            "forward rate": forward,
            "both rate": both,
            "forward of a copy": forward / rate,
            "both of a copy": both / rate,
        }
        yield {
            "N": case.rows,
            "C": case.classes,
            "dtype": str(case.dtype).removeprefix("torch."),
            "features": case.features or "",
            "target": case.target,
            "method": one.method,
            "rounds": one.both.rounds,
            "forward median": f"{one.forward.median:.4g}",
            "forward least": f"{one.forward.least:.4g}",
            "both median": f"{one.both.median:.4g}",
            "both least": f"{one.both.least:.4g}",
            "to F.cross_entropy": f"{one.both.median / case.time_of(case.base):.4g}",
            "to the formula": "" if math.isnan(formula) else f"{one.both.median / formula:.4g}",
            "peak memory": one.peak,
            "logits": size,
            **{name: "" if case.features else f"{number:.4g}" for name, number in rates.items()},
            "copy rate": f"{rate:.4g}",
        }


def draw(cases: Sequence[tuple[Case, Case]], path: Path) -> None:
    """Draw forward and backward of each method as multiples of F.cross_entropy, a panel for each shape and dtype."""
    from matplotlib.figure import Figure

    columns = min(2, len(cases))
    lines = -(-len(cases) // columns)
    tallest = max(len(case.measured) for case, _ in cases)
    figure = Figure(figsize=(6.5 * columns, (0.9 + 0.22 * tallest) * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for panel in panels[len(cases) :]:
        panel.set_visible(False)
    for panel, (case, _) in zip(panels, cases, strict=False):
        names = [one.method for one in case.measured]
        ratios = [one.both.median / case.time_of(case.base) for one in case.measured]
        colours = ["C1" if is_ours(name) else "C7" for name in names]
        bars = panel.barh(range(len(names)), ratios, color=colours)
        panel.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], fontsize=7, padding=2)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.invert_yaxis()
        panel.axvline(1, color="black", linewidth=0.8)
        panel.margins(x=0.12)
        panel.set_title(case.title, fontsize=9)
        panel.set_xlabel("forward + backward, F.cross_entropy = 1", fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Software": None})
