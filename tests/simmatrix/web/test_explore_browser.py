"""The page to explore a matrix, in a real browser.

SCREENSHOTS=docs python -m pytest -m browser tests/simmatrix/web/test_explore_browser.py makes the pictures in docs/.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import simmatrix
from simmatrix import SimilarityMatrix
from simmatrix.ordering import order_of
from simmatrix.web.paths import strongest_path
from tests.simmatrix.matrices import random_matrix
from tests.simmatrix.web.accessible import FAINT, UNLABELLED

pytestmark = pytest.mark.browser

Open = Callable[..., Any]
READY = "body[data-counted]"


@pytest.fixture(scope="module")
def cifar100() -> SimilarityMatrix:
    return simmatrix.from_wordnet("cifar100")


def ready(page: Any) -> Any:
    """Wait until the page shows the matrix, and return it."""
    page.wait_for_selector(READY)
    settled(page)
    return page


def settled(page: Any) -> None:
    """Wait until every tile that was asked for is drawn."""
    frames = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    # What is asked for is known once it is painted.
    page.evaluate(frames)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#maps canvas')].every((one) => (one.dataset.pending ?? '0') === '0')"
    )
    page.evaluate(frames)


def cell(page: Any, row: float, column: float, count: int, canvas: str = "#map-first") -> tuple[float, float]:
    """Return where a cell of the whole matrix is on the screen."""
    page.evaluate("() => window.scrollTo(0, 0)")
    box = page.locator(canvas).bounding_box()
    side = min(box["width"], box["height"]) / count
    return box["x"] + (column + 0.5) * side, box["y"] + (row + 0.5) * side


def neighbours(page: Any) -> list[tuple[str, str]]:
    return [
        (line.locator("button").inner_text(), line.locator(".number").inner_text())
        for line in page.locator("#class .neighbours li").all()
    ]


def labels_of(matrix: SimilarityMatrix) -> dict[str, str]:
    """Return the phrase of each of CIFAR-100's classes, or its name where it has none."""
    phrases = simmatrix.read_classes("cifar100").columns["phrase"]
    return {name: phrase or name for name, phrase in zip(matrix.classes, phrases, strict=True)}


def told_class(page: Any, label: str) -> None:
    """Wait until the page tells of a class."""
    page.wait_for_function("(text) => document.querySelector('#class h2').textContent.startsWith(text)", arg=label)


def said(page: Any, text: str, where: str = "hovered") -> None:
    """Wait until the page says something."""
    page.wait_for_function(
        "([where, text]) => document.getElementById(where).textContent.startsWith(text)", arg=[where, text]
    )


def hovered(page: Any) -> str:
    """Return what the page tells of the cell under the cursor, once the names there are known."""
    # A move of the pointer is told with the next frame.
    settled(page)
    page.wait_for_function("() => /^[^\u2026]+$/.test(document.getElementById('hovered').textContent)")
    return str(page.inner_text("#hovered"))


def figures(page: Any) -> tuple[float, float, int]:
    """Return influence, density in percent and the isolated classes, as the page tells them."""
    told = page.locator("#figures dd").all_inner_texts()
    return float(told[0].split()[0]), float(told[1].split()[0]), int(told[2].split()[0].replace(",", ""))


def expected_figures(matrix: SimilarityMatrix) -> tuple[float, float, int]:
    found = simmatrix.statistics(matrix)
    return (
        float(f"{found.influence:.4g}"),
        float(f"{100 * found.density:.1f}"),
        round(found.identity_rows * len(matrix)),
    )


def test_exploring(cifar100: SimilarityMatrix, tmp_path: Path, opened: Open, serving: Open, screenshot: Open) -> None:
    cifar100.save(tmp_path / "cifar100.safetensors")
    page = ready(opened(serving("explore", "cifar100.safetensors", "--no-browser")))
    places = order_of(cifar100, "clusters").places
    values = cifar100.to_dense()[np.ix_(places, places)]
    names = [cifar100.classes[at] for at in places]
    labels = labels_of(cifar100)
    for row, column in ((3, 40), (59, 2), (99, 99), (71, 73)):
        page.mouse.move(*cell(page, row, column, 100))
        wanted = f"{labels[names[row]]} and {labels[names[column]]}: {values[row, column]:.3f}"
        said(page, wanted)
    # Colours: each cell's is that of its value, the greatest at the end of the scale.
    page.mouse.move(1, 1)
    page.keyboard.press("Escape")
    colours = page.evaluate(
        """(cells) => cells.map(([x, y]) => {
          const canvas = document.getElementById("map-first");
          const box = canvas.getBoundingClientRect();
          return [...canvas.getContext("2d").getImageData(x - box.left, y - box.top, 1, 1).data].slice(0, 3);
        })""",
        [cell(page, row, column, 100) for row, column in ((0, 99), (2, 2))],
    )
    assert values[0, 99] == 0
    assert colours == [[0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]]
    page.mouse.click(*cell(page, 3, 40, 100))
    told_class(page, labels[names[3]])
    expected = [(labels[name], f"{value:.3f}") for name, value in cifar100.neighbours(names[3], 20)]
    assert neighbours(page) == expected
    page.select_option("#order", "superclass")
    settled(page)
    page.fill("#search", "rose")
    page.wait_for_selector("[role=option]")
    page.keyboard.press("Enter")
    told_class(page, "roses")
    assert "any of many shrubs of the genus Rosa" in page.inner_text("#class dl")
    assert "flowers" in page.inner_text("#class dl")
    screenshot(page, "explore")


def test_searching_and_the_way_from_class_to_class(tmp_path: Path, opened: Open, serving: Open) -> None:
    matrix = random_matrix("sparse", 60)
    matrix.save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    page.type("#search", "class 5")
    options = page.locator(".search [role=option]")
    page.wait_for_function("() => document.querySelectorAll('.search [role=option]').length === 11")
    assert options.nth(0).inner_text() == "class 5"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#search", "aria-activedescendant") == options.nth(2).get_attribute("id")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#class h2').textContent === 'class 51'")
    assert neighbours(page) == [(name, f"{value:.3f}") for name, value in matrix.neighbours("class 51", 20)]
    page.fill("#goal", "class 7")
    page.wait_for_selector("#panel-class .completions [role=option]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#way .way li")
    path, product = strongest_path(matrix.to_dense().__getitem__, 60, 51, 7)
    assert page.locator("#way button").all_inner_texts() == [f"class {one}" for one in path]
    assert f"Together {product:.3f}" in page.inner_text("#way")
    # A name that is misspelt finds the nearest.
    page.fill("#search", "clas9")
    page.wait_for_selector(".search [role=option]")
    assert options.nth(0).inner_text() == "class 9"


def test_zooming(tmp_path: Path, opened: Open, serving: Open) -> None:
    matrix = random_matrix("dense", 1100).lower_bound(0.5)
    matrix.save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    asked = page.evaluate("() => performance.getEntriesByType('resource').map((one) => one.name)")
    # 1,100 classes on less than 800 pixels: blocks of two, and of eight for what is seen first.
    assert {int(found[1]) for found in map(re.compile(r".*[?&]level=(\d+)").match, asked) if found} == {1, 3}
    assert page.evaluate("() => document.getElementById('map-first').clientHeight") < 800
    page.mouse.move(*cell(page, 100, 200, 1100))
    found = re.fullmatch(r"class (\d+) and class (\d+): ([\d.]+) mean, ([\d.]+) greatest of 2 \u00d7 2", hovered(page))
    assert found is not None
    row, column = int(found[1]) // 2 * 2, int(found[2]) // 2 * 2
    block = matrix.to_dense()[row : row + 2, column : column + 2]
    assert (found[3], found[4]) == (f"{block.mean():.3f}", f"{block.max():.3f}")
    x, y = cell(page, 100, 200, 1100)
    page.mouse.move(x, y)
    for _ in range(15):
        page.mouse.wheel(0, -100)
        page.wait_for_timeout(30)
    settled(page)
    page.mouse.move(x + 1, y + 1)
    told = re.fullmatch(r"class (\d+) and class (\d+): ([\d.]+)", hovered(page))
    assert told is not None, hovered(page)
    row, column = int(told[1]), int(told[2])
    # What was under the pointer stays there.
    assert abs(row - 100) <= 2
    assert abs(column - 200) <= 2
    assert told[3] == f"{matrix.to_dense()[row, column]:.3f}"
    # Dragging moves it by as many cells as pixels say.
    page.mouse.down()
    page.mouse.move(x + 101, y + 1, steps=5)
    page.mouse.up()
    page.mouse.move(x + 102, y + 2)
    page.mouse.move(x + 101, y + 1)
    settled(page)
    said(page, f"class {row} and class {column}:")
    page.click("#whole")
    page.mouse.move(*cell(page, 1090, 20, 1100))
    assert re.match(r"class 109\d and class (19|2\d): ", hovered(page))


def test_the_scale_ends_at_the_greatest_similarity_of_two_classes(tmp_path: Path, opened: Open, serving: Open) -> None:
    values = np.full((257, 257), 0.05)
    np.fill_diagonal(values, 1)
    # Of blocks of two the last on the diagonal is one class and itself.
    SimilarityMatrix(values, tuple(map(str, range(257)))).save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    assert page.inner_text("#most") == "0.05"


def test_more_classes_than_are_seen_as_a_whole(tmp_path: Path, opened: Open, serving: Open) -> None:
    random_matrix("toeplitz", 5000).save(tmp_path / "one.safetensors")
    page = opened(serving("explore", "one.safetensors", "--no-browser"))

    def in_parts(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "isWhole": False, "levels": 2})

    page.route("**/about", in_parts)
    page.reload()
    ready(page)
    page.click("#out")
    page.click("#whole")
    settled(page)
    asked = page.evaluate("() => performance.getEntriesByType('resource').map((one) => one.name)")
    levels = [int(found[1]) for found in map(re.compile(r".*[?&]level=(\d+)").match, asked) if found]
    # A tile is 512 classes wide, and the map has less than 800 pixels: of the 100 tiles those of a corner are seen.
    assert 1 <= len(levels) <= 16
    assert set(levels) == {1}


def test_the_map_follows_a_slider_that_rests(tmp_path: Path, opened: Open, serving: Open) -> None:
    matrix = random_matrix("dense", 700)
    matrix.save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    page.select_option("#order", "file")
    page.click("#panel-limits summary")
    settled(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/tile?" in request.url else None)
    page.focus("#bound")
    for _ in range(12):
        page.keyboard.press("PageUp")
        page.wait_for_timeout(40)
    bound = int(page.input_value("#bound")) / 4096
    settled(page)
    versions = {re.search(r"version=(\d+)", one)[1] for one in asked}  # type: ignore[index]
    assert len(versions) == 1
    assert bound > 0.5
    page.mouse.move(*cell(page, 100, 200, 700))
    found = re.fullmatch(r"class (\d+) and class (\d+): ([\d.]+) mean, ([\d.]+) greatest of 2 \u00d7 2", hovered(page))
    assert found is not None
    row, column = int(found[1]) // 2 * 2, int(found[2]) // 2 * 2
    block = matrix.lower_bound(bound).to_dense()[row : row + 2, column : column + 2]
    assert found[4] == f"{block.max():.3f}"


def test_tiles_that_are_in_sight_no_more_are_taken_back(tmp_path: Path, opened: Open, serving: Open) -> None:
    random_matrix("dense", 700).save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    asked: list[str] = []
    failed: list[str] = []
    # These are never answered.
    page.route("**/tile?*order=clusters*", lambda route: asked.append(route.request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.select_option("#order", "clusters")
    page.wait_for_function("() => document.getElementById('map-first').dataset.pending !== '0'")
    page.wait_for_timeout(200)
    page.select_option("#order", "file")
    settled(page)
    assert len(asked) > 0
    assert sorted(failed) == sorted(asked)


def test_sliding(tmp_path: Path, opened: Open, serving: Open, screenshot: Open) -> None:
    matrix = simmatrix.from_embeddings("glove-6b-50d", classes="cifar100", lower_bound=0.0)
    matrix.save(tmp_path / "glove.safetensors")
    page = ready(opened(serving("explore", "glove.safetensors", "--no-browser")))
    page.click("#panel-limits summary")
    assert figures(page) == expected_figures(matrix)

    def told(made: SimilarityMatrix) -> None:
        wanted = expected_figures(made)
        for _ in range(100):
            if figures(page) == wanted:
                break
            page.wait_for_timeout(50)
        assert figures(page) == wanted

    page.focus("#bound")
    for _ in range(10):
        page.keyboard.press("PageUp")
    bound = int(page.input_value("#bound")) / 4096
    assert bound > 0.5
    told(matrix.lower_bound(bound))
    assert float(page.input_value("#bound-number")) == pytest.approx(bound, rel=1e-5)
    first = page.inner_text("#class h2").split()[0]
    shown = [f"{value:.3f}" for _, value in matrix.lower_bound(bound).neighbours("apple", 20)]
    page.wait_for_function(
        "(count) => document.querySelectorAll('#class .neighbours li').length === count", arg=len(shown)
    )
    assert first in ("apple", "apples")
    assert [value for _, value in neighbours(page)] == [value for _, value in shown]
    page.fill("#bound-number", "0.3")
    page.keyboard.press("Enter")
    told(matrix.lower_bound(0.3))
    page.fill("#top-k-number", "4")
    page.keyboard.press("Enter")
    told(matrix.top_k(4).lower_bound(0.3))
    page.fill("#influence-number", "0.5")
    page.keyboard.press("Enter")
    told(matrix.top_k(4).with_influence(0.5))
    screenshot(page, "explore-limits")
    page.click("#reset")
    told(matrix)
    settled(page)


def test_editing_and_saving(cifar100: SimilarityMatrix, tmp_path: Path, opened: Open, serving: Open) -> None:
    cifar100.save(tmp_path / "one.safetensors")
    before = (tmp_path / "one.safetensors").read_bytes()
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    page.click("#panel-edits summary")
    page.fill("#group-1", "rose")
    page.fill("#group-2-add", "tul")
    page.wait_for_selector("#body-edits [role=option]")
    page.keyboard.press("Enter")
    page.fill("#edit-value", "0.75")
    page.click("#set")
    page.wait_for_selector("#edits button")
    page.fill("#group-1", "")
    page.fill("#group-2", "")
    page.select_option("#group-1-superclass", "fish")
    page.select_option("#group-2-superclass", "trees")
    page.wait_for_function("() => document.getElementById('group-2').value.split('\\n').length === 5")
    page.fill("#edit-value", "0.125")
    page.click("#set")
    page.wait_for_function("() => document.querySelectorAll('#edits button').length === 2")
    assert page.locator("#edits li").all_inner_texts() == [
        "rose and tulip: 0.75 (1 pair) Undo",
        "5 classes and 5 classes: 0.125 (25 pairs) Undo",
    ]
    page.fill("#group-1", "rose")
    page.fill("#group-2", "oak_tree")
    page.fill("#edit-value", "1")
    page.click("#set")
    page.wait_for_function("() => document.querySelectorAll('#edits button').length === 3")
    page.locator("#edits button").nth(2).click()
    page.wait_for_function("() => document.querySelectorAll('#edits button').length === 2")
    page.fill("#search", "roses")
    page.wait_for_selector(".search [role=option]")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#class .neighbours button')?.textContent === 'tulips'")
    assert neighbours(page)[0] == ("tulips", "0.750")

    page.click("#panel-limits summary")
    page.fill("#bound-number", "0.05")
    page.keyboard.press("Enter")
    page.wait_for_function("() => Math.abs(Number(document.getElementById('bound').value) / 4096 - 0.05) < 0.001")
    assert page.input_value("#save-name") == "one-explored.safetensors"
    page.click("#save")
    said(page, "one-explored.safetensors was written", "said")
    groups = simmatrix.read_classes("cifar100").columns["superclass"]
    pairs = {("rose", "tulip"): 0.75} | {
        (one, other): 0.125
        for one, first in zip(cifar100.classes, groups, strict=True)
        for other, second in zip(cifar100.classes, groups, strict=True)
        if (first, second) == ("fish", "trees")
    }
    made = cifar100.lower_bound(0.05).with_pairs(pairs)
    saved = simmatrix.load(tmp_path / "one-explored.safetensors")
    np.testing.assert_array_equal(saved.to_dense(), made.to_dense())
    assert [step["step"] for step in saved.provenance.normalisation[-2:]] == ["lower_bound", "pairs"]
    assert len(saved.provenance.normalisation[-1]["pairs"]) == 26

    # The file itself is replaced only by who says so.
    page.fill("#save-name", "one.safetensors")
    page.click("#save")
    page.wait_for_selector("#replace:not([hidden])")
    page.click("text=Keep it")
    assert (tmp_path / "one.safetensors").read_bytes() == before
    page.click("#save")
    page.wait_for_selector("#replace:not([hidden])")
    page.wrong.clear()
    page.click("#replace-yes")
    said(page, "one.safetensors was written", "said")
    assert simmatrix.load(tmp_path / "one.safetensors").provenance == saved.provenance


def test_comparing(cifar100: SimilarityMatrix, tmp_path: Path, opened: Open, serving: Open, screenshot: Open) -> None:
    other = simmatrix.from_embeddings("glove-6b-50d", classes="cifar100")
    cifar100.save(tmp_path / "wordnet.safetensors")
    other.save(tmp_path / "glove.safetensors")
    page = ready(opened(serving("explore", "wordnet.safetensors", "glove.safetensors", "--no-browser")))
    assert page.locator("#maps figcaption").all_inner_texts() == ["wordnet.safetensors", "glove.safetensors"]
    groups = simmatrix.read_classes("cifar100").columns["superclass"]
    expected = simmatrix.compare(cifar100, other, groups, 50)
    page.click("#panel-comparison summary")
    page.wait_for_selector("#agreement")
    told = page.locator("#agreement dd").all_inner_texts()
    assert expected.superclass_auc is not None
    numbers = (expected.spearman, expected.kendall, *expected.superclass_auc)
    assert told[1:] == [f"{number:.3f}" for number in numbers]
    rows = page.locator("#differences tbody tr").all()
    labels = labels_of(cifar100)
    assert len(rows) == 50
    for row, one in zip(rows[:3], expected.differences, strict=False):
        cells = row.locator("td").all_inner_texts()
        assert cells == [*(labels[name] for name in one.classes), *(f"{value:.3f}" for value in one.values)]
    page.evaluate("() => window.scrollTo(0, 0)")
    settled(page)
    screenshot(page, "explore-two")
    rows[0].locator("button").nth(0).click()
    told_class(page, labels[expected.differences[0].classes[0]])
    page.select_option("#layers", "difference")
    settled(page)
    places = order_of(cifar100, "clusters").places
    apart = (other.to_dense() - cifar100.to_dense())[np.ix_(places, places)]
    page.mouse.move(*cell(page, 20, 21, 100, "#map-difference"))
    page.wait_for_function("() => /: -?[0-9.]+$/.test(document.getElementById('hovered').textContent)")
    assert float(hovered(page).rpartition(": ")[2]) == pytest.approx(apart[20, 21], abs=0.0011)
    assert page.inner_text("#least") == f"{-np.abs(apart).max():.2f}"


def test_everything_by_keyboard(cifar100: SimilarityMatrix, tmp_path: Path, opened: Open, serving: Open) -> None:
    cifar100.save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    order = order_of(cifar100, "clusters")
    names = [cifar100.classes[at] for at in order.places]
    labels = labels_of(cifar100)

    def focused() -> str:
        return str(page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))

    def tab_to(wanted: str) -> None:
        for _ in range(60):
            if focused() == wanted:
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{wanted} is not reached by Tab")

    page.keyboard.press("Tab")
    assert focused() == "To the content"
    tab_to("map-first")
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    one, other = (text.partition(":")[0] for text in hovered(page).split(" and ", 1))
    positions = {labels[name]: at for at, name in enumerate(names)}
    row, column = positions[one], positions[other]
    page.keyboard.press("ArrowRight")
    said(page, f"{one} and {labels[names[column + 1]]}: ")
    page.keyboard.press("+")
    page.keyboard.press("+")
    settled(page)
    page.keyboard.press("Shift+ArrowRight")
    said(page, f"{one} and {labels[names[min(column + 11, 99)]]}: ")
    page.keyboard.press("Enter")
    told_class(page, labels[names[row]])
    # A link of a neighbour.
    tab_to("search")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused() == labels[cifar100.neighbours(names[row], 1)[0][0]]
    page.keyboard.press("Enter")
    told_class(page, labels[cifar100.neighbours(names[row], 1)[0][0]])
    # The dendrogram folds and unfolds, and shows a branch in the map.
    tab_to("Clusters")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=tree]")
    page.keyboard.press("Tab")
    items = "[role=treeitem]"
    assert page.evaluate("() => document.activeElement.getAttribute('role')") == "treeitem"
    before = page.locator(items).count()
    page.keyboard.press("Home")
    page.keyboard.press("End")
    while page.evaluate("() => document.activeElement.getAttribute('aria-expanded')") != "false":
        page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(count) => document.querySelectorAll('[role=treeitem]').length > count", arg=before)
    assert page.evaluate("() => document.activeElement.getAttribute('aria-expanded')") == "true"
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("(count) => document.querySelectorAll('[role=treeitem]').length === count", arg=before)
    node = int(page.evaluate("() => document.activeElement.dataset.node"))
    assert order.tree is not None
    page.keyboard.press("Space")
    said(page, f"{labels[names[order.tree.starts[node]]]} and {labels[names[order.tree.starts[node]]]}: 1.000")
    # A slider and a concern.
    tab_to("Concerns")
    page.keyboard.press("Enter")
    page.wait_for_selector("#body-concerns section")


def test_small_and_dark(
    cifar100: SimilarityMatrix, tmp_path: Path, opened: Open, serving: Open, screenshot: Open
) -> None:
    cifar100.save(tmp_path / "one.safetensors")
    address = serving("explore", "one.safetensors", "--no-browser")
    for scheme in ("light", "dark"):
        page = ready(opened(address, viewport={"width": 360, "height": 740}, color_scheme=scheme))
        for name in ("limits", "edits", "tree", "concerns"):
            page.click(f"#panel-{name} summary")
        page.wait_for_selector("#body-concerns section")
        page.wait_for_selector("[role=tree]")
        assert page.evaluate("() => document.documentElement.scrollWidth") == 360
        assert page.evaluate(FAINT) == []
        assert page.evaluate(UNLABELLED) == []
        page.evaluate("() => window.scrollTo(0, 0)")
    screenshot(page, "explore-small")


def test_the_contrast_is_measured(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        "<body style='background:#fff'><p style='color:#777'>a<p style='color:#767676'>b"
    )
    page = opened((tmp_path / "page.html").as_uri())
    assert [round(contrast, 2) for _, contrast in page.evaluate(FAINT)] == [4.48]


def test_pictures_of_what_is_on_screen(tmp_path: Path, opened: Open, serving: Open) -> None:
    from PIL import Image

    names = ('<b>"rose" & co</b>', "tulip", "oak", "lorry")
    SimilarityMatrix(np.array(random_matrix("dense", 4).to_dense()), names).save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    page.evaluate("() => document.getElementById('in').click()")
    settled(page)
    with page.expect_download() as got:
        page.click("#png")
    with Image.open(io.BytesIO(Path(got.value.path()).read_bytes())) as picture:
        box = page.locator("#map-first").bounding_box()
        assert picture.size == (round(box["width"] - 2), round(box["height"] - 2) + 40)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
    with page.expect_download() as got:
        page.click("#svg")
    assert got.value.suggested_filename == "explored.svg"
    drawn = ElementTree.fromstring(Path(got.value.path()).read_text(encoding="utf-8"))  # noqa: S314
    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert names[0] in texts
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}image"))) == 1


def test_a_name_is_never_run(tmp_path: Path, opened: Open, serving: Open) -> None:
    nasty = (
        "<img src=x onerror=alert(1)>",
        "<script>alert(2)</script>",
        '"><svg onload=alert(3)>',
        "{{7*7}}",
        "javascript:alert(4)",
        "</script><script>alert(5)</script>",
    )
    told = {"how": nasty[0], "words": [nasty[1]], "others": [nasty[2], nasty[5]], "doubt": 0.5}
    origin = simmatrix.Provenance("<i>wordnet</i>", resolution=dict.fromkeys(nasty, told))
    SimilarityMatrix(random_matrix().to_dense(), nasty, origin).save(tmp_path / "one.safetensors")
    page = ready(opened(serving("explore", "one.safetensors", "--no-browser")))
    for name in ("tree", "concerns", "edits"):
        page.click(f"#panel-{name} summary")
    page.wait_for_selector("#body-concerns section")
    page.wait_for_selector("[role=tree]")
    page.fill("#search", "alert")
    page.wait_for_selector("[role=option]")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#class h2').textContent.includes('alert')")
    page.fill("#group-1", nasty[0])
    page.fill("#group-2", nasty[1])
    page.click("#set")
    page.wait_for_selector("#edits button")
    settled(page)
    assert page.locator("img, #main script, #main i, #main svg svg").count() == 0
    assert page.inner_text("#told").endswith("built by <i>wordnet</i>")
    # Even a script that got in would not run.
    page.evaluate("() => document.body.append(Object.assign(document.createElement('script'), {text: 'hacked = 1'}))")
    assert page.evaluate("() => typeof hacked") == "undefined"
    assert [one for one in page.wrong if "Content Security Policy" not in one] == []
    page.wrong.clear()


def test_a_page_that_stands_alone(cifar100: SimilarityMatrix, tmp_path: Path, opened: Open) -> None:
    from simmatrix.web.exploration import Exploration
    from simmatrix.web.exported import write_page

    classes = simmatrix.read_classes("cifar100")
    write_page(Exploration(cifar100, Path("cifar100.safetensors"), classes=classes), tmp_path / "page.html")
    page = ready(opened((tmp_path / "page.html").as_uri()))
    labels = labels_of(cifar100)
    page.fill("#search", "whale")
    page.wait_for_selector("[role=option]")
    page.keyboard.press("Enter")
    told_class(page, "whale")
    assert neighbours(page) == [(labels[name], f"{value:.3f}") for name, value in cifar100.neighbours("whale", 20)]
    places = order_of(cifar100, "clusters").places
    values = cifar100.to_dense()[np.ix_(places, places)]
    page.mouse.move(*cell(page, 62, 64, 100))
    one, other = (labels[cifar100.classes[places[at]]] for at in (62, 64))
    said(page, f"{one} and {other}: {values[62, 64]:.3f}")
    page.click("#panel-tree summary")
    page.wait_for_selector("[role=tree]")
    assert not page.is_visible("#panel-limits")


def test_a_page_that_stands_alone_shows_blocks(tmp_path: Path, opened: Open) -> None:
    from simmatrix.web.exploration import Exploration
    from simmatrix.web.exported import write_page

    matrix = random_matrix("dense", 700).lower_bound(0.4)
    write_page(Exploration(matrix, Path("one.safetensors")), tmp_path / "page.html")
    page = ready(opened((tmp_path / "page.html").as_uri(), viewport={"width": 700, "height": 500}))
    page.select_option("#order", "file")
    page.select_option("#what", "mean")
    settled(page)
    page.mouse.move(*cell(page, 100, 200, 700))
    found = re.fullmatch(
        r"class (\d+) and class (\d+): ([\d.]+) mean, ([\d.]+) greatest of (\d) \u00d7 \d", hovered(page)
    )
    assert found is not None
    step = int(found[5])
    row, column = int(found[1]) // step * step, int(found[2]) // step * step
    block = matrix.to_dense()[row : row + step, column : column + step]
    assert step > 1
    assert (found[3], found[4]) == (f"{block.mean(dtype=np.float64):.3f}", f"{block.max():.3f}")
