"""Draws panels as SVG that inherits text colour and font from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from benchbench.report.sections import Curve, Panel, StepPanel

# Paul Tol's "bright" scheme: readable for the colour-blind, on white and on near-black
PALETTE = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")
GREY = "#888888"
INK = "#010203"  # placeholder for the text colour; _inline replaces it by currentColor

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


def colours(panels: Iterable[Panel | StepPanel]) -> dict[str, str]:
    """Returns a colour for each label, in order of appearance; the label "base" is grey."""
    labels = dict.fromkeys(line.label for panel in panels for line in panel.lines)
    others = [label for label in labels if label != "base"]
    chosen = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(others)}
    return {label: chosen.get(label, GREY) for label in labels}


def svg(panel: Panel | StepPanel, colour: Mapping[str, str], prefix: str) -> str:
    """Returns a panel as an SVG element; ``prefix`` makes its ids unique on the page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.0), layout="constrained")
        axes = figure.subplots()
        steps = isinstance(panel, StepPanel)
        for line in panel.lines:
            _draw_curve(axes, line, colour[line.label], marks=steps or len(line.x) == 1)
        axes.set(ylabel=panel.y_label, title=panel.title)
        if isinstance(panel, StepPanel):
            _format_step_axis(axes, panel)
        else:
            axes.set_xlabel(panel.x_label)
            axes.xaxis.set_major_formatter(lambda x, _: compact(x))
            axes.locator_params(axis="x", nbins=6)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), prefix)


def _draw_curve(axes: Any, line: Curve, colour: str, marks: bool) -> None:
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, alpha=0.18, linewidth=0, color=colour)
    axes.plot(line.x, line.y, marker="o" if marks else "", markersize=4, color=colour)


def _format_step_axis(axes: Any, panel: StepPanel) -> None:
    """Reverses the x axis, so that denoising runs from left to right, and labels every measured step."""
    axes.set_xlabel("step t (noise on the left, image on the right)")
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


def _inline(text: str, prefix: str) -> str:
    """Returns the <svg> element of an SVG file, without size and styles, its ids prefixed, INK as currentColor."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 role="img"', text, count=1)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    return text.replace(INK, "currentColor")
