"""Measured results of a method on shapes beside the paper's numbers, from results/shapes and its CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from docs_build import text
from docs_build.links import ROOT

ONLINE = ("tailorpo-2", "tailorpo-2-training.csv")
OFFLINE = ("dspo-1", "dspo-1-training-win-rate.csv")
CURVES = ROOT / "results" / "shapes" / "tailorpo-fig4" / "tailorpo-fig4-shapes-colour.csv"
Row = dict[str, str]


def _read(folder: str, file: str) -> list[Row]:
    path = ROOT / "results" / "shapes" / folder / file
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def results(named: Sequence[str]) -> str:
    """Returns the tables of these methods, or an empty text where no table has them."""
    return _online(named) or _offline(named)


def curve_of(named: Sequence[str]) -> bool:
    """Returns True where a curve of one of these methods was kept."""
    return any(row["row"] in named for row in csv.DictReader(CURVES.read_text(encoding="utf-8").splitlines()))


def _online(named: Sequence[str]) -> str:
    """Returns means, with gains over the base, beside the values that TailorPO's Table 2 prints."""
    rows = _read(*ONLINE)
    base = {row["column"]: row for row in rows if row["row"] == "base"}
    shown = [
        [
            f"`{row['row']}`",
            f"`{row['column']}`",
            f"{float(base[row['column']]['value']):.2f}",
            f"{float(row['value']):.2f} [{float(row['low']):.2f}, {float(row['high']):.2f}]",
            f"{float(row['gain']):+.2f}",
            f"{base[row['column']]['published']} → {row['published']}",
        ]
        for row in rows
        if row["row"] in named and row["published"]
    ]
    if not shown:
        return ""
    heads = ["method", "reward", "base", "after training", "gain, in SD of the base's images", "paper, base → trained"]
    return (
        text.table(heads, shown)
        + "\nThree trainings of each row, 384 images each, measured on the 45 training prompts with 5 images a prompt; "
        + "the brackets are 95 % intervals over prompts and trainings. The paper's numbers are those of TailorPO's "
        + "Table 2: another model (SD 1.5), and rewards that are similar in kind and not in scale. Compare "
        + "direction and order, never values. [Results on shapes](../results/shapes/README.md) has every table.\n\n"
        + f"```bash\nbench reproduce tailorpo:2 --rows {','.join(named)} --train-seeds 0,1,2\n```\n"
        + (f"\n![Reward during training](../docs/{picture(named)})\n" if curve_of(named) else "")
    )


def _offline(named: Sequence[str]) -> str:
    """Returns win rates over the base beside the values that DSPO's Table 1 prints."""
    shown = [
        [
            f"`{row['column'].partition(':')[0]}`",
            f"{float(row['value']):.2f} [{float(row['low']):.2f}, {float(row['high']):.2f}]",
            f"{float(row['published']):.2f}" if row["published"] else "",
        ]
        for row in _read(*OFFLINE)
        if row["row"] in named and row["column"].endswith(": win")
    ]
    if not shown:
        return ""
    return (
        text.table(["reward", "win rate over the base on shapes", "paper, SD 1.5"], shown)
        + "\nThree trainings, 6144 images shown in each, measured on the 45 training prompts; the brackets are 95 % "
        + "intervals over prompts and trainings. The paper's numbers are those of DSPO's Table 1: another model, other "
        + "pairs, and rewards that are similar in kind. Compare the direction and the order, never the values. "
        + "[Results on shapes](../results/shapes/README.md) explains why most orders differ.\n\n"
        + f"```bash\nbench reproduce dspo:1 --rows {','.join(named)} --train-seeds 0,1,2\n```\n"
    )


def picture(named: Sequence[str]) -> str:
    """Returns the path in the site of a method's curve."""
    return f"methods/{named[0]}-reward.svg"


def draw(named: Sequence[str]) -> bytes:
    """Returns the curves of TailorPO's Figure 4 on shapes as SVG, with these methods in colour.

    Imports matplotlib inside the function: the other pages need no plotting library.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    grey = "#808080"
    curves: dict[str, list[Row]] = {}
    for row in csv.DictReader(CURVES.read_text(encoding="utf-8").splitlines()):
        curves.setdefault(row["row"], []).append(row)
    with rc_context({"svg.hashsalt": "benchbench", "svg.fonttype": "path"}):
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.subplots()
        colours = iter(("#3b82c4", "#d97706"))
        for name, rows in sorted(curves.items(), key=lambda item: item[0] in named):
            _line(axes, name, rows, next(colours) if name in named else None)
        axes.set_xlabel("training images", color=grey)
        axes.set_ylabel("shapes-colour", color=grey)
        axes.tick_params(colors=grey)
        for side, spine in axes.spines.items():
            spine.set_color(grey)
            spine.set_visible(side in ("left", "bottom"))
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()


def _line(axes: Any, name: str, rows: list[Row], colour: str | None) -> None:
    """Draws one curve with its interval, or without colour and interval where it is there for comparison only."""
    x, y, low, high = ([float(row[key]) for row in rows] for key in ("column", "value", "low", "high"))
    axes.plot(x, y, color=colour or "#9ca3af", linewidth=2 if colour else 1)
    axes.annotate(name, (x[-1], y[-1]), (4, 0), textcoords="offset points", va="center", color=colour or "#808080")
    if colour:
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
