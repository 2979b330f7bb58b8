"""A whole session by keyboard in Chromium, at a desk's and a phone's width; reloading, two raters, full size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchbench.study.design import Study
from benchbench.study.vote_store import FILE, StoredVote, VoteStore
from tests.report.test_browser import browser  # noqa: F401  # a fixture
from tests.report.test_screens import faults
from tests.study.made import EVIL, make_study
from tests.study.server import Server, free_port

pytestmark = pytest.mark.browser
KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "draw": "ArrowDown"}


class Open(NamedTuple):
    study: Study
    folder: Path
    server: Server
    links: list[str]

    def votes(self) -> list[StoredVote]:
        store = VoteStore(self.folder / FILE, self.study)
        found = store.votes()
        store.close()
        return found


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    texts = {
        "prompts": (f"a red square {EVIL}", "a prompt " + "of many words " * 40),
        "questions": ("Prefer?", "Fits?"),
    }
    study = make_study(tmp_path / "s", raters=2, count=2, images=1, **texts)
    store = VoteStore(tmp_path / "s" / FILE, study)
    server = Server(tmp_path / "s", free_port())
    links = [f"{server.address}/r/{token}" for token in store.tokens()]
    store.close()
    server.start()
    yield Open(study, tmp_path / "s", server, links)
    server.kill()


def visit(browser: Any, link: str, width: int = 1280, height: int = 800) -> tuple[Any, list[str]]:  # noqa: F811
    page = browser.new_page(viewport={"width": width, "height": height})
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(link[:20]) else errors.append(asked.url))
    page.goto(link)
    return page, errors


def press(page: Any, key: str) -> None:
    """Presses a key and waits for the page that it leads to."""
    with page.expect_navigation():
        page.keyboard.press(key)


def begin(page: Any) -> None:
    """Agrees to the consent text."""
    with page.expect_navigation():
        page.locator("button").click()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_a_whole_session_by_keyboard(browser: Any, opened: Open, width: int, height: int, tmp_path: Path) -> None:  # noqa: F811
    page, errors = visit(browser, opened.links[0], width, height)
    page.screenshot(path=tmp_path / f"consent-{width}.png")
    page.locator("button").focus()
    press(page, "Enter")
    answers = []
    for position, item in enumerate(opened.study.assignment[0]):
        for question in range(2):
            if position < 2:
                page.screenshot(path=tmp_path / f"pair-{width}-{position}-{question}.png")
            files = page.locator(".pictures img").evaluate_all("all => all.map(i => i.src.split('/').pop())")
            assert tuple(files) == opened.study.files(item)
            boxes = [picture.bounding_box() for picture in page.locator(".pictures img").all()]
            assert boxes[0]["width"] == pytest.approx(boxes[1]["width"]) and boxes[0]["width"] > 150
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            button = page.locator(".buttons button").last.bounding_box()
            assert button["y"] + button["height"] <= height  # nobody has to scroll to answer
            answers.append(list(KEYS)[(position + question) % 3])
            press(page, KEYS[answers[-1]])
    assert "completion code" in page.content()
    assert [vote.answer for vote in opened.votes()] == answers
    assert all(vote.milliseconds is not None and vote.milliseconds < 60_000 for vote in opened.votes())
    assert errors == []


def test_reloading_and_going_back_cast_no_second_vote(browser: Any, opened: Open) -> None:  # noqa: F811
    page, _ = visit(browser, opened.links[0])
    begin(page)
    press(page, "ArrowLeft")
    page.reload()
    assert "Fits?" in page.content() and len(opened.votes()) == 1
    press(page, "ArrowRight")
    page.go_back()
    page.wait_for_load_state()
    assert len(opened.votes()) == 2 and page.locator("[name=position]").first.input_value() == "1"


def test_undo_by_key_and_a_picture_at_full_size(browser: Any, opened: Open) -> None:  # noqa: F811
    page, errors = visit(browser, opened.links[0])
    begin(page)
    press(page, "ArrowLeft")
    press(page, "u")
    assert opened.votes() == []
    page.locator(".pictures img").first.click()
    assert page.locator(".full").bounding_box()["width"] == pytest.approx(1280)
    page.keyboard.press("ArrowLeft")  # no vote while a picture is large
    page.keyboard.press("Escape")
    assert page.locator(".full").count() == 0 and opened.votes() == []
    assert errors == []


def test_two_raters_and_two_tabs_at_once(browser: Any, opened: Open) -> None:  # noqa: F811
    pages = [visit(browser, link)[0] for link in (opened.links[0], opened.links[1], opened.links[0])]
    begin(pages[0])
    begin(pages[1])
    pages[2].reload()
    press(pages[0], "ArrowLeft")
    press(pages[1], "ArrowRight")
    press(pages[2], "ArrowRight")  # the same question in a second tab: it leads on, and the first answer stays
    assert [(v.slot, v.question, v.answer) for v in opened.votes()] == [(0, 0, "left"), (1, 0, "right")]
    assert "Fits?" in pages[2].content()


def test_without_scripts_the_buttons_still_vote(browser: Any, opened: Open) -> None:  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(opened.links[0])
    begin(page)
    with page.expect_navigation():
        page.locator("button[value=draw]").click()
    assert "Fits?" in page.content()
    assert [(v.answer, v.milliseconds) for v in opened.votes()] == [("draw", None)]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screen_readers_find_no_serious_fault(browser: Any, opened: Open, scheme: str) -> None:  # noqa: F811
    """On every page of a study: to join, consent, a question, the end, a wrong link, and the administrator's."""
    store = VoteStore(opened.folder / FILE, opened.study)
    addresses = [f"{opened.server.address}/{place}/{store.access(place)}" for place in ("join", "admin")]
    store.close()
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    found = {}
    for address in (*addresses, f"{opened.server.address}/r/nobody", opened.links[0]):
        page.goto(address)
        found[page.title() + address] = faults(page)
    begin(page)
    found["question"] = faults(page)
    for _ in range(len(opened.study.assignment[0]) * 2):
        press(page, "ArrowLeft")
    assert "completion code" in page.content()
    found["end"] = faults(page)
    assert {where: what for where, what in found.items() if what} == {} and len(found) == 6
    page.close()
