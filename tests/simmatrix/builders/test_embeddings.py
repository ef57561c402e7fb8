"""Similarities of word vectors, against gensim's and against plain Python."""

import hashlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors

from simmatrix import data, from_embeddings, normalise
from simmatrix.builders import embeddings, lookup
from simmatrix.builders.embeddings import VectorSource, embedding_similarity
from simmatrix.builders.raw import RawSimilarity
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import ClassNotFoundError, ParameterError, SourceError
from simmatrix.neighbours import vectors as vectors_module
from simmatrix.neighbours.vectors import Cosines
from simmatrix.summary import concerns
from simmatrix.vectors.formats import read_vectors, words_of
from tests.simmatrix.matrices import peak_memory

BUNDLED = data.vector_file_path("glove-6b-50d")
ROWS = {"rose": [1, 2, -2], "tulip": [2, 1, 0.5], "red": [-1, 0, 1], "truck": [3, -4, 0], "rosé": [0.1, 0.1, 9]}


def written(folder: Path, rows: dict[str, list[float]], name: str = "vectors.txt") -> VectorSource:
    path = folder / name
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()), encoding="utf-8")
    return VectorSource(path, path.name)


def similarity(folder: Path, *names: str, rows: dict[str, list[float]] | None = None, **options: str) -> RawSimilarity:
    return embedding_similarity(written(folder, ROWS if rows is None else rows), ClassList(names), **options)


def cosine_of_means(first: list[list[float]], second: list[list[float]]) -> float:
    """Return the cosine of the means of two lists of vectors, each scaled to length 1 first."""

    def length(vector: list[float]) -> float:
        return math.sqrt(math.fsum(x * x for x in vector))

    def mean(vectors: list[list[float]]) -> list[float]:
        units = [[x / length(vector) for x in vector] for vector in vectors]
        return [math.fsum(column) / len(units) for column in zip(*units, strict=True)]

    a, b = mean(first), mean(second)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / length(a) / length(b)


@pytest.fixture(scope="module")
def theirs() -> KeyedVectors:
    """Return the bundled vectors as gensim holds them."""
    words = list(words_of(BUNDLED))[:3000]
    found = read_vectors(BUNDLED, set(words)).found
    vectors = KeyedVectors(50)
    vectors.add_vectors(words, np.stack([found[word].values for word in words]))
    return vectors


def test_single_words_equal_gensims_similarity(theirs: KeyedVectors) -> None:
    names = [word for word in theirs.index_to_key if word.isalpha() and len(word) > 2][::20]
    raw = embedding_similarity(VectorSource(BUNDLED, "glove"), ClassList(tuple(names)))
    assert {one["how"] for one in raw.provenance.resolution.values()} == {"name"}
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            assert raw.values[i, j] == pytest.approx(theirs.similarity(first, second), abs=1e-6)


def test_several_words_are_the_mean_of_their_unit_vectors(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "red_rose", "truck", "TulipTruckRed")
    parts = [[ROWS["red"], ROWS["rose"]], [ROWS["truck"]], [ROWS["tulip"], ROWS["truck"], ROWS["red"]]]
    for i, first in enumerate(parts):
        for j, second in enumerate(parts):
            assert raw.values[i, j] == pytest.approx(cosine_of_means(first, second), abs=1e-7)
    assert raw.values[0, 1] < 0  # raw similarities are not cut off
    assert raw.provenance.resolution["red_rose"] == {"how": "name words", "words": ["red", "rose"]}


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist", "imagenet1k"])
def test_bundled_lists_resolve_on_the_bundled_vectors(name: str) -> None:
    classes = read_classes(name)
    raw = embedding_similarity(VectorSource(BUNDLED, "glove"), classes)
    assert raw.classes == classes.names
    assert raw.values.dtype == np.float64
    assert np.array_equal(raw.values, raw.values.T)
    assert np.allclose(np.diag(raw.values), 1, rtol=0, atol=1e-14)


@pytest.mark.parametrize("block", [1, 3, 7, 20])
@pytest.mark.parametrize("exact_up_to", [0, 10_000], ids=["float32", "float64"])
def test_blocks_change_nothing(block: int, exact_up_to: int, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = np.random.default_rng(0).normal(size=(20, 6))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    monkeypatch.setattr(vectors_module, "_BLOCK", block)
    monkeypatch.setattr(normalise, "EXACT_UP_TO", exact_up_to)
    values = Cosines(unit).dense()
    assert np.array_equal(values, values.T)
    expected = np.array([[math.fsum(a * b) for b in unit] for a in unit])
    assert values.dtype == (np.float64 if exact_up_to else np.float32)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-15 if exact_up_to else 6e-8)


def test_word_order_does_not_matter_and_class_order_goes_along(tmp_path: Path) -> None:
    names = ("rose", "red_tulip", "truck", "Trucks", "rosé")
    raw = similarity(tmp_path, *names)
    backwards = similarity(tmp_path, *names, rows=dict(reversed(ROWS.items())))
    assert np.array_equal(raw.values, backwards.values)
    assert raw.provenance.resolution == backwards.provenance.resolution
    order = [3, 1, 4, 0, 2]
    permuted = similarity(tmp_path, *(names[index] for index in order))
    np.testing.assert_allclose(permuted.values, raw.values[np.ix_(order, order)], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0, 0], "line 2: the vector of 'bad' is zero; give its class another phrase"),
        ([1, math.nan, 0], "line 2: the vector of 'bad' holds NaN or infinity; get the file again"),
        ([1, math.inf, 0], "line 2: the vector of 'bad' holds NaN or infinity"),
        ([1, -1e300, 0], "line 2: the vector of 'bad' holds NaN or infinity"),
    ],
)
def test_vectors_without_a_direction(row: list[float], message: str, tmp_path: Path) -> None:
    rows = {"rose": [1, 2, 3], "bad": row, "truck": [1, 0, 0]}
    for name in ("bad", "bad_rose"):
        with pytest.raises(SourceError, match=rf"vectors\.txt, {message}"):
            similarity(tmp_path, "rose", name, "truck", rows=rows)
    # Where no class wants the word its vector is nobody's business.
    assert similarity(tmp_path, "rose", "truck", rows=rows).values[0, 1] == pytest.approx(1 / math.sqrt(14))


def test_words_that_cancel_out(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the vector of 'up down' is zero"):
        similarity(tmp_path, "up_down", "rose", rows={"up": [1, 2], "down": [-1, -2], "rose": [1, 1]})


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1.0])
def test_huge_and_tiny_vectors(scale: float, tmp_path: Path) -> None:
    rows = {"rose": [3 * scale, 4 * scale], "tulip": [4 * scale, 3 * scale]}
    assert similarity(tmp_path, "rose", "tulip", rows=rows).values[0, 1] == pytest.approx(24 / 25, abs=1e-7)


def test_missing_classes_are_named_with_the_nearest_spellings(tmp_path: Path) -> None:
    classes = ClassList(("rose", "tulpi", "red_lorry", "n017"), {"phrase": ("", "", "", "trukc")})
    with pytest.raises(ClassNotFoundError) as caught:
        embedding_similarity(written(tmp_path, ROWS), classes)
    assert caught.value.missing == ("tulpi", "red_lorry", "n017")
    assert str(caught.value).splitlines() == [
        "vectors.txt has no vector for 3 of the classes:",
        "  tulpi: no 'tulpi', nearest tulip",
        "  red_lorry: no 'lorry'",
        "  n017: no 'trukc', nearest truck",
        "correct their spelling, give them another phrase (a phrase column in the class list), take other vectors or "
        'an encoder, which takes any text (from_encoder), or leave them out (oov="drop")',
    ]


def test_missing_classes_are_dropped_when_asked_for(tmp_path: Path) -> None:
    raw = similarity(tmp_path, "rose", "lorry", "truck", "red_lorry", oov="drop")
    assert raw.classes == ("rose", "truck")
    assert raw.provenance.params["dropped"] == ["lorry", "red_lorry"]
    assert raw.values.shape == (2, 2)
    assert set(raw.provenance.resolution) == {"rose", "truck"}
    with pytest.raises(ClassNotFoundError, match="has vectors for 1 of the 2 classes, two are needed"):
        similarity(tmp_path, "rose", "lorry", oov="drop")


def test_names_are_read_as_they_stand_first_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading is the same, and no forms are made of a name that the file has."""
    source = written(tmp_path, {**ROWS, "garden,_red_rose,_with_a_tulip": [1, 1, 0], "lorry": [0, 0, 1]})
    names = ("garden,_red_rose,_with_a_tulip", "Tulips", "red_trucks", "old rose", "zzqqx", "lorry", "Lorry", "a1")
    listed = ClassList(names, {"phrase": ("", "", "rose", "", "", "roses of old", "qqq", "truck")})
    at_once = embedding_similarity(source, listed, oov="drop")
    forms = lookup.forms
    made: list[str] = []
    monkeypatch.setattr(lookup, "forms", lambda text: [made.append(text), forms(text)][1])
    monkeypatch.setattr(embeddings, "_FORMS_AT_ONCE", 2)
    in_turn = embedding_similarity(source, listed, oov="drop")
    assert in_turn.provenance == at_once.provenance
    assert np.array_equal(in_turn.values, at_once.values)
    assert "Tulips" in made
    assert not {"garden", names[0]} & set(made)
    with pytest.raises(ClassNotFoundError, match="no 'zzqqx'") as caught:
        embedding_similarity(source, listed)
    monkeypatch.undo()
    with pytest.raises(ClassNotFoundError) as expected:
        embedding_similarity(source, listed)
    assert str(caught.value) == str(expected.value)


def test_of_ten_thousand_names_that_the_file_has_no_form_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"small rake {at}" for at in range(10_001))
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(10_001, 2)))
    (tmp_path / "words").write_text("\n".join(names))
    monkeypatch.setattr(lookup, "forms", None)
    source = VectorSource(tmp_path / "v.npy", "v.npy", vocabulary=tmp_path / "words")
    assert embedding_similarity(source, ClassList(names)).classes == names


def test_a_file_that_has_none_of_the_classes_is_told_at_once(tmp_path: Path) -> None:
    listed = ClassList(tuple(f"zq{at}" for at in range(11)))
    message = (
        "for none of the 11 classes, such as 'zq0', 'zq1', 'zq2'; check .* words, such as 'rose', 'tulip', 'red', or"
    )
    with pytest.raises(ClassNotFoundError, match=message):
        embedding_similarity(written(tmp_path, ROWS), listed)


def test_the_progress_is_that_of_both_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_FORMS_AT_ONCE", 1)
    source = written(tmp_path, ROWS)
    told: list[tuple[int, int]] = []
    embedding_similarity(source, ClassList(("Rose", "tulip")), progress=lambda *one: told.append(one))
    size = source.path.stat().st_size
    assert told == sorted(told)
    assert {total for _, total in told} == {2 * size}
    assert told[-1][0] == 2 * size


def test_what_is_recorded(tmp_path: Path) -> None:
    source = written(tmp_path, ROWS)
    (tmp_path / "names.txt").write_text("rose\nRed\nTrucks\n")
    raw = embedding_similarity(source, read_classes(tmp_path / "names.txt"))
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("vectors.txt", "names.txt")]
    assert [tuple(one) for one in raw.provenance.source] == [
        ("vectors", "vectors.txt", digests[0]),
        ("classes", "names.txt", digests[1]),
    ]
    assert raw.provenance.builder == "embeddings"
    assert raw.provenance.params == {"measure": "cosine", "oov": "error", "dimension": 3}
    assert raw.provenance.resolution == {
        "rose": {"how": "name", "words": ["rose"]},
        "Red": {"how": "name form", "words": ["red"]},
        "Trucks": {"how": "name form", "words": ["truck"]},
    }
    assert str(tmp_path) not in repr(raw)


def test_a_vocabulary_of_its_own_is_recorded(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array(list(ROWS.values())))
    (tmp_path / "words").write_text("\n".join(ROWS))
    source = VectorSource(tmp_path / "v.npy", "v.npy", vocabulary=tmp_path / "words")
    raw = embedding_similarity(source, ClassList(("rose", "truck")))
    digest = hashlib.sha256((tmp_path / "words").read_bytes()).hexdigest()
    assert tuple(raw.provenance.source[2]) == ("vocabulary", "words", digest)
    assert raw.values[0, 1] == pytest.approx(cosine_of_means([ROWS["rose"]], [ROWS["truck"]]), abs=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"oov": "skip"}, "oov must be 'error' or 'drop', got 'skip'")],
)
def test_choices(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        similarity(tmp_path, "rose", "truck", **options)


def test_a_phrase_that_is_not_found_is_recorded_and_warned_of(tmp_path: Path) -> None:
    source = written(tmp_path, ROWS)
    (tmp_path / "c.tsv").write_text("class\tphrase\nrose\troses of old\ntulip\ttruck\n")
    matrix = from_embeddings(source.path, tmp_path / "c.tsv")
    assert matrix.provenance.resolution["rose"] == {"how": "name", "words": ["rose"], "missed": "roses of old"}
    assert "missed" not in matrix.provenance.resolution["tulip"]
    warning = "1 class was looked up by name, since the phrase was not found: rose (roses of old)"
    assert warning in concerns(matrix)


def test_phrases_go_with_the_classes_that_are_left(tmp_path: Path) -> None:
    classes = ClassList(("zzqqx", "rose", "tulip", "truck"), {"phrase": ("", "qqqzz", "", "roses of old")})
    raw = embedding_similarity(written(tmp_path, ROWS), classes, oov="drop")
    assert raw.classes == ("rose", "tulip", "truck")
    missed = {name: found.get("missed") for name, found in raw.provenance.resolution.items()}
    assert missed == {"rose": "qqqzz", "tulip": None, "truck": "roses of old"}


def checksums(path: Path, **options: Any) -> dict[str, str]:
    raw = embedding_similarity(VectorSource(path, path.name, **options), ClassList(("rose", "tulip")))
    return {one.name: one.sha256 for one in raw.provenance.source if one.role != "classes"}


def test_every_file_that_is_read_is_in_the_record(tmp_path: Path) -> None:
    """Also a vocabulary that was found beside the vectors, and an array that gensim stored beside its file."""
    rows = np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "v.txt").write_text("rose\ntulip\n")
    vectors = KeyedVectors(300)
    vectors.add_vectors(["rose", "tulip"], rows)
    vectors.save(str(tmp_path / "v.kv"), sep_limit=0)
    for names in (("v.npy", "v.txt"), ("v.kv", "v.kv.vectors.npy")):
        expected = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}
        assert checksums(tmp_path / names[0]) == expected


def test_the_checksum_is_of_the_bytes_that_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes the place is not read; one whose bytes change is refused."""
    path = tmp_path / "v.txt"
    lines = [b"rose 1 0\ntulip 1 1\n", b"rose 1 0\ntulip 0 1\n"]
    resolve = embeddings.resolve
    for replaces in (True, False):
        path.write_bytes(lines[0])
        os.utime(path, ns=(0, 0))

        def meanwhile(*arguments: Any, replaces: bool = replaces) -> Any:
            if replaces:
                (tmp_path / "new").write_bytes(lines[1])
                (tmp_path / "new").replace(path)
            else:
                path.write_bytes(lines[1])
            return resolve(*arguments)

        monkeypatch.setattr(embeddings, "resolve", meanwhile)
        if replaces:
            assert checksums(path) == {"v.txt": hashlib.sha256(lines[0]).hexdigest()}
        else:
            with pytest.raises(SourceError, match="was changed while it was read"):
                checksums(path)


@pytest.mark.parametrize("exact_up_to", [0, 4000], ids=["float32", "float64"])
def test_the_rows_of_many_classes_are_not_kept_beside_their_array(
    exact_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalise, "EXACT_UP_TO", exact_up_to)
    rows = np.random.default_rng(0).standard_normal((4000, 250))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found: list[Cosines] = []
    most = peak_memory(lambda: found.append(Cosines.of((row[None] * 1.0 for row in rows), 4000)))
    at_once = Cosines(rows)
    assert np.array_equal(found[0].vectors, at_once.vectors)
    assert np.array_equal(found[0].inverses, at_once.inverses)
    # As a list they would take twice as much, and more. Few are kept in float64 too.
    held = found[0].vectors.nbytes + found[0].inverses.nbytes + (rows.nbytes if exact_up_to else 0)
    assert held <= most < 1.5 * held
