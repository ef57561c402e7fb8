"""The figures of `loss.py` as tables, as a file of all numbers, and as a plot."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from loss_cases import Case, Measured
from loss_methods import BASE, FORMULA, LINEAR_BASE, LINEAR_FORMULA
from measure import table

__all__ = ["draw", "tables", "write_numbers"]

LEGEND = """\
Times are medians. The two columns of ratios are forward and backward over that of `F.cross_entropy` and over that of
the formula, both eager: below 1 is faster. Memory is the most held above the inputs, in multiples of what the logits
take. The last two columns are the rate at which the logits are read and the gradient is written, were each moved once
and nothing else, and its share of the rate of a copy."""


def tables(cases: Sequence[tuple[Case, Case]]) -> str:
    """Return all results as Markdown."""
    parts = [LEGEND.replace("\n", " ")]
    for of_given, of_linear in cases:
        parts += [f"### {of_given.title}", _yardsticks(of_given), _of_given(of_given)]
        parts += [f"From {of_linear.features:,} features by a linear layer:", _of_linear(of_linear)]
    return "\n\n".join([*parts, *_absent(cases)])


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
            *_common(case, one, BASE, FORMULA),
            f"{2 * case.logit_bytes / one.both.median / 1e9:.3g}",
            f"{case.yardsticks.copy.median / one.both.median:.0%}",
        ]
        for one in case.measured
    ]
    return table(header, rows)


def _of_linear(case: Case) -> str:
    header = ["", "forward", "forward + backward", "to F.cross_entropy", "to the formula", "memory"]
    return table(header, [_common(case, one, LINEAR_BASE, LINEAR_FORMULA) for one in case.measured])


def _common(case: Case, one: Measured, base: str, formula: str) -> list[str]:
    ratios = [one.both.median / case.time_of(other) for other in (base, formula)]
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


def write_numbers(cases: Sequence[tuple[Case, Case]], path: Path) -> None:
    """Write all figures: times in seconds, memory in bytes, rates in bytes a second."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = [row for pair in cases for case in pair for row in _numbers(case)]
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _numbers(case: Case) -> Iterator[dict[str, object]]:
    """Yield the figures of each method. Rates are of the logits and the gradient alone, and not of a linear layer."""
    size, rate = case.logit_bytes, 2 * case.logit_bytes / case.yardsticks.copy.median
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
            "method": one.method,
            "rounds": one.both.rounds,
            "forward median": f"{one.forward.median:.4g}",
            "forward least": f"{one.forward.least:.4g}",
            "both median": f"{one.both.median:.4g}",
            "both least": f"{one.both.least:.4g}",
            "to F.cross_entropy": f"{one.both.median / case.time_of(LINEAR_BASE if case.features else BASE):.4g}",
            "to the formula": f"{one.both.median / case.time_of(LINEAR_FORMULA if case.features else FORMULA):.4g}",
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
    figure = Figure(figsize=(6.5 * columns, 3.4 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for panel in panels[len(cases) :]:
        panel.set_visible(False)
    for panel, (case, _) in zip(panels, cases, strict=False):
        names = [one.method for one in case.measured]
        ratios = [one.both.median / case.time_of(BASE) for one in case.measured]
        colours = ["C1" if name.startswith("sim_loss") else "C7" for name in names]
        bars = panel.barh(range(len(names)), ratios, color=colours)
        panel.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], fontsize=7, padding=2)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.invert_yaxis()
        panel.axvline(1, color="black", linewidth=0.8)
        panel.margins(x=0.12)
        panel.set_title(case.title, fontsize=9)
        panel.set_xlabel("forward + backward, F.cross_entropy = 1", fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Software": None})
