"""Kinds of names, against lists that anyone can tell: what they are, where each class stands, what to build from."""

import re

import numpy as np
import pytest

from simmatrix import ClassList, from_order
from simmatrix.builders.automatic import phrases_of
from simmatrix.kinds import is_english, kind_of, misfit

ORDER = "--from-order --decay 0.5"
# The names, the kind, the options that are right, and where the classes stand.
KINDS: tuple[tuple[str, str | None, str, tuple[float, ...] | None], ...] = (
    ("strongly disagree|disagree|neutral|agree|strongly agree", "grades", ORDER, (0, 1, 2, 3, 4)),
    ("Very_Satisfied|Satisfied|Neither satisfied nor dissatisfied|Dissatisfied", "grades", ORDER, (3, 2, 1, 0)),
    ("agree|disagree|somewhat agree|not sure", "grades", f"{ORDER} --positions position", (3, 0, 2, 1)),
    ("No DR|Mild|Moderate|Severe|Proliferative DR", "grades", ORDER, (0, 1, 2, 3, 4)),
    ("Fair|Good|Very Good|Premium|Ideal", "grades", ORDER, (0, 1, 2, 3, 4)),
    ("high|low|medium", "grades", f"{ORDER} --positions position", (2, 0, 1)),
    ("A|B|C|D|F", "grades", ORDER, (4, 3, 2, 1, 0)),
    ("XS|S|M|L|XL", "grades", ORDER, (0, 1, 2, 3, 4)),
    ("calm|light breeze|storm|near gale", "grades", f"{ORDER} --positions position", (0, 1, 3, 2)),
    ("0|1|2|3", "numbers", ORDER, (0, 1, 2, 3)),
    ("0|1|10|2", "numbers", "--from-order --kernel laplace --length-scale 3.33 --positions class", (0, 1, 10, 2)),
    ("1 star|2 stars|3 stars", "numbers", ORDER, (1, 2, 3)),
    ("3 stars|1 star|2 stars", "numbers", f"{ORDER} --positions position", (3, 1, 2)),
    ("2010|1990|2000", "numbers", f"{ORDER} --length-scale 10 --positions class", (2010, 1990, 2000)),
    ("2010|2000|1990", "numbers", ORDER, (2010, 2000, 1990)),
    ("Stage I|Stage II|Stage III|Stage IV", "numbers", ORDER, (1, 2, 3, 4)),
    (
        "under 18|18-24|25 to 34|65 and over",
        "numbers",
        "--from-order --kernel laplace --length-scale 18.7 --positions position",
        (9, 18, 25, 65),
    ),
    ("1990s|2000s|2010s", "numbers", ORDER, (1990, 2000, 2010)),
    (
        "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
        "circle",
        f"{ORDER} --circular",
        (0, 1, 2, 3, 4, 5, 6),
    ),
    ("dec|jan|feb", "circle", f"{ORDER} --circular --period 12 --positions position", (11, 0, 1)),
    (
        "0°|90°|180°|270°",
        "circle",
        "--from-order --kernel gaussian --length-scale 45 --circular --period 360 --positions position",
        (0, 90, 180, 270),
    ),
    ("LABEL_0|LABEL_1", "placeholders", "", None),
    ("class 3|class 4|class 9", "placeholders", "", None),
    ("A00|A01.5|B02", "codes", "", None),
    ("A|B|C|Q|7", "characters", "", None),
    ("the|_|of|.", None, "", None),
    ("n01440764|n02085620", "synsets", "--from-wordnet", None),
    ("dog.n.01|seal.n.09", "synsets", "--from-wordnet", None),
    ("Home > Pots|Home > Pans|Toys > Dolls", "paths", "--separator ' > '", None),
    ("rec.autos|rec.motorcycles|sci.med", "paths", "--separator .", None),
    # Words, as far as can be seen.
    ("rose|tulip|oak", None, "", None),
    ("/a/airfield|/b/bakery/shop|/b/bar", None, "", None),
    ("T-shirt/top|Trouser|Bag", None, "", None),
    ("001.Albatross|002.Bunting|003.Crow", None, "", None),
    ("Boeing 737|Airbus 320|Tu 154", None, "", None),
    ("anger|fear|joy|neutral", None, "", None),
    ("spring|coil|nut", None, "", None),
    ("1 star|1 star b|2", None, "", None),
    # Of two classes there is no order to speak of.
    ("low|high", None, "", None),
)


def test_kinds() -> None:
    for names, name, options, positions in KINDS:
        kind = kind_of(names.split("|"))
        found = (None, "", None) if kind is None else (kind.name, kind.options, kind.positions)
        assert found == (name, options, positions), names


@pytest.mark.parametrize("names", ["2010|1990|2000", "1234567|3703701|2469134", "0.3|0.1|0.2", "3e-10|1e-10|2e-10"])
def test_numbers_out_of_order_have_the_similarities_that_they_have_in_order(names: str) -> None:
    values = [float(name) for name in names.split("|")]
    kind = kind_of([f"{value:.12f}".rstrip("0").rstrip(".") for value in values])
    assert kind is not None
    scale = re.search(r"--length-scale (\S+)", kind.options)
    found = from_order(
        ClassList(tuple("abc"), {"position": tuple(map(str, values))}),
        decay=0.5,
        length_scale=float(scale[1]) if scale else 1.0,
        positions="position",
    ).to_dense()
    ranks = np.argsort(np.argsort(values))
    np.testing.assert_allclose(found, 0.5 ** np.abs(ranks[:, None] - ranks), rtol=1e-6)


def test_the_order_is_shown_from_the_least() -> None:
    kind = kind_of(("high", "low", "medium"))
    assert kind is not None
    assert kind.reason == "the names are grades: low < medium < high"


def test_phrases_count_where_each_class_has_one() -> None:
    names = ("LABEL_0", "LABEL_1")
    assert phrases_of(ClassList(names)) == names
    assert phrases_of(ClassList(names, {"phrase": ("rose", "")})) == names
    assert phrases_of(ClassList(names, {"phrase": ("rose", "tulip")})) == ("rose", "tulip")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("rose|tulip", ""),
        ("dog.n.01|seal.n.09", ""),
        (
            "low|high|medium",
            "the names are grades: low < medium < high, of which word vectors and WordNet know nothing; build from "
            "that: simmatrix suggest 'my list.txt' -o my.tsv && simmatrix build --from-order --decay 0.5 --positions "
            "position --classes my.tsv",
        ),
        (
            "LABEL_0|LABEL_1",
            "the names are placeholders (LABEL_0, LABEL_1); say what they mean in a phrase column of the class list, "
            "or build from what is mistaken for what (simmatrix build --from-confusion)",
        ),
    ],
)
def test_what_is_said_of_names_that_are_no_words(names: str, sentence: str) -> None:
    assert misfit(names.split("|"), "my list.txt") == sentence


def test_english() -> None:
    assert is_english(["apple pie", "sea lions", "Bibimbap"])
    assert not is_english(["Hund", "Katze", "Vogel", "Auto"])
    assert not is_english(["собака", "кошка"])
