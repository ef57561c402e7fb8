"""A WordNet database in few lines, and what can be wrong with one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from simmatrix.errors import SourceError
from simmatrix.taxonomy.wndb import read_corpus_counts, read_exceptions, read_part, version_of
from simmatrix.taxonomy.wordnet import PartOfSpeech

FILES = {
    "index.noun": "  1 licence\n"
    "earth n 2 1 @ 2 2 00000200 00000100\nceres n 1 1 @ 1 0 00000300\nobject n 1 0 1 0 00000100\n",
    "data.noun": "  1 WordNet 3.1 Copyright 2011 by Princeton University.\n"
    '00000100 03 n 02 object 0 earth 4 001 ~ 00000200 n 0000 | a thing; "it | that"\n'
    "00000200 17 n 02 Earth 1 earth 0 001 @ 00000100 n 0000 | where we live\n"
    "00000300 17 n 01 Ceres 0 003 @i 00000200 n 0000 @ 00000100 n 0000 @ 00000100 n 0000 | a dwarf\n",
    "cntlist.rev": "earth%1:17:00:: 1 5\nearth%1:17:01:: 1 2\nearth%1:03:04:: 2 7\nearth%2:17:00:: 1 9\n",
    "noun.exc": "geese goose\n\noxen ox oxe\n",
}


def part(files: Mapping[str, str] = FILES) -> PartOfSpeech:
    return read_part(files.__getitem__, "n")


def test_everything_is_read() -> None:
    nouns = part()
    assert [nouns.name(node) for node in range(3)] == ["object.n.01", "earth.n.01", "ceres.n.01"]
    assert [nouns.lemmas(node) for node in range(3)] == [("object", "earth"), ("Earth", "earth"), ("Ceres",)]
    assert nouns.hypernyms.tolist() == [0, 0, 1]
    assert nouns.starts.tolist() == [0, 0, 1, 3]
    # Two spellings of a lemma count together; verbs do not count.
    assert dict(zip(["ceres.1", "earth.1", "earth.2", "object.1"], nouns.index.tags.tolist(), strict=True)) == {
        "ceres.1": 0,
        "earth.1": 7,
        "earth.2": 7,
        "object.1": 0,
    }
    assert nouns.tags.tolist() == [7, 7, 0]
    assert read_exceptions(FILES.__getitem__) == {"geese": ("goose",), "oxen": ("ox", "oxe")}


@pytest.mark.parametrize(
    ("licence", "version"),
    [
        ("  WordNet 3.0 Copyright 2006", "3.0"),
        ("  6 Wordnet 2021+ Copyright", "2021+"),
        ("  WordNet 2022 Copyright", "2022"),
        ("  WordNet 3.0, Copyright", "unknown"),
        ("", "unknown"),
    ],
)
def test_versions(licence: str, version: str) -> None:
    assert version_of({"data.noun": licence}.__getitem__) == version


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("data.noun", "00000200 17 n 02", "0000x200 17 n 02", "data.noun, line 3: is not a line of a WordNet database"),
        ("data.noun", "00000200 17 n 02", "00000200 17 n zz", "data.noun, line 3: is not a line"),
        ("data.noun", "00000200 17 n 02", "00000200 17", "data.noun, line 3: is not a line"),
        ("data.noun", "00000200 17 n 02", "00000200 17 x 02", "data.noun, line 3: is not a line"),
        ("data.noun", "@ 00000100 n 0000 | where", "@ 00000101 n 0000 | where", "data.noun: points to offset 101"),
        ("data.noun", "@ 00000100 n 0000 | where", "@ 00000999 n 0000 | where", "data.noun: points to offset 999"),
        ("data.noun", "01 Ceres 0", "01 Pluto 0", "data.noun: has 'pluto' at 300, its index does not"),
        ("index.noun", "ceres n 1 1 @ 1 0 00000300", "ceres n", "index.noun, line 3: is not a line"),
        ("index.noun", "object n 1 0 1 0", "object n 2 0 2 0 00000301", "index.noun: points to offset 301"),
    ],
)
def test_damage_is_named(name: str, old: str, new: str, message: str) -> None:
    damaged = {**FILES, name: FILES[name].replace(old, new)}
    assert damaged != FILES
    with pytest.raises(SourceError) as caught:
        part(damaged)
    assert message in str(caught.value)


def test_an_empty_database_is_refused() -> None:
    with pytest.raises(SourceError, match="holds no synset"):
        part({**FILES, "data.noun": "", "index.noun": ""})


HEAD = "wnver::eOS9lXC6GvMWznF1wkZofDdtbBU\n"
COUNTS = ["100n 12 ROOT", "200n 7", "300n 2", "5v 3 ROOT"]


def test_equal_counts_count_once(tmp_path: Path) -> None:
    path = tmp_path / "ic.dat"
    for lines in (COUNTS, [*COUNTS, *COUNTS], [*COUNTS, " 100n  12.0 ROOT", "", "300n 2e0"], COUNTS[::-1]):
        path.write_text(HEAD + "\n".join(lines))
        counts, total, sha256 = read_corpus_counts(path, part())
        assert (counts.tolist(), total) == ([12, 7, 2], 12)
        assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("line", ["100n 13 ROOT", "100n 12", "100n 0 ROOT", "200n 7 ROOT", "00000300n 2.5"])
def test_two_counts_for_one_synset_are_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "ic.dat"
    path.write_text(HEAD + "\n".join([*COUNTS, line]))
    offset = line.split("n")[0]
    first = 4 if offset == "00000300" else int(offset) // 100 + 1
    message = f"line 6: {offset}n has another count on line {first}; take one of them out"
    with pytest.raises(SourceError, match=message):
        read_corpus_counts(path, part())


def test_equal_lines_of_a_database_count_once_and_others_are_refused() -> None:
    nouns = part()
    for name in ("index.noun", "data.noun"):
        *_, last = FILES[name].splitlines(keepends=True)
        again = part({**FILES, name: FILES[name] + last})
        assert (again.index.lemmas, again.offsets.tolist()) == (nouns.index.lemmas, nouns.offsets.tolist())
    for name, line, about in (
        ("index.noun", "earth n 1 1 @ 2 2 00000100\n", "earth"),
        ("data.noun", "00000300 17 n 01 object 0 000 | another\n", "300"),
    ):
        with pytest.raises(SourceError, match=f"data.noun: has two lines about {about}, or its index has; get"):
            part({**FILES, name: FILES[name] + line})
