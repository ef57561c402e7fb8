"""Which class a name in a file stands for."""

import re
from pathlib import Path

import pytest

from simmatrix.builders.lookup import folded, forms, inputs, match, not_seen
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.provenance import Input

PATH = Path("folder/ratings.csv")
CLASSES = ClassList(("rose", "Sweet_Peppers", "tulip"))


def matched(*names: str, classes: ClassList = CLASSES, **options: str) -> dict[str, int]:
    lines = {name: line for line, name in enumerate(names, 1)}
    return dict(match(lines, classes, PATH, **options).indices)


def test_names_match_as_they_are_and_by_their_forms() -> None:
    assert matched("tulip", "Roses", "sweet pepper") == {"tulip": 2, "Roses": 0, "sweet pepper": 1}


def test_how_each_class_was_found_is_told_in_class_order() -> None:
    found = match({"tulip": 1, "ROSE": 1}, CLASSES, PATH)
    assert list(found.resolution.items()) == [
        ("rose", {"how": "name form", "words": ["ROSE"]}),
        ("tulip", {"how": "name", "words": ["tulip"]}),
    ]


def test_a_class_that_stands_there_as_it_is_is_no_other_name() -> None:
    assert matched("Roses", "rose", unknown="ignore") == {"rose": 0}
    with pytest.raises(SourceError, match="'Roses' is no class of classes"):
        matched("rose", "Roses")


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_a_name_that_could_be_two_classes_is_refused(unknown: str) -> None:
    classes = ClassList(("Rose", "rose", "truck"))
    with pytest.raises(SourceError, match=re.escape("line 2: 'ROSES' could be 'Rose' or 'rose'; spell")):
        matched("truck", "ROSES", classes=classes, unknown=unknown)


def test_a_name_that_is_a_class_is_no_form_of_another() -> None:
    assert matched("rose", "truck", classes=ClassList(("Rose", "rose", "truck"))) == {"rose": 1, "truck": 2}


def test_two_names_that_could_be_one_class_are_refused() -> None:
    with pytest.raises(SourceError, match="line 3: 'roses' could be the class 'rose', and so could 'ROSE' on line 1;"):
        matched("ROSE", "tulip", "roses")


def test_an_unknown_name_is_refused_with_the_nearest_classes() -> None:
    with pytest.raises(SourceError) as caught:
        matched("rose", "tulp", "car", "bus")
    assert str(caught.value) == (
        "folder/ratings.csv, line 2: 'tulp' is no class of classes (did you mean tulip?), nor are 'car', 'bus'; "
        'spell them as in the class list, or leave out what is not in it (unknown="ignore")'
    )


def test_two_unknown_names_are_told_in_the_singular() -> None:
    with pytest.raises(SourceError, match=r"'car' is no class of classes, nor is 'bus'; mend it$"):
        matched("rose", "car", "bus", remedy="mend it")


def test_many_unknown_names_are_counted() -> None:
    with pytest.raises(SourceError, match=r"nor are '1', '2', '3', '4', '5' and 3 more; mend it$"):
        matched(*map(str, range(9)), remedy="mend it")


def test_an_unknown_name_can_be_ignored() -> None:
    assert matched("rose", "tulp", unknown="ignore") == {"rose": 0}


def test_an_empty_name_is_refused_even_then() -> None:
    with pytest.raises(SourceError, match="line 2: a cell that should hold a name is empty"):
        matched("rose", "", unknown="ignore")


def test_another_way_with_unknown_names_is_refused() -> None:
    with pytest.raises(ParameterError, match="unknown must be 'error' or 'ignore', got 'drop'"):
        matched("rose", unknown="drop")


def test_classes_that_were_not_seen_are_named_with_what_is_near() -> None:
    error = not_seen(["tulip", *"abcdef"], ["tulips", "car", "a"], PATH, "lacks", "add them")
    assert isinstance(error, ClassNotFoundError)
    assert error.missing == ("tulip", *"abcdef")
    assert str(error) == (
        "folder/ratings.csv: lacks 'tulip' (nearest in the file: tulips), 'a', 'b', 'c', 'd' and 2 more; add them"
    )


def test_inputs_have_names_without_folders_that_can_be_written() -> None:
    assert inputs("ratings", Path("folder/a\udcff.csv"), "0" * 64, CLASSES) == (
        Input("ratings", "a\\udcff.csv", "0" * 64),
        Input("classes", "classes", CLASSES.sha256),
    )


@pytest.mark.parametrize("name", ["caf\u00e9", "cafe\u0301", "CAFE\u0301", "Caf\u00e9s"])
@pytest.mark.parametrize("known", ["caf\u00e9", "cafe\u0301", "Cafe\u0301"])
def test_accents_may_be_composed_or_not(name: str, known: str) -> None:
    assert matched("rose", name, classes=ClassList(("rose", known))) == {"rose": 0, name: 1}


def test_a_name_that_is_composed_in_another_way_is_found_as_a_name() -> None:
    # As `simmatrix.tables` gives it, composed.
    found = match({"caf\u00e9": 1}, ClassList(("cafe\u0301", "Caf\u00e9")), PATH)
    assert found.resolution == {"caf\u00e9": {"how": "name", "words": ["caf\u00e9"]}}


@pytest.mark.parametrize("name", ["ice cream", "ICE-CREAM", "IceCream", "ice_creams"])
def test_what_joins_words_does_not_matter(name: str) -> None:
    assert matched(name, classes=ClassList(("ice\u2010cream", "rose"))) == {name: 0}


def test_names_match_if_their_forms_fold_to_the_same() -> None:
    texts = [
        *("Ice-creams", "iceCream", "ICE CREAM", "Étés", "été", "T-shirt/tops", "t_shirt top", "Fire Men", "fireman"),
        *("SweetPeppers", "sweet pepper", "sweetpepper", "glasses", "Glass", "maple (trees)", "maple tree", "bus"),
    ]
    folds = {text: {folded(form) for form in forms(text)} - {""} for text in texts}
    for name in texts:
        for known in texts:
            found = match({name: 1}, ClassList((known, "something else")), PATH, unknown="ignore")
            assert bool(found.indices) == (not folds[name].isdisjoint(folds[known])), (name, known)
