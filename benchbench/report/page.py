"""Renders a page as one self-contained HTML file, which needs no network.

Its one script sorts tables and handles keys in enlarged pictures. The page names the script's hash, so that a browser
runs no other.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from benchbench.report import grids, plots, table
from benchbench.report.captions import split_caption
from benchbench.report.sections import CurveSection, Page, Panel, Section, StepPanel, StepSection
from benchbench.runtime.files import write_atomic
from benchbench.runtime.hashing import text_sha256
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
    environment.filters |= {"pretty": _pretty, "unbroken": _unbroken, "breakable": _breakable}
    functions = {
        "format_value": table.format_value,
        "format_interval": table.format_interval,
        "detail_lines": table.detail_lines,
        "draw": _draw,
        "is_small": grids.is_small,
        "split_caption": split_caption,
    }
    style, script = (
        (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8") for name in ("style.css", "page.js")
    )
    script_hash = "sha256-" + base64.b64encode(bytes.fromhex(text_sha256(script))).decode()
    text = environment.get_template("page.html.j2").render(
        page=page, style=Markup(style), script=Markup(script), script_hash=script_hash, **functions
    )
    return printable(text, keep="\n\t")


def _draw(curves: CurveSection | StepSection, section: int) -> dict[str, Any]:
    """Returns the stroke of each label, and the panels as SVG; ``section`` is the section's number on the page."""
    panels: Sequence[Panel | StepPanel] = curves.panels
    strokes = plots.strokes(panels)
    svgs = [Markup(plots.svg(panel, strokes, f"s{section}p{i}")) for i, panel in enumerate(panels)]
    return {"strokes": strokes, "panels": svgs}


def _breakable(text: str) -> Markup:
    """Returns a name that may be broken after each ``_``, as browsers break it after a hyphen."""
    return Markup("_<wbr>").join(escape(part) for part in printable(text).split("_"))


def _unbroken(text: str) -> str:
    """Returns the text with no line break inside brackets, such as those of an interval, and none before ``SD``."""
    text = text.replace(" SD", "\N{NO-BREAK SPACE}SD")
    return re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
