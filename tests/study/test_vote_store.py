"""Votes: only the next question's, once, taken back only as the last; and what another study's file says."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from benchbench.errors import CorruptError, RunError, UsageError
from benchbench.study.sketch import sketch
from benchbench.study.vote_store import FILE, Place, VoteStore, read_votes

STUDY = sketch(2, 2, 1, questions=("Q?", "R?"))


@pytest.fixture
def votes() -> VoteStore:
    store = VoteStore(":memory:", STUDY)
    store.agree(0)
    return store


def test_a_vote_is_stored_once_and_in_order(votes: VoteStore) -> None:
    assert votes.place(0) == Place(0, 0)
    assert votes.cast(0, Place(0, 0), "left", 1500) == "stored"
    assert votes.cast(0, Place(0, 0), "right") == "known"
    assert votes.place(0) == Place(0, 1)
    assert votes.cast(0, Place(1, 0), "right") == "refused"  # the second question comes first
    assert [(v.position, v.question, v.answer, v.milliseconds) for v in votes.votes()] == [(0, 0, "left", 1500)]


def test_what_was_not_assigned_is_refused(votes: VoteStore) -> None:
    assert votes.cast(1, Place(0, 0), "left") == "refused"  # no consent
    assert votes.cast(0, Place(0, 0), "bad") == "refused"  # no answer of this study
    assert votes.cast(0, Place(99, 0), "left") == "refused"
    assert votes.cast(7, Place(0, 0), "left") == "refused"
    assert votes.votes() == []


def test_all_pages_end_in_no_place(votes: VoteStore) -> None:
    while (place := votes.place(0)) is not None:
        assert votes.cast(0, place, "draw") == "stored"
    assert len(votes.votes()) == 2 * len(STUDY.assignment[0])
    assert votes.cast(0, Place(len(STUDY.assignment[0]), 0), "draw") == "refused"


def test_only_the_last_vote_is_taken_back_and_it_stays_in_the_file(votes: VoteStore) -> None:
    for place in (Place(0, 0), Place(0, 1)):
        votes.cast(0, place, "left")
    assert not votes.undo(0, Place(0, 0))
    assert votes.undo(0, Place(0, 1)) and not votes.undo(0, Place(0, 1))
    assert votes.place(0) == Place(0, 1)
    assert votes.cast(0, Place(0, 1), "right") == "stored"
    assert [v.answer for v in votes.votes()] == ["left", "right"]
    assert votes._sql.execute("SELECT count(*) FROM votes").fetchone() == (3,)


def test_places_are_given_once_and_the_same_code_comes_back_to_its_own(votes: VoteStore) -> None:
    sent = votes.tokens()
    link = votes.join("abc")
    assert link is not None and votes.slot(link) == 1 and votes.join("abc") == link
    assert votes.slot(sent[1]) is None  # whoever was sent this link does not share the place
    assert votes.join(None) is None and votes.join("def") is None  # rater 0 has agreed already
    assert len({*sent, link, votes.access("admin"), votes.access("join")}) == 5


def test_the_file_is_its_owners_and_another_studys_is_refused(tmp_path: Path) -> None:
    VoteStore(tmp_path / FILE, STUDY).close()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    with pytest.raises(CorruptError, match="another study"):
        VoteStore(tmp_path / FILE, sketch(2, 3, 1))
    (tmp_path / "x.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(CorruptError, match="cannot be read"):
        VoteStore(tmp_path / "x.sqlite", STUDY)
    with pytest.raises(UsageError, match="has no votes"):
        read_votes(tmp_path, STUDY)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / FILE, STUDY)
    store.agree(0)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._sql.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(RunError, match="cannot be written"):
        store.cast(0, Place(0, 0), "left")
    other.execute("ROLLBACK")
    assert store.cast(0, Place(0, 0), "left") == "stored"
