"""The votes of a study in SQLite: raters' links, consent, and one vote for each rater, page and question.

The journal is a write-ahead log with ``synchronous=NORMAL``: a killed process loses nothing that was written, and a
power failure may lose the last votes. A vote that was taken back stays in the file and counts no more.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from benchbench.errors import CorruptError, RunError, UsageError
from benchbench.runtime.hashing import digest
from benchbench.study.design import Study

FILE = "votes.sqlite"
TOKEN_BYTES = 16
TABLES = """
CREATE TABLE IF NOT EXISTS access (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (slot INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, code TEXT UNIQUE, agreed REAL);
CREATE TABLE IF NOT EXISTS votes (
    number INTEGER PRIMARY KEY, slot INTEGER NOT NULL, position INTEGER NOT NULL, question INTEGER NOT NULL,
    answer TEXT NOT NULL, milliseconds INTEGER, time REAL NOT NULL, undone REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_vote ON votes (slot, position, question) WHERE undone IS NULL;
"""
Outcome = Literal["stored", "known", "refused"]


class Place(NamedTuple):
    """A question of a page: the page's number in the rater's order, and the question's number, both from 0."""

    position: int
    question: int


class StoredVote(NamedTuple):
    """A vote that counts. ``milliseconds`` is the time that the page was shown, or None where it is not known."""

    slot: int
    position: int
    question: int
    answer: str
    milliseconds: int | None
    time: float


class VoteStore:
    """The votes of one study. One thread at a time uses an object; several processes may use one file."""

    def __init__(self, path: Path | str, study: Study) -> None:
        """Opens or makes the file; ``:memory:`` keeps votes in memory. Raises CorruptError, RunError."""
        self.study, self.path = study, path
        if isinstance(path, Path):
            path.touch(mode=0o600)
        try:
            self._sql = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=NORMAL")
            self._sql.executescript(TABLES)
            self._begin()
        except sqlite3.DatabaseError as error:
            raise CorruptError(
                f"the votes {path} cannot be read", str(error), "put back a copy of the study's folder"
            ) from error

    def _begin(self) -> None:
        """Writes the links of all raters at the first start. Raises CorruptError for another study's votes."""
        identity = digest(self.study.model_dump(mode="json"))
        with self._transaction():
            known = self.access("study")
            if known is None:
                access = {"study": identity, "admin": _token(), "join": _token(), "completion": secrets.token_hex(4)}
                self._sql.executemany("INSERT INTO access VALUES (?, ?)", access.items())
                rows = [(slot, _token()) for slot in range(self.study.raters)]
                self._sql.executemany("INSERT INTO raters (slot, token) VALUES (?, ?)", rows)
        if known not in (None, identity):
            raise CorruptError(
                f"{self.path} holds the votes of another study",
                f"they belong to study {known}, and study.json is {identity}",
                "put back the study.json that was voted on",
            )

    def close(self) -> None:
        """Closes the file."""
        self._sql.close()

    def access(self, name: str) -> str | None:
        """Returns the ``admin`` or ``join`` token, or the ``completion`` code."""
        found = self._sql.execute("SELECT value FROM access WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def tokens(self) -> list[str]:
        """Returns the token of each rater's link."""
        return [token for (token,) in self._sql.execute("SELECT token FROM raters ORDER BY slot")]

    def slot(self, token: str) -> int | None:
        """Returns the number of the rater with this link, or None."""
        found = self._sql.execute("SELECT slot FROM raters WHERE token = ?", (token,)).fetchone()
        return found[0] if found else None

    def join(self, code: str | None) -> str | None:
        """Returns the token of a free rater, or of the one who came with this code before; None where none is free.

        The rater gets a new token, so that nobody who was sent the former link shares the place.
        """
        with self._transaction():
            if code is not None:
                known = self._sql.execute("SELECT token FROM raters WHERE code = ?", (code,)).fetchone()
                if known:
                    return str(known[0])
            free = self._sql.execute(
                "SELECT slot FROM raters WHERE agreed IS NULL AND code IS NULL ORDER BY slot LIMIT 1"
            ).fetchone()
            if free is None:
                return None
            token = _token()
            self._sql.execute(
                "UPDATE raters SET token = ?, code = ? WHERE slot = ?", (token, code or f"joined {token[:6]}", free[0])
            )
            return token

    def agree(self, slot: int) -> None:
        """Stores that a rater has read the consent text and agrees."""
        with self._transaction():
            self._sql.execute("UPDATE raters SET agreed = coalesce(agreed, ?) WHERE slot = ?", (time.time(), slot))

    def agreed(self, slot: int) -> bool:
        """Returns whether a rater has agreed to the consent text."""
        found = self._sql.execute("SELECT agreed FROM raters WHERE slot = ?", (slot,)).fetchone()
        return found is not None and found[0] is not None

    def place(self, slot: int) -> Place | None:
        """Returns the question that a rater answers next, or None where all are answered."""
        votes = self._sql.execute("SELECT count(*) FROM votes WHERE slot = ? AND undone IS NULL", (slot,)).fetchone()[0]
        place = Place(*divmod(votes, len(self.study.questions)))
        return place if place.position < len(self.study.assignment[slot]) else None

    def cast(self, slot: int, place: Place, answer: str, milliseconds: int | None = None) -> Outcome:
        """Stores a vote: ``stored``; ``known`` where this question is answered already, whose answer then stays.

        ``refused``: the question is not the rater's next one, the answer is none of the study's, or the rater has not
        agreed to the consent text. Raises RunError where the file cannot be written.
        """
        if answer not in self.study.buttons:
            return "refused"
        with self._transaction():
            following = self.place(slot) if self.agreed(slot) else None
            if following == place:
                self._sql.execute(
                    "INSERT INTO votes VALUES (NULL, ?, ?, ?, ?, ?, ?, NULL)",
                    (slot, *place, answer, milliseconds, time.time()),
                )
                return "stored"
            known = self._sql.execute(
                "SELECT 1 FROM votes WHERE slot = ? AND position = ? AND question = ? AND undone IS NULL",
                (slot, *place),
            ).fetchone()
        return "known" if known else "refused"

    def undo(self, slot: int, place: Place) -> bool:
        """Takes back a rater's last vote if it is the one at ``place``, and returns whether it was."""
        with self._transaction():
            done = self._sql.execute(
                "UPDATE votes SET undone = ? WHERE slot = ? AND position = ? AND question = ? AND undone IS NULL AND "
                "number = (SELECT max(number) FROM votes WHERE slot = ? AND undone IS NULL)",
                (time.time(), slot, *place, slot),
            )
            return done.rowcount == 1

    def votes(self) -> list[StoredVote]:
        """Returns the votes that count, by rater and page."""
        rows = self._sql.execute(
            "SELECT slot, position, question, answer, milliseconds, time FROM votes WHERE undone IS NULL "
            "ORDER BY slot, position, question"
        )
        return [StoredVote(*row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Holds the right to write for the block, and writes all of it or nothing. Raises RunError."""
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise
            self._sql.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise RunError(
                f"the votes {self.path} cannot be written", str(error), "free space on the disk, then go on"
            ) from error


def _token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def stored_votes(folder: Path, study: Study) -> list[StoredVote]:
    """Returns the votes in a study's folder; none where it was not served yet."""
    if not (folder / FILE).is_file():
        return []
    store = VoteStore(folder / FILE, study)
    votes = store.votes()
    store.close()
    return votes


def read_votes(folder: Path, study: Study) -> list[StoredVote]:
    """Returns the votes in a study's folder. Raises UsageError where nobody has voted."""
    votes = stored_votes(folder, study)
    if not votes:
        served = (folder / FILE).is_file()
        raise UsageError(
            f"the study {study.name} has no votes",
            "nobody has answered yet" if served else "it was not served yet",
            f"send raters their links: bench study serve {folder}",
        )
    return votes
