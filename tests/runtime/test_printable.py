"""Control characters are shown as they are written in Python, and a cell of a CSV file is text."""

from __future__ import annotations

import csv
import io

import pytest

from benchbench.cli import main as command_line
from benchbench.cli import ui
from benchbench.errors import UsageError
from benchbench.report.folder import markdown
from benchbench.report.latex import latex
from benchbench.report.page import html
from benchbench.report.sections import Page, TableSection
from benchbench.report.table import Cell, Column, Table
from benchbench.runtime.printable import csv_text, printable
from benchbench.runtime.progress import LineProgress

EVIL = "a\x1b[31mred\x07\x9b\u202e\ud800"
SHOWN = r"a\x1b[31mred\x07\x9b\u202e\ud800"
NAME = EVIL[:-1]  # half a character is no text for pydantic


def test_control_characters_are_escaped_and_other_text_stays() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("a\nb\tc", keep="\n") == r"a" + "\n" + r"b\tc"
    for text in ("plain", "Zoë 日本 🎨", "100 %", "back\\slash"):
        assert printable(text) == text


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_no_cell_is_computed(first: str) -> None:
    assert csv_text(f'{first}HYPERLINK("http://x")') == f'\'{first}HYPERLINK("http://x")'
    assert csv_text(f"a{first}b") == f"a{first}b"


def test_a_tab_or_return_before_a_formula_does_not_help_it() -> None:
    assert csv_text("\t=1+1") == r"'\t=1+1" and csv_text("\r=1+1") == r"'\r=1+1" and csv_text("") == ""


def evil_table() -> Table:
    """Returns a table of hostile names, all of which pydantic takes as text."""
    cell = Cell(value=-1.5, images=3, prompts=3)
    columns = (Column(key=NAME, unit="-", version="@1"),)
    return Table(
        name=NAME, title=NAME, caption=NAME, rows=("=1+1", NAME), columns=columns, cells={"=1+1": {NAME: cell}}
    )


def test_tables_and_pages_show_no_control_character() -> None:
    table = evil_table()
    page = Page(title=NAME, intro=NAME, sections=(TableSection(title=NAME, tables=(table,)),), quick=False)
    for text in (table.csv(), table.markdown(), latex(table), html(page), markdown(page)):
        assert not any(character in text for character in NAME[1:2] + "\x07\x9b\u202e\ud800")
        text.encode()
    [header, row] = csv.reader(io.StringIO(table.csv()))
    line = dict(zip(header, row, strict=True))
    assert (line["row"], line["version"], line["unit"], line["value"]) == ("'=1+1", "'@1", "'-", "-1.5")


def test_the_terminal_sees_no_control_character(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ui.log(f"one {EVIL}\ntwo")
    ui.table([EVIL], [[EVIL], ["x\ny"]])
    bar = LineProgress(2, EVIL, EVIL, 0)
    bar.advance(1, EVIL)
    bar.end()
    command_line._fail(UsageError(EVIL, f"{EVIL}\nmore", EVIL))
    monkeypatch.setattr(ui.sys.stdout, "isatty", lambda: True, raising=False)
    ui.table([EVIL], [[EVIL]])
    out, err = capsys.readouterr()
    for text in (out, err):
        assert r"\x1b[31mred\x07\x9b\u202e\ud800" in text
        assert "\x07" not in text and "\x1b[31m" not in text
    assert out.splitlines()[:3] == [f"one {SHOWN}", "two", SHOWN]
    assert len([line for line in err.splitlines() if line.startswith(("error", "  why", "  do"))]) == 3
