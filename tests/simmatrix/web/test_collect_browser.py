"""A study in a real browser: answered by keys alone, across a kill of the server, and looked at on the dashboard."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

import simmatrix
from simmatrix.study import Study, designed, tally
from tests.cli.command import COMMAND
from tests.simmatrix.web.accessible import FAINT, UNLABELLED

pytestmark = pytest.mark.browser

NAMES = ("rose", "tulip", "orchid", "truck", "bus", "van")
FLOWERS = NAMES[:3]
PASSWORD = "correct horse"  # noqa: S105


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Serve the study by the command, as a user does."""
    command = [str(COMMAND), "collect", "study.db", "--no-browser", "--port", str(port), *options]
    environment = {**os.environ, "SIMMATRIX_PASSWORD": PASSWORD}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split() == ["participants", f"http://127.0.0.1:{port}/"]
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, -signal.SIGKILL)
        finally:
            process.kill()


def new_study(folder: Path, *options: str) -> tuple[str, ...]:
    (folder / "classes.txt").write_text("\n".join(NAMES))
    (folder / "consent.txt").write_text("We keep what you answer, and nothing else.\n")
    return ("--classes", "classes.txt", "--consent", "consent.txt", *options)


def begin_by_keys(page: Any, name: str) -> None:
    """Agree, give an id and begin, by the keyboard alone."""
    page.locator("#agreed").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#asked:not([hidden])")


def count(page: Any) -> int:
    return int(page.locator("#count").inner_text().split()[0])


def wait_for(page: Any, done: int) -> None:
    """Wait until so many questions are done."""
    expect(page.locator("#count")).to_have_text(re.compile(f"^{done} of"), timeout=30_000)


def answer_by_keys(page: Any) -> None:
    """Pick the one that is of another kind than the two others; wait for what comes next."""
    before, names = count(page), page.locator("#items button > span").all_inner_texts()
    are_flowers = [name in FLOWERS for name in names]
    odd = next(
        at for at in range(3) if are_flowers.count(are_flowers[at]) == 1 or (len(set(are_flowers)) == 1 and at == 0)
    )
    page.keyboard.press(str(odd + 1))
    wait_for(page, before + 1)


def test_a_study_is_answered_by_keys_across_a_kill_of_the_server(
    tmp_path: Path, opened: Callable[..., Any], screenshot: Callable[[Any, str], None]
) -> None:
    port = free_port()
    design = new_study(tmp_path, "--task", "triplets", "--questions", "20")
    with served(tmp_path, port, *design) as server:
        page = opened(f"http://127.0.0.1:{port}/", viewport={"width": 900, "height": 320})
        begin_by_keys(page, "ann")
        # Who listens hears the question, and the keys are where it is.
        assert page.evaluate("document.activeElement.id") == "heading"
        for _ in range(3):
            answer_by_keys(page)
        screenshot(page, "collect")
        names = page.locator("#items").inner_text()
        page.keyboard.press("s")
        wait_for(page, 4)
        page.keyboard.press("u")
        wait_for(page, 3)
        assert page.locator("#items").inner_text() == names
        page.keyboard.press("p")
        assert page.locator("#paused").is_visible()
        assert not page.locator("#asked").is_visible()
        page.keyboard.press("1")
        page.keyboard.press("p")
        assert (page.locator("#asked").is_visible(), count(page)) == (True, 3)
        server.kill()
        server.wait()
        page.keyboard.press("1")
        page.wait_for_selector("#said.alarm")
        assert "your last answer may not have been kept" in page.locator("#said").inner_text()
        # The browser says so, too: of the answer, and of the question that waits now.
        page.wait_for_selector("#main:not([aria-busy])")
        for _ in range(2):
            assert page.wrong.pop().startswith("console Failed to load resource: net::ERR_CONNECTION_REFUSED")
    with served(tmp_path, port):
        # The page that is open goes on, without being loaded again. Two catch trials come on top of the 20.
        for _ in range(19):
            answer_by_keys(page)
        page.wait_for_selector("#finished:not([hidden])")
        assert page.locator("#count").inner_text() == "22 of 22"
        assert page.evaluate("document.activeElement.id") == "finished-heading"
    with Study(tmp_path / "study.db", designed(tmp_path / "study.db")) as study:
        assert len(study.answers()) == 20
        assert tally(study.path).careless == ()
        assert all(one.milliseconds > 0 for one in study.answers())
    matrix = simmatrix.from_triplets(tmp_path / "study.db", NAMES)
    assert matrix["rose", "tulip"] > 0.5 > matrix["rose", "truck"]


def test_ratings_by_mouse_on_a_small_dark_page_and_the_dashboard(
    tmp_path: Path, opened: Callable[..., Any], screenshot: Callable[[Any, str], None]
) -> None:
    port = free_port()
    with served(tmp_path, port, *new_study(tmp_path, "--task", "ratings", "--scale", "1:7")):
        page = opened(
            f"http://127.0.0.1:{port}/", viewport={"width": 360, "height": 640}, color_scheme="dark", has_touch=True
        )
        page.get_by_label("I have read this").check()
        page.get_by_role("button", name="Begin").click()
        page.wait_for_selector("#asked:not([hidden])")
        # Nothing is wider than the page.
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for done in range(17):
            names = page.locator("#items span").all_inner_texts()
            alike = len({name in FLOWERS for name in names}) == 1
            value = 7 if len(set(names)) == 1 else 6 if alike else 1
            page.get_by_role("button", name=str(value), exact=True).tap()
            wait_for(page, done + 1)
        assert page.locator("#finished").is_visible()
        owner = opened(f"http://127.0.0.1:{port}/dashboard")
        owner.get_by_label("Password").fill(PASSWORD)
        owner.get_by_role("button", name="Log in").click()
        owner.wait_for_selector("#figures tbody tr")
        assert "15" in owner.locator("#figures tr", has_text="answers").first.inner_text()
        owner.get_by_role("button", name="Build it").click()
        # A process that steps back for all others.
        owner.wait_for_selector("#pairs:not([hidden])", timeout=120_000)
        assert set(owner.locator("#pairs tbody tr").first.locator("td").all_inner_texts()[:2]) <= {*FLOWERS, *NAMES[3:]}
        assert owner.locator("#heat").get_attribute("aria-label").startswith("Heat map of 6 classes")
        screenshot(owner, "collect-dashboard")


def wrong(page: Any) -> list[object]:
    """Return the texts that are too faint, and the controls without a name."""
    return [*page.evaluate(FAINT), *page.evaluate(UNLABELLED)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_and_controls_have_names(tmp_path: Path, opened: Callable[..., Any], scheme: str) -> None:
    port = free_port()
    with served(tmp_path, port, *new_study(tmp_path, "--task", "ratings", "--scale", "0:100")):
        page = opened(f"http://127.0.0.1:{port}/", color_scheme=scheme)
        assert wrong(page) == []
        begin_by_keys(page, "ann")
        assert wrong(page) == []
        # A wide scale is slid along by the arrows; Enter goes on.
        page.locator("#slider").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        wait_for(page, 1)
        page.keyboard.press("p")
        assert wrong(page) == []
        # A colour that is too faint is found.
        page.add_style_tag(url="/static/base.css")
        page.evaluate("document.getElementById('paused-heading').style.color = '#888'")
        assert len(wrong(page)) == 1
        # And so is a button that says nothing.
        page.evaluate("document.getElementById('go-on').replaceChildren()")
        assert len(wrong(page)) == 2
        page.goto(f"http://127.0.0.1:{port}/dashboard")
        assert wrong(page) == []
