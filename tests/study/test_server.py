"""A real server that is killed while raters answer loses and doubles no vote."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchbench.study.design import Study
from benchbench.study.panel import Panel, vote
from benchbench.study.vote_store import FILE, VoteStore
from tests.study.made import make_study
from tests.study.server import Rater, Server, free_port


def answer_through_http(folder: Path, study: Study, panel: Panel, kills: int, seconds_between: float) -> list[Rater]:
    """Lets one thread a rater answer everything while the server is killed with SIGKILL and started again."""
    utilities = np.random.default_rng(0).normal(size=len(study.pictures)).tolist()
    votes = VoteStore(folder / FILE, study)
    tokens = votes.tokens()
    votes.close()
    server = Server(folder, free_port())
    server.start()
    raters = [Rater(server.address, token, slot, study, utilities, panel) for slot, token in enumerate(tokens)]
    failures: list[BaseException] = []

    def work(rater: Rater) -> None:
        try:
            rater.begin()
            while rater.answer():
                pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(rater,)) for rater in raters]
    try:
        for thread in threads:
            thread.start()
        for _ in range(kills):
            time.sleep(seconds_between)
            assert any(thread.is_alive() for thread in threads), "all had finished before the kill"
            server.kill()
            server.start()
        for thread in threads:
            thread.join(300)
    finally:
        server.kill()
    assert failures == []
    return raters


def check_all_votes(folder: Path, study: Study, panel: Panel) -> None:
    """Compares the file with the votes of the same panel in this process: each once, none other, same answers."""
    utilities = np.random.default_rng(0).normal(size=len(study.pictures)).tolist()
    expected, found = VoteStore(":memory:", study), VoteStore(folder / FILE, study)
    vote(study, expected, utilities, panel)
    kept = ("slot", "position", "question", "answer")
    votes = [[tuple(getattr(v, name) for name in kept) for v in store.votes()] for store in (found, expected)]
    assert votes[0] == votes[1]
    found.close()


@pytest.mark.slow
def test_three_kills_lose_and_double_no_vote(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", raters=4, count=30, images=2)
    panel = Panel(clickers=1)
    answer_through_http(tmp_path / "s", study, panel, kills=3, seconds_between=0.4)
    check_all_votes(tmp_path / "s", study, panel)


@pytest.mark.long
def test_the_papers_size_with_three_kills(tmp_path: Path) -> None:
    """Two methods, 45 prompts with 5 images, ten raters: 2,250 votes besides repeats and checks."""
    study = make_study(tmp_path / "s", raters=10, count=45, images=5)
    panel = Panel(clickers=1)
    raters = answer_through_http(tmp_path / "s", study, panel, kills=3, seconds_between=4)
    check_all_votes(tmp_path / "s", study, panel)
    assert sum(len(pages) for pages in study.assignment) == 10 * (225 + 15 + 15)
    assert len(raters) == 10
