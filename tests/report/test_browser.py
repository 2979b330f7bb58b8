"""The page in a real browser: nothing from the network, no error, and a picture that opens at a click.

Chromium is the system's own (``apt-get install chromium``, or $CHROMIUM); without one these tests fail, not skip.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchbench.report import page
from tests.report.pages import EVIL, PAGE

pytestmark = pytest.mark.browser
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


class Seen(NamedTuple):
    """Holds an open page with its requests and errors; ``requests`` leaves out the page itself and data URIs."""

    page: Any
    requests: list[str]
    errors: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(f"no browser: none of {', '.join(NAMES)} is on PATH; apt-get install chromium, or set CHROMIUM")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # it does not work as root, which CI is
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=[*QUIET, *sandbox])
        yield started
        started.close()


def look(browser: Any, path: Path, width: int = 1200, scheme: str = "light") -> Seen:
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    seen = Seen(opened, [], [])
    here = path.resolve().as_uri()
    opened.on("request", lambda asked: seen.requests.append(asked.url))
    opened.on("console", lambda said: seen.errors.append(said.text) if said.type in {"error", "warning"} else None)
    opened.on("pageerror", lambda error: seen.errors.append(str(error)))
    opened.goto(here)
    opened.wait_for_load_state("networkidle")
    seen.requests[:] = [url for url in seen.requests if url != here and not url.startswith("data:")]
    return seen


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    out.write_text(page.html(PAGE), encoding="utf-8")
    return out


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Any, report: Path) -> None:
    seen = look(browser, report)
    assert seen.requests == [] and seen.errors == []
    assert EVIL in seen.page.locator("section.text p").inner_text()
    decode = "image => { image.loading = 'eager'; return image.decode().then(() => image.naturalWidth); }"
    drawn = seen.page.locator("img").evaluate_all(f"found => Promise.all(found.map({decode}))")
    assert drawn == [8] * 4


def test_what_would_ask_is_seen(browser: Any, tmp_path: Path) -> None:
    """The check above can fail: without the policy an image is asked for, with it the browser refuses and says so."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/x.png"
        text = page.html(PAGE).replace("<main>", f'<main><img src="{url}">', 1)
        (tmp_path / "guarded.html").write_text(text)
        guarded = look(browser, tmp_path / "guarded.html")
        assert asked == [] and any("Content Security Policy" in said for said in guarded.errors)
        (tmp_path / "open.html").write_text(text.replace("Content-Security-Policy", "x"))
        unguarded = look(browser, tmp_path / "open.html")
        assert asked == ["/x.png"] and unguarded.requests == [url]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("section", ["grid", "pairs"])
def test_a_click_opens_a_picture_and_another_closes_it(browser: Any, report: Path, section: str) -> None:
    seen = look(browser, report)
    image = seen.page.locator(f"section.{section} img").first
    words = seen.page.locator(f"section.{section} .picture span").first
    assert image.bounding_box()["width"] <= 128 and not words.is_visible()
    image.click()
    box = image.bounding_box()
    assert box["width"] == pytest.approx(640, abs=1) and box["y"] >= 0 and box["y"] + box["height"] <= 900
    assert words.is_visible() and EVIL in words.inner_text()
    image.click()
    assert image.bounding_box()["width"] <= 128
    assert seen.errors == []


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_runs_over_the_edge(browser: Any, report: Path, width: int) -> None:
    """Wide tables scroll in their own frame; the page itself never does."""
    seen = look(browser, report, width, "dark")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
