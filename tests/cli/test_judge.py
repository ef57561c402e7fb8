"""`simmatrix judge`: the library's figures, from files of every kind; and one message for each that is none."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simloss
import simmatrix
from simloss.metrics import confused_pairs, judge
from tests.cli.command import Command, assert_mendable

NAMES = ("owl", "wren", "cod", "oak", "elm", "ash")
LIST = "class,superclass\nowl,bird\nwren,bird\ncod,fish\noak,tree\nelm,tree\nash,tree\n"
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 6, 40)
LOGITS = RANDOM.normal(size=(40, 6)) + 2 * np.eye(6)[LABELS]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


@pytest.fixture(autouse=True)
def files(command: Command) -> None:
    Path("c.csv").write_text(LIST)
    simmatrix.from_taxonomy("superclass", Path("c.csv"), measure="lcs-height", lower_bound=0.0).save("m")
    np.savez("p.npz", logits=LOGITS, labels=LABELS, classes=NAMES)


def write_table(path: str, scores: np.ndarray = PROBABILITIES, separator: str = ",") -> None:
    """Write the classes in another order than the matrix has, with labels by name."""
    order = [3, 1, 0, 5, 2, 4]
    lines = [separator.join(["label", *(NAMES[column] for column in order)])]
    for label, row in zip(LABELS, scores, strict=True):
        lines.append(separator.join([NAMES[label], *(repr(float(row[column])) for column in order)]))
    Path(path).write_text("\n".join(lines) + "\n")


def content(command: Command, *options: str) -> dict:
    return json.loads(command.good("judge", "m", *options, "--classes", "c.csv", "--json"))


def expected(name: str, preds: object) -> dict[str, float]:
    listed = simmatrix.read_classes(Path("c.csv"))
    options = {"taxonomy": simmatrix.read_taxonomy("superclass", listed), "superclasses": listed.column("superclass")}
    found = judge(preds, LABELS, simmatrix.load("m"), **options)
    return {key: pytest.approx(value, nan_ok=True) for key, value in found.items()}


def numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {key: np.nan if value is None else value for key, value in values.items()}


def test_the_figures_are_the_librarys(command: Command) -> None:
    found = content(command, "p.npz", "--confidence", "0.6", "--confidence", "0.9")
    decisions = {name: numbers(values) for name, values in found["decisions"].items()}
    matrix, listed = simmatrix.load("m"), simmatrix.read_classes(Path("c.csv"))
    taxonomy = simmatrix.read_taxonomy("superclass", listed)
    ranking = np.argsort(-simloss.expected_similarity(LOGITS, matrix), axis=1)[:, :5]
    with_superclasses = simloss.with_superclasses(LOGITS, listed.column("superclass")).argmax(1)
    for name, preds in {
        "most probable": LOGITS,
        "minimum risk": ranking,
        "superclass": with_superclasses,
        "back-off at 0.6": simloss.back_off(LOGITS, taxonomy, 0.6),
        "back-off at 0.9": simloss.back_off(LOGITS, taxonomy, 0.9),
    }.items():
        assert decisions.pop(name) == expected(name, preds)
    assert decisions == {}
    assert (found["examples"], found["classes"], found["temperature"]) == (40, 6, None)
    assert found["confused"] == [pair._asdict() for pair in confused_pairs(LOGITS, LABELS, matrix)]


@pytest.mark.parametrize("arrow", [True, False])
def test_every_kind_of_file_says_the_same(command: Command, arrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are matched by name; labels are names or indices; CSV is read with pyarrow and without."""
    if not arrow:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    whole = content(command, "p.npz")
    write_table("p.csv")
    write_table("p.tsv", separator="\t")
    write_table("logits.csv", LOGITS)
    np.savez("q.npz", probabilities=PROBABILITIES[:, ::-1], labels=np.array(NAMES)[LABELS], classes=NAMES[::-1])
    paths = ["p.csv", "p.tsv", "logits.csv", "q.npz"]
    if arrow:
        import pyarrow as pa
        from pyarrow import parquet

        columns = {"label": [NAMES[label] for label in LABELS], **dict(zip(NAMES, PROBABILITIES.T, strict=True))}
        parquet.write_table(pa.table(columns), "p.parquet")
        paths.append("p.parquet")
    for path in paths:
        found = content(command, path)
        for name, values in whole["decisions"].items():
            assert numbers(found["decisions"][name]) == pytest.approx(numbers(values), nan_ok=True)


def test_a_temperature_is_fitted_on_other_examples(command: Command) -> None:
    np.savez("v.npz", logits=3 * LOGITS, labels=LABELS, classes=NAMES)
    found = content(command, "p.npz", "--validation", "v.npz")
    assert found["temperature"] == pytest.approx(simloss.fit_temperature(3 * LOGITS, LABELS))
    scaled = expected("most probable", LOGITS / found["temperature"])
    assert numbers(found["decisions"]["most probable"]) == scaled
    # A class may be ruled out, but not the true one.
    out = np.where(np.arange(6) == (LABELS[:, None] + 1) % 6, -np.inf, 3 * LOGITS)
    np.savez("v.npz", logits=out, labels=LABELS, classes=NAMES)
    found = content(command, "p.npz", "--validation", "v.npz")
    assert found["temperature"] == pytest.approx(simloss.fit_temperature(out, LABELS))
    np.savez("v.npz", logits=out, labels=(LABELS + 1) % 6, classes=NAMES)
    assert_mendable(
        command("judge", "m", "p.npz", "--validation", "v.npz"), "v.npz: no temperature can be fitted: example 0"
    )


def test_labels_that_may_be_names_or_columns_are_told(command: Command) -> None:
    """Names that are numbers, in the order of text, as ImageFolder has them: 10 before 2."""
    names = tuple(sorted(map(str, range(12))))
    simmatrix.SimilarityMatrix(np.eye(12), names).save("ages")
    labels = np.arange(12).repeat(3)
    logits = 5 * np.eye(12)[labels] - 1
    accuracies = {}
    for path in ("t.csv", "t.parquet", "t.npz"):
        if path == "t.npz":
            np.savez(path, logits=logits, labels=labels, classes=names)
            told = "a label 2 is taken for column 2, which is 10; save names as text"
        else:
            table = {"label": [int(names[label]) for label in labels], **dict(zip(names, logits.T, strict=True))}
            frame = pd.DataFrame(table).sample(frac=1, random_state=0)  # whose index Parquet keeps as a column
            frame.to_csv(path) if path == "t.csv" else frame.to_parquet(path)
            first = int(frame["label"].iloc[0])
            told = f"a label {first} is taken for the class {first}, not for column {first}, which is {names[first]}"
        result = command("judge", "ages", path, "--json")
        assert f"warning: {path}: {told}\n" in result.err
        accuracies[path] = json.loads(result.out)["decisions"]["most probable"]["accuracy"]
    assert set(accuracies.values()) == {1.0}
    # Names that stand where they say, and numbers that are no names, can be read in one way.
    simmatrix.SimilarityMatrix(np.eye(12), tuple(map(str, range(12)))).save("ages")
    np.savez("t.npz", logits=logits, labels=labels, classes=list(map(str, range(12))))
    assert "is taken for" not in command("judge", "ages", "t.npz").err
    assert "is taken for" not in command("judge", "m", "p.npz").err
    older = tuple(map(str, range(18, 30)))
    simmatrix.SimilarityMatrix(np.eye(12), older).save("ages")
    pd.DataFrame({"label": [older[label] for label in labels], **dict(zip(older, logits.T, strict=True))}).to_csv(
        "t.csv"
    )
    result = command("judge", "ages", "t.csv", "--json")
    assert "is taken for" not in result.err
    assert json.loads(result.out)["decisions"]["most probable"]["accuracy"] == 1


def test_columns_without_names_are_told_once(command: Command) -> None:
    """In the order of the labels, which is not the matrix's, names mend the figures."""
    order = [3, 1, 0, 5, 2, 4]
    names = [NAMES[column] for column in order]
    arrays = {"logits": LOGITS[:, order], "labels": np.argsort(order)[LABELS]}
    np.savez("named.npz", **arrays, classes=names)
    np.savez("a.npz", **arrays)
    np.savez("b.npz", **arrays)
    right = content(command, "p.npz")["decisions"]
    for name, values in content(command, "named.npz")["decisions"].items():
        assert numbers(values) == pytest.approx(numbers(right[name]), nan_ok=True)
    its = "has no array classes, so its columns are taken in the order of"
    their = "have no array classes, so their columns are taken in the order of"
    for files, told in (
        (("a.npz",), f"a.npz {its} the matrix: owl, wren, cod …"),
        (("a.npz", "b.npz"), f"a.npz and b.npz {their} the matrix: owl, wren, cod …"),
        (("named.npz", "b.npz"), f"b.npz {its} named.npz: oak, wren, owl …"),
        (("a.npz", "named.npz"), f"a.npz {its} the matrix: owl, wren, cod …"),
    ):
        options = [files[0], *(part for path in files[1:] for part in ("--validation", path))]
        result = command("judge", "m", *options, "--classes", "c.csv", "--json")
        assert result.code == 0
        assert result.err.startswith(f"warning: {told}")
        assert result.err.count("warning: ") == 1
        assert result.err.endswith(
            "; if the model has another order, save the names in the model's order too: numpy.savez(..., classes=names)"
            "\n"
        )
        severity = json.loads(result.out)["decisions"]["most probable"]["severity"]
        assert (severity == right["most probable"]["severity"]) == (files[0] == "named.npz")


def test_what_people_see(command: Command) -> None:
    out = command.good("judge", "m", "p.npz", "--classes", "c.csv", "-o", "r.json", "--picture", "r.png")
    figures, decisions, confused = out.split("\n\n")
    assert "none fitted (--validation)" in figures
    header, *rows = decisions.splitlines()
    assert header.split()[:3] == ["decision", "accuracy", "severity"]
    assert [row.split("  ")[0] for row in rows] == [
        "most probable",
        "minimum risk",
        "superclass",
        "back-off at 0.5",
        "back-off at 0.75",
        "back-off at 0.9",
    ]
    assert rows[0].split()[2] == f"{(LOGITS.argmax(1) == LABELS).mean():.4f}"
    first = confused_pairs(LOGITS, LABELS, simmatrix.load("m"))[0]
    assert confused.splitlines()[1].split()[:3] == [first.truth, first.predicted, str(first.examples)]
    assert json.loads(Path("r.json").read_text())["examples"] == 40
    assert Path("r.png").read_bytes().startswith(b"\x89PNG")
    before = Path("r.png").read_bytes()
    command.good("judge", "m", "p.npz", "--classes", "c.csv", "--picture", "r.png")
    assert Path("r.png").read_bytes() == before


def test_without_a_taxonomy_nothing_backs_off(command: Command) -> None:
    result = command("judge", "m", "p.npz")
    assert result.code == 0
    assert "no taxonomy is known" in result.err
    assert "back-off" not in result.out


def test_a_matrix_with_a_lower_bound_is_no_yardstick(command: Command) -> None:
    """0.2 and then 0.25 are 0.2 + 0.25 (1 - 0.2) = 0.4 at once."""
    simmatrix.load("m").lower_bound(0.2).lower_bound(0.25).save("b")
    result = command("judge", "b", "p.npz", "--classes", "c.csv")
    assert result.code == 0
    assert "b has a lower bound of 0.4: " in result.err
    assert "--lower-bound 0\n" in result.err
    given = simmatrix.load("m")
    origin = given.provenance.with_step({"step": "lower_bound", "bound": "half"})
    simmatrix.SimilarityMatrix(given.to_dense(), given.classes, origin).save("foreign")
    for name, bound in (("m", 0.0), ("b", 0.4), ("foreign", 0.0)):
        out = command.good("judge", name, "p.npz", "--classes", "c.csv", "--json")
        assert json.loads(out)["lower_bound"] == pytest.approx(bound)
    assert "1 - S, the mean over the mistakes" in result.out


def test_the_columns_that_build_takes_are_the_superclasses(command: Command) -> None:
    """The finest of them is the superclass; and those that --taxonomy names go before."""
    expected = content(command, "p.npz")["decisions"]
    rows = [line.split(",") for line in LIST.splitlines()[1:]]
    kinds = {"bird": "animal", "fish": "animal", "tree": "plant"}
    lines = ["class,level_1,level_2,kin", *(f"{name},{kinds[group]},{group},{group}" for name, group in rows)]
    Path("c.csv").write_text("\n".join(lines) + "\n")
    found = content(command, "p.npz")["decisions"]
    assert found["superclass"]["superclass_accuracy"] == expected["superclass"]["superclass_accuracy"]
    assert found["most probable"]["node_depth"] == expected["most probable"]["node_depth"] + 1
    assert content(command, "p.npz", "--taxonomy", "kin")["decisions"] == expected
    lines[0] = "class,kind,kin,same"
    Path("c.csv").write_text("\n".join(lines) + "\n")
    assert content(command, "p.npz", "--taxonomy", "kin")["decisions"] == expected
    # What the matrix was built from needs no naming.
    simmatrix.from_taxonomy("kin", Path("c.csv"), measure="lcs-height", lower_bound=0.0).save("m")
    assert content(command, "p.npz")["decisions"] == expected
    # A code for each class groups nothing.
    coded = ["class,code,kin", *(f"{name},{code},{group}" for code, (name, group) in enumerate(rows))]
    Path("c.csv").write_text("\n".join(coded) + "\n")
    assert content(command, "p.npz", "--taxonomy", "code,kin")["decisions"] == expected


def test_any_taxonomy(command: Command) -> None:
    Path("t.txt").write_text("thing\n animal\n  owl\n  wren\n  cod\n tree\n  oak\n  elm\n  ash\n")
    out = command.good("judge", "m", "p.npz", "--taxonomy", "t.txt", "--confidence", "1")
    assert "back-off at 1 " in out


def savez(**arrays: object) -> None:
    np.savez("bad.npz", **arrays)


def write_labels(path: str, labels: list[Any]) -> None:
    frame = pd.DataFrame({"label": pd.array(labels), **dict(zip(NAMES, LOGITS[: len(labels)].T, strict=True))})
    frame.to_csv(path, index=False) if path.endswith(".csv") else frame.to_parquet(path)


# What is written, and what the message says.
BAD = [
    (lambda: Path("bad.csv").write_text(""), ("bad.csv", "is empty")),
    (lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash\n"), ("bad.csv", "holds no example")),
    (lambda: write_table("bad.csv", 2 * PROBABILITIES), ("example 0", "sum to 2", "--kind logits")),
    (lambda: write_table("bad.csv", PROBABILITIES * np.nan), ("example 0", "NaN or missing")),
    (
        lambda: Path("bad.csv").write_text("label,owl,wren\nowl,1,0\n"),
        ("no column for", "ash", "build a matrix of these alone"),
    ),
    (
        lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash,bat\nowl,1,0,0,0,0,0,0\n"),
        ("no class of the matrix", "bat"),
    ),
    (lambda: Path("bad.csv").write_text("owl,wren,cod,oak,elm,ash\n1,0,0,0,0,0\n"), ("0 columns for the label",)),
    (lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash\nbat,1,0,0,0,0,0\n"), ("'bat' is no class",)),
    (lambda: write_labels("bad.csv", ["0", ""]), ("example 1", "there is no label")),
    (lambda: write_labels("bad.csv", ["0", "owl"]), ("example 0", "'0' is no class")),
    (lambda: write_labels("bad.csv", ["0", "0.5"]), ("example 1", "'0.5' is no class")),
    (lambda: write_labels("bad.csv", ["1", f"1{'0' * 30}"]), ("example 1", f"is 1{'0' * 30}", "0 to 5")),
    (lambda: write_labels("bad.parquet", [0, None]), ("example 1", "there is no label")),
    (lambda: savez(logits=LOGITS[:1], labels=np.array([2**64 - 1])), ("is 18446744073709551615", "0 to 5")),
    (lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash\n9,1,0,0,0,0,0\n"), ("is 9", "0 to 5")),
    (lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash\nowl,1_0,0,0,0,0,0\n"), ("'1_0' is no num",)),
    (lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash\nowl,1,x,0,0,0,0\n"), ("line 2", "'x'")),
    (lambda: Path("bad.csv").write_text("label,owl,wren,cod,oak,elm,ash\nowl,1,0\n"), ("line 2", "3 fields")),
    (lambda: savez(logits=LOGITS[:, :4], labels=LABELS), ("shape (40, 4)", "(N, 6)", "build a matrix of these alone")),
    (lambda: savez(logits=LOGITS, labels=LABELS[:3]), ("3 labels for 40 examples",)),
    (lambda: savez(logits=LOGITS, labels=LABELS[:, None]), ("labels are int64 of shape (40, 1)", "shape (N)")),
    (lambda: savez(logits=LOGITS.astype(np.longdouble), labels=LABELS), ("logits are float128", "(N, 6)")),
    (lambda: savez(logits=LOGITS, labels=LABELS, classes=NAMES[1:]), ("classes are <U4 of shape (5,)", "shape (6)")),
    (lambda: savez(logits=LOGITS, labels=LABELS + 3), ("classes are 0 to 5",)),
    (lambda: savez(logits=LOGITS * np.nan, labels=LABELS), ("NaN",)),
    (lambda: savez(logits=LOGITS * np.inf, labels=LABELS), ("example 0", "the greatest score is infinite")),
    (lambda: savez(scores=LOGITS, labels=LABELS), ("scores", "either logits or probabilities")),
    (lambda: savez(preds=LABELS, labels=LABELS), ("predicted classes alone", "simloss.metrics.judge")),
    (lambda: savez(probabilities=LOGITS, labels=LABELS), ("negative", "--kind logits")),
    (
        lambda: savez(logits=LOGITS, labels=np.array([None] * 40)),
        ("no plain arrays", "labels: it holds Python objects"),
    ),
    (lambda: savez(logits=LOGITS, labels=LABELS, classes=["bat", *NAMES[1:]]), ("no column for owl",)),
    (lambda: Path("bad.npz").write_bytes(b"PK\x03\x04 and no more"), ("damaged or cut short",)),
    (lambda: Path("bad.parquet").write_bytes(b"PAR1 and no more"), ("no sound Parquet file",)),
    (lambda: Path("bad.xlsx").write_bytes(b"PK"), ("ends in .npz, .parquet, .csv, .tsv",)),
]


def test_bad_files(command: Command) -> None:
    for write, parts in BAD:
        for old in Path().glob("bad.*"):
            old.unlink()
        write()
        result = command("judge", "m", next(Path().glob("bad.*")), "--classes", "c.csv", "-o", "out.json")
        assert_mendable(result, *parts)
        assert "bad." in result.err
        assert not Path("out.json").exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--confidence", "0"], ("--confidence must be above 0 and at most 1, got 0.0",)),
        (["--confidence", "1.5"], ("got 1.5",)),
        (["--taxonomy", "family"], ("family",)),
        (["-o", "out.txt"], ("out.txt", ".json")),
        (["--picture", "out.gif"], ("out.gif", ".png")),
        (["--validation", "none.npz"], ("none.npz", "no such file")),
    ],
)
def test_bad_options(command: Command, options: list[str], parts: tuple[str, ...]) -> None:
    assert_mendable(command("judge", "m", "p.npz", "--classes", "c.csv", *options), *parts)
    assert not list(Path().glob("out.*"))


def test_help_needs_no_torch(command: Command) -> None:
    import subprocess

    code = "import sys; sys.argv = ['simmatrix', 'judge', '--help']\n"
    code += "from simmatrix.cli import main\ntry:\n    main()\nexcept SystemExit:\n    print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("False\n")
