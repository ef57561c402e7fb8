"""One guard for classes in order, and one identity of names, wherever classes are given."""

import subprocess
import sys
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import ClassList, ClassOrderError, ParameterError, SimilarityError, SimilarityMatrix, read_classes
from simmatrix.names import names_in_order
from simmatrix.provenance import Input, Provenance
from simmatrix.storage import write_matrix

NAMES = ("rose", "tulip", "oak")
MATRIX = SimilarityMatrix(np.array([[1, 0.5, 0.25], [0.5, 1, 0], [0.25, 0, 1]]), NAMES)
Flower = StrEnum("Flower", NAMES)
WAYS: dict[str, Callable[[object], tuple[str, ...]]] = {
    "read_classes": lambda classes: read_classes(classes).names,
    "ClassList": lambda classes: ClassList(NAMES).select(classes).names,
    "reorder": lambda classes: MATRIX.reorder(classes).classes,
    "select": lambda classes: MATRIX.select(classes).classes,
    "from_order": lambda classes: simmatrix.from_order(classes, decay=0.5).classes,
    "names_in_order": names_in_order,
}
BACKWARDS = NAMES[::-1]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_in_order(way: str) -> None:
    for classes in (
        list(BACKWARDS),
        BACKWARDS,
        np.array(BACKWARDS),
        iter(BACKWARDS),
        dict(enumerate(BACKWARDS)),
        {2: "rose", 0: "oak", 1: "tulip"},
        {"0": "oak", "2": "rose", "1": "tulip"},
        {"rose": 2, "oak": 0, "tulip": 1},
        {"rose": np.int64(2), "oak": np.int32(0), "tulip": np.int64(1)},
        [Flower.oak, Flower.tulip, Flower.rose],
    ):
        found = WAYS[way](classes)
        assert found == BACKWARDS
        assert {type(name) for name in found} == {str}


def test_names_that_are_digits_are_no_indices() -> None:
    # torchvision's class_to_idx of MNIST and of folders that are named by numbers, and what Hugging Face makes of them.
    for classes in ({"7": 2, "0": 1, "2": 0}, {"1": 0, "0": 1, "2": 2}, {0: "1", 1: "0", 2: "2"}, {"0": "1", "1": "0"}):
        names = names_in_order(classes)
        assert names == (("2", "0", "7") if "7" in classes else ("1", "0", "2")[: len(classes)])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (set(NAMES), "the classes are a set, which has no order; give a list"),
        (frozenset(NAMES), "the classes are a set"),
        ({1: "rose", 2: "tulip", 3: "oak"}, "neither its keys nor its values are the indices 0 to 2"),
        ({"rose": 0, "tulip": 0, "oak": 1}, "neither its keys nor its values are the indices 0 to 2"),
        ({"rose": "flower", "tulip": "flower"}, "neither its keys nor its values"),
        ({0: 5, 1: 6}, r"class 0 .counted from 0. is 5, of type int; give the classes by name, as text, such as '5'$"),
    ],
)
def test_what_is_not(way: str, classes: object, message: str) -> None:
    with pytest.raises(ClassOrderError, match=message):
        WAYS[way](classes)


# In a process without the tests' check of types, which would refuse most of it first.
ELSEWHERE = """
import numpy as np
import simmatrix
names = ("rose", "tulip", "oak")
matrix = simmatrix.SimilarityMatrix(np.eye(3), names)
order = {"rose": 2, "oak": 0, "tulip": 1}
assert simmatrix.SimilarityMatrix(np.eye(3), order).classes == ("oak", "tulip", "rose")
assert simmatrix.SimilarityMatrix(np.eye(3), {value: key for key, value in order.items()}).classes[0] == "oak"
assert simmatrix.SimilarityMatrix(np.eye(3), list(names)).classes == names
assert simmatrix.blend(iter([[matrix, 0.5], (matrix, 0.5)])).classes == names
groups = {"rose": "a", "tulip": "b", "oak": "a"}
for classes in (set(names), frozenset(names), groups, {1: "rose", 2: "tulip", 3: "oak"}, (1, 2, 3)):
    calls = [simmatrix.ClassOrderError, simmatrix.SimilarityMatrix, np.eye(3), classes], [
        simmatrix.ClassOrderError, simmatrix.compare, matrix, matrix, classes
    ]
    for error, call, *arguments in calls:
        try:
            call(*arguments)
        except error:
            continue
        raise AssertionError((call, arguments))
for parts in ({(matrix, 0.5), (matrix, 0.25)}, {matrix: 1.0}, [matrix, matrix], [(matrix, 0.5, 0.5)], iter("ab")):
    try:
        simmatrix.blend(parts)
    except simmatrix.ParameterError as error:
        assert "the parts are no list of pairs" in str(error)
        continue
    raise AssertionError(parts)
for pair in ({"rose", "tulip"}, "ab", ["rose", "tulip"], ("rose",), names, "x" * 1000):
    try:
        matrix[pair]
    except simmatrix.ParameterError as error:
        assert "takes two names of classes" in str(error)
        assert len(str(error)) < 200
        continue
    raise AssertionError(pair)
try:
    matrix[0, 1]
except simmatrix.ClassOrderError as error:
    print(error)
"""


def test_what_has_no_order_is_refused_everywhere_else() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "give the classes by name" in done.stdout


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_a_name_is_the_same_however_its_accents_are_typed(tmp_path: Path) -> None:
    assert unicodedata.normalize("NFC", DECOMPOSED) == COMPOSED
    values = np.array([[1, 0.5], [0.5, 1]])
    matrix = SimilarityMatrix(values, (DECOMPOSED, "rose"))
    assert matrix.classes == (COMPOSED, "rose")
    assert matrix[DECOMPOSED, "rose"] == matrix["rose", COMPOSED] == 0.5
    assert matrix.neighbours(DECOMPOSED) == (("rose", 0.5),)
    assert matrix.reorder(["rose", DECOMPOSED]).classes == ("rose", COMPOSED)
    assert matrix.select(["rose", DECOMPOSED]).classes == ("rose", COMPOSED)
    other = SimilarityMatrix(values, ("rose", COMPOSED))
    assert simmatrix.blend([(matrix, 0.5), (other, 0.5)]).classes == (COMPOSED, "rose")
    listed = ClassList((DECOMPOSED, "rose"), {"phrase": (DECOMPOSED, "")})
    assert (listed.names, listed.columns["phrase"]) == ((COMPOSED, "rose"), (COMPOSED, ""))
    (tmp_path / "c.txt").write_text(f"{DECOMPOSED}\nrose\n")
    assert read_classes(tmp_path / "c.txt").names == (COMPOSED, "rose")
    (tmp_path / "t.txt").write_text(f"plant {DECOMPOSED}\nplant rose\n")
    found = simmatrix.from_taxonomy(tmp_path / "t.txt", tmp_path / "c.txt", lower_bound=0.0)
    assert found.provenance.resolution[COMPOSED] == {"how": "name", "words": [COMPOSED]}
    for names in ((COMPOSED, DECOMPOSED), (DECOMPOSED, "rose", COMPOSED)):
        with pytest.raises(SimilarityError, match="stands there twice"):
            read_classes(names)
        with pytest.raises(SimilarityError, match="stands there twice"):
            SimilarityMatrix(np.eye(len(names)), names)


def test_a_file_whose_names_were_written_decomposed_is_read_composed(tmp_path: Path) -> None:
    resolution = {DECOMPOSED: {"how": "name", "words": [DECOMPOSED]}}
    origin = Provenance("given", {}, (Input("classes", "c", "0"),), resolution)
    tensors = {"similarity": np.eye(2, dtype=np.float32)}
    write_matrix(tmp_path / "m", tensors, (DECOMPOSED, "rose"), origin)
    matrix = simmatrix.load(tmp_path / "m")
    assert matrix.classes == (COMPOSED, "rose")
    assert list(matrix.select([COMPOSED, "rose"]).provenance.resolution) == [COMPOSED]
    assert Provenance(resolution=resolution).only([COMPOSED]).resolution == {COMPOSED: resolution[DECOMPOSED]}


def test_a_column_is_the_same_however_its_accents_are_typed() -> None:
    for column, name in ((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)):
        matrix = simmatrix.from_order(ClassList(NAMES, {column: ("0", "1", "3")}), decay=0.5, positions=name)
        assert matrix["rose", "oak"] == 0.125


def test_a_bad_argument_is_a_value_error_too() -> None:
    for call in (
        lambda: simmatrix.from_order(NAMES, decay=2.0),
        lambda: MATRIX.lower_bound(1.0),
        lambda: simmatrix.from_wordnet(NAMES, measure="cosine"),
    ):
        with pytest.raises(ParameterError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, SimilarityError)


def test_the_nearest_influence_that_a_bound_can_give() -> None:
    values = np.array([[1, 1, 0.5], [1, 1, 0.25], [0.5, 0.25, 1]])
    matrix = SimilarityMatrix(values, NAMES)
    least, most = matrix.influence_range
    for asked, given in ((0.0, least), (least, least), (1.0, 1.0), (most, most), (9.0, most)):
        assert matrix.with_influence(asked, nearest=True).influence == pytest.approx(given, rel=2.0**-23)


SOURCES = ("confusion", "embeddings", "encoder", "order", "ratings", "ready", "taxonomy", "triplets", "wordnet")
LOADED = """
import sys
import simmatrix
getattr(simmatrix, sys.argv[1])
print(*(name for name in sys.modules if name.startswith("simmatrix")))
"""


def test_importing_one_source_imports_that_one() -> None:
    loaded = {}
    for source in SOURCES:
        name = "from_matrix" if source == "ready" else f"from_{source}"
        run = subprocess.run([sys.executable, "-c", LOADED, name], capture_output=True, text=True, check=True)
        loaded[source] = set(run.stdout.split())
        assert {one for one in SOURCES if f"simmatrix.builders.{one}" in loaded[source]} == {source}
    assert len(loaded["order"]) <= 25
    assert not any(name.startswith(("simmatrix.vectors", "simmatrix.taxonomy")) for name in loaded["order"])
