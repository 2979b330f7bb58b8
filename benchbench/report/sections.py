"""What a page is made of, as data: a page can be stored as JSON and rendered again years later."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbench.report.table import Table


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Model):
    """Paragraphs of plain text."""

    kind: Literal["text"] = "text"
    title: str
    paragraphs: tuple[str, ...]


class Tables(_Model):
    """One or more tables, each with its caption."""

    kind: Literal["tables"] = "tables"
    title: str
    tables: tuple[Table, ...]


class Line(_Model):
    """A curve, and the band around it where there are several seeds. Lists have one length."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


class Panel(_Model):
    """Axes with lines; one label has one colour in all panels of a section."""

    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    title: str = ""


class Curves(_Model):
    """Panels with a common legend and a caption."""

    kind: Literal["curves"] = "curves"
    title: str
    caption: str
    panels: tuple[Panel, ...]


class StepPanel(_Model):
    """Lines over the step index t, which counts down to the image: x is t, y a value, low to high its interval.

    ``reference`` is a value to compare with, such as 0.5 for chance; it is drawn as a thin line.
    """

    y_label: str
    lines: tuple[Line, ...]
    title: str = ""
    reference: float | None = None


class StepCurves(_Model):
    """Values at single denoising steps, with a common legend and a caption; noise is on the left."""

    kind: Literal["steps"] = "steps"
    title: str
    caption: str
    panels: tuple[StepPanel, ...]


class Bar(_Model):
    """Counts of wins, draws and losses. The win rate counts a draw as half a win; low to high is its interval."""

    label: str
    win: int
    draw: int
    lose: int
    low: float | None = None
    high: float | None = None

    @property
    def total(self) -> int:
        """All pairs that were compared."""
        return self.win + self.draw + self.lose

    @property
    def rate(self) -> float:
        """The win rate, 0 to 1; one half where nothing was compared."""
        return (self.win + self.draw / 2) / self.total if self.total else 0.5


class BarGroup(_Model):
    """Bars under one heading, such as a reward."""

    title: str
    bars: tuple[Bar, ...]


class Bars(_Model):
    """Win, draw and lose bars against ``against``, which the caption names too."""

    kind: Literal["bars"] = "bars"
    title: str
    caption: str
    against: str
    groups: tuple[BarGroup, ...]


class Pair(_Model):
    """Two images of one prompt as data URIs, and a line that says how they differ."""

    prompt: str
    images: tuple[str, str]
    note: str = ""


class Pairs(_Model):
    """Images side by side: the first of each pair is of ``labels[0]``, the second of ``labels[1]``."""

    kind: Literal["pairs"] = "pairs"
    title: str
    caption: str
    labels: tuple[str, str]
    pairs: tuple[Pair, ...]


class GridRow(_Model):
    """A row of images as data URIs, one a prompt."""

    label: str
    images: tuple[str, ...]


class Grid(_Model):
    """Images of the same prompts, sample numbers and seeds, a row a model. ``size`` is the side they are shown at."""

    kind: Literal["grid"] = "grid"
    title: str
    caption: str
    prompts: tuple[str, ...]
    rows: tuple[GridRow, ...]
    size: int = 128


class Records(_Model):
    """What exactly ran, by name, folded away."""

    kind: Literal["records"] = "records"
    title: str = "Run records"
    records: dict[str, Any]


Section = Annotated[Text | Tables | Curves | StepCurves | Bars | Grid | Pairs | Records, Field(discriminator="kind")]


class Page(_Model):
    """A whole report."""

    title: str
    intro: str
    sections: tuple[Section, ...]
    quick: bool = False

    @property
    def full_title(self) -> str:
        """The title, which says QUICK where the page is."""
        return f"{self.title} (QUICK)" if self.quick else self.title
