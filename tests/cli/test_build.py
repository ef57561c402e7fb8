"""`simmatrix build`: the file it writes, what it says, and that the same inputs give the same bytes."""

import inspect
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.stats import mannwhitneyu

import simmatrix
from simmatrix import data
from simmatrix.choices import COMPLETIONS, KERNELS, VECTOR_FORMATS
from simmatrix.cli.sources import SOURCES, Source
from tests.cli.command import COMMAND, Command, assert_mendable, write_glove

Build: TypeAlias = Callable[[str], simmatrix.SimilarityMatrix]


def test_what_a_build_does_not_print_is_not_worked_out(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> None:
        raise AssertionError("this takes too long")

    monkeypatch.setattr("simmatrix.summary.quantiles", refused)
    command.good("build", "--classes", "cifar100", "-o", "m")
    command.good("validate", "m")
    command.good("blend", "m:0.5", "m:0.5", "-o", "b")


def test_the_first_minute(command: Command) -> None:
    result = command("build", "--classes", "cifar100")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    matrix = simmatrix.load(command.folder / "cifar100.safetensors")
    simmatrix.from_classes("cifar100").save("python")
    simmatrix.from_wordnet("cifar100").save("wordnet")
    found = {Path(name).read_bytes() for name in ("python", "wordnet", "cifar100.safetensors")}
    assert len(found) == 1
    figures = simmatrix.statistics(matrix)
    shown = dict(line.split(maxsplit=1) for line in lines if not line.startswith(("found", "next", "built")))
    assert shown["classes"] == "100"
    assert shown["density"] == f"{figures.density:.1%}"
    assert shown["influence"].split() == [f"{figures.influence:.3g}", "(0", "is", "cross", "entropy)"]
    assert shown["source"] == "--from-wordnet, since the class list has the column synset"
    assert shown["wordnet"] == "wordnet-3.0"
    size = (command.folder / "cifar100.safetensors").stat().st_size
    assert shown["file"] == f"cifar100.safetensors ({size:,} bytes)"
    assert lines[-1].endswith(
        'SimLoss.from_file("cifar100.safetensors", classes=train_set.classes, share=0.4, similarity_smoothing=0.05)'
    )


def test_of_an_option_without_its_value_it_is_said_what_that_is(command: Command) -> None:
    for option, what in (("--from-taxonomy", "PATH|COLUMN,…. Any hierarchy"), ("--from-encoder", "MODEL. A sentence")):
        result = command("build", "--classes", "cifar10", option)
        assert (result.code, f"{option} needs {what}" in " ".join(result.err.split())) == (2, True)


def test_of_a_missing_option_it_is_said_what_to_type(command: Command) -> None:
    for typed, right in (
        (("good.txt",), "--classes good.txt"),
        (("a b.txt", "--from-wordnet"), "--classes 'a b.txt' --from-wordnet"),
        ((), "--classes PATH|NAME|-"),
        (("--from-order",), "--classes PATH|NAME|- --from-order"),
    ):
        result = command("build", *typed)
        assert (result.code, result.out) == (2, "")
        assert result.err.splitlines()[-1] == f"Error: --classes is missing; type: simmatrix build {right}"


@pytest.mark.parametrize("file", ["m.safetensors", "m.safetensors.index.json"])
def test_that_a_matrix_is_replaced_is_said(file: str, command: Command) -> None:
    said = []
    for _time in range(2):
        out = command.good("build", "--classes", "cifar10", "--top-k", "2", "-o", file)
        said += [line for line in out.splitlines() if line.startswith("file ")]
    assert said[1] == said[0].replace(" bytes)", " bytes, replaces the matrix that was there)") != said[0]


@pytest.mark.parametrize(("options", "file"), [((), "mine.safetensors"), (("-o", "other.x"), "other.x")])
def test_the_file_is_named_after_the_class_list(options: tuple[str, ...], file: str, command: Command) -> None:
    folder = command.folder / "lists"
    folder.mkdir()
    (folder / "mine.txt").write_text("rose\ntulip\nlorry\n")
    command("build", "--classes", folder / "mine.txt", *options)
    assert simmatrix.load(command.folder / file).classes == ("rose", "tulip", "lorry")


def test_options_reach_the_library(command: Command) -> None:
    vectors = write_glove(command.folder / "v")
    (command.folder / "c.txt").write_text("rose\ntulip\noak\nlorry\n")
    arguments = ("--from-embeddings", "v", "--classes", "c.txt", "--lower-bound", "0.1", "--top-k", "2")
    command("build", *arguments, "--vector-format", "glove")
    expected = simmatrix.from_embeddings(vectors, command.folder / "c.txt", lower_bound=0.1).top_k(2)
    matrix = simmatrix.load("c.safetensors")
    np.testing.assert_array_equal(matrix.to_dense(), expected.to_dense())
    assert matrix.provenance == expected.provenance


def test_dropped_classes_are_named(command: Command) -> None:
    write_glove(command.folder / "v")
    (command.folder / "c.txt").write_text("rose\nqqq\ntulip\nzzz\n")
    result = command("build", "--from-embeddings", "v", "--classes", "c.txt", "--oov", "drop")
    assert result.code == 0
    assert "warning: not found, left out: qqq, zzz (2 of the classes)\n" in result.err
    assert simmatrix.load("c.safetensors").classes == ("rose", "tulip")
    # The loss would refuse what the command proposes otherwise: the training set has all classes.
    assert "next" not in result.out


def test_isolated_classes_are_named(command: Command) -> None:
    """Twelve classes, each alone in its group, and two that share one."""
    alone = [f"c{index}" for index in range(12)]
    rows = [f"{name},{name}" for name in alone] + ["rose,flower", "tulip,flower"]
    Path("c.csv").write_text("\n".join(["class,superclass", *rows]))
    options = ("--from-taxonomy", "superclass", "--measure", "lcs-height", "--lower-bound", "0")
    out = command.good("build", *options, "--classes", "c.csv")
    named = "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more"
    assert f"85.7% of the classes are similar to no other: {named}\n" in out
    Path("none.csv").write_text("\n".join(["class,superclass", *rows[-2:], "oak,tree", "elm,tree"]))
    assert "0.0% of the classes are similar to no other\n" in command.good("build", *options, "--classes", "none.csv")


def test_a_matrix_that_spoils_a_training_is_warned_of(command: Command) -> None:
    result = command("build", "--classes", "cifar100", "--lower-bound", "0.99")
    assert result.code == 0
    assert result.err.startswith("warning: the matrix is the identity")


def test_an_earlier_matrix_is_replaced(command: Command) -> None:
    for name in ("cifar10", "cifar100"):
        command.good("build", "--classes", name, "-o", "m")
    assert len(simmatrix.load("m")) == 100


def test_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        subprocess.run(
            [COMMAND, "build", "--classes", "cifar100", "-o", seed],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_an_unusable_output_is_told_before_anything_is_read(command: Command) -> None:
    Path("taken").write_text("my thesis")
    result = command("build", "--from-embeddings", "missing", "--classes", "cifar10", "-o", "taken")
    assert_mendable(result, "taken: is there already")


def test_the_choices_are_those_of_the_library() -> None:
    from simmatrix.builders import completion, order
    from simmatrix.vectors import formats

    for names, table in (
        (VECTOR_FORMATS, formats._READERS),
        (KERNELS, order._KERNELS),
        (COMPLETIONS, completion._METHODS),
    ):
        assert names == tuple(table)


def test_the_earlier_name_of_the_formats_still_works(command: Command) -> None:
    write_glove(command.folder / "v")
    (command.folder / "c.txt").write_text("rose\ntulip\noak\n")
    (command.folder / "t").write_text("plant rose\nplant tulip\nplant oak\n")
    for source, old, new in (
        (("--from-embeddings", "v"), "glove", "--vector-format"),
        (("--from-taxonomy", "./t"), "edges", "--taxonomy-format"),
    ):
        arguments = ("build", "--classes", "c.txt", "--lower-bound", "0.3", *source)
        command.good(*arguments, new, old, "-o", "new")
        result = command(*arguments, "--format", old, "-o", "old")
        assert (result.code, result.err) == (
            0,
            f"warning: --format is now {new}; the old name goes away in the next version\n",
        )
        assert Path("old").read_bytes() == Path("new").read_bytes()
        wrong = command(*arguments, "--format", "xls", "-o", "wrong")
        assert wrong.code == 2
        assert f"'xls' is no format of {new}" in " ".join(wrong.err.split())


def _sections(text: str) -> dict[str, set[str]]:
    """Return the options that stand under each heading of a help text."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            heading = line[:-1]
        elif line.startswith("  -"):
            found.setdefault(heading, set()).update(re.findall(r"--[a-z-]+", line.split("  ")[1]))
    return found


def test_the_help_says_which_source_each_option_belongs_to(command: Command) -> None:
    sections = _sections(command.good("build", "--help"))
    assert sections.pop("Options") == {
        *("--classes", "--class-column", "--separator", "--lower-bound", "--influence", "--top-k", "--pairs"),
        *("--output", "--help", "--workers", "--dask"),
    }
    assert sections.pop("Sources (one a call)") == {source.option for source in SOURCES}
    told = {
        (home, option)
        for heading, options in sections.items()
        for home in re.findall(r"--from-[a-z]+", heading)
        for option in options
    }
    told.remove(("--from-matrix", "--no-symmetrise"))  # the other side of --symmetrise
    assert told == {(source.option, f"--{name.replace('_', '-')}") for source in SOURCES for name in source.options}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_options_of_a_source_are_the_parameters_of_its_function(source: Source) -> None:
    parameters = inspect.signature(getattr(simmatrix, source.name)).parameters
    options = {"format" if name.endswith("format") else name for name in source.options}
    assert options | {"classes", "lower_bound"} <= parameters.keys()
    assert source.reports_progress == ("progress" in parameters)
    # What the function of the library takes beside, the command leaves at its default.
    assert source.finds_top_k == ("top_k" in parameters)
    beside = parameters.keys() - {*options, "classes", "lower_bound", "progress", "top_k"}
    assert len(beside) == (0 if source.name in ("from_order", "from_wordnet") else 1)


@pytest.mark.parametrize(
    "options",
    ["", "--from-wordnet", "--from-wordnet --top-k 5", "--from-order --decay 0.9", "--from-taxonomy superclass"],
)
def test_the_bound_for_an_influence_is_found_whatever_the_source(options: str, command: Command) -> None:
    lines = command.good("build", *options.split(), "--classes", "cifar100", "--influence", "0.3").splitlines()
    matrix = simmatrix.load("cifar100.safetensors")
    # Each similarity is rounded to float32.
    assert matrix.influence == pytest.approx(0.3, rel=2.0**-24)
    (bound,) = (step["bound"] for step in matrix.provenance.normalisation if step["step"] == "lower_bound")
    assert f"lower bound  {bound:.6g} (found for this influence)" in lines
    assert "influence    0.3 (0 is cross entropy)" in lines
    if "--top-k" in options:
        expected = simmatrix.from_wordnet("cifar100", lower_bound=0.0).top_k(5).lower_bound(bound)
        assert matrix.provenance.normalisation == expected.provenance.normalisation
        np.testing.assert_array_equal(matrix.to_dense(), expected.to_dense())


def test_the_influence_that_a_source_has_takes_no_bound(command: Command) -> None:
    whole = simmatrix.from_order("cifar10", decay=0.125)
    source = ("--from-order", "--decay", "0.125", "--classes", "cifar10")
    lines = command.good("build", *source, "--influence", f"{whole.influence:.9g}").splitlines()
    assert "lower bound  0 (found for this influence)" in lines
    assert simmatrix.load("cifar10.safetensors").provenance == whole.provenance


def test_no_influence_is_the_identity(command: Command) -> None:
    result = command("build", "--from-wordnet", "--classes", "cifar10", "--influence", "0")
    assert result.code == 0
    assert result.err.startswith("warning: the matrix is the identity")
    np.testing.assert_array_equal(simmatrix.load("cifar10.safetensors").to_dense(), np.eye(10))


@pytest.mark.parametrize(
    ("influence", "parts"),
    [
        ("9", ("an influence of 9.0 is more than the", "only lessens it", "ask for less")),
        ("-1", ("an influence of -1.0 is not a finite number of at least 0",)),
        ("nan", ("an influence of nan is not a finite number of at least 0",)),
        ("inf", ("an influence of inf is not a finite number of at least 0",)),
    ],
)
def test_an_influence_that_no_bound_gives(influence: str, parts: tuple[str, ...], command: Command) -> None:
    result = command("build", "--from-wordnet", "--classes", "cifar10", "--influence", influence)
    assert_mendable(result, *parts)
    assert list(command.folder.iterdir()) == []


def test_an_influence_that_is_less_than_the_same_classes_have(command: Command) -> None:
    Path("m.csv").write_text(",rose,tulip,oak\nrose,1,1,0.5\ntulip,1,1,0.5\noak,0.5,0.5,1\n")
    Path("c.txt").write_text("rose\ntulip\noak\n")
    result = command("build", "--from-matrix", "m.csv", "--classes", "c.txt", "--influence", "0.5")
    assert_mendable(result, "an influence of 0.5 is less than 0.666666667", "rose/tulip; ask for more")
    assert sorted(path.name for path in command.folder.iterdir()) == ["c.txt", "m.csv"]


# Told before anything is read.
@pytest.mark.parametrize("influence", ["0.3", "-1"])
def test_an_influence_and_a_bound_are_wrong_usage(influence: str, command: Command) -> None:
    result = command("build", "--classes", "missing.txt", "--lower-bound", "0.5", "--influence", influence)
    message = " ".join(result.err.split())
    assert result.code == 2
    assert "--influence finds the lower bound itself; give it or --lower-bound, not both" in message
    assert list(command.folder.iterdir()) == []


# What the library makes by default, the command makes, with the same options: to the last byte.
@pytest.mark.parametrize(
    ("options", "build"),
    [
        ("", simmatrix.from_classes),
        ("--from-wordnet --measure wup", lambda classes: simmatrix.from_wordnet(classes, measure="wup")),
        ("--from-taxonomy superclass", lambda classes: simmatrix.from_taxonomy("superclass", classes)),
        ("--from-embeddings glove-6b-50d", lambda classes: simmatrix.from_embeddings(classes=classes)),
        (
            "--from-embeddings glove-6b-50d --top-k 3",
            lambda classes: simmatrix.from_embeddings(classes=classes).top_k(3),
        ),
        ("--from-order --decay 0.9", lambda classes: simmatrix.from_order(classes, decay=0.9)),
        ("--from-wordnet --lower-bound 0", lambda classes: simmatrix.from_wordnet(classes, lower_bound=0.0)),
        ("--lower-bound 0.2", lambda classes: simmatrix.from_classes(classes, lower_bound=0.2)),
    ],
)
def test_python_and_the_command_make_the_same_matrix(options: str, build: Build, command: Command) -> None:
    result = command("build", *options.split(), "--classes", "cifar10", "-o", "command")
    build("cifar10").save("python")
    assert (result.code, Path("command").read_bytes()) == (0, Path("python").read_bytes())
    bounds = [step for step in simmatrix.load("command").provenance.normalisation if "from" in step]
    lines = [line for line in result.out.splitlines() if line.startswith("lower bound")]
    assert lines == [f"lower bound  {step['bound']:.6g} (median of all pairs)" for step in bounds]
    assert len(lines) == ("bound" not in options and "order" not in options)


@pytest.mark.parametrize(
    ("text", "source", "reason"),
    [
        (
            "class,synset,superclass\nseal,seal.n.09,x\noak,,y\nrose,,y\n",
            "wordnet",
            "the class list has the column synset",
        ),
        ("class,synset,superclass\nseal,,x\noak,,y\nrose,,y\n", "taxonomy", "the class list has the column superclass"),
        (
            "class,superclass,level 2\nseal,animal,x\noak,plant,x\nrose,plant,x\n",
            "taxonomy",
            "the class list has the columns superclass, level 2",
        ),
        (
            "class,weight\nseal,1\noak,2\nrose,2\n",
            "embeddings",
            "the class list has neither synsets nor superclasses; simmatrix suggest looks for a better source",
        ),
    ],
)
def test_the_class_list_says_which_source_it_knows(text: str, source: str, reason: str, command: Command) -> None:
    Path("c.csv").write_text(text)
    result = command("build", "--classes", "c.csv")
    assert result.code == 0
    assert f"source       --from-{source}, since {reason}" in result.out.splitlines()
    assert simmatrix.load("c.safetensors").provenance.builder == source
    simmatrix.from_classes("c.csv").save("python")
    assert Path("python").read_bytes() == Path("c.safetensors").read_bytes()


def test_by_default_cifar100_keeps_its_superclasses_together(command: Command) -> None:
    """The target of the defaults, from the file alone: SciPy's ranks, and the superclasses of the list's own file."""
    command.good("build", "--classes", "cifar100")
    values = load_file("cifar100.safetensors")["similarity"]
    rows = data.class_list_path("cifar100").read_text().splitlines()[1:]
    superclasses = np.array([row.split("\t")[1] for row in rows])
    upper = np.triu_indices(100, 1)
    similar, together = values[upper], (superclasses[:, None] == superclasses)[upper]
    # The share of pairs of pairs, one of a superclass and one across, that are ordered right; half of the ties.
    auc = mannwhitneyu(similar[together], similar[~together]).statistic / (together.sum() * (~together).sum())
    assert auc > 0.95
    assert ((values > 0).sum(axis=1) == 1).mean() < 0.05


def test_a_matrix_of_costs_that_depend_on_the_direction_is_kept(command: Command) -> None:
    Path("m.csv").write_text(",rose,tulip\nrose,1,0.75\ntulip,0.25,1\n")
    Path("c.txt").write_text("rose\ntulip\n")
    assert command("build", "--from-matrix", "m.csv", "--classes", "c.txt", "--no-symmetrise", "-o", "m").code == 0
    assert simmatrix.load("m").to_dense().tolist() == [[1, 0.75], [0.25, 1]]
    refused = command("build", "--classes", "c.txt", "--no-symmetrise")
    assert (refused.code, "--symmetrise belongs to --from-matrix" in " ".join(refused.err.split())) == (2, True)


def test_a_dense_matrix_of_very_many_classes_is_warned_of_before_it_is_made(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40,000 classes: 4 bytes a pair, or 8 bytes for each of 33 entries a row."""
    Path("c.csv").write_text("class,superclass\n" + "".join(f"a{at},b{at % 9}\n" for at in range(40_000)))

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("simmatrix.cli.sources.Source.build", refuse)
    result = command("build", "--classes", "c.csv", "--from-taxonomy", "superclass")
    assert "all pairs of 40,000 classes take 6.4 GB; --top-k 32 keeps the nearest of each, in 11 MB" in result.err
    for more in (("--from-taxonomy", "superclass", "--top-k", 32), ("--from-order", "--decay", 0.5)):
        assert "all pairs" not in command("build", "--classes", "c.csv", *more).err
