"""Tell what a customer wants, and be wrong as mildly as can be: CLINC150's requests, 150 intents in 10 domains.

    python examples/clinc150.py clinc150.json.gz

The file (Larson et al., EMNLP 2019; CC BY 3.0) holds ``train``, ``val`` and ``test`` as lists of [text, intent], and
``domains``, the intents of each domain; it may be compressed by gzip. Those are the classes and superclasses, and the
division is the data set's own. Requests out of scope take no part. Each setting of PLAN.md is trained with each amount
of training data and each seed. Results are kept: what was trained is not trained again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from sweep import ALL, DataError
from texts import Experiment, Recipe, bags_of, main

import simmatrix

PARTS = ("train", "val", "test")
# What to look up in the bundled word vectors where they lack a word of the name.
PHRASES = {
    "mpg": "fuel mileage",
    "rollover_401k": "rollover pension",
    "timezone": "time zone",
    "uber": "taxi",
    "w2": "tax form",
}
# What --tune found best for cross entropy on validation data.
RECIPES = {ALL: Recipe(0.01, 15), "20": Recipe(0.01, 60)}


def read(path: Path) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    """Return the domain of each intent, and the texts of each part with their intents.

    Raises
    ------
    DataError
        If the file is another one.
    OSError
        If it can't be read.
    """
    raw = path.read_bytes()
    try:
        content = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        domains = {str(intent): str(domain) for domain, intents in content["domains"].items() for intent in intents}
        parts = {part: [(str(text), str(intent)) for text, intent in content[part]] for part in PARTS}
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError):
        raise DataError(f"{path} is no JSON file, compressed or not") from None
    except (AttributeError, KeyError, TypeError):
        names = ", ".join(PARTS)
        raise DataError(f"{path} is not CLINC150; expected were {names} with [text, intent], and domains") from None
    for part, found in parts.items():
        intents = {intent for _, intent in found}
        for odd, what in ((intents - domains.keys(), "stands in no domain"), (domains.keys() - intents, "has no text")):
            if odd:
                raise DataError(f"{path}: {part}: the intent {min(odd)!r} {what}")
    return domains, parts


def prepare(path: Path, seeds: Sequence[int], *, quick: bool = False) -> Experiment:
    """Read the data and put together what the trainings need; in a short run there are the first two domains."""
    domains, parts = read(path)
    if quick:
        first = sorted(set(domains.values()))[:2]
        domains = {intent: domain for intent, domain in domains.items() if domain in first}
        parts = {part: [pair for pair in found if pair[1] in domains] for part, found in parts.items()}
    columns = {"superclass": tuple(domains.values()), "phrase": tuple(PHRASES.get(intent, "") for intent in domains)}
    classes = simmatrix.ClassList(tuple(domains), columns, source="CLINC150")
    index = {name: number for number, name in enumerate(classes.names)}
    pairs = [pair for part in PARTS for pair in parts[part]]
    training, validation, test = torch.split(torch.arange(len(pairs)), [len(parts[part]) for part in PARTS])
    return Experiment(
        texts=bags_of([text for text, _ in pairs], [index[intent] for _, intent in pairs]),
        classes=classes,
        tree=simmatrix.from_taxonomy("superclass", classes, lower_bound=0.0),
        parts=dict.fromkeys(seeds, (training, validation, test)),
        recipes=RECIPES,
        words=simmatrix.from_embeddings(classes=classes, lower_bound=0.0),
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="clinc150.json.gz")


if __name__ == "__main__":
    main(
        "clinc150",
        __doc__,
        RECIPES,
        lambda given, seeds: prepare(given.data, seeds, quick=given.quick),
        _arguments,
    )
