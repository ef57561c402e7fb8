"""The bundled class lists against listings made by others; ``fixtures/README.md`` says by whom."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from simmatrix import data
from simmatrix.errors import SourceError

FIXTURES = Path(__file__).parent / "fixtures"
SMALL_LISTS = ("cifar10", "cifar100", "fashion-mnist")
SIZES = {"cifar10": 10, "cifar100": 100, "fashion-mnist": 10, "imagenet1k": 1000, "imagenet21k": 21843}

# What a sense of a class in each superclass has to be a kind of: one of these.
REQUIRED_ANCESTORS = {
    "animal": {"animal.n.01"},
    "vehicle": {"vehicle.n.01"},
    "aquatic_mammals": {"mammal.n.01"},
    "fish": {"fish.n.01"},
    "flowers": {"flower.n.01", "shrub.n.01", "bulbous_plant.n.01"},
    "food_containers": {"container.n.01", "tableware.n.01"},
    "fruit_and_vegetables": {"produce.n.01"},
    "household_electrical_devices": {"device.n.01", "electronic_equipment.n.01"},
    "household_furniture": {"furniture.n.01"},
    "insects": {"insect.n.01", "larva.n.01"},
    "large_carnivores": {"carnivore.n.01"},
    "large_man-made_outdoor_things": {"structure.n.01", "way.n.06"},
    "large_natural_outdoor_scenes": {
        "atmospheric_phenomenon.n.01",
        "body_of_water.n.01",
        "geological_formation.n.01",
        "land.n.04",
    },
    "large_omnivores_and_herbivores": {"mammal.n.01"},
    "medium_mammals": {"mammal.n.01"},
    "non-insect_invertebrates": {"invertebrate.n.01"},
    "people": {"person.n.01"},
    "reptiles": {"reptile.n.01"},
    "small_mammals": {"mammal.n.01"},
    "trees": {"tree.n.01"},
    "vehicles_1": {"conveyance.n.03"},
    "vehicles_2": {"conveyance.n.03", "garden_tool.n.01"},
    "tops": {"garment.n.01"},
    "bottoms": {"trouser.n.01"},
    "dresses": {"dress.n.01"},
    "footwear": {"footwear.n.02"},
    "accessories": {"container.n.01"},
}


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def rows(name: str) -> list[dict[str, str]]:
    return read_table(data.class_list_path(name))


def column(name: str, title: str) -> list[str]:
    return [row[title] for row in rows(name)]


@pytest.fixture(scope="module")
def synsets() -> dict[str, dict[str, str]]:
    return {row["synset"]: row for row in read_table(FIXTURES / "synsets.tsv")}


@pytest.fixture(scope="module")
def vocabulary() -> set[str]:
    tensors = load_file(data.vector_file_path("glove-6b-50d"))
    return set(tensors["vocabulary"].tobytes().decode().split("\n"))


def test_names() -> None:
    assert data.class_list_names() == tuple(sorted(SIZES))


def test_unknown_name() -> None:
    with pytest.raises(SourceError, match=r"cifar1000.*cifar10, cifar100"):
        data.class_list_path("cifar1000")


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_layout(name: str, size: int) -> None:
    content = data.class_list_path(name).read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n")
    table = [line.split("\t") for line in content.decode("utf-8").splitlines()]
    assert len(table) == size + 1
    assert {len(fields) for fields in table} == {len(table[0])}
    assert all(field == field.strip() for fields in table for field in fields)
    assert table[0][0] == "class"
    assert len({fields[0] for fields in table[1:]} - {""}) == size


@pytest.mark.parametrize(
    ("name", "listing"),
    [
        ("cifar10", read_lines(FIXTURES / "cifar10-labels.txt")),
        ("cifar100", [row["fine"] for row in read_table(FIXTURES / "cifar100-labels.tsv")]),
        ("fashion-mnist", read_lines(FIXTURES / "fashion-mnist-labels.txt")),
        ("imagenet1k", [row["wnid"] for row in read_table(FIXTURES / "imagenet1k-wnids.tsv")]),
    ],
    ids=["cifar10", "cifar100", "fashion-mnist", "imagenet1k"],
)
def test_label_order(name: str, listing: list[str]) -> None:
    assert column(name, "class") == listing


def test_cifar100_superclasses() -> None:
    listing = [row["coarse"] for row in read_table(FIXTURES / "cifar100-labels.tsv")]
    assert column("cifar100", "superclass") == listing


@pytest.mark.parametrize("name", SMALL_LISTS)
def test_senses_fit_superclasses(name: str, synsets: dict[str, dict[str, str]]) -> None:
    listed = rows(name)
    # Else it is not in WordNet 3.0, or its gloss has not been read: see fixtures/README.md.
    assert [row for row in listed if row["synset"] not in synsets] == []
    ancestors = [set(synsets[row["synset"]]["ancestors"].split()) for row in listed]
    required = [REQUIRED_ANCESTORS[row["superclass"]] for row in listed]
    assert [row for row, above, of in zip(listed, ancestors, required, strict=True) if not above & of] == []


@pytest.mark.parametrize("name", SMALL_LISTS)
def test_senses_differ(name: str) -> None:
    assert len(set(column(name, "synset"))) == SIZES[name]


@pytest.mark.parametrize("name", SMALL_LISTS)
def test_every_word_is_bundled(name: str, vocabulary: set[str]) -> None:
    assert [row for row in rows(name) if not set((row["phrase"] or row["class"]).split()) <= vocabulary] == []


def test_every_imagenet1k_phrase_is_bundled(vocabulary: set[str]) -> None:
    phrases = column("imagenet1k", "phrase")
    assert [phrase for phrase in phrases if not set(phrase.lower().split()) <= vocabulary] == []


@pytest.mark.parametrize("title", ["name", "phrase"])
def test_imagenet1k_tells_classes_apart(title: str) -> None:
    """No two classes share a name, or the words that stand for them: their similarity would be 1."""
    values = column("imagenet1k", title)
    assert len({value.lower() if title == "phrase" else value for value in values}) == 1000


def test_imagenet1k_synsets() -> None:
    listing = [row["synset"] for row in read_table(FIXTURES / "imagenet1k-wnids.tsv")]
    assert column("imagenet1k", "synset") == listing


@pytest.mark.parametrize("name", ["imagenet1k", "imagenet21k"])
def test_imagenet_rows(name: str) -> None:
    for row in rows(name):
        assert re.fullmatch(r"n\d{8}", row["class"])
        assert re.fullmatch(r"\S+\.n\.\d\d", row["synset"])
        assert row["phrase"]


def test_imagenet21k_order() -> None:
    """Its usual order is that of the ids."""
    classes = column("imagenet21k", "class")
    assert classes == sorted(classes)


def test_imagenet21k_agrees_with_imagenet1k() -> None:
    """ImageNet-21k holds all of ImageNet-1k but the teddy bear; what they share has the same sense."""
    large = {row["class"]: row["synset"] for row in rows("imagenet21k")}
    small = {row["class"]: row["synset"] for row in rows("imagenet1k")}
    assert small.keys() - large.keys() == {"n04399382"}
    assert {wnid: large[wnid] for wnid in small.keys() & large.keys()}.items() <= small.items()
