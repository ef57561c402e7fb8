"""A matrix in shards: what goes in comes out, the same bytes, one matrix or the other, and never a mixture."""

import hashlib
import json
import multiprocessing
import re
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from safetensors.numpy import load_file

from simmatrix import MatrixError, OutputError, ParameterError, Provenance, SimilarityMatrix, SourceError, load, save
from simmatrix import shards as module
from simmatrix.files import silent
from simmatrix.matrix import load_input
from simmatrix.names import MANY, TextArray
from simmatrix.provenance import FoundArray
from simmatrix.shards import Rows, make_shard, read_columns, unfinished
from tests.simmatrix.matrices import random_matrix
from tests.simmatrix.peak import BYTES, SHARDS, most_held, write_large
from tests.simmatrix.test_storage import GOLDEN, assert_same, golden_matrix

NAME = "matrix.safetensors.index.json"


def matrix(size: int = 40, seed: int = 0) -> SimilarityMatrix:
    plain = random_matrix("sparse", size, seed)
    told = {name: {"how": "name", "words": [name, "ß"]} for name in plain.classes[::3]}
    return SimilarityMatrix(plain.values, plain.classes, Provenance("test", {"seed": seed}, resolution=told))


def in_shards(folder: Path, one: SimilarityMatrix, shards: int | None = None) -> Path:
    save(one, folder / NAME, shards=shards)
    return folder / NAME


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def test_golden_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__version__", "0.0.0")
    golden_matrix("v3-sparse").save(tmp_path / "v3-sparse.safetensors.index.json", shards=2)
    golden = {name: raw for name, raw in contents(GOLDEN).items() if name.startswith("v3-sparse")}
    assert len(golden) == 4
    assert contents(tmp_path) == golden


def test_the_golden_files_stay_readable() -> None:
    assert_same(load(GOLDEN / "v3-sparse.safetensors.index.json"), golden_matrix("v3-sparse"))


def test_round_trip_for_any_number_of_shards(tmp_path: Path) -> None:
    one = matrix()
    for shards in (1, 2, 7, 39, 40, None):
        path = in_shards(tmp_path, one, shards)
        loaded = load(path)
        assert_same(loaded, one)
        assert type(loaded.classes) is tuple
        before = contents(tmp_path)
        in_shards(tmp_path, loaded, shards)
        assert contents(tmp_path) == before
        # Under the name of a file in one piece, too, as long as there is none.
        assert_same(load(tmp_path / "matrix.safetensors"), one)
        for rows in (range(40), range(1), range(39, 40), range(3, 29), range(20, 21)):
            part = load(path, rows=rows)
            np.testing.assert_array_equal(part.values.toarray(), one.to_dense()[rows.start : rows.stop])
            assert (part.rows, part.classes, part.provenance) == (rows, one.classes, one.provenance)
        for here in (range(40), range(7, 25), range(39, 40), range(12, 12)):
            columns = read_columns(path, {40: here}.__getitem__)
            kept = one.values[:, here.start : here.stop]
            for part, expected in zip(columns[:3], (kept.indptr, kept.indices, kept.data), strict=True):
                np.testing.assert_array_equal(part, expected)
            assert (columns.here, columns.classes) == (here, one.classes)
            assert columns.total == pytest.approx(one.values.data.sum(dtype=np.float64), rel=1e-12)
    save(one, tmp_path / "matrix.safetensors")
    part = load(tmp_path / "matrix.safetensors", rows=range(2, 4))
    np.testing.assert_array_equal(part.values.toarray(), one.to_dense()[2:4])
    for path in (tmp_path / "matrix.safetensors", tmp_path / NAME):
        for rows in (range(0), range(-1, 3), range(39, 41), range(0, 4, 2)):
            with pytest.raises(SourceError, match=re.escape(f"has no {rows}; its rows are range(0, 40)")):
                load(path, rows=rows)


def test_rows_that_are_no_range_are_refused(tmp_path: Path) -> None:
    save(matrix(), tmp_path / "one.safetensors")
    # The tests' own checks of types come before ours.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        for path in (tmp_path / "one.safetensors", in_shards(tmp_path, matrix())):
            for bad in ([0, 1], 3, "0:3", slice(0, 3), np.arange(2)):
                with pytest.raises(ParameterError, match=r"rows must be a range, such as range\(0, 100\), not "):
                    load(path, rows=bad)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_other_libraries_read_the_shards(tmp_path: Path) -> None:
    """As they read models: the index says which file holds which tensor."""
    one = matrix()
    index = json.loads(in_shards(tmp_path, one, 3).read_text())["weight_map"]
    tensors = {name: load_file(tmp_path / file)[name] for name, file in index.items()}
    assert all(
        re.fullmatch(r"matrix-[0-9a-f]{12}-(\d{5}-of-00003|classes)\.safetensors", file) for file in index.values()
    )
    numbers = ("00001", "00002", "00003")
    for name, expected in (("values", one.values.data), ("col_indices", one.values.indices)):
        np.testing.assert_array_equal(np.concatenate([tensors[f"{name}.{number}"] for number in numbers]), expected)
    for text, offsets, expected in (
        ("class_names", "class_offsets", list(one.classes)),
        (
            "resolution",
            "resolution_offsets",
            [
                json.dumps(dict(one.provenance.resolution[name]), ensure_ascii=False, separators=(",", ":"))
                if name in one.provenance.resolution
                else ""
                for name in one.classes
            ],
        ),
    ):
        raw, ends = tensors[text].tobytes(), tensors[offsets].tolist()
        assert [raw[a:b].decode() for a, b in pairwise(ends)] == expected


def test_many_names_stay_an_array_and_what_was_found_is_read_when_asked(tmp_path: Path) -> None:
    from scipy.sparse import csr_array, eye_array

    names = TextArray.of(f"class {index}" for index in range(MANY))
    found = FoundArray(
        names, TextArray.of('{"how":"name","words":["x"]}' if name.endswith("7") else "" for name in names)
    )
    one = SimilarityMatrix(csr_array(eye_array(MANY)), names, Provenance("test", resolution=found))
    loaded = load(in_shards(tmp_path, one))
    assert isinstance(loaded.classes, TextArray)
    assert loaded.classes == names
    told = loaded.provenance.resolution
    assert isinstance(told, FoundArray)
    assert (len(told), told["class 17"], told.get("class 18"), "none" in told) == (
        MANY // 10,
        {"how": "name", "words": ["x"]},
        None,
        False,
    )
    assert dict(told.items()) == dict(found.items())
    assert list(loaded.provenance.only(["class 18", "class 27"]).resolution) == ["class 27"]


def test_a_reader_holds_what_it_returns_and_a_few_shards(tmp_path: Path) -> None:
    """A shard has 2 MB, and takes a few times that while it is checked."""
    write_large(path := tmp_path / NAME)
    room = 8 * BYTES / SHARDS
    for what, kept in (
        ("simmatrix.load(path)", BYTES),
        ("simmatrix.load(path, rows=range(10_000, 10_010))", 0),
        ("simmatrix.shards.read_columns(path, lambda count: range(count // 2))", BYTES / 2),
    ):
        held = most_held(path, what, "import simmatrix.shards")
        assert kept <= held <= kept + room, (what, held)


def damaged(tmp_path: Path) -> list[tuple[str, Callable[[Path], None], str]]:
    """Return kinds of damage to the files in a folder, and what the message has to say."""
    other = tmp_path / "other"
    other.mkdir()
    in_shards(other, matrix(41, seed=1), 3)

    def of(folder: Path, what: str) -> Path:
        return next(folder.glob(f"matrix-*-{what}.safetensors"))

    def turn(path: Path, at: int) -> None:
        raw = bytearray(path.read_bytes())
        raw[at] ^= 1
        path.write_bytes(raw)

    def rewrite(folder: Path, old: str, new: str) -> None:
        text = (folder / NAME).read_text()
        assert old in text
        (folder / NAME).write_text(text.replace(old, new))

    second = "00002-of-00003"
    return [
        ("missing", lambda at: of(at, second).unlink(), "matrix.safetensors.index.json: lists the file matrix-"),
        ("no names", lambda at: of(at, "classes").unlink(), "lists the file matrix-"),
        ("a value", lambda at: turn(of(at, second), -1), "its checksum is another"),
        ("a header", lambda at: turn(of(at, second), 40), r"checksum is another|damaged|not the file"),
        ("a name", lambda at: turn(of(at, "classes"), -1), r"its checksum is another"),
        ("cut short", lambda at: of(at, second).write_bytes(of(at, second).read_bytes()[:-9]), "damaged"),
        ("emptied", lambda at: of(at, second).write_bytes(b""), "smaller"),
        ("another's", lambda at: shutil.copy(of(other, second), of(at, second)), r"checksum is another|not the file"),
        ("another's names", lambda at: shutil.copy(of(other, "classes"), of(at, "classes")), "checksum is another"),
        ("another index", lambda at: shutil.copy(other / NAME, at / NAME), "lists the file"),
        ("a swap", lambda at: of(at, "00001-of-00003").replace(of(at, second)), r"not the file|lists the file"),
        ("newer", lambda at: rewrite(at, '"format_version": "3"', '"format_version": "4"'), "install a newer release"),
        ("older", lambda at: rewrite(at, '"format_version": "3"', '"format_version": "2"'), "no index of version 3"),
        ("foreign", lambda at: rewrite(at, '"format": "simmatrix"', '"format": "pt"'), "no index of a similarity"),
        ("a gap", lambda at: rewrite(at, ",14,28,", ",15,28,"), "lists no files that make a matrix"),
        ("elsewhere", lambda at: rewrite(at, "matrix-", "../matrix-"), "lists no files that make a matrix"),
        ("fewer", lambda at: rewrite(at, '"classes": "40"', '"classes": "39"'), "lists no files that make a matrix"),
        ("greedy", lambda at: rewrite(at, '"classes": "40"', '"classes": "4000000000"'), "lists no files"),
        ("a map", lambda at: rewrite(at, '"weight_map": {', '"weight_map": {"x": "x.safetensors",'), "lists no files"),
        ("a map's file", lambda at: rewrite(at, '"class_names": "matrix-', '"class_names": "n-'), "lists no files"),
        ("no JSON", lambda at: rewrite(at, '"weight_map"', "weight_map"), "is no index of a matrix, or a damaged one"),
    ]


def test_what_is_not_whole_is_refused(tmp_path: Path) -> None:
    for name, damage, message in damaged(tmp_path):
        folder = tmp_path / name
        folder.mkdir()
        path = in_shards(folder, matrix(), 3)
        damage(folder)
        try:
            told = f"read: {load(path)}"
        except SourceError as error:
            told = str(error)
        assert re.search(message, told), (name, told)
        assert "\n" not in told, name


def test_a_shard_is_no_matrix_and_is_not_overwritten(tmp_path: Path) -> None:
    path = in_shards(tmp_path, matrix(), 2)
    shard = next(tmp_path.glob("*-of-*"))
    with pytest.raises(SourceError, match="is a part of a matrix; name its index"):
        load(shard)
    with pytest.raises(OutputError, match="no similarity matrix; it is left alone"):
        matrix().save(shard)
    (tmp_path / "model.safetensors.index.json").write_text('{"metadata": {}, "weight_map": {}}')
    with pytest.raises(OutputError, match="no index of a similarity matrix; it is left alone"):
        matrix().save(tmp_path / "model.safetensors.index.json")
    for bad in (0, 41, -1):
        with pytest.raises(ParameterError, match="from 1 to 40"):
            save(matrix(), path, shards=bad)
    with pytest.raises(ParameterError, match=r"name it x.safetensors.index.json"):
        save(matrix(), tmp_path / "x.safetensors", shards=2)
    with pytest.raises(OutputError, match=r"whose form is dense is written as one file \(matrix.safetensors\)"):
        save(random_matrix(), path)
    evidence = np.zeros((6, 6), np.int32)
    plain = random_matrix("sparse")
    with pytest.raises(OutputError, match="with evidence is written as one file"):
        save(SimilarityMatrix(plain.values, plain.classes, evidence=evidence), path)
    assert_same(load(path), matrix())


@pytest.mark.parametrize(
    ("starts", "columns", "values"),
    [
        ([0, 1, 2], [2, 3], [1.0, 0.5]),
        ([0, 1, 2], [2, 2], [1.0, 1.0]),
        ([0, 1, 1], [2], [1.0]),
        ([0, 2, 3], [3, 2, 3], [0.5, 1.0, 1.0]),
        ([0, 2, 3], [2, 2, 3], [1.0, 1.0, 1.0]),
        ([0, 2, 3], [2, 9, 3], [1.0, 0.5, 1.0]),
        ([0, 2, 3], [-1, 2, 3], [0.5, 1.0, 1.0]),
        ([0, 2, 3], [1, 2, 3], [0.0, 1.0, 1.0]),
        ([0, 2, 3], [1, 2, 3], [1.5, 1.0, 1.0]),
        ([0, 2, 3], [1, 2, 3], [float("nan"), 1.0, 1.0]),
        ([1, 2, 3], [1, 2, 3], [0.5, 1.0, 1.0]),
    ],
)
def test_rows_that_are_no_similarities_are_refused(
    starts: list[int], columns: list[int], values: list[float], tmp_path: Path
) -> None:
    """Rows 2 and 3 of 9 classes."""
    rows = Rows(np.array(starts, np.int64), np.array(columns, np.int32), np.array(values, np.float32))
    with pytest.raises(MatrixError, match="rows 2 to 3: "):
        make_shard(tmp_path / NAME, 1, 1, 2, rows, 9)
    assert list(tmp_path.iterdir()) == []


def write(path: Path, one: SimilarityMatrix, key: str, until: int) -> None:
    """Write up to so many of five shards, and fail there; with `until` 5, all."""
    starts, columns, values = one.stored.tensors().values()
    ranges = module.shard_ranges(len(one), 5)
    with unfinished(path, key) as build:
        for number, rows in enumerate(ranges, 1):
            if number in build.done:
                continue
            if number > until:
                raise KeyboardInterrupt
            own = starts[rows.start : rows.stop + 1]
            part = Rows(own - own[0], columns[own[0] : own[-1]], values[own[0] : own[-1]])
            build.add(number, make_shard(path, number, 5, rows.start, part, len(one)))
        build.commit(one.classes, one.provenance)


def test_a_build_goes_on_from_its_own_shards_alone(tmp_path: Path) -> None:
    old, new = matrix(seed=1), matrix(seed=2)
    path = in_shards(tmp_path, old, 3)
    before = contents(tmp_path)

    def fails(key: str, until: int) -> dict[str, int]:
        with pytest.raises(KeyboardInterrupt):
            write(path, new, key, until)
        assert_same(load(path), old)
        return {one.name: one.stat().st_mtime_ns for one in tmp_path.glob("*-of-00005*")}

    assert fails("", 3) == {}
    assert contents(tmp_path) == before
    first = fails("one", 3)
    assert len(first) == 3
    # A shard that was changed is made again; those that are whole are not.
    changed = next(tmp_path.glob("*-00002-of-00005*"))
    whole = changed.read_bytes()
    changed.write_bytes(whole[:-1] + b"x")
    second = fails("one", 4)
    assert len(second) == 4
    assert changed.read_bytes() == whole
    assert {name for name in first if first[name] != second[name]} == {changed.name}
    # Another build begins anew, and leaves nothing of the first.
    third = fails("two", 1)
    assert len(third) == 1
    assert third.items() != second.items()
    write(path, new, "two", 5)
    assert_same(load(path), new)
    after = contents(tmp_path)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert contents(in_shards(tmp_path, new, 5).parent) == after


def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    path = in_shards(tmp_path, matrix(), 2)
    with unfinished(path) as _build, pytest.raises(OutputError, match="is being written by another process"):
        save(matrix(seed=1), path)
    save(matrix(seed=1), path)
    assert_same(load(path), matrix(seed=1))


def test_shards_that_another_index_lists_stay(tmp_path: Path) -> None:
    """An index may have been given another name, or be kept beside the new one."""
    path = in_shards(tmp_path, matrix(seed=1), 2)
    shutil.copy(path, tmp_path / "kept.safetensors.index.json")
    foreign = ["{}", '{"weight_map": []}', '{"weight_map": {"a": []}}', "[" * 100_000, "no JSON"]
    for number, text in enumerate(foreign):
        (tmp_path / f"{number}.safetensors.index.json").write_text(text)
    in_shards(tmp_path, matrix(seed=2), 2)
    assert_same(load(tmp_path / "kept.safetensors.index.json"), matrix(seed=1))
    assert_same(load(path), matrix(seed=2))
    (tmp_path / "kept.safetensors.index.json").unlink()
    in_shards(tmp_path, matrix(seed=2), 2)
    assert len(list(tmp_path.iterdir())) == 4 + len(foreign)


def test_while_an_index_can_not_be_read_no_shard_is_removed(tmp_path: Path) -> None:
    before = {one.name for one in in_shards(tmp_path, matrix(seed=1), 2).parent.glob("*-of-*")}
    unreadable = tmp_path / "other.safetensors.index.json"
    unreadable.mkdir()  # as for whoever may not read it
    in_shards(tmp_path, matrix(seed=2), 2)
    assert before <= {one.name for one in tmp_path.iterdir()}
    unreadable.rmdir()
    in_shards(tmp_path, matrix(seed=2), 2)
    assert not before & {one.name for one in tmp_path.iterdir()}


def test_files_that_are_not_its_own_stay_whatever_the_index_says(tmp_path: Path) -> None:
    path = in_shards(tmp_path, matrix(seed=1), 2)
    weights = tmp_path / "my_weights.safetensors"
    weights.write_bytes(b"precious")
    sound = json.loads(path.read_text())
    # One more in the map: that is no index of ours, and is left alone.
    path.write_text(json.dumps({**sound, "weight_map": {**sound["weight_map"], "extra": weights.name}}))
    for call in (lambda: load(path), lambda: in_shards(tmp_path, matrix(seed=2), 2)):
        with pytest.raises((SourceError, OutputError), match=r"lists no files|is no index of a similarity matrix"):
            call()
    # In the place of a shard, with its checksum.
    shards = json.loads(sound["metadata"]["shards"])
    text = json.dumps(sound).replace(shards[1][0], weights.name)
    path.write_text(text.replace(shards[1][4], hashlib.sha256(b"precious").hexdigest()))
    in_shards(tmp_path, matrix(seed=2), 2)
    assert weights.read_bytes() == b"precious"
    assert_same(load(path), matrix(seed=2))
    # An index that was given another name still has its own files, which go.
    path.rename(tmp_path / "other.safetensors.index.json")
    save(matrix(seed=3), tmp_path / "other.safetensors.index.json", shards=2)
    assert {one.name[:6] for one in tmp_path.iterdir()} == {"other-", "other.", "my_wei"}


def test_what_workers_mapped_is_removed(tmp_path: Path) -> None:
    """A run that was killed left it."""
    path = tmp_path / NAME
    module.vectors_beside(path).write_bytes(b"x")
    in_shards(tmp_path, matrix(), 2)
    assert not module.vectors_beside(path).exists()
    module.vectors_beside(path).write_bytes(b"x")
    with pytest.raises(KeyboardInterrupt):
        write(path, matrix(), "key", 2)
    assert not module.vectors_beside(path).exists()


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / NAME
    link.symlink_to(tmp_path / "real" / NAME)
    for seed in (1, 2):
        save(matrix(seed=seed), link, shards=2)
        assert_same(load(link), matrix(seed=seed))
    assert [one.name for one in (tmp_path / "links").iterdir()] == [NAME]
    assert len(contents(tmp_path / "real")) == 4


def test_who_reads_while_it_is_replaced_has_one_matrix(tmp_path: Path) -> None:
    path = in_shards(tmp_path, matrix(seed=1), 6)
    expected = {one.provenance.params["seed"]: one.to_dense() for one in (matrix(seed=1), matrix(seed=2))}
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=replace_for_ever, args=(path,))
    writer.start()
    seen: list[int] = []
    until = time.monotonic() + 60
    try:
        # A busy machine may take longer to start the writer than to read 150 times.
        while len(seen) < 150 or (len(set(seen)) < 2 and time.monotonic() < until):
            one = load(path)
            seed = one.provenance.params["seed"]
            np.testing.assert_array_equal(one.to_dense(), expected[seed])
            seen.append(seed)
    finally:
        writer.kill()
        writer.join()
    assert set(seen) == {1, 2}


def replace_for_ever(path: Path) -> None:
    while True:
        for seed in (2, 1):
            in_shards(path.parent, matrix(seed=seed), 6)


def test_an_input_is_recorded_with_the_checksum_of_its_index(tmp_path: Path) -> None:
    path = in_shards(tmp_path, matrix(), 3)
    one, recorded = load_input(path, silent)
    assert_same(one, matrix())
    assert recorded == ("matrix", NAME, hashlib.sha256(path.read_bytes()).hexdigest())
