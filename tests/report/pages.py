"""A page with one of everything, and hostile words in it."""

from __future__ import annotations

from PIL import Image

from benchbench.report.grids import data_uri
from benchbench.report.sections import (
    Bar,
    BarGroup,
    Bars,
    Curves,
    Grid,
    GridRow,
    Line,
    Page,
    Pair,
    Pairs,
    Panel,
    Records,
    StepCurves,
    StepPanel,
    Tables,
    Text,
)
from benchbench.report.table import Cell, Column, Table

EVIL = "<script>alert('x')</script> $a_b$ & \"q\""
TABLE = Table(
    name="t 1",
    title="A table",
    caption=f"Means of {EVIL}",
    rows=("base", EVIL),
    columns=(Column(key="colour", unit="points", version="1"), Column(key="oracle", held_out=True)),
    cells={
        "base": {"colour": Cell(value=5.7234, low=5.6, high=5.85, images=10, prompts=5, published=5.79)},
        EVIL: {
            "colour": Cell(value=6.5, low=6.4, high=6.6, difference=0.7766, gain=1.234, gain_low=-1, gain_high=1.5),
            "oracle": Cell(value=-0.00001),
        },
    },
    protocol="abcd",
)
IMAGE = data_uri(Image.new("RGB", (8, 8), "red"))
LINE = Line(label=EVIL, x=(0, 1000, 2000), y=(1, 2, 3), low=(0, 1, 2), high=(2, 3, 4))
PANELS = tuple(Panel(x_label=f"x {EVIL}", y_label="y", lines=(LINE, Line(label="base", x=(0,), y=(1,)))) for _ in "12")
STEPS = StepPanel(y_label="ratio", title=EVIL, reference=0.5, lines=(
    Line(label=EVIL, x=(20, 16, 8), y=(0.5, 0.6, 0.9), low=(0.4, 0.5, 0.8), high=(0.6, 0.7, 1)),
))  # fmt: skip
BARS = (Bar(label=EVIL, win=70, draw=10, lose=20, low=0.6, high=0.85), Bar(label="none", win=0, draw=0, lose=0))
PAGE = Page(
    title=f"Title {EVIL}",
    intro="What was run",
    sections=(
        Text(title="Note", paragraphs=(EVIL,)),
        Tables(title="Rewards", tables=(TABLE,)),
        Curves(title="Training", caption=EVIL, panels=PANELS),
        StepCurves(title="Over steps", caption=EVIL, panels=(STEPS,)),
        Bars(title="Win rate", caption=EVIL, against="base", groups=(BarGroup(title=EVIL, bars=BARS),)),
        Grid(
            title="Samples", caption="All", prompts=(EVIL, "a dog"), rows=(GridRow(label=EVIL, images=(IMAGE, IMAGE)),)
        ),
        Pairs(
            title="Differ",
            caption=EVIL,
            labels=("base", EVIL),
            pairs=(Pair(prompt=EVIL, images=(IMAGE, IMAGE), note=f"+1 {EVIL}"),),
        ),
        Records(records={EVIL: {"command": ["bench", EVIL]}}),
    ),
)
