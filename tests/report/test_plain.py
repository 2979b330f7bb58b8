"""Tables as plain text: aligned, as wide as the terminal, and all that the page says is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.report.plain import plain, result_text
from tests.report.made_tables import comparison, result_tables
from tests.report.pages import EVIL, TABLE


def test_cells_stand_under_their_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = plain(TABLE).splitlines()
    assert lines[0] == "A table"
    heading, base, detail, other = lines[2], lines[5], lines[6], lines[7]
    column = heading.index("colour")
    assert lines[3][column:].startswith("points, higher is better") and set(lines[4]) == {"-", " "}
    assert (
        base[:column].strip() == "base" and base[column:].startswith("    5.72 b [5.60, 5.85]") and base.endswith("  -")
    )
    assert detail[column:].strip() == "published 5.79 (aesthetic, sd15)"
    assert other.startswith(EVIL) and other[column:].startswith("**6.50** a [6.40, 6.60]")
    assert "".join(plain(TABLE).split()).endswith("".join(TABLE.full_caption.split()))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table of results/ and one whose columns are named by run ids; each row and number is still there."""
    monkeypatch.setenv("COLUMNS", str(width))
    for table in (*result_tables(), comparison()):
        text = plain(table)
        assert max(map(len, text.splitlines())) <= width, table.name
        squeezed = "".join(text.split())
        assert all("".join(row.split()) in squeezed or len(row) > 16 for row in table.rows)


def test_the_answer_and_the_page_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = result_text("ours is ahead of base.", Path("reports/x/report.html"), [TABLE]).splitlines()
    assert lines[:5] == ["", "ours is ahead of base.", "report: reports/x/report.html", "", "A table"]
    escaped = TABLE.model_copy(update={"title": "a\x1bb", "rows": ("a\nb",), "cells": {}})
    assert "\x1b" not in plain(escaped) and "a\\nb" in plain(escaped)
