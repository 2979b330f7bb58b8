"""One self-contained HTML page: it opens from disk, asks the network for nothing and runs no script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from benchbench.report import grids, plots, table
from benchbench.report.sections import Curves, Page, Panel, Section, StepCurves, StepPanel
from benchbench.runtime.files import write_atomic


def render(title: str, intro: str, sections: Sequence[Section], out: Path, quick: bool = False) -> Path:
    """Writes the page to the file ``out`` and returns it. Errors: RunError for a disk that is full."""
    write_atomic(out, html(Page(title=title, intro=intro, sections=tuple(sections), quick=quick)).encode())
    return out


def html(page: Page) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchbench.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"pretty": _pretty}
    helpers = {
        "number": table.number,
        "interval": table.interval,
        "details": table.details,
        "draw": _draw,
        "small": grids.small,
    }
    style = Markup((Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.j2").render(page=page, style=style, **helpers)


def _draw(curves: Curves | StepCurves, section: int) -> dict[str, Any]:
    """The legend's colours by label, and the panels as SVG."""
    drawn: Sequence[Panel | StepPanel] = curves.panels
    colour = plots.colours(drawn)
    panels = [Markup(plots.svg(panel, colour, f"s{section}p{i}")) for i, panel in enumerate(drawn)]
    return {"colour": colour, "panels": panels}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
