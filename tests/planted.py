"""Plant faults in the sources, one at a time, and see whether the tests catch them.

`python tests/planted.py` copies the working tree, plants each fault of the table below in the copy, runs the tests
named beside it, and says whether one failed. Numbers choose some of the faults, `--commit` another state of the
repository, and `--record` writes the answers to a column of planted.tsv.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_suffix(".tsv")


class Fault(NamedTuple):
    """A text that is in a file once, what replaces it, the tests that should notice, and which of them by their marks.

    Files and tests that were renamed are named twice: names that do not exist are passed over.
    """

    file: str
    text: str
    planted: str
    tests: str
    marks: str = ""


ROWS, SHARE, LINEAR = "tests/simloss/rows", "tests/simloss/test_share.py", "tests/simloss/test_linear.py"
MEASURES = "tests/simmatrix/taxonomy/test_measures.py"
NATIVE, EAGER = "simloss/rows/native.c", "simloss/rows/eager.py"
FAULTS = (
    Fault(
        NATIVE,
        "return x < lowest ? 0.0f : y * two_to_k;",
        "return y * two_to_k;",
        ROWS,
    ),
    Fault(NATIVE, "y = y * r + 1.6666665459e-1f;", "y = y * r + 1.666e-1f;", "tests/simloss/test_accuracy.py"),
    Fault(
        NATIVE,
        "sums->unlike += (1.0 - job->values[i]) * taken[i - first];",
        "sums->unlike += taken[i - first];",
        ROWS,
    ),
    Fault(NATIVE, "(bits + 0x7fff + ((bits >> 16) & 1)) >> 16", "bits >> 16", ROWS),
    Fault(NATIVE, "of_e = (Vector)((Integers)of_e & (lanes != (int32_t)(label - c)));", ";", SHARE),
    Fault(EAGER, "return classes * limits.tiny / limits.eps", "return 0.0", ROWS),
    Fault(EAGER, "scores = ((z - top).masked_fill_(z == top, 0.0)", "scores = ((z - top)", ROWS),
    Fault(EAGER, "        losses.masked_fill_(ignored, 0.0)\n", "", ROWS),
    Fault(EAGER, "log_d + (highest - z.gather(1, y))", "log_d - z.gather(1, y)", SHARE),
    Fault(
        EAGER, "rows_here.mul_(factors.unsqueeze(1))", "rows_here.mul_(factor[:1])", "tests/simloss/test_autograd.py"
    ),
    Fault(
        "simloss/targets.py",
        "        target += (distribution[:, block] * given) @ others\n",
        "",
        SHARE,
    ),
    Fault(
        "simloss/targets.py",
        "is_asked = is_far if",
        "is_asked = is_far & (distribution > 1) if",
        "tests/simloss/test_targets.py",
    ),
    Fault("simloss/linear.py", "beta = 0 if is_first else 1", "beta = 0", LINEAR),
    Fault("simloss/linear.py", "to_b += z.sum(0, dtype=work)", "to_b += z.sum(0)", LINEAR),
    Fault(
        "simloss/linear.py",
        "part = x[rows].masked_fill((labels[rows] == call.ignore_index).unsqueeze(1), 0.0).to(dtype)",
        "part = x[rows].to(dtype)",
        LINEAR,
    ),
    Fault("simloss/linear.py", "to_x[rows] = z @ w\n", "to_x[rows] = z @ w * (1 + 1e-4)\n", LINEAR),
    Fault(
        "simloss/parallel.py",
        "s.sum(1) * _AT_BOTTOM, log_a)",
        "_AT_BOTTOM, log_a)",
        "tests/simloss/test_parallel.py",
    ),
    Fault(
        "simloss/parallel.py",
        "first = sum(held[:rank])",
        "first = rank * columns",
        "tests/simloss/test_parallel.py",
    ),
    Fault(
        "simloss/autograd.py",
        "upstream = upstream.masked_fill(labels == ctx.ignore_index, 0.0).unsqueeze(1)",
        "upstream = upstream.unsqueeze(1)",
        "tests/simloss/test_loss.py tests/simloss/test_autograd.py tests/simloss/test_module.py",
    ),
    Fault(
        "simloss/forms.py",
        "col_indices[inside] - first, values[inside])",
        "col_indices[inside], values[inside])",
        "tests/simloss/test_forms.py tests/simloss/test_parallel.py",
    ),
    Fault(
        "simloss/reduction.py",
        "label_smoothing / distribution.shape[1]",
        "label_smoothing / (distribution.shape[1] - 1)",
        "tests/simloss/test_loss.py",
    ),
    Fault(
        "simloss/decisions.py",
        "most = gains.amax(1, keepdim=True)",
        "most = gains.amin(1, keepdim=True)",
        "tests/simloss/test_decisions.py",
    ),
    Fault(
        "simloss/metrics/severity.py",
        "mistaken = predicted != labels",
        "mistaken = predicted > labels",
        "tests/simloss/metrics",
    ),
    Fault(
        "simloss/metrics/mean.py",
        'torch.zeros((), dtype=torch.float64, device="cpu")',
        'torch.zeros((), device="cpu")',
        "tests/simloss/metrics",
    ),
    Fault(
        "simloss/rows/cuda/sweeps.py",
        "loss = tl.log(d) + (highest - top) - (best + tl.log(total))",
        "loss = tl.log(d) + highest - (best + tl.log(total))",
        "tests/simloss/test_triton_kernels.py",
        marks="slow or not slow",
    ),
    Fault(
        "simmatrix/normalise.py",
        "np.maximum(np.divide(out, 1.0 - bound, out=out), 0.0, out=out)",
        "np.divide(out, 1.0 - bound, out=out)",
        "tests/simmatrix/test_normalise.py",
    ),
    Fault(
        "simmatrix/normalise.py",
        "return (total - mass) / (number - mass) if number > mass else bound",
        "return (total - mass) / number if number > mass else bound",
        "tests/simmatrix/test_bounding.py tests/simmatrix/test_normalise_bound.py",
    ),
    Fault(
        "simmatrix/dense.py simmatrix/forms.py",
        "[room[row] :]] = False",
        "[: -room[row]]] = False",
        "tests/simmatrix/test_normalise.py",
    ),
    Fault(
        "simmatrix/toeplitz.py",
        "above = _least_of_prefixes(ranks[size:], count, none)[::-1]",
        "above = _least_of_prefixes(ranks[size:], count, none)",
        "tests/simmatrix/test_toeplitz.py tests/simmatrix/test_normalise.py",
    ),
    Fault(
        "simmatrix/container.py",
        '    text += b" " * (-len(text) % 8)\n',
        "",
        "tests/simmatrix/test_storage.py tests/simmatrix/test_container.py",
    ),
    Fault(
        "simmatrix/storage.py",
        'if file.metadata.get("classes_sha256") != ',
        'if False and file.metadata.get("classes_sha256") != ',
        "tests/simmatrix/test_storage.py",
    ),
    Fault(
        "simmatrix/classes.py",
        "columns = {column: tuple(values[at] for at in kept)",
        "columns = {column: values[: len(kept)]",
        "tests/simmatrix/test_classes.py",
    ),
    Fault(
        "simmatrix/builders/order.py",
        "length - distance))",
        "length - distance + 1))",
        "tests/simmatrix/builders/test_order.py",
    ),
    Fault(
        "simmatrix/builders/lookup.py",
        '_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")',
        '_CAMEL = re.compile(r"(?<=[0-9])(?=[A-Z])")',
        "tests/simmatrix/builders/test_lookup.py",
    ),
    Fault(
        "simmatrix/builders/confusion.py",
        "row /= np.sort(row).sum()",
        "row /= row.sum()",
        "tests/simmatrix/builders/test_confusion.py tests/simmatrix/builders/test_contract.py",
    ),
    Fault(
        "simmatrix/taxonomy/measures.py",
        "closure.depths[common] + 1)",
        "closure.depths[common] + 2)",
        MEASURES,
    ),
    Fault(
        "simmatrix/taxonomy/measures.py",
        "by_depth = sorted(range(len(names)), key=lambda node: names[node], reverse=True)",
        "by_depth = sorted(range(len(names)), key=lambda node: names[node])",
        MEASURES,
    ),
    Fault(
        "simmatrix/vectors/text.py",
        "    if token not in wanted.words or (word := token.decode()) in found:\n",
        "    if token not in wanted.words or not (word := token.decode()):\n",
        "tests/simmatrix/vectors",
    ),
    Fault(
        "simmatrix/text.py",
        'if is_unsafe(character) and character != "\\n" else character',
        "if ord(character) == 27 else character",
        "tests/simmatrix/test_text.py",
    ),
    Fault(
        "cli/__init__.py",
        "with_options(str(error))",
        "str(error)",
        "tests/cli/test_bad_sources.py tests/cli/test_errors.py",
    ),
    Fault(
        "data/classes/cifar100.tsv",
        "maple_tree\ttrees\tmaple.n.02",
        "maple_tree\ttrees\tmaple.n.01",
        "tests/data/test_class_lists.py",
    ),
    Fault(
        "simmatrix/text.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nimport simloss\n",
        "tests/test_layering.py",
    ),
)


def run(*command: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command, with its output kept for the message where it fails and may not."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=one_thread, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done


def copied(commit: str | None, folder: Path) -> tuple[Path, Path]:
    """Return a copy of the repository, and a Python in which that copy is installed, with this one's packages."""
    project, environment = folder / "project", folder / "venv"
    run("git", "clone", "-q", "--shared", ROOT, project, cwd=folder)
    if commit is not None:
        run("git", "checkout", "-q", commit, cwd=project)
    else:
        listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
        names = [name for name in listed.split("\0") if name]
        run("rm", "-rf", *(path for path in project.iterdir() if path.name != ".git"), cwd=folder)
        for name in names:
            if (ROOT / name).exists():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                (project / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "of_the_parent.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    python = environment / "bin" / "python"
    install(python, project)
    return project, python


def install(python: Path, project: Path) -> None:
    """Install the copy, which compiles its C."""
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", ".", cwd=project)


def answer(fault: Fault, project: Path, python: Path) -> str:
    """Plant a fault, run its tests, take it out again, and say what they did."""
    path = next(project / file for file in fault.file.split() if (project / file).exists())
    before = path.read_text(encoding="utf-8")
    if before.count(fault.text) != 1:
        return f"stands {before.count(fault.text)} times in {fault.file}"
    path.write_text(before.replace(fault.text, fault.planted), encoding="utf-8")
    is_compiled = path.suffix == ".c"
    if is_compiled:
        install(python, project)
    tests = [test for test in fault.tests.split() if (project / test).exists()]
    options = ["-x", "-q", "-p", "no:cacheprovider", *(["-m", fault.marks] if fault.marks else [])]
    done = run(python, "-m", "pytest", *options, *tests, cwd=project, check=False)
    path.write_text(before, encoding="utf-8")
    if is_compiled:
        install(python, project)
    # 1: a test failed; below 0: the process died. All else says that pytest had no tests to run.
    return {0: "not caught", 1: "caught"}.get(done.returncode, "died" if done.returncode < 0 else done.stdout[-300:])


def record(column: str, answers: dict[int, str]) -> None:
    """Write the answers to a column of the table, and leave the others as they are."""
    rows = list(csv.DictReader(RESULTS.open(encoding="utf-8"), delimiter="\t")) if RESULTS.exists() else []
    old = {int(row["fault"]): row for row in rows}
    columns = list(dict.fromkeys([*(rows[0] if rows else ["fault", "file", "text", "planted"]), column]))
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, delimiter="\t", restval="", lineterminator="\n")
        table.writeheader()
        for number, fault in enumerate(FAULTS, start=1):
            shown = {"file": fault.file, "text": repr(fault.text), "planted": repr(fault.planted)}
            said = {column: answers[number]} if number in answers else {}
            table.writerow({**old.get(number, {}), "fault": number, **shown, **said})


def main() -> None:
    """Plant the faults that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", type=int, help="numbers from 1; all if none is given")
    parser.add_argument("--commit", help="of a commit instead of the working tree")
    parser.add_argument("--record", metavar="COLUMN", help=f"write the answers to {RESULTS.name}")
    arguments = parser.parse_args()
    answers: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        project, python = copied(arguments.commit, Path(folder))
        for number in arguments.faults or range(1, len(FAULTS) + 1):
            started = time.monotonic()
            answers[number] = answer(FAULTS[number - 1], project, python)
            took = time.monotonic() - started
            print(f"{number:2} {answers[number]:10} {took:4.0f} s  {FAULTS[number - 1].file}", flush=True)
            if arguments.record:
                record(arguments.record, answers)
    caught = sum(one in ("caught", "died") for one in answers.values())
    print(f"{caught} of {len(answers)} caught")


if __name__ == "__main__":
    main()
