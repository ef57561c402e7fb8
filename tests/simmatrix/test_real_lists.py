"""23 class lists as people have them: what is read, and what word vectors and WordNet find of each.

What stands for each name was looked at by eye. Heads alone may be wrong (`pad_thai` is no Thai, `croque_madame` no
madame), which is why `build` tells of them. That ages, grades and placeholders are found among words is for `suggest`
to say.
"""

from collections import Counter
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from simmatrix import data
from simmatrix.builders.lookup import attempts, resolve
from simmatrix.builders.wordnet import look_up
from simmatrix.taxonomy.wordnet import bundled_wordnet
from tests.simmatrix.real_lists import REAL_LISTS

# Classes; of word vectors and of WordNet those found, and those of them that are found by their head alone.
FOUND = {
    "CUB-200": (13, (13, 2), (13, 7)),
    "Stanford Cars": (10, (10, 3), (10, 10)),
    "Food-101": (15, (13, 1), (13, 3)),
    "CLINC150": (10, (10, 0), (8, 5)),
    "COCO-80": (20, (20, 0), (20, 0)),
    "Pascal VOC": (6, (3, 0), (3, 0)),
    "ImageNet synset words": (6, (6, 0), (6, 0)),
    "ImageNet class index": (3, (3, 0), (3, 0)),
    "Stanford Dogs": (4, (4, 0), (4, 0)),
    "Places365": (6, (6, 0), (5, 1)),
    "product categories": (5, (5, 0), (5, 0)),
    "ADE20K": (6, (6, 0), (6, 0)),
    "iNaturalist": (4, (2, 0), (3, 0)),
    "20 Newsgroups": (6, (6, 0), (6, 0)),
    "AG News": (4, (4, 0), (4, 1)),
    "GoEmotions": (7, (7, 0), (7, 0)),
    "UCF-101": (5, (5, 0), (5, 2)),
    "data.yaml": (4, (4, 0), (2, 0)),
    "Likert": (5, (5, 0), (3, 0)),
    "ages": (117, (117, 0), (39, 0)),
    "star ratings": (5, (5, 0), (5, 5)),
    "placeholders": (3, (3, 0), (0, 0)),
    "German": (6, (0, 0), (0, 0)),
}


def test_there_are_as_many_as_said() -> None:
    assert len(REAL_LISTS) == 23
    assert FOUND.keys() == REAL_LISTS.keys()


@pytest.fixture(scope="module")
def vocabulary() -> set[str]:
    raw = load_file(data.vector_file_path("glove-6b-50d"))["vocabulary"].tobytes()
    return set(raw.decode().split("\n"))


def test_what_is_found_of_each(vocabulary: set[str], tmp_path: Path) -> None:
    counts = {}
    for name, one in REAL_LISTS.items():
        listed = one.read(tmp_path)
        asked = zip(listed.names, listed.column("phrase"), strict=True)
        by_words = [resolve(attempts(*pair), vocabulary) for pair in asked]
        by_wordnet = look_up(bundled_wordnet(), listed).values()
        hows = [[found.how for found in each if found] for each in (by_words, by_wordnet)]
        words, wordnet = ((len(each), sum(how.endswith("head") for how in each)) for each in hows)
        counts[name] = (len(listed), words, wordnet)
    assert counts == FOUND


@pytest.mark.parametrize(
    ("name", "synsets"),
    [
        (
            "CUB-200",
            "black-footed_albatross.n.01 albatross.n.02 albatross.n.02 ani.n.01 auklet.n.01 auklet.n.01 "
            "new_world_blackbird.n.01 red-winged_blackbird.n.01 indigo_bunting.n.01 yellow-breasted_chat.n.01 "
            "crow.n.01 black-billed_cuckoo.n.01 wilson's_warbler.n.01",
        ),
        (
            "Stanford Cars",
            "sport_utility.n.01 sedan.n.01 convertible.n.01 coupe.n.01 convertible.n.01 minivan.n.01 cab.n.03 "
            "minivan.n.01 sedan.n.01 convertible.n.01",
        ),
        ("ImageNet synset words", "tench.n.01 hen.n.02 crane.n.05 crane.n.04 carton.n.02 school_bus.n.01"),
        ("Stanford Dogs", "chihuahua.n.03 japanese_spaniel.n.01 pug.n.01 standard_poodle.n.01"),
        ("iNaturalist", "blackbird.n.02 raven.n.01 - common_oak.n.01"),
        ("data.yaml", "helmet.n.02 vest.n.01 - -"),
    ],
)
def test_what_the_names_mean(name: str, synsets: str, tmp_path: Path) -> None:
    wordnet = bundled_wordnet()
    found = look_up(wordnet, REAL_LISTS[name].read(tmp_path))
    assert [wordnet.name_of(one.synset) if one else "-" for one in found.values()] == synsets.split()


def test_ambiguous_names_take_what_the_data_set_shows(tmp_path: Path) -> None:
    wordnet = bundled_wordnet()
    found = look_up(wordnet, REAL_LISTS["COCO-80"].read(tmp_path))
    # A hot dog is no exhibitionist, an apple no tree.
    assert wordnet.name_of(found["hot dog"].synset) in ("frank.n.02", "hotdog.n.02")
    kinds = Counter(wordnet.name_of(found[name].synset) for name in ("apple", "banana", "bottle", "cup", "cow"))
    assert kinds == Counter(["apple.n.01", "banana.n.02", "bottle.n.01", "cup.n.01", "cow.n.01"])
