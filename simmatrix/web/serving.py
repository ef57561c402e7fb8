"""What the pages share: how they are served, what guards them, and how they are written as HTML.

The guard holds for every request, whatever the page does with it:

- a foreign page can't read ours by pointing its own name at this machine (DNS rebinding): the host has to be ours
- a foreign page can't change anything (cross-site request forgery): a request that changes something needs the token
  that our page holds, and where the browser names the origin, it has to be ours
- nothing that is shown is run: no script or style is written into a page, and none comes from another host
- a body has a largest size, and one that is larger is refused before it is read
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simmatrix.errors import ParameterError, SimilarityError

LOCAL = ("127.0.0.1", "localhost", "[::1]")
"""The names under which this machine knows itself."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The content-security policy of every page: only our own files, and no script or style inside a page."""

_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_COOKIE = "simmatrix"
_BODY = 1 << 20

_templates = Environment(loader=PackageLoader("simmatrix.web"), autoescape=True, undefined=StrictUndefined)


class Guard:
    """What stands in front of a page's routes; see the module for what it keeps out.

    Each visitor gets a cookie, and the token that goes with it stands in ``scope["csrf"]``. The page sends it back in
    the header ``X-CSRF-Token`` of what changes something.

    `hosts` are the names in the header Host that are ours, without the port; None takes any name, for a page that is
    reached from other machines and has a secret of its own. The tokens are made from `secret`: if it is the same after
    a restart, open pages go on. `body` is the largest body of a request, in bytes. `public_url` is the address, without
    a path, under which a proxy hands requests on: its name is one of ours, too, and so is this origin, whatever host
    the proxy names. If it is https, the cookie is sent by https alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str] | None = LOCAL,
        secret: bytes = b"",
        body: int = _BODY,
        public_url: str = "",
    ) -> None:
        self.app, self.body, self.public = app, body, urlsplit(public_url)
        self.hosts = [*hosts, _without_port(self.public.netloc)] if hosts and public_url else hosts
        self.secret = secret or secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        visitor = _visitor(request.headers.get("cookie", ""))
        is_new = not visitor
        visitor = visitor or secrets.token_urlsafe(24)
        scope["csrf"] = hmac.new(self.secret, visitor.encode(), hashlib.sha256).hexdigest()
        left = self.body

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, _too_large(self.body))
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                own = {name.encode(): text.encode() for name, text in _HEADERS.items()}
                message["headers"] = [*message["headers"], *((k, v) for k, v in own.items() if k not in present)]
                if b"cache-control" not in present:
                    message["headers"].append((b"cache-control", b"no-store"))
                if is_new:
                    secure = "; Secure" if self.public.scheme == "https" else ""
                    cookie = f"{_COOKIE}={visitor}; HttpOnly; SameSite=Strict; Path=/{secure}"
                    message["headers"].append((b"set-cookie", cookie.encode()))
            await send(message)

        if refused := self._refusal(request, scope["csrf"]):
            await refused(scope, receive, with_headers)
            return
        await self.app(scope, counted, with_headers)

    def _refusal(self, request: Request, token: str) -> Response | None:
        host = request.headers.get("host", "")
        if self.hosts is not None and _without_port(host) not in self.hosts:
            return _refused(421, "this page is not known under that name; open the address that the command printed")
        size = request.headers.get("content-length", "0")
        if not size.isdecimal() or int(size) > self.body:
            return _refused(413, _too_large(self.body))
        if request.method in _SAFE:
            return None
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
        ours = (host, self.public.netloc) if self.public.netloc else (host,)
        if site != "same-origin" or (origin is not None and urlsplit(origin).netloc not in ours):
            return _refused(403, "the request comes from another page; open the page itself")
        given = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            return _refused(403, "the page is older than the server; load it again")
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def _visitor(cookies: str) -> str:
    """Return what our cookie says; nothing where there is none or it can't be ours."""
    with suppress(CookieError):
        found = SimpleCookie(cookies).get(_COOKIE)
        if found is not None and len(found.value) <= 64:
            return found.value
    return ""


def _too_large(most: int) -> str:
    return f"the request is larger than {most:,} bytes; send less"


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def application(
    routes: Sequence[BaseRoute],
    *,
    hosts: Sequence[str] | None = LOCAL,
    secret: bytes = b"",
    body: int = _BODY,
    public_url: str = "",
    lifespan: Any = None,
) -> Starlette:
    """Return an application with these routes, the shared files under ``/static``, and a `Guard` in front.

    An error of the library is answered with its message and status 400.
    """
    return Starlette(
        routes=[*routes, Mount("/static", StaticFiles(packages=[("simmatrix.web", "static")]))],
        middleware=[Middleware(Guard, hosts=hosts, secret=secret, body=body, public_url=public_url)],
        exception_handlers={SimilarityError: _library_error, HTTPException: _http_error},
        lifespan=lifespan,
    )


async def _library_error(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls this for nothing else
    if request.method in _SAFE and "application/json" not in request.headers.get("accept", ""):
        return PlainTextResponse(str(error.detail), error.status_code)
    return JSONResponse({"error": str(error.detail)}, error.status_code)


def template(name: str, **context: object) -> str:
    """Return a template of the folder ``templates`` filled in; all values are escaped."""
    return _templates.get_template(name).render(**context)


def page(request: Request, name: str, **context: object) -> Response:
    """Return a template as a page.

    ``csrf`` is the token for what changes something, and ``root`` the path below which the pages lie.
    """
    root = request.scope.get("root_path", "")
    return HTMLResponse(template(name, csrf=request.scope["csrf"], root=root, **context))


async def content_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request brings.

    Raises
    ------
    ParameterError
        If it brings none.
    """
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ParameterError("the request holds no JSON object; load the page again")
    return content


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens at an address; at a free port if none is named.

    Raises `ParameterError` if there is no such port, it is in use or may not be used, or the host is no address of this
    machine.
    """
    if port is not None and not 0 <= port <= 65535:
        raise ParameterError(f"there is no port {port}; give one from 1 to 65535, or none for a free one")
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port whose last connections are about to close can be taken again; one that is in use can't.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port or 0))
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be used"}.get(error.errno or 0)
        if why is None:
            raise ParameterError(f"can't serve at {host} ({error.strerror}); give an address of this machine") from None
        raise ParameterError(f"port {port} {why}; give another port, or none for a free one") from None
    return listening


def checked_public_url(url: str) -> str:
    """Return the address under which a proxy is reached, without a slash at its end.

    Raises `ParameterError` if it is no address, or has more than a scheme, a host and a port.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        message = f"public_url must be an address without a path, as https://study.example.org, got {url!r}"
        raise ParameterError(message)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _reachable(host: str) -> str:
    """Return an address of this machine that others can open where it listens at all of them; otherwise the host."""
    ways = {"0.0.0.0": (socket.AF_INET, "192.0.2.1"), "::": (socket.AF_INET6, "2001:db8::1")}  # noqa: S104 - a name
    if host not in ways:
        return host
    family, elsewhere = ways[host]
    # Nothing is sent: the system says only from which address it would be.
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((elsewhere, 9))
        return str(way.getsockname()[0])
    return socket.gethostname()


def serve(
    app: ASGIApp,
    host: str,
    port: int | None,
    *,
    browser: bool,
    path: str = "/",
    public_url: str = "",
    say: Callable[[str], object] = print,
) -> None:
    """Serve an application, as `application` returns it, until Ctrl-C; at a free port if none is named.

    With `browser` the page is opened in the browser, the one at `path` first. `public_url` is the address of a proxy in
    front, as `checked_public_url` returns it. `say` is called with the page's address once it can be opened. Raises
    `ParameterError` if the port is in use.
    """
    listening = listen(host, port)
    name = _reachable(host)
    name = f"[{name}]" if ":" in name else name
    address = f"{public_url or f'http://{name}:{listening.getsockname()[1]}'}{path}"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Anybody could write any address into a proxy's header.
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    # The socket listens already: what the browser asks for before the server has started waits for it.
    say(address)
    if browser:
        with suppress(webbrowser.Error):
            webbrowser.open(address)
    with suppress(KeyboardInterrupt), listening:
        server.run(sockets=[listening])
