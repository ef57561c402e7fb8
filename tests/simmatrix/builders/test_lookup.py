"""How classes are looked up: the documented order, step by step."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix.builders.lookup import attempts, folded, forms, resolve, singulars, words


@pytest.mark.parametrize(
    ("name", "phrase", "vocabulary", "how", "found"),
    [
        # The phrase, then its forms, then its words; and only then the name in the same order.
        ("seal", "sea dog", "seal Seal sea dog sea_dog|sea dog", "phrase", ["sea dog"]),
        ("seal", "sea dog", "seal sea dog sea_dog", "phrase form", ["sea_dog"]),
        ("seal", "sea dog", "seal sea dog", "phrase words", ["sea", "dog"]),
        ("seal", "sea dog", "seal sea", "name", ["seal"]),
        ("Seals", "sea dog", "seal seals sea", "name form", ["seals"]),
        ("Seals", "sea dog", "seal sea", "name form", ["seal"]),
        ("RedSeals", "sea dog", "seal red sea", "name words", ["red", "seal"]),
        # Joined by underscores, by hyphens, by spaces; each in lower case after all as they stand; then the singulars.
        ("RedSeals", "", "Red_Seals Red-Seals red_seals|Red Seals", "name form", ["Red_Seals"]),
        ("RedSeals", "", "Red-Seals red_seals|Red Seals", "name form", ["Red-Seals"]),
        ("RedSeals", "", "red_seals Red_Seal|Red Seals", "name form", ["Red Seals"]),
        ("RedSeals", "", "redseals red_seals red-seals", "name form", ["redseals"]),
        ("RedSeals", "", "red_seals red-seals Red_Seal", "name form", ["red_seals"]),
        ("RedSeals", "", "red-seals Red_Seal|red seals", "name form", ["red-seals"]),
        ("RedSeals", "", "Red_Seal red_seal", "name form", ["Red_Seal"]),
        ("RedSeals", "", "red_seal red seal", "name form", ["red_seal"]),
        # Each word of a mean by its own forms, and all of them.
        ("red_seals", "", "red seal", "name words", ["red", "seal"]),
        ("red_seals", "", "red", None, []),
        # The head alone comes last, after the name's and the phrase's own ways; a year is no head, nor is a number.
        ("red_seals", "", "seals seal", "name head", ["seals"]),
        ("big_red_seals", "", "red seal", "name head", ["red", "seal"]),
        ("seal", "sea dog", "dog seal", "name", ["seal"]),
        ("lion", "sea dog", "dog", "phrase head", ["dog"]),
        ("Acura TL Sedan 2012", "", "sedan", "name head", ["sedan"]),
        ("no helmet", "", "helmet", None, []),
        ("LABEL_0", "", "label", None, []),
        ("LABEL_0", "", "0", None, []),
        # An index in front is left out where the name with it is not known.
        ("001.Rock_Dove", "", "rock_dove rock dove", "name form", ["rock_dove"]),
        ("001.Rock_Dove", "", "rock dove 001", "name words", ["rock", "dove"]),
        ("n02085620-Chihuahua", "", "chihuahua", "name form", ["chihuahua"]),
        ("18-wheeler", "", "wheeler", "name head", ["wheeler"]),
        ("3. rose", "", "rose 3", "name form", ["rose"]),
        ("0 - zero", "", "zero 0", "name form", ["zero"]),
        # Underscores and hyphens mixed.
        (
            "Yellow_breasted_Chat",
            "",
            "yellow-breasted_chat yellow chat",
            "name form",
            ["yellow-breasted_chat"],
        ),
        ("Yellow-breasted Chat", "", "yellow-breasted_chat", "name form", ["yellow-breasted_chat"]),
        # Synonyms, each with its own words, before the mean of all.
        ("tench, Tinca tinca", "", "tench tinca", "name synonym", ["tench"]),
        (
            "Fishing, Hunting and Trapping",
            "",
            "fishing hunting and trapping",
            "name words",
            ["fishing", "hunting", "and", "trapping"],
        ),
        ("Fishing, Hunting, or Trapping", "", "fishing hunting trapping", "name head", ["trapping"]),
        ("Bow and arrow, archery", "", "archery bow", "name synonym", ["archery"]),
        ("wall;building;edifice", "", "building edifice", "name synonym", ["building"]),
        ("zyx, great white shark", "", "great white shark", "name synonym", ["great", "white", "shark"]),
        # A remark in brackets counts where its words are known.
        ("crane (bird)", "", "crane bird", "name words", ["crane", "bird"]),
        ("crane (xqz; rare)", "", "crane bird rare", "name form", ["crane"]),
        # Punctuation is no word.
        ("dog - poodle", "", "dog poodle -", "name words", ["dog", "poodle"]),
        ("Home > Garden", "", "home garden >", "name words", ["home", "garden"]),
        ("a | b", "", "a b |", "name words", ["a", "b"]),
        # What separates the parts.
        ("T-shirt/top", "", "t-shirt top", "name words", ["t-shirt", "top"]),
        ("T-shirt/top", "", "t shirt top", "name words", ["t", "shirt", "top"]),
        ("pickup-truck", "", "pickup truck pickup-truck", "name", ["pickup-truck"]),
        ("pickup-truck", "", "pickup truck pickup_truck", "name form", ["pickup_truck"]),
        ("pickup-truck", "", "pickup truck", "name words", ["pickup", "truck"]),
        ("ankleBoot", "", "ankle boot", "name words", ["ankle", "boot"]),
        ("tench Tinca (fish)", "", "tench tinca fish", "name words", ["tench", "tinca", "fish"]),
        ("Caf\u00e9", "", "caf\u00e9", "name form", ["caf\u00e9"]),
        ("Caf\u00e9", "", "Cafe\u0301", "name form", ["Cafe\u0301"]),
        ("Cafe\u0301", "", "Cafe\u0301", "name", ["Cafe\u0301"]),
        ("_", "", "a", None, []),
        ("men", "", "man", "name form", ["man"]),
    ],
)
def test_the_order_of_attempts(name: str, phrase: str, vocabulary: str, how: str | None, found: list[str]) -> None:
    single, _bar, spaced = vocabulary.partition("|")
    resolution = resolve(attempts(name, phrase), {*single.split(), *filter(None, [spaced])})
    if how is None:
        assert resolution is None
    else:
        assert resolution is not None
        assert (resolution.how, list(resolution.words)) == (how, found)


@pytest.mark.parametrize(
    ("plural", "singular"),
    # An example or two for each noun rule of WordNet's morphy(7WN): s, ses, xes, zes, ches, shes, men, ies.
    [
        ("roses", "rose"),
        ("cats", "cat"),
        ("classes", "class"),
        ("boxes", "box"),
        ("axes", "axe"),
        ("buzzes", "buzz"),
        ("churches", "church"),
        ("bushes", "bush"),
        ("women", "woman"),
        ("butterflies", "butterfly"),
        ("zombies", "zombie"),
        ("sweet_peppers", "sweet_pepper"),
    ],
)
def test_singulars_by_wordnets_rules(plural: str, singular: str) -> None:
    assert singular in singulars(plural)
    assert singular in forms(plural)


@pytest.mark.parametrize("word", ["bus", "glass", "octopus", "rose", "sheep", "s", "as"])
def test_what_is_no_plural_stays(word: str) -> None:
    assert singulars(word) == ()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("aquarium_fish", ["aquarium", "fish"]),
        ("  a  b ", ["a", "b"]),
        ("a/b(c),d;e:f&g+h", list("abcdefgh")),
        ("mp3Player", ["mp3", "Player"]),
        ("BMWs", ["BMWs"]),
        ("t-shirt", ["t-shirt"]),
        ("日本", ["日本"]),
        ("_/", []),
    ],
)
def test_words(text: str, parts: list[str]) -> None:
    assert list(words(text)) == parts


@given(st.text(min_size=1))
def test_forms_start_with_the_text_and_hold_no_repeats(text: str) -> None:
    found = forms(text)
    assert found[0] == text
    assert len(set(found)) == len(found)
    assert all(found)


@given(st.text("abS_- ", min_size=1, max_size=8), st.text("abS_- ", max_size=8), st.randoms(), st.data())
def test_the_order_of_the_vocabulary_does_not_matter(
    name: str, phrase: str, shuffler: random.Random, data: st.DataObject
) -> None:
    tries = tuple(attempts(name, phrase))
    possible = sorted({form for attempt in tries for word in attempt.words for form in word})
    vocabulary = data.draw(st.lists(st.sampled_from(possible), unique=True))
    expected = resolve(tries, vocabulary)
    shuffled = vocabulary.copy()
    shuffler.shuffle(shuffled)
    assert resolve(tries, shuffled) == resolve(tries, set(vocabulary)) == expected
    assert expected is None or set(expected.words) <= set(vocabulary)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ice cream", "ice_cream"),
        ("IceCream", "ice_cream"),
        ("ice-cream", "ice_cream"),
        ("ice\u2011cream", "ice_cream"),
        ("CAF\u00c9", "caf\u00e9"),
        ("T-shirt/top", "t_shirt_top"),
        ("-", ""),
    ],
)
def test_names_that_are_spelt_alike_fold_to_one(text: str, expected: str) -> None:
    assert folded(text) == expected
    assert folded(folded(text)) == expected
