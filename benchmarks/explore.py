"""What it takes to explore a matrix of ImageNet-21k's 21,843 classes in the browser.

Measured are the command itself and a real Chromium: the seconds until the command has an address (it reads and checks
the file before), until the page is painted and until its map is; what a step of a slider takes until its figures are
told, and until the map shows it; then, with that lower bound, tiles at random places of each zoom level, one after the
other; and the most memory that the server has held.

    python benchmarks/explore.py [--folder FOLDER]

FOLDER keeps the matrices, which take minutes to make and 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from measure import table, write_result

COMMAND = Path(sys.executable).with_name("simmatrix")
MADE: dict[str, list[str]] = {
    "dense": ["--from-wordnet"],
    "sparse": ["--from-wordnet", "--top-k", "50"],
    "toeplitz": ["--from-order", "--decay", "0.999"],
}
HEADER = ["form", "address", "painted", "map", "slider: figures", "slider: map"]
HEADER += ["tiles (median)", "tiles (slowest)", "another order", "memory"]
TILES = 12


def get(address: str) -> bytes:
    """Return what an address of our server answers."""
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own server
        content: bytes = answer.read()
        return content


def tile(address: str, order: str, level: int, row: int, column: int) -> float:
    """Return the milliseconds that a tile takes."""
    started = time.perf_counter()
    get(f"{address}tile?layer=first&order={order}&level={level}&row={row}&column={column}")
    return 1000 * (time.perf_counter() - started)


def tiles(address: str, order: str, about: dict[str, Any]) -> list[float]:
    """Return the milliseconds of tiles at random places of each level."""
    chosen = random.Random(0)  # noqa: S311 - nothing is kept secret by it
    found = []
    for level in range(int(about["levels"])):
        last = (int(about["classes"]) - 1) // (int(about["tile"]) << level)
        found += [
            tile(address, order, level, chosen.randint(0, last), chosen.randint(0, last))
            for _ in range(TILES if last else 1)
        ]
    return found


def painted(address: str) -> tuple[float, float, float, float]:
    """Return the milliseconds until the page is painted and its map is, and a step's until its figures and its map."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_function("() => document.getElementById('map-first')?.dataset.pending === '0'")
        mapped = page.evaluate("() => performance.now()")
        first = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
        page.wait_for_selector("body[data-counted]")
        slid = page.evaluate(
            """async () => {
              const times = [];
              const slider = document.getElementById("bound");
              const figures = document.getElementById("figures");
              for (const place of [400, 800, 1200, 1600]) {
                const seen = new Promise((done) => new MutationObserver(done).observe(figures, { childList: true }));
                const start = performance.now();
                slider.value = place;
                slider.dispatchEvent(new Event("input"));
                await seen;
                times.push(performance.now() - start);
              }
              return times.sort((a, b) => a - b)[2];
            }"""
        )
        page.wait_for_function("() => document.getElementById('map-first').dataset.pending === '0'")
        followed = page.evaluate(
            """async () => {
              const slider = document.getElementById("bound");
              const map = document.getElementById("map-first");
              const start = performance.now();
              slider.value = 1000;
              slider.dispatchEvent(new Event("input"));
              const frame = () => new Promise((done) => requestAnimationFrame(done));
              do await frame(); while (map.dataset.pending !== "0");
              return performance.now() - start;
            }"""
        )
        browser.close()
    return float(first), float(mapped), float(slid), float(followed)


def measured(form: str, file: Path) -> list[str]:
    """Return a row of the table."""
    started = time.perf_counter()
    server = subprocess.Popen([COMMAND, "explore", file, "--no-browser"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().split()[0]
    ready = time.perf_counter() - started
    first, mapped, slid, followed = painted(address)
    about = json.loads(get(f"{address}about"))
    # The first tile of an order takes a pass over all values: it is not one of those timed.
    tile(address, "file", about["levels"] - 1, 0, 0)
    times = tiles(address, "file", about)
    started = time.perf_counter()
    tile(address, "clusters", about["levels"] - 1, 0, 0)
    ordered = time.perf_counter() - started
    times += tiles(address, "clusters", about)
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    os.kill(server.pid, signal.SIGINT)
    server.wait(timeout=60)
    return [
        f"{form}, {file.stat().st_size / 1e6:,.0f} MB",
        f"{ready:.1f} s",
        f"{first:.0f} ms",
        f"{mapped / 1000:.1f} s",
        f"{slid:.0f} ms",
        f"{followed / 1000:.1f} s",
        f"{statistics.median(times):.0f} ms",
        f"{max(times):.0f} ms",
        f"{ordered:.1f} s",
        f"{peak / 2**30:.2f} GiB",
    ]


def main() -> None:
    """Make the matrices, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the matrices are kept; a temporary one if not given")
    parser.add_argument("--form", choices=MADE, help="measure one form alone, and write no table")
    folder, only = (getattr(parser.parse_args(), name) for name in ("folder", "form"))
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for form, options in MADE.items():
            if only not in (None, form):
                continue
            file = (folder or Path(temporary)) / f"imagenet21k-{form}.safetensors"
            if not file.exists():
                command = [COMMAND, "build", "--classes", "imagenet21k", *options, "-o", file]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            rows.append(measured(form, file))
            print(" | ".join(rows[-1]), file=sys.stderr)
    if only:
        return
    told = (
        "Painted is the page's first contentful paint, map the first picture of the whole matrix, both from the "
        "request on. The slider is the lower bound: until its figures are on the page, and until the map shows it, "
        "which takes a pass over all values after the slider has rested for 0.2 s. Tiles are under that bound, of all "
        "levels, in the file's order and by clusters; another order is the first tile by clusters, which are worked "
        "out for it, and another pass. Of the memory a dense matrix itself takes 1.78 GiB."
    )
    write_result("explore", "python benchmarks/explore.py", f"{table(HEADER, rows)}\n\n{told}")


if __name__ == "__main__":
    main()
