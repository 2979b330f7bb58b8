"""The page holds everything, runs nothing and asks the network for nothing."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchbench.errors import CorruptError, MissingError
from benchbench.report import folder, page
from benchbench.report.sections import GridSection, Page, RecordSection, TableSection
from benchbench.report.table import Column
from tests.report.pages import PAGE, TABLE

SMALL = PAGE.model_copy(update={"sections": (*PAGE.sections[:2], PAGE.sections[-1])})  # no plots, which take seconds


class Tags(HTMLParser):
    """Start tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def text() -> str:
    return page.html(PAGE)


def test_words_stay_words(text: str) -> None:
    """The one script is ours, and its hash is that of the policy, which lets no other run."""
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert text.count("<script") == 1 and script.startswith('"use strict"')
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'" in text
    assert text.count("&lt;script&gt;alert") >= 8


def test_nothing_comes_from_the_network(text: str) -> None:
    for tag, attributes in Tags(text).found:
        assert tag not in {"link", "iframe", "object"}
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(http" not in text and "@import" not in text


def test_all_is_shown(text: str) -> None:
    for words in (
        "5.72",
        "[5.60,\N{NO-BREAK SPACE}5.85]",
        "+1.23\N{NO-BREAK SPACE}SD [−1.00,\N{NO-BREAK SPACE}+1.50]",
        "published 5.79 (aesthetic, sd15)",
        "points, higher is better ↑",
        "not trained on",
        '<details class="more"',
        "75.0%",
        "[60.0, 85.0]",
    ):
        assert words in text
    assert text.count("<svg") - text.count('<svg class="key"') == 3 and text.count("data:image/webp") == 4


def test_ids_of_the_drawings_differ(text: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 10
    for used in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text):
        assert (used[0] or used[1]) in ids


def test_drawings_are_valid_and_take_the_colour_of_the_page(text: str) -> None:
    drawings = [found for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if 'class="key"' not in found]
    for drawing in drawings:
        ET.fromstring(drawing)
        assert 'role="img" aria-label="' in drawing and "var(--line-0" in drawing
        assert "currentColor" in drawing and "#010203" not in drawing and "$a_b$" in drawing


def test_render_writes_one_file(tmp_path: Path) -> None:
    out = page.render("T", "I", [], tmp_path / "deep" / "page.html", quick=True)
    assert "QUICK" in out.read_text() and "<title>T (QUICK)" in out.read_text()


def test_a_report_folder_has_page_tables_and_picture(tmp_path: Path) -> None:
    out = folder.write(tmp_path, "eval tiny", PAGE)
    assert out.parent == tmp_path / "reports" and out.name.startswith("eval-tiny-")
    names = {".rendered", "page.json", "report.html", "report.md", "samples.png", "t-1.csv", "t-1.md", "t-1.tex"}
    assert {p.name for p in out.iterdir()} == names | {"figures"}
    figures = ("differ", "over-steps", "samples", "training", "win-rate")
    assert {p.name for p in (out / "figures").iterdir()} == {f"{f}.{kind}" for f in figures for kind in ("pdf", "svg")}
    quick = folder.write(tmp_path, "eval tiny", PAGE.model_copy(update={"quick": True}))
    assert quick.name.startswith("eval-tiny-QUICK-") and (quick / "report-QUICK.html").is_file()


def test_several_grids_have_a_picture_each(tmp_path: Path) -> None:
    grid = next(section for section in PAGE.sections if isinstance(section, GridSection))
    out = folder.write(tmp_path, "two", PAGE.model_copy(update={"sections": (grid, grid)}))
    assert {p.name for p in out.glob("*.png")} == {"samples.png", "samples-2.png"}


def test_another_result_is_another_folder_and_the_same_is_the_same(tmp_path: Path) -> None:
    first = folder.write(tmp_path, "r", SMALL)
    later = (*SMALL.sections[:-1], RecordSection(records={"time": "later"}))
    assert folder.write(tmp_path, "r", SMALL.model_copy(update={"sections": later})) == first
    assert folder.write(tmp_path, "r", SMALL.model_copy(update={"sections": SMALL.sections[:1]})) != first


def test_the_same_report_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records stay those of the command that made it; other code or intro, or no page, renders it again."""
    rendered: list[str] = []
    html = page.html
    monkeypatch.setattr(page, "html", lambda content: rendered.append(content.intro) or html(content))
    out = folder.write(tmp_path, "r", SMALL)
    data = (out / "page.json").read_bytes()
    later = SMALL.model_copy(update={"sections": (*SMALL.sections[:-1], RecordSection(records={"time": "later"}))})
    assert folder.write(tmp_path, "r", later) == out and (out / "page.json").read_bytes() == data
    assert len(rendered) == 1 and folder.made_at(out) == (out / ".rendered").stat().st_mtime
    folder.write(tmp_path, "r", SMALL.model_copy(update={"intro": "another"}))
    folder.write(tmp_path, "r", SMALL.model_copy(update={"answer": "another"}))
    (out / "report.html").unlink()
    folder.write(tmp_path, "r", SMALL)
    (out / ".rendered").write_text("other code")
    folder.write(tmp_path, "r", SMALL)
    assert len(rendered) == 5 and (out / "report.html").is_file()


def test_a_report_is_rendered_again_from_its_own_data(tmp_path: Path) -> None:
    out = folder.write(tmp_path, "r", PAGE)
    before = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for path in filter(Path.is_file, out.rglob("*")):
        if path.name != "page.json":
            path.unlink()
    assert folder.render(out) == out and folder.render(out / "page.json") == out
    assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert Page.model_validate_json(before["page.json"]) == PAGE


def test_what_is_no_report_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a report"):
        folder.render(tmp_path)
    (tmp_path / "page.json").write_text('{"title": 1}')
    with pytest.raises(CorruptError, match="cannot be read"):
        folder.render(tmp_path)


def test_words_and_tables_as_markdown(tmp_path: Path) -> None:
    out = folder.write(tmp_path, "some", PAGE)
    said = (out / "report.md").read_text(encoding="utf-8")
    assert said.startswith(f"# {PAGE.full_title}\n\n\\<script") and PAGE.intro in said
    for section in PAGE.sections:
        if section.kind == "text":
            assert all(paragraph in said for paragraph in section.paragraphs)
        if section.kind == "tables":
            assert all(table.markdown().rstrip() in said for table in section.tables)


def test_the_name_of_a_column_may_break_after_an_underscore() -> None:
    shown = TABLE.model_copy(update={"columns": (Column(key="a_<b>"),)})
    text = page.html(PAGE.model_copy(update={"sections": (TableSection(title="t", tables=(shown,)),)}))
    assert '<span class="name">a_<wbr>&lt;b&gt;</span>' in text
