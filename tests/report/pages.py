"""A page with one of everything, and hostile words in it."""

from __future__ import annotations

from PIL import Image

from benchbench.report.grids import data_uri
from benchbench.report.sections import (
    Curve,
    CurveSection,
    GridRow,
    GridSection,
    OutcomeBar,
    OutcomeGroup,
    OutcomeSection,
    Page,
    Panel,
    RecordSection,
    SideBySide,
    SideBySideSection,
    StepPanel,
    StepSection,
    TableSection,
    TextSection,
)
from benchbench.report.table import Cell, Column, Table

EVIL = "<script>alert('x')</script> $a_b$ & \"q\""
TABLE = Table(
    name="t 1",
    title="A table",
    caption=f"Means of {EVIL}. " + "A sentence for those who ask for details. " * 7,
    rows=("base", EVIL),
    columns=(
        Column(key="colour", unit="points", version="1", better="higher", published="aesthetic, sd15"),
        Column(key="oracle", held_out=True),
    ),
    cells={
        "base": {"colour": Cell(value=5.7234, low=5.6, high=5.85, images=10, prompts=5, published=5.79)},
        EVIL: {
            "colour": Cell(value=6.5, low=6.4, high=6.6, difference=0.7766, gain=1.234, gain_low=-1, gain_high=1.5),
            "oracle": Cell(value=-0.00001),
        },
    },
    protocol="abcd",
    ahead={"colour": ((EVIL, "base"),)},
)
IMAGE = data_uri(Image.new("RGB", (8, 8), "red"))
LINE = Curve(label=EVIL, x=(0, 1000, 2000), y=(1, 2, 3), low=(0, 1, 2), high=(2, 3, 4))
PANELS = tuple(Panel(x_label=f"x {EVIL}", y_label="y", lines=(LINE, Curve(label="base", x=(0,), y=(1,)))) for _ in "12")
STEPS = StepPanel(y_label="ratio", title=EVIL, reference=0.5, lines=(
    Curve(label=EVIL, x=(20, 16, 8), y=(0.5, 0.6, 0.9), low=(0.4, 0.5, 0.8), high=(0.6, 0.7, 1)),
))  # fmt: skip
BARS = (
    OutcomeBar(label=EVIL, win=70, draw=10, lose=20, low=0.6, high=0.85),
    OutcomeBar(label="none", win=0, draw=0, lose=0),
)
PAGE = Page(
    title=f"Title {EVIL}",
    answer=f"{EVIL} is ahead of base",
    intro="What was run",
    sections=(
        TextSection(title="Note", paragraphs=(EVIL,)),
        TableSection(title="Rewards", tables=(TABLE,)),
        CurveSection(title="Training", caption=EVIL, panels=PANELS),
        StepSection(title="Over steps", caption=EVIL, panels=(STEPS,)),
        OutcomeSection(title="Win rate", caption=EVIL, against="base", groups=(OutcomeGroup(title=EVIL, bars=BARS),)),
        GridSection(
            title="Samples", caption="All", prompts=(EVIL, "a dog"), rows=(GridRow(label=EVIL, images=(IMAGE, IMAGE)),)
        ),
        SideBySideSection(
            title="Differ",
            caption=EVIL,
            labels=("base", EVIL),
            pairs=(SideBySide(prompt=EVIL, images=(IMAGE, IMAGE), note=f"+1 {EVIL}"),),
        ),
        RecordSection(records={EVIL: {"command": ["bench", EVIL]}}),
    ),
)

LABELS = ("base", "tailorpo-shapes-shapes-colour-s0-b734197f", "d3po-shapes-shapes-colour-s0-4604930e")
"""Labels as ``bench eval`` gives them by default."""


def wide_table(columns: int) -> Table:
    """Returns a table of rewards, the first of which was trained on; the last column lacks a value."""
    keys = [f"shapes-reward-{i}" for i in range(columns)]
    cells = {
        row: {key: Cell(value=10 * i + n, low=10 * i, high=10 * i + 9, gain=1, gain_low=0.5, gain_high=1.5)
              for n, key in enumerate(keys)}
        for i, row in enumerate(LABELS)
    }  # fmt: skip
    del cells["base"][keys[-1]]
    return Table(
        name="wide",
        title="Mean reward",
        caption="Means over prompts. " + "A sentence for those who ask for details. " * 8,
        rows=LABELS,
        columns=tuple(Column(key=key, unit="points", held_out=i > 0, better="higher") for i, key in enumerate(keys)),
        cells=cells,
    )
