"""WordNet's measures on ImageNet's classes, against NLTK's own, which compares pair by pair.

Claims: ImageNet-1k takes a whole process under 1.5 s with any measure, and its matrix is made 1,000 times faster than
by NLTK where NLTK walks up the hierarchy for every pair (path, wup, lch); ImageNet-21k by path takes under 15 s, and
memory under 1.3 times that of the float32 matrix.

    python benchmarks/taxonomy.py

NLTK reads the same WordNet. Its loop is timed on a sample of the pairs of the upper triangle, once it has seen all
synsets (it remembers some of what it finds), and its time for all of them is the sample's in proportion. Its
information content is ours, handed over.
"""

from __future__ import annotations

import os
import runpy
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import median_run, table, write_result

import simmatrix
from simmatrix.choices import MEASURES
from simmatrix.taxonomy.measures import NEED_CONTENT, intrinsic, taxonomy_values
from simmatrix.taxonomy.wordnet import bundled_wordnet

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = 1000
REPEATS = 5
# All of the matrix: to find the bound for an influence is not what is measured here.
SOURCE = ("--from-wordnet", "--lower-bound", "0")


def main() -> None:
    """Measure, and write the table."""
    command = shutil.which("simmatrix", path=str(Path(sys.executable).parent)) or sys.exit("install the project first")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nltk_seconds = _nltk_seconds(folder)
        rows = []
        for measure in MEASURES:
            build = [command, "build", *SOURCE, "--measure", measure, "--classes", "imagenet1k"]
            whole = median_run(build, folder, repeats=REPEATS)
            ours = _matrix_seconds(measure)
            theirs = nltk_seconds.get(measure)
            against = ["", ""] if theirs is None else [f"{theirs:.0f} s", f"{theirs / ours:,.0f}"]
            rows.append([measure, f"{whole.seconds:.2f} s", f"{ours * 1000:.1f} ms", *against])
        large = [command, "build", *SOURCE, "--classes", "imagenet21k"]
        run = median_run(large, folder, repeats=3)
        back = median_run([command, "validate", "imagenet21k.safetensors"], folder, repeats=3)
        size = 4 * len(simmatrix.read_classes("imagenet21k")) ** 2 / 1e6
    header = ["ImageNet-1k by", "whole process", "matrix alone", "NLTK's loop", "times faster"]
    body = table(header, rows)
    body += (
        f"\n\nNLTK's loop is estimated from {SAMPLE:,} pairs. ImageNet-21k by path, whole processes: built and saved in"
        f" {run.seconds:.1f} s with {run.megabytes / size:.2f} times the matrix's memory, read back and validated in "
        f"{back.seconds:.1f} s with {back.megabytes / size:.2f} times."
    )
    write_result("taxonomy", "python benchmarks/taxonomy.py", body)


def _matrix_seconds(measure: str) -> float:
    """Return the median time to make ImageNet-1k's matrix from the taxonomy, and from information content if needed."""
    wordnet = bundled_wordnet()
    nouns = wordnet.taxonomy("n")
    nodes = np.array([_node(name) for name in simmatrix.read_classes("imagenet1k").names])
    content = intrinsic(nouns) if measure in NEED_CONTENT else None
    return _median(lambda: taxonomy_values(nouns, nodes, measure, content))


def _node(name: str) -> int:
    synset = bundled_wordnet().find(name)
    assert synset is not None
    return int(synset.node)


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(2 * REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _nltk_seconds(folder: Path) -> dict[str, float]:
    """Return the time that NLTK needs for the upper triangle of ImageNet-1k, by measure."""
    runpy.run_path(str(ROOT / "tests" / "wordnet.py"))["write_nltk_folder"](folder, bundled_wordnet())
    os.environ["NLTK_DATA"] = str(folder)
    from nltk.corpus import wordnet

    names = simmatrix.read_classes("imagenet1k").names
    synsets = [wordnet.synset_from_pos_and_offset("n", int(name[1:])) for name in names]
    random = np.random.default_rng(0)
    pairs = [(synsets[i], synsets[j]) for i, j in random.integers(0, len(synsets), (SAMPLE, 2)).tolist()]
    total = len(synsets) * (len(synsets) + 1) // 2
    content = _nltk_content()
    seconds = {}
    for measure in ("path", "wup", "lch", *NEED_CONTENT):
        extra = (content,) if measure in NEED_CONTENT else ()
        for one in synsets:
            getattr(one, f"{measure}_similarity")(synsets[0], *extra)
        started = time.perf_counter()
        for one, other in pairs:
            getattr(one, f"{measure}_similarity")(other, *extra)
        seconds[measure] = (time.perf_counter() - started) / SAMPLE * total
    return seconds


def _nltk_content() -> dict[str, Any]:
    """Return our information content as NLTK keeps it: counts by offset, the total at 0."""
    offsets = bundled_wordnet().parts["n"].offsets.tolist()
    counts = np.exp(-intrinsic(bundled_wordnet().taxonomy("n"))).tolist()
    return {"n": {0: 1.0, **dict(zip(offsets, counts, strict=True))}}


if __name__ == "__main__":
    main()
