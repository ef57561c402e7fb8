"""The table of decisions: of a small data set with the layout of CLINC150, whose figures the metrics give as well."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLES)
    decisions, sweep, texts = map(importlib.import_module, ("decisions", "sweep", "texts"))


def write_requests(path: Path) -> Path:
    """Write four intents in two domains, whose texts are told by a word of their own."""
    domains = {"plants": ["rose", "oak"], "animals": ["owl", "cod"]}
    dice = random.Random(0)
    parts = {
        part: [
            [f"the {intent} {dice.choice(['is', 'was'])} here", intent]
            for intents in domains.values()
            for intent in intents
            for _ in range(30)
        ]
        for part in ("train", "val", "test")
    }
    for texts_of_part in parts.values():
        texts_of_part[::7] = [[text, "oak" if intent == "rose" else intent] for text, intent in texts_of_part[::7]]
    path.write_text(json.dumps({"domains": domains, **parts}))
    return path


def test_the_table(tmp_path: Path) -> None:
    text = decisions.table("clinc150", write_requests(tmp_path / "clinc.json"), "20")
    said, rows = text.split("\n\n")[0], [line for line in text.splitlines() if line.startswith("|")]
    assert said == "Made by `python examples/decisions.py clinc150 clinc.json --amount 20`."
    header, _, *rows = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    assert header == ["decision", *decisions.COLUMNS]
    found = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
    assert list(found)[:5] == [
        "most probable",
        "most probable, with a temperature",
        "minimum risk",
        "minimum risk, without a temperature",
        "superclass",
    ]
    # The temperature changes no most probable class, and every domain is right, though not every intent.
    assert found["most probable"] == found["most probable, with a temperature"]
    assert found["most probable"]["superclass"] == "100.0"
    assert 90 < float(found["most probable"]["accuracy"]) < 100
    # A node says nothing of a class, and the less sure it may be the more it says.
    depths = [float(found[f"back-off at {confidence}"]["depth"]) for confidence in decisions.CONFIDENCES]
    assert depths == sorted(depths, reverse=True)
    assert {found[f"back-off at {confidence}"]["accuracy"] for confidence in decisions.CONFIDENCES} == {""}


def test_the_data_have_to_be_given() -> None:
    with pytest.raises(sweep.DataError, match="give the path"):
        decisions.table("clinc150", None, "20")
