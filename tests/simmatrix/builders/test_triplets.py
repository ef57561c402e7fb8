"""Odd-one-out triplets, against counting by hand."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.triplets import shares, triplet_similarity
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.summary import concerns

NAMES = ("rose", "tulip", "truck", "bus")
Answer = tuple[str, str, str]
answers = st.lists(st.permutations(NAMES).map(lambda order: tuple(order[:3])), max_size=12).map(
    lambda drawn: [*drawn, *itertools.combinations(NAMES, 3)]
)


def similarity(folder: Path, text: str, *names: str, **options: object) -> RawSimilarity:
    path = folder / "triplets.csv"
    path.write_text(text, encoding="utf-8")
    return triplet_similarity(path, ClassList(names or NAMES), **options)


def written(rows: list[Answer]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def counted(rows: list[Answer], first: str, second: str) -> tuple[int, int]:
    """Return in how many triplets neither of two was odd, and how many hold both."""
    holding = [row for row in rows if first in row and second in row]
    return sum(row[2] not in (first, second) for row in holding), len(holding)


@settings(deadline=None)
@given(answers)
def test_shares_are_counted(tmp_path_factory: pytest.TempPathFactory, rows: list[Answer]) -> None:
    raw = similarity(tmp_path_factory.mktemp("triplets"), written(rows))
    assert raw.evidence is not None
    for i, first in enumerate(NAMES):
        for j, second in enumerate(NAMES):
            chosen, held = (1, 0) if i == j else counted(rows, first, second)
            assert raw.values[i, j] == chosen / max(held, 1)
            assert raw.evidence[i, j] == held


@settings(deadline=None)
@given(answers, st.randoms(use_true_random=False), st.sampled_from(["", "a,b,c,odd\n", "1,2,3,Odd one out\n"]))
def test_both_forms_in_any_order_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Answer], shuffle: random.Random, header: str
) -> None:
    folder = tmp_path_factory.mktemp("triplets")
    others = [(*shuffle.sample(row, 3), row[2]) for row in rows]
    shuffle.shuffle(others)
    one = similarity(folder, ("a,b,odd\n" if header else "") + written(rows))
    other = similarity(folder, header + "".join(",".join(row) + "\n" for row in others))
    assert one.values.tobytes() == other.values.tobytes()
    assert one.provenance.params == other.provenance.params
    assert one.provenance.params["triplets"] == len(rows)


@settings(deadline=None)
@given(answers, st.permutations(range(4)))
def test_permuting_the_classes_permutes_the_matrix(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Answer], order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("triplets")
    raw = similarity(folder, written(rows))
    permuted = similarity(folder, written(rows), *(NAMES[index] for index in order))
    assert (permuted.values == raw.values[np.ix_(order, order)]).all()


def test_what_is_recorded(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "Roses\ttulip\ttruck\ntulip\tcar\tRoses\n", *NAMES[:3], unknown="ignore")
    assert raw.provenance.params == {"triplets": 1, "complete": None, "completed": 0, "unknown": "ignore", "ignored": 1}
    assert (raw.provenance.builder, raw.scale) == ("triplets", None)
    assert [(one.role, one.name) for one in raw.provenance.source] == [
        ("triplets", "triplets.csv"),
        ("classes", "classes"),
    ]
    assert raw.provenance.resolution["rose"] == {"how": "name form", "words": ["Roses"]}


def test_gaps_are_completed_where_asked_and_by_an_embedding_else(tmp_path: Path) -> None:
    text = "rose,tulip,truck\nrose,tulip,bus\n"
    raw = similarity(tmp_path, text, complete="mean")
    assert raw.values[2, 3] == raw.values[3, 2] == 0.2
    assert raw.evidence is not None
    assert (raw.evidence[2, 3], raw.provenance.params["completed"]) == (0, 1)
    embedded = similarity(tmp_path, text)
    params = embedded.provenance.params
    assert (params["method"], params["completed"], params["held_out"]) == ("embedding", 1, 1)
    assert params["held_out_error"] == 0
    assert (raw.evidence == embedded.evidence).all()
    # Truck and bus are in no triplet, but odd beside the same.
    assert min(embedded.values[0, 1], embedded.values[2, 3]) > 4 * embedded.values[0, 2]
    (told,) = [one for one in concerns(embedded.normalised()) if "embedding" in one]
    assert told.startswith("1 of the 6 pairs are in no triplet; an ordinal embedding gives all values, and errs on 0%")


def test_columns_that_are_named_may_have_others_beside_them(tmp_path: Path) -> None:
    plain = similarity(
        tmp_path, "rose,tulip,truck,tulip\nrose,tulip,bus,bus\ntulip,truck,bus,tulip\nrose,truck,bus,rose\n"
    )
    rows = ["rater,odd,c,b,a", "x,tulip,truck,tulip,rose", "x,bus,bus,tulip,rose", "y,tulip,bus,truck,tulip"]
    named = similarity(tmp_path, "\n".join([*rows, "y,rose,bus,truck,rose", ""]))
    assert (named.values == plain.values).all()


def test_a_million_triplets_are_counted_at_once() -> None:
    drawn = np.random.default_rng(0).integers(0, 100, (1_000_000, 3))
    drawn = drawn[(drawn[:, 0] != drawn[:, 1]) & (drawn[:, 0] != drawn[:, 2]) & (drawn[:, 1] != drawn[:, 2])]
    values, evidence = shares(drawn, 100)
    both = (drawn == 3).any(axis=1) & (drawn == 7).any(axis=1)
    neither = both & (drawn[:, 2] != 3) & (drawn[:, 2] != 7)
    assert (evidence[3, 7], values[7, 3]) == (both.sum(), neither.sum() / both.sum())
    assert evidence.sum() == 6 * len(drawn)


GOOD = "rose,tulip,truck\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("# nothing\n", None, "holds no triplets; write a, b, odd or a, b, c, odd"),
        ("a,b,odd\n", None, "holds no triplets; write a, b, odd or a, b, c, odd"),
        ("rose tulip truck\n", 1, "has 1 cells; write a, b, odd or a, b, c, odd, separated by tabs or commas"),
        ("rose;tulip;truck\n", 1, "separates its cells by semicolons; separate them by commas or tabs$"),
        (GOOD + "rose,tulip\n", 2, "has 2 cells, the first row has 3; "),
        (GOOD + "rose,tulip,truck,truck\n", 2, "has 4 cells, the first row has 3; "),
        ("rater,a,b,c,odd\nx,rose,tulip,truck\n", 2, "has 4 cells, the first row has 5; "),
        (GOOD + "rose,tulip,rose\n", 2, "the triplet rose, tulip, rose holds one twice; it takes three different ones"),
        (GOOD + "rose,rose,tulip\n", 2, "the triplet rose, rose, tulip holds one twice"),
        (GOOD + "tulip,rose,rose\n", 2, "the triplet tulip, rose, rose holds one twice"),
        ("rose,tulip,bus,rose\n\nrose,tulip,bus,truck\n", 3, "the odd one, 'truck', is none of rose, tulip, bus; name"),
        (GOOD + "rose,tulip,trukc\n", 2, r"'trukc' is no class of classes \(did you mean truck\?\); "),
        (GOOD + "rose,,bus\n", 2, "should hold a name is empty"),
    ],
)
def test_bad_triplets_are_refused_with_their_line(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        similarity(tmp_path, text)
    assert (caught.value.path, caught.value.line) == (tmp_path / "triplets.csv", line)


def test_two_spellings_of_a_class_in_one_triplet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 1: 'Roses' is no class"):
        similarity(tmp_path, "rose,Roses,tulip\n")


def test_a_class_may_be_called_odd(tmp_path: Path) -> None:
    assert similarity(tmp_path, "rose,tulip,odd\n", "rose", "tulip", "odd").values[0, 1] == 1


def test_a_class_that_was_never_seen_is_an_error_even_with_completion(tmp_path: Path) -> None:
    with pytest.raises(ClassNotFoundError, match="has no triplet of classes with 'bus'; ask") as caught:
        similarity(tmp_path, GOOD + "rose,bus,car\n", complete="mean", unknown="ignore")
    assert caught.value.missing == ("bus",)


@pytest.mark.parametrize("option", [{"complete": "median"}, {"unknown": "drop"}])
def test_options_are_checked(tmp_path: Path, option: dict[str, str]) -> None:
    with pytest.raises(ParameterError, match=r"(complete|unknown) must be .*, got"):
        similarity(tmp_path, GOOD, **option)
