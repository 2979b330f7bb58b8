"""Tables, pictures and plots on screens of three widths, in the dark, on paper, by keyboard and for screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from benchbench.report import page
from benchbench.report.sections import TableSection
from tests.report.pages import LABELS, PAGE, wide_table
from tests.report.test_browser import browser, look  # noqa: F401  # a fixture

pytestmark = pytest.mark.browser
SERIOUS = {"serious", "critical"}


def faults(opened: Any) -> list[str]:
    """Returns the serious faults that axe-core finds on a page, with the first element of each."""
    found = Axe().run(opened).response["violations"]
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found if fault["impact"] in SERIOUS]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with one of everything, a table of 14 columns and one of two."""
    tables = TableSection(title="Wide", tables=(wide_table(14), wide_table(2)))
    content = PAGE.model_copy(update={"sections": (tables, *PAGE.sections)})
    return page.render(content.title, content.intro, content.sections, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with the two tables alone, which is fast to open."""
    section = TableSection(title="Wide", tables=(wide_table(14), wide_table(2)))
    return page.render("T", "I", [section], tmp_path_factory.mktemp("tables") / "report.html")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (768, "dark"), (390, "light")])
def test_screen_readers_find_no_serious_fault(browser: Any, report: Path, width: int, scheme: str) -> None:  # noqa: F811
    seen = look(browser, report, width, scheme)
    assert faults(seen.page) == [] and seen.errors == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.page.close()


def test_a_fault_is_found(browser: Any) -> None:  # noqa: F811
    opened = browser.new_page()
    opened.set_content("<html lang=en><title>T</title><main><h1>T</h1><img src='data:,'></main>")
    assert [fault.partition(":")[0] for fault in faults(opened)] == ["image-alt"]
    opened.close()


def test_a_wide_table_scrolls_under_its_first_column_with_a_shadow(browser: Any, tables: Path) -> None:  # noqa: F811
    seen = look(browser, tables, 1280)
    frame, narrow = seen.page.locator(".scroll").all()
    hidden = "e => e.scrollWidth - e.clientWidth"
    assert frame.evaluate(hidden) > 100 and narrow.evaluate(hidden) == 0
    assert frame.evaluate("e => getComputedStyle(e).backgroundAttachment") == "local, local, scroll, scroll"
    row = frame.locator("tbody th").nth(1)
    left, trained = row.bounding_box()["x"], frame.locator("tbody tr").nth(1).locator("td").first
    assert trained.bounding_box()["x"] + trained.bounding_box()["width"] < 1280  # the trained column is in sight
    frame.focus()
    seen.page.keyboard.press("End")
    frame.evaluate("e => e.scrollTo(500, 0)")
    assert row.bounding_box()["x"] == left and trained.bounding_box()["x"] < left
    seen.page.close()


def test_on_a_phone_every_value_stands_beside_its_column(browser: Any, tables: Path) -> None:  # noqa: F811
    seen = look(browser, tables, 390)
    wide, narrow = seen.page.locator(".scroll").all()
    for frame in (wide, narrow):
        assert frame.evaluate("e => e.scrollWidth - e.clientWidth") == 0
        for label in frame.locator("tbody th").all():  # never one letter a line
            assert label.bounding_box()["width"] >= 100 and label.bounding_box()["height"] < 130
    cell = wide.locator("td").nth(3)
    assert cell.evaluate("e => getComputedStyle(e, '::before').content") == '"shapes-reward-3"'
    assert cell.bounding_box()["width"] > 300
    seen.page.close()


def column(frame: Any, place: int = 1) -> list[str]:
    return [text.split("\n")[0] for text in frame.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()]


def test_a_click_or_a_key_sorts(browser: Any, tables: Path) -> None:  # noqa: F811
    """A number first from the largest, then from the smallest, then as before; what is missing stays last."""
    seen = look(browser, tables)
    frame = seen.page.locator(".scroll").last
    first, numbers, missing = frame.locator("thead button").all()
    assert column(frame) == ["0.0000", "10.00", "20.00"]
    numbers.click()
    assert column(frame) == ["20.00", "10.00", "0.0000"]
    assert frame.locator("thead th").nth(1).get_attribute("aria-sort") == "descending"
    seen.page.keyboard.press("Enter")
    assert column(frame) == ["0.0000", "10.00", "20.00"]
    assert frame.locator("thead th").nth(1).get_attribute("aria-sort") == "ascending"
    seen.page.keyboard.press("Space")
    assert column(frame, 0) == list(LABELS) and frame.locator("[aria-sort]").count() == 0
    missing.click()
    assert column(frame, 2) == ["21.00", "11.00", "–"]
    missing.click()
    assert column(frame, 2) == ["11.00", "21.00", "–"]
    first.click()
    assert column(frame, 0) == sorted(LABELS) and frame.locator("[aria-sort]").count() == 1
    seen.page.close()


def test_keys_in_an_enlarged_picture(browser: Any, report: Path) -> None:  # noqa: F811
    """Enter enlarges the picture in focus, the arrows show the next ones, and Escape closes."""
    seen = look(browser, report)
    pictures = seen.page.locator("details.picture")
    pictures.first.locator("summary").focus()
    seen.page.keyboard.press("Enter")

    def opened() -> list[bool]:
        return [picture.evaluate("e => e.open") for picture in pictures.all()]

    assert opened() == [True, False, False, False]
    seen.page.keyboard.press("ArrowRight")
    assert opened() == [False, True, False, False]
    seen.page.keyboard.press("ArrowLeft")
    seen.page.keyboard.press("ArrowLeft")
    assert opened() == [False, False, False, True]
    seen.page.keyboard.press("Escape")
    assert opened() == [False] * 4
    focused = seen.page.evaluate("document.activeElement.tagName")
    assert focused == "SUMMARY"
    seen.page.close()


@pytest.fixture
def scriptless(browser: Any) -> Iterator[Any]:  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_without_scripts_all_is_there_but_sorting(scriptless: Any, report: Path) -> None:
    scriptless.goto(report.as_uri())
    assert scriptless.locator("thead button").count() == 0 and scriptless.locator("tbody th").first.is_visible()
    words = scriptless.locator(".more p").first
    assert not words.is_visible()
    scriptless.locator(".more summary").first.click()
    assert words.is_visible()
    picture = scriptless.locator("details.picture").first
    picture.click()
    assert picture.locator("img").bounding_box()["width"] > 500


def test_lines_are_lighter_in_the_dark(browser: Any, report: Path) -> None:  # noqa: F811
    strokes = []
    for scheme in ("light", "dark"):
        seen = look(browser, report, 768, scheme)
        line = seen.page.locator(".curves .panels svg [style*='--line-0'][style*='stroke:']").first
        strokes.append(line.evaluate("e => getComputedStyle(e).stroke"))
        seen.page.close()
    assert strokes == ["rgb(0, 114, 178)", "rgb(86, 180, 233)"]


def test_paper_shows_every_column_and_no_controls(browser: Any, report: Path, tmp_path: Path) -> None:  # noqa: F811
    seen = look(browser, report, 680, "dark")  # the text of A4, in the dark, which paper is not
    seen.page.emulate_media(media="print")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 680
    for frame in seen.page.locator(".scroll").all():
        assert frame.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    assert not seen.page.locator(".records").is_visible() and not seen.page.locator(".more summary").first.is_visible()
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    seen.page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    seen.page.close()
