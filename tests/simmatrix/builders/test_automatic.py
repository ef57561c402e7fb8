"""What a class list itself knows."""

import pytest

import simmatrix
from simmatrix import ClassList, SourceError
from simmatrix.builders.automatic import known_source, level_columns


def test_columns_that_group_the_classes() -> None:
    columns = {
        "size": ("1", "2", "3"),
        "supercategory": ("x", "x", "y"),
        "level_1": ("p", "p", "p"),
        "Level 2": ("p", "q", "r"),
        "group": ("", "", ""),
        "synset": ("", "", ""),
    }
    assert level_columns(ClassList(("a", "b", "c"), columns)) == ("Level 2", "supercategory", "level_1")


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
