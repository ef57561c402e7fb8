"""Ready matrices."""

from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame
from scipy.sparse import csr_array

from simmatrix.builders.raw import RawSimilarity
from simmatrix.builders.ready import from_matrix, given_similarity
from simmatrix.classes import ClassList
from simmatrix.errors import SimilarityError, SourceError
from simmatrix.matrix import load
from simmatrix.provenance import Input

CLASSES = ClassList(("rose", "tulip", "truck"))


def similarity(folder: Path, values: list[list[float]], **options: object) -> RawSimilarity:
    """Return the matrix of values, written as text and as an array, which must not differ."""
    text, array = folder / "m.tsv", folder / "m.npy"
    lines = ["\t".join(["", *CLASSES.names])]
    lines += ["\t".join([name, *map(repr, row)]) for name, row in zip(CLASSES.names, values, strict=True)]
    text.write_text("\n".join(lines))
    np.save(array, np.array(values))
    found, other = (given_similarity(path, CLASSES, **options) for path in (text, array))
    assert found.values.tolist() == other.values.tolist()
    return found


def test_values_are_kept_as_they_are(tmp_path: Path) -> None:
    values = [[1.0, 0.8, 0.1], [0.7, 1.0, 0.2], [0.1, 0.0, 1.0]]
    raw = similarity(tmp_path, values)
    assert raw.values.tolist() == values
    assert (raw.provenance.builder, raw.classes, raw.scale, raw.evidence) == ("matrix", CLASSES.names, None, None)
    assert raw.provenance.params == {"scale": [0.0, 1.0], "unknown": "error"}
    assert [one[:2] for one in raw.provenance.source] == [("matrix", "m.tsv"), ("classes", "classes")]
    assert raw.provenance.source[1] == Input("classes", "classes", CLASSES.sha256)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([[1, -1, 0], [-1, 1, 0.5], [0, 0.5, 1]], (-1.0, 1.0)),
        ([[7, 1, 2], [1, 7, 6.5], [2, 6.5, 7]], (1.0, 7.0)),
        # Distances with their sign turned: 0 is the most similar.
        ([[0, -3, -2], [-3, 0, -1], [-2, -1, 0]], (-3.0, 0.0)),
    ],
)
def test_a_stated_scale_is_handed_on(tmp_path: Path, values: list[list[float]], scale: tuple[float, float]) -> None:
    raw = similarity(tmp_path, values, scale=scale)
    assert raw.values.tolist() == values
    assert raw.scale == scale
    assert raw.provenance.params["scale"] == list(scale)


def test_rounding_is_no_error(tmp_path: Path) -> None:
    similarity(tmp_path, [[0.9999999, -1e-7, 0], [-1e-7, 1.0000002, 0.5], [0, 0.5, 1]])
    with pytest.raises(SourceError, match="off the scale"):
        similarity(tmp_path, [[1, -1e-4, 0], [-1e-4, 1, 0.5], [0, 0.5, 1]])


def test_rows_and_columns_that_are_no_class_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(",rose,car,tulip\nrose,1,0.5,0.25\ncar,0.5,1,0\ntulip,0.25,0,1\n")
    classes = ClassList(("tulip", "rose"))
    raw = given_similarity(path, classes, unknown="ignore")
    assert raw.values.tolist() == [[1, 0.25], [0.25, 1]]
    assert raw.provenance.params == {"scale": [0.0, 1.0], "unknown": "ignore", "ignored": 2}
    with pytest.raises(SourceError, match=r"line 3: 'car' is no class of classes; .*\(unknown=.ignore.\)"):
        given_similarity(path, classes)


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        (
            [[1, 0.5, 0], [0.5, 1, -0.5], [0, 0, 1]],
            None,
            ", line 3: 'tulip' and 'truck' have the similarity -0.5, off the scale from 0 to 1; give the scale that "
            'the values are on (scale="LOW:HIGH"; they run from -0.5 to 1)',
        ),
        (
            [[5, 0.5, 0], [0.5, 5, 6], [0, 0, 5]],
            (0.0, 5.0),
            ", line 3: 'tulip' and 'truck' have the similarity 6, off the scale from 0 to 5; mend it, or give a wider "
            'scale (scale="LOW:HIGH"; they run from 0 to 6)',
        ),
        (
            [[7, 1, 0], [1, 7, 0], [0, 0, 7]],
            None,
            ", line 2: 'rose' has the similarity 7 with itself, which should be 1, the end of the scale; mend it, or "
            'give the scale that the values are on (scale="LOW:HIGH"; they run from 0 to 7)',
        ),
        (
            [[1, 1, 0], [1, 1, 0], [0, 0, 0.5]],
            None,
            ", line 4: 'truck' has the similarity 0.5 with itself, which should be 1, the end of the scale; mend it, "
            'or give the scale that the values are on (scale="LOW:HIGH"; they run from 0 to 1)',
        ),
        (
            [[0, 1, 2], [1, 0, 3], [2, 3, 0]],
            None,
            ": each class has 0 with itself, so these look like distances; turn them into similarities first, such as "
            "1 - distance / greatest distance",
        ),
    ],
)
def test_what_is_off_the_scale_is_refused(
    tmp_path: Path, values: list[list[float]], scale: tuple[float, float] | None, message: str
) -> None:
    with pytest.raises(SourceError) as caught:
        similarity(tmp_path, values, scale=scale)
    assert str(caught.value).removeprefix(str(tmp_path / "m.tsv")) == message


def test_an_array_is_not_named_by_line(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.full((3, 3), 0.5))
    with pytest.raises(SourceError, match=r"m\.npy: 'rose' has the similarity 0.5 with itself"):
        given_similarity(tmp_path / "m.npy", CLASSES)


def test_a_matrix_may_stay_as_it_is(tmp_path: Path) -> None:
    """Row the true class, column the predicted one; and otherwise the mean of both directions."""
    path, values = tmp_path / "m.npy", np.array([[1.0, 0.75, 0.25], [0.5, 1.0, 0.0], [0.0, 0.5, 1.0]])
    np.save(path, values)
    kept = from_matrix(path, CLASSES, symmetrise=False)
    assert kept.to_dense().tolist() == values.tolist()
    assert [step["step"] for step in kept.provenance.normalisation] == ["clip", "unit_diagonal"]
    assert kept["rose", "tulip"] == 0.75
    assert from_matrix(path, CLASSES).to_dense().tolist() == ((values + values.T) / 2).tolist()
    kept.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").to_dense().tolist() == values.tolist()


def test_half_a_matrix_is_not_halved_but_asked_about(tmp_path: Path) -> None:
    low, high = np.tril(np.full((3, 3), 0.5)), np.triu(np.full((3, 3), 0.5))
    for half in (low, high, low[np.ix_([2, 0, 1], [2, 0, 1])], np.array([[1, 0, 0], [0.3, 1, 0], [0, 0, 1]])):
        np.fill_diagonal(half, 1)
        np.save(tmp_path / "m.npy", half)
        with pytest.raises(
            SourceError, match=r"m.npy: holds one direction of each pair, and 0 in the place of the oth"
        ):
            from_matrix(tmp_path / "m.npy", CLASSES)
        assert (
            from_matrix(tmp_path / "m.npy", CLASSES, symmetrise=False).to_dense().tolist() == np.float32(half).tolist()
        )
    scaled = np.where(low > 0, low, -1.0)
    np.fill_diagonal(scaled, 1)
    np.save(tmp_path / "m.npy", scaled)
    with pytest.raises(SourceError, match="and -1 in the place of the other"):
        from_matrix(tmp_path / "m.npy", CLASSES, scale=(-1.0, 1.0))
    for whole in (np.eye(3), [[1, 0.5, 0], [0.25, 1, 0], [0.5, 0, 1]]):
        np.save(tmp_path / "m.npy", np.array(whole))
        assert from_matrix(tmp_path / "m.npy", CLASSES)["rose", "tulip"] in (0.0, 0.375)


FRAME = DataFrame([[1, 0.5, 0.25], [0.5, 1, 0.75], [0.25, 0.75, 1]], index=CLASSES.names, columns=CLASSES.names)


def test_arrays_and_frames_are_as_their_files() -> None:
    shuffled = FRAME.loc[["truck", "rose", "tulip"], ["tulip", "truck", "rose"]]
    for matrix in (FRAME.to_numpy(), FRAME.to_numpy().tolist(), csr_array(FRAME.to_numpy()), FRAME, shuffled):
        found = from_matrix(matrix, CLASSES)
        np.testing.assert_array_equal(found.to_dense(), FRAME.to_numpy())
    assert from_matrix(shuffled).classes == ("truck", "rose", "tulip")
    assert from_matrix(FRAME.to_numpy() * 2 - 1, CLASSES, scale="-1:1")["rose", "tulip"] == 0.5
    wider = DataFrame(np.eye(4), index=[*CLASSES.names, "oak"], columns=[*CLASSES.names, "oak"])
    assert from_matrix(wider, CLASSES, unknown="ignore").classes == CLASSES.names
    first, second = from_matrix(FRAME).provenance.source
    assert (first.name, second.name) == ("DataFrame", "classes")


@pytest.mark.parametrize(
    ("matrix", "classes", "message"),
    [
        (np.eye(3), None, "the classes are not given; name them in the order of the rows"),
        (np.eye(2), CLASSES, r"array: is of shape \(2, 2\); the 3 classes need \(3, 3\)"),
        ([[1, 0], [0]], ["a", "b"], "array: has rows of different lengths"),
        ([["x", "y"], ["z", "w"]], ["a", "b"], "array: holds <U1 values, which are no similarities"),
        ([[1, np.nan], [0.5, 1]], ["a", "b"], "array: holds nan for 'a' and 'b'"),
        ([[0, 0.5], [0.5, 0]], ["a", "b"], "array: each class has 0 with itself, so these look like distances"),
        ([[1, 0.5], [0, 1]], ["a", "b"], None),
        (DataFrame(np.eye(2)), None, "the DataFrame's index holds 0, which is no name"),
        (DataFrame(np.eye(2), index=["a", "b"], columns=["a", "a"]), None, "DataFrame: its columns names a twice"),
        (DataFrame(np.eye(2), index=["a", "b"], columns=["a", "c"]), None, "DataFrame: 'c' is no class of classes"),
        (FRAME.iloc[:2, :2], CLASSES, "DataFrame: its index lacks the class 'truck'"),
    ],
)
def test_bad_arrays_and_frames(matrix: object, classes: object, message: str | None) -> None:
    if message is None:
        assert from_matrix(matrix, classes, symmetrise=False)["a", "b"] == 0.5
        return
    with pytest.raises(SimilarityError, match=message):
        from_matrix(matrix, classes)
