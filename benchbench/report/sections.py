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


Section = Annotated[Text | Tables | Curves | Grid | Records, Field(discriminator="kind")]


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
