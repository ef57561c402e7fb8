"""A real browser, Chromium without a window; its pages are watched: for errors, and for requests to other hosts."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.command import COMMAND

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the browser that is installed."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("these tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # Without the sandbox, which root may not use: all that is opened is ours.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages; nothing on them may fail, and they may ask no other host."""
    wrong: list[str] = []
    with ExitStack() as stack:

        def open_page(address: str, **options: Any) -> Any:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("pageerror", lambda error: wrong.append(f"error {error}"))
            page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
            page.on("console", lambda one: wrong.append(f"console {one.text}") if one.type == "error" else None)
            own = urlsplit(address).netloc

            def watch(request: Any) -> None:
                asked = urlsplit(request.url)
                if asked.scheme not in ("data", "blob") and asked.netloc != own:
                    wrong.append(f"asked {request.url}")

            page.on("request", watch)
            page.wrong = wrong
            page.goto(address)
            return page

        yield open_page
    assert wrong == []


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve a page by the command, in a folder of its own; returns its address."""
    with ExitStack() as stack:

        def serve(*arguments: object) -> str:
            run = subprocess.Popen(
                [COMMAND, *map(str, arguments)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert run.stdout is not None
            assert run.stderr is not None
            stack.callback(run.communicate)
            stack.callback(run.terminate)
            line = run.stdout.readline()
            assert line, run.stderr.read()
            return line.split()[0]

        yield serve


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """Keep a picture of a page in docs/, if SCREENSHOTS=docs stands in the environment."""

    def take(page: Any, name: str) -> None:
        if os.environ.get("SCREENSHOTS") != "docs":
            return
        from PIL import Image

        path = ROOT / "docs" / f"{name}.png"
        page.screenshot(path=path)
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(96).save(path, optimize=True)

    return take
