"""The pages of a study: what participants can do, and what they and strangers can't."""

import asyncio
import json
import re
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from simmatrix.errors import SourceError
from simmatrix.study import Answered, Design, Study, tally
from simmatrix.web.collect import Limits, agreement, coverage, link, study_app
from simmatrix.web.images import find_images
from simmatrix.web.questions import Chooser

NAMES = ("rose", "tulip", "oak", "truck", "bus", "van")
TRIPLETS = Design("triplets", NAMES, method="random", questions=15)
RATINGS = Design("ratings", NAMES, scale=(1.0, 7.0), method="active", questions=12)
HOST = "http://127.0.0.1:8000"
PASSWORD = "correct horse"  # noqa: S105
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class Visitor:
    """A browser: it keeps cookies, and sends the token of the page that it has."""

    def __init__(self, app: Any, root: str = "") -> None:
        self.client, self.root = TestClient(app, base_url=HOST), root
        self.token = self.page("/")

    def page(self, path: str) -> str:
        found = re.search(r'name="csrf" content="(\w+)"', self.client.get(self.root + path).text)
        return found[1] if found else ""

    def post(self, path: str, content: object, **headers: str) -> Any:
        sent = {"x-csrf-token": self.token, "origin": HOST, **headers}
        return self.client.post(self.root + path, content=json.dumps(content), headers=sent)

    def join(self, name: str = "") -> Any:
        return self.post("/join", {"agreed": True, "name": name})

    def state(self) -> Any:
        return self.client.get(f"{self.root}/question").json()


@contextmanager
def served(path: Path, design: Design, **options: Any) -> Iterator[tuple[Study, Any]]:
    with Study(path, design) as study:
        app = study_app(study, password=PASSWORD, **options)
        with TestClient(app, base_url=HOST):
            yield study, app


def test_a_participant_answers_skips_undoes_pauses_and_goes_on_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with served(path, TRIPLETS) as (_study, app):
        ann = Visitor(app)
        assert ann.client.get("/question").status_code == 401
        assert ann.post("/join", {"agreed": False}).json()["error"].startswith("nobody takes part without agreeing")
        code = ann.join("ann").json()["code"]
        state = ann.state()
        assert (state["done"], state["of"], len(state["items"])) == (0, 17, 3)
        first = state
        state = ann.post("/answer", {"question": state["question"], "value": 1, "milliseconds": 900}).json()
        assert (state["done"], ann.state()) == (1, state)
        assert ann.post("/undo", {}).json() == first
        ann.post("/answer", {"question": first["question"], "value": 2})
        ann.post("/answer", {"question": state["question"], "value": None})
        for wrong in (
            {"question": "1"},
            {"question": 1, "value": "2"},
            {"question": 1, "value": 7},
            {},
            {"question": 10**400},
        ):
            assert ann.post("/answer", wrong).status_code == 400
    # The server is started again, and the participant goes on in another browser.
    with served(path, TRIPLETS) as (study, app):
        again = Visitor(app)
        assert again.post("/resume", {"code": "wrong"}).status_code == 400
        again.post("/resume", {"code": code})
        state = again.state()
        assert state["done"] == 2
        while state["question"] is not None:
            state = again.post("/answer", {"question": state["question"], "value": 0, "milliseconds": 500}).json()
        # Each of the 15 questions, and the two catch trials that leaving somebody out takes.
        assert (state["done"], state["of"]) == (17, 17)
        who = study.participant(code)
        assert who is not None
        kinds = [study._database.execute("SELECT kind FROM question ORDER BY id").fetchall()[at][0] for at in range(17)]
        assert kinds == ["ask"] * 4 + ["catch", "ask", "common"] + ["ask"] * 6 + ["catch"] + ["ask"] * 3
        asked = study.asked(who)
        assert len({tuple(sorted(one)) for one in asked if len(set(one)) == 3}) == 15
        # One was skipped.
        assert len(study.answers()) == 14
        again.post("/leave", {})
        assert again.client.get("/question").status_code == 401


def test_no_participant_sees_or_changes_what_another_said(tmp_path: Path) -> None:
    with served(tmp_path / "study.db", TRIPLETS) as (study, app):
        ann, bob = Visitor(app), Visitor(app)
        ann.join("ann")
        bob.join("bob")
        question = ann.state()["question"]
        refused = bob.post("/answer", {"question": question, "value": 0})
        assert (refused.status_code, "no question of yours" in refused.text) == (400, True)
        ann.post("/answer", {"question": question, "value": 0})
        bob.post("/undo", {})
        assert len(study.answers()) == 1
        for path in ("/", "/question", "/dashboard"):
            assert "ann" not in bob.client.get(path).text
        assert bob.client.get("/dashboard/figures").status_code == 401
        assert bob.client.get("/dashboard/matrix").status_code == 401
        assert "is in use" in Visitor(app).join("ann").text


def test_races_give_each_rater_one_answer(tmp_path: Path) -> None:
    with served(tmp_path / "study.db", replace(TRIPLETS, questions=5)) as (study, app):
        visitors = [Visitor(app) for _ in range(4)]
        for number, one in enumerate(visitors):
            one.join(f"r{number}")

        def work(visitor: Visitor) -> None:
            # Each answer is sent twice, as by a double click.
            state = visitor.state()
            while state["question"] is not None:
                sent = {"question": state["question"], "value": 0}
                visitor.post("/answer", sent)
                state = visitor.post("/answer", sent).json()

        threads = [threading.Thread(target=work, args=[one]) for one in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = tally(study.path)
        for answers, times in ((found.answers, 5), (found.catches, 2)):
            assert sorted(one.rater for one in answers) == sorted(
                f"r{number}" for number in range(4) for _ in range(times)
            )


class _Elements(HTMLParser):
    """The names of all elements of a page, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts += data


def test_scripts_in_names_consent_and_ids_stay_text(tmp_path: Path) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    design = Design("triplets", (f"a{script}", *NAMES[:3]), method="random", questions=4, consent=f"Please {script}")
    with served(tmp_path / "study.db", design) as (_study, app):
        ann = Visitor(app)
        start = _Elements(ann.client.get("/").text)
        assert f"Please {script}" in start.texts
        ann.join(f"ann{script}")
        elements = _Elements(ann.client.get("/").text)
        assert f"ann{script}" in elements.texts
        # Our own script, and no more.
        assert (start.names.count("script"), elements.names.count("script")) == (1, 1)
        assert "img" not in start.names + elements.names
        answer = ann.client.get("/question")
        assert answer.headers["content-type"] == "application/json"
        state, shown = answer.json(), set[str]()
        while state["question"] is not None:
            shown |= {one["name"] for one in state["items"]}
            state = ann.post("/answer", {"question": state["question"], "value": 1}).json()
        assert f"a{script}" in shown
        login = Visitor(app)
        login.post("/dashboard/login", {"password": PASSWORD})
        assert login.client.get("/dashboard/figures").json()["by_rater"] == [[f"ann{script}", 4]]
    # What the pages make of JSON is text, too: nothing is ever read as HTML.
    for file in (Path(find_images.__code__.co_filename).parent / "static").glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", file.read_text())


def test_foreign_pages_large_bodies_and_wrong_content_are_refused(tmp_path: Path) -> None:
    with served(tmp_path / "study.db", TRIPLETS) as (study, app):
        ann = Visitor(app)
        ann.join()
        question = ann.state()["question"]
        sent = {"question": question, "value": 0}
        assert ann.post("/answer", sent, origin="http://evil.example").status_code == 403
        assert ann.post("/answer", sent, **{"x-csrf-token": "0"}).status_code == 403
        assert ann.client.get("/", headers={"host": "evil.example"}).status_code == 421
        # A gigabyte is refused by its announcement; without one, as soon as too much has come.
        assert ann.post("/answer", sent, **{"content-length": str(1 << 30)}).status_code == 413

        headers = {"x-csrf-token": ann.token, "origin": HOST}
        pieces = []

        async def endless() -> AsyncIterator[bytes]:
            while len(pieces) < 1000:
                pieces.append(b" " * (1 << 16))
                yield pieces[-1]

        async def sent_endlessly() -> httpx.Response:
            transport, cookies = httpx.ASGITransport(app=app), dict(ann.client.cookies)
            async with httpx.AsyncClient(transport=transport, base_url=HOST, cookies=cookies) as client:
                return await client.post("/answer", content=endless(), headers=headers)

        assert asyncio.run(sent_endlessly()).status_code == 413
        assert len(pieces) == 1
        for body in ("", "[]", "{", "[" * 100_000, '"x"', "null"):
            found = ann.client.post("/answer", content=body, headers=headers)
            assert (found.status_code, "no JSON object" in found.text) in ((400, True), (413, False)), body[:9]
        assert study.answers() == []


def test_what_comes_too_often_has_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("simmatrix.web.collect.time.monotonic", lambda: now)
    with served(tmp_path / "study.db", TRIPLETS) as (_study, app):
        guess = Visitor(app)
        tried = [guess.post("/dashboard/login", {"password": "x"}).status_code for _ in range(12)]
        assert tried == [403] * 10 + [429] * 2
        assert guess.post("/dashboard/login", {"password": PASSWORD}).status_code == 429
        now += 10.1
        assert guess.post("/dashboard/login", {"password": PASSWORD}).status_code == 200
        guess.join()
        assert [guess.client.get("/question").status_code for _ in range(61)] == [200] * 60 + [429]
    limits = Limits(1, 1.0)
    for number in range(20_000):
        limits.check(str(number))
    assert len(limits._buckets) == 10_000


def test_guesses_from_many_addresses_have_to_wait_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simmatrix.web.collect.time.monotonic", lambda: 0.0)
    with served(tmp_path / "study.db", TRIPLETS) as (_study, app):
        guess, tried = Visitor(app), []
        for number in range(50):
            monkeypatch.setattr("simmatrix.web.collect._address", lambda _, number=number: str(number))
            tried.append(guess.post("/dashboard/login", {"password": "x"}).status_code)
        assert tried == [403] * 40 + [429] * 10


def test_halves_of_characters_are_no_text(tmp_path: Path) -> None:
    with served(tmp_path / "study.db", TRIPLETS) as (_study, app):
        ann = Visitor(app)
        for path, name in (("/dashboard/login", "password"), ("/resume", "code"), ("/join", "name")):
            refused = ann.post(path, {"agreed": True, name: "\ud800"})
            assert (refused.status_code, refused.json()) == (400, {"error": f"{name} has to be text"})


def test_figures_keep_no_answer_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(_path: Path) -> dict[str, Any]:
        begun.set()
        assert may_end.wait(30)
        return {}

    monkeypatch.setattr("simmatrix.web.collect.tally", slow)
    monkeypatch.setattr("simmatrix.web.collect.figures", slow)
    with served(tmp_path / "study.db", TRIPLETS) as (_study, app):
        owner, ann = Visitor(app), Visitor(app)
        owner.post("/dashboard/login", {"password": PASSWORD})
        ann.join()
        state = ann.state()
        asked = threading.Thread(target=owner.client.get, args=["/dashboard/figures"])
        asked.start()
        assert begun.wait(30)
        assert ann.post("/answer", {"question": state["question"], "value": 0}).status_code == 200
        may_end.set()
        asked.join()


def test_a_proxy_of_another_name_is_ours_and_its_cookies_are_for_https_alone(tmp_path: Path) -> None:
    url = "https://study.example.org"
    with served(tmp_path / "study.db", TRIPLETS, is_public=True, public_url=url) as (study, app):
        root = link(study, is_public=True).rstrip("/")
        # A proxy that hands the name on, and one that names the address that it asks.
        for base in (url, "http://127.0.0.1:8000"):
            browser = TestClient(app, base_url=base, follow_redirects=False)
            first = browser.get(f"{root}/")
            token = re.search(r'name="csrf" content="(\w+)"', first.text)
            assert token is not None
            assert first.headers["set-cookie"].endswith("; Secure")
            sent = {
                "x-csrf-token": token[1],
                "origin": url,
                "cookie": first.headers["set-cookie"].partition(";")[0],
            }
            joined = browser.post(f"{root}/join", json={"agreed": True}, headers=sent)
            assert (joined.status_code, "; Secure" in joined.headers["set-cookie"]) == (200, True)
            refused = browser.post(
                f"{root}/join", json={"agreed": True}, headers={**sent, "origin": "https://evil.org"}
            )
            assert refused.status_code == 403
        for host in ("evil.example", ""):
            assert TestClient(app, base_url=HOST).get(f"{root}/", headers={"host": host}).status_code == 421
        assert TestClient(app, base_url=HOST).get("/").status_code == 404


def test_a_full_disk_is_told_and_nothing_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simmatrix.web.collect._ANSWERS", (1000, 1.0))
    design = Design("triplets", tuple(f"class {number}" for number in range(30)), method="random", questions=400)
    with served(tmp_path / "study.db", design) as (study, app):
        ann = Visitor(app)
        ann.join()
        state, said = ann.state(), 0
        # SQLite itself says that the disk is full: its file may not grow further.
        (pages,) = study._database.execute("PRAGMA page_count").fetchone()
        study._database.execute(f"PRAGMA max_page_count = {pages + 1}")
        while (answer := ann.post("/answer", {"question": state["question"], "value": 0})).status_code == 200:
            state, said = answer.json(), said + 1
        assert answer.status_code == 507
        assert "could not be kept, since the disk of the study is full" in answer.json()["error"]
        found = tally(study.path)
        assert len(found.answers) + len(found.catches) == said > 0
        study._database.execute("PRAGMA max_page_count = 1000000")
        assert ann.state() == state
        assert ann.post("/answer", {"question": state["question"], "value": 0}).status_code == 200


def test_elsewhere_every_page_lies_below_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with served(path, TRIPLETS, is_public=True) as (study, app):
        root = link(study, is_public=True).rstrip("/")
        assert re.fullmatch("/[0-9a-f]{32}", root)
        stranger = TestClient(app, base_url="http://lab.example")
        for page in ("/", "/question", "/dashboard", "/join", "/dashboard/figures", f"/{'0' * 32}/"):
            assert stranger.get(page).status_code == 404
        ann = Visitor(app, root)
        ann.join("ann")
        assert ann.state()["done"] == 0
        assert f'data-root="{root}"' in ann.client.get(f"{root}/").text
    with Study(path, TRIPLETS) as study:
        assert link(study, is_public=True) == f"{root}/"
        assert link(study, is_public=False) == "/"


def test_the_dashboard_tells_what_there_is(tmp_path: Path) -> None:
    with served(tmp_path / "study.db", TRIPLETS) as (study, app):
        owner = Visitor(app)
        assert 'id="password"' in owner.client.get("/dashboard").text
        assert owner.post("/dashboard/login", {"password": "wrong"}).status_code == 403
        assert owner.post("/dashboard/login", {"password": PASSWORD}).status_code == 200
        owner.token = owner.page("/dashboard")
        found = owner.client.get("/dashboard/figures").json()
        assert (found["answers"], found["agreement"], found["response"], found["coverage"]) == (0, None, None, 0)
        assert owner.client.get("/dashboard/matrix").status_code == 400
        for name in ("ann", "bob"):
            one = Visitor(app)
            one.join(name)
            state = one.state()
            while state["question"] is not None:
                # Always the first in the alphabet is odd, of a catch trial that which is there once.
                names = [item["name"] for item in state["items"]]
                odd = names.index(min(names, key=lambda one, names=names: (names.count(one), one)))
                sent = {"question": state["question"], "value": odd, "milliseconds": 2000}
                state = one.post("/answer", sent).json()
        found = owner.client.get("/dashboard/figures").json()
        assert (found["answers"], found["raters"], found["catches"], found["response"]) == (30, 2, 4, 2)
        assert found["agreement"] == 1
        assert found["shared"] >= 1
        matrix = owner.client.get("/dashboard/matrix").json()
        assert sorted(matrix["names"]) == sorted(NAMES)
        assert len(matrix["values"]) == 6
        assert tally(study.path).careless == ()


def test_figures_are_counted(tmp_path: Path) -> None:
    def said(rater: str, items: tuple[int, ...], value: float) -> Answered:
        return Answered(rater, items, value, 0, 0.0)

    three = [said("a", (0, 1, 2), 0), said("b", (2, 1, 0), 2), said("c", (0, 1, 2), 1), said("a", (0, 1, 3), 1)]
    # Of the three pairs of raters about 0, 1, 2 one agrees; one triplet has one answer alone.
    assert agreement(three, "triplets") == {"agreement": pytest.approx(1 / 3), "shared": 1}
    assert coverage(three, 5) == {"coverage": 0.5, "fewest": 0}
    # 300 of 1,000 raters differ from the others; their pairs are counted one by one.
    many = [said(str(number), (0, 1, 2), 0 if number < 700 else 1) for number in range(1000)]
    pairs_alike = sum((one < 700) == (other < 700) for one, other in combinations(range(1000), 2))
    tracemalloc.start()
    assert agreement(many, "triplets") == {"agreement": pairs_alike / (1000 * 999 // 2), "shared": 1}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Not one by one: a list of the 499,500 pairs takes 4 MB.
    assert peak < 1_000_000
    pairs = [said("a", (0, 1), 1), said("b", (1, 0), 1), said("a", (0, 2), 5), said("b", (0, 2), 5)]
    assert agreement(pairs, "ratings") == {"agreement": 1, "shared": 2}
    assert agreement(pairs[:1], "ratings") == {"agreement": None, "shared": 0}
    # Of ratings that are all alike alpha is undefined.
    assert agreement(pairs[:2], "ratings") == {"agreement": None, "shared": 1}


def test_pictures_are_served_by_number_and_nothing_else_is(tmp_path: Path) -> None:
    folder, secret = tmp_path / "images", tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    folder.mkdir()
    for name in NAMES[1:]:
        (folder / f"{name}.png").write_bytes(PIXEL)
    with pytest.raises(SourceError, match=r"images: has no picture for rose; add CLASS\.jpg, or a folder CLASS"):
        find_images(folder, NAMES)
    (folder / "rose").mkdir()
    for name in ("1.JPG", "2.png", "notes.txt", "3.svg"):
        (folder / "rose" / name).write_bytes(PIXEL)
    images = find_images(folder, NAMES)
    assert [path.name for path in images[0]] == ["1.JPG", "2.png"]
    (folder / "bus.png").unlink()
    (folder / "bus.png").symlink_to(secret)
    with pytest.raises(SourceError, match=r"the picture bus\.png is a link out of the folder"):
        find_images(folder, NAMES)
    with pytest.raises(SourceError, match="there is no such file"):
        find_images(tmp_path / "none", NAMES)
    with served(tmp_path / "study.db", replace(TRIPLETS, has_images=True), images=images) as (_study, app):
        ann = Visitor(app)
        ann.join()
        state = ann.state()
        # Neither the address nor the text tells the class.
        assert not any(name in json.dumps(state["items"]) for name in NAMES)
        for item in state["items"]:
            found = ann.client.get(f"/{item['image']}")
            assert found.headers["content-type"] in ("image/png", "image/jpeg")
        for path in (
            "/image/0/9",
            "/image/99/0",
            "/image/-1/0",
            "/image/0/../../secret.png",
            "/image/..%2f..%2fsecret.png/0",
            "/image/%2e%2e/%2e%2e/secret.png",
            "/image/0/0%00",
            "/static/../collect.py",
            "/static/..%2fcollect.py",
            "/static/%2e%2e/collect.py",
        ):
            assert ann.client.get(path).status_code in (404, 405), path


def test_every_pair_is_asked_before_any_is_asked_twice(tmp_path: Path) -> None:
    with Study(tmp_path / "study.db", replace(RATINGS, questions=5)) as study:
        chooser = Chooser(study)
        for number in range(3):
            who, _ = study.join(f"r{number}")
            kinds = ""
            for _ in range(7):
                items, kind = chooser.following(who) or ((), "")
                kinds += kind[0]
                study.answer(who, study.ask(who, items, kind).number, 4)
                if kind == "ask":
                    chooser.answered(items)
            assert (kinds, chooser.following(who)) == ("acaaaca", None)
        assert len({tuple(sorted(one.items)) for one in study.answers()}) == 15
