"""Draws panels: as SVG that takes the colours and the font of the page, and as a figure for a paper."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

from benchbench.report.sections import Curve, Panel, StepPanel

# Four colours that the colour-blind tell apart, and two more; with the dashes, twelve lines differ in more than
# a shade. The page has lighter ones for a dark background (style.css).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#882255", "#4a3aa7", "#222222")
GREY = "#777777"
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 2), (7, 2, 2, 2))
INK = "#010203"  # placeholder for the text colour; _inline replaces it by currentColor

STEP_LABEL = "step t (noise on the left, image on the right)"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "benchbench",
    "text.parse_math": False,
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": INK,
    "grid.alpha": 0.1,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
}


class Stroke(NamedTuple):
    """The colour of a line and its dashes, in points of line and gap; no dashes are a whole line."""

    colour: str
    dash: tuple[float, ...] = ()

    @property
    def variable(self) -> str:
        """The CSS variable of the colour, with its value for light pages behind it."""
        return _variable(self.colour)


def strokes(panels: Iterable[Panel | StepPanel]) -> dict[str, Stroke]:
    """Returns the stroke of each label, in order of appearance; the label "base" is grey."""
    labels = dict.fromkeys(line.label for panel in panels for line in panel.lines)
    others = [label for label in labels if label != "base"]
    chosen = {label: Stroke(PALETTE[i % len(PALETTE)], DASHES[i % len(DASHES)]) for i, label in enumerate(others)}
    return {label: chosen.get(label, Stroke(GREY)) for label in labels}


def svg(panel: Panel | StepPanel, stroke: Mapping[str, Stroke], prefix: str) -> str:
    """Returns a panel as an SVG element; ``prefix`` makes its ids unique on the page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.0), layout="constrained")
        draw_panel(figure.subplots(), panel, stroke)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    x_label = STEP_LABEL if isinstance(panel, StepPanel) else panel.x_label
    words = f"{panel.title or panel.y_label} against {x_label}: {', '.join(line.label for line in panel.lines)}"
    return _inline(out.getvalue(), prefix, words)


def draw_panel(axes: Any, panel: Panel | StepPanel, stroke: Mapping[str, Stroke]) -> None:
    """Draws a panel into matplotlib axes."""
    steps = isinstance(panel, StepPanel)
    for line in panel.lines:
        _draw_curve(axes, line, stroke[line.label], marks=steps or len(line.x) == 1)
    axes.set(ylabel=panel.y_label, title=panel.title)
    if isinstance(panel, StepPanel):
        _format_step_axis(axes, panel)
    else:
        axes.set_xlabel(panel.x_label)
        axes.xaxis.set_major_formatter(lambda x, _: compact(x))
        axes.locator_params(axis="x", nbins=6)
        _widen(axes, panel.least_span or 0.0)


def _widen(axes: Any, least_span: float) -> None:
    """Widens the vertical axis to at least this span, to both sides alike."""
    low, high = axes.get_ylim()
    missing = least_span - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)


def _draw_curve(axes: Any, line: Curve, stroke: Stroke, marks: bool) -> None:
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, alpha=0.18, linewidth=0, color=stroke.colour)
    style = (0, stroke.dash) if stroke.dash else "-"
    axes.plot(line.x, line.y, marker="o" if marks else "", markersize=4, color=stroke.colour, linestyle=style)


def _format_step_axis(axes: Any, panel: StepPanel) -> None:
    """Reverses the x axis, so that denoising runs from left to right, and labels every measured step."""
    axes.set_xlabel(STEP_LABEL)
    axes.set_xticks(sorted({x for line in panel.lines for x in line.x}))
    axes.xaxis.set_major_formatter(lambda x, _: compact(x))
    axes.invert_xaxis()
    if panel.reference is not None:
        axes.axhline(panel.reference, color=INK, linewidth=0.8, dashes=(4, 3), alpha=0.6)


def compact(x: float) -> str:
    """Returns a short axis label: 1500 as ``1.5k``, 2000000 as ``2M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(x) >= size:
            return f"{x / size:g}{letter}"
    return f"{x:g}"


def _variable(colour: str) -> str:
    return f"var(--line-{(*PALETTE, GREY).index(colour)}, {colour})"


def _inline(text: str, prefix: str, words: str) -> str:
    """Returns the <svg> element of an SVG file, without size and styles, its ids prefixed, ``words`` as its name.

    INK becomes the text colour of the page, and the colours of lines variables, which a dark page sets otherwise.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(
        r'(<svg[^>]*?) height="[^"]*"',
        lambda found: f'{found[1]} role="img" aria-label="{escape(words)}"',
        text,
        count=1,
    )
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    for colour in (*PALETTE, GREY):
        text = re.sub(rf"(stroke|fill): {colour}", rf"\1: {_variable(colour)}", text)
    return text.replace(INK, "currentColor")
