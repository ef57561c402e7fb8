"""What the page to explore a matrix asks the server, against the library and a slow reading of the values."""

from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

import simmatrix
from simmatrix import ClassList, SimilarityMatrix
from simmatrix.ordering import order_of
from simmatrix.provenance import Provenance
from simmatrix.web import pyramid
from simmatrix.web.exploration import Exploration, Kept
from simmatrix.web.preview import Preview
from tests.simmatrix.matrices import NAMES, random_matrix, random_values
from tests.simmatrix.web.exploring import Client, client_of

SIZE = 300
FORMS = ("dense", "sparse", "toeplitz")
SUPERCLASSES = ("flowers", "flowers", "trees", "vehicles", "vehicles", "animals")
LISTED = ClassList(NAMES, {"superclass": SUPERCLASSES, "phrase": tuple(f"a {name}" for name in NAMES)}, source="list")


def _blocks(values: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and greatest of all blocks of a level, each read by itself, as numbers from 0 to 65535."""
    step = 1 << level
    side = -(-len(values) // step)
    found = np.empty((2, side, side))
    for row in range(side):
        for column in range(side):
            rows, columns = slice(row * step, (row + 1) * step), slice(column * step, (column + 1) * step)
            block = values[rows, columns].astype(np.float64)
            if row == column:
                block = block[~np.eye(len(block), dtype=bool)] if len(block) > 1 else block
            found[:, row, column] = block.mean(), block.max()
    return found[0] * 65535, found[1] * 65535


@pytest.mark.parametrize("form", FORMS)
def test_tiles_hold_what_the_matrix_holds(form: str, tmp_path: Path) -> None:
    matrix = random_matrix(form, SIZE)
    client = client_of(matrix, tmp_path)
    state = client.post("/limits", {"topK": 40, "lowerBound": 0.3})
    made = matrix.top_k(40).lower_bound(0.3)
    assert client.get("/about")["levels"] == 2
    for order in ("file", "clusters"):
        places = order_of(matrix, order).places
        values = made.to_dense()[np.ix_(places, places)]
        for level in range(2):
            expected = _blocks(values, level)
            side = len(expected[0])
            for row, column in ((0, 0), (0, 1), (1, 1)) if level == 0 else ((0, 0),):
                rows, columns = (slice(at * 256, min(at * 256 + 256, side)) for at in (row, column))
                for found, plane in zip(client.tile("first", order, level, row, column), expected, strict=True):
                    np.testing.assert_allclose(found, plane[rows, columns], rtol=0, atol=0.51)
    assert state["density"] == simmatrix.statistics(made).density


def test_what_limits_do_is_told_at_once(tmp_path: Path) -> None:
    for form in FORMS:
        matrix = random_matrix(form, 60)
        client = client_of(matrix, tmp_path)
        for limits, made in (
            ({}, matrix),
            ({"lowerBound": 0.25}, matrix.lower_bound(0.25)),
            ({"lowerBound": 0.3, "topK": 3}, matrix.top_k(3).lower_bound(0.3)),
            ({"influence": 0.2}, matrix.with_influence(0.2)),
            ({"influence": 0.2, "topK": 5}, matrix.top_k(5).with_influence(0.2)),
            ({"influence": 1e6}, matrix),
        ):
            state = client.post("/limits", limits)
            figures = simmatrix.statistics(made)
            assert state["influence"] == pytest.approx(figures.influence, rel=1e-6)
            assert (state["density"], state["isolated"]) == (figures.density, round(figures.identity_rows * 60))
            for name in matrix.classes[:5]:
                found = client.get("/class", name=name, order="file")["neighbours"]
                assert [(one["name"], one["value"]) for one in found] == [*made.neighbours(name, 20)]
        assert state["version"] == 6


def test_edits_are_listed_undone_and_saved_with_where_they_come_from(tmp_path: Path) -> None:
    matrix = random_matrix()
    client = client_of(matrix, tmp_path, classes=LISTED)
    client.post("/limits", {"lowerBound": 0.1})
    client.post("/edit", {"first": ["rose"], "second": ["lorry"], "value": 0.5})
    client.post("/edit", {"first": client.get("/members", superclass="flowers"), "second": ["oak", "ox"], "value": 1})
    state = client.post("/edit", {"first": ["lorry"], "second": ["rose"], "value": 0.25})
    assert [(edit["told"], edit["pairs"]) for edit in state["edits"]] == [
        ("rose and lorry: 0.5", 1),
        ("2 classes and 2 classes: 1", 4),
        ("lorry and rose: 0.25", 1),
    ]
    second = state["edits"][1]["id"]
    client.post("/undo", {"id": second})
    # The second click of a double click takes nothing else back.
    assert "may be undone already" in client.post("/undo", {"id": second}, 400)["error"]
    assert [edit["told"] for edit in client.get("/state")["edits"]] == ["rose and lorry: 0.5", "lorry and rose: 0.25"]
    saved = client.post("/save", {"name": "new.safetensors"})
    made = simmatrix.load(tmp_path / "new.safetensors")
    assert saved == {"saved": "new.safetensors", "bytes": (tmp_path / "new.safetensors").stat().st_size}
    np.testing.assert_array_equal(
        made.to_dense(), matrix.lower_bound(0.1).with_pairs({("rose", "lorry"): 0.25}).to_dense()
    )
    assert [dict(step) for step in made.provenance.normalisation] == [
        {"step": "lower_bound", "bound": 0.1},
        {"step": "pairs", "pairs": [["lorry", "rose", 0.25]]},
    ]


def test_nothing_is_replaced_without_being_asked(tmp_path: Path) -> None:
    matrix = random_matrix()
    client = client_of(matrix, tmp_path)
    before = (tmp_path / "one.safetensors").read_bytes()
    client.post("/limits", {"lowerBound": 0.5})
    answer = client.post("/save", {"name": "one.safetensors"}, status=409)
    assert answer == {"error": "one.safetensors is there already", "exists": True}
    assert (tmp_path / "one.safetensors").read_bytes() == before
    (tmp_path / "notes.safetensors").write_text("mine")
    assert "no similarity matrix" in client.post("/save", {"name": "notes.safetensors", "replace": True}, 400)["error"]
    assert (tmp_path / "notes.safetensors").read_text() == "mine"
    client.post("/save", {"name": "one.safetensors", "replace": True})
    assert simmatrix.load(tmp_path / "one.safetensors").provenance.normalisation[-1]["bound"] == 0.5
    for name in ("", "../up.safetensors", "/up.safetensors", "up.txt", ".", "a/b.safetensors", "a\0.safetensors"):
        assert client.post("/save", {"name": name}, 400)["error"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.safetensors", "one.safetensors"]


def test_search_completes_names(tmp_path: Path) -> None:
    client = client_of(random_matrix(), tmp_path, classes=LISTED)
    found = {
        text: [one["name"] for one in client.get("/search", text=text)] for text in ("o", "RO", "a t", "tulpi", "")
    }
    assert found == {"o": ["oak", "ox", "rose", "lorry"], "RO": ["rose"], "a t": ["tulip"], "tulpi": ["tulip"], "": []}
    assert client.get("/search", text="ro") == [{"name": "rose", "label": "a rose"}]
    assert len(client_of(random_matrix("dense", 60), tmp_path).get("/search", text="class")) == 12


def test_a_class_is_described(tmp_path: Path) -> None:
    matrix = simmatrix.from_wordnet("cifar100")
    client = client_of(matrix, tmp_path, classes=simmatrix.read_classes("cifar100"))
    found = client.get("/class", name="seal", order="file")
    assert (found["name"], found["superclass"], found["how"]) == ("seal", "aquatic_mammals", "synset")
    assert found["senses"][0]["synset"] == "seal.n.09"
    assert found["senses"][0]["means"].startswith("any of numerous marine mammals")
    assert found["place"] == matrix.classes.index("seal")
    assert client.get("/class", name="seal", order="clusters")["place"] == order_of(
        matrix, "clusters"
    ).places.tolist().index(matrix.classes.index("seal"))
    assert "did you mean seal" in client.refused("/class", name="seel", order="file")


def test_the_way_from_class_to_class(tmp_path: Path) -> None:
    values = np.array([[1, 0.5, 0.1, 0], [0.5, 1, 0.5, 0], [0.1, 0.5, 1, 0], [0, 0, 0, 1]])
    client = client_of(SimilarityMatrix(values, NAMES[:4]), tmp_path)
    found = client.get("/path", start="rose", goal="oak")
    assert [one["name"] for one in found["classes"]] == ["rose", "tulip", "oak"]
    assert (found["steps"], found["product"], found["direct"]) == ([0.5, 0.5], 0.25, float(np.float32(0.1)))
    assert client.get("/path", start="rose", goal="lorry")["classes"] == []


def test_the_dendrogram_unfolds_to_every_class(tmp_path: Path) -> None:
    for size in (6, 120):
        matrix = random_matrix("dense", size)
        client = client_of(matrix, tmp_path)
        places = [one["name"] for one in client.get("/names", order="clusters", start=0, stop=size)]
        todo, leaves = [client.get("/tree")], {}
        assert todo[0]["size"] == size
        while todo:
            one = todo.pop()
            if one["size"] == 1:
                leaves[one["start"]] = one["ends"][0]["name"]
                continue
            inner = one if "children" in one else client.get("/tree", node=one["node"])
            left, right = inner["children"]
            assert left["size"] + right["size"] == one["size"]
            assert (left["start"], right["start"]) == (one["start"], one["start"] + left["size"])
            todo += [left, right]
        assert [leaves[at] for at in range(size)] == places
        assert client.refused("/tree", node=2 * size - 1) == f"there is no branch {2 * size - 1}"


def test_concerns_name_their_classes(tmp_path: Path) -> None:
    values = random_values(6, share=1.0) * 0.5
    np.fill_diagonal(values, 1)
    values[5, :5] = values[:5, 5] = 0
    values[0, 1] = values[1, 0] = 1
    told = {"how": "name", "words": ["seal.n.01"], "others": ["seal.n.09"], "doubt": 0.75}
    matrix = SimilarityMatrix(values, NAMES, Provenance(resolution={"oak": told}))
    found = client_of(matrix, tmp_path).get("/concerns")
    assert found["sentences"] == list(simmatrix.concerns(matrix))
    assert [one["name"] for one in found["isolated"]["classes"]] == ["ox"]
    assert found["same"] == {"count": 1, "pairs": [[{"name": n, "label": n} for n in ("rose", "tulip")]]}
    senses = found["senses"]["classes"]
    assert [(one["name"], one["taken"], one["others"], one["doubt"]) for one in senses] == [
        ("oak", "seal.n.01", ["seal.n.09"], 0.75)
    ]


def test_a_foreign_file_may_tell_anything_of_its_classes(tmp_path: Path) -> None:
    odd = {"rose": {"words": 5, "others": 5}, "oak": {"doubt": "abc", "others": ["b"]}}
    odd |= {"ox": {"doubt": float("nan"), "others": ["c", 5]}, "tulip": {"doubt": [1], "others": 7, "how": {}}}
    exploration = Exploration(SimilarityMatrix(np.eye(6), NAMES, Provenance(resolution=odd)), tmp_path / "one")
    client = Client(exploration)
    for name in NAMES:
        found = client.get("/class", name=name, order="file")
        assert (found["words"], found["doubt"]) == ([], None)
    senses = client.get("/concerns")["senses"]["classes"]
    assert [(one["name"], one["taken"], one["doubt"]) for one in senses] == [(name, "", None) for name in ("oak", "ox")]


def test_tiles_of_what_was_before_a_change_are_worked_out_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = random_matrix("toeplitz", 2100)
    exploration = Exploration(matrix, tmp_path / "one.safetensors")
    client = Client(exploration)
    query = {"layer": "first", "order": "file", "level": 4, "row": 0, "column": 0, "version": 0}
    read, entries = [], Preview.entries

    def changed_meanwhile(self: Preview, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        read.append(rows)
        if len(read) == 3:
            exploration.limit(None, 0.5, None)
        return entries(self, rows, columns)

    monkeypatch.setattr(Preview, "entries", changed_meanwhile)
    answer = client.http.get("/tile", params=query)
    # A pass would read 263 times.
    assert (answer.status_code, len(read)) == (409, 3)
    assert "was changed" in answer.json()["error"]
    assert client.http.get("/tile", params=query).status_code == 409
    assert len(read) == 3
    assert client.http.get("/tile", params={**query, "version": 1}).status_code == 200


def test_a_slow_change_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exploration = Exploration(random_matrix(), tmp_path / "one.safetensors")
    started, goes_on = Event(), Event()
    top_k = SimilarityMatrix.top_k

    def slow(matrix: SimilarityMatrix, count: int) -> SimilarityMatrix:
        started.set()
        goes_on.wait(30)
        return top_k(matrix, count)

    monkeypatch.setattr(SimilarityMatrix, "top_k", slow)
    found: list[object] = []

    def ask() -> None:
        found.extend([exploration.state()["version"], exploration.about()["version"]])
        found.append(exploration.tile("first", "file", 0, 0, 0)[0])

    slider = Thread(target=exploration.limit, args=(2, None, None))
    other = Thread(target=ask)
    slider.start()
    assert started.wait(10)
    other.start()
    other.join(5)
    seen = list(found)
    goes_on.set()
    slider.join()
    other.join()
    assert seen == [0, 0, (6, 6)]
    assert exploration.state()["topK"] == 2


def test_more_classes_than_are_seen_as_a_whole_are_shown_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "MOST", 2000)
    exploration = Exploration(random_matrix("toeplitz", 2001), tmp_path / "one.safetensors")
    exploration.warm_up()
    client = Client(exploration)
    about = client.get("/about")
    assert (about["isWhole"], about["levels"]) == (False, 3)
    client.tile("first", "file", about["levels"] - 1, 0, 0)
    assert "too many to be seen as a whole" in client.refused(
        "/tile", layer="first", order="file", level=about["levels"], row=0, column=0
    )


def test_the_edited_pairs_of_a_page_have_a_limit(tmp_path: Path) -> None:
    exploration = Exploration(random_matrix("toeplitz", 700), tmp_path / "one.safetensors")
    names = exploration.matrix.classes
    assert exploration.edit(names[:300], names[300:600], 0.5)["edits"][0]["pairs"] == 90_000
    with pytest.raises(simmatrix.ParameterError, match=r"90,000 pairs are set by hand; 10,500 more .* 100,000"):
        exploration.edit(names[:105], names[600:], 0.5)
    assert len(exploration.edit(names[:100], names[600:], 0.5)["edits"]) == 2


def test_a_slow_result_is_made_once_and_a_failure_leaves_nothing() -> None:
    kept, made = Kept(2), []
    for key in (0, 1, 0, 2, 0, 1):
        assert kept.get(key, lambda key=key: made.append(key) or key) == key
    assert made == [0, 1, 2, 1]
    for key in range(50):
        with pytest.raises(ZeroDivisionError):
            kept.get(("wrong", key), lambda: 1 // 0)
    assert len(kept._locks) == 0


def test_two_files_are_compared(tmp_path: Path) -> None:
    one, other = random_matrix("dense", 6, 0), random_matrix("sparse", 6, 1)
    # In another order, and with a class that only it has.
    more = SimilarityMatrix(np.eye(7) + np.pad(other.to_dense() - np.eye(6), (0, 1)), (*NAMES, "new"))
    more = more.select(["new", *NAMES[::-1]])
    # The superclasses are the column that the matrix was built from, which need not have that name.
    one = SimilarityMatrix(one.values, NAMES, Provenance("taxonomy", {"columns": ["kin"]}))
    client = client_of(one, tmp_path, more, ClassList(NAMES, {"group": ("x",) * 3 + ("y",) * 3, "kin": SUPERCLASSES}))
    assert client.get("/about")["leftOut"] == 1
    expected = simmatrix.compare(one, more, SUPERCLASSES, 50)
    found = client.get("/comparison")
    assert (found["spearman"], found["kendall"]) == (expected.spearman, expected.kendall)
    assert tuple(found["superclassAuc"]) == expected.superclass_auc
    assert [tuple(name["name"] for name in pair["classes"]) for pair in found["differences"]] == [
        pair.classes for pair in expected.differences
    ]
    apart = more.select(NAMES).to_dense().astype(np.float64) - one.to_dense()
    mean, greatest = client.tile("difference", "file", 0, 0, 0)
    np.testing.assert_allclose(mean / 32767.5 - 1, apart, atol=2e-5)
    np.testing.assert_array_equal(mean, greatest)
    second = client.tile("second", "file", 0, 0, 0)[0]
    np.testing.assert_allclose(second / 65535, more.select(NAMES).to_dense(), atol=1e-5)
    described = client.get("/class", name="rose", order="file")
    assert [one["name"] for one in described["otherNeighbours"]] == [name for name, _ in other.neighbours("rose", 20)]


def test_files_of_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(simmatrix.MatrixError, match="have 0 classes in common; compare files of the same classes"):
        client_of(random_matrix(), tmp_path, random_matrix("dense", 60))


def test_what_can_t_be_is_refused_with_a_message(tmp_path: Path) -> None:
    client = client_of(random_matrix(), tmp_path)
    tile = {"layer": "first", "order": "file", "level": 0, "row": 0, "column": 0}
    asked = (
        ("/tile", {**tile, "row": 1}, "no tile"),
        ("/tile", {**tile, "row": "x"}, "no whole number"),
        ("/tile", {**tile, "row": "9" * 5000}, "no whole number"),
        ("/tile", {**tile, "row": "²"}, "no whole number"),
        ("/tile", {**tile, "row": "٣"}, "no whole number"),
        ("/tile", {**tile, "level": "--0"}, "no whole number"),
        ("/names", {"order": "file", "start": "--1", "stop": 3}, "no whole number"),
        ("/tile", {**tile, "layer": "second"}, "no picture"),
        ("/tile", {**tile, "order": "superclass"}, "no order"),
        ("/class", {"name": "rose", "order": ""}, "no order"),
        ("/path", {"start": "rose", "goal": "x"}, "no class"),
        ("/comparison", {}, "one file"),
    )
    for path, query, message in asked:
        assert message in client.refused(path, **query), (path, query)
    changes = (
        ("/limits", {"lowerBound": 1}, "outside [0, 1)"),
        ("/limits", {"lowerBound": "0.5"}, "no number"),
        ("/limits", {"lowerBound": True}, "no number"),
        ("/limits", {"topK": 6}, "can't keep 6"),
        ("/limits", {"topK": 1.5}, "no whole number"),
        ("/limits", {"influence": -1}, "influence of -1"),
        ("/edit", {"first": ["rose"], "second": [], "value": 0.5}, "no class"),
        ("/edit", {"first": ["rose"], "second": ["rose"], "value": 0.5}, "no pairs"),
        ("/edit", {"first": ["rose"], "second": ["tulip"], "value": 2}, "outside [0, 1]"),
        ("/edit", {"first": ["rose"], "second": ["tulip"]}, "missing"),
        ("/edit", {"first": "rose", "second": ["tulip"], "value": 0.5}, "no list of names"),
        ("/edit", {"first": ["rose"] * 1000, "second": ["tulip"] * 1000, "value": 0.5}, "too many"),
        ("/edit", {"first": ["rose"], "second": ["tulpi"], "value": 0.5}, "did you mean tulip"),
        ("/undo", {"id": 0}, "no such edit"),
        ("/limits", {"lowerBound": 10**400}, "too large"),
        ("/save", {"name": "a" * 300 + ".safetensors"}, "can't be written"),
        ("/undo", {}, "missing"),
        ("/limits", [], "no JSON object"),
    )
    for path, content, message in changes:
        assert message in client.post(path, content, 400)["error"], (path, content)
    assert client.get("/state")["version"] == 0
    for raw in (b"{", b"\xff", b"[" * 100_000, b'{"topK": NaN}'):
        answer = client.http.post("/limits", content=raw, headers=client._token)
        assert answer.status_code == 400


def test_a_script_in_a_name_stays_text(tmp_path: Path) -> None:
    nasty = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title>", "a'b&c")
    client: Client = client_of(SimilarityMatrix(np.eye(4), nasty), tmp_path)
    assert "alert" not in client.http.get("/").text
    answer = client.http.get("/search", params={"text": "script"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()[0]["name"] == nasty[0]
    assert client.get("/class", name=nasty[1], order="file")["name"] == nasty[1]
