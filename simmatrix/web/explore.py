"""The page to explore a matrix: what each address answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simmatrix.errors import ParameterError
from simmatrix.web.exploration import Exploration, Json, SupersededError
from simmatrix.web.serving import application, content_of, page

Content = dict[str, Any]


def explore_application(exploration: Exploration) -> Starlette:
    """Return the application that shows a matrix."""
    asked: dict[str, Callable[[Request], Any]] = {
        "about": lambda _request: exploration.about(),
        "state": lambda _request: exploration.state(),
        "names": lambda request: exploration.names(
            _text(request, "order"), _number(request, "start"), _number(request, "stop")
        ),
        "search": lambda request: exploration.search(_text(request, "text")),
        "members": lambda request: exploration.members(_text(request, "superclass")),
        "class": lambda request: exploration.describe(_text(request, "name"), _text(request, "order")),
        "path": lambda request: exploration.path(_text(request, "start"), _text(request, "goal")),
        "tree": lambda request: exploration.tree(_number(request, "node") if "node" in request.query_params else None),
        "concerns": lambda _request: exploration.concerns(),
        "comparison": lambda _request: exploration.comparison(),
    }
    changes: dict[str, Callable[[Content], Json]] = {
        "limits": lambda content: exploration.limit(
            _whole_or_none(content, "topK"), _real_or_none(content, "lowerBound"), _real_or_none(content, "influence")
        ),
        "edit": lambda content: exploration.edit(
            _texts(content, "first"), _texts(content, "second"), _given(_real_or_none(content, "value"), "value")
        ),
        "undo": lambda content: exploration.undo(_given(_whole_or_none(content, "id"), "id")),
        "save": lambda content: exploration.save(str(content.get("name", "")), replace=content.get("replace") is True),
    }
    return application(
        [
            Route("/", _page),
            Route("/tile", _tiles(exploration)),
            *(Route(f"/{name}", _answer(function)) for name, function in asked.items()),
            *(Route(f"/{name}", _change(function), methods=["POST"]) for name, function in changes.items()),
        ],
        # 100,000 pairs are set by naming their classes.
        body=1 << 22,
        lifespan=_warm(exploration),
    )


def _warm(exploration: Exploration) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # The page is there at once, and what takes longer is on its way.
        Thread(target=exploration.warm_up, daemon=True).start()
        yield

    return lifespan


async def _page(request: Request) -> Response:
    return page(request, "explore.html")


def _tiles(exploration: Exploration) -> Callable[[Request], Response]:
    def tile(request: Request) -> Response:
        level, row, column = (_number(request, name) for name in ("level", "row", "column"))
        version = _number(request, "version") if "version" in request.query_params else None
        layer, order = _text(request, "layer"), _text(request, "order")
        try:
            (height, width), content = exploration.tile(layer, order, level, row, column, version)
        except SupersededError as error:
            return JSONResponse({"error": str(error)}, 409)
        return Response(content, media_type="application/octet-stream", headers={"x-shape": f"{height},{width}"})

    return tile


def _answer(function: Callable[[Request], Any]) -> Callable[[Request], Response]:
    return lambda request: JSONResponse(function(request))


def _change(function: Callable[[Content], Json]) -> Callable[[Request], Any]:
    async def change(request: Request) -> Response:
        content = await content_of(request)
        try:
            return JSONResponse(await run_in_threadpool(function, content))
        except FileExistsError as error:
            return JSONResponse({"error": str(error), "exists": True}, 409)

    return change


def _text(request: Request, name: str) -> str:
    return request.query_params.get(name, "")


def _number(request: Request, name: str) -> int:
    text = _text(request, name)
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        raise ParameterError(f"{name} is {text!r:.40}, which is no whole number")
    return int(text)


def _real_or_none(content: Content, name: str) -> float | None:
    value = content.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ParameterError(f"{name} is {value!r:.40}, which is no number")
    try:
        return None if value is None else float(value)
    except OverflowError:
        raise ParameterError(f"{name} is {value!r:.40}..., which is too large") from None


def _whole_or_none(content: Content, name: str) -> int | None:
    value = _real_or_none(content, name)
    if value is not None and not value.is_integer():
        raise ParameterError(f"{name} is {value}, which is no whole number")
    return None if value is None else int(value)


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise ParameterError(f"{name} is missing")
    return value


def _texts(content: Content, name: str) -> list[str]:
    texts = content.get(name)
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise ParameterError(f"{name} is no list of names")
    return texts
