"""The file of a study: what it keeps, what it refuses, and what a killed process leaves."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

import simmatrix
from simmatrix.errors import OutputError, ParameterError, SimilarityError, SourceError
from simmatrix.study import MOST_ACTIVE, Design, DiskFullError, Study, designed, export_study, read_design, tally

NAMES = ("rose", "tulip", "oak", "truck")
TRIPLETS = Design("triplets", NAMES, method="random")
RATINGS = Design("ratings", NAMES, scale=(1.0, 7.0), method="random")


def test_what_is_asked_and_answered_is_kept_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, TRIPLETS) as study:
        who, code = study.join("ann")
        secret, first = study.secret, study.ask(who, (2, 0, 1), "ask")
        second = study.answer(who, first.number, 0, 1200, ((3, 0, 1), "ask"))
        assert second is not None
        assert (study.done(who), study.open_question(who)) == (1, second)
    with Study(path, designed(path)) as study:
        assert (study.secret, study.participant(code), study.participant("other")) == (secret, who, None)
        assert study.open_question(who) == second
        assert study.answer(who, second.number, None) is None
        assert [(one.rater, one.items, one.value, one.milliseconds) for one in study.answers()] == [
            ("ann", (2, 0, 1), 0.0, 1200)
        ]
        found = tally(path)
        assert (found.skipped, found.raters, found.kept, study.done(who)) == (1, 1, 2, 2)
        assert study.asked(who) == [(2, 0, 1), (3, 0, 1)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["study.db"]


def test_undo_brings_the_question_back_and_keeps_what_was_said(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, RATINGS) as study:
        who, _ = study.join()
        assert (who.name, study.undo(who)) == ("anonymous-1", False)
        first = study.ask(who, (0, 1), "ask")
        second = study.answer(who, first.number, 2, 0, ((0, 2), "ask"))
        assert study.undo(who)
        assert study.open_question(who) == first
        # The next one waits behind it, so that none is put.
        assert study.answer(who, first.number, 6, 0, ((0, 3), "ask")) == second
        assert [one.value for one in study.answers()] == [6]
        assert study.asked(who) == [(0, 1), (0, 2)]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT value, is_undone FROM answer ORDER BY id").fetchall() == [(2, 1), (6, 0)]
    database.close()


def test_two_raters_racing_give_two_answers_and_two_windows_one(tmp_path: Path) -> None:
    with Study(tmp_path / "study.db", TRIPLETS) as study:
        people = [study.join(name)[0] for name in ("ann", "bob")]
        questions = [study.ask(who, (0, 1, 2), "common") for who in people]
        for who, question in zip(people, questions, strict=True):
            study.answer(who, question.number, 2)
            study.answer(who, question.number, 1)
        assert [(one.rater, one.value) for one in study.answers()] == [("ann", 2), ("bob", 2)]
        with pytest.raises(ParameterError, match="this is no question of yours"):
            study.answer(people[0], questions[1].number, 0)


def test_what_is_no_answer_is_refused(tmp_path: Path) -> None:
    for design, wrong in ((TRIPLETS, (-1, 3, 0.5, float("nan"))), (RATINGS, (0, 7.1, float("inf"), float("nan")))):
        with Study(tmp_path / f"{design.task}.db", design) as study:
            who, _ = study.join()
            question = study.ask(who, (0, 1, 2)[: 3 if design is TRIPLETS else 2], "ask")
            for value in wrong:
                with pytest.raises(ParameterError, match="choose one of the"):
                    study.answer(who, question.number, value)
            assert study.open_question(who) == question


def test_ids_are_text_and_never_more(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, RATINGS) as study:
        sql = "x'); DROP TABLE answer; --"
        script = "a<script>alert(1)</script>"
        for name in (sql, script):
            who, _ = study.join(name)
            study.answer(who, study.ask(who, (0, 1), "ask").number, 7)
        with pytest.raises(ParameterError, match=r"the id .* is in use; go on with the code that belongs to it"):
            study.join(f" {sql} ")
        for name in ("=1+1", "@x", "a\nb", "a\x1b[1m", "x" * 65, "-rf"):
            with pytest.raises(ParameterError, match="an id has at most 64 characters"):
                study.join(name)
        assert [one.rater for one in study.answers()] == [sql, script]


def test_an_id_like_those_of_who_stays_anonymous_keeps_nobody_out(tmp_path: Path) -> None:
    with Study(tmp_path / "study.db", RATINGS) as study:
        names = [study.join(name)[0].name for name in ("anonymous-2", "", "", "anonymous-5", "")]
        assert names == ["anonymous-2", "anonymous-3", "anonymous-4", "anonymous-5", "anonymous-6"]


def test_the_matrix_is_that_of_the_export_and_of_counting(tmp_path: Path) -> None:
    path, csv = tmp_path / "study.db", tmp_path / "answers.csv"
    with Study(path, TRIPLETS) as study:
        who, _ = study.join("ann")
        for items, odd in (((0, 1, 2), 2), ((3, 0, 1), 0), ((2, 3, 0), 2), ((1, 2, 3), 0), ((1, 0, 2), None)):
            study.answer(who, study.ask(who, items, "ask").number, odd)
        study.answer(who, study.ask(who, (0, 0, 3), "catch").number, 2)
        # While it is collected, others read it.
        matrix = simmatrix.from_triplets(path, NAMES)
    assert export_study(path, csv) == (4, (), 2)
    assert csv.read_text().splitlines()[:2] == [
        "# simmatrix collect: method=random scale=none left_out=0",
        "a,b,c,odd,rater,milliseconds,answered",
    ]
    assert csv.read_text().splitlines()[3].startswith("truck,rose,tulip,truck,ann,0,20")
    again = simmatrix.from_triplets(csv, NAMES)
    assert (again.values == matrix.values).all()
    # rose and tulip are in two triplets, and left together in both.
    assert (matrix["rose", "tulip"], matrix["rose", "truck"], matrix["oak", "truck"]) == (1, 0, 1)
    assert matrix.provenance.params["triplets"] == 4
    with pytest.raises(OutputError, match="is there already"):
        export_study(path, csv)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="is the study itself; export to another file"):
        export_study(path, path, force=True)
    assert path.read_bytes() == before


def test_a_study_and_its_export_build_the_same_bytes(tmp_path: Path) -> None:
    names = ("#1", "tulip", "oak", "truck", "bus")
    active = Design("triplets", names, method="active")
    rated = Design("ratings", names, scale=(1.0, 7.5), method="random")
    (tmp_path / "exported").mkdir()
    for design, build in ((active, simmatrix.from_triplets), (rated, simmatrix.from_ratings)):
        path, csv = tmp_path / f"{design.task}.db", tmp_path / "exported" / f"{design.task}.db"
        with Study(path, design) as study:
            for name in ("ann", "bob", "careless"):
                who, _ = study.join(name)
                for items in combinations(range(5), 3 if design is active else 2):
                    study.answer(who, study.ask(who, items, "ask").number, 2)
                for _ in range(2):
                    items = (0, 0, 1) if design is active else (0, 0)
                    study.answer(who, study.ask(who, items, "catch").number, 2 if name != "careless" else 1)
        if design is rated:
            # All fail the catch trials of ratings but those whose answer is at the upper end.
            with sqlite3.connect(path) as database:
                database.execute(
                    "UPDATE answer SET value = 7.5 WHERE question IN (SELECT id FROM question WHERE kind = 'catch' AND "
                    "participant < 3)"
                )
            database.close()
        assert export_study(path, csv)[:2] == (20, ("careless",))
        bytes_of = []
        for source in (path, csv):
            built = tmp_path / f"{design.task}-{len(bytes_of)}.safetensors"
            simmatrix.save(build(source, names), built)
            bytes_of.append(built.read_bytes())
        assert bytes_of[0] == bytes_of[1]
        params = build(csv, names).provenance.params
        assert params["left_out_raters"] == 1
        # What was chosen by what was known is embedded, although each pair is in a triplet; ratings keep their scale.
        assert params["method"] == "embedding" if design is active else params["scale"] == [1, 7.5]
        csv.write_text(csv.read_text().replace("left_out=1", "left_out=one", 1))
        with pytest.raises(SourceError, match="line 1: the comment that tells of the study is damaged"):
            build(csv, names)


def test_no_reader_ends_the_locks_of_the_process_that_collects(tmp_path: Path) -> None:
    path, log = tmp_path / "study.db", tmp_path / "study.db-wal"
    export = "import sys; from pathlib import Path; from simmatrix.study import export_study as export; "
    command = [sys.executable, "-c", f"{export}export(Path(sys.argv[1]), Path(sys.argv[2]), force=True)"]
    with Study(path, TRIPLETS) as study:
        who, _ = study.join()
        for items in ((0, 1, 2), (0, 1, 3)):
            study.answer(who, study.ask(who, items, "ask").number, 2)
        for read in (
            read_design,
            designed,
            tally,
            lambda one: simmatrix.from_triplets(one, NAMES),
            lambda one: export_study(one, tmp_path / "answers.csv", force=True),
        ):
            read(path)
            before = log.stat().st_ino
            subprocess.run([*command, path, tmp_path / "other.csv"], check=True)
            # The other process has not taken itself for the last one, which would have removed the log.
            assert log.stat().st_ino == before
        with pytest.raises(SourceError, match="is in use"):
            Study(path, TRIPLETS)
        subprocess.run([*command, path, tmp_path / "other.csv"], check=True)
        assert log.stat().st_ino == before


def test_ratings_are_on_the_scale_that_the_raters_saw(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, RATINGS) as study:
        for name, extra in (("ann", 0), ("bob", 2)):
            who, _ = study.join(name)
            for number, pair in enumerate(((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (3, 2))):
                study.answer(who, study.ask(who, pair, "ask").number, 1 + number / 2 + extra)
    matrix = simmatrix.from_ratings(path, NAMES)
    # The mean of 1 and 3, and of 3.5 and 5.5, on the scale from 1 to 7.
    assert matrix["rose", "tulip"] == pytest.approx(1 / 6)
    assert matrix["oak", "truck"] == pytest.approx(3.5 / 6)
    assert (matrix.provenance.params["scale"], matrix.provenance.params["raters"]) == ([1, 7], 2)
    with pytest.raises(SourceError, match="is a study of ratings; build it with from_ratings"):
        simmatrix.from_triplets(path, NAMES)


def test_who_fails_most_catch_trials_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, TRIPLETS) as study:
        for name, catches in (("careful", (1, 1, 0)), ("careless", (0, 0, 1)), ("new", (0,))):
            who, _ = study.join(name)
            study.answer(who, study.ask(who, (0, 1, 2), "ask").number, 2)
            for odd in catches:
                # The second is the odd one.
                study.answer(who, study.ask(who, (2, 3, 2), "catch").number, odd)
        assert tally(study.path).careless == ("careless",)
    params = simmatrix.from_triplets(path, NAMES[:3]).provenance.params
    assert (params["triplets"], params["left_out_raters"]) == (2, 1)
    # Seven answers were to catch trials; that of the rater who is left out was neither skipped nor taken back.
    assert export_study(path, tmp_path / "a.csv") == (2, ("careless",), 7)
    with Study(tmp_path / "r.db", RATINGS) as study:
        who, _ = study.join("ann")
        for value in (5, 5.4, 7):
            study.answer(who, study.ask(who, (1, 1), "catch").number, value)
        assert tally(study.path).careless == ("ann",)


def test_files_that_are_no_study_of_this_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    Study(path, TRIPLETS).close()
    newer, other, text, empty = (tmp_path / name for name in ("newer.db", "other.db", "text.db", "torn.db"))
    newer.write_bytes(path.read_bytes())
    for file, statement in ((newer, "PRAGMA user_version = 2"), (other, "CREATE TABLE cookies (name TEXT)")):
        database = sqlite3.connect(file)
        database.execute(statement)
        database.close()
    text.write_text("rose,tulip,truck\n")
    empty.write_bytes(path.read_bytes()[:1000])
    for file, message in (
        (newer, "is a study of version 2, and this program reads version 1; update simmatrix"),
        (other, "is a database, but no study of simmatrix collect"),
        (text, "is no study of simmatrix collect"),
        (empty, "is no study, or a damaged one"),
        (tmp_path, "is a folder"),
    ):
        before = file.read_bytes() if file.is_file() else b""
        for use in (
            read_design,
            designed,
            lambda one: Study(one, TRIPLETS),
            lambda one: export_study(one, tmp_path / "x"),
        ):
            with pytest.raises(SimilarityError, match=message):
                use(file)
        if file is not text:
            with pytest.raises(SimilarityError, match=message):
                simmatrix.from_triplets(file, NAMES)
        assert not file.is_file() or file.read_bytes() == before
    # No log of a database is left beside one, and nothing is exported.
    assert {path.name for path in tmp_path.iterdir()} == {"study.db", "newer.db", "other.db", "text.db", "torn.db"}


def test_another_design_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    Study(path, RATINGS).close()
    for change, message in (
        ({"classes": (*NAMES[:3], "bus")}, "is a study of other classes (they differ in bus, truck); give"),
        ({"classes": NAMES[::-1]}, "(they are in another order)"),
        ({"scale": "0:10"}, "was begun with the scale 1:7, not 0:10; leave that option out"),
        ({"has_images": True}, "was begun with questions about names, not pictures; leave that option out"),
        ({"consent": "Hello"}, "was begun with another text of consent"),
        ({"task": "triplets"}, "was begun with the task ratings, not triplets"),
    ):
        with pytest.raises(SourceError) as caught:
            Study(path, designed(path, **change))  # type: ignore[arg-type]
        assert message in str(caught.value)
    assert designed(path, classes=NAMES, scale="1:7") == RATINGS


def test_a_new_study_needs_classes_a_task_and_a_scale_with_two_ends(tmp_path: Path) -> None:
    many = tuple(map(str, range(MOST_ACTIVE + 1)))
    for given, message in (
        ({}, "there is no study .*new.db yet; to begin it, give classes and a task"),
        ({"classes": NAMES}, "there is no study"),
        ({"classes": NAMES, "task": "ratings"}, 'ratings need a scale with two ends; give it, as scale="1:7"'),
        ({"classes": NAMES, "task": "ratings", "scale": "1:"}, "scale must be two numbers such as '0:10', got '1:'"),
        ({"classes": NAMES, "task": "triplets", "scale": "1:7"}, "a scale is for ratings"),
        ({"classes": NAMES[:2], "task": "triplets"}, "triplets need three classes at least, there are 2"),
        ({"classes": NAMES[:1], "task": "ratings", "scale": "1:7"}, "ratings need two classes at least, there are 1"),
        ({"classes": many, "task": "triplets"}, r"actively among 5,000 classes at most, there are 5,001; draw them at"),
        ({"classes": NAMES, "task": "pairs"}, "task must be 'triplets' or 'ratings', got 'pairs'"),
        ({"classes": NAMES, "task": "triplets", "method": "any"}, "method must be 'active' or 'random', got 'any'"),
    ):
        with pytest.raises(ParameterError, match=message):
            designed(tmp_path / "new.db", **given)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="does not exist; make it first"):
        Study(tmp_path / "none" / "new.db", TRIPLETS)
    new = tmp_path / "new.db"
    assert designed(new, classes=NAMES, task="triplets").method == "active"
    assert designed(new, classes=many, task="triplets", method="random").method == "random"
    assert designed(new, classes=NAMES, task="ratings", scale="1:7").method == "random"
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, TRIPLETS), pytest.raises(SourceError, match="is in use by another process; stop that one first"):
        Study(path, TRIPLETS)
    with Study(path, TRIPLETS) as study:
        _, code = study.join()
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path), code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(SourceError, match="is in use"):
        Study(path, TRIPLETS)
    process.kill()
    process.communicate()
    Study(path, TRIPLETS).close()


def test_on_a_full_disk_no_answer_is_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Study(path, TRIPLETS) as study:
        who, _ = study.join()
        questions = [study.ask(who, (0, 1, 2), "ask") for _ in range(500)]
        # SQLite itself says that the disk is full: its file may not grow further.
        (pages,) = study._database.execute("PRAGMA page_count").fetchone()
        study._database.execute(f"PRAGMA max_page_count = {pages + 1}")
        kept = 0
        with pytest.raises(DiskFullError, match="can't be written, the disk is full; free some room"):  # noqa: PT012
            for question in questions:
                study.answer(who, question.number, 1)
                kept += 1
        assert 0 < kept < len(questions)
        assert (len(study.answers()), study.open_question(who)) == (kept, questions[kept])
        study._database.execute("PRAGMA max_page_count = 1000000")
        study.answer(who, questions[kept].number, 1)
        assert len(study.answers()) == kept + 1


_WRITER = """
import sys
from pathlib import Path
from simmatrix.study import Design, Study, designed
path = Path(sys.argv[1])
with Study(path, designed(path)) as study:
    who = study.participant(sys.argv[2])
    question = study.open_question(who) or study.ask(who, (0, 1, 2), "ask")
    print("ready", flush=True)
    while True:
        number = question.number
        question = study.answer(who, number, 1, 0, ((0, 1, 3), "ask"))
        print(number, flush=True)
"""


# KILLS=100 tries as many moments.
@pytest.mark.parametrize("moments", [5, pytest.param(int(os.environ.get("KILLS", "30")), marks=pytest.mark.slow)])
def test_no_acknowledged_answer_is_lost_when_the_process_is_killed(tmp_path: Path, moments: int) -> None:
    path, chance = tmp_path / "study.db", random.Random(moments)
    with Study(path, TRIPLETS) as study:
        _, code = study.join()
    acknowledged: list[int] = []
    for _ in range(moments):
        command = [sys.executable, "-c", _WRITER, str(path), code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                process.wait(chance.uniform(0, 0.2))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
            lines = process.stdout.read().split("\n")
            # What follows the last line end was cut off.
            acknowledged += map(int, lines[:-1])
        assert process.returncode == -signal.SIGKILL
        database = sqlite3.connect(path)
        kept = [number for (number,) in database.execute("SELECT question FROM answer ORDER BY id")]
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        # At most the one that was on the disk, and not acknowledged yet, is more.
        assert set(acknowledged) <= set(kept)
        assert len(kept) - len(acknowledged) <= moments
    assert len(acknowledged) > moments


def test_a_study_in_a_folder_that_may_not_be_written_to_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.db"
    with Study(path, replace(TRIPLETS, consent="Hello")):
        pass
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert read_design(path).consent == "Hello"
    assert [one.name for one in tmp_path.iterdir()] == ["study.db"]
