"""What guards the pages, and how they are served and stopped."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from simmatrix import web
from simmatrix.errors import ParameterError, SourceError
from simmatrix.web.serving import _reachable, application, checked_public_url, listen, page, template

HOST = "http://127.0.0.1:8000"


async def _token(request: Request) -> Response:
    return JSONResponse({"token": request.scope["csrf"]})


async def _change(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body())})


async def _fail(_request: Request) -> Response:
    raise SourceError("there is no rose")


async def _page(request: Request) -> Response:
    return page(request, "base.html")


def _client(**options: object) -> TestClient:
    routes = [
        Route("/", _page),
        Route("/token", _token),
        Route("/change", _change, methods=["POST"]),
        Route("/fail", _fail),
    ]
    return TestClient(application(routes, **options), base_url=HOST)  # type: ignore[arg-type]


def test_every_answer_has_the_headers_that_guard_it() -> None:
    client = _client()
    for path in ("/", "/fail", "/nowhere", "/static/base.css"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


def test_another_name_of_this_machine_is_refused() -> None:
    client = _client()
    for host, status in (
        ("127.0.0.1:8000", 200),
        ("localhost:9", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("", 421),
    ):
        assert client.get("/token", headers={"host": host}).status_code == status, host
    assert _client(hosts=None).get("/token", headers={"host": "lab.example"}).status_code == 200


def test_only_our_page_changes_anything() -> None:
    client = _client()
    token = client.get("/token").json()["token"]
    ours = {"x-csrf-token": token}
    assert client.post("/change", headers=ours).status_code == 200
    assert client.post("/change", headers={**ours, "origin": HOST}).status_code == 200
    for wrong in (
        {},
        {"x-csrf-token": "0" * 64},
        {"x-csrf-token": "é"},
        {**ours, "origin": "http://evil.example"},
        {**ours, "origin": "null"},
        {**ours, "origin": "http://127.0.0.1:8001"},
        {**ours, "sec-fetch-site": "cross-site"},
    ):
        encoded = {name: text.encode() for name, text in wrong.items()}
        assert client.post("/change", headers=encoded).status_code == 403, wrong
    # Another visitor's token is none of ours.
    other = _client()
    other.get("/token")
    assert other.post("/change", headers=ours).status_code == 403


def test_a_secret_that_stays_lets_open_pages_go_on() -> None:
    first = _client(secret=b"kept")
    token = first.get("/token").json()["token"]
    again = _client(secret=b"kept")
    again.cookies = first.cookies
    assert again.post("/change", headers={"x-csrf-token": token}).status_code == 200


def test_a_body_that_is_too_large_is_refused() -> None:
    client = _client(body=1000)
    ours = {"x-csrf-token": client.get("/token").json()["token"]}
    assert client.post("/change", headers=ours, content=b"x" * 1000).json() == {"size": 1000}
    assert client.post("/change", headers=ours, content=b"x" * 1001).status_code == 413
    # Without a length it is counted as it comes.
    assert client.post("/change", headers=ours, content=iter([b"x" * 600, b"x" * 600])).status_code == 413
    # One that is said to be large is refused before it is sent.
    assert client.post("/change", headers={**ours, "content-length": str(2**30)}, content=b"").status_code == 413
    assert client.post("/change", headers={**ours, "content-length": "-1"}, content=b"").status_code == 413


def test_an_error_of_the_library_is_its_message() -> None:
    answer = _client().get("/fail")
    assert (answer.status_code, answer.json()) == (400, {"error": "there is no rose"})


def test_what_a_template_shows_is_escaped() -> None:
    assert template("base.html", csrf='"><script>').count("<script") == 0


def test_a_port_in_use_is_one_clear_message() -> None:
    with listen("127.0.0.1", None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ParameterError, match=f"port {port} is in use; give another port"):
            listen("127.0.0.1", port)
    with listen("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port
    for host, number, message in (
        ("127.0.0.1", 70000, "there is no port 70000; give one from 1 to 65535"),
        ("203.0.113.1", None, "can't serve at 203"),
        ("no.such.host.invalid", None, "can't serve at no"),
    ):
        with pytest.raises(ParameterError, match=message):
            listen(host, number)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    web.check_installed()
    monkeypatch.setattr(web, "find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(SourceError, match=r'need uvicorn; install the extra web: pip install "simloss\[web\]"'):
        web.check_installed()


PROGRAM = """
from starlette.responses import JSONResponse
from starlette.routing import Route
from simmatrix.web.serving import application, serve
serve(application([Route("/", lambda request: JSONResponse([1]))]), "127.0.0.1", None, browser=False, path="/",
      say=lambda address: print(address, flush=True))
print("stopped")
"""


def test_ctrl_c_stops_it_without_a_traceback(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    address = run.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    with urllib.request.urlopen(address) as answer:  # noqa: S310
        assert json.load(answer) == [1]
    os.kill(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert (out, err, run.returncode) == ("stopped\n", "", 0)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address[7:-1].split(":"), timeout=1):  # type: ignore[arg-type]
        pass


def test_neither_the_library_nor_the_command_imports_it() -> None:
    program = "import sys, simmatrix, simmatrix.matrix, simmatrix.cli.app; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"starlette", "uvicorn", "jinja2", "simmatrix.web"} & set(run.stdout.split()) == set()


def test_the_address_of_all_addresses_can_be_opened() -> None:
    with listen("0.0.0.0", None) as listening:  # noqa: S104
        shown = _reachable("0.0.0.0")  # noqa: S104
        assert shown != "0.0.0.0"  # noqa: S104
        socket.create_connection((shown, listening.getsockname()[1]), timeout=10).close()
    assert _reachable("127.0.0.1") == "127.0.0.1"


def test_a_public_address_has_no_path() -> None:
    assert checked_public_url("https://Study.example.org:8443/") == "https://study.example.org:8443"
    for wrong in (
        "",
        "study.example.org",
        "ftp://a.org",
        "https://a.org/x",
        "https://a.org?x",
        "https://u@a.org",
        "https://",
    ):
        with pytest.raises(ParameterError, match="public_url must be an address without a path"):
            checked_public_url(wrong)
