"""The file of a study: what people are asked, and what they answered, in an SQLite database.

Each answer is a transaction of its own, which is on the disk before it is acknowledged (write-ahead log, full
synchronisation). One process at a time may collect into a study; others may read it meanwhile. Nothing is deleted: an
answer that was taken back stays, marked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from simmatrix.choices import QUESTIONS, TASKS
from simmatrix.errors import OutputError, ParameterError, SourceError
from simmatrix.files import check_input, check_output_folder, check_regular, read_bytes, reading, write_atomically
from simmatrix.names import all_composed, is_name
from simmatrix.text import check_choice, some

_APPLICATION = 0x53694D78
_VERSION = 1
# A reader may see the file in the middle of a checkpoint: it looks again, so many times.
_LOOKS, _BETWEEN_LOOKS = 5, 0.02
FEWEST_CATCHES = 2
"""A rater who fails more than half of at least so many catch trials is left out of what is built."""
_LONGEST_ID = 64
# The arrays of C x C from which active triplets are drawn take about 1 GB then.
MOST_ACTIVE = 5000
"""The most classes of a study that chooses its triplets actively."""
# The first line of an export, a comment: what else the builders need to know of the study.
_MARK = "# simmatrix collect:"
_MARKED = re.compile(rf"{_MARK} method=(active|random) scale=(?:none|([^\s:,]+):([^\s:,]+)) left_out=(\d+)[\s,]*")

_SCHEMA = """
CREATE TABLE design (text TEXT NOT NULL, secret BLOB NOT NULL) STRICT;
CREATE TABLE participant (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token TEXT NOT NULL UNIQUE, consented REAL NOT NULL
) STRICT;
CREATE TABLE question (
    id INTEGER PRIMARY KEY, participant INTEGER NOT NULL REFERENCES participant, items TEXT NOT NULL,
    kind TEXT NOT NULL, asked REAL NOT NULL, is_done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX of_participant ON question (participant, is_done);
CREATE TABLE answer (
    id INTEGER PRIMARY KEY, question INTEGER NOT NULL REFERENCES question, value REAL, answered REAL NOT NULL,
    milliseconds INTEGER NOT NULL, is_undone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX of_question ON answer (question) WHERE NOT is_undone;
"""
# Every answer that counts as one: not skipped, not taken back, about a real question.
_COUNTED = """
SELECT participant.name, question.items, answer.value, answer.milliseconds, answer.answered
FROM answer JOIN question ON question.id = answer.question JOIN participant ON participant.id = question.participant
WHERE NOT answer.is_undone AND answer.value IS NOT NULL AND question.kind {kind} 'catch' ORDER BY answer.id
"""


class DiskFullError(OutputError):
    """An answer that could not be kept: it is not acknowledged."""


@dataclass(frozen=True)
class Design:
    """What a study asks, the same from its first to its last participant."""

    task: str  # one of `simmatrix.choices.TASKS`
    classes: tuple[str, ...]  # in label order
    scale: tuple[float, float] | None = None  # of ratings: the values for "not similar" and "the same"
    # Which question comes next: any ("random"), or the one of which least is known ("active"; see `web.questions`).
    method: str = "active"
    questions: int = 200  # how many each participant is asked, catch trials not counted
    consent: str = ""  # the text that participants agree to
    has_images: bool = False  # whether images are judged, and not names
    seed: int = 0  # what the order of questions is drawn with


class Participant(NamedTuple):
    """Someone who takes part, by the number in the file."""

    number: int
    name: str


class Question(NamedTuple):
    """What a participant is asked: classes by index, in the order shown. In a catch trial two of them are the same."""

    number: int
    items: tuple[int, ...]
    kind: str


class Answered(NamedTuple):
    """One answer that counts: the rater, the classes as shown, the value, and when it came."""

    rater: str
    items: tuple[int, ...]
    value: float
    milliseconds: int
    answered: float


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn SQLite's refusals into one message about the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL or "full" in str(error):
            raise DiskFullError("can't be written, the disk is full; free some room", path) from None
        raise SourceError(f"can't be read or written ({error}); check the file and its folder", path) from None
    except sqlite3.DatabaseError as error:
        raise SourceError(f"is no study, or a damaged one ({error}); check the path", path) from None


def _design_of(database: sqlite3.Connection, path: Path) -> Design:
    """Return the design that a study holds; refuse one of a later version."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise SourceError(
            f"is a study of version {version}, and this program reads version {_VERSION}; update simmatrix", path
        )
    try:
        found: dict[str, Any] = json.loads(database.execute("SELECT text FROM design").fetchone()[0])
        scale = found.pop("scale")
        return Design(**{**found, "classes": tuple(found["classes"]), "scale": tuple(scale) if scale else None})
    except (ValueError, LookupError, TypeError) as error:
        raise SourceError("is a damaged study; restore an earlier copy", path) from error


@contextmanager
def _reader(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a study for reading; others may collect into it meanwhile."""
    with _told(path):
        # The last to close the file removes the log beside it, which takes a handle that could write. Where nothing may
        # be written, there is no log.
        is_ours = os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)
        address = f"{path.resolve().as_uri()}?{'mode=rw' if is_ours else 'mode=ro&immutable=1'}"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as database:
            database.execute("PRAGMA query_only = ON")
            yield database


def _is_study(path: Path) -> bool:
    """Tell whether a file is a study; refuse other databases, and change nothing in them.

    The file is opened by SQLite alone: where this process closed a handle of its own, the system would end all locks
    that SQLite holds on the file, and other processes would take its log away.
    """
    check_regular(path)
    for looks_left in reversed(range(_LOOKS)):
        try:
            # Neither locked nor recovered: the number of the application is in the file itself from the start.
            address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(address, uri=True)) as database:
                (application,) = database.execute("PRAGMA application_id").fetchone()
            break
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                return False
            if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN:
                # Nobody in this process has it open, and Python says better why.
                check_input(path)
            if not looks_left:
                with _told(path):
                    raise
            time.sleep(_BETWEEN_LOOKS)
    if application != _APPLICATION:
        raise SourceError("is a database, but no study of simmatrix collect; name another file", path)
    return True


def read_design(path: Path) -> Design:
    """Return what a study asks. Raises `SourceError` if the file is no study, or one of a later version."""
    if not _is_study(path):
        raise SourceError("is no study of simmatrix collect; name another file", path)
    with _reader(path) as database:
        return _design_of(database, path)


class Text(NamedTuple):
    """Answers as text, in UTF-8, and what is known of the study that they are from."""

    raw: bytes  # rows with a header
    is_active: bool = False  # whether the questions were chosen by what was known of the classes before
    scale: tuple[float, float] | None = None  # the one that raters saw; None of triplets, or if unknown
    left_out: int = 0  # how many raters are left out, since they failed most catch trials


class Tally(NamedTuple):
    """All that a study holds at one moment."""

    design: Design
    answers: list[Answered]  # every answer that counts
    catches: list[Answered]  # the answers to catch trials
    # The raters who failed more than half of their catch trials, of two at least: their answers are left out.
    careless: tuple[str, ...]
    raters: int  # how many take part
    skipped: int  # how many questions were skipped
    kept: int  # how many answers there are of any kind, with those that were taken back


def tally(path: Path) -> Tally:
    """Read a study, by a connection of its own: others may collect into it meanwhile, also in this process."""
    with _reader(path) as database:
        design = _design_of(database, path)
        # One moment for all that is read: answers may come in meanwhile.
        database.execute("BEGIN")
        catches = _answers(database, "=")
        raters, skipped, kept = (
            int(database.execute(f"SELECT count(*) FROM {what}").fetchone()[0])  # noqa: S608 - these three
            for what in ("participant", "answer WHERE value IS NULL AND NOT is_undone", "answer")
        )
        return Tally(design, _answers(database), catches, _careless(catches, design), raters, skipped, kept)


def read_answers(path: Path, task: str) -> Text:
    """Return the answers of a study, of what was exported from one, or of any file that holds them as text.

    Raises `SourceError` if the file can't be read, or the study is about another task.
    """
    if _is_study(path):
        found = tally(path)
        if found.design.task != task:
            raise SourceError(f"is a study of {found.design.task}; build it with from_{found.design.task}", path)
        if not found.answers:
            raise SourceError("is a study without answers so far; build from it when people have answered", path)
        return _exported(found)
    raw = read_bytes(path)
    first = raw.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()
    if not first.startswith(_MARK):
        return Text(raw)
    try:
        marks = _MARKED.fullmatch(first)
        method, low, high, left_out = marks.groups()  # type: ignore[union-attr]
        return Text(raw, method == "active", (float(low), float(high)) if low else None, int(left_out))
    except (AttributeError, ValueError):
        message = "the comment that tells of the study is damaged; export the study again, or take the line out"
        raise SourceError(message, path, 1) from None


def export_study(path: Path, file: Path, *, force: bool = False) -> tuple[int, tuple[str, ...], int]:
    """Write the answers of a study that count as CSV, from which the same matrix is built as from the study.

    The first line is a comment with what else the builders need to know. Skipped questions, answers that were taken
    back and catch trials are not written, nor is any answer of a careless rater (`Tally.careless`). Returns how many
    answers were written, the raters who are left out, and how many answers were skipped, taken back or to catch trials,
    whoever gave them.
    """
    check_output_folder(file, is_new=not force)
    read_design(path)
    if file.exists() and file.samefile(path):
        raise OutputError("is the study itself; export to another file", file)
    found = tally(path)
    write_atomically(file, [_exported(found).raw])
    written = sum(one.rater not in found.careless for one in found.answers)
    return written, found.careless, found.kept - len(found.answers)


def _exported(found: Tally) -> Text:
    design, names = found.design, found.design.classes
    out = io.StringIO()
    scale = "none" if design.scale is None else ":".join(map(_number, design.scale))
    out.write(f"{_MARK} method={design.method} scale={scale} left_out={len(found.careless)}\n")
    plain = csv.writer(out, lineterminator="\n")
    # A row that begins with # would be read as a comment: its cells are quoted.
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    head = ["a", "b", "c", "odd"] if design.task == "triplets" else ["a", "b", "rating"]
    plain.writerow([*head, "rater", "milliseconds", "answered"])
    for one in found.answers:
        if one.rater in found.careless:
            continue
        shown = [names[item] for item in one.items]
        value = shown[int(one.value)] if design.task == "triplets" else _number(one.value)
        when = datetime.fromtimestamp(one.answered, UTC).isoformat(timespec="milliseconds")
        row = [*shown, value, one.rater, one.milliseconds, when]
        (quoted if shown[0].startswith("#") else plain).writerow(row)
    return Text(out.getvalue().encode(), design.method == "active", design.scale, len(found.careless))


def _number(value: float) -> str:
    return str(value).removesuffix(".0")


def _answers(database: sqlite3.Connection, kind: str = "<>") -> list[Answered]:
    rows = database.execute(_COUNTED.format(kind=kind)).fetchall()
    return [Answered(rater, tuple(json.loads(items)), *rest) for rater, items, *rest in rows]


def _is_failed(design: Design, one: Answered) -> bool:
    """Tell whether a catch trial was failed: two of its classes are the same, and the answer says otherwise."""
    if design.task == "ratings":
        assert design.scale is not None  # noqa: S101 - of ratings there is one
        low, high = design.scale
        # The upper quarter of the scale says "the same".
        return one.value < high - (high - low) / 4
    odd = one.items[int(one.value)]
    return one.items.count(odd) > 1


def _careless(catches: Sequence[Answered], design: Design) -> tuple[str, ...]:
    trials: dict[str, list[bool]] = {}
    for one in catches:
        trials.setdefault(one.rater, []).append(_is_failed(design, one))
    return tuple(
        name
        for name, failed in sorted(trials.items())
        if len(failed) >= FEWEST_CATCHES and sum(failed) * 2 > len(failed)
    )


class Study:
    """A study that is open for answers; nobody else can collect into it until it is closed.

    The file is made if it is not there; what it asks has to be the design that `designed` returns. `secret` is 32 bytes
    that only this file knows: links and tokens are made from them, and hold after a restart. Raises `SourceError` if
    the file is no study, of a later version, in use, or asks something else.
    """

    def __init__(self, path: Path, design: Design) -> None:
        self.path = path
        check_output_folder(path)
        if _is_there(path):
            _check_same(read_design(path), design, path)
        self.design = design
        self._lock = _locked(path)
        try:
            with _told(path):
                self._database = self._opened()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> sqlite3.Connection:
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        if is_new:
            # Who answers what is nobody's business on this machine but the owner's.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        if is_new:
            # Before there is a log: these stand in the file itself, whenever the process ends.
            text = json.dumps(asdict(self.design), ensure_ascii=False)
            database.executescript(
                f"BEGIN; PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION}; {_SCHEMA}"
            )
            database.execute("INSERT INTO design VALUES (?, ?)", (text, secrets.token_bytes(32)))
            database.execute("COMMIT")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        (self.secret,) = database.execute("SELECT secret FROM design").fetchone()
        return database

    def close(self) -> None:
        """Close the file; what is in its log goes into it."""
        if hasattr(self, "_database"):
            with suppress(sqlite3.Error):
                self._database.close()
        with suppress(OSError):
            Path(self._lock.name).unlink()
        self._lock.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _told(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise

    def join(self, name: str = "") -> tuple[Participant, str]:
        """Let someone take part, who has agreed; return also the code by which only this participant can go on.

        Raises `ParameterError` if the id is taken, too long, or no text that can be shown.
        """
        name = all_composed([name.strip()])[0]
        if name and (len(name) > _LONGEST_ID or not is_name(name) or not name[0].isalnum()):
            raise ParameterError(
                f"an id has at most {_LONGEST_ID} characters, starts with a letter or a digit, and can be shown; "
                "choose another"
            )
        code = secrets.token_urlsafe(16)
        with self._transaction() as database:
            (number,) = database.execute("SELECT coalesce(max(id), 0) + 1 FROM participant").fetchone()
            taken = {row[0] for row in database.execute("SELECT name FROM participant")}
            shown = name or next(one for at in count(number) if (one := f"anonymous-{at}") not in taken)
            if shown in taken:
                raise ParameterError(
                    f"the id {shown!r} is in use; go on with the code that belongs to it, or choose another id"
                )
            row = (number, shown, _hidden(code), time.time())
            database.execute("INSERT INTO participant VALUES (?, ?, ?, ?)", row)
        return Participant(number, shown), code

    def participant(self, code: str) -> Participant | None:
        """Return who goes by a code; None if nobody does."""
        row = self._database.execute("SELECT id, name FROM participant WHERE token = ?", (_hidden(code),)).fetchone()
        return Participant(*row) if row else None

    def open_question(self, who: Participant) -> Question | None:
        """Return the question that waits for an answer, if one does."""
        row = self._database.execute(
            "SELECT id, items, kind FROM question WHERE participant = ? AND NOT is_done ORDER BY id LIMIT 1", who[:1]
        ).fetchone()
        return Question(row[0], tuple(json.loads(row[1])), row[2]) if row else None

    def ask(self, who: Participant, items: Sequence[int], kind: str) -> Question:
        """Put a question to a participant."""
        with self._transaction() as database:
            return self._asked(database, who, items, kind)

    def _asked(self, database: sqlite3.Connection, who: Participant, items: Sequence[int], kind: str) -> Question:
        row = (who.number, json.dumps(list(items)), kind, time.time())
        number = database.execute(
            "INSERT INTO question (participant, items, kind, asked) VALUES (?, ?, ?, ?)", row
        ).lastrowid
        assert number is not None  # noqa: S101 - a row was inserted
        return Question(number, tuple(items), kind)

    def answer(
        self,
        who: Participant,
        number: int,
        value: float | int | None,
        milliseconds: int = 0,
        following: tuple[Sequence[int], str] | None = None,
    ) -> Question | None:
        """Keep an answer, None for a question that is skipped, and put the next question, in one transaction.

        A question that is answered already, in another window, keeps its answer. When this returns, the answer is on
        the disk. Returns the question that waits now; None if the participant is done. Raises `ParameterError` if it is
        no question of this participant or no answer to it, and `DiskFullError` if the answer is not kept.
        """
        with self._transaction() as database:
            row = database.execute(
                "SELECT items, is_done FROM question WHERE id = ? AND participant = ?", (number, who.number)
            ).fetchone()
            if row is None:
                raise ParameterError("this is no question of yours; load the page again")
            if value is not None and self.design.task == "triplets" and value not in (0, 1, 2):
                raise ParameterError("the odd one is the first, the second or the third of three; choose one of them")
            scale = self.design.scale
            if value is not None and scale is not None and not scale[0] <= value <= scale[1]:
                raise ParameterError(f"a rating is from {scale[0]:g} to {scale[1]:g}; choose one of these")
            if not row[1]:
                database.execute(
                    "INSERT INTO answer (question, value, answered, milliseconds) VALUES (?, ?, ?, ?)",
                    (number, value, time.time(), milliseconds),
                )
                database.execute("UPDATE question SET is_done = 1 WHERE id = ?", (number,))
            if waiting := self.open_question(who):
                return waiting
            return self._asked(database, who, *following) if following else None

    def undo(self, who: Participant) -> bool:
        """Take a participant's last answer back, so that its question waits again; tell whether there was one."""
        with self._transaction() as database:
            row = database.execute(
                "SELECT answer.id, question.id FROM answer JOIN question ON question.id = answer.question "
                "WHERE participant = ? AND NOT is_undone ORDER BY answer.id DESC LIMIT 1",
                who[:1],
            ).fetchone()
            if row is None:
                return False
            database.execute("UPDATE answer SET is_undone = 1 WHERE id = ?", row[:1])
            database.execute("UPDATE question SET is_done = 0 WHERE id = ?", row[1:])
        return True

    def done(self, who: Participant) -> int:
        """Return how many questions a participant has answered or skipped."""
        row = self._database.execute(
            "SELECT count(*) FROM question WHERE participant = ? AND is_done", who[:1]
        ).fetchone()
        return int(row[0])

    def asked(self, who: Participant) -> list[tuple[int, ...]]:
        """Return what a participant was asked, in the order shown."""
        rows = self._database.execute("SELECT items FROM question WHERE participant = ? ORDER BY id", who[:1])
        return [tuple(json.loads(row[0])) for row in rows]

    def answers(self) -> list[Answered]:
        """Return every answer that counts."""
        with _told(self.path):
            return _answers(self._database)


def _hidden(code: str) -> str:
    """Return what the file keeps of a code: nobody who reads the file can go on as someone else."""
    return hashlib.sha256(code.encode()).hexdigest()


_FIELDS = {
    "task": "the task",
    "scale": "the scale",
    "has_images": "questions about",
    "method": "questions that are",
    "questions": "a number of questions of",
    "consent": "the text of consent",
}


def _check_same(found: Design, wanted: Design, path: Path) -> None:
    """Refuse to go on with a study under another design than it was begun with."""
    if found.classes != wanted.classes:
        lacking = sorted({*wanted.classes} ^ {*found.classes})
        which = f"they differ in {some(lacking)}" if lacking else "they are in another order"
        raise SourceError(
            f"is a study of other classes ({which}); give the list that it was begun with, or begin another study", path
        )
    for field, name in _FIELDS.items():
        old, new = getattr(found, field), getattr(wanted, field)
        if old != new:
            differs = "another text of consent" if field == "consent" else f"{name} {_shown(old)}, not {_shown(new)}"
            raise SourceError(f"was begun with {differs}; leave that option out, or begin another study", path)


def designed(
    path: Path,
    *,
    classes: tuple[str, ...] | None = None,
    task: str | None = None,
    scale: str | None = None,
    has_images: bool | None = None,
    consent: str | None = None,
    questions: int | None = None,
    method: str | None = None,
) -> Design:
    """Return the design of a study: what its file says with what is given in its place, or a new one.

    The file need not be there yet. All else is as in `Design`, None where nothing is said: triplets are chosen actively
    then, and ratings at random. Raises `ParameterError` if a new study has no classes or too few or many, or no task,
    ratings have no scale with two ends, or triplets have one.
    """
    from simmatrix.builders.square import parsed_scale

    given = {
        "classes": classes,
        "task": task,
        "scale": parsed_scale(scale),
        "has_images": has_images,
        "consent": consent,
        "questions": questions,
        "method": method,
    }
    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if _is_there(path):
        return replace(read_design(path), **told)
    if classes is None or task is None:
        raise ParameterError(f"there is no study {path} yet; to begin it, give classes and a task (--classes, --task)")
    check_choice("task", task, TASKS)
    if method is not None:
        check_choice("method", method, QUESTIONS)
    if task == "ratings" and scale is None:
        raise ParameterError('ratings need a scale with two ends; give it, as scale="1:7"')
    if task == "triplets" and scale is not None:
        raise ParameterError("a scale is for ratings; of triplets the odd one is picked, leave it out")
    if task == "triplets" and len(classes) < 3:
        raise ParameterError(f"triplets need three classes at least, there are {len(classes)}; add classes")
    if len(classes) < 2:
        raise ParameterError(f"ratings need two classes at least, there are {len(classes)}; add classes")
    # Ratings of pairs chosen actively give no better matrix for the same number of answers (docs/collect.md).
    told.setdefault("method", "random" if task == "ratings" else "active")
    if task == "triplets" and told["method"] == "active" and len(classes) > MOST_ACTIVE:
        raise ParameterError(
            f"triplets are chosen actively among {MOST_ACTIVE:,} classes at most, there are {len(classes):,}; draw "
            "them at random (--choose random)"
        )
    return Design(**told)


def _is_there(path: Path) -> bool:
    """Tell whether something is in a file, which then has to be a study."""
    with reading(path):
        return path.exists() and not (path.is_file() and path.stat().st_size == 0)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ":".join(f"{end:g}" for end in value)
    return ("pictures" if value else "names") if isinstance(value, bool) else str(value)


def _locked(path: Path) -> io.BufferedRandom:
    """Take the lock beside a study, which ends with the process.

    Not a lock of the file itself: SQLite's own end when any other handle to it is closed.
    """
    import fcntl

    place = path.with_name(f"{path.name}-lock")
    for _ in range(3):
        try:
            lock = place.open("a+b")
        except OSError as error:
            raise OutputError(
                f"can't be written ({error.strerror}); check its folder, or write elsewhere", path
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            break
        if os.fstat(lock.fileno()).st_nlink:
            return lock
        # Its last owner removed it before we had the lock.
        lock.close()
    raise SourceError("is in use by another process; stop that one first", path)
