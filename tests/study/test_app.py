"""The pages: what they show, whom they answer, and that hostile words and requests do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from benchbench.study.app import make_app
from benchbench.study.design import Study
from benchbench.study.vote_store import FILE, VoteStore
from tests.study.made import EVIL, make_study


class Served(NamedTuple):
    client: Any
    votes: VoteStore
    study: Study
    link: str  # of rater 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    texts = {"prompts": tuple(f"{EVIL} {n}" for n in range(3)), "questions": (f"Which {EVIL}?", "Second?")}
    study = make_study(tmp_path, consent=f"First\nSecond {EVIL}", **texts)
    votes = VoteStore(tmp_path / FILE, study)
    with TestClient(make_app(study, tmp_path, votes)) as client:
        yield Served(client, votes, study, f"/r/{votes.tokens()[0]}")
    votes.close()


def vote(served: Served, position: object, question: object, answer: str = "left", **fields: object) -> Any:
    form = {"position": position, "question": question, "answer": answer, **fields}
    return served.client.post(f"{served.link}/vote", data=form)


def test_consent_comes_first_and_without_it_nothing_counts(served: Served) -> None:
    page = served.client.get(served.link).text
    assert "I agree" in page and "Second" in page
    assert vote(served, 0, 0).status_code == 409
    agreed = served.client.post(f"{served.link}/agree")
    assert "1 of" not in agreed.text and "0 of" in agreed.text and served.votes.agreed(0)


def test_every_text_is_escaped(served: Served) -> None:
    pages = [served.client.get(served.link).text, served.client.post(f"{served.link}/agree").text]
    for page in pages:
        assert "<script>alert" not in page and "\x1b" not in page
        assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert re.findall(r"<script[^>]*>", pages[1]) == ['<script src="/static/study.js">']
    assert not re.search(r"style=|onclick|<style|https?://", "".join(pages))


def test_two_questions_a_page_then_the_next_pair(served: Served) -> None:
    served.client.post(f"{served.link}/agree")
    page = vote(served, 0, 0, milliseconds=1234).text
    assert "Second?" in page
    page = vote(served, 0, 1, "draw", milliseconds="-5").text
    assert "Which" in page and 'name="position" value="1"' in page
    assert [(v.answer, v.milliseconds) for v in served.votes.votes()] == [("left", 1234), ("draw", None)]


def test_two_tabs_do_not_vote_twice(served: Served) -> None:
    """The second tab's vote leads on to the next page, and the first answer stays."""
    served.client.post(f"{served.link}/agree")
    vote(served, 0, 0, "left")
    second = vote(served, 0, 0, "right")
    assert second.status_code == 200 and "Second?" in second.text
    assert [v.answer for v in served.votes.votes()] == ["left"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"position": 5, "question": 0, "answer": "left"}, 409),
        ({"position": 0, "question": 0, "answer": "bad"}, 409),
        ({"position": 0, "question": 0}, 409),
        ({"position": "x", "question": 0, "answer": "left"}, 400),
        ({"answer": "left"}, 400),
        ({"position": 0, "question": 0, "answer": "left" * 2000}, 413),
    ],
)
def test_a_wrong_form_is_refused(served: Served, fields: dict[str, object], status: int) -> None:
    served.client.post(f"{served.link}/agree")
    assert served.client.post(f"{served.link}/vote", data=fields).status_code == status
    assert served.votes.votes() == []


def test_undo_takes_back_the_last_answer_only(served: Served) -> None:
    served.client.post(f"{served.link}/agree")
    page = vote(served, 0, 0).text
    assert "Undo" in page
    served.client.post(f"{served.link}/undo", data={"position": 3, "question": 0})
    assert len(served.votes.votes()) == 1
    page = served.client.post(f"{served.link}/undo", data={"position": 0, "question": 0}).text
    assert served.votes.votes() == [] and "Undo" not in page


@pytest.mark.parametrize(
    "path",
    ["/", "/r/none", "/r/none/vote", "/admin/none", "/join/none", "/pictures/none.webp", "/pictures/..%2Fstudy.json",
     "/pictures/../study.json", "/static/../app.py", "/static/..%2Fapp.py", "/static/%2e%2e/design.py"],
)  # fmt: skip
def test_wrong_tokens_and_other_files_are_not_found(served: Served, path: str) -> None:
    assert served.client.get(path).status_code in (404, 405)
    assert served.client.post(path).status_code in (404, 405)


def test_the_admin_page_needs_its_own_token(served: Served) -> None:
    token = served.link.removeprefix("/r/")
    assert served.client.get(f"/admin/{token}").status_code == 404
    assert served.client.get(f"/admin/{served.votes.access('join')}").status_code == 404
    page = served.client.get(f"/admin/{served.votes.access('admin')}")
    assert page.status_code == 200 and "0 of" in page.text and token not in page.text


def test_every_answer_has_safe_headers_and_pages_are_not_kept(served: Served) -> None:
    picture = f"/pictures/{served.study.pictures[0].file}"
    for path in (served.link, picture, "/r/none", "/static/study.js"):
        headers = served.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert served.client.get(served.link).headers["cache-control"] == "no-store"
    assert served.client.get(picture).headers["content-type"] == "image/webp"


def test_a_participant_of_a_platform_comes_back_to_the_same_place(served: Served) -> None:
    join = f"/join/{served.votes.access('join')}"
    first, again = (served.client.get(f"{join}?PROLIFIC_PID=5f3a", follow_redirects=False) for _ in "12")
    assert first.status_code == 303 and first.headers["location"] == again.headers["location"]
    assert served.client.get(f"{join}?PROLIFIC_PID=%3Cb%3E").status_code == 400
    assert served.client.get(join).text.count("<form") == 1  # looking takes no place
    served.client.post(join)
    full = served.client.post(join)
    assert full.status_code == 410 and "No place is left" in full.text


def test_the_end_shows_the_completion_code(served: Served) -> None:
    served.client.post(f"{served.link}/agree")
    while (place := served.votes.place(0)) is not None:
        page = vote(served, *place, "draw")
    assert str(served.votes.access("completion")) in page.text


def test_votes_that_cannot_be_written_say_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.errors import RunError

    def fail(*_: object) -> None:
        raise RunError("p", "c", "r")

    served.client.post(f"{served.link}/agree")
    monkeypatch.setattr(served.votes, "cast", fail)
    answer = vote(served, 0, 0)
    assert answer.status_code == 503 and "not stored" in answer.text
