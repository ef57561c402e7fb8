"""Class lists in every form, and every way in which a file can be wrong."""

import copy
import csv
import hashlib
import json
import os
import pickle
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simmatrix import data, from_classes
from simmatrix.classes import ClassList, read_classes
from simmatrix.errors import SourceError
from simmatrix.names import TextArray

NAMES = ("rose", "sweet pepper", "Käfer", "T-shirt/top", "日本")

FORMS = {
    ".txt": "\n".join(NAMES) + "\n",
    ".tsv": "class\tgroup\n" + "".join(f"{name}\tg{index}\n" for index, name in enumerate(NAMES)),
    ".csv": "group,class\n" + "".join(f"g{index},{name}\n" for index, name in enumerate(NAMES)),
    ".json": json.dumps(NAMES, indent=1),
    ".indices.json": json.dumps({str(index): name for index, name in reversed(list(enumerate(NAMES)))}),
}


def test_the_checksum_of_many_names_is_that_of_their_json_array(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps, sizes = json.dumps, []
    monkeypatch.setattr(json, "dumps", lambda names, **options: sizes.append(len(names)) or dumps(names, **options))
    monkeypatch.setattr("simmatrix.classes._TOGETHER", 5)
    for count in (2, 5, 6, 23):
        names = [f'class "{index}" é' for index in range(count)]
        expected = hashlib.sha256(dumps(names, ensure_ascii=False).encode()).hexdigest()
        found = {ClassList(TextArray.of(names)).sha256, ClassList(tuple(names)).sha256}
        assert found == {expected}
    # Never all of many at a time, as texts of their own.
    assert max(sizes) == 5


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same(form: str, line_end: str, bom: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"names{form}"
    path.write_bytes(bom + FORMS[form].replace("\n", line_end).encode())
    classes = read_classes(str(path))
    assert classes.names == NAMES
    assert classes.source == path.name
    assert classes.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    groups = ("g0", "g1", "g2", "g3", "g4")
    assert dict(classes.columns) == ({"group": groups} if form in (".tsv", ".csv") else {})
    assert classes.column("nowhere") == ("",) * 5


@pytest.mark.parametrize("tail", ["", "\n", "\n\n\n", "  \n \n"])
def test_blank_lines_may_end_a_text(tail: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text(" rose \ntulip" + tail)
    assert read_classes(path).names == ("rose", "tulip")


def test_a_csv_field_may_hold_the_separator_and_the_quote(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text('class,phrase\n"tench, Tinca",tench\n"the ""big"" one",\n')
    assert read_classes(path).names == ("tench, Tinca", 'the "big" one')
    assert read_classes(path).column("phrase") == ("tench", "")


def test_a_data_frame_is_read_as_its_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"grade": [3, 4, 10], "kind": ["low", None, "a,b"]}, index=[7, 8, 9])
    frame.to_csv(tmp_path / "classes.csv", index=False)
    read = read_classes(tmp_path / "classes.csv", class_column="grade")
    found = read_classes(frame, class_column="grade")
    assert (
        (found.names, found.columns) == (read.names, read.columns) == (("3", "4", "10"), {"kind": ("low", "", "a,b")})
    )
    assert found.source == "classes"
    named = read_classes(frame.set_index("grade").rename_axis("class"))
    assert (named.names, named.columns) == (read.names, read.columns)
    for odd, message in (
        (frame, r"has no column named class .*as a .csv of it would have \(names that are its index: frame.rename_ax"),
        (pd.DataFrame({"class": ["a", None, "b"]}), "the row is empty.*as a .csv of it would have"),
        (pd.DataFrame({"class": pd.Series(["a", "\ud800"], dtype=object)}), "holds a control character or half of one"),
    ):
        with pytest.raises(SourceError, match=message):
            read_classes(odd)
    assert read_classes(pd.DataFrame([["a", "x"], ["b", "z"]]), class_column="0").names == ("a", "b")
    matrix = from_classes(pd.DataFrame({"class": ["rose", "tulip", "oak"], "group": ["flower", "flower", "tree"]}))
    assert matrix.provenance.builder == "taxonomy"


@pytest.mark.parametrize("name", data.class_list_names())
def test_bundled_lists(name: str) -> None:
    with data.class_list_path(name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    classes = read_classes(name)
    assert classes.source == name
    assert list(classes.names) == [row["class"] for row in rows]
    assert list(classes.column("synset")) == [row["synset"] for row in rows]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_class_lists_go_to_other_processes(copied: Callable[[ClassList], ClassList]) -> None:
    """As they do with a data set that a loader's workers are given."""
    listed = read_classes("cifar100")
    assert copied(listed) == listed


def test_names_and_class_lists_are_taken_as_they_are() -> None:
    classes = read_classes(list(NAMES))
    assert classes.names == NAMES
    assert len(classes) == 5
    assert read_classes(classes) is classes
    assert classes.sha256 == hashlib.sha256(json.dumps(NAMES, ensure_ascii=False).encode()).hexdigest()


def test_select_takes_the_columns_along() -> None:
    classes = ClassList(("a", "b", "c"), {"group": ("1", "2", "3")}, "some", "f" * 64)
    chosen = classes.select(["c", "a"])
    assert (chosen.names, chosen.column("group"), chosen.source, chosen.sha256) == (
        ("c", "a"),
        ("3", "1"),
        "some",
        "f" * 64,
    )
    with pytest.raises(SourceError, match="some: has no class 'd'"):
        classes.select(["a", "d"])


def test_columns_are_frozen_and_as_long_as_the_names() -> None:
    columns = {"group": ("1", "2")}
    classes = ClassList(("a", "b"), columns)
    columns["other"] = ("1", "2")
    assert set(classes.columns) == {"group"}
    with pytest.raises(TypeError):
        classes.columns["other"] = ("1", "2")  # type: ignore[index]
    with pytest.raises(SourceError, match="column group has 1 values for 2 classes"):
        ClassList(("a", "b"), {"group": ("1",)})


texts = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1)
names = st.lists(
    # Names are composed (NFC) when they are read.
    texts.map(lambda text: unicodedata.normalize("NFC", text.strip())).filter(bool),
    min_size=2,
    unique=True,
)


@given(names)
def test_any_names_read_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    texts = {"n.txt": "\n".join(names), "list.json": json.dumps(names), "map.json": json.dumps(dict(enumerate(names)))}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        with (folder / f"n{suffix}").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([["class"], *([name] for name in names)])
    for path in folder.iterdir():
        # A text that starts with a byte-order mark loses it, as any file does.
        if not names[0].startswith("\ufeff") or path.suffix != ".txt":
            assert read_classes(path).names == tuple(names), path.name


BAD = [
    (
        "a.csv",
        b"id,text,category\n1,rake,Garden\n2,hose,Garden\n",
        None,
        'category repeats names, so it holds groups; say which column holds the classes .class_column="text"',
    ),
    ("a.csv", b"id,category\n1,Garden\n2,Garden\n", 3, "the class 'Garden' stands there twice"),
    (
        "a.csv",
        b"price,file,title,category\n1.5,a.png,rake,Garden\n-2,b.png,hose,Garden\n",
        None,
        'the column category repeats names, so it holds groups; say which column holds the classes .class_column="titl',
    ),
    ("a.csv", b"name,text\nrose,a\ntulip,b\nrose,c\noak,d\n", 4, "'rose' stands there twice .first on line 2."),
    ("a.txt", b"a\nb\na\nc\nb\n", 3, "'a' stands there twice .first on line 1., also 'b'; names must be unique"),
    ("a.txt", b"rose\ntulip\nrose\n", 3, "'rose' stands there twice .first on line 1.; names must be unique"),
    ("a.txt", b"rose\n\ntulip\n", 2, "has no name; name it or take it out"),
    ("a.txt", b" \n\n", None, "holds no classes"),
    ("a.txt", b"\xef\xbb\xbf", None, "holds no classes"),
    ("a.txt", b"rose\n", None, r"holds 1 class\(es\); a similarity needs at least two"),
    ("a.txt", b"rose\nt\xfclip\n", 2, "is not UTF-8; save the file as UTF-8"),
    ("a.txt", b"\xef\xbb\xbfa\nb\nt\xfclip\n", 3, "is not UTF-8"),
    ("a.txt", b"a\rb\rt\xfclip\r", 3, "is not UTF-8"),
    ("a.txt", "rose\ntulip\n".encode("utf-16"), None, "is UTF-16; save the file as UTF-8"),
    ("a.txt", b"rose\ntu\x00lip\n", 2, "control character"),
    ("a.csv", b"\n\n", 1, "no column named class .it has: nothing.; call one of the columns class, or name one with"),
    ("a.csv", b"flower,synset\nrose,\n", 1, "no column named class .it has: flower, synset."),
    ("a.csv", b"name,label\nrose,0\n", 1, "the columns name and label could both hold the classes; say which"),
    ("a.csv", b"class,x,x\nrose,1,2\n", 1, "names x twice"),
    ("a.csv", b"class\n", None, "holds no classes"),
    ("a.csv", b"class,x\nrose,1\ntulip\n", 3, "has 1 field, the header has 2; write the others too"),
    ("a.csv", b"class,x\nrose,1\ntulip,1,2\n", 3, "has 3 fields, the header has 2; quote a field"),
    ("a.csv", b"class,x\nrose,1\n\ntulip,1\n", 3, "the row is empty; take it out"),
    ("a.csv", b"class,x\nrose,1\n,\ntulip,1\n", 3, "the row is empty"),
    ("a.csv", b"class,x\nrose,1\n,2\n", 3, "has no name"),
    ("a.csv", b'class\nrose\n"tul\n', 3, "is not a well-formed table"),
    ("a.tsv", b"class\trank\nrose\t1\nrose\t2\n", 3, "'rose' stands there twice .first on line 2."),
    ("a.tsv", b"class\trank\nrose\t1\ntu\x7flip\t2\n", 3, "control character"),
    ("a.json", b'["rose",\n"tulip"', 2, "is not JSON"),
    ("a.json", b'"rose"', None, "write a list of names"),
    ("a.json", b"17", None, "write a list of names"),
    ("a.json", b"[]", None, "holds no classes"),
    ("a.json", b"{}", None, "holds no classes"),
    ("a.json", b'["rose", 3]', None, "class 1 is 3, not a name; write a list of names"),
    ("a.json", b'["rose", ["tulip"]]', None, "class 1 is .*, not a name"),
    ("a.json", b'["rose", " "]', None, r"class 1 \(counted from 0\) has no name"),
    ("a.json", b'["rose", "tulip", "rose"]', None, "'rose' stands there twice; names"),
    ("a.json", b'["rose", "\\ud800"]', None, "control character or half of one"),
    ("a.json", b'{"0": "rose", "0": "tulip"}', None, "indices 0 to 1, each once; wrong or repeated: 0"),
    ("a.json", b'{"0": "rose", "2": "tulip"}', None, "wrong or repeated: 2"),
    ("a.json", b'{"0": "rose", "01": "tulip"}', None, "wrong or repeated: 01"),
    ("a.json", b'{"0": "rose", "1": null}', None, "class 1 is null, not a name"),
    ("a.json", b"[" * 100_000, None, "is JSON that no class list needs; write a list of names"),
    ("a.json", b"9" * 5000, None, "is JSON that no class list needs"),
]


@pytest.mark.parametrize(("name", "content", "line", "message"), BAD)
def test_a_bad_file_is_named_with_its_line(
    name: str, content: bytes, line: int | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        read_classes(path)
    assert caught.value.path == path
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}, line {line}: " if line else f"{path}: ")


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".json"])
def test_an_empty_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    with pytest.raises(SourceError, match="is empty"):
        read_classes(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.txt: there is no such file; check the path"):
        read_classes(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["folder", "folder.txt"])
def test_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=rf"{name}: is a folder without sub-folders; name a file"):
        read_classes(tmp_path / name)


def test_a_pipe_and_a_link_to_itself(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(SourceError, match="is not a regular file"):
        read_classes(tmp_path / "pipe.txt")
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    with pytest.raises(SourceError, match="can't be read"):
        read_classes(tmp_path / "loop.txt")


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("rose\ntulip\n")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(SourceError, match=r"a\.txt: may not be read; check its permissions"):
        read_classes(path)


def test_another_suffix(tmp_path: Path) -> None:
    (tmp_path / "names.doc").write_text("rose\ntulip\n")
    with pytest.raises(SourceError, match=r"a class list ends in \.txt, .*, \.json, .* or \.xml; rename or convert"):
        read_classes(tmp_path / "names.doc")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar-100", "did you mean cifar100"), ("imagnet1k", "did you mean imagenet1k"), ("xyz", "lists are cifar10, ")],
)
def test_a_misspelt_bundled_name(name: str, hint: str) -> None:
    with pytest.raises(SourceError, match=f"{name}: is neither a bundled class list nor a file .*{hint}"):
        read_classes(name)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "'a' stands there twice"),
        (["a", ""], r"class 1 \(counted from 0\) has no name"),
        (["a"], "at least two"),
        ([], "holds 0"),
        (["a", "b\n"], "control character"),
    ],
)
def test_bad_names_given_directly(names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=f"classes: .*{message}"):
        read_classes(names)
