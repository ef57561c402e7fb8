"""A study served by the command and asked over the network: what a kill leaves, what Ctrl-C says, what is shown."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from simmatrix.study import tally
from tests.cli.command import COMMAND

NAMES = ("rose", "tulip", "oak", "truck", "bus", "van", "fern", "moss")
PASSWORD = "correct horse"  # noqa: S105


class Server:
    """The command, in a group of processes of its own, as a terminal starts it."""

    def __init__(self, folder: Path, *options: str, password: str = PASSWORD) -> None:
        (folder / "classes.txt").write_text("\n".join(NAMES))
        command = [str(COMMAND), "collect", "study.db", "--classes", "classes.txt", "--no-browser", *options]
        environment = {**os.environ, "SIMMATRIX_PASSWORD": password}
        self.folder = folder
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.said: dict[str, str] = {}
        while "stop" not in self.said:
            name, _, value = self.process.stdout.readline().partition(" ")
            assert name, self.process.communicate()[1]  # it ended
            self.said[name] = value.strip()
        self.address = self.said["participants"]

    @contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """Open the first page, and send its token from now on."""
        with httpx.Client(base_url=self.address, timeout=60) as browser:
            found = re.search(r'name="csrf" content="(\w+)"', browser.get("").text)
            assert found is not None
            browser.headers["x-csrf-token"] = found[1]
            yield browser


@contextmanager
def serving(folder: Path, *options: str, password: str = PASSWORD) -> Iterator[Server]:
    server = Server(folder, *options, password=password)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def answer(browser: httpx.Client, times: int) -> int:
    """Answer so many questions; return how many answers were acknowledged."""
    state = browser.get("question").json()
    for _ in range(times):
        answered = browser.post("answer", json={"question": state["question"], "value": 0}).raise_for_status()
        state = answered.json()
    return times


def test_what_was_acknowledged_is_kept_after_a_build_an_export_and_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path, "--task", "triplets", "--choose", "random") as server, server.browser() as ann:
        ann.post("join", json={"agreed": True, "name": "ann"}).raise_for_status()
        done = answer(ann, 12)
        ann.post("dashboard/login", json={"password": PASSWORD}).raise_for_status()
        assert ann.get("dashboard/matrix").raise_for_status().json()["names"]
        subprocess.run([COMMAND, "collect", "study.db", "--export", "answers.csv"], cwd=tmp_path, check=True)
        done += answer(ann, 12)
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    found = tally(tmp_path / "study.db")
    assert len(found.answers) + len(found.catches) == done == 24


def test_ctrl_c_in_the_midst_of_a_fit_says_nothing_and_ends_all(tmp_path: Path) -> None:
    with serving(tmp_path, "--task", "triplets") as server, server.browser() as ann:
        ann.post("join", json={"agreed": True}).raise_for_status()
        answer(ann, 44)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        # A process was started to choose what comes next, by the thread that has the file.
        started = [one for one in children.parent.parent.glob("*/children") if one.read_text()]
        assert started
        os.killpg(server.process.pid, signal.SIGINT)
        _, wrong = server.process.communicate(timeout=60)
        assert (server.process.returncode, wrong) == (0, "")


def test_a_header_that_names_other_addresses_gets_no_more_guesses(tmp_path: Path) -> None:
    with serving(tmp_path, "--task", "triplets", password="") as server, server.browser() as guess:
        tried = [
            guess.post(
                "dashboard/login", json={"password": "x"}, headers={"x-forwarded-for": f"10.0.0.{number}"}
            ).status_code
            for number in range(12)
        ]
        assert tried == [403] * 10 + [429] * 2
        # Without a password of one's own there is one that is shown.
        assert len(server.said["password"]) == 12


def test_behind_a_proxy_the_link_is_its_address(tmp_path: Path) -> None:
    public = ("--task", "triplets", "--public-url", "https://study.example.org/")
    with serving(tmp_path, *public) as server:
        assert re.fullmatch(r"https://study\.example\.org/[0-9a-f]{32}/", server.address)
        assert server.said["dashboard"] == f"{server.address}dashboard"
