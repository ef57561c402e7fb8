"""Every source's bad input, through the command: one message that says what, where and what to do; nothing written."""

import json
from pathlib import Path

import numpy as np
import pytest

from simmatrix import SimilarityMatrix
from tests.cli.command import Command, assert_mendable

CLASSES = "class,superclass,synset,size\nrose,flower,,1\ntulip,flower,,2\noak,tree,oak.n.02,9\n"
EDGES = "plant rose\nplant tulip\nplant oak\n"
RATINGS = "a,b,rating\nrose,tulip,8\nrose,oak,4\ntulip,oak,5\n"
RATERS = "a,b,rating,rater\nrose,tulip,8,Ann\nrose,oak,4,Ann\ntulip,oak,5,\n"
TRIPLETS = "rose,tulip,oak\nrose,tulip,oak,rose\n"
COUNTS = ",rose,tulip,oak\nrose,8,1,1\ntulip,0,9,1\noak,1,1,8\n"

# The option, the file's contents, and what the message has to say.
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a cycle": ("taxonomy", EDGES + "rose plant\n", ("x, line 4: is a circle: plant is a kind of rose", "take one")),
    "a class in no taxonomy": ("taxonomy", EDGES.replace("oak", "oaks2"), ("oak: no such node, nearest oaks2", "add")),
    "two roots": (
        "taxonomy",
        EDGES.replace("plant oak", "wood oak"),
        ("x: 'rose' and 'oak' have no common ancestor (their roots are 'plant' and 'wood')", "put the roots under"),
    ),
    "an edge of one": ("taxonomy", EDGES + "rose\n", ("x, line 4: ", "write a parent and a child")),
    "off the scale": (
        "ratings --scale 0:5",
        RATINGS,
        ("x, line 2: the rating 8 of 'rose' and 'tulip' is off the scale", "mend it"),
    ),
    "a self-pair below the maximum": ("ratings", RATINGS + "oak,oak,3\n", ("x, line 5: ", "'oak'", "take the row out")),
    "contradictory duplicates": (
        "ratings",
        RATINGS + "tulip,rose,2\n",
        ("x, line 5: 'tulip' and 'rose' are rated 2, but 8 on line 2", "--duplicates mean"),
    ),
    "a rater column half filled": ("ratings", RATERS, ("x, line 4: ", "rater")),
    "an unknown class": (
        "ratings",
        RATINGS.replace("tulip,oak", "tulp,oak"),
        ("x, line 4: 'tulp' is no class", "did you mean tulip?", "--unknown ignore"),
    ),
    "pairs missing": (
        "ratings",
        RATINGS.replace("tulip,oak,5\n", ""),
        (
            "x: has no rating for 1 of the 3 pairs of classes: 'oak' and 'tulip'",
            "--complete mean or --complete low-rank",
        ),
    ),
    "no number": ("ratings", RATINGS + "rose,oak,four\n", ("x, line 5: ", "'four'")),
    "the odd one is not in it": ("triplets", "rose,tulip,oak,rose\nrose,tulip,oak,elm\n", ("x, line 2: ", "'elm'")),
    "cells too many": ("triplets", TRIPLETS, ("x, line 2: has 4 cells, the first row has 3",)),
    "negative counts": ("confusion", COUNTS.replace("tulip,0", "tulip,-3"), ("x, line 3: ", "-3 times", "mend it")),
    "a class never seen": (
        "confusion",
        COUNTS.replace("8,1,1", "0,0,0"),
        ("x, line 2: the class 'rose' was never seen",),
    ),
    "a name too few": ("confusion", COUNTS.replace("oak,1,1,8\n", ""), ("x: ", "'oak'")),
    "off the scale of 1": ("matrix", COUNTS, ("x, line 2: ", "--scale LOW:HIGH")),
    "distances": ("matrix", ",rose,tulip,oak\nrose,0,1,1\ntulip,1,0,1\noak,1,1,0\n", ("look like distances",)),
}


@pytest.fixture
def folder(command: Command) -> Path:
    (command.folder / "c.csv").write_text(CLASSES)
    return command.folder


@pytest.mark.parametrize("case", CASES)
def test_bad_sources(case: str, folder: Path, command: Command) -> None:
    options, text, parts = CASES[case]
    source, *others = options.split()
    (folder / "x").write_text(text)
    result = command("build", f"--from-{source}", "x", *others, "--classes", "c.csv", "-o", "o.safetensors")
    assert_mendable(result, *parts)
    assert sorted(path.name for path in folder.iterdir()) == ["c.csv", "x"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("--from-order", ("the kernel decay needs a decay", "in [0, 1), such as --decay 0.5")),
        ("--from-order --decay 1", ("a decay of 1.0 is outside [0, 1)",)),
        ("--from-order --decay 0.5 --positions superclass", ("rose ('flower')", "a finite number")),
        ("--from-order --decay 0.5 --positions siz", ("has no column 'siz'; did you mean size?",)),
        ("--from-order --decay 0.5 --positions size --circular", ("needs a period",)),
        ("--from-taxonomy missing.txt", ("missing.txt: there is no such file",)),
        (
            "--from-taxonomy superclas",
            ("'superclas' is neither a file nor a column of c.csv; did you mean superclass?",),
        ),
        ("--from-taxonomy superclass,siz", ("'siz' is neither a file nor a column of c.csv; did you mean size?",)),
        ("--from-taxonomy=", ("'' is neither a file nor a column", "columns are superclass, synset or size")),
        ("--from-taxonomy superclass --taxonomy-format edges", ("columns of the class list have no format edges",)),
        ("--from-order --decay 0.5 --top-k 3", ("can't keep 3 of the 2 other classes; give 1 to 2",)),
        (
            "--from-embeddings glove-6b-50d --search faiss",
            ("--search faiss finds the nearest of each class; say how many, such as --top-k 32",),
        ),
        ("--from-embeddings glove-6b-50d --search faiss --top-k 1 --recall 2", ("a recall of 2.0 is outside (0, 1]",)),
        ("--from-embeddings glove-6b-50d --top-k 1 --recall 0.9", ("--recall 0.9 is for --search faiss; all other",)),
        ("--from-ratings missing.csv", ("missing.csv: there is no such file",)),
        ("--from-ratings c.csv --scale ten", ("--scale must be two numbers such as '0:10', got 'ten'",)),
        ("--from-encoder missing", ("missing: is neither a folder nor the name of a model",)),
        ("--from-wordnet --wordnet oewn", ("'oewn'", "bundled", "nltk")),
        ("--from-wordnet --information-content tagged", ("path", "information content")),
        ("--from-wordnet --measure res --information-content missing.dat", ("missing.dat: there is no such file",)),
        ("--from-wordnet --language fra", ("fra", "nltk")),
    ],
)
def test_bad_options_of_a_source(options: str, parts: tuple[str, ...], folder: Path, command: Command) -> None:
    result = command("build", *options.split(), "--classes", "c.csv", "-o", "o.safetensors")
    assert_mendable(result, *parts)
    assert [path.name for path in folder.iterdir()] == ["c.csv"]


@pytest.mark.parametrize(
    ("synset", "parts"),
    [
        ("seal.n.99", ("rose", "seal.n.99", "seal.n.09")),
        ("n99999999", ("rose", "n99999999")),
        ("run.v.01", ("run.v.01", "verb")),
    ],
)
def test_synsets_that_will_not_do(synset: str, parts: tuple[str, ...], folder: Path, command: Command) -> None:
    (folder / "c.csv").write_text(CLASSES.replace("rose,flower,", f"rose,flower,{synset}"))
    result = command("build", "--from-wordnet", "--classes", "c.csv", "-o", "o.safetensors")
    assert_mendable(result, *parts)
    assert [path.name for path in folder.iterdir()] == ["c.csv"]


def test_a_class_that_is_no_word(folder: Path, command: Command) -> None:
    (folder / "c.csv").write_text("class\nrose\ntulipp\n")
    assert_mendable(command("build", "--from-wordnet", "--classes", "c.csv"), "tulipp", "nearest tulip")


def test_an_unknown_measure_lists_the_choices(folder: Path, command: Command) -> None:
    result = command("build", "--from-wordnet", "--measure", "pth", "--classes", "c.csv")
    assert result.code == 2
    assert all(name in result.err for name in ("path", "wup", "lch", "res", "lin", "jcn", "lcs-height"))
    assert [path.name for path in folder.iterdir()] == ["c.csv"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("--from-order --from-wordnet", ("--from-order and --from-wordnet are 2 sources", "simmatrix blend")),
        ("--from-order --from-matrix x --from-ratings y", ("are 3 sources",)),
        ("--decay 0.5", ("--decay belongs to --from-order, not to --from-wordnet",)),
        (
            "--from-order --measure wup",
            ("--measure belongs to --from-wordnet and --from-taxonomy, not to --from-order",),
        ),
        ("--from-wordnet --decay 0.5", ("--decay belongs to --from-order, not to --from-wordnet",)),
    ],
)
def test_one_source_a_call(options: str, parts: tuple[str, ...], folder: Path, command: Command) -> None:
    result = command("build", *options.split(), "--classes", "c.csv")
    message = " ".join(result.err.split())
    assert result.code == 2
    assert all(part in message for part in parts)
    assert [path.name for path in folder.iterdir()] == ["c.csv"]


def test_a_blend_of_different_classes(command: Command) -> None:
    SimilarityMatrix(np.eye(2), ("rose", "tulip")).save(command.folder / "a.safetensors")
    SimilarityMatrix(np.eye(2), ("rose", "oak")).save(command.folder / "b.safetensors")
    result = command("blend", "a.safetensors:0.5", "b.safetensors:0.5")
    assert_mendable(result, "a.safetensors", "b.safetensors", "tulip", "oak", "same class list")
    assert not (command.folder / "blend.safetensors").exists()


def test_the_senses_of_no_word(command: Command) -> None:
    assert_mendable(command("senses", "sealx"), "sealx", "seal")


def test_nothing_is_printed_of_a_bad_source_but_its_message(folder: Path, command: Command) -> None:
    (folder / "x").write_text(json.dumps({"plant": {"rose": 3}}))
    assert_mendable(command("build", "--from-taxonomy", "x", "--classes", "c.csv"), "x: below plant/rose stands 3")


def test_a_file_and_a_column_of_one_name(folder: Path, command: Command) -> None:
    (folder / "superclass").write_text(EDGES)
    result = command("build", "--from-taxonomy", "superclass", "--classes", "c.csv", "-o", "o.safetensors")
    assert_mendable(result, "'superclass' is a file and names what the class list has; write ./superclass for the file")
    command.good("build", "--from-taxonomy", "./superclass", "--classes", "c.csv", "--lower-bound", "0")


def test_columns_may_have_blanks_between(folder: Path, command: Command) -> None:
    text = CLASSES.replace(",size", ",kingdom").replace(",1\n", ",plant\n").replace(",2\n", ",plant\n")
    (folder / "c.csv").write_text(text.replace(",9\n", ",plant\n"))
    assert (
        "columns superclass and kingdom"
        in command("build", "--from-taxonomy", "superclass, kingdom", "--classes", "c.csv").out
    )
