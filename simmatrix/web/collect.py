"""The page on which participants answer, and the dashboard of who runs the study."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import combinations
from math import comb
from pathlib import Path
from statistics import median
from typing import Any, TypeGuard, TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from simmatrix.builders.ratings import alpha, from_ratings
from simmatrix.builders.triplets import from_triplets
from simmatrix.errors import ParameterError
from simmatrix.ordering import leaf_order
from simmatrix.study import Answered, Design, DiskFullError, Participant, Question, Study, tally
from simmatrix.web.background import Background
from simmatrix.web.images import TYPES
from simmatrix.web.questions import Chooser
from simmatrix.web.serving import LOCAL, application, content_of, page

_PARTICIPANT, _OWNER = "simmatrix-participant", "simmatrix-dashboard"
_BODY = 1 << 14
_YEAR = 365 * 24 * 3600
# Requests of one participant, and of one address to join, to go on or to log in: so many at once, and then so many a
# second. A class of students may sit behind one address, and everybody behind a proxy.
_ANSWERS, _ENTRIES, _LOGINS = (60, 30.0), (200, 2.0), (10, 0.1)
# Of all addresses together.
_ALL_LOGINS = (40, 0.4)
_MOST_WATCHED = 10_000
# A break is no response time.
_LONGEST_RESPONSE = 24 * 3600 * 1000
_LARGEST = 1 << 62
# A matrix of more classes is not drawn on the dashboard, and one of more than the second number is not built there.
_MOST_DRAWN, _MOST_BUILT = 400, 5000
# Raters and pairs that it lists.
_LISTED = 20

_T = TypeVar("_T")


class Limits:
    """How often something may be done: for each key a bucket that fills again with time."""

    def __init__(self, size: int, rate: float) -> None:
        self.size, self.rate = size, rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raise `HTTPException` 429 if a key came too often."""
        now = time.monotonic()
        left, then = self._buckets.pop(key, (float(self.size), now))
        left = min(self.size, left + (now - then) * self.rate)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _MOST_WATCHED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise HTTPException(429, "that was too fast; wait a moment and go on", {"retry-after": "2"})


def study_app(
    study: Study,
    *,
    password: str,
    images: Sequence[Sequence[Path]] = (),
    is_public: bool = False,
    public_url: str = "",
) -> Starlette:
    """Return the application of a study that is open.

    The password opens the dashboard; the images are the pictures of each class, where these are judged. If it is
    public, reached from other machines, every page lies below a secret, `link`. `public_url` is the address of a proxy
    by which it is reached, as `simmatrix.web.serving.checked_public_url` returns it.
    """
    return _Pages(study, password, images, is_public=is_public, public_url=public_url).app


def link(study: Study, *, is_public: bool) -> str:
    """Return the path of the first page: it holds a secret where other machines can reach it."""
    secret = hmac.new(study.secret, b"link", hashlib.sha256).hexdigest()[:32]
    return f"/{secret}/" if is_public else "/"


class _Pages:
    def __init__(
        self, study: Study, password: str, images: Sequence[Sequence[Path]], *, is_public: bool, public_url: str
    ) -> None:
        self.study, self.images = study, images
        self.design = study.design
        self.chooser = Chooser(study)
        self.password, self.owners = password, set[str]()
        self.is_secure = public_url.startswith("https:")
        self.answers, self.entries = Limits(*_ANSWERS), Limits(*_ENTRIES)
        self.logins, self.all_logins = Limits(*_LOGINS), Limits(*_ALL_LOGINS)
        # One thread has the file: while an answer goes to the disk, other requests are read and answered.
        self.thread = ThreadPoolExecutor(1)
        # The dashboard reads the file by connections of its own, and keeps no answer waiting.
        self.reader = ThreadPoolExecutor(1)
        self.builder = Background()
        routes = [
            Route("/", self.start),
            Route("/join", self.join, methods=["POST"]),
            Route("/resume", self.resume, methods=["POST"]),
            Route("/leave", self.leave, methods=["POST"]),
            Route("/question", self.question),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/undo", self.undo, methods=["POST"]),
            Route("/image/{item:int}/{which:int}", self.image),
            Route("/dashboard", self.dashboard),
            Route("/dashboard/login", self.login, methods=["POST"]),
            Route("/dashboard/figures", self.figures),
            Route("/dashboard/matrix", self.matrix),
        ]
        path = link(study, is_public=is_public).rstrip("/")
        self.app = application(
            [Mount(path, routes=routes)] if path else routes,
            # Behind a proxy it may listen at this machine alone, and has a secret all the same.
            hosts=None if is_public and not public_url else LOCAL,
            secret=study.secret,
            body=_BODY,
            public_url=public_url,
            lifespan=self.lifespan,
        )
        self.app.add_exception_handler(DiskFullError, _disk_full)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self.thread.shutdown(wait=True)
        self.reader.shutdown(wait=False, cancel_futures=True)
        self.builder.close()
        self.chooser.close()

    async def kept(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do something with the file, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *arguments)

    async def who(self, request: Request) -> Participant:
        """Return the participant who asks; refuse others."""
        found = await self.visitor(request)
        if found is None:
            raise HTTPException(401, "you take part no longer here; load the page again and go on with your code")
        self.answers.check(str(found.number))
        return found

    async def visitor(self, request: Request) -> Participant | None:
        code = request.cookies.get(_PARTICIPANT, "")
        return await self.kept(self.study.participant, code) if code else None

    async def start(self, request: Request) -> Response:
        who = await self.visitor(request)
        common = {"design": self.design, "total": self.chooser.total()}
        if who is None:
            return page(request, "study_start.html", **common)
        return page(request, "study.html", who=who, code=request.cookies[_PARTICIPANT], steps=self.steps(), **common)

    def steps(self) -> list[str]:
        """Return the ratings that can be chosen as buttons; none of a scale that is better slid along."""
        if self.design.scale is None:
            return []
        low, high = self.design.scale
        are_whole = low == int(low) and high == int(high) and high - low <= 10
        return [str(one) for one in range(int(low), int(high) + 1)] if are_whole else []

    async def join(self, request: Request) -> Response:
        self.entries.check(_address(request))
        content = await content_of(request)
        if content.get("agreed") is not True:
            raise ParameterError("nobody takes part without agreeing; tick the box if you do")
        _who, code = await self.kept(self.study.join, _text(content, "name"))
        return self.remembered(JSONResponse({"code": code}), _PARTICIPANT, code)

    async def resume(self, request: Request) -> Response:
        self.entries.check(_address(request))
        code = _text(await content_of(request), "code").strip()
        if await self.kept(self.study.participant, code) is None:
            raise ParameterError("nobody takes part with this code; check it, or begin anew")
        return self.remembered(JSONResponse({"code": code}), _PARTICIPANT, code)

    def remembered(self, response: Response, name: str, value: str, age: int | None = _YEAR) -> Response:
        response.set_cookie(name, value, max_age=age, httponly=True, samesite="strict", secure=self.is_secure)
        return response

    async def leave(self, _request: Request) -> Response:
        response = JSONResponse({})
        response.delete_cookie(_PARTICIPANT)
        return response

    def _state(self, who: Participant, question: Question | None) -> dict[str, Any]:
        """Return what the page shows. Nothing in it tells a catch trial from other questions."""
        done, total = self.study.done(who), self.chooser.total()
        if question is None:
            return {"question": None, "done": done, "of": max(done, total)}
        shown = []
        for place, item in enumerate(question.items):
            one: dict[str, Any] = {"name": self.design.classes[item]}
            if self.images:
                which = (question.number + 7 * place) % len(self.images[item])
                one = {"image": f"image/{item}/{which}", "name": f"picture {place + 1}"}
            shown.append(one)
        return {"question": question.number, "items": shown, "done": done, "of": total}

    def _waiting(self, who: Participant) -> dict[str, Any]:
        question = self.study.open_question(who)
        if question is None and (following := self.chooser.following(who)):
            question = self.study.ask(who, *following)
        return self._state(who, question)

    def _answered(self, who: Participant, number: int, value: float | None, took: int) -> dict[str, Any]:
        before = self.study.open_question(who)
        question = self.study.answer(who, number, value, took, self.chooser.following(who))
        if before and before.number == number and before.kind != "catch" and value is not None:
            self.chooser.answered(before.items)
        return self._state(who, question)

    def _undone(self, who: Participant) -> dict[str, Any]:
        self.study.undo(who)
        return self._waiting(who)

    async def question(self, request: Request) -> Response:
        return JSONResponse(await self.kept(self._waiting, await self.who(request)))

    async def answer(self, request: Request) -> Response:
        who = await self.who(request)
        content = await content_of(request)
        number, value, took = content.get("question"), content.get("value"), content.get("milliseconds", 0)
        if not _is_number(number) or not (value is None or _is_number(value)):
            raise ParameterError("this is no answer; load the page again")
        took = int(took) if _is_number(took) and 0 <= took <= _LONGEST_RESPONSE else 0
        value = None if value is None else float(value)
        return JSONResponse(await self.kept(self._answered, who, int(number), value, took))

    async def undo(self, request: Request) -> Response:
        return JSONResponse(await self.kept(self._undone, await self.who(request)))

    async def image(self, request: Request) -> Response:
        item, which = request.path_params["item"], request.path_params["which"]
        if item >= len(self.images) or which >= len(self.images[item]):
            raise HTTPException(404, "there is no such picture")
        path = self.images[item][which]
        headers = {"cache-control": "private, max-age=3600"}
        return FileResponse(path, media_type=TYPES[path.suffix.lower()], headers=headers)

    def is_owner(self, request: Request) -> bool:
        return request.cookies.get(_OWNER, "") in self.owners

    def check_owner(self, request: Request) -> None:
        if not self.is_owner(request):
            raise HTTPException(401, "log in first")

    async def dashboard(self, request: Request) -> Response:
        name = "dashboard.html" if self.is_owner(request) else "dashboard_login.html"
        return page(request, name, design=self.design)

    async def login(self, request: Request) -> Response:
        self.logins.check(_address(request))
        self.all_logins.check("")
        given = _text(await content_of(request), "password")
        if not hmac.compare_digest(given.encode(), self.password.encode()):
            raise HTTPException(403, "the password is another one; the command that serves the study has shown it")
        session = secrets.token_urlsafe(24)
        self.owners.add(session)
        return self.remembered(JSONResponse({}), _OWNER, session, age=None)

    async def figures(self, request: Request) -> Response:
        self.check_owner(request)
        loop = asyncio.get_running_loop()
        return JSONResponse(await loop.run_in_executor(self.reader, figures, self.study.path))

    async def matrix(self, request: Request) -> Response:
        self.check_owner(request)
        try:
            found = await asyncio.wrap_future(self.builder.submit(built, self.study.path, self.design))
        except BrokenExecutor:
            raise HTTPException(503, "the build was ended, perhaps for lack of memory; use simmatrix build") from None
        return JSONResponse(found)


def figures(path: Path) -> dict[str, Any]:
    """Return what the dashboard tells of a study."""
    found = tally(path)
    answers = found.answers
    return {
        "answers": len(answers),
        "raters": found.raters,
        "skipped": found.skipped,
        "catches": len(found.catches),
        "careless": list(found.careless),
        "response": median(one.milliseconds for one in answers) / 1000 if answers else None,
        "by_rater": Counter(one.rater for one in answers).most_common(_LISTED),
        **coverage(answers, len(found.design.classes)),
        **agreement(answers, found.design.task),
    }


def built(path: Path, design: Design) -> dict[str, Any]:
    """Return the matrix that the answers so far give, as the dashboard shows it."""
    names = design.classes
    if len(names) > _MOST_BUILT:
        raise ParameterError(f"more than {_MOST_BUILT:,} classes are not built here; use simmatrix build")
    if design.task == "triplets":
        matrix = from_triplets(path, names)
    else:
        matrix = from_ratings(path, names, complete="low-rank", duplicates="mean")
    values = np.asarray(matrix.values, dtype=np.float64)
    first, second = np.triu_indices(len(names), 1)
    best = np.argsort(-values[first, second], kind="stable")[:_LISTED]
    pairs = [[names[first[at]], names[second[at]], round(float(values[first[at], second[at]]), 3)] for at in best]
    error = matrix.provenance.params.get("held_out_error")
    found: dict[str, Any] = {"pairs": pairs, "error": error, "values": []}
    if len(names) <= _MOST_DRAWN:
        order = leaf_order(values)
        found["names"] = [names[at] for at in order]
        found["values"] = values[np.ix_(order, order)].round(3).tolist()
    return found


def coverage(answers: Sequence[Answered], count: int) -> dict[str, Any]:
    """Return the share of pairs that at least one answer is about, and how often each class was judged, at least."""
    pairs = {tuple(sorted(pair)) for one in answers for pair in combinations(one.items, 2)}
    times = Counter(item for one in answers for item in one.items)
    return {
        "coverage": len(pairs) / (count * (count - 1) // 2),
        "fewest": min((times[item] for item in range(count)), default=0),
    }


def agreement(answers: Sequence[Answered], task: str) -> dict[str, Any]:
    """Return how far raters agree about the questions that several were asked, and how many these are.

    Of triplets it is the share of pairs of raters that pick the same odd one, where chance gives 1/3; of ratings
    Krippendorff's alpha, where chance gives 0.
    """
    said: dict[tuple[int, ...], dict[str, float]] = defaultdict(dict)
    for one in answers:
        value = one.items[int(one.value)] if task == "triplets" else one.value
        said[tuple(sorted(one.items))][one.rater] = value
    shared = [list(one.values()) for one in said.values() if len(one) > 1]
    found: float | None = None
    if task == "ratings" and shared:
        numbers = np.repeat(np.arange(len(shared)), [len(one) for one in shared])
        found = alpha(np.array([float(value) for one in shared for value in one]), numbers)
    elif shared:
        same = sum(comb(times, 2) for values in shared for times in Counter(values).values())
        found = same / sum(comb(len(values), 2) for values in shared)
    return {"agreement": found, "shared": len(shared)}


def _is_number(value: object) -> TypeGuard[float]:
    """Tell whether JSON holds a number that a database can hold; neither NaN nor infinite."""
    return type(value) in (int, float) and abs(value) < _LARGEST  # type: ignore[arg-type]


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name, "")
    # JSON may hold halves of characters, which are no text.
    if not isinstance(value, str) or any("\ud800" <= one <= "\udfff" for one in value):
        raise ParameterError(f"{name} has to be text")
    return value


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _disk_full(_request: Request, _error: Exception) -> Response:
    message = (
        "your answer could not be kept, since the disk of the study is full; tell who runs it, and try again later"
    )
    return JSONResponse({"error": message}, 507)
