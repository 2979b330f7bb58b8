"""The content of a page as data. A page is stored as JSON, so it can be rendered again later."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbench.report.table import Table


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextSection(_Model):
    """Paragraphs of plain text."""

    kind: Literal["text"] = "text"
    title: str
    paragraphs: tuple[str, ...]


class TableSection(_Model):
    """One or more tables, each with its caption."""

    kind: Literal["tables"] = "tables"
    title: str
    tables: tuple[Table, ...]


class Curve(_Model):
    """A curve, with a band from ``low`` to ``high`` for several training seeds. All lists have the same length."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


class Panel(_Model):
    """One pair of axes with curves. A label has the same colour in all panels of a section.

    ``least_span`` is what the vertical axis spans at least, so that a change which is small does not look large.
    """

    x_label: str
    y_label: str
    lines: tuple[Curve, ...]
    title: str = ""
    least_span: float | None = None


class CurveSection(_Model):
    """Panels with one legend and one caption."""

    kind: Literal["curves"] = "curves"
    title: str
    caption: str
    panels: tuple[Panel, ...]


class StepPanel(_Model):
    """Curves over the step index t, which is largest for noise and counts down to the image.

    Each curve has t as x, a value as y, and its interval from ``low`` to ``high``. ``reference`` is a value to compare
    with, such as 0.5 for chance, drawn as a thin line.
    """

    y_label: str
    lines: tuple[Curve, ...]
    title: str = ""
    reference: float | None = None


class StepSection(_Model):
    """Panels of values at single denoising steps, noise on the left, with one legend and one caption."""

    kind: Literal["steps"] = "steps"
    title: str
    caption: str
    panels: tuple[StepPanel, ...]


class OutcomeBar(_Model):
    """Counts of wins, draws and losses of one row. ``low`` to ``high`` is the interval of the win rate."""

    label: str
    win: int
    draw: int
    lose: int
    low: float | None = None
    high: float | None = None

    @property
    def total(self) -> int:
        """Number of pairs that were compared."""
        return self.win + self.draw + self.lose

    @property
    def rate(self) -> float:
        """The win rate, 0 to 1, in which a draw counts as half a win; 0.5 if nothing was compared."""
        return (self.win + self.draw / 2) / self.total if self.total else 0.5


class OutcomeGroup(_Model):
    """Bars under one heading, such as the name of a reward."""

    title: str
    bars: tuple[OutcomeBar, ...]


class OutcomeSection(_Model):
    """Bars of wins, draws and losses against the row ``against``."""

    kind: Literal["bars"] = "bars"
    title: str
    caption: str
    against: str
    groups: tuple[OutcomeGroup, ...]


class SideBySide(_Model):
    """Two images of one prompt as data URIs, and a note on how they differ."""

    prompt: str
    images: tuple[str, str]
    note: str = ""


class SideBySideSection(_Model):
    """Pairs of images; the first of each pair is from ``labels[0]``, the second from ``labels[1]``."""

    kind: Literal["pairs"] = "pairs"
    title: str
    caption: str
    labels: tuple[str, str]
    pairs: tuple[SideBySide, ...]


class GridRow(_Model):
    """The images of one row as data URIs, one per column, each with a note under it if there are ``notes``."""

    label: str
    images: tuple[str, ...]
    notes: tuple[str, ...] = ()


class GridSection(_Model):
    """Rows of images; ``prompts`` are the headings of the columns, and ``size`` is the images' width in px."""

    kind: Literal["grid"] = "grid"
    title: str
    caption: str
    prompts: tuple[str, ...]
    rows: tuple[GridRow, ...]
    size: int = 128


class RecordSection(_Model):
    """Records of what ran, by name, collapsed on the page."""

    kind: Literal["records"] = "records"
    title: str = "Run records"
    records: dict[str, Any]


Section = Annotated[
    TextSection
    | TableSection
    | CurveSection
    | StepSection
    | OutcomeSection
    | GridSection
    | SideBySideSection
    | RecordSection,
    Field(discriminator="kind"),
]


class Page(_Model):
    """A report. ``quick`` marks a run that is too small to quote.

    ``answer`` says first what was compared and what the tests found (report/answer.py); empty in older reports.
    """

    title: str
    intro: str
    answer: str = ""
    sections: tuple[Section, ...]
    quick: bool = False

    @property
    def full_title(self) -> str:
        """The title, marked QUICK if the page is."""
        return f"{self.title} (QUICK)" if self.quick else self.title
