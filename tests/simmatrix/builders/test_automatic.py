"""What a class list itself knows."""

import re
from pathlib import Path

import numpy as np
import pytest

import simmatrix
from simmatrix import ClassList, Provenance, SimilarityMatrix, SourceError
from simmatrix.builders.automatic import known_source, level_columns, levels_for, superclasses_of
from simmatrix.kinds import reading_of


def test_columns_that_group_the_classes() -> None:
    columns = {
        "size": ("1", "2", "3", "4"),
        "supercategory": ("x", "x", "y", "y"),
        "level_1": ("p", "p", "p", "p"),
        "Level 2": ("p", "q", "r", "r"),
        "Level 3": ("p", "q", "r", "s"),  # another group for each class
        "group": ("", "", "", ""),
        "synset": ("", "", "", ""),
    }
    listed = ClassList(("a", "b", "c", "d"), columns)
    assert level_columns(listed) == ("Level 2", "supercategory", "level_1")
    assert superclasses_of(listed) == ("p", "q", "r", "r")
    assert superclasses_of(ClassList(("a", "b"), {"level 3": ("x", "y")})) == ("x", "y")
    assert superclasses_of(ClassList(("a", "b"), {"kind": ("x", "y")})) == ()
    # The columns that a matrix was built from go before; but a foreign file may have anything there.
    grouped = ClassList(("a", "b"), {"kind": ("x", "y"), "group": ("p", "q"), "none": ("", "")})
    for built, expected in (
        (["kind"], ("kind",)),
        *((odd, ("group",)) for odd in ([], "kind", 7, ["kind", "lost"], [["kind"]], [7], ["none"])),
    ):
        matrix = SimilarityMatrix(np.eye(2), ("a", "b"), Provenance("taxonomy", {"columns": built}))
        assert levels_for(matrix, grouped) == expected
    coded = ClassList(("a", "b", "c"), {"code": ("1", "2", "3"), "kind": ("x", "y", "y")})
    assert superclasses_of(coded, ("code", "kind")) == ("x", "y", "y")


def test_a_column_of_paths_groups_the_classes() -> None:
    """Whatever it is called, where no name says that a column does."""
    names = ("rake", "spade", "lamp", "kite")
    paths = ("Home > Garden", "Home > Garden", "Home > Lights", "Toys > Outdoors")
    others = {
        "page": ("<b>rake</b>", "<b>spade</b>", "<b>lamp</b>", "<b>kite</b>"),
        "note": ("see there", "see there > here", "see there > below", "new"),  # half of them
        "all": ("in 2023 > rake", "in 2023 > spade", "in 2023 > lamp", "in 2023 > kite"),  # groups nothing
        "phrase": ("a > rake", "a > rake", "a > lamp", "b > kite"),
    }
    assert level_columns(ClassList(names, others)) == ()
    assert level_columns(ClassList(names, {**others, "sold in": paths, "stored in": paths})) == ("sold in",)
    assert level_columns(ClassList(names, {"sold in": paths, "group": ("x", "x", "y", "y")})) == ("group",)
    matrix = simmatrix.from_classes(ClassList(names, {**others, "sold in": paths}), lower_bound=0.0)
    assert matrix.provenance.builder == "taxonomy"
    # 1 / (edges + 1): of 2, 4 and 6 edges.
    assert [round(1 / matrix["rake", name]) for name in names[1:]] == [3, 5, 7]
    # A path that ends in the class's own name is the same hierarchy, and has the same superclasses; so has a list in
    # which a column of codes stands before the groups.
    own = tuple(f"{path} > {name}" for path, name in zip(paths, names, strict=True))
    listed = ClassList(names, {"sold in": own, "group": ("x", "x", "y", "z"), "code": ("1", "2", "3", "4")})
    same = simmatrix.from_taxonomy("sold in", listed, lower_bound=0.0)
    assert (same.to_dense() == matrix.to_dense()).all()
    assert superclasses_of(ClassList(names, {"sold in": own})) == superclasses_of(ClassList(names, {"sold in": paths}))
    alone, with_codes = (simmatrix.from_taxonomy(one, listed, lower_bound=0.0) for one in ("group", "code,group"))
    assert (alone.to_dense() == with_codes.to_dense()).all()


def test_columns_that_could_group_are_told_where_names_are_refused() -> None:
    listed = ClassList(("111", "112", "205", "423"), {"title": tuple("abcd"), "sector": ("x", "x", "y", "y")})
    with pytest.raises(SourceError, match=r"if sector can be superclasses: --from-taxonomy sector; the names are num"):
        known_source(listed)
    for reason in (
        simmatrix.suggest(listed).reason,
        simmatrix.suggest(ClassList(tuple("rstu"), listed.columns)).reason,
    ):
        assert reason.endswith("; if sector can be superclasses: --from-taxonomy sector")
    paths = ClassList(("a > b", "a > c", "d > e"))
    with pytest.raises(SourceError, match=r"--classes classes --class-column 'a b' --separator x$"):
        known_source(paths, reading_of("a b", "x"))


def test_columns_that_are_passed_over_are_told() -> None:
    names, paths = ("rose", "oak", "elm"), ("Plants > Flowers", "Plants > Trees", "Plants > Trees")
    empty = ClassList(names, {"superclass": ("", "", "")})
    for reason in (known_source(empty).reason, simmatrix.suggest(empty).reason):
        assert "; the column superclass is empty" in reason
    columns = {"sold in": paths, "kept in": ("Shop > A", "Shop > B", "Shop > A")}
    said = "the class list has the column sold in; not used: kept in, which holds paths; for it: --from-taxonomy "
    assert known_source(ClassList(names, columns)).reason == f"{said}'kept in'"
    # One that stands above the other is told with it.
    above = known_source(ClassList(names, {"sold in": paths, "above": ("Plants", "Plants", "Plants")})).reason
    assert above == "the class list has the column sold in"
    gaps = known_source(ClassList((*names, "ash"), {"level 2": ("a", "b", "", "b"), "level 1": ("x", "x", "", "x")}))
    assert gaps.reason == "the class list has the columns level 2, level 1, with gaps that must be filled in first: elm"


def test_the_page_names_the_columns_that_group_the_classes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "builders.md").read_text(encoding="utf-8")
    named = re.findall("`([^`]+)`", page.split("are those called")[1].split(". ")[0])
    numbered = named[-3:]
    assert (len(named), numbered) == (11, ["category", "group", "level"])
    spelt = [name.replace(" ", mark) for name in named for mark in (" ", "_", "-", "")]
    spelt += [f"{name}{mark}2".upper() for name in numbered for mark in (" ", "_", "-", "")]
    columns = dict.fromkeys(spelt, ("x", "y"))
    assert level_columns(ClassList(("a", "b"), columns)) == tuple(columns)


def test_columns_that_are_not_used_are_told_if_they_are_levels() -> None:
    names = ("sedan", "coupe", "lorry", "tram", "metro", "ferry", "canoe", "tanker")
    columns = {
        "group": ("car", "car", "truck", "rail", "rail", "ship", "boat", "ship"),
        "family": ("road",) * 3 + ("rail",) * 2 + ("water",) * 3,
    }
    others = {
        "wheels": ("4",) * 3 + ("8",) * 2 + ("0",) * 3,  # numbers
        "gruppe": ("Auto", "Auto", "Laster", "Bahn", "Bahn", "Schiff", "Boot", "Schiff"),  # the same groups
        "colour": ("red", "blue") * 4,  # across the groups
        "all": ("vehicle",) * 8,  # one group
        "wort": tuple(f"w{name}" for name in names),  # one class a group
        "gap": ("road",) * 3 + ("rail",) * 2 + ("water", "", "water"),  # not all are filled in
        "phrase": ("vehicle",) * 5 + ("vessel",) * 3,  # words to look up
        "a,b": ("vehicle",) * 5 + ("vessel",) * 3,  # no one can type it
    }
    size = {"size of all": ("small", "small", "large", "large", "large", "large", "small", "large")}
    said = "the class list has the column group"
    assert known_source(ClassList(names, {"group": columns["group"], **others})).reason == said
    found = known_source(ClassList(names, {**others, **columns, "synset": ("",) * 8}))
    assert found.reason == f"{said}; not used: family; for both: --from-taxonomy group,family"
    assert found.arguments == {"taxonomy": ("group",)}
    # A finer column goes first; one that is across another that is told is left out.
    finer = {"kind": ("car", "car", "truck", "tram", "metro", "ship", "boat", "ship")}
    found = known_source(ClassList(names, {**columns, **size, **finer}))
    assert found.reason == f"{said}; not used: kind, family; for all: --from-taxonomy kind,group,family"
    found = known_source(ClassList(names, {"group": columns["group"], **size}))
    assert found.reason == f"{said}; not used: size of all; for both: --from-taxonomy 'group,size of all'"
    # Without a column that is called so, the first that could be one is told, and what fits it.
    unfit = {name: others[name] for name in ("wheels", "all", "wort", "gap", "phrase", "a,b")}
    for other, hint in (
        (unfit, ""),
        ({**unfit, **size}, "if size of all can be superclasses: --from-taxonomy 'size of all'; "),
        ({"kind": columns["group"], **columns}, "if kind, family can be superclasses: --from-taxonomy kind,family; "),
    ):
        found = known_source(ClassList(names, {name: one for name, one in other.items() if name != "group"}))
        assert found.function == "from_embeddings"
        assert found.reason == (
            f"the class list has neither synsets nor superclasses; {hint}simmatrix suggest looks for a better source"
        )


@pytest.mark.parametrize(
    ("names", "function"), [(("rose", "tulip"), "from_embeddings"), (("n01440764", "n01443537"), "from_wordnet")]
)
def test_names_alone(names: tuple[str, ...], function: str) -> None:
    assert known_source(ClassList(names)).function == function


def test_names_that_are_no_words_are_refused() -> None:
    with pytest.raises(SourceError, match=r"the names are grades: .* simmatrix build --from-order --decay 0.5"):
        simmatrix.from_classes(["poor", "fair", "good"])


def test_the_bound_reaches_the_builder() -> None:
    whole = simmatrix.from_classes("cifar10", lower_bound=0.0)
    assert whole.to_dense().min() > 0
    assert [step["step"] for step in whole.provenance.normalisation] == ["clip", "unit_diagonal"]
