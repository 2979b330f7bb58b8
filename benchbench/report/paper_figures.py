"""Draws the figures of a report for a paper: PDF with embedded fonts, and SVG with letters as outlines.

Curves and bars are vectors, and as wide as the text of a paper: 469 points, or 345 for a single panel.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from benchbench.report import figure, grids, plots
from benchbench.report.figure import PictureRow
from benchbench.report.sections import (
    CurveSection,
    GridSection,
    OutcomeSection,
    Page,
    Panel,
    SideBySideSection,
    StepPanel,
    StepSection,
)
from benchbench.runtime.names import safe_name

Kind = Literal["pdf", "svg"]
KINDS: tuple[Kind, ...] = ("pdf", "svg")
WIDE, NARROW = 469 / 72.27, 345 / 72.27  # inches, of 72.27 points of TeX
PANEL_HEIGHT, LEGEND_LINE, BAR_LINE = 2.1, 0.2, 0.24  # inches
OUTCOMES = (("win", "#4477aa", "white"), ("draw", "#bdbab2", "black"), ("lose", "#b5533c", "white"))  # as style.css
METADATA: dict[Kind, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
STYLE = plots.STYLE | {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "black"),
    "grid.color": "black",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "font.size": 8,
    "axes.titlesize": 8,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
}
PICTURES_IN_A_ROW = 6
SHARE_SHOWN = 0.06  # of a bar, from which on its count is written into it


def paper_figures(page: Page) -> Iterator[tuple[str, bytes]]:
    """Yields the name and the content of each file: every plot and every grid of the page, as PDF and SVG."""
    taken: dict[str, int] = {}
    for section in page.sections:
        drawn: list[dict[Kind, bytes]] = []
        if isinstance(section, CurveSection | StepSection):
            drawn = [_files(_curves(section.panels))]
        elif isinstance(section, OutcomeSection):
            drawn = [_files(_bars(section))]
        elif isinstance(section, GridSection):
            rows = [PictureRow(r.label, tuple(map(grids.decode_uri, r.images)), r.notes) for r in section.rows]
            drawn = [{kind: figure.draw(section.prompts, rows, kind) for kind in KINDS}]
        elif isinstance(section, SideBySideSection):
            drawn = [{kind: figure.draw(*part, kind) for kind in KINDS} for part in _pairs(section)]
        for files in drawn:
            stem = safe_name(section.title.lower(), "-").strip("-.") or section.kind
            taken[stem] = taken.get(stem, 0) + 1
            name = (stem if taken[stem] == 1 else f"{stem}-{taken[stem]}") + ("-QUICK" if page.quick else "")
            yield from ((f"{name}.{kind}", data) for kind, data in files.items())


def _files(drawing: Any) -> dict[Kind, bytes]:
    """Returns a matplotlib figure as files."""
    import matplotlib as mpl

    files: dict[Kind, bytes] = {}
    for kind in KINDS:
        data = io.BytesIO()
        with mpl.rc_context(STYLE):
            drawing.savefig(data, format=kind, metadata=METADATA[kind])
        files[kind] = data.getvalue()
    return files


def _curves(panels: Sequence[Panel | StepPanel]) -> Any:
    """Returns the panels, two beside each other, under one legend."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    strokes = plots.strokes(panels)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    letters = sum(len(label) + 8 for label in strokes)
    legend_lines = -(-letters // (100 if columns == 2 else 70))
    width = WIDE if columns == 2 else NARROW
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(width, PANEL_HEIGHT * rows + LEGEND_LINE * legend_lines), layout="constrained")
        for i, panel in enumerate(panels):
            plots.draw_panel(drawing.add_subplot(rows, columns, i + 1), panel, strokes)
        handles = [
            Line2D([], [], color=stroke.colour, linestyle=(0, stroke.dash) if stroke.dash else "-", label=label)
            for label, stroke in strokes.items()
        ]
        per_line = max(1, -(-len(handles) // legend_lines))
        drawing.legend(handles=handles, loc="outside upper center", ncols=per_line, frameon=False, handlelength=2.6)
    return drawing


def _bars(section: OutcomeSection) -> Any:
    """Returns the counts of wins, draws and losses as one bar a row, with the win rate and its interval behind it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    groups = [group for group in section.groups if any(bar.total for bar in group.bars)]
    lines = sum(len(group.bars) + 1 for group in groups)
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(WIDE, BAR_LINE * (lines + 1) + 0.1), layout="constrained")
        axes = drawing.subplots()
        labels: dict[float, str] = {}
        place = 0.0
        for group in groups:
            axes.text(0, place, group.title, va="center", weight="bold")
            place += 1
            for bar in group.bars:
                labels[place] = "\n".join(textwrap.wrap(bar.label, 32)[:2])
                left = 0.0
                for name, colour, ink in OUTCOMES if bar.total else ():
                    count = getattr(bar, name)
                    share = count / bar.total
                    axes.barh(place, share, 0.78, left, color=colour)
                    if share > SHARE_SHOWN:
                        axes.text(left + share / 2, place, str(count), ha="center", va="center", color=ink)
                    left += share
                interval = (
                    f" [{100 * bar.low:.1f}, {100 * bar.high:.1f}]"
                    if bar.low is not None and bar.high is not None
                    else ""
                )
                rate = f"{100 * bar.rate:.1f}%{interval}" if bar.total else "nothing was compared"
                axes.text(1.01 if bar.total else 0, place, rate, va="center")
                place += 1
        axes.set(xlim=(0, 1.3), ylim=(place - 0.4, -0.6), yticks=list(labels), yticklabels=list(labels.values()))
        axes.set_axisbelow(True)
        axes.xaxis.set_visible(False)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(left=False)
        words = ("wins", "draws", f"losses against {section.against}")
        handles = [Patch(color=colour, label=word) for word, (_, colour, _) in zip(words, OUTCOMES, strict=True)]
        drawing.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False)
    return drawing


def _pairs(section: SideBySideSection) -> Iterator[tuple[list[str], list[PictureRow]]]:
    """Yields headings and rows of pictures: the first model's above the second's, a few prompts a figure."""
    for start in range(0, len(section.pairs), PICTURES_IN_A_ROW):
        shown = section.pairs[start : start + PICTURES_IN_A_ROW]
        rows = [
            PictureRow(label, tuple(grids.decode_uri(pair.images[i]) for pair in shown))
            for i, label in enumerate(section.labels)
        ]
        yield [pair.prompt for pair in shown], rows
