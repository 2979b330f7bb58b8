"""Renders a page as one self-contained HTML file, which needs no network and runs no script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from benchbench.report import grids, plots, table
from benchbench.report.sections import CurveSection, Page, Panel, Section, StepPanel, StepSection
from benchbench.runtime.files import write_atomic
from benchbench.runtime.printable import printable


def render(title: str, intro: str, sections: Sequence[Section], out: Path, quick: bool = False) -> Path:
    """Writes a page to the file ``out`` and returns its path. Errors: RunError (a full disk)."""
    write_atomic(out, html(Page(title=title, intro=intro, sections=tuple(sections), quick=quick)).encode())
    return out


def html(page: Page) -> str:
    """Returns the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchbench.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"pretty": _pretty}
    functions = {
        "format_number": table.format_number,
        "format_interval": table.format_interval,
        "detail_lines": table.detail_lines,
        "draw": _draw,
        "is_small": grids.is_small,
    }
    style = Markup((Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8"))
    text = environment.get_template("page.html.j2").render(page=page, style=style, **functions)
    return printable(text, keep="\n\t")


def _draw(curves: CurveSection | StepSection, section: int) -> dict[str, Any]:
    """Returns the colour of each label, and the panels as SVG; ``section`` is the section's number on the page."""
    panels: Sequence[Panel | StepPanel] = curves.panels
    colours = plots.colours(panels)
    svgs = [Markup(plots.svg(panel, colours, f"s{section}p{i}")) for i, panel in enumerate(panels)]
    return {"colours": colours, "panels": svgs}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
