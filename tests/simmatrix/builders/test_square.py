"""Tables with names and arrays, as confusion matrices and ready matrices share them."""

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simmatrix.builders import square as square_module
from simmatrix.builders.square import read_square
from simmatrix.classes import ClassList
from simmatrix.errors import ClassNotFoundError, SourceError

CLASSES = ClassList(("rose", "tulip", "truck"))
VALUES = [[1.0, 0.5, 0.25], [0.75, 1.0, 0.0], [0.1, -2.0, 1.0]]


def table(rows: list[str], columns: list[str], corner: str = "", separator: str = ",") -> str:
    """Return `VALUES` as text, rows and columns in the orders given."""
    at = {name: index for index, name in enumerate(CLASSES.names)}
    lines = [[corner, *columns], *([row, *(repr(VALUES[at[row]][at[one]]) for one in columns)] for row in rows)]
    return "".join(separator.join(cells) + "\n" for cells in lines)


def written(folder: Path, text: str, name: str = "matrix.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("corner", ["", "true/predicted", "rose"])
def test_rows_and_columns_are_aligned_by_name(tmp_path: Path, corner: str, separator: str) -> None:
    orders = random.Random(0)
    for _ in range(5):
        rows, columns = (orders.sample(CLASSES.names, 3) for _ in range(2))
        square = read_square(written(tmp_path, table(rows, columns, corner, separator)), CLASSES)
        assert square.values.tolist() == VALUES
        assert square.lines == tuple(2 + rows.index(name) for name in CLASSES.names)
        assert square.line(1) == 2 + rows.index("tulip")


@settings(deadline=None)
@given(st.permutations(range(3)))
def test_another_class_order_permutes_the_matrix(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    path = written(tmp_path_factory.mktemp("square"), table(list(CLASSES.names), list(CLASSES.names)))
    permuted = read_square(path, ClassList(tuple(CLASSES.names[index] for index in order)))
    assert permuted.values.tolist() == [[VALUES[i][j] for j in order] for i in order]


def test_what_is_recorded(tmp_path: Path) -> None:
    path = written(tmp_path, ",Roses,tulip,truck\nrose,1,2,3\ntulip,4,5,6\nTruck,7,8,9\n")
    square = read_square(path, CLASSES)
    assert square.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert square.resolution == {
        "rose": {"how": "name form", "words": ["rose", "Roses"]},
        "tulip": {"how": "name", "words": ["tulip"]},
        "truck": {"how": "name form", "words": ["Truck", "truck"]},
    }
    assert square.values.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert square.ignored == 0


def test_rows_and_columns_that_are_no_class_can_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, ",bus,rose,tulip\ntulip,9,3,4\nrose,9,1,2\ncar,9,9,9\n")
    square = read_square(path, ClassList(("rose", "tulip")), unknown="ignore")
    assert square.values.tolist() == [[1, 2], [3, 4]]
    assert (square.lines, square.ignored) == ((3, 2), 2)


HEAD = ",rose,tulip,truck\n"
GOOD = "rose,1,0,0\ntulip,0,1,0\ntruck,0,0,1\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("# nothing\n", 1, "the first row names no columns; "),
        ("rose tulip truck\n", 1, "the first row names no columns; "),
        ("rose,tulip,truck\n" + GOOD, 2, "has 4 cells, the first row has 3; .* a cell above the names"),
        (HEAD + "rose,1,0\n", 2, "has 3 cells, the first row has 4; "),
        (HEAD + GOOD + "rose,1,0,0\n", 5, r"the row 'rose' stands there twice \(first on line 2\); take one of them"),
        (",rose,tulip,rose\n" + GOOD, 1, "the column 'rose' stands there twice; take one of them out"),
        (HEAD + "rose,1,x,0\n", 2, "'x' is no number; "),
        (
            ";rose;tulip;truck\nrose;1;0,5;0\n",
            1,
            "separates its cells by semicolons; .* write 0,5 with a decimal point",
        ),
        ("rose;tulip\n", 1, "separates its cells by semicolons; separate them by commas or tabs$"),
        ("1,0,0\n0,1,0\n0,0,1\n", 1, "the first row has to hold the names of the columns, and holds numbers .'0'."),
        ("rose,tulip,truck\n1,0,0\n0,1,0\n0,0,1\n", 2, "the first column has to hold the names of the rows, and hol"),
        (HEAD + "0,1,0,0\n1,0,1,0\n2,0,0,1\n", 2, "the first column has to hold the names of the rows, and holds numb"),
        (",0,1,2\n" + GOOD, 1, "the first row has to hold the names of the columns, and holds numbers .'0'.; write "),
        (",caf\u00e9,cafe\u0301\n", 1, "the column 'caf\u00e9' stands there twice; take one of them out"),
        (HEAD + "\n# a\nrose,1,nan,0\n", 4, "'nan' is no number; "),
        (HEAD + "rose,1,,0\n", 2, "a cell that should hold a number is empty"),
        (HEAD + GOOD.replace("tulip", "tulpi"), 3, r"'tulpi' is no class of classes \(did you mean tulip\?\); mend"),
        (HEAD.replace("tulip", "tulpi") + GOOD, 1, r"'tulpi' is no class of classes \(did you mean tulip\?\); mend"),
        (HEAD.replace("tulip", "") + GOOD, 1, "a cell that should hold a name is empty"),
    ],
)
def test_bad_text_is_refused_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SourceError, match=message) as caught:
        read_square(path, CLASSES, remedy="mend it")
    assert (caught.value.path, caught.value.line) == (path, line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "rose,1,0,0\ntruck,0,0,1\n", "matrix.csv: has no row for the class 'tulip'; mend it"),
        (",rose,truck\nrose,1,0\ntulip,1,0\ntruck,0,0\n", "matrix.csv: has no column for the class 'tulip'; mend it"),
    ],
)
def test_a_class_without_a_row_or_column_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ClassNotFoundError) as caught:
        read_square(written(tmp_path, text), CLASSES, remedy="mend it")
    assert str(caught.value).endswith(message)
    assert caught.value.missing == ("tulip",)


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "i1", "<u4"])
@pytest.mark.parametrize("name", ["matrix.npy", "matrix.csv"])
def test_arrays_are_told_by_their_first_bytes_and_are_in_class_order(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    expected = np.arange(9).reshape(3, 3)
    with path.open("wb") as file:
        np.save(file, np.asfortranarray(expected.astype(kind)))
    square = read_square(path, CLASSES)
    assert square.values.tolist() == expected.tolist()
    assert (square.values.dtype, square.values.flags.writeable) == (np.float64, True)
    assert type(square.values) is np.ndarray  # nothing stays mapped
    assert square.resolution["tulip"] == {"how": "position", "words": ["1"]}
    assert square.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert square.lines is None
    assert square.line(2) is None


@pytest.mark.parametrize(
    "array",
    [np.ones((3, 4)), np.ones((2, 2)), np.ones(9), np.ones((3, 3, 1)), np.ones((3, 3), complex), np.full((3, 3), "1")],
)
def test_arrays_of_another_shape_or_kind_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(SourceError, match=r"the 3 classes need numbers of shape \(3, 3\), rows and columns in the ord"):
        read_square(tmp_path / "m.npy", CLASSES)


def test_another_shape_is_refused_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file with a hole takes no room on the disk.
    np.lib.format.open_memmap(tmp_path / "m.npy", "w+", np.float64, (1000, 1000))
    monkeypatch.setattr(square_module.np, "empty", lambda *_arguments, **_options: pytest.fail("memory was taken"))
    with pytest.raises(SourceError, match="holds float64 values of shape"):
        read_square(tmp_path / "m.npy", CLASSES)


def test_a_table_that_is_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever takes its place at any moment, values and checksum are those of the file that was opened.
    path, other = tmp_path / "m", tmp_path / "other"
    for read, expected in ((square_module._read_array, np.full((3, 3), 0.5)), (square_module._read_text, np.eye(3))):
        path.write_text(HEAD + GOOD)
        for file, array in ((path, expected), (other, np.zeros((3, 3)))):
            np.save(tmp_path / "x.npy", array)
            if file == other or read is square_module._read_array:
                (tmp_path / "x.npy").replace(file)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()

        def replaced(*arguments: Any, read: Any = read) -> Any:
            other.replace(path)
            return read(*arguments)

        monkeypatch.setattr(square_module, read.__name__, replaced)
        square = read_square(path, CLASSES)
        assert (square.values.tolist(), square.sha256) == (expected.tolist(), digest)


def test_an_array_of_python_2_is_read_without_a_word(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 3L)}\n"
    (tmp_path / "m.npy").write_bytes(_npy(header) + np.eye(3).tobytes())
    assert read_square(tmp_path / "m.npy", CLASSES).values.tolist() == np.eye(3).tolist()


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.full((3, 3), None), allow_pickle=True)
    with pytest.raises(SourceError, match="it holds Python objects, which are never loaded"):
        read_square(tmp_path / "m.npy", CLASSES)


def test_numbers_wider_than_64_bits_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.full((3, 3), np.longdouble("1e400")))
    with pytest.raises(
        SourceError, match=r"holds float\d+ values, which are too wide; save them as float64 \(array.astype"
    ):
        read_square(tmp_path / "m.npy", CLASSES)


def test_numbers_too_large_for_a_large_matrix_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(square_module, "raw_type", lambda _count: np.float32)
    np.save(tmp_path / "m.npy", np.full((3, 3), 1e300))
    with pytest.raises(SourceError, match="holds inf for 'rose' and 'rose'"):
        read_square(tmp_path / "m.npy", CLASSES)
    with pytest.raises(SourceError, match="line 3: holds a number that is too large for a matrix of this size; divide"):
        read_square(written(tmp_path, HEAD + GOOD.replace("tulip,0", "tulip,1e300")), CLASSES)


@pytest.mark.parametrize("names", ["0,1,2", "0,1,1.0"])
def test_classes_may_be_called_like_numbers(tmp_path: Path, names: str) -> None:
    first, second, third = names.split(",")
    path = written(tmp_path, f",{names}\n{first},1,0,0\n{second},0,1,0\n{third},0,0,1\n")
    assert read_square(path, ClassList((first, second, third))).values.tolist() == np.eye(3).tolist()


def test_names_that_are_missing_are_not_taken_from_values(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 1: the first row has to hold the names of the columns, and holds numb"):
        read_square(written(tmp_path, "1,0,0\n0,1,0\n0,0,1\n"), ClassList(("0", "1", "2")))


def test_empty_columns_at_the_end_say_nothing(tmp_path: Path) -> None:
    text = HEAD + GOOD
    assert read_square(written(tmp_path, text.replace("\n", ",,\n")), CLASSES).values.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PK\x03\x04rest", "m.csv: is a zip archive, such as an Excel file or .npz; save its table as .csv"),
        (b"%PDF-1.4\n", "m.csv: is a PDF document; save its table as .csv"),
        (b"\x80\x04\x95", "m.csv: is a pickle, which is never loaded; save its table as .csv"),
    ],
)
def test_files_of_other_programs_are_told(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "m.csv").write_bytes(raw)
    with pytest.raises(SourceError) as caught:
        read_square(tmp_path / "m.csv", CLASSES)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_in_an_array_are_named(tmp_path: Path, wrong: float) -> None:
    array = np.eye(3, dtype=np.float32)
    array[1, 2] = wrong
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(SourceError, match=f"holds {wrong} for 'tulip' and 'truck'; mend it where"):
        read_square(tmp_path / "m.npy", CLASSES)


def _npy(header: bytes, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    "raw",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 3)}\n"),
        _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 9999999999)}\n"),
        _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3, -3)}\n"),
        _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (3, 3)}\n"),
        _npy(b"{'descr': {[]: 1}, 'fortran_order': False, 'shape': (3, 3)}\n"),
        _npy(b"{'descr': (), 'fortran_order': False, 'shape': (3, 3)}\n"),
        _npy(b"{'descr': ('<f4',), 'fortran_order': False, 'shape': (3, 3)}\n"),
        _npy(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 3)}\n"),
        _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (True, True)}\n"),
        _npy(b"{'descr': '<f8', 'fortran_order': 3, 'shape': (3, 3)}\n"),
        _npy(b"(" * 9000 + b"\n"),
        _npy(b"\xff\xfe\n"),
        _npy(b"'a"),
        _npy(b"{'descr': '<f8'}", b"\x09\x00"),
    ],
)
def test_damaged_arrays_are_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "m.npy"
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=r"is no plain array of numbers|holds .* values of shape") as caught:
        read_square(path, CLASSES)
    assert len(str(caught.value).removeprefix(str(path))) < 200


def test_a_file_that_is_missing_empty_or_no_text_is_refused(tmp_path: Path) -> None:
    for raw, message in ((None, "there is no such file"), (b"", "is empty"), (b",a\n\xff", "line 2: is not UTF-8")):
        path = tmp_path / "m.csv"
        if raw is not None:
            path.write_bytes(raw)
        with pytest.raises(SourceError, match=message):
            read_square(path, CLASSES)
