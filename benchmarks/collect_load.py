"""A study under load: 50 participants at once answer 10,000 questions, on the machine that serves them.

    python benchmarks/collect_load.py [--participants 50] [--questions 190] [--pause 0.3]

Each participant answers, thinks for as long as --pause on average, and answers again. The time of a request is from
sending the answer to having read the next question: the answer is on the disk by then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import write_result

from simmatrix.study import tally


class Client:
    """A participant: one connection, which is kept open."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.cookies: dict[str, str] = {}
        self.token = ""

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    async def ask(self, method: str, path: str, content: Mapping[str, object] | None = None) -> bytes:
        """Send a request, and return the body of a good answer."""
        body = b"" if content is None else json.dumps(content).encode()
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Cookie: {cookies}",
            f"X-CSRF-Token: {self.token}",
            f"Content-Length: {len(body)}",
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        for name, value in re.findall(r"set-cookie: ([^=]+)=([^;]+)", head, re.IGNORECASE):
            self.cookies[name] = value
        size = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        answer = await self.reader.readexactly(int(size[1]) if size else 0)
        if not head.startswith("HTTP/1.1 200"):
            sys.exit(f"{head}\n{answer.decode()}")
        return answer


async def take_part(client: Client, number: int, pause: float, times: list[float]) -> int:
    """Answer every question; return how many answers were acknowledged."""
    chance = np.random.default_rng(number)
    await client.open()
    page = (await client.ask("GET", "/")).decode()
    found = re.search(r'name="csrf" content="(\w+)"', page)
    assert found is not None
    client.token = found[1]
    await client.ask("POST", "/join", {"agreed": True, "name": f"rater {number}"})
    state: dict[str, Any] = json.loads(await client.ask("GET", "/question"))
    count = 0
    # Not all begin in the same moment.
    await asyncio.sleep(chance.uniform(0, 2 * pause))
    while state["question"] is not None:
        sent = {"question": state["question"], "value": int(chance.integers(3)), "milliseconds": 1}
        started = time.perf_counter()
        state = json.loads(await client.ask("POST", "/answer", sent))
        times.append(time.perf_counter() - started)
        count += 1
        await asyncio.sleep(chance.uniform(0, 2 * pause))
    return count


async def everybody(address: str, participants: int, pause: float, times: list[float]) -> int:
    """Let all take part at once."""
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    clients = [Client(host, int(port)) for _ in range(participants)]
    return sum(await asyncio.gather(*(take_part(one, at, pause, times) for at, one in enumerate(clients))))


def main() -> None:
    """Serve a study, let 50 take part, and count what is in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--participants", type=int, default=50)
    parser.add_argument("--questions", type=int, default=190, help="each; ten catch trials come on top")
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between answers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "study.db"
        program = "from simmatrix.cli import main; main()"
        arguments = ["collect", str(path), "--classes", "cifar100", "--task", "triplets", "--no-browser"]
        command = [sys.executable, "-c", program, *arguments, "--questions", str(options.questions)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            times: list[float] = []
            started = time.perf_counter()
            acknowledged = asyncio.run(everybody(address, options.participants, options.pause, times))
            seconds = time.perf_counter() - started
            server.send_signal(signal.SIGINT)
        found = tally(path)
        kept = len(found.answers) + len(found.catches)
    middle, most, worst = (1000 * np.quantile(times, share) for share in (0.5, 0.95, 0.99))
    write_result(
        "collect_load",
        "python benchmarks/collect_load.py",
        f"{options.participants} participants at once, {options.pause:g} s between answers on average: "
        f"{acknowledged:,} answers were acknowledged in {seconds:.0f} s, and {kept:,} are in the file. An answer takes "
        f"{middle:.0f} ms in the median; 95 % take up to {most:.0f} ms, 99 % up to {worst:.0f} ms. The questions are "
        "chosen actively.",
    )
    if kept != acknowledged:
        sys.exit(f"{acknowledged - kept} answers were lost")


if __name__ == "__main__":
    main()
