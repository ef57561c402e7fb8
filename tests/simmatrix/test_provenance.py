"""How each class was found, in a mapping or, of many classes, in an array."""

import tracemalloc
from collections.abc import Iterator
from types import MappingProxyType

import pytest

from simmatrix import SourceError, provenance
from simmatrix.names import TextArray
from simmatrix.provenance import FoundArray, by_class


def test_half_of_a_character_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "MANY", 2)
    with pytest.raises(SourceError, match=r"holds half of a character \('\\ud800'\); write it whole"):
        by_class(("rose", "oak"), [{"how": "name"}, {"how": "phrase", "words": ["a \ud800"]}])


def test_many_classes_have_an_array_that_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = TextArray.of(f"ä class {number}" for number in range(4000))

    def found() -> Iterator[dict[str, object]]:
        return ({"how": "name form", "words": [f"klass {number}", "ö"]} for number in range(len(names)))

    mapping = by_class(names, found())
    monkeypatch.setattr(provenance, "MANY", 4000)
    array = by_class(names, found())
    assert (type(mapping), type(array)) == (MappingProxyType, FoundArray)
    assert dict(array.items()) == mapping
    assert list(array) == list(mapping)
    assert [array[name] for name in names[10:20]] == [mapping[name] for name in names[10:20]]
    room = {}
    for many in (4000, 4001):
        monkeypatch.setattr(provenance, "MANY", many)
        tracemalloc.start()
        kept = by_class(names, found())
        room[many] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(kept) == len(names)
    assert 4 * room[4000] < room[4001]
