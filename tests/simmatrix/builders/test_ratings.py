"""Pair ratings, against plain Python and the files that people use."""

import csv
import hashlib
import itertools
import json
import math
import random
import statistics
from collections import defaultdict
from pathlib import Path

import gensim
import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders.ratings import rating_similarity
from simmatrix.builders.raw import RawSimilarity
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.matrix import load

SHIPPED = Path(gensim.__file__).parent / "test" / "test_data"
NAMES = ("rose", "tulip", "truck", "bus")
PAIRS = list(itertools.combinations(NAMES, 2))
Row = tuple[str, str, float, str]


def similarity(folder: Path, text: str, *names: str, **options: object) -> RawSimilarity:
    path = folder / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    return rating_similarity(path, ClassList(names or NAMES[:3]), **options)


def written(rows: list[Row]) -> str:
    return "".join(f"{a},{b},{rating!r},{rater}\n" for a, b, rating, rater in rows)


def own_scales(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest rating of each rater."""
    own: dict[str, list[float]] = defaultdict(list)
    for *_pair, rating, rater in rows:
        own[rater].append(rating)
    return {rater: (min(ratings), max(ratings)) for rater, ratings in own.items()}


def placed(rating: float, scale: tuple[float, float]) -> float:
    return (rating - scale[0]) / (scale[1] - scale[0])


def oracle(rows: list[Row]) -> dict[tuple[str, str], float]:
    """Return each pair's mean over its raters, of the ratings' places on their raters' own scales."""
    scales = own_scales(rows)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for a, b, rating, rater in sorted({(*sorted(row[:2]), *row[2:]) for row in rows if row[0] != row[1]}):
        found[a, b].append(placed(rating, scales[rater]))
    return {pair: statistics.fmean(ratings) for pair, ratings in found.items()}


def shipped(name: str) -> list[tuple[str, str, float]]:
    with (SHIPPED / name).open(encoding="utf-8") as file:
        rows = csv.reader((line for line in file if not line.startswith("#")), delimiter="\t")
        return [(first, second, float(rating)) for first, second, rating in rows]


def test_one_rating_a_pair(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "tulip,rose,5\nrose,truck,1\n# odd\ntulip,truck,2\nrose,rose,5\n")
    assert raw.values.tolist() == [[5, 5, 1], [5, 5, 2], [1, 2, 5]]
    assert raw.evidence is not None
    assert raw.evidence.tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert raw.scale == (1.0, 5.0)
    assert raw.provenance.params == {
        "scale": [1.0, 5.0],
        "scale_from": "ratings",
        "complete": None,
        "completed": 0,
        "unknown": "error",
        "ignored": 0,
        "duplicates": "error",
        "averaged": 0,
    }
    assert (raw.provenance.builder, raw.classes) == ("ratings", NAMES[:3])
    digest = hashlib.sha256((tmp_path / "ratings.csv").read_bytes()).hexdigest()
    assert [tuple(one) for one in raw.provenance.source] == [
        ("ratings", "ratings.csv", digest),
        ("classes", "classes", ClassList(NAMES[:3]).sha256),
    ]
    assert raw.provenance.resolution["tulip"] == {"how": "name", "words": ["tulip"]}


def test_a_stated_scale_is_recorded(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "tulip,rose,5\nrose,truck,1\ntulip,truck,2\n", scale=(0.0, 10.0))
    assert raw.values.diagonal().tolist() == [10, 10, 10]
    assert raw.scale == (0.0, 10.0)
    assert (raw.provenance.params["scale"], raw.provenance.params["scale_from"]) == ([0.0, 10.0], "given")


def test_names_match_by_their_forms(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "Tulips,rose,5\nrose,truck,1\nTulips,truck,2\n")
    assert raw.values[0, 1] == 5
    assert raw.provenance.resolution["tulip"] == {"how": "name form", "words": ["Tulips"]}


@st.composite
def rated(draw: st.DrawFn) -> list[Row]:
    """Draw ratings of all pairs by two or three raters, each of whom tells pairs apart."""
    rows: list[Row] = []
    for rater in ("ann", "bob", "cy")[: draw(st.integers(2, 3))]:
        for pair in PAIRS:
            rating = draw(st.integers(1, 7))
            rows.append((*draw(st.permutations(pair)), float(rating), rater))
        rows.append((*PAIRS[0], rows[-len(PAIRS)][2], rater))
        if len({rating for *_pair, rating, who in rows if who == rater}) == 1:
            rows = [(a, b, 8 - rating if (a, b) in PAIRS[-1:] else rating, who) for a, b, rating, who in rows]
    left = draw(st.sampled_from([None, *range(len(PAIRS))]))
    if left is not None:  # the last rater skips a pair
        rows = [row for row in rows if row[3] != rows[-1][3] or set(row[:2]) != set(PAIRS[left])]
    own = defaultdict(set)
    for *_pair, rating, who in rows:
        own[who].add(rating)
    return rows if all(len(ratings) > 1 for ratings in own.values()) else [*BASE]


BASE: list[Row] = [(a, b, float(index), rater) for rater in ("ann", "bob") for index, (a, b) in enumerate(PAIRS, 1)]


@settings(deadline=None)
@given(rated())
def test_several_raters_are_aligned_and_averaged(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    raw = similarity(tmp_path_factory.mktemp("ratings"), written(rows), *NAMES)
    expected = oracle(rows)
    for i, first in enumerate(NAMES):
        for j, second in enumerate(NAMES):
            if i != j:
                assert raw.values[i, j] == pytest.approx(expected[min(first, second), max(first, second)], abs=1e-9)
                assert raw.evidence is not None
                assert raw.evidence[i, j] == len({rater for *pair, _, rater in rows if set(pair) == {first, second}})
    assert (raw.scale, raw.provenance.params["scale_from"]) == ((0.0, 1.0), "raters")
    data = [
        [
            next((placed(r, scale) for a, b, r, who in rows if who == rater and {a, b} == set(pair)), math.nan)
            for pair in PAIRS
        ]
        for rater, scale in sorted(own_scales(rows).items())
    ]
    assert raw.provenance.params["raters"] == len(data)
    alpha = krippendorff.alpha(reliability_data=data, level_of_measurement="interval")
    assert raw.provenance.params["alpha"] == pytest.approx(alpha, abs=1e-6)
    json.dumps(dict(raw.provenance.params))


@settings(deadline=None)
@given(rated(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_of_words_says_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], shuffle: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("ratings")
    rows = [*rows, ("car", "rose", 2.0, "ann"), ("bike", "car", 3.0, "bob")]
    others = [(*shuffle.sample(row[:2], 2), *row[2:]) for row in rows]
    shuffle.shuffle(others)
    one, other = (similarity(folder, written(each), *NAMES, unknown="ignore") for each in (rows, others))
    assert one.values.tobytes() == other.values.tobytes()
    assert one.provenance.params == other.provenance.params
    assert one.provenance.params["ignored"] == 2


@settings(deadline=None)
@given(rated(), st.permutations(range(4)))
def test_permuting_the_classes_permutes_the_matrix(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("ratings")
    raw = similarity(folder, written(rows), *NAMES)
    permuted = similarity(folder, written(rows), *(NAMES[index] for index in order))
    np.testing.assert_allclose(permuted.values, raw.values[np.ix_(order, order)], rtol=1e-12)


def test_raters_who_never_meet_have_no_agreement(tmp_path: Path) -> None:
    text = "rose,tulip,5,ann\nrose,bus,1,ann\ntruck,bus,5,bob\ntulip,truck,1,bob\ntulip,bus,2,bob\nrose,truck,2,ann\n"
    assert similarity(tmp_path, text, *NAMES).provenance.params["alpha"] is None


def test_ratings_near_0_have_an_agreement_that_can_be_kept(tmp_path: Path) -> None:
    text = "rose,tulip,1e-200,x\nrose,tulip,2e-200,y\nrose,truck,0,x\ntulip,truck,0,y\n"
    raw = similarity(tmp_path, text, scale=(0.0, 1.0))
    assert raw.provenance.params["alpha"] == 0.0
    raw.normalised().save(tmp_path / "m")
    assert load(tmp_path / "m").provenance.params["alpha"] == 0.0


def test_one_rater_is_not_aligned(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "rose,tulip,5,ann\nrose,truck,1,ann\ntulip,truck,1,ann\n")
    assert (raw.values[0, 1], raw.provenance.params["raters"], raw.provenance.params["alpha"]) == (5, 1, None)


def test_self_ratings_count_and_do_not_align(tmp_path: Path) -> None:
    text = "rose,tulip,5,ann\nrose,truck,1,ann\ntulip,truck,2,ann\n"
    alone = similarity(tmp_path, text + text.replace("ann", "bob"))
    raw = similarity(tmp_path, text + text.replace("ann", "bob") + "rose,rose,5,bob\nrose,rose,5,ann\n")
    assert raw.values.tolist() == alone.values.tolist()
    assert raw.evidence is not None
    assert raw.evidence.diagonal().tolist() == [2, 0, 0]
    assert raw.provenance.params["raters"] == 2


def test_rows_without_raters_that_say_the_same_are_votes(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "rose,tulip,5\ntulip,rose,5.0\nrose,truck,1\ntulip,truck,2\n" + "rose,rose,5\n" * 3)
    assert raw.values[0, 1] == 5
    assert raw.evidence is not None
    assert (raw.evidence[0, 1], raw.evidence[0, 0], raw.provenance.params["averaged"]) == (2, 3, 0)


def test_a_rater_who_says_the_same_twice_counts_once(tmp_path: Path) -> None:
    text = "rose,tulip,5,ann\ntulip,rose,5.0,ann\nrose,truck,1,ann\ntulip,truck,2,ann\n"
    raw = similarity(tmp_path, text + "rose,rose,5,ann\n" * 2)
    assert raw.evidence is not None
    assert (raw.evidence[0, 1], raw.evidence[0, 0], raw.provenance.params["averaged"]) == (1, 1, 0)


@pytest.mark.parametrize("rater", ["", ",ann"])
def test_the_mean_is_of_every_row(tmp_path: Path, rater: str) -> None:
    rows = ("rose,tulip,5", "tulip,rose,5", "rose,tulip,9", "rose,tulip,5", "rose,truck,1", "tulip,truck,2")
    raw = similarity(tmp_path, "".join(f"{row}{rater}\n" for row in rows), duplicates="mean")
    assert raw.values[0, 1] == raw.values[1, 0] == 6
    assert raw.evidence is not None
    assert (raw.evidence[0, 1], raw.evidence[0, 2], raw.provenance.params["averaged"]) == (4, 1, 1)


@settings(deadline=None)
@given(st.lists(st.integers(-70, 70).map(lambda tenths: tenths / 10), min_size=1, max_size=9))
def test_the_mean_is_the_mean(tmp_path_factory: pytest.TempPathFactory, ratings: list[float]) -> None:
    text = "".join(f"rose,tulip,{rating!r}\n" for rating in ratings)
    raw = similarity(tmp_path_factory.mktemp("r"), text, "rose", "tulip", duplicates="mean", scale=(-7.0, 7.0))
    assert raw.values[0, 1] == pytest.approx(statistics.fmean(ratings), abs=1e-13)
    if len(set(ratings)) == 1:
        assert raw.values[0, 1] == ratings[0]
    assert raw.evidence is not None
    assert raw.evidence[0, 1] == len(ratings)


def test_each_rater_has_one_voice_however_often_they_rate(tmp_path: Path) -> None:
    ann = (
        "rose,tulip,5,ann\nrose,tulip,5,ann\nrose,tulip,5,ann\nrose,tulip,1,ann\nrose,truck,0,ann\ntulip,truck,2,ann\n"
    )
    bob = "rose,tulip,6,bob\nrose,truck,0,bob\ntulip,truck,3,bob\n"
    raw = similarity(tmp_path, ann + bob, duplicates="mean")
    # ann's mean is 4 on a scale from 0 to 5, bob says 6 on one from 0 to 6.
    assert raw.values[0, 1] == pytest.approx((4 / 5 + 1) / 2)
    assert raw.evidence is not None
    assert raw.evidence[0, 1] == 5


def test_contradictions_about_other_words_are_left_out_with_them(tmp_path: Path) -> None:
    text = "rose,tulip,5\nrose,truck,1\ntulip,truck,2\nrose,car,1\ncar,rose,2\ncar,car,5\n"
    raw = similarity(tmp_path, text, unknown="ignore")
    assert (raw.provenance.params["ignored"], raw.provenance.params["averaged"]) == (3, 0)


def test_the_scale_is_read_from_all_rows(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "rose,tulip,5\nrose,truck,1\ntulip,truck,2\ncar,boat,9\n", unknown="ignore")
    assert raw.scale == (1.0, 9.0)
    assert raw.values[0, 0] == 9


def test_gaps_are_completed_where_asked(tmp_path: Path) -> None:
    text = "rose,tulip,5\nrose,truck,1\n"
    raw = similarity(tmp_path, text, complete="mean")
    assert raw.values.tolist() == [[5, 5, 1], [5, 5, 3], [1, 3, 5]]
    assert raw.evidence is not None
    assert raw.evidence.tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert (raw.provenance.params["complete"], raw.provenance.params["completed"]) == ("mean", 1)


GOOD = "rose,tulip,5\nrose,truck,1\ntulip,truck,2\n"


@pytest.mark.parametrize(
    ("text", "options", "line", "message"),
    [
        (
            GOOD + "bus,rose,8\n",
            {"scale": (1.0, 7.0)},
            4,
            "the rating 8 of 'bus' and 'rose' is off the scale from 1",
        ),
        (GOOD + "rose,rose,4\n", {}, 4, "'rose' is rated 4 with itself, which should be 5, the end of the scale; take"),
        (GOOD + "rose,rose,5\n", {"scale": (0.0, 7.0)}, 4, "'rose' is rated 5 with itself, which should be 7"),
        (
            GOOD + "truck,rose,3\n",
            {},
            4,
            r"'truck' and 'rose' are rated 3, but 1 on line 2; take one of them out, or average them \(duplicates=.me",
        ),
        (
            "rose,tulip,1\nrose,tulip,1\n" + GOOD,
            {},
            3,
            "'rose' and 'tulip' are rated 5, but 1 on line 1; ",
        ),
        ("tulip,truck,4\n" + GOOD + "truck,rose,3\n", {}, 4, "'tulip' and 'truck' are rated 2, but 4 on line 1; take"),
        (
            "rose,tulip,1,bob\nrose,tulip,5,ann\n" + GOOD.replace("\n", ",bob\n"),
            {"scale": (1.0, 5.0)},
            3,
            "'rose' and 'tulip' are rated 5 by 'bob', but 1 on line 1; ",
        ),
        (GOOD + "rose,Roses,5\n", {}, 4, "'Roses' is no class of classes .did you mean rose"),
        (GOOD + "rose,car,5\n", {}, 4, "'car' is no class of classes.*unknown=.ignore"),
        (GOOD + "rose,,5\n", {"unknown": "ignore"}, 4, "should hold a name is empty"),
        (
            "rose,tulip,5,ann\nrose,truck,1,ann\nrose,tulip,3,bob\ntulip,truck,3,bob\n",
            {},
            3,
            "the rater 'bob' rates every pair 3, so that nothing tells this rater's scale; state the scale if it is "
            "that of all .scale=.LOW:HIGH.., or take this rater's rows out$",
        ),
        (
            "rose,tulip,5,ann\nrose,truck,1,ann\nrose,tulip,1,bob\nrose,truck,3,bob\nrose,rose,2,bob\n"
            "tulip,truck,3,bob\n",
            {},
            5,
            "'rose' is rated 2 with itself, which should be 3, the end of the scale; ",
        ),
        (
            GOOD + "rose,bus,1e308\nbus,tulip,-1e308\n",
            {},
            None,
            "the scale from -1e.308 to 1e.308 is too wide to calculate",
        ),
        (
            "A,B,Rating,Guesser,,list\nrose,tulip,5,me,1,2\nrose,tulip,4,you,,2\n",
            {},
            3,
            "are rated 4, but 5 on line 2; .*; the columns 'Guesser', 'column 5', 'list' were not used: name the "
            "raters' column 'rater'$",
        ),
        (
            "a,b,rating,who\nrose,tulip,5,me\nrose,tulip,4,you\n",
            {},
            3,
            "are rated 4, .*; the column 'who' was not used: if it names the raters, call it 'rater'$",
        ),
        (
            "a,b,rating,who,rater\nrose,tulip,5,me,x\nrose,tulip,4,you,x\n",
            {},
            3,
            r"by 'x', but 5 on line 2; take one of them out, or average them \(duplicates=.mean.\)$",
        ),
        ("rose,tulip,5\nrose,truck,5\n", {}, None, r"every rating is 5; give the scale they are on \(scale=.LOW:HIGH"),
        (
            "rose,tulip,5\nrose,truck,1\n",
            {},
            None,
            r"has no rating for 1 of the 3 pairs of classes: 'truck' and 'tulip'; add them, or have them completed",
        ),
    ],
)
def test_bad_ratings_are_refused_with_their_line(
    tmp_path: Path, text: str, options: dict[str, object], line: int | None, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        similarity(tmp_path, text, **options)
    assert (caught.value.path, caught.value.line) == (tmp_path / "ratings.csv", line)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"complete": "median"}, "complete must be 'mean' or 'low-rank', got 'median'"),
        ({"unknown": "drop"}, "unknown must be 'error' or 'ignore', got 'drop'"),
        ({"duplicates": "first"}, "duplicates must be 'error' or 'mean', got 'first'"),
    ],
)
def test_options_are_checked(tmp_path: Path, option: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        similarity(tmp_path, GOOD, **option)


@pytest.mark.parametrize("extra", ["", "bus,bus,5\n", "bus,car,3\n"])
def test_a_class_that_was_never_seen_is_an_error_even_with_completion(tmp_path: Path, extra: str) -> None:
    with pytest.raises(ClassNotFoundError, match=r"has no rating of another class with 'bus'.*; rate them") as caught:
        similarity(tmp_path, GOOD + extra, *NAMES, complete="mean", unknown="ignore")
    assert caught.value.missing == ("bus",)


@pytest.mark.parametrize(
    ("name", "scale", "contradictions"),
    [
        ("simlex999.txt", (0.23, 9.8), {("sly", "strange"): (1.97, 2.07)}),
        ("wordsim353.tsv", (0.23, 10.0), {("bank", "money"): (8.12, 8.5), ("cash", "money"): (9.15, 9.08)}),
    ],
)
def test_shipped_data_sets_are_read_as_they_are(
    name: str, scale: tuple[float, float], contradictions: dict[tuple[str, str], tuple[float, float]]
) -> None:
    rows = shipped(name)
    words = sorted({word for *pair, _rating in rows for word in pair})
    classes = ClassList(tuple(words))
    with pytest.raises(SourceError, match=r"duplicates=.mean."):
        rating_similarity(SHIPPED / name, classes, complete="mean")
    raw = rating_similarity(SHIPPED / name, classes, complete="mean", duplicates="mean")
    assert raw.scale == scale
    assert raw.provenance.params["averaged"] == len(contradictions)
    at = {word: index for index, word in enumerate(words)}
    expected = {tuple(sorted(pair)): rating for *pair, rating in rows if pair[0] != pair[1]}
    expected |= {pair: statistics.fmean(both) for pair, both in contradictions.items()}
    for (first, second), rating in expected.items():
        assert raw.values[at[first], at[second]] == raw.values[at[second], at[first]] == pytest.approx(rating)
    assert raw.evidence is not None
    assert np.count_nonzero(np.triu(raw.evidence, 1)) == len(expected)
    assert raw.evidence.diagonal().sum() == (name == "wordsim353.tsv")  # tiger and tiger
    unknown = np.triu(raw.evidence == 0, 1)
    np.testing.assert_allclose(raw.values[unknown], statistics.fmean(expected.values()), rtol=1e-12)


def test_some_words_of_a_shipped_data_set_need_no_leniency_about_the_others() -> None:
    raw = rating_similarity(SHIPPED / "wordsim353.tsv", ClassList(("television", "radio")), unknown="ignore")
    assert (raw.values[0, 1], raw.scale, raw.provenance.params["ignored"]) == (6.77, (0.23, 10.0), 352)


@pytest.mark.parametrize("heading", ["rater_id", "User", "Worker ID"])
def test_raters_are_found_whatever_they_are_called(tmp_path: Path, heading: str) -> None:
    text = f"a,b,rating,{heading}\nrose,tulip,5,1\nrose,truck,1,1\ntulip,truck,2,1\nrose,tulip,4,2\nrose,truck,1,2\n"
    raw = similarity(tmp_path, text)
    assert raw.provenance.params["raters"] == 2
    assert "unused_columns" not in raw.provenance.params


def test_columns_that_are_not_used_are_recorded(tmp_path: Path) -> None:
    text = "a,b,rating,who,list\nrose,tulip,5,me,1\nrose,truck,1,you,1\ntulip,truck,2,me,1\n"
    assert similarity(tmp_path, text).provenance.params["unused_columns"] == ["who", "list"]
    assert "unused_columns" not in similarity(tmp_path, GOOD).provenance.params


@pytest.mark.parametrize("factor", [1e160, 1e-160, 2.0**1000])
@pytest.mark.parametrize("complete", ["mean", "low-rank"])
def test_huge_and_tiny_ratings_say_the_same(tmp_path: Path, factor: float, complete: str) -> None:
    rows = [(a, b, float(rating), "x") for rating, (a, b) in zip((3, 1, -4, -1, 5, 2), PAIRS, strict=True)]
    rows = [row for row in rows if {*row[:2]} != {"rose", "bus"}]
    small = similarity(tmp_path, written(rows), *NAMES, complete=complete)
    huge = similarity(
        tmp_path, written([(a, b, rating * factor, who) for a, b, rating, who in rows]), *NAMES, complete=complete
    )
    np.testing.assert_allclose(huge.values / factor, small.values, rtol=1e-12)
    assert huge.provenance.params["alpha"] == small.provenance.params["alpha"]


def test_raters_on_scales_of_their_own_say_the_same_at_any_size(tmp_path: Path) -> None:
    rows = [
        (a, b, float(rating), who) for who in "xy" for rating, (a, b) in zip((3, 1, 4, 2, 5, 2), PAIRS, strict=True)
    ]
    plain = similarity(tmp_path, written(rows), *NAMES)
    huge = similarity(tmp_path, written([(a, b, r * 1e300 if who == "y" else r, who) for a, b, r, who in rows]), *NAMES)
    np.testing.assert_allclose(huge.values, plain.values, rtol=1e-12)
    assert huge.provenance.params["alpha"] == plain.provenance.params["alpha"] == 1.0


def test_on_a_stated_scale_raters_need_not_have_seen_the_same_pairs(tmp_path: Path) -> None:
    ann = "rose,tulip,7,ann\nrose,truck,6,ann\nrose,bus,5,ann\n"
    bob = "tulip,truck,3,bob\ntulip,bus,2,bob\ntruck,bus,2,bob\n"
    raw = similarity(tmp_path, ann + bob, *NAMES, scale=(1.0, 7.0))
    assert raw.values.tolist() == [[7, 7, 6, 5], [7, 7, 3, 2], [6, 3, 7, 2], [5, 2, 2, 7]]
    assert (raw.scale, raw.provenance.params["scale_from"], raw.provenance.params["raters"]) == ((1.0, 7.0), "given", 2)
    # One rating a rater will do, too.
    few = "rose,tulip,7,ann\nrose,truck,6,bob\ntulip,truck,2,cy\n"
    assert similarity(tmp_path, few, scale=(1.0, 7.0)).values[0].tolist() == [7, 7, 6]


def test_a_name_composed_in_another_way_is_the_same_name(tmp_path: Path) -> None:
    text = "caf\u00e9,tulip,5\ncafe\u0301,truck,1\ntulip,truck,2\n"
    for name in ("caf\u00e9", "cafe\u0301"):
        raw = similarity(tmp_path, text, name, "tulip", "truck", unknown="ignore")
        assert raw.values.tolist() == [[5, 5, 1], [5, 5, 2], [1, 2, 5]]
        assert raw.provenance.resolution["caf\u00e9"]["how"] == "name"
