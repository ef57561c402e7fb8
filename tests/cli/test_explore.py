"""`simmatrix explore`: serving, exporting, and what it refuses."""

import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

import simmatrix
from simmatrix import web
from tests.cli.command import COMMAND, Command, assert_mendable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    simmatrix.from_wordnet("cifar10").save(tmp_path / "cifar10.safetensors")
    return tmp_path / "cifar10.safetensors"


def test_it_serves_until_ctrl_c(file: Path) -> None:
    run = subprocess.Popen(
        [COMMAND, "explore", file.name, "--no-browser"],
        cwd=file.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    address = run.stdout.readline().split()[0]
    with urllib.request.urlopen(address) as page:  # noqa: S310
        assert "simmatrix explore" in page.read().decode()
    os.kill(run.pid, signal.SIGINT)
    assert (run.communicate(timeout=30), run.returncode) == (("", ""), 0)


def test_it_exports_a_page(file: Path, command: Command) -> None:
    told = command.good("explore", file, "--export", "page.html")
    size = (file.parent / "page.html").stat().st_size
    assert told == f"page.html: 10 classes ({size:,} bytes)\n"
    assert_mendable(command("explore", file, "--export", "page.html"), "is there already", "--force")
    command.good("explore", file, "--export", "page.html", "--force")


def test_what_is_wrong_is_one_message(file: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_mendable(command("explore", file, "--port", port, "--no-browser"), f"port {port} is in use")
    assert_mendable(command("explore", "nowhere.safetensors", "--no-browser"), "no such file")
    assert_mendable(command("explore", file, "--classes", "cifar100", "--no-browser"), "has no class 'airplane'")
    assert_mendable(command("explore", file, "--export", "page.pdf"), "ends in .html")
    monkeypatch.setattr(web, "find_spec", lambda _name: None)
    assert_mendable(command("explore", file), 'pip install "simloss[web]"')
