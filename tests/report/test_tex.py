"""The LaTeX of every kind of report compiles in LaTeX's article, and nothing runs over an edge.

pdflatex is the system's (``apt-get install texlive-latex-recommended``); without it these tests fail, not skip.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchbench.report.latex import latex
from benchbench.report.paper_figures import paper_figures
from benchbench.report.table import Table
from tests.report.made_tables import comparison, hostile_tables, result_tables, study_tables
from tests.report.pages import PAGE, TABLE

pytestmark = pytest.mark.tex
BAD = re.compile(r"^(!.*|Overfull .*|LaTeX Warning: Float too large.*|LaTeX Warning: Reference .*)$", re.M)


def compile_all(tables: Sequence[Table], width: int, folder: Path, more: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Returns the number of pages of a document with all tables, and what its log complains of."""
    found = shutil.which("pdflatex")
    if found is None:
        pytest.fail("pdflatex is not on PATH: apt-get install texlive-latex-recommended")
    body = "\n\\clearpage\n".join(latex(table) for table in tables) + "\n\n".join(["", *more])
    preamble = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\setlength{{\textwidth}}{{{width}pt}}"
    (folder / "all.tex").write_text(f"{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        [found, "-interaction=nonstopmode", "-no-shell-escape", "all.tex"], cwd=folder, capture_output=True, timeout=120
    )
    log = (folder / "all.log").read_text(encoding="latin-1").replace("\n ", " ")
    complaints = BAD.findall(log)
    assert done.returncode == 0, complaints
    pages = re.search(r"Output written on all\.pdf \((\d+) pages?", log)
    assert pages is not None
    return int(pages[1]), complaints


@pytest.mark.parametrize("width", [345, 469])
def test_every_table_fits(width: int, tmp_path: Path) -> None:
    tables = [*result_tables(), *study_tables(), comparison(), *hostile_tables()]
    assert len(tables) > 90
    pages, complaints = compile_all(tables, width, tmp_path)
    assert complaints == [] and pages >= len(tables)


def test_the_lines_of_the_documentation_include_a_figure(tmp_path: Path) -> None:
    """A plot is as wide as a text of 469 points, and shrinks to the 345 of article, as docs/reports.md says."""
    plots = [section for section in PAGE.sections if section.kind in ("curves", "bars")]
    files = dict(paper_figures(PAGE.model_copy(update={"sections": tuple(plots)})))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for width, option in ((469, ""), (345, r"[width=\textwidth]")):
        shown = [rf"\noindent\includegraphics{option}{{{name}}}" for name in files if name.endswith(".pdf")]
        assert len(shown) == 2 and compile_all([TABLE], width, tmp_path, shown)[1] == []


def test_what_is_too_wide_is_seen(tmp_path: Path) -> None:
    """The check above can fail: a table of 345 points does not fit into 200."""
    wide = max(result_tables(), key=lambda table: len(table.columns))
    assert any(line.startswith("Overfull") for line in compile_all([wide], 200, tmp_path)[1])
