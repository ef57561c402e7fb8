"""What each builder costs as the number of classes grows, from 1,000 to the 21,843 of ImageNet-21k.

    python benchmarks/growth.py [--classes 1000 2000 5000 10000 21843]

Each figure is one process that builds a matrix (and does not write it): the seconds that the build takes, and the
largest memory that the process held. The classes are ImageNet-21k's, the first C. Judgements are made up: 50 a class,
the other pairs completed by their mean. The sentence encoder is all-MiniLM-L6-v2.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from measure import RESULTS, encoder_folder, table, write_result

SIZES = (1000, 2000, 5000, 10_000, 21_843)
_JUDGEMENTS = 50


def write(folder: Path, count: int) -> None:
    """Write what the builders read."""
    import simmatrix

    names = list(simmatrix.read_classes("imagenet21k").names[:count])
    _write_judgements(folder, count, names)
    _write_named(folder, names)


def _write_judgements(folder: Path, count: int, names: list[str]) -> None:
    """Write a class list, judgements and a square array."""
    random = np.random.default_rng(0)
    (folder / "classes.json").write_text(json.dumps(names))
    first = np.repeat(np.arange(count), _JUDGEMENTS)
    second = (first + random.integers(1, count, len(first))) % count
    third = (first + random.integers(1, count, len(first))) % count
    with (folder / "ratings.csv").open("w", encoding="utf-8") as ratings:
        # The same pair gets the same rating, whichever of the two is first.
        ratings.writelines(
            f"{names[a]},{names[b]},{(a * b) % 11}\n" for a, b in zip(first.tolist(), second.tolist(), strict=True)
        )
    with (folder / "triplets.csv").open("w", encoding="utf-8") as triplets:
        rows = zip(first.tolist(), second.tolist(), third.tolist(), strict=True)
        triplets.writelines(f"{names[a]},{names[b]},{names[c]}\n" for a, b, c in rows if b != c)
    square = random.random((count, count), dtype=np.float32)
    np.fill_diagonal(square, 1)
    np.save(folder / "square.npy", square)


def _cases(folder: Path) -> Mapping[str, Callable[[], object]]:
    import simmatrix

    classes = folder / "classes.json"
    return {
        "order": lambda: simmatrix.from_order(classes, decay=0.8),
        "embeddings": lambda: simmatrix.from_embeddings(classes=_with_phrases(folder), oov="drop"),
        "wordnet, path": lambda: simmatrix.from_wordnet(classes),
        "wordnet, wup": lambda: simmatrix.from_wordnet(classes, measure="wup"),
        "wordnet, lin": lambda: simmatrix.from_wordnet(classes, measure="lin"),
        "taxonomy, edges": lambda: simmatrix.from_taxonomy(folder / "edges.txt", classes),
        "ratings": lambda: simmatrix.from_ratings(folder / "ratings.csv", classes, complete="mean"),
        "triplets": lambda: simmatrix.from_triplets(folder / "triplets.csv", classes, complete="mean"),
        "confusion": lambda: simmatrix.from_confusion(folder / "square.npy", classes),
        "matrix": lambda: simmatrix.from_matrix(folder / "square.npy", classes),
        "encoder": lambda: simmatrix.from_encoder(encoder_folder(), _with_phrases(folder)),
    }


def _with_phrases(folder: Path) -> Path:
    """Return the same classes with the phrases by which words are found."""
    return folder / "phrases.tsv"


def _write_named(folder: Path, names: list[str]) -> None:
    """Write the classes with their phrases, and their hierarchy as edges."""
    import simmatrix
    from simmatrix.taxonomy.wordnet import bundled_wordnet

    listed = simmatrix.read_classes("imagenet21k").select(names)
    with (folder / "phrases.tsv").open("w", encoding="utf-8", newline="") as file:
        rows = zip(listed.names, listed.column("phrase"), strict=True)
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("class", "phrase"), *rows])
    nouns = bundled_wordnet().taxonomy("n")
    ids = [f"n{offset:08d}" for offset in bundled_wordnet().parts["n"].offsets.tolist()]
    children = np.repeat(np.arange(len(nouns)), np.diff(nouns.starts))
    with (folder / "edges.txt").open("w", encoding="utf-8") as file:
        file.writelines(
            f"{ids[parent]} {ids[child]}\n"
            for parent, child in zip(nouns.parents.tolist(), children.tolist(), strict=True)
        )


def one(name: str, folder: Path) -> None:
    """Build once, and print the seconds and the largest memory in MB (10^6 bytes)."""
    build = _cases(folder)[name]
    started = time.perf_counter()
    build()
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6]))


def measured(name: str, folder: Path) -> tuple[float, float]:
    """Run `one` in a process of its own."""
    output = _run("--one", name, "--folder", str(folder))
    seconds, size = json.loads(output.splitlines()[-1])
    return seconds, size


def _run(*arguments: str) -> str:
    run = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{run.stderr}")
    return run.stdout


def draw(seconds: Mapping[str, list[float]], sizes: list[int], path: Path) -> None:
    """Draw seconds over classes, one line a builder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, times) in enumerate(seconds.items()):
        # There are more builders than the usual cycle has colours.
        line = "-" if index < 10 else "--"
        axes.loglog(sizes, times, line, color=f"C{index % 10}", marker="o", markersize=3, label=name)
    axes.set_xlabel("classes")
    axes.set_ylabel("seconds")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    """Measure every builder at every size and write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.folder)
        return
    if options.folder:
        write(options.folder, options.classes[0])
        return
    found: dict[str, list[tuple[float, float]]] = {}
    for count in options.classes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # In a process of its own: Linux counts what the parent held at its largest towards its children's memory.
            _run("--folder", str(folder), "--classes", str(count))
            for case in _cases(folder):
                found.setdefault(case, []).append(measured(case, folder))
                print(f"{case}, {count} classes: {found[case][-1][0]:.2f} s", file=sys.stderr)
    header = ["builder", *(f"C = {count:,} (matrix {4 * count**2 / 1e6:,.0f} MB)" for count in options.classes)]
    rows = [[case, *(f"{s:.2f} s, {size:,.0f} MB" for s, size in pairs)] for case, pairs in found.items()]
    write_result("growth", "python benchmarks/growth.py", table(header, rows))
    draw({case: [s for s, _ in pairs] for case, pairs in found.items()}, options.classes, RESULTS / "growth.png")


if __name__ == "__main__":
    main()
